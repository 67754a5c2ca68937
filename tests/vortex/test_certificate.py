"""What is proven, against closed forms derived here, the profile, and the feasible interval."""

from dataclasses import replace

import numpy as np
import pytest

from leptonfit.inference.intervals import LEVELS
from leptonfit.inference.multistart import Effort, run_multistart
from leptonfit.inference.profile import SetOptions, scan_profile
from leptonfit.inference.solve import solve
from leptonfit.vortex import certificate
from leptonfit.vortex.c_mu import edge_at_corners, feasible_c_mu, find_edges, sigma_shift
from leptonfit.vortex.certificate import (
    CertificateResult,
    CertifiedScanResult,
    certify,
    certify_scan,
    describe_certificate,
    mark_verdict,
)
from leptonfit.vortex.enclosures import CERTIFIABLE
from leptonfit.vortex.measurements import load_measurements
from leptonfit.vortex.model import BOUNDS, VortexModel

pytestmark = pytest.mark.slow

REPORT = load_measurements("report_2025")
SIGMA = {"sigma_m_model": 1e-6, "sigma_g_model": 2e-8}
M_E, M_MU, M_TAU, G_E, G_MU = REPORT.values


def vortex(**changed):
    return VortexModel(REPORT, **{**SIGMA, **changed})


def flow(radius, amplitude, r_max=10.0, c=6 / 35):
    return np.pi * (2 / 3 * r_max**3 + radius**3 * (2 / 21 - c * amplitude) - radius**6 / (3 * r_max**3))


def static(radius, amplitude, s=32 * np.pi / 105):
    return s * amplitude**2 * radius**3


def meet(e, mu, r_max=10.0, c=6 / 35, s=32 * np.pi / 105):
    """β where e at one corner (R, A) and μ at another need the same C_μ: both q² are linear in β."""
    line = []
    for mass, moment, (radius, amplitude) in ((M_E, G_E, e), (M_MU, G_MU, mu)):
        scale = radius**2 / flow(radius, amplitude, r_max, c) / moment**2
        line.append((scale * mass, scale * static(radius, amplitude, s)))
    return (line[1][0] - line[0][0]) / (line[0][1] - line[1][1])


def reach(square, mass, radius, amplitude):
    """β where the mass is met at that U², R and A."""
    return (square * flow(radius, amplitude) - mass) / static(radius, amplitude)


def lowest(problem, beta, *, n_starts=16):
    """χ²_min computed at one β."""
    return run_multistart(problem, effort=Effort(n_starts, 1), fixed={"beta": beta}).chi2.min()


def bounded(**changed):
    return {**BOUNDS["report"], **changed}


