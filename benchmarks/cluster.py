"""Overhead of a Dask cluster on this machine, and plans of a million and of 10⁹ toys from the measured cost of a toy.

`python benchmarks/cluster.py` writes the numbers of `docs/cluster.md`. Each overhead is the lowest of three runs; that
on the clock contains the time that other programs took.
"""

import os
import pickle
import time
from datetime import date
from functools import partial
from importlib.metadata import version

import bench
import distributed
import numpy as np
import tables

from leptonfit.datafiles import ROOT
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
KINDS = {
    "coverage of a fit": "coverage of a fit (`05_closures`)",
    "coverage of limits": "coverage of limits (XENONnT)",
    "Feldman–Cousins": "Feldman–Cousins (XENONnT), each of eleven θ or more",
}
BYTES = {"coverage of a fit": 8, "coverage of limits": 0, "Feldman–Cousins": 88}
"""Bytes that the caller keeps for each toy: Δχ², nothing but sums, and the statistic at eleven θ."""
PAGE = "docs/cluster.md"


def work(item, milliseconds):
    """Use a core for some time, as processor time."""
    end = time.thread_time() + milliseconds / 1e3
    while time.thread_time() < end:
        sum(range(2000))  # some 20 µs: asking for the time takes long on some systems
    return item


def measure_overhead(n_cores, client):
    """Time beyond that of the tasks of each length, as shares: processor time of the workers, and on the clock."""

    def read_times():
        return np.array([sum(client.run(time.process_time).values()), n_cores * time.perf_counter()])

    map_ordered(partial(work, milliseconds=1), range(10 * n_cores))  # workers import what they need
    found = {}
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
        found[milliseconds] = (np.min(seconds, axis=0) / least - 1).tolist()
    return found


def measure_rate(client, n_tasks=2000):
    """Tasks that the scheduler hands out in a second, each alone in a batch."""
    began = time.perf_counter()
    client.gather(client.map(abs, range(n_tasks), pure=False))
    return n_tasks / (time.perf_counter() - began)


def measure_toys():
    """Seconds of one core for a toy of each kind, and number of tasks for each chunk of `TOYS` toys."""
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


def render(overheads, rate, toys):
    """Text between the two markers of the page.

    Parameters
    ----------
    overheads : dict
        Of `measure_overhead`.
    rate : float
        Tasks that the scheduler hands out in a second.
    toys : dict
        Of `measure_toys`.
    """
    seed_bytes = len(pickle.dumps(spawn_seeds(1, 1000))) / 1000
    seeds = {name: 1e9 / TOYS * n_tasks * seed_bytes / 2**20 for name, (_, n_tasks) in toys.items()}
    results = {name: 1e9 * BYTES[name] / 2**30 for name in toys}
    lines = [
        "| tasks of | " + " | ".join(f"{milliseconds} ms" for milliseconds in overheads) + " |",
        "|---" * (len(overheads) + 1) + "|",
        "| more time on the clock | " + " | ".join(say_share(clock) for _, clock in overheads.values()) + " |",
        "| more processor time of the workers | "
        + " | ".join(say_share(workers) for workers, _ in overheads.values())
        + " |",
        "",
        f"The scheduler hands out {rate:.0f} tasks a second. Short tasks travel in batches of {BATCH:g} s.",
        "",
        "| toys | one core | 10⁶ toys | 10⁹ toys | one scheduler feeds |",
        "|---|---|---|---|---|",
    ]
    for name, (seconds, n_tasks) in toys.items():
        n_workers = rate * max(TOYS * seconds / n_tasks, BATCH)
        hours = [f"{n * seconds / 3600:.3g} core hours" for n in (1e6, 1e9)]
        lines.append(f"| {KINDS[name]} | {seconds * 1e6:.0f} µs | {' | '.join(hours)} | {n_workers:.0f} workers |")
    return "\n".join(
        [
            *lines,
            "",
            "A million toys need no cluster. At 10⁹ this breaks first:",
            "",
            "1. **Results.** Feldman–Cousins keeps the statistic of every toy at eleven θ: "
            f"{results['Feldman–Cousins']:.0f} GiB at the caller, which",
            f"   sorts them. Coverage of a fit keeps {results['coverage of a fit']:.1f} GiB. In a notebook, and inside",
            "   `keep_finished`, they are on the caller's disk as well until the work has ended. Coverage of limits",
            "   keeps sums only.",
            "2. **The scheduler**, beyond the number of workers in the table. Longer tasks help, more workers do not.",
            f"3. Not the **seeds**: {seeds['coverage of a fit']:.0f} MiB for coverage of a fit, "
            f"{seeds['Feldman–Cousins']:.0f} MiB for Feldman–Cousins.",
        ]
    )


def say_share(share):
    return f"{100 * share:.1f} %".replace("-", "−")


def main():
    n_cores, load, day = count_cores(), os.getloadavg()[0], date.today()
    options = {"n_workers": n_cores, "threads_per_worker": 1, "dashboard_address": "127.0.0.1:0"}
    with distributed.LocalCluster(**options) as local, distributed.Client(local) as client, use_cluster(client):
        overheads, rate = measure_overhead(n_cores, client), measure_rate(client)
    versions = ", ".join(f"{name} {version(name)}" for name in ("numpy", "scipy", "distributed"))
    head = (
        f"*Computed* on {day.day} {day:%B %Y} by `python benchmarks/cluster.py` on {n_cores} cores of an\n"
        f"{bench.read_processor()} (load {load:.1f} before it began), shared by scheduler, caller and workers:\n"
        f"{versions}.\n\n"
    )
    page = ROOT / PAGE
    text = head + render(overheads, rate, measure_toys())
    page.write_text(tables.replace(page.read_text(), text, "benchmarks/cluster.py"))
    print(text)


if __name__ == "__main__":
    main()
