"""Random effects: what several estimates of differing precision say together, and how much they differ beyond it.

y_i = μ + u_i + e_i with known var e_i = v_i and var u_i = τ². Estimators of τ²: R. DerSimonian and N. Laird (DL),
Control. Clin. Trials 7, 177 (1986); R. C. Paule and J. Mandel (PM), J. Res. NBS 87, 377 (1982); restricted likelihood
(REML), W. Viechtbauer, J. Educ. Behav. Stat. 30, 261 (2005).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
from scipy.optimize import brentq
from scipy.stats import chi2, norm
from scipy.stats import t as student

from leptonfit.inference.result import Result

ESTIMATORS = ("REML", "PM", "DL", "FE")


@dataclass(frozen=True)
class MetaResult(Result):
    """A combination of n estimates.

    Attributes
    ----------
    estimator : str
        How τ² was estimated; FE takes it as zero.
    n : int
    mean, error : float
        Combined value and its standard error.
    interval : ndarray (2,)
        Of the mean, at `level`, Gaussian.
    tau2 : float
        Variance between the estimates.
    tau2_interval : ndarray (2,)
        At `level`, by inverting Q(τ²) (W. Viechtbauer, Stat. Med. 26, 37 (2007)).
    q, p_value : float
        Cochran's Q and its tail probability if τ² = 0.
    i2 : float
        Share of the scatter that is not sampling error: (Q − (n − 1))/Q, not below 0.
    prediction : ndarray (2,)
        Where a further estimate without error would lie, at `level`: mean ± t_(n−2) √(τ² + error²)
        (J. P. T. Higgins et al., J. R. Stat. Soc. A 172, 137 (2009)); nan for fewer than three.
    level : float
    """

    estimator: str
    n: int
    mean: float
    error: float
    interval: np.ndarray
    tau2: float
    tau2_interval: np.ndarray
    q: float
    p_value: float
    i2: float
    prediction: np.ndarray
    level: float


def combine_estimates(
    values: np.ndarray, variances: np.ndarray, *, estimator: str = "REML", level: float = 0.95
) -> MetaResult:
    """Combine estimates.

    Parameters
    ----------
    values, variances : ndarray (n,)
    estimator : {"REML", "PM", "DL", "FE"}
    level : float
        Of the intervals.

    Raises
    ------
    ValueError
        If there are fewer than two, a variance is not above 0, or the estimator is unknown.
    """
    y, v = np.asarray(values, dtype=float), np.asarray(variances, dtype=float)
    if len(y) < 2 or y.shape != v.shape:
        raise ValueError(f"{len(y)} estimates with {len(v)} variances: must be at least two, with one each")
    if not (np.isfinite(y).all() and (v > 0).all()):
        raise ValueError("estimates must be finite and their variances above 0")
    if estimator not in ESTIMATORS:
        raise ValueError(f"estimator = {estimator!r}: must be one of {', '.join(ESTIMATORS)}")
    n, q = len(y), _scatter(y, v, 0.0)
    tau2 = {"FE": lambda: 0.0, "DL": lambda: _dersimonian_laird(q, 1 / v),
            "PM": lambda: _fall_to(partial(_exceed, y, v, n - 1)),
            "REML": lambda: _fall_to(partial(_score, y, v))}[estimator]()  # fmt: skip
    mean, weights = _average(y, v, tau2)
    error = 1 / math.sqrt(weights.sum())
    z = norm.ppf((1 + level) / 2)
    goals = chi2.ppf([(1 + level) / 2, (1 - level) / 2], n - 1)
    ends = [_fall_to(partial(_exceed, y, v, float(goal))) for goal in goals]
    reach = student.ppf((1 + level) / 2, n - 2) * math.hypot(math.sqrt(tau2), error) if n > 2 else math.nan
    return MetaResult(
        estimator=estimator,
        n=n,
        mean=mean,
        error=error,
        interval=mean + z * error * np.array([-1, 1]),
        tau2=tau2,
        tau2_interval=np.array(ends),
        q=q,
        p_value=float(chi2.sf(q, n - 1)),
        i2=max(0.0, (q - (n - 1)) / q) if q > 0 else 0.0,
        prediction=mean + reach * np.array([-1, 1]),
        level=level,
    )


def _average(y: np.ndarray, v: np.ndarray, tau2: float) -> tuple[float, np.ndarray]:
    weights = 1 / (v + tau2)
    return float(weights @ y / weights.sum()), weights


def _scatter(y: np.ndarray, v: np.ndarray, tau2: float) -> float:
    """Q(τ²); falls with τ²."""
    mean, weights = _average(y, v, tau2)
    return float(weights @ (y - mean) ** 2)


def _exceed(y: np.ndarray, v: np.ndarray, goal: float, tau2: float) -> float:
    return _scatter(y, v, tau2) - goal


def _dersimonian_laird(q: float, weights: np.ndarray) -> float:
    scale = weights.sum() - weights @ weights / weights.sum()
    return max(0.0, (q - (len(weights) - 1)) / float(scale))


def _score(y: np.ndarray, v: np.ndarray, tau2: float) -> float:
    """Slope of twice the restricted log-likelihood by τ², over Σw², which keeps its sign and falls to zero slowly."""
    mean, weights = _average(y, v, tau2)
    slope = weights**2 @ (y - mean) ** 2 - weights.sum() + weights @ weights / weights.sum()
    return float(slope / (weights @ weights))


def _fall_to(function: Callable[[float], float]) -> float:
    """The τ² ≥ 0 where a function that falls crosses zero; 0 where it is below zero from the start."""
    if function(0.0) <= 0:
        return 0.0
    high = 1.0
    while function(high) > 0:
        high *= 4
    return float(brentq(function, 0.0, high, xtol=1e-14, rtol=1e-13))
