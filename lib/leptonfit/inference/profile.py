"""Profile likelihood of one parameter: at each of its values, the lowest χ² over all other parameters.

Every point is fitted from fresh starts and from the solutions at neighbouring values in both directions; a lower
minimum found at one value is also tried as a start at its neighbours. Each point records whether it converged, and from
how many independent starts its χ² was reached. Points are added outward until the ends of the sets are found. Where a
search bound of another parameter causes an end, that bound is released to see whether the data alone close the set.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from leptonfit.inference.active_bounds import ActiveBoundResult
from leptonfit.inference.arguments import read_array, read_confidences, read_count
from leptonfit.inference.intervals import EndResult, IntervalSet, find_levels
from leptonfit.inference.multistart import Effort
from leptonfit.inference.problem import LeastSquaresProblem
from leptonfit.inference.release import look_behind, refit_released, with_boxes
from leptonfit.inference.result import Booleans, Integers, Result
from leptonfit.inference.scan import Scan, SearchOptions, guess_ranges, guess_values
from leptonfit.inference.stationarity import vanished_columns

_FLAT, _ROUNDING = 1e-6, 1e-12
"""Rise of χ² below which a profile is flat, as a fraction of the lowest level, or of χ²."""


@dataclass(frozen=True)
class ReleaseResult(Result):
    """Profile after the release of the search bounds that were active on it.

    Attributes
    ----------
    boxes : dict of ndarray (n_tries + 1, 2)
        For each released parameter, the given bounds and then those tried; the last ones are in force at the end.
    best_chi2 : float
        Lowest χ² known within the last bounds.
    best_x : ndarray (n_par,)
    best_converged : bool
    is_decided : bool
        False if the profile could not be followed there, for example because the model is undefined.
    """

    boxes: dict[str, np.ndarray]
    best_chi2: float
    best_x: np.ndarray
    best_converged: bool
    is_decided: bool


@dataclass(frozen=True)
class ProfileResult(Result):
    """Profile likelihood of one parameter, with its identified sets.

    Attributes
    ----------
    parameter : str
    names : tuple of str
        All parameters, in the order of the last axis of `x`.
    grid : ndarray (n_grid,)
        Scanned values, in the parameter's unit.
    chi2_min : ndarray (n_grid,)
        Lowest χ² with the parameter fixed at each value; nan where no start had a finite χ².
    x : ndarray (n_grid, n_par)
        Parameters at the lowest χ².
    kkt : ndarray (n_grid,)
    reproduced : ndarray (n_grid,) of int
        Number of independent starts that reach it: different random draws, each counted once together with the
        solutions continued from it.
    trusted : ndarray (n_grid,) of bool
        True for an exact fit (no χ² is lower, and the KKT residual is only rounding), and where the point converged
        and was reproduced at least twice.
    on_bounds : ndarray (n_grid, n_par) of bool
    flat : ndarray (n_grid, n_par) of bool
        Parameters whose column of the Jacobian vanished there, so that χ² does not constrain them.
    best_chi2 : float
        Lowest χ² known: over the profile, the references, and a multi-start with the parameter free.
    best_x : ndarray (n_par,)
    best_converged : bool
        True if the best point is a minimum: stationary, or χ² = 0. If not, nothing is decided.
    is_flat : bool
        True if χ² is the same at every point of the grid, to rounding: it then has no minimum.
    levels : dict of float
        Δχ² for the name of each confidence level.
    identified_set : dict of IntervalSet
        For each level, the values allowed within the given bounds.
    released_set : dict of IntervalSet
        For each level, the values allowed by data and physical limits alone. Ends caused by search bounds are infinite.
    reference_held_by : tuple of ActiveBoundResult
        Active bounds at the lowest χ² known, which is the reference of every Δχ².
    release : ReleaseResult or None
        None if no search bound is active at an end or at the best fit.
    references : ndarray (n_ref,)
        Additional values at which the profile was evaluated, inside the scan or outside.
    reference_chi2, reference_trusted : ndarray (n_ref,)
    reference_x : ndarray (n_ref, n_par)
    n_solved : int
        Number of all minimisations.
    """

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


@dataclass(frozen=True)
class WarmStart:
    """Initial solutions of a profile, for example those of a similar problem; kept where no lower χ² is found.

    Parameters
    ----------
    grid : ndarray (n_grid,)
        Values of the scanned parameter, as for `scan_profile`.
    x : ndarray (n_grid, n_par)
    """

    grid: np.ndarray
    x: np.ndarray


@dataclass(frozen=True)
class SetOptions:
    """Identified sets to find on a profile.

    Parameters
    ----------
    levels : float or sequence of float
        Confidence levels.
    release : bool
        True to release the search bounds that are active at an end or at the best fit, which takes several times as
        long. If False, such ends are left open in `released_set`.
    n_grid : int
        Number of values of a default grid, from 2 to 100001.

    Raises
    ------
    TypeError, ValueError
        If a level or the number is not allowed.
    """

    levels: Sequence[float] | float = (0.68, 0.95)
    release: bool = True
    n_grid: int = 41

    def __post_init__(self) -> None:
        read_confidences("levels", self.levels)
        read_count("n_grid", self.n_grid, lowest=2, highest=100_001)


_EFFORT, _SETS = Effort(n_starts=16, seed=1), SetOptions()


def scan_profile(
    problem: LeastSquaresProblem,
    name: str,
    grid: np.ndarray | WarmStart | None = None,
    *,
    effort: Effort = _EFFORT,
    references: tuple[float, ...] = (),
    sets: SetOptions = _SETS,
) -> ProfileResult:
    """Profile χ² along one parameter and find its identified sets.

    Parameters
    ----------
    problem : LeastSquaresProblem
    name : str
        Name of the parameter to scan.
    grid : ndarray (n_grid,) or WarmStart, optional
        Values, ascending and inside the bounds; at least two. By default `sets.n_grid` values across the set of the
        highest level and somewhat beyond. Further points are added outside a given grid, only to find the ends of the
        sets, so that a verdict does not depend on where the grid ends.
    effort : Effort
        Fresh starts at each value, and with the parameter free; by default 16. There may be none at a `WarmStart`. For
        infinite bounds the default range is that of the grid for the scanned parameter, and five standard deviations
        around a first fit for the others.
    references : tuple of float
        Additional values at which the profile is evaluated, inside the scan or outside.
    sets : SetOptions

    Returns
    -------
    ProfileResult

    Raises
    ------
    ValueError
        If the grid is not ascending or leaves the bounds, there are no starts, a level is not between 0 and 1, or the
        functions of the problem fail their check.
    """
    problem.check()
    rises = find_levels(sets.levels, problem.sigma_degrees)
    column, asked = problem.index(name), read_array("references", np.asarray(references, dtype=float), (None,))
    low, high = float(problem.lower[column]), float(problem.upper[column])
    warm = grid.x if isinstance(grid, WarmStart) else None
    if effort.n_starts < (1 if warm is None else 0):
        raise ValueError(f"n_starts = {effort.n_starts}: must be at least 1, or 0 where warm solutions are given")
    if grid is not None:
        grid = read_array(f"grid of {name}", grid.grid if isinstance(grid, WarmStart) else grid, (None,))
    if grid is not None and (len(grid) < 2 or not (np.diff(grid) > 0).all()):
        raise ValueError(f"grid of {name}: must be at least two ascending values")
    for value in (*(() if grid is None else grid), *asked):
        if not low <= value <= high:
            raise ValueError(f"{name} = {value:g}: must lie in [{low:g}, {high:g}], its bounds")
    given = dict(effort.ranges or {})
    if grid is not None and not np.isfinite([low, high]).all():
        given.setdefault(name, (float(grid[0]), float(grid[-1])))
    options = SearchOptions(rises, effort.n_starts, np.random.default_rng(effort.seed), guess_ranges(problem, given))
    if grid is None:
        scan = Scan(problem, name, np.union1d(guess_values(problem, name, options), asked), options, is_first=True)
        grid = scan.choose_grid(sets.n_grid)
        scan.add(grid)
    else:
        theta = np.union1d(grid, asked)
        known = np.full((len(theta), problem.n_par), np.nan)
        if warm is not None:
            known[np.searchsorted(theta, grid)] = warm
        scan = Scan(problem, name, theta, options, warm=known)
    return _report(scan, grid, asked, release=sets.release)


def scan_released(
    problem: LeastSquaresProblem, profile: ProfileResult, *, effort: Effort = _EFFORT, n_grid: int = 41
) -> ProfileResult | None:
    """Profile of data and physical limits alone: with the bounds at which `profile` ended after their release.

    Parameters
    ----------
    problem : LeastSquaresProblem
    profile : ProfileResult
        Profile of this problem.
    effort : Effort
        Fresh starts at each value.
    n_grid : int
        Number of values, across the set and somewhat beyond.

    Returns
    -------
    ProfileResult or None
        None if no bound was released, or the profile could not be followed beyond it.
    """
    release = profile.release
    if release is None or not release.is_decided:
        return None
    given = {name: tuple(tries[0].tolist()) for name, tries in release.boxes.items()}
    wider = with_boxes(problem, {name: tries[-1] for name, tries in release.boxes.items()})
    effort = replace(effort, ranges={**given, **(effort.ranges or {})})
    sets = SetOptions([float(level) for level in profile.levels], release=False, n_grid=n_grid)
    return scan_profile(wider, profile.parameter, effort=effort, sets=sets)


def _report(scan: Scan, grid: np.ndarray, asked: np.ndarray, *, release: bool) -> ProfileResult:
    """Collect a finished scan into a result, after releasing the search bounds that are active on it."""
    problem, path = scan.problem, scan.path
    held_by, n_solved = scan.best_held_by, path.n_solved
    behind_it, released = None, scan.sets
    if release and scan.is_rejected:
        x, lowest, converged, boxes = refit_released(problem, path.best_x, scan.options)
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
    if len(zeros):  # all zeros are equally good: use the middle one as the best point
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
        is_flat=bool(above <= _FLAT * min(scan.options.rises.values()) + _ROUNDING * path.best_chi2),
        levels=dict(scan.options.rises),
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
    """Set of a profile that could not be followed beyond the bounds; its ends are "box" if these limit the best fit."""
    if all(bound.is_physical for bound in held_by):
        return found
    box = EndResult("box", held_by)
    return IntervalSet(found.intervals, (box,) * len(found.below), (box,) * len(found.above), found.decided)
