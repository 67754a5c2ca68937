"""Profiles and their identified sets: closed forms, MINOS, and the pathologies that mislead a scan."""

import json

import numpy as np
import pytest
from iminuit import Minuit
from numpy import exp, inf, log, sqrt
from numpy.testing import assert_allclose, assert_array_equal
from scipy.stats import norm

from leptonfit.inference import continuation
from leptonfit.inference import scan as scan_module
from leptonfit.inference.identifiability import assess_profile
from leptonfit.inference.intervals import LEVELS, EndResult, Nodes, find_identified_sets
from leptonfit.inference.multistart import Effort, draw_starts
from leptonfit.inference.profile import SetOptions, WarmStart, scan_profile, scan_released

ROOT = {level: sqrt(delta) for level, delta in LEVELS.items()}
"""Half-width of an interval in units of σ where the profile is a parabola: 0.994 and 1.960."""
END = 1e-7
"""Ends are promised to this."""
GRID = np.linspace(0, 1, 5)


def scan(problem, name, low, high, n=41, *, n_starts=6, seed=1, ranges=None, warm=None, **options):
    grid = np.linspace(low, high, n)
    start = grid if warm is None else WarmStart(grid, warm)
    return scan_profile(problem, name, start, effort=Effort(n_starts, seed, ranges), **options)


def assert_set(profile, level, expected, atol=END):
    found = profile.identified_set[level]
    assert found.decided
    assert_allclose(found.intervals, np.reshape(expected, (-1, 2)), rtol=0, atol=atol)


def line(build, low=-10, high=10, *, at=0.0, sigma=1.0, offset=0.0, physical=None):
    """θ measured as `at` ± `sigma`, where σ is shared 0.6 : 0.8 with a nuisance."""
    return build(
        lambda t, n: ((t + n - at) / (0.6 * sigma), n / (0.8 * sigma), 0 * t + offset),
        t=(low, high),
        n=(-10 * sigma, 10 * sigma),
        physical=physical,
    )


def twins(build, sigma=0.2):
    """Two equal minima, θ = ±1: Δχ² = (θ² − 1)² / σ²."""
    return build(lambda t, n: ((t * t + n - 1) / (0.6 * sigma), n / (0.8 * sigma)), t=(-10, 10), n=(-90, 90))


def basins(build):
    """χ² is concave in n, so n = ±1, on its bounds: the profile is 9 + min((θ − 1)², (θ + 2)²)."""
    return build(lambda t, n: (3 * (2 - n * n), t + 0.5 - 1.5 * n), t=(-8, 8), n=(-1, 1))


def needle(build, width, span, *, drift=0.0, depth=4.0):
    """The profile is 1 + θ²/4 in a well of n at span/2 + drift·θ, and higher by `depth` on the plateau around it."""
    return build(
        lambda t, n: (t / 2, sqrt(depth) * np.tanh((n - span / 2 - drift * t) / width), 1 + 0 * t),
        t=(-6, 6),
        n=(0, span),
    )


def undefined_core(build, sigma):
    """√(θ² − 1/4) measured as 1 ± σ: there is no model for |θ| < 1/2."""
    return build(lambda t, n: ((sqrt(t * t - 0.25) + n - 1) / (0.6 * sigma), n / (0.8 * sigma)), t=(-10, 10), n=(-5, 5))


def exponential(build, y, sigma_y, sigma_a):
    """A·exp(−k) measured as y ± σ_y, A as 1 ± σ_A: χ² stays finite as k → ∞."""
    return build(
        lambda k, a: ((a * exp(-k) - y) / sigma_y, (a - 1) / sigma_a),
        k=(0, inf),
        a=(0, inf),
        physical={"k": (0, inf), "a": (0, inf)},
    )


# Where everything is linear


def test_levels_are_those_of_one_parameter():
    assert_allclose([ROOT["0.68"], ROOT["0.95"]], norm.ppf([0.84, 0.975]), rtol=1e-12)


