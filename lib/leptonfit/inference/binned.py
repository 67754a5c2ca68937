"""Likelihood of counts or rates in bins, with a signal of strength θ and nuisance parameters.

The expectation is linear in θ and in the nuisance parameters. Each pull a has unit standard deviation::

    expected(θ, a) = base + Σ_k a_k shifts_k + θ (signal + Σ_k a_k signal_shifts_k)

At a given θ, −2 ln L is therefore convex in the nuisance parameters, for Poisson counts and for Gaussian rates. It has
a single minimum, and one start is enough to reach it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from leptonfit.inference.binned_fit import BinnedFitResult, Minima, minimise, search_amplitude
from leptonfit.inference.chunks import split_rows
from leptonfit.inference.expectation import BinnedData, Expectation

_SINGULAR = 1e-9


@dataclass(frozen=True)
class BinnedModel:
    """Expected counts or rates in n_bins bins, and their statistical errors.

    Attributes
    ----------
    nuisances : tuple of str
        Names of the nuisance parameters.
    base : ndarray (n_bins,)
        Expectation without signal at nominal nuisances. For counts it is ≥ 0, and 0 only where the signal or a
        nuisance adds to it.
    shifts : ndarray (n_nuisances, n_bins)
        Change of `base` per pull of one standard deviation.
    signal : ndarray (n_bins,)
        Expectation of a signal of θ = 1.
    signal_shifts : ndarray (n_nuisances, n_bins)
        Change of `signal` per pull of one standard deviation.
    is_free : ndarray (n_nuisances,) of bool
        True for nuisances without a pull term.
    sigma : ndarray (n_bins,) or None
        Gaussian errors of rates, positive; nan for bins of Poisson counts; None if all bins are counts.
    lowest_pulls : ndarray (n_nuisances,) or None
        Lowest allowed pulls, negative, where a physical quantity such as a rate is 0; −inf for no bound; None if no
        nuisance has a bound.

    Raises
    ------
    ValueError
        If an array has the wrong shape or a value that is not allowed here.
    """

    nuisances: tuple[str, ...]
    base: np.ndarray
    shifts: np.ndarray
    signal: np.ndarray
    signal_shifts: np.ndarray
    is_free: np.ndarray
    sigma: np.ndarray | None = None
    lowest_pulls: np.ndarray | None = None

    def __post_init__(self) -> None:
        n_bins, n_nuisances = np.size(self.base), len(self.nuisances)
        table = (n_nuisances, n_bins)
        shapes: dict[str, tuple[int, ...]] = {
            "base": (n_bins,),
            "shifts": table,
            "signal": (n_bins,),
            "signal_shifts": table,
            "is_free": (n_nuisances,),
        }
        if self.sigma is not None:
            shapes["sigma"] = (n_bins,)
        if self.lowest_pulls is not None:
            shapes["lowest_pulls"] = (n_nuisances,)
        for name, shape in shapes.items():
            array = np.asarray(getattr(self, name))
            if array.shape != shape or not n_bins:
                raise ValueError(
                    f"{name}: has the shape {array.shape}, must be {shape} for {n_nuisances} nuisances "
                    f"and {n_bins} bins, of which there is at least one"
                )
            if name == "is_free" and array.dtype != bool:
                raise ValueError(f"is_free: is {array.tolist()}, must be of bool")
            special = {"sigma": np.isnan(array), "lowest_pulls": np.isneginf(array)}.get(name, False)
            _refuse(name, array, "must be finite", ~(np.isfinite(array) | special))
        if self.lowest_pulls is not None:
            _refuse("lowest_pulls", self.lowest_pulls, "must be negative", self.lowest_pulls >= 0)
        if self.sigma is not None:
            _refuse("sigma", self.sigma, "must be positive, or nan for counts", self.sigma <= 0)
        counted = self.is_counted
        _refuse("base", self.base, "must not be negative where counts are expected", counted & (self.base < 0))
        is_dead = (self.base == 0) & (self.signal == 0) & ~np.any(self.shifts, axis=0)
        is_dead &= ~np.any(self.signal_shifts, axis=0)
        _refuse("base", self.base, "must be positive where neither signal nor nuisances add to it", counted & is_dead)

    @property
    def n_bins(self) -> int:
        """Number of bins."""
        return len(self.base)

    @cached_property
    def _expectation(self) -> Expectation:
        return Expectation.of([self])

    @property
    def is_counted(self) -> np.ndarray:
        """True for bins (n_bins,) that hold Poisson counts."""
        return np.ones(self.n_bins, dtype=bool) if self.sigma is None else np.isnan(self.sigma)

    def variance(self, expected: np.ndarray) -> np.ndarray:
        """Variance (..., n_bins) of data with an expectation (..., n_bins)."""
        return expected if self.sigma is None else np.where(self.is_counted, expected, self.sigma**2)

    @property
    def lowest_theta(self) -> float:
        """Negative θ at which the expectation of some bin of counts, at nominal nuisances, is 1e-3 of its background.

        Where no nuisance acts on the signal, a fitted θ may be lower: its domain ends where an expectation reaches 0.
        """
        ratio = np.full(self.n_bins, np.inf)
        np.divide(self.base, self.signal, out=ratio, where=self.is_counted & (self.signal > 0))
        return -0.999 * float(ratio.min())

    def expected(self, theta: np.ndarray | float, pulls: np.ndarray | float = 0.0) -> np.ndarray:
        """Expectation (..., n_bins) at θ (...) and pulls (..., n_nuisances)."""
        theta = np.asarray(theta, dtype=float)[..., None]
        pulls = np.broadcast_to(pulls, (*np.shape(pulls)[:-1], len(self.nuisances)))
        return self.base + pulls @ self.shifts + theta * (self.signal + pulls @ self.signal_shifts)

    def draw(self, theta: np.ndarray | float, pulls: np.ndarray | float, rng: np.random.Generator) -> np.ndarray:
        """Draw toy data (..., n_bins) at given true values of θ and the pulls."""
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
        start: np.ndarray | float | BinnedFitResult = 0.0,
    ) -> BinnedFitResult:
        """Minimise −2 ln L over the nuisance parameters, and over θ unless it is given.

        Parameters
        ----------
        data : ndarray (..., n_bins)
        theta : ndarray (...) or float, optional
            Fixed signal strength; fitted if not given.
        lowest : float, optional
            Lower bound of a fitted θ. Without it θ and the nuisances may go as far as every expectation of counts in
            use stays ≥ 0 (> 0 where a count was observed): the domain of the likelihood. With nuisances that act on
            the signal this domain may be unlimited, because they can cancel a negative signal; the bound is then
            `lowest_theta`.
        used : ndarray (..., n_bins) of bool, optional
            Bins to fit; all if not given.
        centres : ndarray (..., n_nuisances), optional
            Results of the auxiliary measurements behind the pull terms, in standard deviations.
        start : ndarray (..., n_nuisances) or BinnedFitResult, optional
            Initial pulls, with an initial θ of 0 where it is fitted; or other fits that have both.

        Returns
        -------
        BinnedFitResult

        Raises
        ------
        ValueError
            If data are not finite, counts are negative, an array has the wrong length, or one fit alone needs more
            memory than a chunk may have.
        """
        n_nuisances, fitted = len(self.nuisances), theta is None
        given: np.ndarray | float = 0.0 if theta is None else theta
        if isinstance(start, BinnedFitResult):
            given, start = (start.theta if theta is None else theta), start.pulls
        used = np.ones(self.n_bins, dtype=bool) if used is None else np.asarray(used)
        self.check_data(data, used)
        for name, pulls in (("centres", centres), ("start", start)):
            if np.ndim(pulls) and np.shape(pulls)[-1] != n_nuisances:
                raise ValueError(f"{name}: has the shape {np.shape(pulls)}, must end in {n_nuisances}, one a nuisance")
        if fitted and lowest is None and self.signal_shifts.any():
            lowest = self.lowest_theta
        bound = lowest if fitted and lowest is not None and np.isfinite(lowest) else None
        batch = np.broadcast_shapes(
            np.shape(data)[:-1], np.shape(given), used.shape[:-1], np.shape(centres)[:-1], np.shape(start)[:-1]
        )
        n = int(np.prod(batch))
        fitted_theta, value, slope = np.empty(n), np.empty(n), np.empty(n)
        fitted_pulls, converged = np.empty((n, n_nuisances)), np.empty(n, dtype=bool)
        what = f"one fit of {self.n_bins} bins and {n_nuisances} nuisances"
        for part in split_rows(n, self.n_bins + n_nuisances, what):
            rows = np.unravel_index(np.arange(part.start, part.stop), (1, *batch))

            def take(array: np.ndarray | float, *last: int, rows: tuple[np.ndarray, ...] = rows) -> np.ndarray:
                return np.broadcast_to(array, (1, *batch, *last))[rows]

            begin = np.column_stack([take(given), take(start, n_nuisances)]).astype(float)
            flat = self._expectation.guard(take(data, self.n_bins), take(used, self.n_bins), take(centres, n_nuisances))
            found = self._fit_rows(begin, flat, is_held=not fitted, bound=bound)
            fitted_theta[part], fitted_pulls[part] = found.x[:, 0], found.x[:, 1:]
            value[part], slope[part], converged[part] = found.value, found.slope[:, 0], found.converged
        return BinnedFitResult(
            theta=fitted_theta.reshape(batch),
            pulls=fitted_pulls.reshape(*batch, n_nuisances),
            value=value.reshape(batch),
            slope=slope.reshape(batch),
            converged=converged.reshape(batch),
        )

    def _fit_rows(self, begin: np.ndarray, data: BinnedData, *, is_held: bool, bound: float | None) -> Minima:
        """Minima of the fits of one chunk, from θ and pulls `begin` (n, 1 + n_nuisances); `bound` is the lowest θ."""
        found = minimise(self._expectation, begin, data, is_held=is_held)
        if not is_held and not found.converged.all():
            lost = np.flatnonzero(~found.converged)
            sigma = self.theta_sigma(used=data.used[lost, : self.n_bins])
            step = np.where(np.isfinite(sigma), sigma, 1.0)
            found.put(lost, search_amplitude(self._expectation, begin[lost], data.take(lost), step))
        if bound is not None:  # fixed at the bound where θ fell below it or the fit did not converge
            below = np.flatnonzero(~found.converged | (found.x[:, 0] < bound))
            begin = begin[below]
            begin[:, 0] = bound
            held = minimise(self._expectation, begin, data.take(below), is_held=True)
            held.converged[:] &= found.converged[below] | (held.slope[:, 0] >= 0)
            found.put(below, held)
        return found

    def check_data(self, data: np.ndarray, used: np.ndarray) -> None:
        """Check that data (..., n_bins) and bins in use (..., n_bins) fit this model.

        Raises
        ------
        ValueError
            If their length is not the number of bins, data are not finite, or counts are negative.
        """
        for name, array in (("data", data), ("used", used)):
            if not np.ndim(array) or np.shape(array)[-1] != self.n_bins:
                raise ValueError(f"{name}: has the shape {np.shape(array)}, must end in {self.n_bins}, one a bin")
        if not np.isfinite(data).all() or (np.asarray(data)[..., self.is_counted] < 0).any():
            raise ValueError("data: must be finite, and counts not negative")

    def fisher_variance(self, theta: float = 0.0, pulls: np.ndarray | float = 0.0) -> np.ndarray:
        """Variance (..., n_bins) used in the Fisher information, positive also where the expectation is 0.

        The information of a bin of counts grows without limit as its expectation goes to 0. A bin with expectation 0
        therefore gets its share of a signal of one event, plus the size of the nuisance shifts there.
        """
        variance = self.variance(self.expected(theta, pulls))
        total = max(float(np.abs(self.signal).sum()), np.finfo(float).tiny)
        moved = np.abs(self.shifts).sum(axis=0) + np.abs(self.signal_shifts).sum(axis=0)
        return np.where(variance > 0, variance, np.abs(self.signal) / total + moved)

    def slopes(self, theta: float = 0.0, pulls: np.ndarray | float = 0.0) -> np.ndarray:
        """Derivatives (..., 1 + n_nuisances, n_bins) of the expectation by θ and by the pulls (..., n_nuisances)."""
        pulls = np.broadcast_to(pulls, (*np.shape(pulls)[:-1], len(self.nuisances)))
        signal = (self.signal + pulls @ self.signal_shifts)[..., None, :]
        rest = self.shifts + theta * self.signal_shifts
        return np.concatenate([signal, np.broadcast_to(rest, (*signal.shape[:-2], *rest.shape))], axis=-2)

    def fisher(
        self, theta: float = 0.0, pulls: np.ndarray | float = 0.0, *, used: np.ndarray | None = None
    ) -> np.ndarray:
        """Expected Fisher information (..., 1 + n_nuisances, 1 + n_nuisances) of θ and the pulls (..., n_nuisances)."""
        slopes, weights = self.slopes(theta, pulls), 1 / self.fisher_variance(theta, pulls)
        information = (slopes * (weights * (1 if used is None else used))[..., None, :]) @ slopes.swapaxes(-1, -2)
        return information + np.diag(np.concatenate([[0.0], ~self.is_free]).astype(float))

    def theta_sigma(self, *, used: np.ndarray | None = None) -> np.ndarray:
        """Expected standard deviation (...) of θ̂ at θ = 0; infinite where the nuisances can imitate the signal."""
        scaled, lengths = scale_information(self.fisher(used=used))
        mixed = scaled[..., 1:, 0]
        taken = np.vecdot(mixed, (np.linalg.pinv(scaled[..., 1:, 1:], hermitian=True) @ mixed[..., None])[..., 0])
        left = (1 - taken) * (lengths[..., 0] > 0)
        with np.errstate(divide="ignore"):
            return np.where(left > _SINGULAR, 1 / (lengths[..., 0] * np.sqrt(np.maximum(left, 0.0))), np.inf)


def _refuse(name: str, array: np.ndarray, allowed: str, is_wrong: np.ndarray) -> None:
    """Raise ValueError that names the first wrong entry of an array."""
    if np.any(is_wrong):
        where = np.argwhere(is_wrong)[0]
        place = ", ".join(str(i + 1) for i in where)
        raise ValueError(f"{name}: entry {place} is {np.asarray(array)[tuple(where)]:g}, {allowed}")


def scale_information(information: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Information scaled to a unit diagonal, and the scale factors: units must not decide whether it is singular."""
    lengths = np.sqrt(np.diagonal(information, axis1=-2, axis2=-1))
    safe = np.where(lengths > 0, lengths, 1.0)
    return information / (safe[..., :, None] * safe[..., None, :]), lengths


