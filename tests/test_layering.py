"""Imports point one way: experiments -> live -> sim, and inside sim towards `errors`.

If the measurement could touch the model, agreement would prove nothing; so this reads the `ast` of every file, imports
under `TYPE_CHECKING` and inside functions included. The table below is the rule: change it only with ARCHITECTURE.md.
"""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from experiments.performance.commands import STUDIES

ROOT = Path(__file__).resolve().parent.parent
PROJECT = ("sim", "live", "experiments")

VOCABULARY = ("sim.errors", "sim.packet", "sim.trace", "sim.plumbing")
LIVE_MAY_SEE = (*VOCABULARY, "sim.spec", "sim.dial")

MAY_IMPORT: dict[str, tuple[str, ...]] = {
    "sim.errors": (),
    "sim.reading": ("sim.errors",),
    "sim.packet": ("sim.errors",),
    "sim.trace": ("sim.errors", "sim.packet"),
    "sim.plumbing": ("sim.errors",),
    "sim.model": ("sim.errors", "sim.checks"),
    "sim.machines": ("sim.errors", "sim.checks", "sim.model"),
    "sim.objects": ("sim.errors", "sim.checks", "sim.model", "sim.machines"),
    "sim.spec": ("sim.errors", "sim.checks", "sim.model", "sim.machines", "sim.objects"),
    "sim.placement": ("sim.errors", "sim.spec", "sim.checks"),
    "sim.checks": ("sim.errors", "sim.spec"),
    "sim.questions": ("sim.spec", "sim.checks", *VOCABULARY),
    "sim.dial": ("sim.spec", *VOCABULARY),
    "sim.compose": ("sim.spec", "sim.checks", "sim.placement", "sim.questions", "sim.reading", *VOCABULARY),
    "sim.build": ("sim.spec", "sim.checks", "sim.placement", "sim.questions", "sim.compose", *VOCABULARY),
    "sim.kernel": VOCABULARY,
    "sim.dockerd": ("sim.kernel", "sim.spec", *VOCABULARY),
    "sim.fabric": ("sim.kernel", "sim.spec", "sim.reading", *VOCABULARY),
    "sim.underlay": ("sim.kernel", "sim.spec", *VOCABULARY),
    "sim.world": ("sim.underlay", "sim.kernel", "sim.dockerd", "sim.fabric", "sim.spec", "sim.dial", *VOCABULARY),
    "sim.phases": ("sim.spec", *VOCABULARY),
    "sim.faults": ("sim.underlay", "sim.world", "sim.kernel", "sim.dockerd", "sim.spec", *VOCABULARY),
    "sim.reasons": ("sim.underlay", "sim.world", "sim.kernel", "sim.dockerd", "sim.spec", *VOCABULARY),
    "sim.predict": ("sim",),
    "sim": ("sim",),
    "live": LIVE_MAY_SEE,
    "experiments": ("sim", "live"),
}
"""Package or module -> what it may import besides itself. The longest name that fits a file decides."""

PREDICTORS = ("sim.predict", "sim.reasons", "sim.faults", "sim.world", "sim.kernel", "sim.dockerd", "sim.fabric",
              "experiments.performance.model", "experiments.performance.known")
OBSERVERS = ("experiments.measure", "experiments.micro_vm", "experiments.performance.session", "live.capture",
             "live.cold", "live.connections", "live.iperf", "live.links", "live.names", "live.offloads", "live.probe",
             "live.rules", "live.sockperf")
MEETING_PLACES: dict[str, str] = {
    "experiments.cli": "starts the one or the other, and has the type of a progress callback from measure",
    "experiments.verify": "hands a finished prediction and a measurement to experiments/compare.py",
    "experiments.performance.session": "drives the lab; of the model it has no more than the regimes' names",
    "experiments.performance.calibration": "counts what is measured: measured seconds become prices of predicted steps",
    "experiments.performance.bench": "starts a calibration",
    "experiments.performance.study": "says how fast the machine is today: anchors measured, over what is known of them",
    "experiments.performance.streams": "one flow as iperf3 measures it and as it is simulated",
    **{f"experiments.performance.{name.replace('-', '_')}": f"an experiment: {asks}" for name, asks in STUDIES.items()},
}
"""The only files that see both a forecast being made and a measurement being made."""


