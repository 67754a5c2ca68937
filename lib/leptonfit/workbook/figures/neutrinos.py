"""Figures of neutrino spectra and of limits on magnetic moments."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import cycle
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from leptonfit.inference.constructions import CONSTRUCTIONS
from leptonfit.inference.limits import DELTA_CHI2
from leptonfit.neutrino.likelihood import to_moment
from leptonfit.neutrino.published import CONFIDENCE
from leptonfit.neutrino.sheets import FLAVOUR_CLASSES
from leptonfit.workbook.figures.style import BLUE, GREEN, GREY, ORANGE, RED

if TYPE_CHECKING:
    import pandas as pd

    from leptonfit.neutrino.data_limits import DataLimitsResult
    from leptonfit.neutrino.experiments import ResponsePoints
    from leptonfit.neutrino.flux import Flux
    from leptonfit.neutrino.likelihood import ComparedSpectrumResult
    from leptonfit.neutrino.published import PublishedResult
    from leptonfit.neutrino.simulation import TuningResult
    from leptonfit.neutrino.spectra import SpectrumResult
    from leptonfit.neutrino.threshold_scan import CoherenceResult, ThresholdScanResult

_CLASS_COLOURS = dict(zip(FLAVOUR_CLASSES, (BLUE, ORANGE, GREEN, "#56B4E9", RED, GREY, "black"), strict=True))
_NAMES = {
    "reactor": "reactor",
    "pp": "pp",
    "Be7_384": "⁷Be 0.384",
    "Be7_861": "⁷Be 0.861",
    "pep": "pep",
    "N13": "¹³N",
    "O15": "¹⁵O",
    "B8": "⁸B",
    "hep": "hep",
    "nu_mu": "ν_μ",
    "nu_mu_bar": "ν̄_μ",
    "nu_e": "ν_e",
}
_CONSTRUCTION_COLOURS = (BLUE, GREEN, RED, ORANGE)


def plot_published(ax: Axes, limits: pd.DataFrame, found: PublishedResult) -> Axes:
    """Published limits by flavour class and year, with the middle and the prediction interval of each class."""
    row, ticks = 0, []
    for name, colour in _CLASS_COLOURS.items():
        group = limits[limits["flavour_class"] == name].sort_values("year", kind="stable")
        if group.empty:
            continue
        first = row
        for one in group.itertuples():
            used = one.name in found.used.get(name, ())
            marker = "x" if one.disputed else "s"
            face = "none" if one.mark == "textbook" else colour
            ax.plot(one.limit * 1e-11, row, marker, color=colour, mfc=face, alpha=1 if used or one.disputed else 0.75)
            ax.annotate(
                "",
                (one.limit * 1e-11 / 1.5, row),
                (one.limit * 1e-11, row),
                arrowprops={"arrowstyle": "->", "color": colour, "lw": 1.2 if used else 0.5},
            )
            more = [f"{100 * one.confidence:g} %"] if not math.isclose(one.confidence, CONFIDENCE) else []
            more += ["disputed"] if one.disputed else []
            ticks.append(one.name + (f" ({', '.join(more)})" if more else ""))
            row += 1
        if name in found.classes:
            meta = found.classes[name]
            low, high = 1e-11 * 10**meta.prediction
            ax.fill_betweenx([first - 0.4, row - 0.6], low, high, color=colour, alpha=0.12, lw=0)
            ax.plot([1e-11 * 10**meta.mean] * 2, [first - 0.4, row - 0.6], color=colour, lw=1, ls="--")
        ax.annotate(
            FLAVOUR_CLASSES[name],
            (1, (first + row - 1) / 2),
            xycoords=("axes fraction", "data"),
            xytext=(6, 0),
            textcoords="offset points",
            va="center",
            fontsize=8,
            color=colour,
        )
        row += 1
        ticks.append("")
    ax.set_xscale("log")
    ax.set_ylim(row - 1.2, -0.8)
    ax.set_yticks(range(len(ticks)), ticks, fontsize=7.5)
    ax.tick_params(axis="y", length=0)
    ax.set_xlabel(r"upper limit, at 90 % unless stated ($\mu_B$)")
    ax.plot([], [], "s", color=GREY, label="checked against its source")
    ax.plot([], [], "s", color=GREY, mfc="none", label="quoted from memory")
    ax.plot([], [], "x", color=GREY, label="disputed")
    ax.plot([], [], color=GREY, ls="--", label="middle of the class; shaded: a further experiment, 95 %")
    ax.legend(loc="lower center", bbox_to_anchor=(0.4, 1.0), ncols=2, fontsize=7.5)
    return ax


def plot_fluxes(axes: Sequence[Axes], sources: Mapping[str, Sequence[Flux]]) -> Sequence[Axes]:
    """Flux spectra of each kind of source, one panel each; line sources are drawn as stems of the total flux."""
    for ax, (title, several) in zip(axes, sources.items(), strict=True):
        top = 0.0
        for i, one in enumerate(several):
            colour = f"C{i}" if i < 7 else GREY
            if one.density is None:
                ax.plot([one.line] * 2, [one.total * 1e-8, one.total], color=colour, lw=1, label=_NAMES[one.name])
                ax.plot(one.line, one.total, "^", color=colour, ms=4)
                top = max(top, one.total)
                continue
            energy = np.geomspace(one.edges[0] * 10, one.edges[-1], 400)
            spectrum = one.spectrum(energy)
            ax.plot(energy, np.where(spectrum > 0, spectrum, np.nan), color=colour, label=_NAMES[one.name])
            top = max(top, float(spectrum.max()))
        ax.set_xscale("log")
        ax.set_yscale("log")
        ax.set_ylim(top * 1e-8 if len(several) > 3 else top * 1e-4, top * 4)
        ax.set_xlim(0.01 if title != "stopped pions" else 1, None)
        ax.set_title(title)
        ax.set_xlabel("neutrino energy (MeV)")
        if len(several) > 1:
            ax.legend(fontsize=6.5, ncols=2, loc="lower left")
    axes[0].set_ylabel("per MeV and cm² (lines: per cm²)")
    return axes


def plot_recoils(
    axes: Sequence[Axes], spectra: Sequence[SpectrumResult], titles: Sequence[str], mu: float
) -> Sequence[Axes]:
    """Recoil spectra before detector effects: weak, and magnetic at `mu` (μ_B); line style shows the channel."""
    factor = float((mu / to_moment(1.0)) ** 2)
    for ax, one, title in zip(axes, spectra, titles, strict=False):
        for channel, style in zip(one.recoil, ("-", ":"), strict=False):
            recoil = one.recoil[channel]
            label = channel if len(one.recoil) > 1 else ""
            for rate, colour, what in ((one.weak_rate, GREY, "weak"), (one.magnetic_rate, BLUE, "magnetic")):
                scale = factor if what == "magnetic" else 1.0
                ax.plot(recoil, scale * rate[channel], color=colour, ls=style, label=f"{what} {label}".strip())
        recoils = np.concatenate(list(one.recoil.values()))
        if recoils.max() > 20 * recoils.min():
            ax.set_xscale("log")
        ax.set_yscale("log")
        ax.set_title(title, fontsize=9)
        ax.set_xlabel("recoil (MeV)", fontsize=8)
        ax.tick_params(which="both", labelsize=7)
        ax.legend(fontsize=6.5)
    for ax in axes[: len(spectra) : 4]:
        ax.set_ylabel("recoils per MeV", fontsize=8)
    for ax in axes[len(spectra) :]:
        ax.set_axis_off()
    return axes


class SpectrumPanels:
    """Panels of data against expectations, and of residuals below; `update` shows another data set or moment.

    Parameters
    ----------
    axes : tuple of Axes
        The upper and the lower one, with a common axis of energy.
    labels : sequence of str
        Names of the expectations, the one at θ = 0 first.
    """

    def __init__(self, axes: tuple[Axes, Axes], labels: Sequence[str]) -> None:
        self.axes = top, below = axes
        (self.bars,) = top.plot([], [], "-", color="black", lw=0.8)
        (self.points,) = top.plot([], [], "o", color="black", ms=2.5, label="data")
        self.curves = [
            top.stairs([0], [0, 1], color=colour, ls=style, lw=1.3, label=label, baseline=None)
            for label, colour, style in zip(labels, (GREY, BLUE, RED), ("-", "-", "--"), strict=False)
        ]
        below.axhline(0, color=GREY, lw=0.8)
        (self.pulls,) = below.plot([], [], "o", color="black", ms=2.5)
        self.shift = below.stairs([0], [0, 1], color=BLUE, lw=1, baseline=None)
        below.set_ylim(-3.9, 3.9)
        below.set_ylabel("residual/σ")
        top.set_xlabel("energy")
        top.xaxis.label.set_visible(False)  # the label is below the residuals
        top.tick_params(labelbottom=False)

    def update(self, compared: ComparedSpectrumResult) -> None:
        """Show another comparison, and fit the axes to it."""
        top, below = self.axes
        edges, middle = compared.edges, (compared.edges[1:] + compared.edges[:-1]) / 2
        low, high = compared.data - compared.errors, compared.data + compared.errors
        gaps = np.full(len(middle), np.nan)
        self.bars.set_data(np.repeat(middle, 3), np.stack([low, high, gaps], axis=1).ravel())
        self.points.set_data(middle, compared.data)
        self.points.set_label(f"{compared.mark} data")
        self.pulls.set_data(middle, compared.residuals)
        for points in (self.points, self.pulls):
            points.set_markerfacecolor("black" if compared.mark == "observed" else "white")
        for curve, expected in zip(self.curves, compared.expected, strict=True):
            curve.set_data(expected, edges)
        self.shift.set_data((compared.expected[1] - compared.expected[0]) / compared.errors, edges)
        reach = np.concatenate([low, high, compared.expected[:2].ravel()])
        bottom, height = np.nanmin(reach), np.nanmax(reach) - np.nanmin(reach)  # a missing limit gives a curve of nan
        top.set_ylim(bottom - 0.08 * height, bottom + 1.45 * height)
        rate = "events/(kt y)" if compared.unit in ("MeV", "bin") else "counts"
        top.set_ylabel(f"{rate} less background" if compared.subtracted else rate)
        energy = f"{'recoil' if compared.unit == 'MeV' else 'measured energy'} ({compared.unit})"
        below.set_xlabel("number of bin" if compared.unit == "bin" else energy)
        scale = "log" if compared.unit != "bin" and edges[-1] / edges[0] > 25 else "linear"
        for ax in self.axes:
            if ax.get_xscale() != scale:
                ax.set_xscale(scale)
            ax.set_xlim(edges[0], edges[-1])


def plot_compared(axes: tuple[Axes, Axes], compared: ComparedSpectrumResult, labels: Sequence[str]) -> SpectrumPanels:
    """Data against expectations, and the residuals below; `labels` names the expectations, the one at θ = 0 first."""
    panels = SpectrumPanels(axes, labels)
    panels.update(compared)
    axes[0].set_title(f"{compared.title} ({compared.mark})", fontsize=9)
    axes[0].legend(fontsize=6, ncols=2, loc="upper right")
    for ax in axes:
        ax.tick_params(labelsize=7)
        ax.yaxis.label.set_fontsize(7.5)
        ax.xaxis.label.set_fontsize(8)
    return panels


def plot_all_compared(
    figure: Figure, compared: Sequence[ComparedSpectrumResult], labels: Sequence[Sequence[str]]
) -> Figure:
    """Data with expectations and residuals, one panel for each data set, two in a row."""
    if not compared:
        return figure
    grid = figure.add_gridspec(-(-len(compared) // 2), 2)
    for i, (one, names) in enumerate(zip(compared, labels, strict=True)):
        inner = grid[i // 2, i % 2].subgridspec(2, 1, height_ratios=[3, 1.2], hspace=0.05)
        top = figure.add_subplot(inner[0])
        plot_compared((top, figure.add_subplot(inner[1], sharex=top)), one, names)
    return figure


def plot_delta_chi2(ax: Axes, found: Sequence[DataLimitsResult]) -> Axes:
    """Δχ²(θ) of every data set, with θ in units of its expected error."""
    for i, one in enumerate(found):
        ax.plot(one.theta / one.limits.sigma, one.delta_chi2, color=f"C{i % 10}", label=one.title)
    for rise in DELTA_CHI2:
        ax.axhline(rise, color=GREY, lw=0.6, ls=":")
        ax.annotate(
            f"{rise:g}", (1, rise), xycoords=("axes fraction", "data"), fontsize=7, color=GREY, va="bottom", ha="right"
        )
    ax.axvspan(ax.get_xlim()[0], 0, color=GREY, alpha=0.1, lw=0)
    ax.annotate("μ² < 0", (0.01, 0.03), xycoords="axes fraction", fontsize=8, color=GREY)
    ax.set_xlim(-3.2, 4.5)
    ax.set_ylim(0, 8)
    ax.set_xlabel(r"$\mu^2$ over its expected standard deviation")
    ax.set_ylabel(r"$\Delta\chi^2$ from the free best fit")
    ax.legend(fontsize=7.5)
    return ax


def plot_limits(ax: Axes, found: Sequence[DataLimitsResult], *, level: int = 0) -> Axes:
    """Limits by construction, with the expected CLs band and the published limit, one row for each data set.

    A dagger marks a limit outside the range of its approximation.
    """
    if not found:
        ax.set_axis_off()
        return ax
    shifts = dict(zip(CONSTRUCTIONS, np.linspace(-0.24, 0.24, len(CONSTRUCTIONS)), strict=True))
    colours = dict(zip(CONSTRUCTIONS, cycle(_CONSTRUCTION_COLOURS), strict=False))
    for row, one in enumerate(found):
        band = to_moment(one.limits.expected["cls"][level])
        for low, high, alpha in ((0, 4, 0.15), (1, 3, 0.3)):
            ax.fill_betweenx([row - 0.36, row + 0.36], band[low], band[high], color=GREY, alpha=alpha, lw=0)
        ax.plot([band[2]] * 2, [row - 0.36, row + 0.36], color=GREY, lw=1)
        for method, shift in shifts.items():
            marker, colour = CONSTRUCTIONS[method].marker, colours[method]
            value = one.moment_limit(method, level)
            if 0 < value < math.inf:
                ax.plot(value, row + shift, marker, color=colour, ms=5)
                if not one.limits.is_valid[method]:
                    ax.annotate(
                        "†",
                        (value, row + shift),
                        xytext=(3, 0),
                        textcoords="offset points",
                        fontsize=7,
                        va="center",
                        color=colour,
                    )
        toys = to_moment(one.toys.limit[level])
        if 0 < toys < math.inf:
            ax.plot(toys, row + shifts["fc"], "P", color=GREEN, ms=5)
        if not math.isnan(one.published) and math.isclose(one.published_confidence, one.limits.confidence[level]):
            ax.plot(one.published * 1e-11, row, "*", color="black", ms=8)
            ax.annotate(one.published_name, (one.published * 1e-11, row + 0.36), fontsize=6, ha="center", va="top")
    for method, colour in colours.items():
        ax.plot([], [], CONSTRUCTIONS[method].marker, color=colour, label=CONSTRUCTIONS[method].title)
    ax.plot([], [], "P", color=GREEN, label="Feldman–Cousins, toys")
    ax.plot([], [], "*", color="black", ms=8, ls="none", label="published")
    ax.fill_betweenx([], [], [], color=GREY, alpha=0.3, lw=0, label="expected CLs, ±1 and ±2 σ")
    names = [f"{one.title}\n{FLAVOUR_CLASSES[one.flavour_class]}" for one in found]
    ax.set_yticks(range(len(found)), names, fontsize=7)
    ax.set_ylim(len(found) - 0.45, -0.55)
    ax.set_xscale("log")
    percent = 100 * found[0].limits.confidence[level] if found else 90
    ax.set_xlabel(rf"upper limit on the effective moment at {percent:g} % ($\mu_B$); †: see text")
    ax.legend(loc="lower center", bbox_to_anchor=(0.35, 1.0), ncols=3, fontsize=7.5)
    return ax


def plot_nuisances(axes: tuple[Axes, Axes], found: Sequence[DataLimitsResult]) -> tuple[Axes, Axes]:
    """Pulls of the nuisance parameters that shift each best fit most, and the size of the shift."""
    left, right = axes
    rows = [(one, k) for one in found for k in range(min(3, len(one.nuisances.names)))]
    for row, (one, k) in enumerate(rows):
        several = one.nuisances
        colour = ORANGE if several.is_free[k] else BLUE
        left.errorbar(several.pulls[k], row, xerr=several.errors[k], fmt="o", color=colour, ms=3.5, capsize=2)
        right.barh(row, several.impacts[k] / one.limits.sigma, color=colour, height=0.6, alpha=0.7)
    left.axvspan(-1, 1, color=GREY, alpha=0.12, lw=0)
    for ax in axes:
        ax.axvline(0, color=GREY, lw=0.8)
        ax.set_ylim(len(rows) - 0.4, -0.6)
    left.set_yticks(range(len(rows)), [f"{one.title}: {one.nuisances.names[k]}" for one, k in rows], fontsize=7)
    right.set_yticks([])
    left.set_xlabel("pull (prior σ; free ones in 10 % steps)")
    right.set_xlabel(r"impact on $\hat\theta$ (its σ)")
    left.plot([], [], "o", color=BLUE, label="constrained")
    left.plot([], [], "o", color=ORANGE, label="free")
    left.legend(fontsize=7, loc="lower left", bbox_to_anchor=(0, 1.0), ncols=2)
    return axes


def plot_response(axes: tuple[Axes, Axes], points: ResponsePoints, curve: tuple[np.ndarray, np.ndarray]) -> None:
    """Calibration points with errors in both variables, and the true curve (recoil, ionisation) in keV."""
    left, right = axes
    given = points.columns
    left.errorbar(
        given["recoil"],
        given["ionisation"],
        given["ionisation_error"],
        given["recoil_error"],
        fmt="o",
        color="black",
        mfc="white",
        ms=3,
        lw=0.8,
        label=f"{points.mark} points",
    )
    left.plot(*curve, color=BLUE, label=f"Lindhard, k = {points.values['lindhard_k']:g}")
    left.set_xscale("log")
    left.set_yscale("log")
    left.set_xlabel("nuclear recoil in Ge (keV)")
    left.set_ylabel("ionisation (keV)")
    left.legend()
    shift = given["measured"] - points.values["scale"] * given["line"]
    error = np.hypot(given["measured_error"], points.values["scale"] * given["line_error"])
    right.errorbar(given["line"], 1e3 * shift, 1e3 * error, fmt="o", color="black", mfc="white", ms=3, lw=0.8)
    right.axhline(0, color=BLUE)
    right.set_xlabel("line energy (keV)")
    right.set_ylabel("measured less true (eV)")


def plot_thresholds(axes: Sequence[Axes], scans: Sequence[ThresholdScanResult]) -> Sequence[Axes]:
    """Observed and expected limits against the threshold, with the expected band; one panel for each data set."""
    for ax, one in zip(axes, scans, strict=False):
        for low, high, alpha in ((0, 4, 0.15), (1, 3, 0.3)):
            ax.fill_between(one.threshold, one.band[:, low], one.band[:, high], color=GREY, alpha=alpha, lw=0)
        ax.plot(one.threshold, one.expected[:, 0], color=GREY, label="expected")
        ax.plot(one.threshold, one.limit[:, 0], "o", color=BLUE, ms=2.8, label="observed")
        if one.curve:
            scale = one.energy[-1] / one.threshold[-1]
            ax.plot(one.curve.x / scale, np.exp(one.curve.y), color=RED, lw=0.8, ls="--", label="process")
            if not one.curve.bend_on_edge:
                ax.axvline(one.curve.bend / scale, color=RED, lw=0.6, ls=":")
        ax.set_yscale("log")
        ax.set_title(one.title, fontsize=9)
        ax.set_xlabel(f"threshold ({one.unit})", fontsize=8)
        ax.tick_params(which="both", labelsize=7)
        ax.legend(fontsize=6, loc="upper left")
    for ax in axes[: len(scans) : 4]:
        ax.set_ylabel(r"limit ($10^{-11}\,\mu_B$)", fontsize=8)
    for ax in axes[len(scans) :]:
        ax.set_axis_off()
    return axes


def plot_tuning(ax: Axes, found: Sequence[TuningResult]) -> Axes:
    """Expected limit against the factor on the background; open: as stated, filled: tuned to the published limit."""
    for i, one in enumerate(found):
        colour = f"C{i}"
        ax.plot(one.factors, one.expected, color=colour, label=f"{one.title}; dotted: {one.published_name}")
        ax.plot(1, one.as_stated, "o", color=colour, mfc="white")
        ax.plot(one.factor, one.tuned, "o", color=colour)
        ax.axhline(one.published, color=colour, lw=0.8, ls=":")
    ax.set_xscale("log")
    ax.set_yscale("log")
    ax.set_xlabel("factor on the stated background")
    ax.set_ylabel(r"expected CLs limit at 90 % ($10^{-11}\,\mu_B$)")
    ax.legend(fontsize=7.5)
    return ax


def plot_coherence(axes: tuple[Axes, Axes], found: CoherenceResult, claimed: Sequence[float]) -> tuple[Axes, Axes]:
    """Deviations from the expected curves on a common axis, and their coherence beside that of unrelated curves."""
    left, right = axes
    for i, (title, deviation) in enumerate(zip(found.titles, found.deviations, strict=True)):
        left.plot(found.u, deviation, color=f"C{i % 7}", label=title)
    left.axhline(0, color=GREY, lw=0.8)
    left.set_xlabel("share of the threshold range")
    left.set_ylabel("(observed − expected)/σ")
    left.legend(fontsize=6.5, ncols=2)
    right.hist(found.null, bins=40, color=GREY, alpha=0.5, label="unrelated experiments")
    right.axvline(found.coherence, color=BLUE, label=f"found, {found.coherence:.2f}")
    right.axvline(claimed[0], color=RED, ls="--", label=f"claimed, {claimed[0]:g} ± {claimed[1]:g}")
    right.set_xlabel("C_coh")
    right.set_ylabel("toys")
    right.legend(fontsize=7)
    return axes
