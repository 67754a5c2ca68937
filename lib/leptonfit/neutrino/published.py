"""Combination of published limits by flavour class, to tell how much they differ beyond their sampling scatter.

A combination of upper limits is not an upper limit. It tells where the limits lie and how much they differ. Only limits
at 90 % that collaborations set in laboratories are combined: reanalyses use the same data, and limits at another
confidence or from stars are other quantities.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import pandas as pd

from leptonfit.inference.arguments import read_instance, read_number
from leptonfit.inference.meta import MetaResult, combine_estimates
from leptonfit.inference.result import Result
from leptonfit.neutrino.sheets import FLAVOUR_CLASSES

CONFIDENCE = 0.9
"""Confidence of the limits that are combined."""
ASTROPHYSICAL = "astrophysical"
"""Class that never enters a combination."""


@dataclass(frozen=True)
class PublishedResult(Result):
    """Combination of published limits by flavour class.

    Attributes
    ----------
    classes : dict of MetaResult
        Combined log10(μ/1e-11 μ_B) of each class with at least two experiments; √τ² is the spread in dex.
    used : dict of tuple of str
        Names of the limits used, by class: the latest limit of each experiment.
    alone : tuple of str
        Classes with a single experiment.
    left_out : dict of tuple of str
        Names of the limits that are not combined, by the reason.
    sigma_log10 : float
        Scatter of a limit between repetitions of the same experiment, dex.
    """

    classes: dict[str, MetaResult]
    used: dict[str, tuple[str, ...]]
    alone: tuple[str, ...]
    left_out: dict[str, tuple[str, ...]]
    sigma_log10: float


def select_latest(table: pd.DataFrame, *, include_disputed: bool = False) -> pd.DataFrame:
    """Latest limit of each experiment and flavour class; within the same year, the last row of the file.

    Earlier limits share data with the latest limit, and these data would be counted twice.
    """
    kept = table if include_disputed else table[~table["disputed"]]
    order = kept.assign(row=range(len(kept))).sort_values(["year", "row"])
    return order.drop_duplicates(["flavour_class", "experiment"], keep="last").drop(columns="row")


def combine_published(
    table: pd.DataFrame, *, sigma_log10: float, estimator: str = "REML", include_disputed: bool = False
) -> PublishedResult:
    """Random-effects combination of log10 μ_lim in each flavour class.

    Parameters
    ----------
    table : DataFrame
        Published limits from `load_published`.
    sigma_log10 : float
        Scatter of each limit, dex.
    estimator : str
        One of `ESTIMATORS`.
    include_disputed : bool
    """
    read_instance("table", table, pd.DataFrame)
    sigma_log10 = read_number("sigma_log10", sigma_log10, high=1e3)
    if not sigma_log10 > 0:
        raise ValueError(f"sigma_log10 = {sigma_log10:g}: must be above 0")
    read_instance("include_disputed", include_disputed, bool)
    is_in_stars = table["flavour_class"] == ASTROPHYSICAL
    is_reanalysis = ~is_in_stars & (table["kind"] == "reanalysis")
    is_other = ~is_in_stars & ~is_reanalysis & ~np.isclose(table["confidence"], CONFIDENCE)
    reasons = {"from stars": is_in_stars, "reanalyses": is_reanalysis, "at another confidence": is_other}
    left_out = {reason: tuple(table["name"][is_so]) for reason, is_so in reasons.items() if is_so.any()}
    latest = select_latest(table[~(is_in_stars | is_reanalysis | is_other)], include_disputed=include_disputed)
    classes, used, alone = {}, {}, []
    for name in FLAVOUR_CLASSES:
        group = latest[latest["flavour_class"] == name]
        if len(group) == 1:
            alone.append(name)
        if len(group) > 1:
            variances = np.full(len(group), sigma_log10**2)
            classes[name] = combine_estimates(np.log10(group["limit"]), variances, estimator=estimator)
            used[name] = tuple(group["name"])
    return PublishedResult(classes, used, tuple(alone), left_out, sigma_log10)


def describe_published(found: PublishedResult, table: pd.DataFrame) -> tuple[str, str]:
    """Verdict code and sentence on the differences between published limits.

    The code is `no_comparison` if no class has two limits to compare, `limits_differ` if Q has p < 0.05 in some class,
    else `limits_agree`.
    """
    limits = table.set_index("name")["limit"]
    parts = []
    for name, meta in found.classes.items():
        these = limits.loc[list(found.used[name])]
        spread = "no spread estimated"
        if not math.isnan(meta.spread):
            low, high = np.sqrt(meta.tau2_interval)
            spread = f"spread {meta.spread:.2f} dex ({low:.2f} to {high:.2f}) beyond a sampling scatter of "
            spread += f"{found.sigma_log10:g} dex"
        parts.append(
            f"{FLAVOUR_CLASSES[name]}: {meta.n} experiments from {these.min():g}e-11 to {these.max():g}e-11 μ_B, "
            f"{spread}"
        )
    if not found.classes:
        code, said = "no_comparison", "No flavour class has two limits to compare"
    elif any(meta.p_value < 0.05 for meta in found.classes.values()):
        code, said = (
            "limits_differ",
            (
                "Published limits of a flavour class differ by more than sampling scatter. This is expected, because "
                "sensitivities differ, and is no contradiction between experiments. "
            ),
        )
    else:
        code, said = "limits_agree", "Published limits differ by no more than sampling within any flavour class. "
    single = ", ".join(FLAVOUR_CLASSES[name] for name in found.alone)
    more = f" A single experiment, not combined: {single}." if single else ""
    others = "; ".join(f"{reason} {', '.join(names)}" for reason, names in found.left_out.items())
    more += f" Not combined either: {others}." if others else ""
    return code, f"{said}{'; '.join(parts)}.{more}"
