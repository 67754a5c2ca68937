"""Figures of fits: profiles, multi-starts, maps, spectra, sweeps."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from leptonfit.claims.december_2025.reenactment import ReenactedMultiStartResult
from leptonfit.claims.december_2025.reported import RecomputedScan, ReportedOptimiserResult
from leptonfit.inference.contour import LEVEL_95, MapResult
from leptonfit.inference.identifiability import SpectrumResult
from leptonfit.inference.intervals import LEVELS
from leptonfit.inference.multistart import CHI2_FLOOR, MultistartResult, format_chi2
from leptonfit.inference.problem import LeastSquaresProblem
from leptonfit.inference.profile import ProfileResult
from leptonfit.inference.sigma_ladder import SigmaLadderResult
from leptonfit.vortex.c_mu import CMuResult
from leptonfit.vortex.certificate import CertifiedScanResult
from leptonfit.workbook.figures.style import BLUE, GREEN, GREY, RED, bar, note


def plot_profile(
    ax: Axes,
    problem: LeastSquaresProblem,
    profile: ProfileResult,
    *,
    claims: Sequence[RecomputedScan] = (),
    certified: CertifiedScanResult | None = None,
) -> Axes:
    """χ²_min along the scan, with the 95 % set, the reference value and the claimed minima inside the scan.

    Bars at the bottom show where `certified` proves that χ²_min is zero, or at least 3.84.

    Values below 1e-6 are numerical noise and are drawn at 1e-6.
    """
    label = problem.parameters[problem.index(profile.parameter)].label
    grid, low, high = profile.grid, profile.grid[0], profile.grid[-1]
    shown, trusted = np.maximum(profile.chi2_min, CHI2_FLOOR), profile.trusted
    for number, (a, b) in enumerate(profile.identified_set["0.95"].intervals):
        ax.axvspan(
            max(a, low),
            min(b, high),
            color=GREEN,
            alpha=0.13,
            lw=0,
            label="" if number else "95 % set, bounds as given",
        )
    ax.plot(grid[trusted], shown[trusted], "o-", color=BLUE, label=r"computed $\chi^2_{\min}$")
    if not trusted.all():
        ax.plot(grid[~trusted], shown[~trusted], "x", color=RED, ms=7, label="computed, not trusted")
    for reference in profile.references[:1]:
        if low <= reference <= high:
            ax.axvline(reference, color=GREY, ls=":", lw=1.2, label=f"reference {reference:.6g}")
    inside = [scan for scan in claims if low <= scan.claimed_beta_min <= high]
    for scan, marker in zip(inside, "sD^v", strict=False):
        at = (scan.claimed_beta_min, scan.claimed_chi2_min)
        text = f"claimed: {at[1]:,.0f} at {at[0]:g} ($\\sigma_m$ = {scan.sigma_m_model:.0e})"
        ax.plot(*at, marker, color=RED, mfc="none", mew=1.6, ms=8, ls="none", label=text)
    level = profile.best_chi2 + LEVELS["0.95"]
    ax.axhline(level, color=GREY, ls="--", lw=1)
    note(ax, "95 % level", high, level, ha="right")
    if (profile.chi2_min < CHI2_FLOOR).any():
        ax.axhline(CHI2_FLOOR, color=GREY, lw=0.8)
        note(ax, r"zero: $\chi^2 < 10^{-6}$", low, CHI2_FLOOR, ha="left")
    ax.set_yscale("log")
    heights = [level, *shown[np.isfinite(shown)], *(scan.claimed_chi2_min for scan in inside)]
    bottom = min(heights) / (6 if certified is None else 60)
    ax.set_ylim(bottom, max(heights) * 10)
    proven = (
        {}
        if certified is None
        else {
            r"proven: $\chi^2_{\min}=0$": (certified.intervals("zero"), GREEN, 5),
            r"proven: $\chi^2_{\min}\geq 3.84$": (certified.intervals("positive", level=LEVELS["0.95"]), GREY, 2.5),
        }
    )
    for text, (intervals, colour, width) in proven.items():
        for number, ends in enumerate(intervals):
            named = "" if number else text
            ax.plot(ends, [bottom * 4] * 2, color=colour, lw=width, solid_capstyle="butt", label=named)
    ax.set_xlim(low - 0.02 * (high - low), high + 0.02 * (high - low))
    ax.set_xlabel(f"{label} (dimensionless)")
    ax.set_ylabel(r"$\chi^2_{\min}$ (dimensionless)")
    ax.legend(loc="lower left", bbox_to_anchor=(0, 1.01), ncols=2, borderaxespad=0)
    return ax


def plot_nuisance_paths(axes: Sequence[Axes], problem: LeastSquaresProblem, profile: ProfileResult) -> Sequence[Axes]:
    """Every other parameter along the scan, one panel each; triangles mark points on a bound."""
    others = [j for j, name in enumerate(profile.names) if name != profile.parameter]
    scanned = problem.parameters[problem.index(profile.parameter)]
    for ax, j in zip(axes, others, strict=True):
        parameter, on_bound = problem.parameters[j], profile.on_bounds[:, j]
        values = profile.x[:, j]
        ax.plot(profile.grid, values, "-", color=BLUE)
        ax.plot(profile.grid[on_bound], values[on_bound], "^", color=RED, ms=4)
        ax.set_title(f"{parameter.label} in [{parameter.lower:g}, {parameter.upper:g}]", fontsize=8.5)
        middle, half = (np.nanmax(values) + np.nanmin(values)) / 2, (np.nanmax(values) - np.nanmin(values)) / 2
        half = max(1.15 * half, 0.01 * abs(middle))  # a constant parameter appears as a flat line
        ax.set_ylim(middle - half, middle + half)
        ax.tick_params(labelsize=8)
        ax.yaxis.set_major_locator(MaxNLocator(3))
    for ax in axes[-(len(axes) // 2) :]:
        ax.set_xlabel(scanned.label)
    return axes


def plot_sigma_ladder(ax: Axes, ladder: SigmaLadderResult) -> Axes:
    """The 95 % set of β for each model error, smallest error on top; arrows at open ends."""
    low, high = ladder.beta[0], ladder.beta[-1]
    rows = range(len(ladder.sigma_m_model))
    for row in rows:
        for a, b in ladder.identified_set[row].intervals:
            bar(ax, row, a, b, low, high)
        largest = format_chi2(float(np.nanmax(ladder.chi2_min[row])))
        text = f"{ladder.verdict_code[row].replace('_', ' ')}; largest $\\chi^2_{{\\min}}$ {largest}"
        ax.annotate(text, (low, row), xytext=(0, 8), textcoords="offset points", fontsize=8)
    ax.set_yticks(rows, [f"{m:.0e}, {g:.0e}" for m, g in zip(ladder.sigma_m_model, ladder.sigma_g_model, strict=True)])
    ax.set_ylim(len(rows) - 0.5, -0.7)
    ax.set_xlim(low - 0.04 * (high - low), high + 0.04 * (high - low))
    ax.set_ylabel(r"$\sigma_m$ (relative), $\sigma_g$ (absolute)")
    ax.set_xlabel(r"vacuum stiffness $\beta$ (dimensionless): 95 % set")
    return ax


def plot_waterfall(
    ax: Axes, result: MultistartResult, reported: ReportedOptimiserResult, *, claimed_chi2: float
) -> Axes:
    """Sorted χ² of every start by our solver and by the report's, with the best claimed χ²; at least 1e-6 is drawn."""
    rank = np.arange(1, len(result.chi2) + 1)
    ours = np.maximum(result.chi2, CHI2_FLOOR)
    ax.plot(rank[result.converged], ours[result.converged], "o-", color=BLUE, label="this solver, stationary")
    if not result.converged.all():
        ax.plot(rank[~result.converged], ours[~result.converged], "x", color=BLUE, label="this solver, not stationary")
    order = np.argsort(reported.chi2)
    theirs, stalled = np.maximum(reported.chi2[order], CHI2_FLOOR), ~reported.converged[order]
    ax.plot(rank, theirs, "-", color=RED, lw=1)
    ax.plot(rank[stalled], theirs[stalled], "s", color=RED, mfc="none", label="report's optimiser, not stationary")
    if not stalled.all():
        ax.plot(rank[~stalled], theirs[~stalled], "s", color=RED, label="report's optimiser, stationary")
    return _finish_waterfall(ax, len(rank), claimed_chi2)


