"""Tables of fits: starts, profiles, sets and the bounds that hold their ends."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from leptonfit.datafiles import ROOT
from leptonfit.inference.active_bounds import describe_bounds
from leptonfit.inference.identifiability import verdict_code
from leptonfit.inference.multistart import format_chi2
from leptonfit.workbook.formats import from_records, percent, write_set
from leptonfit.workbook.parameters import notebook_names, upstream

if TYPE_CHECKING:
    from leptonfit.claims.december_2025.reported import ReportedOptimiserResult
    from leptonfit.inference.intervals import IntervalSet
    from leptonfit.inference.multistart import MultistartResult
    from leptonfit.inference.problem import LeastSquaresProblem, Parameter
    from leptonfit.inference.profile import ProfileResult
    from leptonfit.vortex.c_mu import CMuResult

_LARGEST_CHI2 = 1e9
"""Largest χ² at which an increase by one level of Δχ² is resolved; above it rounding errors dominate."""


def tabulate_notebooks() -> pd.DataFrame:
    """All notebooks in order, with the question of each and the notebooks whose results it reads."""
    rows = []
    for name in notebook_names():
        source = (ROOT / "notebooks" / f"{name}.py").read_text(encoding="utf-8", errors="replace")
        title = next((line for line in source.splitlines() if line.startswith("# # ")), "").removeprefix("# # ")
        rows.append({"notebook": name, "question": title, "reads": ", ".join(sorted(upstream(name))) or "the data"})
    return pd.DataFrame(rows)


def tabulate_figures(published: Mapping[str, Mapping[str, Any]]) -> pd.DataFrame:
    """Published figures with the notebook, the mark and the verdict each belongs to."""
    return pd.DataFrame(
        [
            {"figure": name, "from": ", ".join(one["parameters"]), "mark": one["mark"], "verdict": one["verdict"]}
            for name, one in published.items()
        ]
    )


def tabulate_starts(
    problem: LeastSquaresProblem, result: MultistartResult, reported: ReportedOptimiserResult
) -> pd.DataFrame:
    """End points of both solvers, one row for each start, for a CSV file."""
    return pd.DataFrame(result.x, columns=list(problem.names)).assign(
        chi2=result.chi2,
        converged=result.converged,
        reported_beta=reported.x[:, problem.index("beta")],
        reported_chi2=reported.chi2,
        reported_converged=reported.converged,
        reported_says=reported.message,
    )


def describe_holders(found: IntervalSet) -> str:
    """Describe the bounds of other parameters that hold the lowest and the highest end of a set."""
    said = []
    for place, ends in (("below", found.below[:1]), ("above", found.above[-1:])):
        said += [f"{place}: {describe_bounds(end.held_by)}" for end in ends if end.reason in ("box", "physical_other")]
    return "; ".join(said) or "nothing"


def describe_set(found: IntervalSet) -> str:
    """Describe a set of values as text."""
    return write_set(*found.intervals.ravel())


def tabulate_profile(problem: LeastSquaresProblem, profile: ProfileResult) -> pd.DataFrame:
    """Profile as numbers, one row for each point, for a CSV file."""
    return pd.DataFrame(profile.x, columns=list(problem.names)).assign(
        chi2_min=profile.chi2_min, trusted=profile.trusted, reproduced=profile.reproduced
    )


def tabulate_c_mu(result: CMuResult, fitted: np.ndarray) -> pd.DataFrame:
    """Feasible intervals of C_μ and its fitted value, one row for each β, for a CSV file."""
    columns = {"beta": result.beta}
    for name in ("electron", "muon", "joint"):
        columns |= {f"{name}_low": getattr(result, name)[:, 0], f"{name}_high": getattr(result, name)[:, 1]}
    return pd.DataFrame({**columns, "fitted": fitted})


def tabulate_parameter_sets(problem: LeastSquaresProblem, profiles: Mapping[str, ProfileResult]) -> pd.DataFrame:
    """Identified set of every parameter beside its bounds; no set if χ² is too large to resolve a level of Δχ²."""
    lowest = min(profile.best_chi2 for profile in profiles.values())
    if lowest > _LARGEST_CHI2:
        said = f"nothing fits: the lowest χ² is {format_chi2(lowest)}"
        return pd.DataFrame({"parameter": [parameter.symbol for parameter in problem.parameters], "95 % set": said})
    return from_records(
        [(parameter, profiles[parameter.name]) for parameter in problem.parameters],
        {
            "parameter": lambda one, profile: one.symbol,
            "bounds": (lambda one, profile: (one.lower, one.upper), "{:g} to {:g}"),
            "95 % set within the bounds": (
                lambda one, profile: profile.identified_set["0.95"].intervals,
                write_set,
                None,
            ),
            "search bounds released": (lambda one, profile: profile.released_set["0.95"].intervals, write_set, None),
            "verdict": lambda one, profile: verdict_code(profile.released_set["0.95"]),
            "share of the bounds": (_share, percent(".1f")),
        },
    )


def _share(parameter: Parameter, profile: ProfileResult) -> float:
    """Fraction of a parameter's range covered by its 95 % set, in the logarithm if the lower bound is positive."""
    ends = np.clip(profile.identified_set["0.95"].intervals, parameter.lower, parameter.upper)
    scale = np.log if parameter.lower > 0 else np.asarray
    return float((scale(ends[:, 1]) - scale(ends[:, 0])).sum() / (scale(parameter.upper) - scale(parameter.lower)))
