"""The workbook's one style for figures, and marks that several of them share."""

from __future__ import annotations

from pathlib import Path

import matplotlib.pyplot as plt
from matplotlib.axes import Axes

BLUE, RED, GREEN, ORANGE, GREY = "#0072B2", "#D55E00", "#009E73", "#E69F00", "#6b7280"
"""Colours that stay apart for colour-blind readers (Okabe and Ito); shape or text always says the same."""


STYLE = Path(__file__).parents[1] / "leptonfit.mplstyle"


def use_style() -> None:
    """Use the workbook's one style for all figures that follow."""
    plt.style.use(STYLE)


def note(ax: Axes, text: str, x: float, y: float, *, ha: str) -> None:
    """Small grey text just above a point."""
    ax.annotate(text, (x, y), xytext=(0, 4), textcoords="offset points", ha=ha, fontsize=8, color=GREY)


def bar(ax: Axes, row: int, a: float, b: float, low: float, high: float) -> None:
    """A row of the interval [a, b] as far as it lies in [low, high], with arrows at open ends."""
    left, right = max(a, low), min(b, high)
    ax.plot([left, right], [row, row], color=GREEN, lw=5, alpha=0.5, solid_capstyle="butt")
    for end, is_open, marker in ((left, a < left, "<"), (right, b > right, ">")):
        ax.plot(end, row, marker if is_open else "|", color=GREEN, ms=9, mew=2)
