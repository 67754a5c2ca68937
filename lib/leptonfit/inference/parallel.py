"""Ordered map over independent tasks, in this process or in several processes."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ProcessPoolExecutor
from typing import TypeVar

import numpy as np

Item = TypeVar("Item")
Value = TypeVar("Value")


def count_cores() -> int:
    """Number of processor cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def map_ordered(
    function: Callable[[Item], Value],
    items: Iterable[Item],
    *,
    jobs: int = 1,
    done: Callable[[int, int], None] = lambda finished, n: None,
) -> list[Value]:
    """Apply `function` to every item and return the values in the order of the items, whichever finishes first.

    Parameters
    ----------
    function : callable
        Function defined in a module (not in a notebook cell), because other processes must be able to import it.
    items : iterable
    jobs : int
        Number of processes; with 1 the work is done in this process.
    done : callable, optional
        Called with the number of items finished (in order) and the number of all items.

    Returns
    -------
    list

    Raises
    ------
    ValueError
        If `jobs` < 1. An exception raised by `function` is raised here.
    """
    tasks = list(items)
    if jobs < 1:
        raise ValueError(f"jobs = {jobs}: must be at least 1")
    jobs = min(jobs, len(tasks))
    values: list[Value] = []

    def collect(found: Iterable[Value]) -> list[Value]:
        for value in found:
            values.append(value)
            done(len(values), len(tasks))
        return values

    if jobs <= 1:
        return collect(map(function, tasks))
    chunk = max(1, len(tasks) // (8 * jobs))
    # spawn: a fork would inherit the locks of BLAS and kernel threads
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(jobs, mp_context=context, initializer=_end_with_parent, initargs=(os.getpid(),))
    try:
        return collect(pool.map(function, tasks, chunksize=chunk))
    finally:
        pool.shutdown(wait=False, cancel_futures=True)  # after an interrupt, do not wait for tasks that still run


def _end_with_parent(parent: int) -> None:
    """Ignore interrupts, which the parent process handles, and exit when the parent has ended for any reason."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(0.5)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def spawn_seeds(seed: int, n_tasks: int) -> list[np.random.SeedSequence]:
    """Independent seeds, one for each task, so that random numbers do not depend on the process that runs the task."""
    return np.random.SeedSequence(seed).spawn(n_tasks)
