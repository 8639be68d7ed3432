# Hopcast's commands. Each sets up what it needs first; the second time that costs a moment.
# `make help` lists them.

PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
SEEDS  ?= 1 2 3 4 5 6 7 8 9 10
FILES  ?=
STAMP  := $(VENV)/.installed

export PYTHON

.DEFAULT_GOAL := help
.PHONY: help setup packages demo test lint bench sizes fuzz stalled mutants goldens clean

help: ## this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-9s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: packages $(STAMP) ## the virtual environment and, as root on Debian, the packages of the live half
	@$(BIN)/python -m live.compose

# Only missing packages are installed, and without root none: predicting needs no privilege and no engine.
packages:
	@.ci/packages

# `venv` can fail on a fresh Debian, where its ensurepip is a package of its own: .ci/packages brings that where it is needed.
# The stamp is written last, so an interrupted set-up starts again.
$(STAMP): pyproject.toml | packages
	@test -x $(BIN)/python || { rm -rf $(VENV) && $(PYTHON) -m venv $(VENV); } || { \
		rm -rf $(VENV); echo "can't make a virtual environment with $(PYTHON); as root: apt-get install python3-venv" >&2; exit 1; }
	@echo "setting up $(VENV)"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev]'
	@touch $@

demo: setup ## predict, deploy, probe, capture and compare the article's single-host networks
	@$(BIN)/hopcast demo

test: setup ## all tests; live ones run as root where an engine can, and say why where they can't
	@$(BIN)/python -m pytest

lint: setup ## ruff and mypy --strict
	@$(BIN)/ruff check .
	@$(BIN)/mypy

# 4: the machine was noisy, as the experiments will say of themselves.
bench: setup ## calibrate, run every experiment, and print how far the forecasts were off: results/ (root, a quiet machine)
	@$(BIN)/hopcast calibrate --rounds 6 || [ $$? -eq 4 ]
	@$(BIN)/hopcast experiment all

sizes: setup ## how time and memory of predicting grow with the file: 25 to 800 containers
	@$(BIN)/python -m experiments.performance.sizes

fuzz: setup ## verify topologies drawn at random, on a real engine: make fuzz SEEDS="1 2 3" (root)
	@$(BIN)/python -m tests.live.random_topology $(SEEDS)

stalled: setup ## the live tests on a machine whose CPUs are taken away now and then, as by a busy hypervisor (root)
	@$(BIN)/python -m tests.stalls $(BIN)/python -m pytest -m live

mutants: setup ## change the model one expression at a time: which changes does no unit test notice? FILES="sim/kernel/nat.py"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[mutants]'
	@$(BIN)/python -m tests.mutants $(FILES)

goldens: setup ## take tests/goldens/ from a real engine again (root)
	@$(BIN)/python tests/goldens/regenerate.py
	@$(BIN)/python -m tests.goldens.traces

clean: ## remove what set-up and tests made here (not results/, not Debian packages)
	rm -rf $(VENV) build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
