"""iptables in the model against its own words, and against the real iptables where that can run."""

from __future__ import annotations

import itertools
import os
import shlex
import shutil
import subprocess
from collections.abc import Callable, Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sim.errors import PlumbError
from sim.kernel.command import split
from sim.kernel.ruleset import Chain, Ruleset, Table
from sim.kernel.targets import Target

DOCKER = """
-t nat -N DOCKER
-t filter -N DOCKER
-t filter -N DOCKER-ISOLATION-STAGE-1
-t filter -N DOCKER-ISOLATION-STAGE-2
-t filter -N DOCKER-USER
--wait -t filter -A DOCKER-ISOLATION-STAGE-1 -j RETURN
--wait -t filter -A DOCKER-ISOLATION-STAGE-2 -j RETURN
--wait -t filter -A DOCKER-USER -j RETURN
--wait -t nat -I POSTROUTING -s 172.17.0.0/16 ! -o docker0 -j MASQUERADE
--wait -t nat -I DOCKER -i docker0 -j RETURN
--wait -t nat -A PREROUTING -m addrtype --dst-type LOCAL -j DOCKER
--wait -t nat -A OUTPUT -m addrtype --dst-type LOCAL -j DOCKER ! --dst 127.0.0.0/8
--wait -I FORWARD -i docker0 -o docker0 -j ACCEPT
--wait -I FORWARD -i docker0 ! -o docker0 -j ACCEPT
--wait -I FORWARD -o docker0 -j DOCKER
--wait -I FORWARD -o docker0 -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
--wait -I FORWARD -j DOCKER-ISOLATION-STAGE-1
--wait -I DOCKER-ISOLATION-STAGE-1 -i docker0 ! -o docker0 -j DOCKER-ISOLATION-STAGE-2
--wait -I DOCKER-ISOLATION-STAGE-2 -o docker0 -j DROP
--wait -I FORWARD -j DOCKER-USER
--wait -P FORWARD DROP
--wait -t nat -A DOCKER -p tcp -d 0/0 --dport 8080 -j DNAT --to-destination 172.17.0.2:80 ! -i docker0
--wait -t filter -A DOCKER ! -i docker0 -o docker0 -p tcp -d 172.17.0.2 --dport 80 -j ACCEPT
--wait -t nat -A POSTROUTING -p tcp -s 172.17.0.2 -d 172.17.0.2 --dport 80 -j MASQUERADE
""".strip().splitlines()

DOCKER_FILTER = """
:INPUT ACCEPT
:FORWARD DROP
:OUTPUT ACCEPT
:DOCKER -
:DOCKER-ISOLATION-STAGE-1 -
:DOCKER-ISOLATION-STAGE-2 -
:DOCKER-USER -
-A FORWARD -j DOCKER-USER
-A FORWARD -j DOCKER-ISOLATION-STAGE-1
-A FORWARD -o docker0 -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
-A FORWARD -o docker0 -j DOCKER
-A FORWARD -i docker0 ! -o docker0 -j ACCEPT
-A FORWARD -i docker0 -o docker0 -j ACCEPT
-A DOCKER -d 172.17.0.2/32 ! -i docker0 -o docker0 -p tcp -m tcp --dport 80 -j ACCEPT
-A DOCKER-ISOLATION-STAGE-1 -i docker0 ! -o docker0 -j DOCKER-ISOLATION-STAGE-2
-A DOCKER-ISOLATION-STAGE-1 -j RETURN
-A DOCKER-ISOLATION-STAGE-2 -o docker0 -j DROP
-A DOCKER-ISOLATION-STAGE-2 -j RETURN
-A DOCKER-USER -j RETURN
""".strip().splitlines()


def run(*commands: str) -> Ruleset:
    rules = Ruleset()
    for command in commands:
        rules.execute(command)
    return rules


def saved(command: str, table: str = "filter") -> str:
    """What iptables-save prints for one rule, without `-A CHAIN`."""
    name = "TEST"
    lines = run(f"-t {table} -N {name}", f"-t {table} -A {name} {command}").save()[table]
    return lines[-1].removeprefix(f"-A {name}").strip()


