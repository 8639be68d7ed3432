"""A calibration in a real lab, of a few ways only: from sockperf's words to a file that forecasts read."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from experiments.performance import bench, calibration
from experiments.performance.cases import CONNECT, Case
from experiments.performance.known import Known
from experiments.performance.topology import WAYS
from live import doctor, sockperf
from sim.fabric.costs import BLOCKING, SPINNING

pytestmark = pytest.mark.live
NAMES = ("loopback in a container", "client to host mode", "user bridge, container to container",
         "overlay, container to container on two hosts", "client to published port, user bridge")


@pytest.fixture(autouse=True)
def able() -> None:
    report = doctor.examine()
    if not report.can_run_lab:
        pytest.skip(report.why_not)
    if len(sockperf.cpus()) < 2:
        pytest.skip("polling on both ends takes two CPUs")


def test_round_trips_of_a_real_lab_become_prices_that_forecast_others(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ways = [way for way in WAYS if way.name in NAMES]
    assert len(ways) == len(NAMES)
    asked = [*(Case(way, regime) for way in ways for regime in (BLOCKING, SPINNING)),
             *(Case(way, BLOCKING, "udp") for way in ways), *(Case(way, CONNECT) for way in ways[1:4]),
             Case(next(way for way in WAYS if "127.0.0.1" in way.name), BLOCKING)]
    monkeypatch.setattr(calibration, "cases", lambda model: asked)
    said: list[str] = []
    path = tmp_path / "machine.json"
    found, code = bench.calibrate(path, 1, said.append, lambda what, done, total: None)
    assert code == 4 and "fewer than 3 rounds" in said[-1], "one round can't say whether rounds repeat"
    took = {(row.case.regime, row.case.protocol, row.case.way.name): row.measured.value for row in found.rows}
    assert len(took) == len(asked) and all(1e-6 < value < 1e-3 for value in took.values())
    for regime in (BLOCKING, SPINNING):
        assert took[regime, "tcp", NAMES[0]] < took[regime, "tcp", NAMES[3]], "loopback is half a tunnel"
    offloads = json.loads(path.read_text())["provenance"]["offloads"]
    assert offloads["veth"]["tso"] == "on"
    assert offloads["veth"]["gro"] == "off", "a veth puts nothing together by itself"
    assert offloads["vxlan"]["gro"] == "on" and "loopback" in offloads
    known = Known.load(path)
    forecast = known.forecast(BLOCKING, {"bridge": found.rows[0].counts}, [NAMES[2]])["bridge"]
    assert forecast.low <= forecast.value <= forecast.high
