"""C_μ without a fit, against the closed forms and against the fit."""

import numpy as np
import pytest

from leptonfit.inference.contour import scan_map
from leptonfit.inference.multistart import Effort
from leptonfit.inference.profile import scan_profile
from leptonfit.vortex.c_mu import describe_c_mu, feasible_c_mu, solution_manifold
from leptonfit.vortex.certificate import certify
from leptonfit.vortex.closures import CLOSURES, HillClosure
from leptonfit.vortex.measurements import load_measurements
from leptonfit.vortex.model import BOUNDS, VortexModel

REPORT = load_measurements("report_2025")
SIGMA = {"sigma_m_model": 1e-6, "sigma_g_model": 2e-8}


def model(**changed):
    return VortexModel(REPORT, **SIGMA, **changed)


def corner_c_mu(lepton, beta, radius, amplitude, r_max):
    """C_μ at one corner of the box: in the stream closure q grows with R and with A, so corners are the ends."""
    static = 32 * np.pi / 105 * amplitude**2 * radius**3
    flow = HillClosure(r_max=r_max).flow(np.array(radius), np.array(amplitude))
    return REPORT.values[3 + lepton] / (0.2 * radius * np.sqrt((REPORT.values[lepton] + beta * static) / flow))


@pytest.mark.parametrize(("beta", "r_max"), [(2.85, 10.0), (1.7, 10.0), (2.2, 13.3), (6.1, 7.7)])
def test_stream_intervals_end_at_the_corners(beta, r_max):
    result = feasible_c_mu(model(r_max=r_max), np.array([beta]))
    ends = {
        (lepton, end): corner_c_mu(lepton, beta, x, x, r_max) for lepton in (0, 1) for end, x in ((0, 1.0), (1, 0.1))
    }
    assert result.electron[0] == pytest.approx([ends[0, 0], ends[0, 1]], rel=1e-12)
    assert result.muon[0] == pytest.approx([ends[1, 0], ends[1, 1]], rel=1e-12)
    assert result.joint[0] == pytest.approx([max(ends[0, 0], ends[1, 0], 100), min(ends[0, 1], ends[1, 1])], rel=1e-12)


def test_the_numbers_of_the_report():
    assert feasible_c_mu(model(), np.array([2.85])).joint[0] == pytest.approx([237.26, 318.63], abs=0.01)
    reported = feasible_c_mu(model(closure="reported"), np.array([2.85])).joint[0]
    assert reported == pytest.approx([237.40, 318.40], abs=0.01)
    assert feasible_c_mu(model(), np.array([3.0432])).electron[0] == pytest.approx([231.6, 4581.7], abs=0.1)
    manifold = solution_manifold(model(), 3.0432)
    near = np.abs(manifold.radius - 0.44).argmin()
    assert manifold.c_mu[:, near].min() < 948 * 1.05
    assert manifold.c_mu[:, near].max() > 948 * 0.95


@pytest.mark.slow
@pytest.mark.parametrize("closure", ["stream", "stream_quartic", "reported"])
def test_the_edge_of_the_interval_is_the_edge_of_the_profile(closure):
    betas = np.linspace(0.9, 3.0, 22)
    given = model(closure=closure)
    profile = scan_profile(given.problem, "beta", betas, effort=Effort(6, 1))
    feasible = feasible_c_mu(given, betas)
    assert ((profile.chi2_min < 1e-6) == feasible.is_feasible).all()
    edge = profile.identified_set["0.95"].intervals[0, 0]
    beside = feasible_c_mu(given, np.array([edge - 1e-5, edge + 1e-5]))
    assert beside.is_feasible.tolist() == [False, True]


def test_the_map_is_zero_inside_the_interval_and_only_there():
    betas, values = np.linspace(1.0, 3.2, 9), np.linspace(180, 380, 21)
    given = model(r_max=9.0)
    result = scan_map(given.problem, ("beta", betas), ("c_mu", values), effort=Effort(4, 1))
    joint = feasible_c_mu(given, betas).joint
    inside = (values >= joint[:, :1]) & (values <= joint[:, 1:])
    assert ((result.chi2_min < 1e-6) == inside).all()
    assert result.converged.all()


