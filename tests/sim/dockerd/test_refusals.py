"""dockerd's refusals, word for word (tests/goldens/rules-20.10/refusals.*): `…` stands for an id."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
import yaml

from sim import spec
from sim.errors import PlumbError
from tests.sim.dockerd.engines import GOLDENS, engine, refused

CASES: dict[str, Any] = yaml.safe_load((GOLDENS / "refusals.yaml").read_text())
ANSWERS: dict[str, str] = json.loads((GOLDENS / "refusals.json").read_text())


@pytest.mark.parametrize("case", CASES)
def test_refusal_is_worded_as_dockerd_words_it(case: str) -> None:
    daemon = engine()
    with pytest.raises(PlumbError) as info:
        for network in CASES[case].get("networks", []):
            daemon.network_create(refused(spec.Network, network))
        for box in CASES[case].get("containers", []):
            daemon.container_run(refused(spec.Container, box))
    assert info.value.refusal == ANSWERS[case]


def test_refusal_names_the_object() -> None:
    daemon = engine()
    with pytest.raises(PlumbError) as info:
        daemon.network_create(spec.Network(name="demo_front", key="front", subnet="172.17.0.0/24"))
    assert re.match(r"network front: Pool overlaps", str(info.value))
