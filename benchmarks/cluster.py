"""Overhead of a Dask cluster on this machine, and plans of a million and of 10⁹ toys from the measured cost of a toy.

The numbers of `docs/cluster.md` are the output of `python benchmarks/cluster.py`. Each overhead is the lowest of three
runs; on the clock it also has the time that other programs took.
"""

import math
import pickle
import time
from functools import partial

import distributed
import numpy as np

from leptonfit.inference import chunks, neyman
from leptonfit.inference.cluster import BATCH
from leptonfit.inference.coverage import run_toys
from leptonfit.inference.limit_coverage import cover_limits
from leptonfit.inference.neyman import run_feldman_cousins
from leptonfit.inference.parallel import count_cores, map_ordered, spawn_seeds, use_cluster
from leptonfit.neutrino.likelihood import load_likelihood
from leptonfit.vortex.measurements import load_measurements
from leptonfit.vortex.model import VortexModel
from leptonfit.workbook.toys import CHUNK

TASKS = ((1, 2000), (10, 200), (100, 20))
"""Length of a task in milliseconds, and number of tasks for each core."""
REPEATS = 3
N_TOYS, TOYS = 10_000, chunks.TOYS
BYTES = {"coverage of a fit": 8, "coverage of limits": 0, "Feldman–Cousins": 88}
"""Bytes that the caller keeps for each toy: Δχ², nothing but sums, and the statistic at eleven θ."""


def work(item, milliseconds):
    """Use a core for some time, as processor time."""
    end = time.thread_time() + milliseconds / 1e3
    while time.thread_time() < end:
        sum(range(2000))  # some 20 µs: asking for the time takes long on some systems
    return item


def measure_overhead(n_cores, client):
    """Time beyond that of the tasks: processor time of workers, of caller and scheduler, and on the clock."""

    def read_times():
        workers = sum(client.run(time.process_time).values())
        return np.array([workers, time.process_time(), n_cores * time.perf_counter()])

    map_ordered(partial(work, milliseconds=1), range(10 * n_cores))  # workers import what they need
    for milliseconds, n_each in TASKS:
        task, seconds = partial(work, milliseconds=milliseconds), []
        began = time.process_time()
        for item in range(n_each):
            task(item)
        least = n_cores * (time.process_time() - began)
        for _ in range(REPEATS):
            began = read_times()
            map_ordered(task, range(n_each * n_cores))
            seconds.append(read_times() - began)
        workers, others, clock = np.min(seconds, axis=0) / least
        print(
            f"tasks of {milliseconds:3d} ms: workers {workers - 1:+.1%}, caller and scheduler {others:+.1%} of the "
            f"processor time of the tasks; on the clock {clock - 1:+.1%}"
        )


def measure_rate(client, n_tasks=2000):
    """Tasks that the scheduler hands out in a second, each alone in a batch."""
    began = time.perf_counter()
    client.gather(client.map(abs, range(n_tasks), pure=False))
    return n_tasks / (time.perf_counter() - began)


def measure_toys():
    """Seconds of one core for a toy of each kind, and tasks for each chunk of toys."""
    one = load_likelihood("xenonnt")
    problem = VortexModel(load_measurements("report_2025"), sigma_m_model=1e-3, sigma_g_model=1e-3).problem
    sent = []

    def count(function, tasks, *, jobs):
        sent.append(len(tasks))
        return map_ordered(function, tasks, jobs=jobs)

    neyman.map_ordered = count
    chunks.TOYS = N_TOYS // 5  # several chunks, as in a run of a million
    costs = {}
    for name, run in (
        ("coverage of a fit", lambda n: run_toys(problem, "beta", problem.start, n_toys=n, seed=1)),
        ("coverage of limits", lambda n: cover_limits(one.model, one.data, 1.0, n_toys=n, seed=1)),
        ("Feldman–Cousins", lambda n: run_feldman_cousins(one.model, one.data, n_toys=n, seed=1)),
    ):
        run(10)
        sent.clear()
        began = time.process_time()
        run(N_TOYS)
        costs[name] = (time.process_time() - began) / N_TOYS, max(sum(sent) / 5, 1)
    costs["coverage of a fit"] = costs["coverage of a fit"][0], TOYS / CHUNK  # as in `cover_choice`
    return costs


def main():
    n_cores = count_cores()
    print(f"{n_cores} cores, NumPy {np.__version__}, distributed {distributed.__version__}")
    options = {"n_workers": n_cores, "threads_per_worker": 1, "dashboard_address": "127.0.0.1:0"}
    with distributed.LocalCluster(**options) as local, distributed.Client(local) as client, use_cluster(client):
        measure_overhead(n_cores, client)
        rate = measure_rate(client)
    print(f"scheduler: {rate:.0f} tasks a second")
    size, seed_bytes = TOYS, len(pickle.dumps(spawn_seeds(1, 1000))) / 1000
    for name, (seconds, n_tasks) in measure_toys().items():
        per_task = size * seconds / n_tasks
        print(
            f"{name}: {seconds * 1e6:.0f} µs of one core a toy, {n_tasks:.0f} tasks of {per_task:.2g} s for "
            f"{size} toys; one scheduler feeds {rate * max(per_task, BATCH):.0f} workers"
        )
        for n_toys in (10**6, 10**9):
            all_tasks = math.ceil(n_toys / size) * n_tasks
            print(
                f"  {n_toys:.0e} toys: {n_toys * seconds / 3600:.2g} core hours, {all_tasks:.0f} tasks; seeds "
                f"{all_tasks * seed_bytes / 2**20:.2g} MiB, results {n_toys * BYTES[name] / 2**30:.2g} GiB"
            )


if __name__ == "__main__":
    main()
