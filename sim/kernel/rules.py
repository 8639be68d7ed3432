"""One rule of iptables: from the words of a command line, to the line of iptables-save, to a compiled test.

The reading follows iptables' own order of looking an option up: the tool's, the target's, those of the matches so
far, the newest first, then `-p`'s own match, which is loaded when one of its options is met (iptables/xshared.c).
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field, replace

from sim.errors import PlumbError
from sim.kernel.arguments import (
    PROTOCOL_NAMES,
    VERSION,
    device_name,
    device_test,
    inverted_mark,
    network,
    network_text,
    protocol,
    usage,
)
from sim.kernel.hooks import HookState, Test
from sim.kernel.matches import AddrtypeMatch, CommentMatch, MarkMatch, Match, PhysdevMatch, View
from sim.kernel.matches_ct import ConntrackMatch, StateMatch
from sim.kernel.matches_ipvs import IpvsMatch
from sim.kernel.matches_l4 import IcmpMatch, MultiportMatch, SctpMatch, TcpMatch, UdpMatch
from sim.kernel.matches_u32 import U32Match
from sim.kernel.matches_xfrm import PolicyMatch
from sim.kernel.targets import VERDICTS, Checksum, Ct, Jump, Log, Mark, Notrack, Reject, Standard, Target
from sim.kernel.targets_nat import Dnat, Masquerade, Redirect, Snat
from sim.packet import Packet

MATCHES: dict[str, type[Match]] = {match.name: match for match in (
    TcpMatch, UdpMatch, SctpMatch, IcmpMatch, MultiportMatch, ConntrackMatch, StateMatch, AddrtypeMatch, MarkMatch,
    PhysdevMatch, CommentMatch, IpvsMatch, PolicyMatch, U32Match)}
TARGETS: dict[str, type[Target]] = {
    target.name: target for target in (Reject, Log, Mark, Checksum, Notrack, Ct, Dnat, Snat, Masquerade, Redirect)}
PROTOCOL_MATCH = {1: "icmp", 6: "tcp", 17: "udp", 132: "sctp"}
UNMODELLED = frozenset({
    "bpf", "cgroup", "connlimit", "connmark", "devgroup", "dscp", "ecn", "esp", "hashlimit", "helper",
    "iprange", "length", "limit", "mac", "nfacct", "osf", "owner", "pkttype", "quota",
    "recent", "rpfilter", "set", "socket", "statistic", "string", "tcpmss", "time", "tos", "ttl",
    "TRACE", "TPROXY", "SET", "CONNMARK", "NFLOG", "NFQUEUE", "QUEUE", "CLASSIFY", "DSCP", "TCPMSS",
    "TEE", "TTL", "NETMAP", "AUDIT", "SYNPROXY", "RATEEST", "HMARK", "CONNSECMARK", "SECMARK",
})
"""Extensions that iptables has and the model has not: named in the error, so that nobody looks for a typing mistake."""

BASE_OPTIONS = {
    "-s": "-s", "--source": "-s", "--src": "-s", "-d": "-d", "--destination": "-d", "--dst": "-d", "-i": "-i",
    "--in-interface": "-i", "-o": "-o", "--out-interface": "-o", "-p": "-p", "--protocol": "-p", "--proto": "-p",
    "-f": "-f", "--fragment": "-f", "-m": "-m", "--match": "-m", "-j": "-j", "--jump": "-j", "-g": "-g", "--goto": "-g",
}

Address = tuple[int, int, bool]
"""(network, mask, inverted)"""


@dataclass
class Rule:
    """See the module docstring. Equality is what `iptables -D` and `-C` mean by the same rule."""

    src: Address | None = None
    dst: Address | None = None
    indev: tuple[str, bool] | None = None
    outdev: tuple[str, bool] | None = None
    proto: int = 0
    proto_inverted: bool = False
    fragment: bool | None = None
    """`-f`: True for later fragments only, False for `! -f`."""
    matches: list[Match] = field(default_factory=list)
    target: Target | None = None

    def text(self) -> str:
        """The rule as iptables-save prints it, without `-A CHAIN`."""
        parts = []
        for option, address in (("-s", self.src), ("-d", self.dst)):
            if address is not None:
                parts.append(f"{inverted_mark(address[2])}{option} {network_text(*address[:2])}")
        for option, device in (("-i", self.indev), ("-o", self.outdev)):
            if device is not None and device != ("+", False):
                parts.append(f"{inverted_mark(device[1])}{option} {device[0]}")
        if self.proto:
            parts.append(f"{inverted_mark(self.proto_inverted)}-p {PROTOCOL_NAMES.get(self.proto, self.proto)}")
        if self.fragment is not None:
            parts.append(f"{inverted_mark(not self.fragment)}-f")
        parts.extend(match.text() for match in self.matches)
        if self.target is not None:
            parts.append(self.target.text())
        return " ".join(part for part in parts if part)

    @property
    def needs_conntrack(self) -> bool:
        """Rules that ask or set something of a connection switch connection tracking on in their namespace."""
        return any(m.needs_conntrack for m in self.matches) or bool(self.target and self.target.needs_conntrack)

    def asks_for_invalid(self) -> bool:
        return any(isinstance(m, ConntrackMatch) and m.drops_invalid() for m in self.matches)

    def test(self, view: View) -> Test | None:
        """All of the rule's conditions as one closure; None when there are none."""
        tests = [test for test in self._tests(view) if test is not None]
        if len(tests) < 2:
            return tests[0] if tests else None
        if len(tests) == 2:
            first, second = tests
            return lambda packet, state: first(packet, state) and second(packet, state)

        def every(packet: Packet, state: HookState) -> bool:
            for test in tests:  # noqa: SIM110  (a loop is faster than all() with a generator)
                if not test(packet, state):
                    return False
            return True
        return every

    def _tests(self, view: View) -> list[Test | None]:
        tests = [device_test(*device, attribute) if device else None
                 for device, attribute in ((self.indev, "indev"), (self.outdev, "outdev"))]
        tests += [_source_test(*self.src) if self.src else None, _destination_test(*self.dst) if self.dst else None]
        implied = any(isinstance(m, TcpMatch | UdpMatch | IcmpMatch) and m.test(view) for m in self.matches)
        if self.proto and not implied:
            tests.append(_proto_test(self.proto, self.proto_inverted))
        if self.fragment is not None:
            tests.append(_fragment_test(self.fragment))
        return tests + [match.test(view) for match in self.matches]


