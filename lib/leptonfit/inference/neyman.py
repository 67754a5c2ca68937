"""Toy experiments at a known signal: Feldman and Cousins' construction in general, and the coverage of every other.

A toy draws the data, and the auxiliary measurements behind the pulls, at a truth (θ, a); the nuisances of the truth are
those that fit the data best at its θ.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from scipy.interpolate import CubicSpline
from scipy.stats import binomtest, norm

from leptonfit.inference.binned import BinnedModel
from leptonfit.inference.limits import METHODS, Profile, asymptotic_p_values, feldman_cousins
from leptonfit.inference.parallel import map_ordered, spawn_seeds
from leptonfit.inference.result import Integers, Result

_TAIL = 10
"""Toys beyond a quantile below which it is not known."""
_MOST_FAILED = 0.01
"""Share of toys whose fits may fail; they are left out."""
_FROM, _TO, _POINTS = 0.4, 1.8, 11
"""Where critical values are made, from the least of the Gaussian limits to the largest."""


@dataclass(frozen=True)
class ToyLimitResult(Result):
    """Feldman and Cousins' upper limit by toys.

    Attributes
    ----------
    confidence : ndarray (n_levels,)
    theta : ndarray (n_theta,)
    statistic : ndarray (n_theta,)
        Q(θ) − min Q at θ ≥ 0, of the data.
    critical, critical_error : ndarray (n_levels, n_theta)
        Its quantile in toys at θ, and the error of that for their number.
    limit, error : ndarray (n_levels,)
        Where the statistic crosses a parabola through the critical values, and its error; nan where it does not, or
        fewer than ten toys at each θ lie beyond the quantile.
    n_toys : int
        At each θ.
    """

    confidence: np.ndarray
    theta: np.ndarray
    statistic: np.ndarray
    critical: np.ndarray
    critical_error: np.ndarray
    limit: np.ndarray
    error: np.ndarray
    n_toys: int


@dataclass(frozen=True)
class LimitCoverageResult(Result):
    """How often each construction's interval holds the truth.

    Attributes
    ----------
    theta : float
        The truth.
    confidence : ndarray (n_levels,)
    n_covered : dict of ndarray (n_levels,) of int
        Toys by construction; all of them at θ = 0, which every upper limit covers.
    n_toys : int
    """

    theta: float
    confidence: np.ndarray
    n_covered: dict[str, Integers]
    n_toys: int

    def interval(self, method: str, level: int, *, confidence: float = 0.95) -> tuple[float, float]:
        """Wilson's interval for the coverage of a construction at one of the levels."""
        found = binomtest(int(self.n_covered[method][level]), self.n_toys).proportion_ci(confidence, "wilson")
        return float(found.low), float(found.high)


def run_feldman_cousins(
    model: BinnedModel,
    data: np.ndarray,
    *,
    confidence: Sequence[float] = (0.90, 0.95),
    n_toys: int,
    seed: int,
    jobs: int = 1,
) -> ToyLimitResult:
    """Upper limit of Feldman and Cousins' construction with toys (arXiv:physics/9711021, section V B).

    Critical values are smoothed by a parabola in θ: for spectra, not for a handful of counts, where they jump.

    Parameters
    ----------
    model : BinnedModel
    data : ndarray (n_bins,)
    confidence : sequence of float
    n_toys : int
        At each of eleven θ about the limit for a Gaussian.
    seed, jobs : int
        The same seed gives the same limit for any number of jobs.

    Raises
    ------
    ValueError
        If there are no toys.
    """
    if n_toys < 1:
        raise ValueError(f"n_toys = {n_toys}: must be at least 1")
    sigma = float(model.theta_sigma())
    levels = np.array(confidence, dtype=float)
    free = model.fit(data)
    guess = sigma * feldman_cousins(free.theta / sigma, levels)[1]
    theta = np.linspace(_FROM * guess.min(), _TO * guess.max(), _POINTS)
    held = model.fit(data, theta=theta)
    lowest = free.value if free.theta > 0 else model.fit(data, theta=0.0).value
    tasks = list(zip(theta, held.pulls, spawn_seeds(seed, len(theta)), strict=True))
    toys = np.sort(map_ordered(partial(_rank_toys, model=model, n_toys=n_toys), tasks, jobs=jobs), axis=-1)
    statistic = held.value - lowest
    spread = np.sqrt(levels * (1 - levels) / n_toys)
    ranks = np.clip(levels[:, None] + spread[:, None] * np.array([0, -1, 1]), 0, 1)
    middle, low, high = np.moveaxis(np.nanquantile(toys, ranks, axis=-1), 1, 0)
    errors = (high - low) / 2
    known = n_toys * (1 - levels) >= _TAIL
    crossings = [_cross(theta, statistic, *one) if enough else (np.nan, np.nan)
                 for *one, enough in zip(middle, errors, known, strict=True)]  # fmt: skip
    limit, error = np.array(crossings).T
    return ToyLimitResult(levels, theta, statistic, middle, errors, limit, error, n_toys)


