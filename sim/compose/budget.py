"""How much one project may ask for: more than anybody has, and less than what never ends.

A line of a file can stand for much: a range for a thousand ports, `replicas` for hundreds of containers, `around` for
three questions. What it comes to is counted while it is made, and refused in words as soon as it is too much. How many
bytes a file may have is in `sim/reading.py`, how many values in `document.py`.
"""

from __future__ import annotations

from collections.abc import Sized

from sim.compose.document import Item

MOST = {
    "services": 12_000,
    "containers": 12_000,
    "networks": 4_000,
    "hosts": 250,
    "clients": 250,
    "faults": 100,
    "ports": 20_000,
    "aliases": 50_000,
    "extra hosts": 50_000,
    "questions": 20_000,
    "variables": 20_000,
}
"""Of a whole project."""


class Budget:
    """What a project has asked for so far."""

    def __init__(self) -> None:
        self.spent: dict[str, int] = {}

    def spend(self, what: str, number: int | Sized, item: Item) -> None:
        """So many more, of which `item` says so. Raises SpecError."""
        spent = self.spent.get(what, 0) + (number if isinstance(number, int) else len(number))
        self.spent[what] = spent
        if spent > MOST[what]:
            item.fail(f"more than {MOST[what]} {what} in all", "split the project")
