"""Computation of one profile: its nodes, the points added to them, and the identified sets.

The search goes outward until every level is crossed, and reports the search bounds that cause an end of a set.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial

import numpy as np

from leptonfit.inference.active_bounds import ActiveBoundResult, conditional_sigma, find_active_bounds, with_shifts
from leptonfit.inference.continuation import WARM, ProfilePath, chi2_noise, significant_drop
from leptonfit.inference.intervals import EndResult, IntervalSet, Nodes, find_identified_sets
from leptonfit.inference.logarithms import solve
from leptonfit.inference.multistart import draw_starts
from leptonfit.inference.problem import LeastSquaresProblem
from leptonfit.inference.tension import assess_tension

_COARSE = 9
"""Number of points across the box of a parameter whose grid is not given."""
_SCOUTS, _SCOUT_STEPS, _ABOUT_AS_WELL, _FARTHEST = 64, 200, 4.0, 1e4
"""Number of starts that estimate ranges, steps of each, and limits for the end points that are used.

The limits are the largest χ² over the lowest χ², and the largest |x| over the scale of the parameter.
"""
_HALVINGS = 6
"""Largest number of halvings of the interval between a set and a node that is not trusted."""
_ROUGH, _BESIDE = 0.05, 0.02
"""Accuracy of the first ends, as a fraction of the level, and distance of the nodes that are added beside them.

The distance is a fraction of that between end and best fit.
"""
_CLOSE = 0.1
"""Distance from a known solution, as a fraction of the way to the next one, at which that one is no start."""
_UNMOVED = 1e-7
"""An end is unmoved if it moves by less than this fraction of its distance from the best fit, and from zero."""
_MARGIN = 0.3
"""Extent of a default grid beyond the set, as a fraction of the set's width."""
_SIGMAS = np.array([-3.0, -2.0, -1.0, -0.5, 0.0, 0.5, 1.0, 2.0, 3.0])


@dataclass(frozen=True)
class SearchOptions:
    """Search options of a profile: Δχ² by level, fresh starts per point, random generator, ranges of the starts."""

    rises: Mapping[str, float]
    n_starts: int
    rng: np.random.Generator
    ranges: Mapping[str, tuple[float, float]]

    @property
    def top(self) -> str:
        """Highest level."""
        return max(self.rises, key=lambda level: self.rises[level])

    @property
    def rise(self) -> float:
        """Δχ² of the highest level."""
        return self.rises[self.top]


