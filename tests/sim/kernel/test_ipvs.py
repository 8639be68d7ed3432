"""IPVS's services: the verbs of ipvsadm, and whose turn it is. What happens to packets is in test_ipvs_mesh.py."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sim.errors import PlumbError
from sim.kernel.draws import Draws
from sim.kernel.ipvs import Destination, Service
from sim.kernel.netns import Netns
from sim.kernel.ruleset import Ruleset
from sim.packet import ip


def balancer(*addresses: str) -> Netns:
    netns = Netns("lb")
    netns.ipvs.add_service(256)
    for address in addresses:
        netns.ipvs.add_destination(256, ip(address))
    return netns


def chosen(service: Service, draws: Draws) -> int:
    destination = service.schedule(draws)
    assert destination is not None
    return destination.address


def test_the_snapshot_names_each_destination_of_each_mark_in_the_order_of_their_addresses() -> None:
    netns = balancer("10.0.0.7", "10.0.0.6")
    netns.ipvs.update_destination(256, ip("10.0.0.7"), 0)
    netns.ipvs.add_service(257)
    assert netns.snapshot().balanced == [
        "fwmark 256 rr -> 10.0.0.6 masq weight 1", "fwmark 256 rr -> 10.0.0.7 masq weight 0", "fwmark 257 rr"]


def test_a_namespace_without_services_shows_none() -> None:
    netns = balancer("10.0.0.6")
    netns.ipvs.remove_service(256)
    assert netns.snapshot().balanced == [] == Netns("other").snapshot().balanced


@pytest.mark.parametrize(("verb", "arguments", "problem"), [
    ("add_service", (256,), "Service already exists"),
    ("add_service", (0,), "invalid fwmark"),
    ("add_service", (258, "wrr"), "the scheduler `wrr' is not modelled"),
    ("remove_service", (257,), "No such service"),
    ("add_destination", (257, 1), "No such service"),
    ("add_destination", (256, ip("10.0.0.6")), "Destination already exists"),
    ("update_destination", (256, ip("10.0.0.9"), 0), "No such destination"),
    ("remove_destination", (256, ip("10.0.0.9")), "No such destination"),
])
def test_what_ipvsadm_would_refuse_is_refused_in_its_words(
    verb: str, arguments: tuple[object, ...], problem: str
) -> None:
    with pytest.raises(PlumbError, match=problem) as refusal:
        getattr(balancer("10.0.0.6").ipvs, verb)(*arguments)
    assert "lb" in str(refusal.value)


weights = st.lists(st.integers(0, 3), min_size=1, max_size=6)


@given(weights, st.lists(st.integers(0, 5), max_size=6))
def test_round_robin_serves_each_destination_with_a_weight_once_a_turn_whatever_is_drawn(
    given_weights: list[int], wanted: list[int]
) -> None:
    service = Service(256, "rr", [Destination(n, weight) for n, weight in enumerate(given_weights)])
    able = [n for n, weight in enumerate(given_weights) if weight]
    draws = Draws([want % max(1, len(able) - at) for at, want in enumerate(wanted)])
    if not able:
        assert service.schedule(draws) is None
        return
    first, second = ([chosen(service, draws) for _ in able] for _ in range(2))
    assert sorted(first) == able and second == first
    assert len(draws.made) <= len(able)


def test_without_a_draw_round_robin_goes_on_in_the_order_in_which_destinations_were_added() -> None:
    service, draws = Service(256, "rr", [Destination(n) for n in range(3)]), Draws([1])
    assert [chosen(service, draws) for _ in range(6)] == [1, 2, 0, 1, 2, 0]


def test_the_turn_steps_back_when_the_last_one_served_is_taken_away() -> None:
    service, draws = Service(256, "rr", [Destination(n) for n in range(3)]), Draws()
    assert [chosen(service, draws) for _ in range(5)] == [0, 1, 2, 0, 1]
    service.remove(service.destinations[1])
    assert [chosen(service, draws) for _ in range(2)] == [2, 0]


def test_cold_caches_forget_connections_and_the_turn() -> None:
    netns = balancer("10.0.0.6", "10.0.0.7")
    service = netns.ipvs.services[256]
    first = service.schedule(netns.draws)
    netns.flush()
    assert service.schedule(netns.draws) is first and netns.draws.made == [(0, 2), (0, 2)]


@pytest.mark.parametrize("rule", [
    "-A POSTROUTING -d 10.0.0.0/24 -m ipvs --ipvs -j SNAT --to-source 10.0.0.2",
    "-A POSTROUTING -m ipvs ! --ipvs -j ACCEPT",
])
def test_iptables_save_prints_the_match_of_ipvs_as_it_was_given(rule: str) -> None:
    ruleset = Ruleset()
    ruleset.execute(f"-t nat {rule}")
    assert ruleset.save()["nat"][-1] == rule


@pytest.mark.parametrize(("match", "problem"), [
    ("", "IPVS: At least one option is required"),
    ("--ipvs --ipvs", 'ipvs: option "--ipvs" can only be used once'),
    ("--vaddr 10.0.0.5", "`--vaddr' of the match `ipvs' is not modelled by Hopcast"),
    ("--vip 10.0.0.5", 'unknown option "--vip"'),
])
def test_wrong_options_of_the_ipvs_match_are_refused(match: str, problem: str) -> None:
    with pytest.raises(PlumbError, match=problem):
        Ruleset().execute(f"-t nat -A POSTROUTING -m ipvs {match} -j ACCEPT")
