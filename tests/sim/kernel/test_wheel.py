"""When coarse timers go off, by the kernel's timer wheel at 250 jiffies a second."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sim.build import topology
from sim.kernel.wheel import HZ, delay, granularity
from sim.packet import Arp, Tcp
from sim.predict import predict
from sim.trace import Kind


@given(st.floats(0, 100), st.floats(0.001, 60))
def test_a_timer_is_never_early_and_late_by_a_bucket_at_most(now: float, seconds: float) -> None:
    jiffies = seconds * HZ
    late = (delay(now, seconds) - seconds) * HZ
    assert -1 - 1e-6 <= late <= granularity(int(jiffies) + 1) + 1 + 1e-3


@given(st.floats(0, 100), st.floats(0, 0.01), st.floats(0.001, 60))
def test_of_two_timers_of_one_length_the_one_that_was_set_first_goes_first(
    now: float, later: float, seconds: float
) -> None:
    assert now + delay(now, seconds) <= now + later + delay(now + later, seconds) + 1e-9


def test_two_seconds_overtake_one_second_set_twice() -> None:
    first = delay(0.0, 1.0)
    assert first == pytest.approx(1.024)
    twice = first + delay(first, 1.0)
    assert twice + delay(twice, 1.0) - (first + delay(first, 2.0)) == pytest.approx(0.032, abs=0.001)


def test_before_linux_6_5_the_third_syn_to_nobody_comes_before_its_router_gives_up_arp() -> None:
    """Seen on 6.1: the router asks three times for a neighbour, and refuses what waits for it, three SYNs, at once."""
    spec = (topology("nobody").network("front").container("web", networks=["front"])
            .ask("web -> 192.168.99.77:80", timeout=5).spec())
    trace = predict(spec, linux="6.1.0", observed=True).traces[0]
    host = [s for s in trace if s.kind is Kind.SEEN and s.point == "host:eth0" and s.packet and s.packet.arp]
    asked = [s for s in host if s.packet and isinstance(s.packet.arp, Arp)]
    syns = [s.at for s in trace if s.kind is Kind.SEEN and s.point == "web:eth0" and s.way == "out" and s.packet
            and isinstance(s.packet.l4, Tcp)]
    assert len(asked) == 3 and len(syns) == 3
    assert asked[-1].at + 1.0 > syns[-1] > asked[-1].at
