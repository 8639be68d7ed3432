"""Cables that differ from machine to machine: what the Spec says of them, and what follows for packets."""

from __future__ import annotations

from pathlib import Path

import pytest

from experiments import verify as verification
from sim import compose
from sim.predict import predict, undisturbed
from sim.spec import Client, Container, Host, Link, Listener, PublishedPort, Question, Spec, Underlay
from sim.trace import Kind

SCENARIOS = Path(verification.__file__).parent / "scenarios"


def spec(*questions: Question, link: Link, underlay: Underlay = Underlay()) -> Spec:  # noqa: B008 (frozen)
    web = Container(name="web", mode="bridge", ports=(PublishedPort(container_port=80, host_port=8080),),
                    listens=(Listener(port=80),))
    return Spec(hosts=(Host(link=link),), clients=(Client(),), underlay=underlay, containers=(web,),
                questions=questions)


def ping(source: str, target: str, size: int = 56, *, df: bool = False) -> Question:
    return Question(source=source, target=target, size=size, df=df)


def outcomes(given: Spec) -> list[str]:
    return [answer.outcome.value for answer in predict(given).answers]


def test_a_link_says_what_differs_and_the_underlay_the_rest() -> None:
    given = spec(link=Link(mtu=1400, loss=0), underlay=Underlay(mtu=9000, delay=0.001, loss=0.1))
    host, client = given.link_of("host"), given.link_of("client")
    assert (host.mtu, host.delay, host.loss) == (1400, 0.001, 0)
    assert (client.mtu, client.delay, client.loss) == (9000, 0.001, 0.1)
    assert given.link_of("@dns") == client


def test_a_frame_is_on_its_way_for_both_cables_delays() -> None:
    given = spec(ping("client", "host"), link=Link(delay=0.02), underlay=Underlay(delay=0.005))
    assert given.flight == pytest.approx(0.025)
    rtt = predict(given).answers[0].rtt
    assert rtt is not None and 4 * given.flight < rtt < 4.1 * given.flight  # ARP there and back, and the ping


def test_a_connection_over_slow_cables_repeats_nothing() -> None:
    given = spec(Question(source="client", target="web", probe="tcp", port=80, published=True, timeout=5),
                 link=Link(delay=0.15))
    sent = [s for s in predict(given).traces[0] if s.kind is Kind.SEND and s.where == "client" and s.packet]
    segments = [s.packet.fields() for s in sent if s.packet]
    assert outcomes(given) == ["reached"]
    assert all(segments.count(segment) == 1 for segment in segments)


def test_dockers_bridges_know_nothing_of_an_uplinks_mtu_and_the_host_tells_their_containers() -> None:
    given = spec(ping("web", "client", 1372, df=True), ping("web", "client", 1472), link=Link(mtu=1400))
    assert outcomes(given) == ["reached", "message too long"]
    stands = predict(given).plumbing.namespaces
    assert (stands["host"].interfaces["eth0"].mtu, stands["web"].interfaces["eth0"].mtu) == (1400, 1500)


def test_the_switch_is_a_black_hole_for_frames_too_long_for_the_receivers_cable() -> None:
    assert outcomes(spec(ping("client", "host", 1472, df=True), link=Link(mtu=1400))) == ["timeout"]


def test_a_lossy_path_is_predicted_as_if_nothing_were_lost_and_how_probable_that_is() -> None:
    given = spec(ping("client", "host"), link=Link(loss=0.1))
    prediction = predict(given)
    # ARP's broadcast reaches the host and the name server; its answer, the ping and the pong come after it
    assert prediction.answers[0].outcome.value == "reached"
    assert undisturbed(given, prediction.traces[0]) == pytest.approx(0.9 ** 4)
    assert given.lossy and not spec(link=Link()).lossy


def test_where_everything_is_lost_nothing_is_left_to_chance() -> None:
    given = spec(Question(source="client", target="host", timeout=4), link=Link(loss=1))
    assert outcomes(given) == ["host unreachable"]
    assert undisturbed(given, predict(given).traces[0]) == 1.0 and not given.lossy


@pytest.mark.parametrize("name", ["links", "links_netem"])
def test_the_scenarios_of_links_can_be_predicted(name: str) -> None:
    given = compose.load(SCENARIOS / f"{name}.yaml", environment={})
    assert len(set(given.cables)) >= 3
    assert {"reached", "message too long" if name == "links" else "no such name"} <= set(outcomes(given))