def test_docker_builds_the_chains_that_iptables_save_shows_on_a_real_engine() -> None:
    assert run(*DOCKER).save()["filter"] == DOCKER_FILTER


def test_a_table_that_nobody_touched_is_absent() -> None:
    assert Ruleset().save() == {}
    assert set(run("-A INPUT -j ACCEPT").save()) == {"filter"}


def test_asking_whether_a_rule_exists_does_not_make_the_table() -> None:
    rules = Ruleset()
    with pytest.raises(PlumbError, match="does a matching rule exist"):
        rules.execute("-t nat -C PREROUTING -j ACCEPT")
    assert rules.save() == {}


@pytest.mark.parametrize(("command", "line"), [
    ("-s 172.17.0.2 -j DROP", "-s 172.17.0.2/32 -j DROP"),
    ("-d 10.1.2.3/8", "-d 10.0.0.0/8"),
    ("-s 0/0 -j ACCEPT", "-j ACCEPT"),
    ("-p tcp --dport 80 --sport 1024:", "-p tcp -m tcp --sport 1024:65535 --dport 80"),
    ("-p tcp ! --sport :1023", "-p tcp -m tcp --sport 1024:65535"),
    ("-p tcp ! --syn", "-p tcp -m tcp ! --tcp-flags FIN,SYN,RST,ACK SYN"),
    ("-p tcp -m comment --comment a --dport http", "-p tcp -m comment --comment a -m tcp --dport 80"),
    ("-m comment --comment 'published to the world'", '-m comment --comment "published to the world"'),
    ("-m conntrack --ctstate ESTABLISHED,RELATED", "-m conntrack --ctstate RELATED,ESTABLISHED"),
    ("-m multiport -p udp --dports 53,60:70", "-p udp -m multiport --dports 53,60:70"),
    ("-p sctp ! --dport 0:80 --sport 9", "-p sctp -m sctp --sport 9 ! --dport 0:80"),
    ("-p sctp -m sctp", "-p sctp -m sctp"),
    ("-m mark --mark 1/0xff", "-m mark --mark 0x1/0xff"),
    ("-p icmp --icmp-type ping", "-p icmp -m icmp --icmp-type 8"),
    ("-p tcp -j REJECT --reject-with tcp-rst", "-p tcp -j REJECT --reject-with tcp-reset"),
    ("-j REJECT", "-j REJECT --reject-with icmp-port-unreachable"),
    ("-j MARK --set-mark 0x10/0xf", "-j MARK --set-xmark 0x10/0x1f"),
])
def test_iptables_save_prints_rules_in_its_own_order_and_notation(command: str, line: str) -> None:
    assert saved(command) == line


def test_the_source_port_rule_of_dockers_name_server_keeps_its_bare_port() -> None:
    assert saved("-s 127.0.0.11 -p udp --sport 4321 -j SNAT --to-source :53", "nat") == (
        "-s 127.0.0.11/32 -p udp -m udp --sport 4321 -j SNAT --to-source :53")


@pytest.mark.parametrize(("command", "words"), [
    ("-A NOPE -j ACCEPT", "iptables: No chain/target/match by that name."),
    ("-A INPUT -j NOPE", "iptables v1.8.9 (nf_tables): Chain 'NOPE' does not exist"),
    ("-D INPUT -s 1.1.1.1 -j DROP", "iptables: Bad rule (does a matching rule exist in that chain?)."),
    ("-N INPUT", "iptables: Chain already exists."),
    ("-A OUTPUT -i eth0", "iptables v1.8.9 (nf_tables): Can't use -i with OUTPUT"),
    ("-A INPUT --dport 80", 'iptables v1.8.9 (nf_tables): unknown option "--dport"'),
    ("-A INPUT -p tcp --dport 99999", "iptables v1.8.9 (nf_tables): invalid port/service `99999' specified"),
    ("-A INPUT -j DNAT --to-destination 1.1.1.1",
     "iptables v1.8.9 (nf_tables):  RULE_APPEND failed (Invalid argument): rule in chain INPUT"),
    ("-A INPUT -p tcp -m sctp --dport 80",
     "iptables v1.8.9 (nf_tables):  RULE_APPEND failed (Invalid argument): rule in chain INPUT"),
    ("-A INPUT -p sctp --dport 80 --dport 81", "iptables v1.8.9 (nf_tables): Only one `--destination-port' allowed"),
    ("-A INPUT -j CHECKSUM --checksum-fill",
     "iptables v1.8.9 (nf_tables):  RULE_APPEND failed (Invalid argument): rule in chain INPUT"),
    ("-t mangle -A INPUT -j CHECKSUM",
     'iptables v1.8.9 (nf_tables): CHECKSUM: option "--checksum-fill" must be specified'),
    ("-t mangle -A INPUT -j CHECKSUM ! --checksum-fill",
     'iptables v1.8.9 (nf_tables): CHECKSUM: option "--checksum-fill" cannot be inverted.'),
    ("-A INPUT -m limit --limit 3/s", "iptables v1.8.9 (nf_tables): the match `limit' is not modelled by Hopcast"),
])
def test_a_wrong_command_is_refused_in_the_words_of_the_tool(command: str, words: str) -> None:
    with pytest.raises(PlumbError) as refusal:
        Ruleset().execute(command)
    assert str(refusal.value) == words


