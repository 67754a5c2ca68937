"""Goodness of a fit to counts or rates: by the χ² law where it holds, else by toys."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.stats import chi2

from leptonfit.inference.binned import BinnedModel
from leptonfit.inference.limit_coverage import draw_toys
from leptonfit.inference.result import Result

LEAST_EXPECTED = 5.0
"""Counts that every bin must expect at the best fit for the χ² law."""
_TIE = 1e-7
_MOST_FAILED = 0.1
"""Share of toys whose fits may fail; they are left out. A profile can fall for ever where nuisances undo any signal."""


@dataclass(frozen=True)
class GoodnessResult(Result):
    """How well a model fits.

    Attributes
    ----------
    statistic : float
        −2 ln L at the best fit over that of a model that meets every bin.
    dof : int
        Bins less parameters without a pull, θ among them.
    p_value : float
        Chance of a statistic at least as large; nan where there are no degrees of freedom.
    is_by_toys : bool
        Whether it is from toys, since a bin of counts expects fewer than five; else from the χ² law.
    n_toys : int
        Toys behind the p-value; 0 for the χ² law.
    """

    statistic: float
    dof: int
    p_value: float
    is_by_toys: bool
    n_toys: int


def assess_goodness(
    model: BinnedModel, data: np.ndarray, *, n_toys: int, seed: int, used: np.ndarray | None = None
) -> GoodnessResult:
    """Goodness of the free fit of a model to data.

    The toys and their auxiliary measurements are drawn at the best fit, and fitted in the same way. Their p-value is
    (1 + toys with at least this statistic)/(1 + toys).

    Parameters
    ----------
    model : BinnedModel
    data : ndarray (n_bins,)
    n_toys, seed : int
        Toys where the χ² law does not hold.
    used : ndarray (n_bins,) of bool, optional
        Bins that count; all where not given.

    Raises
    ------
    ValueError
        If toys are needed and there are none.
    RuntimeError
        If the fit, or more than a tenth of the toys' fits, do not converge.
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
    toys, centres = draw_toys(model, float(fit.theta), fit.pulls, n_toys, np.random.default_rng(seed))
    found = model.fit(toys, centres=centres, used=used)
    if np.mean(~found.converged) > _MOST_FAILED:
        raise RuntimeError(f"{np.count_nonzero(~found.converged)} of {n_toys} toys did not converge; the first is "
                           f"{toys[~found.converged][0].tolist()}")  # fmt: skip
    values = found.value[found.converged]
    further = np.count_nonzero(values >= statistic - _TIE * max(1.0, statistic))
    return GoodnessResult(statistic, dof, (1 + further) / (1 + len(values)), True, len(values))


def is_lawful(model: BinnedModel, theta: float, pulls: np.ndarray, used: np.ndarray | None = None) -> bool:
    """Whether every bin of counts in use expects enough of them at a truth for the χ² law."""
    counted = model.is_counted if used is None else model.is_counted & used
    return bool((model.expected(theta, pulls)[counted] >= LEAST_EXPECTED).all())
