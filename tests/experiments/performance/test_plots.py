"""The pictures that a stranger reads: whole, legible, the same bytes for the same figures, open about what is missing.

What is in a picture is asked of the figure itself (its texts and where they stand), for several kinds of awkward data.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from functools import cache
from itertools import combinations
from pathlib import Path
from types import ModuleType
from typing import Any

import matplotlib as mpl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.text import Text
from matplotlib.transforms import Bbox

from experiments import results
from experiments.performance import plots
from experiments.performance.plots import bars, curves, lines, marks, page, ranking

KINDS: dict[str, ModuleType] = {
    name: sys.modules[f"experiments.performance.plots.{name}"] for name in ("ranking", "curves", "bars", "lines")}
DRAW = {"ranking": ranking, "curves": curves, "bars": bars, "lines": lines}
CASES = ("ordinary", "long names", "huge spread", "many", "one", "not measured", "partly measured", "extrapolated",
         "zero")
LONG = "container_of_a_stack_with_a_name_that_has_no_place_to_break to another host, through an encrypted overlay of $5"
ABOUT = {"cpu": "Intel(R) Xeon(R) Processor", "cpus": 2, "kernel": "6.18.44", "engine": "20.10.24", "rounds": 10}


def figure_of(kind: str, data: Mapping[str, Any]) -> Figure:
    with mpl.rc_context(page.RC):
        drawn: Figure = KINDS[kind].figure(data)
        FigureCanvasAgg(drawn).draw()
    return drawn


@cache
def case_of(kind: str, case: str) -> Figure:
    """Drawn once, looked at by several tests."""
    return figure_of(kind, made_up(kind, case))


def interval(value: float) -> dict[str, float]:
    return {"value": value, "low": value * 0.98, "high": value * 1.03}


def made_up(kind: str, case: str) -> dict[str, Any]:
    """Data for a picture: `count` scenarios (paths, series, lines), each `step` times the one before."""
    count = {"many": 24 if kind == "ranking" else 6, "one": 1}.get(case, 3)
    step = 20.0 if case == "huge spread" else 1.3
    data: dict[str, Any] = {
        "title": "A sentence that says what came out, long enough for two lines of the page; predicted 3.6 µs, that is "
                 "46 % more than in host mode", "provenance": ABOUT, "confidence": 0.95, "unit_shown": "µs",
        "factor": 1e6, "x_label": "what is on this axis", "y_label": "round trip"}
    names = [f"{LONG} {n}" if case == "long names" else f"path {n}" for n in range(count)]

    def pair(n: int, at: int, value: float) -> dict[str, Any]:
        known = case != "not measured" and not (case == "partly measured" and n == 1 and at < 2)
        value = 0.0 if case == "zero" and at == 0 else value
        return {"predicted": interval(value * 1.04), "measured": interval(value) if known else None,
                "extrapolated": case == "extrapolated" and n == 1}

    if kind == "ranking":
        return data | {"rows": [
            {"name": name, "group": LONG if case == "long names" and n else f"group {n % 2}",
             "rounds": [] if case == "not measured" else [8e-6 * step**n], **pair(n, n, 8e-6 * step**n)}
            for n, name in enumerate(names)]}
    if kind == "bars":
        return data | {"unit_shown": "Gbit/s", "factor": 1e-9, "rows": [
            {"name": name, "series": f"{series} {LONG if case == 'long names' else ''}",
             **pair(n, at, 3e9 * step**(n - at))}
            for n, name in enumerate(names if case != "many" else [f"path {n}" for n in range(8)])
            for at, series in enumerate(("one stream", "8 streams", "UDP, 64 bytes", "UDP, 1400 bytes")[:count])]}
    if kind == "lines":
        numbers = (1500,) if case == "one" else (0, 10, 100, 1000, 65000)
        return data | {"log_x": case != "one", "lines": [
            {"name": name, "points": [{"x": x, **pair(n, at, 8e-6 * step**n * (1 + x / 900))}
                                      for at, x in enumerate(numbers)]} for n, name in enumerate(names)]}

    def point(n: int, at: int, load: float) -> dict[str, Any]:
        both = pair(n, at, 8e-6 * step**n * (1 + at))
        measured = both["measured"]
        return {"load": load, "extrapolated": both["extrapolated"], "lost_predicted": max(0.0, 0.1 * (at - 4)),
                "predicted": {"p50": both["predicted"]["value"], "p99": both["predicted"]["value"] * 1.5},
                "measured": measured and {"p50": measured, "p99": interval(1.5 * measured["value"])},
                "lost_measured": measured and interval(max(0.0, 0.1 * (at - 4)))}

    return data | {"curves": [
        {"name": name, "points": [point(n, at, 3e4 * (at + 1)) for at in range(1 if case == "one" else 6)],
         "saturation": {"predicted": 1.4e5, "measured": None if case == "not measured" else interval(1.43e5)}}
        for n, name in enumerate(names)]}


def visible(drawn: Figure) -> Iterator[tuple[str, Bbox]]:
    """The texts that a reader sees, with their boxes in pixels."""
    beyond = set()
    for axes in drawn.axes:
        for axis in (axes.xaxis, axes.yaxis):
            low, high = sorted(axis.get_view_interval())
            for tick in (*axis.get_major_ticks(), *axis.get_minor_ticks()):
                if not low <= tick.get_loc() <= high:
                    beyond |= {id(tick.label1), id(tick.label2)}
    for text in drawn.findobj(Text):
        assert isinstance(text, Text)
        if text.get_visible() and text.get_text().strip() and id(text) not in beyond:
            yield text.get_text(), text.get_window_extent()


def said(drawn: Figure) -> str:
    return " ".join(text.replace("\n", " ").replace("\u00a0", " ") for text, _ in visible(drawn))


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("kind", KINDS)
def test_every_label_stands_on_the_page_and_none_on_another(kind: str, case: str) -> None:
    drawn = case_of(kind, case)
    texts = list(visible(drawn))
    for text, box in texts:
        assert box.x0 >= -1 and box.y0 >= -1 and box.x1 <= drawn.bbox.x1 + 1 and box.y1 <= drawn.bbox.y1 + 1, text
    for (one, a), (other, b) in combinations(texts, 2):
        apart = a.x1 - 1 <= b.x0 or b.x1 - 1 <= a.x0 or a.y1 - 1 <= b.y0 or b.y1 - 1 <= a.y0
        assert apart, f"{one!r} stands on {other!r}"


@pytest.mark.parametrize("kind", KINDS)
def test_a_picture_is_a_png_and_an_svg_with_the_same_bytes_each_time(kind: str, tmp_path: Path) -> None:
    for folder in ("one", "two"):
        DRAW[kind](made_up(kind, "ordinary"), tmp_path / folder, "name")
    files = sorted(path.name for path in (tmp_path / "one").iterdir())
    assert files == ["name.png", "name.svg"]
    for name in files:
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()
    assert b"dc:date" not in (tmp_path / "one" / "name.svg").read_bytes()


def test_another_process_draws_the_same_svg(tmp_path: Path) -> None:
    plots.ranking(made_up("ranking", "one"), tmp_path, "here")
    program = ("import sys, json, pathlib; from experiments.performance import plots; "
               "plots.ranking(json.load(sys.stdin), pathlib.Path(sys.argv[1]), 'there')")
    subprocess.run([sys.executable, "-c", program, str(tmp_path)], cwd=Path(__file__).parents[3], check=True,
                   timeout=120, input=results.to_json(made_up("ranking", "one")), text=True,
                   env={**os.environ, "PYTHONHASHSEED": "17"})
    here, there = (hashlib.sha256((tmp_path / f"{name}.svg").read_bytes()).hexdigest() for name in ("here", "there"))
    assert here == there


@pytest.mark.parametrize("kind", KINDS)
def test_the_title_and_the_origin_of_the_figures_are_on_the_page(kind: str) -> None:
    data = made_up(kind, "ordinary")
    text = said(figure_of(kind, data))
    assert data["title"] in text
    for part in ("Intel(R) Xeon(R) Processor, 2 CPUs", "Linux 6.18.44", "Docker Engine 20.10.24", "10 rounds"):
        assert part in text
    assert ("lowest to highest round" if kind == "curves" else "95 % intervals") in text
    assert data["x_label"] in text and f"({data['unit_shown']})" in text


def test_a_noisy_run_says_so_in_the_footer() -> None:
    data = made_up("ranking", "one")
    data["provenance"] = ABOUT | {"noise": {"quiet": False, "reasons": ["the hypervisor took 9 % of the time"]}}
    assert "a noisy run: the hypervisor took 9 % of the time" in said(figure_of("ranking", data))


@pytest.mark.parametrize("kind", KINDS)
def test_what_was_not_measured_is_said_and_drawn_as_predicted_only(kind: str) -> None:
    drawn = case_of(kind, "not measured")
    assert "not measured" in said(drawn)
    colours = {line.get_color() for axes in drawn.axes for line in axes.get_lines() if len(line.get_xdata())
               and any(value == value for value in line.get_ydata())}
    assert plots.PREDICTED["color"] in colours
    assert plots.MEASURED["color"] not in colours


def test_a_single_load_that_was_not_measured_is_named() -> None:
    text = said(case_of("curves", "partly measured"))
    assert "not measured at 30k/s, 60k/s" in text


def test_a_path_without_figures_in_a_series_is_no_zero() -> None:
    data = made_up("bars", "ordinary")
    data["rows"].pop()
    assert "no data" in said(figure_of("bars", data))


def hollow(drawn: Figure) -> list[Line2D]:
    return [line for axes in drawn.axes for line in axes.get_lines()
            if line.get_markerfacecolor() == "white" and line.get_color() == plots.PREDICTED["color"]]


@pytest.mark.parametrize("kind", KINDS)
def test_an_extrapolated_prediction_is_hollow_and_explained(kind: str) -> None:
    drawn = case_of(kind, "extrapolated")
    assert hollow(drawn)
    assert "extrapolated: beyond what was calibrated" in said(drawn)
    ordinary = case_of(kind, "ordinary")
    assert not hollow(ordinary)
    assert "extrapolated" not in said(ordinary)


def test_a_ranking_goes_from_fast_to_slow_by_what_was_measured() -> None:
    data = made_up("ranking", "ordinary")
    for row in data["rows"]:
        row["group"] = ""
    data["rows"].reverse()
    labels = [label.get_text() for label in figure_of("ranking", data).axes[0].get_yticklabels()]
    assert labels == ["path 0", "path 1", "path 2"]


def test_a_saturation_is_marked_and_named() -> None:
    drawn = case_of("curves", "ordinary")
    assert "saturates at 140k/s predicted, 143k/s measured" in said(drawn)
    dotted = [line for line in drawn.axes[0].get_lines() if line.get_linestyle() == ":"]
    marked = {line.get_color(): line.get_xdata()[0] for line in dotted}
    assert marked == pytest.approx({plots.PREDICTED["color"]: 140, plots.MEASURED["color"]: 143})


def test_a_small_and_a_huge_value_are_told_apart_on_a_log_scale_that_says_so() -> None:
    drawn = case_of("ranking", "huge spread")
    assert drawn.axes[-1].get_xscale() == "log"
    assert "log scale" in said(drawn)


def test_the_two_styles_are_the_same_in_every_picture() -> None:
    assert plots.PREDICTED is marks.PREDICTED and plots.MEASURED is marks.MEASURED
    for which in ("ranking", "bars", "lines"):  # curves have a line for each percentile
        legends = case_of(which, "ordinary").legends
        assert {"predicted", "measured"} <= {text.get_text() for legend in legends for text in legend.get_texts()}


def test_nothing_to_draw_is_one_clear_line(tmp_path: Path) -> None:
    with pytest.raises(results.ResultsError, match="name: nothing to draw"):
        plots.bars({"title": "Nothing.", "rows": []}, tmp_path, "name")
    assert not list(tmp_path.iterdir())


@given(st.floats(min_value=1e-6, max_value=1e9))
def test_a_figure_is_shown_to_three_digits_without_exponents(value: float) -> None:
    text = marks.shown(value)
    assert "e" not in text
    assert float(text.replace(marks.THIN, "")) == pytest.approx(value, rel=0.0051)


@pytest.mark.parametrize(("predicted", "measured", "text"), [
    (1.05, 1.0, "+5.0 %"), (0.9, 1.0, "\u221210.0 %"), (0.99999, 1.0, "0.0 %"), (5.0, 1.0, "+400 %"), (0.0, 0.0, "0 %"),
    (1.0, 0.0, "–"), (None, 1.0, ""), (1.0, None, "")])
def test_an_error_is_a_share_of_what_was_measured(predicted: float | None, measured: float | None, text: str) -> None:
    assert marks.error(marks.mark(predicted), marks.mark(measured)) == text


@given(st.text(alphabet="ab -_9%µs", max_size=120), st.floats(min_value=0.4, max_value=5))
def test_wrapped_text_fits_and_loses_nothing_but_spaces(text: str, inches: float) -> None:
    wrapped = page.wrap(text, inches, 10)
    assert all(page.width_of(line, 10) <= inches for line in wrapped.split("\n"))
    assert "".join(wrapped.split()) == "".join(text.split())


def test_a_number_and_its_unit_stay_on_one_line() -> None:
    for inches in (0.8, 1.0, 1.2, 1.5, 2.0):
        assert "8.2\nµs" not in page.wrap("it takes 8.2 µs, that is 46 % more", inches, 10)