@pytest.mark.parametrize("name", ["a", "b"])
def test_linear_regression(build, name):
    times = np.linspace(-1, 5, 9)
    data = 0.7 - 0.3 * times + 0.2 * np.cos(5 * times)
    problem = build(lambda a, b: (a + b * times - data) / 0.2, a=(-5, 5), b=(-5, 5))
    design = np.stack([np.ones(9), times], axis=1) / 0.2
    covariance = np.linalg.inv(design.T @ design)
    best = covariance @ design.T @ data / 0.2
    j = problem.index(name)
    sigma = sqrt(covariance[j, j])
    profile = scan(problem, name, best[j] - 3.3 * sigma, best[j] + 4.1 * sigma, 30)
    chi2 = np.sum((design @ best - data / 0.2) ** 2)
    assert profile.trusted.all()
    assert_allclose(profile.best_chi2, chi2, rtol=1e-12)
    assert_allclose(profile.best_x, best, rtol=1e-6)
    assert_allclose(profile.chi2_min, chi2 + ((profile.grid - best[j]) / sigma) ** 2, rtol=1e-10)
    for level, root in ROOT.items():
        assert_set(profile, level, [best[j] - root * sigma, best[j] + root * sigma])


def test_minos_on_a_nonlinear_problem(build):
    times = np.linspace(0.2, 3, 8)
    data = 2 * exp(-0.9 * times) + 0.15 * np.sin(9 * times)
    problem = build(lambda a, k: (a * exp(-k * times) - data) / 0.15, a=(0, 20), k=(0, 20))
    fit = Minuit(lambda a, k: np.sum(((a * exp(-k * times) - data) / 0.15) ** 2), 2.0, 1.0)
    fit.errordef, fit.tol, fit.strategy = Minuit.LEAST_SQUARES, 1e-6, 2
    fit.migrad()
    for name, limits in (("a", (0.5, 5.0)), ("k", (0.2, 2.5))):
        profile = scan(problem, name, *limits, ranges={"a": (0, 20), "k": (0, 20)})
        for level in LEVELS:
            fit.minos(name, cl=float(level))
            errors = np.array([fit.merrors[name].lower, fit.merrors[name].upper])
            assert abs(errors.sum()) > 0.02 * np.ptp(errors), "asymmetric, or this is a linear problem again"
            assert_set(profile, level, fit.values[name] + errors, atol=1e-4 * np.ptp(errors))


def test_only_parameter(build):
    profile = scan(build(lambda t: (t - 0.3, 2 * t), t=(-9, 9)), "t", -2, 2)
    sigma = 1 / sqrt(5)
    assert_set(profile, "0.95", [0.06 - ROOT["0.95"] * sigma, 0.06 + ROOT["0.95"] * sigma])
    assert_allclose(profile.best_chi2, 0.3**2 - 0.06**2 * 5, rtol=1e-12)


@pytest.mark.parametrize("sigma", [1e-3, 1e-5, 1e-7])
def test_interval_far_narrower_than_the_grid(build, sigma):
    profile = scan(line(build, at=0.183456, sigma=sigma), "t", -2, 3)
    for level, root in ROOT.items():
        assert_set(profile, level, [0.183456 - root * sigma, 0.183456 + root * sigma], atol=1e-10 + END * sigma)


def test_every_level_is_found_where_the_grid_resolves_only_the_widest(build):
    """Nodes lie at 1.5 σ on either side of the minimum: inside the 95 % set, outside the 68 % set."""
    sigma = 0.05 / 1.5
    profile = scan(line(build, at=0.05, sigma=sigma), "t", -1, 1, 21)
    for level in ("0.95", "0.68"):
        assert_set(profile, level, [0.05 - ROOT[level] * sigma, 0.05 + ROOT[level] * sigma])


@pytest.mark.parametrize(("offset", "atol"), [(1e3, END), (1e5, 1e-6), (1e6, 1e-4)])
def test_large_constant_chi2(build, offset, atol):
    """In tension: χ² = 10⁶ … 10¹² everywhere, where it rounds at 1e-10, 1e-6 and 1e-4."""
    problem = line(build, at=1.0, sigma=0.5, offset=offset)
    profile = scan(problem, "t", -2, 3)
    assert profile.trusted.all()
    for level, root in ROOT.items():
        assert_set(profile, level, [1 - root / 2, 1 + root / 2], atol=atol)
    assert assess_profile(problem, profile).in_tension


# Shapes of the set


def test_two_equal_minima(build):
    profile = scan(twins(build), "t", -3, 3)
    assert_allclose(profile.chi2_min, ((profile.grid**2 - 1) / 0.2) ** 2, rtol=1e-9, atol=1e-6)
    for level, root in ROOT.items():
        inner, outer = sqrt(1 - 0.2 * root), sqrt(1 + 0.2 * root)
        assert_set(profile, level, [[-outer, -inner], [inner, outer]])
    assert assess_profile(twins(build), profile).code == "disjoint"