def stack_models(models: Mapping[str, BinnedModel], *, common: Sequence[str] = ()) -> BinnedModel:
    """Combine models of one θ into one: bins side by side, nuisances kept separate and named `model: nuisance`.

    Nuisances in `common` are one parameter for all models that have a nuisance of this name, and keep the name.
    """
    several = list(models.values())
    own = [[name if name in common else f"{key}: {name}" for name in one.nuisances] for key, one in models.items()]
    names = tuple(dict.fromkeys(name for group in own for name in group))
    shifts, signal_shifts = (np.zeros((len(names), sum(one.n_bins for one in several))) for _ in range(2))
    is_free, lowest = np.zeros(len(names), dtype=bool), np.full(len(names), -np.inf)
    column = 0
    for one, group in zip(several, own, strict=True):
        block = [names.index(name) for name in group], slice(column, column + one.n_bins)
        shifts[block], signal_shifts[block], is_free[block[0]] = one.shifts, one.signal_shifts, one.is_free
        if one.lowest_pulls is not None:
            lowest[block[0]] = one.lowest_pulls
        column += one.n_bins
    sigma = [np.full(one.n_bins, np.nan) if one.sigma is None else one.sigma for one in several]
    return BinnedModel(
        nuisances=names,
        base=np.concatenate([one.base for one in several]),
        shifts=shifts,
        signal=np.concatenate([one.signal for one in several]),
        signal_shifts=signal_shifts,
        is_free=is_free,
        sigma=None if all(one.sigma is None for one in several) else np.concatenate(sigma),
        lowest_pulls=lowest if np.isfinite(lowest).any() else None,
    )
