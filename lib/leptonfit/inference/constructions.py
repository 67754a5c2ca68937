"""Constructions of an upper limit on θ ≥ 0 from one profile likelihood; `CONSTRUCTIONS` lists those of the workbook.

The confidence level is 1 − α.

- ``cls``: p(q̃ | θ) / p(q̃ | 0) = α, asymptotic (A. L. Read, J. Phys. G 28, 2693 (2002)). It does not exclude signals
  to which the data are not sensitive.
- ``fc``: Feldman–Cousins ordering for a Gaussian θ̂ with θ ≥ 0, exact (arXiv:physics/9711021).
- ``q_tilde``: p(q̃ | θ) = α, asymptotic. After a downward fluctuation it excludes signals to which the data are not
  sensitive.
- ``pinned``: Q(θ) − Q(0) reaches the one-sided quantile (Φ⁻¹(1 − α))²; the reference is the fit with θ fixed at 0.

The asymptotic formulas take the standard deviation of θ̂ from the Asimov data, the expectation at θ = 0.

If one bin of counts determines θ and no nuisance acts on it, ``cls``, ``fc`` and ``q_tilde`` are exact: they use the
Poisson distribution, and ``fc`` includes discreteness and the falling upper ends of Feldman and Cousins' tables.
Otherwise each construction has a criterion for its approximation. The criteria were measured on one bin with a
background of b counts, where the skewness of θ̂ is b^(−1/2), at 90 %, for signals up to three standard deviations:

- ``cls``: for b ≥ 8 within 10 % of the exact limit, coverage at least 89 %;
- ``q_tilde``, ``pinned``: for b ≥ 20 coverage at least 87 %;
- ``fc``: coverage at least 87 % for b ≥ 300, where the profile of the Asimov data differs from a parabola by less than
  3 % in θ at the limit. That also fails with many counts and nuisances as large as the signal.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod

import numpy as np
from scipy.stats import norm

from leptonfit.inference.asymptotic import asymptotic_p_values, feldman_cousins
from leptonfit.inference.counts import poisson_feldman_cousins, poisson_upper
from leptonfit.inference.profile_likelihood import ProfileLikelihood, ProfilePoints, find_end


class Construction(ABC):
    """Construction of an interval for θ ≥ 0 from a Gaussian estimate θ̂; subclasses may use the whole profile.

    Attributes
    ----------
    key, title : str
        Name in parameters and results, and in figures and tables.
    marker : str
        Marker in figures, a Matplotlib code.
    least_counts : float
        Smallest effective counts at which the approximation holds.
    largest_bend : float
        Largest relative difference, at the limit, between the Asimov profile and a parabola at which it holds.
    has_low_end : bool
        Whether the interval may exclude θ = 0; an upper limit never does, so that it always covers θ = 0.
    """

    key: str
    title: str
    marker: str
    least_counts: float
    largest_bend: float
    has_low_end = False

    @abstractmethod
    def gaussian(self, x: np.ndarray, confidence: np.ndarray | float) -> tuple[np.ndarray, np.ndarray]:
        """Ends (...) of the interval for the mean of a Gaussian of unit width measured at x (...).

        The lower end is 0 for an upper limit; the upper end is 0 where every mean is excluded.
        """

    def exact(self, n: np.ndarray, background: float, levels: np.ndarray) -> tuple[np.ndarray, np.ndarray] | None:
        """Ends (n_counts, n_levels) of the interval for the mean of a signal in counts n; None if no form is known."""
        return None

    def interval(
        self, seen: ProfileLikelihood, asimov: ProfileLikelihood, levels: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Ends (rows, n_levels) of the interval, in standard deviations of θ̂, for each data set of `seen`."""
        return self.gaussian((seen.theta_hat / seen.sigma)[:, None], levels)

    def covers(self, seen: ProfilePoints, asimov: ProfilePoints, level: float) -> np.ndarray:
        """Whether the interval contains the points (n,) of `seen`; `asimov` has the same t."""
        low, high = self.gaussian(seen.distance, level)
        return (low <= seen.t) & (seen.t <= high)

    def is_valid(self, n_effective: np.ndarray, bend: np.ndarray) -> np.ndarray:
        """Whether the approximation holds (rows,), from the effective counts (rows,) and the bend (rows, n_levels)."""
        return (n_effective >= self.least_counts) & (bend <= self.largest_bend).all(axis=-1)


