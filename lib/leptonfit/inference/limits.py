"""Upper limits on a signal strength θ ≥ 0, by every construction, from one profile likelihood.

The constructions stand in `constructions`, with their criteria: where one bin of counts determines θ they are exact if
they have an exact form; otherwise the result states for each whether its approximation holds. `effective_counts` gives
the equivalent b of any model.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import norm, poisson

from leptonfit.inference.arguments import read_confidences
from leptonfit.inference.binned import BinnedModel, scale_information
from leptonfit.inference.constructions import CONSTRUCTIONS
from leptonfit.inference.counts import find_single_counts
from leptonfit.inference.profile_likelihood import ProfileLikelihood, find_end
from leptonfit.inference.result import Booleans, Result

DELTA_CHI2 = (1.64, 2.71, 3.84)
BANDS = (-2, -1, 0, 1, 2)
"""Positions of θ̂, in standard deviations, at which the band of expected limits is given."""


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
    low : dict of ndarray (..., n_levels)
        Lower end of the interval of each construction, 0 for an upper limit; where it is above 0, the interval excludes
        θ = 0.
    observed : dict of ndarray (..., n_levels)
        Limit of each construction; 0 where it excludes every θ, inf where it excludes none, because nuisances explain
        any signal or (for `pinned`) because θ = 0 is impossible.
    expected : dict of ndarray (..., n_levels, 5)
        Limit of each construction if θ̂ were −2, −1, 0, 1, 2 standard deviations from 0; from the same quantiles of the
        Poisson distribution where `is_exact`.
    delta_chi2 : ndarray (..., 3)
        θ above which Q exceeds its lowest value at θ ≥ 0 by 1.64, 2.71, 3.84.
    n_effective : ndarray (...)
        Counts in a single bin that would give θ̂ the same skewness, at nominal nuisances or at those fitted at θ = 0
        (the smaller number); inf for Gaussian rates.
    is_exact : ndarray (...) of bool
        True if one count determines θ, so that constructions with an exact form (not `pinned`) are exact.
    is_valid : dict of ndarray (...) of bool
        For each construction, True if it is exact or its approximation holds here.
    """

    theta_hat: np.ndarray
    sigma: np.ndarray
    chi2_min: np.ndarray
    chi2_zero: np.ndarray
    confidence: np.ndarray
    low: dict[str, np.ndarray]
    observed: dict[str, np.ndarray]
    expected: dict[str, np.ndarray]
    delta_chi2: np.ndarray
    n_effective: np.ndarray
    is_exact: Booleans
    is_valid: dict[str, Booleans]


def find_limits(
    model: BinnedModel,
    data: np.ndarray,
    *,
    confidence: Sequence[float] | float = (0.90, 0.95),
    asimov_pulls: np.ndarray | float = 0.0,
    used: np.ndarray | None = None,
) -> LimitsResult:
    """Observed and expected upper limits by each construction.

    Parameters
    ----------
    model : BinnedModel
    data : ndarray (..., n_bins)
    confidence : float or sequence of float
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
    levels = read_confidences("confidence", confidence, above=0.5)
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
    rows = len(data)
    seen = ProfileLikelihood(model, data, used, sigma)
    pulls = np.broadcast_to(asimov_pulls, (rows, len(model.nuisances)))
    asimov = ProfileLikelihood(model, model.expected(np.zeros(rows), pulls), used, sigma, pulls)
    crossings = find_end(lambda t, row, rise: rise - seen.at(t, row).q_tilde, rows, np.array(DELTA_CHI2))
    n_effective = np.minimum(effective_counts(model, used), effective_counts(model, used, seen.pulls_at_zero))
    single = find_single_counts(model, data, used)
    quantiles = poisson.ppf(norm.cdf(BANDS), single.background[:, None])
    fell, level = np.meshgrid(np.array(BANDS, dtype=float), levels)
    targets = np.stack([one.gaussian(fell, level)[1] for one in CONSTRUCTIONS.values()])  # √q̃ of the Asimov data there
    bands = find_end(lambda t, row, goal: goal - np.sqrt(asimov.at(t, row).q_tilde), rows, targets.ravel())
    bands = bands.reshape(rows, *targets.shape)
    middle = BANDS.index(0)
    bends = np.abs(bands[..., middle] / targets[..., middle] - 1)
    low, observed, expected, is_valid = {}, {}, {}, {}
    for k, (key, one) in enumerate(CONSTRUCTIONS.items()):
        low[key], observed[key] = (end * sigma[:, None] for end in one.interval(seen, asimov, levels))
        expected[key] = bands[:, k] * sigma[:, None, None]
        is_valid[key] = one.is_valid(n_effective, bends[:, k])
        for i, row in enumerate(single.rows):
            ends = one.exact(np.append(single.counts[i], quantiles[i]), float(single.background[i]), levels)
            if ends is not None:
                (low[key][row], *_), (observed[key][row], *rest) = (end / single.signal[i] for end in ends)
                expected[key][row], is_valid[key][row] = np.transpose(rest), True
    is_exact = np.zeros(rows, dtype=bool)
    is_exact[single.rows] = True

    def shape(array: np.ndarray) -> np.ndarray:
        return array.reshape((*batch, *array.shape[1:]))

    return LimitsResult(
        theta_hat=shape(seen.theta_hat),
        sigma=shape(sigma),
        chi2_min=shape(seen.lowest),
        chi2_zero=shape(seen.zero),
        confidence=levels,
        low={key: shape(ends) for key, ends in low.items()},
        observed={key: shape(ends) for key, ends in observed.items()},
        expected={key: shape(band) for key, band in expected.items()},
        delta_chi2=shape(crossings * sigma[:, None]),
        n_effective=shape(n_effective),
        is_exact=shape(is_exact),
        is_valid={key: shape(holds) for key, holds in is_valid.items()},
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
