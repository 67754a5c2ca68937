"""One ordered map over independent tasks, in this process or in several."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Iterable
from concurrent.futures import ProcessPoolExecutor
from typing import TypeVar

import numpy as np

Item = TypeVar("Item")
Value = TypeVar("Value")


def map_ordered(function: Callable[[Item], Value], items: Iterable[Item], *, jobs: int = 1) -> list[Value]:
    """Apply `function` to every item; the values come back in the items' order whatever finishes first.

    Parameters
    ----------
    function : callable
        Defined in a module (not in a notebook cell), so that it reaches other processes.
    items : iterable
    jobs : int
        Number of processes; 1 stays in this one.

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
    if jobs <= 1:
        return [function(task) for task in tasks]
    chunk = max(1, len(tasks) // (8 * jobs))
    # spawn: a fork would inherit the locks of BLAS and kernel threads
    with ProcessPoolExecutor(jobs, mp_context=multiprocessing.get_context("spawn")) as pool:
        return list(pool.map(function, tasks, chunksize=chunk))


def spawn_seeds(seed: int, n_tasks: int) -> list[np.random.SeedSequence]:
    """Independent seeds, one a task, so that a task's random numbers do not depend on where it runs."""
    return np.random.SeedSequence(seed).spawn(n_tasks)
