"""Comparison of closures: the set of β that each allows, the quality of its fit, and a check by a multi-start."""

from __future__ import annotations

import math
import time
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from leptonfit.inference.arguments import read_array, read_instance, read_number
from leptonfit.inference.identifiability import assess_profile, jacobian_spectrum
from leptonfit.inference.intervals import EMPTY_SET, LEVELS, IntervalSet
from leptonfit.inference.multistart import CHI2_FLOOR, Effort, run_multistart
from leptonfit.inference.parallel import map_ordered
from leptonfit.inference.problem import LeastSquaresProblem, restrict
from leptonfit.inference.profile import ProfileResult, SetOptions, scan_profile
from leptonfit.inference.result import Booleans, Result
from leptonfit.vortex.choices import SPIN_HALF_C, Choice, build_choice
from leptonfit.vortex.model import VortexModel

N_CHECKED = 3
_N_C_MU = 9
_BEYOND = 0.01
_AGREEMENT = 1e-2, 1e-12
"""Absolute and relative tolerance for comparing two χ² values; at χ² ≈ 1e12 double precision resolves no better."""


@dataclass(frozen=True)
class ComparedResult(Result):
    """Profile of β under one closure, with the check by fresh starts.

    Attributes
    ----------
    name : str
    choice : Choice
    n_constraints, n_parameters : int
    rank : int
        Rank of the Jacobian at the lowest χ² known, over the parameters that are not on a bound.
    degrees_of_freedom : int
        Number of constraints minus rank.
    best_chi2 : float
        Lowest χ² known.
    best_x : ndarray (n_parameters,)
        Parameters at the lowest χ² known.
    p_value : float or None
        p-value of `best_chi2`; None without degrees of freedom.
    in_tension : bool or None
        Whether the p-value is below 5 %; None without a p-value.
    verdict_code, sentence : str
        Verdict on β.
    identified_set : dict of str to IntervalSet
        Identified set of β at "0.68" and "0.95", within the bounds given.
    released_set : IntervalSet
        95 % set of β that the data and the physical limits alone allow.
    contains_reference : bool or None
    on_bounds : tuple of str
        Nuisance parameters on a bound at the lowest χ² known.
    c_mu_best : float
        C_μ at the lowest χ² known; nan for a closure without C_μ.
    c_mu : IntervalSet or None
        95 % set of C_μ at the reference β; None where C_μ is not free, or where no fit is exact.
    checked : ndarray (n_checked,)
        Values of β at which the closure was refitted from fresh starts: inside its 95 % set and 1 % outside each end,
        or random values in the scan where these do not exist.
    is_inside : ndarray (n_checked,) of bool
        Which of these values lie in the 95 % set.
    multistart_chi2 : ndarray (n_checked,)
        Lowest χ² from the fresh starts at these values.
    n_trusted, n_grid : int
        Number of trusted points and of all points of the scan.
    seconds : float
    """

    name: str
    choice: Choice
    n_constraints: int
    n_parameters: int
    rank: int
    degrees_of_freedom: int
    best_chi2: float
    best_x: np.ndarray
    p_value: float | None
    in_tension: bool | None
    verdict_code: str
    sentence: str
    identified_set: dict[str, IntervalSet]
    released_set: IntervalSet
    contains_reference: bool | None
    on_bounds: tuple[str, ...]
    c_mu_best: float
    c_mu: IntervalSet | None
    checked: np.ndarray
    is_inside: Booleans
    multistart_chi2: np.ndarray
    n_trusted: int
    n_grid: int
    seconds: float

    @property
    def is_confirmed(self) -> bool:
        """Whether the fresh starts agree with the 95 % set at every β checked and find no lower χ²."""
        margin = _AGREEMENT[0] + _AGREEMENT[1] * self.best_chi2
        excess = self.multistart_chi2 - self.best_chi2
        right = np.where(self.is_inside, excess <= LEVELS["0.95"] + margin, excess > LEVELS["0.95"] - margin)
        is_quoted = self.verdict_code != "rejected"
        return bool((right.all() or not is_quoted) and (excess >= -margin).all())

    @property
    def fits(self) -> bool:
        """Whether the closure fits at some β: exactly, or with χ² below the 95 % point for its degrees of freedom."""
        somewhere = self.verdict_code not in ("empty", "unreliable", "rejected")
        return somewhere and (self.best_chi2 < CHI2_FLOOR or self.in_tension is False)

    @property
    def determines(self) -> bool:
        """Whether the closure fits and determines β, that is, leaves one closed interval."""
        return self.verdict_code == "identified" and self.fits


