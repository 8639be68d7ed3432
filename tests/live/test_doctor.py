"""The doctor's report, and which generation an engine is of."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from live import doctor, engine, features
from live.doctor import Item, Report
from tests.live.conftest import own_network

ROOT = Item("privilege", "root", True, "", "engines", "sudo", True)
NETEM = Item("kernel", "netem", False, "Operation not supported", "delay", "modprobe sch_netem", False)
ENGINE = Item("engine", "dockerd", False, "no dockerd on PATH", "measuring", "apt-get install docker.io", True)


def test_a_missing_extra_does_not_keep_the_lab_from_running() -> None:
    assert Report((ROOT, NETEM)).can_run_lab
    assert Report((ROOT, NETEM)).why_not == ""


def test_a_missing_engine_does_and_the_reason_says_how_to_get_it() -> None:
    report = Report((ROOT, NETEM, ENGINE))
    assert not report.can_run_lab
    assert report.why_not == "dockerd: no dockerd on PATH (apt-get install docker.io)"


def test_what_could_not_be_tried_is_not_called_missing() -> None:
    plain = replace(ROOT, ok=False, detail="runs as uid 1000")
    untried = replace(NETEM, name="veth", ok=None, required=True)
    assert Report((plain, untried)).why_not == "root: runs as uid 1000 (sudo)"


def test_the_report_is_json() -> None:
    report = doctor.examine()
    read = json.loads(json.dumps(report.as_dict()))
    assert read["can_run_lab"] is report.can_run_lab
    assert {item["kind"] for item in read["items"]} == {"privilege", "limit", "kernel", "engine", "tool"}


def test_every_feature_that_is_explained_is_tried() -> None:
    assert set(features.TRIALS) == set(doctor.KERNEL)


@pytest.mark.live
@pytest.mark.usefixtures("able")
def test_trying_features_leaves_the_machines_own_network_alone() -> None:
    before = own_network()
    tried = features.tried()
    assert tried["veth"] == tried["bridge"] == tried["iptables"] == ""
    assert own_network() == before


@pytest.mark.live
@pytest.mark.usefixtures("able")
def test_what_an_engine_can_do_without_is_tried_without_a_device_and_found_the_same() -> None:
    everything = features.tried()
    assert features.tried(features.OPTIONAL) == {feature: everything[feature] for feature in features.OPTIONAL}


@pytest.mark.parametrize(("version", "key"), [
    ("20.10.24+dfsg1", "20.10"), ("20.10", "20.10"), ("26.1.5+dfsg1", "26"), ("28.5.2", "28"), ("v27.0.1", "27"),
    ("19.03.8", "19.03.8"), ("31.0.0", "31"), ("nonsense", "nonsense")])
def test_a_release_belongs_to_the_generation_that_plumbs_like_it(version: str, key: str) -> None:
    assert engine.generation(version) == key
