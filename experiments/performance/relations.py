"""What the literature says about Docker's network modes, as data, held against prediction and measurement separately.

Shape and order, not absolute values: the published figures come from other kernels, network cards and years. Where a
relation does not hold here, the table says whether the model says so too, and which of its steps make the difference.

Of each source only what was really looked at is cited, and `seen` says what that was. Most full texts were out of
reach: ranges of which no source could be read are marked as the study's own requirement (`STUDY`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from experiments.performance.verdicts import (
    Check,
    Figures,
    Outcome,
    Verdict,
    constant_packet_rate,
    faster,
    first_reasons,
    gap_closes,
    gap_stays,
    latency_ratio,
    not_slower,
    show,
)


@dataclass(frozen=True, slots=True)
class Source:
    """A publication. `seen`: which part of it stands behind the relation, and in which words."""

    key: str
    paper: str
    year: int
    seen: str

    def __str__(self) -> str:
        return f"{self.paper}{f', {self.year}' if self.year else ''}: {self.seen}"


NAKAMURA = Source(
    "Nakamura 2018", "R. Nakamura, Y. Sekiya, H. Tazaki: Grafting Sockets for Fast Container Networking (AF_GRAFT). "
    "ACM/IEEE ANCS, pp. 15–27, doi:10.1145/3230718.3230723", 2018,
    "abstract: container sockets on the host's stack have 23 % less latency than behind NAT, so NAT has ×1.30 of "
    "theirs; that its data have NAT at ×1.2–1.35 and VXLAN at ×1.85–2.0 of the host is this study's word")
CLAASSEN = Source(
    "Claassen 2016", "J. Claassen, R. Koning, P. Grosso: Linux containers networking: performance and scalability of "
    "kernel modules. IEEE/IFIP NOMS, pp. 713–717, doi:10.1109/NOMS.2016.7502883", 2016,
    "abstract: macvlan outperforms veth and ipvlan in raw TCP and UDP performance")
STANISIC = Source(
    "Stanišić 2025", "S. Stanišić, B. Đorđević, I. Tot, O. Ristić: Docker network topologies: Analysis of Bridge, "
    "Overlay, and MacvLAN modes. Tehnika 4, pp. 413–418", 2025,
    "abstract: of macvlan, bridge and overlay, macvlan performs best; an overlay adds latency at each hop")
HARUNA = Source(
    "Haruna 2022", "Y. Haruna et al.: Analysis of Docker Networking and Optimizing the Overhead of Docker Overlay "
    "Networks Using OS Kernel Support. Advances in Networks 10 (2), doi:10.11648/net.20221002.11", 2022,
    "abstract: host mode is superior, then NAT; overlays (VXLAN, weave) have the least performance")
FELTER = Source(
    "Felter 2014", "W. Felter, A. Ferreira, R. Rajamony, J. Rubio: An Updated Performance Comparison of Virtual "
    "Machines and Linux Containers. IBM Research Report RC25482 (2014), IEEE ISPASS (2015)", 2014,
    "second-hand, in a summary on Stack Overflow: Docker's NAT costs latency; with the host's network stack a "
    "container performs as the native machine")
YANG = Source(
    "Yang 2017", "W. Yang: Docker Network Tests under Host/Bridge Mode (blog)", 2017,
    "table, qperf: 17.5 µs in host mode and 17.1 µs without Docker between two machines (+2 %), 7.9 µs and 6.7 µs on "
    "one (+17 %); bridge 20 µs and 9.0 µs")
MENON = Source(
    "Menon 2008", "A. Menon, W. Zwaenepoel: Optimizing TCP Receive Performance. USENIX ATC", 2008,
    "abstract: what a packet costs dominates what a byte costs (about TCP's receiving side)")
SUO = Source(
    "Suo 2018", "K. Suo, Y. Zhao, W. Chen, J. Rao: An Analysis and Empirical Study of Container Networks. IEEE INFOCOM",
    2018, "abstract: virtualized networks cost not little; how much depends on the protocol and the packet size")
LEI = Source(
    "Lei 2019", "J. Lei, K. Suo, H. Lu, J. Rao: Tackling Parallelization Challenges of Kernel Network Stack for "
    "Container Overlay Networks. USENIX HotCloud", 2019,
    "abstract, to the contrary: bottlenecks in the kernel's parallelism keep overlays from scaling")
STUDY = Source("this study", "Hopcast's own requirement", 0, "stated without a publication; none was found to read")


@dataclass(frozen=True, slots=True)
class Relation:
    """One statement of the literature. `check` judges figures (`verdicts.Figures`).

    `paths`: the slower and the faster path whose difference the model can explain. `required`: False where the numbers
    are those of other hardware, reported and not asked for. `elsewhere`: why another machine may differ.
    """

    name: str
    statement: str
    check: Check
    sources: tuple[Source, ...]
    paths: tuple[str, str] | None = None
    required: bool = True
    elsewhere: str = ""


LINE_RATE = ("where the network card's line rate is the limit, more flows reach it on every path; in this lab there is "
             "no card, and the CPUs are the limit of each path")
OTHER_HARDWARE = "measured over a physical network between two machines, whose card and wire are in both paths"

RELATIONS = (
    Relation("host ≤ macvlan", "Host mode answers as soon as macvlan, or sooner", not_slower("host", "macvlan"),
             (STUDY,), ("macvlan", "host"),
             elsewhere="both have one driver's crossing; which is shorter depends on the host's rules"),
    Relation("macvlan < bridge", "Macvlan answers sooner than a bridge", faster("macvlan", "bridge"),
             (CLAASSEN, STANISIC), ("bridge", "macvlan")),
    Relation("bridge ≤ bridge+NAT", "A bridge answers as soon as a published port on it, or sooner",
             not_slower("bridge", "bridge+NAT"), (STUDY,), ("bridge+NAT", "bridge")),
    Relation("bridge+NAT < overlay", "A published port answers sooner than an overlay", faster("bridge+NAT", "overlay"),
             (HARUNA, STANISIC), ("overlay", "bridge+NAT")),
    Relation("host ≈ native", "Host mode has at most 9 % more latency than no Docker at all",
             latency_ratio("host", "native", 1 / 1.09, 1.09), (STUDY, FELTER, YANG), ("host", "native"),
             elsewhere="packets to a host with an engine walk the engine's rules; a machine without one has none"),
    Relation("NAT / host", "A published port has ×1.2–1.35 of host mode's latency",
             latency_ratio("bridge+NAT", "host", 1.2, 1.35), (STUDY, NAKAMURA, HARUNA), ("bridge+NAT", "host"),
             required=False, elsewhere=OTHER_HARDWARE),
    Relation("VXLAN / host", "An overlay has ×1.85–2.0 of host mode's latency",
             latency_ratio("overlay", "host", 1.85, 2.0), (STUDY, NAKAMURA, HARUNA), ("overlay", "host"),
             required=False, elsewhere=OTHER_HARDWARE),
    *(Relation(f"throughput gap of {path} closes", f"With parallel flows, half or less is left of what {path} lacks "
               "with one flow to host mode's throughput", gap_closes(path, "host"), (STUDY, LEI), elsewhere=LINE_RATE)
      for path in ("bridge+NAT", "overlay")),
    *(Relation(f"request/response gap of {path} stays", f"What {path} lacks to host mode in requests per second "
               "stays, beyond what parallel flows leave of the gap in throughput",
               gap_stays(path, "host"), (STUDY,), elsewhere=LINE_RATE)
      for path in ("bridge+NAT", "overlay")),
    Relation("UDP goodput ∝ size", "UDP goodput grows with the datagram, at constant packets per second, until bytes "
             "are the limit", constant_packet_rate, (STUDY, MENON, SUO)),
)


@dataclass(frozen=True, slots=True)
class Row:
    """A relation with both verdicts. `says` is the sentence for the reader, empty where both agree with it."""

    relation: Relation
    predicted: Verdict
    measured: Verdict
    says: str = ""

    def as_dict(self) -> dict[str, Any]:
        relation = self.relation
        return {"name": relation.name, "statement": relation.statement, "required": relation.required,
                "sources": [str(source) for source in relation.sources], "predicted": self.predicted.as_dict(),
                "measured": self.measured.as_dict(), "says": self.says}


def compare(predicted: Figures, measured: Figures, relations: Sequence[Relation] = RELATIONS) -> list[Row]:
    """Each relation held against both. `predicted` may have "steps" (path -> kind -> seconds) for the reasons why."""
    rows = []
    for relation in relations:
        forecast, found = relation.check(predicted), relation.check(measured)
        why = first_reasons(predicted.get("steps", {}), *relation.paths) if relation.paths else ()
        rows.append(Row(relation, forecast, found, _says(relation, forecast, found, why)))
    return rows


def _says(relation: Relation, predicted: Verdict, measured: Verdict, why: Sequence[str]) -> str:
    """Where this machine differs from the literature, and whether the model knew."""
    decided = (Outcome.HOLDS, Outcome.FAILS)
    if measured.outcome is Outcome.HOLDS:
        return "It holds here, and the model says that it does not." if predicted.outcome is Outcome.FAILS else ""
    if measured.outcome is Outcome.UNDECIDED:
        return f"Measured, it is undecided: {measured.detail}."
    if measured.outcome is Outcome.NO_DATA:
        return ""
    words = ["This machine differs" + (f" ({show(measured.ratio)})" if measured.ratio else "")]
    if predicted.outcome is Outcome.FAILS and predicted.side == measured.side:
        words.append("as the model says")
    elif predicted.outcome in decided:
        words.append("which the model does not say")
    sentence = f"{', '.join(words)}."
    if why:
        slower, quicker = relation.paths or ("", "")
        sentence += f" In the model {slower} differs from {quicker} most by {', '.join(why)}."
    if measured.detail:
        sentence += f" Measured: {measured.detail}."
    return f"{sentence} The literature's case: {relation.elsewhere}." if relation.elsewhere else sentence


def markdown(rows: Sequence[Row]) -> str:
    """The table, what is to be said of it, and the sources."""
    lines = ["| relation | predicted | measured | source |", "|---|---|---|---|"]
    for row in rows:
        star = "" if row.relation.required else " (other hardware)"
        keys = ", ".join(source.key for source in row.relation.sources)
        lines.append(f"| {row.relation.statement}{star} | {row.predicted} | {row.measured} | {keys} |")
    notes = [f"- **{row.relation.name}**: {row.says}" for row in rows if row.says]
    if notes:
        lines += ["", "Where it is not as the literature says:", "", *notes]
    sources = dict.fromkeys(source for row in rows for source in row.relation.sources)
    lines += ["", "Sources, with what of them was read:", ""]
    lines += [f"- {source.key}: {source}." for source in sources]
    return "\n".join(lines) + "\n"


def counts(rows: Sequence[Row]) -> Mapping[str, int]:
    """How often each measured verdict, of the required relations."""
    return {outcome.value: sum(row.measured.outcome is outcome for row in rows if row.relation.required)
            for outcome in Outcome}
