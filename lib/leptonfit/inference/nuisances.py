"""Nuisance parameters at the best fit: their pulls, and what each does to the signal strength."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from leptonfit.inference.binned import BinnedModel, scale_information
from leptonfit.inference.result import Booleans, Result


@dataclass(frozen=True)
class NuisanceResult(Result):
    """Nuisances at the best fit.

    Attributes
    ----------
    names : tuple of str
    pulls, errors : ndarray (n_nuisances,)
        Fitted value and its standard deviation, in units of the one it had before; of a free one, of its step.
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
    """Pulls of the nuisances and what each does to θ̂, those that do most first.

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
        raise RuntimeError("the fit did not converge: there are no pulls")
    scaled, lengths = scale_information(model.fisher(float(fit.theta), fit.pulls))
    covariance = np.linalg.pinv(scaled, hermitian=True) / np.outer(lengths, lengths)
    errors = np.sqrt(np.diag(covariance)[1:])
    impacts = covariance[0, 1:] / errors
    order = np.argsort(-np.abs(impacts), kind="stable")
    return NuisanceResult(
        tuple(model.nuisances[k] for k in order), fit.pulls[order], errors[order], impacts[order], model.is_free[order]
    )
