"""Coverage of the interval of each limit construction, from toy experiments."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from scipy.stats import binomtest

from leptonfit.inference.arguments import make_seed, read_confidences, read_number
from leptonfit.inference.binned import BinnedModel
from leptonfit.inference.chunks import split_toys
from leptonfit.inference.constructions import CONSTRUCTIONS
from leptonfit.inference.counts import find_single_counts
from leptonfit.inference.parallel import map_ordered
from leptonfit.inference.profile_likelihood import ProfileLikelihood
from leptonfit.inference.result import Integers, Result


@dataclass(frozen=True)
class LimitCoverageResult(Result):
    """Number of toys in which the interval of each construction contains the truth.

    Attributes
    ----------
    theta : float
        True value of θ.
    confidence : ndarray (n_levels,)
    n_covered : dict of ndarray (n_levels,) of int
        Covered toys for each construction. Every upper limit covers θ = 0, so that all toys count there.
    n_toys : int
    """

    theta: float
    confidence: np.ndarray
    n_covered: dict[str, Integers]
    n_toys: int

    def interval(self, method: str, level: int, *, confidence: float = 0.95) -> tuple[float, float]:
        """Wilson's interval for the coverage of a construction at one of the confidence levels."""
        found = binomtest(int(self.n_covered[method][level]), self.n_toys).proportion_ci(confidence, "wilson")
        return float(found.low), float(found.high)


def cover_limits(
    model: BinnedModel,
    data: np.ndarray,
    theta: float,
    *,
    confidence: Sequence[float] | float = (0.90, 0.95),
    n_toys: int,
    seed: int,
) -> LimitCoverageResult:
    """Coverage of every construction at a true θ, with the nuisances that fit the data best at this θ.

    Every upper limit covers θ = 0. The Feldman–Cousins interval has a lower end as well.

    Parameters
    ----------
    model : BinnedModel
    data : ndarray (n_bins,)
    theta : float
    confidence : float or sequence of float
    n_toys, seed : int

    Raises
    ------
    ValueError
        If `n_toys`, the seed or a confidence is not allowed, or one toy alone needs more memory than a chunk may have.
    RuntimeError
        If a fit does not converge.
    """
    levels = read_confidences("confidence", confidence, above=0.5)
    theta = read_number("theta", theta)
    pulls = model.fit(data, theta=theta).pulls
    chunks = split_toys(n_toys, model.n_bins + len(pulls), make_seed(seed))
    found = map_ordered(partial(_cover_chunk, model=model, theta=theta, pulls=pulls, levels=levels), chunks)
    n_covered = {key: np.sum([each[key] for each in found], axis=0) for key in CONSTRUCTIONS}
    return LimitCoverageResult(theta, levels, n_covered, n_toys)


def _cover_chunk(
    chunk: tuple[int, np.random.SeedSequence],
    *,
    model: BinnedModel,
    theta: float,
    pulls: np.ndarray,
    levels: np.ndarray,
) -> dict[str, np.ndarray]:
    """Number of covered toys (n_levels,) of one chunk for each construction."""
    n_toys, seed = chunk
    toys, centres = draw_toys(model, theta, pulls, n_toys, np.random.default_rng(seed))
    sigma = np.full(n_toys, float(model.theta_sigma()))
    used = np.ones((n_toys, model.n_bins), dtype=bool)
    t, rows = np.full(n_toys, theta) / sigma, np.arange(n_toys)
    seen = ProfileLikelihood(model, toys, used, sigma, centres).at(t, rows)
    asimov = ProfileLikelihood(model, model.expected(0.0)[None], used[:1], sigma[:1]).at(t[:1], rows[:1])
    single = find_single_counts(model, toys, used)
    counted = list(zip(single.rows, single.counts, single.background, single.signal, strict=True))
    n_covered = {}
    for key, one in CONSTRUCTIONS.items():
        covered = np.stack([one.covers(seen, asimov, level) for level in levels], axis=-1)
        for row, n, background, signal in counted:
            ends = one.exact(np.array([n]), float(background), levels)
            if ends is not None:
                covered[row] = (ends[0][0] / signal <= theta) & (theta <= ends[1][0] / signal)
        n_covered[key] = (covered | (theta == 0 and not one.has_low_end)).sum(axis=0)
    return n_covered


def draw_toys(
    model: BinnedModel, theta: float, pulls: np.ndarray, n_toys: int, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Toy data (n_toys, n_bins) and the results of their auxiliary measurements (n_toys, n_nuisances)."""
    toys = model.draw(np.full(n_toys, theta), np.tile(pulls, (n_toys, 1)), rng)
    return toys, pulls + rng.standard_normal((n_toys, len(pulls))) * ~model.is_free