def test_a_chain_in_use_can_not_be_deleted() -> None:
    rules = run("-N A", "-A INPUT -j A")
    with pytest.raises(PlumbError, match="Device or resource busy"):
        rules.execute("-X A")
    rules.execute("-D INPUT -j A")
    rules.execute("-X A")
    assert ":A -" not in rules.save()["filter"]


def test_a_source_target_can_not_be_reached_from_prerouting_through_a_jump() -> None:
    rules = run("-t nat -N A", "-t nat -A A -j MASQUERADE")
    before = rules.save()
    with pytest.raises(PlumbError, match="Invalid argument"):
        rules.execute("-t nat -A PREROUTING -j A")
    assert rules.save() == before


def test_chains_that_jump_in_a_circle_can_not_be_hooked_in() -> None:
    rules = run("-N A", "-N B", "-A A -j B", "-A B -j A")
    with pytest.raises(PlumbError, match="Too many links"):
        rules.execute("-A INPUT -j A")


# random rules of the kinds that Docker writes

addresses = st.integers(0, 0xFFFFFFFF).map(lambda a: ".".join(str(a >> s & 255) for s in (24, 16, 8, 0)))
networks = st.builds("{}/{}".format, addresses, st.integers(1, 32))
devices = st.sampled_from(["docker0", "br-0123456789ab", "eth0", "veth+"])
bang = st.sampled_from(["", "! "])
ports = st.one_of(
    st.integers(0, 65535).map(str),
    st.tuples(st.integers(0, 65535), st.integers(0, 65535)).map(lambda p: f"{min(p)}:{max(p)}"))


@st.composite
def matches(draw: st.DrawFn) -> str:
    """Conditions, in a random order as people write them."""
    parts = []
    for option, values in (("-s", networks), ("-d", networks), ("-i", devices), ("-o", devices)):
        if draw(st.booleans()):
            parts.append(f"{draw(bang)}{option} {draw(values)}")
    proto = draw(st.sampled_from(["", "tcp", "udp", "sctp", "icmp", "all"]))
    if proto in ("tcp", "udp", "sctp"):
        extra = draw(st.sampled_from(["", "--dport", "--sport", "both", "multiport"]))
        text = {"": "", "multiport": f"-m multiport {draw(bang)}--dports {draw(ports)},{draw(ports)}",
                "both": f"{draw(bang)}--sport {draw(ports)} {draw(bang)}--dport {draw(ports)}"}.get(
                    extra, f"{draw(bang)}{extra} {draw(ports)}")
        parts.append(f"-p {proto} {text}")
    elif proto:
        kind = draw(st.sampled_from(["", "--icmp-type 8", "! --icmp-type port-unreachable"]))
        parts.append(f"-p {proto} {kind if proto == 'icmp' else ''}")
    if draw(st.booleans()):
        parts.append(draw(st.sampled_from([
            "-m conntrack --ctstate RELATED,ESTABLISHED", "-m conntrack ! --ctstate NEW,DNAT",
            "-m state --state INVALID",
            "-m addrtype --dst-type LOCAL", "-m addrtype ! --src-type LOCAL,BROADCAST", "-m mark --mark 0x1/0xff",
            "-m physdev --physdev-is-bridged", "-m comment --comment 'hello world'",
            "-m conntrack --ctorigdstport 80 --ctdir ORIGINAL"])))
    return " ".join(draw(st.permutations(parts)))


