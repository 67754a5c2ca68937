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

    @cached_property
    def _gaussian(self) -> tuple[np.ndarray, np.ndarray]:
        """Return the positions of the parameters with a Gaussian prior, and their prior standard deviations."""
        at = np.array([j for j, name in enumerate(self.names) if name == "offset" or name in PULLS], dtype=int)
        return at, np.array([OFFSET_SIGMA if self.names[j] == "offset" else 1.0 for j in at])

    @cached_property
    def is_length(self) -> np.ndarray:
        """Whether each parameter (n_par,) is a length, whose prior is uniform in the logarithm."""
        return np.isin(self.names, ("x_bend", "tau_c"))

    def transform(self, cube: np.ndarray) -> np.ndarray:
        """Map the unit cube (..., n_par) to parameters (..., n_par) with the quantiles of the prior."""
        low, high = self.bounds.T
        x = low + (high - low) * cube
        at, sigma = self._gaussian
        x[..., at] = ndtri(cube[..., at]) * sigma
        is_length = self.is_length
        x[..., is_length] = low[is_length] * (high[is_length] / low[is_length]) ** cube[..., is_length]
        return x

    def untransform(self, x: np.ndarray) -> np.ndarray:
        """Map parameters (..., n_par) to unit Gaussian variables (..., n_par) with the quantiles of the prior."""
        low, high = self.bounds.T
        share = (x - low) / (high - low)
        is_length = self.is_length
        lowest = low[is_length]
        share[..., is_length] = np.log(x[..., is_length] / lowest) / np.log(high[is_length] / lowest)
        z = ndtri(np.clip(share, 1e-9, 1 - 1e-9))
        at, sigma = self._gaussian
        z[..., at] = x[..., at] / sigma
        return z

    def _complete(self, x: np.ndarray) -> np.ndarray:
        """Return all parameters (..., 20) in the order of `EFT`; fixed ones are 0, a fixed length is 1: no effect."""
        if self.names == EFT:
            return x
        every = np.zeros((*np.shape(x)[:-1], len(EFT)), dtype=x.dtype)
        every[..., -2:] = 1.0
        every[..., self._position] = x
        return every

    @cached_property
    def _position(self) -> list[int]:
        return [EFT.index(name) for name in self.names]

    @cached_property
    def _linear(self) -> np.ndarray:
        """Factors (5, n) of gamma, k_STG, beta_TPR, k_TBN and rho_Recon in the bracket; k_TBN has none."""
        c = self.conditions
        source, balance, supplied = c.covariates.T[:3]
        return np.array([c.path, source, balance, np.zeros(c.n), supplied])

    def _factorise(self, every: np.ndarray) -> tuple[np.ndarray, ...]:
        """Return exp(2 shift), (mu0/μ_Asimov)², the bracket, W_Coh, its exponential and 1 + ξ_RL ξ, each (..., n)."""
        c = self.conditions
        alpha, theta, _, xi, x_bend, tau_c = np.moveaxis(every[..., 14:, None], -2, 0)
        base = np.exp(2 * (every[..., :1] + every[..., 1:7] @ c.slopes.T))
        moment = (every[..., 8:9] * 1e11) ** 2 * self._per_square
        bracket = 1 + every[..., 9:14] @ self._linear + alpha * np.log(1 + c.energy / x_bend)
        decay = np.exp(-np.abs(c.energy - x_bend) / tau_c)
        return base, moment, bracket, 1 - theta * (1 - decay), decay, 1 + xi * c.covariates[:, COVARIATES.index("xi")]

    def predict(self, x: np.ndarray) -> np.ndarray:
        """Return ln(μ_model/μ_Asimov) (..., n) at parameters (..., n_par); nan where a factor of μ is not positive."""
        every = self._complete(x)
        if not self.is_eft:
            return every[..., :1] + every[..., 1:7] @ self.conditions.slopes.T
        base, moment, bracket, window, _, loss = self._factorise(every)
        factor = np.where((bracket > 0) & (window > 0) & (loss > 0), bracket * window / loss, np.nan)
        return 0.5 * np.log((base + moment) * factor**2) - every[..., 16:17] * self._damping

    def differentiate(self, x: np.ndarray) -> np.ndarray:
        """Return the derivatives (n_par, n) of `predict` at parameters (n_par,)."""
        c, every = self.conditions, self._complete(x)
        slopes = np.zeros((len(EFT), c.n))
        slopes[0], slopes[1:7] = 1.0, c.slopes.T
        if self.is_eft:
            base, moment, bracket, window, decay, loss = self._factorise(every)
            alpha, theta, _, _, x_bend, tau_c = every[14:]
            slopes[:7] *= base / (base + moment)
            slopes[8] = every[8] * 1e22 * self._per_square / (base + moment)
            slopes[9:14] = self._linear / bracket
            slopes[14] = np.log(1 + c.energy / x_bend) / bracket
            slopes[15] = (decay - 1) / window
            slopes[16] = -self._damping
            slopes[17] = -c.covariates[:, COVARIATES.index("xi")] / loss
            slopes[18] = theta * decay * np.sign(c.energy - x_bend) / (tau_c * window)
            slopes[18] -= alpha * c.energy / (x_bend * (x_bend + c.energy) * bracket)
            slopes[19] = theta * decay * np.abs(c.energy - x_bend) / (tau_c**2 * window)
        return slopes[self._position]

    @cached_property
    def _per_square(self) -> np.ndarray:
        return np.exp(-2 * self.conditions.log_expected)

    @cached_property
    def _damping(self) -> np.ndarray:
        return self.conditions.covariates[:, COVARIATES.index("z")] ** 2

    def shared_variance(self, x: np.ndarray) -> np.ndarray:
        """Variance (..., n_sets) of the random effect of each data set."""
        every = self._complete(x)
        return every[..., 7:8] ** 2 + (every[..., 12:13] * self._environment) ** 2

    @cached_property
    def _environment(self) -> np.ndarray:
        return self.conditions.covariates[self.first, COVARIATES.index("U_env")]

    @cached_property
    def first(self) -> np.ndarray:
        """First condition (n_sets,) of each data set."""
        return np.searchsorted(self.conditions.owner, np.arange(len(self.conditions.slugs)))

    @cached_property
    def shared(self) -> tuple[np.ndarray, np.ndarray]:
        """Return the effect of a unit shift on the whitened conditions (n,), and its square by data set (n_sets,)."""
        ones = self.conditions.whitener.sum(axis=1)
        return ones, np.add.reduceat(ones**2, self.first)

    def minus_two_log_likelihood(self, x: np.ndarray) -> np.ndarray:
        """−2 ln L (...) of the conditions at parameters (..., n_par); nan where the model has no value."""
        c, first = self.conditions, self.first
        white = (c.log_ratio - self.predict(x)) @ c.whitener.T
        ones, weight = self.shared
        variance = self.shared_variance(x)
        along = np.add.reduceat(white * ones, first, axis=-1)
        squares = np.sum(white**2, axis=-1) - np.sum(variance * along**2 / (1 + variance * weight), axis=-1)
        determinant = np.sum(np.log(1 + variance * weight), axis=-1) + c.log_determinant.sum()
        return squares + determinant + c.n * math.log(2 * math.pi)

    def log_likelihood(self, x: np.ndarray) -> np.ndarray:
        """Log likelihood ln L (...) of the conditions at parameters (..., n_par); −inf where the model has no value."""
        found = -0.5 * self.minus_two_log_likelihood(x)
        return np.where(np.isnan(found), -np.inf, found)

    def cost(self, x: np.ndarray) -> tuple[float, np.ndarray]:
        """−2 ln L plus the prior terms of pulls and offset, and its gradient (n_par,), at parameters (n_par,)."""
        c, first = self.conditions, self.first
        variance, variance_slopes = self.shared_variance(x), np.zeros((len(EFT), len(first)))
        every = self._complete(x)
        variance_slopes[7], variance_slopes[12] = 2 * every[7], 2 * every[12] * self._environment**2
        variance_slopes = variance_slopes[self._position]
        white = c.whitener @ (c.log_ratio - self.predict(x))
        slopes = -self.differentiate(x) @ c.whitener.T  # (n_par, n)
        ones, weight = self.shared
        along = np.add.reduceat(white * ones, first)
        along_slopes = np.add.reduceat(slopes * ones, first, axis=-1)
        inflated = 1 + variance * weight
        value = white @ white - np.sum(variance * along**2 / inflated) + np.sum(np.log(inflated))
        gradient = 2 * slopes @ white - 2 * along_slopes @ (variance * along / inflated)
        gradient += variance_slopes @ (weight / inflated - (along / inflated) ** 2)
        at, sigma = self._gaussian
        value += np.sum((x[at] / sigma) ** 2)
        gradient[at] += 2 * x[at] / sigma**2
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

    Lengths are varied in their logarithm.
    """
    n_par = len(model.names)
    is_length = model.is_length
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
