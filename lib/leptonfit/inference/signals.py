"""Least-squares problem of binned data with several signals, whose strengths are functions of a few parameters.

The expectation is linear in the strengths c and in the pulls a of the nuisance parameters::

    expected(c, a) = base + Σ_n a_n shifts_n + Σ_k c_k (signal_k + Σ_n a_n signal_shifts_kn)

At given strengths −2 ln L is convex in the pulls. They are therefore minimised inside the residuals, and a problem has
only the parameters of interest. Its derivatives include the change of the fitted pulls (G. H. Golub and V. Pereyra,
SIAM J. Numer. Anal. 10, 413 (1973)), so that the sum of squares is the profile of −2 ln L.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np

from leptonfit.inference.binned import BinnedModel
from leptonfit.inference.model_data import compare_counts
from leptonfit.inference.problem import LeastSquaresProblem, Parameter, Search

_STEPS, _HALVINGS = 60, 40
_AIM, _REACHED = 1e-20, 1e-12
"""Newton decrement, over max(1, value), at which steps stop, and up to which a fit of the pulls has converged."""
_ROUNDING = 1e-13
_INWARD = 0.9
"""Largest fraction of the way to the edge of the domain that one step may go."""


@dataclass(frozen=True)
class SignalSet:
    """Data of one experiment and its expectation with several signals.

    Attributes
    ----------
    data : ndarray (n_bins,)
    models : tuple of BinnedModel
        One model for each of the n_signals signals; they differ in `signal` and `signal_shifts` only.

    Raises
    ------
    ValueError
        If the models differ in something else.
    """

    data: np.ndarray
    models: tuple[BinnedModel, ...]

    def __post_init__(self) -> None:
        first = self.models[0]
        first.check_data(self.data, np.ones(first.n_bins, dtype=bool))
        for model in self.models[1:]:
            for name in ("nuisances", "base", "shifts", "is_free", "sigma", "lowest_pulls"):
                if not np.array_equal(getattr(model, name), getattr(first, name)):
                    raise ValueError(f"models: {name} must be the same for all signals of a data set")

    @cached_property
    def _signals(self) -> tuple[np.ndarray, np.ndarray]:
        """Signals (n_signals, n_bins) and their shifts (n_signals, n_nuisances, n_bins)."""
        return np.stack([one.signal for one in self.models]), np.stack([one.signal_shifts for one in self.models])

    @cached_property
    def _lowest(self) -> np.ndarray:
        model = self.models[0]
        return np.full(len(model.nuisances), -np.inf) if model.lowest_pulls is None else model.lowest_pulls

    @cached_property
    def _at_zero(self) -> np.ndarray:
        """Pulls (n_nuisances,) fitted without signal, from which other fits start."""
        n_signals, n_nuisances = len(self.models), len(self.models[0].nuisances)
        return self._fit(np.zeros((1, n_signals)), np.zeros((1, n_nuisances)))[0][0]

    @property
    def n_residuals(self) -> int:
        """Number of bins and of pull terms."""
        return self.models[0].n_bins + int(np.count_nonzero(~self.models[0].is_free))

    def expand(self, strengths: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Residuals (..., n_residuals) at strengths (..., n_signals), and their slopes (..., n_residuals, n_signals).

        Both are nan where the expectation of a bin of counts cannot be positive, or the pulls cannot be fitted.
        """
        shape = np.shape(strengths)[:-1]
        flat = np.reshape(strengths, (math.prod(shape), len(self.models)))
        model, (signals, signal_shifts) = self.models[0], self._signals
        pulls, is_fitted = self._fit(flat, np.broadcast_to(self._at_zero, (len(flat), len(self._at_zero))))
        base, shifts = self._at(flat)
        expected = base + np.vecmat(pulls, shifts)
        first, second = self._differentiate(expected)
        direct = signals + np.einsum("rn,knb->rkb", pulls, signal_shifts)
        mixed = np.einsum("rnb,rb,rkb->rnk", shifts, second, direct) + np.einsum("rb,knb->rnk", first, signal_shifts)
        matrix, held = self._curve(shifts, second, pulls, np.vecdot(shifts, first[:, None]))
        moved = -np.linalg.solve(matrix, np.where(held[..., None], 0.0, mixed))
        slope = direct.swapaxes(-1, -2) + np.einsum("rnb,rnk->rbk", shifts, moved)
        counted, pulled = model.is_counted, ~model.is_free
        found, by_expected = compare_counts(self.data[counted])
        residuals = np.empty((len(flat), model.n_bins))
        slopes = np.empty((len(flat), model.n_bins, len(self.models)))
        residuals[:, counted] = found(expected[:, counted])
        slopes[:, counted] = by_expected(expected[:, counted], slope[:, counted])
        if model.sigma is not None:
            sigma = model.sigma[~counted]
            residuals[:, ~counted] = (expected - self.data)[:, ~counted] / sigma
            slopes[:, ~counted] = slope[:, ~counted] / sigma[:, None]
        whole = np.concatenate([residuals, pulls[:, pulled]], axis=1)
        derived = np.concatenate([slopes, moved[:, pulled]], axis=1)
        whole[~is_fitted], derived[~is_fitted] = np.nan, np.nan
        shape = (*shape, self.n_residuals)
        return whole.reshape(shape), derived.reshape(*shape, len(self.models))

    def _at(self, strengths: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Expectation at nominal nuisances (n, n_bins) and its shifts (n, n_nuisances, n_bins)."""
        model, (signals, signal_shifts) = self.models[0], self._signals
        return model.base + strengths @ signals, model.shifts + np.einsum("rk,knb->rnb", strengths, signal_shifts)

    def _differentiate(self, expected: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """First and second derivatives (n, n_bins) of −2 ln L by the expectation."""
        sigma, counted = self.models[0].sigma, self.models[0].is_counted
        share = self.data / np.where(counted, expected, 1.0)
        first, second = 2 - 2 * share, 2 * share / np.where(counted, expected, 1.0)
        if sigma is not None:
            first = np.where(counted, first, 2 * (expected - self.data) / sigma**2)
            second = np.where(counted, second, 2 / sigma**2)
        return first, second

    def _evaluate(self, expected: np.ndarray, pulls: np.ndarray) -> np.ndarray:
        """−2 ln L (n,) relative to the saturated model; inf where a bin of counts has no positive expectation."""
        model, data = self.models[0], self.data
        counted, seen = model.is_counted, data > 0
        safe = np.where(counted & (expected > 0), expected, 1.0)
        away = (safe - data) / np.where(seen, data, 1.0)
        terms = 2 * np.where(seen, data * (away - np.log1p(np.where(seen, away, 0.0))), safe)
        if model.sigma is not None:
            terms = np.where(counted, terms, ((expected - data) / model.sigma) ** 2)
        pulled = np.where(model.is_free, 0.0, pulls)
        is_outside = (counted & (expected <= 0)).any(axis=-1)
        return np.where(is_outside, np.inf, terms.sum(axis=-1) + np.vecdot(pulled, pulled))

    def _curve(
        self, shifts: np.ndarray, second: np.ndarray, pulls: np.ndarray, by_bins: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Second derivatives by the pulls that may move, 1 on the diagonal for others, and which pulls are held.

        A pull is held on its lowest value where a lower one would fit better.
        """
        prior = np.where(self.models[0].is_free, 0.0, 2.0)
        held = (pulls <= self._lowest) & (by_bins + prior * pulls > 0)
        matrix = (shifts * second[:, None]) @ shifts.swapaxes(-1, -2) + np.diag(prior)
        matrix = np.where(held[:, :, None] | held[:, None, :], 0.0, matrix)
        lengths = np.diagonal(matrix, axis1=-2, axis2=-1)
        return matrix + np.where(held | (lengths == 0), 1.0, 0.0)[..., None] * np.eye(len(prior)), held

    def _fit(self, strengths: np.ndarray, start: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Pulls (n, n_nuisances) that minimise −2 ln L at strengths (n, n_signals), and whether they do (n,)."""
        base, shifts = self._at(strengths)
        prior = np.where(self.models[0].is_free, 0.0, 2.0)
        pulls, nominal = start.copy(), np.zeros(start.shape)
        value = self._evaluate(base + np.vecmat(pulls, shifts), pulls)
        pulls[~np.isfinite(value)] = nominal[~np.isfinite(value)]
        value = self._evaluate(base + np.vecmat(pulls, shifts), pulls)
        decrement = np.full(len(base), np.inf)
        rows = np.flatnonzero(np.isfinite(value))
        for _ in range(_STEPS):
            if not len(rows):
                break
            expected = base[rows] + np.vecmat(pulls[rows], shifts[rows])
            first, second = self._differentiate(expected)
            by_bins = np.vecdot(shifts[rows], first[:, None])
            matrix, held = self._curve(shifts[rows], second, pulls[rows], by_bins)
            gradient = np.where(held, 0.0, by_bins + prior * pulls[rows])
            step = -np.linalg.solve(matrix, gradient[..., None])[..., 0]
            decrement[rows] = -np.vecdot(step, gradient) / np.maximum(1.0, value[rows])
            going = decrement[rows] > _AIM
            rows, step = rows[going], step[going]
            pulls[rows], value[rows] = self._search_line(base[rows], shifts[rows], pulls[rows], step, value[rows])
        return pulls, decrement <= _REACHED

    def _search_line(
        self, base: np.ndarray, shifts: np.ndarray, pulls: np.ndarray, step: np.ndarray, value: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Pulls and −2 ln L after the largest of the steps 1, ½, ¼, … that does not raise −2 ln L."""
        pulls, value, share, open_ = pulls.copy(), value.copy(), 1.0, np.arange(len(pulls))
        for _ in range(_HALVINGS):
            trial = np.maximum(pulls[open_] + share * step[open_], self._lowest)
            there = self._evaluate(base[open_] + np.vecmat(trial, shifts[open_]), trial)
            better = there <= value[open_] + _ROUNDING * np.maximum(1.0, value[open_])
            pulls[open_[better]], value[open_[better]] = trial[better], there[better]
            open_, share = open_[~better], share / 2
            if not len(open_):
                break
        return pulls, value


Strengths = Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]


def combine_signals(
    sets: Sequence[SignalSet], parameters: Sequence[Parameter], strengths: Sequence[Strengths]
) -> LeastSquaresProblem:
    """Problem of one or several independent data sets with common parameters.

    Parameters
    ----------
    sets : sequence of SignalSet
    parameters : sequence of Parameter
        The n_par parameters of interest.
    strengths : sequence of callable
        For each data set a function that maps parameters (..., n_par) to the strengths (..., n_signals) of its signals
        and to their derivatives (..., n_signals, n_par).

    Returns
    -------
    LeastSquaresProblem
        The residuals are those of all bins and pull terms. Pulls are fitted inside, so that χ² has fewer degrees of
        freedom than the problem's numbers say, by one for each free nuisance parameter; the problem has no p-value.
    """

    @lru_cache(maxsize=2)  # residuals and Jacobian are often wanted at the same point
    def expand(content: bytes, shape: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
        x = np.frombuffer(content).reshape(shape)
        found = [(*one.expand(c), by) for one, (c, by) in zip(sets, (find(x) for find in strengths), strict=True)]
        residuals = np.concatenate([part for part, _, _ in found], axis=-1)
        return residuals, np.concatenate([slopes @ by for _, slopes, by in found], axis=-2)

    def residuals(x: np.ndarray) -> np.ndarray:
        return expand(np.asarray(x, dtype=float).tobytes(), np.shape(x))[0].copy()

    def jacobian(x: np.ndarray) -> np.ndarray:
        return expand(np.asarray(x, dtype=float).tobytes(), np.shape(x))[1].copy()

    names = tuple(f"residual {i + 1} of data set {k + 1}" for k, one in enumerate(sets) for i in range(one.n_residuals))
    return LeastSquaresProblem(
        tuple(parameters),
        names,
        residuals,
        jacobian,
        lambda x: None,
        notes=("Nuisance parameters are fitted at each point, inside the residuals.",),
        search=Search(trusts_neighbours=True, is_slow=True),
    )


def scale_linearly(weights: np.ndarray) -> Strengths:
    """Strengths that are linear in the parameters, with weights (n_signals, n_par)."""

    def strengths(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return x @ weights.T, np.broadcast_to(weights, (*x.shape[:-1], *weights.shape))

    return strengths
