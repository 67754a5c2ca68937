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

from leptonfit.inference.intervals import LEVELS, IntervalSet, find_identified_sets
from leptonfit.inference.multistart import CHI2_FLOOR, RELATIVE_AGREEMENT, agrees, draw_starts
from leptonfit.inference.problem import LeastSquaresProblem
from leptonfit.inference.result import Booleans, Integers, Result
from leptonfit.inference.solve import SolveResult, solve
from leptonfit.inference.stationarity import KKT_TOLERANCE

_ROUNDS = 3
"""Fresh starts are drawn this often, at most, at a point that is not trusted."""
_ROUNDING = 1e-12
_WARM = -1
"""The common origin of solutions handed in."""


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
    identified_set: dict[str, IntervalSet]
    references: np.ndarray
    reference_chi2: np.ndarray
    reference_trusted: Booleans
    reference_x: np.ndarray
    n_solved: int


class _Nodes:
    """The best solution known at each value θ of the profiled parameter, and from which starts it was reached."""

    def __init__(self, problem: LeastSquaresProblem, name: str, theta: np.ndarray) -> None:
        self.problem, self.name, self.column, self.theta = problem, name, problem.index(name), theta
        self.x = np.full((len(theta), problem.n_par), np.nan)
        self.chi2 = np.full(len(theta), np.inf)
        self.kkt = np.full(len(theta), np.inf)
        self.origin = np.full(len(theta), _WARM)
        self.found = np.empty((3, 0))  # node, origin and χ² of every converged end point
        self.best_chi2, self.best_x = np.inf, np.full(problem.n_par, np.nan)
        self.n_solved = self.n_origins = 0

    def new_origins(self, n: int) -> np.ndarray:
        self.n_origins += n
        return np.arange(self.n_origins - n, self.n_origins)

    def minimise(self, starts: np.ndarray, *, held: bool) -> SolveResult:
        """Minimise from `starts` (m, n_par) with the parameter held or free; keep the lowest χ² ever met."""
        fit = solve(self.problem, starts, fixed=(self.name,) if held else ())
        self.n_solved += fit.chi2.size
        flat = np.where(np.isfinite(fit.chi2), fit.chi2, np.inf).ravel()
        if flat.size and flat.min() < self.best_chi2 and self.best_chi2 > CHI2_FLOOR:
            self.best_chi2, self.best_x = float(flat.min()), fit.x.reshape(-1, self.problem.n_par)[flat.argmin()]
        return fit

    def depth(self, x: np.ndarray) -> np.ndarray:
        """Distance (m,) of x (m, n_par) to its nearest finite bound, as a fraction of the width between bounds."""
        low, high = self.problem.lower, self.problem.upper
        with np.errstate(invalid="ignore"):
            gaps = np.minimum(x - low, high - x) / (high - low)
        return np.min(gaps, axis=-1, initial=np.inf, where=np.isfinite(high - low))

    def offer(
        self, nodes: np.ndarray, starts: np.ndarray, origins: np.ndarray, *, win_ties: bool = False
    ) -> np.ndarray:
        """Minimise at `nodes` (m,) from `starts` (m, n_par); return which nodes (n,) became materially lower.

        Between two that differ by rounding alone (or are both zero to the floor) the first stays, unless `win_ties`.
        """
        starts = starts.copy()
        starts[:, self.column] = self.theta[nodes]
        fit = self.minimise(starts, held=True)
        done = fit.converged
        self.found = np.hstack([self.found, np.stack([nodes[done], origins[done], fit.chi2[done]])])
        # an end point that did not converge must be lower beyond agreement to be preferred
        rank = np.where(done, fit.chi2, fit.chi2 * (1 + RELATIVE_AGREEMENT))
        rank = np.where(rank <= CHI2_FLOOR, 0.0, rank)
        known = np.where(self.chi2 <= CHI2_FLOOR, 0.0, self.chi2)[nodes]
        usable = np.flatnonzero((rank <= known * (1 + _ROUNDING)) if win_ties else (rank < known * (1 - _ROUNDING)))
        order = np.lexsort((-self.depth(fit.x[usable]), rank[usable]))  # among zeros, the one farthest from its bounds
        chosen = usable[order[::-1]]  # the first is written last
        before, target = self.chi2.copy(), nodes[chosen]
        self.x[target], self.chi2[target] = fit.x[chosen], fit.chi2[chosen]
        self.kkt[target], self.origin[target] = fit.kkt[chosen], origins[chosen]
        with np.errstate(invalid="ignore"):
            return (before > CHI2_FLOOR) & (before - self.chi2 > _material(self.chi2))

    def sweep(self, changed: np.ndarray) -> None:
        """Offer the solutions of `changed` nodes (n,) to both neighbours, and so on until nothing gets lower."""
        last = len(self.theta) - 1
        for _ in range(len(self.theta)):  # enough for a minimum at one end to reach the other
            source = np.flatnonzero(changed & np.isfinite(self.chi2))
            source, target = np.tile(source, 2), np.concatenate([source - 1, source + 1])
            useful = (target >= 0) & (target <= last)
            useful[useful] = self.chi2[target[useful]] > CHI2_FLOOR
            if not useful.any():
                return
            source, target = source[useful], target[useful]
            changed = self.offer(target, self.x[source], self.origin[source])

    def work(self, n_starts: int, rng: np.random.Generator, ranges: Mapping[str, tuple[float, float]]) -> None:
        """Fresh starts at every node and continuation in both directions; more starts where a point is not trusted."""
        is_cold = not len(self.found[0])
        for _ in range(_ROUNDS if n_starts else 1):
            todo = np.flatnonzero(~self.trusted())
            if not len(todo):
                return
            if n_starts:
                starts = draw_starts(self.problem, n_starts * len(todo), rng, ranges)
                self.offer(np.repeat(todo, n_starts), starts, self.new_origins(len(starts)))
            if is_cold:
                zeros = np.flatnonzero(self.chi2 <= CHI2_FLOOR)
                anchor = zeros[np.argmax(self.depth(self.x[zeros]))] if len(zeros) else np.argmin(self.chi2)
                everywhere = np.arange(len(self.theta))
                line = np.repeat(self.x[[anchor]], len(everywhere), axis=0)
                if np.isfinite(self.chi2[anchor]):
                    self.offer(everywhere, line, np.full(len(everywhere), self.origin[anchor]), win_ties=True)
                is_cold = False
            self.sweep(np.ones(len(self.theta), dtype=bool))

    def release(self, n_starts: int, rng: np.random.Generator, ranges: Mapping[str, tuple[float, float]]) -> np.ndarray:
        """Minimise with the parameter free, from fresh starts and the profile's local minima; the converged ends."""
        chi2 = np.concatenate([[np.inf], self.chi2, [np.inf]])
        is_minimum = (self.chi2 > CHI2_FLOOR) & np.isfinite(self.chi2) & (self.chi2 <= np.minimum(chi2[:-2], chi2[2:]))
        starts = self.x[is_minimum]
        if n_starts:
            starts = np.concatenate([draw_starts(self.problem, n_starts, rng, ranges), starts])
        fit = self.minimise(starts, held=False)
        return fit.x[fit.converged & (fit.chi2 <= self.best_chi2 + max(LEVELS.values()))]

    def unseen(self, x: np.ndarray) -> np.ndarray:
        """Points at which to look closer, for minima x (m, n_par) of the free fit that lie below the nodes beside them.

        Each such minimum, and a point halfway to either neighbour: a set must not reach through a barrier between two.
        """
        x = x[np.argsort(x[:, self.column])]
        theta = x[:, self.column]
        x = x[(theta > self.theta[0]) & (theta < self.theta[-1])]
        theta, chi2 = x[:, self.column], np.sum(self.problem.residuals(x) ** 2, axis=-1)
        cell = np.searchsorted(self.theta, theta)
        beside = np.minimum(self.chi2[cell - 1], self.chi2[cell])
        margin = np.where(np.isfinite(beside), _material(np.where(np.isfinite(beside), beside, 0.0)), 0.0)
        new = chi2 < beside - margin
        new[1:] &= np.diff(theta) > 1e-6 * (self.theta[cell] - self.theta[cell - 1])[1:]
        x, theta = x[new], theta[new]
        neighbours = np.union1d(self.theta, theta)
        at = np.searchsorted(neighbours, theta)
        below, above = x.copy(), x.copy()
        below[:, self.column] = (neighbours[at - 1] + theta) / 2
        above[:, self.column] = (neighbours[at + 1] + theta) / 2
        return np.concatenate([below, x, above])

    def with_nodes(self, x: np.ndarray) -> _Nodes:
        """A copy with nodes added at the points x (m, n_par)."""
        theta = np.union1d(self.theta, x[:, self.column])
        grown = _Nodes(self.problem, self.name, theta)
        place = np.searchsorted(theta, self.theta)
        for field in ("x", "chi2", "kkt", "origin"):
            getattr(grown, field)[place] = getattr(self, field)
        grown.found = np.vstack([place[self.found[0].astype(int)], self.found[1:]])
        grown.best_chi2, grown.best_x = self.best_chi2, self.best_x
        grown.n_solved, grown.n_origins = self.n_solved, self.n_origins
        grown.offer(np.searchsorted(theta, x[:, self.column]), x, grown.new_origins(len(x)))
        return grown

    def reproduced(self) -> np.ndarray:
        """Number of independent origins (n,) that reached the best χ² of each node."""
        node, origin, chi2 = self.found
        reached = agrees(chi2, self.chi2[node.astype(int)])
        distinct = np.unique(np.stack([node[reached], origin[reached]]), axis=1)[0]
        return np.bincount(distinct.astype(int), minlength=len(self.theta))

    def trusted(self) -> np.ndarray:
        return (self.chi2 <= CHI2_FLOOR) | ((self.kkt <= KKT_TOLERANCE) & (self.reproduced() >= 2))


