"""Profile likelihood in two parameters: χ² minimised over all others, on a grid of these two."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.stats import chi2 as chi2_distribution

from leptonfit.inference.multistart import Effort, draw_starts
from leptonfit.inference.problem import LeastSquaresProblem
from leptonfit.inference.result import Booleans, Result
from leptonfit.inference.solve import solve

LEVEL_95 = float(chi2_distribution.ppf(0.95, 2))
"""Δχ² of 95 % confidence for two parameters together."""

_SWEEPS = 3


@dataclass(frozen=True)
class MapResult(Result):
    """Profile likelihood in two parameters on a grid.

    Attributes
    ----------
    first, second : str
        Names of the two parameters.
    first_grid : ndarray (n_first,)
    second_grid : ndarray (n_second,)
    chi2_min : ndarray (n_first, n_second)
        Lowest χ² at each pair of values; nan where no start gave a finite χ².
    converged : ndarray (n_first, n_second) of bool
    """

    first: str
    second: str
    first_grid: np.ndarray
    second_grid: np.ndarray
    chi2_min: np.ndarray
    converged: Booleans


def scan_map(
    problem: LeastSquaresProblem, first: tuple[str, np.ndarray], second: tuple[str, np.ndarray], *, effort: Effort
) -> MapResult:
    """Minimise χ² at every pair of values, from fresh starts and then from the solutions at neighbouring pairs.

    Parameters
    ----------
    problem : LeastSquaresProblem
    first, second : (str, ndarray)
        Names and values of the two parameters.
    effort : Effort
        Fresh starts at each pair.
    """
    names, grids = (first[0], second[0]), (np.asarray(first[1], dtype=float), np.asarray(second[1], dtype=float))
    held = np.stack(np.meshgrid(*grids, indexing="ij"), axis=-1)
    columns = [problem.index(name) for name in names]
    pinned = {name: (float(grid[0]), float(grid[0])) for name, grid in zip(names, grids, strict=True)}
    n_nodes = held[..., 0].size
    rng = np.random.default_rng(effort.seed)
    starts = draw_starts(problem, effort.n_starts * n_nodes, rng, {**(effort.ranges or {}), **pinned})
    x = np.full((*held.shape[:2], problem.n_par), np.nan)
    chi2, converged = np.full(held.shape[:2], np.inf), np.zeros(held.shape[:2], dtype=bool)
    offered = starts.reshape(*held.shape[:2], effort.n_starts, problem.n_par)
    for _ in range(1 + _SWEEPS):
        offered[..., columns] = held[:, :, None, :]
        fit = solve(problem, offered, fixed=names)
        found = np.where(np.isfinite(fit.chi2), fit.chi2, np.inf)
        best = found.argmin(axis=-1)[..., None]
        lowest = np.take_along_axis(found, best, axis=-1)[..., 0]
        better = lowest < chi2
        if not better.any():
            break
        chi2 = np.where(better, lowest, chi2)
        converged = np.where(better, np.take_along_axis(fit.converged, best, axis=-1)[..., 0], converged)
        x[better] = np.take_along_axis(fit.x, best[..., None], axis=2)[:, :, 0][better]
        x[~np.isfinite(x).all(axis=-1)] = offered[~np.isfinite(x).all(axis=-1)][:, 0]
        padded = np.pad(x, ((1, 1), (1, 1), (0, 0)), mode="edge")
        offered = np.stack([padded[:-2, 1:-1], padded[2:, 1:-1], padded[1:-1, :-2], padded[1:-1, 2:]], axis=2)
    return MapResult(
        first=names[0],
        second=names[1],
        first_grid=grids[0],
        second_grid=grids[1],
        chi2_min=np.where(np.isfinite(chi2), chi2, np.nan),
        converged=converged,
    )