TARGETS = {
    "filter": ["ACCEPT", "DROP", "RETURN", "REJECT", "REJECT --reject-with icmp-host-prohibited",
               "LOG --log-prefix 'a b'",
               "USER", "MARK --set-mark 3"],
    "nat": ["ACCEPT", "RETURN", "USER", "LOG"],
    "raw": ["DROP", "NOTRACK", "ACCEPT", "CT --notrack"],
    "mangle": ["MARK --or-mark 0x10", "CHECKSUM --checksum-fill", "ACCEPT", "DROP"],
}
NAT_TARGETS = {
    "PREROUTING": ["DNAT --to-destination 172.17.0.2", "REDIRECT"],
    "OUTPUT": ["DNAT --to-destination 127.0.0.11", "REDIRECT"],
    "POSTROUTING": ["MASQUERADE", "SNAT --to-source 192.168.99.101", "SNAT --to-source 10.0.0.1-10.0.0.9"],
    "INPUT": ["SNAT --to-source 1.2.3.4"],
    "USER": ["ACCEPT"],
}
CHAINS = {"filter": ["INPUT", "FORWARD", "OUTPUT", "USER"],
          "nat": ["PREROUTING", "INPUT", "OUTPUT", "POSTROUTING", "USER"],
          "raw": ["PREROUTING", "OUTPUT"], "mangle": ["PREROUTING", "FORWARD", "POSTROUTING"]}


@st.composite
def commands(draw: st.DrawFn) -> list[str]:
    """A history of commands, some of which the tool refuses."""
    lines = ["-N USER", "-t nat -N USER"]
    for _ in range(draw(st.integers(1, 10))):
        table = draw(st.sampled_from(sorted(TARGETS)))
        chain = draw(st.sampled_from(CHAINS[table]))
        target = draw(st.sampled_from(TARGETS[table] + (NAT_TARGETS[chain] if table == "nat" else [])))
        verb = draw(st.sampled_from([f"-A {chain}", f"-A {chain}", f"-I {chain}", f"-I {chain} 2", f"-D {chain} 1"]))
        rule = "" if verb.startswith("-D") else f"{draw(matches())} -j {target}"
        lines.append(f"-t {table} {verb} {rule}")
    return lines


def outcome(execute: Callable[[str], None], line: str) -> str:
    try:
        execute(line)
    except PlumbError as refusal:
        return " ".join(str(refusal).split())
    return ""


@given(commands())
@settings(max_examples=60)
def test_what_iptables_save_prints_can_be_read_back_to_the_same_rules(lines: list[str]) -> None:
    rules, again = Ruleset(), Ruleset()
    for line in lines:
        outcome(rules.execute, line)
    for table, text in rules.save().items():
        for line in text:
            name = line.split()[0][1:]
            if line.endswith(" -"):
                again.execute(f"-t {table} -N {name}")
            elif line.startswith(":"):
                again.execute(f"-t {table} -P {name} {line.split()[1]}")
        for line in (line for line in text if line.startswith("-A")):
            again.execute(f"-t {table} {line}")
    assert again.save() == rules.save()


# against the real tool

def _why_not_live() -> str:
    if os.geteuid() != 0:
        return "needs root to make a network namespace"
    if not (shutil.which("iptables") and shutil.which("iptables-save") and shutil.which("nsenter")):
        return "iptables or nsenter is not installed"
    version = subprocess.run(["iptables", "--version"], capture_output=True, text=True, check=False).stdout
    return "" if "v1.8.9 (nf_tables)" in version else f"the model follows v1.8.9 (nf_tables), here is {version}"


_numbers = itertools.count()


