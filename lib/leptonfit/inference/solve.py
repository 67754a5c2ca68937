"""Bounded least squares from many starts: our own solver or an outside opinion, one standard of convergence."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from leptonfit.inference.levenberg_marquardt import levenberg_marquardt
from leptonfit.inference.problem import LeastSquaresProblem
from leptonfit.inference.result import Booleans, Integers, Result
from leptonfit.inference.stationarity import KKT_TOLERANCE, kkt_residual, lengths_nearby


@dataclass(frozen=True)
class SolveResult(Result):
    """End points of a batch of minimisations; `...` are the leading axes of the starts.

    Attributes
    ----------
    x : ndarray (..., n_par)
        End points, in the parameters' units.
    chi2 : ndarray (...)
        χ² there; nan where the start itself had no finite χ².
    kkt : ndarray (...)
        Stationarity residual (see `kkt_residual`); nan where χ² is.
    converged : ndarray (...) of bool
        KKT ≤ 1e-6. The optimiser's own opinion plays no part.
    n_iter : ndarray (...) of int
        Steps tried (function evaluations for the outside methods).
    """

    x: np.ndarray
    chi2: np.ndarray
    kkt: np.ndarray
    converged: Booleans
    n_iter: Integers


def solve(
    problem: LeastSquaresProblem,
    x0: np.ndarray,
    *,
    fixed: tuple[str, ...] = (),
    method: str = "lm",
    max_iter: int = 500,
) -> SolveResult:
    """Minimise χ² from every start.

    Parameters
    ----------
    problem : LeastSquaresProblem
    x0 : ndarray (..., n_par)
        Starts, inside the bounds. Fixed parameters keep their values, which may differ from start to start.
    fixed : tuple of str
        Names of the parameters held.
    method : {"lm", "scipy", "iminuit"}
        The batched solver, or one call of `scipy.optimize.least_squares` (trf) or iminuit's MIGRAD per start, as
        cross-checks.
    max_iter : int
        Most steps per start (calls for the outside methods).

    Returns
    -------
    SolveResult

    Raises
    ------
    ValueError
        If a start lies outside the bounds, has the wrong length, the method is unknown, or the problem's functions fail
        their check.
    """
    problem.check()
    x0 = np.asarray(x0, dtype=float)
    if x0.shape[-1:] != (problem.n_par,):
        raise ValueError(f"starts of shape {x0.shape}: the last axis must have {problem.n_par} parameters")
    outside = ~((x0 >= problem.lower) & (x0 <= problem.upper))
    if outside.any():
        *_, j = np.argwhere(outside)[0]
        value = x0[outside][0]
        bounds = f"[{problem.lower[j]:g}, {problem.upper[j]:g}]"
        raise ValueError(f"{problem.names[j]} = {value:g}: a start must lie in {bounds}")
    methods = {"lm": levenberg_marquardt, "scipy": _solve_scipy, "iminuit": _solve_iminuit}
    if method not in methods:
        raise ValueError(f"method {method!r}: must be one of {', '.join(methods)}")
    free = problem.free_indices(fixed)
    batch = x0.shape[:-1]
    with np.errstate(all="ignore"):  # regions where the model is undefined are visited, and rejected, on purpose
        x, n_iter = x0.reshape(-1, problem.n_par).copy(), np.zeros(x0.size // problem.n_par, dtype=int)
        if len(free):
            x, n_iter = methods[method](problem, x, free, max_iter)
        chi2, kkt = _judge(problem, x, free)
        doubtful = np.flatnonzero(kkt > KKT_TOLERANCE)
        if method == "lm" and len(doubtful) and max_iter:
            x[doubtful], more = levenberg_marquardt(problem, x[doubtful], free, max_iter, use_curvature=True)
            n_iter[doubtful] += more
            chi2[doubtful], kkt[doubtful] = _judge(problem, x[doubtful], free)
    finite = np.isfinite(chi2) & np.isfinite(kkt)
    chi2, kkt = np.where(finite, chi2, np.nan), np.where(finite, kkt, np.nan)
    return SolveResult(
        x=x.reshape(x0.shape),
        chi2=chi2.reshape(batch),
        kkt=kkt.reshape(batch),
        converged=(kkt <= KKT_TOLERANCE).reshape(batch),
        n_iter=n_iter.reshape(batch),
    )


def _judge(problem: LeastSquaresProblem, x: np.ndarray, free: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """χ² and KKT residual (n,) at end points x (n, n_par)."""
    bounds = problem.lower[free], problem.upper[free]
    residuals, jacobian = problem.residuals(x), problem.jacobian(x)[..., free]
    kkt = kkt_residual(x[:, free], residuals, jacobian, *bounds)
    at = np.flatnonzero(kkt > KKT_TOLERANCE)
    if len(at):
        lengths = lengths_nearby(problem, x[at], jacobian[at], free)
        kkt[at] = kkt_residual(x[at][:, free], residuals[at], jacobian[at], *bounds, lengths=lengths)
    return np.vecdot(residuals, residuals), kkt


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
            bounds=bounds, x_scale="jac", xtol=1e-15, ftol=1e-15, gtol=1e-15, max_nfev=max_iter,
        )  # fmt: skip
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
