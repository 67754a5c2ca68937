"""The profile likelihood of one parameter: the lowest χ² over all others, at each of its values.

Every point is fitted from fresh starts and from its neighbours' solutions in both directions; a lower minimum found
anywhere sends its neighbours back to work. What a point is worth is recorded with it: whether it converged, and from
how many independent starts its χ² was reached.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from leptonfit.inference.continuation import WARM, Nodes, material
from leptonfit.inference.intervals import IntervalSet, find_identified_sets
from leptonfit.inference.multistart import CHI2_FLOOR
from leptonfit.inference.problem import LeastSquaresProblem
from leptonfit.inference.result import Booleans, Integers, Result


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
        χ² ≤ 1e-6, where nothing is lower and rounding alone decides the KKT, or converged and reproduced at least
        twice.
    on_bounds : ndarray (n_grid, n_par) of bool
    best_chi2 : float
        Lowest χ² known: over the profile, the references, and a multi-start with the parameter free.
    best_x : ndarray (n_par,)
    best_converged : bool
        Whether it is a minimum: stationary, or zero. If not, nothing is decided.
    identified_set : dict of IntervalSet
        By level, "0.68" and "0.95".
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
    best_chi2: float
    best_x: np.ndarray
    best_converged: bool
    identified_set: dict[str, IntervalSet]
    references: np.ndarray
    reference_chi2: np.ndarray
    reference_trusted: Booleans
    reference_x: np.ndarray
    n_solved: int


def scan_profile(
    problem: LeastSquaresProblem,
    name: str,
    grid: np.ndarray,
    *,
    n_starts: int,
    seed: int,
    ranges: Mapping[str, tuple[float, float]] | None = None,
    references: tuple[float, ...] = (),
    warm: np.ndarray | None = None,
) -> ProfileResult:
    """Profile χ² along one parameter.

    Parameters
    ----------
    problem : LeastSquaresProblem
    name : str
        The parameter scanned.
    grid : ndarray (n_grid,)
        Its values, ascending and inside its bounds; at least two.
    n_starts : int
        Fresh starts at each value, and with the parameter free. May be 0 where `warm` is given.
    seed : int
        Seed of the starts.
    ranges : mapping, optional
        Where starts are drawn for parameters without finite bounds; for the scanned one the grid's range, if not given.
    references : tuple of float
        Further values at which the profile is wanted, in the scan or not.
    warm : ndarray (n_grid, n_par), optional
        Solutions to begin with, those of a neighbouring problem, say; they are kept where nothing lower is found.

    Returns
    -------
    ProfileResult

    Raises
    ------
    ValueError
        If the grid is not ascending or leaves the bounds, or there is nothing to start from.
    """
    grid, asked = np.asarray(grid, dtype=float), np.asarray(references, dtype=float)
    column = problem.index(name)
    low, high = float(problem.lower[column]), float(problem.upper[column])
    if grid.ndim != 1 or len(grid) < 2 or not (np.diff(grid) > 0).all():
        raise ValueError(f"grid of {name}: must be at least two ascending values")
    for value in (*grid, *asked):
        if not low <= value <= high:
            raise ValueError(f"{name} = {value:g}: must lie in [{low:g}, {high:g}], its bounds")
    if n_starts < (1 if warm is None else 0):
        raise ValueError(f"n_starts = {n_starts}: must be at least 1, or 0 where warm solutions are given")
    ranges = dict(ranges or {})
    if not np.isfinite([low, high]).all():
        ranges.setdefault(name, (float(grid[0]), float(grid[-1])))
    rng = np.random.default_rng(seed)

    nodes = Nodes(problem, name, np.union1d(grid, asked))
    if warm is not None:
        known = np.isfinite(warm).all(axis=-1)
        nodes.offer(np.searchsorted(nodes.theta, grid[known]), warm[known], np.full(known.sum(), WARM))
    nodes.work(n_starts, rng, ranges)
    between = nodes.unseen(nodes.release(n_starts, rng, ranges))
    if len(between):
        nodes = nodes.with_nodes(between)
        nodes.work(n_starts, rng, ranges)
    sets = _find_sets(nodes, grid, (low, high))
    zeros = np.flatnonzero(nodes.chi2 <= CHI2_FLOOR)
    if len(zeros):  # no zero is better than another: let a point of the profile stand for all
        middle = zeros[len(zeros) // 2]
        nodes.best_chi2, nodes.best_x, nodes.best_converged = float(nodes.chi2[middle]), nodes.x[middle], True

    on_grid, at_reference = np.searchsorted(nodes.theta, grid), np.searchsorted(nodes.theta, asked)
    finite = np.isfinite(nodes.chi2)
    chi2, kkt = np.where(finite, nodes.chi2, np.nan), np.where(finite, nodes.kkt, np.nan)
    trusted = nodes.trusted()
    return ProfileResult(
        parameter=name,
        names=problem.names,
        grid=grid,
        chi2_min=chi2[on_grid],
        x=nodes.x[on_grid],
        kkt=kkt[on_grid],
        reproduced=nodes.reproduced()[on_grid],
        trusted=trusted[on_grid],
        on_bounds=problem.on_bounds(nodes.x[on_grid]),
        best_chi2=nodes.best_chi2,
        best_x=nodes.best_x,
        best_converged=nodes.best_converged,
        identified_set=sets,
        references=asked,
        reference_chi2=chi2[at_reference],
        reference_trusted=trusted[at_reference],
        reference_x=nodes.x[at_reference],
        n_solved=nodes.n_solved,
    )


def _find_sets(nodes: Nodes, grid: np.ndarray, bounds: tuple[float, float]) -> dict[str, IntervalSet]:
    """The identified sets within the grid's range; found anew when a crossing meets a lower minimum."""
    in_scan = np.flatnonzero((nodes.theta >= grid[0]) & (nodes.theta <= grid[-1]))

    def evaluate(theta: np.ndarray, i: np.ndarray, j: np.ndarray) -> np.ndarray:
        starts = nodes.x[in_scan[np.stack([i, j], axis=1)]]
        starts[..., nodes.column] = theta[:, None]
        fit = nodes.minimise(starts, held=True)
        chi2 = np.where(fit.converged, fit.chi2, np.inf).min(axis=1)
        return np.where(np.isfinite(chi2), chi2, np.nan)

    while True:
        best = nodes.best_chi2
        sets = find_identified_sets(
            nodes.theta[in_scan], nodes.chi2[in_scan], nodes.trusted()[in_scan],
            best=best, bounds=bounds, evaluate=evaluate,
        )  # fmt: skip
        if not best - nodes.best_chi2 > material(nodes.best_chi2):
            return sets
