"""The report's optimiser, seen for what it is."""

import numpy as np

from leptonfit.claims.december_2025.reported import load_claims, run_reported_optimiser
from leptonfit.inference.multistart import Effort, run_multistart
from leptonfit.vortex.measurements import load_measurements
from leptonfit.vortex.model import REPORT_BOUNDS, VortexModel


def test_it_says_converged_where_nothing_is_stationary():
    claims, measured = load_claims(), load_measurements("report_2025")
    bounds = {**REPORT_BOUNDS, "beta": (2.5, 3.5)}
    problem = VortexModel(measured, sigma_m_model=1e-6, sigma_g_model=2e-8, bounds=bounds).problem
    ours = run_multistart(problem, effort=Effort(6, 4))
    theirs = run_reported_optimiser(problem, ours.starts, claims["multi_start"]["optimiser"])
    assert ours.reproduced == 6
    assert (ours.chi2 < 1e-6).all()
    assert theirs.claims_success.all()
    assert not theirs.converged.any()
    assert (theirs.chi2 > 1).all()
    assert np.ptp(ours.x[:, 0]) > 0.1
