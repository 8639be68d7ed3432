"""The calibration as a file, and how far its forecasts can be trusted: `hopcast calibrate` and `make bench`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from statistics import median

from experiments import results
from experiments.performance import calibration, machine
from experiments.performance.calibration import Calibration, Row
from experiments.performance.calibration import calibrate as measure
from experiments.performance.intervals import Interval
from experiments.performance.known import Known, document
from experiments.performance.model import Model
from experiments.performance.quality import Quality, judge
from experiments.performance.reference import NOISY, NOISY_EXIT_CODE
from experiments.performance.session import PING_PONG, Progress, Say, session
from experiments.performance.topology import spec
from experiments.provenance import moment
from sim.errors import SpecError


def calibrate(out: Path | None, rounds: int, say: Say, progress: Progress) -> tuple[Calibration, int]:
    """Measure, fit and write results/costs/MACHINE.json (or `out`); the calibration and the exit code. A noisy run does
    not replace a quiet one's file."""
    results.check((out or machine.costs()).parent)
    with session(say=say) as within:
        found = measure(within, Model(within.spec), number=rounds, progress=progress)
        setting = within.setting
    assert found.noise is not None
    quality = judge(found.series(), found.noise)
    about = setting.about(rounds) | {"tool": PING_PONG, "noise": quality.as_dict()}
    path = out or _place(quality)
    try:
        results.write_json(path, document(found.as_dict(), machine.name(), about))
    except results.ResultsError as error:
        say(str(error))
        return found, error.exit_code
    say(f"wrote {path}" + ("" if quality.quiet else f", no reference: {quality}"))
    return found, 0 if quality.quiet else NOISY_EXIT_CODE


def fit_again(path: Path, out: Path | None, say: Say, progress: Progress) -> Calibration:
    """Count and fit anew what an earlier calibration measured, with the model as it is now; nothing is measured. Writes
    `out`, else the file that it was. SpecError where that is no calibration."""
    results.check((out or path).parent)
    known = Known.load(path)
    before = results.read_json(path)
    try:
        found = calibration.again(Model(spec()), before, progress)
    except SpecError as error:
        raise SpecError(error.problem, where=str(path), mend=error.mend) from None
    about = dict(before.get("provenance") or {}) | {"fitted_again": moment()}
    target = out or path
    results.write_json(target, document(found.as_dict(), before.get("machine", known.model.source), about))
    say(f"wrote {target}, of what was measured on {about.get('date', 'an unknown day')}")
    return found


def _place(quality: Quality) -> Path:
    path = machine.costs()
    return path if quality.quiet or not path.exists() else NOISY / "costs" / path.name


def told(found: Calibration) -> list[str]:
    """The table for people: each regime's round trips by fits that never saw them."""
    lines = []
    for regime in found.model.regimes:
        rows = found.of(regime)
        errors = found.errors(regime)
        lines += [f"{regime}: {len(rows)} round trips; each predicted by a fit that never saw its way: median error "
                  f"{100 * median(errors):.1f} %, worst {100 * max(errors):.1f} %"]
        lines += [_line(row) for row in rows]
        lines += [f"  not told apart: {', '.join(group)}" for group in found.open[regime] if len(group) > 1]
    wrong = misordered(found.rows)
    lines.append(f"order: {wrong[0]} of {wrong[1]} pairs with separate intervals are predicted in the wrong order")
    return lines


def _line(row: Row) -> str:
    note = f"  (extrapolated: no other way has {', '.join(row.unknown)})" if row.unknown else ""
    return (f"  {row.case.name:<62} measured {_us(row.measured)}  predicted {_us(row.left_out)} "
            f"{100 * row.error:+6.1f} %{note}")


def _us(span: Interval) -> str:
    return f"{span.value * 1e6:6.2f} [{span.low * 1e6:.2f}, {span.high * 1e6:.2f}] µs"


def misordered(rows: Sequence[Row]) -> tuple[int, int]:
    """Of all pairs in one regime whose measured intervals don't overlap: how many are predicted the other way round."""
    wrong = pairs = 0
    for index, one in enumerate(rows):
        for other in rows[index + 1:]:
            if one.case.regime == other.case.regime and one.measured.apart(other.measured):
                pairs += 1
                wrong += (one.measured.value < other.measured.value) != (one.left_out.value < other.left_out.value)
    return wrong, pairs
