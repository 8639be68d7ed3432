"""Where a process listens: on every address of its namespace or on one, and who has a port that several could have."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sim.build import topology
from sim.compose import loads
from sim.errors import SpecError
from sim.predict import Prediction, predict
from sim.spec import Listener
from sim.trace import DropReason, Outcome

GLUETUN = """
name: arr
services:
  vpn: {image: busybox, ports: ["8989:8989", "9117:9117"]}
  sonarr: {image: busybox, network_mode: "service:vpn", x-hopcast: {listens: [8989]}}
  jackett: {image: busybox, network_mode: "service:vpn", x-hopcast: {listens: [9117]}}
"""


def forecast(text: str, *questions: str) -> Prediction:
    return predict(loads(f"{text}\nx-hopcast: {{questions: {list(questions)}}}", environment={}))


def outcomes(found: Prediction) -> list[tuple[Outcome, str]]:
    return [(answer.outcome, answer.served_by) for answer in found.answers]


def test_a_process_on_loopback_is_reached_from_its_own_namespace_alone() -> None:
    found = predict(
        topology()
        .network("front")
        .container("web", networks=["front"], listens=["127.0.0.1:80", "127.0.0.1:53/udp", 81])
        .container("asker", networks=["front"])
        .ask("asker -> web:80").ask("asker -> web:53/udp").ask("web -> 127.0.0.1:80").ask("asker -> web:81")
        .spec()
    )
    assert [answer.outcome for answer in found.answers] == [
        Outcome.REFUSED, Outcome.REFUSED, Outcome.REACHED, Outcome.REACHED]
    said = [step.detail for step in found.traces[0] if step.reason is DropReason.NO_SOCKET]
    assert said == ["port 80 is listened on at 127.0.0.1 only"]


def test_docker_proxy_and_dnat_reach_no_process_on_the_containers_loopback() -> None:
    text = """services: {web: {image: busybox, ports: ["8080:80"], x-hopcast: {listens: ["127.0.0.1:80"]}}}"""
    found = forecast(text, "client -> web:80 published", "host -> 127.0.0.1:8080")
    assert [answer.outcome for answer in found.answers] == [Outcome.REFUSED, Outcome.RESET]


def test_a_program_of_the_host_on_loopback_is_out_of_reach_of_host_docker_internal() -> None:
    text = """
services:
  web: {image: busybox, extra_hosts: ["host.docker.internal:host-gateway"]}
  everywhere: {image: busybox, network_mode: host, x-hopcast: {listens: [5000]}}
  loopback: {image: busybox, network_mode: host, x-hopcast: {listens: ["127.0.0.1:5001"]}}"""
    found = forecast(text, "web -> host.docker.internal:5000 by name", "web -> host.docker.internal:5001 by name",
                     "host -> 127.0.0.1:5001")
    assert [answer.outcome for answer in found.answers] == [Outcome.REACHED, Outcome.REFUSED, Outcome.REACHED]


def test_containers_of_one_namespace_have_ports_of_their_own_and_its_owner_publishes_them() -> None:
    found = forecast(GLUETUN, "sonarr -> localhost:9117 by name", "client -> vpn:9117 published",
                     "client -> jackett:9117", "client -> vpn:8989")
    assert outcomes(found) == [(Outcome.REACHED, "arr-jackett-1")] * 3 + [(Outcome.REACHED, "arr-sonarr-1")]
    assert str(found.questions[2]) == "client -> arr-jackett-1:9117 tcp (published)"


def test_who_says_that_he_listens_has_the_port_before_the_owner_of_the_namespace() -> None:
    spec = loads(GLUETUN, environment={})
    assert {box.service: [listener.port for listener in box.listens] for box in spec.containers} == {
        "vpn": [], "sonarr": [8989], "jackett": [9117]}
    assert any("arr-sonarr-1, which listens on 8989/tcp already" in note for note in spec.notes)


def test_two_who_say_so_share_a_port_of_one_namespace_only_at_different_addresses() -> None:
    text = """services:
  a: {image: busybox, x-hopcast: {listens: ["127.0.0.1:80"]}}
  b: {image: busybox, network_mode: "service:a", x-hopcast: {listens: ["%s"]}}"""
    assert loads(text % "127.0.0.2:80", environment={}).containers[1].listens[0].address == "127.0.0.2"
    for taken in ("80", "127.0.0.1:80", "0.0.0.0:80"):
        with pytest.raises(SpecError, match="is in use by hopcast-a-1"):
            loads(text % taken, environment={})


@pytest.mark.parametrize("said", ["80", "0.0.0.0:80", "*:80", "[::]:80"])
def test_a_socket_on_all_addresses_may_be_written_in_every_usual_way(said: str) -> None:
    spec = loads(f"services: {{a: {{image: busybox, x-hopcast: {{listens: ['{said}']}}}}}}", environment={})
    assert spec.containers[0].listens == (Listener(port=80),)


@pytest.mark.parametrize(
    ("said", "why"),
    [
        ("[::1]:80", "listens on IPv6 alone"), ("::1:80", "listens on IPv6 alone"), ("localhost:80", "127.0.0.1:80"),
        ("127.0.0.300:80", "not an IPv4 address"), ("127.0.0.1:", "is no port"), ("eth0:80", "not an IPv4 address"),
    ],
)
def test_an_address_that_nobody_could_listen_on_is_refused(said: str, why: str) -> None:
    with pytest.raises(SpecError, match=why):
        loads(f"services: {{a: {{image: busybox, x-hopcast: {{listens: ['{said}']}}}}}}", environment={})


def test_expose_and_ports_have_no_address_to_listen_on() -> None:
    with pytest.raises(SpecError, match="is no port"):
        loads("services: {a: {image: busybox, expose: ['127.0.0.1:80']}}", environment={})


def test_nobody_can_bind_an_address_that_the_namespace_has_not() -> None:
    spec = topology().container("web", listens=["172.17.0.9:80"]).ask("web -> 127.0.0.1:80").spec()
    with pytest.raises(SpecError, match=r"listens on 172.17.0.9:80/tcp, and web has no such address") as caught:
        predict(spec)
    assert (caught.value.where, caught.value.mend) == ("container web", "it has 127.0.0.1, 172.17.0.2")


def test_a_published_port_can_be_held_beside_a_program_that_listens_on_another_address() -> None:
    text = """services:
  a: {image: busybox, network_mode: host, x-hopcast: {listens: ["127.0.0.1:80"]}}
  b: {image: busybox, depends_on: [a], ports: ["192.168.99.101:80:80"]}"""
    found = forecast(text, "host -> 127.0.0.1:80", "client -> b:80")
    assert outcomes(found) == [(Outcome.REACHED, "hopcast-a-1"), (Outcome.REACHED, "hopcast-b-1")]


LISTENERS = st.builds(
    Listener, port=st.sampled_from([80, 81]), protocol=st.sampled_from(["tcp", "udp"]),
    address=st.sampled_from(["0.0.0.0", "127.0.0.1", "127.0.0.2"]))


@given(LISTENERS, LISTENERS)
def test_a_clash_is_the_same_from_both_sides_and_with_itself_always(one: Listener, other: Listener) -> None:
    assert one.clashes(other) == other.clashes(one)
    assert one.clashes(one)
