"""Minimisation from many seeded starts: how many reach the lowest χ², and on how many plateaus the others end."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from leptonfit.inference.arguments import read_count, read_seed
from leptonfit.inference.chunks import find_chi2
from leptonfit.inference.logarithms import solve
from leptonfit.inference.problem import LeastSquaresProblem
from leptonfit.inference.result import Booleans, Integers, Result

CHI2_FLOOR = 1e-6
"""χ² at or below this counts as zero: no minimum can be lower, and the remaining digits are numerical noise."""
RELATIVE_AGREEMENT = 1e-6
"""Largest relative difference of two values of χ² above the floor that agree; it must also be small against Δχ² = 1."""
_ABSOLUTE_AGREEMENT = 1e-2
_ROUNDING = 1e-13
_WIDE = 1e4


@dataclass(frozen=True)
class Effort:
    """Fresh starts of a search.

    Parameters
    ----------
    n_starts : int
        Number of fresh starts: of a multi-start, or at each point of a scan.
    seed : int
        Seed of the starts; the same seed gives the same result.
    ranges : mapping, optional
        Ranges in which the starts of a parameter are drawn instead of its bounds.

    Raises
    ------
    TypeError, ValueError
        If the number, the seed or a range is not allowed.
    """

    n_starts: int
    seed: int
    ranges: Mapping[str, tuple[float, float]] | None = None

    def __post_init__(self) -> None:
        read_count("n_starts", self.n_starts, lowest=0)
        read_seed(self.seed)
        for name, ends in (self.ranges or {}).items():
            if np.shape(ends) != (2,):
                raise ValueError(f"ranges[{name!r}] = {ends!r}: must be (low, high)")


@dataclass(frozen=True)
class MultistartResult(Result):
    """Independent minimisations, sorted by χ² (starts without a finite χ² are last).

    Attributes
    ----------
    starts : ndarray (n_starts, n_par)
        Starts of the minimisations.
    x : ndarray (n_starts, n_par)
        End points.
    chi2, kkt : ndarray (n_starts,)
        χ² and KKT residual at the end points.
    converged : ndarray (n_starts,) of bool
    n_iter : ndarray (n_starts,) of int
    flat : ndarray (n_starts, n_par) of bool
        Parameters whose column of the Jacobian vanished at the end point (see `SolveResult`).
    reproduced : int
        Number of converged starts that reached the best χ². All restarted ones together count once, since they begin
        again from the same points.
    plateau_chi2 : ndarray (n_plateaus,)
        Distinct χ² values among the converged starts, ascending.
    plateau_size : ndarray (n_plateaus,) of int
        Number of starts that ended on each plateau.
    """

    starts: np.ndarray
    x: np.ndarray
    chi2: np.ndarray
    kkt: np.ndarray
    converged: Booleans
    n_iter: Integers
    flat: Booleans
    reproduced: int
    plateau_chi2: np.ndarray
    plateau_size: Integers

    @property
    def is_best(self) -> np.ndarray:
        """True for starts (n_starts,) that converged to the best χ²."""
        return self.converged & agrees(self.chi2, self.plateau_chi2.min(initial=np.inf))

    def summary(self) -> str:
        """Summary in one line: starts that reached the best χ², plateaus, starts that did not converge."""
        n_starts = len(self.chi2)
        if not self.converged.any():
            return f"none of {n_starts} starts converged"
        best = format_chi2(float(self.plateau_chi2[0]))
        return (
            f"best χ² {best} reached by {self.reproduced} of {n_starts} starts, "
            f"{len(self.plateau_chi2)} plateau(s), {n_starts - int(self.converged.sum())} not converged"
        )


def draw_starts(
    problem: LeastSquaresProblem,
    n_starts: int,
    rng: np.random.Generator,
    ranges: Mapping[str, tuple[float, float]] | None = None,
    *,
    held: tuple[int, np.ndarray] | None = None,
) -> np.ndarray:
    """Latin-hypercube starts (n_starts, n_par) in the search box, uniform in log x on logarithmic scales.

    They are uniform in log x across four decades or more in any case. Each is the point of the lowest χ² among
    `problem.search.n_draws` points, with the values (n_starts,) that are held in a column.

    Raises
    ------
    ValueError
        If `ranges` has no entry for a parameter without finite bounds.
    """
    from scipy.stats import qmc  # takes half a second to import

    low, high = problem.search_box(ranges)
    n_draws = problem.search.n_draws
    share = qmc.LatinHypercube(problem.n_par, rng=rng).random(n_draws * n_starts)
    is_wide = (low > 0) & ((high >= _WIDE * low) | problem.is_log)
    starts = low + share * (high - low)
    starts[:, is_wide] = low[is_wide] * (high[is_wide] / low[is_wide]) ** share[:, is_wide]
    if held is not None:
        starts[:, held[0]] = np.tile(held[1], n_draws)
    if n_draws == 1 or not n_starts:
        return starts
    with np.errstate(all="ignore"):
        chi2 = find_chi2(problem, starts).reshape(n_draws, n_starts)
    best = np.argmin(np.where(np.isnan(chi2), np.inf, chi2), axis=0)
    return starts.reshape(n_draws, n_starts, -1)[best, np.arange(n_starts)]


def run_multistart(
    problem: LeastSquaresProblem, *, effort: Effort, fixed: Mapping[str, float] | None = None
) -> MultistartResult:
    """Minimise from Latin-hypercube starts.

    Parameters
    ----------
    problem : LeastSquaresProblem
    effort : Effort
        Its ranges are needed where bounds are infinite.
    fixed : mapping, optional
        Fixed parameters and their values.

    Returns
    -------
    MultistartResult

    Raises
    ------
    ValueError
        If there are no starts, or a range or fixed value cannot be used.
    """
    if effort.n_starts < 1:
        raise ValueError(f"n_starts = {effort.n_starts}: must be at least 1")
    fixed = fixed or {}
    pinned = {name: (value, value) for name, value in fixed.items()}
    rng = np.random.default_rng(effort.seed)
    starts = draw_starts(problem, effort.n_starts, rng, {**(effort.ranges or {}), **pinned})
    fit = solve(problem, starts, fixed=tuple(fixed))
    order = np.argsort(fit.chi2, kind="stable")
    chi2, converged = fit.chi2[order], fit.converged[order]
    zero = zero_chi2(problem)
    plateau_chi2, plateau_size = find_plateaus(chi2[converged], zero=zero)
    is_best = converged & agrees(chi2, plateau_chi2.min(initial=np.inf), zero=zero)
    restarted = fit.restarted[order][is_best]
    return MultistartResult(
        starts=starts[order],
        x=fit.x[order],
        chi2=chi2,
        kkt=fit.kkt[order],
        converged=converged,
        n_iter=fit.n_iter[order],
        flat=fit.flat[order],
        reproduced=int(np.count_nonzero(~restarted)) + int(restarted.any()),
        plateau_chi2=plateau_chi2,
        plateau_size=plateau_size,
    )


def zero_chi2(problem: LeastSquaresProblem) -> float:
    """χ² at or below which a fit of this problem is exact: 1e-6, or less for small residuals, and above rounding.

    χ² cannot be negative, so that below 1e-6 no possible decrease matters against Δχ² = 1. Residuals that were not
    divided by an error may all be below 1e-3 although the fit is not exact. Therefore χ² must also be below (1e-6 s)²,
    where s is the size of the residuals at the start.
    """
    return min(CHI2_FLOOR, (1e-6 * problem.scale) ** 2)


def agrees(chi2: np.ndarray, best: np.ndarray | float, *, zero: float = CHI2_FLOOR) -> np.ndarray:
    """True where χ² reaches `best`; shapes broadcast, and nan never agrees.

    The tolerance is 1e-6 of `best`, but at most 0.01 as far as rounding allows: at χ² = 1e12 a relative 1e-6 would be
    far above Δχ² = 1. Two values of at most `zero` also agree.
    """
    margin = np.minimum(RELATIVE_AGREEMENT * best, _ABSOLUTE_AGREEMENT + _ROUNDING * best)
    return chi2 <= np.maximum(best + margin, zero)


def find_plateaus(chi2: np.ndarray, *, zero: float = CHI2_FLOOR) -> tuple[np.ndarray, np.ndarray]:
    """Group sorted values of χ² into plateaus; returns their lowest values and sizes, both (n_plateaus,)."""
    lowest: list[float] = []
    sizes: list[int] = []
    while len(chi2):
        size = int(np.count_nonzero(agrees(chi2, chi2[0], zero=zero)))
        lowest.append(float(chi2[0]))
        sizes.append(size)
        chi2 = chi2[size:]
    return np.array(lowest), np.array(sizes, dtype=int)


def format_chi2(chi2: float) -> str:
    """χ² as text at fixed precision; below the floor it is noise and becomes `< 1e-6`."""
    return "< 1e-6" if chi2 < CHI2_FLOOR else f"{chi2:.6g}"