def cover_limits(
    model: BinnedModel,
    data: np.ndarray,
    theta: float,
    *,
    confidence: Sequence[float] = (0.90, 0.95),
    n_toys: int,
    seed: int,
) -> LimitCoverageResult:
    """Coverage of every construction at a truth: its θ, and the nuisances that fit the data best there.

    Upper limits cover θ = 0 whatever they are; Feldman and Cousins' interval has a lower end too.

    Parameters
    ----------
    model : BinnedModel
    data : ndarray (n_bins,)
    theta : float
    confidence : sequence of float
    n_toys, seed : int
    """
    levels = np.array(confidence, dtype=float)
    pulls = model.fit(data, theta=theta).pulls
    toys, centres = _draw(model, theta, pulls, n_toys, np.random.default_rng(seed))
    sigma = np.full(n_toys, float(model.theta_sigma()))
    used = np.ones((n_toys, model.n_bins), dtype=bool)
    seen = Profile(model, toys, used, sigma, centres)
    flat = Profile(model, model.expected(0.0)[None], used[:1], sigma[:1])
    t, rows = np.full(n_toys, theta) / sigma, np.arange(n_toys)
    low, high = feldman_cousins((seen.theta_hat / sigma)[:, None], levels)
    covered = {"fc": (low <= t[:, None]) & (t[:, None] <= high)}
    if theta == 0:
        covered |= {name: np.ones((n_toys, len(levels)), dtype=bool) for name in METHODS if name != "fc"}
    else:
        p_values = asymptotic_p_values(seen.q_tilde(t, rows), flat.q_tilde(t[:1], rows[:1]))
        for name, p in zip(("cls", "q_tilde"), p_values, strict=True):
            covered[name] = p[:, None] > 1 - levels
        covered["pinned"] = (seen.q(t, rows) - seen.zero)[:, None] <= norm.ppf(levels) ** 2
    return LimitCoverageResult(theta, levels, {name: covered[name].sum(axis=0) for name in METHODS}, n_toys)


def _draw(
    model: BinnedModel, theta: float, pulls: np.ndarray, n_toys: int, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Toy data (n_toys, n_bins) and what their auxiliary measurements found (n_toys, n_nuisances)."""
    toys = model.draw(np.full(n_toys, theta), np.tile(pulls, (n_toys, 1)), rng)
    return toys, pulls + rng.standard_normal((n_toys, len(pulls))) * ~model.is_free


def _rank_toys(
    task: tuple[float, np.ndarray, np.random.SeedSequence], *, model: BinnedModel, n_toys: int
) -> np.ndarray:
    """Q(θ) − min Q at θ ≥ 0 of toys (n_toys,) at one truth."""
    theta, pulls, seed = task
    toys, centres = _draw(model, theta, pulls, n_toys, np.random.default_rng(seed))
    free = model.fit(toys, lowest=0.0, centres=centres, start=pulls)
    held = model.fit(toys, theta=theta, centres=centres, start=pulls)
    converged = free.converged & held.converged
    if np.mean(~converged) > _MOST_FAILED:
        raise RuntimeError(f"{np.count_nonzero(~converged)} of {n_toys} toys at theta = {theta:g} did not converge")
    return np.where(converged, np.maximum(held.value - free.value, 0.0), np.nan)


def _cross(theta: np.ndarray, statistic: np.ndarray, critical: np.ndarray, error: np.ndarray) -> tuple[float, float]:
    """Where a statistic rises through critical values smoothed by a parabola, and its error; nan where it does not."""
    x = theta / theta[-1]
    weights = 1 / np.maximum(error, 1e-3 * critical.max())
    parabola, covariance = np.polyfit(x, critical, 2, w=weights, cov="unscaled")
    rise = CubicSpline(x, statistic)
    fine = np.linspace(x[0], x[-1], 1001)
    above = rise(fine) - np.polyval(parabola, fine)
    crossed = np.flatnonzero((above[:-1] <= 0) & (above[1:] > 0))
    if not len(crossed):
        return float("nan"), float("nan")
    i = crossed[-1]
    at = fine[i] - above[i] * (fine[i + 1] - fine[i]) / (above[i + 1] - above[i])
    powers = at ** np.arange(2, -1, -1)
    slope = float(rise(at, 1) - np.polyval(np.polyder(parabola), at))
    return at * float(theta[-1]), float(np.sqrt(powers @ covariance @ powers)) / abs(slope) * float(theta[-1])
