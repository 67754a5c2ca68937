"""Bounded least squares from many starts, by our solver or by SciPy or iminuit, with one criterion of convergence."""

from __future__ import annotations

from dataclasses import dataclass, fields
from functools import partial

import numpy as np

from leptonfit.inference.arguments import read_array, read_count
from leptonfit.inference.blocks import FEWEST
from leptonfit.inference.chunks import split_points
from leptonfit.inference.parallel import is_on_cluster, map_ordered
from leptonfit.inference.problem import LeastSquaresProblem
from leptonfit.inference.restart import minimise, seen_columns
from leptonfit.inference.result import Booleans, Integers, Result
from leptonfit.inference.stationarity import KKT_TOLERANCE, check_optimality


@dataclass(frozen=True)
class SolveResult(Result):
    """End points of a batch of minimisations. The axes `...` are the leading axes of the starts.

    Attributes
    ----------
    x : ndarray (..., n_par)
        End points, in the parameters' units.
    chi2 : ndarray (...)
        χ² at the end points; nan where the start had no finite χ².
    kkt : ndarray (...)
        KKT residual (see `kkt_residual`); nan where χ² is nan, 0 where the fit is exact to rounding, and 1 where
        stationarity cannot be tested: a derivative overflowed, or all columns of the Jacobian vanished.
    converged : ndarray (...) of bool
        KKT ≤ 1e-6. The optimiser's own convergence flag is not used.
    n_iter : ndarray (...) of int
        Steps tried (function evaluations for "scipy" and "iminuit").
    flat : ndarray (..., n_par) of bool
        Free parameters whose column of the Jacobian vanished at the end point: a move across the whole box changes the
        residuals, to first order, by less than rounding. The method "lm" has also started from points where the column
        is not zero, and found no lower χ².
    restarted : ndarray (...) of bool
        True for end points reached from a fresh start, after the minimisation ended where a column had vanished or χ²
        was not stationary. The fresh starts are the same for every row, so that such end points are not independent.
    """

    x: np.ndarray
    chi2: np.ndarray
    kkt: np.ndarray
    converged: Booleans
    n_iter: Integers
    flat: Booleans
    restarted: Booleans


def solve(
    problem: LeastSquaresProblem,
    x0: np.ndarray,
    *,
    fixed: tuple[str, ...] = (),
    method: str = "lm",
    max_iter: int = 1000,
) -> SolveResult:
    """Minimise χ² from every start, with parameters in `fixed` kept at their values.

    Parameters
    ----------
    problem : LeastSquaresProblem
    x0 : ndarray (..., n_par)
        Starts, inside the bounds. Fixed parameters keep their values, which may differ from start to start.
    fixed : tuple of str
        Names of the fixed parameters.
    method : {"lm", "scipy", "iminuit"}
        The batched Levenberg–Marquardt solver or, as a cross-check, one call per start of
        `scipy.optimize.least_squares` (trf) or of iminuit's MIGRAD.
    max_iter : int
        Largest number of steps per start, and again per restart (calls for "scipy" and "iminuit"). More steps never end
        at a higher χ².

    Returns
    -------
    SolveResult

    Raises
    ------
    ValueError
        If a start is outside the bounds or has the wrong length, the method is unknown, the functions of the problem
        fail their check, or one start alone needs more memory than a chunk may have (`chunks.MEMORY`).
    """
    split_points(problem, 1)  # refuses a problem that is too large before it is evaluated
    problem.check()
    x0 = read_array("x0", x0, is_finite=False)  # ln 0 is a start on a logarithmic scale
    read_count("max_iter", max_iter, lowest=0)
    if isinstance(fixed, str):
        raise TypeError(f"fixed = {fixed!r}: must be a tuple of names, such as ({fixed!r},)")
    if x0.shape[-1:] != (problem.n_par,):
        raise ValueError(f"starts of shape {x0.shape}: the last axis must have {problem.n_par} parameters")
    outside = ~((x0 >= problem.lower) & (x0 <= problem.upper))
    if outside.any():
        *_, j = np.argwhere(outside)[0]
        value = x0[outside][0]
        bounds = f"[{problem.lower[j]:g}, {problem.upper[j]:g}]"
        raise ValueError(f"{problem.names[j]} = {value:g}: a start must lie in {bounds}")
    if method != "lm" and method not in _OTHERS:
        raise ValueError(f"method {method!r}: must be one of lm, {', '.join(_OTHERS)}")
    points = x0.reshape(-1, problem.n_par)
    free = problem.free_indices(fixed)
    if problem.search.is_spread and len(free) < FEWEST and is_on_cluster():  # blocks are those of all points together
        parts = list(points[:, None])
    else:
        parts = [points[part] for part in split_points(problem, len(points))]
    run = partial(_solve_chunk, problem=problem, free=free, method=method, max_iter=max_iter)
    ends = map_ordered(run, parts)
    batch = x0.shape[:-1]

    def join(name: str) -> np.ndarray:
        array = np.concatenate([getattr(end, name) for end in ends]) if len(ends) > 1 else getattr(ends[0], name)
        return array.reshape((*batch, *array.shape[1:]))

    return SolveResult(**{field.name: join(field.name) for field in fields(SolveResult)})


