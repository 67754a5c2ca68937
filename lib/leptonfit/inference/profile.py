"""The profile likelihood of one parameter: the lowest χ² over all others, at each of its values.

Every point is fitted from fresh starts and from its neighbours' solutions in both directions; a lower minimum found
anywhere sends its neighbours back to work. What a point is worth is recorded with it: whether it converged, and from
how many independent starts its χ² was reached. Points are added outward until the ends of the sets are found. Where a
search bound of another parameter makes an end, that bound is released, to see what the data alone do.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from leptonfit.inference.active_bounds import ActiveBoundResult
from leptonfit.inference.intervals import EndResult, IntervalSet, find_levels
from leptonfit.inference.problem import LeastSquaresProblem
from leptonfit.inference.release import look_behind, refit_released
from leptonfit.inference.result import Booleans, Integers, Result
from leptonfit.inference.scan import Effort, Scan, guess_ranges, guess_values
from leptonfit.inference.stationarity import vanished_columns

_FLAT, _ROUNDING = 1e-6, 1e-12
"""χ² is flat where it rises by less than this fraction of the lowest level, or of itself."""


@dataclass(frozen=True)
class ReleaseResult(Result):
    """What became of the profile when the search bounds that held it were released.

    Attributes
    ----------
    boxes : dict of ndarray (n_tries + 1, 2)
        By parameter, the bounds given and those tried after them, the last one in force at the end.
    best_chi2 : float
        Lowest χ² known within the last of these.
    best_x : ndarray (n_par,)
    best_converged : bool
    is_decided : bool
        False where the profile could not be followed there, as where the model is undefined.
    """

    boxes: dict[str, np.ndarray]
    best_chi2: float
    best_x: np.ndarray
    best_converged: bool
    is_decided: bool


@dataclass(frozen=True)
class ProfileResult(Result):
    """Profile of one parameter.

    Attributes
    ----------
    parameter : str
    names : tuple of str
        All parameters, the order of the last axis of `x`.
    grid : ndarray (n_grid,)
        Values scanned, in the parameter's unit.
    chi2_min : ndarray (n_grid,)
        Lowest χ² found with the parameter held there; nan where no start had a finite χ².
    x : ndarray (n_grid, n_par)
        Where it was found.
    kkt : ndarray (n_grid,)
    reproduced : ndarray (n_grid,) of int
        Independent starts (different random draws, their descendants through neighbours counted once) that reach it.
    trusted : ndarray (n_grid,) of bool
        An exact fit, where nothing is lower and rounding alone decides the KKT, or converged and reproduced at least
        twice.
    on_bounds : ndarray (n_grid, n_par) of bool
    flat : ndarray (n_grid, n_par) of bool
        Parameters whose column of the Jacobian vanished there, so that χ² says nothing of them.
    best_chi2 : float
        Lowest χ² known: over the profile, the references, and a multi-start with the parameter free.
    best_x : ndarray (n_par,)
    best_converged : bool
        Whether it is a minimum: stationary, or zero. If not, nothing is decided.
    is_flat : bool
        Whether χ² is the same at every point of the grid, to rounding: it then has no minimum.
    levels : dict of float
        Δχ² by the name of its confidence.
    identified_set : dict of IntervalSet
        By level: the values allowed within the bounds given.
    released_set : dict of IntervalSet
        By level: the values allowed by data and physical limits alone. Ends that search bounds make are infinite.
    reference_held_by : tuple of ActiveBoundResult
        Bounds that push at the lowest χ² known, from which every Δχ² is counted.
    release : ReleaseResult or None
        None where no search bound holds an end or the best fit.
    references : ndarray (n_ref,)
        Further values at which the profile was evaluated, in the scan or not.
    reference_chi2, reference_trusted : ndarray (n_ref,)
    reference_x : ndarray (n_ref, n_par)
    n_solved : int
        Minimisations run in all.
    """

    _rows_of: ClassVar[dict[str, str]] = {"reference_x": "names"}

    parameter: str
    names: tuple[str, ...]
    grid: np.ndarray
    chi2_min: np.ndarray
    x: np.ndarray
    kkt: np.ndarray
    reproduced: Integers
    trusted: Booleans
    on_bounds: Booleans
    flat: Booleans
    best_chi2: float
    best_x: np.ndarray
    best_converged: bool
    is_flat: bool
    levels: dict[str, float]
    identified_set: dict[str, IntervalSet]
    released_set: dict[str, IntervalSet]
    reference_held_by: tuple[ActiveBoundResult, ...]
    release: ReleaseResult | None
    references: np.ndarray
    reference_chi2: np.ndarray
    reference_trusted: Booleans
    reference_x: np.ndarray
    n_solved: int


def scan_profile(
    problem: LeastSquaresProblem,
    name: str,
    grid: np.ndarray | None = None,
    *,
    n_starts: int = 16,
    seed: int = 1,
    ranges: Mapping[str, tuple[float, float]] | None = None,
    references: tuple[float, ...] = (),
    warm: np.ndarray | None = None,
    levels: Sequence[float] = (0.68, 0.95),
    release: bool = True,
) -> ProfileResult:
    """Profile χ² along one parameter.

    Parameters
    ----------
    problem : LeastSquaresProblem
    name : str
        The parameter scanned.
    grid : ndarray (n_grid,), optional
        Its values, ascending and inside its bounds; at least two. Where not given, 41 values across the set of the
        highest level and somewhat beyond. Further points are added outward of a given grid, for the ends of the sets
        only, so that a verdict does not depend on where the grid ends.
    n_starts : int
        Fresh starts at each value, and with the parameter free. May be 0 where `warm` is given.
    seed : int
        Seed of the starts.
    ranges : mapping, optional
        Where starts are drawn, if not from a parameter's bounds. Where these are infinite the default is the range of
        the grid for the parameter scanned, and five standard deviations about a first fit for the others.
    references : tuple of float
        Further values at which the profile is wanted, in the scan or not.
    warm : ndarray (n_grid, n_par), optional
        Solutions to begin with, those of a neighbouring problem, say; they are kept where nothing lower is found.
    levels : sequence of float
        Confidences at which sets are found.
    release : bool
        Release the search bounds that hold an end or the best fit; several times the work. Without it such ends are
        left open in `released_set`.

    Returns
    -------
    ProfileResult

    Raises
    ------
    ValueError
        If the grid is not ascending or leaves the bounds, there is nothing to start from, a level is not between 0 and
        1, or the problem's functions fail their check.
    """
    problem.check()
    rises = find_levels(levels)
    column, asked = problem.index(name), np.asarray(references, dtype=float)
    low, high = float(problem.lower[column]), float(problem.upper[column])
    if n_starts < (1 if warm is None else 0):
        raise ValueError(f"n_starts = {n_starts}: must be at least 1, or 0 where warm solutions are given")
    if grid is None and warm is not None:
        raise ValueError("warm: must come with the grid that it belongs to")
    grid = grid if grid is None else np.asarray(grid, dtype=float)
    if grid is not None and (grid.ndim != 1 or len(grid) < 2 or not (np.diff(grid) > 0).all()):
        raise ValueError(f"grid of {name}: must be at least two ascending values")
    for value in (*(() if grid is None else grid), *asked):
        if not low <= value <= high:
            raise ValueError(f"{name} = {value:g}: must lie in [{low:g}, {high:g}], its bounds")
    given, rng = ranges, np.random.default_rng(seed)
    ranges = {**guess_ranges(problem), **(given or {})}
    if grid is None:
        effort = Effort(rises, n_starts, rng, ranges)
        scan = Scan(problem, name, np.union1d(guess_values(problem, name, effort), asked), effort)
        grid = scan.choose_grid()
        scan.add(grid)
    else:
        if not np.isfinite([low, high]).all() and name not in (given or {}):
            ranges[name] = float(grid[0]), float(grid[-1])
        theta = np.union1d(grid, asked)
        known = np.full((len(theta), problem.n_par), np.nan)
        if warm is not None:
            known[np.searchsorted(theta, grid)] = warm
        scan = Scan(problem, name, theta, Effort(rises, n_starts, rng, ranges), warm=known)
    return _report(scan, grid, asked, release=release)


def _report(scan: Scan, grid: np.ndarray, asked: np.ndarray, *, release: bool) -> ProfileResult:
    """Put a finished scan into words of a result; look behind the bounds that hold it."""
    problem, path = scan.problem, scan.path
    held_by, n_solved = scan.best_held_by, path.n_solved
    behind_it, released = None, scan.sets
    if release and scan.is_rejected:
        x, lowest, converged, boxes = refit_released(problem, path.best_x, scan.effort)
        if boxes:
            behind_it = ReleaseResult(boxes, lowest, x, converged, is_decided=converged)
    elif release:
        behind, boxes, is_decided = look_behind(scan)
        released = behind.sets
        if boxes:
            last = behind.path
            n_solved += last.n_solved
            behind_it = ReleaseResult(boxes, last.best_chi2, last.best_x, last.best_converged, is_decided)
        if boxes and behind is scan:
            released = {level: _give_up(found, held_by) for level, found in released.items()}
    zeros = np.flatnonzero(path.chi2 <= path.zero)
    if len(zeros):  # no zero is better than another: let a point of the profile stand for all
        middle = zeros[len(zeros) // 2]
        path.best_chi2, path.best_x, path.best_converged = float(path.chi2[middle]), path.x[middle], True

    on_grid, at_reference = np.searchsorted(path.theta, grid), np.searchsorted(path.theta, asked)
    finite = np.isfinite(path.chi2)
    chi2, kkt = np.where(finite, path.chi2, np.nan), np.where(finite, path.kkt, np.nan)
    trusted = path.trusted()
    physical = problem.parameters[path.column].physical
    above = np.max(chi2[on_grid] - path.best_chi2, initial=0.0)
    return ProfileResult(
        parameter=scan.name,
        names=problem.names,
        grid=grid,
        chi2_min=chi2[on_grid],
        x=path.x[on_grid],
        kkt=kkt[on_grid],
        reproduced=path.reproduced()[on_grid],
        trusted=trusted[on_grid],
        on_bounds=problem.on_bounds(path.x[on_grid]),
        flat=vanished_columns(problem, path.x[on_grid]),
        best_chi2=path.best_chi2,
        best_x=path.best_x,
        best_converged=path.best_converged,
        is_flat=bool(above <= _FLAT * min(scan.effort.rises.values()) + _ROUNDING * path.best_chi2),
        levels=dict(scan.effort.rises),
        identified_set=scan.sets,
        released_set={level: found.close_by_data(physical) for level, found in released.items()},
        reference_held_by=held_by,
        release=behind_it,
        references=asked,
        reference_chi2=chi2[at_reference],
        reference_trusted=trusted[at_reference],
        reference_x=path.x[at_reference],
        n_solved=n_solved,
    )


def _give_up(found: IntervalSet, held_by: tuple[ActiveBoundResult, ...]) -> IntervalSet:
    """A set whose profile could not be followed behind the bounds: if these hold the best fit, no end is the data's."""
    if all(bound.is_physical for bound in held_by):
        return found
    box = EndResult("box", held_by)
    return IntervalSet(found.intervals, (box,) * len(found.below), (box,) * len(found.above), found.decided)
