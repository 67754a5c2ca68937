"""Where a profile stays below a level: crossings found to 1e-7, ends that stay open, and why."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from scipy.optimize import elementwise
from scipy.stats import chi2 as chi2_distribution

from leptonfit.inference.result import Result

LEVELS = {name: float(chi2_distribution.ppf(float(name), 1)) for name in ("0.68", "0.95")}
"""Δχ² for one parameter: 0.989 and 3.841."""

_CROSSING_TOLERANCE = 1e-10


@dataclass(frozen=True)
class IntervalSet(Result):
    """The values of a parameter whose Δχ² is at most a level, within a scan.

    Attributes
    ----------
    intervals : ndarray (n_intervals, 2)
        [low, high] in ascending order; −inf or +inf at an open end. None, one, or several.
    open_below, open_above : bool
        The set reaches the end of the scan there; it is not known to stop.
    reason_below, reason_above : str or None
        Why the lowest interval starts and the highest ends where they do: "crossing" of the level, "bound" of the
        parameter, or "scan_end". None for an empty set.
    decided : bool
        False where an untrusted point lies in or beside an interval, which is then left out, or where there is no
        interval and a point is untrusted.
    """

    intervals: np.ndarray
    open_below: bool
    open_above: bool
    reason_below: str | None
    reason_above: str | None
    decided: bool

    def contains(self, value: float) -> bool:
        """Whether `value` lies in one of the intervals."""
        return bool(((self.intervals[:, 0] <= value) & (value <= self.intervals[:, 1])).any())

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Self:
        """Rebuild from `to_dict`, where an open end is None."""
        ends = [
            [-math.inf if low is None else low, math.inf if high is None else high] for low, high in data["intervals"]
        ]
        return cls(**{**data, "intervals": np.array(ends, dtype=float).reshape(-1, 2)})


@dataclass(frozen=True)
class _Run:
    """Nodes first … last lie below the level without a gap."""

    level: str
    first: int
    last: int
    is_clean: bool


def find_identified_sets(
    theta: np.ndarray,
    chi2: np.ndarray,
    trusted: np.ndarray,
    *,
    best: float,
    bounds: tuple[float, float],
    evaluate: Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray],
) -> dict[str, IntervalSet]:
    """Find the sets with chi2_min(θ) ≤ best + Δχ² for each of `LEVELS`.

    Parameters
    ----------
    theta : ndarray (n,)
        Scan points, ascending.
    chi2, trusted : ndarray (n,)
        Profile there, and whether each value can be relied on.
    best : float
        Lowest χ² known anywhere.
    bounds : (float, float)
        The parameter's own declared bounds; a set that reaches them ends there.
    evaluate : callable
        (θ, i, j), each (m,), → chi2_min (m,) at θ between nodes i and j; nan where no minimisation converged.

    Returns
    -------
    dict of IntervalSet by level
    """
    runs = [run for level in LEVELS for run in _find_runs(level, chi2 <= best + LEVELS[level], trusted)]
    n = len(theta)
    edges = [(run, run.first, run.first - 1) for run in runs if run.is_clean and run.first > 0]
    edges += [(run, run.last, run.last + 1) for run in runs if run.is_clean and run.last < n - 1]
    crossing = dict(zip(edges, _find_crossings(theta, edges, best, evaluate), strict=True))
    sets = {}
    for level in LEVELS:
        mine = [run for run in runs if run.level == level]
        found, decided = [], bool(mine) or bool(trusted.all())
        for run in mine:
            low = crossing.get((run, run.first, run.first - 1), -math.inf)
            high = crossing.get((run, run.last, run.last + 1), math.inf)
            low = bounds[0] if run.first == 0 and theta[0] <= bounds[0] else low
            high = bounds[1] if run.last == n - 1 and theta[-1] >= bounds[1] else high
            if not run.is_clean or math.isnan(low) or math.isnan(high):
                decided = False
            else:
                found.append((low, high))
        intervals = np.array(found, dtype=float).reshape(-1, 2)
        open_below, open_above = bool((intervals == -math.inf).any()), bool((intervals == math.inf).any())
        sets[level] = IntervalSet(
            intervals=intervals,
            open_below=open_below,
            open_above=open_above,
            reason_below=_reason(open_below, intervals[:, 0], bounds[0]),
            reason_above=_reason(open_above, intervals[:, 1], bounds[1]),
            decided=decided,
        )
    return sets


def _reason(is_open: bool, ends: np.ndarray, bound: float) -> str | None:
    if not len(ends):
        return None
    return "scan_end" if is_open else "bound" if (ends == bound).any() else "crossing"


def _find_runs(level: str, inside: np.ndarray, trusted: np.ndarray) -> list[_Run]:
    padded = np.concatenate([[False], inside, [False]]).astype(int)
    firsts, lasts = np.flatnonzero(np.diff(padded) == 1), np.flatnonzero(np.diff(padded) == -1) - 1
    return [
        _Run(level, int(first), int(last), bool(trusted[max(first - 1, 0) : last + 2].all()))
        for first, last in zip(firsts, lasts, strict=True)
    ]


def _find_crossings(
    theta: np.ndarray,
    edges: list[tuple[_Run, int, int]],
    best: float,
    evaluate: Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray],
) -> list[float]:
    """Roots of √Δχ² − √level, all edges together: the root is linear in θ where the profile is a parabola."""
    if not edges:
        return []
    inner, outer = np.array([edge[1] for edge in edges]), np.array([edge[2] for edge in edges])
    level = np.array([LEVELS[run.level] for run, *_ in edges])

    def excess(x: np.ndarray, i: np.ndarray, j: np.ndarray, target: np.ndarray) -> np.ndarray:
        above_best = np.maximum(evaluate(x, i.astype(int), j.astype(int)) - best, 0.0)
        return np.sqrt(above_best) - np.sqrt(target)

    tolerances = {"xatol": _CROSSING_TOLERANCE, "xrtol": _CROSSING_TOLERANCE, "fatol": 0.0, "frtol": 0.0}
    roots = elementwise.find_root(
        excess, (theta[inner], theta[outer]), args=(inner, outer, level), tolerances=tolerances
    )
    return [float(x) if ok else math.nan for x, ok in zip(roots.x, roots.success, strict=True)]
