"""What the literature says, held against predicted and measured figures."""

from __future__ import annotations

import json
from typing import Any

from experiments.performance import relations
from experiments.performance.relations import RELATIONS, compare
from experiments.performance.verdicts import Outcome

TEXTBOOK: dict[str, dict[str, Any]] = {
    "latency": {"native": 7.9, "host": 8.0, "macvlan": 8.4, "bridge": 9.5, "bridge+NAT": 10.2, "overlay": 15.4},
    "throughput": {"host": {"1": 20e9, "8": 40e9}, "bridge+NAT": {"1": 15e9, "8": 39e9},
                   "overlay": {"1": 10e9, "8": 38e9}},
    "udp": {path: {"64": 64e6, "512": 512e6, "1400": 1400e6} for path in ("host", "overlay")},
}


def test_figures_as_in_the_textbook_hold_everywhere_and_need_no_words() -> None:
    rows = compare(TEXTBOOK, TEXTBOOK)
    assert len(rows) == len(RELATIONS)
    assert {row.measured.outcome for row in rows} == {row.predicted.outcome for row in rows} == {Outcome.HOLDS}
    assert not any(row.says for row in rows)
    assert "Where it is not" not in relations.markdown(rows)


def test_where_this_machine_differs_it_is_said_whether_the_model_knew_and_why() -> None:
    here = TEXTBOOK | {"latency": {"host": 8.17, "bridge+NAT": 11.95}}
    steps = {"host": {"route": 1e-6}, "bridge+NAT": {"route": 2e-6, "rule": 1.5e-6}}
    named = {row.relation.name: row for row in compare(here | {"steps": steps}, here)}
    nat = named["NAT / host"]
    assert nat.measured.outcome is Outcome.FAILS and not nat.relation.required
    assert nat.says.startswith("This machine differs (1.46), as the model says.")
    assert "rule +1.50 µs, route +1.00 µs" in nat.says and "physical network" in nat.says
    assert named["macvlan < bridge"].measured.outcome is Outcome.NO_DATA and not named["macvlan < bridge"].says
    unaware = {row.relation.name: row for row in compare(TEXTBOOK, here)}["NAT / host"]
    assert "which the model does not say" in unaware.says
    reverse = {row.relation.name: row for row in compare(here, TEXTBOOK)}["NAT / host"]
    assert reverse.says == "It holds here, and the model says that it does not."


def test_overlapping_intervals_are_undecided_and_said_to_be() -> None:
    wide = {"latency": {"macvlan": {"value": 8.0, "low": 7.0, "high": 9.0}, "bridge": 8.4}}
    row = {row.relation.name: row for row in compare(TEXTBOOK, wide)}["macvlan < bridge"]
    assert row.measured.outcome is Outcome.UNDECIDED and row.says == "Measured, it is undecided: the intervals overlap."


def test_the_table_has_a_row_a_relation_and_every_source_says_what_was_read() -> None:
    said = relations.markdown(compare(TEXTBOOK, {}))
    assert sum(line.startswith("| ") for line in said.splitlines()) == len(RELATIONS) + 1
    assert "no data" in said and "(other hardware)" in said
    for relation in RELATIONS:
        assert relation.sources
        for source in relation.sources:
            assert source.seen and f"- {source.key}: " in said


def test_rows_are_json() -> None:
    rows = compare(TEXTBOOK, {})
    said = json.loads(json.dumps([row.as_dict() for row in rows], allow_nan=False))
    assert said[0]["predicted"]["outcome"] == "holds" and said[0]["measured"]["ratio"] is None
    assert relations.counts(rows) == {"holds": 0, "does not hold": 0, "undecided": 0,
                                      "no data": sum(r.required for r in RELATIONS)}


def test_figures_from_json_give_the_same_verdicts() -> None:
    again = json.loads(json.dumps(TEXTBOOK))
    assert [row.as_dict() for row in compare(again, again)] == [row.as_dict() for row in compare(TEXTBOOK, TEXTBOOK)]
