"""Tasks on a Dask cluster: connection, comparison of the workers with this process, and batches of tasks."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import pickle
import socket
import time
from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError, ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

from leptonfit.inference import parallel
from leptonfit.inference.parallel import ClusterError

if TYPE_CHECKING:
    from distributed import Client, Future

_TIMEOUT = 4.0
"""Seconds to wait for the connection, and again for the first answer."""
BATCH = 0.5
"""Seconds of work in one batch: long beside the milliseconds that a batch costs, short beside a run."""
_LOST = "the cluster was lost, or tasks ended its workers; run again to go on"
_AHEAD = 2
"""Batches at each worker: while one is computed, the next is on its way."""


@contextlib.contextmanager
def open_cluster(where: str | Client) -> Iterator[Client]:
    """Client of a cluster: the given one, that at an address, or a new one of the cores of this machine (`local`).

    Raises
    ------
    ClusterError
        If there is no scheduler at the address, or Dask is not installed.
    """
    if not isinstance(where, str):
        address = where.scheduler_info()["address"]
        _CLIENTS[address] = where
        try:
            yield where
        finally:
            del _CLIENTS[address]
    elif where == "local":
        distributed = _import_distributed()
        options = {"n_workers": parallel.count_cores(), "threads_per_worker": 1, "dashboard_address": "127.0.0.1:0"}
        with distributed.LocalCluster(**options) as cluster:
            client = connect(cluster.scheduler_address)
            try:
                yield client
            finally:
                client.close()
    else:
        yield connect(where)


_CLIENTS: dict[str, Client] = {}
"""Clients of this process by address of the scheduler."""


def connect(address: str) -> Client:
    """Client of the scheduler at an address; later calls return the same client.

    Raises
    ------
    ClusterError
        If no scheduler answers there.
    """
    if address not in _CLIENTS or _CLIENTS[address].status != "running":
        distributed = _import_distributed()
        from distributed.comm import parse_address

        if parse_address(address)[0] != "tcp":
            raise ClusterError(f"scheduler {address}: must be tcp://HOST:PORT, or local")
        try:
            _await_answer(address)
            _CLIENTS[address] = distributed.Client(address, timeout=_TIMEOUT, set_as_default=False)
        except (OSError, ValueError) as error:
            raise ClusterError(f"scheduler {address}: does not answer: {error}") from None
    return _CLIENTS[address]


def _import_distributed() -> Any:
    try:
        import distributed
    except ModuleNotFoundError:
        extra = "pip install 'leptonfit[cluster]'"
        raise ClusterError(f"a cluster needs the package distributed, of the extra cluster: {extra}") from None
    return distributed


def _await_answer(address: str) -> None:
    """Wait until a scheduler answers: a client of Dask would wait for ever, and print what else it meets."""
    from distributed.comm import parse_address, parse_host_port

    with socket.create_connection(parse_host_port(parse_address(address)[1]), timeout=_TIMEOUT) as connection:
        connection.recv(1)  # a scheduler speaks first
    try:
        with ThreadPoolExecutor(1) as thread:  # an event loop may run in this one
            thread.submit(asyncio.run, _shake_hands(address)).result()
    except Exception as error:  # whatever Dask makes of the answer of another program
        raise OSError(f"it is no scheduler of Dask: {type(error).__name__}") from error


async def _shake_hands(address: str) -> None:
    from distributed.comm import connect

    comm = await connect(address, timeout=_TIMEOUT)
    await comm.close()


def compare_workers(client: Client) -> str:
    """Differences between the workers and this process that may change the last digits of results; empty if none.

    Raises
    ------
    ClusterError
        If there is no worker, or a worker has no or another leptonfit or runs several tasks at a time.
    """
    describe = _write_description()
    here, workers = describe(), client.run(describe, on_error="return")
    address = client.scheduler_info()["address"]
    if not workers:
        raise ClusterError(f"scheduler {address}: has no workers; start one with: dask worker {address} --nthreads 1")
    for worker, n_threads in client.nthreads().items():
        if n_threads != 1:
            raise ClusterError(f"worker {worker}: runs {n_threads} tasks at a time, must be 1 (--nthreads 1)")
    different: dict[tuple[str, str], str] = {}
    for worker, there in workers.items():
        if isinstance(there, Exception):
            raise ClusterError(f"worker {worker}: cannot be compared with this process: {there}")
        if there["leptonfit"] != here["leptonfit"]:
            raise ClusterError(f"worker {worker}: has leptonfit {there['leptonfit']}, must be {here['leptonfit']}")
        different |= {(name, there[name]): here[name] for name in here if there[name] != here[name]}
    return ", ".join(f"{name} {there} instead of {here}" for (name, there), here in different.items())


def _write_description() -> Callable[[], dict[str, str]]:
    """Function that describes the process in which it runs. It is sent as code, since a worker may lack leptonfit."""

    def describe() -> dict[str, str]:
        import hashlib
        import importlib.metadata
        import importlib.util
        import platform
        from pathlib import Path

        spec = importlib.util.find_spec("leptonfit")
        if spec is None or spec.origin is None:
            return {"leptonfit": "none"}
        package, digest = Path(spec.origin).parent, hashlib.sha256()
        for path in sorted(package.rglob("*.py")):
            digest.update(path.relative_to(package).as_posix().encode() + path.read_bytes())
        import numpy
        import scipy.linalg
        import threadpoolctl

        import leptonfit

        # a process keeps the modules that it has imported, whatever happens to their files
        sources = vars(leptonfit).setdefault("_sources", digest.hexdigest()[:12])
        libraries = [found for found in threadpoolctl.threadpool_info() if found["user_api"] == "blas"]
        return {
            "leptonfit": f"{importlib.metadata.version('leptonfit')} (sources {sources})",
            "python": platform.python_version(),
            "numpy": numpy.__version__,
            "scipy": scipy.__version__,
            "BLAS kernel": " and ".join(sorted({str(found.get("architecture")) for found in libraries})),
        }

    return describe


def map_batches(client: Client, function: bytes, tasks: list[Any]) -> Iterator[Any]:
    """Yield the values of a pickled function for the tasks, in their order, as workers finish them.

    Tasks are sent in batches of about half a second of work by the time measured so far, and in shorter ones towards
    the end. Each value depends on its task alone, whatever the batches. Tasks of a worker that is lost are sent to
    another one.
    """
    import cloudpickle
    import distributed

    call, how = _write_call(), (_count_blas_threads(), parallel.list_variables())
    queue = distributed.as_completed(loop=client.loop)
    starts: dict[Future[Any], int] = {}
    finished: dict[int, Future[Any] | list[Any]] = {}
    sent = yielded = n_timed = n_workers = 0
    seconds, asked = 0.0, -1.0

    def send() -> None:
        nonlocal sent, n_workers, asked
        if time.monotonic() > asked + 1:
            try:
                n_workers, asked = max(1, len(client.nthreads())), time.monotonic()
            except OSError as error:
                raise ClusterError(f"{_LOST}: {error}") from error
        while sent < len(tasks) and len(starts) < _AHEAD * n_workers:
            size = int(BATCH * n_timed / max(seconds, 1e-9))
            size = max(1, min(size, (len(tasks) - sent) // (_AHEAD * n_workers)))
            batch = cloudpickle.dumps(tasks[sent : sent + size])
            future = client.submit(call, function, batch, *how, pure=False)
            starts[future] = sent
            queue.add(future)
            sent += size

    try:
        send()
        for future in queue:
            start = starts.pop(future)
            finished[start] = future
            if future.status == "finished":
                spent, pickled = future.result()
                finished[start] = values = pickle.loads(pickled)
                seconds, n_timed = seconds + spent, n_timed + len(values)
            send()
            while yielded in finished:
                found = finished.pop(yielded)
                for value in found if isinstance(found, list) else found.result():  # raises what the task raised
                    yielded += 1
                    yield value
    except (CancelledError, distributed.KilledWorker) as error:
        raise ClusterError(f"{_LOST}: {error}") from error
    finally:
        if client.status == "running":
            client.cancel(list(starts))


def _write_call() -> Callable[..., tuple[float, bytes]]:
    """Function `run_batch`, imported where it runs: a name that a worker cannot import would end its connection."""

    def call(function: bytes, batch: bytes, n_threads: int, variables: dict[str, str]) -> tuple[float, bytes]:
        from leptonfit.inference.cluster import run_batch

        return run_batch(function, batch, n_threads, variables)

    return call


def run_batch(function: bytes, batch: bytes, n_threads: int, variables: dict[str, str]) -> tuple[float, bytes]:
    """Compute the values of a batch of tasks in a worker; return the time in seconds, and the values pickled.

    Parameters
    ----------
    function, batch : bytes
        The function and a list of tasks, pickled.
    n_threads : int
        Number of threads of the linear-algebra libraries.
    variables : dict
        Environment variables of the caller that concern the workbook.
    """
    import cloudpickle

    _limit_blas(n_threads)
    call, tasks = _load(function), pickle.loads(batch)
    began = time.perf_counter()
    with parallel.in_worker(variables):
        values = [call(task) for task in tasks]
    return time.perf_counter() - began, cloudpickle.dumps(values)


@functools.lru_cache(maxsize=4)
def _load(function: bytes) -> Callable[[Any], Any]:
    return pickle.loads(function)


def _count_blas_threads() -> int:
    """Number of threads of the linear-algebra libraries in this process."""
    import scipy.linalg  # noqa: F401  # loads its library
    import threadpoolctl

    return max([1, *(found["num_threads"] for found in threadpoolctl.threadpool_info() if found["user_api"] == "blas")])


@functools.lru_cache(maxsize=1)
def _limit_blas(n_threads: int) -> None:
    """Give the linear-algebra libraries of a worker as many threads as those of the caller have."""
    import scipy.linalg  # noqa: F401  # loads its library
    import threadpoolctl

    threadpoolctl.threadpool_limits(n_threads, user_api="blas")
