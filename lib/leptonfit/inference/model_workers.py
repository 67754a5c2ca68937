"""Calls of a slow function in several processes, where a measurement shows that this is faster."""

from __future__ import annotations

import multiprocessing
import pickle
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from leptonfit.inference.parallel import count_cores, in_task

Rows = Callable[[np.ndarray], list[np.ndarray]]
"""Function of parameter sets (m, n_par) that gives a list of m values."""

_WORTH_A_PROCESS = 2e-3
"""Shortest call, in seconds, for which other processes are tried: they take seconds to start."""
_GAIN = 0.8
"""Other processes are used if they need less than this fraction of the time that one process needs."""


@dataclass(frozen=True)
class Workers:
    """Number of processes that share the calls; 1 is this process alone."""

    jobs: int = 1

    def call(self, function: Rows, sets: np.ndarray) -> list[np.ndarray]:
        """Values of `function` for the parameter sets (m, n_par), in their order."""
        if self.jobs == 1 or len(sets) < 2 or in_task():
            return function(sets)
        from joblib import Parallel, delayed

        parts = np.array_split(sets, min(len(sets), 4 * self.jobs))
        answers = Parallel(self.jobs, backend="loky")(delayed(function)(part) for part in parts)
        return [value for values in answers for value in values]


def choose_workers(function: Rows, sets: np.ndarray, jobs: int | None) -> tuple[Workers, str]:
    """Choose how a function is called, and describe it in a sentence.

    With `jobs` None several processes are used if a call takes at least two milliseconds, the processes give the same
    values to the last bit, and a measurement shows that they are faster. A function from a notebook, a lambda and a
    closure are sent by cloudpickle, as joblib does it.

    Parameters
    ----------
    function : callable
        Maps parameter sets (m, n_par) to a list of m values.
    sets : ndarray (m, n_par)
        Parameter sets for the measurement.
    jobs : int or None
        Number of processes that is asked for.

    Raises
    ------
    ValueError
        If `jobs` is below 1, or is above 1 and the function cannot be sent to other processes, or answers differently
        there.
    """
    if jobs is not None and jobs < 1:
        raise ValueError(f"jobs = {jobs}: must be at least 1")
    alone = "The calls run one after another in this process"
    most = count_cores() if jobs is None else jobs
    if most == 1:
        return Workers(), f"{alone}."
    begin = time.perf_counter()
    expected = function(sets)
    serial = time.perf_counter() - begin
    if jobs is None and serial < _WORTH_A_PROCESS * len(sets):
        return Workers(), f"{alone}: each is too short to be sent to another one."
    if jobs is None and multiprocessing.parent_process() is not None:
        return Workers(), f"{alone}, which is itself one of several."
    workers = Workers(most)
    try:
        workers.call(function, sets)  # starts the processes, which then import the modules of the function
        begin = time.perf_counter()
        found = workers.call(function, sets)
        shared = time.perf_counter() - begin
    except (pickle.PicklingError, TypeError, AttributeError, ImportError) as error:  # what cannot be sent
        if jobs is not None:
            raise ValueError(f"jobs = {jobs}: the model cannot be sent to other processes: {error}") from error
        return Workers(), f"{alone}, because the model cannot be sent to other processes ({error})."
    if not all(np.array_equal(a, b, equal_nan=True) for a, b in zip(expected, found, strict=True)):
        if jobs is not None:
            raise ValueError(f"jobs = {jobs}: the model answers differently in another process")
        return Workers(), f"{alone}, because the model answers differently in another process."
    if jobs is None and shared > _GAIN * serial:
        return Workers(), f"{alone}, because {most} processes were not faster in a measurement."
    return workers, f"The calls run in {most} processes."
