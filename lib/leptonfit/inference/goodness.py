"""Goodness of fit for counts or rates: from the χ² distribution where it holds, else from toys."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import numpy as np
from scipy.stats import chi2

from leptonfit.inference.arguments import make_seed
from leptonfit.inference.binned import BinnedModel
from leptonfit.inference.chunks import split_toys
from leptonfit.inference.limit_coverage import draw_toys
from leptonfit.inference.parallel import map_ordered
from leptonfit.inference.result import Result

LEAST_EXPECTED = 5.0
"""Smallest expectation of a bin of counts at the best fit for which the χ² distribution is used."""
_TIE = 1e-7
_MOST_FAILED = 0.1
"""Largest fraction of toys whose fits may fail; they are left out.

A fit can fail where nuisances can cancel any signal, so that the profile has no minimum.
"""


@dataclass(frozen=True)
class GoodnessResult(Result):
    """Goodness of fit of a model.

    Attributes
    ----------
    statistic : float
        −2 ln L at the best fit relative to a model that predicts every bin exactly.
    dof : int
        Number of bins minus number of parameters without a pull term, including θ.
    p_value : float
        Probability of a statistic at least as large; nan if there are no degrees of freedom.
    is_by_toys : bool
        True if the p-value comes from toys because a bin of counts expects fewer than five; False for the χ²
        distribution.
    n_toys : int
        Number of toys behind the p-value; 0 for the χ² distribution.
    """

    statistic: float
    dof: int
    p_value: float
    is_by_toys: bool
    n_toys: int


def assess_goodness(
    model: BinnedModel, data: np.ndarray, *, n_toys: int, seed: int, used: np.ndarray | None = None
) -> GoodnessResult:
    """Goodness of fit of a model to data, with all parameters free.

    Toys and their auxiliary measurements are drawn at the best fit and fitted in the same way. Their p-value is
    (1 + toys with at least this statistic)/(1 + toys).

    Parameters
    ----------
    model : BinnedModel
    data : ndarray (n_bins,)
    n_toys, seed : int
        Number of toys where the χ² distribution does not hold, and their seed.
    used : ndarray (n_bins,) of bool, optional
        Bins to fit; all if not given.

    Raises
    ------
    ValueError
        If toys are needed and `n_toys` is below 1.
    RuntimeError
        If the fit, or more than a tenth of the fits of toys, does not converge.
    """
    used = np.ones(model.n_bins, dtype=bool) if used is None else used
    fit = model.fit(data, used=used)
    if not fit.converged:
        raise RuntimeError(f"the fit of the data {np.asarray(data).tolist()} did not converge: it has no goodness")
    statistic, dof = float(fit.value), int(np.count_nonzero(used) - np.count_nonzero(model.is_free) - 1)
    if dof < 1:
        return GoodnessResult(statistic, dof, float("nan"), False, 0)
    if is_lawful(model, float(fit.theta), fit.pulls, used):
        return GoodnessResult(statistic, dof, float(chi2.sf(statistic, dof)), False, 0)
    if n_toys < 1:
        raise ValueError(f"n_toys = {n_toys}: must be at least 1, as a bin expects fewer than {LEAST_EXPECTED:g}")
    chunks = split_toys(n_toys, model.n_bins + len(fit.pulls), make_seed(seed))
    found = map_ordered(partial(_fit_toys, model=model, theta=float(fit.theta), pulls=fit.pulls, used=used), chunks)
    values, lost = (np.concatenate(parts) for parts in zip(*found, strict=True))
    if len(lost) > _MOST_FAILED * n_toys:
        raise RuntimeError(f"{len(lost)} of {n_toys} toys did not converge; the first is {lost[0].tolist()}")
    further = np.count_nonzero(values >= statistic - _TIE * max(1.0, statistic))
    return GoodnessResult(statistic, dof, (1 + further) / (1 + len(values)), True, len(values))


def _fit_toys(
    chunk: tuple[int, np.random.SeedSequence], *, model: BinnedModel, theta: float, pulls: np.ndarray, used: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Statistic (n,) of the toys of one chunk, and the toys (m, n_bins) whose fits did not converge."""
    n_toys, seed = chunk
    toys, centres = draw_toys(model, theta, pulls, n_toys, np.random.default_rng(seed))
    found = model.fit(toys, centres=centres, used=used)
    return found.value[found.converged], toys[~found.converged]


def is_lawful(model: BinnedModel, theta: float, pulls: np.ndarray, used: np.ndarray | None = None) -> bool:
    """True if every bin of counts in use expects enough counts at these true values for the χ² distribution."""
    counted = model.is_counted if used is None else model.is_counted & used
    return bool((model.expected(theta, pulls)[counted] >= LEAST_EXPECTED).all())
