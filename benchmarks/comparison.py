"""Timing of one task by several tools in turns, and what each of them reached."""

import importlib.util
import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

ROUNDS, LONGEST, SHORTEST = 5, 4.0, 0.02
"""Runs of a peer, the processor time in s after which it is not run again, and below which a run is repeated."""


@dataclass(frozen=True)
class Row:
    """One tool at one task.

    Attributes
    ----------
    task, tool : str
    seconds : float
        Median processor time of the runs, or of the extrapolation.
    ratio : float
        Median over the runs of this time divided by that of leptonfit's run just before; 1 for leptonfit.
    n_runs : int
    reached : str
        What the runs found: a time says nothing without it.
    """

    task: str
    tool: str
    seconds: float
    ratio: float
    n_runs: int
    reached: str


@dataclass(frozen=True)
class Part:
    """A run of part of a task, which stands for the whole: its time is multiplied by `factor`."""

    run: Callable[[], object]
    factor: float


def compare(
    task: str,
    ours: Callable[[], object],
    peers: Mapping[str, Callable[[], object] | Part],
    describe: Callable[[object], str] = str,
) -> list[Row]:
    """Run leptonfit and each peer in turns (ours, theirs, ours, …) and return a row for each, leptonfit's first.

    Parameters
    ----------
    task : str
    ours : callable
        Function without arguments that does the task by leptonfit.
    peers : mapping
        The same by another tool, or by part of it, by the name of the tool.
    describe : callable
        Function of what a run returned: what the tool reached.
    """
    measure(ours)  # the first run also imports, and is not counted
    n_ours = count_repeats(ours)
    rows, own = [], []
    for tool, peer in peers.items():
        run, factor = (peer.run, peer.factor) if isinstance(peer, Part) else (peer, 1.0)
        first, found = measure(run)
        n_theirs = count_repeats(run) if first < 1 else 1
        seconds, ratios, spent = [], [], first
        while len(seconds) < ROUNDS and (not seconds or spent < LONGEST):
            before, result = measure(ours, n_ours)
            theirs, found = measure(run, n_theirs)
            own.append(before)
            spent += theirs
            seconds.append(factor * theirs)
            ratios.append(factor * theirs / before)
        rows.append(
            Row(task, tool, statistics.median(seconds), statistics.median(ratios), len(seconds), describe(found))
        )
    rows = [Row(task, "leptonfit", statistics.median(own), 1.0, len(own), describe(result)), *rows]
    for row in rows:
        print(f"  {row.tool:34}{1e3 * row.seconds:11.2f} ms  x{row.ratio:<9.3g}{row.reached}", flush=True)
    return rows


def measure(run: Callable[[], object], repeats: int = 1) -> tuple[float, object]:
    """Processor time in s of a call, as the mean of some repetitions, and what it returned."""
    began = time.process_time()
    for _ in range(repeats):
        result = run()
    return (time.process_time() - began) / repeats, result


def count_repeats(run: Callable[[], object]) -> int:
    """Repetitions of a short run that take long enough for the clock."""
    return max(1, round(SHORTEST / max(measure(run)[0], 1e-6)))


def is_installed(package: str) -> bool:
    """True if a package of the extra `bench` or `dev` can be imported."""
    return importlib.util.find_spec(package) is not None
