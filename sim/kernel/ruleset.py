"""The tables and chains of one namespace, and the commands of iptables(8) that change them.

Follows iptables 1.8.9 with the nf_tables backend: a table exists from the first command that writes to it, with all of
its built-in chains; user chains are listed by name; the kernel checks where a target may stand, through jumps, and that
no chain reaches itself. Left out: `-R` of several addresses, counters, the `security` table.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from sim.errors import PlumbError
from sim.kernel.arguments import failed, refused, usage
from sim.kernel.command import Command, read
from sim.kernel.hooks import TABLES, Test
from sim.kernel.matches import View
from sim.kernel.rules import TARGETS, Rule
from sim.kernel.targets import VERDICTS, Jump, Op, Target

NO_CHAIN = "No chain/target/match by that name"
NO_RULE = "Bad rule (does a matching rule exist in that chain?)"

Code = list[tuple[Test | None, Op, Any, Rule, str]]
"""A chain compiled: (condition, operation, its argument, the rule itself, how a trace names it)."""


@dataclass(eq=False)
class Chain:
    """`policy` is "ACCEPT" or "DROP" for a built-in chain, "-" for a user chain, as iptables-save shows it."""

    name: str
    policy: str = "-"
    rules: list[Rule] = field(default_factory=list)
    made: bool = False
    """Has a command written to it? Until then the tool shows a built-in chain that the kernel does not have."""
    code: Code | None = None
    """Compiled on first use; None after a change."""


@dataclass(eq=False)
class Table:
    name: str
    chains: dict[str, Chain] = field(default_factory=dict)
    _reached: dict[str, set[str]] | None = None
    """Chain -> the built-in chains from which it is reached; None after a change of jumps."""

    def save(self) -> list[str]:
        builtin = TABLES[self.name]
        users = sorted(name for name in self.chains if name not in builtin)
        names = [*builtin, *users]
        heads = [f":{name} {self.chains[name].policy}" for name in names]
        return heads + [f"-A {name} {rule.text()}".rstrip() for name in names for rule in self.chains[name].rules]

    def referenced(self, name: str) -> bool:
        return any(isinstance(r.target, Jump) and r.target.chain == name for c in self.chains.values() for r in c.rules)

    def compile(self, chain: Chain, view: View) -> Code:
        """The chain as code; jumps point to the chains themselves."""
        code: Code = []
        for rule in chain.rules:
            op, argument = rule.target.action(view) if rule.target else (Op.CONTINUE, None)
            target: Any = self.chains[rule.target.chain] if isinstance(rule.target, Jump) else argument
            code.append((rule.test(view), op, target, rule, f"{self.name} {chain.name}: {rule.text()}"))
        chain.code = code
        return code

    def fault(self) -> str:
        """Why the kernel would refuse the table as it is now, as an errno text (loops, and where targets may stand)."""
        for name in self.chains:
            if name in TABLES[self.name]:
                errno = self._walk(name, name, (), set())
                if errno:
                    return errno
        return ""

    def _walk(self, hook: str, name: str, path: tuple[str, ...], passed: set[str]) -> str:
        """`passed`: chains in which nothing was found, and below them."""
        if name in path:
            return "Too many links"
        if name in passed:
            return ""
        for rule in self.chains[name].rules:
            target = rule.target
            if isinstance(target, Jump):
                errno = self._walk(hook, target.chain, (*path, name), passed)
                if errno:
                    return errno
            elif target is not None and target.hooks and hook not in {h.value for h in target.hooks}:
                return "Invalid argument"
        passed.add(name)
        return ""

    def fault_of(self, target: Target | None, chain: Chain) -> str:
        """`fault`, of a table in which there was none until rules with this target came to a chain: unless they lead
        elsewhere it is theirs alone, and no other rule needs a look."""
        if isinstance(target, Jump):
            return self.fault()
        if target is None or not target.hooks:
            return ""
        return "" if self.reached_from(chain.name) <= {h.value for h in target.hooks} else "Invalid argument"

    def reached_from(self, name: str) -> set[str]:
        """The built-in chains from which a packet may come to this one."""
        if self._reached is None:
            self._reached = {}
            for start in self.chains:
                if start in TABLES[self.name]:
                    self._note_reached(start, start, self._reached)
        return self._reached.get(name, set())

    def _note_reached(self, start: str, name: str, reached: dict[str, set[str]]) -> None:
        known = reached.setdefault(name, set())
        if start in known:
            return
        known.add(start)
        for rule in self.chains[name].rules:
            if isinstance(rule.target, Jump):
                self._note_reached(start, rule.target.chain, reached)

    def changed(self, command: Command) -> None:
        """After a command that wrote: what was concluded from the rules is concluded anew."""
        for chain in self.chains.values():
            chain.code = None
        if command.verb not in ("-A", "-I") or isinstance(command.rules[0].target, Jump):
            self._reached = None


class Ruleset:
    """All tables of one namespace. `version` grows with each change."""

    def __init__(self) -> None:
        self.tables: dict[str, Table] = {}
        self.version = 0

    def save(self) -> dict[str, list[str]]:
        """The tables in iptables-save's order, as `sim.plumbing.Namespace.rules` wants them."""
        return {name: self.tables[name].save() for name in TABLES if name in self.tables}

    def execute(self, line: str) -> None:
        """Run one command line."""
        command = read(line)
        existing = self.tables.get(command.table)
        table = existing or Table(command.table, {name: Chain(name, "ACCEPT") for name in TABLES[command.table]})
        wrote = _VERBS[command.verb](table, command, existing is not None)
        if wrote:
            self.tables[command.table] = table
            self.version += 1
            table.changed(command)


