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
from leptonfit.inference.binned_fit import Minima, follow_pulls, minimise
from leptonfit.inference.expectation import BinnedData, Expectation
from leptonfit.inference.model_data import compare_counts
from leptonfit.inference.problem import LeastSquaresProblem, Parameter, Search


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
    def _expectation(self) -> Expectation:
        return Expectation.of(self.models)

    @cached_property
    def _start(self) -> np.ndarray:
        """Pulls (n_nuisances,) from which fits start: those fitted without signal, unless an empty bin has an edge."""
        n_signals, start = len(self.models), np.zeros(len(self.models[0].nuisances))
        if (self.data[self.models[0].is_counted] == 0).any():
            return start
        return self._fit(np.zeros((1, n_signals)), start)[0].x[0, n_signals:]

    def _fit(self, strengths: np.ndarray, start: np.ndarray) -> tuple[Minima, BinnedData]:
        """Fits of the pulls at strengths (n, n_signals) from a start (n_nuisances,), and the data of each."""
        n, n_bins = len(strengths), self.models[0].n_bins
        counts, pulls = np.broadcast_to(self.data, (n, n_bins)), np.broadcast_to(start, (n, len(start)))
        data = self._expectation.guard(counts, np.ones((n, n_bins), dtype=bool), np.zeros(pulls.shape))
        return minimise(self._expectation, np.hstack([strengths, pulls]), data, is_held=True), data

    @property
    def n_residuals(self) -> int:
        """Number of bins and of pull terms."""
        return self.models[0].n_bins + int(np.count_nonzero(~self.models[0].is_free))

    def expand(self, strengths: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Residuals (..., n_residuals) at strengths (..., n_signals), and their slopes (..., n_residuals, n_signals).

        Both are nan where the expectation of a bin of counts cannot be positive, or the pulls cannot be fitted.
        """
        shape, model, expectation = np.shape(strengths)[:-1], self.models[0], self._expectation
        n_signals, n_bins = len(self.models), model.n_bins
        found, data = self._fit(np.reshape(strengths, (math.prod(shape), n_signals)), self._start)
        expected, pulls = expectation.at(found.x)[:, :n_bins], found.x[:, n_signals:]
        moved, slope = (one.swapaxes(-1, -2) for one in follow_pulls(expectation, found, data))
        slope, pulled = slope[:, :n_bins], ~model.is_free
        counted = model.is_counted
        residuals_of, slopes_of = compare_counts(self.data[counted])
        residuals, slopes = np.empty(expected.shape), np.empty(slope.shape)
        residuals[:, counted] = residuals_of(expected[:, counted])
        slopes[:, counted] = slopes_of(expected[:, counted], slope[:, counted])
        if model.sigma is not None:
            sigma = model.sigma[~counted]
            residuals[:, ~counted] = (expected - self.data)[:, ~counted] / sigma
            slopes[:, ~counted] = slope[:, ~counted] / sigma[:, None]
        whole = np.concatenate([residuals, pulls[:, pulled]], axis=1)
        derived = np.concatenate([slopes, moved[:, pulled]], axis=1)
        is_lost = ~(found.converged & np.isfinite(found.value))
        whole[is_lost], derived[is_lost] = np.nan, np.nan
        shape = (*shape, self.n_residuals)
        return whole.reshape(shape), derived.reshape(*shape, n_signals)


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
