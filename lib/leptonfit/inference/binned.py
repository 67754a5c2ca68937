"""Counts or rates in bins: a signal of strength θ, nuisance parameters, and the likelihood of both.

The expectation is linear in θ and in the nuisances, each pull a of unit standard deviation::

    expected(θ, a) = base + Σ_k a_k shifts_k + θ (signal + Σ_k a_k signal_shifts_k)

At a given θ, −2 ln L is therefore convex in the nuisances, for Poisson counts as for Gaussian rates: its minimum is the
only one, and one start finds it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from leptonfit.inference.result import Booleans, Result
from leptonfit.inference.stationarity import KKT_TOLERANCE, is_blocked, kkt_from_gradient

MAX_STEPS = 100
_CHUNK = 200_000
"""Numbers in the largest array of one chunk of a batch: what a processor keeps near."""
_DAMPING, _GIVE_UP = 1e-9, 1e12
_ROUNDING, _SINGULAR = 1e-13, 1e-9
_AIM = KKT_TOLERANCE * 1e-3
"""Newton's steps go on to here: they cost nothing near the end, and roots of profiles want them."""


@dataclass(frozen=True)
class BinnedFitResult(Result):
    """Minima of −2 ln L; `...` are the leading axes of the data, of θ and of the bins in use.

    Attributes
    ----------
    theta : ndarray (...)
        Signal strength: fitted, or as held.
    pulls : ndarray (..., n_nuisances)
        Nuisances, in standard deviations.
    value : ndarray (...)
        −2 ln L over that of a model that meets every bin.
    slope : ndarray (...)
        Its derivative by θ with the nuisances profiled (the partial derivative, by the envelope theorem).
    converged : ndarray (...) of bool
        KKT ≤ 1e-6: no free direction has a slope left.
    """

    theta: np.ndarray
    pulls: np.ndarray
    value: np.ndarray
    slope: np.ndarray
    converged: Booleans


