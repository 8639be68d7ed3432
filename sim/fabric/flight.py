"""What a TCP sender has on its way: which of it arrived, and which is lost (net/ipv4/tcp_input.c, tcp_recovery.c).

Selective acknowledgements tell: what left before something that arrived is lost, with three segments of grace for what
was sent once only.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, replace

GRACE = 3
"""Segments: `net.ipv4.tcp_reordering`."""

Span = tuple[int, int]
"""Bytes from the first to before the second."""


@dataclass(slots=True)
class Piece:
    """Bytes `seq` to `end` that left together, when, as the how manieth, and what tcp_rate.c notes with them."""

    seq: int
    end: int
    order: int = 0
    sent: float = 0.0
    first_sent: float = 0.0
    delivered: int = 0
    delivered_at: float = 0.0
    idle: bool = False
    again: bool = False
    lost: bool = False
    arrived: bool = False

    @property
    def size(self) -> int:
        return self.end - self.seq


class Flight:
    """`pieces` in the order of their bytes; `lost`: those to be sent again; `segments`: how many are on their way."""

    def __init__(self, mss: int) -> None:
        self.mss = mss
        self.pieces: list[Piece] = []
        self.lost: deque[Piece] = deque()
        self.segments = 0

    def __bool__(self) -> bool:
        return bool(self.pieces)

    def count(self, size: int) -> int:
        """Segments of so many bytes."""
        return -(-size // self.mss)

    def add(self, piece: Piece) -> None:
        """New bytes leave."""
        self.pieces.append(piece)
        self.segments += self.count(piece.size)

    def again(self, size: int) -> Piece | None:
        """The first lost bytes, at most `size`, leave once more; None when none are lost."""
        while self.lost and self.lost[0].arrived:
            self.lost.popleft()
        if not self.lost:
            return None
        piece = self.lost.popleft()
        if piece.size > size:
            self.lost.appendleft(self._split(piece, piece.seq + size))
        piece.lost, piece.again = False, True
        self.segments += self.count(piece.size)
        return piece

    def acknowledge(self, ack: int, sacks: Sequence[Span]) -> tuple[Piece | None, int]:
        """All before `ack` and in `sacks` arrived. Of the pieces of which that is news the one that left last, and how
        many bytes are news."""
        newest: Piece | None = None
        fresh = done = 0
        for piece in self.pieces:
            if piece.seq >= ack:
                break
            if not piece.arrived:
                fresh += self._arrives(piece, ack)
                if newest is None or piece.order > newest.order:
                    newest = piece
            done += piece.end <= ack
        del self.pieces[:done]
        for span in sacks:
            for piece in self._within(span):
                fresh += self._arrives(piece, piece.end)
                if newest is None or piece.order > newest.order:
                    newest = piece
        return newest, fresh

    def _within(self, span: Span) -> list[Piece]:
        """The pieces in a span of which it is not known yet; those that reach out of it are cut."""
        low, high = span
        at = bisect_left(self.pieces, low, key=lambda piece: piece.end - 1)
        found = []
        while at < len(self.pieces) and self.pieces[at].seq < high:
            piece = self.pieces[at]
            if not piece.arrived:
                if piece.seq < low:
                    piece = self._split(piece, low)
                    at += 1
                if piece.end > high:
                    self._split(piece, high)
                found.append(piece)
            at += 1
        return found

    def _arrives(self, piece: Piece, until: int) -> int:
        """A piece arrived up to a byte; how many are news."""
        if until < piece.end:
            news = until - piece.seq
            if not piece.lost:
                self.segments -= self.count(piece.size) - self.count(piece.end - until)
            piece.seq = until
            return news
        if not piece.lost:
            self.segments -= self.count(piece.size)
        piece.arrived = True
        return piece.size

    def _split(self, piece: Piece, at: int) -> Piece:
        rest = replace(piece, seq=at)
        if not piece.lost and not piece.arrived:
            self.segments += self.count(at - piece.seq) + self.count(rest.size) - self.count(piece.size)
        piece.end = at
        self.pieces.insert(self.pieces.index(piece) + 1, rest)
        if rest.lost and piece in self.lost:
            self.lost.insert(self.lost.index(piece) + 1, rest)
        return rest

    def find_lost(self, newest: Piece) -> bool:
        """What left before a piece that arrived is lost; whether any of it is news."""
        found = False
        for piece in self.pieces:
            if piece.arrived or piece.lost or piece.order >= newest.order:
                continue
            if piece.again or newest.end - piece.end >= GRACE * self.mss:
                self._lose(piece)
                found = True
        return found

    def lose_all(self) -> None:
        """The retransmission timer: all that did not arrive is lost."""
        for piece in self.pieces:
            if not piece.arrived and not piece.lost:
                self._lose(piece)
        self.lost = deque(sorted((p for p in self.pieces if p.lost and not p.arrived), key=lambda piece: piece.seq))

    def _lose(self, piece: Piece) -> None:
        piece.lost = True
        self.segments -= self.count(piece.size)
        self.lost.append(piece)
