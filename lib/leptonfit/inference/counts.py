"""Exact limits on the mean of a Poisson signal μ ≥ 0 over a known background b, from one count n.

Feldman and Cousins order counts by R(n) = P(n | μ + b)/P(n | max(n, b)) (arXiv:physics/9711021, section IV A). With
ν = μ + b and g_n = n ln max(n, b) − max(n, b), the larger count m has the larger R exactly where ν is above
ν_m = exp((g_m − g_n)/(m − n)). These ν_m increase with m. Between two of them the set of counts that rank before n is
therefore known in closed form, and the ends of the interval are found on one such piece after another, without a grid.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from scipy.optimize import elementwise
from scipy.special import gammaincc, gammainccinv, lambertw, xlogy

from leptonfit.inference.binned import BinnedModel

_REACH, _LEAST = 10.0, 40
"""Range of counts beyond max(n, b): this number of standard deviations, plus this number of counts."""


def poisson_upper(n: np.ndarray, background: float, confidence: np.ndarray | float, *, cls: bool) -> np.ndarray:
    """Upper limit (...) on μ from the tail of the Poisson distribution, in closed form.

    Without `cls` it is the classical limit P(N ≤ n | μ + b) = α, or 0 where every μ is excluded. With `cls` it solves
    P(N ≤ n | μ + b) = α P(N ≤ n | b) (G. Zech, Nucl. Instrum. Meth. A 277, 608 (1989)); for n = 0 this is ln(1/α) at
    any b.

    Parameters
    ----------
    n : ndarray (...)
        Counts.
    background : float
    confidence : ndarray (...)
        1 − α; broadcast with n.
    cls : bool

    Raises
    ------
    ValueError
        If a count is so far below the background that its probability is zero in double precision.
    """
    tail = gammaincc(np.asarray(n) + 1.0, background) if cls else 1.0
    if np.any(np.asarray(tail) == 0):
        raise ValueError(f"n = {np.min(n):g}: a background of {background:g} never gives so few counts")
    return np.maximum(gammainccinv(np.asarray(n) + 1.0, (1 - np.asarray(confidence)) * tail) - background, 0.0)


@lru_cache(maxsize=4096)
def poisson_feldman_cousins(
    n: int, background: float, confidence: float, *, adjusted: bool = True
) -> tuple[float, float]:
    """Ends of the Feldman–Cousins interval for μ (arXiv:physics/9711021, tables IV to IX).

    Parameters
    ----------
    n : int
    background : float
    confidence : float
    adjusted : bool
        True for the published upper end (section IV), which never rises when the background rises: it is the supremum
        of the upper end over all larger backgrounds. False for the construction without this adjustment.

    Returns
    -------
    low, high : float
    """
    return _lower_end(n, background, confidence), _upper_end(n, background, confidence, adjusted)


def _g(n: np.ndarray | int, background: float) -> np.ndarray:
    best = np.maximum(n, background)
    return xlogy(n, best) - best


def _between(first: np.ndarray | int, last: np.ndarray, nu: np.ndarray) -> np.ndarray:
    """Probability P(first ≤ N ≤ last | ν) of a Poisson count N."""
    below = np.where(np.asarray(first) > 0, gammaincc(np.maximum(first, 1), nu), 0.0)
    return gammaincc(np.asarray(last) + 1.0, nu) - below


def _root(first: int, last: np.ndarray, low: np.ndarray, high: np.ndarray, confidence: float) -> np.ndarray:
    """Solve P(first ≤ N ≤ last | ν) = confidence for ν between low and high."""
    return elementwise.find_root(
        lambda nu, last: _between(first, last, nu) - confidence, (low, high), args=(last.astype(float),)
    ).x


def _upper_end(n: int, background: float, confidence: float, adjusted: bool) -> float:
    """Upper end of the interval for μ, adjusted for larger backgrounds if `adjusted`.

    For ν in (ν_m, ν_{m+1}] the counts n + 1 to m rank before n, and n is accepted where their probability is below the
    confidence. On such a piece P(n + 1 to m | ν) rises to a single maximum and falls again. If the background rises,
    ν − b falls on every piece; the supremum over backgrounds is therefore at the given one or where the falling side
    begins.
    """
    most = max(float(n), background)
    m = np.arange(n + 1, int(most + _REACH * np.sqrt(most) + _LEAST))
    ends = np.exp((_g(np.append(m, m[-1] + 1), background) - _g(n, background)) / (np.append(m, m[-1] + 1) - n))
    left, right = ends[:-1], ends[1:]
    at_left, at_right = _between(n + 1, m, left), _between(n + 1, m, right)
    rising = (at_left < confidence) & (at_right >= confidence)
    found = np.where(at_right < confidence, right, -np.inf)
    found[rising] = _root(n + 1, m[rising], left[rising], right[rising], confidence)
    high = float(found.max()) - background
    return max(high, _raised(n, background, confidence, m)) if adjusted else high


def _raised(n: int, background: float, confidence: float, m: np.ndarray) -> float:
    """Largest upper end on a falling side that begins at a background above the given one; −inf if there is none."""
    # P(n + 1 to m | ν) has its maximum at the geometric mean of n + 1, ..., m
    top = np.exp(np.cumsum(np.log(m)) / (m - n))
    highest = _between(n + 1, m, top) > confidence
    m, top = m[highest], top[highest]
    falls = _root(n + 1, m, top, 3.0 * m + 30.0, confidence)
    # solve for the b above n at which ν_{m+1}(b) meets the falling side: n ln b − b = g_{m+1} − (m + 1 − n) ln ν
    level = _g(m + 1, 0.0) - (m + 1 - n) * np.log(falls)
    if n == 0:
        b = -level
    else:
        inside = -np.exp(level / n) / n
        b = np.where(inside > -np.exp(-1.0), -n * lambertw(np.maximum(inside, -np.exp(-1.0)), -1).real, np.nan)
    return float(np.max((falls - b)[(b > background) & (b < m + 1)], initial=-np.inf))


def _lower_end(n: int, background: float, confidence: float) -> float:
    """Lower end of the interval for μ.

    For ν in [ν_{m−1}, ν_m) the counts m to n − 1 rank before n, and n is accepted where their probability is below
    1 − α.
    """
    if n == 0:
        return 0.0
    m = np.arange(n)
    ends = np.exp((_g(n, background) - _g(m, background)) / (n - m))
    left, right = np.maximum(np.append(0.0, ends[:-1]), background), np.maximum(ends, background)
    m, left, right = (array[right > left] for array in (m, left, right))
    if not len(m):
        return 0.0
    held = np.stack([gammaincc(n, nu) - np.where(m > 0, gammaincc(np.maximum(m, 1), nu), 0.0) for nu in (left, right)])
    first = int(np.argmax(held.min(axis=0) < confidence))  # at ν_{n−1} no count ranks before n
    if held[0, first] < confidence:
        return float(left[first]) - background
    nu = elementwise.find_root(
        lambda nu: gammaincc(n, nu) - (gammaincc(m[first], nu) if m[first] > 0 else 0.0) - confidence,
        (left[first], right[first]),
    ).x
    return float(nu) - background


@dataclass(frozen=True)
class SingleCounts:
    """Data sets in which a single count over a known background determines θ.

    Attributes
    ----------
    rows : ndarray (n,) of int
        Indices of these data sets.
    counts, background, signal : ndarray (n,)
        Count, expectation without signal, and signal for θ = 1.
    """

    rows: np.ndarray
    counts: np.ndarray
    background: np.ndarray
    signal: np.ndarray


def find_single_counts(model: BinnedModel, data: np.ndarray, used: np.ndarray) -> SingleCounts:
    """Data sets where one bin of counts in use has the whole, positive signal, and no nuisance acts on this bin.

    Parameters
    ----------
    model : BinnedModel
    data, used : ndarray (rows, n_bins)
    """
    decides = used & ((model.signal != 0) | model.signal_shifts.any(axis=0))
    known = model.is_counted & (model.signal > 0) & ~model.shifts.any(axis=0) & ~model.signal_shifts.any(axis=0)
    known = known & (data == np.round(data))
    rows = np.flatnonzero((decides.sum(axis=-1) == 1) & (decides & known).any(axis=-1))
    bins = np.argmax(decides[rows], axis=-1)
    return SingleCounts(rows, data[rows, bins], model.base[bins], model.signal[bins])
