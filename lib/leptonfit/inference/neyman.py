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

from leptonfit.inference.arguments import make_seed, read_confidences, read_count
from leptonfit.inference.asymptotic import feldman_cousins
from leptonfit.inference.binned import BinnedFitResult, BinnedModel
from leptonfit.inference.chunks import split_toys
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
    confidence: Sequence[float] | float = (0.90, 0.95),
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
    confidence : float or sequence of float
    n_toys : int
        Number of toys at each of eleven or more θ around the limit, and at one θ near the limit of each confidence.
    seed, jobs : int
        Seed of the toys and number of processes. The same seed gives the same limit for any number of jobs.

    Raises
    ------
    ValueError
        If `n_toys`, the seed or a confidence is not allowed, or one toy alone needs more memory than a chunk may have.
    RuntimeError
        If more than 1 % of the fits of toys fail.
    """
    n_toys, seeds = read_count("n_toys", n_toys), make_seed(seed)
    levels = read_confidences("confidence", confidence, above=0.5)
    observed = _Observed(model, np.asarray(data, dtype=float))
    rank, numbers = partial(_rank_toys, model=model), model.n_bins + len(model.nuisances)
    theta, statistic, toys = np.empty(0), np.empty(0), np.empty((0, n_toys))
    new = observed.first_guess(levels)
    for _ in range(_ROUNDS + 1):
        found, pulls = observed.at(new)
        tasks = [
            (at, pull, *chunk)
            for at, pull, seed_at in zip(new, pulls, seeds.spawn(len(new)), strict=True)
            for chunk in split_toys(n_toys, numbers, seed_at)
        ]
        drawn = np.concatenate(map_ordered(rank, tasks, jobs=jobs)).reshape(len(new), n_toys)
        order = np.argsort(np.append(theta, new))
        theta, statistic = np.append(theta, new)[order], np.append(statistic, found)[order]
        toys = np.concatenate([toys, drawn])[order]
        p_value = np.array([_share(one, value) for one, value in zip(toys, statistic, strict=True)])
        if p_value[-1] > 1 - levels.max():
            new = theta[-1] * _FURTHER
        elif not (p_value > 1 - levels.min()).any():
            new = theta[0] / _FURTHER[::-1]
        else:
            break
    crossings = []
    for level, seed_at in zip(levels, seeds.spawn(len(levels)), strict=True):
        chunks = split_toys(n_toys, numbers, seed_at)
        crossings.append(_cross(1 - level, observed, theta, p_value, chunks, jobs))
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


def _rank_toys(task: tuple[float, np.ndarray, int, np.random.SeedSequence], *, model: BinnedModel) -> np.ndarray:
    """Statistic (n_toys,) of a chunk of toys at the truth from which they were drawn."""
    theta, pulls, n_toys, seed = task
    return _Toys(model, theta, pulls, n_toys, seed).statistic(theta, pulls)


def _share(toys: np.ndarray, value: float) -> float:
    """Fraction of toys whose statistic is at least a value."""
    beyond, usable = _count(toys, value, 1.0)
    return beyond / usable


def _count(toys: np.ndarray, value: float, weights: np.ndarray | float) -> tuple[float, float]:
    """Sums of the weights of toys whose statistic is at least a value, and of all toys that have a statistic."""
    weights = np.where(np.isfinite(toys), weights, 0.0)
    return float(np.sum(weights * (toys >= value - _TIE * max(1.0, value)))), float(np.sum(weights))


def _cross(
    alpha: float,
    observed: _Observed,
    theta: np.ndarray,
    p_value: np.ndarray,
    chunks: list[tuple[int, np.random.SeedSequence]],
    jobs: int,
) -> tuple[float, float]:
    """Largest accepted θ and its error: the largest shift, per error of p(θ), if α shifts by one or two errors.

    The same toys are used at every θ, so that p(θ) jumps where the ordering of the toys changes and is smooth
    elsewhere. If it jumps across α, the number of toys does not move the limit, and the error is small.
    """
    accepted = np.flatnonzero(p_value > alpha)
    if not len(accepted):
        return 0.0, float(theta[0])
    last = int(accepted[-1])
    if last == len(theta) - 1:
        return np.inf, np.nan
    middle = np.array([(theta[last] + theta[last + 1]) / 2])
    local = np.linspace(theta[max(last - 1, 0)], theta[min(last + 2, len(theta) - 1)], _LOCAL)
    anchors = local[:: _LOCAL // 2]
    held = list(zip(anchors.tolist(), observed.at(anchors)[1], strict=True))
    make = partial(_draw_held, observed.model, (float(middle[0]), observed.at(middle)[1][0]), held)
    tasks = [make(*chunks[0])] if len(chunks) == 1 else [partial(make, *chunk) for chunk in chunks]
    known: dict[float, np.ndarray] = {}

    def sums_at(points: np.ndarray) -> np.ndarray:
        """Sums (m, 4) of `_weigh_toys` at θ (m,), which are computed together."""
        new = np.array([at for at in points.tolist() if at not in known])
        if len(new):
            values, pulls = observed.at(new)
            weigh = partial(_weigh_toys, theta=new, values=values, pulls=pulls)
            known.update(zip(new.tolist(), np.sum(map_ordered(weigh, tasks, jobs=jobs), axis=0), strict=True))
        return np.array([known[at] for at in points.tolist()])

    def p_at(points: np.ndarray) -> np.ndarray:
        if not len(points):
            return np.empty(0)
        beyond, usable, *_ = sums_at(points).T
        return beyond / usable

    limit, width = (float(end[0]) for end in _last_crossings(p_at, local, np.array([alpha])))
    _, _, total, squares = sums_at(np.array([limit]))[0]
    spread = float(np.sqrt(squares * alpha * (1 - alpha)) / total)
    shifts = np.array(_ERRORS)
    moved = np.abs(_last_crossings(p_at, local, alpha + shifts * spread)[0] - limit) / np.abs(shifts)
    return limit, float(np.hypot(moved.max(), width))


def _draw_held(
    model: BinnedModel,
    truth: tuple[float, np.ndarray],
    held: list[tuple[float, np.ndarray]],
    n_toys: int,
    seed: np.random.SeedSequence,
) -> _Toys:
    """Toys drawn at a truth, θ and pulls, and fitted at every θ of `held`, between which they can be interpolated."""
    toys = _Toys(model, *truth, n_toys, seed)
    for theta, pulls in held:
        toys.statistic(theta, pulls)
    return toys


def _weigh_toys(
    task: _Toys | Callable[[], _Toys], *, theta: np.ndarray, values: np.ndarray, pulls: np.ndarray
) -> np.ndarray:
    """Sums (m, 4) over a chunk of toys that are weighted to θ (m,).

    The weights of toys whose statistic is at least `values` (m,), those of toys with a statistic, all weights, and
    their squares. `task` holds the toys, or draws them.
    """
    toys = task if isinstance(task, _Toys) else task()
    sums = []
    for at, value, pull in zip(theta.tolist(), values.tolist(), pulls, strict=True):
        found, weights = toys.statistic(at, pull, near=value), toys.weights(at, pull)
        sums.append([*_count(found, value, weights), np.sum(weights), np.sum(weights**2)])
    return np.array(sums)


def _last_crossings(
    p_at: Callable[[np.ndarray], np.ndarray], theta: np.ndarray, alphas: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Largest θ (m,) of a range where p exceeds α (m,), and the uncertainty (m,) of its bracketing."""
    values = p_at(theta)
    limit, width = np.full(len(alphas), theta[0]), np.full(len(alphas), theta[-1] - theta[0])
    low, high, inside = limit.copy(), limit.copy(), np.zeros(len(alphas), dtype=bool)
    for k, alpha in enumerate(alphas):
        above = np.flatnonzero(values > alpha)
        if len(above) and above[-1] == len(theta) - 1:
            limit[k] = theta[-1]
        elif len(above):
            low[k], high[k], inside[k] = theta[above[-1]], theta[above[-1] + 1], True
    low, high, alphas = low[inside], high[inside], alphas[inside]
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        is_above = p_at(middle) > alphas
        low, high = np.where(is_above, middle, low), np.where(is_above, high, middle)
    rise = (p_at(low) - alphas) / (p_at(low) - p_at(high))
    limit[inside], width[inside] = low + rise * (high - low), (high - low) / np.sqrt(12)
    return limit, width