@dataclass(frozen=True)
class BinnedModel:
    """What is expected in n_bins bins, and how counts or rates scatter about it.

    Attributes
    ----------
    nuisances : tuple of str
        Their names.
    base : ndarray (n_bins,)
        Expectation without signal at nominal nuisances; positive.
    shifts : ndarray (n_nuisances, n_bins)
        Its change for each pull of one standard deviation.
    signal : ndarray (n_bins,)
        Expectation of a signal of θ = 1.
    signal_shifts : ndarray (n_nuisances, n_bins)
        Its change.
    is_free : ndarray (n_nuisances,) of bool
        Nuisances without a pull term.
    sigma : ndarray (n_bins,) or None
        Gaussian errors of rates, nan for Poisson counts; None where all are counts.
    """

    nuisances: tuple[str, ...]
    base: np.ndarray
    shifts: np.ndarray
    signal: np.ndarray
    signal_shifts: np.ndarray
    is_free: np.ndarray
    sigma: np.ndarray | None = None

    @property
    def n_bins(self) -> int:
        """Number of bins."""
        return len(self.base)

    @property
    def is_counted(self) -> np.ndarray:
        """Which bins (n_bins,) hold Poisson counts."""
        return np.ones(self.n_bins, dtype=bool) if self.sigma is None else np.isnan(self.sigma)

    def variance(self, expected: np.ndarray) -> np.ndarray:
        """Variance (..., n_bins) of data with an expectation (..., n_bins)."""
        return expected if self.sigma is None else np.where(self.is_counted, expected, self.sigma**2)

    @property
    def lowest_theta(self) -> float:
        """Negative θ at which some bin of counts, at nominal nuisances, would expect a thousandth of its background."""
        ratio = np.full(self.n_bins, np.inf)
        np.divide(self.base, self.signal, out=ratio, where=self.is_counted & (self.signal > 0))
        return -0.999 * float(ratio.min())

    def expected(self, theta: np.ndarray | float, pulls: np.ndarray | float = 0.0) -> np.ndarray:
        """Expectation (..., n_bins) at θ (...) and pulls (..., n_nuisances)."""
        theta = np.asarray(theta, dtype=float)[..., None]
        pulls = np.broadcast_to(pulls, (*np.shape(pulls)[:-1], len(self.nuisances)))
        return self.base + pulls @ self.shifts + theta * (self.signal + pulls @ self.signal_shifts)

    def draw(self, theta: np.ndarray | float, pulls: np.ndarray | float, rng: np.random.Generator) -> np.ndarray:
        """Toy data (..., n_bins) at a truth."""
        expected, counted = self.expected(theta, pulls), self.is_counted
        drawn = np.empty(expected.shape)
        drawn[..., counted] = rng.poisson(expected[..., counted])
        if self.sigma is not None:
            drawn[..., ~counted] = rng.normal(expected[..., ~counted], self.sigma[~counted])
        return drawn

    def fit(
        self,
        data: np.ndarray,
        *,
        theta: np.ndarray | float | None = None,
        lowest: float | None = None,
        used: np.ndarray | None = None,
        centres: np.ndarray | float = 0.0,
        start: np.ndarray | float = 0.0,
    ) -> BinnedFitResult:
        """Minimise −2 ln L over the nuisances, and over θ where it is not given.

        Parameters
        ----------
        data : ndarray (..., n_bins)
        theta : ndarray (...) or float, optional
            Signal strength held; fitted where not given.
        lowest : float, optional
            Lower bound of a fitted θ; `lowest_theta` where not given.
        used : ndarray (..., n_bins) of bool, optional
            Bins that count; all where not given.
        centres : ndarray (..., n_nuisances), optional
            What the auxiliary measurements behind the pulls found, in standard deviations.
        start : ndarray (..., n_nuisances), optional
            Pulls to start from; the expectation there must be positive.

        Returns
        -------
        BinnedFitResult

        Raises
        ------
        ValueError
            If data are not finite, or counts negative.
        """
        if not np.isfinite(data).all() or (np.asarray(data)[..., self.is_counted] < 0).any():
            raise ValueError("data: must be finite, and counts not negative")
        n_nuisances, fitted = len(self.nuisances), theta is None
        given = 0.0 if theta is None else theta
        used = np.ones(self.n_bins, dtype=bool) if used is None else used
        batch = np.broadcast_shapes(
            np.shape(data)[:-1], np.shape(given), used.shape[:-1], np.shape(centres)[:-1], np.shape(start)[:-1]
        )
        n = int(np.prod(batch))

        def flatten(array: np.ndarray | float, *last: int) -> np.ndarray:
            return np.broadcast_to(array, (*batch, *last)).reshape(n, *last)

        x = np.column_stack([flatten(given), flatten(start, n_nuisances)]).astype(float)
        counts, use, centre = flatten(data, self.n_bins), flatten(used, self.n_bins), flatten(centres, n_nuisances)
        bound = (self.lowest_theta if lowest is None else lowest) if fitted else None
        value, slope, converged = np.empty(n), np.empty(n), np.empty(n, dtype=bool)
        rows = max(1, _CHUNK // (self.n_bins * x.shape[1]))
        for i in range(0, n, rows):
            part = slice(i, i + rows)
            problem = _Problem(self, counts[part], use[part], centre[part], bound)
            value[part], slope[part], converged[part] = problem.minimise(x[part])
            lost = np.flatnonzero(~converged[part])
            if len(lost):  # from nominal nuisances, in short steps first
                again = i + lost
                x[again] = 0.0 if fitted else np.column_stack([x[again, 0], np.zeros((len(lost), n_nuisances))])
                problem = _Problem(self, counts[again], use[again], centre[again], bound)
                retried = x[again]
                value[again], slope[again], converged[again] = problem.minimise(retried, damping=1.0)
                x[again] = retried
        return BinnedFitResult(
            theta=x[:, 0].reshape(batch),
            pulls=x[:, 1:].reshape(*batch, n_nuisances),
            value=value.reshape(batch),
            slope=slope.reshape(batch),
            converged=converged.reshape(batch),
        )

    def fisher(
        self, theta: float = 0.0, pulls: np.ndarray | float = 0.0, *, used: np.ndarray | None = None
    ) -> np.ndarray:
        """Expected Fisher information (..., 1 + n_nuisances, 1 + n_nuisances) of θ and the pulls (n_nuisances,)."""
        pulls = np.broadcast_to(pulls, len(self.nuisances))
        weights = 1 / self.variance(self.expected(theta, pulls))
        slopes = np.vstack([self.signal + pulls @ self.signal_shifts, self.shifts + theta * self.signal_shifts])
        information = np.einsum("ib,...b,jb->...ij", slopes, weights * (1 if used is None else used), slopes)
        return information + np.diag(np.concatenate([[0.0], ~self.is_free]).astype(float))

    def theta_sigma(self, *, used: np.ndarray | None = None) -> np.ndarray:
        """Standard deviation (...) of θ̂ expected at θ = 0; infinite where nuisances can do all that a signal does."""
        scaled, lengths = _scale(self.fisher(used=used))
        mixed = scaled[..., 1:, 0]
        taken = np.vecdot(mixed, (np.linalg.pinv(scaled[..., 1:, 1:], hermitian=True) @ mixed[..., None])[..., 0])
        left = (1 - taken) * (lengths[..., 0] > 0)
        with np.errstate(divide="ignore"):
            return np.where(left > _SINGULAR, 1 / (lengths[..., 0] * np.sqrt(np.maximum(left, 0.0))), np.inf)


def _scale(information: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Information with a unit diagonal, and the lengths taken out: units must not decide what is singular."""
    lengths = np.sqrt(np.diagonal(information, axis1=-2, axis2=-1))
    safe = np.where(lengths > 0, lengths, 1.0)
    return information / (safe[..., :, None] * safe[..., None, :]), lengths


def stack_models(models: Mapping[str, BinnedModel]) -> BinnedModel:
    """Several models of one θ as one, their bins side by side and their nuisances apart, named `model: nuisance`."""
    several = list(models.values())
    sizes = [(len(one.nuisances), one.n_bins) for one in several]
    shifts, signal_shifts = (np.zeros(np.sum(sizes, axis=0)) for _ in range(2))
    row = column = 0
    for one, (n_nuisances, n_bins) in zip(several, sizes, strict=True):
        block = slice(row, row + n_nuisances), slice(column, column + n_bins)
        shifts[block], signal_shifts[block] = one.shifts, one.signal_shifts
        row, column = row + n_nuisances, column + n_bins
    sigma = [np.full(one.n_bins, np.nan) if one.sigma is None else one.sigma for one in several]
    return BinnedModel(
        nuisances=tuple(f"{name}: {nuisance}" for name, one in models.items() for nuisance in one.nuisances),
        base=np.concatenate([one.base for one in several]),
        shifts=shifts,
        signal=np.concatenate([one.signal for one in several]),
        signal_shifts=signal_shifts,
        is_free=np.concatenate([one.is_free for one in several]),
        sigma=None if all(one.sigma is None for one in several) else np.concatenate(sigma),
    )


@dataclass(frozen=True)
class NuisanceResult(Result):
    """Nuisances at the best fit.

    Attributes
    ----------
    names : tuple of str
    pulls, errors : ndarray (n_nuisances,)
        Fitted value and its standard deviation, in units of the one it had before; of a free one, of its step.
    impacts : ndarray (n_nuisances,)
        Change of θ̂ if the nuisance is one fitted standard deviation higher: cov(θ, a)/σ(a), from the Fisher information
        at the best fit.
    is_free : ndarray (n_nuisances,) of bool
    """

    names: tuple[str, ...]
    pulls: np.ndarray
    errors: np.ndarray
    impacts: np.ndarray
    is_free: Booleans


def rank_nuisances(model: BinnedModel, data: np.ndarray) -> NuisanceResult:
    """Pulls of the nuisances and what each does to θ̂, those that do most first.

    Parameters
    ----------
    model : BinnedModel
    data : ndarray (n_bins,)

    Raises
    ------
    RuntimeError
        If the fit does not converge.
    """
    fit = model.fit(data)
    if not fit.converged:
        raise RuntimeError("the fit did not converge: there are no pulls")
    scaled, lengths = _scale(model.fisher(float(fit.theta), fit.pulls))
    covariance = np.linalg.pinv(scaled, hermitian=True) / np.outer(lengths, lengths)
    errors = np.sqrt(np.diag(covariance)[1:])
    impacts = covariance[0, 1:] / errors
    order = np.argsort(-np.abs(impacts), kind="stable")
    return NuisanceResult(
        tuple(model.nuisances[k] for k in order), fit.pulls[order], errors[order], impacts[order], model.is_free[order]
    )


@dataclass(frozen=True)
class _Problem:
    """A flat batch: data and bins in use (n, n_bins), centres (n, n_nuisances)."""

    model: BinnedModel
    data: np.ndarray
    used: np.ndarray
    centres: np.ndarray
    lowest: float | None

    def minimise(self, x: np.ndarray, *, damping: float = _DAMPING) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Damped Newton steps from x (n, 1 + n_nuisances), in place; value, slope and convergence (n,)."""
        n, n_par = x.shape
        rows, damped = np.arange(n), np.full(n, damping)
        value, gradient, hessian, lengths = self._expand(x, rows)
        kkt = np.full(n, np.inf)
        above = np.full((n, n_par), np.inf)
        above[:, 0] = 0.0 if self.lowest is None else np.inf  # a θ that is held has no room on either side
        for _ in range(MAX_STEPS):
            below = np.full((len(rows), n_par), np.inf)
            below[:, 0] = 0.0 if self.lowest is None else x[rows, 0] - self.lowest
            blocked = is_blocked(below, above[rows], gradient[rows])
            kkt[rows] = kkt_from_gradient(gradient[rows] / 2, lengths[rows], value[rows], below, above[rows], floor=1.0)
            going = (kkt[rows] > _AIM) & (damped[rows] < _GIVE_UP)
            rows, blocked = rows[going], blocked[going]
            if not len(rows):
                break
            downhill = np.where(blocked, 0.0, -gradient[rows])
            scale = np.maximum(lengths[rows] ** 2, np.finfo(float).tiny)
            matrix = hessian[rows] + (damped[rows, None] * scale)[..., None] * np.eye(n_par)
            matrix = np.where(blocked[:, :, None] | blocked[:, None, :], 0.0, matrix)
            step = np.linalg.solve(matrix + blocked[..., None] * np.eye(n_par), downhill[..., None])[..., 0]
            trial = x[rows] + step
            if self.lowest is not None:
                trial[:, 0] = np.maximum(trial[:, 0], self.lowest)
            found = self._expand(trial, rows)
            noise = _ROUNDING * np.maximum(1.0, value[rows])
            better = (found[0] <= value[rows] + noise) & (np.vecdot(step, downhill) >= 0)
            won = rows[better]
            x[won] = trial[better]
            for kept, new in zip((value, gradient, hessian, lengths), found, strict=True):
                kept[won] = new[better]
            damped[rows] = np.where(better, np.maximum(damped[rows] / 10, _DAMPING), damped[rows] * 10)
        return value, gradient[:, 0], kkt <= KKT_TOLERANCE

    def _expand(self, x: np.ndarray, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """−2 ln L (n,), infinite where an expectation is not positive; gradient, Hessian, lengths of the columns."""
        model, data, used = self.model, self.data[rows], self.used[rows]
        theta, pulls = x[:, :1], x[:, 1:]
        signal = model.signal + pulls @ model.signal_shifts
        expected = model.base + pulls @ model.shifts + theta * signal
        slopes = np.concatenate([signal[:, None], model.shifts + theta[..., None] * model.signal_shifts], axis=1)
        counted = model.is_counted
        is_positive = ((expected > 0) | ~used | ~counted).all(axis=-1)
        expected = np.where(counted & (expected <= 0), 1.0, expected)
        away = (expected - data) / np.where(data > 0, data, 1.0)  # so that small departures keep their digits
        with np.errstate(divide="ignore", invalid="ignore"):
            terms = 2 * np.where(data > 0, data * (away - np.log1p(away)), expected)
            first, second, weight = 2 * (1 - data / expected), 2 * data / expected**2, 1 / expected
        if model.sigma is not None:
            precision = np.where(counted, 0.0, 1 / model.sigma**2)
            terms = np.where(counted, terms, (data - expected) ** 2 * precision)
            first = np.where(counted, first, -2 * (data - expected) * precision)
            second, weight = np.where(counted, second, 2 * precision), np.where(counted, weight, precision)
        first, second, weight = first * used, second * used, weight * used
        prior = np.where(model.is_free, 0.0, 1.0)
        pulled = (pulls - self.centres[rows]) * prior
        value = np.where(is_positive, np.sum(terms * used, axis=-1) + np.vecdot(pulled, pulled), np.inf)
        gradient = (slopes @ first[..., None])[..., 0]
        gradient[:, 1:] += 2 * pulled
        hessian = (slopes * second[:, None]) @ slopes.swapaxes(-1, -2)
        mixed = first @ model.signal_shifts.T
        hessian[:, 0, 1:] += mixed
        hessian[:, 1:, 0] += mixed
        diagonal = np.arange(1, x.shape[1])
        hessian[:, diagonal, diagonal] += 2 * prior
        fisher = (slopes**2 @ weight[..., None])[..., 0]
        fisher[:, 1:] += prior
        return value, gradient, hessian, np.sqrt(fisher)
