"""Check a problem's functions once before the first fit: array shapes, and the Jacobian against its residuals."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from leptonfit.inference.chunks import split_rows
from leptonfit.inference.norms import norms

if TYPE_CHECKING:
    from leptonfit.inference.problem import LeastSquaresProblem

_COMPLEX_STEP = 1e-30
_STEP = 1e-4
"""Longest difference step, as a fraction of the parameter's scale."""
_TOLERANCE = 1e-4
"""Accepted relative disagreement of a derivative: the accuracy of difference quotients in single precision."""
_SAFETY = 10.0
_INTERIOR = 0.1, 0.6
"""Fractions of the way from the start to the farther bound at which the derivative is also checked."""


def check_functions(problem: LeastSquaresProblem) -> None:
    """Reject residuals or Jacobians of the wrong shape, and a Jacobian that is not the derivative of the residuals.

    The Jacobian is compared at the start and at two interior points with difference quotients and, where the residuals
    accept complex numbers, with complex steps (W. Squire and G. Trapp, SIAM Rev. 40, 110 (1998),
    doi:10.1137/S003614459631241X). An entry is wrong only where these two agree and both disagree with it, because a
    complex step gives a wrong value without notice through `abs`, and a difference quotient does so at a kink. Points
    where a value is not finite are not compared.

    Raises
    ------
    TypeError
        If the values are no real numbers.
    ValueError
        If a function changes its argument or has another shape; or with the residual, the parameter, the given
        derivative and the numerical one.
    """
    points = check_points(problem)
    with np.errstate(all="ignore"):
        _check_shapes(problem, points)
        for x in points:
            _check_jacobian(problem, x)


def check_points(problem: LeastSquaresProblem) -> np.ndarray:
    """Points (3, n_par) of the check: the start and two interior points."""
    start = problem.start
    width = np.where(np.isfinite(problem.upper - problem.lower), problem.upper - problem.lower, np.inf)
    reach = np.minimum(_scale(problem, start), width)
    up = problem.upper - start >= start - problem.lower
    room = np.where(up, problem.upper - start, start - problem.lower)
    alternate = 1 + 0.5 * (-1.0) ** np.arange(problem.n_par)  # parameters must not all move by the same factor
    moved = [start + np.where(up, 1, -1) * np.minimum(share * reach * alternate, 0.9 * room) for share in _INTERIOR]
    return np.stack([start, *moved])


def _scale(problem: LeastSquaresProblem, x: np.ndarray) -> np.ndarray:
    """Size (n_par,) of each parameter: its magnitude or, where that is zero, the width of its box, or 1."""
    width = problem.upper - problem.lower
    fallback = np.where(np.isfinite(width), width, 1.0)
    return np.where(x != 0, np.abs(x), fallback)


def _check_shapes(problem: LeastSquaresProblem, points: np.ndarray) -> None:
    n_par, n_res = problem.n_par, problem.n_res
    for name, function, tail in (
        ("residuals", problem.residuals, (n_res,)),
        ("jacobian", problem.jacobian, (n_res, n_par)),
    ):
        alone = _call(name, function, points[0])
        if alone.shape != tail:
            raise ValueError(
                f"{name} of one point: shape {alone.shape}, must be {tail} for {n_res} residual names"
                + (f" and {n_par} parameters" if len(tail) > 1 else "")
            )
        batch = _call(name, function, np.stack([points, points[::-1]]))
        if batch.shape != (2, 3, *tail):
            raise ValueError(
                f"{name} of points (2, 3, {n_par}): shape {batch.shape}, must be {(2, 3, *tail)}: "
                "leading axes of x are kept"
            )
        if not (_same(batch[0, 0], alone) and _same(batch[1, 1], _call(name, function, points[1]))):
            raise ValueError(f"{name}: a point in a batch must give the same values as alone")


def _call(name: str, function: Callable[[np.ndarray], np.ndarray], x: np.ndarray) -> np.ndarray:
    kept = x.copy()
    try:
        found = np.asarray(function(x))
    except (IndexError, ValueError, TypeError) as error:
        raise ValueError(
            f"{name} of x of shape {x.shape} failed: {error}; it must take (..., {x.shape[-1]})"
        ) from error
    if not np.array_equal(x, kept):
        raise ValueError(f"{name} of x = {kept.tolist()}: changes x to {x.tolist()}; must leave its argument as it is")
    if found.dtype.kind not in "iuf":
        raise TypeError(f"{name} of type {found.dtype}: must be real numbers")
    return found


