"""The audit: each row from the numbers in the data; change one and its row changes."""

import copy
from dataclasses import replace

import numpy as np
import pytest

from leptonfit.claims.december_2025 import degeneracy, reported
from leptonfit.claims.december_2025.audit import audit_report
from leptonfit.claims.december_2025.degeneracy import run_degeneracy_checks
from leptonfit.claims.december_2025.recorded import describe_findings, load_recorded
from leptonfit.claims.december_2025.reenactment import build_reported
from leptonfit.claims.december_2025.reported import load_claims, recompute_scan
from leptonfit.inference.multistart import Effort
from leptonfit.inference.profile import scan_profile
from leptonfit.vortex.measurements import load_measurements

pytestmark = pytest.mark.slow

REPORT = load_measurements("report_2025")
CLAIMS = load_claims()


@pytest.fixture(scope="module", autouse=True)
def each_scan_once():
    """A changed number changes few of the scans: the others, of the same problem on the same grid, are made once."""
    made = {}

    def scan(problem, name, grid, **options):
        x = problem.start
        numbers = (x, problem.lower, problem.upper, grid, problem.residuals(x), problem.jacobian(x))
        key = (problem.names, problem.residual_names, *(one.tobytes() for one in numbers), str(options))
        if key not in made:
            made[key] = scan_profile(problem, name, grid, **options)
        return made[key]

    with pytest.MonkeyPatch.context() as patch:
        for module in (degeneracy, reported):
            patch.setattr(module, "scan_profile", scan)
        yield


def audit(claims):
    model, velocity = build_reported(REPORT, claims["tight"]), claims["c_mu"]["electron_point"][1]
    given = {"reference": claims["golden_loop"]["beta"], "effort": Effort(4, 1)}
    scans = [recompute_scan(claims[name], REPORT, **given) for name in ("tight", "loose")]
    checks = run_degeneracy_checks(model, claims, effort=Effort(4, 1), velocity=velocity)
    return {row.name: row for row in audit_report(claims, REPORT, scans, checks)}


@pytest.fixture(scope="module")
def rows():
    return audit(CLAIMS)


def test_the_known_contradictions(rows):
    found = {name: row.verdict for name, row in rows.items()}
    for name in (
        "σ-monotonicity",
        "multi-start below the profile",
        "offset, tight",
        "offset, loose",
        "σ_m below the measurement",
        "precision table",
        "β strongly disfavoured",
        "C_μ's factor",
        "flow energy against r_max",
        "stabilisation's grid",
        "mass only",
    ):
        assert found[name] == "contradicted", name
    for name in (
        "multi-start's spread",
        "variation, tight",
        "local minima, loose",
        "χ² per constraint, tight",
        "single lepton",
    ):
        assert found[name] == "no meaning", name
    assert found["model's precision"] == "contradicted"
    for name in ("mass residual, tight", "C_μ, joint range", "A √β", "Golden Loop", "Golden Loop, older form"):
        assert found[name] == "holds", name
    assert "at most 347" in rows["σ-monotonicity"].computed
    assert "0.0968 (3.18 %)" in rows["offset, tight"].computed
    assert "0.1368 (4.49 %)" in rows["offset, loose"].computed
    assert "1,737.2; 5 constraints less 11 parameters leave -6" in rows["χ² per constraint, tight"].computed
    assert "262 at 5, 2094 at 10, 16755 at 20, 134041 at 40" in rows["flow energy against r_max"].computed
    assert "0.7190 R³ instead of 0.9574 R³" in rows["stabilisation's grid"].computed
    assert rows["β strongly disfavoured"].mark == "proven"
    assert rows["offset, tight"].source == CLAIMS["tight"]["source"]


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
        (("c_mu", "electron_alone", 9000.0), "C_μ's factor", "contradicted"),
        (("c_mu", "electron_alone", 9000.0, "factor", 30.0), "C_μ's factor", "holds"),
        (("c_mu", "joint", [237.0, 319.9]), "C_μ, joint range", "contradicted"),
        (("multi_start", "beta_spread", [0.5, 1.0]), "multi-start's spread", "no meaning"),
        (("precision", "target", [1e-20, 1e-19]), "model's precision", "holds"),
        (("golden_loop", "older_c1", 0.5), "Golden Loop", "holds"),
        (("golden_loop", "older_c1", 0.5), "Golden Loop, older form", "contradicted"),
        (("degeneracy", "a_sqrt_beta", 1.5700), "A √β", "contradicted"),
        (("c_mu", "electron_point", [0.44, 0.0241]), "A √β", "contradicted"),
        (("golden_loop", "beta", 3.0433), "Golden Loop", "contradicted"),
    ],
)
def test_a_changed_number_changes_its_row(change, name, verdict):
    table, *changed = change
    claims = copy.deepcopy(CLAIMS)
    claims[table] |= dict(zip(changed[::2], changed[1::2], strict=True))
    assert audit(claims)[name].verdict == verdict


def test_the_recorded_runs_are_of_the_reports_analyses_and_carry_their_versions():
    runs = load_recorded(CLAIMS)
    assert len({run.name for run in runs}) == len(runs)
    assert len({run.versions["scipy"] for run in runs}) >= 3
    for run in runs:
        assert {"numpy", "scipy", "python"} <= set(run.versions)
        assert (len(run.report.tight[0].beta), len(run.report.loose[0].beta)) == (41, 31)
        for scan in run.report.tight:
            if scan.name == "analytic gradient":
                assert scan.chi2.max() < 1e-4  # another kernel leaves one point at 7e-6
            else:
                assert np.count_nonzero(scan.says_converged) >= 40  # says so, with one exception
                assert not scan.stationary.any()


def test_the_finding_is_that_it_does_not_reproduce(rows):
    runs = load_recorded(CLAIMS)
    grid = runs[0].report.tight[0].beta
    profile = scan_profile(build_reported(REPORT, CLAIMS["tight"]).problem, "beta", grid, effort=Effort(4, 1))
    code, said = describe_findings(runs, profile, list(rows.values()), claimed=CLAIMS["tight"]["beta_min"])
    assert code == "not_reproduced"
    assert said.startswith("6 recorded runs of the tight scan")
    assert "5 different β, from 2.85 to 3.24" in said
    assert "zero (< 1e-6) at 41 of 41 points" in said
    stated = runs[0].report.tight[:1]
    alone = replace(runs[0], report=replace(runs[0].report, tight=stated))
    for claimed, code in ((stated[0].beta_min, "reproduced"), (stated[0].beta_min + 0.02, "not_reproduced")):
        assert describe_findings([alone], profile, list(rows.values()), claimed=claimed)[0] == code


def test_a_recorded_run_stands_for_its_own_set_up_only():
    found, set_up = copy.deepcopy(CLAIMS), copy.deepcopy(CLAIMS)
    found["tight"]["chi2_min"] = found["tight"]["beta_min"] = 1.0
    assert len(load_recorded(found)) == len(load_recorded(CLAIMS)) > 0
    set_up["tight"]["beta_range"] = [1.0, 3.25]
    assert not load_recorded(set_up)
