"""Comparison of the baseline and the report's EFT on the same conditions: fits, evidence, posteriors, prediction."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
from scipy.special import logsumexp, ndtr

from leptonfit.claims.nu838.discrepancy import (
    LENGTHS,
    OFFSET_SIGMA,
    PULLS,
    REPORTED,
    Conditions,
    DiscrepancyFitResult,
    DiscrepancyModel,
    fit_model,
)
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

BEYOND_MOMENT = (*[name for name in REPORTED if name != "mu0"], "x_bend", "tau_c")
"""Parameters of the EFT beyond the baseline and one common moment."""
PRIOR_DOMINATED = 0.9
"""Ratio of posterior to prior width above which the parameter counts as not measured by the data."""
_N_WALKERS, _FEWEST_STEPS, _N_BOOTSTRAP = 48, 400, 400
_N_NODES, _N_DRAWS = 1024, 4000
"""Nodes in τ of the integral over the baseline's parameters, and draws of its posterior."""
FOLDS = 5
_FAR = 8.0
"""Largest distance of a walker from the centre of the prior, in standard deviations."""


@dataclass(frozen=True)
class MetricsResult(Result):
    """Goodness of fit of a model, its effective number of parameters and its predictive accuracy.

    Attributes
    ----------
    n_parameters, n : int
    n_effective, n_independent : float
        Number of parameters that the data determine: Σ s²/(1 + s²), with s the singular values of the whitened
        Jacobian in units of the prior's standard deviations. Effective number of independent conditions.
    rmse, r2 : float
        Root mean square of the residuals and R² of ln μ_lim: descriptive only, since conditions share events.
    chi2 : float
        χ² with the fitted covariance.
    aic, bic, bic_n : float
        AIC; BIC with the number of independent conditions; BIC with the number of all conditions.
    ks_p : float
        Kolmogorov–Smirnov p-value of the whitened residuals, by parametric bootstrap.
    cv_rmse, cv_log_density : float
        Root mean square error of ln μ, and mean log density per condition, on data sets left out in five folds. The
        random effect of each data set is marginalised.
    """

    n_parameters: int
    n: int
    n_effective: float
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
        """χ² divided by the number of conditions minus the effective number of parameters."""
        return self.chi2 / (self.n - self.n_effective)


@dataclass(frozen=True)
class ModelResult(Result):
    """Fit, evidence and posterior of one model on one selection of data sets.

    Attributes
    ----------
    fit : DiscrepancyFitResult
    metrics : MetricsResult
    evidence : EvidenceResult
    posterior : PosteriorResult
    drawn_by : str
        Source of `samples`: "emcee" or "dynesty", and "quadrature" for the baseline, whose draws are independent.
    samples : ndarray (n, n_par)
        Posterior draws, from which mean, sd and width are computed.
    mean, sd : ndarray (n_par,)
        Mean and standard deviation of the posterior.
    width : ndarray (n_par,)
        Posterior standard deviation divided by prior standard deviation; for lengths, those of the logarithm.
    """

    fit: DiscrepancyFitResult
    metrics: MetricsResult
    evidence: EvidenceResult
    posterior: PosteriorResult
    drawn_by: str
    samples: np.ndarray
    mean: np.ndarray
    sd: np.ndarray
    width: np.ndarray

    def without_samples(self) -> ModelResult:
        """Return a copy without the posterior draws, for storage."""
        evidence = replace(self.evidence, samples=self.evidence.samples[:0])
        posterior = replace(self.posterior, samples=self.posterior.samples[:0])
        return replace(self, evidence=evidence, posterior=posterior, samples=self.samples[:0])

    @property
    def prior_dominated(self) -> tuple[str, ...]:
        """Parameters that the data do not measure: their relative width exceeds `PRIOR_DOMINATED`."""
        return tuple(name for name, width in zip(self.fit.names, self.width, strict=True) if width > PRIOR_DOMINATED)