def _chain(table: Table, name: str) -> Chain:
    if name not in table.chains:
        raise refused(NO_CHAIN)
    return table.chains[name]


def _numbered(table: Table, command: Command) -> tuple[Chain, int]:
    """The chain and the rule number of `-D CHAIN N` and `-R CHAIN N`."""
    chain = _chain(table, command.words[0])
    if not chain.made:
        raise refused(NO_CHAIN)
    return chain, int(command.words[1], 0)


def _check_jump(table: Table, command: Command) -> None:
    target = command.rules[0].target
    if isinstance(target, Jump) and target.chain not in table.chains:
        raise usage(f"Chain '{target.chain}' does not exist")


def _write(table: Table, command: Command, what: str, chain: Chain, changed: list[Rule]) -> bool:
    """Put the new rules in place, unless the kernel would refuse the whole."""
    target, before = command.rules[0].target, chain.rules
    where = f"rule in chain {chain.name}"
    if not command.valid or (target is not None and target.tables and table.name not in target.tables):
        raise failed(what, "Invalid argument", where)
    if isinstance(target, Jump) and target.chain in TABLES[table.name]:
        raise failed(what, "No such file or directory", where)
    chain.rules = changed
    chain.made = True
    errno = table.fault_of(target, chain)
    if errno:
        chain.rules = before
        raise failed(what, errno, where)
    return True


def _append(table: Table, command: Command, exists: bool) -> bool:
    _check_jump(table, command)
    chain = _chain(table, command.words[0])
    return _write(table, command, "RULE_APPEND", chain, chain.rules + command.rules)


def _insert(table: Table, command: Command, exists: bool) -> bool:
    _check_jump(table, command)
    chain, position = _chain(table, command.words[0]), int([*command.words, "1"][1], 0)
    if position > len(chain.rules) + 1:
        raise refused("Index of insertion too big")
    at = position - 1
    # each rule of a list goes in at the same place, so they end up in reverse
    return _write(table, command, "RULE_INSERT", chain, chain.rules[:at] + command.rules[::-1] + chain.rules[at:])


