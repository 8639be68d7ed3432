"""The command line of iptables(8): which command, which table, which rule. What it then does is `ruleset.py`.

Follows do_parse() of iptables 1.8.9 (iptables/xshared.c). Left out: `-L` and `-S` (use `Ruleset.save`).
"""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass, field

from sim.errors import PlumbError
from sim.kernel.arguments import number, usage
from sim.kernel.hooks import TABLES
from sim.kernel.rules import Rule, RuleReader

# command -> (its long name, how many words it wants at least, at most)
COMMANDS: dict[str, tuple[str, int, int]] = {
    "-A": ("--append", 1, 1), "-I": ("--insert", 1, 2), "-D": ("--delete", 1, 2), "-R": ("--replace", 2, 2),
    "-C": ("--check", 1, 1), "-N": ("--new-chain", 1, 1), "-X": ("--delete-chain", 0, 1), "-F": ("--flush", 0, 1),
    "-Z": ("--zero", 0, 1), "-P": ("--policy", 2, 2), "-E": ("--rename-chain", 2, 2),
}
LONG_COMMANDS = {long: short for short, (long, _, _) in COMMANDS.items()} | {"--new": "-N"}
INCOMPLETE = {"-P": "-P requires a chain and a policy", "-E": "-E requires old-chain-name and new-chain-name"}
WITH_RULE = ("-A", "-I", "-D", "-R", "-C")
UNQUOTED = re.compile(r"[!#-&(-\[\]-~ ]*")
"""Printable ASCII but quotes and the backslash."""
NO_OUT_DEVICE, NO_IN_DEVICE = ("PREROUTING", "INPUT"), ("OUTPUT", "POSTROUTING")


@dataclass
class Command:
    """A command line of iptables, read."""

    table: str = "filter"
    verb: str = ""
    words: list[str] = field(default_factory=list)
    rules: list[Rule] = field(default_factory=list)
    valid: bool = True


def split(line: str) -> list[str]:
    """The words of a line as a shell has them. A line without quotes, as an engine's are, needs no look at each letter.

    >>> split("-A X -m comment --comment 'a b'")
    ['-A', 'X', '-m', 'comment', '--comment', 'a b']
    """
    return line.split() if UNQUOTED.fullmatch(line) else shlex.split(line)


def read(line: str) -> Command:
    """Parse a command line (without the word `iptables`); PlumbError in the tool's words."""
    words, command, reader = split(line), Command(), RuleReader()
    inverted, has_rule = False, False
    while words:
        word = words.pop(0)
        if word == "!":
            if inverted:
                raise usage("multiple consecutive ! not allowed")
            inverted = True
            continue
        verb = LONG_COMMANDS.get(word, word)
        if word in ("-t", "--table", "-w", "--wait"):
            _common(word, words, command)
        elif verb in COMMANDS:
            if command.verb:
                raise usage(f"Cannot use {verb} with {command.verb}")
            command.verb = verb
            _verb_words(command, words)
        elif word.startswith("-") and len(word) > 1:
            has_rule = True
            reader.take(word, inverted, words)
        else:
            raise PlumbError(f"Bad argument `{word}'")
        inverted = False
    if command.table not in TABLES:
        raise usage(f"table '{command.table}' does not exist")
    if not command.verb:
        raise usage("no command specified")
    if command.verb in WITH_RULE:
        chain, (rule,) = command.words[0], (reader.rule,)
        if rule.outdev and chain in NO_OUT_DEVICE:
            raise usage(f"Can't use -o with {chain}")
        if rule.indev and chain in NO_IN_DEVICE:
            raise usage(f"Can't use -i with {chain}")
        if command.verb == "-D" and len(command.words) == 2:
            return command
        command.rules, command.valid = reader.rules()
    elif has_rule:
        raise usage(f"Illegal option for {COMMANDS[command.verb][0]}")
    return command


def _common(word: str, words: list[str], command: Command) -> None:
    if word in ("-t", "--table"):
        if not words:
            raise usage(f'option "{word}" requires an argument')
        command.table = words.pop(0)
    elif words and words[0].isdigit():  # -w [seconds]: there is no other program to wait for
        words.pop(0)


def _verb_words(command: Command, words: list[str]) -> None:
    _, least, most = COMMANDS[command.verb]
    while len(command.words) < most and words and words[0] != "!" and (
            len(command.words) < least or not words[0].startswith("-")):
        command.words.append(words.pop(0))
    if len(command.words) < least:
        missing = INCOMPLETE.get(command.verb) if command.words else None
        raise usage(missing or f'option "{command.verb}" requires an argument')
    if command.verb in ("-I", "-D", "-R") and len(command.words) == 2 and not number(command.words[1]):
        raise usage(f"Invalid rule number `{command.words[1]}'")
