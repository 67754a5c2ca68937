"""The Jacobian's spectrum, and the verdict with all that stands beside it."""

import numpy as np
import pytest
from numpy import inf, sqrt
from numpy.testing import assert_allclose, assert_array_equal
from scipy.stats import chi2 as chi2_distribution

from leptonfit.inference.identifiability import VERDICT_CODES, assess_profile, jacobian_spectrum, verdict_code
from leptonfit.inference.intervals import EndResult, IntervalSet
from leptonfit.inference.multistart import Effort
from leptonfit.inference.profile import WarmStart, scan_profile


def scan(problem, name="t", low=-3.0, high=3.0, **options):
    return scan_profile(problem, name, np.linspace(low, high, 25), effort=Effort(4, 1), **options)


def interval_set(*intervals, reasons=("crossing", "crossing"), gaps=("crossing", "crossing"), decided=True):
    """A set with the reasons of its outer ends, and of the two ends of each gap."""
    intervals = np.array(intervals, dtype=float).reshape(-1, 2)
    n = len(intervals)
    below = [EndResult(reasons[0]), *[EndResult(gaps[1])] * (n - 1)][:n]
    above = [*[EndResult(gaps[0])] * (n - 1), EndResult(reasons[1])][-n:] if n else []
    return IntervalSet(intervals, tuple(below), tuple(above), decided)


def abc(build):
    """Two products of three factors: what is left free is a → λa, b → b/λ, c → λc."""
    return build(lambda a, b, c: ((a * b - 1) / 0.1, (b * c - 2) / 0.05), a=(0.1, 10), b=(0.1, 10), c=(0.1, 10))


# Spectrum


def test_null_direction_of_a_product(build):
    problem = build(lambda a, b: (a * b - 1) / 1e-4, a=(0.1, 10), b=(0.1, 10))
    result = jacobian_spectrum(problem, np.array([2.0, 0.5]))
    assert result.names == ("a", "b")
    assert result.rank == 1
    assert result.condition == 1.0
    assert_allclose(result.singular_values, [sqrt(2)], rtol=1e-12)  # columns of unit length
    assert_allclose(result.null_space * np.sign(result.null_space[0, 0]), [[sqrt(0.5), -sqrt(0.5)]], rtol=1e-12)


def test_null_direction_in_the_parameters_own_units(build):
    """Scaled by the columns' lengths, it is the generator (a, −b, c) of a → λa, b → b/λ, c → λc."""
    problem, x = abc(build), np.array([0.4, 2.5, 0.8])
    result = jacobian_spectrum(problem, x)
    assert (result.rank, result.null_space.shape) == (2, (1, 3))
    jacobian = problem.jacobian(x)
    rows_scaled = jacobian / np.linalg.norm(jacobian, axis=1, keepdims=True)
    direction = result.null_space[0] / np.linalg.norm(rows_scaled, axis=0)
    assert_allclose(direction / direction[0], [1, -2.5 / 0.4, 0.8 / 0.4], rtol=1e-12)
    moved = x + 1e-6 * direction / abs(direction[0])
    assert_allclose(problem.residuals(moved), problem.residuals(x), rtol=0, atol=1e-9)


def test_full_rank_and_condition_in_closed_form(build):
    """Columns of unit length at an angle φ have singular values √(1 ± cos φ)."""
    problem = build(lambda a, b: (a + b, 7 * b, 0 * a), a=(-9, 9), b=(-9, 9))
    result = jacobian_spectrum(problem, np.array([1.0, 1.0]))
    # rows to unit length: (1, 1)/√2, (0, 1), 0; then columns: (1, 0), (1, √2)/√3
    cosine = 1 / sqrt(3)
    assert_allclose(result.singular_values, sqrt([1 + cosine, 1 - cosine]), rtol=1e-12)
    assert_allclose(result.condition, sqrt((1 + cosine) / (1 - cosine)), rtol=1e-12)
    assert (result.rank, result.null_space.shape) == (2, (0, 2))


