"""Levenberg–Marquardt for many starts at once, inside a box.

Each step solves the damped linear problem *inside the box* [1]_: variables that the step would carry across a bound
are put on it, and the rest is solved again with that known. Clipping the finished step instead destroys the direction
along a narrow valley and stalls beside a bound. The damping is Marquardt's, in units of the Jacobian's columns [2]_,
and follows the ratio of actual to predicted reduction [3]_. A step that bends away from its prediction is corrected by
what it missed, several times over [4]_: along a curved valley, a product held constant by a precise measurement, say,
plain steps shrink to a crawl. What does not converge that way goes on with the curvature
of the residuals, which Gauss–Newton leaves out and large residuals need, estimated along each parameter from how the
Jacobian changes (in the spirit of [5]_).

.. [1] C. Kanzow, N. Yamashita, M. Fukushima, J. Comput. Appl. Math. 172, 375 (2004), doi:10.1016/j.cam.2004.02.013.
.. [2] D. W. Marquardt, J. SIAM 11, 431 (1963), doi:10.1137/0111030.
.. [3] H. B. Nielsen, Damping parameter in Marquardt's method, IMM-REP-1999-05, DTU (1999).
.. [4] R. Fletcher, in Numerical Analysis, Lect. Notes Math. 912, 85 (1982), doi:10.1007/BFb0093151 (second-order
   correction); M. K. Transtrum, J. P. Sethna, arXiv:1201.5885.
.. [5] J. E. Dennis, D. M. Gay, R. E. Welsch, ACM Trans. Math. Softw. 7, 348 (1981), doi:10.1145/355958.355965.
"""

from __future__ import annotations

import numpy as np

from leptonfit.inference.problem import LeastSquaresProblem
from leptonfit.inference.stationarity import column_lengths, is_blocked, kkt_from_gradient

ZERO_CHI2 = 1e-12
"""Iteration ends at or below this χ²: there KKT ≤ ‖r‖ ≤ 1e-6, so the point is converged by construction."""

_INITIAL_DAMPING = 1e-4
_LARGEST_DECREASE = 0.1
_KEPT_CURVATURE = 0.5
_GOOD_GAIN = 0.7
_CORRECTIONS = 3
_MAX_DAMPING = 1e16
_KKT_GOAL = 1e-12
_CHI2_RESOLUTION = 4e-16


def levenberg_marquardt(
    problem: LeastSquaresProblem, x: np.ndarray, free: np.ndarray, max_iter: int, *, use_curvature: bool = False
) -> tuple[np.ndarray, np.ndarray]:
    """Minimise from all starts together; each leaves the batch when it is done.

    Parameters
    ----------
    problem : LeastSquaresProblem
    x : ndarray (n_starts, n_par)
        Starts inside the bounds; overwritten by the end points.
    free : ndarray (n_free,) of int
        Columns of x that may move.
    max_iter : int
    use_curvature : bool
        Add the residuals' own curvature to the Gauss–Newton matrix.

    Returns
    -------
    x : ndarray (n_starts, n_par)
    n_iter : ndarray (n_starts,) of int
    """
    final, n_iter = x, np.zeros(len(x), dtype=int)
    lower, upper = problem.lower[free], problem.upper[free]
    residuals = problem.residuals(x)
    chi2 = np.vecdot(residuals, residuals)
    jacobian = problem.jacobian(x)[..., free]
    running = np.isfinite(chi2) & np.isfinite(jacobian).all(axis=(-2, -1)) & (chi2 > ZERO_CHI2)
    start = np.flatnonzero(running)
    x, residuals, chi2, jacobian = x[start], residuals[start], chi2[start], jacobian[start]
    gradient, lengths = np.vecmat(residuals, jacobian), column_lengths(jacobian)
    curvature = np.zeros_like(lengths)
    damping, growth = np.full(len(start), _INITIAL_DAMPING), np.full(len(start), 2.0)
    for _ in range(max_iter):
        if not len(start):
            break
        here = x[:, free]
        below, above = here - lower, upper - here
        marquardt = damping[:, None] * np.where(lengths > 0, lengths, 1.0) ** 2
        scale = np.sqrt(marquardt + curvature)
        step = _box_step(residuals, jacobian, gradient, scale, below, above)
        trial = _move(x, free, step, lower, upper)
        trial_residuals = problem.residuals(trial)
        trial_chi2 = np.vecdot(trial_residuals, trial_residuals)
        linear = residuals + np.matvec(jacobian, step)
        predicted = chi2 - np.vecdot(linear, linear)
        bent = np.flatnonzero((trial_chi2 >= chi2 - _GOOD_GAIN * predicted) & np.isfinite(trial_chi2))
        for _ in range(_CORRECTIONS if len(bent) else 0):
            r, j = residuals[bent], jacobian[bent]
            missed = trial_residuals[bent] - r - np.matvec(j, step[bent])
            corrected = _box_step(r + missed, j, gradient[bent], scale[bent], below[bent], above[bent])
            moved = _move(x[bent], free, corrected, lower, upper)
            moved_residuals = problem.residuals(moved)
            moved_chi2 = np.vecdot(moved_residuals, moved_residuals)
            lower_still = moved_chi2 < trial_chi2[bent]
            bent = bent[lower_still]
            step[bent], trial[bent] = corrected[lower_still], moved[lower_still]
            trial_residuals[bent], trial_chi2[bent] = moved_residuals[lower_still], moved_chi2[lower_still]
        better = trial_chi2 < chi2
        gain = np.clip((chi2 - trial_chi2) / np.where(predicted > 0, predicted, np.inf), 0.0, 1.0)
        damping = damping * np.where(better, np.maximum(_LARGEST_DECREASE, 1 - (2 * gain - 1) ** 3), growth)
        damping = np.maximum(damping, 1e-15 * len(free))  # keeps the linear system regular in double precision
        growth = np.where(better, 2.0, 2 * growth)
        exhausted = np.abs(predicted) <= _CHI2_RESOLUTION * chi2
        n_iter[start] += 1

        if use_curvature:
            trial_jacobian = problem.jacobian(trial)[..., free]
            seen = np.vecmat(trial_residuals, trial_jacobian - jacobian) / np.where(step == 0, np.inf, step)
            curvature = np.fmax(_KEPT_CURVATURE * curvature, np.where(np.isfinite(seen), seen, 0.0))
        x[better], residuals[better], chi2[better] = trial[better], trial_residuals[better], trial_chi2[better]
        jacobian[better] = trial_jacobian[better] if use_curvature else problem.jacobian(x[better])[..., free]
        gradient, lengths = np.vecmat(residuals, jacobian), column_lengths(jacobian)
        here = x[:, free]
        kkt = kkt_from_gradient(gradient, lengths, chi2, here - lower, upper - here)
        done = (chi2 <= ZERO_CHI2) | (kkt <= _KKT_GOAL) | exhausted | (damping > _MAX_DAMPING) | ~np.isfinite(kkt)
        final[start] = x
        if done.any():
            state = (start, x, residuals, chi2, jacobian, gradient, lengths, curvature, damping, growth)
            start, x, residuals, chi2, jacobian, gradient, lengths, curvature, damping, growth = (
                a[~done] for a in state
            )
    return final, n_iter


