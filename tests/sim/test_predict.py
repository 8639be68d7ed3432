"""Forecasts where something is drawn on the way: every way is predicted."""

from __future__ import annotations

import pytest

from sim.build import topology
from sim.compose import loads
from sim.errors import SpecError
from sim.kernel.draws import Draws
from sim.predict import predict
from sim.trace import Outcome


def test_a_name_that_two_containers_share_leads_to_either_of_them() -> None:
    spec = (
        topology()
        .network("front")
        .container("one", networks={"front": {"aliases": ["web"]}}, listens=[80])
        .container("two", networks={"front": {"aliases": ["web"]}}, listens=[80])
        .container("asker", networks=["front"])
        .ask("asker -> web:80 tcp by name")
        .ask("asker -> one:80 tcp by name")
        .spec()
    )
    prediction = predict(spec)
    assert {answer.served_by for answer, _ in prediction.ways(0)} == {"one", "two"}
    assert [answer.served_by for answer, _ in prediction.ways(1)] == ["one"]
    assert all(answer.outcome is Outcome.REACHED for index in (0, 1) for answer, _ in prediction.ways(index))


def test_the_ways_of_several_draws_are_all_their_combinations() -> None:
    seen: set[tuple[int, int]] = set()
    wanted: list[int] | None = []
    while wanted is not None:
        draws = Draws(wanted)
        first = draws.draw(2)
        seen.add((first, draws.draw(3) if first else 7))
        assert draws.draw(1) == 0
        wanted = draws.next()
    assert seen == {(0, 7), (1, 0), (1, 1), (1, 2)}


def test_a_container_on_the_hosts_network_has_resolver_files_of_its_own() -> None:
    spec = (
        topology()
        .client("client", listens=[80])
        .container("own", mode="host", dns=["192.168.99.200"], extra_hosts=["db:192.168.99.200", "me:host-gateway"])
        .container("plain", mode="host")
        .container("beside", mode="container:own")
        .ask("own -> db:80 by name")
        .ask("own -> me ping by name")
        .ask("own -> example.org ping by name")
        .ask("plain -> db:80 by name")
        .ask("beside -> db:80 by name")
        .spec()
    )
    found = [(answer.outcome, answer.address) for answer in predict(spec).answers]
    assert found == [
        (Outcome.REACHED, "192.168.99.200"), (Outcome.REACHED, "172.17.0.1"), (Outcome.NAME_UNANSWERED, ""),
        (Outcome.NO_SUCH_NAME, ""), (Outcome.REACHED, "192.168.99.200"),
    ]


def test_a_containers_own_name_leads_to_any_of_its_addresses() -> None:
    spec = (
        topology()
        .network("a").network("b")
        .container("box", networks=["a", "b"], hostname="me", domainname="corp.example")
        .ask("box -> me ping by name")
        .ask("box -> me.corp.example ping by name")
        .spec()
    )
    prediction = predict(spec)
    for index in (0, 1):
        assert {answer.address for answer, _ in prediction.ways(index)} == {"172.18.0.2", "172.19.0.2"}


def test_without_docker_proxy_and_rules_a_published_port_connects_and_stays_silent() -> None:
    spec = (
        topology()
        .host("host", iptables=False, userland_proxy=False)
        .container("web", ports=["8080:80"])
        .ask("client -> web:80 published")
        .ask("host -> 127.0.0.1:8080")
        .spec()
    )
    prediction = predict(spec)
    assert [answer.outcome for answer in prediction.answers] == [Outcome.TIMEOUT, Outcome.TIMEOUT]
    said = prediction.plumbing.inspected["host"]
    assert "network bridge: option com.docker.network.bridge.enable_ip_masquerade=false" in said


def test_a_macvlan_container_with_the_address_of_a_machine_of_the_lan_is_not_reached_by_others() -> None:
    spec = (
        topology()
        .client("nas", address="192.168.99.2/24", listens=[80])
        .client("laptop", address="192.168.99.200/24")
        .network("lan", driver="macvlan", subnet="192.168.99.0/24", gateway="192.168.99.1",
                 options={"parent": "eth0"})
        .container("box", networks=["lan"], listens=[80])
        .ask("laptop -> box:80")
        .ask("box -> laptop ping by ip")
        .spec()
    )
    prediction = predict(spec)
    answers, trace = prediction.answers, prediction.traces[0]
    assert (answers[0].outcome, answers[0].served_by) == (Outcome.REACHED, "nas")
    assert answers[1].outcome is Outcome.REACHED
    heard = next(s.at for s in trace if s.point == "laptop:eth0" and "is-at mac(nas:eth0)" in str(s.packet))
    told = next(s.at for s in trace if s.point == "box:eth0" and "is-at" in str(s.packet))
    assert heard < told


@pytest.mark.parametrize(
    ("line", "what"),
    [
        ("box -> 224.0.0.251:5353/udp", "224.0.0.251 is a multicast address, and multicast is not modelled"),
        ("box -> 239.1.2.3 ping", "239.1.2.3 is a multicast address"),
        ("client -> 192.168.99.255:9/udp", "192.168.99.255 is a broadcast address of client"),
        ("box -> 172.18.255.255 ping", "172.18.255.255 is a broadcast address of box"),
        ("box -> 255.255.255.255:67/udp", "255.255.255.255 is a broadcast address of box"),
        ("box -> all:9/udp by name", "172.18.255.255 is a broadcast address of box"),
    ],
)
def test_a_question_to_many_machines_at_once_is_refused_by_name(line: str, what: str) -> None:
    spec = (topology().network("a").container("box", networks=["a"], extra_hosts=["all:172.18.255.255"])
            .ask(line).spec())
    with pytest.raises(SpecError, match=what.replace(".", r"\.")) as error:
        predict(spec)
    assert str(error.value).startswith(f"question {line.partition(' ')[0]} -> ")


def test_a_broadcast_of_a_subnet_elsewhere_ends_at_the_host_that_is_on_it_and_nobody_answers() -> None:
    spec = (
        topology().network("a").client("client", routes=["172.16.0.0/12 via 192.168.99.101"])
        .container("box", networks=["a"], listens=["9/udp", 80])
        .ask("client -> 172.18.255.255:9/udp").ask("client -> 172.18.255.255:80").ask("client -> 172.18.255.255 ping")
        .spec()
    )
    assert [answer.outcome for answer in predict(spec).answers] == [Outcome.TIMEOUT] * 3


def test_a_service_that_joins_a_network_by_its_mode_is_known_by_its_containers_name_alone() -> None:
    spec = loads("""
name: shop
services: {web: {image: nginx, networks: [front]}, job: {image: busybox, network_mode: shop_front}}
networks: {front: }
x-hopcast: {questions: [job -> web:80 by name, web -> shop-job-1 ping by name, web -> job ping by name]}
""", environment={})
    assert [answer.outcome for answer in predict(spec).answers] == [
        Outcome.REACHED, Outcome.REACHED, Outcome.NO_SUCH_NAME]
