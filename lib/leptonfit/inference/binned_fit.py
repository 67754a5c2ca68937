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

import numpy as np
from scipy.optimize import elementwise

from leptonfit.inference.cancellation import check_cancelled
from leptonfit.inference.expectation import BinnedData, Expectation
from leptonfit.inference.result import Booleans, Result
from leptonfit.inference.stationarity import KKT_TOLERANCE

MAX_STEPS = 200
_CHUNK = 200_000
"""Number of elements in the largest array of one chunk of a batch, so that the array stays in the processor's cache."""
_DAMPING, _DAMPED, _GIVE_UP = 1e-9, 1e-4, 1e12
"""Smallest damping, smallest damping after a failed step, and the damping at which a fit gives up."""
_STALLED = 1e4
"""Damping at which a converged fit ends: so short a step changes −2 ln L by less than its rounding error."""
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


@dataclass(frozen=True)
class Minima:
    """Minima of −2 ln L of n fits.

    Attributes
    ----------
    x : ndarray (n, n_signals + n_nuisances)
        Amplitudes and pulls.
    value, converged : ndarray (n,)
        As in `BinnedFitResult`.
    slope : ndarray (n, n_signals)
        Derivatives of the profile by the amplitudes.
    price : ndarray (n, n_bins + n_guards)
        Multipliers of the constraints; only those of empty bins have a meaning.
    """

    x: np.ndarray
    value: np.ndarray
    slope: np.ndarray
    price: np.ndarray
    converged: np.ndarray

    @classmethod
    def begin(cls, x: np.ndarray, n_signals: int, n_bins: int) -> Minima:
        """Fits at the start; `n_bins` includes the guards."""
        n = len(x)
        return cls(x.copy(), np.empty(n), np.empty((n, n_signals)), np.empty((n, n_bins)), np.zeros(n, dtype=bool))

    def put(self, rows: np.ndarray, other: Minima) -> None:
        """Replace the fits `rows` by others."""
        for name in ("x", "value", "slope", "price", "converged"):
            getattr(self, name)[rows] = getattr(other, name)

    def take(self, rows: np.ndarray) -> Minima:
        """Copy of the fits `rows`."""
        return Minima(self.x[rows], self.value[rows], self.slope[rows], self.price[rows], self.converged[rows])