@pytest.mark.parametrize("grid", [(-7.5, -2.5, 2.5, 7.5), (-3.5, -0.9, 1.5, 4.0)])
def test_two_equal_minima_in_one_cell_of_the_grid(build, grid):
    """The free multi-start meets both; the second is dropped if a node beside it, or the first, is in the set."""
    profile = scan_profile(twins(build), "t", np.array(grid), effort=Effort(8, 1))
    inner, outer = sqrt(1 - 0.2 * ROOT["0.95"]), sqrt(1 + 0.2 * ROOT["0.95"])
    assert_set(profile, "0.95", [[-outer, -inner], [inner, outer]])


def test_the_profile_of_the_data_alone_is_the_parabola_that_a_box_cuts(build):
    """θ is measured as 0 ± 1; the box |n| ≤ 0.1 of the nuisance alone narrows the set."""
    problem = build(lambda t, n: ((t + n) / 0.6, n / 0.8), t=(-10, 10), n=(-0.1, 0.1))
    within = scan_profile(problem, "t")
    alone = scan_released(problem, within)
    assert within.identified_set["0.95"].intervals[0, 1] < 1.5
    near = np.abs(alone.grid) < 2  # farther away the released box is active, too
    assert_allclose(alone.chi2_min[near], alone.grid[near] ** 2, atol=1e-9)
    assert alone.grid[-1] > ROOT["0.95"]
    assert scan_released(build(lambda t, n: ((t + n) / 0.6, n / 0.8), t=(-10, 10), n=(-10, 10)), alone) is None


def test_extremum_of_the_model_between_nodes(build):
    """t² + 1 measured as 0 ± 0.1: the lowest χ² is 100 at t = 0, where the residual is stationary and not small."""
    problem = build(lambda t, n: ((t * t + 1 + n) / 0.06, n / 0.08), t=(-10, 10), n=(-30, 30))
    profile = scan(problem, "t", -3, 3, 10)
    assert_allclose(profile.best_chi2, 100.0, rtol=1e-9)
    for level, delta in LEVELS.items():
        end = sqrt(sqrt(1 + 0.01 * delta) - 1)
        assert_set(profile, level, [-end, end])


def test_product(build):
    """Only a·b is measured: nothing is known of b in a scan whose every value some a can match."""
    problem = build(lambda a, b: (a * b - 1) / 0.1, a=(0.1, 10), b=(0.1, 10))
    profile = scan(problem, "b", 0.5, 5)
    assert profile.trusted.all()
    assert profile.chi2_min.max() < 1e-6
    assert_set(profile, "0.95", [0.1, 10])  # its own search bounds: 0.1 · 10 = 1 fits on either
    verdict = assess_profile(problem, profile)
    assert verdict.code == "not_identified"
    assert verdict.interval == (-inf, inf)
    assert verdict.minimum is None
    assert "41 of 41" in verdict.sentence


@pytest.mark.parametrize("physical", [{}, {"a": (0, 2)}])
def test_product_limited_by_the_other_factor(build, physical):
    """a ≤ 2, so b ≥ 1/2 fits, and below it χ² = ((2 b − 1)/σ)²: an end that is the box's, or a physical limit's."""
    problem = build(lambda a, b: (a * b - 1) / 0.1, a=(0.1, 2), b=(0.1, 1e9), physical=physical)
    profile = scan(problem, "b", 0.2, 5)
    assert_allclose(profile.chi2_min, (np.minimum(2 * profile.grid - 1, 0) / 0.1) ** 2, rtol=1e-8, atol=1e-6)
    for level, root in ROOT.items():
        assert profile.identified_set[level].intervals[0, 0] == pytest.approx((1 - 0.1 * root) / 2, rel=1e-9)
    assert profile.on_bounds[0].tolist() == [True, False]
    (end,) = profile.identified_set["0.95"].below
    assert [str(bound) for bound in end.held_by] == ["a ≤ 2"]
    assert end.held_by[0].shift == pytest.approx(-end_of(profile) / 2, rel=1e-6)  # dθ/du of θ = (1 − 1.96 σ)/u
    verdict = assess_profile(problem, profile)
    if physical:
        assert (end.reason, verdict.code) == ("physical_other", "open_above")
    else:
        assert (end.reason, verdict.code) == ("box", "not_identified")
        assert verdict.interval == (-inf, inf)
        assert "held below by a ≤ 2 (search)" in verdict.sentence


def end_of(profile, level="0.95"):
    return profile.identified_set[level].intervals[0, 0]


