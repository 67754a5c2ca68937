"""What would determine a parameter that the data leave open: another parameter known, or one more datum."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from leptonfit.inference.assess import CLOSED, AssessmentResult, choose_allowed_point, choose_effort, choose_sets
from leptonfit.inference.identifiability import assess_profile
from leptonfit.inference.model_problem import ModelProblem
from leptonfit.inference.multistart import Effort
from leptonfit.inference.problem import LeastSquaresProblem, extend, restrict
from leptonfit.inference.profile import ProfileResult, SetOptions, scan_profile
from leptonfit.inference.result import Result

_FEW = Effort(n_starts=8, seed=1)
_SMALLEST = 1e-100
"""Value, relative to the mean of a log-normal prior, in place of 0, a usual lower bound at which ln p is infinite."""
PRECISIONS = (0.01, 0.03, 0.1, 0.3, 1.0)
"""Relative errors of another parameter that are tried."""


def add_prior(
    problem: LeastSquaresProblem, name: str, mean: float, sigma: float, *, is_log_normal: bool = False
) -> LeastSquaresProblem:
    """Copy of a problem with an independent measurement of one of its parameters as one more residual.

    Parameters
    ----------
    problem : LeastSquaresProblem
    name : str
    mean, sigma : float
        The measured value and its standard error, in the parameter's unit.
    is_log_normal : bool
        True if ln(parameter) is Gaussian: around ln(mean), with the relative error sigma/mean.

    Raises
    ------
    ValueError
        If there is no such parameter, sigma is not positive, or the mean of a log-normal prior is not positive.
    """
    column = problem.index(name)
    if not 0 < sigma < np.inf or not np.isfinite(mean):
        raise ValueError(f"prior of {name} = {mean:g} ± {sigma:g}: must be finite, with a positive error")
    if is_log_normal and not mean > 0:
        raise ValueError(f"prior of {name} = {mean:g} ± {sigma:g}: a log-normal one must have a positive value")
    width = sigma / mean if is_log_normal else sigma

    def above_zero(value: np.ndarray) -> np.ndarray:
        return np.where(value == 0, _SMALLEST * mean, value)

    def residual(x: np.ndarray) -> np.ndarray:
        value = x[..., column : column + 1]
        with np.errstate(invalid="ignore"):
            return (np.log(above_zero(value) / mean) if is_log_normal else value - mean) / width

    def slope(x: np.ndarray) -> np.ndarray:
        rows = np.zeros((*x.shape[:-1], 1, x.shape[-1]))
        rows[..., 0, column] = 1 / (above_zero(x[..., column]) * width) if is_log_normal else 1 / width
        return rows

    return extend(problem, (f"prior of {name}",), residual, slope)


def precision_that_closes(
    problem: LeastSquaresProblem, profile: ProfileResult, other: str, *, effort: Effort | None = None
) -> float | None:
    """Largest relative error of another parameter, of `PRECISIONS`, with which the data determine a parameter.

    Parameters
    ----------
    problem : LeastSquaresProblem
    profile : ProfileResult
        Of the parameter that is open; its levels are those at which the set must be closed.
    other : str
        The other parameter. Its measured value is that of `choose_allowed_point`.
    effort : Effort, optional
        As for `scan_profile`.

    Returns
    -------
    float or None
        0 if only the exact value of the other parameter closes the set; None if not even that does.
    """

    def is_closed(changed: LeastSquaresProblem) -> bool:
        found = scan_profile(changed, profile.parameter, effort=starts, sets=sets)
        return assess_profile(changed, found).code in CLOSED

    sets = _same_sets(problem, profile)
    starts = effort or (choose_effort(problem) if problem.search.is_slow else _FEW)
    value = float(choose_allowed_point(problem, profile)[problem.index(other)])
    if not is_closed(restrict(problem, fixed={other: value})):
        return None
    if value == 0:
        return 0.0
    best, low, high = 0.0, 0, len(PRECISIONS) - 1
    while low <= high:  # a set that a measurement closes is also closed by a better one
        middle = (low + high) // 2
        if is_closed(add_prior(problem, other, value, PRECISIONS[middle] * abs(value))):
            best, low = PRECISIONS[middle], middle + 1
        else:
            high = middle - 1
    return best


@dataclass(frozen=True)
class NextDatumResult(Result):
    """Effect of one more datum on the interval of a parameter.

    Attributes
    ----------
    parameter : str
    x : ndarray (n,)
        Values of x at which a datum was considered.
    shortening : ndarray (n,)
        Predicted length of the interval with a datum there, as a fraction of the present one; where the interval is
        open, of the scanned range.
    best_x : float
        x of the largest shortening.
    before, after : tuple of float
        Interval now, and refitted with a datum at `best_x` that lies on an allowed prediction.
    """

    parameter: str
    x: np.ndarray
    shortening: np.ndarray
    best_x: float
    before: tuple[float, float]
    after: tuple[float, float]


def find_next_datum(
    problem: ModelProblem,
    found: AssessmentResult,
    name: str,
    *,
    x: np.ndarray | None = None,
    effort: Effort | None = None,
) -> NextDatumResult:
    """Find where one more datum, with the median error of the present ones, would shorten an interval most.

    The datum is assumed to lie on the best fit or, where the interval is open, on the allowed point farthest from the
    bounds. At the two ends of the profile that are still allowed, or at the ends of the scan, a datum at x adds
    (f(x; end) − f(x; centre))²/(σ² + s²) to Δχ², with s the error of the prediction at the fixed parameter. In a linear
    model the interval then shrinks by √(level/(level + added)) on that side. The best x is confirmed by a new fit (in
    the spirit of A. Raue et al., Bioinformatics 25, 1923 (2009), doi:10.1093/bioinformatics/btp358).

    Parameters
    ----------
    problem : ModelProblem
        With one x.
    found : AssessmentResult
        Must contain the profile of the parameter.
    name : str
    x : ndarray (n,), optional
        Values of x to consider; by default 101 from the first datum to twice the range of the data.
    effort : Effort, optional
        As for `scan_profile`.

    Raises
    ------
    ValueError
        If the problem has several x, or the parameter was not assessed.
    """
    if np.ndim(problem.data.x) != 1:
        raise ValueError("x: a next datum is looked for only where x is one array")
    if name not in found.profiles or name not in problem.names:
        raise ValueError(f"parameter {name!r}: must be one of {', '.join(found.profiles)}")
    if x is None:
        low, high = problem.data.x.min(), problem.data.x.max()
        x = np.linspace(low, high + (high - low), 101)
    profile = found.profiles[name]
    level = max(profile.levels.values())
    inside = np.flatnonzero(profile.chi2_min - profile.best_chi2 <= level)
    is_closed = found.verdicts[name].code in CLOSED
    centre = found.best_x if is_closed else choose_allowed_point(problem, profile)
    ends = profile.x[[inside[0], inside[-1]]] if len(inside) else np.stack([centre] * 2)
    sigma = float(np.median(problem.data.errors))
    at_centre = problem.predict(x, centre)
    column = np.array([problem.index(name)])
    factors = []
    for end in ends:
        slope = np.delete(problem.predict_jacobian(x, end), column, axis=-1)
        spread = np.linalg.norm(slope @ np.linalg.pinv(np.delete(problem.jacobian(end), column, axis=-1)), axis=-1)
        added = (problem.predict(x, end) - at_centre) ** 2 / (sigma**2 + spread**2)
        factors.append(np.sqrt(level / (level + added)))
    shortening = np.mean(factors, axis=0)
    best = float(x[np.nanargmin(shortening)])
    measured = problem.predict(np.array([best]), centre)
    more = extend(
        problem,
        ("one more datum",),
        lambda z: (problem.predict(np.array([best]), z) - measured) / sigma,
        lambda z: problem.predict_jacobian(np.array([best]), z) / sigma,
    )
    effort = effort or choose_effort(problem)
    again = assess_profile(more, scan_profile(more, name, effort=effort, sets=_same_sets(problem, profile)))
    nothing = (-np.inf, np.inf)
    before = found.verdicts[name].interval or nothing
    return NextDatumResult(name, x, shortening, best, before, again.interval or nothing)


def _same_sets(problem: LeastSquaresProblem, profile: ProfileResult) -> SetOptions:
    return choose_sets(problem, [float(level) for level in profile.levels])