class InvertedTest(Construction):
    """Upper limit where a test of θ on the profile ceases to allow it."""

    @abstractmethod
    def margin(self, seen: ProfilePoints, asimov: ProfilePoints, level: np.ndarray | float) -> np.ndarray:
        """Function (n,) that falls with t and is positive while the test allows the points of `seen`."""

    def interval(
        self, seen: ProfileLikelihood, asimov: ProfileLikelihood, levels: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Zero, and the end of what the test allows."""

        def allowed(t: np.ndarray, row: np.ndarray, level: np.ndarray) -> np.ndarray:
            return self.margin(seen.at(t, row), asimov.at(t, row), level)

        return _upper(find_end(allowed, len(seen.sigma), levels))

    def covers(self, seen: ProfilePoints, asimov: ProfilePoints, level: float) -> np.ndarray:
        """Whether the test allows the points of `seen`."""
        return self.margin(seen, asimov, level) >= 0


class CLs(InvertedTest):
    """Ratio of p-values with and without signal."""

    key, title, marker = "cls", "CLs", "s"
    least_counts, largest_bend = 8.0, math.inf

    def gaussian(self, x: np.ndarray, confidence: np.ndarray | float) -> tuple[np.ndarray, np.ndarray]:
        """Zero, and x + Φ⁻¹(1 − α Φ(x))."""
        return _upper(x + norm.isf((1 - confidence) * norm.cdf(x)))

    def margin(self, seen: ProfilePoints, asimov: ProfilePoints, level: np.ndarray | float) -> np.ndarray:
        """CLs − α."""
        return asymptotic_p_values(seen.q_tilde, asimov.q_tilde)[0] - (1 - level)

    def exact(self, n: np.ndarray, background: float, levels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Zero, and Zech's limit."""
        return _upper(poisson_upper(n[:, None], background, levels, cls=True))


class FeldmanCousins(Construction):
    """Likelihood-ratio ordering, for a Gaussian θ̂ or for one count."""

    key, title, marker = "fc", "Feldman–Cousins, Gaussian", "o"
    least_counts, largest_bend = 20.0, 0.03
    has_low_end = True

    def gaussian(self, x: np.ndarray, confidence: np.ndarray | float) -> tuple[np.ndarray, np.ndarray]:
        """Ends of `feldman_cousins`."""
        return feldman_cousins(x, confidence)

    def exact(self, n: np.ndarray, background: float, levels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Ends of `poisson_feldman_cousins`."""
        ends = [[poisson_feldman_cousins(int(one), background, float(level)) for level in levels] for one in n]
        low, high = np.moveaxis(np.array(ends), -1, 0)
        return low, high


class QTilde(InvertedTest):
    """p-value of q̃, without the denominator of CLs."""

    key, title, marker = "q_tilde", "q̃ alone", "v"
    least_counts, largest_bend = 20.0, math.inf

    def gaussian(self, x: np.ndarray, confidence: np.ndarray | float) -> tuple[np.ndarray, np.ndarray]:
        """Zero, and x + Φ⁻¹(1 − α) where that is positive."""
        return _upper(np.maximum(x + norm.ppf(confidence), 0.0))

    def margin(self, seen: ProfilePoints, asimov: ProfilePoints, level: np.ndarray | float) -> np.ndarray:
        """p(q̃ | θ) − α."""
        return asymptotic_p_values(seen.q_tilde, asimov.q_tilde)[1] - (1 - level)

    def exact(self, n: np.ndarray, background: float, levels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Zero, and the classical limit."""
        return _upper(poisson_upper(n[:, None], background, levels, cls=False))


class Pinned(InvertedTest):
    """Rise of Q above its value at θ = 0."""

    key, title, marker = "pinned", "pinned Δχ²", "D"
    least_counts, largest_bend = 20.0, math.inf

    def gaussian(self, x: np.ndarray, confidence: np.ndarray | float) -> tuple[np.ndarray, np.ndarray]:
        """Zero, and x + √(x² + Φ⁻¹(1 − α)²)."""
        return _upper(x + np.hypot(x, norm.ppf(confidence)))

    def margin(self, seen: ProfilePoints, asimov: ProfilePoints, level: np.ndarray | float) -> np.ndarray:
        """Quantile less the rise."""
        return norm.ppf(level) ** 2 + seen.q_zero - seen.q


def _upper(limit: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Ends of the interval below an upper limit."""
    return np.zeros(np.shape(limit)), limit


CONSTRUCTIONS: dict[str, Construction] = {one.key: one for one in (CLs(), FeldmanCousins(), QTilde(), Pinned())}
"""The constructions of the workbook by key, in the order of figures and tables."""
