"""Shape and order, judged no further than intervals allow."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from experiments.performance import verdicts
from experiments.performance.intervals import Interval
from experiments.performance.verdicts import Outcome


def figure(value: float, error: float = 0.0) -> dict[str, float]:
    return {"value": value, "low": value * (1 - error), "high": value * (1 + error)}


def latency(**figures: Any) -> dict[str, dict[str, Any]]:
    return {"latency": figures}


def test_a_path_is_faster_only_where_the_intervals_are_apart() -> None:
    check = verdicts.faster("macvlan", "bridge")
    assert check(latency(macvlan=figure(8, 0.01), bridge=figure(10, 0.01))).outcome is Outcome.HOLDS
    assert check(latency(macvlan=figure(10, 0.01), bridge=figure(8, 0.01))).outcome is Outcome.FAILS
    overlapping = check(latency(macvlan=figure(8, 0.1), bridge=figure(8.5, 0.1)))
    assert overlapping.outcome is Outcome.UNDECIDED and "overlap" in overlapping.detail
    assert check(latency(macvlan=8.0, bridge=8.0)).outcome is Outcome.FAILS


def test_equally_fast_paths_satisfy_not_slower() -> None:
    check = verdicts.not_slower("host", "macvlan")
    assert check(latency(host=figure(8, 0.002), macvlan=figure(7.95, 0.002))).outcome is Outcome.HOLDS
    assert check(latency(host=figure(9, 0.01), macvlan=figure(8, 0.01))).outcome is Outcome.FAILS


def test_without_figures_there_is_no_verdict() -> None:
    for figures in ({}, latency(), latency(host=8.0), latency(host=8.0, bridge=None), latency(host=0.0, bridge=3.0),
                    latency(host={"value": None}, bridge=3.0), latency(host=True, bridge=3.0)):
        assert verdicts.faster("host", "bridge")(figures) is verdicts.NO_DATA


def test_rounds_that_pair_up_cancel_their_drift() -> None:
    drift = [1.0, 1.3, 0.8, 1.1, 0.9]
    host = figure(8, 0.2) | {"rounds": [8 * d for d in drift]}
    nat = figure(12, 0.2) | {"rounds": [12 * d for d in drift]}
    ratio = verdicts.quotient(nat, host)
    assert ratio is not None and ratio.value == pytest.approx(1.5) and ratio.high - ratio.low < 1e-9
    unpaired = verdicts.quotient(figure(12, 0.2), figure(8, 0.2))
    assert unpaired is not None and unpaired.high - unpaired.low > 1


def test_a_range_is_missed_below_and_above() -> None:
    check = verdicts.latency_ratio("nat", "host", 1.2, 1.35)
    assert [check(latency(nat=value, host=1.0)).side for value in (1.1, 1.3, 1.46)] == [-1, 0, 1]
    assert check(latency(nat=figure(1.3, 0.1), host=1.0)).outcome is Outcome.UNDECIDED


def throughput(host: list[float], path: list[float]) -> dict[str, dict[str, Any]]:
    flows = ["1", "8"]  # as JSON has it
    return {"throughput": {"host": dict(zip(flows, host, strict=True)), "overlay": dict(zip(flows, path, strict=True))}}


def test_a_throughput_gap_closes_where_little_of_it_is_left() -> None:
    check = verdicts.gap_closes("overlay", "host")
    closed = check(throughput([20, 40], [10, 38]))
    assert closed.outcome is Outcome.HOLDS and closed.ratio is not None and closed.ratio.value == pytest.approx(0.1)
    assert check(throughput([20, 20], [14, 14])).outcome is Outcome.FAILS
    assert check(throughput([20, 20], [20, 20])).detail.startswith("no gap to close")
    assert check({"throughput": {"host": {1: 20}, "overlay": {1: 10}}}) is verdicts.NO_DATA


def test_the_gap_left_has_the_widest_interval_that_its_figures_allow() -> None:
    figures = {"throughput": {"host": {1: figure(20, 0.02), 8: figure(40, 0.02)},
                              "overlay": {1: figure(10, 0.02), 8: figure(29, 0.02)}}}
    found = verdicts.gap_closes("overlay", "host")(figures)
    assert found.outcome is Outcome.UNDECIDED
    assert found.ratio is not None and found.ratio.low < found.ratio.value < found.ratio.high


def test_the_request_gap_stays_where_parallel_requests_do_not_help() -> None:
    check = verdicts.gap_stays("overlay", "host")
    figures = {"transactions": {"host": {1: 100.0, 8: 400.0}, "overlay": {1: 60.0, 8: 250.0}}}
    assert check(figures).outcome is Outcome.HOLDS
    figures["transactions"]["overlay"][8] = 398.0
    assert check(figures).outcome is Outcome.FAILS


def test_without_parallel_requests_the_single_ones_are_put_beside_the_streams() -> None:
    check = verdicts.gap_stays("overlay", "host")
    slow = {"host": 8.0, "overlay": 14.0}
    assert check(throughput([20, 40], [10, 38]) | {"latency": slow}).outcome is Outcome.HOLDS
    assert check(throughput([20, 40], [10, 10]) | {"latency": slow}).outcome is Outcome.FAILS
    same = {"latency": {"host": 8.0, "overlay": 8.0}}
    assert check(throughput([20, 40], [10, 10]) | same).detail.startswith("no gap")
    assert check({"latency": slow}) is verdicts.NO_DATA


def udp(**paths: dict[int, Any]) -> dict[str, Any]:
    return {"udp": paths}


def test_goodput_that_grows_as_the_datagram_is_a_constant_packet_rate() -> None:
    found = verdicts.constant_packet_rate(udp(host={64: 64.0, 512: 500.0, 1400: 1350.0, 8000: 3000.0}))
    assert found.outcome is Outcome.HOLDS and "constant up to 1400 bytes;" in found.detail
    limited = verdicts.constant_packet_rate(udp(host={64: 64.0, 512: 500.0, 1400: 700.0}))
    assert limited.outcome is Outcome.HOLDS and "up to 512 bytes (the byte limit)" in limited.detail


def test_goodput_that_does_not_depend_on_size_is_no_constant_packet_rate() -> None:
    found = verdicts.constant_packet_rate(udp(host={64: 64.0, 512: 500.0}, overlay={64: 64.0, 512: 70.0, 1400: 70.0}))
    assert found.outcome is Outcome.FAILS and found.side == -1 and "host: constant" in found.detail
    noisy = verdicts.constant_packet_rate(udp(host={64: 64.0, 512: figure(400.0, 0.1)}))
    assert noisy.outcome is Outcome.UNDECIDED


def test_sizes_too_near_each_other_tell_nothing() -> None:
    assert verdicts.constant_packet_rate(udp(host={1000: 10.0, 1400: 14.0})) is verdicts.NO_DATA
    assert verdicts.constant_packet_rate(udp(host={64: 10.0}, bridge={})) is verdicts.NO_DATA


def test_a_verdict_is_json_and_reads_well() -> None:
    found = verdicts.within(Interval(1.464, 1.45, 1.47), 1.2, 1.35)
    assert str(found) == "does not hold, 1.46 [1.45, 1.47]"
    assert json.loads(json.dumps(found.as_dict()))["outcome"] == "does not hold"
    assert str(verdicts.NO_DATA) == "no data"


def test_the_reasons_are_the_steps_that_differ_most() -> None:
    steps = {"host": {"route": 1e-6, "socket": 3e-6}, "nat": {"route": 2e-6, "socket": 3e-6, "rule": 3e-6}}
    assert verdicts.first_reasons(steps, "nat", "host") == ["rule +3.00 µs", "route +1.00 µs"]
    assert not verdicts.first_reasons(steps, "overlay", "host")


@given(st.floats(1e-7, 1e-3), st.floats(1e-7, 1e-3), st.floats(0, 0.5), st.floats(0, 0.5))
def test_a_ratio_lies_in_its_interval_and_no_verdict_contradicts_the_reverse(
        one: float, other: float, error: float, another: float) -> None:
    figures = latency(a=figure(one, error), b=figure(other, another))
    ratio = verdicts.quotient(figures["latency"]["a"], figures["latency"]["b"])
    assert ratio is not None and ratio.low <= ratio.value <= ratio.high and math.isfinite(ratio.high)
    outcomes = {verdicts.faster("a", "b")(figures).outcome, verdicts.faster("b", "a")(figures).outcome}
    assert outcomes in ({Outcome.HOLDS, Outcome.FAILS}, {Outcome.UNDECIDED}, {Outcome.FAILS})