def _material(chi2: np.ndarray | float) -> np.ndarray | float:
    """A decrease of χ² beyond this matters: 1e-6, of χ² where that is below 1, and never rounding error."""
    return 1e-6 * np.minimum(chi2, 1.0) + 1e-13 * chi2


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

    nodes = _Nodes(problem, name, np.union1d(grid, asked))
    if warm is not None:
        known = np.isfinite(warm).all(axis=-1)
        nodes.offer(np.searchsorted(nodes.theta, grid[known]), warm[known], np.full(known.sum(), _WARM))
    nodes.work(n_starts, rng, ranges)
    between = nodes.unseen(nodes.release(n_starts, rng, ranges))
    if len(between):
        nodes = nodes.with_nodes(between)
        nodes.work(n_starts, rng, ranges)
    sets = _find_sets(nodes, grid, (low, high))
    zeros = np.flatnonzero(nodes.chi2 <= CHI2_FLOOR)
    if len(zeros):  # no zero is better than another: let a point of the profile stand for all
        middle = zeros[len(zeros) // 2]
        nodes.best_chi2, nodes.best_x = float(nodes.chi2[middle]), nodes.x[middle]

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
        identified_set=sets,
        references=asked,
        reference_chi2=chi2[at_reference],
        reference_trusted=trusted[at_reference],
        reference_x=nodes.x[at_reference],
        n_solved=nodes.n_solved,
    )


def _find_sets(nodes: _Nodes, grid: np.ndarray, bounds: tuple[float, float]) -> dict[str, IntervalSet]:
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
        if not best - nodes.best_chi2 > _material(nodes.best_chi2):
            return sets
