"""Seeded starts, plateaus, and how often the best was reproduced."""

import numpy as np
import pytest
from numpy import inf
from numpy.testing import assert_allclose, assert_array_equal

from leptonfit.inference.identifiability import assess_multistart
from leptonfit.inference.multistart import Effort, agrees, draw_starts, find_plateaus, format_chi2, run_multistart
from leptonfit.inference.restart import unseen_parameters


def tilted(build):
    """Minima on the bounds n = ±1 with χ² = 9 and 10: χ² is concave in n."""
    return build(lambda t, n: (3 * (2 - n * n), (n - 1) / 2, t - n), t=(-5, 5), n=(-1, 1))


def partly_defined(build):
    """√x = 2, undefined for x < 0; y is free of it."""
    return build(lambda x, y: (np.sqrt(x) - 2, y - 1, y + 1), x=(-10, 30), y=(-3, 3))


def test_starts_fill_the_box_one_a_stratum(build):
    starts = draw_starts(tilted(build), 50, np.random.default_rng(3))
    assert starts.shape == (50, 2)
    for column, (low, high) in zip(starts.T, ((-5, 5), (-1, 1)), strict=True):
        strata = np.floor((column - low) / (high - low) * 50)
        assert_array_equal(np.sort(strata), np.arange(50))


def test_ranges_narrow_the_box_and_never_widen_it(build):
    starts = draw_starts(tilted(build), 200, np.random.default_rng(3), {"t": (4, 9), "n": (0.25, 0.25)})
    assert (starts[:, 0] >= 4).all()
    assert (starts[:, 0] <= 5).all()
    assert_array_equal(starts[:, 1], 0.25)


@pytest.mark.parametrize("ranges", [None, {"x": (0, inf)}, {"x": (np.nan, 1)}, {"x": (3, 2)}, {"x": (-9, -8)}])
def test_refuses_ranges_that_cannot_be_drawn_from(build, ranges):
    problem = build(lambda x: x - 1, x=(-5, inf))
    with pytest.raises(ValueError, match="x: starts cannot be drawn"):
        run_multistart(problem, effort=Effort(4, 1, ranges))


def test_two_plateaus(build):
    result = run_multistart(tilted(build), effort=Effort(40, 1))
    assert result.converged.all()
    assert_allclose(result.plateau_chi2, [9, 10], rtol=1e-9)
    assert result.plateau_size.sum() == 40
    assert result.reproduced == result.plateau_size[0]
    assert_array_equal(result.x[:, 1], np.repeat([1, -1], result.plateau_size))
    assert (np.diff(result.chi2) >= 0).all()
    assert min(result.plateau_size) > 10, "n is as good as even, and starts are stratified"
    summary = result.summary()
    assert f"9 reached by {result.reproduced} of 40 starts" in summary
    assert "2 plateau(s), 0 not converged" in summary


def test_starts_without_a_finite_chi2_come_last(build):
    result = run_multistart(partly_defined(build), effort=Effort(40, 1))
    n_undefined = np.count_nonzero(np.isnan(result.chi2))
    assert n_undefined == 10, "a quarter of x, and starts are stratified"
    assert np.isnan(result.chi2[-n_undefined:]).all()
    assert_array_equal(result.converged, ~np.isnan(result.chi2))
    assert_allclose(result.plateau_chi2, [2.0], rtol=1e-9)
    assert result.reproduced == 30
    assert "10 not converged" in result.summary()


def test_no_start_converges(build):
    problem = build(lambda x: np.log(x), x=(-5, -1))
    result = run_multistart(problem, effort=Effort(3, 1))
    assert result.reproduced == 0
    assert len(result.plateau_chi2) == len(result.plateau_size) == 0
    assert result.summary() == "none of 3 starts converged"


def test_fixed_values_are_held(build):
    result = run_multistart(tilted(build), effort=Effort(10, 1), fixed={"n": 0.5})
    assert_array_equal(result.x[:, 1], 0.5)
    assert_allclose(result.chi2, (3 * 1.75) ** 2 + 0.25**2, rtol=1e-12)
    with pytest.raises(ValueError, match="n: starts cannot be drawn"):
        run_multistart(tilted(build), effort=Effort(10, 1), fixed={"n": 1.5})
    with pytest.raises(ValueError, match="'q'"):
        run_multistart(tilted(build), effort=Effort(10, 1), fixed={"q": 1.5})


def test_seed_decides_the_bytes(build):
    first, again, other = (run_multistart(tilted(build), effort=Effort(20, seed)) for seed in (7, 7, 8))
    assert first.x.tobytes() == again.x.tobytes()
    assert first.to_dict() == again.to_dict()
    assert first.x.tobytes() != other.x.tobytes()


@pytest.mark.parametrize("n_starts", [0, -3])
def test_refuses_no_starts(build, n_starts):
    with pytest.raises(ValueError, match=f"n_starts = {n_starts}"):
        run_multistart(tilted(build), effort=Effort(n_starts, 1))


@pytest.mark.parametrize(
    ("chi2", "best", "expected"),
    [
        (4.000003, 4.0, True),  # within 1e-6 of 4
        (4.000005, 4.0, False),
        (9e-7, 1e-20, True),  # both zero to the floor
        (2e-6, 1e-20, False),
        (2e-6, 9e-7, False),
        (3.9, 4.0, True),  # better than the best known
        (np.nan, 4.0, False),
    ],
)
def test_agreement(chi2, best, expected):
    assert agrees(np.array([chi2]), np.array([best])).tolist() == [expected]