def plot_recorded_waterfall(
    ax: Axes, result: MultistartResult, recorded: ReenactedMultiStartResult, claimed_chi2: float
) -> Axes:
    """Sorted χ² of every start by our solver and of the recorded multi-start; values below 1e-6 are drawn at 1e-6."""
    rank = np.arange(1, len(result.chi2) + 1)
    ours = np.maximum(result.chi2, CHI2_FLOOR)
    ax.plot(rank, ours, "o-", color=BLUE, label=f"this solver, {int(result.converged.sum())} of {len(rank)} stationary")
    theirs = np.maximum(recorded.chi2, CHI2_FLOOR)
    ax.plot(np.arange(1, len(theirs) + 1), theirs, "s-", color=RED, mfc="none", lw=1, label="re-enacted, recorded")
    return _finish_waterfall(ax, len(rank), claimed_chi2)


def _finish_waterfall(ax: Axes, n_starts: int, claimed_chi2: float) -> Axes:
    ax.axhline(claimed_chi2, color=GREY, ls="--", lw=1)
    note(ax, f"claimed best {claimed_chi2:g}", n_starts, claimed_chi2, ha="right")
    ax.set_yscale("log")
    ax.set_xlabel("start, sorted by χ²")
    ax.set_ylabel(r"$\chi^2$ at the end (dimensionless)")
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    ax.legend(loc="lower left", bbox_to_anchor=(0, 1.01), borderaxespad=0)
    return ax