def _delete(table: Table, command: Command, exists: bool) -> bool:
    if len(command.words) == 2:
        chain, position = _numbered(table, command)
        if position > len(chain.rules):
            raise refused("Index of deletion too big")
        del chain.rules[position - 1]
        return True
    _check_jump(table, command)
    for rule in command.rules:
        rules = table.chains[command.words[0]].rules if command.words[0] in table.chains else []
        if rule not in rules:
            raise refused(NO_RULE)
        rules.remove(rule)
    return True


def _replace(table: Table, command: Command, exists: bool) -> bool:
    _check_jump(table, command)
    chain, position = _numbered(table, command)
    if position > len(chain.rules):
        raise refused("Index of replacement too big")
    changed = [*chain.rules]
    changed[position - 1] = command.rules[0]
    return _write(table, command, "RULE_REPLACE", chain, changed)


def _check(table: Table, command: Command, exists: bool) -> bool:
    _check_jump(table, command)
    chain = table.chains.get(command.words[0])
    if chain is None or any(rule not in chain.rules for rule in command.rules):
        raise refused(NO_RULE)
    return False


def _new_chain(table: Table, command: Command, exists: bool) -> bool:
    name = command.words[0]
    if name in table.chains:
        raise refused("Chain already exists")
    _check_name(name)
    table.chains[name] = Chain(name, made=True)
    return True


def _check_name(name: str, *, renamed: bool = False) -> None:
    if name[:1] in ("-", "!"):
        raise usage(f"chain name not allowed to start with `{name[0]}'")
    if not renamed and (name in VERDICTS or name in TARGETS):  # -E does not look
        raise usage("chain name may not clash with target name")
    if len(name) > 28:
        raise usage(f"chain name `{name}' too long (must be under 29 chars)")
    if not name or any(c.isspace() for c in name):
        raise usage(f"Invalid chain name `{name}'")


def _delete_chain(table: Table, command: Command, exists: bool) -> bool:
    if command.words:
        name = command.words[0]
        if name in TABLES[table.name]:
            raise refused("Directory not empty")
        names = [_chain(table, name).name]
    else:
        names = sorted(name for name in table.chains if name not in TABLES[table.name])
    for name in names:
        if table.chains[name].rules or table.referenced(name):
            raise failed("CHAIN_DEL", "Device or resource busy", f"chain {name}")
    for name in names:
        del table.chains[name]
    return exists


def _flush(table: Table, command: Command, exists: bool) -> bool:
    chains = [_chain(table, command.words[0])] if command.words else list(table.chains.values())
    for chain in chains:
        chain.rules = []
        chain.made = chain.made or bool(command.words)
    return exists or bool(command.words)


def _zero(table: Table, command: Command, exists: bool) -> bool:
    if command.words:
        _chain(table, command.words[0])
    return False


def _policy(table: Table, command: Command, exists: bool) -> bool:
    name, policy = command.words
    if policy not in ("ACCEPT", "DROP"):
        raise PlumbError("iptables: Bad policy name. Run `dmesg' for more information.")
    if table.name == "nat" and policy == "DROP":
        raise usage('The "nat" table is not intended for filtering, the use of DROP is therefore inhibited.')
    if name not in TABLES[table.name]:
        raise refused("Bad built-in chain name")
    table.chains[name].policy, table.chains[name].made = policy, True
    return True


def _rename(table: Table, command: Command, exists: bool) -> bool:
    old, new = command.words
    # the tool renames a built-in chain too, and leaves a table that it can't read any more: refused here
    if new in table.chains or old in TABLES[table.name]:
        raise refused("File exists")
    chain = _chain(table, old)
    _check_name(new, renamed=True)
    del table.chains[old]
    chain.name = new
    table.chains[new] = chain
    for rule in (rule for other in table.chains.values() for rule in other.rules):
        if isinstance(rule.target, Jump) and rule.target.chain == old:
            rule.target.chain = new
    return True


_VERBS = {"-A": _append, "-I": _insert, "-D": _delete, "-R": _replace, "-C": _check, "-N": _new_chain,
          "-X": _delete_chain, "-F": _flush, "-Z": _zero, "-P": _policy, "-E": _rename}