def modules() -> dict[str, Path]:
    return {
        ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path
        for package in PROJECT for path in sorted((ROOT / package).rglob("*.py"))
    }


def imports(name: str, path: Path) -> set[str]:
    """The project's modules that a file imports, absolute, `from a import b` as `a.b` where that is a module."""
    known = set(modules())
    package = name if path.name == "__init__.py" else name.rpartition(".")[0]
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(), str(path))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            parents = package.split(".")
            base = ".".join(parents[: len(parents) - node.level + 1]) if node.level else ""
            source = ".".join(part for part in (base, node.module) if part)
            found |= {
                f"{source}.{alias.name}" if f"{source}.{alias.name}" in known else source for alias in node.names
            }
    return {module for module in found if module.split(".")[0] in PROJECT}


def within(module: str, names: tuple[str, ...]) -> bool:
    return any(module == name or module.startswith(f"{name}.") for name in names)


def rule_for(module: str) -> str:
    return max((name for name in MAY_IMPORT if within(module, (name,))), key=len)


def test_every_file_has_a_rule() -> None:
    # `sim` alone is the rule of sim/__init__.py; a new file beside it belongs in the table.
    stray = [name for name in modules() if name != "sim" and rule_for(name) == "sim"]
    assert not stray, f"add to MAY_IMPORT and to ARCHITECTURE.md: {stray}"


@pytest.mark.parametrize("name", sorted(modules()))
def test_imports_point_one_way(name: str) -> None:
    layer = rule_for(name)
    wrong = sorted(
        module for module in imports(name, modules()[name])
        if not within(module, MAY_IMPORT[layer]) and not within(module, (layer,))
    )
    assert not wrong, f"{name} ({layer}) imports {wrong}, but may import only {MAY_IMPORT[layer]}"


def test_measurement_does_not_touch_the_model() -> None:
    touched = {
        f"{name} -> {module}" for name, path in modules().items() if within(name, ("live",))
        for module in imports(name, path) if within(module, ("sim",)) and not within(module, LIVE_MAY_SEE)
    }
    assert not touched


def test_the_daemon_and_the_fabric_never_import_each_other() -> None:
    for one, other in (("sim.dockerd", "sim.fabric"), ("sim.fabric", "sim.dockerd")):
        assert not [n for n, p in modules().items() if within(n, (one,)) for m in imports(n, p) if within(m, (other,))]


def test_predicting_and_measuring_meet_in_few_files() -> None:
    meeting = {
        name for name, path in modules().items()
        if any(within(m, PREDICTORS) for m in imports(name, path))
        and any(within(m, OBSERVERS) for m in imports(name, path))
    }
    assert meeting == set(MEETING_PLACES)


def test_the_comparison_sees_data_and_neither_the_model_nor_the_lab() -> None:
    for name in ("compare", "dialogue", "omissions", "differences", "causality"):
        seen = imports(f"experiments.{name}", modules()[f"experiments.{name}"])
        assert not [m for m in seen if within(m, PREDICTORS) or within(m, ("live", "experiments.measure"))]
        assert [m for m in seen if within(m, (*VOCABULARY, "experiments.dialogue"))]


def test_a_relative_import_and_one_under_type_checking_count(tmp_path: Path) -> None:
    file = tmp_path / "probe.py"
    file.write_text(
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from sim.trace import Step\n"
        "def later():\n    from . import lab\n    import sim.spec\n",
    )
    assert imports("live.probe", file) >= {"sim.trace", "sim.spec"}
    assert within(next(m for m in imports("live.probe", file) if m.startswith("live")), ("live",))
