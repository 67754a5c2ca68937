"""Test whether a point is stationary inside its bounds, by a scale-free KKT residual that also covers special cases."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from leptonfit.inference.chunks import split_points
from leptonfit.inference.norms import norms
from leptonfit.inference.problem import EXACT, LeastSquaresProblem

KKT_TOLERANCE = 1e-6
"""Largest KKT residual of a converged point."""
FLOOR = 1e-10
"""Fraction of `problem.scale`: residuals smaller than this are compared with it instead of with their own norm."""
ROUNDING = 4e-16
"""Relative change below which double precision cannot resolve a number."""

OFFSET_TOLERANCE = 1e-3
"""A point with a larger relative offset is not a minimum, at any KKT residual: χ² can fall by a fraction of 1e-6."""

_EXACT = 1e-15
_RESOLVED = 1e-12
_NEARBY = np.array([1e-2, 1e-4])
_SAFE = 1e-140, 1e140


@dataclass(frozen=True)
class Optimality:
    """χ², stationarity and vanished columns of a batch of points.

    Attributes
    ----------
    chi2, kkt : ndarray (n,)
        χ² and KKT residual.
    flat : ndarray (n, n_free) of bool
        Free parameters whose column of the Jacobian vanished.
    exact : ndarray (n,) of bool
        True where all residuals are zero to rounding.
    """

    chi2: np.ndarray
    kkt: np.ndarray
    flat: np.ndarray
    exact: np.ndarray

    def update(self, rows: np.ndarray, other: Optimality) -> None:
        """Replace the values at the points `rows`."""
        self.chi2[rows], self.kkt[rows], self.flat[rows], self.exact[rows] = (
            other.chi2,
            other.kkt,
            other.flat,
            other.exact,
        )


def check_optimality(problem: LeastSquaresProblem, x: np.ndarray, free: np.ndarray) -> Optimality:
    """Test whether the points x (n, n_par) are stationary, where the parameters `free` may move."""
    bounds = problem.lower[free], problem.upper[free]
    residuals, jacobian = problem.residuals(x), problem.jacobian(x)[..., free]
    size, lengths, here = norms(residuals), column_lengths(jacobian), x[:, free]
    exact = is_rounding(size, lengths, here)
    floor = least_size(problem, here, lengths, free)
    kkt = np.where(exact, 0.0, kkt_residual(here, residuals, jacobian, *bounds, floor=floor))
    at = np.flatnonzero(kkt > KKT_TOLERANCE)
    if len(at):
        nearby = lengths_nearby(problem, x[at], jacobian[at], free)
        kkt[at] = kkt_residual(here[at], residuals[at], jacobian[at], *bounds, lengths=nearby, floor=floor[at])
    if problem.accuracy != EXACT:
        kkt = np.maximum(kkt - unresolved(problem, np.maximum(size, floor)), 0.0)
    flat = is_vanished(problem, x, free, lengths, size)
    return Optimality(np.vecdot(residuals, residuals), kkt, flat, exact)


def unresolved(problem: LeastSquaresProblem, size: np.ndarray) -> np.ndarray:
    """KKT residual (...) that the accuracy of a problem leaves at residuals of a given size ‖r‖ (...).

    Two errors add up. An error δJ_j of a column changes g_j/(‖J_j‖ ‖r‖) by at most ‖δJ_j‖/‖J_j‖. With an error η of
    the residual vector, χ² is known to 2 ‖r‖ η, so that a step cannot be seen to lower χ² where it lowers it by less:
    where (KKT ‖r‖)² < 2 ‖r‖ η. The sum is at most 1e-3, at which χ² can still fall by a fraction of 1e-6, and counts
    as zero within the tolerance of exact problems.
    """
    by_noise = np.sqrt(2 * problem.accuracy.noise / np.where(size > 0, size, np.inf))
    total = np.minimum(problem.accuracy.derivatives + by_noise, OFFSET_TOLERANCE)
    return np.where(total > KKT_TOLERANCE, total, 0.0)


def least_size(problem: LeastSquaresProblem, here: np.ndarray, lengths: np.ndarray, free: np.ndarray) -> np.ndarray:
    """Size (...) below which the residuals of an exact fit are rounding error: 1e-10 of their size at the start.

    A start may be so far from the solution that its size has no meaning there. Therefore the size at the point itself,
    max_j ‖J_j‖ max(|x_j|, width of the box), is used if it is smaller.
    """
    at_point = np.max(lengths * np.maximum(np.abs(here), problem.widths[free]), axis=-1, initial=0.0)
    return FLOOR * np.minimum(problem.scale, at_point)


def kkt_residual(
    x: np.ndarray,
    residuals: np.ndarray,
    jacobian: np.ndarray,
    lower: np.ndarray,
    upper: np.ndarray,
    *,
    lengths: np.ndarray | None = None,
    floor: np.ndarray | float = 0.0,
) -> np.ndarray:
    """KKT residual: scale-free distance from a stationary point inside bounds.

    KKT = max_j |P g_j| / (‖J_j‖ max(‖r‖, floor)) with g = Jᵀr, where P sets components that push into a touched bound
    to zero.

    Parameters
    ----------
    x, lower, upper : ndarray (..., n)
        Free parameters and their bounds.
    residuals : ndarray (..., n_res)
    jacobian : ndarray (..., n_res, n)
    lengths : ndarray (..., n), optional
        Values to use for ‖J_j‖; by default the lengths of the Jacobian's columns.
    floor : float or ndarray (...)
        Smallest value to use for ‖r‖.

    Returns
    -------
    ndarray (...)
    """
    own = column_lengths(jacobian)
    lengths = own if lengths is None else lengths
    unit = jacobian / np.where(own > 0, own, 1.0)[..., None, :]  # a long column times its residuals may overflow
    gradient, size = np.vecmat(residuals, unit), norms(residuals)
    share = np.where(np.isfinite(lengths), own / np.where(lengths > 0, lengths, 1.0), np.inf)
    cosine = np.where(is_blocked(x - lower, upper - x, gradient), 0.0, np.abs(gradient) * share)
    return _over(np.max(cosine, axis=-1, initial=0.0), np.maximum(size, floor))


def relative_offset(problem: LeastSquaresProblem, x: np.ndarray, free: np.ndarray) -> np.ndarray:
    """Relative offset (n,) at x (n, n_par): fraction of the residuals that a linear step could still remove.

    The length of r projected on the columns that are free to move, divided by that of r (D. M. Bates and D. G. Watts,
    Technometrics 23, 179 (1981), doi:10.1080/00401706.1981.10486259). If columns are almost linear combinations of one
    another, each may be orthogonal to r within the tolerance of the KKT residual although the plane they span is not.
    """
    return np.concatenate([_offset(problem, x[part], free) for part in split_points(problem, len(x))])


def _offset(problem: LeastSquaresProblem, x: np.ndarray, free: np.ndarray) -> np.ndarray:
    """Relative offset of the points of one chunk."""
    residuals, jacobian = problem.residuals(x), problem.jacobian(x)[..., free]
    lengths, here = column_lengths(jacobian), x[:, free]
    columns = jacobian / np.where(lengths > 0, lengths, 1.0)[..., None, :]
    blocked = is_blocked(here - problem.lower[free], problem.upper[free] - here, np.vecmat(residuals, columns))
    columns = np.where(blocked[..., None, :] | ~np.isfinite(columns), 0.0, columns)
    basis, values, _ = np.linalg.svd(columns, full_matrices=False)
    parts = np.where(
        values > _RESOLVED * values.max(axis=-1, keepdims=True, initial=0.0), np.vecmat(residuals, basis), 0.0
    )
    return _over(norms(parts), np.maximum(norms(residuals), least_size(problem, here, lengths, free)))


def _over(numerator: np.ndarray, size: np.ndarray) -> np.ndarray:
    """Ratio numerator/size; it is zero where all residuals are exactly zero."""
    return numerator / np.where(size == 0, 1.0, size)


def column_lengths(jacobian: np.ndarray) -> np.ndarray:
    """Column lengths ‖J_j‖ (..., n) of a Jacobian (..., n_res, n)."""
    lengths = np.sqrt(np.einsum("...ij,...ij->...j", jacobian, jacobian))
    extreme = ~((lengths > _SAFE[0]) & (lengths < _SAFE[1]))
    if extreme.any():
        lengths[extreme] = norms(jacobian.mT[extreme])
    return lengths


def is_blocked(below: np.ndarray, above: np.ndarray, gradient: np.ndarray) -> np.ndarray:
    """True for parameters on a bound where descent points outward; `below`, `above` are the distances to the bounds."""
    return ((below <= 0) & (gradient > 0)) | ((above <= 0) & (gradient < 0))


def is_rounding(size: np.ndarray, lengths: np.ndarray, here: np.ndarray) -> np.ndarray:
    """True where ‖r‖ (...) is as small as the effect of rounding errors in the parameters: the fit is exact."""
    return size <= _EXACT * np.max(lengths * np.abs(here), axis=-1, initial=0.0)


def is_vanished(
    problem: LeastSquaresProblem, x: np.ndarray, free: np.ndarray, lengths: np.ndarray, size: np.ndarray
) -> np.ndarray:
    """True for columns (..., n_free) so short that a move across the box changes residuals only by rounding."""
    return lengths * widths(problem, x, free) <= ROUNDING * size[..., None]


def vanished_columns(problem: LeastSquaresProblem, x: np.ndarray) -> np.ndarray:
    """True for parameters (n, n_par) whose column of the Jacobian vanishes at x (n, n_par)."""
    with np.errstate(all="ignore"):
        every, vanished = np.arange(problem.n_par), np.empty(x.shape, dtype=bool)
        for part in split_points(problem, len(x)):
            lengths, size = column_lengths(problem.jacobian(x[part])), norms(problem.residuals(x[part]))
            vanished[part] = is_vanished(problem, x[part], every, lengths, size)
        return vanished


def widths(problem: LeastSquaresProblem, x: np.ndarray, free: np.ndarray) -> np.ndarray:
    """Range (..., n_free) of each free parameter: its box; if infinite, max(|x|, |start|), or 1 if that is 0."""
    box = problem.upper[free] - problem.lower[free]
    reach = np.maximum(np.abs(x[..., free]), np.abs(problem.start[free]))
    return np.where(np.isfinite(box), box, np.where(reach > 0, reach, 1.0))


def lengths_nearby(problem: LeastSquaresProblem, x: np.ndarray, jacobian: np.ndarray, free: np.ndarray) -> np.ndarray:
    """Column lengths (n, n_free) at x (n, n_par), or at a short distance along each parameter if longer there.

    At an extremum of the model in x_j the column J_j and its length vanish, so that |g_j|/‖J_j‖ stays at ‖r‖ however
    accurately x is known. There J_j grows in proportion to the distance; its length after 1 % of the parameter's range
    is then used. It is also extrapolated from 0.01 %, and the smaller value is used, so that the edge of a distant step
    of the model is not mistaken for an extremum.
    """
    lower, upper, here = problem.lower[free], problem.upper[free], x[:, free]
    inward = np.where(upper - here >= here - lower, 1.0, -1.0)
    steps = _NEARBY[:, None, None] * widths(problem, x, free) * inward
    there = np.empty(steps.shape)
    distance, row, each = (axis.ravel() for axis in np.indices(steps.shape))
    for part in split_points(problem, steps.size):
        at = distance[part], row[part], each[part]
        moved, n = x[at[1]], np.arange(len(at[0]))
        moved[n, free[at[2]]] += steps[at]
        there[at] = norms(problem.jacobian(moved)[n, :, free[at[2]]])
    there *= (_NEARBY[0] / _NEARBY)[:, None, None]
    return np.fmax(column_lengths(jacobian), there.min(axis=0))
