"""The plots of a verification are drawn, whatever stands in a file's names and however large the file is."""

from __future__ import annotations

import struct
import warnings
from pathlib import Path

import pytest

from experiments import plots
from experiments.publish import publish
from experiments.verify import unmeasured
from sim.build import topology
from sim.spec import Question
from sim.trace import Answer, Outcome


def size(png: Path) -> tuple[int, int]:
    """Width and height in pixels, from the file's header."""
    width, height = struct.unpack(">II", png.read_bytes()[16:24])
    return width, height


@pytest.mark.parametrize("text", ["costs $5 and $6", r"$\frac{", "\x1b[31mred", "x" * 5000, "日本 \ud800"])
def test_a_title_that_is_no_mathematics_and_no_control_is_drawn(tmp_path: Path, text: str) -> None:
    questions, answers = [Question(source="a", target="b")], [Answer(Outcome.REACHED)]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        figure = plots.reachability(questions, answers, [None], [None], text)
        png, svg = plots.save(figure, tmp_path, "reachability")
    assert max(size(png)) <= plots.LARGEST
    assert "\x1b" not in svg.read_text()


def test_a_matrix_too_large_for_a_picture_is_drawn_with_fewer_pixels_an_inch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(plots, "LARGEST", 900)
    names = [f"n{number}" for number in range(40)]
    questions = [Question(source=name, target=names[0]) for name in names]
    answers = [Answer(Outcome.REACHED) for _ in names]
    figure = plots.reachability(questions, answers, answers, [True] * len(names), "hundreds")
    png, _ = plots.save(figure, tmp_path, "reachability")
    assert max(size(png)) <= 900 * 1.2  # the tight frame adds a margin
    assert max(figure.get_size_inches()) * plots.DPI > 900


def test_each_outcome_has_a_colour() -> None:
    assert plots.COLOURS.keys() == set(Outcome)


def test_a_question_through_a_published_port_is_drawn_as_a_ladder_though_nothing_was_measured(tmp_path: Path) -> None:
    spec = (topology("ladder").network("front").container("web", networks=["front"], listens=[80], ports=["8080:80"])
            .ask("client -> web:80 published").spec())
    written = {path.name for path in publish(unmeasured(spec, "no root"), tmp_path, "A ladder")}
    assert {"reachability.png", "path.png", "path.svg", "summary.md"} <= written
    assert "not measured here" in (tmp_path / "path.svg").read_text()
