"""Ordered map over independent tasks, in this process, in several or on a cluster, and a budget of shared cores."""

from __future__ import annotations

import contextlib
import contextvars
import functools
import multiprocessing
import os
import pickle
import signal
import threading
import time
import warnings
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from multiprocessing.synchronize import Lock
from pathlib import Path
from typing import IO, TYPE_CHECKING, TypeVar

import numpy as np

from leptonfit.inference.arguments import make_seed, read_count

if TYPE_CHECKING:
    from distributed import Client

Item = TypeVar("Item")
Value = TypeVar("Value")
_BUDGET = "LEPTONFIT_CORES"
"""Environment variable with the folder of the budget: the file `queue`, and one file for each core but the first."""
_SCHEDULER = "LEPTONFIT_SCHEDULER"
"""Environment variable with the address of the Dask scheduler to which this process sends its tasks."""
_WORKERS = "LEPTONFIT_WORKERS"
"""Environment variable that describes the workers of the cluster, for the provenance of results."""
FINISHED = "LEPTONFIT_FINISHED"
"""Environment variable with the folder in which finished tasks are kept (see `finished`)."""
_OWN = (_BUDGET, _SCHEDULER, _WORKERS, FINISHED)
"""Variables that the workers of a cluster must not have."""
_SPAWN = multiprocessing.get_context("spawn")
"""Processes are spawned: a fork would inherit the locks of BLAS and of the threads of a kernel."""
_in_worker = contextvars.ContextVar("_in_worker", default=False)
"""True in a task of a cluster."""
_core_of_parent: Lock
"""In a worker of `map_ordered`: `own_core` of the process that started the worker."""


class ClusterError(RuntimeError):
    """Raised with one line for a cluster that cannot be used."""


@functools.cache
def own_core() -> Lock:
    """Lock of the core on which this process runs, for the tasks that it starts."""
    return _SPAWN.Lock()


def count_cores() -> int:
    """Number of processor cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@contextlib.contextmanager
def share_cores(folder: Path, n_cores: int) -> Iterator[None]:
    """Share a number of cores with all processes started meanwhile; inside another budget, that budget stays.

    The caller holds one core, on which one of its tasks may run: see `use_core`. Each of the other cores is a file in
    `folder`, locked by the process that uses the core, so that a core is free again when its process has ended.
    """
    if _BUDGET in os.environ:
        yield
        return
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.iterdir():
        old.unlink()
    for name in ("queue", *(f"core-{number}" for number in range(1, n_cores))):
        (folder / name).touch()
    os.environ[_BUDGET] = str(folder.resolve())
    try:
        yield
    finally:
        del os.environ[_BUDGET]


@contextlib.contextmanager
def use_core(own: Lock, *, goes_first: bool = False) -> Iterator[None]:
    """Use the core that the caller holds, or a free core of the budget, for one task; wait until there is one.

    Parameters
    ----------
    own : Lock
        `own_core` of the process that starts the tasks.
    goes_first : bool
        Whether tasks without this flag leave the next free core to this task.
    """
    folder = Path(os.environ[_BUDGET])
    with contextlib.ExitStack() as stack:
        cores = [stack.enter_context(open(path, "a")) for path in sorted(folder.glob("core-*"))]
        with open(folder / "queue", "a") as queue:
            while not own.acquire(False):
                if _lock(queue):
                    if any(map(_lock, cores)):
                        break
                    if not goes_first:
                        _unlock(queue)
                time.sleep(0.02)  # two locks of different kinds cannot be awaited at once
            else:
                stack.callback(own.release)
        yield


def _lock(file: IO[str]) -> bool:
    """Whether the file could be locked, until it is unlocked or closed."""
    import fcntl  # not on Windows, where there is no budget

    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _unlock(file: IO[str]) -> None:
    import fcntl

    fcntl.flock(file, fcntl.LOCK_UN)


@contextlib.contextmanager
def use_cluster(where: str | Client, *, warn: Callable[[str], None] = warnings.warn) -> Iterator[None]:
    """Send the tasks of `map_ordered` to a Dask cluster, from this process and from all processes started meanwhile.

    Inside another cluster, that cluster stays.

    Parameters
    ----------
    where : str or distributed.Client
        Address of the scheduler, `local` for a cluster of the cores of this machine, or a client.
    warn : callable, optional
        Gets one line if workers have other versions or another BLAS kernel than this process. Results of equal ones are
        the same to the last bit as without a cluster.

    Raises
    ------
    ClusterError
        If there is no scheduler, or a worker cannot be used (see `cluster.compare_workers`).
    """
    from leptonfit.inference.cluster import compare_workers, open_cluster

    if _SCHEDULER in os.environ:
        yield
        return
    with open_cluster(where) as client:
        differences, workers = compare_workers(client), f"{len(client.nthreads())} workers"
        os.environ |= {_SCHEDULER: client.scheduler_info()["address"], _WORKERS: workers}
        try:
            record_differences(differences, warn)
            yield
        finally:
            del os.environ[_SCHEDULER], os.environ[_WORKERS]


def record_differences(differences: Iterable[str], warn: Callable[[str], None] = warnings.warn) -> None:
    """Record for the provenance how workers of the cluster in use differ from this process; warn of what is new."""
    workers = os.environ[_WORKERS]
    if new := [one for one in differences if one not in workers]:
        os.environ[_WORKERS] = workers + (", " if _differs() else " with ") + ", ".join(new)
        warn(f"the cluster has {os.environ[_WORKERS]}: the last digits of results may differ")


def _differs() -> bool:
    """Whether workers of the cluster in use have other versions than this process."""
    return " with " in os.environ.get(_WORKERS, "")


def describe_cluster() -> str | None:
    """Number of workers of the cluster in use, as of the connection, and how they differ from this process."""
    return os.environ.get(_WORKERS)


def list_variables() -> dict[str, str]:
    """Environment variables of the workbook that the worker of a cluster needs, such as the data folder in use."""
    return {name: value for name, value in os.environ.items() if name.startswith("LEPTONFIT_") and name not in _OWN}


@contextlib.contextmanager
def in_worker(variables: Mapping[str, str]) -> Iterator[None]:
    """Set the environment variables of a task in the worker of a cluster; tasks of this task are done there, too."""
    before, token = dict(os.environ), _in_worker.set(True)
    for name in _OWN:  # a worker that this process has started again has those of this process
        os.environ.pop(name, None)
    os.environ.update(variables)
    try:
        yield
    finally:
        _in_worker.reset(token)
        for name in variables:
            del os.environ[name]
        os.environ.update(before)


def map_ordered(
    function: Callable[[Item], Value],
    items: Iterable[Item],
    *,
    jobs: int = 1,
    done: Callable[[int, int], None] = lambda finished, n: None,
) -> list[Value]:
    """Apply `function` to every item and return the values in the order of the items, whichever finishes first.

    On a cluster (`use_cluster`), its workers do the work, however many `jobs`; what cannot be sent to them is done here
    with a warning. Inside a budget (`share_cores`), one process has the core of the caller, and each other works while
    a core is free. In a notebook, and inside `finished.keep_finished`, no task is repeated that had finished before a
    cut.

    Parameters
    ----------
    function : callable
        Function defined in a module (not in a notebook cell), because other processes must be able to import it.
    items : iterable
    jobs : int
        Number of processes, at most one for each core; with 1 the work is done in this process.
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
    jobs = read_count("jobs", jobs)
    values: list[Value] = []
    with contextlib.ExitStack() as stack:
        kept = None
        if len(tasks) > 1 and FINISHED in os.environ and not _in_worker.get() and not multiprocessing.parent_process():
            from leptonfit.inference.finished import find_kept

            kept = find_kept(function, tasks)
        known: dict[int, Value | Failure] = dict(stack.enter_context(kept).values) if kept else {}
        left = [position for position in range(len(tasks)) if position not in known]
        batches = stack.enter_context(contextlib.closing(_compute(function, [tasks[i] for i in left], jobs)))
        while len(values) < len(tasks):
            while len(values) not in known:
                first, found = next(batches)
                new = dict(zip(left[first : first + len(found)], found, strict=True))
                known |= new
                if kept and not isinstance(found[0], Failure) and not _differs():
                    kept.add(new)
            value = known.pop(len(values))
            if isinstance(value, Failure):
                raise value.error
            values.append(value)
            done(len(values), len(tasks))
    return values


