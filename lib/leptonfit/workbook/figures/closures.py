"""Figures that compare closures, and of the coverage of intervals."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.axes import Axes
from scipy.stats import chi2 as chi2_distribution

from leptonfit.inference.coverage import NOMINAL
from leptonfit.inference.intervals import LEVELS
from leptonfit.workbook.figures.style import BLUE, GREEN, GREY, ORANGE, RED

if TYPE_CHECKING:
    from leptonfit.inference.coverage import CoverageResult
    from leptonfit.vortex.comparison import ComparedResult


def plot_forest(ax: Axes, compared: Sequence[ComparedResult], low: float, high: float, reference: float) -> Axes:
    """Identified sets of β by closure: thick 68 %, thin 95 %, arrows at open ends; hollow where nothing fits."""
    for row, one in enumerate(compared):
        said = {"unreliable": "cannot be told", "rejected": "rejected", "empty": "empty"}.get(one.verdict_code)
        if said is not None:
            ax.annotate(
                f"{said} (lowest χ² {one.best_chi2:.2g})",
                (low, row),
                xytext=(6, 0),
                textcoords="offset points",
                va="center",
                fontsize=7,
                color=GREY,
            )
            continue
        colour = GREEN if one.determines else BLUE if one.fits else RED
        for level, width in (("0.95", 1.4), ("0.68", 4.5)):
            for a, b in one.identified_set[level].intervals:
                left, right = max(a, low), min(b, high)
                ax.plot(
                    [left, right],
                    [row, row],
                    color=colour,
                    lw=width,
                    alpha=1 if one.fits else 0.5,
                    solid_capstyle="butt",
                )
                if level == "0.95":
                    for end, is_open, marker in ((left, a < left, "<"), (right, b > right, ">")):
                        ax.plot(end, row, marker if is_open else "|", color=colour, ms=6, mfc=colour)
        if not one.fits:
            ends = one.identified_set["0.95"].intervals.clip(low, high)
            middle = float(np.sqrt(ends[0, 0] * ends[0, 1]))
            ax.plot(middle, row, "x", color=RED, ms=6, mew=1.4)
    for label, colour, marker in (
        ("fits, β open", BLUE, "s"),
        ("fits, β determined", GREEN, "s"),
        ("in tension", RED, "x"),
    ):
        ax.plot([], [], marker, color=colour, label=label)
    ax.axvline(reference, color=GREY, ls=":", label=f"reference {reference:.6g}")
    ax.set_xscale("log")
    ax.set_xlim(low / 1.15, high * 1.15)
    ax.set_ylim(len(compared) - 0.4, -0.6)
    ax.set_yticks(range(len(compared)), [one.name for one in compared], fontsize=7)
    ax.set_xlabel(r"$\beta$ (dimensionless): 68 % thick, 95 % thin")
    ax.legend(loc="lower left", bbox_to_anchor=(-0.75, 1.005), ncols=4, borderaxespad=0, fontsize=7.5)
    return ax


def plot_coverage(axes: Sequence[Axes], toys: CoverageResult) -> Sequence[Axes]:
    """Coverage in toys against nominal coverage at every level of Δχ², and the difference with its binomial error."""
    left, right = axes
    excess = toys.delta_chi2[: toys.n_toys]
    nominal = np.linspace(0.005, 0.995, 199)
    levels = chi2_distribution.ppf(nominal, 1)
    found = np.searchsorted(excess, levels, side="right") / len(toys.delta_chi2)
    error = np.sqrt(nominal * (1 - nominal) / len(toys.delta_chi2))
    left.plot([0, 1], [0, 1], color=GREY, lw=0.8, ls="--", label="nominal")
    left.plot(nominal, found, color=BLUE, label=f"{len(toys.delta_chi2):,} toys")
    left.set_xlabel("nominal coverage")
    left.set_ylabel("coverage found")
    left.legend(loc="upper left")
    right.fill_between(nominal, -200 * error, 200 * error, color=GREY, alpha=0.2, lw=0, label="±2 binomial errors")
    right.plot(nominal, 100 * (found - nominal), color=BLUE)
    for level, marker in zip(LEVELS, "so", strict=True):
        low, high = toys.interval(level)
        at = toys.n_covered(level) / len(toys.delta_chi2)
        right.errorbar(
            NOMINAL[level],
            100 * (at - NOMINAL[level]),
            yerr=[[100 * (at - low)], [100 * (high - at)]],
            fmt=marker,
            color=ORANGE,
            capsize=3,
            label=f"{100 * float(level):.0f} %: {at:.4f}",
        )
    right.axhline(0, color=GREY, lw=0.8, ls="--")
    right.set_xlabel("nominal coverage")
    right.set_ylabel("difference (percentage points)")
    right.legend(loc="lower left", fontsize=7.5)
    return axes
