"""Data of a fit: checked, without missing values, and how predictions become residuals."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.polynomial.polynomial import polyval

POISSON = "poisson"
"""Value of `sigma` for counts."""

_NEAR_ONE = 0.1
_SERIES = 2 / np.arange(2, 16)
_OFFSET = 1e-4


@dataclass(frozen=True)
class Data:
    """Data of a fit.

    Attributes
    ----------
    x : ndarray (..., n_data) or tuple of ndarray (n_data,)
        First argument of the model.
    y : ndarray (n_data,)
    sigma : ndarray (n_data,) or (n_data, n_data) or None
        Standard errors or covariance of y; None for counts.
    n_dropped : int
        Rows left out because a value was missing.
    x_name, y_name : str
        Names of x and y in pictures and sentences.
    """

    x: Any
    y: np.ndarray
    sigma: np.ndarray | None
    n_dropped: int = 0
    x_name: str = "x"
    y_name: str = "y"

    @property
    def errors(self) -> np.ndarray:
        """Standard errors (n_data,) for pictures; √y, at least 1, for counts."""
        if self.sigma is None:
            return np.sqrt(np.maximum(self.y, 1.0))
        return np.sqrt(np.diag(self.sigma)) if self.sigma.ndim == 2 else self.sigma


def read_data(x: Any, y: Any, sigma: Any) -> Data:
    """Data without the rows where a value is missing; raises as `problem_from_model`."""
    counts = isinstance(sigma, str)
    if counts and sigma != POISSON:
        raise ValueError(f"sigma = {sigma!r}: must be numbers, {POISSON!r} or None")
    y = _numbers("y", y)
    if y.ndim != 1 or not len(y):
        raise ValueError(f"y of shape {y.shape}: must have one axis and at least one value")
    n = len(y)
    columns = tuple(_numbers("x", one) for one in x) if isinstance(x, tuple) else _numbers("x", x)
    for one in columns if isinstance(columns, tuple) else (columns,):
        if one.shape[-1:] != (n,):
            raise ValueError(f"x of shape {one.shape}: its last axis must have {n} values, as y has")
    sizes = None if counts else _numbers("sigma", 1.0 if sigma is None else sigma)
    if sizes is not None and sizes.shape not in ((), (n,), (n, n)):
        raise ValueError(f"sigma of shape {sizes.shape}: must be a number, {n} numbers or a covariance ({n}, {n})")
    missing = np.isnan(y)
    for one in columns if isinstance(columns, tuple) else (columns,):
        missing = missing | np.isnan(one).reshape(-1, n).any(axis=0)
    if sizes is not None:
        if sizes.ndim == 0:
            sizes = np.full(n, sizes)
            _check_sigma(sizes)
        missing = missing | (np.isnan(np.diag(sizes)) if sizes.ndim == 2 else np.isnan(sizes))
    kept = ~missing
    if not kept.any():
        raise ValueError(f"data: all {n} rows have a missing value")
    y = y[kept]
    columns = tuple(one[..., kept] for one in columns) if isinstance(columns, tuple) else columns[..., kept]
    if sizes is not None:
        sizes = sizes[np.ix_(kept, kept)] if sizes.ndim == 2 else sizes[kept]
        _check_sigma(sizes)
    elif (y < 0).any() or not np.isfinite(y).all():
        raise ValueError(f"y = {y[(y < 0) | ~np.isfinite(y)][0]:g}: counts must be finite and 0 or more")
    if not np.isfinite(y).all():
        raise ValueError(f"y = {y[~np.isfinite(y)][0]:g}: must be finite")
    return Data(columns, y, sizes, int(missing.sum()))


def _numbers(name: str, given: Any) -> np.ndarray:
    """Real numbers as an array of floats, nan where an array is masked."""
    try:
        found = np.ma.asanyarray(given) if np.ma.isMaskedArray(given) else np.asarray(given)
        if found.dtype.kind not in "biufO":
            raise TypeError
        return np.asarray(np.ma.filled(found.astype(float), np.nan))
    except (TypeError, ValueError):
        raise ValueError(f"{name} = {str(given)[:60]}: must be real numbers") from None


def _check_sigma(sizes: np.ndarray) -> None:
    if sizes.ndim == 1:
        wrong = sizes[~((sizes > 0) & np.isfinite(sizes))]
        if len(wrong):
            raise ValueError(f"sigma = {wrong[0]:g}: must be positive and finite")
        return
    if not np.isfinite(sizes).all() or not np.allclose(sizes, sizes.T, rtol=1e-10, atol=0.0):
        raise ValueError("sigma: a covariance must be finite and symmetric")
    smallest = float(np.linalg.eigvalsh(sizes)[0])
    if not smallest > 0:
        raise ValueError(f"sigma: a covariance must be positive definite; its smallest eigenvalue is {smallest:g}")


Residuals = Callable[[np.ndarray], np.ndarray]
Slopes = Callable[[np.ndarray], np.ndarray]
ByPrediction = Callable[[np.ndarray, np.ndarray], np.ndarray]


def compare_gaussian(data: Data) -> tuple[Residuals, Slopes]:
    """Residuals L⁻¹(f − y) with LLᵀ the covariance, and their derivatives from those of f."""
    y, sigma = data.y, data.sigma
    assert sigma is not None
    if sigma.ndim == 1:
        return lambda f: (f - y) / sigma, lambda slope: slope / sigma[:, None]
    whiten = np.linalg.inv(np.linalg.cholesky(sigma))
    return lambda f: np.matvec(whiten, f - y), lambda slope: whiten @ slope


def compare_counts(counts: np.ndarray) -> tuple[Residuals, ByPrediction]:
    """Deviance residuals of counts n with expectation μ: their squares sum to −2 ln L(μ) + 2 ln L(n), exactly.

    r = sign(μ − n) √(2 (μ − n + n ln(n/μ))) (P. McCullagh and J. A. Nelder, Generalized Linear Models, 2nd ed.,
    sect. 2.4.3). With u = μ/n − 1 it is u √n √g(u), g = 2 (u − ln(1 + u))/u², and ∂r/∂μ = 1/(√n (1 + u) √g): nothing
    cancels at μ = n. For n = 0, r = √(2 μ + δ): a constant δ = 1e-4 keeps the derivative finite at μ = 0.
    """
    is_zero = counts == 0
    n = np.where(is_zero, 1.0, counts)

    def shape(expected: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return u and √g(u)."""
        u = expected / n - 1
        near = np.abs(u) < _NEAR_ONE
        small = np.where(near, u, 0.0)
        series = polyval(-small, _SERIES)
        far = np.where(near, 1.0, u)
        return u, np.sqrt(np.where(near, series, 2 * (far - np.log1p(far)) / far**2))

    def residuals(expected: np.ndarray) -> np.ndarray:
        with np.errstate(invalid="ignore", divide="ignore"):
            u, root = shape(expected)
            found = np.where(is_zero, np.sqrt(2 * expected + _OFFSET), u * np.sqrt(n) * root)
        return np.where(expected < 0, np.nan, found)

    def by_prediction(expected: np.ndarray, slope: np.ndarray) -> np.ndarray:
        with np.errstate(invalid="ignore", divide="ignore"):
            u, root = shape(expected)
            factor = np.where(is_zero, 1 / np.sqrt(2 * expected + _OFFSET), 1 / (np.sqrt(n) * (1 + u) * root))
        return np.asarray(factor[..., None] * slope)

    return residuals, by_prediction
