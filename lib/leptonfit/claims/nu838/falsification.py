"""The report's falsification test, and how its extra terms depend on covariates, priors and correlations."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np

from leptonfit.claims.nu838.discrepancy import Conditions, DiscrepancyModel, fit_model
from leptonfit.claims.nu838.model_comparison import ComparisonResult, widen
from leptonfit.claims.nu838.report_838 import COVARIATES
from leptonfit.inference.compare import run_nested
from leptonfit.inference.meta import combine_estimates
from leptonfit.inference.parallel import map_ordered
from leptonfit.inference.result import Result
from leptonfit.neutrino.threshold_scan import AXIS, mean_correlation

FALSIFIED = ("mu0", "gamma", "k_STG", "k_TBN", "alpha_thr")
"""Parameters that the report's falsification test sets to zero."""
_FEWEST = 200
"""Smallest effective number of draws for which a reweighted evidence is accepted."""


@dataclass(frozen=True)
class FalsificationResult(Result):
    """Result of the report's falsification test.

    Attributes
    ----------
    delta_aic, delta_chi2 : float
        AIC and −2 ln L of the EFT with its five parameters at zero, minus those of the full EFT.
    aic_percent, rmse_percent : float
        Increase of AIC and RMSE, in percent of the values of the full EFT.
    coherence : ndarray (2,)
        C_coh of the residual curves of the full EFT, and of the EFT with the five parameters at zero; nan for fewer
        than two curves.
    spread, spread_error : ndarray (3,)
        Δlog10 μ (dex) of the residuals at the lowest thresholds, and its error, for the full EFT, the reduced EFT and
        the baseline.
    within : dict of tuple of bool
        For each data set: whether the limit of the reduced EFT at the lowest threshold, and its slope there, are within
        one standard deviation of those of the baseline.
    first_rule, second_rule : bool
        Whether the report's two rules apply, with the report's thresholds. First: AIC is hardly worse, and all limits
        and slopes agree with the baseline. Second: RMSE and AIC are hardly worse, C_coh does not fall, and Δlog10 μ
        agrees with the baseline within its error; None where C_coh or the spread needs more data sets.
    """

    delta_aic: float
    delta_chi2: float
    aic_percent: float
    rmse_percent: float
    coherence: np.ndarray
    spread: np.ndarray
    spread_error: np.ndarray
    within: dict[str, tuple[bool, ...]]
    first_rule: bool
    second_rule: bool | None


def falsify(
    conditions: Conditions,
    ranges: np.ndarray,
    comparison: ComparisonResult,
    covariances: Mapping[str, np.ndarray],
    report: Mapping[str, Any],
    *,
    seed: int,
) -> FalsificationResult:
    """Set the parameters in `FALSIFIED` to zero, refit, and apply the report's rules with the report's thresholds.

    AIC has an arbitrary constant, so a percentage of it means little. The rule is still applied as it is written.
    """
    whole, eft = comparison.eft, DiscrepancyModel(conditions, True, ranges)
    reduced = DiscrepancyModel(conditions, True, ranges, fixed=FALSIFIED)
    fit = fit_model(
        reduced, n_starts=8, seed=seed, start=np.array([whole.fit.x[eft.names.index(name)] for name in reduced.names])
    )
    delta_chi2 = fit.minus_two_log_likelihood - whole.fit.minus_two_log_likelihood
    delta_aic = delta_chi2 - 2 * len(FALSIFIED)
    rmse = float(np.sqrt(np.mean(fit.residuals**2)))
    base = DiscrepancyModel(conditions, False, ranges)
    shift = reduced.predict(fit.x) - base.predict(comparison.baseline.fit.x)
    within: dict[str, tuple[bool, ...]] = {}
    for i, slug in enumerate(conditions.slugs):
        rows = np.flatnonzero(conditions.owner == i)
        v = covariances[slug]
        at_lowest = abs(shift[rows[0]]) <= math.sqrt(v[0, 0])
        slope = len(rows) < 2 or abs(shift[rows[1]] - shift[rows[0]]) <= math.sqrt(v[0, 0] + v[1, 1] - 2 * v[0, 1])
        within[slug] = (bool(at_lowest), bool(slope))
    left = [whole.fit.residuals, fit.residuals, comparison.baseline.fit.residuals]
    summaries = [_summarise(conditions, residuals, covariances) for residuals in left]
    coherence = np.array([summary[0] for summary in summaries[:2]])
    spread, spread_error = np.array([summary[1:] for summary in summaries]).T
    returned = not coherence[1] < coherence[0] and not abs(spread[1] - spread[2]) > spread_error[2]
    has_rule = bool(np.isfinite(coherence).all() and np.isfinite(spread).all())
    rules = report["report"]
    aic_percent = 100 * delta_aic / abs(whole.metrics.aic)
    rmse_percent = 100 * (rmse - whole.metrics.rmse) / whole.metrics.rmse
    return FalsificationResult(
        delta_aic=delta_aic,
        delta_chi2=delta_chi2,
        aic_percent=aic_percent,
        rmse_percent=rmse_percent,
        coherence=coherence,
        spread=spread,
        spread_error=spread_error,
        within=within,
        first_rule=aic_percent <= rules["falsification_deterioration_percent"]
        and all(all(pair) for pair in within.values()),
        second_rule=bool(
            rmse_percent < rules["falsification_delta_rmse_percent"]
            and delta_aic < rules["falsification_delta_aic"]
            and returned
        )
        if has_rule
        else None,
    )