@dataclass(frozen=True)
class ComparisonResult(Result):
    """Comparison of the baseline and the EFT on one selection of data sets.

    Attributes
    ----------
    selection : str
        Name of the selection of data sets.
    slugs : tuple of str
    baseline, eft : ModelResult
    moment : EvidenceResult
        Evidence of the baseline with one common moment: mu0 of the EFT without the other terms.
    """

    selection: str
    slugs: tuple[str, ...]
    baseline: ModelResult
    eft: ModelResult
    moment: EvidenceResult

    def without_samples(self) -> ComparisonResult:
        """Return a copy without the posterior draws, for storage."""
        moment = replace(self.moment, samples=self.moment.samples[:0])
        return replace(self, baseline=self.baseline.without_samples(), eft=self.eft.without_samples(), moment=moment)

    @property
    def log_bayes_factor(self) -> tuple[float, float]:
        """Log evidence of the EFT minus that of the baseline, and its error."""
        return _divide(self.eft.evidence, self.baseline.evidence)

    @property
    def log_moment_factor(self) -> tuple[float, float]:
        """Log evidence of the baseline with one moment minus that of the baseline, and its error."""
        return _divide(self.moment, self.baseline.evidence)

    @property
    def code(self) -> str:
        """Code of the model preferred by two errors of lnK. The EFT must beat the baseline with and without moment."""
        if _exceeds(self.log_bayes_factor) and _exceeds(_divide(self.eft.evidence, self.moment)):
            return "eft_preferred"
        if _exceeds(self.log_moment_factor):
            return "moment_preferred"
        return "baseline_preferred" if _exceeds(_divide(self.baseline.evidence, self.eft.evidence)) else "undecided"


def _divide(first: EvidenceResult, second: EvidenceResult) -> tuple[float, float]:
    return first.log_evidence - second.log_evidence, math.hypot(first.error, second.error)


def _exceeds(log_factor: tuple[float, float]) -> bool:
    return log_factor[0] > 2 * log_factor[1]


def choose_ranges(report: Mapping[str, Any], priors: str) -> np.ndarray:
    """Return the prior ranges (12, 2) of the report's ten parameters, as stated or doubled, and of the two lengths."""
    ranges = np.array([report["parameter"][name]["prior"] for name in REPORTED] + [LENGTHS] * 2)
    return widen(ranges) if priors == "wide" else ranges


def widen(ranges: np.ndarray) -> np.ndarray:
    """Double the ranges (12, 2) of the ten parameters; θ_Coh stays below 1, beyond which W_Coh turns negative."""
    wide = ranges.copy()
    wide[: len(REPORTED)] *= 2
    wide[REPORTED.index("theta_Coh"), 1] = min(wide[REPORTED.index("theta_Coh"), 1], 0.99)
    return wide


def compare_models(
    selections: Mapping[str, Conditions], ranges: np.ndarray, *, n_live: int, sampler: str, seed: int, jobs: int = 1
) -> list[ComparisonResult]:
    """Compare the baseline, the EFT and the baseline with one moment on every selection of data sets.

    Each model on each selection is one task; the slowest tasks start first.

    Parameters
    ----------
    selections : mapping of Conditions
    ranges : ndarray (12, 2)
    n_live : int
        Live points of the nested sampling; each walker of the ensemble takes n_live steps per parameter, at least 400.
    sampler : {"emcee", "dynesty"}
        Sampler of the EFT's posterior draws. emcee starts from the draws of dynesty, which are used if it has not
        converged. The baseline needs neither: its evidence and posterior are integrals over τ alone.
    seed, jobs : int
    """
    kinds = {"eft": (True, ()), "baseline": (False, ()), "moment": (True, BEYOND_MOMENT)}
    tasks = {
        (name, kind): DiscrepancyModel(one, is_eft, ranges, fixed)
        for name, one in selections.items()
        for kind, (is_eft, fixed) in kinds.items()
    }
    order = sorted(tasks, key=lambda task: (len(tasks[task].names), tasks[task].conditions.n), reverse=True)
    run = partial(_study, n_live=n_live, sampler=sampler, seed=seed)
    found = dict(zip(order, map_ordered(run, [tasks[task] for task in order], jobs=jobs), strict=True))
    return [
        ComparisonResult(name, one.slugs, **{kind: found[name, kind] for kind in kinds})  # type: ignore[arg-type]
        for name, one in selections.items()
    ]


