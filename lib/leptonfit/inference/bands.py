"""Decide whether the best fit of a multi-start is one point, several points, or a continuous band."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from leptonfit.inference.directions import covariance
from leptonfit.inference.multistart import MultistartResult, agrees, format_chi2
from leptonfit.inference.problem import LeastSquaresProblem
from leptonfit.inference.result import Result
from leptonfit.inference.solve import solve

_POINT = 1e-3
_NOISE = 3e-3
_NARROW = 1e-9
_FEWEST_BETWEEN, _ALL_BETWEEN = 3, 24
_MAX_SWEEPS = 24


@dataclass(frozen=True)
class BandResult(Result):
    """Values of a parameter at the end points of the starts that reach the best χ².

    Attributes
    ----------
    code : str
        "unreliable" if fewer than two starts reach the best χ², or if it could not be decided whether separate values
        are joined; "disjoint" if they are not joined; "not_identified" if the best χ² holds all along a range;
        "bound_limited" if there is one value, on the parameter's bound; else "identified".
    sentence : str
    low, high : ndarray (n_par,)
        Range of every parameter over these end points.
    groups : ndarray (n_groups, 2)
        Lowest and highest value of the parameter in each group, ascending. Inside a group every value between these
        reaches the best χ²; between two groups χ² is higher.
    """

    code: str
    sentence: str
    low: np.ndarray
    high: np.ndarray
    groups: np.ndarray


def assess_multistart(problem: LeastSquaresProblem, result: MultistartResult, name: str) -> BandResult:
    """Classify the best fit of a multi-start in parameter `name`: a point, separate points, or a band.

    Two end points have the same value if they differ by less than 1e-3 of the largest value, or of the box if that is
    smaller. Neighbouring values that differ are joined only if χ², minimised with the parameter fixed at values
    between them, equals the best χ² all the way. Joined values form a band if they cover more than the scatter of end
    points in a flat minimum: 0.3 % of the standard error, at most 1e-3 of the box.

    Parameters
    ----------
    problem : LeastSquaresProblem
    result : MultistartResult
        Result for this problem with all parameters free.
    name : str
    """
    column, best = problem.index(name), result.x[result.is_best]
    parameter, n_starts = problem.parameters[column], len(result.chi2)
    symbol = parameter.symbol or name
    if len(best) < 2:
        reached = f"{len(best)} of {n_starts} starts reached the best χ², two are needed"
        said = f"The result for {symbol} is unreliable: {reached}."
        nowhere = np.full(problem.n_par, np.nan)
        low, high = (best[0], best[0]) if len(best) else (nowhere, nowhere)
        return BandResult("unreliable", said, low, high, np.repeat(best[:, [column]], 2, axis=1))
    best = best[np.argsort(best[:, column], kind="stable")]
    values, low, high = best[:, column], best.min(axis=0), best.max(axis=0)
    same, noise = _resolution(problem, result, best, column)
    gaps = np.flatnonzero(np.diff(values) > same)
    joined = _are_joined(problem, best[gaps], best[gaps + 1], column, result.plateau_chi2[0])
    cuts = gaps[joined != 1] + 1
    first, last = np.append(0, cuts), np.append(cuts, len(best)) - 1
    groups, sizes = np.stack([values[first], values[last]], axis=1), last - first + 1
    reached = f"{len(best)} of {n_starts} starts reach the best χ², {format_chi2(float(result.plateau_chi2[0]))}"
    is_wide = np.ptp(groups, axis=1) > max(same, noise)
    places = [
        (f"{start:.4g} to {end:.4g}" if wide else f"{start:.6g}") + f" ({size} starts)"
        for (start, end), wide, size in zip(groups, is_wide, sizes, strict=True)
    ]
    listed = f"{', '.join(places[:-1])} and {places[-1]}"
    if (joined < 0).any():
        code = "unreliable"
        said = f"{reached}, at {symbol} = {listed}; it is undecided whether χ² stays at its minimum between them."
    elif len(groups) > 1:
        code = "disjoint"
        said = f"{reached}, at {len(groups)} separate values of {symbol}: {listed}; between them χ² is higher."
    elif is_wide[0]:
        code = "not_identified"
        said = (
            f"{reached}, and stop at {symbol} from {low[column]:.4g} to {high[column]:.4g} of "
            f"[{parameter.lower:g}, {parameter.upper:g}]: the best fit is a band at least this wide, not a point."
        )
    else:
        on_bound = bool(problem.on_bounds(best)[:, column].any())
        code = "bound_limited" if on_bound else "identified"
        said = f"{reached}, all at {symbol} = {values[0]:.6g}: the best fit is a point"
        said += f", on the bound of {symbol}." if on_bound else "."
    return BandResult(code, said, low, high, groups)


def _resolution(
    problem: LeastSquaresProblem, result: MultistartResult, best: np.ndarray, column: int
) -> tuple[float, float]:
    """Largest differences of the parameter that do not count: between two end points, and across a flat minimum.

    For an infinite box the range of the starts is used instead.
    """
    box = float(problem.upper[column] - problem.lower[column])
    width = box if np.isfinite(box) else float(np.ptp(result.starts[:, column]))
    error = float(covariance(problem, best[0]).standard_errors[column])
    largest = float(np.abs(best[:, column]).max())
    scale = min(width, largest) if width > 0 else largest
    noise = min(_NOISE * error, _POINT * width) if np.isfinite(error) else 0.0
    return max(_POINT * scale, _NARROW * width), noise


def _are_joined(
    problem: LeastSquaresProblem, left: np.ndarray, right: np.ndarray, column: int, best: np.ndarray
) -> np.ndarray:
    """Test whether all points between `left` and `right` (n, n_par) reach the best χ²: (n,) 1 yes, 0 no, −1 undecided.

    A chain of points between the two is minimised with the parameter fixed, from the straight line and from both
    ends, and then again from the neighbouring points until no χ² decreases.
    """
    if not len(left):
        return np.zeros(0, dtype=int)
    name = problem.names[column]
    n_between = max(_FEWEST_BETWEEN, _ALL_BETWEEN // len(left))
    share = np.linspace(0, 1, n_between + 2)[:, None]
    chain = left[:, None] + share * (right - left)[:, None]  # (n, n_between + 2, n_par)
    held = chain[:, 1:-1, column]
    chi2, stands = np.full(held.shape, np.inf), np.zeros(held.shape, dtype=bool)
    origins = [
        chain[:, 1:-1],
        np.broadcast_to(left[:, None], chain[:, 1:-1].shape),
        np.broadcast_to(right[:, None], chain[:, 1:-1].shape),
    ]
    for _ in range(_MAX_SWEEPS):
        starts = np.stack(origins)
        starts[..., column] = held
        fit = solve(problem, starts, fixed=(name,))
        found = np.where(np.isfinite(fit.chi2), fit.chi2, np.inf)
        winner = found.argmin(axis=0)[None]
        lowest = np.take_along_axis(found, winner, axis=0)[0]
        is_lower = (lowest < chi2) & ~(agrees(chi2, lowest) & stands)
        chain[:, 1:-1] = np.where(
            is_lower[..., None], np.take_along_axis(fit.x, winner[..., None], axis=0)[0], chain[:, 1:-1]
        )
        converged = np.take_along_axis(fit.converged, winner, axis=0)[0]
        stands = np.where(is_lower, converged | agrees(lowest, best), stands)
        chi2 = np.where(is_lower, lowest, chi2)
        if not is_lower.any() or agrees(chi2, best).all():
            break
        origins = [chain[:, :-2], chain[:, 2:]]
    equal = agrees(chi2, best)
    is_higher = ~equal & (stands | np.isinf(chi2))
    return np.where(equal.all(axis=1), 1, np.where(is_higher.any(axis=1), 0, -1))
