"""The audit: each row from the numbers in the data; change one and its row changes."""

import copy

import pytest

from leptonfit.vortex.audit import audit_report, describe_findings
from leptonfit.vortex.closures import CLOSURES
from leptonfit.vortex.cross_lepton import build_problem
from leptonfit.vortex.degeneracy import run_degeneracy_checks
from leptonfit.vortex.measurements import load_measurements
from leptonfit.vortex.reenactment import load_recorded
from leptonfit.vortex.reported import load_claims, recompute_scan

REPORT = load_measurements("report_2025")
CLAIMS = load_claims()


def audit(claims):
    problem = build_problem(REPORT, sigma_m_model=1e-6, sigma_g_model=2e-8)
    scans = [recompute_scan(claims, name, REPORT, n_starts=4, seed=1) for name in ("tight", "loose")]
    checks = run_degeneracy_checks(problem, CLOSURES["stream"](r_max=10.0), claims, n_starts=4, seed=1)
    return {row.name: row for row in audit_report(claims, REPORT, scans, checks)}


@pytest.fixture(scope="module")
def rows():
    return audit(CLAIMS)


def test_the_known_contradictions(rows):
    found = {name: row.verdict for name, row in rows.items()}
    for name in (
        "σ-monotonicity", "multi-start below the profile", "offset, tight", "offset, loose",
        "σ_m below the measurement", "precision table", "β strongly disfavoured", "C_μ's factor",
        "flow energy against r_max", "stabilisation's grid", "mass only",
    ):  # fmt: skip
        assert found[name] == "contradicted", name
    for name in ("variation, tight", "local minima, loose", "χ² per constraint, tight", "single lepton"):
        assert found[name] == "no meaning", name
    for name in ("mass residual, tight", "C_μ, joint range", "Golden Loop"):
        assert found[name] == "holds", name
    assert "at most 347" in rows["σ-monotonicity"].recomputed
    assert "0.0968 (3.18 %)" in rows["offset, tight"].recomputed
    assert "0.1368 (4.49 %)" in rows["offset, loose"].recomputed
    assert "1,737.2; 5 constraints less 11 parameters leave -6" in rows["χ² per constraint, tight"].recomputed
    assert "262 at 5, 2094 at 10, 16755 at 20, 134041 at 40" in rows["flow energy against r_max"].recomputed
    assert "0.7190 R³ instead of 0.9574 R³" in rows["stabilisation's grid"].recomputed
    assert rows["β strongly disfavoured"].mark == "proven"


@pytest.mark.parametrize(
    ("change", "name", "verdict"),
    [
        (("loose", "chi2_min", 300.0), "σ-monotonicity", "holds"),
        (("multi_start", "chi2_best", 9000.0), "multi-start below the profile", "holds"),
        (("tight", "offset", 0.0968), "offset, tight", "holds"),
        (("tight", "chi2_per_constraint", 1700.0), "χ² per constraint, tight", "contradicted"),
        (("loose", "mass_residual", 2e-3), "mass residual, loose", "contradicted"),
        (("precision", "codata", [1e-3, 1e-14]), "precision table", "holds"),
        (("audit", "excluded", 1.05), "β strongly disfavoured", "holds"),
        (("c_mu", "electron_alone", 9000.0), "C_μ's factor", "holds"),
        (("c_mu", "joint", [237.0, 319.9]), "C_μ, joint range", "contradicted"),
        (("mass_only", "n_converged", 21), "mass only", "holds"),
        (("golden_loop", "older_c1", 0.5), "Golden Loop", "holds"),
        (("golden_loop", "beta", 3.0433), "Golden Loop", "contradicted"),
    ],
)
def test_a_changed_number_changes_its_row(change, name, verdict):
    table, key, value = change
    claims = copy.deepcopy(CLAIMS)
    claims[table][key] = value
    assert audit(claims)[name].verdict == verdict


def test_the_recorded_run_is_the_reports_functional_and_carries_its_versions(rows):
    recorded = load_recorded()
    assert {"numpy", "scipy", "python"} <= set(recorded["versions"])
    assert len(recorded["tight"][0].beta) == 41
    assert len(recorded["loose"][0].beta) == 31
    stalled = [scan for scan in recorded["tight"] if scan.name != "analytic gradient"]
    assert all(scan.says_converged.all() and not scan.stationary.any() for scan in stalled)
    assert recorded["tight"][-1].chi2.max() < 1e-6


def test_the_finding_is_that_it_does_not_reproduce(rows):
    from leptonfit.inference.profile import scan_profile
    from leptonfit.vortex.reenactment import build_reported

    recorded = load_recorded()["tight"]
    profile = scan_profile(build_reported(REPORT, CLAIMS["tight"]), "beta", recorded[0].beta, n_starts=4, seed=1)
    code, said = describe_findings(recorded, profile, list(rows.values()), CLAIMS)
    assert code == "not_reproduced"
    assert "zero (< 1e-6) at 41 of 41 points" in said
    same = [scan for scan in recorded if scan.name == "as stated"]
    claims = copy.deepcopy(CLAIMS)
    claims["tight"]["beta_min"] = same[0].beta_min
    assert describe_findings(same, profile, list(rows.values()), claims)[0] == "reproduced"
