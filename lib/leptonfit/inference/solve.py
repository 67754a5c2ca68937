"""Bounded least squares for many starts at once: Levenberg–Marquardt on arrays, and two outside opinions.

Each step solves the damped linear problem *inside the box* [1]_: variables that the step would carry across a bound
are put on it, and the rest is solved again with that known. Clipping the finished step instead destroys the direction
along a narrow valley and stalls beside a bound. The damping is Marquardt's, in units of the Jacobian's columns [2]_,
and follows the ratio of actual to predicted reduction [3]_.

.. [1] C. Kanzow, N. Yamashita, M. Fukushima, J. Comput. Appl. Math. 172, 375 (2004), doi:10.1016/j.cam.2004.02.013.
.. [2] D. W. Marquardt, J. SIAM 11, 431 (1963), doi:10.1137/0111030.
.. [3] H. B. Nielsen, Damping parameter in Marquardt's method, IMM-REP-1999-05, DTU (1999).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from leptonfit.inference.problem import LeastSquaresProblem
from leptonfit.inference.result import Booleans, Integers, Result

KKT_TOLERANCE = 1e-6
"""A point is converged when its KKT residual is at most this."""
ZERO_CHI2 = 1e-12
"""Iteration ends at or below this χ²: there KKT ≤ ‖r‖ ≤ 1e-6, so the point is converged by construction."""

_INITIAL_DAMPING = 1e-4
_LARGEST_DECREASE = 0.1
_MAX_DAMPING = 1e16
_KKT_GOAL = 1e-12
_CHI2_RESOLUTION = 4e-16


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


def kkt_residual(
    x: np.ndarray, residuals: np.ndarray, jacobian: np.ndarray, lower: np.ndarray, upper: np.ndarray
) -> np.ndarray:
    """Scale-free distance from a constrained stationary point.

    KKT = max_j |P g_j| / (‖J_j‖ max(1, ‖r‖)) with g = Jᵀr, where P drops components that push into a touched bound.

    Parameters
    ----------
    x, lower, upper : ndarray (..., n)
        Free parameters and their bounds.
    residuals : ndarray (..., n_res)
    jacobian : ndarray (..., n_res, n)

    Returns
    -------
    ndarray (...)
    """
    gradient, norms = np.vecmat(residuals, jacobian), _column_norms(jacobian)
    return _kkt(gradient, norms, np.vecdot(residuals, residuals), x - lower, upper - x)


def _column_norms(jacobian: np.ndarray) -> np.ndarray:
    norms = np.sqrt(np.einsum("...ij,...ij->...j", jacobian, jacobian))
    return np.where(norms > 0, norms, 1.0)


def _kkt(gradient: np.ndarray, norms: np.ndarray, chi2: np.ndarray, below: np.ndarray, above: np.ndarray) -> np.ndarray:
    cosine = np.where(_blocked(below, above, gradient), 0.0, np.abs(gradient) / norms)
    return np.max(cosine, axis=-1, initial=0.0) / np.sqrt(np.maximum(1.0, chi2))


def _blocked(below: np.ndarray, above: np.ndarray, gradient: np.ndarray) -> np.ndarray:
    """Variables on a bound that descent would push through it; `below`, `above` are the gaps to the bounds."""
    return ((below <= 0) & (gradient > 0)) | ((above <= 0) & (gradient < 0))


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
        If a start lies outside the bounds, has the wrong length, or the method is unknown.
    """
    x0 = np.asarray(x0, dtype=float)
    if x0.shape[-1:] != (problem.n_par,):
        raise ValueError(f"starts of shape {x0.shape}: the last axis must have {problem.n_par} parameters")
    outside = ~((x0 >= problem.lower) & (x0 <= problem.upper))
    if outside.any():
        *_, j = np.argwhere(outside)[0]
        value = x0[outside][0]
        bounds = f"[{problem.lower[j]:g}, {problem.upper[j]:g}]"
        raise ValueError(f"{problem.names[j]} = {value:g}: a start must lie in {bounds}")
    methods = {"lm": _solve_lm, "scipy": _solve_scipy, "iminuit": _solve_iminuit}
    if method not in methods:
        raise ValueError(f"method {method!r}: must be one of {', '.join(methods)}")
    free = problem.free_indices(fixed)
    batch = x0.shape[:-1]
    with np.errstate(all="ignore"):  # regions where the model is undefined are visited, and rejected, on purpose
        x, n_iter = x0.reshape(-1, problem.n_par).copy(), np.zeros(x0.size // problem.n_par, dtype=int)
        if len(free):
            x, n_iter = methods[method](problem, x, free, max_iter)
        residuals = problem.residuals(x)
        chi2 = np.vecdot(residuals, residuals)
        jacobian = problem.jacobian(x)[..., free]
        kkt = kkt_residual(x[:, free], residuals, jacobian, problem.lower[free], problem.upper[free])
    finite = np.isfinite(chi2) & np.isfinite(kkt)
    chi2, kkt = np.where(finite, chi2, np.nan), np.where(finite, kkt, np.nan)
    return SolveResult(
        x=x.reshape(x0.shape),
        chi2=chi2.reshape(batch),
        kkt=kkt.reshape(batch),
        converged=(kkt <= KKT_TOLERANCE).reshape(batch),
        n_iter=n_iter.reshape(batch),
    )


def _solve_lm(
    problem: LeastSquaresProblem, x: np.ndarray, free: np.ndarray, max_iter: int
) -> tuple[np.ndarray, np.ndarray]:
    """All starts together; each leaves the batch when it is done. x (n_starts, n_par) is overwritten and returned."""
    final, n_iter = x, np.zeros(len(x), dtype=int)
    lower, upper = problem.lower[free], problem.upper[free]
    residuals = problem.residuals(x)
    chi2 = np.vecdot(residuals, residuals)
    jacobian = problem.jacobian(x)[..., free]
    running = np.isfinite(chi2) & np.isfinite(jacobian).all(axis=(-2, -1)) & (chi2 > ZERO_CHI2)
    start = np.flatnonzero(running)
    x, residuals, chi2, jacobian = x[start], residuals[start], chi2[start], jacobian[start]
    gradient, norms = np.vecmat(residuals, jacobian), _column_norms(jacobian)
    damping, growth = np.full(len(start), _INITIAL_DAMPING), np.full(len(start), 2.0)
    for _ in range(max_iter):
        if not len(start):
            break
        here = x[:, free]
        below, above = here - lower, upper - here
        step = _box_step(residuals, jacobian, gradient, norms, damping, below, above)
        trial = x.copy()
        trial[:, free] = np.where(step <= -below, lower, np.where(step >= above, upper, here + step))
        trial_residuals = problem.residuals(trial)
        trial_chi2 = np.vecdot(trial_residuals, trial_residuals)
        linear = residuals + np.matvec(jacobian, step)
        predicted = chi2 - np.vecdot(linear, linear)
        better = trial_chi2 < chi2
        gain = np.clip((chi2 - trial_chi2) / np.where(predicted > 0, predicted, np.inf), 0.0, 1.0)
        damping = damping * np.where(better, np.maximum(_LARGEST_DECREASE, 1 - (2 * gain - 1) ** 3), growth)
        damping = np.maximum(damping, 1e-15 * len(free))  # keeps the linear system regular in double precision
        growth = np.where(better, 2.0, 2 * growth)
        exhausted = np.abs(predicted) <= _CHI2_RESOLUTION * chi2
        n_iter[start] += 1

        x[better], residuals[better], chi2[better] = trial[better], trial_residuals[better], trial_chi2[better]
        jacobian[better] = problem.jacobian(x[better])[..., free]
        gradient, norms = np.vecmat(residuals, jacobian), _column_norms(jacobian)
        here = x[:, free]
        kkt = _kkt(gradient, norms, chi2, here - lower, upper - here)
        done = (chi2 <= ZERO_CHI2) | (kkt <= _KKT_GOAL) | exhausted | (damping > _MAX_DAMPING) | ~np.isfinite(kkt)
        final[start] = x
        if done.any():
            state = (start, x, residuals, chi2, jacobian, gradient, norms, damping, growth)
            start, x, residuals, chi2, jacobian, gradient, norms, damping, growth = (a[~done] for a in state)
    return final, n_iter


def _box_step(
    residuals: np.ndarray,
    jacobian: np.ndarray,
    gradient: np.ndarray,
    norms: np.ndarray,
    damping: np.ndarray,
    below: np.ndarray,
    above: np.ndarray,
) -> np.ndarray:
    """Damped Gauss–Newton step (n, n_free) that stays in the box; `below`, `above` are the gaps to the bounds.

    A variable that a solution carries past a bound is put on the bound and the others are solved again; each pass
    settles at least one variable, so there are at most n_free + 1 passes.
    """
    free = ~_blocked(below, above, gradient)
    scaled = jacobian / norms[:, None, :]
    step = np.zeros_like(below)
    rows: slice | np.ndarray = slice(None)
    target = residuals
    while True:
        solution = _damped_solution(scaled[rows] * free[:, None, :], target, damping[rows]) / norms[rows]
        solution = np.where(free, solution, step[rows])
        crossing = free & ((solution < -below[rows]) | (solution > above[rows]))
        step[rows] = np.clip(solution, -below[rows], above[rows])
        again = crossing.any(axis=-1)
        if not again.any():
            return step
        rows = np.arange(len(step))[rows][again]
        free = (free & ~crossing)[again]
        target = residuals[rows] + np.matvec(jacobian[rows], np.where(free, 0.0, step[rows]))


def _damped_solution(jacobian: np.ndarray, residuals: np.ndarray, damping: np.ndarray) -> np.ndarray:
    """Minimise ‖r + J q‖² + λ‖q‖² for each of a batch: in residual space where that is smaller, else by QR."""
    n_batch, n_res, n_free = jacobian.shape
    if n_res <= n_free:
        kernel = jacobian @ jacobian.mT
        diagonal = np.arange(n_res)
        kernel[:, diagonal, diagonal] += damping[:, None]
        return -np.vecmat(np.linalg.solve(kernel, residuals[..., None])[..., 0], jacobian)
    system = np.zeros((n_batch, n_res + n_free, n_free + 1))
    system[:, :n_res, :n_free], system[:, :n_res, n_free] = jacobian, residuals
    diagonal = np.arange(n_free)
    system[:, n_res + diagonal, diagonal] = np.sqrt(damping)[:, None]
    triangle: np.ndarray = np.linalg.qr(system, mode="r")  # type: ignore[assignment]  # an array in this mode
    return -np.linalg.solve(triangle[:, :n_free, :n_free], triangle[:, :n_free, n_free:])[..., 0]


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
