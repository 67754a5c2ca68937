"""Order in which the notebooks of a run start, and the time that each took in the last run."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path

from leptonfit.workbook import store
from leptonfit.workbook.declarations import Value

FIRST = "02_profile_scan"
"""Notebook that starts before all others: a reader of the report waits for its verdict."""
_RECORD = ".seconds.json"
"""File in a report folder with the time and the parameters of each notebook's last complete execution."""


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

    def time_to_end(name: str) -> float:
        after = [time_to_end(other) for other, needed in graph.items() if name in needed]
        return seconds.get(name, 0.0) + max(after, default=0.0)

    return sorted(ready, key=lambda name: (name != FIRST, -time_to_end(name), name))


def read_seconds(folder: Path, parameters: Mapping[str, Mapping[str, Value]]) -> dict[str, float]:
    """Time in seconds of each notebook's last execution in a report folder, if it had these parameters."""
    last = _read(folder)
    return {name: last[name]["seconds"] for name, p in parameters.items() if last.get(name, {}).get("parameters") == p}


def record_seconds(folder: Path, name: str, parameters: Mapping[str, Value], seconds: float) -> None:
    """Record the time of a complete execution with its parameters."""
    record = _read(folder) | {name: {"parameters": dict(parameters), "seconds": round(seconds, 1)}}
    store.write_whole(folder / _RECORD, json.dumps(record, indent=1) + "\n")


def _read(folder: Path) -> dict:
    """Read the times that were recorded; what is damaged counts as not recorded, since times only order the work."""
    try:
        found = json.loads((folder / _RECORD).read_bytes())
    except (FileNotFoundError, ValueError):
        return {}
    entries = found.items() if isinstance(found, dict) else ()
    return {name: one for name, one in entries if isinstance(one, dict) and isinstance(one.get("seconds"), int | float)}
