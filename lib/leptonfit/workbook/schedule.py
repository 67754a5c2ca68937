"""Order in which the notebooks of a run start, and what each took in earlier runs."""

from __future__ import annotations

import json
import math
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from leptonfit.workbook import store
from leptonfit.workbook.declarations import Value
from leptonfit.workbook.progress import write_time

FIRST = "02_profile_scan"
"""Notebook that starts before all others: a reader of the report waits for its verdict."""
_RECORD = ".seconds.json"
"""File in a report folder with the cost and the parameters of each notebook's last complete execution."""


@dataclass(frozen=True)
class Cost:
    """What the execution of a notebook is expected to take.

    Attributes
    ----------
    seconds : float
        Time on the clock.
    memory : int
        Largest memory of its processes, in bytes.
    is_scaled : bool
        Whether the time is that of a run with smaller counts, multiplied by the ratio of each count.
    """

    seconds: float
    memory: int
    is_scaled: bool


def order_ready(ready: Iterable[str], graph: Mapping[str, set[str]], seconds: Mapping[str, float]) -> list[str]:
    """Sort notebooks that can start: the first verdict, then those on which the longest work depends, then by name.

    Parameters
    ----------
    ready : iterable of str
    graph : mapping
        Notebooks that each notebook of the run needs.
    seconds : mapping
        Expected time of notebooks; a notebook without one counts as zero.
    """
    return sorted(ready, key=lambda name: (name != FIRST, -_time_to_end(name, graph, seconds), name))


def read_seconds(folder: Path, parameters: Mapping[str, Mapping[str, Value]]) -> dict[str, float]:
    """Time in seconds of each notebook's last execution in a report folder, if it had these parameters."""
    last = _read(folder)
    return {name: last[name]["seconds"] for name, p in parameters.items() if last.get(name, {}).get("parameters") == p}


def record_cost(folder: Path, name: str, parameters: Mapping[str, Value], seconds: float, memory: int) -> None:
    """Record the time in seconds and the memory in bytes of a complete execution with its parameters."""
    entry = {"parameters": dict(parameters), "seconds": round(seconds, 1), "memory": memory}
    store.write_whole(folder / _RECORD, json.dumps(_read(folder) | {name: entry}, indent=1) + "\n")


def estimate_cost(reports: Path, name: str, parameters: Mapping[str, Value], counts: Collection[str]) -> Cost | None:
    """Estimate the cost of a notebook from its last execution under any tag; None if there is none.

    Of several, the execution is taken that differs in the fewest parameters beside counts, then in the smallest ratio
    of counts.

    Parameters
    ----------
    reports : Path
        Folder of all report folders.
    name : str
    parameters : mapping
        All parameters of the execution to come.
    counts : collection of str
        Parameters to which the time is proportional, at most.
    """
    known = [entry for path in sorted(reports.glob(f"*/{_RECORD}")) if (entry := _read(path.parent).get(name))]

    def compare(entry: Mapping[str, Any]) -> tuple[int, float]:
        old = entry["parameters"]
        others = {one for one in parameters if one not in counts and one != "budget"}
        ratios = [max(1.0, parameters[one] / old[one]) for one in counts if _is_number(old.get(one)) and old[one]]
        return sum(old.get(one) != parameters[one] for one in others), math.prod(ratios)

    if not known:
        return None
    nearest = min(known, key=compare)
    _, ratio = compare(nearest)
    return Cost(nearest["seconds"] * ratio, nearest["memory"], ratio > 1)


def describe_costs(costs: Mapping[str, Cost | None], graph: Mapping[str, set[str]], n_jobs: int) -> str | None:
    """Describe in one line what a run is expected to take; None if that is below a minute, or nothing is known.

    Parameters
    ----------
    costs : mapping
        Cost of each notebook that will run, None where it is not known.
    graph : mapping
        Notebooks that each notebook of the run needs.
    n_jobs : int
        Number of notebooks that run at a time.
    """
    known = {name: cost for name, cost in costs.items() if cost}
    seconds = {name: cost.seconds for name, cost in known.items()}
    wall = max(sum(seconds.values()) / n_jobs, max((_time_to_end(name, graph, seconds) for name in known), default=0.0))
    if wall < 60:
        return None
    memory = sum(sorted(cost.memory for cost in known.values())[-n_jobs:])
    is_scaled = any(cost.is_scaled for cost in known.values())
    unknown = ", ".join(sorted(costs.keys() - known))
    return (
        f"expected: {'up to ' if is_scaled else ''}about {write_time(wall)}, {memory / 2**30:.1f} GiB of memory, "
        + ("from runs with smaller counts" if is_scaled else "as in the last run")
        + (f"; not known for {unknown}" if unknown else "")
    )


def _time_to_end(name: str, graph: Mapping[str, set[str]], seconds: Mapping[str, float]) -> float:
    """Time in seconds of a notebook and of the longest chain of notebooks that need it."""
    after = [_time_to_end(other, graph, seconds) for other, needed in graph.items() if name in needed]
    return seconds.get(name, 0.0) + max(after, default=0.0)


def _read(folder: Path) -> dict:
    """Read the times that were recorded; what is damaged counts as not recorded, since times only order the work."""
    try:
        found = json.loads((folder / _RECORD).read_bytes())
    except (FileNotFoundError, ValueError):
        return {}
    entries = found.items() if isinstance(found, dict) else ()
    return {name: one for name, one in entries if isinstance(one, dict) and _is_entry(one)}


def _is_entry(one: Mapping[str, Any]) -> bool:
    return isinstance(one.get("parameters"), dict) and _is_number(one.get("seconds")) and _is_number(one.get("memory"))


def _is_number(value: object) -> bool:
    """Whether a value is a finite number, 0 or more."""
    return isinstance(value, int | float) and 0 <= value < math.inf
