"""The baseline and the report's EFT on the same conditions: fits, evidence, posteriors, prediction, falsification."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
from scipy.special import ndtr

from leptonfit.inference.compare import (
    EvidenceResult,
    PosteriorResult,
    aic,
    bic,
    bootstrap_ks,
    run_ensemble,
    run_nested,
)
from leptonfit.inference.parallel import map_ordered
from leptonfit.inference.result import Result
from leptonfit.neutrino.discrepancy import (
    LENGTHS,
    OFFSET_SIGMA,
    PULLS,
    REPORTED,
    Conditions,
    DiscrepancyFitResult,
    DiscrepancyModel,
    fit_model,
)
from leptonfit.neutrino.report_838 import COVARIATES

FALSIFIED = ("mu0", "gamma", "k_STG", "k_TBN", "alpha_thr")
"""Parameters that the report's falsification line sets to zero."""
PRIOR_DOMINATED = 0.9
"""Width of a posterior over its prior's, above which the data have not measured the parameter."""
_PRIORS = {"report": 1.0, "wide": 2.0}
_N_WALKERS, _STEPS, _N_BOOTSTRAP = 96, 40, 400
_FOLDS = 5
_FAR = 8.0
"""Standard deviations of the prior beyond which no walker goes."""


@dataclass(frozen=True)
class MetricsResult(Result):
    """How well a model describes the conditions, and at what price.

    Attributes
    ----------
    n_parameters, n : int
    n_independent : float
        Conditions, and what they are worth.
    rmse, r2 : float
        Of ln μ_lim: descriptive only, since conditions share events.
    chi2 : float
        With the fitted covariance.
    aic, bic, bic_n : float
        BIC with the independent number, and with the plain one.
    ks_p : float
        Of whitened residuals, by parametric bootstrap.
    cv_rmse, cv_log_density : float
        On data sets left out, five folds: root mean square of ln μ, and mean log density a condition, the random effect
        of each data set marginalised.
    """

    n_parameters: int
    n: int
    n_independent: float
    rmse: float
    r2: float
    chi2: float
    aic: float
    bic: float
    bic_n: float
    ks_p: float
    cv_rmse: float
    cv_log_density: float

    @property
    def chi2_dof(self) -> float:
        """χ² over degrees of freedom, the plain number of conditions less parameters."""
        return self.chi2 / max(self.n - self.n_parameters, 1)


@dataclass(frozen=True)
class ModelResult(Result):
    """One model on one selection of data sets.

    Attributes
    ----------
    fit : DiscrepancyFitResult
    metrics : MetricsResult
    evidence : EvidenceResult
    posterior : PosteriorResult
    mean, sd : ndarray (n_par,)
        Of the posterior.
    width : ndarray (n_par,)
        Posterior over prior standard deviation; of the logarithm for lengths.
    """

    fit: DiscrepancyFitResult
    metrics: MetricsResult
    evidence: EvidenceResult
    posterior: PosteriorResult
    mean: np.ndarray
    sd: np.ndarray
    width: np.ndarray

    def without_samples(self) -> ModelResult:
        """The same without draws, for keeping."""
        evidence = replace(self.evidence, samples=self.evidence.samples[:0])
        return replace(self, evidence=evidence, posterior=replace(self.posterior, samples=self.posterior.samples[:0]))

    @property
    def prior_dominated(self) -> tuple[str, ...]:
        """Parameters the data have not measured."""
        return tuple(name for name, width in zip(self.fit.names, self.width, strict=True) if width > PRIOR_DOMINATED)


