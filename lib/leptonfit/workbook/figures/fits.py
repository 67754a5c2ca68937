"""Figures of fits: profiles, multi-starts, maps, spectra, sweeps."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle
from matplotlib.ticker import MaxNLocator

from leptonfit.inference.contour import LEVEL_95
from leptonfit.inference.intervals import LEVELS
from leptonfit.inference.multistart import CHI2_FLOOR, format_chi2
from leptonfit.workbook.figures.style import BLUE, GREEN, GREY, RED, bar, note

if TYPE_CHECKING:
    import pandas as pd

    from leptonfit.claims.december_2025.reenactment import ReenactedMultiStartResult
    from leptonfit.claims.december_2025.reported import RecomputedScan, ReportedOptimiserResult
    from leptonfit.inference.contour import MapResult
    from leptonfit.inference.identifiability import SingularValueResult
    from leptonfit.inference.multistart import MultistartResult
    from leptonfit.inference.problem import LeastSquaresProblem
    from leptonfit.inference.profile import ProfileResult
    from leptonfit.inference.sigma_ladder import SigmaLadderResult
    from leptonfit.vortex.c_mu import CMuResult
    from leptonfit.vortex.certificate import CertifiedScanResult


class ProfileCurve:
    """Curve of χ²_min along a scan with the 95 % set, the 95 % level and a reference; `update` shows another profile.

    Values below 1e-6 are numerical noise and are drawn at 1e-6.

    Parameters
    ----------
    ax : Axes
    label : str
        Label of the scanned parameter.
    reference : float, optional
    """

    def __init__(self, ax: Axes, label: str, *, reference: float | None = None) -> None:
        self.ax = ax
        self._shade: dict[str, Any] = {"color": GREEN, "alpha": 0.13, "lw": 0}
        self.spans: list[Rectangle] = []
        ax.axvspan(np.nan, np.nan, label="95 % set, bounds as given", **self._shade)
        (self.trusted,) = ax.plot([], [], "o-", color=BLUE, label=r"computed $\chi^2_{\min}$")
        (self.untrusted,) = ax.plot([], [], "x", color=RED, ms=7, label="computed, not trusted")
        self.level = ax.axhline(1, color=GREY, ls="--", lw=1, label="95 % level")
        if reference is not None:
            ax.axvline(reference, color=GREY, ls=":", lw=1.2, label=f"reference {reference:.6g}")
        ax.set_yscale("log")
        ax.set_xlabel(f"{label} (dimensionless)")
        ax.set_ylabel(r"$\chi^2_{\min}$ (zero below $10^{-6}$)")

    def update(self, profile: ProfileResult) -> None:
        """Show another profile, and fit the axes to it."""
        grid, shown = profile.grid, np.maximum(profile.chi2_min, CHI2_FLOOR)
        self.trusted.set_data(grid[profile.trusted], shown[profile.trusted])
        self.trusted.set_alpha(None)
        self.untrusted.set_data(grid[~profile.trusted], shown[~profile.trusted])
        self._show(grid, shown, profile.best_chi2 + LEVELS["0.95"])
        self.spans = [
            self.ax.axvspan(max(a, grid[0]), min(b, grid[-1]), **self._shade)
            for a, b in profile.identified_set["0.95"].intervals
        ]

    def sketch(self, grid: np.ndarray, chi2: np.ndarray) -> None:
        """Show χ² (n,) along a grid, pale and without a set, before it is known to be the minimum."""
        shown = np.maximum(chi2, CHI2_FLOOR)
        self.trusted.set_data(grid, shown)
        self.trusted.set_alpha(0.4)
        self.untrusted.set_data([], [])
        self._show(grid, shown, float(np.nanmin(chi2)) + LEVELS["0.95"])

    def _show(self, grid: np.ndarray, shown: np.ndarray, level: float) -> None:
        """Move the level, remove the set, and fit the axes."""
        self.level.set_ydata([level, level])
        for span in self.spans:
            span.remove()
        self.spans = []
        margin = 0.02 * (grid[-1] - grid[0])
        self.ax.set_xlim(grid[0] - margin, grid[-1] + margin)
        heights = [*shown[np.isfinite(shown)], level]
        ends = min(heights) / 6, max(heights) * 10
        self.ax.set_ylim(*(float(f"{end:.6g}") for end in ends))  # six digits do not move with the noise of a fit


def plot_profile(
    ax: Axes,
    problem: LeastSquaresProblem,
    profile: ProfileResult,
    *,
    claims: Sequence[RecomputedScan] = (),
    certified: CertifiedScanResult | None = None,
) -> ProfileCurve:
    """χ²_min along the scan, with the 95 % set, the reference value and the claimed minima inside the scan.

    Bars at the bottom show where `certified` proves that χ²_min is zero, or at least 3.84.
    """
    low, high = profile.grid[[0, -1]]
    references = [value for value in profile.references[:1] if low <= value <= high]
    label = problem.parameters[problem.index(profile.parameter)].label
    curve = ProfileCurve(ax, label, reference=references[0] if references else None)
    curve.update(profile)
    if profile.trusted.all():
        curve.untrusted.set_label("")
    inside = [scan for scan in claims if low <= scan.claimed_beta_min <= high]
    for scan, marker in zip(inside, "sD^v", strict=False):
        at = (scan.claimed_beta_min, scan.claimed_chi2_min)
        text = f"claimed: {at[1]:,.0f} at {at[0]:g} ($\\sigma_m$ = {scan.sigma_m_model:.0e})"
        ax.plot(*at, marker, color=RED, mfc="none", mew=1.6, ms=8, ls="none", label=text)
    bottom, top = ax.get_ylim()
    if certified is not None:
        bottom /= 10
        proven = {
            r"proven: $\chi^2_{\min}=0$": (certified.intervals("zero"), GREEN, 5),
            r"proven: $\chi^2_{\min}\geq 3.84$": (certified.intervals("positive", level=LEVELS["0.95"]), GREY, 2.5),
        }
        for text, (intervals, colour, width) in proven.items():
            for number, ends in enumerate(intervals):
                named = "" if number else text
                ax.plot(ends, [bottom * 4] * 2, color=colour, lw=width, solid_capstyle="butt", label=named)
    ax.set_ylim(bottom, max([top, *(10 * scan.claimed_chi2_min for scan in inside)]))
    ax.legend(loc="lower left", bbox_to_anchor=(0, 1.01), ncols=2, borderaxespad=0)
    return curve


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


class EndPoints:
    """Markers of where the starts of one optimiser end, hollow where χ² is not stationary; at least 1e-6 is drawn.

    Parameters
    ----------
    ax : Axes
    name : str
        Name of the optimiser in the legend.
    marker, colour : str
    """

    def __init__(self, ax: Axes, name: str, marker: str, colour: str) -> None:
        (self.stationary,) = ax.plot([], [], marker, color=colour, label=f"{name}, stationary (KKT ≤ 1e-6)")
        (self.stalled,) = ax.plot([], [], marker, color=colour, mfc="none", label=f"{name}, not stationary")

    def update(self, chi2: np.ndarray, converged: np.ndarray, along: np.ndarray | None = None) -> None:
        """Show other end points (n_starts,), against their rank in χ² or against a value `along` of each."""
        order = np.argsort(chi2)
        places = np.arange(1, len(chi2) + 1) if along is None else along[order]
        for artist, chosen in ((self.stationary, converged[order]), (self.stalled, ~converged[order])):
            artist.set_data(places[chosen], np.maximum(chi2[order][chosen], CHI2_FLOOR))


def plot_waterfall(
    ax: Axes,
    result: MultistartResult,
    *,
    claimed_chi2: float,
    reported: ReportedOptimiserResult | None = None,
    recorded: ReenactedMultiStartResult | None = None,
) -> Axes:
    """Sorted χ² of every start by our solver and by the report's, here or recorded, with the best claimed χ²."""
    for run, name, marker, colour in ((result, "this solver", "o", BLUE), (reported, "report's optimiser", "s", RED)):
        if run is not None:
            shown = np.sort(np.maximum(run.chi2, CHI2_FLOOR))
            ax.plot(np.arange(1, len(shown) + 1), shown, color=colour, lw=1)
            EndPoints(ax, name, marker, colour).update(run.chi2, run.converged)
    if recorded is not None:
        shown = np.maximum(recorded.chi2, CHI2_FLOOR)
        ax.plot(np.arange(1, len(shown) + 1), shown, "s-", color=RED, mfc="none", lw=1, label="re-enacted, recorded")
    ax.axhline(claimed_chi2, color=GREY, ls="--", lw=1)
    note(ax, f"claimed best {claimed_chi2:g}", len(result.chi2), claimed_chi2, ha="right")
    label_waterfall(ax)
    return ax


def label_waterfall(ax: Axes) -> None:
    """Set scale, labels and legend of sorted χ²."""
    ax.set_yscale("log")
    ax.set_xlabel("start, sorted by χ²")
    ax.set_ylabel(r"$\chi^2$ at the end (zero below $10^{-6}$)")
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    ax.legend(loc="lower left", bbox_to_anchor=(0, 1.01), ncols=2, borderaxespad=0)


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


def plot_spectrum(ax: Axes, spectrum: SingularValueResult) -> Axes:
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
