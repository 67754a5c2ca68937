"""The report's falsification line executed, and what its extra terms turn on: covariates, priors, correlations."""

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
"""Parameters that the report's falsification line sets to zero."""
_FEWEST = 200
"""Draws that a changed evidence may rest on."""


@dataclass(frozen=True)
class FalsificationResult(Result):
    """The report's falsification line, executed.

    Attributes
    ----------
    delta_aic, delta_chi2 : float
        AIC and −2 ln L with its five parameters at zero, less the whole EFT's.
    aic_percent, rmse_percent : float
        Deterioration of AIC and RMSE, percent of the whole EFT's.
    coherence : ndarray (2,)
        C_coh of what the whole EFT, and the EFT with the five at zero, leave of the curves; nan for fewer than two.
    spread, spread_error : ndarray (3,)
        Δlog10 μ (dex) that the whole EFT, the reduced one and the baseline leave at the lowest thresholds.
    within : dict of tuple of bool
        For each data set: whether the reduced EFT's limit at the lowest threshold, and its slope there, are within one
        standard deviation of the baseline's.
    first_rule, second_rule : bool
        Whether the report's two rules fire, with its own thresholds: hardly worse in AIC with all limits and slopes at
        the baseline's; hardly worse in RMSE and AIC while C_coh does not fall and Δlog10 μ is within its error of the
        baseline's. The second is None where C_coh or the spread needs more data sets.
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
    """Set the report's parameters to zero, refit, and apply its rules with its own thresholds.

    AIC has an arbitrary constant, so that a percentage of it means little; the rule is executed as it is written.
    """
    whole, eft = comparison.eft, DiscrepancyModel(conditions, True, ranges)
    reduced = DiscrepancyModel(conditions, True, ranges, fixed=FALSIFIED)
    fit = fit_model(reduced, n_starts=8, seed=seed,
                    start=np.array([whole.fit.x[eft.names.index(name)] for name in reduced.names]))  # fmt: skip
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
    """C_coh of residual curves, and the spread between data sets at their lowest thresholds with its error, dex."""
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
    """The EFT against the baseline with a covariate or the priors changed.

    Attributes
    ----------
    name : str
        What was changed.
    delta_chi2, delta_aic : float
        −2 ln L and AIC of the EFT less the baseline's.
    log_bayes_factor, error : float
        LnK, and its error.
    n_effective : float
        Distinct draws of the unchanged posterior that lnK rests on, after their weights; nan where it has a run of its
        own.
    """

    name: str
    delta_chi2: float
    delta_aic: float
    log_bayes_factor: float
    error: float
    n_effective: float


def vary(
    selections: Mapping[str, Conditions], ranges: np.ndarray, comparisons: Sequence[ComparisonResult], *,
    n_live: int, seed: int, jobs: int = 1,
) -> dict[str, list[VariationResult]]:  # fmt: skip
    """Change covariates and priors, by selection.

    A changed covariate changes the evidence by the mean of L'/L over the posterior's draws; where fewer than 200 of
    them are left, and for wider priors, which reach where there are none, the changed model is sampled anew.
    """
    names = [*[f"{name} turned round" for name in COVARIATES[:4]], *[f"{name} halved" for name in COVARIATES[4:]]]
    changes: list[tuple[str, int | None]] = [
        *zip(names, range(len(names)), strict=True),
        ("priors twice as wide", None),
    ]
    cases = [(one, *change) for one in comparisons for change in changes]
    cases.sort(key=lambda case: (case[2] is None, selections[case[0].selection].n), reverse=True)  # the slowest first
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
    case: tuple[ComparisonResult, str, int | None], *, selections: Mapping[str, Conditions], ranges: np.ndarray,
    n_live: int, seed: int,
) -> VariationResult:  # fmt: skip
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
    """Correlations in the EFT's posterior that the report asks for.

    Attributes
    ----------
    k_thr_x_bend, k_thr_x_bend_covariance : dict of float
        By data set: correlation and covariance of the curve's slope at its lowest threshold, 1e-11 μ_B/keV, and
        ln(x_bend/keV), which is one for all.
    k_stg_beta_tpr : float
    scale_rho_recon, quenching_k_tbn : float
        Of the energy scale's pull with ρ_Recon and of the quenching's with k_TBN: a calibration that fixed the pull
        would take the square of it off the other's variance.
    rho_recon_sd, k_tbn_sd : ndarray (2,)
        Standard deviation of ρ_Recon as it is and with the energy scale known; of k_TBN as it is and with the quenching
        known.
    """

    k_thr_x_bend: dict[str, float]
    k_thr_x_bend_covariance: dict[str, float]
    k_stg_beta_tpr: float
    scale_rho_recon: float
    quenching_k_tbn: float
    rho_recon_sd: np.ndarray
    k_tbn_sd: np.ndarray


def relate_thresholds(conditions: Conditions, ranges: np.ndarray, comparison: ComparisonResult) -> RelationsResult:
    """Correlations of k_thr with x_bend, of k_STG with β_TPR, and of calibrations with what they are to reduce."""
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
        slopes, covariances, correlate("k_STG", "beta_TPR"), scale, quenching, known("rho_Recon", scale),
        known("k_TBN", quenching),
    )  # fmt: skip