@pytest.mark.parametrize(("y", "open_at"), [(0.1, {"0.68", "0.95"}), (0.3, {"0.95"}), (0.9, set())])
def test_one_sided_exponential(build, y, open_at):
    """χ² → (y/σ_y)² as k → ∞: 0.25, 2.25 and 20."""
    sigma_y, sigma_a = 0.2, 0.05
    problem = exponential(build, y, sigma_y, sigma_a)
    profile = scan(problem, "k", 0.0, 20, 61, ranges={"a": (0, 3)})
    for level, delta in LEVELS.items():
        # (u − y)² = Δχ² (σ_y² + σ_A² u²) with u = exp(−k)
        roots = np.roots([1 - delta * sigma_a**2, -2 * y, y**2 - delta * sigma_y**2])
        low, high = -log(roots.max()), inf if level in open_at else -log(max(roots.min(), 1e-9))
        assert_set(profile, level, [max(low, 0.0), high])
        assert profile.identified_set[level].open_above == (level in open_at)
    assert assess_profile(problem, profile).code == ("open_above" if "0.95" in open_at else "bound_limited")


def test_a_set_far_from_the_scan_is_found(build):
    """t is 5.5 ± √½, the scan [0, 1]."""
    problem = build(lambda t, n: (t - 5, t - 6, n - t), t=(0, 10), n=(-10, 10))
    profile = scan(problem, "t", 0, 1, 11)
    assert profile.trusted.all()
    assert_array_equal(profile.grid, np.linspace(0, 1, 11))
    assert_allclose(profile.best_chi2, 0.5, rtol=1e-12)
    assert_set(profile, "0.95", [5.5 - ROOT["0.95"] * sqrt(0.5), 5.5 + ROOT["0.95"] * sqrt(0.5)])
    verdict = assess_profile(problem, profile)
    assert verdict.code == "identified"
    assert verdict.minimum == pytest.approx(5.5, rel=1e-6)


# How a set ends


@pytest.mark.parametrize(("low", "high"), [(-3, 3), (-1, 3), (-3, 1), (-0.5, 0.5), (4, 5), (-1e-3, 1e-3)])
def test_a_set_does_not_depend_on_where_the_scan_ends(build, low, high):
    profile = scan(line(build), "t", low, high, 21)
    for level, root in ROOT.items():
        assert_set(profile, level, [-root, root])
    found = profile.identified_set["0.95"]
    assert (found.reason_below, found.reason_above) == ("crossing", "crossing")
    assert_array_equal(profile.grid, np.linspace(low, high, 21))


@pytest.mark.parametrize("level", [0.5, 0.9, 0.99])
def test_any_level(build, level):
    profile = scan(line(build), "t", -1, 1, 9, sets=SetOptions(levels=(level,)))
    (name,) = profile.levels
    assert_set(profile, name, [-norm.ppf((1 + level) / 2), norm.ppf((1 + level) / 2)])
    assert assess_profile(line(build), profile).level == name


@pytest.mark.parametrize("level", [95, 0, 1, -0.5])
def test_refuses_a_level_that_is_no_confidence(build, level):
    with pytest.raises(ValueError, match=r"levels = \[.*\]: must be above 0 and below 1"):
        scan(line(build), "t", -1, 1, 9, sets=SetOptions(levels=(level,)))


@pytest.mark.parametrize(("at", "sigma"), [(3.0, 2.0), (1e-5, 1e-7), (-7.0, 0.01)])
def test_a_profile_without_a_grid_finds_range_and_points(build, at, sigma):
    profile = scan_profile(line(build, at=at, sigma=sigma), "t")
    for level, root in ROOT.items():
        assert_set(profile, level, [at - root * sigma, at + root * sigma], atol=END * sigma)
    low, high = profile.identified_set["0.95"].intervals[0]
    inside = (profile.grid > low) & (profile.grid < high)
    assert inside.sum() >= 20
    assert profile.grid[0] < low < high < profile.grid[-1]


@pytest.mark.parametrize("at", [0.1, -0.5])
def test_a_set_that_ends_on_the_parameters_own_bound(build, at):
    """θ ≥ 0, measured as 0.1 or −0.5 ± 1: the best is inside, or on the bound itself."""
    problem = line(build, 0, 50, at=at, physical={"t": (0, inf)})
    profile = scan(problem, "t", 0, 4)
    floor = min(at, 0.0) ** 2
    assert_allclose(profile.best_chi2, floor, rtol=1e-9, atol=1e-9)
    for level, delta in LEVELS.items():
        assert_set(profile, level, [0, at + sqrt(delta + floor)])
    found = profile.identified_set["0.95"]
    assert (found.reason_below, found.reason_above) == ("physical_own", "crossing")
    assert assess_profile(problem, profile).code == "bound_limited"