def test_lab_with_the_reports_bounds_has_no_interval_and_with_wide_ones_it_has():
    assert not feasible_c_mu(model(closure="lab"), np.array([3.0])).is_feasible.any()
    assert feasible_c_mu(model(closure="lab", bounds=BOUNDS["wide"]), np.array([3.0])).is_feasible.all()


@pytest.mark.slow
def test_lab_with_the_reports_bounds_is_rejected_and_what_binds_is_named():
    problem = model(closure="lab").problem
    profile = scan_profile(problem, "beta", np.array([2.9, 3.2]), effort=Effort(16, 1), references=(3.043233053,))
    assert profile.reference_chi2[0] == pytest.approx(2.938e12, rel=1e-3)
    assert profile.reference_trusted[0]
    bound = {
        name for name, touched in zip(profile.names, problem.on_bounds(profile.reference_x[0]), strict=True) if touched
    }
    assert {"c_mu", "U_tau"} <= bound


def test_the_sentence_follows_the_numbers():
    given = {"claim": 948.0, "limits": (100.0, 1500.0)}
    scan = feasible_c_mu(model(), np.array([0.9, 3.0]))
    below, there = (feasible_c_mu(model(), np.array([beta])) for beta in (0.9, 3.0))
    said = describe_c_mu(scan, there, **given)
    assert said.startswith("Within the bounds given")
    assert "948 is allowed by the electron alone and does not contradict" in said
    assert "at 1 of 2 points" in said
    assert "9480 is not allowed by the electron alone" in describe_c_mu(scan, there, **{**given, "claim": 9480.0})
    assert "no C_μ fits all leptons there" in describe_c_mu(scan, below, **given)
    lab = feasible_c_mu(model(closure="lab"), np.array([3.0]))
    said = describe_c_mu(lab, lab, **given)
    assert "the bounds of C_μ are 100 to 1500" in said


@pytest.mark.parametrize(("shape", "beta"), [("lab", 1.0), ("lab_quartic", 0.2), ("lab_gaussian", 0.4181)])
def test_wide_bounds_in_the_lab_frame_where_a_limit_of_u_ends_the_interval(shape, beta):
    found = feasible_c_mu(model(closure=shape, bounds=BOUNDS["wide"]), np.array([beta])).joint[0]
    radius, amplitude = np.meshgrid(np.geomspace(1e-3, 10, 4001), np.linspace(0.01, 1, 201))
    energy = CLOSURES[shape](r_max=10.0)
    allowed = []
    for mass, g in zip(REPORT.values[:2], REPORT.values[3:], strict=True):
        velocity = np.sqrt((mass - energy.static(radius, amplitude, np.array(beta))) / energy.flow(radius, amplitude))
        c_mu = np.where((velocity >= 1e-4) & (velocity <= 1e3), g / (0.2 * radius * velocity), np.nan)
        allowed.append((np.nanmin(c_mu), np.nanmax(c_mu)))
    low, high = max(a for a, _ in allowed), min(b for _, b in allowed)
    assert found == pytest.approx([low, high], rel=4e-3)
    assert found[0] <= low * (1 + 1e-12)
    assert found[1] >= high * (1 - 1e-12)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"moment_map": "mass_scaled"}, "moment_map = 'mass_scaled': must be universal"),
        ({"gradient": 1.0}, "gradient = 1: must be 0"),
    ],
)
def test_a_model_without_a_closed_form_is_refused(change, message):
    given = model(**change)
    for solve_without_fit in (feasible_c_mu, solution_manifold, lambda one, beta: certify(one, beta, beta)):
        with pytest.raises(ValueError, match=message):
            solve_without_fit(given, 3.0)
