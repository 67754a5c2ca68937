"""Identified sets: where a profile stays below a level, with ends to 1e-7 and the bounds that determine each end."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np
from scipy.stats import chi2 as chi2_distribution
from scipy.stats import f as f_distribution

from leptonfit.inference.active_bounds import ActiveBoundResult
from leptonfit.inference.arguments import read_confidences
from leptonfit.inference.result import Result, encode


def find_levels(confidence: Sequence[float] | float, sigma_degrees: int | None = None) -> dict[str, float]:
    """Δχ² of one parameter for each confidence level: {"0.95": 3.841} for (0.95,).

    Where σ was estimated with ν = `sigma_degrees` degrees of freedom, the quantile of F(1, ν) replaces that of χ².

    Raises
    ------
    ValueError
        If no level is given, or one is not between 0 and 1.
    """
    levels = read_confidences("levels", confidence)
    law = chi2_distribution(1) if sigma_degrees is None else f_distribution(1, sigma_degrees)
    return {f"{value:g}": float(law.ppf(value)) for value in sorted(levels)}


LEVELS = find_levels((0.68, 0.95))
"""Δχ² for one parameter at 68 % and 95 %: 0.989 and 3.841."""

_HARDLY_ABOVE, _SURELY_INSIDE = 1e-2, 0.9
"""Fractions of √level: below the first √Δχ² may be rounding and has no slope, below the second a point lies inside."""
_CROSSING_TOLERANCE, _CROSSING_UNKNOWN, _CROSSING_STEPS, _CROSSING_FAILURES = 1e-10, 1e-5, 100, 40
"""Accuracy of an end, the same where no minimisation converges closer to it, the largest number of steps, and the
largest number of steps to points where no minimisation converges.

