"""The cross-lepton fit against the exact solution of its equations."""

import numpy as np
import pytest
from scipy import optimize

from leptonfit.inference.identifiability import assess_profile
from leptonfit.inference.intervals import LEVELS
from leptonfit.inference.multistart import Effort
from leptonfit.inference.profile import SetOptions, scan_profile
from leptonfit.inference.sigma_ladder import scan_sigma_ladder
from leptonfit.inference.solve import solve
from leptonfit.vortex.closures import HillClosure
from leptonfit.vortex.measurements import load_measurements
from leptonfit.vortex.model import BOUNDS, MOMENT_FACTOR, REPORT_BOUNDS, VortexModel

REPORT = load_measurements("report_2025")
REFERENCE = 3.043233053
TIGHT = {"sigma_m_model": 1e-6, "sigma_g_model": 2e-8}
EDGE = 1.11487085978  # of the exact set, report's bounds and r_max = 10


def scan(low, high, n, *, sigma=TIGHT, n_starts=8, measured=REPORT, release=True, **closure):
    problem = VortexModel(measured, **sigma, **closure).problem
    grid = np.linspace(low, high, n)
    asked = (REFERENCE, 3.14, 3.18)
    sets = SetOptions(release=release)
    return problem, scan_profile(problem, "beta", grid, effort=Effort(n_starts, 5), references=asked, sets=sets)


def stabilisation(radius, amplitude):
    """E_stab/β of the parabolic shape."""
    return 32 * np.pi / 105 * amplitude**2 * radius**3


# --- an oracle of its own: extremes of q = R U on the exact-mass surface, by SciPy, from the flow integrals alone


def moment_range(mass, beta, r_max, bounds):
    """Smallest and largest R U with U² I(R, A) − β S(R, A) = mass inside the bounds; nan where there is none."""
    closure = HillClosure(r_max=r_max)
    radii, amplitudes = np.linspace(*bounds["R"], 201), np.linspace(*bounds["A"], 201)
    radius, amplitude = np.meshgrid(radii, amplitudes)
    velocity = np.sqrt((mass + beta * stabilisation(radius, amplitude)) / closure.flow(radius, amplitude))
    allowed = (velocity >= bounds["U"][0]) & (velocity <= bounds["U"][1])
    q = np.where(allowed, radius * velocity, np.nan)
    return (np.nanmin(q), np.nanmax(q)) if allowed.any() else (np.nan, np.nan)


def coefficient_gap(beta, r_max=10.0, bounds=REPORT_BOUNDS):
    """Overlap of the C_μ intervals of e and μ (and the bounds); negative where no exact solution exists."""
    low, high = bounds["c_mu"]
    for mass, moment in zip(REPORT.values[:2], REPORT.values[3:], strict=True):
        q_min, q_max = moment_range(mass, beta, r_max, bounds)
        low, high = max(low, moment / (MOMENT_FACTOR * q_max)), min(high, moment / (MOMENT_FACTOR * q_min))
    return high - low


def test_jacobian_by_complex_step():
    problem = VortexModel(REPORT, **TIGHT, include_sigma_exp=True).problem
    rng = np.random.default_rng(3)
    low, high = problem.search_box({"beta": (0.5, 5.0)})
    x, step = rng.uniform(low, high, (7, 11)), 1e-30
    columns = [problem.residuals(x + 1j * step * unit).imag / step for unit in np.eye(11)]
    expected = np.stack(columns, axis=-1)
    np.testing.assert_allclose(problem.jacobian(x), expected, rtol=1e-12, atol=1e-9 * np.abs(expected).max())


def test_residuals_are_pulls_and_chi2_is_that_of_the_full_covariance():
    measured = load_measurements("codata_2022")
    problem = VortexModel(measured, sigma_m_model=1e-7, sigma_g_model=1e-9, include_sigma_exp=True).problem
    x = problem.start
    closure = HillClosure()
    _, c_mu, *geometry = x
    radius, velocity, amplitude = np.reshape(geometry, (3, 3)).T
    mass = velocity**2 * closure.flow(radius, amplitude) - x[0] * stabilisation(radius, amplitude)
    difference = np.concatenate([mass, 0.2 * c_mu * (radius * velocity)[:2]]) - measured.values
    covariance = measured.covariance + np.diag(np.append(1e-7 * measured.values[:3], [1e-9, 1e-9]) ** 2)
    expected = difference @ np.linalg.solve(covariance, difference)
    assert np.sum(problem.residuals(x) ** 2) == pytest.approx(expected, rel=1e-9)