HIGH, LOW = (1.0, 1.0), (0.1, 0.1)
CASES = {
    "report": ({}, meet(HIGH, LOW), (0.8, 1.4)),
    "another r_max": ({"r_max": 13.3}, meet(HIGH, LOW, 13.3), (0.6, 1.7)),
    "quartic": ({"closure": "stream_quartic"}, meet(HIGH, LOW, c=136 / 1155, s=512 * np.pi / 3465), (1.0, 4.0)),
    "smaller vortices": ({"bounds": bounded(R=(0.1, 0.83))}, meet((0.83, 1.0), LOW), (0.8, 9.0)),
    "C_μ binds": ({"bounds": bounded(c_mu=(100.0, 250.0))}, reach((G_E / (0.2 * 250)) ** 2, M_E, 1.0, 1.0), (0.8, 4.0)),
    "U binds": ({"bounds": bounded(U_e=(0.04, 3.0))}, reach(0.04**2, M_E, 1.0, 1.0), (1.0, 4.0)),
    "the τ's U binds": (
        {"bounds": bounded(U_tau=(0.001, 1.3), A_tau=(0.99, 1.0), R_tau=(0.5, 1.0))},
        reach(1.3**2, M_TAU, 0.5, 0.99),
        (400.0, 600.0),
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_certificate_closed_form_and_profile_agree_on_the_edge(case):
    changed, root, (low, high) = CASES[case]
    model = vortex(**changed)
    assert find_edges(model, low, high) == pytest.approx([root], rel=1e-10)
    certified = certify_scan(model, low, high)
    (enclosure,) = certified.enclosures()
    assert enclosure[0] <= root <= enclosure[1]
    assert enclosure[1] - enclosure[0] <= 1e-8 * root
    shift = sigma_shift(model, root)
    side = 1 if case == "the τ's U binds" else -1  # the set ends there, elsewhere it begins
    profile = scan_profile(
        model.problem, "beta", np.linspace(low, high, 9), effort=Effort(8, 1), sets=SetOptions(release=False)
    )
    for level in ("0.68", "0.95"):
        end = profile.identified_set[level].intervals[0, 0 if side < 0 else 1]
        assert end - root == pytest.approx(side * np.sqrt(LEVELS[level]) * shift, rel=0.01)
    (zero,) = certified.intervals("zero")
    (excluded,) = certified.intervals("positive", level=LEVELS["0.95"])
    assert (zero[1] == high and excluded[0] == low) if side < 0 else (zero[0] == low and excluded[1] == high)
    assert mark_verdict("open_above" if side < 0 else "open_below", certified) == "proven"


def test_the_known_numbers():
    root = CASES["report"][1]
    assert root == pytest.approx(1.11487085978, abs=1e-11)
    assert edge_at_corners(vortex()) == pytest.approx(root, abs=1e-13)
    assert edge_at_corners(vortex(r_max=13.3)) == pytest.approx(CASES["another r_max"][1], abs=1e-13)
    assert np.sqrt(LEVELS["0.95"]) * sigma_shift(vortex(), root) == pytest.approx(4.703e-6, rel=1e-3)


def test_an_empty_set_is_proven_empty():
    model = vortex(bounds=bounded(U_tau=(0.001, 1.2)))
    certified = certify_scan(model, 0.5, 800.0)
    assert certified.intervals("positive", level=1e10).tolist() == [[0.5, 800.0]]
    assert certified.pieces[0].reason == "τ alone"
    heaviest = 1.2**2 * flow(0.1, 0.1)  # R = A = 0.1, less a β S that only lowers it
    assert certified.pieces[0].chi2_bound <= ((M_TAU - heaviest + 1) / (1e-6 * M_TAU)) ** 2
    assert find_edges(model, 0.5, 800.0).tolist() == []
    assert "begin" not in describe_certificate(certified)
    assert mark_verdict("identified", certified) == "numerical"


@pytest.mark.parametrize(
    ("beta", "closure", "fraction"),
    [
        (0.4, "stream", 0.3),
        (1.0, "stream", 0.5),
        (1.11, "stream", 0.5),
        (1.9, "stream_quartic", 0.5),
        (3.043233053, "lab", 0.98),
        (0.7, "lab_gaussian", 0.98),
    ],
)
def test_the_bound_lies_below_the_computed_minimum_and_not_far(beta, closure, fraction):
    model = vortex(closure=closure)
    computed = lowest(model.problem, beta)
    proven = certify(model, beta, beta)
    assert proven.status == "positive"
    assert fraction * computed < proven.chi2_bound < computed


def test_the_bound_holds_with_correlated_experimental_errors():
    model = vortex(include_sigma_exp=True)
    computed = lowest(model.problem, 1.0)
    proven = certify(model, 1.0, 1.0).chi2_bound
    assert 0.3 * computed < proven < computed


def test_a_value_between_two_pieces_is_not_attained():
    """U_e just above its smallest at the largest A: e has solutions at small R and at large R, none between."""
    beta, r_max = 1.0, 1.0
    radius = np.linspace(0.1, 1.0, 20001)
    speed = np.sqrt((M_E + beta * static(radius, 0.2)) / flow(radius, 0.2, r_max))
    slowest = (speed.min() + speed[0]) / 2
    empty = radius[speed < slowest]
    assert empty[0] > radius[0]
    assert empty[-1] < radius[-1]
    room = {"U": (0.001, 100.0), "U_e": (slowest, 3.0), "A_e": (0.1, 0.2), "R_mu": (0.005, 1.0)}
    below, above = empty[0] * slowest, empty[-1] * slowest  # no moment q of e lies between these
    for q_e, feasible in ((0.9 * below, True), ((below + above) / 2, False), (1.5 * above, True)):
        c_mu = G_E / (0.2 * q_e)
        model = vortex(r_max=r_max, bounds=bounded(**room, c_mu=(0.97 * c_mu, 1.03 * c_mu)))
        found = certify(model, beta, beta)
        computed = lowest(model.problem, beta, n_starts=32)
        assert found.status != ("positive" if feasible else "zero")
        assert computed < 1e-6 if feasible else computed > 1e3


def test_a_strong_correlation_weakens_the_bound():
    """Two leptons excluded together count less where their errors move together."""
    sigma = np.array([3e-6 * M_E, 3e-6 * M_MU, 3e-6 * M_TAU, 6e-8, 6e-8])
    covariance = np.diag(sigma**2)
    covariance[0, 1] = covariance[1, 0] = 0.9 * sigma[0] * sigma[1]
    measured = replace(REPORT, covariance=covariance)
    model = VortexModel(measured, **SIGMA, closure="lab", include_sigma_exp=True)
    computed = lowest(model.problem, 3.0)
    proven = certify(model, 3.0, 3.0).chi2_bound
    assert 0.5 * computed < proven < computed


def test_the_bound_holds_where_the_moments_errors_dominate():
    """Measured g-factors must move with t as the masses do."""
    model = vortex(sigma_m_model=1e-10, sigma_g_model=1e-2)
    computed = lowest(model.problem, 0.9)
    proven = certify(model, 0.9, 0.9).chi2_bound
    assert 0.4 * computed < proven < computed


def test_a_lepton_that_is_not_certain_makes_no_zero():
    changed, root, _ = CASES["the τ's U binds"]
    model = vortex(**changed)
    assert certify(model, root * (1 - 1e-12), root * (1 + 1e-12)).status == "undecided"
    assert certify(model, root * (1 - 1e-6), root * (1 - 1e-6)).status == "zero"


def test_both_ends_of_the_set_are_enclosed_over_nine_decades():
    """Above, C_μ ≥ 100 closes it: the μ at its smallest moment, R = A = 0.1."""
    certified = certify_scan(vortex(), 0.0, 1e9)
    largest = reach((G_MU / (0.2 * 100 * 0.1)) ** 2, M_MU, *LOW)
    for enclosure, root in zip(certified.enclosures(), (CASES["report"][1], largest), strict=True):
        assert enclosure[0] <= root <= enclosure[1]
    assert mark_verdict("identified", certified) == "proven"


def test_what_is_undecided_is_said_and_proves_nothing():
    """A limit of U that cuts the electron's R in two leaves a range that the arithmetic does not settle."""

    def piece(low, high, status, bound=0.0):
        return CertificateResult(low, high, status, bound, "", np.full(2, np.nan))

    pieces = (piece(0.8, 1.0, "positive", 9.0), piece(1.0, 1.1, "undecided"), piece(1.1, 2.0, "zero"))
    certified = CertifiedScanResult(0.8, 2.0, pieces, ())
    assert "undecided is [1, 1.1]" in describe_certificate(certified)
    assert mark_verdict("open_above", certified) == "numerical"


@pytest.mark.parametrize("closure", CERTIFIABLE)
@pytest.mark.parametrize("bounds", BOUNDS)
def test_no_certificate_contradicts_the_feasible_interval(closure, bounds, monkeypatch):
    # the size of the bound, tested above, takes nearly all the time; here only its sign counts
    monkeypatch.setattr(certificate, "_largest", lambda excluded: float(excluded(1e-12)))
    rng = np.random.default_rng(5)
    betas = rng.uniform(0.05, 6.0, 5)
    if bounds == "wide":
        betas[:2] = 200.0, 5000.0  # where the smallest q of e, and of μ, lies inside the range of R in the lab frame
    model = vortex(closure=closure, bounds=BOUNDS[bounds], r_max=rng.uniform(10.0, 30.0))
    feasible = feasible_c_mu(model, betas)
    for beta, is_feasible, joint in zip(betas, feasible.is_feasible, feasible.joint, strict=True):
        found = certify(model, beta, beta)
        assert found.status == ("zero" if is_feasible else "positive")
        if is_feasible:
            assert joint[0] * (1 - 1e-9) <= found.c_mu[0] <= found.c_mu[1] <= joint[1] * (1 + 1e-9)
            assert found.c_mu == pytest.approx(joint, rel=1e-9)


def test_every_proven_c_mu_has_a_fit():
    beta = 1.9
    model = vortex(r_max=17.0)
    (low, high), problem = certify(model, beta, beta).c_mu, model.problem
    starts = np.tile(problem.start, (3, 1))
    starts[:, problem.index("beta")] = beta
    starts[:, problem.index("c_mu")] = [low, (low + high) / 2, high]
    assert (solve(problem, starts, fixed=("beta", "c_mu")).chi2 < 1e-6).all()


def test_an_interval_of_beta_is_proven_as_a_whole():
    assert certify(vortex(), 1.12, 3.0).status == "zero"
    assert certify(vortex(), 0.2, 1.11).status == "positive"
    across = certify(vortex(), 1.0, 1.2)
    assert (across.status, across.chi2_bound) == ("undecided", 0.0)


def test_what_is_said_and_marked():
    certified = certify_scan(vortex(), 2.85, 3.25)
    said = describe_certificate(certified)
    assert said.startswith("Proven by interval arithmetic, within the bounds given: ")
    assert said.endswith("an exact solution exists at every β in [2.85, 3.25].")
    assert mark_verdict("not_identified", certified) == "proven"
    assert mark_verdict("open_above", certified) == "numerical"
    assert mark_verdict("not_identified", None) == "numerical"
    again = CertifiedScanResult.from_dict(certified.to_dict())
    assert again.to_dict() == certified.to_dict()


def test_a_sum_over_a_grid_is_refused():
    with pytest.raises(ValueError, match="closure = 'reported': must be one of stream"):
        certify(vortex(closure="reported"), 1.0, 1.0)


@pytest.mark.parametrize(
    ("beta", "changed", "message"),
    [
        ((3.0, 3.0), {"bounds": bounded(c_mu=(-1000.0, 1500.0))}, "bounds of c_mu: must be at least 0, not -1000"),
        ((3.0, 3.0), {"bounds": bounded(U=(-3.0, 3.0))}, r"U_e: bounds \[-3, 3\] must lie in the physical range"),
        ((3.0, 3.0), {"bounds": bounded(A=(-1.0, 0.1))}, r"A_e: bounds \[-1, 0.1\] must lie in the physical range"),
        ((3.0, 3.0), {"bounds": bounded(R=(0.0, 1.0))}, "bounds of R_e: must be positive, not 0"),
        ((3.0, 3.0), {"bounds": bounded(beta=(4.0, 5.0))}, "must ascend within its bounds 4 to 5"),
        ((-5.0, -5.0), {}, "must ascend within its bounds"),
        ((3.0, 2.0), {}, "must ascend within its bounds"),
        ((np.nan, np.nan), {}, "must ascend within its bounds"),
        ((3.0, 3.0), {"r_max": 0.5}, "r_max = 0.5: must be finite and at least 1"),
    ],
)
def test_what_the_proof_does_not_hold_for_is_refused(beta, changed, message):
    with pytest.raises(ValueError, match=message):
        certify(vortex(**changed), *beta)


def test_an_edge_is_enclosed_where_bounds_of_u_bind_and_nothing_is_allowed_at_first():
    bounds = {
        **BOUNDS["wide"],
        "U": (0.1326720825377413, 24.17),
        "U_mu": (0.17774354096380182, 0.4825535873665489),
        "A_mu": (0.04855607260255679, 0.29661176707129544),
    }
    model = vortex(sigma_m_model=7.7e-7, sigma_g_model=4.9e-9, r_max=19.62757753912966, bounds=bounds)
    certified = certify_scan(model, 3.0, 4.0)
    (enclosure,) = certified.enclosures()
    assert enclosure[1] - enclosure[0] <= 1e-8 * enclosure[1]
    assert mark_verdict("open_above", certified) == "proven"


def test_an_edge_is_enclosed_at_loose_errors_too():
    assert len(certify_scan(vortex(sigma_m_model=1e-3, sigma_g_model=1e-3), 0.8, 1.4).enclosures()) == 1


def test_the_shift_where_a_mass_is_a_small_difference_of_large_numbers():
    model = vortex(r_max=1000.0, bounds={**BOUNDS["wide"], "U_e": (0.01, 1e3)})
    (root,) = find_edges(model, 100.0, 400.0)
    shift = sigma_shift(model, root)
    chi2 = lowest(model.problem, root - 10 * shift)
    assert np.sqrt(chi2) / 10 == pytest.approx(1, rel=0.01)


def test_a_gap_that_is_not_an_edge_proves_nothing():
    def piece(low, status, bound=0.0):
        return CertificateResult(low, low + 1, status, bound, "", np.full(2, np.nan))

    outer = piece(0.0, "positive", 9.0), piece(4.0, "positive", 9.0)
    for gap, mark in ((piece(2.0, "undecided"), "numerical"), (piece(2.0, "zero"), "proven")):
        pieces = (outer[0], piece(1.0, "zero"), gap, piece(3.0, "zero"), outer[1])
        assert mark_verdict("identified", CertifiedScanResult(0.0, 5.0, pieces, ())) == mark
