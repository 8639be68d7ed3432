"""A machine that is late for its kernel's own timers (a busy hypervisor, an emulated CPU) is noticed and asked anew."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any

import pytest

from experiments import measure, verify, watch
from live import doctor
from live.codec import encode
from live.frames import Frame, Frames
from live.lateness import late
from live.responder import Responders
from sim.build import topology
from sim.packet import Ethernet, EtherType, IPv4, Packet, Tcp
from sim.predict import Prediction, predict
from sim.spec import Dial, Spec
from sim.trace import Answer, Kind, Outcome, Step, Trace

POINTS = ["client:eth0", "host:eth0", "host:br(front)", "web:eth0"]


def shop() -> Spec:
    return (topology("late").network("front").container("web", networks=["front"], ports=["8080:80"], listens=[80])
            .client("client").ask("client -> web:80").ask("client -> host:81").spec())


@pytest.fixture(scope="module")
def prediction() -> Prediction:
    return predict(shop(), observed=True)


def was_late(
    prediction: Prediction, index: int, seconds: float, place: Callable[[Trace], int], flight: float = 0.0,
) -> bool:
    """Of a question that went as predicted, but everything from one frame on comes `seconds` later."""
    trace = prediction.traces[index].observed(POINTS)
    start = place(trace)
    steps = [replace(step, at=step.at + (seconds if number >= start else 0.0)) for number, step in enumerate(trace)]
    dial = prediction.dials[index]
    assert dial
    return late(dial, prediction.answers[index], taken(steps), flight)


def taken(steps: Iterable[Step]) -> Frames:
    """The steps as frames, whoever sends them to whom."""
    frames = []
    for step in steps:
        assert step.packet
        packet = step.packet.snapshot()
        packet.eth = Ethernet("02:42:00:00:00:01", "02:42:00:00:00:02",
                              EtherType.ARP if packet.arp else EtherType.IPV4)
        if packet.arp:
            packet.arp.sender_mac, packet.arp.target_mac = packet.eth.src, packet.eth.dst
        frames.append(Frame(step.at, step.where, step.device, step.way, encode(packet)))
    return Frames(frames)


def answer_of(trace: Trace) -> int:
    """The server's first words."""
    return next(i for i, step in enumerate(trace) if step.packet and step.packet.payload and "web" in step.where
                and step.way == "out")


def question_of(trace: Trace) -> int:
    return next(i for i, step in enumerate(trace) if step.packet and step.packet.payload)


@pytest.mark.parametrize("index", [0, 1])
def test_a_dialogue_that_goes_as_predicted_is_in_time(prediction: Prediction, index: int) -> None:
    assert not was_late(prediction, index, 0.0, len)


def test_a_server_that_answers_after_the_delayed_acknowledgement_was_late(prediction: Prediction) -> None:
    assert was_late(prediction, 0, 0.045, answer_of)
    assert not was_late(prediction, 0, 0.005, answer_of)


def test_a_client_that_pauses_longer_before_its_question_is_not_late_for_any_timer(prediction: Prediction) -> None:
    assert not was_late(prediction, 0, 0.3, question_of)


def test_a_refusal_comes_at_once(prediction: Prediction) -> None:
    assert was_late(prediction, 1, 0.05, lambda trace: len(trace) - 1)


def test_what_takes_its_time_on_a_cable_is_not_late(prediction: Prediction) -> None:
    assert not was_late(prediction, 0, 0.045, answer_of, flight=0.02)


def test_who_was_late_is_told_from_the_segments_of_the_question_alone() -> None:
    dial = Dial(source="a", probe="tcp", address="10.0.0.2", port=80, source_port=20001)

    def paused(outcome: Outcome, port: int = 20001) -> bool:
        steps = [Step(Kind.SEEN, "a", "eth0", Packet(ip=IPv4(1, 2, 6), l4=Tcp(port, 80, 2)), at=at) for at in (0, 1.01)]
        return late(dial, Answer(outcome), taken(steps))

    assert paused(Outcome.NET_UNREACHABLE)
    assert not paused(Outcome.TIMEOUT)
    assert not paused(Outcome.REFUSED, port=40000)


@pytest.mark.live
def test_a_question_whose_server_was_kept_from_the_cpu_is_asked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    report = doctor.examine()
    if not report.can_run_lab:
        pytest.skip(report.why_not)
    started: list[Responders] = []
    stalls = iter([True])

    class Stalled(Responders):
        def __init__(self, listeners: Any) -> None:
            super().__init__(listeners)
            started.append(self)

    def stalling(dial: Any, *arguments: Any, **keywords: Any) -> Any:
        if next(stalls, False):
            os.kill(started[-1].pid, signal.SIGSTOP)
            threading.Timer(0.15, os.kill, (started[-1].pid, signal.SIGCONT)).start()
        return probe(dial, *arguments, **keywords)

    probe = measure.probe
    monkeypatch.setattr(watch, "Responders", Stalled)
    monkeypatch.setattr(measure, "probe", stalling)
    result = verify.verify(shop())
    assert [check.agreed for check in result.checks if check.agreed is not True] == []
    assert result.measurement is not None
    assert result.measurement.observations[0].attempts > 1 and not result.measurement.observations[0].late