@pytest.mark.slow
@pytest.mark.parametrize("beta", [2.85, 2.97, 3.14, 3.25])
def test_random_starts_reach_zero_and_the_rest_are_reported(beta):
    problem = VortexModel(REPORT, **TIGHT).problem
    rng = np.random.default_rng(int(1000 * beta))
    low, high = problem.search_box({"beta": (beta, beta)})
    fit = solve(problem, rng.uniform(low, high, (1000, 11)), fixed=("beta",))
    exact = fit.chi2 <= 1e-6
    assert exact.mean() >= 0.95
    assert not fit.converged[~exact].any()
    assert fit.converged[exact].all()


@pytest.mark.parametrize(("sigma_m", "sigma_g"), [(1e-3, 2e-8), (1e-2, 2e-8), (1e-8, 1e-2)])
def test_a_narrow_curved_valley_is_followed_to_its_end(sigma_m, sigma_g):
    """One kind of measurement 10⁵ times as precise as the other: below the edge, most starts reach the minimum."""
    problem = VortexModel(REPORT, sigma_m_model=sigma_m, sigma_g_model=sigma_g).problem
    rng = np.random.default_rng(8)
    low, high = problem.search_box({"beta": (1.0, 1.0)})
    fit = solve(problem, rng.uniform(low, high, (200, 11)), fixed=("beta",))
    assert fit.converged.mean() > 0.95
    assert (fit.chi2 < np.nanmin(fit.chi2) * (1 + 1e-6)).mean() > 0.95


@pytest.mark.parametrize(
    ("low", "high", "n", "sigma"),
    [(2.85, 3.25, 41, TIGHT), (2.95, 3.25, 31, {"sigma_m_model": 1e-5, "sigma_g_model": 1e-7})],
)
def test_the_reports_scans_fit_exactly_everywhere(low, high, n, sigma):
    problem, profile = scan(low, high, n, sigma=sigma)
    verdict = assess_profile(problem, profile, reference=REFERENCE)
    assert (profile.chi2_min <= 1e-6).all()
    assert profile.trusted.all()
    assert (profile.reference_chi2 <= 1e-6).all()
    assert (verdict.code, verdict.contains_reference, verdict.minimum) == ("not_identified", True, None)
    assert (verdict.in_tension, verdict.degrees_of_freedom, verdict.constraints_minus_parameters) == (None, 0, -6)


@pytest.mark.slow
def test_c_mu_of_an_exact_solution_lies_in_the_feasible_interval():
    problem, profile = scan(2.85, 3.25, 5)
    assert 237.26 <= profile.x[0, problem.index("c_mu")] <= 318.63


