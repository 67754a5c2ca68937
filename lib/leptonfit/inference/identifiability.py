"""Is a parameter determined? The Jacobian's spectrum and null space, and a verdict from the profile by fixed rules."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.stats import chi2 as chi2_distribution

from leptonfit.inference.bands import BandResult, assess_multistart
from leptonfit.inference.directions import DirectionsResult, SpectrumResult, jacobian_spectrum, null_directions
from leptonfit.inference.intervals import LEVELS, IntervalSet
from leptonfit.inference.multistart import CHI2_FLOOR, format_chi2
from leptonfit.inference.problem import LeastSquaresProblem
from leptonfit.inference.profile import ProfileResult
from leptonfit.inference.result import Result

__all__ = [
    "VERDICT_CODES",
    "BandResult",
    "DirectionsResult",
    "SpectrumResult",
    "VerdictResult",
    "assess_multistart",
    "assess_profile",
    "jacobian_spectrum",
    "null_directions",
    "verdict_code",
]

VERDICT_CODES = (
    "unreliable",
    "empty",
    "not_identified",
    "open_below",
    "open_above",
    "disjoint",
    "bound_limited",
    "identified",
)
"""In the order in which they apply."""

_CONFIDENCE = 0.95


@dataclass(frozen=True)
class VerdictResult(Result):
    """What a profile says of its parameter.

    Attributes
    ----------
    code : str
        One of `VERDICT_CODES`, from the 95 % set.
    sentence : str
        The same in words, with its numbers.
    minimum : float or None
        Where χ² is lowest; None where that is zero, since then every zero is a minimum.
    offset : float or None
        Distance of the minimum from the reference.
    in_tension : bool or None
        χ² above the 95 % point for its degrees of freedom; None where there are none.
    degrees_of_freedom : int
        n_res − rank of the Jacobian over the parameters off their bounds, at the lowest χ² known; 0 if none is known.
    constraints_minus_parameters : int
        The plain count n_res − n_par.
    reference : float or None
        The value asked about.
    contains_reference : bool or None
        Whether it lies in the 95 % set, by the profile's own value there; None where that is not trusted.
    nuisances_on_bounds : tuple of str
        Parameters on a bound at the lowest χ² known.
    """

    code: str
    sentence: str
    minimum: float | None
    offset: float | None
    in_tension: bool | None
    degrees_of_freedom: int
    constraints_minus_parameters: int
    reference: float | None
    contains_reference: bool | None
    nuisances_on_bounds: tuple[str, ...]


def assess_profile(
    problem: LeastSquaresProblem, profile: ProfileResult, *, reference: float | None = None
) -> VerdictResult:
    """Judge a profile by rule.

    Parameters
    ----------
    problem : LeastSquaresProblem
    profile : ProfileResult
    reference : float, optional
        A value to be judged compatible or not; one of the profile's references.

    Raises
    ------
    ValueError
        If the profile was not evaluated at `reference`.
    """
    column = problem.index(profile.parameter)
    code = verdict_code(profile.identified_set["0.95"])
    is_known, best = profile.best_converged, profile.best_x[column]
    if not is_known or (code == "empty" and profile.grid[0] <= best <= profile.grid[-1]):
        code = "unreliable"  # the set is measured from a point that is no minimum, or missed one inside the scan
    dof = problem.n_res - jacobian_spectrum(problem, profile.best_x).rank if is_known else 0
    in_tension = bool(profile.best_chi2 > chi2_distribution.ppf(_CONFIDENCE, dof)) if dof else None
    minimum = float(profile.best_x[column]) if is_known and profile.best_chi2 >= CHI2_FLOOR else None
    contains = None
    if reference is not None:
        if reference not in profile.references:
            raise ValueError(f"reference = {reference:g}: the profile has {profile.references.tolist()}")
        at = int(np.flatnonzero(profile.references == reference)[0])
        if profile.reference_trusted[at] and is_known:
            contains = bool(profile.reference_chi2[at] - profile.best_chi2 <= LEVELS["0.95"])
    touched = problem.on_bounds(profile.best_x)
    on_bounds = tuple(name for j, name in enumerate(problem.names) if touched[j] and name != profile.parameter)
    return VerdictResult(
        code=code,
        sentence=_describe(problem, profile, code, minimum, in_tension, dof, on_bounds, reference, contains),
        minimum=minimum,
        offset=None if minimum is None or reference is None else abs(minimum - reference),
        in_tension=in_tension,
        degrees_of_freedom=dof,
        constraints_minus_parameters=problem.n_res - problem.n_par,
        reference=reference,
        contains_reference=contains,
        nuisances_on_bounds=on_bounds,
    )


def verdict_code(identified: IntervalSet) -> str:
    """The first of `VERDICT_CODES` that applies to a set."""
    conditions = (
        not identified.decided,
        not len(identified.intervals),
        identified.open_below and identified.open_above,
        identified.open_below,
        identified.open_above,
        len(identified.intervals) > 1,
        "bound" in (identified.reason_below, identified.reason_above),
        True,
    )
    return VERDICT_CODES[conditions.index(True)]


def _describe(
    problem: LeastSquaresProblem,
    profile: ProfileResult,
    code: str,
    minimum: float | None,
    in_tension: bool | None,
    dof: int,
    on_bounds: tuple[str, ...],
    reference: float | None,
    contains: bool | None,
) -> str:
    column, low, high = problem.index(profile.parameter), profile.grid[0], profile.grid[-1]
    name = problem.parameters[column].symbol or profile.parameter
    scan = f"[{low:g}, {high:g}]"
    n_zero, n_grid = int(np.count_nonzero(profile.chi2_min < CHI2_FLOOR)), len(profile.grid)
    found = profile.identified_set["0.95"]
    intervals = found.intervals
    own = code in ("open_below", "open_above") and "bound" in (found.reason_below, found.reason_above)
    ends = " and ".join(f"[{_end(a, low, high)}, {_end(b, low, high)}]" for a, b in intervals)
    said = {
        "unreliable": f"Nothing can be said of {name} in the scan {scan}: {int((~profile.trusted).sum())} of {n_grid} "
        f"points are not trusted, and the lowest χ² known is {'' if profile.best_converged else 'not '}at a minimum.",
        "empty": f"No {name} in the scan {scan} is allowed at 95 %: outside it χ² is "
        + ("zero." if minimum is None else f"lower, {format_chi2(profile.best_chi2)} at {name} = {minimum:.6g}."),
        "not_identified": f"The data do not determine {name} in the scan {scan}: the 95 % set is open on both sides.",
        "open_below": f"The data {'do not bound' if own else 'bound'} {name}{'' if own else ' from above only'}: "
        f"the 95 % set is {ends}, open below{', and above it ends at a declared bound' if own else ''}.",
        "open_above": f"The data {'do not bound' if own else 'bound'} {name}{'' if own else ' from below only'}: "
        f"the 95 % set is {ends}, open above{', and below it ends at a declared bound' if own else ''}.",
        "disjoint": f"The data allow {name} in separate intervals: the 95 % set is {ends}.",
        "bound_limited": f"A declared bound of {name} limits it, not the data alone: the 95 % set is {ends}.",
        "identified": f"The data determine {name}: the 95 % set is {ends}.",
    }[code]
    if code == "unreliable":
        return said
    if n_zero:
        said += f" χ²_min is zero (< 1e-6) at {n_zero} of {n_grid} points."
    elif minimum is not None and code != "empty":
        said += f" The lowest χ² known is {format_chi2(profile.best_chi2)} at {name} = {minimum:.6g}."
    if in_tension is not None:
        freedom = f"{dof} degree{'s' if dof > 1 else ''} of freedom"
        said += f" The fit is {'in tension' if in_tension else 'compatible'} with the data at 95 % for {freedom}."
        if in_tension and on_bounds:
            symbols = [problem.parameters[problem.index(other)].symbol or other for other in on_bounds]
            said += f" On their bounds there: {', '.join(symbols)}."
    if contains is not None:
        place = "" if low <= reference <= high else ", beyond the scan,"
        said += f" {name} = {reference:.10g}{place} is {'allowed' if contains else 'excluded'} at 95 %."
    elif reference is not None:
        said += f" Whether {name} = {reference:.10g} is inside cannot be said: its value is not trusted."
    return said


def _end(value: float, low: float, high: float) -> str:
    return f"{value:.8g}" if np.isfinite(value) else f"scan end {low if value < 0 else high:g}"
