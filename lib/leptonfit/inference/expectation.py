"""Expectation of binned data as a linear function of signal amplitudes and of pulls, and the data beside it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from leptonfit.inference.binned import BinnedModel

_GUARD = 1e-9
"""Expectation, at nominal nuisances, of the empty bin that keeps a pull above its lowest value."""


@dataclass(frozen=True)
class Expectation:
    """Expected counts or rates that are linear in the amplitudes c of signals, and in the pulls a of the nuisances.

    ::

        expected(c, a) = base + Σ_n a_n shifts_n + Σ_k c_k (signals_k + Σ_n a_n signal_shifts_kn)

    Attributes
    ----------
    base : ndarray (n_bins,)
    shifts : ndarray (n_nuisances, n_bins)
    signals : ndarray (n_signals, n_bins)
    signal_shifts : ndarray (n_signals, n_nuisances, n_bins)
    prior : ndarray (n_nuisances,)
        1 for nuisances with a pull term, 0 for free ones.
    precision : ndarray (n_bins,)
        1/σ² of rates; 0 for Poisson counts.
    n_guards : int
        Number of empty bins at the end, one for each lower bound of a pull. The expectation of such a bin is a small
        number times the distance from the bound, so that the fit keeps it ≥ 0 like that of every empty bin, while it
        changes −2 ln L by a negligible amount.
    """

    base: np.ndarray
    shifts: np.ndarray
    signals: np.ndarray
    signal_shifts: np.ndarray
    prior: np.ndarray
    precision: np.ndarray
    n_guards: int

    @classmethod
    def of(cls, models: Sequence[BinnedModel]) -> Expectation:
        """Expectation with the signal of each of several models, which differ in nothing else."""
        first = models[0]
        bounds = np.full(len(first.nuisances), -np.inf) if first.lowest_pulls is None else first.lowest_pulls
        bounded = np.flatnonzero(np.isfinite(bounds))
        guards = _GUARD * np.eye(len(bounds))[:, bounded] / -bounds[bounded]
        precision = np.zeros(first.n_bins) if first.sigma is None else np.where(first.is_counted, 0, first.sigma**-2.0)
        pad = (0, len(bounded))
        return cls(
            base=np.pad(first.base, pad, constant_values=_GUARD),
            shifts=np.hstack([first.shifts, guards]),
            signals=np.pad([one.signal for one in models], ((0, 0), pad)),
            signal_shifts=np.pad([one.signal_shifts for one in models], ((0, 0), (0, 0), pad)),
            prior=(~first.is_free).astype(float),
            precision=np.pad(precision, pad),
            n_guards=len(bounded),
        )

    @property
    def n_signals(self) -> int:
        """Number of signals."""
        return len(self.signals)

    def at(self, x: np.ndarray) -> np.ndarray:
        """Expectation (n, n_bins) at amplitudes and pulls x (n, n_signals + n_nuisances)."""
        amplitudes, pulls = x[:, : self.n_signals], x[:, self.n_signals :]
        added = amplitudes.T[:, :, None] * (self.signals[:, None] + pulls @ self.signal_shifts)
        return self.base + pulls @ self.shifts + added.sum(axis=0)

    def by_amplitudes(self, x: np.ndarray) -> np.ndarray:
        """Derivatives (n, n_signals, n_bins) of the expectation by the amplitudes."""
        return self.signals + (x[:, self.n_signals :] @ self.signal_shifts).swapaxes(0, 1)

    def by_pulls(self, x: np.ndarray) -> np.ndarray:
        """Derivatives (n, n_nuisances, n_bins) of the expectation by the pulls."""
        moved = x[:, : self.n_signals] @ self.signal_shifts.reshape(self.n_signals, -1)
        return self.shifts + moved.reshape(len(x), *self.shifts.shape)

    def guard(self, counts: np.ndarray, used: np.ndarray, centres: np.ndarray) -> BinnedData:
        """Data of n fits, with the empty bins of the guards; shapes as in `BinnedData`, without these bins."""
        if self.n_guards:
            shape = len(counts), self.n_guards
            counts, used = np.hstack([counts, np.zeros(shape)]), np.hstack([used, np.ones(shape, dtype=bool)])
        return BinnedData(counts, used, centres)


@dataclass(frozen=True)
class BinnedData:
    """Data sets of n fits, in bins that include those of the guards.

    Attributes
    ----------
    counts : ndarray (n, n_bins + n_guards)
        Counts or rates.
    used : ndarray (n, n_bins + n_guards) of bool
    centres : ndarray (n, n_nuisances)
        Results of the auxiliary measurements behind the pull terms.
    """

    counts: np.ndarray
    used: np.ndarray
    centres: np.ndarray

    def take(self, rows: np.ndarray) -> BinnedData:
        """Data sets `rows`."""
        return BinnedData(self.counts[rows], self.used[rows], self.centres[rows])
