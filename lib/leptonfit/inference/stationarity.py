"""When is a point stationary inside its bounds? A scale-free residual, and the cases in which a plain one misleads."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from leptonfit.inference.norms import norms
from leptonfit.inference.problem import LeastSquaresProblem

KKT_TOLERANCE = 1e-6
"""A point is converged when its KKT residual is at most this."""
FLOOR = 1e-10
"""Residuals below this fraction of `problem.scale` are compared with it instead of with their own size."""
ROUNDING = 4e-16
"""Relative change that double precision does not resolve."""

OFFSET_TOLERANCE = 1e-3
"""A point whose relative offset is larger is no minimum, whatever its KKT residual: χ² may fall by 1e-6 of itself."""

_EXACT = 1e-15
_RESOLVED = 1e-12
_NEARBY = np.array([1e-2, 1e-4])
_SAFE = 1e-140, 1e140


@dataclass(frozen=True)
class Judgement:
    """χ², stationarity and vanished columns of a batch of points.

    Attributes
    ----------
    chi2, kkt : ndarray (n,)
        χ² and KKT residual.
    flat : ndarray (n, n_free) of bool
        Free parameters whose column of the Jacobian vanished.
    exact : ndarray (n,) of bool
        All residuals are zero to rounding.
    """

    chi2: np.ndarray
    kkt: np.ndarray
    flat: np.ndarray
    exact: np.ndarray

    def update(self, rows: np.ndarray, other: Judgement) -> None:
        """Replace the judgement of some points."""
        self.chi2[rows], self.kkt[rows], self.flat[rows], self.exact[rows] = (
            other.chi2, other.kkt, other.flat, other.exact
        )  # fmt: skip


def judge(problem: LeastSquaresProblem, x: np.ndarray, free: np.ndarray) -> Judgement:
    """Judge the points x (n, n_par), of which the columns `free` may move."""
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
    flat = is_vanished(problem, x, free, lengths, size)
    return Judgement(np.vecdot(residuals, residuals), kkt, flat, exact)


def least_size(problem: LeastSquaresProblem, here: np.ndarray, lengths: np.ndarray, free: np.ndarray) -> np.ndarray:
    """Size (...) below which the residuals of an exact fit are rounding: 1e-10 of their size at the start.

    A start may be so far off that this means nothing near the solution, so that the size at the point itself,
    max_j ‖J_j‖ max(|x_j|, width of the box), is taken where it is smaller.
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
    """Scale-free distance from a constrained stationary point.

    KKT = max_j |P g_j| / (‖J_j‖ max(‖r‖, floor)) with g = Jᵀr, where P drops components that push into a touched bound.

    Parameters
    ----------
    x, lower, upper : ndarray (..., n)
        Free parameters and their bounds.
    residuals : ndarray (..., n_res)
    jacobian : ndarray (..., n_res, n)
    lengths : ndarray (..., n), optional
        What to use for ‖J_j‖; the lengths of the Jacobian's columns where not given.
    floor : float or ndarray (...)
        Least size that is used for ‖r‖.

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
    """Share (n,) of the residuals at x (n, n_par) that the tangent plane of the model could still take away.

    The length of r projected on the columns that are free to move, over that of r (D. M. Bates and D. G. Watts,
    Technometrics 23, 179 (1981), doi:10.1080/00401706.1981.10486259). Where columns are almost combinations of one
    another, each may be at right angles to r, to the tolerance of the KKT residual, and their plane not.
    """
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


def kkt_from_gradient(
    gradient: np.ndarray,
    lengths: np.ndarray,
    chi2: np.ndarray,
    below: np.ndarray,
    above: np.ndarray,
    *,
    floor: float = 0.0,
) -> np.ndarray:
    """KKT residual (...) from g, the column lengths, χ² and the gaps to the bounds; `floor` is the least ‖r‖ used."""
    cosine = np.abs(gradient) / np.where(lengths > 0, lengths, 1.0)
    cosine = np.where(is_blocked(below, above, gradient), 0.0, cosine)
    return _over(np.max(cosine, axis=-1, initial=0.0), np.maximum(np.sqrt(np.maximum(chi2, 0.0)), floor))


def _over(numerator: np.ndarray, size: np.ndarray) -> np.ndarray:
    """Ratio, zero where all residuals are exactly zero."""
    return numerator / np.where(size == 0, 1.0, size)


def column_lengths(jacobian: np.ndarray) -> np.ndarray:
    """‖J_j‖ (..., n) of a Jacobian (..., n_res, n)."""
    lengths = np.sqrt(np.einsum("...ij,...ij->...j", jacobian, jacobian))
    extreme = ~((lengths > _SAFE[0]) & (lengths < _SAFE[1]))
    if extreme.any():
        lengths[extreme] = norms(jacobian.mT[extreme])
    return lengths


def is_blocked(below: np.ndarray, above: np.ndarray, gradient: np.ndarray) -> np.ndarray:
    """Variables on a bound that descent would push through it; `below`, `above` are the gaps to the bounds."""
    return ((below <= 0) & (gradient > 0)) | ((above <= 0) & (gradient < 0))


def is_rounding(size: np.ndarray, lengths: np.ndarray, here: np.ndarray) -> np.ndarray:
    """Whether ‖r‖ (...) is what changes of a parameter in its last digits make: the fit is exact."""
    return size <= _EXACT * np.max(lengths * np.abs(here), axis=-1, initial=0.0)


def is_vanished(
    problem: LeastSquaresProblem, x: np.ndarray, free: np.ndarray, lengths: np.ndarray, size: np.ndarray
) -> np.ndarray:
    """Columns (..., n_free) so short that a move across the whole box changes residuals of that size by rounding."""
    return lengths * widths(problem, x, free) <= ROUNDING * size[..., None]


def vanished_columns(problem: LeastSquaresProblem, x: np.ndarray) -> np.ndarray:
    """Parameters (n, n_par) of bool whose columns of the Jacobian vanish at x (n, n_par)."""
    with np.errstate(all="ignore"):
        lengths, size = column_lengths(problem.jacobian(x)), norms(problem.residuals(x))
        return is_vanished(problem, x, np.arange(problem.n_par), lengths, size)


def widths(problem: LeastSquaresProblem, x: np.ndarray, free: np.ndarray) -> np.ndarray:
    """Range (..., n_free) of each free parameter: its box, or max(|x|, |start|) where that is infinite, or one."""
    box = problem.upper[free] - problem.lower[free]
    reach = np.maximum(np.abs(x[..., free]), np.abs(problem.start[free]))
    return np.where(np.isfinite(box), box, np.where(reach > 0, reach, 1.0))


def lengths_nearby(problem: LeastSquaresProblem, x: np.ndarray, jacobian: np.ndarray, free: np.ndarray) -> np.ndarray:
    """Lengths (n, n_free) of the columns at x (n, n_par), or a short way along their own parameter where longer.

    At an extremum of the model in x_j the column J_j vanishes and with it its length, so |g_j|/‖J_j‖ stays at ‖r‖
    however exactly x is found. There J_j grows in proportion to the way; its length after 1 % of the parameter's range
    is then the measure. It is extrapolated from 0.01 % as well and the smaller value taken, so that the foot of a
    distant step does not pass for an extremum.
    """
    lower, upper, each = problem.lower[free], problem.upper[free], np.arange(len(free))
    here = x[:, free]
    inward = np.where(upper - here >= here - lower, 1.0, -1.0)
    moved = np.tile(x[:, None, :], (len(_NEARBY), 1, len(free), 1))
    moved[:, :, each, free] += _NEARBY[:, None, None] * widths(problem, x, free) * inward
    columns = np.moveaxis(problem.jacobian(moved)[:, :, each, :, free], 0, 2)
    there = norms(columns) * (_NEARBY[0] / _NEARBY)[:, None, None]
    return np.fmax(column_lengths(jacobian), there.min(axis=0))
