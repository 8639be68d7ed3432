"""The whole of it on real engines: the article's networks and macvlan's modes, every level, in time."""

from __future__ import annotations

from pathlib import Path

import pytest

import experiments
from experiments.demo import scenario
from experiments.verify import Verification, verify
from live import doctor
from sim.build import topology
from sim.compose import load
from sim.spec import Spec

pytestmark = pytest.mark.live
LIMIT = 60.0


def agreed(spec: Spec) -> Verification:
    """The verification of a Spec in which all agreed; skipped where no lab can run."""
    report = doctor.examine()
    if not report.can_run_lab:
        pytest.skip(report.why_not)
    result = verify(spec)
    differing = [f"{c.level}: {c.subject}: at {c.where} predicted {c.predicted}, seen {c.observed}\n{c.detail}"
                 for c in result.checks if c.agreed is not True]
    assert not differing, "\n".join(differing)
    return result


def test_the_articles_single_host_networks_behave_as_predicted_on_a_real_engine() -> None:
    result = agreed(scenario("single-host"))
    assert len(result.answers) >= 25
    assert result.seconds["all"] < LIMIT, result.seconds


def test_every_mode_of_macvlan_behaves_as_predicted_on_five_real_engines() -> None:
    if any(item.name == "macvlan" and not item.ok for item in doctor.examine().items):
        pytest.skip("the kernel lacks macvlan")
    spec = load(Path(experiments.__path__[0], "scenarios", "macvlan_modes.yaml"))
    result = agreed(spec)
    assert {question.group for question in spec.questions} == {"bridge", "private", "vepa", "passthru", "internal"}
    assert result.seconds["all"] < 2 * LIMIT, result.seconds


def test_settings_names_and_held_ports_do_on_a_real_engine_what_is_predicted() -> None:
    spec = (
        topology("settings")
        .host("host", iptables=False, userland_proxy=False)
        .network("a").network("b")
        .container("quiet", networks=["a"], listens=[80], sysctls={"net.ipv4.icmp_echo_ignore_all": "1"})
        .container("short", networks=["a", "b"], hostname="me", domainname="corp.example", listens=["53/udp"],
                   ports=["8080:80"], sysctls={"net.ipv4.ip_default_ttl": "1", "net.ipv4.conf.eth1.rp_filter": "1"})
        .container("deaf", networks=["b"], sysctls={"net.ipv4.conf.all.arp_ignore": "8"})
        .container("asker", networks=["a", "b"], extra_hosts=["Two:172.18.0.2", "two:172.18.0.3"], dns=["172.18.0.3"])
        .ask("asker -> quiet ping by name")
        .ask("asker -> quiet:80 by name")
        .ask("asker -> short ping by name")
        .ask("short -> client ping")
        .ask("short -> me.corp.example ping by name")
        .ask("asker -> deaf ping by name")
        .ask("asker -> two:80 by name")
        .ask("asker -> example.org ping by name")
        .ask("client -> short:80 published")
        .ask("host -> 0.0.0.0:8080")
        .spec()
    )
    assert len(agreed(spec).answers) == 10
