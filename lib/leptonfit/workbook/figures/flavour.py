"""Figures of mass states of solar neutrinos, and of limits on fundamental moments."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.axes import Axes

from leptonfit.workbook.figures.style import BLUE, GREEN, GREY, ORANGE, RED

if TYPE_CHECKING:
    from leptonfit.neutrino.flavour_fit import MomentFitResult

_COLOURS = (BLUE, ORANGE, GREEN)


def plot_solar_states(ax: Axes, energy: np.ndarray, shares: np.ndarray, survival: np.ndarray) -> Axes:
    """Shares of the three mass states in solar neutrinos, and survival of ν_e, against the energy.

    `energy` is (n,), MeV; `shares` are (3, n), and `survival` is (n,).
    """
    for i, (share, colour, style) in enumerate(zip(shares, _COLOURS, ("-", "--", ":"), strict=True)):
        ax.plot(energy, share, style, color=colour, label=rf"share of $\nu_{i + 1}$")
    ax.plot(energy, survival, "-.", color=GREY, label=r"survival of $\nu_e$")
    ax.set_xscale("log")
    ax.set_ylim(0, 1)
    ax.set_xlabel("neutrino energy (MeV), produced where ⁸B decays")
    ax.set_ylabel("probability at Earth")
    ax.legend(fontsize=7.5)
    return ax


def plot_moments(
    ax: Axes, fits: Mapping[str, MomentFitResult], published: Mapping[str, Sequence[float]] | None = None
) -> Axes:
    """Limits on each moment by the name of the data: alone (hollow) and with the others profiled (filled).

    `published` are limits, μ_B, on the moments of the fits with the same names.
    """
    row, ticks = 0, []
    for k, (title, fit) in enumerate(fits.items()):
        colour = (BLUE, ORANGE, GREEN, RED)[k % 4]
        for j, name in enumerate(fit.names):
            ax.plot(fit.profiled[j], row, "s", color=colour, ms=5)
            ax.plot(fit.alone[j], row, "o", color=colour, mfc="none", ms=9)
            if published and title in published:
                ax.plot(published[title][j], row, "*", color="black", ms=8)
            ticks.append(f"{title}: {name}")
            row += 1
    ax.set_xscale("log")
    ax.set_yticks(range(row), ticks, fontsize=7.5)
    ax.set_ylim(row - 0.4, -0.6)
    ax.set_xlabel(r"upper limit at 90 % ($\mu_B$)")
    ax.plot([], [], "s", color=GREY, label="others profiled")
    ax.plot([], [], "o", color=GREY, mfc="none", ms=9, label="all others 0")
    if published:
        ax.plot([], [], "*", color="black", ms=8, ls="none", label="published")
    ax.legend(fontsize=7.5)
    return ax
