"""Pictures of results. Each function draws on the axes it is given, returns them, and computes nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from leptonfit.inference.contour import LEVEL_95, MapResult
from leptonfit.inference.identifiability import SpectrumResult
from leptonfit.inference.intervals import LEVELS
from leptonfit.inference.multistart import CHI2_FLOOR, MultistartResult, format_chi2
from leptonfit.inference.problem import LeastSquaresProblem
from leptonfit.inference.profile import ProfileResult
from leptonfit.vortex.c_mu import CMuResult, ManifoldResult
from leptonfit.vortex.certificate import CertifiedScanResult
from leptonfit.vortex.claims import ClaimResult
from leptonfit.vortex.degeneracy import DegeneracyResult, VariantResult
from leptonfit.vortex.flow import FlowResult
from leptonfit.vortex.golden_loop import GoldenLoopResult
from leptonfit.vortex.reenactment import ReenactedScanResult
from leptonfit.vortex.reported import RecomputedScan, ReportedOptimiserResult
from leptonfit.vortex.sigma_ladder import SigmaLadderResult

BLUE, RED, GREEN, ORANGE, GREY = "#0072B2", "#D55E00", "#009E73", "#E69F00", "#6b7280"
"""Colours that stay apart for colour-blind readers (Okabe and Ito); shape or text always says the same."""


STYLE = Path(__file__).parent / "leptonfit.mplstyle"


def use_style() -> None:
    """Use the workbook's one style for all figures that follow."""
    plt.style.use(STYLE)


def plot_model(axes: Sequence[Axes], flow: FlowResult) -> Sequence[Axes]:
    """The vortex: streamlines over its density, and the flow energy within a radius."""
    left, right = axes
    extent = (flow.x[0], flow.x[-1], flow.z[0], flow.z[-1])
    image = left.imshow(flow.density, extent=extent, origin="lower", cmap="Blues_r", vmin=0, vmax=1.15)
    left.figure.colorbar(image, ax=left, label=r"density over $\rho_{\rm vac}$", shrink=0.8)
    inside, outside = np.linspace(-0.18, -0.02, 5), np.linspace(0.02, 2.0, 12)
    left.contour(flow.x, flow.z, flow.psi, levels=inside, colors=RED, linewidths=1, linestyles="solid")
    left.contour(flow.x, flow.z, flow.psi, levels=outside, colors=GREY, linewidths=0.8)
    angle = np.linspace(0, 2 * np.pi, 200)
    left.plot(np.cos(angle), np.sin(angle), color="black", lw=1.2)
    left.set_xlabel("$x$ in vortex radii")
    left.set_ylabel("$z$ (axis) in vortex radii")
    left.set_aspect("equal")
    right.plot(flow.radius, flow.energy, color=BLUE, label="flow energy within $r$")
    right.plot(flow.radius, 2 * np.pi / 3 * flow.radius**3, "--", color=GREY, label=r"empty box, $(2\pi/3)\,r^3$")
    right.plot(flow.radius[0], flow.energy[0], "o", color=RED, label="inside the vortex")
    right.set_yscale("log")
    right.set_xlabel("$r$ in vortex radii")
    right.set_ylabel(r"energy over $U^2 R^3 \rho_{\rm vac}$")
    right.legend()
    return axes


def plot_profile(
    ax: Axes,
    problem: LeastSquaresProblem,
    profile: ProfileResult,
    *,
    claims: Sequence[RecomputedScan] = (),
    certified: CertifiedScanResult | None = None,
) -> Axes:
    """χ²_min along the scan, with the 95 % set, the reference value and, where they lie in the scan, claimed minima.

    Below, what certificates prove of it.

    Values below 1e-6 are noise and drawn at 1e-6.
    """
    label = problem.parameters[problem.index(profile.parameter)].label
    grid, low, high = profile.grid, profile.grid[0], profile.grid[-1]
    shown, trusted = np.maximum(profile.chi2_min, CHI2_FLOOR), profile.trusted
    for number, (a, b) in enumerate(profile.identified_set["0.95"].intervals):
        ax.axvspan(max(a, low), min(b, high), color=GREEN, alpha=0.13, lw=0, label="" if number else "95 % set")
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
    _note(ax, "95 % level", high, level, ha="right")
    if (profile.chi2_min < CHI2_FLOOR).any():
        ax.axhline(CHI2_FLOOR, color=GREY, lw=0.8)
        _note(ax, r"zero: $\chi^2 < 10^{-6}$", low, CHI2_FLOOR, ha="left")
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


