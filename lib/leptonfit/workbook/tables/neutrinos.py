"""Tables of limits on magnetic moments."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from leptonfit.inference.limits import METHODS
from leptonfit.inference.meta import MetaResult
from leptonfit.neutrino.data_limits import DataLimitsResult
from leptonfit.neutrino.likelihood import to_moment
from leptonfit.neutrino.sheets import FLAVOUR_CLASSES
from leptonfit.neutrino.threshold_scan import CoherenceResult, SpreadResult, ThresholdScanResult
from leptonfit.workbook.formats import from_records, percent

_INVALID = " †"
"""Mark of a limit whose approximation is not valid for the data set."""


def tabulate_data_limits(found: Sequence[DataLimitsResult]) -> pd.DataFrame:
    """Limits (μ_B) by every construction, expected and published, one row for each data set and confidence level.

    A dagger marks a limit outside the range of its approximation (`LimitsResult.is_valid`).
    """
    valid = ("", "approximation holds")
    band = ("", "low", "high", "approximation holds")
    columns: dict[str, Any] = {
        "data set": lambda level, one: one.title,
        "effective moment of": lambda level, one: FLAVOUR_CLASSES[one.flavour_class],
        "counts": lambda level, one: "observed" if one.observed else "simulated",
        "confidence": (lambda level, one: one.limits.confidence[level], percent("g")),
    }
    for key, name in METHODS.items():
        columns[name] = (_limit_of(key), lambda limit, holds: _write(limit) + ("" if holds else _INVALID), "", valid)
    columns |= {
        "Feldman–Cousins, toys": (_toy_limit, _write, "too few", ("", "error")),
        "expected CLs, 68 % of repetitions": (
            lambda level, one: (*to_moment(one.limits.expected["cls"][level][[2, 1, 3]]), one.limits.is_valid["cls"]),
            lambda median, low, high, holds: f"{median:.3g} ({low:.3g} to {high:.3g})" + ("" if holds else _INVALID),
            "",
            band,
        ),
        "published": (_published, "{:g}e-11 ({})", "none", ("(1e-11 μ_B)", "by")),
    }
    return from_records([(level, one) for one in found for level in range(len(one.limits.confidence))], columns)


def _limit_of(key: str) -> Callable[[int, DataLimitsResult], tuple[float, bool]]:
    return lambda level, one: (one.moment_limit(key, level), bool(one.limits.is_valid[key]))


def _toy_limit(level: int, one: DataLimitsResult) -> tuple[float, float]:
    """Limit by toys and its error, in μ_B."""
    limit, above = to_moment(one.toys.limit[level] + np.array([0.0, one.toys.error[level]]))
    return float(limit), float(above - limit)


def _write(value: float, error: float = math.nan) -> str:
    if math.isinf(value):
        return "no limit"
    return (f"{value:.3g}" if math.isnan(error) else f"{value:.3g} ± {error:.1g}") if value > 0 else "excludes all"


def _published(level: int, one: DataLimitsResult) -> tuple[float, str]:
    if not math.isclose(one.limits.confidence[level], one.published_confidence):
        return math.nan, ""
    return one.published, one.published_name


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
            "counts": lambda one: "observed" if one.observed else "simulated",
            "θ̂ (1e-22 μ_B²)": ("limits.theta_hat, limits.sigma", "{:.4g} ± {:.3g}"),
            "from zero": ("significance", "{:+.2f} σ"),
            "χ² at θ̂": ("limits.chi2_min", "{:.1f}"),
            "degrees of freedom": "goodness.dof",
            "p": ("goodness.p_value", "{:.2g}", "not testable"),
            "p from": lambda one: f"{one.goodness.n_toys} toys" if one.goodness.is_by_toys else "χ² law",
            **rises,
        },
    )


def tabulate_limit_coverage(found: Sequence[DataLimitsResult]) -> pd.DataFrame:
    """Coverage of each construction with its interval, for each data set, true value and confidence level."""
    columns: dict[str, Any] = {
        "data set": 0,
        "true μ (μ_B)": (lambda title, level, toys: float(to_moment(toys.theta)), "{:.3g}"),
        "confidence": (lambda title, level, toys: toys.confidence[level], percent("g")),
        "toys": "n_toys",
    }
    for key, name in METHODS.items():

        def covered(title: str, level: int, toys: Any, key: str = key) -> tuple[float, float, float]:
            if toys.theta == 0 and key != "fc":
                return 1.0, math.nan, math.nan  # an upper limit always holds zero
            low, high = toys.interval(key, level)
            return toys.n_covered[key][level] / toys.n_toys, low, high

        columns[name] = (covered, _write_coverage, "", ("", "low", "high"), ("confidence",))
    return from_records(
        [(one.title, level, toys) for one in found for toys in one.coverage for level in range(len(toys.confidence))],
        columns,
    )


def _write_coverage(confidence: float, share: float, low: float, high: float) -> str:
    if math.isnan(low):
        return "100 %, by definition"
    said = "under" if high < confidence else "over" if low > confidence else "as said"
    return f"{100 * share:.1f} % ({said})"


def to_dex(meta: MetaResult) -> float:
    """Spread τ of a random-effects summary of logarithms, in powers of ten."""
    return math.sqrt(meta.tau2) / math.log(10)


def tabulate_threshold_claims(
    scans: Sequence[ThresholdScanResult],
    spreads: Mapping[str, Mapping[str, SpreadResult]],
    coherence: Mapping[str, CoherenceResult | None],
    claims: Mapping[str, Any],
) -> pd.DataFrame:
    """Claims of the report on thresholds and spreads, beside computed values."""
    claimed = claims["result"]
    limited = sum(len(one.threshold) for one in scans)
    curves = {one.title: one.curve for one in scans if one.curve}
    scales = [curve.length_scale for curve in curves.values()]
    bends = [f"{title} {curve.bend:.3g}" for title, curve in curves.items() if not curve.bend_on_edge]
    dex = [
        f"{counts}, {name}: {to_dex(one.limits):.2f}"
        for counts, several in spreads.items()
        for name, one in several.items()
    ]
    coherent = [
        f"{counts}: {one.coherence:.2f} (p = {one.p_value:.2g} if unrelated)"
        for counts, one in coherence.items()
        if one
    ]
    rows = [
        (
            "n_conditions",
            f"{claims['report']['n_conditions']}",
            f"{sum(one.attainable for one in scans)} attainable, {limited} set a limit",
        ),
        ("x_bend (keVee)", "{:g} ± {:g}".format(*claimed["x_bend"]), "; ".join(bends) or "no bend in any range"),
        (
            "tau_c (keVee)",
            "{:g} ± {:g}".format(*claimed["tau_c"]),
            f"{min(scales):.2g} to {max(scales):.3g}, by data set" if scales else "no curve",
        ),
        ("Delta_log10_mu", "{:g} ± {:g}".format(*claimed["delta_log10_mu"]), "; ".join(dex) or "one data set"),
        ("C_coh", "{:g} ± {:g}".format(*claimed["C_coh"]), "; ".join(coherent) or "no two curves"),
    ]
    return pd.DataFrame(rows, columns=["claim", "claimed", "computed"])
