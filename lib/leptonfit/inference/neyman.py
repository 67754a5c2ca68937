"""Upper limits of the Feldman–Cousins construction by toy experiments, for any number of bins and nuisances.

A toy draws the data, and the auxiliary measurements behind the pulls, at true values (θ, a), where a are the nuisances
that fit the data best at this θ. θ is accepted where more than α of the toys have a statistic at least as large as that
of the data. This is the ordering of the paper, including discreteness. The limit is the largest accepted θ.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
from scipy.special import xlogy
from scipy.stats import norm

from leptonfit.inference.asymptotic import feldman_cousins
from leptonfit.inference.binned import BinnedFitResult, BinnedModel
from leptonfit.inference.limit_coverage import LimitCoverageResult, cover_limits, draw_toys
from leptonfit.inference.parallel import map_ordered
from leptonfit.inference.profile_likelihood import ProfileLikelihood, find_end
from leptonfit.inference.result import Result

__all__ = ["LimitCoverageResult", "ToyLimitResult", "cover_limits", "run_feldman_cousins"]

_TAIL = 10
"""Smallest number of toys beyond a quantile; with fewer, the quantile is not known."""
_MOST_FAILED = 0.01
"""Largest fraction of toys whose fits may fail; they are left out."""
_FROM, _TO, _POINTS = 0.4, 1.8, 11
"""Range of the first θ over the smallest and largest θ where the profile reaches the χ² quantile, and their number."""
_FURTHER, _ROUNDS = np.array([1.3, 1.7, 2.2]), 5
"""Factors for θ beyond the last if that is accepted, or below the first if none is; most extensions of this kind."""
_LOCAL, _HALVINGS = 9, 5
"""Number of θ around the crossing at which the toys of one θ are reweighted, and of bisections between two of them."""
_ERRORS = (-2, -1, 1, 2)
"""Shifts of α, in errors of p(θ), for the error of the limit. One error misses a jump of the limit in 1 of 6 cases."""
_CLOSE, _CLOSEST = 0.1, 1e-3
"""Error of an interpolated statistic: this share of the curvature's contribution, and at least this much."""
_TIE = 1e-7
"""Tolerance for equal statistics, relative to max(1, value): equal data must have an equal statistic."""


@dataclass(frozen=True)
class ToyLimitResult(Result):
    """Feldman–Cousins upper limit from toys.

    Attributes
    ----------
    confidence : ndarray (n_levels,)
    theta : ndarray (n_theta,)
    statistic : ndarray (n_theta,)
        Q(θ) − min Q at θ ≥ 0, for the data.
    critical, critical_error : ndarray (n_levels, n_theta)
        Quantile of the statistic in toys at θ, and its error from the number of toys.
    p_value : ndarray (n_theta,)
        Fraction of toys at θ whose statistic is at least that of the data.
    limit, error : ndarray (n_levels,)
        Largest accepted θ, and its standard error from the number of toys; inf and nan if every θ that was tried is
        accepted; nan if fewer than ten toys at each θ are beyond the quantile.
    n_toys : int
        Number of toys at each θ, and again near each limit.
    """

    confidence: np.ndarray
    theta: np.ndarray
    statistic: np.ndarray
    critical: np.ndarray
    critical_error: np.ndarray
    p_value: np.ndarray
    limit: np.ndarray
    error: np.ndarray
    n_toys: int


