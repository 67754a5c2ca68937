"""Profile likelihood Q(θ) of binned data sets, and where a function of it falls through zero.

Q(θ) is −2 ln L minimised over the nuisances, θ̂ the free best fit, and q̃(θ) = Q(θ) − Q(max(θ̂, 0)) where θ̂ < θ, else 0
(G. Cowan et al., Eur. Phys. J. C 71, 1554 (2011), arXiv:1007.1727).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy.optimize import elementwise

from leptonfit.inference.binned import BinnedFitResult, BinnedModel

_SMALLEST = 1e-3
"""Distance in σ: if θ is already excluded there, the limit is 0."""
_DOUBLINGS = 12
"""Number of doublings of the search range, starting at 2 σ. If θ is still allowed beyond 8e3 σ, there is no limit.

Farther away the expectation is what is left of numbers that cancel each other, and has too few digits for a fit.
"""


class ProfileLikelihood:
    """Q(θ) of data sets in rows, with θ = t σ in units of the standard deviations σ (rows,).

    Parameters
    ----------
    model : BinnedModel
    data, used : ndarray (rows, n_bins)
    sigma : ndarray (rows,)
    centres : ndarray (rows, n_nuisances), optional
        Results of the auxiliary measurements behind the pull terms.
    """

    def __init__(
        self,
        model: BinnedModel,
        data: np.ndarray,
        used: np.ndarray,
        sigma: np.ndarray,
        centres: np.ndarray | None = None,
    ) -> None:
        self._model, self._data, self._used, self.sigma = model, data, used, sigma
        self._centres = np.zeros((len(data), len(model.nuisances))) if centres is None else centres
        self._start = np.zeros(self._centres.shape)
        self._known: dict[tuple[int, float], float] = {}
        rows = np.arange(len(data))
        at_zero = self.fit(rows, 0.0)
        # fits that approach the edge of the domain converge better from a start away from it
        edge = (used & (data == 0)).any(axis=-1) | ~np.isfinite(at_zero.value)
        self._start = np.where(edge[:, None], 0.0, at_zero.pulls)
        free = self.fit(rows, None)
        self.pulls_at_zero = at_zero.pulls
        self.theta_hat, self.lowest, self.zero = free.theta, free.value, at_zero.value
        self.lowest_allowed = np.where(free.theta > 0, free.value, at_zero.value)

    def at(self, t: np.ndarray, row: np.ndarray) -> ProfilePoints:
        """Points at t (n,), one of each data set in `row` (n,)."""
        return ProfilePoints(self, t, row)

    def values(self, t: np.ndarray, row: np.ndarray) -> np.ndarray:
        """Q(t σ) (n,) of the data sets in `row` (n,); each point is fitted once, as several searches ask for it."""
        points = list(zip(row.tolist(), t.tolist(), strict=True))
        new = list(dict.fromkeys(point for point in points if point not in self._known))
        if new:
            rows, at = (np.array(column) for column in zip(*new, strict=True))
            fit = self.fit(rows, at * self.sigma[rows])
            self._known.update(zip(new, fit.value.tolist(), strict=True))
        return np.array([self._known[point] for point in points])

    def fit(self, row: np.ndarray, theta: np.ndarray | float | None) -> BinnedFitResult:
        """Fit the data sets in `row` (n,) with θ (n,) held, or free where it is None.

        Raises
        ------
        RuntimeError
            If a fit does not converge.
        """
        fit = self._model.fit(
            self._data[row], theta=theta, used=self._used[row], centres=self._centres[row], start=self._start[row]
        )
        if not fit.converged.all():
            lost = np.flatnonzero(~fit.converged.ravel())
            which = int(row.ravel()[lost[0]])
            at = "free" if theta is None else f"= {np.broadcast_to(theta, row.shape).ravel()[lost[0]]:g}"
            raise RuntimeError(
                f"{len(lost)} of {row.size} fits did not converge; the first is of data set {which + 1} "
                f"of {len(self._data)}, {self._data[which].tolist()}, with theta {at}"
            )
        return fit


@dataclass(frozen=True)
class ProfilePoints:
    """Points t (n,) on the profiles of the data sets `row` (n,), fitted once when they are first asked for."""

    profile: ProfileLikelihood
    t: np.ndarray
    row: np.ndarray

    @cached_property
    def q(self) -> np.ndarray:
        """Q(t σ), shape (n,)."""
        return self.profile.values(self.t, self.row)

    @property
    def q_zero(self) -> np.ndarray:
        """Q(0), shape (n,)."""
        return self.profile.zero[self.row]

    @property
    def q_tilde(self) -> np.ndarray:
        """q̃(t σ), shape (n,)."""
        above = np.maximum(self.q - self.profile.lowest_allowed[self.row], 0.0)
        return np.where(self.t * self.profile.sigma[self.row] > self.profile.theta_hat[self.row], above, 0.0)

    @property
    def distance(self) -> np.ndarray:
        """θ̂/σ, shape (n,)."""
        return self.profile.theta_hat[self.row] / self.profile.sigma[self.row]


def find_end(
    allowed: Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray], rows: int, levels: np.ndarray
) -> np.ndarray:
    """Find t where a function that falls with t crosses zero, for every data set and level.

    Parameters
    ----------
    allowed : callable
        Function (t, row, level) of arrays of one shape → array of that shape, positive while t is allowed.
    rows : int
    levels : ndarray (n_levels,)

    Returns
    -------
    ndarray (rows, n_levels)
        0 where not even the smallest t is allowed; inf where every t is allowed, so that the data set no limit.

    Raises
    ------
    RuntimeError
        If no crossing is found.
    """
    row, level = (array.ravel() for array in np.meshgrid(np.arange(rows), levels, indexing="ij"))
    low = np.full(row.shape, _SMALLEST)
    at_low = allowed(low, row, level)
    found = np.where(np.isposinf(at_low), np.inf, 0.0)
    some = (at_low > 0) & np.isfinite(at_low)
    if some.any():
        given = row[some], level[some]
        bracket = elementwise.bracket_root(
            allowed, low[some], np.full(some.sum(), 2.0), xmin=0.0, args=given, maxiter=_DOUBLINGS
        )
        endless = bracket.f_bracket[1] > 0  # θ is still allowed at the end of the search range
        ends = np.full(endless.shape, np.inf)
        crossed = ~endless
        given = row[some][crossed], level[some][crossed]
        inside = bracket.bracket[0][crossed], bracket.bracket[1][crossed]
        root = elementwise.find_root(allowed, inside, args=given, tolerances={"xrtol": 1e-9})
        if not (bracket.success[crossed] & root.success).all():
            raise RuntimeError("no upper end was found: the profile of the likelihood is not smooth enough")
        ends[crossed] = root.x
        found[some] = ends
    return found.reshape(rows, len(levels))
