"""Curves through points with errors in both variables, by orthogonal distance regression (odrpack)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from odrpack import odr_fit

from leptonfit.inference.result import Result


@dataclass(frozen=True)
class OrthogonalFitResult(Result):
    """A fit with errors in both variables.

    Attributes
    ----------
    values, errors : ndarray (n_par,)
        Parameters, and their standard deviations from the given errors alone.
    chi2 : float
        Sum of squared distances in units of the errors.
    n_points : int
    """

    values: np.ndarray
    errors: np.ndarray
    chi2: float
    n_points: int


def fit_orthogonal(
    model: Callable[[np.ndarray, np.ndarray], np.ndarray],
    x: np.ndarray,
    y: np.ndarray,
    x_error: np.ndarray,
    y_error: np.ndarray,
    start: np.ndarray,
) -> OrthogonalFitResult:
    """Minimise Σ [(x_i − ξ_i)²/σ_x² + (y_i − f(ξ_i; β))²/σ_y²] over β and the true ξ.

    P. T. Boggs and J. E. Rogers, Contemp. Math. 112, 186 (1990).

    Parameters
    ----------
    model : callable
        (x (n,), β (n_par,)) → (n,).
    x, y, x_error, y_error : ndarray (n,)
        Errors above 0.
    start : ndarray (n_par,)

    Raises
    ------
    RuntimeError
        If the fit does not converge.
    """
    fit = odr_fit(
        model, np.asarray(x, dtype=float), np.asarray(y, dtype=float), np.asarray(start, dtype=float),
        weight_x=1 / np.asarray(x_error) ** 2, weight_y=1 / np.asarray(y_error) ** 2,
        sstol=1e-15, partol=1e-12, maxit=1000,
    )  # fmt: skip
    if not fit.success:
        raise RuntimeError(f"the orthogonal fit did not converge: {fit.stopreason}")
    dof = len(x) - len(fit.beta)
    return OrthogonalFitResult(fit.beta, fit.sd_beta / np.sqrt(fit.sum_square / dof), float(fit.sum_square), len(x))
