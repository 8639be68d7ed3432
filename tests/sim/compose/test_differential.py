"""Our reading of a project is Compose's: the same values, and the same files are refused.

`docker-compose config` is asked (`live/compose.py`). A project that it accepts may be refused here only for a thing
that is not modelled, by name. One that it refuses for want of an image is read: no image is pulled here.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings

from live import compose as real
from sim.compose import load
from tests.sim.compose.drawn_projects import Drawn, projects
from tests.sim.compose.oracle import NOT_MODELLED, by_compose, by_us, differences, printed_by_compose

REQUIRED = os.environ.get("HOPCAST_REQUIRE_COMPOSE", "") not in ("", "0")
"""Set by .ci/run where docker-compose was fetched."""
SCENARIOS = sorted((Path(__file__).parents[3] / "experiments" / "scenarios").glob("*.yaml"))

pytestmark = pytest.mark.skipif(
    real.present() is None and not REQUIRED, reason="docker-compose was not fetched: python -m live.compose")


def disagreement(folder: Path, drawn: Drawn) -> list[str]:
    """What the two readings of a project differ in."""
    theirs = by_compose(folder, drawn.options, drawn.environment)
    ours = by_us(folder, drawn.options, drawn.environment)
    if "neither an image nor a build" in theirs.refusal:
        return []
    if theirs.project is None:
        return [] if ours.project is None else [f"Compose refuses: {theirs.refusal}"]
    if ours.project is None:
        return [] if NOT_MODELLED.search(ours.refusal) else [f"only we refuse: {ours.refusal}"]
    return differences(theirs.project, ours.project)


@pytest.mark.parametrize("file", SCENARIOS, ids=lambda file: file.stem)
def test_a_scenario_is_read_as_compose_reads_it(file: Path) -> None:
    assert disagreement(file.parent, Drawn({}, ("-f", file.name))) == []


@pytest.mark.parametrize("file", SCENARIOS, ids=lambda file: file.stem)
def test_what_docker_compose_config_prints_is_read_like_the_project_itself(file: Path, tmp_path: Path) -> None:
    (tmp_path / "printed.yaml").write_text(printed_by_compose(file.parent, ("-f", file.name)))
    first, again = by_us(file.parent, ("-f", file.name)), by_us(tmp_path, ("-f", "printed.yaml"))
    assert first.project is not None and again.project is not None, again.refusal
    assert differences(first.project, again.project) == []
    load(tmp_path / "printed.yaml", environment={})


@settings(max_examples=200)
@given(drawn=projects())
def test_any_project_is_read_as_compose_reads_it(drawn: Drawn) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name, "Drawn Project")
        folder.mkdir()
        drawn.write(folder)
        assert disagreement(folder, drawn) == []