@dataclass(frozen=True)
class ComparisonResult(Result):
    """Baseline and EFT on one selection of data sets.

    Attributes
    ----------
    selection : str
        observed, simulated or all.
    slugs : tuple of str
    baseline, eft : ModelResult
    """

    selection: str
    slugs: tuple[str, ...]
    baseline: ModelResult
    eft: ModelResult

    def without_samples(self) -> ComparisonResult:
        """The same without draws, for keeping."""
        return replace(self, baseline=self.baseline.without_samples(), eft=self.eft.without_samples())

    @property
    def log_bayes_factor(self) -> tuple[float, float]:
        """Ln evidence of the EFT less the baseline's, and its error."""
        first, second = self.eft.evidence, self.baseline.evidence
        return first.log_evidence - second.log_evidence, math.hypot(first.error, second.error)


def choose_ranges(report: Mapping[str, Any], priors: str) -> np.ndarray:
    """Ranges (12, 2) of the report's ten parameters, as it has them or twice as wide, and of the two lengths."""
    factor = _PRIORS[priors]
    return np.array([[factor * end for end in report["parameter"][name]["prior"]] for name in REPORTED] + [LENGTHS] * 2)


def compare_models(
    selections: Mapping[str, Conditions], ranges: np.ndarray, *, n_live: int, sampler: str, seed: int, jobs: int = 1,
) -> list[ComparisonResult]:  # fmt: skip
    """Baseline and EFT on every selection, a task a model.

    Parameters
    ----------
    selections : mapping of Conditions
    ranges : ndarray (12, 2)
    n_live : int
        Live points of the nested sampling; each walker of the ensemble takes forty times as many steps.
    sampler : {"emcee", "dynesty"}
        Whose draws the posterior is; emcee starts from dynesty's.
    seed, jobs : int
    """
    tasks = [
        (name, DiscrepancyModel(one, is_eft, ranges)) for name, one in selections.items() for is_eft in (True, False)
    ]
    run = partial(_study, n_live=n_live, sampler=sampler, seed=seed)
    found = map_ordered(run, [model for _, model in tasks], jobs=jobs)
    return [
        ComparisonResult(name, one.slugs, baseline=found[2 * i + 1], eft=found[2 * i])
        for i, (name, one) in enumerate(selections.items())
    ]


