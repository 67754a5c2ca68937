"""Upper limits on μ_ν from each data set by every construction, beside the published limit."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from leptonfit.inference.arguments import read_confidences, read_instance
from leptonfit.inference.constructions import CONSTRUCTIONS
from leptonfit.inference.goodness import GoodnessResult, assess_goodness
from leptonfit.inference.limit_coverage import LimitCoverageResult, cover_limits
from leptonfit.inference.limits import DELTA_CHI2, LimitsResult, find_limits
from leptonfit.inference.neyman import ToyLimitResult, run_feldman_cousins
from leptonfit.inference.nuisances import NuisanceResult, rank_nuisances
from leptonfit.inference.parallel import map_ordered
from leptonfit.inference.result import Result
from leptonfit.neutrino.experiments import (
    ATOMIC_RESPONSES,
    DEFAULT_CHOICES,
    SOLAR_FLUXES,
    Choices,
    load_experiment,
    read_slugs,
)
from leptonfit.neutrino.flux import SOLAR_MODELS, Flux
from leptonfit.neutrino.likelihood import Likelihood, load_likelihood, to_moment
from leptonfit.neutrino.sheets import FLAVOUR_CLASSES, load_published
from leptonfit.neutrino.spectra import MU_UNIT, load_sources

_GRID = np.linspace(-1.5, 4.0, 111)
"""Points at which Q(θ) is computed for figures, in standard deviations from the best fit."""

_SAME = 1e-6
"""Relative difference of limits below which a choice changes nothing."""


@dataclass(frozen=True)
class DataLimitsResult(Result):
    """Limits on the effective magnetic moment from one data set; θ = μ² in (1e-11 μ_B)².

    Attributes
    ----------
    slug, title, flavour_class, moment : str
        Names of the data set and of its effective moment; moments of different classes are different quantities.
    observed : bool
        Whether the counts were measured; if not, this workbook simulated them.
    limits : LimitsResult
        Limits by every construction, and whether each construction is valid for this data set.
    toys : ToyLimitResult
        Feldman–Cousins limits from toys.
    coverage : tuple of LimitCoverageResult
        Coverage at θ = 0, and at the CLs limit of the first confidence (the expected limit if that is 0 or infinite).
    goodness : GoodnessResult
        Goodness of the fit with free θ.
    nuisances : NuisanceResult
    theta : ndarray (n,)
    delta_chi2 : ndarray (n,)
        Q(θ) − Q(θ̂).
    published : float
        Published limit, 1e-11 μ_B; nan where there is none.
    published_confidence : float
    published_name, published_mark : str
        `published_mark` is "textbook" where the limit is quoted from memory.
    departure : str
        Why the limit departs from the published one; empty if nothing is known to make it.
    """

    slug: str
    title: str
    flavour_class: str
    moment: str
    observed: bool
    limits: LimitsResult
    toys: ToyLimitResult
    coverage: tuple[LimitCoverageResult, ...]
    goodness: GoodnessResult
    nuisances: NuisanceResult
    theta: np.ndarray
    delta_chi2: np.ndarray
    published: float
    published_confidence: float
    published_name: str
    published_mark: str
    departure: str

    @property
    def significance(self) -> float:
        """Distance of θ̂ from 0 in standard deviations: the signed root of Q(0) − Q(θ̂)."""
        rise = max(float(self.limits.chi2_zero - self.limits.chi2_min), 0.0)
        return math.copysign(math.sqrt(rise), float(self.limits.theta_hat))

    def moment_limit(self, method: str, level: int = 0) -> float:
        """Limit in μ_B by one construction, at the confidence with index `level`."""
        return float(to_moment(self.limits.observed[method][level]))

    def summarise(self) -> dict[str, Any]:
        """Limits in μ_B by construction and by confidence in percent, θ̂ in μ_B², and the kind of data.

        `coverage` is the coverage of each construction at the CLs limit of this data set. `is_valid` tells whether the
        approximation of each construction holds for this data set. `p_value` is that of the fit with free θ.
        """
        percents = [f"{100 * level:g}" for level in self.limits.confidence]
        return {
            **{
                method: dict(zip(percents, to_moment(ends).tolist(), strict=True))
                for method, ends in self.limits.observed.items()
            },
            "fc_toys": dict(zip(percents, to_moment(self.toys.limit).tolist(), strict=True)),
            "delta_chi2": dict(zip(map(str, DELTA_CHI2), to_moment(self.limits.delta_chi2).tolist(), strict=True)),
            "expected_cls": {
                percent: to_moment(band).tolist()
                for percent, band in zip(percents, self.limits.expected["cls"], strict=True)
            },
            "coverage": {
                method: dict(zip(percents, (found / self.coverage[-1].n_toys).tolist(), strict=True))
                for method, found in self.coverage[-1].n_covered.items()
            },
            "theta_hat": float(self.limits.theta_hat) * MU_UNIT**2,
            "theta_sigma": float(self.limits.sigma) * MU_UNIT**2,
            "is_valid": {method: bool(holds) for method, holds in self.limits.is_valid.items()},
            "p_value": self.goodness.p_value,
            "observed": self.observed,
            "flavour_class": self.flavour_class,
            "moment": self.moment,
        }


def analyse(
    slug: str,
    *,
    confidence: Sequence[float],
    n_toys: int,
    seed: int,
    choices: Choices = DEFAULT_CHOICES,
    data: Path | None = None,
) -> DataLimitsResult:
    """Limits, toys, coverage and nuisance parameters of one data set.

    Parameters
    ----------
    slug : str
        One of `ALL_SPECTRA`.
    choices : Choices
    confidence : sequence of float
    n_toys, seed : int
        Number of toys at each true θ, and their seed.

    Raises
    ------
    InputError
        If the data files are not valid.
    """
    likelihood = load_likelihood(slug, choices=choices, data=data)
    model, counts = likelihood.model, likelihood.data
    limits = find_limits(model, counts, confidence=confidence)
    at_limit = float(limits.observed["cls"][0])
    truths = (0.0, at_limit if 0 < at_limit < math.inf else float(limits.expected["cls"][0, 2]))
    theta = np.maximum(float(limits.theta_hat) + float(limits.sigma) * _GRID, model.lowest_theta)
    q = model.fit(counts, theta=theta).value
    published = _find_published(likelihood, data)
    return DataLimitsResult(
        slug=slug,
        title=likelihood.experiment.title,
        flavour_class=likelihood.experiment.flavour_class,
        moment=likelihood.experiment.moment,
        observed=likelihood.experiment.is_observed,
        limits=limits,
        toys=run_feldman_cousins(model, counts, confidence=confidence, n_toys=n_toys, seed=seed),
        coverage=tuple(
            cover_limits(model, counts, truth, confidence=confidence, n_toys=n_toys, seed=seed + 1) for truth in truths
        ),
        goodness=assess_goodness(model, counts, n_toys=n_toys, seed=seed + 2),
        nuisances=rank_nuisances(model, counts),
        theta=theta,
        delta_chi2=q - float(limits.chi2_min),
        published=published[0],
        published_confidence=published[1],
        published_name=likelihood.experiment.published,
        published_mark=published[2],
        departure=likelihood.experiment.departure,
    )


def _find_published(likelihood: Likelihood, data: Path | None) -> tuple[float, float, str]:
    if not likelihood.experiment.published:
        return math.nan, math.nan, ""
    row = load_published(data=data).set_index("name").loc[likelihood.experiment.published]
    return float(row["limit"]), float(row["confidence"]), str(row["mark"])


def analyse_all(
    slugs: Sequence[str],
    *,
    confidence: Sequence[float],
    n_toys: int,
    seed: int,
    choices: Choices = DEFAULT_CHOICES,
    jobs: int = 1,
) -> list[DataLimitsResult]:
    """Results of `analyse` for the data sets in `slugs`, in the order of the workbook.

    Each data set is a parallel task. The confidences are sorted in ascending order.
    """
    levels = tuple(sorted(read_confidences("confidence", confidence).tolist()))
    read_instance("choices", choices, Choices)
    task = partial(analyse, confidence=levels, n_toys=n_toys, seed=seed, choices=choices)
    return map_ordered(task, read_slugs(slugs), jobs=jobs)


@dataclass(frozen=True)
class ChangedLimit:
    """CLs limit of one data set, in 1e-11 μ_B, with one choice of its model changed.

    Attributes
    ----------
    title, change : str
    before, after : float
    """

    title: str
    change: str
    before: float
    after: float


def vary_choices(slugs: Sequence[str], choices: Choices, *, confidence: float, jobs: int = 1) -> list[ChangedLimit]:
    """Limits with each choice changed that concerns a data set: those whose limit it changes.

    A solar model is replaced by each other model, an atomic response by the other response, and each optional nuisance
    parameter is added if it is not in use, or left out if it is.
    """
    read_instance("choices", choices, Choices)
    task = partial(_vary, choices=choices, confidence=confidence)
    return [one for several in map_ordered(task, read_slugs(slugs), jobs=jobs) for one in several]


def _vary(slug: str, *, choices: Choices, confidence: float) -> list[ChangedLimit]:
    chosen = load_experiment(slug, choices=choices)
    changes = {
        f"solar model {model}": replace(choices, solar_model=model)
        for model in SOLAR_MODELS
        if model != choices.solar_model
    }
    changes |= {
        f"{fluxes} solar fluxes": replace(choices, solar_fluxes=fluxes)
        for fluxes in SOLAR_FLUXES
        if fluxes != choices.solar_fluxes
    }
    changes |= {
        f"{response} response of xenon": replace(choices, atomic_response=response)
        for response in ATOMIC_RESPONSES
        if response != choices.atomic_response
    }
    for name, entry in chosen.declared.items():
        if entry.get("optional"):
            others = tuple(one for one in choices.nuisances if one != name)
            is_used = name in choices.nuisances
            nuisances = others if is_used else (*others, name)
            changes[f"{'without' if is_used else 'with'} nuisance {name}"] = replace(choices, nuisances=nuisances)

    def limit(choices: Choices) -> float:
        likelihood = load_likelihood(slug, choices=choices)
        found = find_limits(likelihood.model, likelihood.data, confidence=[confidence])
        return math.sqrt(found.observed["cls"][0])

    before = limit(choices)
    found = [ChangedLimit(chosen.title, change, before, limit(other)) for change, other in changes.items()]
    return [one for one in found if not math.isclose(one.after, one.before, rel_tol=_SAME)]


@dataclass(frozen=True)
class PublishedComparison:
    """Limits of one data set, in 1e-11 μ_B, beside the published limit, at the confidence of the latter.

    Attributes
    ----------
    title : str
    limit : float
        By the construction chosen.
    published : float
    by, mark : str
        Name of the published limit, and its mark.
    ratio : float
        `limit` over `published`.
    lowest, highest : float
        Of all constructions over `published`, without limits of 0.
    reason : str
    """

    title: str
    limit: float
    published: float
    by: str
    mark: str
    ratio: float
    lowest: float
    highest: float
    reason: str


def compare_published(found: Sequence[DataLimitsResult], method: str) -> list[PublishedComparison]:
    """Compare limits with the published limits; a data set without one, at a confidence computed here, has nan there.

    Parameters
    ----------
    found : sequence of DataLimitsResult
    method : str
        Key of `CONSTRUCTIONS`.
    """
    return [_compare_published(one, method) for one in found]


def _compare_published(one: DataLimitsResult, method: str) -> PublishedComparison:
    levels = np.flatnonzero(np.isclose(one.limits.confidence, one.published_confidence))
    level, published = (int(levels[0]), one.published) if levels.size else (0, math.nan)
    limit = one.moment_limit(method, level) / MU_UNIT
    every = [one.moment_limit(key, level) / MU_UNIT for key in one.limits.observed]
    ratios = np.array([value for value in every if value > 0]) / published
    return PublishedComparison(
        one.title,
        limit,
        published,
        one.published_name,
        one.published_mark,
        limit / published,
        float(ratios.min(initial=np.inf)),
        float(ratios.max(initial=0.0)),
        one.departure,
    )


def describe_limits(found: Sequence[DataLimitsResult], method: str) -> tuple[str, str]:
    """Verdict code and sentence on the limits of the measured data sets, each for its flavour class.

    The code is `excess` if the Feldman–Cousins interval of a measured data set excludes θ = 0 at the highest
    confidence, `no_data` if no data set is measured, else `no_moment_seen`.
    """
    measured = [one for one in found if one.observed]
    simulated = [one.title for one in found if not one.observed]
    note = f" Simulated data sets, which are no evidence: {', '.join(simulated)}." if simulated else ""
    if not measured:
        return "no_data", f"None of these data sets is measured.{note}"
    level = 100 * measured[0].limits.confidence[0]
    parts = []
    for one in measured:
        others = [one.moment_limit(name) for name in one.limits.observed] + [float(to_moment(one.toys.limit[0]))]
        limit = one.moment_limit(method)
        stated = (
            f"{limit:.3g} μ_B"
            if 0 < limit < math.inf
            else "limit 0 (no positive moment allowed)"
            if limit == 0
            else "no limit"
        )
        parts.append(
            f"{one.title} ({FLAVOUR_CLASSES[one.flavour_class]}): {stated} by {CONSTRUCTIONS[method].title}"
            f"{'' if one.limits.is_valid[method] else ' (approximation not valid here)'}, "
            f"{np.nanmin(others):.3g} to {np.nanmax(others):.3g} over all constructions, best fit "
            f"{one.significance:+.1f} σ from zero"
        )
    excess = [one.title for one in measured if one.limits.low["fc"][-1] > 0]
    code = "excess" if excess else "no_moment_seen"
    highest = 100 * measured[0].limits.confidence[-1]
    seen = (
        f"{', '.join(excess)} would exclude a zero moment at {highest:g} %"
        if excess
        else f"none of the measured data sets excludes a zero moment at {highest:g} %"
    )
    each = f"Limits at {level:g} %, each on its own effective moment. {'; '.join(parts)}."
    return code, f"{each} {seen[0].upper()}{seen[1:]}.{_mark(measured)}{_warn(measured)}{note}"


def _mark(found: Sequence[DataLimitsResult]) -> str:
    """Sentence that lists constructions whose approximation does not hold for a measured data set; empty if none."""
    invalid: dict[str, list[str]] = {}
    for one in found:
        for method, holds in one.limits.is_valid.items():
            if not holds:
                invalid.setdefault(method, []).append(one.title)
    return _list(" Approximations that do not hold at these counts", invalid)


def _warn(found: Sequence[DataLimitsResult]) -> str:
    """Sentence that lists constructions whose coverage is too low at the limit of a data set; empty if none."""
    short: dict[str, list[str]] = {}
    for one in found:
        toys = one.coverage[-1]
        for method, n_covered in toys.n_covered.items():
            if toys.interval(method, 0)[1] < toys.confidence[0]:
                share = n_covered[0] / toys.n_toys
                short.setdefault(method, []).append(f"{one.title} ({100 * share:.0f} %)")
    return _list(" Constructions whose coverage in toys is below the stated confidence", short)


def _list(title: str, by_method: Mapping[str, Sequence[str]]) -> str:
    listed = "; ".join(f"{CONSTRUCTIONS[method].title} at {', '.join(sets)}" for method, sets in by_method.items())
    return f"{title}: {listed}." if listed else ""


def list_fluxes(*, data: Path | None = None) -> dict[str, list[Flux]]:
    """Fluxes by kind of source: at the GEMMA detector, at Earth, and at COHERENT over the whole run."""
    shown = {"reactor": "gemma", "sun": "xenonnt", "stopped pions": "coherent_csi"}
    return {title: load_sources(load_experiment(slug, data=data), data=data) for title, slug in shown.items()}
