"""What sockperf 3.7 said on a real machine, read."""

from __future__ import annotations

from pathlib import Path

import pytest

from live import sockperf_output
from sim.errors import LabError

PING_PONG = """sockperf: \x1b[2;35m== version #3.7-no.git == \x1b[0m
sockperf[CLIENT] send on:sockperf: using recvfrom() to block on socket(s)

[ 0] IP = 10.9.8.2        PORT =  5000 # UDP
sockperf: Warmup stage (sending a few dummy messages)...
sockperf: Starting test...
sockperf: Test end (interrupted by timer)
sockperf: Test ended
sockperf: [Total Run] RunTime=1.000 sec; Warm up time=400 msec; SentMessages=160636; ReceivedMessages=160635
sockperf: ========= Printing statistics for Server No: 0
sockperf: [Valid Duration] RunTime=0.550 sec; SentMessages=88523; ReceivedMessages=88523
sockperf: \x1b[2;35m====> avg-rtt=6.176 (std-dev=1.324)\x1b[0m
sockperf: # dropped messages = 0; # duplicated messages = 0; # out-of-order messages = 0
sockperf: Summary: Round trip is 6.176 usec
sockperf: \x1b[2;35mTotal 88523 observations\x1b[0m; each percentile contains 885.23 observations
sockperf: ---> <MAX> observation =   54.651
sockperf: ---> percentile 99.999 =   53.177
sockperf: ---> percentile 99.990 =   46.150
sockperf: ---> percentile 99.900 =   30.802
sockperf: ---> percentile 99.000 =    6.816
sockperf: ---> percentile 90.000 =    6.419
sockperf: ---> percentile 75.000 =    6.260
sockperf: ---> percentile 50.000 =    6.031
sockperf: ---> percentile 25.000 =    5.970
sockperf: ---> <MIN> observation =    5.785
"""
BEYOND_SATURATION = """sockperf: Test ended
sockperf: [Total Run] RunTime=0.882 sec; Warm up time=400 msec; SentMessages=88861; ReceivedMessages=42981
sockperf: ========= Printing statistics for Server No: 0
sockperf: Test end (interrupted by signal 2)
sockperf: [Valid Duration] RunTime=0.426 sec; SentMessages=47836; ReceivedMessages=27868
sockperf: \x1b[2;35m====> avg-rtt=927.456 (std-dev=766.341)\x1b[0m
sockperf: \x1b[0;31m# dropped messages = 19968; # duplicated messages = 0; # out-of-order messages = 7\x1b[0m
sockperf: Summary: Round trip is 927.456 usec
sockperf: \x1b[2;35mTotal 27868 observations\x1b[0m; each percentile contains 278.68 observations
sockperf: ---> <MAX> observation = 11354.716
sockperf: ---> percentile 99.999 = 11354.716
sockperf: ---> percentile 99.990 = 5124.784
sockperf: ---> percentile 99.900 = 4859.518
sockperf: ---> percentile 99.000 = 3545.906
sockperf: ---> percentile 90.000 = 1804.129
sockperf: ---> percentile 75.000 = 1167.697
sockperf: ---> percentile 50.000 =  787.625
sockperf: ---> percentile 25.000 =  385.279
sockperf: ---> <MIN> observation =    6.428
sockperf: Info: The requested message-per-second rate is too high. Try tuning --mps or --burst arguments
"""
NOBODY = """sockperf: Test ended
sockperf: No messages were received from the server. Is the server down?
"""


def test_sockperfs_microseconds_become_seconds() -> None:
    run = sockperf_output.parse(PING_PONG)
    assert run.observations == 88523
    assert run.p50 == pytest.approx(6.031e-6)
    assert run.mean == pytest.approx(6.176e-6)
    assert run.percentiles[99.0] == pytest.approx(6.816e-6)
    assert run.percentiles[99.9] == pytest.approx(30.802e-6)
    assert sorted(run.percentiles) == list(sockperf_output.PERCENTILES)


def test_a_load_counts_what_was_sent_and_answered_after_the_warm_up() -> None:
    load = sockperf_output.parse_load(BEYOND_SATURATION, 150_000)
    assert load.offered == 150_000
    assert load.sent == 47836
    assert load.rate == pytest.approx(47836 / 0.426)
    assert load.percentiles[99.0] == pytest.approx(3545.906e-6)


def test_an_overtaken_answer_is_an_answer_and_no_loss() -> None:
    load = sockperf_output.parse_load(BEYOND_SATURATION, 150_000)
    assert load.received == 27868 + 7
    assert load.goodput == pytest.approx(27875 / 0.426)
    assert load.lost == pytest.approx(1 - 27875 / 47836)


def test_a_round_trip_without_loss_has_lost_nothing() -> None:
    assert sockperf_output.parse_load(PING_PONG, 160_000).lost == 0


LOG = """------------------------------
test was performed using the following parameters: --mps=300000 --burst=1 --reply-every=1 --msg-size=14 --time=3
------------------------------
sockperf: Summary: Round trip is 13.536 usec
------------------------------
packet, txTime(sec), rxTime(sec), rtt(usec)
0, 2.430297760, 2.430309592, 11.832
1, 2.430309623, 2.430323609, 13.986
2, 2.430323639, 2.455335821, 25012.182
3, 2.455335852, 2.455347864, 12.012
4, 2.455347904, 2.461347904, 6000.000
5, 2.461347904, 2.461361904, 14.000
------------------------------
"""


def test_round_trips_that_were_held_are_left_out_and_slow_ones_are_not(tmp_path: Path) -> None:
    (log := tmp_path / "log.csv").write_text(LOG)
    run = sockperf_output.parse_log("", log, [0.02501])
    assert run.observations == 5 and run.p50 == pytest.approx(13.986e-6)
    assert run.mean == pytest.approx((11.832 + 13.986 + 12.012 + 6000 + 14) / 5 * 1e-6)
    assert run.percentiles[99.9] == pytest.approx(6e-3)


def test_no_more_round_trips_are_left_out_than_there_were_pauses(tmp_path: Path) -> None:
    (log := tmp_path / "log.csv").write_text(LOG)
    assert sockperf_output.parse_log("", log, [0.0055]).observations == 5
    assert sockperf_output.parse_log("", log, [0.0055, 0.025]).observations == 4
    assert sockperf_output.parse_log("", log, [0.0055, 0.025, 0.025]).observations == 4
    assert sockperf_output.parse_log("", log, []).observations == 6


def test_a_pause_that_is_no_longer_than_the_path_may_take_leaves_nothing_out(tmp_path: Path) -> None:
    (log := tmp_path / "log.csv").write_text(LOG)
    assert sockperf_output.parse_log("", log, [0.0001]).observations == 6


@pytest.mark.parametrize(("said", "reason"), [
    ("sockperf: ERROR: Can`t connect socket (errno=111 Connection refused)\n", "Connection refused"),
    (NOBODY, "No messages were received from the server"),
    ("sockperf: Test ended\nsockperf: No valid observations found. Try tune parameters: --time\n", "No valid observ"),
    ("", "nothing was said"),
])
def test_sockperf_that_measured_nothing_is_an_error_with_its_own_words(said: str, reason: str) -> None:
    with pytest.raises(LabError, match=reason):
        sockperf_output.parse(said)
    with pytest.raises(LabError, match=reason):
        sockperf_output.parse_load(said, 1)
    with pytest.raises(LabError, match=reason):
        sockperf_output.parse_log(said, Path("/nowhere/log.csv"), [])
