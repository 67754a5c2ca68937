"""When is a point stationary inside its bounds? A scale-free residual, and the cases in which a plain one misleads."""

from __future__ import annotations

import numpy as np

from leptonfit.inference.problem import LeastSquaresProblem

KKT_TOLERANCE = 1e-6
"""A point is converged when its KKT residual is at most this."""

_NEARBY = np.array([1e-2, 1e-4])


def kkt_residual(
    x: np.ndarray,
    residuals: np.ndarray,
    jacobian: np.ndarray,
    lower: np.ndarray,
    upper: np.ndarray,
    *,
    lengths: np.ndarray | None = None,
) -> np.ndarray:
    """Scale-free distance from a constrained stationary point.

    KKT = max_j |P g_j| / (‖J_j‖ max(1, ‖r‖)) with g = Jᵀr, where P drops components that push into a touched bound.

    Parameters
    ----------
    x, lower, upper : ndarray (..., n)
        Free parameters and their bounds.
    residuals : ndarray (..., n_res)
    jacobian : ndarray (..., n_res, n)
    lengths : ndarray (..., n), optional
        What to use for ‖J_j‖; the lengths of the Jacobian's columns where not given.

    Returns
    -------
    ndarray (...)
    """
    gradient = np.vecmat(residuals, jacobian)
    lengths = column_lengths(jacobian) if lengths is None else lengths
    return kkt_from_gradient(gradient, lengths, np.vecdot(residuals, residuals), x - lower, upper - x)


def kkt_from_gradient(
    gradient: np.ndarray, lengths: np.ndarray, chi2: np.ndarray, below: np.ndarray, above: np.ndarray
) -> np.ndarray:
    """KKT residual (...) from g, the column lengths, χ² and the gaps to the bounds."""
    cosine = np.abs(gradient) / np.where(lengths > 0, lengths, 1.0)
    cosine = np.where(is_blocked(below, above, gradient), 0.0, cosine)
    return np.max(cosine, axis=-1, initial=0.0) / np.sqrt(np.maximum(1.0, chi2))


def column_lengths(jacobian: np.ndarray) -> np.ndarray:
    """‖J_j‖ (..., n) of a Jacobian (..., n_res, n)."""
    return np.sqrt(np.einsum("...ij,...ij->...j", jacobian, jacobian))


def is_blocked(below: np.ndarray, above: np.ndarray, gradient: np.ndarray) -> np.ndarray:
    """Variables on a bound that descent would push through it; `below`, `above` are the gaps to the bounds."""
    return ((below <= 0) & (gradient > 0)) | ((above <= 0) & (gradient < 0))


def lengths_nearby(problem: LeastSquaresProblem, x: np.ndarray, jacobian: np.ndarray, free: np.ndarray) -> np.ndarray:
    """Lengths (n, n_free) of the columns at x (n, n_par), or a short way along their own parameter where longer.

    At an extremum of the model in x_j the column J_j vanishes and with it its length, so |g_j|/‖J_j‖ stays at ‖r‖
    however exactly x is found. There J_j grows in proportion to the way; its length after 1 % of the box (of
    max(1, |x_j|) where there is none) is then the measure. It is extrapolated from 0.01 % as well and the smaller one
    taken, so that the foot of a distant step does not pass for an extremum.
    """
    lower, upper, each = problem.lower[free], problem.upper[free], np.arange(len(free))
    here = x[:, free]
    width = np.where(np.isfinite(upper - lower), upper - lower, np.maximum(1.0, np.abs(here)))
    inward = np.where(upper - here >= here - lower, 1.0, -1.0)
    moved = np.tile(x[:, None, :], (len(_NEARBY), 1, len(free), 1))
    moved[:, :, each, free] += _NEARBY[:, None, None] * width * inward
    columns = np.moveaxis(problem.jacobian(moved)[:, :, each, :, free], 0, 2)
    there = np.sqrt(np.vecdot(columns, columns)) * (_NEARBY[0] / _NEARBY)[:, None, None]
    return np.fmax(column_lengths(jacobian), there.min(axis=0))