def _summarise(
    c: Conditions, residuals: np.ndarray, covariances: Mapping[str, np.ndarray]
) -> tuple[float, float, float]:
    """Return C_coh of residual curves, the spread (dex) between data sets at the lowest thresholds, and its error."""
    curves, lowest, variances = [], [], []
    for i, slug in enumerate(c.slugs):
        rows, sd = np.flatnonzero(c.owner == i), np.sqrt(np.diag(covariances[slug]))
        lowest.append(residuals[rows[0]])
        variances.append(sd[0] ** 2)
        if len(rows) >= 4:
            u = (c.energy[rows] - c.energy[rows[0]]) / (c.energy[rows[-1]] - c.energy[rows[0]])
            curves.append(np.interp(AXIS, u, residuals[rows] / sd))
    coherence = float(mean_correlation(np.array(curves)[None])[0]) if len(curves) > 1 else math.nan
    if len(lowest) < 2:
        return coherence, math.nan, math.nan
    meta = combine_estimates(np.array(lowest), np.array(variances))
    low, high = np.sqrt(meta.tau2_interval)
    return coherence, math.sqrt(meta.tau2) / math.log(10), (high - low) / (2 * 1.96 * math.log(10))


@dataclass(frozen=True)
class VariationResult(Result):
    """Comparison of the EFT with the baseline after a covariate or the priors were changed.

    Attributes
    ----------
    name : str
        Name of the change.
    delta_chi2, delta_aic : float
        −2 ln L and AIC of the EFT minus those of the baseline.
    log_bayes_factor, error : float
        Log evidence of the EFT minus that of the baseline, and its error.
    n_effective : float
        Effective number of distinct posterior draws behind the reweighted lnK; nan if this variant was sampled
        separately, and for the unchanged comparison.
    """

    name: str
    delta_chi2: float
    delta_aic: float
    log_bayes_factor: float
    error: float
    n_effective: float


def vary(
    selections: Mapping[str, Conditions],
    ranges: np.ndarray,
    comparisons: Sequence[ComparisonResult],
    *,
    n_live: int,
    seed: int,
    jobs: int = 1,
) -> dict[str, list[VariationResult]]:
    """Compare the EFT with the baseline for changed covariates and priors, in every selection of data sets.

    A changed covariate multiplies the evidence by the mean of L'/L over the posterior draws. The changed model is
    sampled anew if fewer than 200 effective draws remain, and for wider priors, which reach beyond the draws.
    """
    names = [*[f"{name} turned round" for name in COVARIATES[:4]], *[f"{name} halved" for name in COVARIATES[4:]]]
    changes: list[tuple[str, int | None]] = [
        *zip(names, range(len(names)), strict=True),
        ("priors twice as wide", None),
    ]
    cases = [(one, *change) for one in comparisons for change in changes]
    cases.sort(key=lambda case: (case[2] is None, selections[case[0].selection].n), reverse=True)  # slowest tasks first
    run = partial(_vary, selections=selections, ranges=ranges, n_live=n_live, seed=seed)
    found: dict[str, list[VariationResult]] = {}
    for one in comparisons:
        change = one.eft.fit.minus_two_log_likelihood - one.baseline.fit.minus_two_log_likelihood
        aic = one.eft.metrics.aic - one.baseline.metrics.aic
        found[one.selection] = [VariationResult("as they are", change, aic, *one.log_bayes_factor, math.nan)]
    ended = map_ordered(run, cases, jobs=jobs)
    values = {(one.selection, name): value for (one, name, _), value in zip(cases, ended, strict=True)}
    for selection, several in found.items():
        several += [values[selection, name] for name, _ in changes]
    return found


