"""`hopcast demo`: the whole article, predicted, measured where that is possible, written down.

Each of its scenarios is verified on its own and published in a folder of its own; the summary has a row for each
section of the article. Without root, or where no engine can run, the predicting half still runs, and every check says
that it was not made and why. A measured reference is never replaced by an unmeasured one.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from experiments import article, results
from experiments.measure import Progress
from experiments.publish import publish
from experiments.report import article_summary
from experiments.verify import Verification, unmeasured, verify
from live import doctor
from sim import compose
from sim.errors import LabError
from sim.spec import Spec

SCENARIOS = Path(__file__).parent / "scenarios"
NAME = "article"


@dataclass(slots=True)
class Demo:
    """`done`: scenario -> its verification. `failed`: why a lab ended although nothing seemed to be missing."""

    folder: Path
    done: dict[str, Verification] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)

    @property
    def rows(self) -> list[article.Row]:
        return article.rows(self.done)

    @property
    def exit_code(self) -> int:
        """1 something disagreed, 3 a lab failed; else 0, also where something could not be measured, as rows say."""
        if any(of.totals.of().disagreed for of in self.done.values()):
            return 1
        return LabError.exit_code if self.failed else 0

    def as_dict(self) -> dict[str, Any]:
        return {"sections": [row.as_dict() for row in self.rows],
                "scenarios": {name: of.as_dict() for name, of in self.done.items()}}


def demo(
    *, out: Path | None = None, progress: Progress | None = None, say: Callable[[str], None] = lambda _: None,
    why_not: str | None = None,
) -> Demo:
    """Predict, verify if the doctor allows it, and write to `out` (results/article). `why_not`, when given, is asked
    instead of the doctor: "" means that a lab can run."""
    if why_not is None:
        why_not = doctor.examine().why_not
    result = Demo(out or results.folder(NAME))
    for name, title in article.SCENARIOS.items():
        result.done[name] = of = _one(scenario(name), why_not, progress, result.failed, name)
        folder = result.folder / name
        if of.measurement is None and _is_measured(folder):
            folder = folder / "predicted-only"
        say(f"writing {folder}")
        publish(of, folder, title)
    complete = all(of.measurement is not None for of in result.done.values())
    file = result.folder / "summary.md"
    if complete or not file.exists():
        results.write(file, article_summary(result.rows, result.done))
    return result


def _one(spec: Spec, why_not: str, progress: Progress | None, failed: dict[str, str], name: str) -> Verification:
    if why_not:
        return unmeasured(spec, why_not)
    try:
        return verify(spec, progress=progress)
    except LabError as error:
        failed[name] = str(error)
        return unmeasured(spec, str(error))


def scenario(name: str) -> Spec:
    """One of the article's Compose files, without what the caller's environment might put into it."""
    file = SCENARIOS / f"article_{name.replace('-', '_')}.yaml"
    return compose.load(file, environment={}).model_copy(update={"file": file.name})


def _is_measured(folder: Path) -> bool:
    try:
        return bool(results.read_json(folder / "data.json").get("engine"))
    except results.ResultsError:
        return False
