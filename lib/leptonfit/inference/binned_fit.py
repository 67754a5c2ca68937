"""Minimise −2 ln L of binned counts or rates for a whole batch, also where the minimum is on the edge of the domain.

The domain is expectation ≥ 0 in every bin of counts in use, and > 0 where a count was observed. In a bin with counts,
−2 ln L grows without limit towards the edge of the domain. In an empty bin it stays finite at expectation 0, so that
the minimum may lie there. Each empty bin therefore has a multiplier λ ≥ 0 of its constraint, and Newton's steps aim at
expectation · λ = μ, with μ falling to zero: the primal-dual interior-point method (S. Boyd and L. Vandenberghe, Convex
Optimization, section 11.7). Where the problem is convex, the sum of expectation · λ bounds how far −2 ln L lies above
its minimum.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from leptonfit.inference.result import Booleans, Result
from leptonfit.inference.stationarity import KKT_TOLERANCE, kkt_from_gradient

if TYPE_CHECKING:
    from leptonfit.inference.binned import BinnedModel

MAX_STEPS = 200
_DAMPING, _DAMPED, _GIVE_UP = 1e-9, 1e-4, 1e12
"""Smallest damping, smallest damping after a failed step, and the damping at which a fit gives up."""
_ROUNDING = 1e-13
_AIM = KKT_TOLERANCE * 1e-3
"""Stop Newton's iteration at this KKT residual. The last steps are cheap, and root finding on a profile needs them."""
_GAP, _GAP_AIM = 1e-7, 1e-10
"""Largest Σ expectation · λ over max(1, value) of a converged fit, and the level at which Newton's steps stop."""
_INWARD = 0.99
"""Largest fraction of the way to the edge of the domain that one step may go."""
_CENTRING = 0.1
"""Target of μ as a fraction of the mean of expectation · λ over the empty bins."""
_CALM = 1e-2
"""Damping above which μ is not reduced: while steps fail, the fit must not approach the edge of the domain."""
_NEAR = 0.1
"""The offset of an expectation is dropped where the expectation alone exceeds this fraction of the offset."""


@dataclass(frozen=True)
class BinnedFitResult(Result):
    """Minima of −2 ln L. The axes `...` are the leading axes of the data, of θ and of the bins in use.

    Attributes
    ----------
    theta : ndarray (...)
        Signal strength: the fitted value, or the given one.
    pulls : ndarray (..., n_nuisances)
        Pulls of the nuisance parameters, in standard deviations.
    value : ndarray (...)
        −2 ln L relative to a model that predicts every bin exactly; inf where a count was observed in a bin whose
        expectation can only be 0.
    slope : ndarray (...)
        Derivative of the profile by θ: the partial derivative minus the contribution of the constraints of empty bins
        (the envelope theorem).
    converged : ndarray (...) of bool
        KKT ≤ 1e-6: the gradient vanishes in every free direction, and each empty bin either has a positive expectation
        or is kept at 0 by its gradient.
    """

    theta: np.ndarray
    pulls: np.ndarray
    value: np.ndarray
    slope: np.ndarray
    converged: Booleans


