"""Upper limits on a signal strength θ ≥ 0, by several constructions from one profile likelihood.

Q(θ) is −2 ln L minimised over the nuisances, θ̂ the free best fit, and q̃(θ) = Q(θ) − Q(max(θ̂, 0)) where θ̂ < θ, else 0
(G. Cowan et al., Eur. Phys. J. C 71, 1554 (2011), arXiv:1007.1727). The confidence level is 1 − α.

- ``cls``: p(q̃ | θ) / p(q̃ | 0) = α, asymptotic (A. L. Read, J. Phys. G 28, 2693 (2002)). It does not exclude signals
  to which the data are not sensitive.
- ``fc``: Feldman–Cousins ordering for a Gaussian θ̂ with θ ≥ 0, exact (arXiv:physics/9711021).
- ``q_tilde``: p(q̃ | θ) = α, asymptotic. After a downward fluctuation it excludes signals to which the data are not
  sensitive.
- ``pinned``: Q(θ) − Q(0) reaches the one-sided quantile (Φ⁻¹(1 − α))²; the reference is the fit with θ fixed at 0.

The asymptotic formulas take the standard deviation of θ̂ from the Asimov data, the expectation at θ = 0.

If one bin of counts determines θ and no nuisance acts on it, ``cls``, ``fc`` and ``q_tilde`` are exact: they use the
Poisson distribution, and ``fc`` includes discreteness and the falling upper ends of Feldman and Cousins' tables.
Otherwise the result states for each construction whether its approximation holds. The criteria were measured on one
bin with a background of b counts, where the skewness of θ̂ is b^(−1/2), at 90 %, for signals up to three standard
deviations:

- ``cls``: for b ≥ 8 within 10 % of the exact limit, coverage at least 89 %;
- ``q_tilde``, ``pinned``: for b ≥ 20 coverage at least 87 %;
- ``fc``: coverage at least 87 % for b ≥ 300, where the profile of the Asimov data differs from a parabola by less than
  3 % in θ at the limit. That also fails with many counts and nuisances as large as the signal.

`effective_counts` gives the equivalent b of any model.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import elementwise
from scipy.stats import norm

from leptonfit.inference.asymptotic import METHODS, asymptotic_p_values, feldman_cousins, gaussian_limit
from leptonfit.inference.binned import BinnedFitResult, BinnedModel, scale_information
from leptonfit.inference.counts import BANDS, find_exact
from leptonfit.inference.result import Booleans, Result

__all__ = [
    "BANDS",
    "DELTA_CHI2",
    "METHODS",
    "LimitsResult",
    "Profile",
    "asymptotic_p_values",
    "effective_counts",
    "feldman_cousins",
    "find_limits",
    "gaussian_limit",
]

DELTA_CHI2 = (1.64, 2.71, 3.84)
_ENOUGH = {"cls": 8.0, "q_tilde": 20.0, "pinned": 20.0}
"""Smallest effective counts at which the asymptotic formula of a construction holds, as measured above."""
_PARABOLIC = 0.03
"""Largest relative difference between the Asimov profile and a parabola for which θ̂ is treated as Gaussian."""
_SMALLEST = 1e-3
"""Distance in σ: if θ is already excluded there, the limit is 0."""
_DOUBLINGS = 14
"""Number of doublings of the search range, starting at 2 σ. If θ is still allowed beyond 1e4 σ, there is no limit."""


@dataclass(frozen=True)
class LimitsResult(Result):
    """Upper limits on θ. The axes `...` are the leading axes of the data and of the bins in use.

    Attributes
    ----------
    theta_hat : ndarray (...)
        Free best fit; may be negative.
    sigma : ndarray (...)
        Expected standard deviation of θ̂ at θ = 0, from the Fisher information.
    chi2_min, chi2_zero : ndarray (...)
        Q(θ̂) and Q(0).
    confidence : ndarray (n_levels,)
    observed : dict of ndarray (..., n_levels)
        Limit of each construction; 0 where it excludes every θ, inf where it excludes none, because nuisances explain
        any signal or (for `pinned`) because θ = 0 is impossible.
    expected : dict of ndarray (..., n_levels, 5)
        Limit of each construction if θ̂ were −2, −1, 0, 1, 2 standard deviations from 0; from the same quantiles of the
        Poisson distribution where `is_exact`.
    fc_low : ndarray (..., n_levels)
        Lower end of the Feldman–Cousins interval; where it is above 0, the interval is not an upper limit.
    delta_chi2 : ndarray (..., 3)
        θ above which Q exceeds its lowest value at θ ≥ 0 by 1.64, 2.71, 3.84.
    n_effective : ndarray (...)
        Counts in a single bin that would give θ̂ the same skewness, at nominal nuisances or at those fitted at θ = 0
        (the smaller number); inf for Gaussian rates.
    is_exact : ndarray (...) of bool
        True if `cls`, `fc` and `q_tilde` are exact, from the Poisson distribution of one count.
    is_valid : dict of ndarray (...) of bool
        For each construction, True if it is exact or its approximation holds here.
    """

    theta_hat: np.ndarray
    sigma: np.ndarray
    chi2_min: np.ndarray
    chi2_zero: np.ndarray
    confidence: np.ndarray
    observed: dict[str, np.ndarray]
    expected: dict[str, np.ndarray]
    fc_low: np.ndarray
    delta_chi2: np.ndarray
    n_effective: np.ndarray
    is_exact: Booleans
    is_valid: dict[str, Booleans]


def find_limits(
    model: BinnedModel,
    data: np.ndarray,
    *,
    confidence: Sequence[float] = (0.90, 0.95),
    asimov_pulls: np.ndarray | float = 0.0,
    used: np.ndarray | None = None,
) -> LimitsResult:
    """Observed and expected upper limits by each construction.

    Parameters
    ----------
    model : BinnedModel
    data : ndarray (..., n_bins)
    confidence : sequence of float
    asimov_pulls : ndarray (n_nuisances,), optional
        Nuisances of the Asimov data and of their auxiliary measurements. By default they are nominal, so that the
        expected limits do not depend on the counts. With those fitted at θ = 0 the asymptotic formulas are pyhf's.
    used : ndarray (..., n_bins) of bool, optional
        Bins to fit; all if not given.

    Raises
    ------
    ValueError
        If a confidence is not above 0.5 and below 1, some choice of bins is not sensitive to θ, or the data do not fit
        the model.
    RuntimeError
        If a fit or a root does not converge.
    """
    levels = np.array(confidence, dtype=float)
    if not ((levels > 0.5) & (levels < 1)).all():
        raise ValueError(f"confidence = {levels.tolist()}: must be above 0.5 and below 1")
    used = np.ones(model.n_bins, dtype=bool) if used is None else np.asarray(used)
    model.check_data(data, used)
    batch = np.broadcast_shapes(np.shape(data)[:-1], used.shape[:-1])
    data, used = (np.broadcast_to(array, (*batch, model.n_bins)).reshape(-1, model.n_bins) for array in (data, used))
    sigma = model.theta_sigma(used=used)
    if not np.isfinite(sigma).all():
        row = int(np.flatnonzero(~np.isfinite(sigma))[0])
        raise ValueError(
            f"used: choice {row + 1} of {len(sigma)}, of {np.count_nonzero(used[row])} bins, sets no "
            "limit: it holds no signal that nuisances cannot imitate"
        )
    seen = Profile(model, data, used, sigma)
    pulls = np.broadcast_to(asimov_pulls, (len(data), len(model.nuisances)))
    flat = Profile(model, model.expected(np.zeros(len(data)), pulls), used, sigma, pulls)

    def p_values(t: np.ndarray, row: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return asymptotic_p_values(seen.q_tilde(t, row), flat.q_tilde(t, row))

    rows = len(data)
    fc_low, fc_high = feldman_cousins((seen.theta_hat / sigma)[:, None], levels)
    observed = {
        "cls": find_end(lambda t, row, level: p_values(t, row)[0] - (1 - level), rows, levels),
        "fc": fc_high,
        "q_tilde": find_end(lambda t, row, level: p_values(t, row)[1] - (1 - level), rows, levels),
        "pinned": find_end(lambda t, row, level: norm.ppf(level) ** 2 + seen.zero[row] - seen.q(t, row), rows, levels),
    }
    fell, level = np.meshgrid(np.array(BANDS, dtype=float), levels)
    targets = np.stack([gaussian_limit(method, fell, level) for method in METHODS])  # √q̃ of the Asimov data there
    band = find_end(lambda t, row, goal: goal - np.sqrt(flat.q_tilde(t, row)), rows, targets.ravel())
    band = band.reshape(rows, *targets.shape)
    crossings = find_end(lambda t, row, rise: rise - seen.q_tilde(t, row), rows, np.array(DELTA_CHI2))

    observed = {method: observed[method] * sigma[:, None] for method in METHODS}
    expected = {method: band[:, i] * sigma[:, None, None] for i, method in enumerate(METHODS)}
    fc_low = fc_low * sigma[:, None]
    n_effective = np.minimum(effective_counts(model, used), effective_counts(model, used, seen.pulls_at_zero))
    is_valid = {method: n_effective >= enough for method, enough in _ENOUGH.items()}
    parabola = gaussian_limit("fc", 0.0, levels)
    middle = band[:, list(METHODS).index("fc"), :].reshape(rows, len(levels), len(BANDS))[..., BANDS.index(0)]
    is_valid["fc"] = (np.abs(middle / parabola - 1) <= _PARABOLIC).all(axis=-1) & is_valid["pinned"]
    exact = find_exact(model, data, used, levels)
    for method in exact.observed:
        observed[method][exact.rows] = exact.observed[method]
        expected[method][exact.rows] = exact.expected[method]
        is_valid[method][exact.rows] = True
    fc_low[exact.rows] = exact.fc_low
    is_exact = np.zeros(rows, dtype=bool)
    is_exact[exact.rows] = True

    def shape(array: np.ndarray) -> np.ndarray:
        return array.reshape((*batch, *array.shape[1:]))

    return LimitsResult(
        theta_hat=shape(seen.theta_hat),
        sigma=shape(sigma),
        chi2_min=shape(seen.lowest),
        chi2_zero=shape(seen.zero),
        confidence=levels,
        observed={method: shape(observed[method]) for method in METHODS},
        expected={method: shape(expected[method]) for method in METHODS},
        fc_low=shape(fc_low),
        delta_chi2=shape(crossings * sigma[:, None]),
        n_effective=shape(n_effective),
        is_exact=shape(is_exact),
        is_valid={method: shape(is_valid[method]) for method in METHODS},
    )


def effective_counts(model: BinnedModel, used: np.ndarray, pulls: np.ndarray | float = 0.0) -> np.ndarray:
    """Counts (...) of one bin whose estimate of θ has the same skewness as that from the bins in use (..., n_bins).

    θ̂ is linear in small changes of the counts, with weights w from the Fisher information at θ = 0 and pulls
    (..., n_nuisances). Its skewness is γ = Σ w³ variance/σ³ over the bins of counts, which is b^(−1/2) for one bin with
    expectation b. The absolute value of w is used, because otherwise the contributions of bins with and without signal
    could cancel. The result is 1/γ², inf where γ is 0.
    """
    scaled, lengths = scale_information(model.fisher(pulls=pulls, used=used))
    lengths = np.where(lengths > 0, lengths, 1.0)
    row = np.linalg.pinv(scaled, hermitian=True)[..., 0, :] / (lengths[..., :1] * lengths)
    variance = model.fisher_variance(pulls=pulls)
    weights = np.where(used & model.is_counted, np.abs(np.vecmat(row, model.slopes(pulls=pulls))) / variance, 0.0)
    with np.errstate(divide="ignore"):
        return row[..., 0] ** 3 / np.sum(weights**3 * variance, axis=-1) ** 2


class Profile:
    """Profile Q(θ) of data sets in rows, with θ = t σ in units of the standard deviations σ (rows,).

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
        self._model, self._data, self._used, self._sigma = model, data, used, sigma
        self._centres = np.zeros((len(data), len(model.nuisances))) if centres is None else centres
        self._start = np.zeros(self._centres.shape)
        rows = np.arange(len(data))
        at_zero = self._fit(rows, 0.0)
        # fits that approach the edge of the domain converge better from a start away from it
        edge = (used & (data == 0)).any(axis=-1) | ~np.isfinite(at_zero.value)
        self._start = np.where(edge[:, None], 0.0, at_zero.pulls)
        free = self._fit(rows, None)
        self.pulls_at_zero = at_zero.pulls
        self.theta_hat, self.lowest, self.zero = free.theta, free.value, at_zero.value
        self.lowest_allowed = np.where(free.theta > 0, free.value, at_zero.value)

    def q(self, t: np.ndarray, row: np.ndarray) -> np.ndarray:
        """Q(t σ) of the data sets `row`."""
        return self._fit(row, t * self._sigma[row]).value

    def q_tilde(self, t: np.ndarray, row: np.ndarray) -> np.ndarray:
        """q̃(t σ) of the data sets `row`."""
        above = np.maximum(self.q(t, row) - self.lowest_allowed[row], 0.0)
        return np.where(t * self._sigma[row] > self.theta_hat[row], above, 0.0)

    def _fit(self, row: np.ndarray, theta: np.ndarray | float | None) -> BinnedFitResult:
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
