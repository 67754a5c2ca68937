"""Nuisance parameters at the best fit: their pulls, and their impacts on the signal strength."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from leptonfit.inference.binned import BinnedModel, scale_information
from leptonfit.inference.result import Booleans, Result

_EDGE = 1e-6
"""Expectation below which an empty bin counts as lying on the edge of the domain."""


@dataclass(frozen=True)
class NuisanceResult(Result):
    """Pulls and impacts of the nuisance parameters at the best fit.

    Attributes
    ----------
    names : tuple of str
    pulls, errors : ndarray (n_nuisances,)
        Fitted value and its standard deviation, in units of the standard deviation before the fit (for a free nuisance,
        of its step). The error is inf if the data do not determine the nuisance. An empty bin with expectation 0 counts
        as no information.
    impacts : ndarray (n_nuisances,)
        Change of θ̂ if the nuisance is one fitted standard deviation higher: cov(θ, a)/σ(a), from the Fisher information
        at the best fit.
    is_free : ndarray (n_nuisances,) of bool
    """

    names: tuple[str, ...]
    pulls: np.ndarray
    errors: np.ndarray
    impacts: np.ndarray
    is_free: Booleans


def rank_nuisances(model: BinnedModel, data: np.ndarray) -> NuisanceResult:
    """Pulls of the nuisances and their impacts on θ̂, in the order of decreasing |impact|.

    Parameters
    ----------
    model : BinnedModel
    data : ndarray (n_bins,)

    Raises
    ------
    RuntimeError
        If the fit does not converge.
    """
    fit = model.fit(data)
    if not fit.converged:
        raise RuntimeError(f"the fit of the data {np.asarray(data).tolist()} did not converge: there are no pulls")
    theta = float(fit.theta)
    empty = model.is_counted & (np.asarray(data) == 0) & (model.expected(theta, fit.pulls) < _EDGE)
    scaled, lengths = scale_information(model.fisher(theta, fit.pulls, used=~empty))
    safe = np.where(lengths > 0, lengths, np.inf)
    covariance = np.linalg.pinv(scaled, hermitian=True) / np.outer(safe, safe)
    errors = np.sqrt(np.diag(covariance)[1:])
    known = errors > 0
    impacts = np.divide(covariance[0, 1:], errors, out=np.zeros(len(errors)), where=known)
    errors = np.where(known, errors, np.inf)
    order = np.argsort(-np.abs(impacts), kind="stable")
    return NuisanceResult(
        tuple(model.nuisances[k] for k in order), fit.pulls[order], errors[order], impacts[order], model.is_free[order]
    )