def _study(model: DiscrepancyModel, *, n_live: int, sampler: str, seed: int) -> ModelResult:
    n_par = len(model.names)
    evidence = run_nested(model.log_likelihood, model.transform, n_par, n_live=n_live, seed=seed)
    likely = evidence.samples[np.argsort(model.minus_two_log_likelihood(evidence.samples))]
    fit = fit_model(model, n_starts=8, seed=seed, start=likely[:: max(1, len(likely) // 40)][:8])
    posterior = sample_posterior(model, evidence, n_steps=_STEPS * n_live, seed=seed)
    samples = evidence.samples if sampler == "dynesty" else posterior.samples
    is_length = np.array([name in ("x_bend", "tau_c") for name in model.names])
    walked = np.where(is_length, np.log(np.where(is_length, samples, 1.0)), samples)
    width = walked.std(axis=0) / _prior_sd(model)
    mean, sd = samples.mean(axis=0), samples.std(axis=0)
    return ModelResult(fit, measure(model, fit, seed=seed), evidence, posterior, mean, sd, width)


def _prior_sd(model: DiscrepancyModel) -> np.ndarray:
    sd = []
    for name, (low, high) in zip(model.names, model.bounds, strict=True):
        if name == "offset" or name in PULLS:
            sd.append(OFFSET_SIGMA if name == "offset" else 1.0)
        else:
            sd.append((math.log(high / low) if name in ("x_bend", "tau_c") else high - low) / math.sqrt(12))
    return np.array(sd)


def sample_posterior(model: DiscrepancyModel, evidence: EvidenceResult, *, n_steps: int, seed: int) -> PosteriorResult:
    """Posterior by an ensemble walking where the prior is a unit Gaussian in every direction."""
    cube = model.untransform(evidence.samples)
    rng = np.random.default_rng(seed)
    start = cube[rng.choice(len(cube), _N_WALKERS)]
    start = start + 0.01 * rng.standard_normal(start.shape)

    def log_posterior(z: np.ndarray) -> np.ndarray:
        inside = (np.abs(z) < _FAR).all(axis=-1)
        found = np.full(len(z), -np.inf)
        found[inside] = model.log_likelihood(model.transform(ndtr(z[inside]))) - 0.5 * np.sum(z[inside] ** 2, axis=-1)
        return found

    walked = run_ensemble(log_posterior, start, n_steps=n_steps, seed=seed)
    return replace(walked, samples=model.transform(ndtr(walked.samples)))


def measure(model: DiscrepancyModel, fit: DiscrepancyFitResult, *, seed: int) -> MetricsResult:
    """Every metric of a fitted model."""
    c, k = model.conditions, len(model.names)
    root = np.linalg.cholesky(model.covariance(fit.x))
    white = np.linalg.solve(root, fit.residuals)
    jacobian = np.linalg.solve(root, _jacobian(model, fit.x))
    basis, sizes, _ = np.linalg.svd(jacobian, full_matrices=False)
    basis = basis[:, sizes > 1e-8 * sizes[0]]
    toys = np.random.default_rng(seed).standard_normal((_N_BOOTSTRAP, c.n))
    toys -= (toys @ basis) @ basis.T  # a fit takes out what it can follow
    log_mu = c.log_expected + c.log_ratio
    rmse, density = cross_validate(model, fit, seed=seed)
    return MetricsResult(
        n_parameters=k,
        n=c.n,
        n_independent=c.n_independent,
        rmse=float(np.sqrt(np.mean(fit.residuals**2))),
        r2=float(1 - np.sum(fit.residuals**2) / np.sum((log_mu - log_mu.mean()) ** 2)),
        chi2=float(white @ white),
        aic=aic(fit.minus_two_log_likelihood, k),
        bic=bic(fit.minus_two_log_likelihood, k, c.n_independent),
        bic_n=bic(fit.minus_two_log_likelihood, k, c.n),
        ks_p=bootstrap_ks(white, toys),
        cv_rmse=rmse,
        cv_log_density=density,
    )


def _jacobian(model: DiscrepancyModel, x: np.ndarray) -> np.ndarray:
    steps = 1e-20 * np.maximum(np.abs(x), 1e-3)
    return (model.predict(x + 1j * np.diag(steps)).imag / steps[:, None]).T


def cross_validate(model: DiscrepancyModel, fit: DiscrepancyFitResult, *, seed: int) -> tuple[float, float]:
    """Root mean square error and mean log density a condition on data sets left out, five folds."""
    c = model.conditions
    n_sets = len(c.slugs)
    if n_sets < 2:
        return math.nan, math.nan
    squares, density = 0.0, 0.0
    for fold in range(min(_FOLDS, n_sets)):
        out = [i for i in range(n_sets) if i % _FOLDS == fold]
        kept = replace(model, conditions=select_sets(c, [i for i in range(n_sets) if i not in out]))
        held = replace(model, conditions=select_sets(c, out))
        there = fit_model(kept, n_starts=2, seed=seed, start=fit.x)
        squares += float(np.sum((held.conditions.log_ratio - held.predict(there.x)) ** 2))
        density += float(held.log_likelihood(there.x))
    return math.sqrt(squares / c.n), density / c.n


def select_sets(c: Conditions, sets: Sequence[int]) -> Conditions:
    """Some of the data sets, by their position."""
    rows = np.concatenate([np.flatnonzero(c.owner == i) for i in sets])
    return Conditions(
        slugs=tuple(c.slugs[i] for i in sets),
        owner=np.concatenate([np.full(np.count_nonzero(c.owner == i), k) for k, i in enumerate(sets)]),
        whitener=c.whitener[np.ix_(rows, rows)],
        log_determinant=c.log_determinant[list(sets)],
        n_independent=c.n_independent * len(rows) / c.n,
        **{name: getattr(c, name)[rows] for name in
           ("log_ratio", "log_expected", "slopes", "energy", "path", "covariates")},
    )  # fmt: skip


@dataclass(frozen=True)
class FalsificationResult(Result):
    """The report's falsification line, executed.

    Attributes
    ----------
    delta_aic, delta_chi2 : float
        AIC and −2 ln L with its five parameters at zero, less the whole EFT's.
    aic_percent, rmse_percent : float
        Deterioration of AIC and RMSE, percent of the whole EFT's.
    within : dict of tuple of bool
        For each data set: whether the EFT's limit at the lowest threshold, and its slope there, are within one standard
        deviation of the baseline's.
    first_rule, second_rule : bool
        Whether the report's two rules fire: at most 1 % worse in AIC with all limits and slopes at the baseline's; RMSE
        less than 1 % and AIC less than 2 worse.
    """

    delta_aic: float
    delta_chi2: float
    aic_percent: float
    rmse_percent: float
    within: dict[str, tuple[bool, ...]]
    first_rule: bool
    second_rule: bool


def falsify(
    conditions: Conditions,
    ranges: np.ndarray,
    comparison: ComparisonResult,
    toy_sd: Mapping[str, np.ndarray],
    *,
    seed: int,
) -> FalsificationResult:
    """Set the report's parameters to zero and refit."""
    whole, eft = comparison.eft, DiscrepancyModel(conditions, True, ranges)
    reduced = DiscrepancyModel(conditions, True, ranges, fixed=FALSIFIED)
    fit = fit_model(reduced, n_starts=8, seed=seed,
                    start=np.array([whole.fit.x[eft.names.index(name)] for name in reduced.names]))  # fmt: skip
    delta_chi2 = fit.minus_two_log_likelihood - whole.fit.minus_two_log_likelihood
    delta_aic = delta_chi2 - 2 * len(FALSIFIED)
    rmse = float(np.sqrt(np.mean(fit.residuals**2)))
    base = DiscrepancyModel(conditions, False, ranges)
    shift = eft.predict(whole.fit.x) - base.predict(comparison.baseline.fit.x)
    within: dict[str, tuple[bool, ...]] = {}
    for i, slug in enumerate(conditions.slugs):
        rows = np.flatnonzero(conditions.owner == i)
        sd = toy_sd[slug]
        at_lowest = abs(shift[rows[0]]) <= sd[0]
        slope = abs(shift[rows[1]] - shift[rows[0]]) <= math.hypot(sd[0], sd[1]) if len(rows) > 1 else True
        within[slug] = (bool(at_lowest), bool(slope))
    aic_percent = 100 * delta_aic / abs(whole.metrics.aic)
    rmse_percent = 100 * (rmse - whole.metrics.rmse) / whole.metrics.rmse
    return FalsificationResult(
        delta_aic=delta_aic,
        delta_chi2=delta_chi2,
        aic_percent=aic_percent,
        rmse_percent=rmse_percent,
        within=within,
        first_rule=aic_percent <= 1 and all(all(pair) for pair in within.values()),
        second_rule=rmse_percent < 1 and delta_aic < 2,
    )


def vary(
    conditions: Conditions, ranges: np.ndarray, comparison: ComparisonResult, *, seed: int
) -> dict[str, tuple[float, float]]:
    """−2 ln L and AIC of the EFT less the baseline's, as covariates and priors are varied."""

    def scaled(column: str, change: Callable[[np.ndarray], np.ndarray]) -> Conditions:
        covariates = conditions.covariates.copy()
        j = COVARIATES.index(column)
        covariates[:, j] = change(covariates[:, j])
        return replace(conditions, covariates=covariates)

    cases = {"as they are": (conditions, ranges)}
    cases |= {
        f"{name} turned round": (scaled(name, lambda v: v.max() + v.min() - v), ranges) for name in COVARIATES[:4]
    }
    cases |= {f"{name} halved": (scaled(name, lambda v: v / 2), ranges) for name in COVARIATES[4:]}
    wide = ranges.copy()
    wide[: len(REPORTED)] *= 2
    cases["priors twice as wide"] = (conditions, wide)
    found = {}
    for name, (one, box) in cases.items():
        eft = fit_model(DiscrepancyModel(one, True, box), n_starts=2, seed=seed, start=comparison.eft.fit.x)
        change = eft.minus_two_log_likelihood - comparison.baseline.fit.minus_two_log_likelihood
        found[name] = (change, change + 2 * (len(eft.names) - len(comparison.baseline.fit.names)))
    return found


@dataclass(frozen=True)
class RelationsResult(Result):
    """Correlations in the EFT's posterior that the report asks for.

    Attributes
    ----------
    k_thr_x_bend : dict of float
        By data set: of the curve's slope at its lowest threshold and x_bend, which is one for all.
    k_stg_beta_tpr : float
    scale_rho_recon, quenching_k_tbn : float
        Of the energy scale's pull with ρ_Recon and of the quenching's with k_TBN: a calibration that fixed the pull
        would take the square of it off the other's variance.
    """

    k_thr_x_bend: dict[str, float]
    k_stg_beta_tpr: float
    scale_rho_recon: float
    quenching_k_tbn: float


def relate_thresholds(conditions: Conditions, ranges: np.ndarray, comparison: ComparisonResult) -> RelationsResult:
    """Correlations of k_thr with x_bend, of k_STG with β_TPR, and of calibrations with what they are to reduce."""
    model = DiscrepancyModel(conditions, True, ranges)
    samples = comparison.eft.posterior.samples
    log_mu = conditions.log_expected + model.predict(samples)
    bend = np.log(samples[:, model.names.index("x_bend")])
    slopes = {}
    for i, slug in enumerate(conditions.slugs):
        rows = np.flatnonzero(conditions.owner == i)
        if len(rows) > 1:
            mu = np.exp(log_mu[:, rows[:2]])
            slope = (mu[:, 1] - mu[:, 0]) / (conditions.energy[rows[1]] - conditions.energy[rows[0]])
            slopes[slug] = float(np.corrcoef(slope, bend)[0, 1])

    def correlate(first: str, second: str) -> float:
        pair = samples[:, [model.names.index(first), model.names.index(second)]]
        return float(np.corrcoef(pair.T)[0, 1])

    return RelationsResult(
        slopes, correlate("k_STG", "beta_TPR"), correlate("energy_scale", "rho_Recon"), correlate("quenching", "k_TBN")
    )


def describe_comparison(found: Sequence[ComparisonResult], report: Mapping[str, Any]) -> tuple[str, str]:
    """Verdict code and sentence, on measured counts where there are any.

    The code is `baseline_preferred` where lnK + 2 errors < 0, `eft_preferred` where lnK − 2 errors > 0, else
    `undecided`.
    """
    one = next((one for one in found if one.selection == "observed"), found[0])
    bayes, error = one.log_bayes_factor
    code = "baseline_preferred" if bayes + 2 * error < 0 else "eft_preferred" if bayes - 2 * error > 0 else "undecided"
    every = "; ".join(
        f"{other.selection} {other.log_bayes_factor[0]:.1f} ± {other.log_bayes_factor[1]:.1f}" for other in found
    )
    gain = one.eft.metrics.aic - one.baseline.metrics.aic
    further = one.eft.metrics.n_parameters - one.baseline.metrics.n_parameters
    dominated = [name for name in one.eft.prior_dominated if name in REPORTED]
    claimed = report["result"]["lnK"]
    listed = f": {', '.join(dominated)}" if dominated else ""
    sentence = (
        f"lnK (EFT over baseline): {every}; claimed {claimed[0]:g} ± {claimed[1]:g}. On {one.selection} counts AIC "
        f"changes by {gain:+.1f} for {further} further parameters, and {len(dominated)} of the report's "
        f"{len(REPORTED)} are not measured but left where the prior had them{listed}."
    )
    return code, sentence
