"""What a terminal, a page or a picture may be given: text that shows, and does nothing else.

Names, notes and reasons quote what a file, an argument or the environment says. A control character in there would move
the cursor or hide a line; one that changes the direction of writing would show a name as another. Everything that goes
out passes `printable` first: in `terminal.py`, `report.py`, `plots.py` and, as escapes of its own, `results.py` (JSON).
"""

from __future__ import annotations

import re
import unicodedata

BYTES = range(0xDC80, 0xDD00)
"""How Python keeps the bytes of a file's name or an argument that are no UTF-8 (PEP 383)."""


def printable(text: str) -> str:
    r"""The text with its control characters, marks of direction and halves of surrogate pairs as escapes; lines stay.

    >>> printable("a\x1b[31m\nb\u202e")
    'a\\x1b[31m\nb\\u202e'
    """
    if text.isprintable():
        return text
    return "".join(each if each == "\n" or _shows(each) else _escaped(each) for each in text)


def one_line(text: str) -> str:
    """`printable`, with single spaces for lines and whatever else is space."""
    return printable(" ".join(text.split()))


def _shows(character: str) -> bool:
    return character.isprintable() or unicodedata.category(character) == "Zs"  # spaces of other widths


def _escaped(character: str) -> str:
    if ord(character) in BYTES:
        return f"\\x{ord(character) & 0xFF:02x}"
    return character.encode("unicode_escape", "surrogatepass").decode("ascii")


def valid_json(text: str) -> str:
    r"""JSON in which characters that don't show are escapes as JSON has them; the data stays what it was.

    A half of a surrogate pair, which no other program would take, is what `printable` makes of it.
    """
    return re.sub(r"[^\n -~]", lambda found: _json_escaped(found.group()), text)


def _json_escaped(character: str) -> str:
    if _shows(character):
        return character
    if unicodedata.category(character) == "Cs":
        return _escaped(character).replace("\\", "\\\\")
    units = character.encode("utf-16-be").hex()
    return "".join(f"\\u{units[at:at + 4]}" for at in range(0, len(units), 4))