def test_a_set_that_ends_on_the_upper_bound(build):
    problem = line(build, -50, 1.5, at=1.0)
    profile = scan(problem, "t", -2, 1.5)
    assert_set(profile, "0.68", [1 - ROOT["0.68"], 1.5])
    assert_set(profile, "0.95", [1 - ROOT["0.95"], 1.5])
    assert profile.identified_set["0.95"].reason_above == "bound_own"
    verdict = assess_profile(problem, profile)
    assert (verdict.code, verdict.interval) == ("open_above", (pytest.approx(1 - ROOT["0.95"]), inf))


def test_a_bound_out_of_the_sets_reach_plays_no_part(build):
    profile = scan(line(build, 0, 10, at=3.0), "t", 0, 10)
    assert_set(profile, "0.95", [3 - ROOT["0.95"], 3 + ROOT["0.95"]])
    assert profile.identified_set["0.95"].reason_below == "crossing"


# Minima that a walk along the scan misses


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_the_other_basin_is_lower_on_part_of_the_scan(build, seed):
    profile = scan(basins(build), "t", -6, 6, 49, n_starts=3, seed=seed)
    t = profile.grid
    assert_allclose(profile.chi2_min, 9 + np.minimum((t - 1) ** 2, (t + 2) ** 2), rtol=1e-9)
    assert_array_equal(profile.x[:, 1], np.where(np.abs(t - 1) < np.abs(t + 2), 1, -1))
    assert profile.on_bounds[:, 1].all()
    near, far = ROOT["0.68"], ROOT["0.95"]
    assert_set(profile, "0.68", [[-2 - near, -2 + near], [1 - near, 1 + near]])
    assert_set(profile, "0.95", [-2 - far, 1 + far])


def test_a_rare_basin_is_found_everywhere(build):
    """The well drifts along the scan, so that no one solution serves for all."""
    profile = scan(needle(build, 1.0, 100.0, drift=3.0), "t", -6, 6)
    assert_allclose(profile.chi2_min, 1 + profile.grid**2 / 4, rtol=1e-9)
    assert profile.trusted.all()
    assert_set(profile, "0.95", [-2 * ROOT["0.95"], 2 * ROOT["0.95"]])


@pytest.mark.parametrize("depth", [4.0, 1e-4])
@pytest.mark.parametrize("node", [0, 7, 20])
def test_a_lower_minimum_spreads_from_one_node_to_all(build, node, depth):
    """No start falls into a well of 10⁻⁷ of the span; of the solutions handed in, one is there."""
    grid = np.linspace(-6, 6, 21)
    warm = np.stack([grid, np.full(21, 0.9)], axis=1)
    warm[node, 1] = 0.5
    profile = scan_profile(needle(build, 1e-7, 1.0, depth=depth), "t", WarmStart(grid, warm), effort=Effort(2, 1))
    assert_allclose(profile.chi2_min, 1 + grid**2 / 4, rtol=1e-9)


def test_a_minimum_below_the_whole_scan_is_the_reference_level(build):
    """Lowest χ² is 1 at θ = 3, outside the scan; in it the profile starts at 1 + (3 − 2)²."""
    problem = build(lambda t, n: (t + n - 3, n / 1e-3, 1 + 0 * t), t=(-9, 9), n=(-1, 1))
    profile = scan(problem, "t", -2, 2)
    assert_allclose(profile.best_chi2, 1.0, rtol=1e-9)
    for level, root in ROOT.items():
        assert_set(profile, level, [3 - root * sqrt(1 + 1e-6), 3 + root * sqrt(1 + 1e-6)])


# What may not be trusted


def test_undefined_region_outside_the_set(build):
    problem = undefined_core(build, 0.2)
    profile = scan(problem, "t", -2, 2)
    assert_array_equal(np.isnan(profile.chi2_min), np.abs(profile.grid) < 0.5)
    assert not profile.trusted[np.isnan(profile.chi2_min)].any()
    for level, root in ROOT.items():
        inner, outer = sqrt(0.25 + (1 - 0.2 * root) ** 2), sqrt(0.25 + (1 + 0.2 * root) ** 2)
        assert_set(profile, level, [[-outer, -inner], [inner, outer]])
    assert assess_profile(problem, profile).code == "disjoint"


def test_undefined_region_that_borders_on_the_set(build):
    """σ = 1: Δχ² is 1 where the model ends, and no one can say what comes behind."""
    problem = undefined_core(build, 1.0)
    profile = scan(problem, "t", -2, 2)
    assert not profile.identified_set["0.95"].decided
    assert not len(profile.identified_set["0.95"].intervals)
    assert assess_profile(problem, profile).code == "unreliable"


