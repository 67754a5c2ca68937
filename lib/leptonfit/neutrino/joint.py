"""Joint fit of several data sets with one common θ, and tests of whether they agree on it.

A common θ is meaningful only within a flavour class: the effective moments of different classes are different
quantities, which no joint fit has in common.

Limits share the nuisance parameters in `SHARED`. In the tests of agreement each data set keeps its own nuisance
parameters, because a shared pull would count as agreement or disagreement on θ.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import combinations

import numpy as np
from scipy.stats import chi2

from leptonfit.inference.arguments import make_seed, read_count
from leptonfit.inference.binned import BinnedModel, stack_models
from leptonfit.inference.chunks import split_toys
from leptonfit.inference.goodness import is_lawful
from leptonfit.inference.limit_coverage import draw_toys
from leptonfit.inference.limits import LimitsResult, find_limits
from leptonfit.inference.parallel import map_ordered
from leptonfit.inference.result import Result
from leptonfit.neutrino.experiments import check_independent
from leptonfit.neutrino.likelihood import Likelihood

SHARED = ("pp", "beryllium_7", "pion_yield")
"""Nuisance parameters that are one quantity for all data sets: fluxes of the sun, and neutrinos of stopped pions."""
DISAGREE = 0.01
"""p-value below which data sets disagree, of a whole class or of the worst of its pairs."""


@dataclass(frozen=True)
class AgreementResult(Result):
    """Parameter goodness of fit of the data sets of one class, together and in pairs.

    The statistic is χ²_PG = min_θ Σ Q_r − Σ min_θ Q_r, θ free in both (M. Maltoni and T. Schwetz, Phys. Rev. D 68,
    033020 (2003), arXiv:hep-ph/0304176), and its p-value that of the χ² distribution with one degree of freedom fewer
    than data sets.

    Attributes
    ----------
    titles : tuple of str (n_sets,)
    chi2_pg, p_value : float
        Of all data sets together.
    chi2_pairs, p_pairs : ndarray (n_sets, n_sets)
        Of each pair; 0 and 1 on the diagonal.
    chi2_without, p_without : ndarray (n_sets,)
        Of all data sets but one.
    """

    titles: tuple[str, ...]
    chi2_pg: float
    p_value: float
    chi2_pairs: np.ndarray
    p_pairs: np.ndarray
    chi2_without: np.ndarray
    p_without: np.ndarray

    @property
    def n_pairs(self) -> int:
        """Number of pairs."""
        return len(self.titles) * (len(self.titles) - 1) // 2

    @property
    def worst(self) -> tuple[int, int]:
        """Positions of the two data sets that disagree most; of these, the second is the one to leave out."""
        first, second = divmod(int(np.argmax(self.chi2_pairs)), len(self.titles))
        return (first, second) if self.chi2_without[first] >= self.chi2_without[second] else (second, first)

    @property
    def p_worst(self) -> float:
        """Probability that the worst of all pairs is at least this bad, if the pairs were independent."""
        return float(-np.expm1(self.n_pairs * np.log1p(-self.p_pairs[self.worst])))

    @property
    def agrees(self) -> bool:
        """Whether neither all data sets together nor their worst pair have a p-value below `DISAGREE`."""
        return min(self.p_value, self.p_worst) >= DISAGREE


def compare_sets(likelihoods: Sequence[Likelihood]) -> AgreementResult:
    """Test whether data sets agree on θ, together, in pairs, and with each of them left out.

    Parameters
    ----------
    likelihoods : sequence of Likelihood
        At least two, which share no events.

    Raises
    ------
    InputError
        If data sets share events.
    ValueError
        If there are fewer than two data sets.
    """
    _check(likelihoods)
    n = len(likelihoods)

    def measure(chosen: Sequence[int]) -> float:
        some = [likelihoods[i] for i in chosen]
        if len(some) < 2:
            return 0.0
        both = _stack(some)
        data = np.concatenate([one.data for one in some])
        return float(_compare(both, [one.model for one in some], data, np.zeros(len(both.nuisances))))

    pairs = np.zeros((n, n))
    for i, j in combinations(range(n), 2):
        pairs[i, j] = pairs[j, i] = measure((i, j))
    without = np.array([measure([j for j in range(n) if j != i]) for i in range(n)])
    whole = measure(range(n))
    return AgreementResult(
        titles=tuple(one.experiment.title for one in likelihoods),
        chi2_pg=whole,
        p_value=float(chi2.sf(whole, n - 1)),
        chi2_pairs=pairs,
        p_pairs=chi2.sf(pairs, 1),
        chi2_without=without,
        p_without=chi2.sf(without, n - 2) if n > 2 else np.ones(n),
    )


def _check(likelihoods: Sequence[Likelihood]) -> None:
    if len(likelihoods) < 2:
        raise ValueError(f"{len(likelihoods)} data sets: must be at least 2 for a joint fit")
    check_independent([one.experiment.slug for one in likelihoods])


def _stack(likelihoods: Sequence[Likelihood], common: Sequence[str] = ()) -> BinnedModel:
    return stack_models({one.experiment.slug: one.model for one in likelihoods}, common=common)


def group_by_class(likelihoods: Sequence[Likelihood]) -> dict[str, list[Likelihood]]:
    """Data sets of each flavour class with at least two."""
    groups: dict[str, list[Likelihood]] = {}
    for one in likelihoods:
        groups.setdefault(one.experiment.flavour_class, []).append(one)
    return {name: several for name, several in groups.items() if len(several) > 1}


@dataclass(frozen=True)
class JointResult(Result):
    """Limits from a joint likelihood, and its parameter goodness of fit.

    Attributes
    ----------
    titles : tuple of str
    limits : LimitsResult
        Limits on the common θ, in (1e-11 μ_B)².
    chi2_pg : float
        Parameter goodness of fit, as in `AgreementResult`.
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
        At least two, which share no events.
    confidence : sequence of float
    n_toys, seed : int

    Raises
    ------
    InputError
        If data sets share events.
    ValueError
        If there are fewer than two data sets, or no toys.
    RuntimeError
        If more than 1 % of the fits of the data sets do not converge.
    """
    n_toys, seeds = read_count("n_toys", n_toys), make_seed(seed)
    _check(likelihoods)
    models = [one.model for one in likelihoods]
    both = _stack(likelihoods)
    data = np.concatenate([one.data for one in likelihoods])
    found = _compare(both, models, data, np.zeros(len(both.nuisances)))
    best = both.fit(data)
    compare = partial(_compare_toys, both=both, models=models, theta=float(best.theta), pulls=best.pulls)
    chunks = split_toys(n_toys, both.n_bins + len(both.nuisances), seeds)
    toys = np.concatenate(map_ordered(compare, chunks))
    dof = len(models) - 1
    return JointResult(
        titles=tuple(one.experiment.title for one in likelihoods),
        limits=find_limits(_stack(likelihoods, SHARED), data, confidence=confidence),
        chi2_pg=float(found),
        dof=dof,
        p_value=float(chi2.sf(found, dof)) if is_lawful(both, float(best.theta), best.pulls) else float("nan"),
        toy_p_value=float((1 + np.sum(toys >= found)) / (1 + n_toys)),
        n_toys=n_toys,
    )


def _compare_toys(
    chunk: tuple[int, np.random.SeedSequence],
    *,
    both: BinnedModel,
    models: Sequence[BinnedModel],
    theta: float,
    pulls: np.ndarray,
) -> np.ndarray:
    """χ²_PG (n_toys,) of a chunk of toys."""
    n_toys, seed = chunk
    toys, centres = draw_toys(both, theta, pulls, n_toys, np.random.default_rng(seed))
    return _compare(both, models, toys, centres)


def _compare(both: BinnedModel, models: Sequence[BinnedModel], data: np.ndarray, centres: np.ndarray) -> np.ndarray:
    """Parameter goodness-of-fit statistic χ²_PG (...) of data (..., n_bins)."""
    joint = both.fit(data, centres=centres)
    fits, column, row = [], 0, 0
    for model in models:
        part = data[..., column : column + model.n_bins]
        fits.append(model.fit(part, centres=centres[..., row : row + len(model.nuisances)]))
        column, row = column + model.n_bins, row + len(model.nuisances)
    lost = sum(int(np.count_nonzero(~one.converged)) for one in (joint, *fits))
    if lost > 0.01 * joint.converged.size:
        raise RuntimeError(f"{lost} fits of {joint.converged.size} data sets did not converge")
    return np.maximum(joint.value - sum(one.value for one in fits), 0.0)


def join_classes(
    likelihoods: Sequence[Likelihood], *, confidence: Sequence[float], n_toys: int, seed: int
) -> dict[str, JointResult]:
    """Joint fits of each flavour class with at least two data sets.

    Where the data sets of a class disagree (see `AgreementResult`), a further fit without the data set to leave out has
    the key `class without title`.
    """
    found = {}
    for name, members in group_by_class(likelihoods).items():
        found[name] = join(members, confidence=confidence, n_toys=n_toys, seed=seed)
        agreement = compare_sets(members)
        rest = [one for i, one in enumerate(members) if i != agreement.worst[1]]
        if not agreement.agrees and len(rest) > 1:
            key = f"{name} without {agreement.titles[agreement.worst[1]]}"
            found[key] = join(rest, confidence=confidence, n_toys=n_toys, seed=seed)
    return found


def choose_joint(joined: Mapping[str, JointResult]) -> tuple[JointResult, JointResult] | tuple[None, None]:
    """Joint fits of the class with most data sets: of all of them, and of those that agree; None without a joint fit.

    Both are the same fit where all data sets of the class agree.
    """
    if not joined:
        return None, None
    name = max(joined, key=lambda key: len(joined[key].titles))
    return joined[name], next((one for key, one in joined.items() if key.startswith(f"{name} without ")), joined[name])
