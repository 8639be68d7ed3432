"""Command lines of iptables as a topology takes them."""

from __future__ import annotations

import pytest

from sim.checks.firewall import check_rule_line, needs_engine
from sim.errors import SpecError
from sim.spec import Firewall


@pytest.mark.parametrize("written", [
    "-A INPUT -p tcp --dport 22 -j ACCEPT", "iptables -A INPUT -p tcp --dport 22 -j ACCEPT",
    "sudo iptables  -A INPUT -p tcp --dport 22   -j ACCEPT",
])
def test_a_line_is_taken_with_and_without_the_word_iptables(written: str) -> None:
    assert check_rule_line(written) == "-A INPUT -p tcp --dport 22 -j ACCEPT"


def test_a_comment_in_quotes_stays_one_word() -> None:
    line = check_rule_line('-A INPUT -m comment --comment "the web, $(reboot)" -j ACCEPT')
    assert line == "-A INPUT -m comment --comment 'the web, $(reboot)' -j ACCEPT"
    assert check_rule_line(line) == line


@pytest.mark.parametrize(("written", "problem"), [
    ("-A INPUT --modprobe=/tmp/x -j DROP", "runs a program"),
    ("-A INPUT --mod /tmp/x -j DROP", "runs a program"),
    ("-A INPUT -M/tmp/x -j DROP", "runs a program"),
    ("-L INPUT", "changes nothing"),
    ("ufw deny 9200", "ufw is not modelled"),
    ("ip6tables -A INPUT -j DROP", "ip6tables is not modelled"),
    (":INPUT DROP", "no command line"),
    ("deny 9200", "no command line"),
    ("-j DROP", "says not what to do"),
    ("-A INPUT -m comment --comment 'open", "a quote is not closed"),
    ("", "no command line"),
])
def test_what_is_no_change_of_a_rule_is_refused(written: str, problem: str) -> None:
    with pytest.raises(SpecError, match=problem):
        check_rule_line(written)


def test_rules_of_the_engines_chains_wait_for_the_engine_and_the_others_stand_before_it() -> None:
    lines = ["-P INPUT DROP", "-I DOCKER-USER -j DROP", "-A FORWARD -j DOCKER", "-t nat -A POSTROUTING -j MASQUERADE"]
    firewall = Firewall.of(lines)
    assert firewall.before == (lines[0], lines[3])
    assert firewall.after == (lines[1], lines[2])
    assert not needs_engine("-A INPUT -m comment --comment 'DOCKER is near' -j DROP")


def test_a_rule_of_docker_user_can_not_stand_before_the_engine() -> None:
    with pytest.raises(SpecError, match="can't stand before the engine"):
        Firewall(before=("-A DOCKER-USER -j DROP",))