class Scan:
    """Profile at the values θ and beyond, extended until the ends of its sets are found.

    Parameters
    ----------
    problem : LeastSquaresProblem
    name : str
        Name of the scanned parameter.
    theta : ndarray (n,)
        Values of the parameter, ascending.
    options : SearchOptions
    warm : ndarray (n, n_par), optional
        Initial solutions; nan where there is none.
    open_ends : mapping, optional
        Ends that are known to be open, by level and side (−1, 1); they are not searched again.
    is_first : bool
        True if `add` follows, so that ends are not needed to all digits yet.
    """

    def __init__(
        self,
        problem: LeastSquaresProblem,
        name: str,
        theta: np.ndarray,
        options: SearchOptions,
        *,
        warm: np.ndarray | None = None,
        open_ends: Mapping[tuple[str, int], EndResult] | None = None,
        is_first: bool = False,
    ) -> None:
        self.problem, self.name, self.options = problem, name, options
        self._is_rough = is_first and problem.search.trusts_neighbours
        self._open_ends = dict(open_ends or {})
        path = ProfilePath(problem, name, theta)
        if warm is not None:
            known = np.flatnonzero(np.isfinite(warm).all(axis=-1))
            path.improve(known, warm[known], np.full(len(known), WARM))
        self._fit_all(path)
        low = path.fit_free(options.n_starts, options.rng, options.ranges, options.rise)
        between = path.points_between(low)
        if len(between):
            path = path.with_points(between, 3)
        beyond = path.points_beyond(low)
        if len(beyond):
            path = path.with_points(beyond, 2)
        if len(between) or len(beyond):
            self._fit_all(path)
        step = max((theta[-1] - theta[0]) / 4, min(conditional_sigma(problem, path.best_x, name), theta[-1] - theta[0]))
        sides = tuple(side for side in (-1, 1) if (options.top, side) not in self._open_ends)
        self.path = path
        if not self.is_rejected:  # no set is quoted for a rejected model
            self.path = path.extend(options.rise, float(step), options.n_starts, options.rng, options.ranges, sides)
            self._bracket()
        self.sets = self._find_sets()

    def _fit_all(self, path: ProfilePath) -> None:
        path.fit_all(self.options.n_starts, self.options.rng, self.options.ranges)

    def _bracket(self) -> None:
        """Add nodes where the node just outside a set is not trusted, until a closer one is trusted."""
        for _ in range(_HALVINGS):
            path, trusted = self.path, self.path.trusted()
            inside = path.chi2 <= path.best_chi2 + self.options.rise
            beside = np.flatnonzero(inside[:-1] != inside[1:])
            outer = np.where(inside[beside], beside + 1, beside)
            lost = beside[~trusted[outer] & np.isfinite(path.chi2[outer])]
            if not len(lost):
                return
            self.path = path.insert((path.theta[lost] + path.theta[lost + 1]) / 2)
            self._fit_all(self.path)

    def add(self, theta: np.ndarray) -> None:
        """Add nodes at the values θ and recompute the sets."""
        if self._is_rough:  # nodes beside the ends known so far shorten the search for all their digits
            ends = np.concatenate([found.intervals.ravel() for found in self.sets.values()])
            ends = ends[np.isfinite(ends)]
            reach = _BESIDE * (ends - self.path.best_x[self.path.column])
            beside = np.concatenate([ends - reach, ends + reach])
            low, high = self.path.theta[0], self.path.theta[-1]
            theta = np.union1d(theta, beside[(beside > low) & (beside < high)])
        self._is_rough = False
        self.path = self.path.insert(theta)
        self._fit_all(self.path)
        self.sets = self._find_sets()

    @property
    def is_decided(self) -> bool:
        """True if the sets of every level are decided and Δχ² is measured from a minimum."""
        return self.path.best_converged and all(found.decided for found in self.sets.values())

    @property
    def is_rejected(self) -> bool:
        """True if the model is rejected at the lowest χ² known."""
        path = self.path
        return path.best_converged and assess_tension(self.problem, path.best_x, path.best_chi2).is_rejected

    @property
    def best_held_by(self) -> tuple[ActiveBoundResult, ...]:
        """Active bounds at the lowest χ² known, if that is a minimum."""
        path = self.path
        return find_active_bounds(self.problem, path.best_x) if path.best_converged else ()

    def open_ends(self) -> dict[tuple[str, int], EndResult]:
        """Ends that stay open in any wider box, by level and side; none if a search bound is active at the best fit."""
        if any(not bound.is_physical for bound in self.best_held_by):
            return {}
        found = dict(self._open_ends)
        for level, values in self.sets.items():
            for side, end in ((-1, values.below[:1]), (1, values.above[-1:])):
                if end and end[0].reason in ("bound_own", "scan_end"):
                    found[level, side] = end[0]
        return found

    def search_bounds(self) -> list[ActiveBoundResult]:
        """Search bounds of other parameters that cause an end of a set, or are active at the lowest χ² known."""
        ends = [end for found in self.sets.values() for end in (*found.below, *found.above) if end.reason == "box"]
        held = [bound for end in ends for bound in end.held_by] + list(self.best_held_by)
        unique = {bound.key: bound for bound in held if not bound.is_physical and bound.parameter != self.name}
        return list(unique.values())

    def choose_grid(self, n: int) -> np.ndarray:
        """Default grid (n,) across the set of the highest level within the bounds, and somewhat beyond."""
        path, found = self.path, self.sets[self.options.top]
        low, high = self.problem.lower[path.column], self.problem.upper[path.column]
        middle = path.best_x[path.column]
        ends = found.intervals[np.isfinite(found.intervals)] if len(found.intervals) else np.empty(0)
        far = np.max(np.abs(ends - middle), initial=0.0) or (path.theta[-1] - path.theta[0]) / 4
        first = ends.min() if len(ends) and not found.open_below else max(middle - 3 * far, low)
        last = ends.max() if len(ends) and not found.open_above else min(middle + 3 * far, high)
        margin = _MARGIN * (last - first)
        first, last = max(first - margin, low), min(last + margin, high)
        return _spread(first, last, n, is_log=bool(self.problem.is_log[path.column]))

    def _find_sets(self) -> dict[str, IntervalSet]:
        """Identified sets at every level; recomputed if a lower minimum appears during the search for a crossing."""
        path, (low, high) = self.path, (self.problem.lower[self.path.column], self.problem.upper[self.path.column])
        own = (self.own_end(0) if path.theta[0] <= low else None, self.own_end(1) if path.theta[-1] >= high else None)
        while True:
            best, between = path.best_chi2, _Between(path)
            noise = float(chi2_noise(self.problem, best))
            if self._is_rough:
                noise = max(noise, _ROUGH * min(self.options.rises.values()))
            sets = find_identified_sets(
                Nodes(path.theta, path.chi2, path.trusted(), best, noise),
                self.options.rises,
                own_ends=own,
                evaluate=between.fit,
                judge=partial(self._judge, between),
            )
            if self.problem.search.trusts_neighbours and self._lower(between):
                continue
            if not best - path.best_chi2 > significant_drop(path.best_chi2):
                return {level: self._keep_open(level, found) for level, found in sets.items()}

    def _lower(self, between: _Between) -> bool:
        """True if the search for ends found a lower χ² at a node; it is then carried on to the nodes beside."""
        path = self.path
        nodes = np.flatnonzero(np.isin(path.theta, between.theta))
        x = between.x[np.searchsorted(between.theta, path.theta[nodes])]
        inner = np.where(path.theta[nodes] > path.best_x[path.column], nodes - 1, nodes + 1)
        chi2 = np.sum(self.problem.residuals(x) ** 2, axis=-1)
        lower = chi2 < path.chi2[nodes] - significant_drop(path.chi2[nodes])
        if not lower.any():
            return False
        changed = path.improve(nodes[lower], x[lower], path.origin[np.clip(inner[lower], 0, len(path.theta) - 1)])
        path.sweep(changed)
        self._fit_all(path)
        return bool(changed.any())

    def _keep_open(self, level: str, found: IntervalSet) -> IntervalSet:
        below, above, intervals = list(found.below), list(found.above), found.intervals.copy()
        if below and (level, -1) in self._open_ends:
            below[0], intervals[0, 0] = self._open_ends[level, -1], -np.inf
        if above and (level, 1) in self._open_ends:
            above[-1], intervals[-1, 1] = self._open_ends[level, 1], np.inf
        return IntervalSet(intervals, tuple(below), tuple(above), found.decided)

    def own_end(self, side: int) -> EndResult:
        """End of a set on the lower (side 0) or upper (side 1) bound of the scanned parameter itself."""
        problem, column = self.problem, self.path.column
        parameter, is_physical = problem.parameters[column], bool(problem.is_physical[side, column])
        bound = ActiveBoundResult(
            parameter=self.name,
            symbol=parameter.symbol or self.name,
            side=("lower", "upper")[side],
            value=(parameter.lower, parameter.upper)[side],
            is_physical=is_physical,
            slope=0.0,
            shift=1.0,
        )
        return EndResult("physical_own" if is_physical else "bound_own", (bound,))

    def _judge(self, between: _Between, theta: float, side: int) -> EndResult:
        """Reason why a set ends at a crossing θ, with the active bounds there.

        Where no minimisation converges at θ, or χ² jumps there, the nearest known point outside the set is judged.
        """
        (chi2,), (slope,), (x,) = between.fit(np.array([theta]))
        if not chi2 - self.path.best_chi2 > 0.5 * min(self.options.rises.values()):
            _, (slope,), (x,) = between.fit(between.neighbour(theta, side))
        pushing = find_active_bounds(self.problem, x, fixed=(self.name,))
        reason = "crossing" if not pushing else "physical_other" if all(b.is_physical for b in pushing) else "box"
        held_by = with_shifts(pushing, self.best_held_by, float(slope))
        if reason == "box" and not any(self._moves(bound, theta) for bound in held_by if not bound.is_physical):
            reason = "physical_other" if any(bound.is_physical for bound in pushing) else "crossing"
        return EndResult(reason, held_by)

    def _moves(self, bound: ActiveBoundResult, theta: float) -> bool:
        """True if an end moves by more than rounding when a bound moves by the width of its box."""
        low, high = self.problem.box(bound.parameter)
        way = abs(bound.shift) * min(high - low, np.finfo(float).max)
        return not way <= _UNMOVED * min(abs(theta - self.path.best_x[self.path.column]), abs(theta))