The accuracy is a fraction of the distance between the end and the nearer of the two nodes beside it.
"""


@dataclass(frozen=True)
class EndResult(Result):
    """Reason why an interval ends where it does.

    Attributes
    ----------
    reason : str
        "crossing": χ² crosses the level, and no bound of another parameter is active. "physical_other": it crosses,
        and only physical bounds of other parameters are active. "box": it crosses, and a search bound of another
        parameter is active. "physical_own", "bound_own": χ² is still below the level at the physical, or search, bound
        of the parameter itself. "scan_end": χ² is still below the level where the search for a crossing ended.
    held_by : tuple of ActiveBoundResult
        The active bounds at the end and at the best fit, each with its shift of the end; the bound of the parameter
        itself if the interval ends there.
    """

    reason: str
    held_by: tuple[ActiveBoundResult, ...] = ()

    @property
    def is_closed(self) -> bool:
        """True if data, or physical limits of other parameters, end the interval."""
        return self.reason in ("crossing", "physical_other")

    @property
    def is_open(self) -> bool:
        """True if neither data nor a physical limit ends the interval."""
        return self.reason in ("box", "bound_own", "scan_end")


@dataclass(frozen=True)
class IntervalSet(Result):
    """Values of a parameter whose Δχ² is at most a level.

    Attributes
    ----------
    intervals : ndarray (n_intervals, 2)
        [low, high] in ascending order; −inf or +inf where there is no end. The set may have 0, 1 or more intervals.
    below, above : tuple of EndResult (n_intervals)
        Reasons for the lower and the upper end of each interval.
    decided : bool
        False if an untrusted point lies in or beside an interval, which is then left out, or if there is no interval
        and a point is untrusted.
    """

    intervals: np.ndarray
    below: tuple[EndResult, ...]
    above: tuple[EndResult, ...]
    decided: bool

    @property
    def reason_below(self) -> str | None:
        """Reason of the lowest end; None for an empty set."""
        return self.below[0].reason if self.below else None

    @property
    def reason_above(self) -> str | None:
        """Reason of the highest end; None for an empty set."""
        return self.above[-1].reason if self.above else None

    @property
    def open_below(self) -> bool:
        """True if the set has no lower end within the given bounds: χ² stays below the level there."""
        return self.reason_below in ("scan_end", "bound_own")

    @property
    def open_above(self) -> bool:
        """True if the set has no upper end within the given bounds."""
        return self.reason_above in ("scan_end", "bound_own")

    def contains(self, value: float) -> bool:
        """True if `value` lies in one of the intervals."""
        return bool(((self.intervals[:, 0] <= value) & (value <= self.intervals[:, 1])).any())

    def close_by_data(self, limits: tuple[float, float] = (-math.inf, math.inf)) -> IntervalSet:
        """Set allowed by data and physical limits alone: ends caused by search bounds are moved to the `limits`.

        A gap between two intervals is kept only if data or physical limits close both of its ends.
        """
        kept = [i for i in range(1, len(self.intervals)) if self.above[i - 1].is_closed and self.below[i].is_closed]
        first, last = [0, *kept], [*(i - 1 for i in kept), len(self.intervals) - 1]
        if not len(self.intervals):
            return self
        intervals = np.column_stack([self.intervals[first, 0], self.intervals[last, 1]])
        below, above = tuple(self.below[i] for i in first), tuple(self.above[i] for i in last)
        if below[0].is_open:
            intervals[0, 0] = limits[0]
        if above[-1].is_open:
            intervals[-1, 1] = limits[1]
        return IntervalSet(intervals, below, above, self.decided)

    def to_dict(self) -> dict[str, Any]:
        """Convert the fields to plain JSON data; an end that is infinite becomes None."""
        return {**super().to_dict(), "intervals": encode(self.intervals)}

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Self:
        """Rebuild a set from the output of `to_dict`."""
        found = super().from_dict(data)
        ends = found.intervals.reshape(-1, 2)
        return replace(found, intervals=np.where(np.isnan(ends), [-math.inf, math.inf], ends))


EMPTY_SET = IntervalSet(np.empty((0, 2)), (), (), decided=True)
"""Set without any allowed value."""


@dataclass(frozen=True)
class Nodes:
    """Computed points of a profile.

    Attributes
    ----------
    theta : ndarray (n,)
        Values of the parameter, ascending.
    chi2, trusted : ndarray (n,)
        Profile at these values, and whether each of its values is trusted.
    best : float
        Lowest χ² known anywhere.
    noise : float
        Error of χ²: an end is not searched more closely.
    """

    theta: np.ndarray
    chi2: np.ndarray
    trusted: np.ndarray
    best: float
    noise: float = 0.0


@dataclass(frozen=True)
class _Run:
    """Consecutive nodes `first` to `last` that all lie below the level."""

    level: str
    first: int
    last: int
    is_clean: bool


def find_identified_sets(
    nodes: Nodes,
    levels: Mapping[str, float],
    *,
    own_ends: tuple[EndResult | None, EndResult | None],
    evaluate: Callable[[np.ndarray], tuple[np.ndarray, np.ndarray, np.ndarray]],
    judge: Callable[[float, int], EndResult],
) -> dict[str, IntervalSet]:
    """Find the identified set chi2_min(θ) ≤ best + Δχ² for each level.

    Parameters
    ----------
    nodes : Nodes
    levels : mapping
        Δχ² by name.
    own_ends : (EndResult or None, EndResult or None)
        End of a set at the first and at the last point if these are bounds of the parameter itself; None if they are
        not.
    evaluate : callable
        Function θ (m,) → chi2_min (m,), nan where no minimisation converged; its slope (m,); and the points. An end
        that cannot be located, since no minimisation converges near it, is open.
    judge : callable
        Function (θ, side) → reason why a set ends at a crossing there; side is −1 at a lower end and 1 at an upper one.

    Returns
    -------
    dict of IntervalSet by level
    """
    theta, chi2, trusted, best = nodes.theta, nodes.chi2, nodes.trusted, nodes.best
    runs = [run for level, rise in levels.items() for run in _find_runs(level, chi2 <= best + rise, trusted)]
    n = len(theta)
    edges = [(run, run.first, run.first - 1) for run in runs if run.is_clean and run.first > 0]
    edges += [(run, run.last, run.last + 1) for run in runs if run.is_clean and run.last < n - 1]
    roots = _find_crossings(nodes, edges, levels, evaluate)
    crossing = dict(zip(edges, roots, strict=True))

    def end(run: _Run, inner: int, outer: int) -> tuple[float, EndResult]:
        if 0 <= outer < n:
            at = crossing[run, inner, outer]
            if not math.isnan(at):
                return at, judge(at, outer - inner)
            return math.copysign(math.inf, outer - inner), EndResult("scan_end")  # the profile cannot be followed there
        own = own_ends[0 if outer < 0 else 1]
        if own is not None:
            return float(theta[inner]), own
        return -math.inf if outer < 0 else math.inf, EndResult("scan_end")

    sets = {}
    for level in levels:
        mine = [run for run in runs if run.level == level]
        decided, intervals, below, above = bool(mine) or bool(trusted.all()), [], [], []
        for run in mine:
            if not run.is_clean:
                decided = False
                continue
            (low, start), (high, stop) = end(run, run.first, run.first - 1), end(run, run.last, run.last + 1)
            if (run is not mine[0] and math.isinf(low)) or (run is not mine[-1] and math.isinf(high)):
                decided = False  # a gap whose edge is not known
                continue
            intervals.append((low, high))
            below.append(start)
            above.append(stop)
        sets[level] = IntervalSet(np.array(intervals, dtype=float).reshape(-1, 2), tuple(below), tuple(above), decided)
    return sets


def _find_runs(level: str, inside: np.ndarray, trusted: np.ndarray) -> list[_Run]:
    padded = np.concatenate([[False], inside, [False]]).astype(int)
    firsts, lasts = np.flatnonzero(np.diff(padded) == 1), np.flatnonzero(np.diff(padded) == -1) - 1
    return [
        _Run(level, int(first), int(last), bool(trusted[max(first - 1, 0) : last + 2].all()))
        for first, last in zip(firsts, lasts, strict=True)
    ]


def _find_crossings(
    nodes: Nodes,
    edges: list[tuple[_Run, int, int]],
    levels: Mapping[str, float],
    evaluate: Callable[[np.ndarray], tuple[np.ndarray, np.ndarray, np.ndarray]],
) -> list[float]:
    """Roots of √Δχ² − √level, all edges together, by Newton's method inside brackets that shrink.

    √Δχ² is linear in θ where the profile is a parabola, so that few steps are needed. A step that leaves the bracket,
    or is longer than half of the step before the last, is replaced by a bisection. After a point where no minimisation
    converged, the next point lies halfway to the inner end of the bracket.
    """
    theta, best = nodes.theta, nodes.best
    inner, outer = theta[[edge[1] for edge in edges]], theta[[edge[2] for edge in edges]]
    target = np.sqrt([levels[run.level] for run, *_ in edges])
    ends, at, found = np.stack([inner, outer]), outer.copy(), np.full(len(edges), math.nan)
    left, before = np.arange(len(edges)), np.full((2, len(edges)), math.inf)
    failures = np.zeros(len(edges), dtype=int)
    for _ in range(_CROSSING_STEPS):
        if not len(left):
            break
        chi2, slope, _ = evaluate(at[left])
        here, root = at[left], np.sqrt(np.maximum(chi2 - best, 0.0))
        is_known, is_inside = ~np.isnan(chi2), root <= target[left]
        failures[left] += ~is_known
        inner[left] = np.where(is_known & is_inside, here, inner[left])
        outer[left] = np.where(is_known & ~is_inside, here, outer[left])
        with np.errstate(divide="ignore", invalid="ignore"):
            step = 2 * root * (target[left] - root) / slope
        is_between = (here + step - inner[left]) * (here + step - outer[left]) <= 0
        is_between &= (root > _HARDLY_ABOVE * target[left]) & (np.abs(step) <= 0.5 * before[0, left])
        middle = (inner[left] + np.where(is_known, outer[left], here)) / 2
        at[left] = np.where(is_between, here + step, middle)
        step = np.abs(at[left] - here)
        before[:, left] = before[1, left], step
        distance = np.abs(at[left] - ends[:, left]).min(axis=0)
        gap = np.abs(outer[left] - inner[left])
        is_met = np.abs(root**2 - target[left] ** 2) <= nodes.noise
        is_done = is_met | np.where(
            is_known, step <= _CROSSING_TOLERANCE * distance, gap <= _CROSSING_UNKNOWN * distance
        )
        done, left = left[is_done], left[~is_done]
        if len(done):  # the point outside may be a poorer minimum: fit it again from its neighbour inside
            again = evaluate(outer[done])[0]
            is_poorer = np.sqrt(np.maximum(again - best, 0.0)) < _SURELY_INSIDE * target[done]
            found[done[~is_poorer]] = at[done[~is_poorer]]
            wrong = done[is_poorer & (outer[done] != ends[1, done])]
            inner[wrong], outer[wrong], before[:, wrong] = outer[wrong], ends[1, wrong], math.inf
            at[wrong] = (inner[wrong] + outer[wrong]) / 2
            left = np.concatenate([left, wrong])
        left = left[failures[left] < _CROSSING_FAILURES]
    return found.tolist()