@pytest.mark.slow
def test_the_edge_of_the_set_and_its_shift_with_sigma():
    """Below the edge R_e = A_e = 1 and R_μ = A_μ = 0.1; χ² grows as the square of the distance.

    Of these bounds only A_e ≤ 1 is physical: with the others released the data bound β on neither side.
    """
    problem, profile = scan(0.8, 1.4, 41)
    verdict = assess_profile(problem, profile)
    assert verdict.code == "not_identified"
    (end,) = profile.identified_set["0.95"].below
    assert end.reason == "box"
    assert {str(bound): bound.is_physical for bound in end.held_by} == {
        "R_e ≤ 1": False,
        "A_e ≤ 1": True,
        "R_μ ≥ 0.1": False,
        "A_μ ≥ 0.1": False,
    }
    held = "held below by R_e ≤ 1, R_μ ≥ 0.1, A_μ ≥ 0.1 (search) and A_e ≤ 1 (physical)"
    within = "Within the bounds given it is [1.1148662, 1.9766445e+08]"
    assert f"{within}, {held} and above by C_μ ≥ 100" in verdict.sentence
    assert verdict.interval == (0, np.inf)
    root = optimize.brentq(coefficient_gap, 0.8, 1.4, xtol=1e-12)
    assert root == pytest.approx(EDGE, abs=1e-10)
    ends = [profile.identified_set[level].intervals[0, 0] for level in LEVELS]
    # analytic shift: project the data on the one combination that cannot be fitted, s = ln C_e − ln C_μ
    closure = HillClosure()
    shape = {0: (1.0, 1.0), 1: (0.1, 0.1)}

    def log_q(mass, beta, lepton):
        radius, amplitude = shape[lepton]
        return np.log(radius) + 0.5 * np.log(
            (mass + beta * stabilisation(radius, amplitude)) / closure.flow(radius, amplitude)
        )

    def mismatch(beta, values):
        return sum(
            sign * (np.log(values[3 + lepton]) - log_q(values[lepton], beta, lepton))
            for lepton, sign in ((0, 1), (1, -1))
        )

    values, h = REPORT.values[[0, 1, 2, 3, 4]], 1e-6
    sigma = np.array([1e-6 * values[0], 1e-6 * values[1], 0, 2e-8, 2e-8])
    by_data = np.array([(mismatch(root, values + h * e) - mismatch(root, values - h * e)) / (2 * h) for e in np.eye(5)])
    by_beta = (mismatch(root + h, values) - mismatch(root - h, values)) / (2 * h)
    one_sigma = np.sqrt(np.sum((by_data * sigma) ** 2)) / abs(by_beta)
    for end, level in zip(ends, LEVELS.values(), strict=True):
        assert root - end == pytest.approx(np.sqrt(level) * one_sigma, rel=0.01)
    below = profile.grid < root
    assert (profile.chi2_min[below] > 1).all()
    assert (profile.chi2_min[~below] <= 1e-6).all()
    assert profile.trusted.all()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("r_max", "bounds"),
    [
        (6.7, REPORT_BOUNDS),
        (25.0, REPORT_BOUNDS),
        (10.0, {**REPORT_BOUNDS, "A": (0.1, 0.6)}),
        (10.0, {**REPORT_BOUNDS, "R": (0.2, 0.9)}),
        (10.0, {**REPORT_BOUNDS, "c_mu": (100.0, 250.0)}),
        (10.0, {**REPORT_BOUNDS, "U": (0.001, 1.5)}),
    ],
    ids=["r_max 6.7", "r_max 25", "A below 0.6", "narrow R", "C_mu binds", "U below 1.5"],
)
def test_other_closures_and_bounds_have_the_edges_their_equations_have(r_max, bounds):
    """The set of exact solutions by SciPy alone, wherever its edge lies; the profile must end there."""
    betas = np.geomspace(0.05, 40, 400)
    gaps = np.array([coefficient_gap(beta, r_max, bounds) for beta in betas])
    rises = np.flatnonzero((gaps[:-1] < 0) & (gaps[1:] >= 0))
    assert len(rises) == 1  # each of these sets has one lower edge
    edge = optimize.brentq(coefficient_gap, betas[rises[0]], betas[rises[0] + 1], args=(r_max, bounds), xtol=1e-10)
    problem, profile = scan(0.8 * edge, 1.3 * edge, 21, r_max=r_max, bounds=bounds)
    assert assess_profile(problem, profile).code == "not_identified"
    for level in LEVELS:
        assert profile.identified_set[level].intervals[0, 0] == pytest.approx(edge, abs=1e-4)


