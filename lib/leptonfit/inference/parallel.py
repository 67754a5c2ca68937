"""One ordered map over independent tasks, in this process or in several."""

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
    """Processor cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def map_ordered(
    function: Callable[[Item], Value],
    items: Iterable[Item],
    *,
    jobs: int = 1,
    done: Callable[[int, int], None] = lambda finished, n: None,
) -> list[Value]:
    """Apply `function` to every item; the values come back in the items' order whatever finishes first.

    Parameters
    ----------
    function : callable
        Defined in a module (not in a notebook cell), so that it reaches other processes.
    items : iterable
    jobs : int
        Number of processes; 1 stays in this one.
    done : callable, optional
        Gets the number of items finished, in order, and of all.

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
        pool.shutdown(wait=False, cancel_futures=True)  # after an interrupt nobody waits for what still runs


def _end_with_parent(parent: int) -> None:
    """Leave an interrupt to the parent, and end when it has ended, however that was."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(0.5)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def spawn_seeds(seed: int, n_tasks: int) -> list[np.random.SeedSequence]:
    """Independent seeds, one a task, so that a task's random numbers do not depend on where it runs."""
    return np.random.SeedSequence(seed).spawn(n_tasks)
