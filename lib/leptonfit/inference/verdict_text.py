"""Verdict as text: first the answer, then its numbers, then the bounds that determine it."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from leptonfit.inference.active_bounds import ActiveBoundResult, describe_bounds
from leptonfit.inference.intervals import EndResult, IntervalSet
from leptonfit.inference.multistart import CHI2_FLOOR, format_chi2
from leptonfit.inference.problem import LeastSquaresProblem
from leptonfit.inference.profile import ProfileResult, ReleaseResult
from leptonfit.inference.tension import TENSION, TensionResult, assess_tension, format_p

if TYPE_CHECKING:
    from leptonfit.inference.identifiability import VerdictResult


def describe_verdict(problem: LeastSquaresProblem, profile: ProfileResult, verdict: VerdictResult) -> str:
    """Sentences for a verdict whose code and numbers are known.

    Parameters
    ----------
    problem : LeastSquaresProblem
    profile : ProfileResult
    verdict : VerdictResult
    """
    symbol = problem.parameters[problem.index(profile.parameter)].symbol or profile.parameter
    level = f"{100 * float(verdict.level):.12g} %"
    if verdict.code == "unreliable":
        n_bad, n_grid = int((~profile.trusted).sum()), len(profile.grid)
        bad = f"{n_bad} of {n_grid} points of the scan" if n_bad else "points beside its set"
        start = "" if profile.best_converged else ", and the lowest χ² known is not a minimum"
        return f"The verdict on {symbol} is unreliable: {bad} are not trusted{start}."
    if verdict.code == "rejected":
        return _describe_rejection(problem, profile, verdict, symbol)
    parts = [_describe_set(verdict, symbol, level), _describe_box(problem, profile, verdict, symbol)]
    parts += [_describe_chi2(problem, profile, verdict, symbol), _describe_fit(profile, verdict, level)]
    if verdict.reference is not None:
        parts.append(_describe_reference(profile, verdict, symbol, level))
    return " ".join(part for part in parts if part)


def _describe_set(verdict: VerdictResult, symbol: str, level: str) -> str:
    found = verdict.allowed
    ends = describe_intervals(found)
    if verdict.code == "empty":
        return f"No value of {symbol} is allowed at {level}."
    if verdict.code == "not_identified":
        own = [end for end in (found.below[0], found.above[-1]) if end.reason == "physical_own"]
        limits = describe_bounds([bound for end in own for bound in end.held_by])
        shown = "open on both sides" if not own else f"all of {ends}, limited only by {limits}"
        shown = f"all of {ends}, its whole physical range" if len(own) == 2 else shown
        return f"The data do not determine {symbol}: the {level} set is {shown}{_gaps(found)}."
    if verdict.code in ("open_below", "open_above"):
        side, other = ("above", "below") if verdict.code == "open_below" else ("below", "above")
        return f"The data bound {symbol} from {side} only: the {level} set is {ends}, open {other}{_gaps(found)}."
    if verdict.code == "disjoint":
        return f"The data allow {symbol} in separate intervals: the {level} set is {ends}."
    if verdict.code == "bound_limited":
        held = [
            f"{place} by {describe_bounds(_physical(end))}"
            for place, end in (("below", found.below[0]), ("above", found.above[-1]))
            if end.reason != "crossing"
        ]
        return (
            f"The data and a physical limit together bound {symbol}: the {level} set is {ends}, held "
            f"{' and '.join(held)}."
        )
    return f"The data determine {symbol}: the {level} set is {ends}."


def _physical(end: EndResult) -> list[ActiveBoundResult]:
    return [bound for bound in end.held_by if bound.is_physical]


def _gaps(found: IntervalSet) -> str:
    n = len(found.intervals) - 1
    return f", with {n} gap{'s' if n > 1 else ''}" if n else ""


def describe_intervals(found: IntervalSet) -> str:
    """Intervals as text, for example "[1.1148662, ∞)", joined by "and"."""
    parts = []
    for low, high in found.intervals:
        left = f"[{low:.8g}" if np.isfinite(low) else "(−∞"
        right = f"{high:.8g}]" if np.isfinite(high) else "∞)"
        parts.append(f"{left}, {right}")
    return " and ".join(parts)


def _describe_box(problem: LeastSquaresProblem, profile: ProfileResult, verdict: VerdictResult, symbol: str) -> str:
    """State the set within the given bounds if they make it smaller, and the effect of their release."""
    within, release = profile.identified_set[verdict.level], profile.release
    own = [end for end in (within.below[:1] + within.above[-1:]) if end.reason == "bound_own"]
    held = []
    for place, end in (("below", within.below[:1]), ("above", within.above[-1:])):
        if end and end[0].reason == "box":
            held.append(f"{place} by {describe_bounds([b for b in end[0].held_by if b.slope])}")
    said, given = "", f"Within the bounds given it is {describe_intervals(within)}"
    given += f", held {' and '.join(held)}" if held else ""
    if release is not None:
        said = f"{given}; "
        tried = _describe_release(problem, release)
        ends = verdict.allowed.intervals
        is_closed = len(ends) > 0 and bool(np.isfinite([ends[0, 0], ends[-1, 1]]).all())
        if release.is_decided or is_closed:
            said += f"with the search bounds released ({tried}) it is {describe_intervals(verdict.allowed)}."
        else:
            said += f"with the search bounds released ({tried}) it is not known whether the data alone close it."
    elif own:
        bounds = describe_bounds([bound for end in own for bound in end.held_by])
        said = f"{given}; χ² is still below the level at {bounds}."
    elif held:
        said = f"{given}."
    search = [bound for bound in profile.reference_held_by if not bound.is_physical]
    if search:
        said += f" The best fit itself is held by {describe_bounds(search)}."
    return said.strip()


def _describe_release(problem: LeastSquaresProblem, release: ReleaseResult) -> str:
    parts = []
    for name, tries in release.boxes.items():
        symbol = problem.parameters[problem.index(name)].symbol or name
        parts.append(f"{symbol} to [{tries[-1, 0]:.6g}, {tries[-1, 1]:.6g}]")
    return ", ".join(parts)


def _describe_chi2(problem: LeastSquaresProblem, profile: ProfileResult, verdict: VerdictResult, symbol: str) -> str:
    n_zero, n_grid = int(np.count_nonzero(profile.chi2_min < CHI2_FLOOR)), len(profile.grid)
    low, high = profile.grid[0], profile.grid[-1]
    if n_zero:
        return f"χ²_min is zero (< 1e-6) at {n_zero} of {n_grid} points of the scan [{low:g}, {high:g}]."
    if verdict.minimum is None and profile.is_flat:
        return f"χ²_min is the same, {format_chi2(profile.best_chi2)}, at every point of the scan [{low:g}, {high:g}]."
    if verdict.minimum is None:
        return "χ²_min is zero (< 1e-6) outside the scan."
    return f"The lowest χ² known is {format_chi2(profile.best_chi2)} at {symbol} = {verdict.minimum:.6g}."


def _describe_fit(profile: ProfileResult, verdict: VerdictResult, level: str) -> str:
    if verdict.p_value is None:
        return ""
    freedom = TensionResult(verdict.degrees_of_freedom, verdict.p_value).describe()
    word = "in tension" if verdict.p_value < TENSION else "compatible"
    return f"The fit is {word} with the data ({freedom})."


def _describe_reference(profile: ProfileResult, verdict: VerdictResult, symbol: str, level: str) -> str:
    value = verdict.reference
    assert value is not None
    if verdict.contains_reference is None:
        return f"It is undecided whether {symbol} = {value:.10g} is allowed, because χ² there is not trusted."
    place = "" if profile.grid[0] <= value <= profile.grid[-1] else ", beyond the scan,"
    return f"{symbol} = {value:.10g}{place} is {'allowed' if verdict.contains_reference else 'excluded'} at {level}."


def _describe_rejection(
    problem: LeastSquaresProblem, profile: ProfileResult, verdict: VerdictResult, symbol: str
) -> str:
    freedom = TensionResult(verdict.degrees_of_freedom, verdict.p_value).describe()
    numbers = f"the lowest χ² known is {format_chi2(profile.best_chi2)} ({freedom})"
    search = [bound for bound in profile.reference_held_by if not bound.is_physical]
    if not search:
        why = "because a model that does not fit cannot determine it"
        return f"The model is rejected: {numbers}. No set of {symbol} is quoted, {why}."
    held = describe_bounds(profile.reference_held_by)
    said = f"The model is rejected within the bounds given, held by {held}: {numbers}. No set of {symbol} is quoted."
    release = profile.release
    if release is None or not release.best_converged:
        return f"{said} Whether the model survives with the search bounds released is not known."
    wider = replace(
        problem,
        parameters=tuple(
            replace(p, lower=release.boxes[p.name][-1, 0], upper=release.boxes[p.name][-1, 1])
            if p.name in release.boxes
            else p
            for p in problem.parameters
        ),
    )
    fit = assess_tension(wider, release.best_x, release.best_chi2)
    word = "is rejected as well" if fit.is_rejected else "survives"
    p = "" if fit.p_value is None else f", p {format_p(fit.p_value)}"
    return (
        f"{said} With the search bounds released ({_describe_release(problem, release)}) the model {word}: "
        f"χ² is {format_chi2(release.best_chi2)}{p}."
    )
