"""Tables that compare closures."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from leptonfit.inference.multistart import format_chi2
from leptonfit.inference.tension import format_p
from leptonfit.vortex.comparison import share_of_scan
from leptonfit.workbook.formats import Column, from_records, percent, write_set
from leptonfit.workbook.tables.fits import describe_holders

if TYPE_CHECKING:
    from leptonfit.vortex.comparison import ComparedResult

_UNKNOWN = "cannot be said"


def tabulate_comparison(compared: Iterable[ComparedResult]) -> pd.DataFrame:
    """Results of every closure in the same form, one row for each closure."""
    return from_records(
        compared,
        {
            "closure": "name",
            "constraints": "n_constraints",
            "parameters": "n_parameters",
            "rank": "rank",
            "68 % set of β": _set_column(lambda one: one.identified_set["0.68"]),
            "95 % set of β": _set_column(lambda one: one.identified_set["0.95"]),
            "held by": lambda one: (
                "" if one.verdict_code == "rejected" else describe_holders(one.identified_set["0.95"])
            ),
            "95 % set, search bounds released": _set_column(lambda one: one.released_set),
            "lowest χ²": ("best_chi2", format_chi2),
            "p": ("p_value", lambda p: format_p(p).removeprefix("= "), "not testable"),
            "verdict": "verdict_code",
            "fits": (_fits, None, _UNKNOWN),
            "contains the reference": (
                lambda one: None if one.verdict_code == "unreliable" else one.contains_reference,
                None,
                _UNKNOWN,
            ),
            "C_μ at the reference": (_c_mu, _write_c_mu, None, ("profiled", "at the lowest χ²")),
            "on bounds": lambda one: ", ".join(one.on_bounds) or "none",
            "fresh starts agree": ("is_confirmed", None, _UNKNOWN),
        },
    )


def tabulate_changes(compared: Sequence[ComparedResult], low: float, high: float) -> pd.DataFrame:
    """Closures with one change from the report's: allowed share of the scan, and the reason for each end of the set.

    Closures that fit come first, then the rows are sorted by this share.
    """
    single = [one for one in compared if len(one.choice.changed) == 1]

    def is_quoted(one: ComparedResult) -> bool:
        return one.verdict_code not in ("rejected", "unreliable", "empty")

    return from_records(
        sorted(single, key=lambda one: (not one.fits, share_of_scan(one, low, high))),
        {
            "change": lambda one: ", ".join(f"{axis}: {value}" for axis, value in one.choice.changed.items()),
            "verdict": "verdict_code",
            "fits": (_fits, None, _UNKNOWN),
            "95 % set of β": _set_column(lambda one: one.identified_set["0.95"]),
            "share of the scan": (
                lambda one: share_of_scan(one, low, high) if is_quoted(one) else np.nan,
                percent(".0f"),
            ),
            "ends below by": lambda one: one.identified_set["0.95"].reason_below if is_quoted(one) else "",
            "ends above by": lambda one: one.identified_set["0.95"].reason_above if is_quoted(one) else "",
            "held by": lambda one: describe_holders(one.identified_set["0.95"]) if is_quoted(one) else "",
            "parameters less constraints": lambda one: one.n_parameters - one.n_constraints,
        },
    )


def _fits(one: ComparedResult) -> bool | None:
    return None if one.verdict_code == "unreliable" else one.fits


def _set_column(read: Any) -> Column:
    """Column of a set, with no ends where the model is rejected or no statement is possible."""

    def ends(one: ComparedResult) -> np.ndarray:
        return np.empty(0) if one.verdict_code in ("unreliable", "rejected") else read(one).intervals

    return Column(ends, _write_set, missing=None, also=("verdict", "fits"))


def _write_set(verdict: str, fits: bool | None, *ends: float) -> str:
    if verdict == "unreliable":
        return _UNKNOWN
    if verdict == "rejected":
        return "none, rejected"
    text = write_set(*ends, form=".6g")
    return text if fits or text == "none" else f"{text}, in tension"


def _c_mu(one: ComparedResult) -> tuple[Any, ...]:
    return one.c_mu is not None, one.c_mu_best, *(() if one.c_mu is None else one.c_mu.intervals.ravel())


def _write_c_mu(is_profiled: bool, best: float, *ends: float) -> str:
    if is_profiled:
        return write_set(*ends)
    return "" if math.isnan(best) else f"{best:.5g} at the lowest χ²"
