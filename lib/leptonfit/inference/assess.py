"""Verdicts on all parameters of a fit: which of them the data determine, which a bound, and which nothing."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from leptonfit.inference.active_bounds import describe_bounds
from leptonfit.inference.combinations import determined_combinations
from leptonfit.inference.derived import Values, add_derived
from leptonfit.inference.directions import covariance
from leptonfit.inference.identifiability import VerdictResult, assess_profile
from leptonfit.inference.intervals import EMPTY_SET, EndResult, IntervalSet
from leptonfit.inference.multistart import Effort
from leptonfit.inference.problem import LeastSquaresProblem
from leptonfit.inference.profile import ProfileResult, SetOptions, scan_profile
from leptonfit.inference.result import Result
from leptonfit.inference.tension import TensionResult, assess_tension

EFFORT, _SLOW_EFFORT = Effort(n_starts=16, seed=1), Effort(n_starts=4, seed=1)
_SLOW_GRID = 17
"""Default fresh starts at each point of a profile, fewer for a slow problem, and then its number of points.

A point is trusted as soon as two independent starts agree, and where they do not, fresh starts are drawn up to three
times: fewer starts do not make a verdict less certain, but make it "unreliable" sooner where a fit has many minima.
"""
CLOSED = ("identified", "bound_limited", "disjoint")
"""Verdicts on a set that is closed on both sides."""
_MISSED, _MORE_STARTS = 1e-2, 4
"""A profile whose lowest χ² is higher than that of another one by this fraction of the level begins again, with this
many times as many starts.
"""


@dataclass(frozen=True)
class AssessmentResult(Result):
    """Best fit of a problem and the verdicts on its parameters and derived quantities.

    Attributes
    ----------
    names : tuple of str
        All n_par parameters of the problem.
    best_x, errors : ndarray (n_par,)
        Parameters at the lowest χ² known and their standard errors; inf where the data determine no value, nan on a
        bound.
    best_chi2 : float
    fit : TensionResult
        Degrees of freedom and p-value of the best fit.
    profiles : dict of ProfileResult
        For each assessed parameter and derived quantity.
    verdicts : dict of VerdictResult
        For the same names.
    estimates : dict of (float, float)
        Value at the best fit and standard error, for the same names.
    combinations : tuple of str
        Products of undetermined parameters that the data do determine, with values, such as "V/K = 0.512 ± 0.004".
    """

    names: tuple[str, ...]
    best_x: np.ndarray
    errors: np.ndarray
    best_chi2: float
    fit: TensionResult
    profiles: dict[str, ProfileResult]
    verdicts: dict[str, VerdictResult]
    estimates: dict[str, tuple[float, float]]
    combinations: tuple[str, ...]


def assess_problem(
    problem: LeastSquaresProblem,
    names: Sequence[str] | str | None = None,
    *,
    derived: Mapping[str, Callable[[Values], np.ndarray]] | None = None,
    level: float = 0.95,
    effort: Effort | None = None,
) -> AssessmentResult:
    """Profile parameters and derived quantities of a problem, and state for each whether the data determine it.

    Parameters
    ----------
    problem : LeastSquaresProblem
    names : sequence of str, optional
        Parameters to assess; all if not given.
    derived : mapping, optional
        Functions of a mapping of parameter names to arrays, by the name of the quantity.
    level : float
        Confidence level of the verdicts.
    effort : Effort
        Fresh starts at each point of a profile; by default as `choose_effort`.

    Raises
    ------
    ValueError
        If there is no parameter of a given name, a derived quantity has the name of a parameter, or no start has a
        finite χ².
    """
    if isinstance(names, str):
        names = (names,)
    names = problem.names if names is None else tuple(names)
    derived = derived or {}
    if not names:
        raise ValueError("names: at least one parameter must be assessed")
    for name in derived:
        if name in problem.names:
            raise ValueError(f"derived quantity {name!r}: is the name of a parameter")
    effort, sets = effort or choose_effort(problem), choose_sets(problem, (level,))
    profiles = {name: scan_profile(problem, name, effort=effort, sets=sets) for name in names}
    lowest = min((profile.best_chi2 for profile in profiles.values()), default=np.inf)
    more = replace(effort, n_starts=_MORE_STARTS * effort.n_starts)
    for name, profile in profiles.items():
        if profile.best_chi2 - lowest > _MISSED * min(profile.levels.values()):
            profiles[name] = scan_profile(problem, name, effort=more, sets=sets)
    lowest = min(profile.best_chi2 for profile in profiles.values())
    verdicts = {name: assess_profile(problem, profile) for name, profile in profiles.items()}
    for name, profile in profiles.items():
        if profile.best_chi2 - lowest > _MISSED * min(profile.levels.values()):
            said = f"The verdict on {name} is unreliable: its profile does not reach the lowest χ² known, {lowest:.6g}."
            verdicts[name] = replace(verdicts[name], code="unreliable", sentence=said, allowed=EMPTY_SET)
        elif problem.sigma_degrees is not None and lowest < (1 - _MISSED) * problem.sigma_degrees:
            said = f"The verdict on {name} is unreliable: a better fit is known than that from which σ was estimated."
            verdicts[name] = replace(verdicts[name], code="unreliable", sentence=said, allowed=EMPTY_SET)
    best = min(profiles.values(), key=lambda profile: profile.best_chi2)
    errors = covariance(problem, best.best_x).standard_errors
    estimates = {name: (float(best.best_x[problem.index(name)]), float(errors[problem.index(name)])) for name in names}
    is_open = [name for name in names if verdicts[name].code not in CLOSED]
    inner = choose_allowed_point(problem, profiles[is_open[0]]) if is_open else best.best_x
    for name, function in derived.items():
        extended = add_derived(problem, best.best_x, name, function)
        at = np.append(best.best_x, extended.start[-1])
        profiles[name] = scan_profile(extended, name, effort=effort, sets=sets)
        verdicts[name] = assess_profile(extended, profiles[name])
        estimates[name] = float(at[-1]), float(covariance(extended, at).standard_errors[-1])
    return AssessmentResult(
        names=problem.names,
        best_x=best.best_x,
        errors=errors,
        best_chi2=best.best_chi2,
        fit=assess_tension(problem, best.best_x, best.best_chi2),
        profiles=profiles,
        verdicts=verdicts,
        estimates=estimates,
        combinations=determined_combinations(problem, inner).sentences,
    )


def choose_effort(problem: LeastSquaresProblem) -> Effort:
    """Default effort of a profile: 16 fresh starts at each point, or 4 if the problem is slow."""
    return _SLOW_EFFORT if problem.search.is_slow else EFFORT


def choose_sets(problem: LeastSquaresProblem, levels: Sequence[float]) -> SetOptions:
    """Sets to find at some levels, on a profile of the usual number of points, or of 17 if the problem is slow."""
    return SetOptions(levels, n_grid=_SLOW_GRID) if problem.search.is_slow else SetOptions(levels)


def choose_allowed_point(problem: LeastSquaresProblem, profile: ProfileResult) -> np.ndarray:
    """Point (n_par,) of a profile within its highest level that is farthest from all bounds, as a share of the box.

    Where the data leave a parameter open, the best fit may lie on a bound that somebody drew; a statement about what
    another measurement would do should not start there.
    """
    level = max(profile.levels.values())
    allowed = profile.x[profile.chi2_min - profile.best_chi2 <= level]
    points = np.concatenate([profile.best_x[None, :], allowed])
    with np.errstate(invalid="ignore"):
        shares = np.stack([points - problem.lower, problem.upper - points]) / problem.widths
    nearest = np.where(np.isfinite(shares), shares, 1.0).min(axis=(0, 2))
    return points[nearest.argmax()]


def describe_ends(found: IntervalSet) -> tuple[str, str]:
    """What holds the lower and the upper end of a set, in a few words: "data", "c ≥ 0 (physical)", "not closed (…)"."""
    if not found.below:
        return "", ""
    below, above = np.isinf(found.intervals[[0, -1], [0, 1]])
    return _describe_end(found.below[0], below), _describe_end(found.above[-1], above)


def _describe_end(end: EndResult, is_open: bool) -> str:
    if end.reason == "crossing":
        return "data"
    search = [bound for bound in end.held_by if not bound.is_physical]
    if end.reason == "box":
        said = f"search bounds of {', '.join(dict.fromkeys(bound.symbol for bound in search))}"
        return f"not closed ({said})" if is_open else said
    if end.reason == "bound_own":
        return f"not closed ({', '.join(f'search bound {bound}' for bound in search)})"
    return describe_bounds(end.held_by) or "not reached"