def test_spectrum_does_not_depend_on_units(build):
    scale = np.array([1e-7, 1.0, 1e9])
    plain = jacobian_spectrum(abc(build), np.array([0.4, 2.5, 0.8]))
    problem = build(
        lambda a, b, c: ((a * 1e-7 * b - 1) / 0.1, (b * c * 1e9 - 2) / 0.05), a=(0, inf), b=(0, inf), c=(0, inf)
    )
    scaled = jacobian_spectrum(problem, np.array([0.4, 2.5, 0.8]) / scale)
    assert_allclose(scaled.singular_values, plain.singular_values, rtol=1e-12)
    assert scaled.rank == plain.rank


def test_parameters_on_bounds_or_fixed_are_left_out(build):
    problem = abc(build)
    assert jacobian_spectrum(problem, np.array([0.1, 2.5, 0.8])).names == ("b", "c")
    assert jacobian_spectrum(problem, np.array([0.1, 10.0, 0.8])).names == ("c",)
    held = jacobian_spectrum(problem, np.array([0.4, 2.5, 0.8]), fixed=("b",))
    assert (held.names, held.rank, held.null_space.shape) == (("a", "c"), 2, (0, 2))
    none = jacobian_spectrum(problem, np.array([0.1, 10.0, 0.1]))
    assert (none.names, none.rank) == ((), 0)
    assert np.isnan(none.condition)


def test_parameter_without_effect_is_a_null_direction(build):
    result = jacobian_spectrum(build(lambda a, b: a - 1 + 0 * b, a=(-5, 5), b=(-5, 5)), np.array([2.0, 0.5]))
    assert result.rank == 1
    assert_allclose(np.abs(result.null_space), [[0, 1]], atol=1e-12)


# Verdict code


@pytest.mark.parametrize(
    ("expected", "identified"),
    [
        ("unreliable", interval_set((-inf, inf), decided=False)),
        ("unreliable", interval_set(decided=False)),
        ("empty", interval_set()),
        ("not_identified", interval_set((-inf, inf), reasons=("scan_end", "scan_end"))),
        ("not_identified", interval_set((-inf, 1), (2, inf), reasons=("scan_end", "scan_end"))),
        ("not_identified", interval_set((0, 1), reasons=("physical_own", "physical_own"))),
        ("not_identified", interval_set((0, inf), reasons=("physical_own", "scan_end"))),
        ("not_identified", interval_set((0, 1), reasons=("bound_own", "bound_own"))),
        ("not_identified", interval_set((0, 1), reasons=("box", "box"))),
        ("not_identified", interval_set((0, 1), reasons=("physical_own", "box"))),
        ("open_below", interval_set((-inf, 1), reasons=("scan_end", "crossing"))),
        ("open_below", interval_set((0, 1), reasons=("box", "crossing"))),
        ("open_below", interval_set((0, 1), reasons=("bound_own", "physical_other"))),
        ("open_below", interval_set((-inf, 1), (2, 3), reasons=("scan_end", "crossing"))),
        ("open_above", interval_set((1, inf), reasons=("crossing", "scan_end"))),
        ("open_above", interval_set((0, 1), reasons=("physical_other", "box"))),
        ("open_above", interval_set((0, 1), (2, inf), reasons=("crossing", "scan_end"))),
        ("disjoint", interval_set((0, 1), (2, 3), reasons=("physical_own", "crossing"))),
        ("disjoint", interval_set((0, 1), (2, 3), gaps=("physical_other", "crossing"))),
        ("identified", interval_set((0, 1), (2, 3), gaps=("box", "crossing"))),
        ("bound_limited", interval_set((0, 1), reasons=("physical_own", "crossing"))),
        ("bound_limited", interval_set((0, 1), reasons=("crossing", "physical_own"))),
        ("bound_limited", interval_set((0, 1), reasons=("crossing", "physical_other"))),
        ("identified", interval_set((0, 1))),
    ],
)
def test_the_first_rule_that_applies_gives_the_code(expected, identified):
    assert verdict_code(identified) == expected
    assert expected in VERDICT_CODES


def test_a_set_contains_its_ends_and_not_its_gaps():
    identified = interval_set((-inf, 1), (2, 3))
    assert [identified.contains(value) for value in (-1e9, 1, 1.5, 2, 3, 3.1)] == [True, True, False, True, True, False]
    assert not interval_set().contains(0.0)


# Tension and counts


