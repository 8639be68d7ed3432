"""`hopcast demo`: the article's single-host networks, predicted, measured where that is possible, written down.

Without root, or where no engine can run, the predicting half still runs, and every check says that it was not made and
why. A measured reference is never replaced by an unmeasured one.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from experiments import results
from experiments.measure import Progress
from experiments.publish import publish
from experiments.verify import Verification, unmeasured, verify
from live import doctor
from sim import compose
from sim.errors import LabError
from sim.spec import Spec

SCENARIO = Path(__file__).parent / "scenarios" / "article_single_host.yaml"
NAME = "article-single-host"
TITLE = "The article's single-host networks"


@dataclass(frozen=True, slots=True)
class Demo:
    verification: Verification
    folder: Path
    failed: str = ""
    """Why the lab ended although nothing seemed to be missing; empty otherwise."""

    @property
    def exit_code(self) -> int:
        if self.failed:
            return LabError.exit_code
        return self.verification.exit_code if self.verification.measurement else 0


def demo(
    *, out: Path | None = None, progress: Progress | None = None, say: Callable[[str], None] = lambda _: None,
    why_not: str | None = None,
) -> Demo:
    """Predict, verify if the doctor allows it, and write to `out` (results/article-single-host). `why_not`, when given,
    is asked instead of the doctor: "" means that a lab can run."""
    spec = scenario()
    if why_not is None:
        why_not = doctor.examine().why_not
    failed = ""
    if why_not:
        verification = unmeasured(spec, why_not)
    else:
        try:
            verification = verify(spec, progress=progress)
        except LabError as error:
            failed = str(error)
            verification = unmeasured(spec, failed)
    folder = out or results.folder(NAME)
    if verification.measurement is None and _is_measured(folder):
        folder = folder / "predicted-only"
    say(f"writing {folder}")
    publish(verification, folder, TITLE)
    return Demo(verification, folder, failed)


def scenario() -> Spec:
    """The article's Compose file, without what the caller's environment might put into it."""
    spec = compose.load(SCENARIO, environment={})
    return spec.model_copy(update={"file": SCENARIO.name})


def _is_measured(folder: Path) -> bool:
    try:
        return bool(results.read_json(folder / "data.json").get("engine"))
    except results.ResultsError:
        return False