class _Between:
    """Profile between its nodes, fitted from the nearest solutions on either side; new solutions become starts."""

    def __init__(self, path: ProfilePath) -> None:
        known = np.isfinite(path.chi2)
        self.path, self.theta, self.x = path, path.theta[known], path.x[known]

    def fit(self, theta: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Lowest χ² (m,) at θ (m,), nan where no fit converged; its slope (m,); the points (m, n_par)."""
        starts = self._starts_beside(theta)
        starts[..., self.path.column] = theta[:, None]
        fit = self.path.minimise(starts, held=True)
        chi2 = np.where(fit.converged, fit.chi2, np.inf)
        rows, lowest = np.arange(len(theta)), chi2.argmin(axis=1)
        chi2, x = chi2[rows, lowest], fit.x[rows, lowest]
        new = np.isfinite(chi2)
        at = np.searchsorted(self.theta, theta[new])
        self.theta, self.x = np.insert(self.theta, at, theta[new]), np.insert(self.x, at, x[new], axis=0)
        # by the envelope theorem the minimised parameters do not contribute: the slope is ∂χ²/∂θ at fixed others
        column = self.path.problem.jacobian(x)[..., self.path.column]
        return np.where(new, chi2, np.nan), 2 * np.vecdot(self.path.problem.residuals(x), column), x

    def _starts_beside(self, theta: np.ndarray) -> np.ndarray:
        """Known solutions (m, 2, n_par) on either side of θ (m,).

        Close to one of them the other one is far away; a point on the line between them then replaces it.
        """
        last = len(self.theta) - 1
        before = np.clip(np.searchsorted(self.theta, theta) - 1, 0, last)
        after = np.clip(np.searchsorted(self.theta, theta, "right"), 0, last)
        low, high = self.theta[before], self.theta[after]
        starts = self.x[np.stack([before, after], axis=1)]
        share = ((theta - low) / np.where(high > low, high - low, 1.0))[:, None]
        between = (1 - share) * starts[:, 0] + share * starts[:, 1]
        between = np.clip(between, self.path.problem.lower, self.path.problem.upper)
        is_between, is_known = (low < theta) & (theta < high), np.isin(theta, self.theta)
        is_between = (is_between & ~is_known)[:, None]
        starts[:, 1] = np.where(is_between & (share < _CLOSE), between, starts[:, 1])
        starts[:, 0] = np.where(is_between & (share > 1 - _CLOSE), between, starts[:, 0])
        return starts

    def neighbour(self, theta: float, side: int) -> np.ndarray:
        """Nearest value (1,) below (side −1) or above (side 1) θ at which a solution is known."""
        at = np.searchsorted(self.theta, theta, "right") if side > 0 else np.searchsorted(self.theta, theta) - 1
        return self.theta[[at]]


def guess_ranges(
    problem: LeastSquaresProblem, given: Mapping[str, tuple[float, float]]
) -> dict[str, tuple[float, float]]:
    """Ranges of starts for parameters without finite bounds, from trial fits that start on both sides of zero.

    Ranges that are `given` are kept; where they suffice, no trial fit is made.

    The trial starts are from a tenth to a hundred times as far from zero as the start of the problem. A range contains
    every end point that fits about as well as the best, five standard deviations around the best, and the start.

    Raises
    ------
    ValueError
        If no trial start has a finite χ².
    """
    unbounded = [name for name in problem.names if not np.isfinite(problem.box(name)).all()]
    if set(unbounded) <= set(given):
        return dict(given)
    columns = [problem.index(name) for name in unbounded]
    rng = np.random.default_rng(0)
    size = np.where(problem.start != 0, np.abs(problem.start), 1.0)[columns]
    away = size * 10 ** rng.uniform(-1, 2, (_SCOUTS, len(columns))) * rng.choice([-1, 1], (_SCOUTS, len(columns)))
    origin = np.clip(0.0, problem.lower[columns], problem.upper[columns])
    limited = np.isfinite(problem.lower[columns]) | np.isfinite(problem.upper[columns])
    away = np.where(limited, np.abs(away) * np.where(np.isfinite(problem.upper[columns]), -1, 1), away)
    at_start = {name: (value, value) for name, value in zip(unbounded, problem.start[columns], strict=True)}
    starts = draw_starts(problem, _SCOUTS, rng, at_start)
    starts[:, columns] = np.clip(origin + away, problem.lower[columns], problem.upper[columns])
    fit = solve(problem, np.vstack([problem.start, starts]), max_iter=_SCOUT_STEPS)
    usable = fit.converged & np.isfinite(fit.chi2)
    usable = usable if usable.any() else np.isfinite(fit.chi2)
    if not usable.any():
        raise ValueError(f"{unbounded[0]}: χ² is finite at none of {len(fit.chi2)} starts; give a range to draw from")
    best = fit.x[usable][fit.chi2[usable].argmin()]
    good = fit.x[usable & (fit.chi2 <= _ABOUT_AS_WELL * fit.chi2[usable].min() + _ABOUT_AS_WELL)]
    found = {}
    for name, j in zip(unbounded, columns, strict=True):
        sigma, value = conditional_sigma(problem, best, name), best[j]
        reach = 5 * sigma if np.isfinite(sigma) else abs(value) or 1.0
        ends = np.concatenate([good[:, j], [problem.start[j], value - reach, value + reach]])
        ends = ends[np.abs(ends) <= _FARTHEST * max(abs(problem.start[j]), abs(value), reach)]
        found[name] = max(ends.min(), problem.lower[j]), min(ends.max(), problem.upper[j])
    return {**found, **given}


def _spread(low: float, high: float, n: int, *, is_log: bool) -> np.ndarray:
    """Values (n,) from `low` to `high` with equal distances, or with equal ratios on a logarithmic scale."""
    return np.clip(np.geomspace(low, high, n), low, high) if is_log and low > 0 else np.linspace(low, high, n)


def guess_values(problem: LeastSquaresProblem, name: str, options: SearchOptions) -> np.ndarray:
    """Initial values of a scanned parameter if no grid is given: around its best fit, and across its box.

    Parameters
    ----------
    problem : LeastSquaresProblem
    name : str
    options : SearchOptions

    Raises
    ------
    ValueError
        If no start has a finite χ².
    """
    column = problem.index(name)
    low, high = problem.lower[column], problem.upper[column]
    starts = np.concatenate([problem.start[None], draw_starts(problem, options.n_starts, options.rng, options.ranges)])
    fit = solve(problem, starts, max_iter=problem.search.n_steps)
    if not np.isfinite(fit.chi2).any():
        raise ValueError(f"{name}: χ² is finite at none of {len(starts)} starts")
    x = fit.x[np.nanargmin(fit.chi2)]
    sigma = conditional_sigma(problem, x, name)
    if not np.isfinite(sigma):
        sigma = (high - low) / 8 if np.isfinite(high - low) else abs(x[column]) or 1.0
    values = x[column] + sigma * _SIGMAS
    if np.isfinite(high - low):
        values = np.concatenate([values, _spread(low, high, _COARSE, is_log=bool(problem.is_log[column]))])
    return np.unique(np.clip(values, low, high))
