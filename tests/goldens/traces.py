"""Takes the golden traces from a real engine: what sniffers saw of some of the article's questions.

`make goldens` runs it, as root; `tests/experiments/test_golden_traces.py` holds the model against them where no engine
can run.
"""

from __future__ import annotations

import json
from itertools import groupby
from pathlib import Path

from experiments.measure import measure
from sim.compose import load
from sim.spec import Question, Spec

ROOT = Path(__file__).parents[2]
SCENARIO = ROOT / "experiments" / "scenarios" / "article_single_host.yaml"
GOLDEN = Path(__file__).parent / "traces-20.10" / "article_single_host.json"
PER_GROUP = 3


def chosen(spec: Spec) -> list[Question]:
    """The first questions of each section."""
    return [q for _, group in groupby(spec.questions, key=lambda q: q.group) for q in list(group)[:PER_GROUP]]


def main() -> None:
    spec = load(SCENARIO)
    questions = chosen(spec)
    measured = measure(spec, questions)
    rows = []
    for question, seen in zip(questions, measured.observations, strict=True):
        if seen.answer is None or seen.trace.lost:
            raise SystemExit(f"{question}: {seen.why or 'frames were lost'}; nothing was written")
        rows.append({"question": str(question), "until": seen.until, "answer": seen.answer.as_dict() | {"rtt": None},
                     "trace": seen.trace.as_dict()})
    GOLDEN.parent.mkdir(exist_ok=True)
    lines = ",\n".join(json.dumps(row, sort_keys=True) for row in rows)
    points = json.dumps(measured.points)
    GOLDEN.write_text(f'{{"engine": "{measured.engine}",\n"points": {points},\n"questions": [\n{lines}\n]}}\n')
    print(f"wrote {GOLDEN.relative_to(ROOT)}: {len(rows)} questions, engine {measured.engine}")


if __name__ == "__main__":
    main()
