"""The re-enactment: the report's objective is what is minimised, and nothing says more than it may."""

import numpy as np
import pytest
from scipy.optimize import OptimizeResult

from leptonfit.claims.december_2025 import reenactment
from leptonfit.claims.december_2025.reenactment import (
    Setting,
    build_reported,
    reenact_checks,
    reenact_multi_start,
    reenact_report,
    reenact_scan,
)
from leptonfit.claims.december_2025.reported import load_claims
from leptonfit.vortex.measurements import load_measurements

pytestmark = pytest.mark.slow

REPORT = load_measurements("report_2025")
CLAIMS = load_claims()


def few(name, n):
    return {**CLAIMS, name: {**CLAIMS[name], "n_beta": n}}


def test_with_an_analytic_gradient_the_same_optimiser_reaches_zero():
    scan = reenact_scan(REPORT, few("tight", 5), "tight", Setting("analytic", analytic=True))
    assert (scan.chi2 < 1e-4).all()  # to what the kernel of the linear algebra leaves
    stalled = reenact_scan(REPORT, few("tight", 5), "tight")
    assert stalled.says_converged.all()
    assert not stalled.stationary.any()
    assert stalled.chi2.min() > 1.0
    assert stalled.seconds > 0


def test_order_and_start_are_what_they_say():
    """Cold, the first point is that of the ascending scan; descending, the last; elsewhere they part."""
    claims = few("loose", 4)
    up, down, cold = (
        reenact_scan(REPORT, claims, "loose", Setting("", start="loose", order=order))
        for order in ("ascending", "descending", "cold")
    )
    assert cold.chi2[0] == up.chi2[0]
    assert cold.chi2[-1] == down.chi2[-1]
    assert cold.chi2[1] != up.chi2[1]


def test_a_finer_grid_of_the_functional_nears_the_closed_form_of_the_stabilisation():
    claim, x = CLAIMS["tight"], None
    errors = []
    for n_radii in (100, 1000):
        problem = build_reported(REPORT, claim, n_radii=n_radii).problem
        x = problem.start
        slope = problem.jacobian(x)[0, problem.index("beta")] * 1e-6  # −A² R³ s of the electron
        errors.append(abs(-slope / (x[problem.index("A_e")] ** 2 * x[problem.index("R_e")] ** 3) - 32 * np.pi / 105))
    assert errors[1] < errors[0] / 5


def test_the_multi_start_takes_c_mu_by_least_squares():
    found = reenact_multi_start(REPORT, CLAIMS["multi_start"], seed=3)
    assert found.chi2.tolist() == sorted(found.chi2)
    assert ((found.beta_start >= 2.8) & (found.beta_start <= 3.3)).all()
    assert len(found.beta) == CLAIMS["multi_start"]["n_starts"]
    again = reenact_multi_start(REPORT, CLAIMS["multi_start"], seed=3)
    assert again.chi2.tolist() == found.chi2.tolist()


def test_variation_and_minima_are_counted_as_defined():
    scan = reenact_scan(REPORT, few("tight", 5), "tight", Setting("", analytic=True))
    object.__setattr__(scan, "beta", np.linspace(2.5, 3.5, 5))
    object.__setattr__(scan, "chi2", np.array([4.0, 1.0, 3.0, 2.0, 8.0]))
    assert (scan.beta_min, scan.variation, scan.n_local_minima) == (pytest.approx(2.75), 7.0, 2)


def test_every_check_is_re_enacted_in_the_reports_functional():
    found = {check.name: check for check in reenact_checks(REPORT, CLAIMS)}
    assert {f"fixed amplitude {a:g}" for a in (0.25, 0.5, 0.75, 0.9)} < set(found)
    assert {"echo", "restricted refit", "mass only", "single lepton, 11 points", "single lepton, 31 points"} < set(
        found
    )
    refit = found["restricted refit"]  # the report's 1.5708, at the R and U it names
    assert refit.values == pytest.approx(np.full(21, 1.5708), abs=1e-4)
    frozen = found["frozen at the reference"]
    at = float(frozen.chi2_min[frozen.beta == 3.043233053][0])
    assert np.sqrt(at) * 1e-6 == pytest.approx(2.0869928e-4, rel=1e-6)  # E(0.44, 0.024, 0.90) = 1.00020869928
    masses = found["mass only"]
    assert not masses.trusted.any()
    assert (np.sqrt(masses.chi2_min) * 1e-6 < 1e-4).sum() >= 17


@pytest.fixture
def calls(monkeypatch):
    """Every call of the optimiser: start, and options; it stops where it starts."""
    made = []

    def stop(fun, x0, **options):
        made.append({"x": np.array(x0), "chi2": fun(x0), **options})
        return OptimizeResult(x=np.array(x0), fun=fun(x0), success=True, nfev=1)

    monkeypatch.setattr(reenactment, "minimize", stop)
    return made


def start_of(name):
    return np.array([value for lepton in ("e", "mu", "tau") for value in CLAIMS[name]["start"][lepton]])


def test_each_setting_reaches_the_optimiser(calls):
    reenact_scan(REPORT, few("tight", 2), "tight", Setting("", step=1e-5, start="multi_start"))
    assert [call["options"]["eps"] for call in calls] == [1e-5, 1e-5]
    assert calls[0]["options"]["maxiter"] == CLAIMS["tight"]["maxiter"]
    start = start_of("multi_start")
    start[7] = min(start[7], 3.0)
    assert calls[0]["x"] == pytest.approx([250.0, *start])
    reenact_scan(REPORT, few("tight", 2), "tight", Setting("", n_radii=400))
    assert calls[-1]["x"] == pytest.approx([250.0, *start_of("tight")])
    problem = build_reported(REPORT, CLAIMS["tight"], n_radii=400).problem
    assert calls[-1]["chi2"] == pytest.approx(float(np.sum(problem.residuals(np.array([3.25, *calls[-1]["x"]])) ** 2)))


def test_the_loose_scan_is_the_loose_one(calls):
    scan = reenact_report(REPORT, CLAIMS, seed=1).loose[0]
    assert scan.beta[[0, -1]].tolist() == CLAIMS["loose"]["beta_range"]
    assert len(scan.beta) == CLAIMS["loose"]["n_beta"]


def test_the_multi_start_is_boxed_and_calibrates_c_mu(calls):
    reenact_multi_start(REPORT, CLAIMS["multi_start"], seed=3)
    assert len(calls) == CLAIMS["multi_start"]["n_starts"]
    call, start = calls[0], start_of("multi_start")
    assert call["bounds"][0] == tuple(CLAIMS["multi_start"]["beta_box"])
    assert call["x"][1:] == pytest.approx(start)
    moment, g = 0.2 * start[0:6:3] * start[1:6:3], REPORT.values[3:]
    c_mu = np.linspace(0.0, 200.0, 400001)
    misfit = ((c_mu[:, None] * moment - g) ** 2).sum(axis=-1).min()
    problem = build_reported(REPORT, CLAIMS["multi_start"]).problem
    masses = problem.residuals(np.array([call["x"][0], 250.0, *start]))[:3]
    assert call["chi2"] == pytest.approx(float(np.sum(masses**2)) + misfit / 2e-8**2, rel=1e-6)


def test_the_checks_start_at_u_growing_with_the_root_of_the_mass(calls):
    reenact_checks(REPORT, CLAIMS)
    masses = next(call for call in calls if len(call["x"]) == 9)
    assert masses["x"][1::3] == pytest.approx(np.minimum(0.024 * np.sqrt(REPORT.values[:3]), 3.0))