def test_a_minimum_between_two_undefined_nodes_is_not_forgotten(build):
    """Minima at −1, 0 and 1; the model is undefined for |θ| < 1/2 but for a window of |θ| < 1/50 that no node is in."""
    problem = build(
        lambda t, n: ((t * (t * t - 1) + 0 * sqrt((t * t - 0.25) * (t * t - 4e-4)) + n) / 0.06, n / 0.08, 1 + 0 * t),
        t=(-10, 10),
        n=(-30, 30),
    )
    profile = scan(problem, "t", -2.05, 2.05, 42, n_starts=200)
    assert np.isnan(profile.chi2_min[np.abs(profile.grid) < 0.5]).all()
    assert assess_profile(problem, profile).code == "unreliable"


def test_model_defined_nowhere_in_the_scan(build):
    problem = undefined_core(build, 1.0)
    profile = scan(problem, "t", -0.4, 0.4, 5)
    assert np.isnan(profile.chi2_min).all()
    assert not profile.trusted.any()
    for found in profile.identified_set.values():
        assert not found.decided
        assert not len(found.intervals)


def test_a_value_met_once_is_not_trusted(build):
    """Only the solution handed in knows the well, 10⁻⁷ of the span; it is kept, and not believed."""
    problem = needle(build, 1e-7, 1.0)
    grid = np.linspace(-6, 6, 21)
    warm = np.stack([grid, np.full(21, 0.5 + 1e-8)], axis=1)
    profile = scan_profile(problem, "t", WarmStart(grid, warm), effort=Effort(6, 1))
    assert_allclose(profile.chi2_min, 1 + grid**2 / 4, rtol=1e-9)
    assert_array_equal(profile.reproduced, 1)
    assert not profile.trusted.any()
    verdict = assess_profile(problem, profile)
    assert verdict.code == "unreliable"
    assert "21 of 21" in verdict.sentence


def test_solutions_handed_in_have_one_origin(build):
    """However many they are, they may all descend from one start."""
    problem = line(build, offset=1.0)
    cold = scan(problem, "t", -3, 3, 13)
    assert cold.trusted.all()
    profile = scan_profile(problem, "t", WarmStart(cold.grid, cold.x), effort=Effort(0, 1))
    assert_array_equal(profile.reproduced, 1)
    assert assess_profile(problem, profile).code == "unreliable"


def test_zero_chi2_needs_no_second_opinion(build):
    """Nothing is below zero, so one start is enough there and nowhere else."""
    problem = build(lambda a, b: np.maximum(a.real + b.real - 1, 0) + 0 * (a + b), a=(-5, 5), b=(-5, 5))
    grid = np.linspace(-2, 2, 5)
    warm = np.stack([grid, np.full(5, -4.0)], axis=1)
    profile = scan_profile(problem, "a", WarmStart(grid, warm), effort=Effort(0, 1))
    assert_array_equal(profile.reproduced, 1)
    assert profile.trusted.all()


def test_an_empty_set_is_not_concluded_from_untrusted_points(build):
    """Every value in the scan was met from one start only; a lower one would refute `empty`."""
    problem = build(lambda t, n: (t - 5, t - 6, n - t), t=(0, 10), n=(-10, 10))
    grid = np.linspace(0, 1, 5)
    profile = scan_profile(problem, "t", WarmStart(grid, np.stack([grid, grid], axis=1)), effort=Effort(0, 1))
    assert_allclose(profile.best_chi2, 0.5)
    assert not profile.trusted[:-1].any()
    assert assess_profile(problem, profile).code == "unreliable"


# Seeds, warm starts, references


def test_same_seed_same_bytes(build):
    first, second = (scan(twins(build), "t", -3, 3, references=(0.3, 5.0)).to_dict() for _ in range(2))
    assert json.dumps(first) == json.dumps(second)


def test_another_seed_same_verdict(build, monkeypatch):
    drawn = []

    def draw(*arguments):
        drawn.append(draw_starts(*arguments))
        return drawn[-1]

    monkeypatch.setattr(continuation, "draw_starts", draw)
    profiles = [scan(twins(build), "t", -3, 3, seed=seed) for seed in (1, 2, 3)]
    assert len({starts.tobytes() for starts in drawn}) == len(drawn), "every seed draws starts of its own"
    assert {assess_profile(twins(build), profile).code for profile in profiles} == {"disjoint"}
    for profile in profiles[1:]:
        assert_set(profile, "0.95", profiles[0].identified_set["0.95"].intervals)


