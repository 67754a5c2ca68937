"""Tables that compare closures, of coverage, and of the model error estimated from the residuals."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import pandas as pd

from leptonfit.inference.coverage import NOMINAL, CoverageResult
from leptonfit.inference.intervals import IntervalSet
from leptonfit.inference.multistart import format_chi2
from leptonfit.inference.tension import format_p
from leptonfit.vortex.comparison import ComparedResult, share_of_scan
from leptonfit.vortex.sigma_model import SigmaModelResult
from leptonfit.workbook.tables.fits import describe_holders, describe_set

_WORDS = {True: "yes", False: "no", None: "cannot be said"}


def tabulate_comparison(compared: Sequence[ComparedResult]) -> pd.DataFrame:
    """Results of every closure in the same form, one row for each closure."""
    return pd.DataFrame(
        [
            {
                "closure": one.name,
                "constraints": one.n_constraints,
                "parameters": one.n_parameters,
                "rank": one.rank,
                "68 % set of β": _describe(one, one.identified_set["0.68"]),
                "95 % set of β": _describe(one, one.identified_set["0.95"]),
                "held by": "" if one.verdict_code == "rejected" else describe_holders(one.identified_set["0.95"]),
                "95 % set, search bounds released": _describe(one, one.released_set),
                "lowest χ²": format_chi2(one.best_chi2),
                "p": "not testable" if one.p_value is None else format_p(one.p_value).removeprefix("= "),
                "verdict": one.verdict_code,
                "fits": _WORDS[one.fits] if one.verdict_code != "unreliable" else _WORDS[None],
                "contains the reference": _WORDS[None if one.verdict_code == "unreliable" else one.contains_reference],
                "C_μ at the reference": _describe_c_mu(one),
                "on bounds": ", ".join(one.on_bounds) or "none",
                "fresh starts agree": _WORDS[one.is_confirmed],
            }
            for one in compared
        ]
    )


def tabulate_changes(compared: Sequence[ComparedResult], low: float, high: float) -> pd.DataFrame:
    """Closures with one change from the report's: allowed share of the scan, and the reason for each end of the set.

    Closures that fit come first, then the rows are sorted by this share.
    """
    single = [one for one in compared if len(one.choice.changed) == 1]
    rows = []
    for one in sorted(single, key=lambda one: (not one.fits, share_of_scan(one, low, high))):
        found, is_quoted = one.identified_set["0.95"], one.verdict_code not in ("rejected", "unreliable", "empty")
        rows.append(
            {
                "change": ", ".join(f"{axis}: {value}" for axis, value in one.choice.changed.items()),
                "fits": _WORDS[one.fits] if one.verdict_code != "unreliable" else _WORDS[None],
                "95 % set of β": _describe(one, found),
                "share of the scan": f"{100 * share_of_scan(one, low, high):.0f} %" if is_quoted else "",
                "ends below by": found.reason_below if is_quoted else "",
                "ends above by": found.reason_above if is_quoted else "",
                "held by": describe_holders(found) if is_quoted else "",
                "parameters less constraints": one.n_parameters - one.n_constraints,
            }
        )
    return pd.DataFrame(rows)


def tabulate_coverage(toys: CoverageResult) -> pd.DataFrame:
    """Nominal coverage and coverage in the toys, one row for each level."""
    return pd.DataFrame(
        [
            {
                "level": level,
                "nominal": f"{NOMINAL[level]:.4f}",
                "toys": len(toys.delta_chi2),
                "not converged": toys.n_failed,
                "covered": f"{toys.n_covered(level) / max(toys.n_toys, 1):.4f}",
                "95 % interval": "{:.4f} to {:.4f}".format(*toys.interval(level)),
                "within its error": _WORDS[toys.covers(level)],
            }
            for level in NOMINAL
        ]
    )


def tabulate_sigma_model(found: Mapping[str, SigmaModelResult]) -> pd.DataFrame:
    """Model error estimated from the residuals of each closure."""
    return pd.DataFrame([{"closure": name, "model error": one.describe()} for name, one in found.items()])


def _describe(one: ComparedResult, found: IntervalSet) -> str:
    """Describe a set with six digits, or state that the model is rejected or that no statement is possible."""
    if one.verdict_code == "unreliable":
        return _WORDS[None]
    if one.verdict_code == "rejected":
        return "none, rejected"
    ends = [
        f"{'open' if a == -math.inf else f'{a:.6g}'} to {'open' if b == math.inf else f'{b:.6g}'}"
        for a, b in found.intervals
    ]
    return ("; ".join(ends) or "none") + ("" if one.fits or not ends else ", in tension")


def _describe_c_mu(one: ComparedResult) -> str:
    if one.c_mu is None:
        return "" if one.c_mu_best != one.c_mu_best else f"{one.c_mu_best:.5g} at the lowest χ²"
    return describe_set(one.c_mu)