class RealIptables:
    """The real iptables, in a network namespace of its own."""

    def __init__(self) -> None:
        self.name = f"hc-rules-{os.getpid()}-{next(_numbers)}"
        subprocess.run(["ip", "netns", "add", self.name], check=True)

    def _run(self, *command: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["nsenter", f"--net=/run/netns/{self.name}", *command], capture_output=True, text=True, check=False)

    def execute(self, line: str) -> None:
        done = self._run("iptables", *shlex.split(line))
        if done.returncode:
            raise PlumbError(" ".join(x for x in done.stderr.splitlines() if x and not x.startswith("Try ")))

    def save(self) -> dict[str, list[str]]:
        tables: dict[str, list[str]] = {}
        lines: list[str] = []
        for line in self._run("iptables-save").stdout.splitlines():
            if line.startswith("*"):
                lines = tables.setdefault(line[1:], [])
            elif line.startswith(":"):
                lines.append(line.rsplit(" ", 1)[0])
            elif line.startswith("-"):
                lines.append(line)
        return tables

    def close(self) -> None:
        subprocess.run(["ip", "netns", "del", self.name], check=True)


@pytest.fixture
def real() -> Iterator[RealIptables]:
    namespace = RealIptables()
    yield namespace
    namespace.close()


@pytest.mark.live
@pytest.mark.skipif(bool(_why_not_live()), reason=_why_not_live() or "it can run")
def test_dockers_rules_are_saved_as_the_real_iptables_saves_them(real: RealIptables) -> None:
    rules = Ruleset()
    for line in DOCKER:
        rules.execute(line)
        real.execute(line)
    assert rules.save() == real.save()
    assert list(rules.save()) == list(real.save())


@pytest.mark.live
@pytest.mark.skipif(bool(_why_not_live()), reason=_why_not_live() or "it can run")
@given(commands())
@settings(max_examples=20)
def test_any_history_of_commands_ends_as_with_the_real_iptables(lines: list[str]) -> None:
    rules, real = Ruleset(), RealIptables()
    try:
        for line in lines:
            assert outcome(rules.execute, line) == outcome(real.execute, line), line
        assert rules.save() == real.save()
    finally:
        real.close()


LEADING = {"filter": (["INPUT", "FORWARD", "A", "B", "C"], ["ACCEPT", "REJECT", "A", "B", "C"]),
           "nat": (["PREROUTING", "OUTPUT", "POSTROUTING", "A", "B", "C"],
                   ["MASQUERADE", "DNAT --to-destination 10.0.0.9", "RETURN", "A", "B", "C"])}
"""Table -> its chains, and targets that may not stand everywhere, or lead to another chain."""


@st.composite
def leading(draw: st.DrawFn) -> str:
    """A command that may make a loop, or bring a target where it may not stand; or take the way there away again."""
    table = draw(st.sampled_from(sorted(LEADING)))
    chains, targets = LEADING[table]
    chain, target = draw(st.sampled_from(chains)), draw(st.sampled_from(targets))
    verb = draw(st.sampled_from(["-A {0} -j {1}"] * 4 + ["-I {0} -j {1}", "-R {0} 1 -j {1}", "-D {0} 1", "-F {0}"]))
    return f"-t {table} {verb.format(chain, target)}"


@given(st.lists(leading(), max_size=40))
@settings(max_examples=200, deadline=None)
def test_a_rule_is_refused_exactly_where_a_look_at_the_whole_table_finds_fault(lines: list[str]) -> None:
    looked: list[tuple[str, str]] = []

    class Whole(Table):
        def fault_of(self, target: Target | None, chain: Chain) -> str:
            found = super().fault_of(target, chain)
            looked.append((found, self.fault()))
            return found

    ruleset = run(*(f"-t {table} -N {chain}" for table in LEADING for chain in "ABC"))
    ruleset.tables = {name: Whole(name, table.chains) for name, table in ruleset.tables.items()}
    for line in lines:
        outcome(ruleset.execute, line)
    assert [found for found, _ in looked] == [whole for _, whole in looked]


@given(st.text(st.one_of(st.sampled_from(" -'\"\\#!$\t\n"), st.characters(max_codepoint=0x2100)), max_size=30))
def test_the_words_of_a_line_are_those_that_a_shell_has(line: str) -> None:
    def words(by: Callable[[str], list[str]]) -> list[str] | str:
        try:
            return by(line)
        except ValueError as error:
            return str(error)

    assert words(split) == words(shlex.split)
