"""The command lines of iptables(8) that a topology gives its machines: their form, and on which chains they need the
engine. What they mean is read by whoever carries them out: the model's own iptables, or the real one.
"""

from __future__ import annotations

import re
import shlex

from sim.errors import SpecError

EXAMPLE = "write it like '-A INPUT -p tcp --dport 9200 -j DROP'"
COMMANDS = {
    "-A", "-I", "-D", "-R", "-N", "-X", "-F", "-P", "-E", "--append", "--insert", "--delete", "--replace", "--new",
    "--new-chain", "--delete-chain", "--flush", "--policy", "--rename-chain",
}
SHOWING = {"-L", "-S", "-C", "-Z", "--list", "--list-rules", "--check", "--zero"}
LOADING = re.compile(r"-M.*|--mo.*", re.DOTALL)
"""`--modprobe=COMMAND`, which runs a program, by every abbreviation that getopt takes."""
ENGINES = re.compile(r"DOCKER(-[A-Z0-9-]+)?")
"""Chains that the engine makes: DOCKER-USER is the one that is left to the operator."""


def check_rule_line(text: str) -> str:
    """One command line, without the words `sudo` and `iptables` if they stood before it. Raises SpecError."""
    try:
        words = shlex.split(text)
    except ValueError:
        raise SpecError(f"{text!r} is no command line: a quote is not closed", mend=EXAMPLE) from None
    if words[:1] == ["sudo"]:
        words = words[1:]
    if words and words[0] in ("ip6tables", "nft", "ufw", "firewall-cmd"):
        raise SpecError(f"{words[0]} is not modelled", mend=f"give the rules of iptables: {EXAMPLE}")
    if words[:1] == ["iptables"]:
        words = words[1:]
    if not words or not words[0].startswith("-") or any(ord(letter) < 32 for word in words for letter in word):
        raise SpecError(f"{text!r} is no command line of iptables", mend=EXAMPLE)
    for word in words:
        if word in SHOWING:
            raise SpecError(f"{text!r} changes nothing ({word})", mend="leave it out")
        if LOADING.fullmatch(word):
            raise SpecError(f"{text!r} runs a program ({word.partition('=')[0]})", mend="leave that option out")
    if not COMMANDS & set(words):
        raise SpecError(f"{text!r} says not what to do with the rule", mend=EXAMPLE)
    return shlex.join(words)


def needs_engine(line: str) -> bool:
    """Does a command line speak of a chain that only an engine makes?"""
    return any(ENGINES.fullmatch(word) for word in shlex.split(line))
