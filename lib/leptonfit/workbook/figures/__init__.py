"""Figures: each function draws a result into given axes, and computes nothing."""

from leptonfit.workbook.figures.closures import plot_coverage, plot_forest
from leptonfit.workbook.figures.fits import (
    plot_best_band,
    plot_comparison,
    plot_map,
    plot_nuisance_paths,
    plot_profile,
    plot_recorded_waterfall,
    plot_sigma_ladder,
    plot_spectrum,
    plot_waterfall,
)
from leptonfit.workbook.figures.leptons import (
    plot_c_mu_interval,
    plot_claims,
    plot_degeneracy,
    plot_golden_loop,
    plot_manifold,
    plot_manifolds,
    plot_model,
    plot_outer_radius,
    plot_reenacted,
    plot_variants,
)
from leptonfit.workbook.figures.style import STYLE, use_style

__all__ = [
    "STYLE",
    "plot_best_band",
    "plot_c_mu_interval",
    "plot_claims",
    "plot_comparison",
    "plot_coverage",
    "plot_degeneracy",
    "plot_forest",
    "plot_golden_loop",
    "plot_manifold",
    "plot_manifolds",
    "plot_map",
    "plot_model",
    "plot_nuisance_paths",
    "plot_outer_radius",
    "plot_profile",
    "plot_recorded_waterfall",
    "plot_reenacted",
    "plot_sigma_ladder",
    "plot_spectrum",
    "plot_variants",
    "plot_waterfall",
    "use_style",
]
