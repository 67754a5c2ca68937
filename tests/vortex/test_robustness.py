"""Cases in which a free fit that stops early once made the verdict depend on seed or grid."""

import numpy as np
import pytest

from leptonfit.inference.identifiability import assess_profile
from leptonfit.inference.multistart import Effort, run_multistart
from leptonfit.inference.profile import scan_profile
from leptonfit.vortex.measurements import load_measurements
from leptonfit.vortex.model import REPORT_BOUNDS, VortexModel

pytestmark = pytest.mark.slow

REPORT = load_measurements("report_2025")
TIGHT = {"sigma_m_model": 1e-6, "sigma_g_model": 2e-8}


@pytest.mark.parametrize("grid", [(2, 17, 9), (2, 17, 41), (0, 300, 31)])
@pytest.mark.parametrize("seed", [1, 2])
def test_a_narrow_set_between_nodes_is_found_from_any_grid_and_seed(grid, seed):
    bounds = {**REPORT_BOUNDS, "A": (0.42, 0.53), "c_mu": (82, 1207), "U": (0.001, 0.57)}
    problem = VortexModel(REPORT, **TIGHT, r_max=17.2, bounds=bounds).problem
    profile = scan_profile(problem, "beta", np.linspace(*grid), effort=Effort(16, seed))
    verdict = assess_profile(problem, profile)
    assert (verdict.code, verdict.in_tension) == ("rejected", True)
    assert profile.identified_set["0.95"].intervals[0] == pytest.approx([3.9698253, 3.9791977], abs=1e-6)
    assert profile.best_chi2 == pytest.approx(17866169.50, abs=0.01)


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_the_lowest_chi2_does_not_depend_on_the_seed(seed):
    problem = VortexModel(
        load_measurements("codata_2022"), sigma_m_model=1e-3, sigma_g_model=1e-5, r_max=5.68, include_sigma_exp=True
    ).problem
    profile = scan_profile(problem, "beta", np.linspace(2.85, 3.25, 11), effort=Effort(16, seed))
    verdict = assess_profile(problem, profile)
    assert profile.best_chi2 == pytest.approx(35.95100901, abs=1e-7)
    assert (verdict.minimum, verdict.in_tension) == (pytest.approx(1.1137385, abs=1e-6), True)


def test_a_free_fit_reaches_a_bound_far_from_the_scan():
    problem = VortexModel(REPORT, **TIGHT, bounds={**REPORT_BOUNDS, "c_mu": (464, 1318), "U": (0.001, 2.55)}).problem
    profile = scan_profile(problem, "beta", np.linspace(4.007, 18.89, 9), effort=Effort(16, 0))
    verdict = assess_profile(problem, profile)
    assert (verdict.code, verdict.minimum, verdict.in_tension) == ("rejected", 0.0, True)
    free = run_multistart(problem, effort=Effort(64, 1, {"beta": (4.0, 19.0)}))
    assert free.converged.mean() > 0.9
    assert free.chi2[0] == pytest.approx(profile.best_chi2, rel=1e-9)
