"""Models of limits at several thresholds: a baseline, and the report's extra terms (EFT) added to it.

A condition is one data set at one threshold. The fitted quantity is y = ln μ_lim of the observed limit: the limit that
the construction sets for a Gaussian θ̂ with the Asimov error, as in the toys behind the covariance, not the exact limit.
A model predicts y from the Asimov curve. Limits of one data set share events, so their covariance is taken from toys,
and one random effect of size τ is added for each data set. The likelihood is Gaussian and keeps the determinant.

The baseline has 8 parameters: an offset, pulls of energy scale, quenching, background and three flux norms, and τ. The
EFT adds the report's ten parameters and the two lengths in its equations: 20 in total. The report prints no equations;
S01 to S05 are reconstructed from its parameter names::

    S01  μ = (μ_base² + μ0²)^½ RL W_Coh Dmp [1 + γ J_Path + k_STG G_src + β_TPR ΔΠ + ρ_Recon R_E + α_thr ψ_thr]
    S02  J_Path = T(E)/T(E_max), T(E) = −ln[S(>E)/S(>E₀)], S the expected magnetic counts
    S03  ψ_thr = ln(1 + E/x_bend)
    S04  W_Coh = 1 − θ_Coh (1 − exp(−|E − x_bend|/τ_c)), Dmp = exp(−η_Damp z²), RL = 1/(1 + ξ_RL ξ)
    S05  var ln μ gains (k_TBN U_env)², one effect for each data set
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from scipy.optimize import minimize
from scipy.special import ndtri

from leptonfit.claims.nu838.report_838 import COVARIATES
from leptonfit.inference.result import Result
from leptonfit.neutrino.experiments import Experiment
from leptonfit.neutrino.likelihood import Likelihood
from leptonfit.neutrino.threshold_scan import ThresholdScanResult

PULLS = ("energy_scale", "quenching", "background", "flux_reactor", "flux_solar", "flux_pion")
BASELINE = ("offset", *PULLS, "tau")
REPORTED = ("mu0", "gamma", "k_STG", "beta_TPR", "k_TBN", "rho_Recon", "alpha_thr", "theta_Coh", "eta_Damp", "xi_RL")
EFT = (*BASELINE, *REPORTED, "x_bend", "tau_c")
OFFSET_SIGMA, TAU_MAX = 0.5, 1.0
"""Standard deviation of the offset's Gaussian prior, and upper end of τ's uniform prior; both in ln μ."""
LENGTHS = (0.1, 4000.0)
"""Range of x_bend and τ_c in keV; their priors are uniform in the logarithm."""
_STEP = 1e-20
_KIND = {"reactor": "flux_reactor", "solar": "flux_solar", "pion": "flux_pion"}


@dataclass(frozen=True)
class Conditions:
    """Limits of several data sets at their thresholds, as input of the fits; moments in 1e-11 μ_B.

    Attributes
    ----------
    slugs : tuple of str (n_sets,)
    owner : ndarray (n,) of int
        Data set of each condition.
    log_ratio : ndarray (n,)
        ln(observed limit/Asimov limit) minus its mean in toys.
    log_expected : ndarray (n,)
        ln μ_Asimov.
    slopes : ndarray (n, 6)
        d ln μ_Asimov / d pull, in the order of `PULLS`.
    whitener : ndarray (n, n)
        Lower triangular blocks W with Wᵀ W the inverse of each data set's toy covariance.
    log_determinant : ndarray (n_sets,)
        Logarithm of the determinants of the toy covariances.
    energy : ndarray (n,)
        Threshold, keV.
    path : ndarray (n,)
        J_Path.
    covariates : ndarray (n, 6)
        In the order of `COVARIATES`.
    n_independent : float
        Effective number of independent limits among the conditions.
    """

    slugs: tuple[str, ...]
    owner: np.ndarray
    log_ratio: np.ndarray
    log_expected: np.ndarray
    slopes: np.ndarray
    whitener: np.ndarray
    log_determinant: np.ndarray
    energy: np.ndarray
    path: np.ndarray
    covariates: np.ndarray
    n_independent: float

    @property
    def n(self) -> int:
        """Number of conditions."""
        return len(self.log_ratio)


def gather_conditions(
    scans: Sequence[ThresholdScanResult],
    likelihoods: Mapping[str, Likelihood],
    covariates: Mapping[str, np.ndarray],
    *,
    n_toys: int,
) -> Conditions:
    """Collect the threshold scans of several data sets into one set of conditions.

    Parameters
    ----------
    scans : sequence of ThresholdScanResult
    likelihoods : mapping
        Likelihoods by slug.
    covariates : mapping of ndarray (6,)
        Covariates by slug.
    n_toys : int
        Number of toys behind each covariance; its inverse is corrected for this number (J. Hartlap et al., Astron.
        Astrophys. 464, 399 (2007)).

    Raises
    ------
    ValueError
        If there are no scans, or too few toys for a covariance.
    """
    if not scans:
        raise ValueError("no data set: there is nothing to fit")
    n = sum(len(one.threshold) for one in scans)
    whitener, log_determinant, start = np.zeros((n, n)), [], 0
    for one in scans:
        size = len(one.threshold)
        if n_toys < size + 3:
            raise ValueError(f"n_toys = {n_toys}: must be more than {size + 2}, or a covariance cannot be inverted")
        covariance = np.atleast_2d(one.toy_covariance) * (n_toys - 1) / (n_toys - size - 2)
        root = np.linalg.cholesky(covariance)
        whitener[start : start + size, start : start + size] = np.linalg.inv(root)
        log_determinant.append(2 * np.log(np.diag(root)).sum())
        start += size
    return Conditions(
        slugs=tuple(one.slug for one in scans),
        owner=np.repeat(np.arange(len(scans)), [len(one.threshold) for one in scans]),
        log_ratio=np.concatenate([one.log_ratio - one.toy_mean for one in scans]),
        log_expected=np.concatenate([np.log(one.expected[:, 0]) for one in scans]),
        slopes=np.concatenate([_differentiate(one, likelihoods[one.slug]) for one in scans]),
        whitener=whitener,
        log_determinant=np.array(log_determinant),
        energy=np.concatenate([one.energy for one in scans]),
        path=np.concatenate([_path(one.signal_above) for one in scans]),
        covariates=np.concatenate([np.tile(covariates[one.slug], (len(one.threshold), 1)) for one in scans]),
        n_independent=float(sum(one.n_independent for one in scans)),
    )


def _path(signal_above: np.ndarray) -> np.ndarray:
    depth = -np.log(signal_above / signal_above[0])
    return depth / depth[-1] if depth[-1] > 0 else np.zeros(len(depth))


def _differentiate(scan: ThresholdScanResult, likelihood: Likelihood) -> np.ndarray:
    """Return d ln μ_Asimov / d pull (n, 6), which is half the logarithmic slope of the error of θ̂."""
    model = likelihood.model
    used = likelihood.above(np.searchsorted(likelihood.experiment.edges, scan.threshold - 1e-9))
    slopes = np.zeros((len(scan.threshold), len(PULLS)))
    for k, name in enumerate(PULLS):
        rows = [i for i, nuisance in enumerate(model.nuisances) if _find_pull(nuisance, likelihood.experiment) == name]
        if not rows:
            continue
        errors = []
        for sign in (-1, 1):
            step = sign * 0.1
            moved = replace(
                model,
                base=model.base + step * model.shifts[rows].sum(axis=0),
                signal=model.signal + step * model.signal_shifts[rows].sum(axis=0),
            )
            errors.append(np.log(moved.theta_sigma(used=used)))
        slopes[:, k] = (errors[1] - errors[0]) / 0.2 / 2
    return slopes


def _find_pull(nuisance: str, experiment: Experiment) -> str:
    """Pull of the baseline that moves a nuisance parameter of a data set; empty if none does."""
    name = nuisance.rpartition(": ")[2]  # without the part of the data set
    if name in ("flux", "pion_yield") or "branches" in experiment.declared.get(name, {}):
        return _KIND[experiment.flux]
    if name.startswith("background") or name in {*experiment.components} - {experiment.signal_column}:
        return "background"
    return name.rpartition("_")[0] if name in ("quenching_1", "quenching_2") else name


@dataclass(frozen=True)
class DiscrepancyModel:
    """Baseline or EFT with priors and likelihood; the parameters of the EFT are in the order of `EFT`.

    Attributes
    ----------
    conditions : Conditions
    is_eft : bool
    ranges : ndarray (12, 2)
        Ranges of the report's ten parameters and of the two lengths.
    fixed : tuple of str
        Parameters fixed at zero.
    """

    conditions: Conditions
    is_eft: bool
    ranges: np.ndarray
    fixed: tuple[str, ...] = ()

    @cached_property
    def names(self) -> tuple[str, ...]:
        """Names of the fitted parameters."""
        return tuple(name for name in (EFT if self.is_eft else BASELINE) if name not in self.fixed)

    @cached_property
    def bounds(self) -> np.ndarray:
        """Range (n_par, 2) of each parameter; ±5 standard deviations where the prior is Gaussian."""
        every = {
            "offset": (-5 * OFFSET_SIGMA, 5 * OFFSET_SIGMA),
            **dict.fromkeys(PULLS, (-5.0, 5.0)),
            "tau": (0.0, TAU_MAX),
        }
        every |= {name: tuple(ends) for name, ends in zip((*REPORTED, "x_bend", "tau_c"), self.ranges, strict=True)}
        return np.array([every[name] for name in self.names])

    def transform(self, cube: np.ndarray) -> np.ndarray:
        """Map the unit cube (..., n_par) to parameters (..., n_par) with the quantiles of the prior."""
        x = np.empty(np.shape(cube))
        for j, name in enumerate(self.names):
            low, high = self.bounds[j]
            share = cube[..., j]
            if name == "offset" or name in PULLS:
                x[..., j] = ndtri(share) * (OFFSET_SIGMA if name == "offset" else 1.0)
            elif name in ("x_bend", "tau_c"):
                x[..., j] = low * (high / low) ** share
            else:
                x[..., j] = low + (high - low) * share
        return x

    def untransform(self, x: np.ndarray) -> np.ndarray:
        """Map parameters (..., n_par) to unit Gaussian variables (..., n_par) with the quantiles of the prior."""
        z = np.empty(np.shape(x))
        for j, name in enumerate(self.names):
            low, high = self.bounds[j]
            if name == "offset" or name in PULLS:
                z[..., j] = x[..., j] / (OFFSET_SIGMA if name == "offset" else 1.0)
                continue
            share = (x[..., j] - low) / (high - low)
            if name in ("x_bend", "tau_c"):
                share = np.log(x[..., j] / low) / np.log(high / low)
            z[..., j] = ndtri(np.clip(share, 1e-9, 1 - 1e-9))
        return z

    def _unpack(self, x: np.ndarray) -> dict[str, Any]:
        """Return parameters (..., 1) by name; a fixed parameter is 0, a fixed length is 1 and has no effect."""
        held = {
            name: np.full((*np.shape(x)[:-1], 1), name in ("x_bend", "tau_c"), dtype=np.asarray(x).dtype)
            for name in EFT
            if name not in self.names
        }
        return held | {name: x[..., j : j + 1] for j, name in enumerate(self.names)}

    def predict(self, x: np.ndarray) -> np.ndarray:
        """Return ln(μ_model/μ_Asimov) (..., n) at parameters (..., n_par)."""
        c, p = self.conditions, self._unpack(x)
        shift = p["offset"] + np.concatenate([p[name] for name in PULLS], axis=-1) @ c.slopes.T
        if not self.is_eft:
            return shift
        source, balance, supplied, _, z, xi = c.covariates.T
        mu_base = np.exp(c.log_expected + shift)
        away = (c.energy - p["x_bend"]) * np.where(np.real(c.energy - p["x_bend"]) < 0, -1.0, 1.0)
        bracket = (
            1
            + p["gamma"] * c.path
            + p["k_STG"] * source
            + p["beta_TPR"] * balance
            + p["rho_Recon"] * supplied
            + p["alpha_thr"] * np.log(1 + c.energy / p["x_bend"])
        )
        window = 1 - p["theta_Coh"] * (1 - np.exp(-away / p["tau_c"]))
        return (
            0.5 * np.log(mu_base**2 + (p["mu0"] * 1e11) ** 2)
            - c.log_expected
            + np.log(bracket)
            + np.log(window)
            - p["eta_Damp"] * z**2
            - np.log(1 + p["xi_RL"] * xi)
        )

    def shared_variance(self, x: np.ndarray) -> np.ndarray:
        """Variance (..., n_sets) of the random effect of each data set."""
        p = self._unpack(x)
        environment = self.conditions.covariates[self._first, COVARIATES.index("U_env")]
        return p["tau"] ** 2 + (p["k_TBN"] * environment) ** 2

    @cached_property
    def _first(self) -> np.ndarray:
        return np.searchsorted(self.conditions.owner, np.arange(len(self.conditions.slugs)))

    @cached_property
    def _shared(self) -> tuple[np.ndarray, np.ndarray]:
        """Return the effect of a unit shift on the whitened conditions (n,), and its square by data set (n_sets,)."""
        ones = self.conditions.whitener.sum(axis=1)
        return ones, np.add.reduceat(ones**2, self._first)

    def minus_two_log_likelihood(self, x: np.ndarray) -> np.ndarray:
        """−2 ln L (...) of the conditions at parameters (..., n_par)."""
        c, first = self.conditions, self._first
        white = (c.log_ratio - self.predict(x)) @ c.whitener.T
        ones, weight = self._shared
        variance = self.shared_variance(x)
        along = np.add.reduceat(white * ones, first, axis=-1)
        squares = np.sum(white**2, axis=-1) - np.sum(variance * along**2 / (1 + variance * weight), axis=-1)
        determinant = np.sum(np.log(1 + variance * weight), axis=-1) + c.log_determinant.sum()
        return squares + determinant + c.n * math.log(2 * math.pi)

    def log_likelihood(self, x: np.ndarray) -> np.ndarray:
        """Log likelihood ln L (...) of the conditions at parameters (..., n_par)."""
        return -0.5 * self.minus_two_log_likelihood(x)

    def cost(self, x: np.ndarray) -> tuple[float, np.ndarray]:
        """−2 ln L plus the prior terms of pulls and offset, and its gradient (n_par,), at parameters (n_par,)."""
        c, first = self.conditions, self._first
        moved = x + 1j * _STEP * np.eye(len(x))
        predicted, variances = self.predict(moved), self.shared_variance(moved)
        variance, variance_slopes = variances[0].real, variances.imag / _STEP
        white = c.whitener @ (c.log_ratio - predicted[0].real)
        slopes = -(predicted.imag / _STEP) @ c.whitener.T  # (n_par, n)
        ones, weight = self._shared
        along = np.add.reduceat(white * ones, first)
        along_slopes = np.add.reduceat(slopes * ones, first, axis=-1)
        inflated = 1 + variance * weight
        value = white @ white - np.sum(variance * along**2 / inflated) + np.sum(np.log(inflated))
        gradient = 2 * slopes @ white - 2 * along_slopes @ (variance * along / inflated)
        gradient += variance_slopes @ (weight / inflated - (along / inflated) ** 2)
        for j, name in enumerate(self.names):
            if name == "offset" or name in PULLS:
                sigma = OFFSET_SIGMA if name == "offset" else 1.0
                value += (x[j] / sigma) ** 2
                gradient[j] += 2 * x[j] / sigma**2
        return float(value + c.log_determinant.sum() + c.n * math.log(2 * math.pi)), gradient

    def covariance(self, x: np.ndarray) -> np.ndarray:
        """Covariance (n, n) of the conditions at parameters (n_par,)."""
        c = self.conditions
        root = np.linalg.inv(c.whitener)
        shared = self.shared_variance(x)[c.owner]
        return root @ root.T + np.where(c.owner[:, None] == c.owner, shared, 0.0)


@dataclass(frozen=True)
class DiscrepancyFitResult(Result):
    """Best fit of a model to the conditions.

    Attributes
    ----------
    names : tuple of str
    x : ndarray (n_par,)
    minus_two_log_likelihood : float
        −2 ln L of the conditions.
    penalised : float
        −2 ln L plus the prior terms of pulls and offset.
    slope : float
        Largest free component of the gradient, with ranges scaled to 1. It is 0 at a smooth minimum, but not where
        x_bend equals a threshold, since W_Coh has a kink there.
    n_reached : int
        Number of starts that ended within 0.01 of `penalised`.
    residuals : ndarray (n,)
        y minus the model.
    """

    names: tuple[str, ...]
    x: np.ndarray
    minus_two_log_likelihood: float
    penalised: float
    slope: float
    n_reached: int
    residuals: np.ndarray


def fit_model(
    model: DiscrepancyModel, *, n_starts: int, seed: int, start: np.ndarray | None = None
) -> DiscrepancyFitResult:
    """Minimise −2 ln L plus the prior terms of pulls and offset, from starts drawn from the prior and from `start`.

    Derivatives by complex step are exact to rounding. Lengths are varied in their logarithm.
    """
    n_par = len(model.names)
    is_length = np.array([name in ("x_bend", "tau_c") for name in model.names])
    bounds = np.where(is_length[:, None], np.log(np.maximum(model.bounds, LENGTHS[0])), model.bounds)
    scale = bounds[:, 1] - bounds[:, 0]

    def unscale(u: np.ndarray) -> np.ndarray:
        x = bounds[:, 0] + scale * u
        return np.where(is_length, np.exp(np.where(is_length, x, 0.0)), x)

    def cost(u: np.ndarray) -> tuple[float, np.ndarray]:
        x = unscale(u)
        value, gradient = model.cost(x)
        return value, gradient * scale * np.where(is_length, x, 1.0)

    starts = model.transform(np.random.default_rng(seed).uniform(0.02, 0.98, (n_starts, n_par)))
    if start is not None:
        starts = np.vstack([np.atleast_2d(start), starts])
    walked = (np.where(is_length, np.log(np.maximum(starts, LENGTHS[0])), starts) - bounds[:, 0]) / scale
    walked = np.clip(walked, 1e-3, 1 - 1e-3)
    ends = [
        minimize(cost, u, jac=True, method="L-BFGS-B", bounds=[(0, 1)] * n_par, options={"maxiter": 500, "ftol": 1e-11})
        for u in walked
    ]
    best = min(ends, key=lambda end: end.fun)
    value, gradient = cost(best.x)
    free = ~(((best.x <= 0) & (gradient > 0)) | ((best.x >= 1) & (gradient < 0)))
    x = unscale(best.x)
    return DiscrepancyFitResult(
        names=model.names,
        x=x,
        minus_two_log_likelihood=float(model.minus_two_log_likelihood(x)),
        penalised=value,
        slope=float(np.max(np.abs(gradient) * free, initial=0.0)),
        n_reached=sum(end.fun < value + 0.01 for end in ends),
        residuals=model.conditions.log_ratio - model.predict(x),
    )
