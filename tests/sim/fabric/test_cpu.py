from random import Random

import pytest
import simpy
from hypothesis import given
from hypothesis import strategies as st

from sim.fabric.costs import Interruption
from sim.fabric.cpu import Cpu, Priority, after


def cpu_with_log(interruptions=(), seed=0):
    env = simpy.Environment()
    cpu, log = Cpu(env, interruptions, Random(seed)), []

    def job(name, seconds, priority=Priority.OTHER, then=None):
        def done():
            log.append((name, env.now))
            if then:
                then()

        cpu.submit(lambda: seconds, done, priority)

    return env, cpu, job, log


def test_jobs_of_one_priority_are_served_in_the_order_in_which_they_became_ready():
    env, _, job, log = cpu_with_log()
    for name in "abc":
        job(name, 2.0)
    env.run()
    assert log == [("a", 2.0), ("b", 4.0), ("c", 6.0)]


def test_softirq_goes_before_a_fifo_thread_and_that_before_the_others():
    env, _, job, log = cpu_with_log()
    job("running", 1.0)
    job("other", 1.0)
    job("fifo", 1.0, Priority.FIFO)
    job("softirq", 1.0, Priority.SOFTIRQ)
    env.run()
    assert [name for name, _ in log] == ["running", "softirq", "fifo", "other"]


def test_job_in_progress_is_not_taken_off_the_cpu():
    env, _, job, log = cpu_with_log()
    job("long", 10.0)
    after(env, 1.0, lambda: job("fifo", 1.0, Priority.FIFO))
    env.run()
    assert log == [("long", 10.0), ("fifo", 11.0)]


def test_who_is_woken_by_a_job_runs_before_those_who_waited_if_it_has_the_priority():
    env, _, job, log = cpu_with_log()
    job("server", 1.0, then=lambda: job("receiver", 1.0, Priority.FIFO))
    job("server again", 1.0)
    env.run()
    assert [name for name, _ in log] == ["server", "receiver", "server again"]


def test_work_is_said_when_the_job_begins():
    env, cpu, job, _ = cpu_with_log()
    job("first", 3.0)
    asked = []
    cpu.submit(lambda: asked.append(env.now) or 1.0, lambda: None)
    env.run()
    assert asked == [3.0] and cpu.worked == 4.0


@given(st.lists(st.tuples(st.floats(0, 10), st.floats(0, 3), st.sampled_from(Priority)), max_size=30))
def test_cpu_is_never_idle_while_somebody_waits(jobs):
    env, cpu, job, log = cpu_with_log()
    for number, (at, seconds, priority) in enumerate(jobs):
        after(env, at, lambda n=number, s=seconds, p=priority: job(n, s, p))
    env.run()
    end = 0.0
    for at, seconds, _ in sorted(jobs):  # whatever the order of service is
        end = max(end, at) + seconds
    assert len(log) == len(jobs)
    assert max((at for _, at in log), default=0.0) == pytest.approx(end)
    assert cpu.worked == pytest.approx(sum(seconds for _, seconds, _ in jobs))


def test_interruptions_prolong_work_by_their_share():
    env, cpu, job, log = cpu_with_log([Interruption(100.0, 1e-3), Interruption(10.0, 5e-3)])
    job("long", 100.0)
    env.run()
    assert log[0][1] == pytest.approx(115.0, rel=0.02)
    assert cpu.worked == 100.0 and cpu.stolen == pytest.approx(15.0, rel=0.1)


def test_interruptions_of_an_idle_cpu_delay_the_next_job():
    waits = []
    for seed in range(400):
        env, _, job, log = cpu_with_log([Interruption(1.0, 1.0)], seed)
        after(env, 50.0, lambda job=job: job("short", 0.0))
        env.run()
        waits.append(log[0][1] - 50.0)
    late = [wait for wait in waits if wait > 0]
    assert all(0 <= wait <= 1.0 for wait in waits)
    assert len(late) / 400 == pytest.approx(0.5, abs=0.08), "half of the time is somebody else's"
    assert sum(late) / len(late) == pytest.approx(0.5, abs=0.08)


def test_interruptions_come_the_same_for_the_same_seed():
    def run(seed):
        env, _, job, log = cpu_with_log([Interruption(50.0, 1e-3)], seed)
        for name in range(100):
            job(name, 0.01)
        env.run()
        return log

    assert run(1) == run(1) != run(2)