@dataclass
class FitBatch:
    """Flat batch of fits; `minimise` changes it in place.

    Attributes
    ----------
    model : BinnedModel
    data, used : ndarray (n, n_bins)
    centres : ndarray (n, n_nuisances)
    is_held : bool
        True if θ is fixed at the given value, False if it is fitted.
    x : ndarray (n, 1 + n_nuisances)
        θ and pulls: the start before `minimise`, the minimum after it.
    """

    model: BinnedModel
    data: np.ndarray
    used: np.ndarray
    centres: np.ndarray
    is_held: bool
    x: np.ndarray

    def minimise(self, *, damping: float = _DAMPING) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Value, slope and convergence (n,) at the minima reached by damped Newton steps."""
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            self._prepare()
            return self._iterate(damping)

    def _iterate(self, damping: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        n, n_par = self.x.shape
        room = np.full(n_par, np.inf)
        room[0] = 0.0 if self.is_held else np.inf
        blocked = room == 0
        self.damped = np.full(n, damping)
        kkt, gap, slope, rows = np.full(n, np.inf), np.zeros(n), np.zeros(n), np.arange(n)
        for _ in range(MAX_STEPS):
            slopes, lengths, gradient, second, mixed = self._expand(rows)
            kkt[rows] = kkt_from_gradient(gradient / 2, lengths, self.value[rows], room, room, floor=1.0)
            slope[rows] = gradient[:, 0]
            done = (kkt[rows] <= _AIM) & ~self.shifted[rows]
            if self.has_edge:
                gap[rows] = np.sum(np.where(self.empty[rows], self.price[rows] * self.expected[rows], 0.0), axis=-1)
                done &= gap[rows] <= _GAP_AIM * np.maximum(1.0, self.value[rows])
            going = ~done & (self.damped[rows] < _GIVE_UP)
            if not going.any():
                break
            if not going.all():
                rows, slopes, lengths, gradient, second, mixed = (
                    array[going] for array in (rows, slopes, lengths, gradient, second, mixed)
                )
            aim = np.zeros(len(rows))
            downhill = -gradient
            if self.has_edge:  # the function to minimise is −2 ln L − aim Σ ln(expectation)
                share = np.where(self.damped[rows] > _CALM, 1.0, _CENTRING)
                aim = share * gap[rows] / np.maximum(self.empty[rows].sum(axis=-1), 1)
                inner = np.where(self.empty[rows], self.price[rows] - aim[:, None] / self.expected[rows], 0.0)
                downhill = downhill - (slopes @ (inner - second * self.offset[rows])[..., None])[..., 0]
            matrix = (slopes * second[:, None]) @ slopes.swapaxes(-1, -2) + self._curve(mixed)
            own = np.abs(np.diagonal(matrix, axis1=-2, axis2=-1))  # arbitrarily large for empty bins near the edge
            matrix += (self.damped[rows, None] * lengths**2 + _ROUNDING * own)[..., None] * np.eye(n_par)
            fixed = blocked | (lengths == 0)
            matrix = np.where(fixed[:, :, None] | fixed[:, None, :], 0.0, matrix) + fixed[..., None] * np.eye(n_par)
            downhill = np.where(fixed, 0.0, downhill)
            step = np.linalg.solve(matrix, downhill[..., None])[..., 0]
            self._move(rows, step, np.vecdot(step, downhill) >= 0, slopes, aim)
        value = np.where(self.shifted | self.is_impossible, np.inf, self.value)
        return value, slope, (kkt <= KKT_TOLERANCE) & (gap <= _GAP * np.maximum(1.0, self.value)) & ~self.shifted

    def _move(
        self, rows: np.ndarray, step: np.ndarray, is_downhill: np.ndarray, slopes: np.ndarray, aim: np.ndarray
    ) -> None:
        """Take a step, cut at the edge, if it lowers −2 ln L − aim Σ ln(expectation); else increase the damping."""
        counted, expected, before = self.counted[rows], self.expected[rows], self.value[rows]
        change = (step[:, None] @ slopes)[:, 0] - self.offset[rows]
        share = _share(expected, change, counted)
        trial = self.x[rows] + share[:, None] * step
        there = self.model.expected(trial[:, 0], trial[:, 1:])
        inside = np.ones(len(rows), dtype=bool)
        if self.has_edge:
            offset = (1 - share[:, None]) * self.offset[rows]
            inside = ((there > _NEAR * np.abs(offset)) | ~counted).all(axis=-1)
            offset[inside] = 0.0
            there = there + offset
        is_positive = ((there > 0) | ~counted).all(axis=-1)
        value = self._evaluate(trial, there, rows)
        after = value
        if self.has_edge:
            empty, price = self.empty[rows], self.price[rows]
            after = value - aim * np.sum(np.where(empty, np.log(there / expected), 0.0), axis=-1)
        better = is_positive & is_downhill & (after <= before + _ROUNDING * np.maximum(1.0, before))
        better |= self.shifted[rows] & is_positive & np.isfinite(value)
        won = rows[better]
        if self.has_edge:
            rise = np.where(empty, (aim[:, None] - price * (expected + change)) / expected, 0.0)
            self.price[won] = (price + _share(price, rise, empty)[:, None] * rise)[better]
            self.offset[won], self.shifted[won] = offset[better], ~inside[better]
        self.x[won], self.expected[won], self.value[won] = trial[better], there[better], value[better]
        more, less = np.maximum(self.damped[rows] * 10, _DAMPED), np.maximum(self.damped[rows] / 10, _DAMPING)
        self.damped[rows] = np.where(better, less, more)

    def _prepare(self) -> None:
        """Expectation at the start; where it is not positive, add an offset that the steps remove gradually."""
        model = self.model
        self.counted = self.used & model.is_counted
        self.expected = model.expected(self.x[:, 0], self.x[:, 1:])
        low = self.counted & (self.expected <= 0)
        self.is_impossible = np.zeros(len(self.x), dtype=bool)
        if self.is_held and low.any():  # bins whose expectation does not depend on the nuisances
            fixed = low & ~(model.shifts + self.x[:, :1, None] * model.signal_shifts).any(axis=1)
            self.is_impossible = (fixed & ((self.data > 0) | (self.expected < 0))).any(axis=-1)
            dropped = fixed | self.is_impossible[:, None]
            self.used, self.counted, low = self.used & ~dropped, self.counted & ~dropped, low & ~dropped
        self.empty = self.counted & (self.data == 0)
        self.offset = np.where(low, np.maximum(self.data, 1.0) - self.expected, 0.0)
        self.shifted = low.any(axis=-1)
        self.has_edge = bool(self.empty.any() or low.any())
        self.expected = self.expected + self.offset
        self.price = np.ones(self.data.shape)
        self.value = self._evaluate(self.x, self.expected, np.arange(len(self.x)))

    def _evaluate(self, x: np.ndarray, expected: np.ndarray, rows: np.ndarray) -> np.ndarray:
        """−2 ln L (n,) for an expectation that is positive in all bins of counts in use."""
        data, seen = self.data[rows], self.data[rows] > 0
        away = (expected - data) / np.where(seen, data, 1.0)  # small deviations keep their digits in this form
        terms = 2 * np.where(seen, data * (away - np.log1p(away)), expected)
        if self.model.sigma is not None:
            terms = np.where(self.model.is_counted, terms, ((data - expected) / self.model.sigma) ** 2)
        pulled = np.where(self.model.is_free, 0.0, x[:, 1:] - self.centres[rows])
        return np.sum(np.where(self.used[rows], terms, 0.0), axis=-1) + np.vecdot(pulled, pulled)

    def _expand(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Slopes of the expectation, column lengths, gradient, and second derivatives by the expectation and mixed."""
        model, data, expected, x = self.model, self.data[rows], self.expected[rows], self.x[rows]
        theta, pulls = x[:, :1], x[:, 1:]
        signal = model.signal + pulls @ model.signal_shifts
        slopes = np.concatenate([signal[:, None], model.shifts + theta[..., None] * model.signal_shifts], axis=1)
        empty, price = self.empty[rows], self.price[rows]
        share = data / expected
        first, second, weight = 2 - 2 * share, 2 * share / expected, 1 / expected
        if self.has_edge:
            first, second = np.where(empty, 2 - price, first), np.where(empty, price / expected, second)
            weight = np.where(empty, np.minimum(weight, 1.0), weight)
        if model.sigma is not None:
            precision = np.where(model.is_counted, 0.0, 1 / model.sigma**2)
            first = np.where(model.is_counted, first, -2 * (data - expected) * precision)
            second = np.where(model.is_counted, second, 2 * precision)
            weight = np.where(model.is_counted, weight, precision)
        first, second, weight = (np.where(self.used[rows], array, 0.0) for array in (first, second, weight))
        prior = np.where(model.is_free, 0.0, 1.0)
        gradient = (slopes @ first[..., None])[..., 0]
        gradient[:, 1:] += 2 * (pulls - self.centres[rows]) * prior
        fisher = (slopes**2 @ weight[..., None])[..., 0]
        fisher[:, 1:] += prior
        return slopes, np.sqrt(fisher), gradient, second, first @ model.signal_shifts.T

    def _curve(self, mixed: np.ndarray) -> np.ndarray:
        """Second derivatives (n, n_par, n_par) of the pull terms, and mixed ones of the expectation by θ and a pull."""
        n, n_nuisances = mixed.shape
        curved = np.zeros((n, 1 + n_nuisances, 1 + n_nuisances))
        curved[:, 0, 1:] = curved[:, 1:, 0] = mixed
        diagonal = np.arange(1, 1 + n_nuisances)
        curved[:, diagonal, diagonal] = np.where(self.model.is_free, 0.0, 2.0)
        return curved


def _share(positive: np.ndarray, change: np.ndarray, where: np.ndarray) -> np.ndarray:
    """Largest fraction (n,) of a change, at most 1, that keeps the numbers (n, n_bins) positive."""
    room = np.where(where & (change < 0), -_INWARD * positive / change, 1.0)
    return np.minimum(room.min(axis=-1, initial=1.0), 1.0)