def run_feldman_cousins(
    model: BinnedModel,
    data: np.ndarray,
    *,
    confidence: Sequence[float] = (0.90, 0.95),
    n_toys: int,
    seed: int,
    jobs: int = 1,
) -> ToyLimitResult:
    """Upper limit of the Feldman–Cousins construction from toys (arXiv:physics/9711021, section V B).

    The upper end is that of the plain construction. For one count `find_limits` also adjusts it so that it does not
    rise with the background, as in the published tables.

    Parameters
    ----------
    model : BinnedModel
    data : ndarray (n_bins,)
    confidence : sequence of float
    n_toys : int
        Number of toys at each of eleven or more θ around the limit, and at one θ near the limit of each confidence.
    seed, jobs : int
        Seed of the toys and number of processes. The same seed gives the same limit for any number of jobs.

    Raises
    ------
    ValueError
        If `n_toys` is below 1.
    RuntimeError
        If more than 1 % of the fits of toys fail.
    """
    if n_toys < 1:
        raise ValueError(f"n_toys = {n_toys}: must be at least 1")
    levels, seeds = np.array(confidence, dtype=float), np.random.SeedSequence(seed)
    observed = _Observed(model, np.asarray(data, dtype=float))
    rank = partial(_rank_toys, model=model, n_toys=n_toys)
    theta, statistic, toys = np.empty(0), np.empty(0), np.empty((0, n_toys))
    new = observed.first_guess(levels)
    for _ in range(_ROUNDS + 1):
        found, pulls = observed.at(new)
        drawn = map_ordered(rank, list(zip(new, pulls, seeds.spawn(len(new)), strict=True)), jobs=jobs)
        order = np.argsort(np.append(theta, new))
        theta, statistic = np.append(theta, new)[order], np.append(statistic, found)[order]
        toys = np.concatenate([toys, np.array(drawn)])[order]
        p_value = np.array([_share(one, value) for one, value in zip(toys, statistic, strict=True)])
        if p_value[-1] > 1 - levels.max():
            new = theta[-1] * _FURTHER
        elif not (p_value > 1 - levels.min()).any():
            new = theta[0] / _FURTHER[::-1]
        else:
            break
    local = partial(_cross, observed=observed, theta=theta, p_value=p_value, n_toys=n_toys)
    crossings = map_ordered(local, list(zip(levels, seeds.spawn(len(levels)), strict=True)), jobs=jobs)
    limit, error = np.array(crossings).T
    known = n_toys * (1 - levels) >= _TAIL
    spread = np.sqrt(levels * (1 - levels) / n_toys)
    ranks = np.clip(levels[:, None] + spread[:, None] * np.array([0, -1, 1]), 0, 1)
    middle, low, high = np.moveaxis(np.nanquantile(toys, ranks, axis=-1), 1, 0)
    return ToyLimitResult(
        levels,
        theta,
        statistic,
        middle,
        (high - low) / 2,
        p_value,
        np.where(known, limit, np.nan),
        np.where(known, error, np.nan),
        n_toys,
    )


