"""`hopcast demo`: the whole article, predicted, measured where that is possible, written down.

Each of its scenarios is verified on its own and published in a folder of its own; the summary has a row for each
section of the article. What this machine can't measure itself is measured in a micro-VM, where QEMU is there; `quick`
takes the stored reference run for that instead, and says so with its date. Where neither is possible the predicting
half still runs, and every check says that it was not made and why. A measured reference is never replaced by an
unmeasured one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from experiments import article, micro_vm, results
from experiments.assumptions import engines
from experiments.measure import Progress
from experiments.publish import publish
from experiments.report import article_summary
from experiments.verify import Verification, unmeasured, verify
from live import doctor
from live.vm import qemu
from sim import compose
from sim.errors import LabError
from sim.spec import Spec

SCENARIOS = Path(__file__).parent / "scenarios"
NAME = "article"


@dataclass(slots=True)
class Demo:
    """`done`: scenario -> its verification. `stored`: those of which a stored run is told instead. `failed`: why a lab
    ended although nothing seemed to be missing. `notes`: how a scenario was measured, where that is worth saying.
    `unwritten`: what could not be written, and why."""

    folder: Path
    done: dict[str, Verification] = field(default_factory=dict)
    stored: dict[str, dict[str, Any]] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)
    notes: dict[str, str] = field(default_factory=dict)
    unwritten: list[str] = field(default_factory=list)

    @property
    def data(self) -> dict[str, dict[str, Any]]:
        """Scenario -> what its verification says, in the article's order."""
        fresh = {name: of.as_dict() for name, of in self.done.items()}
        return {name: (fresh | self.stored)[name] for name in article.SCENARIOS if name in fresh or name in self.stored}

    @property
    def engines(self) -> list[str]:
        """Which engines the predictions of today are of."""
        return list(dict.fromkeys(engines(of.spec) for of in self.done.values()))

    @property
    def rows(self) -> list[article.Row]:
        return article.rows(self.data, self.notes)

    @property
    def exit_code(self) -> int:
        """1 something disagreed, 2 a result could not be written, 3 a lab failed; else 0, also where something could
        not be measured, as rows say."""
        if any(of["totals"]["all"]["disagreed"] for of in self.data.values()):
            return 1
        if self.unwritten:
            return results.ResultsError.exit_code
        return LabError.exit_code if self.failed else 0

    def as_dict(self) -> dict[str, Any]:
        return {"sections": [row.as_dict() for row in self.rows], "scenarios": self.data}


def demo(
    *, out: Path | None = None, progress: Progress | None = None, say: Callable[[str], None] = lambda _: None,
    report: doctor.Report | None = None, quick: bool = False,
) -> Demo:
    """Predict, verify where that is possible, and write to `out` (results/article). `report`: what the doctor says,
    when it was asked already."""
    result = Demo(out or results.folder(NAME))
    results.check(result.folder)
    report = report or doctor.examine()
    for name, title in article.SCENARIOS.items():
        spec = scenario(name)
        measuring, why_not = _place(spec, report)
        if quick and (why_not or measuring is micro_vm.measure) and (found := _stored(result.folder / name, spec)):
            result.stored[name] = found
            origin = found["provenance"]
            result.notes[name] = f"stored run of {origin['date'][:10]}, {origin['measured_in']}"
            continue
        result.done[name] = of = _one(spec, measuring, why_not, progress, result, name)
        if of.measurement is not None and of.measurement.where:
            result.notes[name] = f"measured in a {of.measurement.where}"
        folder = result.folder / name
        if of.measurement is None and _is_measured(folder):
            folder = folder / "predicted-only"
        say(f"writing {folder}")
        _write(result, partial(publish, of, folder, title))
    file = result.folder / "summary.md"
    if all(of["engine"] for of in result.data.values()) or not file.exists():
        _write(result, partial(results.write, file, article_summary(result.rows, result.data)))
    return result


def _write(result: Demo, writing: Callable[[], object]) -> None:
    """What was measured is shown, even if it can't be written."""
    try:
        writing()
    except results.ResultsError as error:
        result.unwritten.append(str(error))


def _place(spec: Spec, report: doctor.Report) -> tuple[micro_vm.Measuring | None, str]:
    """Where to measure, else why nowhere. What this machine measures in part, it measures itself if there is no VM."""
    try:
        return micro_vm.place(spec, report, None, lambda _: None), ""
    except LabError:
        return None, f"{report.why_not}; or, for a micro-VM, which needs no root: {qemu.GET}"


def _one(
    spec: Spec, measuring: micro_vm.Measuring | None, why_not: str, progress: Progress | None, result: Demo, name: str
) -> Verification:
    if measuring is None:
        return unmeasured(spec, why_not)
    try:
        return verify(spec, progress=progress, measuring=measuring, linux=micro_vm.release(measuring))
    except LabError as error:
        result.failed[name] = str(error)
        return unmeasured(spec, str(error))


def scenario(name: str) -> Spec:
    """One of the article's Compose files, without what the caller's environment might put into it."""
    file = SCENARIOS / f"article_{name.replace('-', '_')}.yaml"
    return compose.load(file, environment={}).model_copy(update={"file": file.name})


def _stored(folder: Path, spec: Spec) -> dict[str, Any] | None:
    """A stored run of just these predictions; None where there is none, or it is of others."""
    data = _read(folder)
    if data.get("engine") and _answers(data) == _answers(unmeasured(spec, "").as_dict()):
        return data
    return None


def _answers(told: Mapping[str, Any]) -> list[tuple[Any, ...]]:
    """Each question with its predicted answer, as far as answers are compared."""
    return [(asked["text"], *(asked["predicted"][key] for key in ("outcome", "address", "served_by", "seen_as")))
            for asked in told["questions"]]


def _is_measured(folder: Path) -> bool:
    return bool(_read(folder).get("engine"))


def _read(folder: Path) -> dict[str, Any]:
    try:
        data = results.read_json(folder / "data.json")
    except results.ResultsError:
        return {}
    return data if isinstance(data, dict) else {}
