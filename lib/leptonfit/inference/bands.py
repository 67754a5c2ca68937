"""Whether the best fit of a multi-start is a point or a band."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from leptonfit.inference.multistart import MultistartResult, format_chi2
from leptonfit.inference.problem import LeastSquaresProblem
from leptonfit.inference.result import Result

_POINT = 1e-3


@dataclass(frozen=True)
class BandResult(Result):
    """Where a parameter lies among the minimisations that reach the best χ².

    Attributes
    ----------
    code : str
        "unreliable" if fewer than two starts reach the best χ²; "not_identified" if those that do differ by more
        than 1e-3 of the box in the parameter; "bound_limited" if they meet at its bound; else "identified".
    sentence : str
    low, high : ndarray (n_par,)
        Range of every parameter over them.
    """

    code: str
    sentence: str
    low: np.ndarray
    high: np.ndarray


def assess_multistart(problem: LeastSquaresProblem, result: MultistartResult, name: str) -> BandResult:
    """Judge by rule whether the best fit of a multi-start is a point or a band in the parameter `name`.

    Parameters
    ----------
    problem : LeastSquaresProblem
        With finite bounds on the parameter.
    result : MultistartResult
        Of that problem, all parameters free.
    name : str
    """
    column, best = problem.index(name), result.x[result.is_best]
    low, high = np.min(best, axis=0, initial=np.inf), np.max(best, axis=0, initial=-np.inf)
    parameter, n_starts = problem.parameters[column], len(result.chi2)
    symbol = parameter.symbol or name
    if len(best) < 2:
        said = f"Nothing can be said of {symbol}: {len(best)} of {n_starts} starts reached the best χ², two are needed."
        return BandResult("unreliable", said, low, high)
    is_band = high[column] - low[column] > _POINT * (parameter.upper - parameter.lower)
    reached = f"{len(best)} of {n_starts} starts reach the best χ², {format_chi2(float(result.plateau_chi2[0]))}"
    if is_band:
        said = (
            f"{reached}, and stop at {symbol} from {low[column]:.4g} to {high[column]:.4g} of "
            f"[{parameter.lower:g}, {parameter.upper:g}]: the best fit is a band at least this wide, not a point."
        )
    else:
        said = f"{reached}, all at {symbol} = {best[0, column]:.6g}: the best fit is a point"
        said += f", on the bound of {symbol}." if problem.on_bounds(best)[0, column] else "."
    point = "bound_limited" if problem.on_bounds(best)[0, column] else "identified"
    return BandResult("not_identified" if is_band else point, said, low, high)