def _source_test(address: int, mask: int, inverted: bool) -> Test:
    if inverted:
        return lambda packet, state: packet.ip.src & mask != address  # type: ignore[union-attr]
    return lambda packet, state: packet.ip.src & mask == address  # type: ignore[union-attr]


def _destination_test(address: int, mask: int, inverted: bool) -> Test:
    if inverted:
        return lambda packet, state: packet.ip.dst & mask != address  # type: ignore[union-attr]
    return lambda packet, state: packet.ip.dst & mask == address  # type: ignore[union-attr]


def _proto_test(proto: int, inverted: bool) -> Test:
    return lambda packet, state: (packet.ip.proto == proto) is not inverted  # type: ignore[union-attr]


def _fragment_test(wanted: bool) -> Test:
    return lambda packet, state: (packet.ip.offset > 0) is wanted  # type: ignore[union-attr]


class RuleReader:
    """Reads the options of one rule, one by one; `rules()` ends it. A list of addresses makes several rules."""

    def __init__(self) -> None:
        self.rule = Rule()
        self.sources: list[Address] = []
        self.destinations: list[Address] = []
        self._seen: set[str] = set()

    def take(self, option: str, inverted: bool, words: list[str]) -> None:
        """One option; its values are taken from the front of `words`."""
        option, equals, attached = option.partition("=") if option.startswith("--") else (option, "", "")
        if equals:
            words.insert(0, attached)
        if option in BASE_OPTIONS:
            self._base(BASE_OPTIONS[option], option, inverted, words)
            return
        owner, name = self._owner(option)
        count = owner.options[name]
        if len(words) < count:
            raise usage(f'option "{option}" requires an argument')
        owner.take(name, inverted, [words.pop(0) for _ in range(count)])

    def _owner(self, option: str) -> tuple[Match | Target, str]:
        """The extension that has an option, by its name, its alias or an unambiguous beginning (getopt_long)."""
        candidates: list[Match | Target] = [*reversed(self.rule.matches)]
        if self.rule.target:
            candidates.insert(0, self.rule.target)
        default = PROTOCOL_MATCH.get(self.rule.proto, "")
        implied = None
        if default and not self.rule.proto_inverted and not any(m.name == default for m in self.rule.matches):
            implied = MATCHES[default]()
            candidates.append(implied)
        found: list[tuple[Match | Target, str]] = []
        for extension in candidates:
            names = {name: name for name in extension.options} | extension.aliases
            if option in names:
                found = [(extension, names[option])]
                break
            found += [(extension, full) for name, full in names.items() if len(option) > 3 and name.startswith(option)]
        if len({(id(extension), full) for extension, full in found}) != 1:
            raise usage(f'unknown option "{option}"')
        if found[0][0] is implied and implied is not None:
            self.rule.matches.append(implied)
        return found[0]

    def _base(self, option: str, spelling: str, inverted: bool, words: list[str]) -> None:
        if option != "-m":
            if option in self._seen:
                raise usage(f"multiple {option} flags not allowed")
            self._seen.add(option)
        if option == "-f":
            self.rule.fragment = not inverted
            return
        if not words:
            raise usage(f'option "{spelling}" requires an argument')
        value = words.pop(0)
        if option in ("-s", "-d"):
            addresses = [(*network(part), inverted) for part in value.split(",")]
            if inverted and len(addresses) > 1:
                raise usage("! not allowed with multiple source or destination IP addresses")
            (self.sources if option == "-s" else self.destinations).extend(addresses)
        elif option == "-i":
            self.rule.indev = device_name(value), inverted
        elif option == "-o":
            self.rule.outdev = device_name(value), inverted
        elif option == "-p":
            self.rule.proto, self.rule.proto_inverted = protocol(value), inverted
            if inverted and not self.rule.proto:
                raise usage("rule would never match protocol")
        elif option == "-m":
            self._match(value)
        else:
            self._jump(value, option == "-g")

    def _match(self, name: str) -> None:
        if name in UNMODELLED:
            raise PlumbError(f"{VERSION}: the match `{name}' is not modelled by Hopcast")
        if name not in MATCHES:
            raise usage(f"Couldn't load match `{name}':No such file or directory")
        # a second -m tcp adds to the first: the nf_tables backend shows them as one
        if name not in PROTOCOL_MATCH.values() or not any(m.name == name for m in self.rule.matches):
            self.rule.matches.append(MATCHES[name]())

    def _jump(self, name: str, goto: bool) -> None:
        if self.rule.target is not None:
            raise usage("multiple -j flags not allowed")
        if name in UNMODELLED:
            raise PlumbError(f"{VERSION}: the target `{name}' is not modelled by Hopcast")
        if not goto and name in VERDICTS:
            self.rule.target = Standard(name)
        elif not goto and name in TARGETS:
            self.rule.target = TARGETS[name]()
        else:
            self.rule.target = Jump(name, goto)

    def rules(self) -> tuple[list[Rule], bool]:
        """The rules that the command line means, and whether the kernel would take them (False: EINVAL)."""
        for match in self.rule.matches:
            match.check(self.rule.proto, self.rule.proto_inverted)
        target = self.rule.target
        valid = target.check(self.rule.proto, self.rule.proto_inverted) if target else True
        proto = 0 if self.rule.proto_inverted else self.rule.proto
        valid = valid and all(match.only_for in (0, proto) for match in self.rule.matches)
        rules = []
        sources: list[Address | None] = [*self.sources] or [None]
        destinations: list[Address | None] = [*self.destinations] or [None]
        for src, dst in itertools.product(sources, destinations):
            for address in (src, dst):
                if address is not None and address[1] == 0 and address[2]:
                    valid = False
            rules.append(replace(
                self.rule, src=src if src and src[1] else None, dst=dst if dst and dst[1] else None,
                matches=list(self.rule.matches)))
        return rules, valid
