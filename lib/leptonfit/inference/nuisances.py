"""Nuisance parameters at the best fit: pulls, impacts on the signal strength, and the limit without each."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from leptonfit.inference.binned import BinnedModel, scale_information
from leptonfit.inference.profile_likelihood import ProfileLikelihood, find_end
from leptonfit.inference.result import Booleans, Result

_RISE = 2.71
"""Rise of Q at the limits, 90 % for a Gaussian likelihood far from θ = 0."""
_EDGE = 1e-6
"""Expectation below which an empty bin counts as lying on the edge of the domain."""


@dataclass(frozen=True)
class NuisanceResult(Result):
    """Pulls and impacts of the nuisance parameters at the best fit, and the limits on θ without them.

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
    limit : float
        θ above which Q exceeds its lowest value at θ ≥ 0 by 2.71.
    limits_without : ndarray (n_nuisances,)
        The same limit with the nuisance held at its nominal value.
    """

    names: tuple[str, ...]
    pulls: np.ndarray
    errors: np.ndarray
    impacts: np.ndarray
    is_free: Booleans
    limit: float
    limits_without: np.ndarray


def rank_nuisances(model: BinnedModel, data: np.ndarray) -> NuisanceResult:
    """Pulls of the nuisances, their impacts on θ̂, and the limit without each, in the order of decreasing |impact|.

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
        names=tuple(model.nuisances[k] for k in order),
        pulls=fit.pulls[order],
        errors=errors[order],
        impacts=impacts[order],
        is_free=model.is_free[order],
        limit=_find_limit(model, data),
        limits_without=np.array([_find_limit(hold_nuisance(model, k), data) for k in order]),
    )


def hold_nuisance(model: BinnedModel, k: int) -> BinnedModel:
    """Model without the nuisance of index k, which keeps its nominal value."""
    lowest = model.lowest_pulls
    return replace(
        model,
        nuisances=(*model.nuisances[:k], *model.nuisances[k + 1 :]),
        shifts=np.delete(model.shifts, k, axis=0),
        signal_shifts=np.delete(model.signal_shifts, k, axis=0),
        is_free=np.delete(model.is_free, k),
        lowest_pulls=None if lowest is None else np.delete(lowest, k),
    )


def _find_limit(model: BinnedModel, data: np.ndarray) -> float:
    """θ above which Q exceeds its lowest value at θ ≥ 0 by 2.71."""
    used = np.ones((1, model.n_bins), dtype=bool)
    sigma = model.theta_sigma(used=used)
    seen = ProfileLikelihood(model, np.asarray(data, dtype=float)[None], used, sigma)
    end = find_end(lambda t, row, rise: rise - seen.at(t, row).q_tilde, 1, np.array([_RISE]))
    return float(end[0, 0] * sigma[0])
