"""Figures: each function draws a result into given axes and does no computation."""

from leptonfit.workbook.figures.answer import plot_allowed_fits, plot_answer, plot_profile_by_cause
from leptonfit.workbook.figures.closures import plot_coverage, plot_forest
from leptonfit.workbook.figures.discrepancy import plot_corner, plot_models, plot_scorecard
from leptonfit.workbook.figures.fits import (
    plot_best_band,
    plot_comparison,
    plot_map,
    plot_nuisance_paths,
    plot_profile,
    plot_sigma_ladder,
    plot_spectrum,
    plot_waterfall,
)
from leptonfit.workbook.figures.flavour import plot_moments, plot_solar_states
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
from leptonfit.workbook.figures.neutrinos import (
    plot_all_compared,
    plot_coherence,
    plot_compared,
    plot_delta_chi2,
    plot_fluxes,
    plot_limits,
    plot_nuisances,
    plot_published,
    plot_recoils,
    plot_response,
    plot_thresholds,
)
from leptonfit.workbook.figures.sheet import plot_contact_sheet
from leptonfit.workbook.figures.style import STYLE, use_style

__all__ = [
    "STYLE",
    "plot_all_compared",
    "plot_allowed_fits",
    "plot_answer",
    "plot_best_band",
    "plot_c_mu_interval",
    "plot_claims",
    "plot_coherence",
    "plot_compared",
    "plot_comparison",
    "plot_contact_sheet",
    "plot_corner",
    "plot_coverage",
    "plot_degeneracy",
    "plot_delta_chi2",
    "plot_fluxes",
    "plot_forest",
    "plot_golden_loop",
    "plot_limits",
    "plot_manifold",
    "plot_manifolds",
    "plot_map",
    "plot_model",
    "plot_models",
    "plot_moments",
    "plot_nuisance_paths",
    "plot_nuisances",
    "plot_outer_radius",
    "plot_profile",
    "plot_profile_by_cause",
    "plot_published",
    "plot_recoils",
    "plot_reenacted",
    "plot_response",
    "plot_scorecard",
    "plot_sigma_ladder",
    "plot_solar_states",
    "plot_spectrum",
    "plot_thresholds",
    "plot_variants",
    "plot_waterfall",
    "use_style",
]