def _solve_chunk(
    x: np.ndarray, *, problem: LeastSquaresProblem, free: np.ndarray, method: str, max_iter: int
) -> SolveResult:
    """End points of minimisations from x (n, n_par)."""
    with np.errstate(all="ignore"):  # steps into regions where the model is undefined are expected, and rejected
        x, n_iter, restarted = x.copy(), np.zeros(len(x), dtype=int), np.zeros(len(x), dtype=bool)
        if method == "lm" and len(free):
            x, n_iter, end, restarted = minimise(problem, x, free, max_iter)
        else:
            if len(free):
                x, n_iter = _OTHERS[method](problem, x, free, max_iter)
            end = check_optimality(problem, x, free)
        kkt = np.where(np.isfinite(end.kkt), end.kkt, 1.0)
        vanished = np.flatnonzero(end.flat.any(axis=-1) & ~end.exact)
        if len(vanished):
            seen = seen_columns(problem, x[vanished], free)
            on_plateau = (end.flat[vanished] | ~seen).all(axis=-1)
            on_plateau &= seen.any(axis=-1) | (len(free) == problem.n_par)
            kkt[vanished[on_plateau]] = 1.0
    finite = np.isfinite(end.chi2)
    chi2, kkt = np.where(finite, end.chi2, np.nan), np.where(finite, kkt, np.nan)
    flat = np.zeros(x.shape, dtype=bool)
    flat[:, free] = end.flat & finite[:, None]
    return SolveResult(x, chi2, kkt, kkt <= KKT_TOLERANCE, n_iter, flat, restarted)


def _solve_scipy(
    problem: LeastSquaresProblem, x: np.ndarray, free: np.ndarray, max_iter: int
) -> tuple[np.ndarray, np.ndarray]:
    from scipy.optimize import least_squares

    bounds = problem.lower[free], problem.upper[free]
    n_calls = np.zeros(len(x), dtype=int)
    for i, row in enumerate(x):
        point = row.copy()

        def at(values: np.ndarray, point: np.ndarray = point) -> np.ndarray:
            point[free] = values
            return point

        if not np.isfinite(problem.residuals(row)).all():
            continue
        fit = least_squares(
            lambda values: problem.residuals(at(values)),
            row[free],
            jac=lambda values: problem.jacobian(at(values))[:, free],
            bounds=bounds,
            x_scale="jac",
            xtol=1e-15,
            ftol=1e-15,
            gtol=1e-15,
            max_nfev=max_iter,
        )
        x[i, free], n_calls[i] = fit.x, fit.nfev
    return x, n_calls


def _solve_iminuit(
    problem: LeastSquaresProblem, x: np.ndarray, free: np.ndarray, max_iter: int
) -> tuple[np.ndarray, np.ndarray]:
    from iminuit import Minuit

    names = [problem.names[j] for j in free]
    n_calls = np.zeros(len(x), dtype=int)
    for i, row in enumerate(x):
        point = row.copy()

        def chi2(values: np.ndarray, point: np.ndarray = point) -> float:
            point[free] = values
            return float(np.sum(problem.residuals(point) ** 2))

        def gradient(values: np.ndarray, point: np.ndarray = point) -> np.ndarray:
            point[free] = values
            return 2 * problem.residuals(point) @ problem.jacobian(point)[:, free]

        fit = Minuit(chi2, row[free], grad=gradient, name=names)
        fit.errordef = Minuit.LEAST_SQUARES
        fit.limits = list(zip(problem.lower[free], problem.upper[free], strict=True))
        fit.migrad(ncall=max_iter)
        x[i, free], n_calls[i] = np.asarray(fit.values), fit.nfcn
    return x, n_calls


_OTHERS = {"scipy": _solve_scipy, "iminuit": _solve_iminuit}
