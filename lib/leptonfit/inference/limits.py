"""Upper limits on a signal strength θ ≥ 0, by several constructions from one profile likelihood.

Q(θ) is −2 ln L with the nuisances profiled, θ̂ the free best fit, q̃(θ) = Q(θ) − Q(max(θ̂, 0)) where θ̂ < θ, else 0
(G. Cowan et al., Eur. Phys. J. C 71, 1554 (2011), arXiv:1007.1727). Confidence is 1 − α.

- ``cls``: p(q̃ | θ) / p(q̃ | 0) = α, asymptotic (A. L. Read, J. Phys. G 28, 2693 (2002)). It does not exclude what the
  data cannot see.
- ``fc``: Feldman and Cousins' ordering for a Gaussian θ̂ with θ ≥ 0, exactly (arXiv:physics/9711021).
- ``q_tilde``: p(q̃ | θ) = α, asymptotic. After a downward fluctuation it excludes what the data cannot see.
- ``pinned``: Q(θ) − Q(0) reaches the one-sided quantile (Φ⁻¹(1 − α))²: the fit held to θ = 0.

Asymptotic formulas take the spread of θ̂ from the Asimov data: the expectation at θ = 0.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import elementwise
from scipy.stats import norm

from leptonfit.inference.binned import BinnedFitResult, BinnedModel
from leptonfit.inference.result import Result

METHODS = {"cls": "CLs", "fc": "Feldman–Cousins, Gaussian", "q_tilde": "q̃ alone", "pinned": "pinned Δχ²"}
"""The constructions, and what they are called."""
DELTA_CHI2 = (1.64, 2.71, 3.84)
BANDS = (-2, -1, 0, 1, 2)
"""Standard deviations of θ̂ at which the band of expected limits is given."""
_SMALLEST = 1e-3
"""In standard deviations: what is not allowed here is not allowed anywhere."""


@dataclass(frozen=True)
class LimitsResult(Result):
    """Upper limits on θ; `...` are the leading axes of the data and of the bins in use.

    Attributes
    ----------
    theta_hat : ndarray (...)
        Free best fit; may be negative.
    sigma : ndarray (...)
        Standard deviation of θ̂ expected at θ = 0, from the Fisher information.
    chi2_min, chi2_zero : ndarray (...)
        Q(θ̂) and Q(0).
    confidence : ndarray (n_levels,)
    observed : dict of ndarray (..., n_levels)
        Limit by construction; 0 where it excludes every θ.
    expected : dict of ndarray (..., n_levels, 5)
        Limit by construction if θ̂ fell −2, −1, 0, 1, 2 standard deviations from 0.
    fc_low : ndarray (..., n_levels)
        Lower end of Feldman and Cousins' interval: above 0 where it is no upper limit.
    delta_chi2 : ndarray (..., 3)
        θ above which Q exceeds its lowest value at θ ≥ 0 by 1.64, 2.71, 3.84.
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


def find_limits(
    model: BinnedModel,
    data: np.ndarray,
    *,
    confidence: Sequence[float] = (0.90, 0.95),
    asimov_pulls: np.ndarray | float = 0.0,
    used: np.ndarray | None = None,
) -> LimitsResult:
    """Upper limits by each construction, observed and expected.

    Parameters
    ----------
    model : BinnedModel
    data : ndarray (..., n_bins)
    confidence : sequence of float
    asimov_pulls : ndarray (n_nuisances,), optional
        Nuisances of the Asimov data, and of their auxiliary measurements; nominal where not given, so that what is
        expected does not depend on the counts. Those fitted at θ = 0 make the asymptotic formulas pyhf's.
    used : ndarray (..., n_bins) of bool, optional
        Bins that count; all where not given.

    Raises
    ------
    ValueError
        If a confidence is not above 0.5 and below 1, or some choice of bins tells nothing of θ.
    RuntimeError
        If a fit or a root does not converge.
    """
    levels = np.array(confidence, dtype=float)
    if not ((levels > 0.5) & (levels < 1)).all():
        raise ValueError(f"confidence = {levels.tolist()}: must be above 0.5 and below 1")
    used = np.ones(model.n_bins, dtype=bool) if used is None else used
    batch = np.broadcast_shapes(np.shape(data)[:-1], used.shape[:-1])
    data, used = (np.broadcast_to(array, (*batch, model.n_bins)).reshape(-1, model.n_bins) for array in (data, used))
    sigma = model.theta_sigma(used=used)
    if not np.isfinite(sigma).all():
        raise ValueError("some choice of bins holds no signal that nuisances cannot imitate: it sets no limit")
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

    def shape(array: np.ndarray) -> np.ndarray:
        return array.reshape((*batch, *array.shape[1:]))

    return LimitsResult(
        theta_hat=shape(seen.theta_hat),
        sigma=shape(sigma),
        chi2_min=shape(seen.lowest),
        chi2_zero=shape(seen.zero),
        confidence=levels,
        observed={method: shape(observed[method] * sigma[:, None]) for method in METHODS},
        expected={method: shape(band[:, i] * sigma[:, None, None]) for i, method in enumerate(METHODS)},
        fc_low=shape(fc_low * sigma[:, None]),
        delta_chi2=shape(crossings * sigma[:, None]),
    )