def minimise(expectation: Expectation, begin: np.ndarray, data: BinnedData, *, is_held: bool) -> Minima:
    """Minimise −2 ln L over the pulls, and over the amplitudes unless they are held at their start.

    Fits that do not converge are tried again from nominal nuisances, with short steps at first.

    Parameters
    ----------
    expectation : Expectation
    begin : ndarray (n, n_signals + n_nuisances)
        Amplitudes and pulls at the start.
    data : BinnedData
    is_held : bool
    """
    n, n_bins = data.counts.shape
    found = Minima.begin(begin, expectation.n_signals, n_bins)
    size = max(1, _CHUNK // (n_bins * begin.shape[1]))
    for i in range(0, n, size):
        rows = np.arange(i, min(i + size, n))
        found.put(rows, FitBatch(expectation, begin[rows], data.take(rows), is_held).minimise())
        lost = rows[~found.converged[rows]]
        if len(lost):
            again = begin[lost]
            again[:, expectation.n_signals :] = 0.0
            other = FitBatch(expectation, again, data.take(lost), is_held).minimise(damping=1.0)
            better = other.converged | (other.value < found.value[lost])
            found.put(lost[better], other.take(better))
    return found


def search_amplitude(expectation: Expectation, begin: np.ndarray, data: BinnedData, step: np.ndarray) -> Minima:
    """Minimise the profile over the amplitude of one signal, where common steps with the nuisances did not converge.

    With nuisances that act on the signal, the problem is convex only at a given amplitude, and a curved edge of the
    domain can stop such steps. The profile is then searched in the amplitude alone, with a first step (n,): it rises on
    both sides of the returned value.
    """

    def held(amplitude: np.ndarray, row: np.ndarray) -> Minima:
        at = begin[row]
        at[:, 0] = amplitude
        return minimise(expectation, at, data.take(row), is_held=True)

    def profile(amplitude: np.ndarray, row: np.ndarray) -> np.ndarray:
        return np.nan_to_num(held(amplitude.ravel(), row.ravel()).value.reshape(amplitude.shape), posinf=1e300)

    row = np.arange(len(begin))
    bracket = elementwise.bracket_minimum(profile, begin[:, 0], xl0=-step, xr0=step, args=(row,))
    lowest = elementwise.find_minimum(profile, bracket.bracket, args=(row,), tolerances={"xrtol": 1e-10})
    found = held(np.where(np.isfinite(lowest.x), lowest.x, begin[:, 0]), row)
    found.converged[~(bracket.success & lowest.success)] = False
    return found


def follow_pulls(expectation: Expectation, found: Minima, data: BinnedData) -> tuple[np.ndarray, np.ndarray]:
    """Derivatives by the amplitudes at minima of held amplitudes, where the pulls follow the amplitudes.

    Returns
    -------
    pulls : ndarray (n, n_signals, n_nuisances)
        Derivatives of the fitted pulls.
    expected : ndarray (n, n_signals, n_bins + n_guards)
        Derivatives of the expectation with the fitted pulls.
    """
    batch, n = FitBatch(expectation, found.x, data, is_held=False), expectation.n_signals
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        batch.prepare()
        batch.price = found.price
        here = batch.expand()
        matrix, lengths = batch.curve(here), here.lengths[:, n:]
        mixed = np.where(lengths[..., None] == 0, 0.0, matrix[:, n:, :n])
        damped = _damp(matrix[:, n:, n:].copy(), lengths, np.full(len(lengths), _DAMPING))
        pulls = -np.linalg.solve(damped, mixed).swapaxes(-1, -2)
        return pulls, here.slopes[:, :n] + pulls @ here.slopes[:, n:]


@dataclass(frozen=True)
class _Derivatives:
    """Derivatives of −2 ln L at the points of a batch, by the expectation and by the parameters that are fitted.

    Attributes
    ----------
    slopes : ndarray (n, n_par, n_bins)
        Of the expectation by the parameters.
    lengths : ndarray (n, n_par)
        Roots of the diagonal of the Fisher information.
    gradient : ndarray (n, n_par)
    first, second : ndarray (n, n_bins)
        By the expectation; in empty bins those of the constraint are included.
    """

    slopes: np.ndarray
    lengths: np.ndarray
    gradient: np.ndarray
    first: np.ndarray
    second: np.ndarray

    def take(self, rows: np.ndarray) -> _Derivatives:
        return _Derivatives(
            self.slopes[rows], self.lengths[rows], self.gradient[rows], self.first[rows], self.second[rows]
        )


_STATE = (
    *("rows", "x", "counts", "centres", "used", "counted", "empty", "is_impossible"),
    *("expected", "offset", "shifted", "price", "value", "damped"),
)
"""Arrays of a batch with a row for each fit that has not ended."""


class FitBatch:
    """Fits that take Newton's steps together; each leaves the batch when it ends.

    Parameters
    ----------
    expectation : Expectation
    begin : ndarray (n, n_signals + n_nuisances)
        Amplitudes and pulls at the start.
    data : BinnedData
    is_held : bool
        True if the amplitudes are fixed, False if they are fitted.
    """

    def __init__(self, expectation: Expectation, begin: np.ndarray, data: BinnedData, is_held: bool) -> None:
        self.expectation, self.is_held = expectation, is_held
        self.x, self.counts, self.used, self.centres = begin, data.counts, data.used, data.centres
        self.n_signals = expectation.n_signals
        self.first_free = self.n_signals if is_held else 0

    def minimise(self, *, damping: float = _DAMPING) -> Minima:
        """Minima reached by damped Newton steps, at least one: a start may be a neighbour's minimum."""
        found = Minima.begin(self.x, self.n_signals, self.counts.shape[1])
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            self.prepare()
            self.damped = np.full(len(self.x), damping)
            for k in range(MAX_STEPS):
                check_cancelled()
                here, gap = self.expand(), self._gap()
                size = np.maximum(1.0, self.value)
                tilt = np.abs(here.gradient) / np.where(here.lengths > 0, here.lengths, np.inf)
                kkt = tilt.max(axis=-1, initial=0.0) / 2 / np.sqrt(size)
                going = (k == 0) | (kkt > _AIM) | (gap > _GAP_AIM * size) | self.shifted
                is_minimum = (kkt <= KKT_TOLERANCE) & (gap <= _GAP * size) & ~self.shifted
                going &= (self.damped < np.where(is_minimum, _STALLED, _GIVE_UP)) & (k < MAX_STEPS - 1)
                if not going.all():
                    ended = ~going
                    found.put(self.rows[ended], self._take(ended, here, is_minimum))
                    if not going.any():
                        break
                    self._keep(going)
                    here, gap = here.take(going), gap[going]
                self._step(here, gap)
        return found

    def prepare(self) -> None:
        """Expectation at the start; where it is not positive, add an offset that the steps remove gradually."""
        expectation, n = self.expectation, len(self.x)
        self.rows = np.arange(n)
        self.expected = expectation.at(self.x)
        self.counted = self.used & (expectation.precision == 0)
        low = self.counted & (self.expected <= 0)
        self.is_impossible = np.zeros(n, dtype=bool)
        if self.is_held:
            self.slopes = expectation.by_pulls(self.x)
            if low.any():  # bins whose expectation does not depend on the nuisances
                fixed = low & ~self.slopes.any(axis=1)
                self.is_impossible = (fixed & ((self.counts > 0) | (self.expected < 0))).any(axis=-1)
                dropped = fixed | self.is_impossible[:, None]
                self.used, self.counted, low = self.used & ~dropped, self.counted & ~dropped, low & ~dropped
        self.uses_all = bool(self.used.all())
        if not self.uses_all:  # a constant expectation that agrees with the data has no effect
            self.counts, self.expected = (np.where(self.used, each, 1.0) for each in (self.counts, self.expected))
        if self.is_held:
            self.slopes = self._cut(self.slopes)
            self.squares = self.slopes**2
        self.empty = self.counted & (self.counts == 0)
        self.offset = np.where(low, np.maximum(self.counts, 1.0) - self.expected, 0.0)
        self.shifted = low.any(axis=-1)
        self.has_edge = bool(self.empty.any() or low.any())
        self.has_rates = bool(expectation.precision.any())
        self.expected = self.expected + self.offset
        self.price = np.ones(self.counts.shape)
        self.value = self._evaluate(self.x, self.expected)

    def _cut(self, slopes: np.ndarray) -> np.ndarray:
        """Slopes (n, n_par, n_bins), 0 in bins that are not used."""
        return slopes if self.uses_all else np.where(self.used[:, None], slopes, 0.0)

    def _keep(self, going: np.ndarray) -> None:
        """Drop the fits that have ended."""
        for name in (*_STATE, "slopes", "squares") if self.is_held else _STATE:
            setattr(self, name, getattr(self, name)[going])

    def _take(self, rows: np.ndarray, here: _Derivatives, is_minimum: np.ndarray) -> Minima:
        """Fits `rows` as they are now."""
        by_amplitudes = self.expectation.by_amplitudes(self.x[rows])
        return Minima(
            x=self.x[rows],
            value=np.where(self.shifted | self.is_impossible, np.inf, self.value)[rows],
            slope=np.vecdot(by_amplitudes, here.first[rows, None]),
            price=self.price[rows],
            converged=is_minimum[rows],
        )

    def _gap(self) -> np.ndarray:
        """Sum (n,) of expectation · λ over the empty bins."""
        if not self.has_edge:
            return np.zeros(len(self.x))
        return np.sum(np.where(self.empty, self.price * self.expected, 0.0), axis=-1)

    def _evaluate(self, x: np.ndarray, expected: np.ndarray) -> np.ndarray:
        """−2 ln L (n,) for an expectation that is positive in all bins of counts in use."""
        counts, precision = self.counts, self.expectation.precision
        away = (expected - counts) / np.where(counts > 0, counts, 1.0)  # small deviations keep their digits so
        terms = counts * (away - np.log1p(away))
        if self.has_edge:
            terms = np.where(self.empty, expected, terms)
        terms = 2 * terms
        if self.has_rates:
            terms = np.where(precision > 0, (counts - expected) ** 2 * precision, terms)
        pulled = self.expectation.prior * (x[:, self.n_signals :] - self.centres)
        return terms.sum(axis=-1) + np.vecdot(pulled, pulled)

    def expand(self) -> _Derivatives:
        """Derivatives of −2 ln L at the present points."""
        expectation, expected, n_held = self.expectation, self.expected, self.first_free
        share = self.counts / expected
        first, second, weight = 2 - 2 * share, 2 * share / expected, 1 / expected
        if self.has_edge:
            first = np.where(self.empty, 2 - self.price, first)
            second = np.where(self.empty, self.price / expected, second)
            weight = np.where(self.empty, np.minimum(weight, 1.0), weight)
        if self.has_rates:
            precision, is_rate = expectation.precision, expectation.precision > 0
            first = np.where(is_rate, 2 * (expected - self.counts) * precision, first)
            second, weight = np.where(is_rate, 2 * precision, second), np.where(is_rate, precision, weight)
        if self.is_held:
            slopes, squares = self.slopes, self.squares
        else:
            moved = [expectation.by_amplitudes(self.x), expectation.by_pulls(self.x)]
            slopes = self._cut(np.concatenate(moved, axis=1))
            squares = slopes**2
        gradient, fisher = np.matvec(slopes, first), np.matvec(squares, weight)
        pulls = slice(self.n_signals - n_held, None)
        gradient[:, pulls] += 2 * expectation.prior * (self.x[:, self.n_signals :] - self.centres)
        fisher[:, pulls] += expectation.prior
        return _Derivatives(slopes, np.sqrt(fisher), gradient, first, second)

    def curve(self, here: _Derivatives) -> np.ndarray:
        """Second derivatives (n, n_par, n_par) of −2 ln L, with those of the constraints of empty bins."""
        matrix = (here.slopes * here.second[:, None]) @ here.slopes.swapaxes(-1, -2)
        n = self.n_signals - self.first_free
        if n:
            mixed = np.matvec(self.expectation.signal_shifts, here.first[:, None])
            matrix[:, :n, n:] += mixed
            matrix[:, n:, :n] += mixed.swapaxes(-1, -2)
        np.einsum("...ii->...i", matrix)[:, n:] += 2 * self.expectation.prior
        return matrix

    def _step(self, here: _Derivatives, gap: np.ndarray) -> None:
        """Compute Newton's step of each fit, and take it if it is good."""
        aim, downhill = np.zeros(len(self.x)), -here.gradient
        if self.has_edge:  # the function to minimise is −2 ln L − aim Σ ln(expectation)
            share = np.where(self.damped > _CALM, 1.0, _CENTRING)
            lowest = _GAP_AIM / 2 * np.maximum(1.0, self.value)
            aim = np.maximum(share * gap, lowest) / np.maximum(self.empty.sum(axis=-1), 1)
            inner = np.where(self.empty, self.price - aim[:, None] / self.expected, 0.0)
            downhill -= np.matvec(here.slopes, inner - here.second * self.offset)
        downhill = np.where(here.lengths == 0, 0.0, downhill)
        step = np.linalg.solve(_damp(self.curve(here), here.lengths, self.damped), downhill[..., None])[..., 0]
        self._move(step, np.vecdot(step, downhill) >= 0, np.vecmat(step, here.slopes) - self.offset, aim)

    def _move(self, step: np.ndarray, is_downhill: np.ndarray, change: np.ndarray, aim: np.ndarray) -> None:
        """Take a step, cut at the edge, if it lowers −2 ln L − aim Σ ln(expectation); else increase the damping.

        `change` (n, n_bins) is the linear change of the expectation, with its offset, by the whole step.
        """
        counted, expected, before, empty = self.counted, self.expected, self.value, self.empty
        share = _share(expected, change, counted)
        trial = self.x.copy()
        trial[:, self.first_free :] += share[:, None] * step
        there = self.expectation.at(trial)
        if not self.uses_all:
            there = np.where(self.used, there, 1.0)
        offset, is_shifted = self.offset, self.shifted
        if is_shifted.any():
            offset = (1 - share[:, None]) * offset
            is_shifted = ((there <= _NEAR * np.abs(offset)) & counted).any(axis=-1)
            offset[~is_shifted] = 0.0
            there = there + offset
        is_positive = ((there > 0) | ~counted).all(axis=-1)
        after = value = self._evaluate(trial, there)
        if self.has_edge:
            after = value - aim * np.sum(np.where(empty, np.log(there / expected), 0.0), axis=-1)
        better = is_positive & is_downhill & (after <= before + _ROUNDING * np.maximum(1.0, before))
        better |= self.shifted & is_positive & np.isfinite(value)
        if self.has_edge:
            rise = np.where(empty, (aim[:, None] - self.price * (expected + change)) / expected, 0.0)
            priced = self.price + _share(self.price, rise, empty)[:, None] * rise
            self.price[better], self.offset[better] = priced[better], offset[better]
            self.shifted[better] = is_shifted[better]
        self.x[better], self.expected[better], self.value[better] = trial[better], there[better], value[better]
        more, less = np.maximum(self.damped * 10, _DAMPED), np.maximum(self.damped / 10, _DAMPING)
        self.damped = np.where(better, less, more)


def _damp(matrix: np.ndarray, lengths: np.ndarray, damping: np.ndarray) -> np.ndarray:
    """Matrix (n, n_par, n_par) with a damped diagonal, which does not move parameters whose length (n, n_par) is 0."""
    diagonal = np.einsum("...ii->...i", matrix)
    # the diagonal is arbitrarily large where empty bins are near the edge
    diagonal += damping[:, None] * lengths**2 + _ROUNDING * np.abs(diagonal)
    still = lengths == 0
    if not still.any():
        return matrix
    matrix = np.where(still[:, :, None] | still[:, None, :], 0.0, matrix)
    return matrix + still[..., None] * np.eye(still.shape[-1])


def _share(positive: np.ndarray, change: np.ndarray, where: np.ndarray) -> np.ndarray:
    """Largest fraction (n,) of a change, at most 1, that keeps the numbers (n, n_bins) positive."""
    room = np.where(where & (change < 0), -_INWARD * positive / change, 1.0)
    return np.minimum(room.min(axis=-1, initial=1.0), 1.0)
