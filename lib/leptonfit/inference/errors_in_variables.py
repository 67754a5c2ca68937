"""Fit a curve to points with errors in both variables by orthogonal distance regression (odrpack)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from odrpack import odr_fit

from leptonfit.inference.differences import differentiate
from leptonfit.inference.directions import invert_information
from leptonfit.inference.result import Result

_STEP_TRIALS = 60


@dataclass(frozen=True)
class OrthogonalFitResult(Result):
    """Result of a fit with errors in both variables.

    Attributes
    ----------
    values, errors : ndarray (n_par,)
        Parameters, and their standard deviations from the given errors alone, independent of χ²; inf for a parameter
        that the points do not determine.
    chi2 : float
        Sum of squared distances in units of the errors.
    n_points : int
    covariance : ndarray (n_par, n_par)
        Covariance of the parameters; nan in rows and columns of undetermined parameters.
    """

    values: np.ndarray
    errors: np.ndarray
    chi2: float
    n_points: int
    covariance: np.ndarray


def fit_orthogonal(
    model: Callable[[np.ndarray, np.ndarray], np.ndarray],
    x: np.ndarray,
    y: np.ndarray,
    x_error: np.ndarray,
    y_error: np.ndarray,
    start: np.ndarray,
) -> OrthogonalFitResult:
    """Minimise Σ [(x_i − ξ_i)²/σ_x² + (y_i − f(ξ_i; β))²/σ_y²] over β and the true positions ξ.

    P. T. Boggs and J. E. Rogers, Contemp. Math. 112, 186 (1990). Where σ_x is 0, x is exact: ξ_i = x_i. The
    covariance is (Σ J_i J_iᵀ / (σ_y² + f'² σ_x²))⁻¹ with J = ∂f/∂β and f' = ∂f/∂x at the adjusted points ξ. For a line
    it agrees with D. York et al., Am. J. Phys. 72, 367 (2004). The result does not depend on the units of x and y.

    Parameters
    ----------
    model : callable
        Function (x (n,), β (n_par,)) → (n,).
    x, y : ndarray (n,)
    x_error, y_error : ndarray (n,)
        Standard deviations σ_x ≥ 0 and σ_y > 0.
    start : ndarray (n_par,)
        Initial values of β; 0 is allowed.

    Raises
    ------
    ValueError
        If a number is not finite, an error is outside its range, the arrays differ in length, or there are fewer
        points than parameters.
    RuntimeError
        If the fit does not converge.

    Examples
    --------
    >>> fit = fit_orthogonal(lambda x, b: b[0] + b[1] * x, [0, 1, 2], [1, 3, 5], [0, 0, 0], [0.1] * 3, [0, 1])
    >>> print(fit.values.round(6), fit.errors.round(6))
    [1. 2.] [0.091287 0.070711]
    """
    x, y, x_error, y_error, start = (np.asarray(given, dtype=float) for given in (x, y, x_error, y_error, start))
    _check(x, y, x_error, y_error, start)
    is_exact = x_error == 0
    # If all x are exact, their unit is arbitrary; otherwise distances are measured in units of the errors.
    unit = np.where(is_exact, np.max(x_error) or np.ptp(x) or 1.0, x_error)
    scale = _natural_steps(lambda beta: (model(x, beta) - y) / y_error, start)

    def slopes(xi: np.ndarray, beta: np.ndarray) -> np.ndarray:
        """Derivatives ∂f/∂β (n, n_par) at ξ."""
        columns = []
        for j, step in enumerate(scale):

            def along(value: np.ndarray, j: int = j) -> np.ndarray:
                moved = beta.copy()
                moved[j] = value
                return model(xi, moved)

            columns.append(differentiate(along, beta[j], step))
        return np.stack(np.broadcast_arrays(*columns), axis=-1) * np.ones((len(x), 1))

    def slope(xi: np.ndarray, beta: np.ndarray) -> np.ndarray:
        """Derivative ∂f/∂x (n,) at ξ."""
        return differentiate(lambda at: model(at, beta), xi, unit)

    fit = odr_fit(
        model,
        x,
        y,
        start,
        weight_x=1 / unit**2,
        weight_y=1 / y_error**2,
        fix_x=is_exact,
        jac_beta=lambda xi, beta: slopes(xi, beta).T,
        jac_x=slope,
        scale_beta=1 / scale,
        scale_delta=1 / unit,
        sstol=1e-15,
        partol=1e-12,
        maxit=1000,
    )
    # The other digits report doubts about the derivatives (compared with differences in the first step) or the rank.
    if fit.info >= 10_000 or fit.info % 10 not in (1, 2, 3):
        raise RuntimeError(f"the orthogonal fit did not converge: {fit.stopreason}")
    adjusted = x + np.where(is_exact, 0.0, fit.delta)
    effective = np.hypot(y_error, np.where(is_exact, 0.0, slope(adjusted, fit.beta) * x_error))
    covariance = invert_information(slopes(adjusted, fit.beta) / effective[:, None])
    return OrthogonalFitResult(fit.beta, np.sqrt(np.diag(covariance)), float(fit.sum_square), len(x), covariance)


def _check(x: np.ndarray, y: np.ndarray, x_error: np.ndarray, y_error: np.ndarray, start: np.ndarray) -> None:
    given = {
        "x": (x, -np.inf, "finite"),
        "y": (y, -np.inf, "finite"),
        "start": (start, -np.inf, "finite"),
        "x_error": (x_error, 0.0, "finite and at least 0 (0: x is exact)"),
        "y_error": (y_error, np.nextafter(0, 1), "finite and above 0 (for exact y, fit x as a function of y)"),
    }
    for name, (array, low, allowed) in given.items():
        if array.ndim != 1 or (name != "start" and len(array) != len(x)):
            raise ValueError(f"{name} of shape {array.shape}: must be one number for each of {len(x)} points")
        wrong = ~((array >= low) & (np.abs(array) < np.inf))
        if wrong.any():
            raise ValueError(f"{name}[{wrong.argmax()}] = {array[wrong.argmax()]:g}: must be {allowed}")
    if len(x) < len(start):
        raise ValueError(f"{len(x)} points for {len(start)} parameters: must be at least as many")


def _natural_steps(residuals: Callable[[np.ndarray], np.ndarray], start: np.ndarray) -> np.ndarray:
    """Step (n_par,) of each parameter that changes the residual vector by a length of about 1; |start| or 1 if none."""
    begin, steps = residuals(start), np.where(start == 0, 1.0, np.abs(start))
    for j, first in enumerate(steps):
        step = first
        for _ in range(_STEP_TRIALS):
            moved = start.copy()
            moved[j] += step
            with np.errstate(all="ignore"):
                change = float(np.linalg.norm(residuals(moved) - begin))
            if 0.1 < change < 10:
                steps[j] = step
                break
            step *= np.clip(1 / change, 1e-6, 1e6) if change > 0 else 1e-3 if np.isnan(change) else 1e3
    return steps
