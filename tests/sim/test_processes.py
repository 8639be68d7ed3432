"""Questions that several processes ask: the same answers in the same order, the same mistakes, and nobody left over."""

from __future__ import annotations

import gc
import multiprocessing
import os
import signal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sim.compose import load
from sim.errors import LabError, SpecError
from sim.predict import predict
from sim.predict.processes import share_out, spared, worth
from tests.sim.test_world import SCENARIOS


def ignore(_count: int) -> None:
    pass


@pytest.fixture(autouse=True)
def nobody_is_left_over():
    yield
    assert not multiprocessing.active_children()


@given(st.lists(st.integers(0, 999), max_size=12), st.integers(1, 4))
@settings(max_examples=15, deadline=None)
def test_results_come_in_the_order_of_the_items_whoever_made_them(items: list[int], jobs: int) -> None:
    counts: list[int] = []
    assert share_out(items, lambda item: (item, str(item)), jobs, counts.append) == [(n, str(n)) for n in items]
    assert counts == list(range(1, len(items) + 1))


def test_several_processes_make_them() -> None:
    assert len(set(share_out(range(8), lambda item: os.getpid(), 2, ignore))) == 2
    assert set(share_out(range(8), lambda item: os.getpid(), 1, ignore)) == {os.getpid()}


@pytest.mark.parametrize("jobs", [1, 2, 3])
def test_the_first_mistake_of_all_is_the_callers_with_all_that_it_says(jobs: int) -> None:
    def do(item: int) -> int:
        if item >= 5:
            raise SpecError(f"no {item}", where="here", mend="take less")
        return item

    with pytest.raises(SpecError) as caught:
        share_out(range(20), do, jobs, ignore)
    assert str(caught.value) == "here: no 5; take less"
    assert (caught.value.problem, caught.value.where, caught.value.mend) == ("no 5", "here", "take less")


def test_a_process_that_is_killed_is_said() -> None:
    def do(item: int) -> int:
        if item == 3:
            os.kill(os.getpid(), signal.SIGKILL)
        return item

    with pytest.raises(LabError, match="was ended from outside; was there too little memory"):
        share_out(range(10), do, 2, ignore)


def test_an_interrupt_ends_the_other_processes() -> None:
    def interrupted(count: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        share_out(range(1000), lambda item: item, 2, interrupted)


def test_few_questions_are_worth_one_process() -> None:
    assert worth(0) == worth(40) == 1 and worth(10**6) == len(os.sched_getaffinity(0))


def test_the_collector_is_as_it_was_afterwards() -> None:
    before = gc.get_threshold(), gc.get_freeze_count(), gc.isenabled()
    with pytest.raises(KeyError), spared():
        assert gc.get_freeze_count() > 0
        raise KeyError
    assert (gc.get_threshold(), gc.get_freeze_count(), gc.isenabled()) == before


@pytest.mark.parametrize("name", ["shop", "faults", "drain"])
def test_several_processes_predict_what_one_does_whether_or_not_traces_are_kept(name: str) -> None:
    spec = load(next(path for path in SCENARIOS if path.stem == name))
    whole = predict(spec)
    assert any(whole.traces)
    for jobs in (1, 2):
        read = predict(spec, traces=False, jobs=jobs)
        assert not any(trace.steps for index in range(len(spec.questions)) for _, trace in read.ways(index))
        assert read.dials == whole.dials and read.reasons == whole.reasons and read.cautions == whole.cautions
        assert [[answer.as_dict() for answer, _ in read.ways(index)] for index in range(len(spec.questions))] == [
            [answer.as_dict() for answer, _ in whole.ways(index)] for index in range(len(spec.questions))]
