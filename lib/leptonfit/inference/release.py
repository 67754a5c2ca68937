"""Release the search bounds that are active on a profile or at a fit, and repeat the profile or the fit."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from leptonfit.inference.active_bounds import ActiveBoundResult, find_active_bounds
from leptonfit.inference.continuation import significant_drop
from leptonfit.inference.intervals import IntervalSet
from leptonfit.inference.logarithms import solve
from leptonfit.inference.multistart import draw_starts
from leptonfit.inference.problem import LeastSquaresProblem
from leptonfit.inference.scan import Scan, SearchOptions

_RELEASES = 4
"""Largest number of releases of a search bound: once to its physical limit, or four times by a factor of ten."""
_AT_REST, _ROUNDING = 1e-2, 1e-6
"""Largest last moves of an end that has converged, as fractions of its distance from the best fit.

They must be below the first fraction, and also below half of the moves before or below the second (rounding).
"""
_FAR = np.linspace(0.5, 4.0, 8)
"""Powers of ten by which a symmetry is followed: as far as four releases would lead."""
_JUST_BEYOND = 1e-6
"""Distance beyond a bound at which the model is tested, as a fraction of the box."""
_COARSE = 9
"""Number of nodes kept for a profile with released bounds, in addition to those at the ends of its sets."""

_BEYOND = 2.0 ** np.arange(-7, 1)
"""Where a set may go on beyond an end that a search bound makes, as fractions of its distance from the best fit."""


def look_behind(scan: Scan) -> tuple[Scan, dict[str, np.ndarray], bool]:
    """Release the active search bounds of a scan until none is active, or each was released four times.

    An end that still depends on a bound then, but has converged, is closed at its last value.

    Returns
    -------
    Scan
        The last scan that could be followed, with bounds released; the given one if no search bound is active on it.
    dict of ndarray (n_tries + 1, 2)
        For each released parameter, the given bounds and those tried.
    bool
        True if the profile could be followed beyond every bound tried. It cannot where the model is undefined.
    """
    boxes, is_decided, history = Boxes(), True, [scan.sets]
    while is_decided and scan.is_decided:
        if scan.problem.search.trusts_neighbours and _is_symmetric(scan):
            break
        pushing = scan.search_bounds()
        problem = boxes.release(scan.problem, pushing)
        if problem is None:
            pushing = _bounds_beyond(scan, history, boxes)
            problem = boxes.release(scan.problem, pushing)
        if problem is None:
            break
        if any(_is_edge_of_model(scan, bound) for bound in pushing):
            is_decided = False
            break
        kept = _kept_nodes(scan)
        options = replace(scan.options, ranges={**boxes.given, **scan.options.ranges})
        theta = np.union1d(scan.path.theta[kept], _beyond_ends(scan))
        warm = np.full((len(theta), problem.n_par), np.nan)
        warm[np.searchsorted(theta, scan.path.theta[kept])] = scan.path.x[kept]
        wider = Scan(problem, scan.name, theta, options, warm=warm, open_ends=scan.open_ends())
        if scan.path.best_chi2 - wider.path.best_chi2 > significant_drop(wider.path.best_chi2):
            wider = Scan(
                problem, scan.name, theta, options, warm=warm
            )  # a lower best χ² may close an end that was open
        is_decided = wider.is_decided
        if is_decided:
            scan = wider
            history.append(scan.sets)
    scan.sets = {level: _settle(scan, [sets[level] for sets in history], boxes) for level in scan.sets}
    return scan, boxes.tries, is_decided


def _is_symmetric(scan: Scan) -> bool:
    """True if an exact symmetry of the model leads on through every end that a search bound makes.

    Where the residuals stay the same when some parameters change by powers of a common factor (a·b, V/K), or along a
    straight line (a + b), each end is open: points far behind it, outside the search bounds but within physical limits,
    have the same χ². No release is needed to see that.
    """
    problem, path = scan.problem, scan.path
    ends = {
        (side, end.reason)
        for found in scan.sets.values()
        for side, outer in ((-1, found.below[:1]), (1, found.above[-1:]))
        for end in outer
    }
    sides = [side for side, reason in ends if reason == "box"]
    if not sides or any(not bound.is_physical for bound in scan.best_held_by) or not path.best_converged:
        return False
    limits = np.array([parameter.physical for parameter in problem.parameters]).T
    x, column = path.best_x, path.column
    with np.errstate(all="ignore"):
        jacobian = problem.jacobian(x)
        for is_scaling, size in ((True, x), (False, problem.widths)):
            scaled = jacobian * size
            if not np.isfinite(scaled).all() or not size[column]:
                continue
            _, values, directions = np.linalg.svd(scaled)
            null = directions[np.append(values, np.zeros(len(x) - len(values))) <= _ROUNDING * values[0]]
            way = null.T @ null[:, column]  # the part of this column's axis along which the residuals stay
            if not len(null) or not way[column] > _ROUNDING:
                continue
            way = way / way[column]
            if is_scaling:
                outward = np.array(sides)[:, None, None] * np.sign(x[column])
                points = x * 10.0 ** (outward * _FAR[:, None] * way)
            else:
                points = x + np.array(sides)[:, None, None] * (10.0 ** _FAR[:, None]) * size * way
            chi2 = np.sum(problem.residuals(points) ** 2, axis=-1)
            inside = ((points >= limits[0]) & (points <= limits[1])).all()
            if inside and (chi2 <= path.best_chi2 + _AT_REST * scan.options.rise).all():
                return True
    return False


def _is_edge_of_model(scan: Scan, bound: ActiveBoundResult) -> bool:
    """True if the model is undefined just beyond a bound, at every solution of the profile that lies on it."""
    problem, column = scan.problem, scan.problem.index(bound.parameter)
    low, high = problem.box(bound.parameter)
    on_it = scan.path.x[scan.path.x[:, column] == bound.value]
    width = high - low if np.isfinite(high - low) else abs(bound.value)
    on_it[:, column] += (-1 if bound.side == "lower" else 1) * _JUST_BEYOND * width
    with np.errstate(all="ignore"):
        is_finite = np.isfinite(problem.residuals(on_it)).all(axis=-1)
    return bool(len(on_it)) and not is_finite.any()


def _converged_ends(scan: Scan, history: Sequence[IntervalSet], boxes: Boxes) -> dict[int, float]:
    """Last move of each outer end (0 lower, 1 upper) that converged while its bounds were released as often as allowed.

    `history` are the sets of one level, the last one that of the scan.
    """
    if len(history) < 5 or not all(len(one.intervals) for one in history):
        return {}
    middle, converged = scan.path.best_x[scan.path.column], {}
    for side, end in ((0, history[-1].below[0]), (1, history[-1].above[-1])):
        values = np.array([one.intervals[-side, side] for one in history[-5:]])
        is_spent = all(boxes.is_spent(bound) for bound in end.held_by if not bound.is_physical)
        if end.reason != "box" or not is_spent or not np.isfinite(values).all():
            continue
        moves, distance = np.abs(np.diff(values)), abs(values[-1] - middle)
        before, last = moves[:2].max(), moves[2:].max()  # two moves each, because two bounds may be released in turn
        if last <= _AT_REST * distance and last <= max(0.5 * before, _ROUNDING * distance):
            converged[side] = float(last)
    return converged


def _settle(scan: Scan, history: Sequence[IntervalSet], boxes: Boxes) -> IntervalSet:
    """Set of which the outer ends are closed that converged while the bounds that determine them were released."""
    found = history[-1]
    below, above = list(found.below), list(found.above)
    for side, last in _converged_ends(scan, history, boxes).items():
        ends, row = (above, -1) if side else (below, 0)
        meets_own = abs(found.intervals[row, side] - scan.problem.box(scan.name)[side]) <= 20 * last
        ends[row] = scan.own_end(side) if meets_own else replace(ends[row], reason="crossing")
    return replace(found, below=tuple(below), above=tuple(above))


def refit_released(
    problem: LeastSquaresProblem, x: np.ndarray, options: SearchOptions
) -> tuple[np.ndarray, float, bool, dict[str, np.ndarray]]:
    """Release the search bounds that are active at the best fit x (n_par,) and refit, until none is active.

    Returns
    -------
    x : ndarray (n_par,)
    chi2 : float
    converged : bool
    boxes : dict of ndarray (n_tries + 1, 2)
        For each released parameter, the given bounds and those tried.
    """
    boxes, starts = Boxes(), x[None]
    chi2, converged, is_final = float(np.sum(problem.residuals(x) ** 2)), True, False
    while converged:
        pushing = [bound for bound in find_active_bounds(problem, x) if not bound.is_physical]
        wider = boxes.release(problem, pushing)
        if wider is not None:
            problem, starts, is_final = wider, x[None], False
        elif is_final or not boxes.tries:
            break
        else:  # no search bound is active any more: look for a lower χ² from fresh starts
            ranges, is_final = {**boxes.given, **options.ranges}, True
            starts = np.concatenate([x[None], draw_starts(problem, options.n_starts, options.rng, ranges)])
        fit = solve(problem, starts)
        lowest = int(np.nanargmin(fit.chi2))
        x, chi2, converged = fit.x[lowest], float(fit.chi2[lowest]), bool(fit.converged[lowest])
    return x, chi2, converged, boxes.tries


class Boxes:
    """Record of the released search bounds: for each parameter the given bounds and those tried."""

    def __init__(self) -> None:
        self._times: Counter[tuple[str, str]] = Counter()
        self._tries: dict[str, list[tuple[float, float]]] = {}

    def release(self, problem: LeastSquaresProblem, pushing: Sequence[ActiveBoundResult]) -> LeastSquaresProblem | None:
        """Problem with search bounds released; None if each of them was already released four times."""
        pushing = [bound for bound in pushing if self._times[bound.key] < _RELEASES]
        if not pushing:
            return None
        self._times.update(bound.key for bound in pushing)
        wider = release_bounds(problem, pushing)
        for name in dict.fromkeys(bound.parameter for bound in pushing):
            self._tries.setdefault(name, [problem.box(name)])
            self._tries[name].append(wider.box(name))
        return wider

    def is_spent(self, bound: ActiveBoundResult) -> bool:
        """True if a bound was released as often as allowed."""
        return self._times[bound.key] >= _RELEASES

    @property
    def given(self) -> dict[str, tuple[float, float]]:
        """Given bounds of the parameters whose bounds were released; fresh starts are still drawn inside them."""
        return {name: tries[0] for name, tries in self._tries.items()}

    @property
    def tries(self) -> dict[str, np.ndarray]:
        """For each released parameter the given bounds and those tried (n_tries + 1, 2)."""
        return {name: np.array(tries) for name, tries in self._tries.items()}


def _kept_nodes(scan: Scan) -> np.ndarray:
    """Nodes with which a profile with released bounds starts: a few across the scan, and those beside ends of sets."""
    theta = scan.path.theta
    kept = set(np.linspace(0, len(theta) - 1, _COARSE).astype(int).tolist())
    for found in scan.sets.values():
        for end in found.intervals[np.isfinite(found.intervals)]:
            at = int(np.searchsorted(theta, end))
            kept |= {min(max(at + shift, 0), len(theta) - 1) for shift in (-1, 0)}
    return np.array(sorted(kept))


def _beyond_ends(scan: Scan) -> np.ndarray:
    """Values beyond the ends that search bounds make, at doubled distances: a box may part a set in two."""
    middle, (low, high) = float(scan.path.best_x[scan.path.column]), scan.problem.box(scan.name)
    found = scan.sets[scan.options.top]
    ends = [(-1, one.reason, found.intervals[0, 0]) for one in found.below[:1]]
    ends += [(1, one.reason, found.intervals[-1, 1]) for one in found.above[-1:]]
    beyond = [end + side * abs(end - middle) * _BEYOND for side, reason, end in ends if reason == "box"]
    return np.clip(np.concatenate([np.empty(0), *beyond]), low, high)


def _bounds_beyond(scan: Scan, history: Sequence[dict[str, IntervalSet]], boxes: Boxes) -> list[ActiveBoundResult]:
    """Search bounds of other parameters that are active beyond an end that has converged.

    Such an end may be the value at which a parameter is infinite, and beyond which it has the other sign: in
    a exp(−b t) + c the amplitude a is infinite at b = 0. There it is the opposite bound that excludes the fit.
    """
    top, path = scan.options.top, scan.path
    active: list[ActiveBoundResult] = []
    for side in _converged_ends(scan, [sets[top] for sets in history], boxes):
        end = scan.sets[top].intervals[-side, side]
        for x in path.x[path.theta > end if side else path.theta < end]:
            active += find_active_bounds(scan.problem, x, fixed=(scan.name,))
    return list({bound.key: bound for bound in active if not bound.is_physical}.values())


def release_bounds(problem: LeastSquaresProblem, bounds: Sequence[ActiveBoundResult]) -> LeastSquaresProblem:
    """Copy of a problem with search bounds moved outward, to a physical limit or to a box ten times as wide.

    If the other side of the box is infinite, it has no width, and the bound moves to the limit behind it at once.

    Parameters
    ----------
    problem : LeastSquaresProblem
    bounds : sequence of ActiveBoundResult
        Search bounds to release.
    """
    boxes = {bound.parameter: problem.box(bound.parameter) for bound in bounds}
    for bound in bounds:
        low, high = boxes[bound.parameter]
        is_lower = bound.side == "lower"
        limit = problem.parameters[problem.index(bound.parameter)].physical[0 if is_lower else 1]
        far = high if is_lower else low
        if not np.isfinite(limit) and np.isfinite(far):
            limit = bound.value + (-1 if is_lower else 1) * 9 * abs(far - bound.value)
        boxes[bound.parameter] = (limit, high) if is_lower else (low, limit)
    return with_boxes(problem, boxes)


def with_boxes(
    problem: LeastSquaresProblem, boxes: Mapping[str, np.ndarray | tuple[float, float]]
) -> LeastSquaresProblem:
    """Copy of a problem with other bounds (low, high) of some parameters."""
    parameters = []
    for parameter in problem.parameters:
        low, high = map(float, boxes.get(parameter.name, (parameter.lower, parameter.upper)))
        stays = low > 0 or low == parameter.lower  # the limit 0 is infinitely far away on a logarithmic scale
        scale = parameter.scale if stays else "linear"
        parameters.append(replace(parameter, lower=low, upper=high, scale=scale))
    return replace(problem, parameters=tuple(parameters))
