"""Limits against the detection threshold, and the significance of their differences between experiments.

Limits of one experiment at several thresholds share events and are correlated: corr(i, j) = σ_small/σ_large for the
errors of θ̂. The covariance of a curve is therefore taken from toys. Every spread between experiments is quoted beside
the spread of the expected (Asimov) limits alone.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import combinations
from typing import Any

import numpy as np

from leptonfit.inference.arguments import read_choice, read_confidences, read_count, read_instance
from leptonfit.inference.chunks import split_rows
from leptonfit.inference.constructions import CONSTRUCTIONS
from leptonfit.inference.gaussian_process import CurveResult, fit_curve
from leptonfit.inference.limits import find_limits
from leptonfit.inference.meta import MetaResult, combine_estimates
from leptonfit.inference.parallel import map_ordered, spawn_seeds
from leptonfit.inference.result import Booleans, Result
from leptonfit.neutrino.experiments import ALL_SPECTRA, DEFAULT_CHOICES, Choices, check_independent, read_slugs
from leptonfit.neutrino.joint import DISAGREE, AgreementResult
from leptonfit.neutrino.likelihood import Likelihood, load_likelihood
from leptonfit.neutrino.sheets import FLAVOUR_CLASSES

ALL = "all"
"""Key of all data sets together, although the moments of their flavour classes are different quantities."""
AXIS = np.linspace(0, 1, 21)
"""Fractions of the threshold range at which curves of different experiments are compared."""
_NULL, _EXACT = 2000, 1e-8
"""Number of draws of unrelated curves; variance used for expected limits, which have no sampling scatter."""


@dataclass(frozen=True)
class ThresholdScanResult(Result):
    """Limits of one data set at its thresholds; moments in 1e-11 μ_B.

    Attributes
    ----------
    slug, title, flavour_class, unit : str
    attainable, tried : int
        Number of possible thresholds (one for each bin, with at least two bins above it) and of thresholds tried.
    threshold : ndarray (n,)
        Thresholds that set a limit, as lower bin edges in `unit`.
    energy : ndarray (n,)
        The same thresholds in keV, electron-equivalent.
    limit, expected : ndarray (n, n_levels)
        Observed limit, and limit of the Asimov data.
    is_valid : ndarray (n,) of bool
        Whether the approximation behind the limits holds at this threshold.
    band : ndarray (n, 5)
        Expected limit at −2 to 2 standard deviations, for the first confidence.
    sigma : ndarray (n,)
        Expected standard deviation of θ̂, 1e-22 μ_B².
    signal_above : ndarray (n,)
        Expected magnetic counts above the threshold for μ = 1e-11 μ_B.
    log_ratio : ndarray (n,)
        ln(observed/Asimov) for the first confidence. Like the toys, it uses the form of the construction for a Gaussian
        θ̂, whereas `limit` is exact.
    toy_mean : ndarray (n,)
    toy_covariance : ndarray (n, n)
        Mean and covariance of the log ratio in toys without a moment.
    toy_correlation : ndarray (n, n)
        Correlation of θ̂ in the same toys.
    curve : CurveResult or None
        Gaussian process through ln μ_Asimov against energy; None for fewer than four thresholds, or if the thresholds
        do not resolve the curve.
    """

    slug: str
    title: str
    flavour_class: str
    unit: str
    attainable: int
    tried: int
    threshold: np.ndarray
    energy: np.ndarray
    limit: np.ndarray
    expected: np.ndarray
    is_valid: Booleans
    band: np.ndarray
    sigma: np.ndarray
    signal_above: np.ndarray
    log_ratio: np.ndarray
    toy_mean: np.ndarray
    toy_covariance: np.ndarray
    toy_correlation: np.ndarray
    curve: CurveResult | None

    @property
    def is_comparable(self) -> bool:
        """True if the limit at the lowest threshold, and those of its toys, have logarithms: none is 0 or infinite."""
        if not len(self.threshold):
            return False
        parts = self.limit[0, 0], self.expected[0, 0], self.toy_sd[0], np.exp(self.log_ratio[0] - self.toy_mean[0])
        return all(0 < one < np.inf for one in parts)

    @property
    def toy_sd(self) -> np.ndarray:
        """Standard deviation (n,) of the log ratio in the toys."""
        return np.sqrt(np.diag(self.toy_covariance))

    @property
    def k_thr(self) -> tuple[float, float]:
        """Slope dμ/dE of the Asimov curve at the lowest threshold, with error, 1e-11 μ_B/keV; nan without a curve."""
        if self.curve is None:
            return math.nan, math.nan
        return self.expected[0, 0] * self.curve.slope, self.expected[0, 0] * self.curve.slope_error

    @property
    def n_independent(self) -> float:
        """Effective number of independent limits: the sum over the inverse of the correlation matrix of θ̂."""
        return float(np.linalg.pinv(self.toy_correlation, rtol=1e-6, hermitian=True).sum())


@dataclass(frozen=True)
class ScanSettings:
    """What a threshold scan computes for each data set.

    Attributes
    ----------
    confidence : tuple of float
    method : str
        Key of `CONSTRUCTIONS`.
    n_thresholds : int
        Largest number of thresholds, chosen evenly among the attainable thresholds.
    n_toys : int
    choices : Choices
    """

    confidence: tuple[float, ...]
    method: str
    n_thresholds: int
    n_toys: int
    choices: Choices = DEFAULT_CHOICES

    def __post_init__(self) -> None:
        read_confidences("confidence", self.confidence)
        read_choice("method", self.method, CONSTRUCTIONS)
        read_count("n_thresholds", self.n_thresholds)
        read_count("n_toys", self.n_toys)
        read_instance("choices", self.choices, Choices)


def scan_thresholds(
    likelihood: Likelihood, settings: ScanSettings, *, seed: int | np.random.SeedSequence
) -> ThresholdScanResult:
    """Limits of a data set above each of its thresholds, computed together; `seed` is that of its toys."""
    experiment, model = likelihood.experiment, likelihood.model
    attainable = experiment.n_thresholds
    first = np.unique(np.linspace(0, attainable - 1, min(settings.n_thresholds, attainable)).round().astype(int))
    tried, used = len(first), likelihood.above(first)
    sets_limit = np.isfinite(model.theta_sigma(used=used))
    first, used = first[sets_limit], used[sets_limit]
    found = find_limits(model, likelihood.data, confidence=settings.confidence, used=used)
    limit, expected = np.sqrt(found.observed[settings.method]), np.sqrt(found.expected[settings.method])
    rng = np.random.default_rng(seed)
    nothing = np.zeros((settings.n_toys, len(model.nuisances)))
    centres = rng.standard_normal(nothing.shape) * ~model.is_free
    fitted_theta: np.ndarray = np.empty((settings.n_toys, len(first)))
    for part in split_rows(settings.n_toys, model.n_bins + nothing.shape[1], f"one toy of {model.n_bins} bins"):
        toys = model.draw(np.zeros(part.stop - part.start), nothing[part], rng)
        fitted_theta[part] = model.fit(toys[:, None], used=used, centres=centres[part, None]).theta

    gaussian = CONSTRUCTIONS[settings.method].gaussian

    def compare(theta: np.ndarray) -> np.ndarray:  # same formula for data and toys, so that their scatter is comparable
        limits = gaussian(theta / found.sigma, settings.confidence[0])[1]
        return np.log(limits / gaussian(np.zeros(1), settings.confidence[0])[1]) / 2

    log_ratio = compare(fitted_theta)
    threshold = experiment.edges[first]
    energy = experiment.energies_kev[first]
    curve = None
    if len(first) >= 4:
        fitted = fit_curve(energy, np.log(expected[:, 0, 2]), seed=0)
        curve = fitted if fitted.is_resolved else None
    return ThresholdScanResult(
        slug=experiment.slug,
        title=experiment.title,
        flavour_class=experiment.flavour_class,
        unit=experiment.unit,
        attainable=attainable,
        tried=tried,
        threshold=threshold,
        energy=energy,
        limit=limit,
        expected=expected[:, :, 2],
        is_valid=found.is_valid[settings.method],
        band=expected[:, 0],
        sigma=found.sigma,
        signal_above=np.array([likelihood.spectrum.magnetic[above].sum() for above in used[:, : experiment.n_bins]]),
        log_ratio=compare(found.theta_hat),
        toy_mean=log_ratio.mean(axis=0),
        toy_covariance=np.atleast_2d(np.cov(log_ratio.T)),
        toy_correlation=np.atleast_2d(np.corrcoef(fitted_theta.T)),
        curve=curve,
    )


def scan_all(slugs: Sequence[str], settings: ScanSettings, *, seed: int, jobs: int = 1) -> list[ThresholdScanResult]:
    """Threshold scans of the data sets in `slugs`, in the order of the workbook; parallel tasks with separate seeds.

    Raises
    ------
    InputError
        If data sets share events.
    """
    slugs = read_slugs(slugs)
    check_independent(slugs)
    seeds = zip(ALL_SPECTRA, spawn_seeds(seed, len(ALL_SPECTRA)), strict=True)
    tasks = [(slug, own) for slug, own in seeds if slug in slugs]
    return map_ordered(partial(_scan, settings=settings), tasks, jobs=jobs)


def _scan(task: tuple[str, np.random.SeedSequence], *, settings: ScanSettings) -> ThresholdScanResult:
    slug, seed = task
    return scan_thresholds(load_likelihood(slug, choices=settings.choices), settings, seed=seed)


@dataclass(frozen=True)
class SpreadResult(Result):
    """Spread of the limits of several experiments at their lowest thresholds.

    Attributes
    ----------
    titles : tuple of str
    limits, sensitivities, excess : MetaResult
        Random-effects combinations of ln μ_lim, of ln μ_Asimov (which has no sampling scatter) and of
        ln(observed/Asimov); √τ² is the spread, in units of ln.
    cross, cross_expected : float
        Σ w |μ_a − μ_b| / Σ w over pairs, w = 1/(σ_a² + σ_b²), 1e-11 μ_B, of the observed and of the Asimov limits.
    """

    titles: tuple[str, ...]
    limits: MetaResult
    sensitivities: MetaResult
    excess: MetaResult
    cross: float
    cross_expected: float


def compare_spreads(scans: Sequence[ThresholdScanResult]) -> dict[str, SpreadResult]:
    """Spread of each flavour class with at least two data sets, and of all classes together under `all`.

    Data sets whose limit has no logarithm are left out (see `ThresholdScanResult.is_comparable`).
    """
    scans = [one for one in scans if one.is_comparable]
    groups = {name: [one for one in scans if one.flavour_class == name] for name in FLAVOUR_CLASSES}
    groups[ALL] = list(scans)
    return {name: _spread(several) for name, several in groups.items() if len(several) > 1}


def _spread(scans: Sequence[ThresholdScanResult]) -> SpreadResult:
    limits = np.array([one.limit[0, 0] for one in scans])
    expected = np.array([one.expected[0, 0] for one in scans])
    sd = np.array([one.toy_sd[0] for one in scans])
    ratio = np.array([one.log_ratio[0] - one.toy_mean[0] for one in scans])
    return SpreadResult(
        tuple(one.title for one in scans),
        combine_estimates(np.log(limits), sd**2),
        combine_estimates(np.log(expected), np.full(len(scans), _EXACT)),
        combine_estimates(ratio, sd**2),
        _cross(limits, expected * sd),
        _cross(expected, expected * sd),
    )


def _cross(moments: np.ndarray, sigma: np.ndarray) -> float:
    pairs = list(combinations(range(len(moments)), 2))
    weights = np.array([1 / (sigma[a] ** 2 + sigma[b] ** 2) for a, b in pairs])
    return float(weights @ [abs(moments[a] - moments[b]) for a, b in pairs] / weights.sum())


@dataclass(frozen=True)
class CoherenceResult(Result):
    """Correlation between experiments of the deviations from the expected curves.

    Attributes
    ----------
    titles : tuple of str
    u : ndarray (n_u,)
        Fraction of the threshold range.
    deviations : ndarray (n_experiments, n_u)
        (observed − Asimov)/σ of ln μ_lim.
    coherence : float
        Mean correlation of the deviations over pairs of experiments, in [−1, 1].
    null : ndarray (n_null,)
        Coherence of unrelated curves, drawn with the toy covariance of each experiment; sorted.
    p_value : float
        Fraction of `null` that reaches `coherence`.
    """

    titles: tuple[str, ...]
    u: np.ndarray
    deviations: np.ndarray
    coherence: float
    null: np.ndarray
    p_value: float


def measure_coherence(scans: Sequence[ThresholdScanResult], *, seed: int) -> CoherenceResult | None:
    """Coherence of the curves with at least four thresholds; None for fewer than two such curves.

    It uses deviations, because the raw curves all rise with the threshold and are correlated for that reason alone.
    """
    several = [one for one in scans if len(one.threshold) >= 4]
    if len(several) < 2:
        return None
    rng = np.random.default_rng(seed)
    deviations, nulls = [], []
    for one in several:
        u = (one.energy - one.energy[0]) / (one.energy[-1] - one.energy[0])
        draws = rng.multivariate_normal(np.zeros(len(u)), one.toy_covariance, _NULL, method="eigh") / one.toy_sd
        deviations.append(np.interp(AXIS, u, (one.log_ratio - one.toy_mean) / one.toy_sd))
        nulls.append(np.stack([np.interp(AXIS, u, draw) for draw in draws]))
    found = float(mean_correlation(np.array(deviations)[None])[0])
    null = np.sort(mean_correlation(np.stack(nulls, axis=1)))
    return CoherenceResult(
        tuple(one.title for one in several),
        AXIS,
        np.array(deviations),
        found,
        null,
        float((1 + np.sum(null >= found)) / (1 + _NULL)),
    )


def mean_correlation(curves: np.ndarray) -> np.ndarray:
    """Mean pairwise correlation (n,) of curves (n, n_experiments, n_u)."""
    centred = curves - curves.mean(axis=-1, keepdims=True)
    unit = centred / np.linalg.norm(centred, axis=-1, keepdims=True)
    correlation = unit @ unit.swapaxes(-1, -2)
    first, second = np.triu_indices(curves.shape[1], 1)
    return correlation[:, first, second].mean(axis=-1)


def describe_scan(
    scans: Sequence[ThresholdScanResult],
    spreads: Mapping[str, SpreadResult],
    coherence: CoherenceResult | None,
    agreement: Mapping[str, AgreementResult],
    claims: Mapping[str, Any],
) -> tuple[str, str]:
    """Verdict code and sentence on the agreement of the data sets and on the spread of their limits.

    The code is `sets_disagree` if the data sets of some flavour class disagree on a moment, else `limits_differ` if the
    spread of ln(observed/Asimov) has p < 0.01 in some class, `no_comparison` if no class has two data sets, else
    `sensitivities_differ`.
    """
    attainable, tried = sum(one.attainable for one in scans), sum(one.tried for one in scans)
    limited = sum(len(one.threshold) for one in scans)
    claimed = claims["report"]["n_conditions"]
    said = (
        f"{limited} of {tried} thresholds tried set a limit; {attainable} are attainable; "
        f"the report counts {claimed} conditions."
    )
    classes = {key: one for key, one in spreads.items() if key != ALL}
    if not classes:
        return "no_comparison", said
    parts = [
        f"{FLAVOUR_CLASSES[key]} ({', '.join(one.titles)}): limits spread by {_dex(one.limits):.2f} dex, sensitivities "
        f"alone by {_dex(one.sensitivities):.2f}, limits over sensitivities by {_dex(one.excess):.2f} "
        f"(p = {one.excess.p_value:.2g})"
        for key, one in classes.items()
    ]
    differ = any(one.excess.p_value < DISAGREE for one in classes.values())
    why = f"Limits of a flavour class {'' if differ else 'do not '}differ, at 1 %, by more than sensitivities and "
    why += "sampling explain"
    if coherence is not None:
        low, high = np.quantile(coherence.null, [0.025, 0.975])
        said += f" C_coh is {coherence.coherence:.2f}; unrelated curves give {low:.2f} to {high:.2f}. "
        said += f"Claimed: {claims['result']['C_coh'][0]:g}."
    said = f"{describe_agreement(agreement)} {why}: {'; '.join(parts)}. {said}"
    if not all(one.agrees for one in agreement.values()):
        return "sets_disagree", said
    return ("limits_differ" if differ else "sensitivities_differ"), said


def describe_agreement(agreement: Mapping[str, AgreementResult]) -> str:
    """Sentence on the pair of data sets that disagrees most within a flavour class, and on the rest of its class."""
    one = min(agreement.values(), key=lambda one: one.p_worst)
    kept, odd = one.worst
    pair = one.worst
    n_pairs = sum(other.n_pairs for other in agreement.values())
    said = (
        f"{'No two' if one.agrees else 'Two'} data sets of a class disagree on a moment: the worst of {n_pairs} pairs "
        f"is {one.titles[odd]} against {one.titles[kept]}, χ² = {one.chi2_pairs[pair]:.1f} for one degree of freedom, "
        f"p = {one.p_pairs[pair]:.2g} ({one.p_worst:.2g} for the worst of the {one.n_pairs} pairs of its class)."
    )
    if one.agrees:
        return said
    return (
        f"{said} All {len(one.titles)} together have p = {one.p_value:.2g}; without {one.titles[odd]} the others have "
        f"p = {one.p_without[odd]:.2g}."
    )


def _dex(meta: MetaResult) -> float:
    return meta.spread / math.log(10)
