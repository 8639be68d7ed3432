"""Ending a run: whatever it left goes, whoever ends it, in one way only.

Kill everything in its control group, delete its namespaces, remove the group and the folder. There is no gentler way
besides: an engine that is killed leaves only what lives in its own mount and network namespaces, and these end with it.
Only what is recorded, or carries the mark of a run (`hc-<6 hex digits>-…`) without a record, is touched, and a run
whose owner lives only when that is asked for.
"""

from __future__ import annotations

import os
import re

from live import cgroup, netns, state

PREFIX = "hc-"
MARK = re.compile(r"hc-([0-9a-f]{6})-")


def down(run: str, *, force: bool = False) -> bool:
    """Ends one run and removes all of it; True when there was something. A run whose owner is another living process is
    left alone (False) unless `force`. LabError when something does not go within its time limit."""
    record = state.load(run)
    if record is not None and record.owner_alive and record.owner != os.getpid() and not force:
        return False
    mark = f"{PREFIX}{run}-"
    if record is None and not netns.names(mark) and run not in cgroup.runs() and not (state.STATE / run).exists():
        return False
    cgroup.kill(run)
    for name in netns.names(mark):  # only now: who was killed may just have made another
        netns.delete(name)
    cgroup.remove(run)
    state.Record(run, 0, "").remove()
    return True


def down_all(*, force: bool = False, kept: bool = True) -> list[str]:
    """Ends every run whose owner is gone; with `force` every run; without `kept` not those that were asked to stay.
    Returns the runs that ended."""
    staying = set() if kept else {record.run for record in state.records() if record.kept}
    return [run for run in present() if run not in staying and down(run, force=force)]


def present() -> list[str]:
    """Every run of which something is there, recorded ones first."""
    recorded = [record.run for record in state.records()]
    marked = {match[1] for name in netns.names(PREFIX) if (match := MARK.match(name))}
    grouped = {run for run in cgroup.runs() if MARK.match(f"{PREFIX}{run}-")}
    return recorded + sorted((marked | grouped) - set(recorded))
