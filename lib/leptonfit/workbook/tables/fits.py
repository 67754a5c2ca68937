"""Tables of fits: parameters, pulls, profiles, sets, directions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from IPython.display import HTML

from leptonfit.claims.december_2025.reported import ReportedOptimiserResult
from leptonfit.datafiles import ROOT
from leptonfit.inference.active_bounds import describe_bounds
from leptonfit.inference.identifiability import DirectionsResult, verdict_code
from leptonfit.inference.intervals import IntervalSet
from leptonfit.inference.multistart import MultistartResult, format_chi2
from leptonfit.inference.problem import LeastSquaresProblem, Parameter
from leptonfit.inference.profile import ProfileResult
from leptonfit.vortex.measurements import QUANTITIES, Measurements
from leptonfit.workbook.parameters import notebook_names, upstream

_LARGEST_CHI2 = 1e9
"""Largest χ² at which an increase by one level of Δχ² is resolved; above it rounding errors dominate."""


def show(table: pd.DataFrame) -> HTML:
    """Show a table in a notebook as plain HTML, which is identical on every execution."""
    return HTML(table.to_html(index=False, border=0))


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


def tabulate_errors(measurements: Measurements, *, sigma_m_model: float, sigma_g_model: float) -> pd.DataFrame:
    """Model errors beside experimental errors, in the unit of each quantity, and which of the two is smaller."""
    sigma_exp = np.sqrt(np.diag(measurements.covariance))
    sigma_model = np.concatenate([sigma_m_model * measurements.values[:3], np.full(2, sigma_g_model)])
    return pd.DataFrame(
        {
            "quantity": QUANTITIES,
            "value": [f"{value:.15g}" for value in measurements.values],
            "experimental error": [f"{sigma:.2e}" for sigma in sigma_exp],
            "model error": [f"{sigma:.2e}" for sigma in sigma_model],
            "model finer than measurement": np.where(sigma_model < sigma_exp, "yes", "no"),
        }
    )


def tabulate_parameters(problem: LeastSquaresProblem, x: np.ndarray) -> pd.DataFrame:
    """Parameters x (n_par,) with their bounds, and which of them lie on a bound."""
    return pd.DataFrame(
        {
            "parameter": [parameter.symbol or parameter.name for parameter in problem.parameters],
            "value": [f"{value:.8g}" for value in x],
            "lower bound": [f"{value:g}" for value in problem.lower],
            "upper bound": [f"{value:g}" for value in problem.upper],
            "on a bound": np.where(problem.on_bounds(x), "yes", "no"),
        }
    )


def tabulate_pulls(problem: LeastSquaresProblem, x: np.ndarray) -> pd.DataFrame:
    """Residuals at x (n_par,), in units of their errors."""
    return pd.DataFrame({"quantity": problem.residual_names, "pull": [f"{pull:+.2e}" for pull in problem.residuals(x)]})


def tabulate_optimisers(result: MultistartResult, reported: ReportedOptimiserResult) -> pd.DataFrame:
    """End points of each solver: χ², how many the solver reports as converged, and how many are stationary."""
    n_starts = len(result.chi2)
    rows = (
        ("this solver", result.chi2, None, result.converged),
        ("report's optimiser", reported.chi2, reported.claims_success, reported.converged),
    )
    return pd.DataFrame(
        [
            {
                "solver": solver,
                "lowest χ²": format_chi2(float(np.nanmin(chi2))),
                "median χ²": format_chi2(float(np.nanmedian(chi2))),
                "says converged": "does not count" if says is None else f"{np.count_nonzero(says)} of {n_starts}",
                "is stationary": f"{np.count_nonzero(stationary)} of {n_starts}",
            }
            for solver, chi2, says, stationary in rows
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


def tabulate_sets(profile: ProfileResult) -> pd.DataFrame:
    """Sets at each level, with given and with released search bounds; for each end, the reason and the bounds."""
    return pd.DataFrame(
        [
            {
                "level": level,
                "bounds": bounds,
                "set": describe_set(found),
                "reason below": found.reason_below or "",
                "reason above": found.reason_above or "",
                "held by": describe_holders(found),
                "decided": "yes" if found.decided else "no",
            }
            for bounds, sets in (("as given", profile.identified_set), ("released", profile.released_set))
            for level, found in sets.items()
        ]
    )


def describe_holders(found: IntervalSet) -> str:
    """Describe the bounds of other parameters that hold the lowest and the highest end of a set."""
    said = []
    for place, ends in (("below", found.below[:1]), ("above", found.above[-1:])):
        said += [f"{place}: {describe_bounds(end.held_by)}" for end in ends if end.reason in ("box", "physical_other")]
    return "; ".join(said) or "nothing"


def tabulate_holders(profile: ProfileResult) -> pd.DataFrame:
    """Every bound that holds an end of a set within the given bounds, and the shift of the end per unit of bound."""
    rows = [
        {
            "level": level,
            "end": f"{value:.7f}",
            "reason": end.reason,
            "bound": str(bound),
            "kind": "physical" if bound.is_physical else "search",
            "shift of the end per unit of the bound": f"{bound.shift:+.3g}",
        }
        for level, found in profile.identified_set.items()
        for (low, high), ends in zip(found.intervals, zip(found.below, found.above, strict=True), strict=True)
        for value, end in zip((low, high), ends, strict=True)
        for bound in end.held_by
    ]
    return pd.DataFrame(rows) if rows else pd.DataFrame({"bounds": ["no bound of another parameter moves an end"]})


def describe_set(found: IntervalSet) -> str:
    """Describe a set of values as text."""
    ends = [
        f"{'open' if low == -np.inf else f'{low:.7f}'} to {'open' if high == np.inf else f'{high:.7f}'}"
        for low, high in found.intervals
    ]
    return "; ".join(ends) or "none"


def tabulate_profiles(profiles: Mapping[str, ProfileResult]) -> pd.DataFrame:
    """Largest χ²_min and 95 % set of several profiles, one row for each profile."""
    return pd.DataFrame(
        [
            {
                "profile": name,
                "largest χ²_min": format_chi2(float(np.nanmax(profile.chi2_min))),
                "95 % set": describe_set(profile.identified_set["0.95"]),
            }
            for name, profile in profiles.items()
        ]
    )


def tabulate_profile(problem: LeastSquaresProblem, profile: ProfileResult) -> pd.DataFrame:
    """Profile as numbers, one row for each point, for a CSV file."""
    return pd.DataFrame(profile.x, columns=list(problem.names)).assign(
        chi2_min=profile.chi2_min, trusted=profile.trusted, reproduced=profile.reproduced
    )


def tabulate_parameter_sets(problem: LeastSquaresProblem, profiles: Mapping[str, ProfileResult]) -> pd.DataFrame:
    """Identified set of every parameter beside its bounds; no set if χ² is too large to resolve a level of Δχ²."""
    lowest = min(profile.best_chi2 for profile in profiles.values())
    if lowest > _LARGEST_CHI2:
        said = f"nothing fits: the lowest χ² is {format_chi2(lowest)}"
        return pd.DataFrame({"parameter": [parameter.symbol for parameter in problem.parameters], "95 % set": said})
    return pd.DataFrame(
        [
            {
                "parameter": parameter.symbol,
                "bounds": f"{parameter.lower:g} to {parameter.upper:g}",
                "95 % set within the bounds": describe_set(profiles[parameter.name].identified_set["0.95"]),
                "search bounds released": describe_set(profiles[parameter.name].released_set["0.95"]),
                "verdict": verdict_code(profiles[parameter.name].released_set["0.95"]),
                "share of the bounds": f"{100 * _share(parameter, profiles[parameter.name]):.1f} %",
            }
            for parameter in problem.parameters
        ]
    )


def _share(parameter: Parameter, profile: ProfileResult) -> float:
    """Fraction of a parameter's range covered by its 95 % set, in the logarithm if the lower bound is positive."""
    ends = np.clip(profile.identified_set["0.95"].intervals, parameter.lower, parameter.upper)
    scale = np.log if parameter.lower > 0 else np.asarray
    return float((scale(ends[:, 1]) - scale(ends[:, 0])).sum() / (scale(parameter.upper) - scale(parameter.lower)))


def tabulate_directions(problem: LeastSquaresProblem, directions: DirectionsResult) -> pd.DataFrame:
    """Directions that change no residual: response of the dependent parameters to each free parameter, in per cent."""
    symbols = {parameter.name: parameter.symbol for parameter in problem.parameters}
    table = pd.DataFrame(
        [[f"{value:+.3g}" for value in row] for row in directions.response],
        columns=[symbols[name] for name in directions.dependent],
    )
    table.insert(0, "move by 1 %", [symbols[name] for name in directions.free])
    return table