@dataclass(frozen=True)
class Failure:
    """Exception that a task has raised, in place of its value: it is raised where the values before it are known."""

    error: BaseException


def _compute(
    function: Callable[[Item], Value], tasks: list[Item], jobs: int
) -> Generator[tuple[int, list[Value | Failure]]]:
    """Yield the values of batches of tasks as they end, each with the position of its first task."""
    if len(tasks) > 1 and is_on_cluster():
        from leptonfit.inference import cluster

        sent = _pickle(function, tasks[0])
        if sent is not None:
            yield from cluster.map_batches(cluster.connect(os.environ[_SCHEDULER]), sent, tasks)
            return
    jobs = 1 if _in_worker.get() else min(jobs, len(tasks), count_cores())  # more processes only share the cores
    if jobs <= 1:
        for position, task in enumerate(tasks):
            yield position, [function(task)]
        return
    size = max(1, len(tasks) // (8 * jobs))
    pool = ProcessPoolExecutor(jobs, _SPAWN, initializer=_start_worker, initargs=(os.getpid(), own_core()))
    try:
        firsts = range(0, len(tasks), size)
        futures = {pool.submit(_call, function, tasks[first : first + size]): first for first in firsts}
        for future in as_completed(futures):
            error = future.exception()
            yield futures.pop(future), [Failure(error)] if error else list(future.result())
    finally:
        pool.shutdown(wait=False, cancel_futures=True)  # after an interrupt, do not wait for tasks that still run


def is_on_cluster() -> bool:
    """Whether `map_ordered` sends its tasks to a cluster."""
    return _SCHEDULER in os.environ and not _in_worker.get()


def in_task() -> bool:
    """Whether this is a task of a cluster, whose worker has one core."""
    return _in_worker.get()


def _pickle(function: Callable[[Item], Value], item: Item) -> bytes | None:
    """Bytes of a function for the workers of a cluster; None with a warning if it, or an item, cannot be sent."""
    import cloudpickle

    try:
        cloudpickle.dumps(item)
        return bytes(cloudpickle.dumps(function))
    except (pickle.PicklingError, TypeError, AttributeError) as error:
        warnings.warn(f"tasks are done in this process, as they cannot be sent to the cluster: {error}", stacklevel=4)
        return None


def _start_worker(parent: int, core: Lock) -> None:
    """Ignore interrupts, which the parent process handles, and exit when the parent has ended for any reason."""
    global _core_of_parent
    _core_of_parent = core
    signal.signal(signal.SIGINT, signal.SIG_IGN)

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(0.5)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def _call(function: Callable[[Item], Value], tasks: list[Item]) -> list[Value]:
    """Values of a function in a worker, each on a core of the budget if there is one."""
    values = []
    for task in tasks:
        with use_core(_core_of_parent) if _BUDGET in os.environ else contextlib.nullcontext():
            values.append(function(task))
    return values


def spawn_seeds(seed: int, n_tasks: int) -> list[np.random.SeedSequence]:
    """Independent seeds, one for each task, so that random numbers do not depend on the process that runs the task."""
    return make_seed(seed).spawn(n_tasks)