def _same(a: np.ndarray, b: np.ndarray) -> bool:
    with np.errstate(all="ignore"):
        scale = np.max(np.abs(b), initial=0.0, where=np.isfinite(b))
        return bool(np.all((np.abs(a - b) <= 1e-9 * scale) | ~(np.isfinite(a) & np.isfinite(b))))


def _check_jacobian(problem: LeastSquaresProblem, x: np.ndarray) -> None:
    residuals, given = problem.residuals(x), problem.jacobian(x)
    found, error = _differences(problem, x, residuals)
    by_complex = _complex_step(problem, x)
    if by_complex is not None:
        error = np.where(np.abs(by_complex - found) <= _SAFETY * error + _TOLERANCE * np.abs(found), error, np.inf)
        found = by_complex
    size = np.maximum(np.abs(given), np.abs(found))
    column = np.max(size, axis=0, initial=0.0, where=np.isfinite(size))
    known = _SAFETY * problem.accuracy.derivatives * norms(size, axis=0)
    allowed = _SAFETY * error + _TOLERANCE * size + 1e-3 * _TOLERANCE * column + known
    with np.errstate(invalid="ignore"):
        wrong = np.isfinite(given) & np.isfinite(found) & np.isfinite(error) & (np.abs(given - found) > allowed)
    if wrong.any():
        i, j = np.unravel_index(np.argmax(np.where(wrong, np.abs(given - found) / allowed, 0.0)), wrong.shape)
        raise ValueError(
            f"jacobian: d({problem.residual_names[i]})/d({problem.names[j]}) at {problem.names[j]} = {x[j]:.6g} is "
            f"{given[i, j]:.6g}, but the residuals change by {found[i, j]:.6g}"
        )


def _complex_step(problem: LeastSquaresProblem, x: np.ndarray) -> np.ndarray | None:
    """Derivatives (n_res, n_par) by complex steps; None if the residuals do not accept complex numbers."""
    size = _COMPLEX_STEP * _scale(problem, x)
    moved = x + 1j * size[:, None] * np.eye(len(x))
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", np.exceptions.ComplexWarning)
            values = problem.residuals(moved)
    except Exception:  # a function of real numbers may fail in any way when it gets complex ones
        return None
    return (values.imag / size[:, None]).T if np.iscomplexobj(values) else None


def _differences(problem: LeastSquaresProblem, x: np.ndarray, residuals: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Extrapolated central differences (n_res, n_par) and their error, which is infinite where the two sides differ."""
    parts = split_rows(problem.n_par, 3 * problem.n_res, f"a derivative of {problem.n_res} residuals")
    found = [_difference(problem, x, residuals, part) for part in parts]
    return np.hstack([values for values, _ in found]), np.hstack([errors for _, errors in found])


def _difference(
    problem: LeastSquaresProblem, x: np.ndarray, residuals: np.ndarray, columns: slice
) -> tuple[np.ndarray, np.ndarray]:
    """Differences (n_res, n) along the parameters of a slice, and their errors."""
    steps = _STEP * _scale(problem, x)[columns] * np.array([1.0, 0.5, 0.25])[:, None]
    moves = steps[:, :, None] * np.eye(len(x))[columns]
    ahead, behind = problem.residuals(x + moves), problem.residuals(x - moves)
    central = (ahead - behind) / (2 * steps[..., None])
    better = (4 * central[1:] - central[:-1]) / 3
    rounding = 4e-16 * np.maximum(np.abs(residuals), np.abs(ahead).max(axis=0)) + problem.accuracy.noise
    rounding = rounding / steps[-1, :, None]
    error = np.abs(better[1] - better[0]) + rounding
    # at a kink the difference between the two sides does not shrink with the step
    apart = np.abs(ahead - 2 * residuals + behind) / steps[..., None]
    is_smooth = apart[-1] <= 0.7 * apart[0] + _SAFETY * rounding
    return better[1].T, np.where(is_smooth, error, np.inf).T
