"""Rule for rule, line for line; and answers with their kind of failure."""

from __future__ import annotations

import copy

import pytest

from experiments.compare import Check, Totals, compare_answer, compare_plumbing, not_made
from sim.plumbing import Interface, Namespace, Plumbing, Route
from sim.trace import Answer, Outcome

RULES = [
    ":PREROUTING ACCEPT", ":DOCKER - ",
    "-A DOCKER -i docker0 -j RETURN",
    "-A DOCKER ! -i docker0 -p tcp -m tcp --dport 8080 -j DNAT --to-destination 172.17.0.2:80",
]


def dns_rules(tcp: int, udp: int) -> list[str]:
    return [
        f"-A DOCKER_OUTPUT -d 127.0.0.11/32 -p tcp -m tcp --dport 53 -j DNAT --to-destination 127.0.0.11:{tcp}",
        f"-A DOCKER_OUTPUT -d 127.0.0.11/32 -p udp -m udp --dport 53 -j DNAT --to-destination 127.0.0.11:{udp}",
        f"-A DOCKER_POSTROUTING -s 127.0.0.11/32 -p tcp -m tcp --sport {tcp} -j SNAT --to-source :53",
        f"-A DOCKER_POSTROUTING -s 127.0.0.11/32 -p udp -m udp --sport {udp} -j SNAT --to-source :53",
    ]


def plumbing() -> Plumbing:
    host = Namespace(
        "host",
        {"lo": Interface("lo", "loopback", addresses=("127.0.0.1/8",), mtu=65536),
         "docker0": Interface("docker0", "bridge", "mac(host:docker0)", ("172.17.0.1/16",)),
         "veth(web@bridge)": Interface("veth(web@bridge)", "veth", "mac(host:veth(web@bridge))", master="docker0")},
        [Route("172.17.0.0/16", "docker0", src="172.17.0.1")], {"nat": list(RULES)}, [("tcp", "0.0.0.0", 8080)])
    web = Namespace("web", {"eth0": Interface("eth0", "veth", "02:42:ac:11:00:02", ("172.17.0.2/16",))},
                    [Route("default", "eth0", via="172.17.0.1")], {"nat": dns_rules(40001, 50001)},
                    nameservers=["127.0.0.11"])
    return Plumbing({"host": host, "web": web}, ["Published ports are discarded when using host network mode"])


def disagreeing(observed: Plumbing) -> list[Check]:
    return [c for c in compare_plumbing(plumbing(), observed) if not c.agreed]


def test_the_same_plumbing_agrees_facet_by_facet() -> None:
    checks = compare_plumbing(plumbing(), plumbing())
    assert all(c.agreed for c in checks)
    assert {c.subject for c in checks} >= {
        "host: addresses", "host: bridge members", "host: iptables nat", "host: listeners", "web: MAC addresses",
        "web: routes", "web: nameservers", "engine: warnings"}
    assert "host: nameservers" not in {c.subject for c in checks}, "nothing on either side is no check"


def test_a_swapped_rule_is_shown_as_a_diff() -> None:
    seen = plumbing()
    rules = seen.namespaces["host"].rules["nat"]
    rules[2], rules[3] = rules[3], rules[2]
    (check,) = disagreeing(seen)
    assert (check.subject, check.where) == ("host: iptables nat", "host")
    assert "--- predicted" in check.detail and "+++ observed" in check.detail
    assert "-A DOCKER" in check.predicted


def test_a_missing_rule_and_an_unpredicted_table_are_found() -> None:
    seen = plumbing()
    del seen.namespaces["host"].rules["nat"][3]
    seen.namespaces["host"].rules["raw"] = [":PREROUTING ACCEPT"]
    assert {c.subject for c in disagreeing(seen)} == {"host: iptables nat", "host: iptables raw"}
    nat = next(c for c in disagreeing(seen) if c.subject == "host: iptables nat")
    assert (nat.predicted, nat.observed) == (RULES[3], "nothing")


def test_the_embedded_name_servers_random_ports_may_differ() -> None:
    seen = plumbing()
    seen.namespaces["web"].rules["nat"] = dns_rules(33333, 44444)
    assert not disagreeing(seen)


def test_the_embedded_name_servers_ports_must_still_fit_together() -> None:
    seen = plumbing()
    seen.namespaces["web"].rules["nat"] = [*dns_rules(33333, 44444)[:2], *dns_rules(44444, 33333)[2:]]
    assert [c.subject for c in disagreeing(seen)] == ["web: iptables nat"]


