"""Numerical derivatives of a function whose analytic derivative is not available."""

from __future__ import annotations

import warnings
from collections.abc import Callable

import numpy as np

_LEVELS, _SHRINK, _NEAR = 8, 4.0, 1e-4
_COMPLEX_STEP, _AGREEMENT = 1e-30, 1e-6


def differentiate(
    function: Callable[[np.ndarray], np.ndarray],
    x: np.ndarray,
    step: np.ndarray,
    *,
    lower: np.ndarray | float = -np.inf,
    upper: np.ndarray | float = np.inf,
) -> np.ndarray:
    """Derivative (...) at x (...) of a function that acts element by element, (...) → (...).

    Difference quotients with steps of `step`, `step`/4, `step`/16, … are extrapolated to a step of zero. For each
    element the estimate that agrees best with its two neighbours is used (C. J. F. Ridders, Adv. Eng. Softw. 4, 75
    (1982)). Quotients are central with steps that stay in [lower, upper], and one-sided where x is on a limit. Points
    where the function is not finite are ignored.

    Parameters
    ----------
    function : callable
        For a single number x it may also return an array; the derivative then has the shape of that array.
    x : ndarray (...)
    step : ndarray (...)
        Positive scale over which the function changes its slope. A step ten times too large or a thousand times too
        small does no harm.
    lower, upper : float or ndarray (...)
        Limits of x.

    Returns
    -------
    ndarray (...)
        nan where no two estimates are finite.

    Examples
    --------
    >>> print(differentiate(np.exp, np.array([0.0, 1.0]), np.array([0.1, 0.1])).round(9))
    [1.         2.71828183]
    """
    x, step = np.broadcast_arrays(np.asarray(x, dtype=float), np.asarray(step, dtype=float))
    room = np.minimum(x - lower, upper - x)
    is_one_sided = room < _NEAR * step
    step = np.where(is_one_sided, step, np.minimum(step, room))
    inward = np.where(upper - x >= x - lower, step, -step)
    factor = np.where(is_one_sided, _SHRINK, _SHRINK**2)  # error series in h, h², h³, … or in h², h⁴, …
    best, smallest = np.full(x.shape, np.nan), np.full(x.shape, np.inf)
    above: list[np.ndarray] = []
    with np.errstate(all="ignore"):
        for level in range(_LEVELS):
            ahead = x + inward / _SHRINK**level
            behind = np.where(is_one_sided, x, x - inward / _SHRINK**level)
            row = [(function(ahead) - function(behind)) / (ahead - behind)]
            for k, coarse in enumerate(above, 1):
                row.append(row[-1] + (row[-1] - coarse) / (factor**k - 1))
                error = np.maximum(np.abs(row[-1] - row[-2]), np.abs(row[-1] - coarse))
                is_better = error < smallest
                best, smallest = np.where(is_better, row[-1], best), np.where(is_better, error, smallest)
            above = row
    return best


def complex_steps(function: Callable[[np.ndarray], np.ndarray], x: np.ndarray) -> np.ndarray:
    """Derivatives Im f(x + ih)/h by each element of the last axis, exact to rounding for an analytic function.

    A function that is not analytic, such as `abs`, gives a wrong value without notice (W. Squire and G. Trapp, SIAM
    Rev. 40, 110 (1998), doi:10.1137/S003614459631241X).

    Parameters
    ----------
    function : callable
        Maps (..., n_par) to (..., *shape), also for complex numbers.
    x : ndarray (..., n_par)

    Returns
    -------
    ndarray (..., n_par, *shape)

    Examples
    --------
    >>> print(complex_steps(lambda x: x[..., 0] * x[..., 1] ** 2, np.array([2.0, 3.0])))
    [ 9. 12.]
    """
    step = _COMPLEX_STEP * np.where(x != 0, np.abs(x), 1.0)
    values = np.asarray(function(x[..., None, :] + 1j * step[..., None, :] * np.eye(x.shape[-1])))
    return values.imag / step.reshape(*step.shape, *(1,) * (values.ndim - step.ndim))


def agreeing_complex_steps(
    exact: Callable[[np.ndarray], np.ndarray], reference: np.ndarray, points: np.ndarray, axis: int
) -> bool:
    """Whether derivatives by complex steps can be used: they exist, and agree with difference quotients to 1e-6.

    Parameters
    ----------
    exact : callable
        Maps points to derivatives by complex steps.
    reference : ndarray
        Difference quotients at the points; what is not finite is not compared.
    points : ndarray (n, n_par)
    axis : int
        Axis of the derivatives along which the largest is the unit of the difference.
    """
    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("error", np.exceptions.ComplexWarning)
        try:
            difference = np.abs(exact(points) - reference)
        except Exception:  # whatever a function of real numbers raises when it is given complex ones
            return False
    known = np.isfinite(reference)
    size = np.max(np.abs(reference), axis=axis, keepdims=True, initial=0.0, where=known)
    return bool(known.any() and (difference <= _AGREEMENT * size)[known].all())
