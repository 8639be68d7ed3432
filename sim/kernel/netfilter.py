"""Netfilter of one namespace: what happens to a packet at each hook (net/netfilter/core.c, nf_tables_core.c,
nf_nat_core.c).

`hook` runs what is registered there in the order of priority (`hooks.REGISTERED`): the tables' chains, connection
tracking before them, confirmation after. As in the kernel a table does not exist until a command writes to it, and
connection tracking runs only where some rule needs it, so that a namespace without rules costs nothing. The rules are
kept and changed by `ruleset.py`, the tables of connections by `conntrack.py`, the rewriting by `nat.py`.

Left out: the queue to user space, flowtables, and re-injection.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from random import Random
from typing import Any

from sim.kernel.connection import REPLY, CtInfo, Tracked
from sim.kernel.conntrack import Conntrack
from sim.kernel.hooks import ACCEPTED, DROPPED, REGISTERED, Handler, Hook, HookState, Ruling, Test, Verdict
from sim.kernel.matches import View
from sim.kernel.nat import MANIP_AT, Nat, initialized, is_error
from sim.kernel.rules import Rule
from sim.kernel.ruleset import Chain, Ruleset, Table
from sim.kernel.targets import Op
from sim.packet import IcmpType, Packet
from sim.trace import DropReason, Kind, Step

__all__ = ["ACCEPTED", "DROPPED", "Hook", "Netfilter", "Ruling", "Verdict"]

Walk = tuple[Op, str, Rule | None, int, str]
"""The end of a walk through a table: ACCEPT, DROP or REJECT; what decided, in words; the rule (None: the policy of the
built-in chain); how many rules were evaluated; the kind of rejection."""


class Netfilter:
    """See the module docstring.

    `address_of(device)` is what MASQUERADE writes. NAT looks for a free port among
    connections, not among sockets, as the kernel's does. `random` seeds that search. """

    def __init__(
        self,
        label: str,
        *,
        is_local: Callable[[int], bool],
        address_of: Callable[[str], int | None],
        is_broadcast: Callable[[int], bool] = lambda address: False,
        random: Random | None = None,
    ) -> None:
        self.label = label
        self.ruleset = Ruleset()
        self.conntrack = Conntrack()
        self._seed = None if random else label
        self.nat = Nat(self.conntrack, random or Random(label))
        self._view = View(is_local, is_broadcast, address_of)
        self._handlers: dict[str, Handler] = {}
        self._plan: dict[Hook, tuple[str, ...]] = dict.fromkeys(Hook, ())

    def iptables(self, command: str) -> None:
        """Run `iptables COMMAND`; PlumbError in the tool's words."""
        self.ruleset.execute(command)
        self._arrange()

    def register(self, handlers: Mapping[str, Handler]) -> None:
        """Another part of the kernel hooks in (`nf_register_net_hooks`): names of `REGISTERED` -> functions."""
        self._handlers.update(handlers)
        self._arrange()

    def unregister(self, names: Iterable[str]) -> None:
        """`nf_unregister_net_hooks`"""
        for name in names:
            del self._handlers[name]
        self._arrange()

    def _arrange(self) -> None:
        """Which of those that may stand at each hook do stand there."""
        tables = self.ruleset.tables
        active = {*tables, *self._handlers}
        if any(rule.needs_conntrack for t in tables.values() for c in t.chains.values() for rule in c.rules):
            active |= {"conntrack", "confirm"}
        self._plan = {hook: tuple(who for _, who in REGISTERED[hook] if who in active) for hook in Hook}

    @property
    def tracks(self) -> bool:
        """Are connections tracked here? Then fragments are put together before any hook (`nf_defrag_ipv4`)."""
        return any("conntrack" in plan for plan in self._plan.values())

    def save(self) -> dict[str, list[str]]:
        """What `iptables-save` prints, per table, without counters."""
        return self.ruleset.save()

    def flush_conntrack(self) -> None:
        """Forget all connections (`conntrack -F`); ports are drawn as for the first of them again."""
        self.conntrack.flush()
        if self._seed is not None:
            self.nat.random.seed(self._seed)

    def hook(
        self,
        hook: Hook,
        packet: Packet,
        *,
        indev: str = "",
        outdev: str = "",
        physin: str = "",
        physout: str = "",
        now: float,
    ) -> Generator[Step, None, Ruling]:
        """Pass one IPv4 packet through a hook. Yields what happened; may rewrite the packet; sets `packet.ct`.

        Returns a Ruling: test `.accepted`; what follows where it is not is `IpStack.refused`. An answer made for a
        rejected packet belongs to its connection: call `conntrack.attach(answer, packet)` before it goes out.
        """
        plan = self._plan[hook]
        if not plan or packet.ip is None:
            return ACCEPTED
        state = HookState(hook, indev, outdev, physin, physout, now)
        yield Step(Kind.NETFILTER, self.label, detail=hook.value, count=len(plan))
        for who in plan:
            if who == "conntrack":
                yield from self._track(packet, state)
                continue
            if who == "confirm":
                ruling = yield from self._confirm(packet, state)
            elif who == "nat":
                ruling = yield from self._nat(packet, state)
            elif who in self._handlers:
                ruling = yield from self._handlers[who](packet, state)
            else:
                ruling = yield from self._filter(self.ruleset.tables[who], packet, state)
            if not ruling.accepted:
                return ruling
        return ACCEPTED

    # connection tracking

    def _track(self, packet: Packet, state: HookState) -> Iterator[Step]:
        if packet.ct is not None:
            return
        new = self.conntrack.track(packet, state.now)
        tracked: Tracked | None = packet.ct
        detail = tracked.ctinfo.name.replace("_", " ").lower() if tracked else "invalid"
        yield Step(Kind.CONNTRACK_NEW if new else Kind.CONNTRACK, self.label, detail=detail)

    def _confirm(self, packet: Packet, state: HookState) -> Generator[Step, None, Ruling]:
        if self.conntrack.confirm(packet, state.now):
            return ACCEPTED
        yield Step(Kind.DROP, self.label, packet=packet.snapshot(), reason=DropReason.NAT_FULL,
                   detail=f"another connection has the same tuple: {packet.ct.entry}")
        return DROPPED

    # tables

    def _filter(self, table: Table, packet: Packet, state: HookState) -> Generator[Step, None, Ruling]:
        """One table's chain at this hook, from its policy to its verdict."""
        op, decided, rule, count, kind = self._walk(table, packet, state)
        yield Step(Kind.HOOK, self.label, detail=f"{table.name}/{state.hook.value}")
        if count:
            yield Step(Kind.RULE, self.label, detail=decided, count=count)
        if op is Op.ACCEPT:
            return ACCEPTED
        if op is Op.REJECT:
            reason = DropReason.REJECTED
        elif rule is None:
            reason = DropReason.POLICY
        else:
            reason = DropReason.INVALID if packet.ct is None and rule.asks_for_invalid() else DropReason.RULE
        yield Step(Kind.DROP, self.label, packet=packet.snapshot(), detail=decided, reason=reason)
        return Ruling(Verdict.DROP, kind) if kind else DROPPED

    def _nat(self, packet: Packet, state: HookState) -> Generator[Step, None, Ruling]:
        """nf_nat_inet_fn, and nf_nat_ipv4_fn around it: rules for the first packet, the entry for all others."""
        tracked: Tracked | None = packet.ct
        if tracked is None or tracked.entry is None:
            return ACCEPTED
        entry, info, manip = tracked.entry, tracked.ctinfo, MANIP_AT[state.hook]
        related = info in (CtInfo.RELATED, CtInfo.RELATED_REPLY)
        if related and is_error(packet):
            if is_error(packet, IcmpType.REDIRECT) and not self.nat.allows_redirect(entry):
                yield self._nat_drop(packet, "an ICMP redirect of a connection with NAT")
                return DROPPED
        elif (related or info is CtInfo.NEW) and not initialized(entry, manip):
            ruling = yield from self._filter(self.ruleset.tables["nat"], packet, state)
            if not ruling.accepted:
                return ruling
            if not initialized(entry, manip):
                self.nat.null_binding(entry, manip, state.now)
        elif entry.masq_dev and state.hook is Hook.POSTROUTING and (
                info.direction != REPLY and entry.masq_dev != state.outdev):
            self.conntrack.kill(entry)
            yield self._nat_drop(packet, f"masqueraded on {entry.masq_dev}, leaves by {state.outdev}")
            return DROPPED
        detail = self.nat.translate(packet, state.hook)
        if detail:
            yield Step(Kind.NAT, self.label, packet=packet.snapshot(), detail=detail)
        return ACCEPTED

    def _nat_drop(self, packet: Packet, detail: str) -> Step:
        return Step(Kind.DROP, self.label, packet=packet.snapshot(), detail=f"nat: {detail}", reason=DropReason.RULE)

    def _walk(self, table: Table, packet: Packet, state: HookState) -> Walk:
        """nft_do_chain: rule after rule, into user chains and back."""
        base, compiled, view = table.chains[state.hook.value], table.compile, self._view
        code = iter(base.code if base.code is not None else compiled(base, view))
        stack: list[Iterator[tuple[Test | None, Op, Any, Rule, str]]] = []
        count = 0
        while True:
            for test, op, argument, rule, label in code:
                count += 1
                if test is not None and not test(packet, state):
                    continue
                if op is Op.CALL:
                    op = argument(packet, state, self.nat)
                if op is Op.CONTINUE:
                    continue
                if op is Op.ACCEPT or op is Op.DROP:
                    return op, label, rule, count, ""
                if op is Op.REJECT:
                    return op, label, rule, count, argument
                if op is Op.RETURN:
                    if not stack:
                        return self._policy(table, base, count)
                    code = stack.pop()
                    break
                if op is Op.JUMP:
                    stack.append(code)
                code = iter(argument.code if argument.code is not None else compiled(argument, view))
                break
            else:
                if not stack:
                    return self._policy(table, base, count)
                code = stack.pop()

    def _policy(self, table: Table, base: Chain, count: int) -> Walk:
        return Op[base.policy], f"{table.name} {base.name} policy {base.policy}", None, count, ""
