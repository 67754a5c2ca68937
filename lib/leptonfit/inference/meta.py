"""Random-effects combination of several estimates: their mean, and their variance beyond the given errors.

y_i = μ + u_i + e_i with known var e_i = v_i and var u_i = τ². Estimators of τ²: R. DerSimonian and N. Laird (DL),
Control. Clin. Trials 7, 177 (1986); R. C. Paule and J. Mandel (PM), J. Res. NBS 87, 377 (1982); restricted likelihood
(REML), W. Viechtbauer, J. Educ. Behav. Stat. 30, 261 (2005). Everything is computed in units of the spread of the data,
so that values of 1e-11 and of 1 give the same result up to that factor.
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

from leptonfit.inference.arguments import read_choice
from leptonfit.inference.result import Result

ESTIMATORS = ("REML", "PM", "DL", "FE")
_NODES_PER_E_FOLD = 16


@dataclass(frozen=True)
class MetaResult(Result):
    """Combination of n estimates by a random-effects model.

    Quantities are in the unit of the values, τ² in the square of that unit.

    Attributes
    ----------
    estimator : str
        Estimator of τ²; "FE" (fixed effect) assumes τ² = 0 and estimates no spread.
    n : int
    mean, error : float
        Combined value and its standard error, 1/√Σw (Wald).
    interval : ndarray (2,)
        Interval of the mean at `level`: mean ± z error, z Gaussian.
    knapp_hartung_error : float
        Standard error √(Σw(y − mean)² / ((n − 1) Σw)), which includes the uncertainty of τ². J. Hartung and G. Knapp,
        Stat. Med. 20, 3875 (2001), doi:10.1002/sim.1009; G. Knapp and J. Hartung, Stat. Med. 22, 2693 (2003),
        doi:10.1002/sim.1482. It can be smaller than `error`, and is 0 for equal estimates.
    knapp_hartung_interval : ndarray (2,)
        Interval of the mean at `level`: mean ± t_(n−1) knapp_hartung_error.
    tau2 : float
        Variance between the estimates, τ².
    tau2_interval : ndarray (2,)
        Interval of τ² at `level`, by inversion of Q(τ²) (W. Viechtbauer, Stat. Med. 26, 37 (2007)); nan for "FE".
    q, p_value : float
        Cochran's Q and its tail probability if τ² = 0.
    i2 : float
        Fraction of the scatter that is not sampling error: (Q − (n − 1))/Q, or 0 if that is negative.
    prediction : ndarray (2,)
        Interval at `level` for a further estimate without error: mean ± t_(n−2) √(τ² + error²) (J. P. T. Higgins et
        al., J. R. Stat. Soc. A 172, 137 (2009)); nan for fewer than three estimates, and for "FE".
    level : float
    """

    estimator: str
    n: int
    mean: float
    error: float
    interval: np.ndarray
    knapp_hartung_error: float
    knapp_hartung_interval: np.ndarray
    tau2: float
    tau2_interval: np.ndarray
    q: float
    p_value: float
    i2: float
    prediction: np.ndarray
    level: float

    @property
    def spread(self) -> float:
        """Standard deviation τ between the estimates, in their unit; nan for "FE", which does not estimate it."""
        return math.nan if self.estimator == "FE" else math.sqrt(self.tau2)


def combine_estimates(
    values: np.ndarray, variances: np.ndarray, *, estimator: str = "REML", level: float = 0.95
) -> MetaResult:
    """Combine estimates of one quantity that may differ by more than their errors.

    Parameters
    ----------
    values, variances : ndarray (n,)
        Estimates in any unit, and their squared standard errors in the square of that unit.
    estimator : {"REML", "PM", "DL", "FE"}
        REML is the highest maximum of the restricted likelihood over all τ² ≥ 0; there may be several maxima.
    level : float
        Confidence level of the intervals, between 0 and 1.

    Raises
    ------
    ValueError
        If there are fewer than two estimates, a value is not finite, a variance is not above 0, the estimator is
        unknown or the level is not between 0 and 1.

    Examples
    --------
    >>> found = combine_estimates([1.0, 2.0, 4.0], [0.1, 0.1, 0.1], estimator="PM")
    >>> round(found.mean, 4), round(found.tau2, 4)
    (2.3333, 2.2333)
    """
    y, v = np.asarray(values, dtype=float), np.asarray(variances, dtype=float)
    _check(y, v, estimator, level)
    zero, unit = float(y[v.argmin()]), max(float(np.ptp(y)), math.sqrt(v.max()))
    y, v = (y - zero) / unit, v / unit / unit
    n, q = len(y), _scatter(y, v, 0.0)
    tau2 = {
        "FE": lambda: 0.0,
        "DL": lambda: _dersimonian_laird(q, 1 / v),
        "PM": lambda: _fall_to(partial(_exceed, y, v, n - 1), v.min()),
        "REML": lambda: _maximise_restricted(y, v),
    }[estimator]()
    mean, weights = _average(y, v, tau2)
    error = 1 / math.sqrt(weights.sum())
    knapp_hartung = error * math.sqrt(_scatter(y, v, tau2) / (n - 1))
    goals = chi2.ppf([(1 + level) / 2, (1 - level) / 2], n - 1)
    is_fixed = estimator == "FE"
    ends = np.full(2, np.nan)
    if not is_fixed:
        ends[:] = [_fall_to(partial(_exceed, y, v, float(goal)), v.min()) for goal in goals]
    tail, sides = (1 - level) / 2, np.array([-1, 1])
    reach = student.isf(tail, n - 2) * math.hypot(math.sqrt(tau2), error) if n > 2 and not is_fixed else math.nan
    centre = zero + unit * mean
    return MetaResult(
        estimator=estimator,
        n=n,
        mean=centre,
        error=unit * error,
        interval=centre + unit * norm.isf(tail) * error * sides,
        knapp_hartung_error=unit * knapp_hartung,
        knapp_hartung_interval=centre + unit * student.isf(tail, n - 1) * knapp_hartung * sides,
        tau2=tau2 * unit * unit,
        tau2_interval=ends * unit * unit,
        q=q,
        p_value=float(chi2.sf(q, n - 1)),
        i2=max(0.0, (q - (n - 1)) / q) if q > 0 else 0.0,
        prediction=centre + unit * reach * sides,
        level=level,
    )


def _check(y: np.ndarray, v: np.ndarray, estimator: str, level: float) -> None:
    if y.ndim != 1 or len(y) < 2 or y.shape != v.shape:
        raise ValueError(f"{y.size} estimates with {v.size} variances: must be at least two, with one each")
    for name, numbers, bad, allowed in (
        ("values", y, ~np.isfinite(y), "finite"),
        ("variances", v, ~((v > 0) & (v < np.inf)), "finite and above 0"),
    ):
        if bad.any():
            raise ValueError(f"{name}[{bad.argmax()}] = {numbers[bad.argmax()]:g}: must be {allowed}")
    read_choice("estimator", estimator, ESTIMATORS)
    if not 0 < level < 1:
        raise ValueError(f"level = {level:g}: must be between 0 and 1, as 0.95 for 95 %")


def _average(y: np.ndarray, v: np.ndarray, tau2: float) -> tuple[float, np.ndarray]:
    weights = 1 / (v + tau2)
    return float(weights @ y / weights.sum()), weights


def _scatter(y: np.ndarray, v: np.ndarray, tau2: float) -> float:
    """Weighted scatter Q(τ²) about the mean; it decreases with τ²."""
    mean, weights = _average(y, v, tau2)
    return float(weights @ (y - mean) ** 2)


def _exceed(y: np.ndarray, v: np.ndarray, goal: float, tau2: float) -> float:
    return _scatter(y, v, tau2) - goal


def _dersimonian_laird(q: float, weights: np.ndarray) -> float:
    return max(0.0, (q - (len(weights) - 1)) / float(_pairs(weights)))


def _pairs(weights: np.ndarray) -> np.ndarray:
    """Σw − Σw²/Σw (...) of weights (..., n), computed as Σ_(i≠j) w_i w_j / Σw to avoid cancellation of digits."""
    shares = np.cumsum(weights / weights.sum(axis=-1, keepdims=True), axis=-1)
    return 2 * np.vecdot(weights[..., 1:], shares[..., :-1])


def _maximise_restricted(y: np.ndarray, v: np.ndarray) -> float:
    """Find the τ² ≥ 0 with the highest restricted likelihood.

    Above max(max v, 3 range²) the score is negative: for t ≥ max v the weights lie within a factor of two, so that
    Σw − Σw²/Σw ≥ Σw (n − 1)/(n + 1), while Σw²(y − mean)² ≤ Σw range²/t. Below, the score varies over e-folds of
    τ² + min v. A grid of these detects every change of sign from + to − that is wider than a sixteenth of an e-fold.
    """
    floor, high = v.min(), max(v.max(), 3 * np.ptp(y) ** 2)
    n_nodes = 2 + math.ceil(_NODES_PER_E_FOLD * math.log1p(high / floor))
    grid = np.append(0.0, np.geomspace(floor, floor + high, n_nodes)[1:] - floor)
    score = _score(y, v, grid)
    falls = np.flatnonzero((score[:-1] > 0) & (score[1:] <= 0))
    maxima = np.array([0.0] + [_root(lambda t: float(_score(y, v, t)), grid[i], grid[i + 1], floor) for i in falls])
    return float(maxima[_restricted(y, v, maxima).argmax()])


def _score(y: np.ndarray, v: np.ndarray, tau2: np.ndarray | float) -> np.ndarray:
    """Derivative (...) of twice the restricted log-likelihood by τ² (...), divided by the positive Σw − Σw²/Σw."""
    weights = 1 / (v + np.asarray(tau2)[..., None])
    spread = weights * (y - (np.vecdot(weights, y) / weights.sum(axis=-1))[..., None])
    return np.vecdot(spread, spread) / _pairs(weights) - 1


def _restricted(y: np.ndarray, v: np.ndarray, tau2: np.ndarray) -> np.ndarray:
    """Restricted log-likelihood (...) at τ² (...), up to a constant."""
    weights = 1 / (v + tau2[..., None])
    total = weights.sum(axis=-1)
    spread = y - (np.vecdot(weights, y) / total)[..., None]
    return -0.5 * (np.log(total) - np.log(weights).sum(axis=-1) + np.vecdot(weights, spread**2))


def _fall_to(function: Callable[[float], float], step: float) -> float:
    """Value of τ² ≥ 0 where a decreasing function is zero, searched upward from `step`; 0 if it is never positive."""
    if function(0.0) <= 0:
        return 0.0
    low, high = 0.0, step
    while function(high) > 0:
        low, high = high, 4 * high
    return _root(function, low, high, step)


def _root(function: Callable[[float], float], low: float, high: float, scale: float) -> float:
    """Root between `low` and `high`, with a tolerance of 1e-13 of the root or 1e-15 of `scale`."""
    return float(brentq(function, low, high, xtol=1e-15 * scale, rtol=1e-13))
