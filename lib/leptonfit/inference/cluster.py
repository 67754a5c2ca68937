"""Tasks on a Dask cluster: connection, comparison of the workers with this process, and batches of tasks."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import pickle
import socket
import time
from collections.abc import Callable, Generator, Iterator
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
        If it is none of these, there is no scheduler at the address, or Dask is not installed.
    """
    if not isinstance(where, str):
        if not isinstance(where, _import_distributed().Client):
            raise ClusterError(f"cluster {where!r}: must be tcp://HOST:PORT, local or a client of distributed")
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


def compare_workers(client: Client) -> list[str]:
    """Differences between the workers and this process that may change the last digits of results.

    Raises
    ------
    ClusterError
        If there is no worker, or a worker has no or another leptonfit or runs several tasks at a time.
    """
    describe = write_description()
    here, workers = describe(), client.run(describe, on_error="return")
    address = client.scheduler_info()["address"]
    if not workers:
        raise ClusterError(f"scheduler {address}: has no workers; start one with: dask worker {address} --nthreads 1")
    _count_workers(client)
    return list(dict.fromkeys(one for worker, there in workers.items() for one in _compare(worker, there, here)))


def _count_workers(client: Client) -> int:
    """Number of workers, each of which runs one task at a time; else a `ClusterError` is raised."""
    workers = client.nthreads()
    for worker, n_threads in workers.items():
        if n_threads != 1:
            raise ClusterError(f"worker {worker}: runs {n_threads} tasks at a time, must be 1 (--nthreads 1)")
    return len(workers)


def _compare(worker: str, there: dict[str, str] | Exception, here: dict[str, str]) -> list[str]:
    """Differences between the descriptions of a worker and of this process; see `compare_workers`."""
    if isinstance(there, Exception):
        raise ClusterError(f"worker {worker}: cannot be compared with this process: {there}")
    if there["leptonfit"] != here["leptonfit"]:
        raise ClusterError(f"worker {worker}: has leptonfit {there['leptonfit']}, must be {here['leptonfit']}")
    return [f"{name} {there[name]} instead of {here[name]}" for name in here if there[name] != here[name]]


def write_description() -> Callable[[], dict[str, str]]:
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
        import numpy
        import scipy.linalg
        import threadpoolctl

        import leptonfit

        known = vars(leptonfit)  # a process keeps the modules that it has imported, whatever happens to their files
        if "_sources" not in known:
            package, digest = Path(spec.origin).parent, hashlib.sha256()
            for path in sorted(package.rglob("*.py")):
                digest.update(path.relative_to(package).as_posix().encode() + path.read_bytes())
            known["_sources"] = digest.hexdigest()[:12]
        if "_kernels" not in known:  # looked up once: workers are asked for each batch
            instructions = numpy.show_config("dicts")["SIMD Extensions"]
            libraries = [found for found in threadpoolctl.threadpool_info() if found["user_api"] == "blas"]
            known["_kernels"] = {
                "BLAS kernel": " and ".join(sorted({str(found.get("architecture")) for found in libraries})),
                "NumPy's instructions": " ".join([*instructions["baseline"], *instructions["found"]]),
            }
        return {
            "leptonfit": f"{importlib.metadata.version('leptonfit')} (sources {known['_sources']})",
            "python": platform.python_version(),
            "numpy": numpy.__version__,
            "scipy": scipy.__version__,
            **known["_kernels"],
        }

    return describe


def map_batches(client: Client, function: bytes, tasks: list[Any]) -> Generator[tuple[int, list[Any]]]:
    """Yield the values of a pickled function for batches of tasks as they end, each with the position of its first.

    Tasks are sent in batches of about half a second of work by the time measured so far, and in shorter ones towards
    the end. Each value depends on its task alone, whatever the batches. Tasks of a worker that is lost are sent to
    another one. Each worker is compared with this process before it computes (see `compare_workers`), since it may have
    joined the cluster meanwhile.
    """
    import cloudpickle
    import distributed

    here = write_description()()
    call, how = _write_call(), (_count_blas_threads(), parallel.list_variables(), here)
    queue = distributed.as_completed(loop=client.loop)
    starts: dict[Future[Any], int] = {}
    sent = n_timed = n_workers = 0
    seconds, asked = 0.0, -1.0

    def send() -> None:
        nonlocal sent, n_workers, asked
        if time.monotonic() > asked + 1:
            try:
                n_workers, asked = max(1, _count_workers(client)), time.monotonic()
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
            if future.status == "error" and not isinstance(future.exception(), distributed.KilledWorker):
                values = [parallel.Failure(future.exception())]
            else:
                worker, there, spent, pickled = future.result()
                parallel.record_differences(_compare(worker, there, here))
                values = pickle.loads(pickled)
                seconds, n_timed = seconds + spent, n_timed + len(values)
            send()
            yield start, values
    except (CancelledError, distributed.KilledWorker) as error:
        raise ClusterError(f"{_LOST}: {error}") from error
    finally:
        if client.status == "running":
            client.cancel(list(starts))


def _write_call() -> Callable[..., tuple[str, Any, float, bytes]]:
    """Function of a batch. It is sent as code: a name that a worker cannot import would end its connection."""
    describe = write_description()

    def call(
        function: bytes, batch: bytes, n_threads: int, variables: dict[str, str], here: dict[str, str]
    ) -> tuple[str, Any, float, bytes]:
        from distributed import get_worker

        worker, there = get_worker().address, describe()
        if there["leptonfit"] != here["leptonfit"]:
            return worker, there, 0.0, b""
        from leptonfit.inference.cluster import run_batch

        return worker, there, *run_batch(function, batch, n_threads, variables)

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
