"""Our reading of a project is Compose's: the same values, and the same files are refused.

`docker-compose config` is asked (`live/compose.py`). A project that it accepts may be refused here only for a thing
that is not modelled, by name. One that it refuses for want of an image is read: no image is pulled here.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from live import compose as real
from sim.compose import load, schema
from tests.sim.compose.drawn_projects import Drawn, projects, text
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


VALUES: tuple[Any, ...] = (
    None, True, 5, -5, 1.5, "text", "5", "10s", "1g", "", [], ["a"], ["a", "a"], {}, {"a": "b"}, {"a": None}, [5], [{}])
KEYS = [*(("service", key) for key in schema.SERVICE if key not in ("extends", "pid")),
        *(("network", key) for key in schema.NETWORK), *(("top", key) for key in schema.TOP)]
"""But for `pid`: Compose ends with a panic when it has no value."""


@settings(max_examples=100)
@given(place=st.sampled_from(KEYS), value=st.sampled_from(VALUES))
def test_any_key_takes_the_kinds_of_values_that_it_takes_in_compose(place: tuple[str, str], value: Any) -> None:
    where, key = place
    content: dict[str, Any] = {"services": {"a": {"image": "x", "networks": ["n"]}}, "networks": {"n": {}}}
    if where == "top":
        content |= {key: value}
    elif where == "service":
        content["services"]["a"] = {"image": "x", key: value}
    else:
        content["networks"]["n"] = {key: value}
    with tempfile.TemporaryDirectory() as name:
        Path(name, "compose.yaml").write_text(text(content))
        assert disagreement(Path(name), Drawn({}, ("-p", "p"))) == []


@settings(max_examples=120)
@given(drawn=projects())
def test_any_project_is_read_as_compose_reads_it(drawn: Drawn) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name, "Drawn Project")
        folder.mkdir()
        drawn.write(folder)
        assert disagreement(folder, drawn) == []