def _study(model: DiscrepancyModel, *, n_live: int, sampler: str, seed: int) -> ModelResult | EvidenceResult:
    n_par = len(model.names)
    if model.is_eft:
        evidence = run_nested(model.log_likelihood, model.transform, n_par, n_live=n_live, seed=seed)
    else:
        evidence = integrate_baseline(model, seed=seed)
    if model.fixed:
        return evidence
    likely = evidence.samples[np.argsort(model.minus_two_log_likelihood(evidence.samples))]
    fit = fit_model(model, n_starts=8, seed=seed, start=likely[:: max(1, len(likely) // 80)][:16])
    if model.is_eft:
        posterior = sample_posterior(model, evidence, n_steps=max(n_live, _FEWEST_STEPS) * n_par, seed=seed)
        drawn_by = "emcee" if sampler == "emcee" and posterior.has_converged else "dynesty"
    else:
        independent = np.full(n_par, float(len(evidence.samples)))
        posterior = PosteriorResult(evidence.samples, np.ones(n_par), independent, acceptance=1.0)
        drawn_by = "quadrature"
    samples = posterior.samples if drawn_by == "emcee" else evidence.samples
    walked = np.where(model.is_length, np.log(np.where(model.is_length, samples, 1.0)), samples)
    width = walked.std(axis=0) / _prior_sd(model)
    mean, sd = samples.mean(axis=0), samples.std(axis=0)
    return ModelResult(fit, measure(model, fit, seed=seed), evidence, posterior, drawn_by, samples, mean, sd, width)


def integrate_baseline(model: DiscrepancyModel, *, seed: int) -> EvidenceResult:
    """Evidence and posterior draws of the baseline: a Gaussian integral over its linear parameters, a sum over τ.

    The likelihood of τ is summed over midpoints of its range. The error is the change from half as many midpoints.
    """
    tau_max = model.bounds[-1, 1]
    tau = tau_max * (np.arange(_N_NODES) + 0.5) / _N_NODES
    log_l, centre, precision = _marginalise_linear(model, tau)
    log_evidence = float(logsumexp(log_l) - math.log(len(tau)))
    coarse = _marginalise_linear(model, (tau[::2] + tau[1::2]) / 2)[0]
    error = abs(log_evidence - float(logsumexp(coarse) - math.log(len(coarse))))
    rng = np.random.default_rng(seed)
    drawn = rng.choice(_N_NODES, _N_DRAWS, p=np.exp(log_l - logsumexp(log_l)))
    root = np.linalg.inv(np.linalg.cholesky(precision))
    white = rng.standard_normal((_N_DRAWS, centre.shape[1]))
    linear = centre[drawn] + np.einsum("ti,tij->tj", white, root[drawn])
    moved = tau[drawn] + tau_max * (rng.random(_N_DRAWS) - 0.5) / _N_NODES
    return EvidenceResult(log_evidence, error, 0, len(log_l) + len(coarse), np.column_stack([linear, moved]))


def _marginalise_linear(model: DiscrepancyModel, tau: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Log likelihood (n,) of τ (n,), and mean (n, n_linear) and inverse covariance of the linear parameters given τ.

    Given τ, conditions and linear parameters are jointly Gaussian. With H and b the curvature and slope of ln L at
    linear parameters of 0, and S their prior covariance, it is ln L(0) + bᵀ(H + S⁻¹)⁻¹b/2 − ln det(1 + S H)/2.
    """
    c, n_linear = model.conditions, len(model.names) - 1  # τ is the last parameter
    x = np.zeros((len(tau), n_linear + 1))
    x[:, -1] = tau
    ones, weight = model.shared
    effect = c.whitener @ model.predict(np.eye(n_linear, n_linear + 1)).T  # (n_conditions, n_linear)
    white = c.whitener @ c.log_ratio
    along_effect = np.add.reduceat(effect * ones[:, None], model.first)
    along = np.add.reduceat(white * ones, model.first)
    variance = model.shared_variance(x)
    shrunk = variance / (1 + variance * weight)  # (n, n_sets)
    curvature = effect.T @ effect - np.einsum("ts,si,sj->tij", shrunk, along_effect, along_effect)
    slope = effect.T @ white - (shrunk * along) @ along_effect
    sigma = _prior_sd(model)[:-1]
    precision = curvature + np.diag(sigma**-2)
    centre = np.linalg.solve(precision, slope[..., None])[..., 0]
    log_determinant = np.linalg.slogdet(precision)[1] + 2 * np.log(sigma).sum()
    return model.log_likelihood(x) + 0.5 * np.sum(slope * centre, axis=1) - 0.5 * log_determinant, centre, precision


def _prior_sd(model: DiscrepancyModel) -> np.ndarray:
    sd = []
    for name, (low, high) in zip(model.names, model.bounds, strict=True):
        if name == "offset" or name in PULLS:
            sd.append(OFFSET_SIGMA if name == "offset" else 1.0)
        else:
            sd.append((math.log(high / low) if name in ("x_bend", "tau_c") else high - low) / math.sqrt(12))
    return np.array(sd)


def sample_posterior(model: DiscrepancyModel, evidence: EvidenceResult, *, n_steps: int, seed: int) -> PosteriorResult:
    """Sample the posterior with an ensemble, in coordinates in which the prior is a unit Gaussian."""

    def log_posterior(z: np.ndarray) -> np.ndarray:
        inside = (np.abs(z) < _FAR).all(axis=-1)
        found = np.full(len(z), -np.inf)
        found[inside] = model.log_likelihood(model.transform(ndtr(z[inside]))) - 0.5 * np.sum(z[inside] ** 2, axis=-1)
        return found

    draws = model.untransform(evidence.samples)
    walked = run_ensemble(log_posterior, draws, n_walkers=_N_WALKERS, n_steps=n_steps, seed=seed)
    return replace(walked, samples=model.transform(ndtr(walked.samples)))


def measure(model: DiscrepancyModel, fit: DiscrepancyFitResult, *, seed: int) -> MetricsResult:
    """Compute all metrics of a fitted model."""
    c, k = model.conditions, len(model.names)
    root = np.linalg.cholesky(model.covariance(fit.x))
    white = np.linalg.solve(root, fit.residuals)
    stretch = np.where(model.is_length, fit.x, 1.0)
    jacobian = np.linalg.solve(root, model.differentiate(fit.x).T * stretch * _prior_sd(model))
    basis, sizes, _ = np.linalg.svd(jacobian, full_matrices=False)
    basis = basis[:, sizes > 1e-8 * sizes[0]]
    toys = np.random.default_rng(seed).standard_normal((_N_BOOTSTRAP, c.n))
    toys -= (toys @ basis) @ basis.T  # a fit absorbs the components that it can follow
    log_mu = c.log_expected + c.log_ratio
    rmse, density = cross_validate(model, fit, seed=seed)
    return MetricsResult(
        n_parameters=k,
        n=c.n,
        n_effective=float(np.sum(sizes**2 / (1 + sizes**2))),
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


def cross_validate(model: DiscrepancyModel, fit: DiscrepancyFitResult, *, seed: int) -> tuple[float, float]:
    """Root mean square error and mean log density per condition, on data sets left out in five folds."""
    c = model.conditions
    n_sets = len(c.slugs)
    if n_sets < 2:
        return math.nan, math.nan
    squares, density = 0.0, 0.0
    for fold in range(min(FOLDS, n_sets)):
        out = [i for i in range(n_sets) if i % FOLDS == fold]
        kept = replace(model, conditions=select_sets(c, [i for i in range(n_sets) if i not in out]))
        held = replace(model, conditions=select_sets(c, out))
        there = fit_model(kept, n_starts=2, seed=seed, start=fit.x)
        squares += float(np.sum((held.conditions.log_ratio - held.predict(there.x)) ** 2))
        density += float(held.log_likelihood(there.x))
    return math.sqrt(squares / c.n), density / c.n


def select_sets(c: Conditions, sets: Sequence[int]) -> Conditions:
    """Return the conditions of the data sets at the given positions."""
    rows = np.concatenate([np.flatnonzero(c.owner == i) for i in sets])
    return Conditions(
        slugs=tuple(c.slugs[i] for i in sets),
        owner=np.concatenate([np.full(np.count_nonzero(c.owner == i), k) for k, i in enumerate(sets)]),
        whitener=c.whitener[np.ix_(rows, rows)],
        log_determinant=c.log_determinant[list(sets)],
        n_independent=c.n_independent * len(rows) / c.n,
        **{
            name: getattr(c, name)[rows]
            for name in ("log_ratio", "log_expected", "slopes", "energy", "path", "covariates")
        },
    )


def describe_comparison(found: Sequence[ComparisonResult], report: Mapping[str, Any]) -> tuple[str, str]:
    """Verdict code and sentence of the comparison, on the first selection of data sets.

    Each comparison requires a difference of two errors of lnK. The code is `eft_preferred` if the evidence of the EFT
    exceeds that of the baseline, both with one moment and without; else `moment_preferred` if the baseline with one
    moment exceeds the baseline; else `baseline_preferred` if the baseline exceeds the EFT; else `undecided`.
    """
    one = found[0]
    every = "; ".join("{} {:.1f} ± {:.1f}".format(other.selection, *other.log_bayes_factor) for other in found)
    moment = "; ".join("{} {:.1f} ± {:.1f}".format(other.selection, *other.log_moment_factor) for other in found)
    gain = one.eft.metrics.aic - one.baseline.metrics.aic
    further = one.eft.metrics.n_parameters - one.baseline.metrics.n_parameters
    dominated = [name for name in one.eft.prior_dominated if name in REPORTED]
    claimed = report["result"]["lnK"]
    listed = f": {', '.join(dominated)}" if dominated else ""
    doubtful = [other.selection for other in found if not other.eft.posterior.has_converged]
    doubt = (
        f" Not converged: the walkers of emcee in the EFT on {', '.join(doubtful)}; draws of nested sampling are used."
        if doubtful
        else ""
    )
    sentence = (
        f"lnK (EFT over baseline): {every}; claimed {claimed[0]:g} ± {claimed[1]:g}. "
        f"Baseline with one moment over baseline: {moment}. On {one.selection} AIC "
        f"changes by {gain:+.1f} for {further} further parameters, and {len(dominated)} of the report's "
        f"{len(REPORTED)} are not measured but left where the prior had them{listed}.{doubt}"
    )
    return one.code, sentence