@pytest.mark.parametrize("dof", [1, 3])
@pytest.mark.parametrize("excess", [-1e-6, 1e-6])
def test_tension_starts_at_the_95_percent_point(build, dof, excess):
    """dof + 1 measurements of θ, one at d and the others at 0: χ²_min = d² dof / (dof + 1)."""
    distance = sqrt(chi2_distribution.ppf(0.95, dof) * (dof + 1) / dof) * (1 + excess)
    problem = build(lambda t: (t - distance, *[t] * dof), t=(-50, 50))
    verdict = assess_profile(problem, scan(problem, low=-5.0, high=8.0))
    assert verdict.degrees_of_freedom == verdict.constraints_minus_parameters == dof
    assert verdict.in_tension == (excess > 0)
    assert verdict.minimum == pytest.approx(distance / (dof + 1), rel=1e-6)
    assert ("in tension" if excess > 0 else "compatible") in verdict.sentence


def test_degrees_of_freedom_count_the_rank_off_the_bounds(build):
    """5 residuals; t, the sum p + q, and b which ends on its bound 0: 5 − 2, not 5 − 4."""
    problem = build(
        lambda t, p, q, b: (t - 1, t + p + q - 2, p + q - 3, 2 * t, b + 1), t=(-9, 9), p=(-9, 9), q=(-9, 9), b=(0, 9)
    )
    verdict = assess_profile(problem, scan(problem))
    assert verdict.degrees_of_freedom == 3
    assert verdict.constraints_minus_parameters == 1
    assert verdict.nuisances_on_bounds == ("b",)


def test_no_degrees_of_freedom_no_tension(build):
    """Three parameters for two measurements, both met: −1 by the plain count, 0 by rank."""
    problem = build(lambda t, p, q: (t + p - 1, t - q - 2), t=(-9, 9), p=(-90, 90), q=(-90, 90))
    verdict = assess_profile(problem, scan(problem))
    assert verdict.in_tension is None
    assert verdict.degrees_of_freedom == 0
    assert verdict.constraints_minus_parameters == -1
    assert verdict.minimum is None
    assert "degree" not in verdict.sentence


def test_the_parameter_itself_is_no_nuisance_on_a_bound(build):
    problem = build(lambda t, n: (t + 1, n + 1, n + t), t=(0, 9), n=(0, 9), physical={"t": (0, inf), "n": (0, inf)})
    profile = scan(problem, low=0.0)
    assert_array_equal(profile.best_x, 0.0)
    verdict = assess_profile(problem, profile)
    assert verdict.nuisances_on_bounds == ("n",)
    assert verdict.degrees_of_freedom == 3
    assert verdict.code == "bound_limited"


def test_a_reference_is_judged_by_its_own_value(build):
    """A value of the profile, not of the interval: a hair inside and outside the level."""
    edge = sqrt(chi2_distribution.ppf(0.95, 1))
    problem = build(lambda t, n: (t, n, 1 + 0 * t), t=(-9, 9), n=(-9, 9))
    references = (edge * (1 - 1e-9), edge * (1 + 1e-9))
    profile = scan(problem, references=references)
    inside, outside = (assess_profile(problem, profile, reference=value) for value in references)
    assert (inside.contains_reference, outside.contains_reference) == (True, False)
    assert inside.reference == references[0]
    assert assess_profile(problem, profile).contains_reference is None


def test_an_untrusted_reference_is_not_judged(build):
    problem = build(lambda t, n: (t, n, 1 + 0 * t), t=(-9, 9), n=(-9, 9))
    grid = np.linspace(-3, 3, 25)
    warm = np.stack([grid, 0 * grid], axis=1)
    profile = scan_profile(problem, "t", WarmStart(grid, warm), effort=Effort(0, 1), references=(1.0,))
    verdict = assess_profile(problem, profile, reference=1.0)
    assert verdict.contains_reference is None
    assert verdict.sentence.startswith("The verdict on t is unreliable")


def test_nearly_dependent_rows_still_count(build):
    """Rows that differ by 1e-6 of their length are two measurements, not one."""
    problem = build(lambda a, b: (a + b, a + (1 + 1e-6) * b), a=(-9, 9), b=(-9, 9))
    assert jacobian_spectrum(problem, np.array([1.0, 1.0])).rank == 2
