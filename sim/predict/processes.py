"""Work shared out among processes, each of which has the world as it stands by fork; results come in order.

A process takes every n-th index. Mistakes are the caller's, as if there had been one process: the error of the lowest
index is raised. Ctrl-C ends the caller, which ends the others; where the caller is gone, they end by themselves.
Where a topology is large, the garbage collector looks through all of it again and again and finds nothing: `spared`
keeps what stands out of its sight.
"""

from __future__ import annotations

import gc
import os
import signal
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from multiprocessing import get_context
from multiprocessing.connection import Connection, wait
from typing import Any, TypeVar

from sim.errors import LabError

Result = TypeVar("Result")
YOUNG = 50_000
"""Objects that are made before the collector looks at them: about as many as a question in a large topology makes."""
FEW = 256
"""Items that one process does sooner than several are started."""


def cpus() -> int:
    """How many this process may run on."""
    return len(os.sched_getaffinity(0))


def worth(items: int) -> int:
    """How many processes so many items are worth, where nobody said."""
    return min(cpus(), max(1, items // FEW))


@contextmanager
def spared() -> Iterator[None]:
    """What stands now is not garbage until the end; what is made meanwhile is looked at seldom."""
    thresholds, ours = gc.get_threshold(), gc.get_freeze_count() == 0
    if ours:
        gc.freeze()
    gc.set_threshold(YOUNG, *thresholds[1:])
    try:
        yield
    finally:
        gc.set_threshold(*thresholds)
        if ours:
            gc.unfreeze()


def share_out(
    items: Sequence[int], do: Callable[[int], Result], jobs: int, done: Callable[[int], None]
) -> list[Result]:
    """`do` of each item, in the order of the items. `done` is called after each with how many that are. LabError when
    a process was ended from outside."""
    if min(jobs, len(items)) <= 1:
        results = []
        for item in items:
            results.append(do(item))
            done(len(results))
        return results
    return _among(items, do, min(jobs, len(items)), done)


def _among(
    items: Sequence[int], do: Callable[[int], Result], jobs: int, done: Callable[[int], None]
) -> list[Result]:
    context, found = get_context("fork"), dict[int, Result]()
    readers: dict[Connection, Any] = {}
    failed: list[tuple[int, BaseException]] = []
    try:
        for first in range(jobs):
            reader, writer = context.Pipe(duplex=False)
            process = context.Process(
                target=_work, args=(range(first, len(items), jobs), items, do, writer, [*readers, reader]), daemon=True)
            process.start()
            writer.close()
            readers[reader] = process
        open_ones = set(readers)
        while open_ones:
            for reader in [each for each in wait(list(open_ones)) if isinstance(each, Connection)]:
                try:
                    at, result, error = reader.recv()
                except EOFError:
                    open_ones.discard(reader)
                    continue
                if at is None:
                    open_ones.discard(reader)
                    readers[reader].join()
                elif error is not None:
                    failed.append((at, error))
                else:
                    found[at] = result
                    done(len(found))
        if failed:
            raise min(failed, key=lambda each: each[0])[1]
        if len(found) < len(items):
            raise LabError("a process that asked questions was ended from outside",
                           mend="was there too little memory? ask with -j 1")
    finally:
        for reader, process in readers.items():
            if process.is_alive():
                process.terminate()
            process.join()
            reader.close()
    return [found[at] for at in range(len(items))]


def _work(
    mine: range, items: Sequence[int], do: Callable[[int], Any], writer: Connection, others: Sequence[Connection]
) -> None:
    """What one process does. It says each result, the first error, and that it is through."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    for reader in others:  # so that a caller who is gone is noticed
        reader.close()
    try:
        for at in mine:
            try:
                result = do(items[at])
            except Exception as error:
                error.add_note(traceback.format_exc())
                writer.send((at, None, error))
                break
            writer.send((at, result, None))
        writer.send((None, None, None))
    except BrokenPipeError:
        os._exit(1)