@pytest.mark.parametrize("n_starts", [0, 1])
@pytest.mark.parametrize(("make", "limits"), [(basins, (-6, 6)), (twins, (-3, 3))])
def test_warm_solutions_are_never_made_worse(build, make, limits, n_starts):
    problem = make(build)
    cold = scan(problem, "t", *limits, n_starts=4)
    warm = scan(problem, "t", *limits, n_starts=n_starts, seed=2, warm=cold.x)
    assert (warm.chi2_min <= cold.chi2_min * (1 + 1e-12) + 1e-12).all()
    assert warm.best_chi2 <= cold.best_chi2 * (1 + 1e-12) + 1e-12


def test_poor_warm_solutions_are_replaced(build):
    problem = basins(build)
    grid = np.linspace(-6, 6, 49)
    wrong = np.where(np.abs(grid - 1) < np.abs(grid + 2), -1, 1)  # the higher basin everywhere
    profile = scan_profile(problem, "t", WarmStart(grid, np.stack([grid, wrong], axis=1)), effort=Effort(3, 1))
    assert_allclose(profile.chi2_min, 9 + np.minimum((grid - 1) ** 2, (grid + 2) ** 2), rtol=1e-9)


def test_warm_solutions_of_a_profile_with_an_undefined_region(build):
    problem = undefined_core(build, 0.2)
    cold = scan(problem, "t", -2, 2)
    warm = scan(problem, "t", -2, 2, warm=cold.x)
    assert_array_equal(np.isnan(warm.chi2_min), np.isnan(cold.chi2_min))
    assert_set(warm, "0.95", cold.identified_set["0.95"].intervals)


def test_references_in_the_scan_and_outside(build):
    problem = line(build)
    plain = scan(problem, "t", -3, 3)
    values = (0.123, -7.5, 1.9, 2.0)
    profile = scan(problem, "t", -3, 3, references=values)
    assert_array_equal(profile.references, values)
    assert_allclose(profile.reference_chi2, np.square(values), rtol=1e-7)
    assert_array_equal(profile.reference_x[:, 0], values)
    assert profile.reference_trusted.all()
    assert_array_equal(profile.grid, plain.grid)
    for level in LEVELS:
        assert_set(profile, level, plain.identified_set[level].intervals)
    assert [assess_profile(problem, profile, reference=value).contains_reference for value in values] == [
        True,
        False,
        True,
        False,
    ]
    with pytest.raises(ValueError, match=r"reference = 0\.5"):
        assess_profile(problem, profile, reference=0.5)


def test_a_reference_outside_the_scan_can_hold_the_lowest_chi2(build):
    profile = scan(line(build, at=3.0, sigma=2.0), "t", -3, 1, references=(3.0,))
    assert_allclose(profile.best_chi2, 0, atol=1e-6)
    assert_set(profile, "0.95", [3 - 2 * ROOT["0.95"], 3 + 2 * ROOT["0.95"]])


# Refusals


@pytest.mark.parametrize(
    ("grid", "said"),
    [
        *((grid, ": must be at least two ascending values") for grid in ([2.0, 1.0], [0.0, 1.0, 1.0], [1.0], [])),
        ([[0.0, 1.0]], r" of shape \(1, 2\): must be \(n,\)"),
        ([0.0, np.nan], r"\[1\] = nan: must be finite"),
    ],
)
def test_refuses_a_grid_that_does_not_ascend(build, grid, said):
    with pytest.raises(ValueError, match=f"grid of t{said}"):
        scan_profile(line(build), "t", np.array(grid), effort=Effort(2, 1))


@pytest.mark.parametrize("options", [{"low": -11, "high": 0}, {"low": -1, "high": 1, "references": (0.0, -11.0)}])
def test_refuses_values_outside_the_bounds(build, options):
    with pytest.raises(ValueError, match=r"t = -11: must lie in \[-10, 10\]"):
        scan(line(build), "t", **options)


@pytest.mark.parametrize(("n_starts", "grid"), [(0, GRID), (-1, WarmStart(GRID, np.zeros((5, 2))))])
def test_refuses_to_start_from_nothing(build, n_starts, grid):
    with pytest.raises(ValueError, match=f"n_starts = {n_starts}"):
        scan_profile(line(build), "t", grid, effort=Effort(n_starts, 1))


def test_refuses_an_unknown_parameter(build):
    with pytest.raises(ValueError, match=r"'q'.*t, n"):
        scan(line(build), "q", 0, 1)


