"""Decide by fixed rules, from its profile, whether a parameter is determined by data and physical limits alone."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from leptonfit.inference.active_bounds import ActiveBoundResult
from leptonfit.inference.bands import BandResult, assess_multistart
from leptonfit.inference.directions import DirectionsResult, SingularValueResult, jacobian_spectrum, null_directions
from leptonfit.inference.intervals import EMPTY_SET, IntervalSet
from leptonfit.inference.multistart import zero_chi2
from leptonfit.inference.problem import LeastSquaresProblem
from leptonfit.inference.profile import ProfileResult
from leptonfit.inference.result import Result
from leptonfit.inference.tension import TENSION, TensionResult, assess_tension
from leptonfit.inference.verdict_text import describe_verdict

__all__ = [
    "VERDICT_CODES",
    "BandResult",
    "DirectionsResult",
    "SingularValueResult",
    "VerdictResult",
    "assess_multistart",
    "assess_profile",
    "jacobian_spectrum",
    "null_directions",
    "verdict_code",
]

VERDICT_CODES = (
    "unreliable",
    "rejected",
    "empty",
    "not_identified",
    "open_below",
    "open_above",
    "disjoint",
    "bound_limited",
    "identified",
)
"""Verdict codes in the order in which they are tested."""


@dataclass(frozen=True)
class VerdictResult(Result):
    """Verdict on the parameter of a profile.

    Attributes
    ----------
    code : str
        One of `VERDICT_CODES`, at `level`.
    sentence : str
        The verdict as text, with its numbers.
    level : str
        Confidence level of the set; "0.95" if the profile has it.
    allowed : IntervalSet
        Values that data and physical limits alone allow; no interval if the code is "rejected" or "unreliable".
    reference_held_by : tuple of ActiveBoundResult
        Active bounds at the lowest χ² known.
    minimum : float or None
        Value of the parameter at the lowest χ²; None where χ² is zero or flat, since then no value is preferred.
    offset : float or None
        Distance between the minimum and the reference.
    p_value : float or None
        Probability of a χ² at least as large as the lowest known; None where χ² does not test the model.
    in_tension : bool or None
        True if p is below 5 %; None if there is no p-value.
    degrees_of_freedom : int
        n_res − rank of the Jacobian over the parameters off their bounds, at the lowest χ² known; 0 if none is known.
    constraints_minus_parameters : int
        The difference n_res − n_par.
    reference : float or None
        Reference value to be judged.
    contains_reference : bool or None
        True if the reference is allowed within the given bounds, from χ² at exactly this value; None where that point
        is not trusted, the profile is unreliable or the model is rejected.
    nuisances_on_bounds : tuple of str
        Other parameters on a bound at the lowest χ² known, whether the bound is active or not.
    """

    code: str
    sentence: str
    level: str
    allowed: IntervalSet
    reference_held_by: tuple[ActiveBoundResult, ...]
    minimum: float | None
    offset: float | None
    p_value: float | None
    in_tension: bool | None
    degrees_of_freedom: int
    constraints_minus_parameters: int
    reference: float | None
    contains_reference: bool | None
    nuisances_on_bounds: tuple[str, ...]

    @property
    def interval(self) -> tuple[float, float] | None:
        """Lowest and highest allowed value, ±inf where the data leave it open; None if no interval is quoted."""
        ends = self.allowed.intervals
        return (float(ends[0, 0]), float(ends[-1, 1])) if len(ends) else None

    @property
    def intervals(self) -> tuple[tuple[float, float], ...]:
        """All intervals of allowed values, ascending; empty if no interval is quoted."""
        return tuple((float(low), float(high)) for low, high in self.allowed.intervals)

    @property
    def held_by(self) -> tuple[tuple[ActiveBoundResult, ...], tuple[ActiveBoundResult, ...]]:
        """Bounds that determine the lowest and the highest end."""
        found = self.allowed
        return (found.below[0].held_by, found.above[-1].held_by) if found.below else ((), ())


def assess_profile(
    problem: LeastSquaresProblem, profile: ProfileResult, *, reference: float | None = None
) -> VerdictResult:
    """Derive the verdict on the parameter of a profile by fixed rules.

    Parameters
    ----------
    problem : LeastSquaresProblem
    profile : ProfileResult
    reference : float, optional
        Value to be judged compatible or not; it must be one of the profile's references.

    Raises
    ------
    ValueError
        If the profile was not evaluated at `reference`.
    """
    column = problem.index(profile.parameter)
    level = "0.95" if "0.95" in profile.levels else max(profile.levels, key=lambda name: profile.levels[name])
    is_known, best = profile.best_converged, profile.best_x[column]
    fit = assess_tension(problem, profile.best_x, profile.best_chi2) if is_known else TensionResult(0, None)
    within, allowed = profile.identified_set[level], profile.released_set[level]
    code = verdict_code(allowed)
    if not is_known:
        code = "unreliable"  # every Δχ² is measured from a point that is not a minimum
    elif fit.is_rejected:
        code = "rejected"  # independent of the set
    elif not within.decided or not len(within.intervals):
        code = "unreliable"
    is_sharp = is_known and profile.best_chi2 > zero_chi2(problem) and not profile.is_flat
    minimum = float(best) if is_sharp else None
    contains = None
    if reference is not None:
        if reference not in profile.references:
            raise ValueError(f"reference = {reference:g}: the profile has {profile.references.tolist()}")
        at = int(np.flatnonzero(profile.references == reference)[0])
        if profile.reference_trusted[at] and code not in ("unreliable", "rejected"):
            contains = bool(profile.reference_chi2[at] - profile.best_chi2 <= profile.levels[level])
    touched = problem.on_bounds(profile.best_x)
    verdict = VerdictResult(
        code=code,
        sentence="",
        level=level,
        allowed=EMPTY_SET if code in ("unreliable", "rejected") else allowed,
        reference_held_by=profile.reference_held_by,
        minimum=minimum,
        offset=None if minimum is None or reference is None else abs(minimum - reference),
        p_value=fit.p_value,
        in_tension=None if fit.p_value is None else fit.p_value < TENSION,
        degrees_of_freedom=fit.degrees_of_freedom,
        constraints_minus_parameters=problem.n_res - problem.n_par,
        reference=reference,
        contains_reference=contains,
        nuisances_on_bounds=tuple(
            name for j, name in enumerate(problem.names) if touched[j] and name != profile.parameter
        ),
    )
    return replace(verdict, sentence=describe_verdict(problem, profile, verdict))


def verdict_code(found: IntervalSet) -> str:
    """First of `VERDICT_CODES` that applies to a set, if the fit itself is good.

    An end counts as closed if χ² crosses the level there because of data or physical limits of other parameters.
    """
    found = found.close_by_data()
    if not found.decided:
        return "unreliable"
    if not len(found.intervals):
        return "empty"
    below, above = found.below[0], found.above[-1]
    conditions = {
        "not_identified": not below.is_closed and not above.is_closed,
        "open_below": below.is_open,
        "open_above": above.is_open,
        "disjoint": len(found.intervals) > 1,
        "bound_limited": (below.reason, above.reason) != ("crossing", "crossing"),
        "identified": True,
    }
    return next(code for code, applies in conditions.items() if applies)
