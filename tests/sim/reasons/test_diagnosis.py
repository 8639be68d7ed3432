"""No failed answer is without a reason, and what was reached has none."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sim import compose
from sim.errors import HopcastError
from sim.packet import Arp, Icmp, IPv4, Packet, ip
from sim.predict import Prediction, predict
from sim.reasons import decided, in_words
from sim.reasons.case import Case, end_of
from sim.reasons.diagnosis import CAUSES, because
from sim.reasons.facts import Facts, listed
from sim.spec import Dial, Question, Spec
from sim.trace import Answer, DropReason, Kind, Outcome, Step, Trace
from sim.world import build

SCENARIOS = sorted((Path(__file__).parents[3] / "experiments" / "scenarios").glob("*.yaml"))


def packet() -> Packet:
    return Packet(ip=IPv4(ip("192.168.99.200"), ip("192.168.99.101"), 1), l4=Icmp(8, 0, 1, 1))


def without(prediction: Prediction) -> list[str]:
    """Questions whose reason says nothing although they fail, or something although they don't."""
    return [f"{question}: {[answer.outcome.value for answer in ended]}: {said!r}"
            for index, (question, said) in enumerate(zip(prediction.questions, prediction.reasons, strict=True))
            if (ended := [answer for answer, _ in prediction.ways(index)])
            and bool(said.strip()) is all(answer.outcome is Outcome.REACHED for answer in ended)]


@pytest.mark.parametrize("path", SCENARIOS, ids=lambda path: path.stem)
def test_no_failure_of_a_scenario_is_without_a_reason(path: Path) -> None:
    prediction = predict(compose.load(path, environment={}))
    assert not without(prediction)
    assert not [said for said in prediction.reasons if "\n" in said or "  " in said]


NETWORKS = ("front", "back", "lan", "quiet", "over")
MODES = ("bridge", "host", "none")


@st.composite
def files(draw: st.DrawFn) -> str:
    """Compose files of a few services on all kinds of networks, with options that break things, and questions."""
    names = ["a", "b", "c", "d"][: draw(st.integers(2, 4))]
    lines = ["services:"]
    for name in names:
        keys = ["image: busybox"]
        if draw(st.booleans()):
            keys.append(f"networks: [{', '.join(draw(st.lists(st.sampled_from(NETWORKS), min_size=1, unique=True)))}]")
        else:
            keys.append(f"network_mode: {draw(st.sampled_from(MODES))}")
        if draw(st.booleans()):
            where = draw(st.sampled_from(["", "127.0.0.1:"]))
            keys.append(f'ports: ["{where}80{names.index(name)}0:{draw(st.sampled_from([80, 81]))}"]')
        keys.append(f"x-hopcast: {{listens: [80], host: {draw(st.sampled_from(['h1', 'h2']))}}}")
        lines.append(f"  {name}: {{{', '.join(keys)}}}")
    subnet = draw(st.sampled_from(["10.5.0.0/16", "192.168.99.128/25"]))
    engine = draw(st.sampled_from(["", "iptables: false", "userland-proxy: false", "icc: false", "ip-masq: false"]))
    mtu = draw(st.sampled_from([1500, 1400]))
    sources = [*names, "h1", "client"]
    targets = [*names, "h2", "client", "192.168.99.77", "nobody.example", "10.5.0.9"]
    asked = []
    for _ in range(draw(st.integers(1, 8))):
        source, target = draw(st.sampled_from(sources)), draw(st.sampled_from(targets))
        hows = [":80", ":443", ":80/udp", " ping", ":8000", *([":80 published"] if target in names else [])]
        how = draw(st.sampled_from(hows))
        moment = draw(st.sampled_from(["", "", " during cut", " during crash", " after crash"]))
        by = " by name" if target in names and "published" not in how and draw(st.booleans()) else ""
        asked.append(f'    - "{source} -> {target}{how}{by}{moment}"')
    return "\n".join([
        *lines, "networks:", f"  front: {{ipam: {{config: [{{subnet: {subnet}}}]}}}}", "  back: {internal: true}",
        "  lan: {driver: macvlan, driver_opts: {parent: eth0}, ipam: {config: [{subnet: 192.168.99.0/25}]}}",
        '  quiet: {driver_opts: {com.docker.network.bridge.enable_icc: "false"}}',
        f"  over: {{driver: {draw(st.sampled_from(['bridge', 'overlay']))}, attachable: true}}",
        "x-hopcast:", f"  hosts: {{h1: {{engine: {{{engine}}}}}, h2: {{link: {{mtu: {mtu}}}}}}}",
        "  faults: {cut: link down h2, crash: engine killed h1}", "  questions:", *asked, ""])


@settings(max_examples=60, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(files())
def test_no_failure_of_a_drawn_file_is_without_a_reason(text: str) -> None:
    try:
        prediction = predict(compose.loads(text, environment={}))
    except HopcastError:
        return  # refused: that is an answer in words as well
    assert not without(prediction)


def case_of(answer: Answer, *steps: Step) -> Case:
    world = build(Spec())
    return Case(Facts(world), Question(source="client", target="192.168.99.101"),
                Dial(source="client", probe="ping", address="192.168.99.101"), answer, Trace(list(steps)))


def ends() -> Iterator[tuple[Outcome, DropReason | None]]:
    for outcome in Outcome:
        if outcome is not Outcome.REACHED:
            yield outcome, None
            yield from ((outcome, reason) for reason in DropReason)


@pytest.mark.parametrize(("outcome", "reason"), list(ends()))
def test_every_outcome_has_a_reason_whatever_ended_the_packet(outcome: Outcome, reason: DropReason | None) -> None:
    for lost in (packet(), Packet(arp=Arp(1, "a", 1, "b", 2))):
        steps = [Step(Kind.DROP, "host", "eth0", lost, "filter INPUT: -j DROP", reason=reason)] if reason else []
        assert because(case_of(Answer(outcome, "192.168.99.101"), *steps)).strip()


def test_every_cause_is_for_an_end_that_packets_have() -> None:
    assert set(CAUSES) <= set(DropReason)


def test_a_frame_for_somebody_else_decides_nothing() -> None:
    trace = Trace([Step(Kind.DROP, "other", "eth0", packet(), reason=DropReason.NOT_FOR_US)])
    assert decided(Answer(Outcome.TIMEOUT), trace) is None


def test_of_several_ends_the_one_decides_that_brings_the_outcome_about() -> None:
    first = Step(Kind.DROP, "a", "", packet(), "nobody listens on port 9", reason=DropReason.NO_SOCKET)
    last = Step(Kind.DROP, "b", "", packet(), "a rule", reason=DropReason.RULE)
    assert decided(Answer(Outcome.REFUSED), Trace([first, last])) is first
    assert decided(Answer(Outcome.TIMEOUT), Trace([first, last])) is last


def test_a_drop_without_a_cause_behind_it_is_told_in_its_own_words() -> None:
    step = Step(Kind.DROP, "host", "eth0", packet(), "no room in the queue of eth0", reason=DropReason.QUEUE_FULL)
    assert end_of(case_of(Answer(Outcome.TIMEOUT), step)) == f"host:eth0: {in_words(step)}"


def test_a_list_of_many_is_cut_and_counted() -> None:
    assert [listed("abcdef"[:count]) for count in (0, 1, 2, 4, 6)] == [
        "", "a", "a and b", "a, b, c and d", "a, b, c and 3 more"]
