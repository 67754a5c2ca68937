"""Style of all figures of the workbook, and drawing functions that several figures share."""

from __future__ import annotations

from pathlib import Path

import matplotlib.pyplot as plt
from matplotlib.axes import Axes

BLUE, RED, GREEN, ORANGE, GREY = "#0072B2", "#D55E00", "#009E73", "#E69F00", "#6b7280"
"""Colours that colour-blind readers can distinguish (Okabe and Ito); shape or text carries the same information."""


STYLE = ("default", str(Path(__file__).parents[1] / "leptonfit.mplstyle"))
"""Styles for `matplotlib.pyplot.style`: Matplotlib's defaults come first, so that no file of the user's matters."""


def use_style() -> None:
    """Apply the style of the workbook to all following figures."""
    plt.style.use(STYLE)


def note(ax: Axes, text: str, x: float, y: float, *, ha: str) -> None:
    """Write small grey text just above a point."""
    ax.annotate(text, (x, y), xytext=(0, 4), textcoords="offset points", ha=ha, fontsize=8, color=GREY)


def bar(ax: Axes, row: int, a: float, b: float, low: float, high: float) -> None:
    """Draw the part of the interval [a, b] inside [low, high] as a bar, with arrows at ends that lie outside."""
    left, right = max(a, low), min(b, high)
    ax.plot([left, right], [row, row], color=GREEN, lw=5, alpha=0.5, solid_capstyle="butt")
    for end, is_open, marker in ((left, a < left, "<"), (right, b > right, ">")):
        ax.plot(end, row, marker if is_open else "|", color=GREEN, ms=9, mew=2)