def plot_best_band(ax: Axes, problem: LeastSquaresProblem, result: MultistartResult) -> Axes:
    """Range of every parameter over the starts that reach the best χ², as a fraction of its bounds."""
    best = result.x[result.is_best]
    fraction = (best - problem.lower) / (problem.upper - problem.lower)
    for row, parameter in enumerate(problem.parameters):
        ax.plot(fraction[:, row], np.full(len(best), row), "|", color=BLUE, ms=10, alpha=0.7)
        ends = f"[{parameter.lower:g}, {parameter.upper:g}]"
        ax.annotate(ends, (1.02, row), xycoords=("axes fraction", "data"), va="center", fontsize=8, color=GREY)
    ax.set_yticks(range(problem.n_par), [parameter.label for parameter in problem.parameters])
    ax.set_ylim(problem.n_par - 0.5, -0.5)
    ax.set_xlim(-0.02, 1.02)
    ax.set_xlabel("value as a fraction of its bounds (given at the right)")
    return ax


def plot_map(ax: Axes, problem: LeastSquaresProblem, scan: MapResult, *, interval: CMuResult | None = None) -> Axes:
    """Logarithmic map of χ²_min over two parameters, with the 95 % contour and the region of exact solutions."""
    shown = np.log10(np.maximum(scan.chi2_min.T, CHI2_FLOOR))
    levels = np.linspace(-6, max(1.0, float(np.nanmax(shown))), 25)
    filled = ax.contourf(scan.first_grid, scan.second_grid, shown, levels=levels, cmap="cividis")
    ax.figure.colorbar(
        filled, ax=ax, label=r"$\log_{10}\,\chi^2_{\min}$ (−6: zero)", ticks=MaxNLocator(7, integer=True)
    )
    ax.contour(scan.first_grid, scan.second_grid, shown, levels=[np.log10(LEVEL_95)], colors="white")
    ax.set_yscale("log")
    if interval is not None and interval.is_feasible.any():
        ax.plot(interval.beta, interval.joint[:, 0], "--", color=RED, label="feasible interval, without a fit")
        ax.plot(interval.beta, interval.joint[:, 1], "--", color=RED)
        ax.legend(loc="lower left", bbox_to_anchor=(0, 1.01), borderaxespad=0)
    ax.set_xlabel(f"{problem.parameters[problem.index(scan.first)].label} (dimensionless)")
    ax.set_ylabel(f"{problem.parameters[problem.index(scan.second)].label} (dimensionless)")
    return ax


def plot_spectrum(ax: Axes, spectrum: SpectrumResult) -> Axes:
    """Singular values of the scaled Jacobian, and the number of directions without a singular value."""
    n = len(spectrum.names)
    rank = np.arange(1, spectrum.rank + 1)
    ax.plot(rank, spectrum.singular_values[: spectrum.rank], "o-", color=BLUE, label=f"rank {spectrum.rank}")
    missing = np.arange(spectrum.rank + 1, n + 1)
    low = spectrum.singular_values[: spectrum.rank].min() / 10
    ax.plot(missing, np.full(len(missing), low), "v", color=RED, label=f"{len(missing)} directions: zero")
    ax.set_yscale("log")
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    ax.set_xlabel("direction, of the parameters off their bounds")
    ax.set_ylabel("singular value (scaled)")
    ax.legend()
    return ax


def plot_comparison(axes: Sequence[Axes], table: pd.DataFrame, parameter: str) -> Sequence[Axes]:
    """Sweep: 95 % set of β (arrows at open ends) and feasible interval of C_μ, one row for each value."""
    rows = range(len(table))
    for ax, name, label in zip(axes, ("beta", "c_mu"), (r"$\beta$, 95 % set", r"$C_\mu$, feasible"), strict=True):
        ax.set_xlabel(f"{label} (dimensionless)")
        if f"{name}_low" not in table:
            ax.annotate(
                "not computed by these notebooks", (0.5, 0.5), xycoords="axes fraction", ha="center", fontsize=8
            )
            continue
        for row, line in table.iterrows():
            low, high = line[f"{name}_low"], line[f"{name}_high"]
            if np.isnan(low):
                ax.annotate(
                    "none", (0.5, row), xycoords=("axes fraction", "data"), ha="center", va="center", fontsize=8
                )
            elif name == "beta":
                bar(ax, row, low, high, line["scan_low"], line["scan_high"])
            else:
                bar(ax, row, low, high, low, high)
    axes[0].set_yticks(rows, table[parameter])
    axes[0].set_ylim(len(table) - 0.5, -0.5)
    axes[0].set_ylabel(parameter)
    return axes