def _vary(
    case: tuple[ComparisonResult, str, int | None],
    *,
    selections: Mapping[str, Conditions],
    ranges: np.ndarray,
    n_live: int,
    seed: int,
) -> VariationResult:
    one, name, column = case
    conditions = selections[one.selection]
    eft, base = DiscrepancyModel(conditions, True, ranges), one.baseline
    effective = 0.0
    if column is None:
        changed = replace(eft, ranges=widen(ranges))
    else:
        covariates = conditions.covariates.copy()
        values = covariates[:, column]
        covariates[:, column] = values.max() + values.min() - values if column < 4 else values / 2
        changed = replace(eft, conditions=replace(conditions, covariates=covariates))
        draws, times = np.unique(one.eft.evidence.samples, axis=0, return_counts=True)
        weights = times * np.exp(changed.log_likelihood(draws) - eft.log_likelihood(draws))
        effective = float(weights.sum() ** 2 / np.sum(weights**2))
        before, error_before = one.log_bayes_factor
        bayes, error = before + math.log(weights.sum() / times.sum()), math.hypot(error_before, effective**-0.5)
    if effective < _FEWEST:
        evidence = run_nested(changed.log_likelihood, changed.transform, len(eft.names), n_live=n_live, seed=seed)
        bayes, effective = evidence.log_evidence - base.evidence.log_evidence, math.nan
        error = math.hypot(evidence.error, base.evidence.error)
    fit = fit_model(changed, n_starts=1, seed=seed, start=one.eft.fit.x)
    change = fit.minus_two_log_likelihood - base.fit.minus_two_log_likelihood
    aic = change + 2 * (len(eft.names) - len(base.fit.names))
    return VariationResult(name, change, aic, bayes, error, effective)


@dataclass(frozen=True)
class RelationsResult(Result):
    """Correlations that the report asks for, in the posterior of the EFT.

    Attributes
    ----------
    k_thr_x_bend, k_thr_x_bend_covariance : dict of float
        For each data set: correlation and covariance of the slope of its curve at the lowest threshold, in
        1e-11 μ_B/keV, with ln(x_bend/keV). All data sets share one x_bend.
    k_stg_beta_tpr : float
        Correlation of k_STG with β_TPR.
    scale_rho_recon, quenching_k_tbn : float
        Correlation ρ of the energy-scale pull with ρ_Recon, and of the quenching pull with k_TBN. A calibration that
        fixed the pull would multiply the variance of the other parameter by 1 − ρ².
    rho_recon_sd, k_tbn_sd : ndarray (2,)
        Standard deviation of ρ_Recon, first in this posterior and then with the energy scale known; the same for k_TBN
        and the quenching.
    """

    k_thr_x_bend: dict[str, float]
    k_thr_x_bend_covariance: dict[str, float]
    k_stg_beta_tpr: float
    scale_rho_recon: float
    quenching_k_tbn: float
    rho_recon_sd: np.ndarray
    k_tbn_sd: np.ndarray


def relate_thresholds(conditions: Conditions, ranges: np.ndarray, comparison: ComparisonResult) -> RelationsResult:
    """Correlations of k_thr with x_bend, of k_STG with β_TPR, and of calibration pulls with ρ_Recon and k_TBN."""
    model = DiscrepancyModel(conditions, True, ranges)
    samples = comparison.eft.samples
    log_mu = conditions.log_expected + model.predict(samples)
    bend = np.log(samples[:, model.names.index("x_bend")])
    slopes, covariances = {}, {}
    for i, slug in enumerate(conditions.slugs):
        rows = np.flatnonzero(conditions.owner == i)
        if len(rows) > 1:
            mu = np.exp(log_mu[:, rows[:2]])
            slope = (mu[:, 1] - mu[:, 0]) / (conditions.energy[rows[1]] - conditions.energy[rows[0]])
            slopes[slug] = float(np.corrcoef(slope, bend)[0, 1])
            covariances[slug] = float(np.cov(slope, bend)[0, 1])

    def correlate(first: str, second: str) -> float:
        pair = samples[:, [model.names.index(first), model.names.index(second)]]
        return float(np.corrcoef(pair.T)[0, 1])

    def known(name: str, correlation: float) -> np.ndarray:
        return comparison.eft.sd[model.names.index(name)] * np.array([1.0, math.sqrt(1 - correlation**2)])

    scale, quenching = correlate("energy_scale", "rho_Recon"), correlate("quenching", "k_TBN")
    return RelationsResult(
        slopes,
        covariances,
        correlate("k_STG", "beta_TPR"),
        scale,
        quenching,
        known("rho_Recon", scale),
        known("k_TBN", quenching),
    )
