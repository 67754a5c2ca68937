"""Coverage of an interval from toy experiments at a known truth.

Each toy moves every measured value by its error and is fitted twice, with the parameter free and with it fixed at the
truth. The fraction of toys with Δχ² below a level is the coverage of the interval made with that level (S. S. Wilks,
Ann. Math. Stat. 9, 60 (1938), gives its limit for many data and no bounds).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import chi2 as chi2_distribution
from scipy.stats import norm

from leptonfit.inference.arguments import read_array, read_count, read_seed
from leptonfit.inference.chunks import split_points
from leptonfit.inference.intervals import LEVELS
from leptonfit.inference.problem import LeastSquaresProblem, Parameter
from leptonfit.inference.result import Result
from leptonfit.inference.solve import solve

NOMINAL = {name: float(chi2_distribution.cdf(level, 1)) for name, level in LEVELS.items()}
"""Asymptotic coverage of each level of Δχ²."""
_SPREAD = 0.05


@dataclass(frozen=True)
class CoverageResult(Result):
    """Δχ² of toy experiments at one true value of a parameter.

    Attributes
    ----------
    parameter : str
    truth : float
        True value of the parameter.
    delta_chi2 : ndarray (n_toys,)
        χ² with the parameter fixed at the truth minus χ² with it free, sorted; nan for toys that did not converge,
        at the end.
    """

    parameter: str
    truth: float
    delta_chi2: np.ndarray

    @property
    def n_toys(self) -> int:
        """Number of toys that converged."""
        return int(np.isfinite(self.delta_chi2).sum())

    @property
    def n_failed(self) -> int:
        """Number of toys that did not converge."""
        return len(self.delta_chi2) - self.n_toys

    def n_covered(self, level: str) -> int:
        """Number of toys whose interval at a level contains the truth."""
        return int(np.count_nonzero(self.delta_chi2 <= LEVELS[level]))

    def interval(self, level: str, *, confidence: float = 0.95) -> tuple[float, float]:
        """Wilson's interval for the coverage; failed toys count as covered in the upper end, as missed in the lower.

        E. B. Wilson, J. Am. Stat. Assoc. 22, 209 (1927), doi:10.1080/01621459.1927.10502953.
        """
        z, n = float(norm.ppf((1 + confidence) / 2)), len(self.delta_chi2)
        ends = []
        for sign, k in ((-1, self.n_covered(level)), (1, self.n_covered(level) + self.n_failed)):
            middle = (k + z * z / 2) / (n + z * z)
            ends.append(middle + sign * z / (n + z * z) * math.sqrt(k * (n - k) / n + z * z / 4))
        return ends[0], ends[1]

    def covers(self, level: str) -> bool:
        """True if the nominal coverage lies within the binomial error, that is inside `interval`."""
        low, high = self.interval(level)
        return low <= NOMINAL[level] <= high


def run_toys(
    problem: LeastSquaresProblem, parameter: str, truth: np.ndarray, *, n_toys: int, seed: int | np.random.SeedSequence
) -> CoverageResult:
    """Generate and fit toy experiments, all together as far as memory allows (see `chunks`).

    Parameters
    ----------
    problem : LeastSquaresProblem
    parameter : str
    truth : ndarray (n_par,)
        True values of all parameters. The toys scatter around the model at these values, whatever was measured.
    n_toys : int
    seed : int or SeedSequence

    Raises
    ------
    ValueError
        If `n_toys` is below 1, the truth lies outside the bounds, or one toy alone needs too much memory.
    """
    n_toys, rng = read_count("n_toys", n_toys), np.random.default_rng(read_seed(seed))
    truth = read_array("truth", truth, (problem.n_par,))
    moved = _move_data(problem)
    held = tuple(moved.names[problem.n_par :])
    fixed = held, (parameter, *held)
    lowest = np.full((2, n_toys), np.inf)
    failed: list[list[np.ndarray]] = [[], []]
    for part in split_points(moved, n_toys):
        data = problem.residuals(truth) + rng.standard_normal((part.stop - part.start, problem.n_res))
        starts = np.hstack([np.tile(truth, (len(data), 1)), data])
        for k in (0, 1):
            fit = solve(moved, starts, fixed=fixed[k])
            lowest[k, part][fit.converged] = fit.chi2[fit.converged]
            failed[k].append(starts[~fit.converged])
    for k, several in enumerate(failed):  # a second attempt from starts near the truth
        beside = np.concatenate(several)
        if not len(beside):
            continue
        beside[:, : problem.n_par] *= 1 + _SPREAD * rng.standard_normal((len(beside), problem.n_par))
        beside[:, problem.index(parameter)] = truth[problem.index(parameter)]
        fit = solve(moved, np.clip(beside, moved.lower, moved.upper), fixed=fixed[k])
        lowest[k, np.isinf(lowest[k])] = np.where(fit.converged, fit.chi2, np.inf)
    with np.errstate(invalid="ignore"):
        excess = lowest[1] - np.minimum(*lowest)
    excess = np.where(np.isfinite(lowest[0]) & np.isfinite(lowest[1]), excess, np.nan)
    return CoverageResult(parameter, float(truth[problem.index(parameter)]), np.sort(excess))


def combine(parts: Sequence[CoverageResult]) -> CoverageResult:
    """Combine the toys of several runs at the same truth."""
    toys = np.sort(np.concatenate([part.delta_chi2 for part in parts]))
    return CoverageResult(parts[0].parameter, parts[0].truth, toys)


def _move_data(problem: LeastSquaresProblem) -> LeastSquaresProblem:
    """Problem with a shift of each residual as an extra, fixed parameter, so that one batch holds many data sets."""
    shifts = tuple(
        Parameter(name=f"shift_{name}", start=0.0, lower=-np.inf, upper=np.inf) for name in problem.residual_names
    )
    n_par, n_res = problem.n_par, problem.n_res

    def slopes(x: np.ndarray) -> np.ndarray:
        rows = np.zeros((*x.shape[:-1], n_res, n_par + n_res))
        rows[..., :n_par] = problem.jacobian(x[..., :n_par])
        rows[..., n_par:] = -np.eye(n_res)
        return rows

    return LeastSquaresProblem(
        (*problem.parameters, *shifts),
        problem.residual_names,
        lambda x: problem.residuals(x[..., :n_par]) - x[..., n_par:],
        slopes,
    )