def share_of_scan(compared: ComparedResult, low: float, high: float) -> float:
    """Fraction of a scan, in ln β, that lies in the 95 % set within the bounds given."""
    ends = np.clip(compared.identified_set["0.95"].intervals, low, high)
    return float(np.log(ends[:, 1] / ends[:, 0]).sum() / math.log(high / low))


def select_shown(compared: Sequence[ComparedResult]) -> list[ComparedResult]:
    """Closures to show in a figure of column width: at most one change from the report, or β determined."""
    return [one for one in compared if len(one.choice.changed) <= 1 or one.determines]


def describe_comparison(
    compared: Sequence[ComparedResult], low: float, high: float, *, reference: float
) -> tuple[str, str]:
    """Verdict code and sentence: how many closures fit, which determine β, and which single change restricts β most.

    Parameters
    ----------
    compared : sequence of ComparedResult
    low, high : float
        Range of the scan of β.
    reference : float

    Returns
    -------
    str, str
        "determined" if some closure that fits determines β, "unreliable" if every closure is, else "not_determined";
        and the sentence.
    """
    reliable = [one for one in compared if one.verdict_code != "unreliable"]
    kinds = [set(one.choice.changed.items()) for one in compared if one.determines]
    fits = [one for one in reliable if one.fits]
    determined = [one for one in fits if one.determines]
    n_rejected = sum(one.verdict_code == "rejected" for one in compared)
    said = (
        f"Of {len(compared)} closures, {len(fits)} fit at some β, {n_rejected} are rejected within the bounds given, "
        f"and {len(compared) - len(reliable)} are unreliable. "
    )
    if not reliable:
        return "unreliable", f"{said}Nothing can be said on β."
    if determined:
        ends = np.concatenate([one.released_set.intervals for one in determined])
        shared = dict(sorted(set.intersection(*kinds)))
        common = ", ".join(f"{axis} {value}" for axis, value in shared.items()) or "nothing in common"
        n_inside = sum(one.contains_reference is True for one in determined)
        said += (
            f"{len(determined)} determine β at 95 %, at values from {ends.min():.4g} to {ends.max():.4g} ({common}); "
            f"{n_inside} of these sets contain β = {reference:.10g}. "
        )
    else:
        said += "None determines β. "
    single = [one for one in fits if len(one.choice.changed) == 1]
    if single:
        most = min(single, key=lambda one: share_of_scan(one, low, high))
        share = share_of_scan(most, low, high)
        said += f"The single change that restricts β most is {most.name}, which leaves {100 * share:.0f} % of the scan "
        said += "in ln β" + ("." if any(one.determines for one in single) else "; none determines β.")
    return "determined" if determined else "not_determined", said


def describe_boxes(boxes: Mapping[float, ComparedResult]) -> str:
    """Sentence on how the β that a closure determines depends on the outer radius of the flow integral.

    Parameters
    ----------
    boxes : mapping
        Results of the same closure by r_max, ascending; without two of them there is no sentence.
    """
    if len(boxes) < 2:
        return ""
    if not all(one.determines for one in boxes.values()):
        return "β is not determined at every neighbouring r_max." if any(o.determines for o in boxes.values()) else ""
    sets = {outer: one.released_set.intervals[0] for outer, one in boxes.items()}
    listed = ", ".join(f"{low:.4g} to {high:.4g} at r_max = {outer:g}" for outer, (low, high) in sets.items())
    ends = list(boxes)
    power = math.log(boxes[ends[-1]].best_x[0] / boxes[ends[0]].best_x[0]) / math.log(ends[-1] / ends[0])
    scaling = f"β goes as r_max to the power {power:.1f}, so that r_max sets its scale"
    return f"The first closure gives β from {listed}: {scaling}."


