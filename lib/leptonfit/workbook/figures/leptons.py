"""Figures of the charged leptons: the vortex, C_μ, degeneracy, the report's claims."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import contourpy
import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.ticker import MaxNLocator

from leptonfit.inference.multistart import CHI2_FLOOR
from leptonfit.workbook.figures.style import BLUE, GREEN, GREY, ORANGE, RED, bar, note

if TYPE_CHECKING:
    from leptonfit.claims.claim import Claim
    from leptonfit.claims.december_2025.degeneracy import DegeneracyResult, VariantResult
    from leptonfit.claims.december_2025.recorded import RecordedRunResult
    from leptonfit.inference.profile import ProfileResult
    from leptonfit.vortex.c_mu import CMuResult, ManifoldResult
    from leptonfit.vortex.flow import FlowResult, OuterRadiusResult
    from leptonfit.vortex.golden_loop import GoldenLoopResult

INSIDE = np.linspace(-0.17, -0.02, 5)
OUTSIDE = np.arange(0.1, 2.5, 0.2) ** 2 / 2
"""Contour levels of ψ: ψ/(U R²) inside; ψ/U outside, with even spacing far from the vortex."""


def trace(flow: FlowResult, levels: np.ndarray) -> list[np.ndarray]:
    """Return the contours of ψ at the given levels as lines (n, 2)."""
    generator = contourpy.contour_generator(flow.x, flow.z, flow.psi)
    return [np.asarray(line) for level in levels for line in generator.lines(level)]


class FlowPicture:
    """Streamlines of a vortex over its density, with its surface; `update` shows another vortex.

    Parameters
    ----------
    ax : Axes
    extent : float
        Half width of the picture.
    """

    def __init__(self, ax: Axes, extent: float) -> None:
        ends = (-extent, extent)
        self.density = ax.imshow(
            np.ones((2, 2)), extent=(*ends, *ends), origin="lower", cmap="Blues_r", vmin=0, vmax=1.15
        )
        ax.figure.colorbar(self.density, ax=ax, label=r"density over $\rho_{\rm vac}$", shrink=0.8)
        self.inside = LineCollection([], colors=RED, linewidths=1)
        self.outside = LineCollection([], colors=GREY, linewidths=0.8)
        ax.add_collection(self.inside)
        ax.add_collection(self.outside)
        (self.surface,) = ax.plot([], [], color="black", lw=1.2)
        ax.set(xlim=ends, ylim=ends, aspect="equal")

    def update(self, flow: FlowResult, radius: float = 1.0) -> None:
        """Show another vortex, with a radius in units of the picture; `flow` is in units of the vortex radius."""
        self.density.set_data(flow.density)
        self.inside.set_segments([radius * line for line in trace(flow, INSIDE)])
        self.outside.set_segments([radius * line for line in trace(flow, OUTSIDE / radius**2)])
        angle = np.linspace(0, 2 * np.pi, 200)
        self.surface.set_data(radius * np.cos(angle), radius * np.sin(angle))


def plot_model(axes: Sequence[Axes], flow: FlowResult) -> FlowPicture:
    """Streamlines of the vortex over its density, and the flow energy within a radius."""
    left, right = axes
    picture = FlowPicture(left, flow.x[-1])
    picture.update(flow)
    left.set_xlabel("$x$ in vortex radii")
    left.set_ylabel("$z$ (axis) in vortex radii")
    right.plot(flow.radius, flow.energy, color=BLUE, label="flow energy within $r$")
    right.plot(flow.radius, 2 * np.pi / 3 * flow.radius**3, "--", color=GREY, label=r"empty box, $(2\pi/3)\,r^3$")
    right.plot(flow.radius[0], flow.energy[0], "o", color=RED, label="inside the vortex")
    right.set_yscale("log")
    right.set_xlabel("$r$ in vortex radii")
    right.set_ylabel(r"energy over $U^2 R^3 \rho_{\rm vac}$")
    right.legend()
    return picture


def plot_outer_radius(ax: Axes, scan: OuterRadiusResult, claimed: float) -> Axes:
    """Flow energy against the outer radius of the integral, in the frame of the box and in that of the vortex."""
    for row, (line, colour) in enumerate((("-", BLUE), ("--", ORANGE), (":", RED))):
        text = f"$R$ = {scan.radius[row]:g}, $A$ = {scan.amplitude[row]:g}"
        ax.plot(scan.r_max, scan.stream[row], line, color=colour, label=f"stream, {text}")
        ax.axhline(scan.lab[row], ls=line, color=GREY, lw=0.8)
    ax.annotate(
        "lab, the same three",
        (scan.r_max[-1], scan.lab.max()),
        xytext=(0, 3),
        textcoords="offset points",
        ha="right",
        fontsize=7,
        color=GREY,
    )
    ax.axvline(claimed, color="black", ls="-.", lw=0.8)
    ax.annotate(
        f"the report's {claimed:g}", (claimed, scan.lab.min()), xytext=(3, 3), textcoords="offset points", fontsize=7
    )
    ax.set_xscale("log")
    ax.set_yscale("log")
    ax.set_xlabel(r"$r_{\max}$ (dimensionless)")
    ax.set_ylabel(r"$E_{\rm circ}/U^2$ (dimensionless)")
    ax.legend(fontsize=7, loc="upper left")
    return ax


def plot_c_mu_interval(ax: Axes, result: CMuResult, claims: Mapping[str, Any], *, fitted: np.ndarray) -> Axes:
    """Feasible C_μ against β for the electron alone, the muon alone and both, with fitted and claimed values."""
    claim = claims["c_mu"]
    ax.fill_between(result.beta, *result.electron.T, color=BLUE, alpha=0.12, lw=0, label="electron alone")
    ax.fill_between(result.beta, *result.muon.T, color=ORANGE, alpha=0.16, lw=0, label="muon alone")
    ax.fill_between(
        result.beta, *result.joint.T, color=GREEN, alpha=0.45, lw=0, hatch="//", label="both, and the τ's mass"
    )
    ax.plot(result.beta, fitted, ".", color=BLUE, ms=4, label="fitted by the profile")
    ax.axhline(claim["electron_alone"], color=RED, ls="--", lw=1.2)
    note(
        ax,
        f"claimed, electron alone: {claim['electron_alone']:g}",
        result.beta[-1],
        claim["electron_alone"],
        ha="right",
    )
    for value in claim["joint"]:
        ax.axhline(value, color=RED, ls=":", lw=1.2)
    note(ax, "claimed, joint: {:g} to {:g}".format(*claim["joint"]), result.beta[-1], claim["joint"][1], ha="right")
    ax.set_yscale("log")
    ax.set_xlabel(r"$\beta$ (dimensionless)")
    ax.set_ylabel(r"$C_\mu$ (dimensionless)")
    ax.legend(loc="lower left", bbox_to_anchor=(0, 1.01), ncols=4, borderaxespad=0)
    return ax


def plot_manifold(ax: Axes, manifold: ManifoldResult, claims: Mapping[str, Any]) -> Axes:
    """C_μ that fits the electron's mass and g-factor exactly, against R for several A, with the report's point."""
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
    """Exact solutions of each lepton at one β: U over R and A, with contours of the C_μ that the g-factor requires."""
    for ax, (symbol, manifold) in zip(axes, manifolds.items(), strict=True):
        ax.set_xlabel(f"$R_{symbol}$ (dimensionless)")
        ax.set_ylabel(f"$A_{symbol}$ (dimensionless)")
        if not np.isfinite(manifold.velocity).any():
            ax.annotate("no U within its bounds", (0.5, 0.5), xycoords="axes fraction", ha="center", fontsize=8)
            continue
        shown = np.log10(manifold.velocity)
        flat = np.nanmax(shown) - np.nanmin(shown) < 1e-3
        levels = np.linspace(np.nanmin(shown) - 1e-3 * flat, np.nanmax(shown) + 1e-3 * flat, 16)
        filled = ax.contourf(manifold.radius, manifold.amplitude, shown, levels=levels, cmap="cividis")
        bar = ax.figure.colorbar(filled, ax=ax, ticks=MaxNLocator(4))
        bar.set_label(f"$\\log_{{10}} U_{symbol}$")
        if np.isfinite(manifold.c_mu).any():
            low, high = np.nanmin(manifold.c_mu), np.nanmax(manifold.c_mu)
            shown = np.unique([float(f"{level:.1g}") for level in np.geomspace(1.3 * low, high / 2.5, 4)])
            lines = ax.contour(manifold.radius, manifold.amplitude, manifold.c_mu, levels=shown, colors="white")
            ax.clabel(lines, fmt="%.4g", fontsize=7)
    return axes


def plot_degeneracy(ax: Axes, checks: Sequence[DegeneracyResult]) -> Axes:
    """χ²_min against β for each check; values below 1e-6 are drawn at 1e-6."""
    styles = {"frozen": (RED, "--"), "fixed": (GREY, "-"), "restricted": (BLUE, "-"), "mass": (GREEN, "-")}
    rows = [check for check in checks if check.constraints]
    for row, check in enumerate(rows):
        colour, line = styles.get(check.name.split()[0], (ORANGE, "-"))
        shown = np.maximum(check.chi2_min, CHI2_FLOOR) * 1.6**row  # separates curves that are all zero
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
            bar(ax, row, a, b, low, high)
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


def plot_claims(
    ax: Axes, profiles: Mapping[str, Mapping[str, Any]], claims: Mapping[str, Any], judged: Sequence[Claim]
) -> Axes:
    """Computed 95 % set of β by closure, and the claimed intervals with their verdict under the first closure."""
    for row, (closure, document) in enumerate(profiles.items()):
        profile = document["results"]["profile"]
        low, high = profile.grid[0], profile.grid[-1]
        intervals = profile.identified_set["0.95"].intervals
        for a, b in intervals:
            bar(ax, row, a, b, low, high)
        text = f"computed, 95 % set under {closure}{'' if len(intervals) else ': none in the scan'}"
        ax.annotate(text, (low, row), xytext=(0, 9), textcoords="offset points", fontsize=8)
    row = len(profiles)
    for claim, found in zip(claims["claims"], judged, strict=True):
        if "interval" in claim:
            ax.plot(claim["interval"], [row, row], "s-", color=RED, mfc="none")
            text = f"claimed, {found.stated}: {found.verdict} under {next(iter(profiles))}"
            ax.annotate(text, (claim["interval"][0], row), xytext=(0, 9), textcoords="offset points", fontsize=8)
            row += 1
    ax.axvline(
        claims["golden_loop"]["beta"], color=GREY, ls=":", label=f"reference {claims['golden_loop']['beta']:.6g}"
    )
    ends = [end for document in profiles.values() for end in document["results"]["profile"].grid]
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


def plot_reenacted(
    axes: Sequence[Axes], runs: Sequence[RecordedRunResult], converged: ProfileResult, claims: Mapping[str, Any]
) -> Sequence[Axes]:
    """Tight scan: claimed, re-enacted, converged; and its minimum in each setting of the first run, and in each run."""
    left, right = axes
    claim, scans = claims["tight"], runs[0].report.tight
    for row, scan in enumerate(scans):
        label = ("re-enacted, as stated", "re-enacted, other settings")[row] if row < 2 else ""
        shown = np.maximum(scan.chi2, CHI2_FLOOR)
        left.plot(scan.beta, shown, color=ORANGE if row else RED, lw=0.6 if row else 1.4, label=label)
    left.plot(converged.grid, np.maximum(converged.chi2_min, CHI2_FLOOR), "o-", ms=3, color=BLUE, label="converged")
    text = f"claimed: {claim['chi2_min']:,.0f} at {claim['beta_min']:g}"
    left.plot(
        claim["beta_min"], claim["chi2_min"], "s", color="black", mfc="none", mew=1.6, ms=8, ls="none", label=text
    )
    left.set_yscale("log")
    left.set_xlabel(r"$\beta$ (dimensionless)")
    left.set_ylabel(r"$\chi^2$ where it stopped (zero: $10^{-6}$)")
    left.legend(loc="lower left", bbox_to_anchor=(0, 1.01), ncols=2, borderaxespad=0)
    rows = [(scan.name, scan) for scan in scans] + [(run.name, run.report.tight[0]) for run in runs]
    for row, (name, scan) in enumerate(rows):
        at = scan.chi2.min()
        if at >= CHI2_FLOOR:
            marker, colour = ("D", RED) if scan.name == scans[0].name else ("o", ORANGE)
            right.plot(scan.beta_min, row, marker, color=colour, mfc="none" if "radii" in name else colour)
            right.annotate(f"{at:,.0f}", (scan.beta_min, row), xytext=(6, -3), textcoords="offset points", fontsize=8)
        else:
            right.plot(scan.beta[[0, -1]], [row, row], color=BLUE, lw=3, alpha=0.6)
            right.annotate(
                "zero everywhere", (scan.beta[0], row), xytext=(0, 4), textcoords="offset points", fontsize=8
            )
    right.axhline(len(scans) - 0.5, color=GREY, lw=0.8)
    right.axvline(claim["beta_min"], color="black", ls="--", lw=1, label=f"claimed minimum {claim['beta_min']:g}")
    right.set_yticks(range(len(rows)), [name for name, _ in rows])
    right.set_ylim(len(rows) - 0.5, -0.7)
    right.set_xlabel(r"$\beta$ of the lowest $\chi^2$ (dimensionless)")
    right.legend(loc="lower left", bbox_to_anchor=(0, 1.01), borderaxespad=0)
    return axes


def plot_golden_loop(ax: Axes, found: GoldenLoopResult, claims: Mapping[str, Any]) -> Axes:
    """β against the constant c₁ of the loop, with the actual c₁ and the c₁ that the report's minima would need."""
    beta = np.linspace(2.95, 3.25, 200)
    c1 = np.pi**2 * np.exp(beta) / beta / found.alpha_inverse
    ax.plot(c1, beta, color=BLUE, label=r"$e^\beta/\beta = c_1/(\alpha\pi^2)$")
    ax.plot(found.c1, found.beta, "o", color=GREEN, label=f"$c_1=(1-\\alpha)/2$: {found.beta:.7g}")
    for wanted, needed, marker in zip(found.wanted, found.c1_needed, "sD", strict=False):
        text = f"claimed minimum {wanted:g} needs {needed:.5f}"
        ax.plot(needed, wanted, marker, color=RED, mfc="none", mew=1.6, ms=8, ls="none", label=text)
    older = claims["golden_loop"]["older_beta"]
    ax.axhline(older, color=GREY, ls="--", lw=1)
    note(ax, f"claimed, older form: {older:g}", float(c1.max()), older, ha="right")
    ax.set_xlabel("$c_1$ (dimensionless)")
    ax.set_ylabel(r"$\beta$ (dimensionless)")
    ax.legend()
    return ax