class Profile:
    """Q(θ) of data sets in rows, θ = t σ counted in standard deviations σ (rows,).

    Parameters
    ----------
    model : BinnedModel
    data, used : ndarray (rows, n_bins)
    sigma : ndarray (rows,)
    centres : ndarray (rows, n_nuisances), optional
        What the auxiliary measurements behind the pulls found.
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
        rows = np.arange(len(data))
        free, at_zero = self._fit(rows, None), self._fit(rows, 0.0)
        self.theta_hat, self.lowest, self.zero = free.theta, free.value, at_zero.value
        self.lowest_allowed = np.where(free.theta > 0, free.value, at_zero.value)

    def q(self, t: np.ndarray, row: np.ndarray) -> np.ndarray:
        """Q(t σ) of rows."""
        return self._fit(row, t * self._sigma[row]).value

    def q_tilde(self, t: np.ndarray, row: np.ndarray) -> np.ndarray:
        """q̃(t σ) of rows."""
        above = np.maximum(self.q(t, row) - self.lowest_allowed[row], 0.0)
        return np.where(t * self._sigma[row] > self.theta_hat[row], above, 0.0)

    def _fit(self, row: np.ndarray, theta: np.ndarray | float | None) -> BinnedFitResult:
        fit = self._model.fit(self._data[row], theta=theta, used=self._used[row], centres=self._centres[row])
        if not fit.converged.all():
            raise RuntimeError(f"{np.count_nonzero(~fit.converged)} of {fit.converged.size} fits did not converge")
        return fit


def find_end(
    allowed: Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray], rows: int, levels: np.ndarray
) -> np.ndarray:
    """Where a function that falls with t crosses zero.

    Parameters
    ----------
    allowed : callable
        (t, row, level), arrays of one shape → array: positive while t is allowed.
    rows : int
    levels : ndarray (n_levels,)

    Returns
    -------
    ndarray (rows, n_levels)
        0 where not even the smallest t is allowed.

    Raises
    ------
    RuntimeError
        If no crossing is found.
    """
    row, level = (array.ravel() for array in np.meshgrid(np.arange(rows), levels, indexing="ij"))
    low = np.full(row.shape, _SMALLEST)
    some = allowed(low, row, level) > 0
    found = np.zeros(row.shape)
    if some.any():
        given = row[some], level[some]
        bracket = elementwise.bracket_root(allowed, low[some], np.full(some.sum(), 2.0), xmin=0.0, args=given)
        root = elementwise.find_root(allowed, bracket.bracket, args=given, tolerances={"xrtol": 1e-9})
        if not (bracket.success & root.success).all():
            raise RuntimeError("no upper end was found: the likelihood does not rise")
        found[some] = root.x
    return found.reshape(rows, len(levels))


def asymptotic_p_values(q_tilde: np.ndarray, q_asimov: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """CLs and p(q̃ | θ) from q̃ and its value for the Asimov data, both at θ > 0 (arXiv:1007.1727, eqs. 65 and 66)."""
    root, root_asimov = np.sqrt(q_tilde), np.sqrt(q_asimov)
    middle = (q_tilde + q_asimov) / (2 * np.maximum(root_asimov, np.finfo(float).tiny))
    high = q_tilde > q_asimov
    with_signal = norm.sf(np.where(high, middle, root))
    without = norm.sf(np.where(high, middle, root) - root_asimov)
    return with_signal / without, with_signal


def feldman_cousins(x: np.ndarray, confidence: np.ndarray | float) -> tuple[np.ndarray, np.ndarray]:
    """Ends of Feldman and Cousins' interval for the mean μ ≥ 0 of a unit Gaussian found at x.

    With likelihood-ratio ordering the acceptance interval of μ is [μ − d, μ + d] where d ≤ μ, else
    [(μ² − d²)/(2μ), μ + d] (arXiv:physics/9711021, section IV B). The upper end is the μ whose interval begins at x,
    the lower end that whose interval ends there, or 0.

    Parameters
    ----------
    x : ndarray (...)
    confidence : ndarray (...)
        Broadcast against x.
    """
    x, confidence = np.broadcast_arrays(np.asarray(x, dtype=float), confidence)
    d = norm.ppf((1 + confidence) / 2)

    def begins(mu: np.ndarray, at: np.ndarray, level: np.ndarray) -> np.ndarray:
        return norm.cdf(np.sqrt(mu**2 - 2 * mu * at)) - norm.cdf(at - mu) - level

    def ends(mu: np.ndarray, at: np.ndarray, level: np.ndarray) -> np.ndarray:
        return norm.cdf(at - mu) - norm.cdf((mu**2 - (at - mu) ** 2) / (2 * mu) - mu) - level

    below = np.minimum(x, 0.0)
    upper = elementwise.find_root(begins, (np.zeros(x.shape), np.full(x.shape, 10.0)), args=(below, confidence)).x
    least = norm.ppf(confidence)
    between = np.clip(x, least * (1 + 1e-9), 2 * d)
    lower = elementwise.find_root(ends, (np.full(x.shape, 1e-12), between / 2), args=(between, confidence)).x
    return np.where(x <= least, 0.0, np.where(x >= 2 * d, x - d, lower)), np.where(x >= 0, x + d, upper)


def gaussian_limit(method: str, x: np.ndarray | float, confidence: np.ndarray | float) -> np.ndarray:
    """Limit (...) on the mean of a unit Gaussian found at x (...), by one of `METHODS`; 0 where it excludes all."""
    x, confidence = np.broadcast_arrays(np.asarray(x, dtype=float), confidence)
    if method == "cls":
        return x + norm.isf((1 - confidence) * norm.cdf(x))
    if method == "fc":
        return feldman_cousins(x, confidence)[1]
    if method == "q_tilde":
        return np.maximum(x + norm.ppf(confidence), 0.0)
    if method == "pinned":
        return x + np.hypot(x, norm.ppf(confidence))
    raise ValueError(f"method = {method!r}: must be one of {', '.join(METHODS)}")