class _Observed:
    """Observed data: their statistic at any θ, and the nuisances that fit them best there."""

    def __init__(self, model: BinnedModel, data: np.ndarray) -> None:
        self.model, self.data = model, data
        every = np.ones((1, model.n_bins), dtype=bool)
        self.profile = ProfileLikelihood(model, data[None], every, model.theta_sigma()[None])

    def first_guess(self, levels: np.ndarray) -> np.ndarray:
        """First θ values: around those where the profile reaches the χ² quantile, or the Gaussian limit if none."""
        sigma = float(self.model.theta_sigma())
        quantiles = norm.ppf((1 + levels) / 2) ** 2
        ends = sigma * find_end(lambda t, row, rise: rise - self.profile.at(t, row).q_tilde, 1, quantiles)[0]
        ends = np.where(np.isfinite(ends), ends, sigma * feldman_cousins(np.zeros(1), levels)[1])
        return np.linspace(_FROM * ends.min(), _TO * ends.max(), _POINTS)

    def at(self, theta: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Statistic (n,) and pulls (n, n_nuisances) at θ (n,)."""
        held = self.model.fit(self.data, theta=theta)
        if not held.converged.all():
            raise RuntimeError(
                f"the fit of the data {self.data.tolist()} did not converge at theta = {theta[~held.converged][0]:g}"
            )
        return np.maximum(held.value - self.profile.lowest_allowed[0], 0.0), held.pulls


class _Toys:
    """Toys drawn at one truth, with their free fits; weights turn them into toys at a nearby truth."""

    def __init__(
        self, model: BinnedModel, theta: float, pulls: np.ndarray, n_toys: int, seed: np.random.SeedSequence
    ) -> None:
        self.model, self.theta, self.pulls = model, theta, pulls
        self.data, self.centres = draw_toys(model, theta, pulls, n_toys, np.random.default_rng(seed))
        self.edge = ((self.data == 0) & model.is_counted).any(axis=-1)
        self.held: dict[float, BinnedFitResult] = {}
        held = self.held[theta] = self._hold(theta, pulls, np.arange(n_toys))
        start = replace(
            held, theta=np.where(self.edge, 0.0, theta), pulls=np.where(self.edge[:, None], 0.0, held.pulls)
        )
        self.free = model.fit(self.data, lowest=0.0, centres=self.centres, start=start)

    def _hold(self, theta: float, pulls: np.ndarray, rows: np.ndarray) -> BinnedFitResult:
        """Fits of the toys `rows` at θ, from the line through the fits at the two nearest θ, else from the truth.

        Pulls at the start are nominal where the minimum may lie on the edge of the domain.
        """
        start = np.broadcast_to(pulls, self.centres.shape)
        if len(self.held) > 1:
            first, second = sorted(self.held, key=lambda at: abs(at - theta))[:2]
            before, after = self.held[first].pulls, self.held[second].pulls
            start = before + (theta - first) / (second - first) * (after - before)
        start = np.where(self.edge[:, None], 0.0, start)
        return self.model.fit(self.data[rows], theta=theta, centres=self.centres[rows], start=start[rows])

    def statistic(self, theta: float, pulls: np.ndarray, near: float | None = None) -> np.ndarray:
        """Statistic Q(θ) − min Q at θ ≥ 0 (n_toys,); nan where a fit failed.

        Between two θ of earlier calls only toys close to the value `near`, if given, are fitted. The others have an
        interpolated statistic, which is good enough to tell on which side of `near` they are.

        Raises
        ------
        RuntimeError
            If more than 1 % of the fits failed.
        """
        if near is not None and min(self.held) < theta < max(self.held) and theta not in self.held:
            value, error = self._interpolate(theta)
            rows = np.flatnonzero(~(np.abs(value - self.free.value - near) > error))
            held, converged = self._hold(theta, pulls, rows), self.free.converged.copy()
            value[rows] = held.value
            converged[rows] &= held.converged
        else:
            if theta not in self.held:
                self.held[theta] = self._hold(theta, pulls, np.arange(len(self.data)))
            value, converged = self.held[theta].value, self.free.converged & self.held[theta].converged
        if np.mean(~converged) > _MOST_FAILED:
            raise RuntimeError(
                f"{np.count_nonzero(~converged)} of {len(converged)} toys at theta = {theta:g} did not "
                f"converge; the first is {self.data[~converged][0].tolist()}"
            )
        return np.where(converged, np.maximum(value - self.free.value, 0.0), np.nan)

    def _interpolate(self, theta: float) -> tuple[np.ndarray, np.ndarray]:
        """Q(θ) (n_toys,) by cubics through values and slopes at the two θ around, and a generous error of it.

        The error is a tenth of the distance from the straight line, and at least 1e-3. It is nan where a fit failed.
        """
        low, high = max(at for at in self.held if at < theta), min(at for at in self.held if at > theta)
        first, second, width = self.held[low], self.held[high], high - low
        share = (theta - low) / width
        line = first.value + share * (second.value - first.value)
        rise = (second.value - first.value) / width
        bend = (1 - share) * (first.slope - rise) - share * (second.slope - rise)
        cubic = line + share * (1 - share) * width * bend
        both = first.converged & second.converged
        return cubic, np.where(both, np.maximum(_CLOSE * np.abs(cubic - line), _CLOSEST), np.nan)

    def weights(self, theta: float, pulls: np.ndarray) -> np.ndarray:
        """Likelihood ratio (n_toys,) of each toy at another truth relative to its own truth."""
        model = self.model
        then, now = (model.expected(*truth) for truth in ((self.theta, self.pulls), (theta, pulls)))
        with np.errstate(divide="ignore", invalid="ignore"):
            terms = xlogy(self.data, now / then) - (now - then)
        if model.sigma is not None:
            gaussian = (self.data - then) ** 2 - (self.data - now) ** 2
            terms = np.where(model.is_counted, terms, gaussian / (2 * model.sigma**2))
        pulled = ((self.centres - self.pulls) ** 2 - (self.centres - pulls) ** 2) * ~model.is_free / 2
        return np.exp(terms.sum(axis=-1) + pulled.sum(axis=-1))


def _rank_toys(
    task: tuple[float, np.ndarray, np.random.SeedSequence], *, model: BinnedModel, n_toys: int
) -> np.ndarray:
    """Statistic (n_toys,) of toys at the truth from which they were drawn."""
    theta, pulls, seed = task
    return _Toys(model, theta, pulls, n_toys, seed).statistic(theta, pulls)


def _share(toys: np.ndarray, value: float, weights: np.ndarray | float = 1.0) -> float:
    """Fraction of toys whose statistic is at least a value."""
    weights = np.where(np.isfinite(toys), weights, 0.0)
    return float(np.sum(weights * (toys >= value - _TIE * max(1.0, value))) / np.sum(weights))


def _cross(
    task: tuple[float, np.random.SeedSequence],
    *,
    observed: _Observed,
    theta: np.ndarray,
    p_value: np.ndarray,
    n_toys: int,
) -> tuple[float, float]:
    """Largest accepted θ and its error: the largest shift, per error of p(θ), if α shifts by one or two errors.

    The same toys are used at every θ, so that p(θ) jumps where the ordering of the toys changes and is smooth
    elsewhere. If it jumps across α, the number of toys does not move the limit, and the error is small.
    """
    level, seed = task
    alpha = 1 - level
    accepted = np.flatnonzero(p_value > alpha)
    if not len(accepted):
        return 0.0, float(theta[0])
    last = int(accepted[-1])
    if last == len(theta) - 1:
        return np.inf, np.nan
    middle = np.array([(theta[last] + theta[last + 1]) / 2])
    toys = _Toys(observed.model, float(middle[0]), observed.at(middle)[1][0], n_toys, seed)
    known: dict[float, float] = {}

    def p_at(at: float) -> float:
        if at not in known:
            value, pulls = observed.at(np.array([at]))
            statistic = toys.statistic(at, pulls[0], near=float(value[0]))
            known[at] = _share(statistic, float(value[0]), toys.weights(at, pulls[0]))
        return known[at]

    local = np.linspace(theta[max(last - 1, 0)], theta[min(last + 2, len(theta) - 1)], _LOCAL)
    for at in local[:: _LOCAL // 2]:
        toys.statistic(float(at), observed.at(np.array([at]))[1][0])
    limit, width = _last_crossing(p_at, local, alpha)
    pulls = observed.at(np.array([limit]))[1]
    weights = toys.weights(limit, pulls[0])
    spread = float(np.sqrt(np.sum(weights**2) * alpha * (1 - alpha)) / np.sum(weights))
    moved = [abs(_last_crossing(p_at, local, alpha + k * spread)[0] - limit) / abs(k) for k in _ERRORS]
    return limit, float(np.hypot(max(moved), width))


def _last_crossing(p_at: Callable[[float], float], theta: np.ndarray, alpha: float) -> tuple[float, float]:
    """Largest θ between the first and the last given where p exceeds α, and the uncertainty of its bracketing."""
    above = [k for k, at in enumerate(theta) if p_at(float(at)) > alpha]
    if not above or above[-1] == len(theta) - 1:
        return float(theta[-1] if above else theta[0]), float(theta[-1] - theta[0])
    low, high = float(theta[above[-1]]), float(theta[above[-1] + 1])
    for _ in range(_HALVINGS):
        at = (low + high) / 2
        low, high = (at, high) if p_at(at) > alpha else (low, at)
    rise = (p_at(low) - alpha) / (p_at(low) - p_at(high))
    return low + rise * (high - low), (high - low) / np.sqrt(12)
