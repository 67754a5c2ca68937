"""Fit a Gaussian process to a curve: slope at the first point, position of the largest curvature, length scale.

C. E. Rasmussen and C. K. I. Williams, Gaussian Processes for Machine Learning, MIT Press 2006, sections 2.2 and 9.4
(the derivative of a Gaussian process is a Gaussian process).
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.optimize import minimize
from sklearn.exceptions import ConvergenceWarning
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import RBF, ConstantKernel

from leptonfit.inference.result import Result

_FINE, _MARGIN = 401, 0.05
_SHORTEST = 0.02
"""Smallest length scale of the kernel, as a fraction of the range of x."""
_JITTER = 1e-6


@dataclass(frozen=True)
class CurveResult(Result):
    """Properties of the curve y(x) from a Gaussian process with a squared-exponential kernel.

    Attributes
    ----------
    slope, slope_error : float
        dy/dx at the first point, from points inside the range, and the standard deviation of the process there.
    bend : float
        Position x of the largest |d²y/dx²|.
    bend_on_edge : bool
        True if `bend` is within 5 % of an end of the range; the curve then shows no bend inside it.
    length_scale : float
        Length scale of the kernel, in units of x.
    is_resolved : bool
        True if the length scale is above its lower bound; if not, the points are too sparse for so rough a curve.
    x, y : ndarray (401,)
        Mean of the process.
        The mean.
    """

    slope: float
    slope_error: float
    bend: float
    bend_on_edge: bool
    length_scale: float
    is_resolved: bool
    x: np.ndarray
    y: np.ndarray


def _minimise(
    objective: Callable[[np.ndarray], tuple[float, np.ndarray]], start: np.ndarray, bounds: np.ndarray
) -> tuple[np.ndarray, float]:
    """Minimise with L-BFGS-B and ignore its convergence flag: the best of the restarts is used."""
    found = minimize(objective, start, jac=True, bounds=bounds, method="L-BFGS-B")
    return found.x, found.fun


def fit_curve(x: np.ndarray, y: np.ndarray, *, seed: int) -> CurveResult:
    """Fit a Gaussian process to the points of a smooth curve without noise.

    Parameters
    ----------
    x, y : ndarray (n,)
        x ascending.
    seed : int
        Seed of the restarts in the kernel's parameters.

    Raises
    ------
    ValueError
        If there are fewer than four points, or x does not ascend.
    """
    x, y = np.asarray(x, dtype=float), np.asarray(y, dtype=float)
    if len(x) < 4 or not (np.diff(x) > 0).all():
        raise ValueError(f"{len(x)} points: must be at least four, in ascending order")
    origin, reach, middle, height = x[0], x[-1] - x[0], y.mean(), y.std() or 1.0
    u = (x - origin) / reach
    kernel = ConstantKernel(1.0, (1e-2, 1e4)) * RBF(0.5, (_SHORTEST, 20.0))
    process = GaussianProcessRegressor(
        kernel, alpha=_JITTER, optimizer=_minimise, n_restarts_optimizer=3, random_state=seed
    )
    with warnings.catch_warnings():  # the result reports a kernel parameter on its bound, so no warning is needed
        warnings.simplefilter("ignore", ConvergenceWarning)
        process.fit(u[:, None], (y - middle) / height)
    amplitude, length = process.kernel_.k1.constant_value, process.kernel_.k2.length_scale
    fine = np.linspace(0, 1, _FINE)
    away = fine[:, None] - u
    covariance = amplitude * np.exp(-0.5 * (away / length) ** 2)
    first = -away / length**2 * covariance
    second = (away**2 / length**4 - 1 / length**2) * covariance
    bend = int(np.argmax(np.abs(second @ process.alpha_)))
    solved = np.linalg.solve(process.L_, first[0])
    spread = np.sqrt(max(amplitude / length**2 - float(solved @ solved), 0.0))
    return CurveResult(
        slope=float(first[0] @ process.alpha_) * height / reach,
        slope_error=spread * height / reach,
        bend=float(origin + fine[bend] * reach),
        bend_on_edge=not _MARGIN < fine[bend] < 1 - _MARGIN,
        length_scale=float(length * reach),
        is_resolved=bool(length > _SHORTEST * 1.01),
        x=origin + fine * reach,
        y=middle + height * (covariance @ process.alpha_),
    )