def test_a_published_port_of_the_ephemeral_range_is_compared() -> None:
    mine, seen = plumbing(), plumbing()
    for side, port in ((mine, 49153), (seen, 49154)):
        side.namespaces["host"].rules["nat"][3] = RULES[3].replace("8080", str(port))
    assert [c.subject for c in compare_plumbing(mine, seen) if not c.agreed] == ["host: iptables nat"]


@pytest.mark.parametrize(("facet", "change"), [
    ("addresses", {"addresses": ("172.17.0.3/16",)}), ("MAC addresses", {"mac": "02:42:ac:11:00:03"}),
    ("links", {"mtu": 1450}), ("links", {"up": False}), ("links", {"kind": "macvlan"}),
    ("bridge members", {"master": "br0"}),
])
def test_every_property_of_an_interface_counts(facet: str, change: dict[str, object]) -> None:
    seen = plumbing()
    old = seen.namespaces["web"].interfaces["eth0"]
    fields = {name: getattr(old, name) for name in ("name", "kind", "mac", "addresses", "mtu", "master", "up")}
    seen.namespaces["web"].interfaces["eth0"] = Interface(**(fields | change))
    assert [c.subject for c in disagreeing(seen)] == [f"web: {facet}"]


def test_routes_listeners_nameservers_and_warnings_count() -> None:
    seen = plumbing()
    seen.namespaces["web"].routes = []
    seen.namespaces["host"].listeners = [("tcp", "127.0.0.1", 8080)]
    seen.namespaces["web"].nameservers = ["8.8.8.8"]
    seen.warnings = []
    assert {c.subject for c in disagreeing(seen)} == {
        "web: routes", "host: listeners", "web: nameservers", "engine: warnings"}


def test_the_order_of_routes_does_not_matter_but_that_of_nameservers_does() -> None:
    mine = plumbing()
    mine.namespaces["web"].routes.append(Route("10.0.0.0/8", "eth0"))
    mine.namespaces["web"].nameservers = ["1.1.1.1", "2.2.2.2"]
    seen = copy.deepcopy(mine)
    seen.namespaces["web"].routes.reverse()
    seen.namespaces["web"].nameservers.reverse()
    assert [c.subject for c in compare_plumbing(mine, seen) if not c.agreed] == ["web: nameservers"]


def test_a_namespace_on_one_side_only_disagrees() -> None:
    seen = plumbing()
    del seen.namespaces["web"]
    (check,) = disagreeing(seen)
    assert (check.subject, check.predicted, check.observed) == ("web: namespace", "there", "absent")


# answers

REACHED = Answer(Outcome.REACHED, "172.18.0.2", "web", "172.18.0.3", rtt=0.001)


@pytest.mark.parametrize("seen", [
    Answer(Outcome.TIMEOUT, "172.18.0.2"), Answer(Outcome.REACHED, "172.18.0.4", "web", "172.18.0.3"),
    Answer(Outcome.REACHED, "172.18.0.2", "other", "172.18.0.3"),
    Answer(Outcome.REACHED, "172.18.0.2", "web", "172.18.0.1"),
])
def test_another_answer_disagrees(seen: Answer) -> None:
    check = compare_answer(REACHED, seen, "a -> web")
    assert check.agreed is False
    assert "predicted" in check.detail and "seen" in check.detail


def test_another_kind_of_failure_disagrees() -> None:
    kinds = [o for o in Outcome if o is not Outcome.REACHED]
    for mine in kinds:
        for other in kinds:
            check = compare_answer(Answer(mine), Answer(other))
            assert check.agreed is (mine is other)


def test_round_trip_time_and_explanation_are_not_compared() -> None:
    seen = Answer(Outcome.REACHED, "172.18.0.2", "web", "172.18.0.3", rtt=0.9, detail="slow")
    assert compare_answer(REACHED, seen).agreed is True


def test_totals_count_only_checks_that_were_made() -> None:
    checks = (compare_answer(REACHED, REACHED), compare_answer(REACHED, Answer(Outcome.TIMEOUT)),
              not_made("path", "x", "3 frames", "no root"))
    totals = Totals(checks)
    assert (totals.of().checked, totals.of().agreed, totals.of().disagreed, totals.of().not_made) == (2, 1, 1, 1)
    assert totals.of("path").checked == 0
    assert totals.as_dict()["all"] == {"checked": 2, "agreed": 1, "disagreed": 1, "not_made": 1}
