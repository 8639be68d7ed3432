"""The article's rows: what was predicted, measured and decided, a section a line."""

from __future__ import annotations

from pathlib import Path

import pytest

from experiments import article, demo
from experiments.article import NOT_YET, SECTIONS, Row, rows
from experiments.compare import Check, compare_ways, describe_ways, not_made
from experiments.demo import scenario
from experiments.measurement import Measurement, Observation
from experiments.results import write_json
from experiments.verify import Verification
from live import doctor
from sim.predict import Prediction, predict
from sim.spec import Spec
from sim.trace import Answer, Outcome


@pytest.fixture(scope="module")
def spec() -> Spec:
    return scenario("single-host")


@pytest.fixture(scope="module")
def prediction(spec: Spec) -> Prediction:
    return predict(spec)


def told(of: Verification) -> list[Row]:
    return rows({"single-host": of.as_dict()}, {})


def judged(spec: Spec, prediction: Prediction, verdict: bool | None, why: str = "") -> Verification:
    def checks(index: int) -> tuple[Check, Check]:
        text = str(prediction.questions[index])
        if verdict is None:
            return not_made("reachability", text, "", why), not_made("path", text, "", why)
        return Check("reachability", text, verdict, "", ""), Check("path", text, verdict, "", "")

    seen = [Observation(dial, answer) for dial, answer in zip(prediction.dials, prediction.answers, strict=True)]
    measurement = Measurement("20.10.24", prediction.plumbing, [], seen, {})
    return Verification(spec, prediction, measurement, [], [checks(i) for i in range(len(prediction.questions))])


def test_every_section_of_the_article_has_a_row_and_the_plugin_one_says_not_yet(
    spec: Spec, prediction: Prediction
) -> None:
    found = {row.section: row for row in told(judged(spec, prediction, True))}
    assert list(found) == ["default bridge", "user-defined bridge", "host", "macvlan", "none", "overlay", "ingress",
                           "plugin"]
    assert found["plugin"].verdict == found["plugin"].predicted == NOT_YET
    assert found["none"].verdict == "agreed" and found["none"].predicted == found["none"].measured


def test_every_question_of_the_articles_scenarios_belongs_to_one_section() -> None:
    for name in {section.scenario for section in SECTIONS} - {""}:
        for question in scenario(name).questions:
            assert [s.title for s in SECTIONS if s.scenario == name and s.has(question.group)], question


def test_a_section_that_this_kernel_cannot_measure_is_never_agreed(spec: Spec, prediction: Prediction) -> None:
    why = "can't be measured here: kernel lacks ip_vs"
    row = told(judged(spec, prediction, None, why))[0]
    assert (row.verdict, row.measured, row.why) == ("not measured", "nothing", why)


def test_a_disagreement_shows_in_its_section(spec: Spec, prediction: Prediction) -> None:
    assert told(judged(spec, prediction, False))[0].verdict == "disagreed"


def test_an_answer_that_is_one_of_those_drawn_agrees_and_another_does_not() -> None:
    one, two = (Answer(Outcome.REACHED, "10.0.1.2", name, "10.0.1.9") for name in ("web.1", "web.2"))
    assert compare_ways([one, two], two).agreed
    assert describe_ways([one, two]) == "reached web.1 or web.2 at 10.0.1.2, seen as 10.0.1.9"
    other = compare_ways([one, two], Answer(Outcome.REACHED, "10.0.1.2", "web.3", "10.0.1.9"))
    assert not other.agreed and "web.3" in other.detail


def test_a_stored_run_is_told_only_of_the_very_predictions_of_today(
    spec: Spec, prediction: Prediction, tmp_path: Path
) -> None:
    data = judged(spec, prediction, True).as_dict() | {"provenance": {"date": "2026-11-24T00:00:00Z"}}
    write_json(tmp_path / "data.json", data)
    assert demo._stored(tmp_path, spec) is not None
    data["questions"][0]["predicted"]["outcome"] = "reset"
    write_json(tmp_path / "data.json", data)
    assert demo._stored(tmp_path, spec) is None
    assert demo._stored(tmp_path / "nowhere", spec) is None


def test_who_has_neither_root_nor_qemu_is_told_that_a_micro_vm_would_do(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(article, "SCENARIOS", {"many-hosts": article.SCENARIOS["many-hosts"]})
    root = doctor.Item("privilege", "root", False, "runs as uid 65534", "the lab", "run it as root (sudo)", True)
    monkeypatch.setattr(demo.doctor, "examine", lambda: doctor.Report((root,)))
    done = demo.demo(out=tmp_path)
    assert all("apt-get install" in of["why_not_measured"] and "qemu" in of["why_not_measured"]
               for of in done.data.values())
