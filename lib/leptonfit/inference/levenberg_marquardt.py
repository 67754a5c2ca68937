"""Levenberg–Marquardt minimisation from many starts at once, inside a box.

Each step solves the damped linear problem *inside the box* [1]_: parameters that the step would carry across a bound
are put on the bound, and the others are solved again with these values fixed. Clipping the complete step instead would
change its direction along a narrow valley and stop progress beside a bound. The damping is Marquardt's [2]_ in Moré's
units, the longest column so far of each parameter [3]_. In units of the present column, a parameter whose column
shrinks would be damped less and less and diverge. The damping follows the ratio of actual to predicted reduction [4]_.
A step whose residuals deviate from the linear prediction is corrected for the deviation, several times [5]_. Without
this, steps become very short along a curved valley, for example where a precise measurement fixes a product. A
correction longer than most of its step is rejected, because the expansion behind it does not hold there. Starts that do
not converge in this way continue with the curvature of the residuals, which Gauss–Newton omits and large residuals
need. It is estimated along each parameter from the change of the Jacobian (in the spirit of [6]_).

.. [1] C. Kanzow, N. Yamashita, M. Fukushima, J. Comput. Appl. Math. 172, 375 (2004), doi:10.1016/j.cam.2004.02.013.
.. [2] D. W. Marquardt, J. SIAM 11, 431 (1963), doi:10.1137/0111030.
.. [3] J. J. Moré, in Numerical Analysis, Lect. Notes Math. 630, 105 (1978), doi:10.1007/BFb0067700.
.. [4] H. B. Nielsen, Damping parameter in Marquardt's method, IMM-REP-1999-05, DTU (1999).
.. [5] R. Fletcher, in Numerical Analysis, Lect. Notes Math. 912, 85 (1982), doi:10.1007/BFb0093151 (second-order
   correction); M. K. Transtrum, J. P. Sethna, arXiv:1201.5885 (length of the correction relative to the step).
.. [6] J. E. Dennis, D. M. Gay, R. E. Welsch, ACM Trans. Math. Softw. 7, 348 (1981), doi:10.1145/355958.355965.
"""

from __future__ import annotations

import numpy as np

from leptonfit.inference.blocks import find_blocks, solve_by_blocks
from leptonfit.inference.cancellation import check_cancelled
from leptonfit.inference.problem import LeastSquaresProblem
from leptonfit.inference.stationarity import ROUNDING, column_lengths, is_blocked, is_rounding

INITIAL_DAMPING = 1e-4
"""Damping of the first step, relative to the squared lengths of the columns of the Jacobian."""

_LARGEST_DECREASE = 0.1
_KEPT_CURVATURE = 0.5
_BOLDEST_LESSON = 1e4
_GOOD_GAIN = 0.7
_CORRECTIONS = 3
_LONGEST_CORRECTION = 0.75
_MEMORY = 0.5
_LEAST_DAMPING = 1e-15
_MAX_DAMPING = 1e16