@pytest.mark.parametrize("r_max", [5.0, 5.5])
def test_a_tau_out_of_reach_leaves_no_beta(r_max):
    """U ≤ 3 keeps m_τ below 9 I: no β fits within the bounds given, and the model survives without them."""
    assert 9 * HillClosure(r_max=r_max).flow(1.0, 0.1) < REPORT.values[2]
    problem, profile = scan(2.85, 3.25, 9, r_max=r_max)
    verdict = assess_profile(problem, profile, reference=REFERENCE)
    assert (verdict.code, verdict.interval) == ("rejected", None)
    assert (verdict.in_tension, verdict.contains_reference) == (True, None)
    assert "U_τ ≤ 3" in [str(bound) for bound in verdict.reference_held_by]
    assert "the model survives: χ² is < 1e-6" in verdict.sentence
    assert "U_tau" in verdict.nuisances_on_bounds
    # floor: τ at U = 3 with the least depletion, all else exact; β is that of the lowest χ²
    closure = HillClosure(r_max=r_max)
    mass = 9 * closure.flow(0.1, 0.1) - profile.best_x[0] * stabilisation(0.1, 0.1)
    corners = [9 * closure.flow(r, a) - profile.best_x[0] * stabilisation(r, a) for r in (0.1, 1.0) for a in (0.1, 1.0)]
    floor = ((max([mass, *corners]) - REPORT.values[2]) / (1e-6 * REPORT.values[2])) ** 2
    assert profile.best_chi2 == pytest.approx(floor, rel=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize(("low", "high"), [(0.8, 1.0), (1e3, 1e4)])
def test_a_scan_elsewhere_has_the_same_verdict(low, high):
    problem, profile = scan(low, high, 5)
    verdict = assess_profile(problem, profile)
    assert (verdict.code, verdict.minimum) == ("not_identified", None)
    assert profile.identified_set["0.95"].intervals[0, 0] == pytest.approx(1.1148662, abs=1e-7)
    assert (profile.chi2_min > 1).all() == (high < EDGE)


@pytest.mark.slow
def test_wide_bounds_leave_no_edge_but_the_physical_one():
    """With R, U and A almost free exact solutions exist down to β = 0."""
    problem, profile = scan(0.9, 1.3, 9, bounds=BOUNDS["wide"])
    verdict = assess_profile(problem, profile)
    assert (profile.chi2_min <= 1e-6).all()
    assert (verdict.code, verdict.interval) == ("not_identified", (0, np.inf))


@pytest.mark.slow
@pytest.mark.parametrize(("low", "high"), [(0.8, 1.4), (2.85, 3.25)])
def test_chi2_never_rises_along_the_sigma_ladder(low, high):
    _, profile = scan(low, high, 9, release=False)

    def build(**sigma):
        return VortexModel(REPORT, **sigma).problem

    ladder = scan_sigma_ladder(build, profile, **TIGHT, effort=Effort(8, 5))
    assert (np.diff(ladder.chi2_min, axis=0) <= 1e-9 * ladder.chi2_min[:-1]).all()
    assert ladder.trusted.all()
    # every rung from scratch, by itself, agrees: the ladder is not monotonic by construction alone
    for row, sigma_m in enumerate(ladder.sigma_m_model):
        sigma = {"sigma_m_model": sigma_m, "sigma_g_model": ladder.sigma_g_model[row]}
        alone = scan(low, high, 9, sigma=sigma, release=False)[1]
        np.testing.assert_allclose(np.maximum(alone.chi2_min, 1e-6), np.maximum(ladder.chi2_min[row], 1e-6), rtol=1e-6)


def test_experimental_errors_loosen_the_tau_most():
    """σ_m = 1e-6 on τ is finer than its measurement, 6.6e-5: with σ_exp the τ pull shrinks by that factor."""
    without = VortexModel(REPORT, **TIGHT).problem
    included = VortexModel(REPORT, **TIGHT, include_sigma_exp=True).problem
    ratio = without.residuals(without.start) / included.residuals(included.start)
    assert ratio[2] == pytest.approx(np.hypot(1e-6, 0.23 / 3477.228) / 1e-6, rel=1e-9)
    assert np.abs(ratio[[0, 1, 3, 4]] - 1).max() < 3e-3


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"sigma_m_model": 0.0}, r"sigma_m_model = 0: must be above 0"),
        ({"sigma_g_model": np.nan}, r"sigma_g_model = nan: must be finite"),
        ({"closure": "torus"}, r"closure = 'torus': must be one of stream, stream_quartic"),
        ({"moment_map": "own"}, r"moment_map = 'own': must be one of universal, mass_scaled"),
        ({"r_max": 0.5}, r"r_max = 0\.5: must be finite and at least 1, the largest R allowed"),
        ({"bounds": {"W": (0, 1)}}, r"bounds of 'W': must be for one of beta, c_mu, R, U, A, R_e"),
        ({"bounds": {"A_e": (1.0, 0.1)}}, r"A_e: bounds \[1, 0\.1\] must have lower < upper"),
    ],
)
def test_refusals(change, message):
    with pytest.raises(ValueError, match=message):
        VortexModel(REPORT, **{**TIGHT, **change})


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        (
            {"closure": "reported", "gradient": 1.0},
            "gradient = 1: must be 0, because this closure has no gradient term",
        ),
        ({"closure": "lab", "r_max": -1.0}, "r_max = -1: must be above 0"),
        ({"moment_factor": np.nan}, "moment_factor = nan: must be finite"),
    ],
)
def test_models_that_mean_nothing_are_refused(changed, message):
    with pytest.raises(ValueError, match=message):
        VortexModel(REPORT, sigma_m_model=1e-6, sigma_g_model=2e-8, **changed)
