"""What holds at which place of a Compose file: patterns like `services.*.ports`, looked up while a tree is walked.

    RULES = table({"services.*.dns": append, "networks.*": external})
    RULES.below("services").below("web").below("dns").rule      # append

`*` stands for any key, `[]` for any entry of a list.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Generic, TypeVar

T = TypeVar("T")


@dataclass(slots=True)
class Place(Generic[T]):
    """A place in the tree: the rule that holds at it, if any, and the places below that have rules."""

    rule: T | None = None
    named: dict[str, Place[T]] = field(default_factory=dict)

    def below(self, key: str) -> Place[T] | None:
        """The place of a key, None where no rule holds at it nor below it. ("[]": the entries of a list.)"""
        return self.named.get(key) or self.named.get("*")


def table(rules: Mapping[str, T]) -> Place[T]:
    """The top of the tree of places that have these rules. A name and `*` side by side are told apart one level only:
    no two patterns here need more."""
    top: Place[T] = Place()
    for pattern, rule in rules.items():
        place = top
        for part in pattern.split("."):
            place = place.named.setdefault(part, Place())
        place.rule = rule
    return top