def _move(x: np.ndarray, free: np.ndarray, step: np.ndarray, lower: np.ndarray, upper: np.ndarray) -> np.ndarray:
    """Points x (n, n_par) moved by step (n, n_free), exactly onto a bound where the step reaches it."""
    here = x[:, free]
    moved = x.copy()
    moved[:, free] = np.where(step <= lower - here, lower, np.where(step >= upper - here, upper, here + step))
    return moved


def _box_step(
    residuals: np.ndarray,
    jacobian: np.ndarray,
    gradient: np.ndarray,
    scale: np.ndarray,
    below: np.ndarray,
    above: np.ndarray,
) -> np.ndarray:
    """Damped Gauss–Newton step (n, n_free) that stays in the box; `below`, `above` are the gaps to the bounds.

    A variable that a solution carries past a bound is put on the bound and the others are solved again; each pass
    settles at least one variable, so there are at most n_free + 1 passes.
    """
    free = ~is_blocked(below, above, gradient)
    scaled = jacobian / scale[:, None, :]
    step = np.zeros_like(below)
    rows: slice | np.ndarray = slice(None)
    target = residuals
    while True:
        solution = _damped_solution(scaled[rows] * free[:, None, :], target) / scale[rows]
        solution = np.where(free, solution, step[rows])
        crossing = free & ((solution < -below[rows]) | (solution > above[rows]))
        step[rows] = np.clip(solution, -below[rows], above[rows])
        again = crossing.any(axis=-1)
        if not again.any():
            return step
        rows = np.arange(len(step))[rows][again]
        free = (free & ~crossing)[again]
        target = residuals[rows] + np.matvec(jacobian[rows], np.where(free, 0.0, step[rows]))


def _damped_solution(jacobian: np.ndarray, residuals: np.ndarray) -> np.ndarray:
    """Minimise ‖r + J q‖² + ‖q‖² for each of a batch: in residual space where that is smaller, else by QR."""
    n_batch, n_res, n_free = jacobian.shape
    if n_res <= n_free:
        kernel = jacobian @ jacobian.mT
        diagonal = np.arange(n_res)
        kernel[:, diagonal, diagonal] += 1.0
        return -np.vecmat(np.linalg.solve(kernel, residuals[..., None])[..., 0], jacobian)
    system = np.zeros((n_batch, n_res + n_free, n_free + 1))
    system[:, :n_res, :n_free], system[:, :n_res, n_free] = jacobian, residuals
    diagonal = np.arange(n_free)
    system[:, n_res + diagonal, diagonal] = 1.0
    triangle: np.ndarray = np.linalg.qr(system, mode="r")  # type: ignore[assignment]  # an array in this mode
    return -np.linalg.solve(triangle[:, :n_free, :n_free], triangle[:, :n_free, n_free:])[..., 0]
