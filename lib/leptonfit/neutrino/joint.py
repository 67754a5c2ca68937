"""Joint fit of several data sets with one common θ, and a test of whether they agree on it.

A common θ is meaningful only within a flavour class. Across classes the effective moments are different quantities,
and a joint limit holds only if they happen to be equal.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import chi2

from leptonfit.inference.binned import BinnedModel, stack_models
from leptonfit.inference.goodness import is_lawful
from leptonfit.inference.limits import LimitsResult, find_limits
from leptonfit.inference.result import Result
from leptonfit.neutrino.likelihood import Likelihood


@dataclass(frozen=True)
class JointResult(Result):
    """Limits from a joint likelihood, and its parameter goodness of fit.

    Attributes
    ----------
    titles : tuple of str
    limits : LimitsResult
        Limits on the common θ, in (1e-11 μ_B)².
    chi2_pg : float
        min_θ Σ Q_r − Σ min_θ Q_r, θ free in both (M. Maltoni and T. Schwetz, Phys. Rev. D 68, 033020 (2003),
        arXiv:hep-ph/0304176).
    dof : int
        Number of data sets minus one.
    p_value : float
        From the χ² distribution; nan where a bin of counts expects fewer than five at the joint best fit.
    toy_p_value : float
        From toys at the joint best fit.
    n_toys : int
    """

    titles: tuple[str, ...]
    limits: LimitsResult
    chi2_pg: float
    dof: int
    p_value: float
    toy_p_value: float
    n_toys: int


def join(likelihoods: Sequence[Likelihood], *, confidence: Sequence[float], n_toys: int, seed: int) -> JointResult:
    """Fit several data sets with one common θ.

    Parameters
    ----------
    likelihoods : sequence of Likelihood
        At least two.
    confidence : sequence of float
    n_toys, seed : int

    Raises
    ------
    ValueError
        If there are fewer than two data sets, or no toys.
    RuntimeError
        If more than 1 % of the fits of the data sets do not converge.
    """
    if n_toys < 1:
        raise ValueError(f"n_toys = {n_toys}: must be at least 1")
    if len(likelihoods) < 2:
        raise ValueError(f"{len(likelihoods)} data sets: must be at least 2 for a joint fit")
    models = {one.experiment.slug: one.model for one in likelihoods}
    both = stack_models(models)
    data = np.concatenate([one.data for one in likelihoods])
    found = _compare(both, models, data, np.zeros(len(both.nuisances)))
    best = both.fit(data)
    rng = np.random.default_rng(seed)
    pulls = np.tile(best.pulls, (n_toys, 1))
    toys = both.draw(np.full(n_toys, float(best.theta)), pulls, rng)
    centres = pulls + rng.standard_normal(pulls.shape) * ~both.is_free
    dof = len(models) - 1
    return JointResult(
        titles=tuple(one.experiment.title for one in likelihoods),
        limits=find_limits(both, data, confidence=confidence),
        chi2_pg=float(found),
        dof=dof,
        p_value=float(chi2.sf(found, dof)) if is_lawful(both, float(best.theta), best.pulls) else float("nan"),
        toy_p_value=float((1 + np.sum(_compare(both, models, toys, centres) >= found)) / (1 + n_toys)),
        n_toys=n_toys,
    )


def _compare(both: BinnedModel, models: Mapping[str, BinnedModel], data: np.ndarray, centres: np.ndarray) -> np.ndarray:
    """Parameter goodness-of-fit statistic χ²_PG (...) of data (..., n_bins)."""
    joint = both.fit(data, centres=centres)
    fits, column, row = [], 0, 0
    for model in models.values():
        part = data[..., column : column + model.n_bins]
        fits.append(model.fit(part, centres=centres[..., row : row + len(model.nuisances)]))
        column, row = column + model.n_bins, row + len(model.nuisances)
    lost = sum(int(np.count_nonzero(~one.converged)) for one in (joint, *fits))
    if lost > 0.01 * joint.converged.size:
        raise RuntimeError(f"{lost} fits of {joint.converged.size} data sets did not converge")
    return np.maximum(joint.value - sum(one.value for one in fits), 0.0)


def join_classes(
    selections: Mapping[str, Sequence[Likelihood]], *, confidence: Sequence[float], n_toys: int, seed: int
) -> dict[str, JointResult]:
    """Joint fits of each flavour class with at least two data sets, by the key `selection: class`.

    For a selection with several classes, the class `all` joins all its data sets as if they had one common moment.
    """
    found = {}
    for selection, several in selections.items():
        groups: dict[str, list[Likelihood]] = {}
        for one in several:
            groups.setdefault(one.experiment.flavour_class, []).append(one)
        if len(groups) > 1:
            groups["all"] = list(several)
        for name, members in groups.items():
            if len(members) > 1:
                found[f"{selection}: {name}"] = join(members, confidence=confidence, n_toys=n_toys, seed=seed)
    return found