def compare_choice(
    choice: Choice, model: VortexModel, grid: np.ndarray, *, reference: float, effort: Effort, name: str | None = None
) -> ComparedResult:
    """Profile β under one closure, and check the profile with fresh starts.

    Parameters
    ----------
    choice : Choice
    model : VortexModel
        As for `build_choice`.
    grid : ndarray (n_beta,)
        Scan of β.
    reference : float
        Value of β to which the verdict refers.
    effort : Effort
    name : str, optional
        By default the name of the choice.
    """
    began = time.perf_counter()
    read_instance("effort", effort, Effort)
    reference, grid = read_number("reference", reference, low=0.0, high=1e9), read_array("grid", grid, (None,))
    problem = build_choice(choice, model)
    profile = scan_profile(problem, "beta", grid, effort=effort, references=(reference,))
    verdict = assess_profile(problem, profile, reference=reference)
    freedom, name = verdict.degrees_of_freedom, name or choice.name
    checked, is_inside = _own_values(profile, grid, np.random.default_rng([effort.seed, zlib.crc32(name.encode())]))
    found = ComparedResult(
        name=name,
        choice=choice,
        n_constraints=problem.n_res,
        n_parameters=problem.n_par,
        rank=jacobian_spectrum(problem, profile.best_x).rank,
        degrees_of_freedom=freedom,
        best_chi2=profile.best_chi2,
        best_x=profile.best_x,
        p_value=verdict.p_value,
        in_tension=verdict.in_tension,
        verdict_code=verdict.code,
        sentence=verdict.sentence,
        identified_set=profile.identified_set,
        released_set=profile.released_set["0.95"],
        contains_reference=verdict.contains_reference,
        on_bounds=verdict.nuisances_on_bounds,
        c_mu_best=_best_c_mu(choice, problem, profile),
        c_mu=_feasible_c_mu(problem, profile, verdict.contains_reference, effort),
        checked=checked,
        is_inside=is_inside,
        multistart_chi2=_start_afresh(
            problem,
            checked,
            np.where(is_inside, profile.best_chi2 + LEVELS["0.95"], -np.inf),
            replace(effort, seed=effort.seed + 2),
        ),
        n_trusted=int(profile.trusted.sum()),
        n_grid=len(grid),
        seconds=time.perf_counter() - began,
    )
    return found if found.is_confirmed else replace(found, verdict_code="unreliable")


def compare_choices(
    choices: Sequence[Choice], model: VortexModel, grid: np.ndarray, *, reference: float, effort: Effort, jobs: int = 1
) -> tuple[ComparedResult, ...]:
    """Compare several closures, in parallel processes.

    Parameters
    ----------
    choices : sequence of Choice
    model, grid, reference, effort
        As for `compare_choice`.
    jobs : int
        Number of processes.
    """
    compare = partial(compare_choice, model=model, grid=grid, reference=reference, effort=effort)
    return tuple(map_ordered(compare, choices, jobs=jobs))


def _best_c_mu(choice: Choice, problem: LeastSquaresProblem, profile: ProfileResult) -> float:
    if "c_mu" in problem.names:
        return float(profile.best_x[problem.index("c_mu")])
    return SPIN_HALF_C if choice.moment == "spin_half" else math.nan


def _feasible_c_mu(
    problem: LeastSquaresProblem, profile: ProfileResult, contains: bool | None, effort: Effort
) -> IntervalSet | None:
    """95 % set of C_μ with β fixed at the reference value; empty where that value is excluded."""
    if "c_mu" not in problem.names or profile.best_chi2 >= CHI2_FLOOR:
        return None
    if not contains:
        return replace(EMPTY_SET, decided=contains is False)
    column = problem.index("c_mu")
    low, high = problem.lower[column], problem.upper[column]
    held = restrict(problem, fixed={"beta": float(profile.references[0])})
    grid = np.clip(np.geomspace(low, high, _N_C_MU), low, high)
    within = SetOptions(release=False)
    return scan_profile(held, "c_mu", grid, effort=effort, sets=within).identified_set["0.95"]


def _own_values(profile: ProfileResult, grid: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Values of β (3,), ascending, at which to check the 95 % set of a profile, and which of them lie in it."""
    found, (low, high) = profile.identified_set["0.95"], grid[[0, -1]]
    values = list(np.exp(rng.uniform(np.log(low), np.log(high), N_CHECKED)))
    if len(found.intervals):
        ends = found.intervals.clip(low, high)
        values[0] = float(np.sqrt(ends[0, 0] * ends[0, 1]))
        beside = (found.intervals[0, 0] * (1 - _BEYOND), found.intervals[-1, 1] * (1 + _BEYOND))
        for row, value in enumerate(beside):
            values[1 + row] = value if low < value < high else values[1 + row]
    checked = np.sort(values)
    return checked, np.array([found.contains(value) for value in checked])


def _start_afresh(problem: LeastSquaresProblem, beta: np.ndarray, wanted: np.ndarray, effort: Effort) -> np.ndarray:
    """Lowest χ² from starts independent of the profile; up to 16 times as many starts until χ² reaches `wanted`."""
    found = np.full(len(beta), np.inf)
    for row, value in enumerate(beta):
        held = restrict(problem, fixed={"beta": float(value)})
        for n in (effort.n_starts, 4 * effort.n_starts, 11 * effort.n_starts):
            again = run_multistart(held, effort=replace(effort, n_starts=n, seed=effort.seed + n))
            found[row] = min(found[row], float(np.nanmin(again.chi2)))
            if found[row] <= max(wanted[row], CHI2_FLOOR) or not np.isfinite(wanted[row]):
                break
    return found