def _note(ax: Axes, text: str, x: float, y: float, *, ha: str) -> None:
    ax.annotate(text, (x, y), xytext=(0, 4), textcoords="offset points", ha=ha, fontsize=8, color=GREY)


def plot_nuisance_paths(axes: Sequence[Axes], problem: LeastSquaresProblem, profile: ProfileResult) -> Sequence[Axes]:
    """Each other parameter along the scan, one a panel; triangles where it sits on a bound."""
    others = [j for j, name in enumerate(profile.names) if name != profile.parameter]
    scanned = problem.parameters[problem.index(profile.parameter)]
    for ax, j in zip(axes, others, strict=True):
        parameter, on_bound = problem.parameters[j], profile.on_bounds[:, j]
        values = profile.x[:, j]
        ax.plot(profile.grid, values, "-", color=BLUE)
        ax.plot(profile.grid[on_bound], values[on_bound], "^", color=RED, ms=4)
        ax.set_title(f"{parameter.label} in [{parameter.lower:g}, {parameter.upper:g}]", fontsize=8.5)
        middle, half = (np.nanmax(values) + np.nanmin(values)) / 2, (np.nanmax(values) - np.nanmin(values)) / 2
        half = max(1.15 * half, 0.01 * abs(middle))  # a constant is shown as one
        ax.set_ylim(middle - half, middle + half)
        ax.tick_params(labelsize=8)
        ax.yaxis.set_major_locator(MaxNLocator(3))
    for ax in axes[-(len(axes) // 2) :]:
        ax.set_xlabel(scanned.label)
    return axes


def plot_sigma_ladder(ax: Axes, ladder: SigmaLadderResult) -> Axes:
    """The 95 % set of β for each model error, tightest on top; arrows at open ends."""
    low, high = ladder.beta[0], ladder.beta[-1]
    rows = range(len(ladder.sigma_m_model))
    for row in rows:
        for a, b in ladder.identified_set[row].intervals:
            _bar(ax, row, a, b, low, high)
        largest = format_chi2(float(np.nanmax(ladder.chi2_min[row])))
        text = f"{ladder.verdict_code[row]}; largest $\\chi^2_{{\\min}}$ {largest}"
        ax.annotate(text, (low, row), xytext=(0, 8), textcoords="offset points", fontsize=8)
    ax.set_yticks(rows, [f"{m:.0e}, {g:.0e}" for m, g in zip(ladder.sigma_m_model, ladder.sigma_g_model, strict=True)])
    ax.set_ylim(len(rows) - 0.5, -0.7)
    ax.set_xlim(low - 0.04 * (high - low), high + 0.04 * (high - low))
    ax.set_ylabel(r"model error $\sigma_m$ (relative), $\sigma_g$ (absolute)")
    ax.set_xlabel(r"vacuum stiffness $\beta$ (dimensionless): 95 % set")
    return ax


def plot_waterfall(
    ax: Axes, result: MultistartResult, reported: ReportedOptimiserResult, *, claimed_chi2: float
) -> Axes:
    """Sorted χ² of every start by our solver and by the report's, with the best the report claims; zero at 1e-6."""
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
    ax.axhline(claimed_chi2, color=GREY, ls="--", lw=1)
    _note(ax, f"claimed best {claimed_chi2:g}", rank[-1], claimed_chi2, ha="right")
    ax.set_yscale("log")
    ax.set_xlabel("start, sorted by χ²")
    ax.set_ylabel(r"$\chi^2$ at the end (dimensionless)")
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    ax.legend(loc="lower left", bbox_to_anchor=(0, 1.01), ncols=2, borderaxespad=0)
    return ax


def plot_best_band(ax: Axes, problem: LeastSquaresProblem, result: MultistartResult) -> Axes:
    """Every parameter over the starts that reach the best χ², as a fraction of its bounds."""
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


def plot_c_mu_interval(ax: Axes, result: CMuResult, claims: Mapping[str, Any], *, fitted: np.ndarray) -> Axes:
    """Feasible C_μ against β: the electron alone, the muon alone, both; fitted values, and where the claims lie."""
    claim = claims["c_mu"]
    ax.fill_between(result.beta, *result.electron.T, color=BLUE, alpha=0.12, lw=0, label="electron alone")
    ax.fill_between(result.beta, *result.muon.T, color=ORANGE, alpha=0.16, lw=0, label="muon alone")
    ax.fill_between(
        result.beta, *result.joint.T, color=GREEN, alpha=0.45, lw=0, hatch="//", label="both, and the τ's mass"
    )
    ax.plot(result.beta, fitted, ".", color=BLUE, ms=4, label="fitted by the profile")
    ax.axhline(claim["electron_alone"], color=RED, ls="--", lw=1.2)
    _note(
        ax,
        f"claimed, electron alone: {claim['electron_alone']:g}",
        result.beta[-1],
        claim["electron_alone"],
        ha="right",
    )
    for value in claim["joint"]:
        ax.axhline(value, color=RED, ls=":", lw=1.2)
    _note(ax, "claimed, joint: {:g} to {:g}".format(*claim["joint"]), result.beta[-1], claim["joint"][1], ha="right")
    ax.set_yscale("log")
    ax.set_xlabel(r"$\beta$ (dimensionless)")
    ax.set_ylabel(r"$C_\mu$ (dimensionless)")
    ax.legend(loc="lower left", bbox_to_anchor=(0, 1.01), ncols=4, borderaxespad=0)
    return ax


def plot_manifold(ax: Axes, manifold: ManifoldResult, claims: Mapping[str, Any]) -> Axes:
    """C_μ that fits the electron's mass and g exactly, against R, for several A; and the report's point."""
    for row, amplitude in enumerate(manifold.amplitude):
        shade = 0.25 + 0.75 * row / max(1, len(manifold.amplitude) - 1)
        ax.plot(manifold.radius, manifold.c_mu[row], color=BLUE, alpha=shade, label=f"$A_e$ = {amplitude:.3g}")
    claim = claims["c_mu"]
    radius, velocity = claim["electron_point"]
    text = f"claimed {claim['electron_alone']:g}, at R = {radius:g}, U = {velocity:g}"
    ax.plot(radius, claim["electron_alone"], "s", color=RED, mfc="none", mew=1.6, ms=8, ls="none", label=text)
    ax.set_yscale("log")
    ax.set_xlabel(r"$R_e$ (dimensionless)")
    ax.set_ylabel(r"$C_\mu$ (dimensionless)")
    ax.legend()
    return ax


def plot_manifolds(axes: Sequence[Axes], manifolds: Mapping[str, ManifoldResult]) -> Sequence[Axes]:
    """Each lepton's exact solutions at one β: U over R and A, with contours of the C_μ its g-factor needs."""
    for ax, (symbol, manifold) in zip(axes, manifolds.items(), strict=True):
        shown = np.log10(manifold.velocity)
        flat = np.nanmax(shown) - np.nanmin(shown) < 1e-3
        levels = np.linspace(np.nanmin(shown) - 1e-3 * flat, np.nanmax(shown) + 1e-3 * flat, 16)
        filled = ax.contourf(manifold.radius, manifold.amplitude, shown, levels=levels, cmap="cividis")
        bar = ax.figure.colorbar(filled, ax=ax, ticks=MaxNLocator(4))
        bar.set_label(f"$\\log_{{10}} U_{symbol}$")
        if np.isfinite(manifold.c_mu).any():
            lines = ax.contour(manifold.radius, manifold.amplitude, manifold.c_mu, levels=6, colors="white")
            ax.clabel(lines, fmt="%.4g", fontsize=7)
        ax.set_xlabel(f"$R_{symbol}$ (dimensionless)")
        ax.set_ylabel(f"$A_{symbol}$ (dimensionless)")
    return axes


def plot_spectrum(ax: Axes, spectrum: SpectrumResult) -> Axes:
    """Singular values of the scaled Jacobian, and how many directions have none."""
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


def plot_degeneracy(ax: Axes, checks: Sequence[DegeneracyResult]) -> Axes:
    """χ²_min against β for each check, zero at 1e-6."""
    styles = {"frozen": (RED, "--"), "fixed": (GREY, "-"), "restricted": (BLUE, "-"), "mass": (GREEN, "-")}
    rows = [check for check in checks if check.constraints]
    for row, check in enumerate(rows):
        colour, line = styles.get(check.name.split()[0], (ORANGE, "-"))
        shown = np.maximum(check.chi2_min, CHI2_FLOOR) * 1.6**row  # side by side where they are all zero
        ax.plot(check.beta, shown, line, marker="os^Dv<>"[row % 7], ms=3, color=colour, label=check.name)
    ax.set_yscale("log")
    ax.set_xlabel(r"$\beta$ (dimensionless)")
    ax.set_ylabel(r"$\chi^2_{\min}$ (zero at $10^{-6}$; each row ×1.6)")
    ax.legend(loc="lower left", bbox_to_anchor=(0, 1.01), ncols=3, borderaxespad=0)
    return ax


def plot_variants(ax: Axes, variants: Sequence[VariantResult], low: float, high: float, reference: float) -> Axes:
    """The 95 % set of β for each variant of the fit; arrows at open ends."""
    for row, variant in enumerate(variants):
        for a, b in variant.identified_set.intervals:
            _bar(ax, row, a, b, low, high)
        text = variant.name if len(variant.identified_set.intervals) else f"{variant.name}: none in the scan"
        note = "" if variant.best_chi2 < CHI2_FLOOR else f", lowest χ² {variant.best_chi2:.3g}"
        ax.annotate(text + note, (low, row), xytext=(0, 8), textcoords="offset points", fontsize=8)
    ax.axvline(reference, color=GREY, ls=":", label=f"reference {reference:.6g}")
    ax.set_yticks([])
    ax.set_ylim(len(variants) - 0.5, -0.8)
    ax.set_xlim(low - 0.04 * (high - low), high + 0.04 * (high - low))
    ax.set_xlabel(r"$\beta$ (dimensionless), 95 % set")
    ax.legend(loc="lower left", bbox_to_anchor=(0, 1.01), borderaxespad=0)
    return ax


def plot_reenacted(
    axes: Sequence[Axes], scans: Sequence[ReenactedScanResult], converged: ProfileResult, claims: Mapping[str, Any]
) -> Sequence[Axes]:
    """The tight scan claimed, re-enacted and converged; and where each setting puts its minimum."""
    left, right = axes
    claim = claims["tight"]
    for row, scan in enumerate(scans):
        shown = np.maximum(scan.chi2, CHI2_FLOOR)
        label = ("re-enacted, as stated", "re-enacted, other settings")[row] if row < 2 else ""
        left.plot(scan.beta, shown, color=ORANGE if row else RED, lw=0.6 if row else 1.4, label=label)
        at = scan.chi2.min()
        if at >= CHI2_FLOOR:
            right.plot(scan.beta_min, row, "o", color=RED if row == 0 else ORANGE)
            right.annotate(f"{at:,.0f}", (scan.beta_min, row), xytext=(5, 3), textcoords="offset points", fontsize=8)
        else:
            right.plot(scan.beta[[0, -1]], [row, row], color=BLUE, lw=3, alpha=0.6)
            right.annotate(
                "zero everywhere", (scan.beta[0], row), xytext=(0, 4), textcoords="offset points", fontsize=8
            )
    left.plot(converged.grid, np.maximum(converged.chi2_min, CHI2_FLOOR), "o-", ms=3, color=BLUE, label="converged")
    text = f"claimed: {claim['chi2_min']:,.0f} at {claim['beta_min']:g}"
    left.plot(
        claim["beta_min"], claim["chi2_min"], "s", color="black", mfc="none", mew=1.6, ms=8, ls="none", label=text
    )
    left.set_yscale("log")
    left.set_xlabel(r"$\beta$ (dimensionless)")
    left.set_ylabel(r"$\chi^2$ where it stopped (zero: $10^{-6}$)")
    left.legend(loc="lower left", bbox_to_anchor=(0, 1.01), ncols=2, borderaxespad=0)
    right.axvline(claim["beta_min"], color="black", ls="--", lw=1, label=f"claimed minimum {claim['beta_min']:g}")
    right.set_yticks(range(len(scans)), [scan.name for scan in scans])
    right.set_ylim(len(scans) - 0.5, -0.7)
    right.set_xlabel(r"$\beta$ of the lowest $\chi^2$")
    right.legend(loc="lower left", bbox_to_anchor=(0, 1.01), borderaxespad=0)
    return axes


def plot_golden_loop(ax: Axes, found: GoldenLoopResult, claims: Mapping[str, Any]) -> Axes:
    """β against the constant c₁ of the loop, with its value, and what the report's minima would need."""
    beta = np.linspace(2.95, 3.25, 200)
    c1 = np.pi**2 * np.exp(beta) / beta / found.alpha_inverse
    ax.plot(c1, beta, color=BLUE, label=r"$e^\beta/\beta = c_1/(\alpha\pi^2)$")
    ax.plot(found.c1, found.beta, "o", color=GREEN, label=f"$c_1=(1-\\alpha)/2$: {found.beta:.7g}")
    for wanted, needed, marker in zip(found.wanted, found.c1_needed, "sD", strict=False):
        text = f"claimed minimum {wanted:g} needs {needed:.5f}"
        ax.plot(needed, wanted, marker, color=RED, mfc="none", mew=1.6, ms=8, ls="none", label=text)
    older = claims["golden_loop"]["older_beta"]
    ax.axhline(older, color=GREY, ls="--", lw=1)
    _note(ax, f"claimed, older form: {older:g}", float(c1.max()), older, ha="right")
    ax.set_xlabel("$c_1$ (dimensionless)")
    ax.set_ylabel(r"$\beta$ (dimensionless)")
    ax.legend()
    return ax


def plot_map(ax: Axes, problem: LeastSquaresProblem, scan: MapResult, *, interval: CMuResult | None = None) -> Axes:
    """χ²_min over two parameters, logarithmic, with the 95 % contour for two; exact solutions as χ² < 1e-6."""
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


def plot_claims(
    ax: Axes, profiles: Mapping[str, Mapping[str, Any]], claims: Mapping[str, Any], judged: Sequence[ClaimResult]
) -> Axes:
    """The computed 95 % set of β by closure, above the intervals the report claims, judged under the first."""
    for row, (closure, document) in enumerate(profiles.items()):
        results = document["results"]
        low, high = results["beta"][0], results["beta"][-1]
        found = results["identified_set"]["0.95"]["intervals"]
        for a, b in found:
            _bar(ax, row, -np.inf if a is None else a, np.inf if b is None else b, low, high)
        text = f"computed, 95 % set under {closure}{'' if found else ': none in the scan'}"
        ax.annotate(text, (low, row), xytext=(0, 9), textcoords="offset points", fontsize=8)
    words = {True: "stands", False: "does not stand", None: "cannot be said"}
    row = len(profiles)
    for claim, verdict in zip(claims["claims"], judged, strict=True):
        if "interval" in claim:
            ax.plot(claim["interval"], [row, row], "s-", color=RED, mfc="none")
            text = f"claimed, {claim['statement']}: {words[verdict.stands]} under {next(iter(profiles))}"
            ax.annotate(text, (claim["interval"][0], row), xytext=(0, 9), textcoords="offset points", fontsize=8)
            row += 1
    ax.axvline(
        claims["golden_loop"]["beta"], color=GREY, ls=":", label=f"reference {claims['golden_loop']['beta']:.6g}"
    )
    ends = [end for document in profiles.values() for end in document["results"]["beta"]]
    ends += [end for claim in claims["claims"] for end in claim.get("interval", ())]
    low, high = min(ends), max(ends)
    if low > 0 and high > 30 * low:
        ax.set_xscale("log")
        ax.set_xlim(low / 1.2, high * 1.2)
    else:
        ax.set_xlim(low - 0.04 * (high - low), high + 0.04 * (high - low))
    ax.set_yticks([])
    ax.set_ylim(row - 0.5, -0.7)
    ax.set_xlabel(r"$\beta$ (dimensionless)")
    ax.legend(loc="lower left", bbox_to_anchor=(0, 1.01), borderaxespad=0)
    return ax


def plot_comparison(axes: Sequence[Axes], table: pd.DataFrame, parameter: str) -> Sequence[Axes]:
    """A sweep: 95 % set of β (arrows where open) and feasible interval of C_μ, a row a value."""
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
                _bar(ax, row, low, high, line["scan_low"], line["scan_high"])
            else:
                _bar(ax, row, low, high, low, high)
    axes[0].set_yticks(rows, table[parameter])
    axes[0].set_ylim(len(table) - 0.5, -0.5)
    axes[0].set_ylabel(parameter)
    return axes


def _bar(ax: Axes, row: int, a: float, b: float, low: float, high: float) -> None:
    left, right = max(a, low), min(b, high)
    ax.plot([left, right], [row, row], color=GREEN, lw=5, alpha=0.5, solid_capstyle="butt")
    for end, is_open, marker in ((left, a < left, "<"), (right, b > right, ">")):
        ax.plot(end, row, marker if is_open else "|", color=GREEN, ms=9, mew=2)
