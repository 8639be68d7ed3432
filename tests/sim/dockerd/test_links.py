"""Links: a line of the hosts file and a way through icc=false on docker0, a name of one's own on other networks."""

from __future__ import annotations

import pytest

from sim.build import topology
from sim.compose import loads
from sim.errors import PlumbError, SpecError
from sim.plumbing import unordered
from sim.predict import Prediction, predict
from sim.trace import Outcome

DEFAULT_BRIDGE = """
name: lnk
services:
  one: {image: redis, network_mode: bridge}
  two: {image: busybox, network_mode: bridge, expose: ["81", "53/udp"], ports: ["8080:80"]}
  inside: {image: busybox, network_mode: "service:two", x-hopcast: {listens: [9000]}}
  linked:
    image: busybox
    network_mode: bridge
    links: [one, "two:web"]
    external_links: ["lnk-inside-1:in"]
    x-hopcast: {listens: [99]}
  stranger: {image: busybox, network_mode: bridge}
x-hopcast:
  hosts: {host: {engine: {icc: %s}}}
  questions: %s
"""
USER_DEFINED = """
services:
  web: {image: nginx, networks: {n: {}}}
  linked: {image: busybox, networks: {n: {}, m: {}}, links: ["web:www"], external_links: ["hopcast-web-1:Mixed"]}
  peer: {image: busybox, networks: [n]}
networks: {n: {}, m: {}}
x-hopcast: {questions: %s}
"""


def default_bridge(*questions: str, icc: str = "false") -> Prediction:
    return predict(loads(DEFAULT_BRIDGE % (icc, list(questions)), environment={}))


def outcomes(found: Prediction) -> list[str]:
    return [answer.outcome.value for answer in found.answers]


def test_what_a_linked_container_exposes_passes_a_bridge_that_forwards_nothing_else() -> None:
    found = default_bridge(
        "linked -> web:80 by name", "linked -> web:81 by name", "linked -> web:53/udp by name",
        "linked -> one:6379 by name", "linked -> in:81 by name", "linked -> in:9000 by name",
        "linked -> web ping by name",
        "two -> linked:99 by ip", "stranger -> two:80 by ip")
    assert outcomes(found) == ["reached"] * 5 + ["timeout"] * 4


def test_a_link_on_docker0_is_an_accept_there_and_one_back_after_the_published_ports() -> None:
    filters = default_bridge().plumbing.namespaces["host"].rules["filter"]
    chain = [rule for rule in filters if rule.startswith("-A DOCKER ")]
    assert [rule for rule in chain if "172.17.0.2" in rule] == [
        "-A DOCKER -s 172.17.0.4/32 -d 172.17.0.2/32 -i docker0 -o docker0 -p tcp -m tcp --dport 6379 -j ACCEPT",
        "-A DOCKER -s 172.17.0.2/32 -d 172.17.0.4/32 -i docker0 -o docker0 -p tcp -m tcp --sport 6379 -j ACCEPT",
    ]
    assert not any("--dport 9000" in rule for rule in chain)


def test_links_write_no_rule_where_the_bridge_lets_everybody_through() -> None:
    found = default_bridge("linked -> web:80 by name", "stranger -> two:81 by ip", icc="true")
    assert outcomes(found) == ["reached", "reached"]
    assert not any("--sport" in rule for rule in found.plumbing.namespaces["host"].rules["filter"])


def test_only_who_has_the_link_knows_its_names() -> None:
    found = default_bridge("linked -> one-1:6379 by name", "linked -> lnk-two-1:80 by name",
                           "stranger -> web:80 by name", "linked -> stranger ping by name")
    assert outcomes(found) == ["reached", "reached", "no such name", "no such name"]


def test_on_a_user_defined_network_a_link_is_a_name_for_one_container_letter_by_letter() -> None:
    questions = ["linked -> www:80 by name", "linked -> web-1:80 by name", "linked -> Mixed:80 by name",
                 "peer -> www:80 by name", "peer -> web:80 by name"]
    found = predict(loads(USER_DEFINED % questions, environment={}))
    assert outcomes(found) == ["reached", "reached", "reached", "no such name", "reached"]
    spec = topology().network("n").container("web", networks=["n"]).container(
        "linked", networks=["n"], links=("web:Mixed",)).ask("linked -> mixed.n ping by name").spec()
    assert predict(spec).answers[0].outcome is Outcome.NO_SUCH_NAME


def test_a_link_hides_the_name_that_the_network_has_for_somebody_else() -> None:
    spec = (topology().network("n").container("web", networks=["n"], listens=[80])
            .container("api", networks=["n"], listens=[80]).container("linked", networks=["n"], links=("api:web",))
            .container("gone", networks=["n"], links=("nobody:web",))
            .ask("linked -> web:80 by name").ask("gone -> web:80 by name").spec())
    found = predict(spec)
    assert (found.answers[0].served_by, found.answers[1].outcome) == ("api", Outcome.NO_SUCH_NAME)


def test_compose_gives_each_linked_container_three_names_and_every_replica_is_linked() -> None:
    spec = loads("services: {web: {image: nginx, scale: 2}, app: {image: busybox, links: ['web:w']}}", environment={})
    assert spec.containers[2].links == (
        "hopcast-web-1:w", "hopcast-web-1:web-1", "hopcast-web-1:hopcast-web-1",
        "hopcast-web-2:w", "hopcast-web-2:web-1", "hopcast-web-2:hopcast-web-1")


@pytest.mark.parametrize(
    ("mode", "links", "words"),
    [
        ("bridge", ("onnet:x",), "Cannot link to /onnet, as it does not belong to the default network"),
        ("bridge", ("nobody:x",), "could not get container for nobody: No such container: nobody"),
        ("bridge", ("onhost:x",), "host type networking can't be used with links"),
        ("host", ("plain:x",), "host type networking can't be used with links"),
        ("container:plain", ("plain:x",), "container type network can't be used with links"),
    ],
)
def test_links_that_the_engine_refuses_are_refused_in_its_words(mode: str, links: tuple[str, ...], words: str) -> None:
    spec = (topology().network("n").container("onnet", networks=["n"]).container("onhost", mode="host")
            .container("plain").container("linked", mode=mode, links=links).spec())
    with pytest.raises(PlumbError, match=words):
        predict(spec)


def test_a_container_of_another_project_is_refused_in_the_right_words() -> None:
    for said in ("external_links: [redis_1:db]", "network_mode: 'container:redis_1'"):
        with pytest.raises(SpecError, match=r"no container 'redis_1' in this project.*container_name: redis_1"):
            loads(f"services: {{web: {{image: busybox, {said}}}}}", environment={})


def test_the_rules_of_several_links_come_in_any_order_and_are_compared_without_one() -> None:
    rules = [f"-A DOCKER -s 172.17.0.{a}/32 -d 172.17.0.{b}/32 -i docker0 -o docker0 "
             f"-p tcp -m tcp --{side}port 80 -j ACCEPT"
             for a, b, side in ((4, 3, "d"), (3, 4, "s"), (4, 2, "d"), (2, 4, "s"))]
    assert unordered(rules) == unordered(rules[2:] + rules[:2])
    later = [rule.replace("172.17.0.4/", "172.17.0.5/") for rule in rules]
    assert unordered(rules + later) != unordered(later + rules)
