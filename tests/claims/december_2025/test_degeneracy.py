"""The degeneracy checks and variants, against arithmetic done here."""

from dataclasses import replace
from functools import partial

import numpy as np
import pytest

from leptonfit.claims.december_2025 import degeneracy
from leptonfit.claims.december_2025.degeneracy import compare_variants, profile_every_parameter, run_degeneracy_checks
from leptonfit.claims.december_2025.reported import load_claims
from leptonfit.inference.identifiability import null_directions
from leptonfit.inference.multistart import Effort
from leptonfit.inference.profile import SetOptions, scan_profile
from leptonfit.vortex.closures import CLOSURES
from leptonfit.vortex.measurements import load_measurements, load_predictions
from leptonfit.vortex.model import BOUNDS, VortexModel

pytestmark = pytest.mark.slow

REPORT = load_measurements("report_2025")
CLAIMS = load_claims()
MODEL = VortexModel(REPORT, sigma_m_model=1e-6, sigma_g_model=2e-8)
PROBLEM = MODEL.problem
REFERENCE = 3.043233053


@pytest.fixture(scope="module")
def checks():
    found = run_degeneracy_checks(MODEL, CLAIMS, effort=Effort(8, 1))
    return {check.name: check for check in found}


def test_what_is_free_meets_the_mass_at_every_beta(checks):
    for name in ("restricted refit", "fixed amplitude 0.25", "fixed amplitude 0.9", "mass only"):
        assert checks[name].n_zero == len(checks[name].beta) == 21
        assert checks[name].trusted.all()
    assert checks["single lepton, 31 points"].n_zero == 31


def test_the_refit_follows_a_sqrt_beta(checks):
    values = checks["restricted refit"].values
    assert values == pytest.approx(np.full(21, 0.9 * np.sqrt(REFERENCE)), rel=1e-4)
    assert values == pytest.approx(np.full(21, 1.5708), rel=1e-3)


def test_what_is_frozen_echoes_where_it_was_frozen(checks):
    static = 32 * np.pi / 105 * 0.9**2 * 0.44**3
    assert checks["echo"].values == pytest.approx(np.full(21, static), rel=1e-12)
    frozen = checks["frozen at the reference"]
    assert frozen.chi2_min == pytest.approx(((frozen.beta - REFERENCE) * static / 1e-6) ** 2, rel=1e-6)
    elsewhere = checks["frozen at β = 2.55"]
    assert elsewhere.beta[elsewhere.chi2_min.argmin()] == pytest.approx(2.55)


def test_directions_change_no_residual():
    profile = scan_profile(PROBLEM, "beta", np.array([2.9, 3.1]), effort=Effort(8, 1))
    x = profile.x[0]
    directions = null_directions(PROBLEM, x)
    assert len(directions.free) == len(PROBLEM.names) - PROBLEM.on_bounds(x).sum() - 5
    step = 1e-6
    for row, name in enumerate(directions.free):
        moved = x.copy()
        moved[PROBLEM.index(name)] *= 1 + step
        for column, other in enumerate(directions.dependent):
            moved[PROBLEM.index(other)] *= 1 + step * directions.response[row, column]
        assert np.abs(PROBLEM.residuals(moved)).max() < 1e-3
    alone = x.copy()
    alone[PROBLEM.index("U_mu")] *= 1 + step
    assert np.abs(PROBLEM.residuals(alone)).max() > 1  # and not because nothing moved


@pytest.fixture(scope="module")
def variants():
    grid, g_tau = np.linspace(0.8, 3.5, 10), load_predictions()["g_tau"]["value"]
    found = compare_variants(MODEL, grid, CLAIMS, g_tau=g_tau, effort=Effort(12, 1))
    return {variant.name: variant for variant in found}


def test_what_one_constraint_more_or_one_parameter_less_does(variants):
    assert variants["as it is"].verdict_code == "not_identified"
    assert variants["as it is"].identified_set.reason_below == "box"
    assert variants["without the μ's g-factor"].verdict_code == "not_identified"
    held = variants["C_μ held at 250"]  # 250 = g_e/(k q) with q the electron's largest: linear in β
    flow = CLOSURES["stream"](r_max=10.0).flow(np.array(1.0), np.array(1.0))
    root = ((REPORT.values[3] / (0.2 * 250)) ** 2 * flow - 1) / (32 * np.pi / 105)
    assert held.identified_set.intervals[0, 0] == pytest.approx(root, abs=1e-5)
    assert (held.n_constraints, held.n_parameters) == (5, 10)
    full = variants["every A held at its upper bound"]  # then R decides: e at its largest, μ at its smallest
    line = []
    for mass, g, radius in ((REPORT.values[0], REPORT.values[3], 1.0), (REPORT.values[1], REPORT.values[4], 0.1)):
        scale = radius**2 / CLOSURES["stream"](r_max=10.0).flow(np.array(radius), np.array(1.0)) / g**2
        line.append((scale * mass, scale * 32 * np.pi / 105 * radius**3))
    root = (line[1][0] - line[0][0]) / (line[0][1] - line[1][1])
    assert full.identified_set.intervals[0, 0] == pytest.approx(root, abs=1e-5)


def test_the_tau_moment_would_reject_the_closure(variants):
    """C_μ ≥ 100 needs R U ≤ 0.1 of a τ whose mass needs U ≥ 1.28: χ² is at least that of g alone."""
    tau = variants["with the τ's g-factor, as predicted"]
    assert tau.mark == "simulated"
    assert tau.verdict_code == "rejected"
    assert (tau.n_constraints, tau.n_parameters) == (6, 11)
    assert tau.best_chi2 > 1e10


def test_every_parameter_has_its_set(monkeypatch):
    within = partial(scan_profile, sets=SetOptions(release=False))  # only the sets within the bounds are looked at here
    monkeypatch.setattr(degeneracy, "scan_profile", within)
    problem = replace(MODEL, bounds={**BOUNDS["report"], "beta": (0.8, 3.5)}).problem
    profiles = profile_every_parameter(problem, n_points=31, effort=Effort(8, 1))
    beta = profiles["beta"].identified_set["0.95"].intervals
    assert beta == pytest.approx(np.array([[1.1148662, 3.5]]), abs=1e-6)
    low, high = profiles["c_mu"].identified_set["0.95"].intervals[0]
    flow = CLOSURES["stream"](r_max=10.0).flow(np.array(1.0), np.array(1.0))
    largest = np.sqrt((1 + 3.5 * 32 * np.pi / 105) / flow)
    assert low == pytest.approx(REPORT.values[3] / (0.2 * largest), rel=1e-5)
    assert high == pytest.approx(318.635, abs=1e-2)
    assert profiles["A_tau"].identified_set["0.95"].intervals == pytest.approx(np.array([[0.1, 1.0]]))
