"""A verification as files: data.json, summary.md and the plots, with where they come from."""

from __future__ import annotations

from pathlib import Path

from matplotlib.figure import Figure

from experiments import plots, results
from experiments.assumptions import engines
from experiments.provenance import provenance
from experiments.report import summary
from experiments.verify import Verification
from sim.trace import Outcome


def publish(of: Verification, folder: Path, title: str) -> list[Path]:
    """Write everything to `folder`, the summary last: where it is, the rest is complete. ResultsError."""
    origin = provenance(
        engine=of.measurement.engine if of.measurement else of.engine,
        kernel=of.measurement.kernel if of.measurement else "",
        where=of.measurement.where if of.measurement else "")
    origin["predicted_for"] = engines(of.spec)
    written = [results.write_json(folder / "data.json", of.as_dict() | {"title": title, "provenance": origin})]
    pictures = ["reachability.png"]
    written += plots.save(_reachability(of), folder, "reachability")
    index = nat_question(of)
    if index is not None:
        predicted, measured = of.events(index)
        heading = f"{of.prediction.questions[index]}: {_verdict(of, index)}"
        figure = plots.ladder(plots.rungs(predicted), plots.rungs(measured) if measured is not None else None, heading)
        written += plots.save(figure, folder, "path")
        pictures.append("path.png")
    return [*written, results.write(folder / "summary.md", summary(of, title, origin, pictures))]


def _reachability(of: Verification) -> Figure:
    count = len(of.answers)
    observations = of.measurement.observations if of.measurement else []
    measured = [seen.answer for seen in observations] or [None] * count
    agreed = [reachability.agreed for reachability, _ in of.answers]
    if of.measurement is None:
        title = f"Who reaches whom: {count} answers predicted, none measured"
    else:
        title = f"Who reaches whom: {agreed.count(True)} of {count} predicted answers are what real engines gave"
    return plots.reachability(of.prediction.questions, of.prediction.answers, measured, agreed, title)


def _verdict(of: Verification, index: int) -> str:
    path = of.answers[index][1]
    if path.agreed is None:
        return f"{path.predicted} predicted"
    verdict = "seen as predicted, header for header" if path.agreed else "not seen as predicted"
    return f"{path.predicted} {verdict}"


def nat_question(of: Verification) -> int | None:
    """The question whose path shows most: reached over TCP, through a published port from outside if there is one, with
    the most rewrites of an address under way."""
    best, most = None, (False, 0)
    for index, (question, answer) in enumerate(zip(of.prediction.questions, of.prediction.answers, strict=True)):
        if question.probe != "tcp" or answer.outcome is not Outcome.REACHED:
            continue
        rewrites = sum("dst" in note or "src" in note for rung in plots.rungs(of.events(index)[0])
                       for note in rung.rewritten)
        outside = question.published and of.spec.client(question.source) is not None
        if rewrites and (outside, rewrites) > most:
            best, most = index, (outside, rewrites)
    return best