def test_nuisances_without_bounds_are_given_a_range_to_draw_from(build):
    problem = exponential(build, 0.9, 0.2, 0.05)
    assert_set(
        scan(problem, "k", 0, 20),
        "0.95",
        scan(problem, "k", 0, 20, ranges={"a": (0, 3)}).identified_set["0.95"].intervals,
    )
    free = build(lambda t, n: ((t + n - 3) / 0.6, n / 0.8), t=(-inf, inf), n=(-inf, inf))
    assert_set(scan_profile(free, "t"), "0.95", [3 - ROOT["0.95"], 3 + ROOT["0.95"]])


def test_a_best_that_is_no_minimum_decides_nothing(build, monkeypatch):
    """If the lowest χ² known is where a fit gave up, neither set nor tension may be measured from it."""
    problem = line(build, at=0.3, sigma=0.5)
    real = continuation.solve

    def gives_up(problem, starts, *, fixed=()):
        fit = real(problem, starts, fixed=fixed)
        if fixed:
            return fit
        lower = {"chi2": fit.chi2 * 0 + 1e-3, "converged": fit.converged & False, "kkt": fit.kkt * 0 + 1.0}
        return type(fit)(**{**fit.__dict__, **lower})

    monkeypatch.setattr(continuation, "solve", gives_up)
    lifted = build(lambda t, n: ((t - 0.3) / 0.5, n, 2 + 0 * t), t=(-9, 9), n=(-9, 9))
    profile = scan_profile(lifted, "t", np.linspace(-2, 2, 9), effort=Effort(4, 1))
    verdict = assess_profile(lifted, profile)
    assert not profile.best_converged
    assert (verdict.code, verdict.minimum, verdict.in_tension) == ("unreliable", None, None)
    assert "not a minimum" in verdict.sentence
    assert problem.n_par == 2


def test_ranges_that_are_given_cost_no_trial_fit(build, monkeypatch):
    """The scanned parameter takes the range of its grid; trial fits are for the others without bounds."""
    calls = []
    original = scan_module.solve
    monkeypatch.setattr(scan_module, "solve", lambda *given, **how: calls.append(1) or original(*given, **how))
    bounded = line(build, -inf, inf)
    scan(bounded, "t", -4, 4, 5)
    assert not calls
    free = build(lambda t, n: ((t + n) / 0.6, n / 0.8), t=(-inf, inf), n=(-inf, inf))
    scan(free, "t", -4, 4, 5)
    assert len(calls) == 1
    scan(free, "t", -4, 4, 5, ranges={"n": (-3, 3)})
    assert len(calls) == 1


def test_the_same_starts_are_minimised_once(build, monkeypatch):
    batches = []
    original = continuation.solve

    def note(problem, starts, **how):
        batches.append((how["fixed"], starts.tobytes()))
        return original(problem, starts, **how)

    monkeypatch.setattr(continuation, "solve", note)
    found = scan(needle(build, 0.05, 4), "t", -4, 4, 9)
    assert len(batches) == len(set(batches)) > 4
    assert found.n_solved == sum(len(starts) for _, starts in batches) // (2 * 8)


def test_an_end_beyond_which_no_fit_converges_is_given_up_soon():
    """No minimisation converges between 1 and the node at 10: bisection returns to the same gap again and again."""
    asked = []

    def evaluate(theta):
        asked.extend(theta.tolist())
        is_known = (theta <= 1) | (theta == 10)
        return np.where(is_known, np.where(theta == 10, 100.0, 0.0), np.nan), np.ones(len(theta)), theta[:, None]

    nodes = Nodes(np.array([0.0, 10.0]), np.array([0.0, 100.0]), np.array([True, True]), 0.0)
    ends = (EndResult("bound_own"), None)
    found = find_identified_sets(
        nodes, {"0.95": 3.84}, own_ends=ends, evaluate=evaluate, judge=lambda theta, side: EndResult("crossing")
    )
    assert found["0.95"].reason_above == "scan_end"
    assert len(asked) < 60


def test_a_profile_levels_out_where_its_rises_form_a_shrinking_series_below_the_level():
    rises = 1 - 0.005 * 0.5 ** np.arange(3)
    assert continuation._has_levelled(rises, 3.84, 0.0)
    assert not continuation._has_levelled(rises, 0.99, 0.0)
    assert not continuation._has_levelled(np.array([0.1, 0.2, 0.3]), 3.84, 0.0)
    assert not continuation._has_levelled(np.array([0.1, 0.5, 0.7]), 3.84, 0.0)
