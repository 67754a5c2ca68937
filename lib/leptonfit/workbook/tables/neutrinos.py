"""Tables of limits on magnetic moments."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from leptonfit.inference.constructions import CONSTRUCTIONS
from leptonfit.neutrino.likelihood import to_moment
from leptonfit.neutrino.sheets import FLAVOUR_CLASSES
from leptonfit.workbook.formats import from_records, percent

if TYPE_CHECKING:
    from leptonfit.neutrino.data_limits import DataLimitsResult

_INVALID = " †"
"""Mark of a limit whose approximation is not valid for the data set."""


def tabulate_data_limits(found: Sequence[DataLimitsResult]) -> pd.DataFrame:
    """Limits (μ_B) by every construction, expected and published, one row for each data set and confidence level.

    A dagger marks a limit outside the range of its approximation (`LimitsResult.is_valid`), a double dagger a published
    limit that is quoted from memory. A lower end is shown where it is above zero.
    """
    valid = ("", "approximation holds")
    band = ("", "low", "high", "approximation holds")
    columns: dict[str, Any] = {
        "data set": lambda level, one: one.title,
        "effective moment of": lambda level, one: FLAVOUR_CLASSES[one.flavour_class],
        "confidence": (lambda level, one: one.limits.confidence[level], percent("g")),
    }
    for key, construction in CONSTRUCTIONS.items():
        if construction.has_low_end:
            columns[construction.title] = (
                _interval_of(key),
                _write_interval,
                "",
                ("", "lower end", "approximation holds"),
            )
        else:
            columns[construction.title] = (_limit_of(key), _write_marked, "", valid)
    columns |= {
        "Feldman–Cousins, toys": (_toy_limit, _write, "too few", ("", "error")),
        "expected CLs, 68 % of repetitions": (
            lambda level, one: (*to_moment(one.limits.expected["cls"][level][[2, 1, 3]]), one.limits.is_valid["cls"]),
            lambda median, low, high, holds: f"{median:.3g} ({low:.3g} to {high:.3g})" + ("" if holds else _INVALID),
            "",
            band,
        ),
        "published": (_published, _write_published, "none", ("(1e-11 μ_B)", "by", "mark")),
    }
    return from_records([(level, one) for one in found for level in range(len(one.limits.confidence))], columns)


def _limit_of(key: str) -> Callable[[int, DataLimitsResult], tuple[float, bool]]:
    return lambda level, one: (one.moment_limit(key, level), bool(one.limits.is_valid[key]))


def _interval_of(key: str) -> Callable[[int, DataLimitsResult], tuple[float, float, bool]]:
    def interval(level: int, one: DataLimitsResult) -> tuple[float, float, bool]:
        low = float(to_moment(one.limits.low[key][level]))
        return one.moment_limit(key, level), low, bool(one.limits.is_valid[key])

    return interval


def _toy_limit(level: int, one: DataLimitsResult) -> tuple[float, float]:
    """Limit by toys and its error, in μ_B."""
    limit, above = to_moment(one.toys.limit[level] + np.array([0.0, one.toys.error[level]]))
    return float(limit), float(above - limit)


def _write(value: float, error: float = math.nan) -> str:
    if math.isinf(value):
        return "no limit"
    return (f"{value:.3g}" if math.isnan(error) else f"{value:.3g} ± {error:.1g}") if value > 0 else "excludes all"


def _write_marked(limit: float, holds: bool) -> str:
    return _write(limit) + ("" if holds else _INVALID)


def _write_interval(limit: float, low: float, holds: bool) -> str:
    return (f"{low:.3g} to " if low > 0 else "") + _write_marked(limit, holds)


def _published(level: int, one: DataLimitsResult) -> tuple[float, str, str]:
    if not math.isclose(one.limits.confidence[level], one.published_confidence):
        return math.nan, "", ""
    return one.published, one.published_name, one.published_mark


def _write_published(limit: float, name: str, mark: str) -> str:
    return f"{limit:g}e-11{' ‡' * (mark == 'textbook')} ({name})"


def tabulate_fits(found: Sequence[DataLimitsResult]) -> pd.DataFrame:
    """Best fits and goodness of fit, one row for each data set; θ = μ² in 1e-22 μ_B².

    p is from the χ² law if at least five counts are expected in every bin, else from toys.
    """
    rises = {
        f"Δχ² = {rise:g} (μ_B)": (lambda one, k=k: float(to_moment(one.limits.delta_chi2[k])), "{:.3g}")
        for k, rise in enumerate((1.64, 2.71, 3.84))
    }
    return from_records(
        found,
        {
            "data set": "title",
            "θ̂ (1e-22 μ_B²)": ("limits.theta_hat, limits.sigma", "{:.4g} ± {:.3g}"),
            "from zero": ("significance", "{:+.2f} σ"),
            "χ² at θ̂": ("limits.chi2_min", "{:.1f}"),
            "degrees of freedom": "goodness.dof",
            "p": ("goodness.p_value", "{:.2g}", "not testable"),
            "p from": lambda one: f"{one.goodness.n_toys} toys" if one.goodness.is_by_toys else "χ² law",
            **rises,
        },
    )