def levenberg_marquardt(
    problem: LeastSquaresProblem,
    x: np.ndarray,
    free: np.ndarray,
    max_iter: int,
    *,
    initial_damping: float = INITIAL_DAMPING,
    use_curvature: bool = False,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Minimise from all starts together; each start leaves the batch when it has finished.

    Parameters
    ----------
    problem : LeastSquaresProblem
    x : ndarray (n_starts, n_par)
        Starts inside the bounds; overwritten by the end points.
    free : ndarray (n_free,) of int
        Columns of x that may move.
    max_iter : int
    initial_damping : float
        Damping of the first step; a value of 1 makes the step short.
    use_curvature : bool
        True to add the curvature of the residuals to the Gauss–Newton matrix.

    Returns
    -------
    x : ndarray (n_starts, n_par)
    n_iter : ndarray (n_starts,) of int
    finished : ndarray (n_starts,) of bool
        True if the start ended before `max_iter`: no further step of this kind lowers χ² by more than rounding.
    """
    final, n_iter, finished = x, np.zeros(len(x), dtype=int), np.ones(len(x), dtype=bool)
    lower, upper = problem.lower[free], problem.upper[free]
    columns = _as_slice(free)
    residuals = problem.residuals(x)
    chi2 = np.vecdot(residuals, residuals)
    jacobian = problem.jacobian(x)[..., columns]
    lengths = column_lengths(jacobian)
    running = np.isfinite(chi2) & np.isfinite(lengths).all(axis=-1)
    running &= ~is_rounding(np.sqrt(chi2), lengths, x[:, columns])
    start = np.flatnonzero(running)
    x, residuals, chi2, jacobian, lengths = (a[start] for a in (x, residuals, chi2, jacobian, lengths))
    gradient, longest = np.vecmat(residuals, jacobian), lengths.copy()
    curvature, memory = np.zeros_like(lengths), 1.0 if use_curvature else _MEMORY
    damping, growth = np.full(len(start), initial_damping), np.full(len(start), 2.0)
    for _ in range(max_iter):
        if not len(start):
            break
        check_cancelled()
        here = x[:, columns]
        below, above = here - lower, upper - here
        # the smallest damping keeps the linear system regular in double precision
        scale = np.maximum(np.sqrt(damping)[:, None] * longest, np.sqrt(_LEAST_DAMPING * len(free)) * lengths)
        scale = np.where(scale > 0, scale, 1.0)
        if use_curvature:
            scale = np.hypot(scale, np.sqrt(curvature))
        step = _box_step(residuals, jacobian, gradient, scale, below, above)
        trial = _move(x, columns, step, lower, upper)
        trial_residuals = problem.residuals(trial)
        trial_chi2 = np.vecdot(trial_residuals, trial_residuals)
        linear = residuals + np.matvec(jacobian, step)
        predicted = chi2 - np.vecdot(linear, linear)
        (bent,) = ((trial_chi2 >= chi2 - _GOOD_GAIN * predicted) & np.isfinite(trial_chi2)).nonzero()
        if len(bent):
            trial_residuals = trial_residuals.copy()  # the array may be one that the user's function keeps
        plain = step[bent]
        longest_allowed = _LONGEST_CORRECTION**2 * ((plain * scale[bent]) ** 2).sum(axis=-1)
        for _ in range(_CORRECTIONS):
            if not len(bent):
                break
            j = jacobian[bent]
            target = trial_residuals[bent] - np.matvec(j, step[bent])
            corrected = _box_step(target, j, gradient[bent], scale[bent], below[bent], above[bent])
            moved = _move(x[bent], columns, corrected, lower, upper)
            moved_residuals = problem.residuals(moved)
            moved_chi2 = np.vecdot(moved_residuals, moved_residuals)
            accepted = moved_chi2 < trial_chi2[bent]
            accepted &= (((corrected - plain) * scale[bent]) ** 2).sum(axis=-1) <= longest_allowed
            bent, plain, longest_allowed = bent[accepted], plain[accepted], longest_allowed[accepted]
            step[bent], trial[bent] = corrected[accepted], moved[accepted]
            trial_residuals[bent], trial_chi2[bent] = moved_residuals[accepted], moved_chi2[accepted]
        (better,) = (trial_chi2 < chi2).nonzero()
        if use_curvature:
            trial_jacobian = problem.jacobian(trial)[..., columns]
            change = np.vecmat(trial_residuals, trial_jacobian - jacobian)
            seen = change / np.where(step == 0, np.inf, step)
            seen = np.where(np.isfinite(seen), seen, 0.0)
            refused = (trial_chi2 >= chi2)[:, None]
            seen = np.where(refused, np.minimum(seen, _BOLDEST_LESSON * scale**2), seen)
            curvature = np.fmax(_KEPT_CURVATURE * curvature, seen)
            new_jacobian = trial_jacobian[better]
        elif len(better):
            new_jacobian = problem.jacobian(trial[better])[..., columns]
        if len(better):
            new_lengths = column_lengths(new_jacobian)
            usable = np.isfinite(new_lengths).all(axis=-1)  # a point where a derivative overflows allows no next step
            better, new_jacobian, new_lengths = better[usable], new_jacobian[usable], new_lengths[usable]
        lowered = np.zeros(len(start), dtype=bool)
        lowered[better] = True
        gain = np.maximum((chi2 - trial_chi2) / np.where(predicted > 0, predicted, np.inf), 0.0)
        gain = np.minimum(gain, 1.0)
        exhausted = (np.abs(predicted) <= ROUNDING * chi2) & (~lowered | (damping <= INITIAL_DAMPING))
        damping *= np.where(lowered, np.maximum(_LARGEST_DECREASE, 1 - (2 * gain - 1) ** 3), growth)
        growth = np.where(lowered, 2.0, 2 * growth)
        n_iter[start] += 1
        if len(better):
            x[better], residuals[better], chi2[better] = trial[better], trial_residuals[better], trial_chi2[better]
            jacobian[better], lengths[better] = new_jacobian, new_lengths
            gradient = np.vecmat(residuals, jacobian)
        longest = np.maximum(memory * longest, lengths)
        done = exhausted | is_rounding(np.sqrt(chi2), lengths, x[:, columns]) | (damping > _MAX_DAMPING)
        final[start] = x
        if done.any():
            state = (start, x, residuals, chi2, jacobian, gradient, lengths, longest, curvature, damping, growth)
            start, x, residuals, chi2, jacobian, gradient, lengths, longest, curvature, damping, growth = (
                a[~done] for a in state
            )
    finished[start] = False
    return final, n_iter, finished


def _as_slice(free: np.ndarray) -> np.ndarray | slice:
    """Consecutive columns as a slice, which NumPy reads and writes without a copy; others as they are."""
    is_consecutive = len(free) > 0 and free[-1] - free[0] == len(free) - 1
    return slice(free[0], free[-1] + 1) if is_consecutive else free


def _move(
    x: np.ndarray, columns: np.ndarray | slice, step: np.ndarray, lower: np.ndarray, upper: np.ndarray
) -> np.ndarray:
    """Points x (n, n_par) moved by step (n, n_free), exactly to the bound where the step reaches it."""
    here = x[:, columns]
    moved = x.copy()
    moved[:, columns] = np.where(step <= lower - here, lower, np.where(step >= upper - here, upper, here + step))
    return moved


def _box_step(
    residuals: np.ndarray,
    jacobian: np.ndarray,
    gradient: np.ndarray,
    scale: np.ndarray,
    below: np.ndarray,
    above: np.ndarray,
) -> np.ndarray:
    """Damped Gauss–Newton step (n, n_free) inside the box; `below` and `above` are the distances to the bounds.

    Parameters that the solution carries past a bound are put on the bound, and the others are solved again. Each pass
    fixes at least one parameter, so there are at most n_free + 1 passes.
    """
    free = ~is_blocked(below, above, gradient)
    scale = np.where(free, scale, np.inf)  # what is divided by infinity does not move
    step = np.zeros(below.shape)
    rows: slice | np.ndarray = slice(None)
    target = residuals
    while True:
        solution = _damped_solution(jacobian[rows] / scale[:, None, :], target) / scale
        solution = np.where(free, solution, step[rows])
        low, high = -below[rows], above[rows]
        crossing = free & ((solution < low) | (solution > high))
        step[rows] = np.minimum(np.maximum(solution, low), high)
        again = crossing.any(axis=-1)
        if not again.any():
            return step
        rows = np.arange(len(step))[rows][again]
        free = (free & ~crossing)[again]
        scale = np.where(free, scale[again], np.inf)
        target = residuals[rows] + np.matvec(jacobian[rows], np.where(free, 0.0, step[rows]))


def _damped_solution(jacobian: np.ndarray, residuals: np.ndarray) -> np.ndarray:
    """Minimise ‖r + J q‖² + ‖q‖² for a batch: in residual space if that has fewer dimensions, else by QR or blocks."""
    n_batch, n_res, n_free = jacobian.shape
    if n_res <= n_free:
        kernel = jacobian @ jacobian.mT
        np.einsum("...ii->...i", kernel)[...] += 1.0  # a view of the diagonal
        return -np.vecmat(np.linalg.solve(kernel, residuals[..., None])[..., 0], jacobian)
    blocks = find_blocks(jacobian)
    if blocks is not None:
        return solve_by_blocks(jacobian, residuals, blocks)
    system = np.zeros((n_batch, n_res + n_free, n_free + 1))
    system[:, :n_res, :n_free], system[:, :n_res, n_free] = jacobian, residuals
    diagonal = np.arange(n_free)
    system[:, n_res + diagonal, diagonal] = 1.0
    triangle: np.ndarray = np.linalg.qr(system, mode="r")  # type: ignore[assignment]  # this mode returns an array
    return -np.linalg.solve(triangle[:, :n_free, :n_free], triangle[:, :n_free, n_free:])[..., 0]
