"""How two Compose files become one, key by key. (Against Compose itself: test_differential.py.)"""

from __future__ import annotations

from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from sim.compose.canonical import canonical
from sim.compose.document import parse_one
from sim.compose.merge import merge, unique
from sim.errors import SpecError


def merged(base: str, over: str) -> Any:
    """The service of both."""
    texts = [f"services: {{web: {text}}}" for text in (base, over)]
    root = merge(*(canonical(parse_one(text, "c.yaml")) for text in texts))
    return unique(canonical(unique(root))).plain()["services"]["web"]


@pytest.mark.parametrize(("base", "over", "expected"), [
    ("{hostname: a}", "{hostname: b}", {"hostname": "b"}),
    ("{command: [a, b]}", "{command: c}", {"command": "c"}),
    ("{dns: 1.1.1.1}", "{dns: [2.2.2.2, 1.1.1.1]}", {"dns": ["1.1.1.1", "2.2.2.2"]}),
    ("{expose: [80]}", "{expose: ['80', 81]}", {"expose": ["80", 81]}),
    ("{networks: [a]}", "{networks: {a: {priority: 1}, b: }}", {"networks": {"a": {"priority": 1}, "b": None}}),
    ("{networks: {n: {aliases: [a, b]}}}", "{networks: {n: {aliases: [b, c]}}}",
     {"networks": {"n": {"aliases": ["a", "b", "c"]}}}),
    ("{environment: {A: 1}}", "{environment: [A=2, B]}", {"environment": ["A=2", "B"]}),
    ("{sysctls: [a=1, b=1]}", "{sysctls: {a: 2}}", {"sysctls": ["a=2", "b=1"]}),
    ("{extra_hosts: ['a=1']}", "{extra_hosts: {a: 2, b: [3, 4]}}", {"extra_hosts": ["a=1", "a=2", "b=3", "b=4"]}),
    ("{cap_add: [A]}", "{cap_add: [A, B]}", {"cap_add": ["A", "B"]}),
    ("{deploy: {replicas: 1, mode: x}}", "{deploy: {replicas: 2}}", {"deploy": {"replicas": 2, "mode": "x"}}),
    ("{ports: ['80:80']}", "{ports: ['80:80', '81:80']}", ["80", "81"]),
    ("{ports: ['80:80']}", "{ports: [{target: 80, published: '80'}]}", ["80"]),
    ("{ports: ['80:80']}", "{ports: ['127.0.0.1:80:80']}", ["80", "80"]),
    ("{ports: ['80-81:80-81']}", "{ports: ['81:81']}", ["80", "81"]),
])
def test_a_later_file_adds_to_lists_and_mappings_and_replaces_the_rest(base: str, over: str, expected: Any) -> None:
    found = merged(base, over)
    assert ([port["published"] for port in found["ports"]] if isinstance(expected, list) else found) == expected


def test_a_dependency_in_the_short_form_is_merged_into_the_long_one() -> None:
    found = merged("{depends_on: {db: {condition: service_healthy}}}", "{depends_on: [db, api]}")["depends_on"]
    assert found == {name: {"condition": "service_started", "required": True} for name in ("db", "api")}


def test_a_mapping_can_not_be_overridden_by_a_text() -> None:
    with pytest.raises(SpecError, match=r"can't be merged into a mapping \(c.yaml:1\)"):
        merged("{deploy: {replicas: 1}}", "{deploy: none}")


def test_subnets_of_a_network_are_merged_by_subnet() -> None:
    texts = ("networks: {n: {ipam: {config: [{subnet: 10.1.0.0/24, gateway: 10.1.0.1}]}}}",
             "networks: {n: {ipam: {config: [{subnet: 10.1.0.0/24, ip_range: 10.1.0.0/28}]}}}")
    root = merge(*(parse_one(text, "c.yaml") for text in texts))
    assert root.plain()["networks"]["n"]["ipam"]["config"] == [
        {"subnet": "10.1.0.0/24", "gateway": "10.1.0.1", "ip_range": "10.1.0.0/28"}]


KEYS = st.dictionaries(st.sampled_from(["hostname", "image", "restart"]), st.sampled_from(["a", "b"]))
LISTS = st.fixed_dictionaries({}, optional={
    key: st.lists(st.sampled_from(["80", "81", "82"]), min_size=1) for key in ("expose", "ports", "dns")})


@given(first=KEYS, second=KEYS, lists=LISTS)
def test_merging_a_file_into_itself_changes_nothing(
    first: dict[str, str], second: dict[str, str], lists: dict[str, list[str]],
) -> None:
    once, again = yaml.safe_dump({**first, **lists}), yaml.safe_dump({**second, **lists})
    alone = merged("{}", yaml.safe_dump(yaml.safe_load(once), default_flow_style=True))
    flow = [yaml.safe_dump(yaml.safe_load(text), default_flow_style=True) for text in (once, once)]
    assert merged(*flow) == alone
    assert {key: value for key, value in merged(flow[0], yaml.safe_dump(
        yaml.safe_load(again), default_flow_style=True)).items() if key in second} == {
            key: alone.get(key, value) if key in lists else value for key, value in second.items()}