def test_plateaus_are_measured_from_their_own_lowest():
    """Steps of 0.8e-6 chain on for ever; a plateau does not."""
    chi2 = 5 * (1 + 0.8e-6 * np.arange(4))
    lowest, sizes = find_plateaus(np.concatenate([[1e-12, 5e-7], chi2, [6.0]]))
    assert_allclose(lowest, [1e-12, chi2[0], chi2[2], 6.0], rtol=1e-12)
    assert_array_equal(sizes, [2, 2, 2, 1])
    assert [len(part) for part in find_plateaus(np.array([]))] == [0, 0]


def test_noise_is_not_printed():
    assert [format_chi2(value) for value in (3e-19, 9.9e-7, 1.25e-6, 3.84145882)] == [
        "< 1e-6",
        "< 1e-6",
        "1.25e-06",
        "3.84146",
    ]


# Point or band


def test_a_band_and_a_point_are_told_apart(build):
    """a·b = 1 is a curve, so `a` is a band; with b measured as well it is a point."""
    curve = build(lambda a, b: (a * b - 1) / 0.1, a=(0.1, 10), b=(0.1, 10))
    point = build(lambda a, b: ((a * b - 1) / 0.1, (b - 0.5) / 0.1), a=(0.1, 10), b=(0.1, 10))
    band, spot = (assess_multistart(p, run_multistart(p, effort=Effort(12, 2)), "a") for p in (curve, point))
    assert band.code == "not_identified"
    assert band.high[0] - band.low[0] > 1
    assert (band.low * band.high[::-1] < 1.01).all()
    assert spot.code == "identified"
    assert spot.low[0] == pytest.approx(2.0, rel=1e-5)
    assert "12 of 12 starts reach the best χ², < 1e-6" in spot.sentence


def test_a_best_reached_once_is_unreliable(build):
    problem = build(lambda t, n: ((t + n) / 1.0, n - 1, 1 + 0 * t), t=(-9, 9), n=(-9, 9))
    assert assess_multistart(problem, run_multistart(problem, effort=Effort(1, 2)), "t").code == "unreliable"


def test_agreement_at_a_huge_chi2_is_measured_against_a_level_of_one():
    assert agrees(np.array(1e12 + 0.05), np.array(1e12))
    assert not agrees(np.array(1e12 + 1.0), np.array(1e12))
    assert agrees(np.array(100 + 5e-5), np.array(100.0))
    assert not agrees(np.array(100 + 2e-4), np.array(100.0))


def test_a_point_on_a_bound_is_said_to_be_on_it(build):
    problem = build(lambda t, n: (t - 5, n, 2 + 0 * t), t=(-1, 1), n=(-9, 9))
    band = assess_multistart(problem, run_multistart(problem, effort=Effort(4, 2)), "t")
    assert band.code == "bound_limited"
    assert band.sentence.endswith("all at t = 1: the best fit is a point, on the bound of t.")


# Plateaus


def decays(build, rate):
    """2 exp(−t) + 1 with an error of 0.05; for k ≥ 1000 nothing of the decay is left at the first datum, t = 1."""
    times = np.linspace(1, 4, 13)
    data = 2 * np.exp(-times) + 1 + 0.03 * np.cos(5 * times)
    return build(lambda a, k, c: (a * np.exp(-k * times) + c - data) / 0.05, a=(0, 20), k=rate, c=(-5, 5))


def test_starts_on_a_plateau_find_their_way_off_it(build):
    problem = decays(build, (0, 1e5))
    result = run_multistart(problem, effort=Effort(16, 1, {"k": (1e3, 1e5)}))
    direct = run_multistart(decays(build, (0, 5)), effort=Effort(16, 1))
    assert result.chi2[0] == pytest.approx(direct.chi2[0], rel=1e-6)
    assert not result.flat[0].any()


def test_agreement_on_a_plateau_is_no_reproduction(build):
    """Rates of 1e4 and more are all the box has: the constant is fitted, and a and k are flat, not determined."""
    result = run_multistart(decays(build, (1e4, 1e5)), effort=Effort(16, 1))
    assert result.flat[:, :2].all()
    assert not result.flat[:, 2].any()
    nothing_left = build(lambda k: np.exp(-k * np.linspace(1, 2, 5)) - 1, k=(1e4, 1e5))
    result = run_multistart(nothing_left, effort=Effort(8, 1))
    assert result.flat.all()
    assert (result.converged.any(), result.reproduced) == (False, 0)


def test_a_peak_of_no_height_has_neither_place_nor_width(build):
    """Bump search on a flat background: height 0 is the physical limit, and the point is trusted with μ and w flat."""
    x = np.linspace(0, 10, 21)
    problem = build(
        lambda h, m, w: (h * np.exp(-((x - m) ** 2) / (2 * w**2)) + 0.1 + 0.02 * np.cos(9 * x)) / 0.1,
        h=(0, 50),
        m=(1, 9),
        w=(0.5, 3),
        physical={"h": (0, np.inf)},
    )
    result = run_multistart(problem, effort=Effort(12, 1))
    assert result.x[0, 0] == 0
    assert result.flat[0].tolist() == [False, True, True]
    assert result.converged[0]
    assert result.reproduced >= 2


def test_a_parameter_that_no_datum_sees_spoils_nothing(build):
    problem = build(lambda a, b: (a - 3, a - 2.5, 0 * b), a=(0, 10), b=(0, 10))
    result = run_multistart(problem, effort=Effort(6, 1))
    assert result.converged.all()
    assert result.reproduced == 6
    assert unseen_parameters(problem).tolist() == [False, True]
