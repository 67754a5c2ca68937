"""Points, separate points and bands among the best fits of a multi-start."""

import dataclasses
import json

import numpy as np
import pytest
from numpy import inf
from numpy.testing import assert_allclose, assert_array_equal

from leptonfit.inference import bands
from leptonfit.inference.bands import BandResult, assess_multistart
from leptonfit.inference.identifiability import assess_multistart as by_its_other_name
from leptonfit.inference.multistart import Effort, MultistartResult, run_multistart
from leptonfit.inference.solve import solve

T = np.array([0.25, 0.5, 1, 1.5, 2, 3, 4, 6, 8, 12])


def one_compartment(volume, ka, ke):
    """A → B → C, the amount in B over the volume, dose 100."""
    return 100 * ka / volume / (ka - ke) * (np.exp(-ke * T) - np.exp(-ka * T))


def flip_flop(build, noise, upper=10.0):
    """(V, ka, ke) and (V ke/ka, ke, ka) predict the same concentrations."""
    seen = one_compartment(20, 1.5, 0.3) + 0.05 * noise * np.random.default_rng(3).normal(size=len(T))
    return build(
        lambda volume, ka, ke: (one_compartment(volume, ka, ke) - seen) / 0.05,
        V=(0.1, 100),
        ka=(0.01, upper),
        ke=(0.01, upper),
    )


def ended_at(x, chi2):
    """Result of a multi-start whose starts all converged to x (n_starts, n_par) at one χ²."""
    n = len(x)
    return MultistartResult(
        np.array(x),
        np.array(x),
        np.full(n, chi2),
        np.zeros(n),
        np.ones(n, dtype=bool),
        np.ones(n, dtype=int),
        np.zeros(np.shape(x), dtype=bool),
        n,
        np.array([chi2]),
        np.array([n]),
    )


@pytest.mark.parametrize("upper", [10.0, inf])
@pytest.mark.parametrize("noise", [0, 1])
@pytest.mark.parametrize(("name", "places"), [("ka", (0.3, 1.5)), ("ke", (0.3, 1.5)), ("V", (4, 20))])
def test_two_solutions_that_change_places_are_no_band(build, name, places, noise, upper):
    problem = flip_flop(build, noise, upper)
    result = run_multistart(problem, effort=Effort(24, 1, {"ka": (0.01, 10), "ke": (0.01, 10)}))
    found = assess_multistart(problem, result, name)
    assert found.code == "disjoint"
    assert_allclose(found.groups, np.repeat(places, 2).reshape(2, 2), rtol=1e-6 if not noise else 0.05)
    assert f"at 2 separate values of {name}: " in found.sentence
    best = result.x[result.is_best]
    n_upper = np.sum(best[:, problem.index(name)] > np.mean(places))
    assert f"{found.groups[1, 0]:.6g} ({n_upper} starts)" in found.sentence
    assert_array_equal([found.low, found.high], [best.min(axis=0), best.max(axis=0)])


@pytest.mark.parametrize("unit", [1e-12, 1.0, 1e12])
@pytest.mark.parametrize("n_starts", [2, 12])
@pytest.mark.parametrize("is_boxed", [True, False])
def test_a_product_is_a_band_in_any_unit(build, unit, n_starts, is_boxed):
    problem = build(lambda a, b: (a / unit * b - 1) / 0.1, a=(0.1 * unit, 10 * unit if is_boxed else inf), b=(0.1, 10))
    result = run_multistart(problem, effort=Effort(n_starts, 2, {"a": (0.1 * unit, 10 * unit)}))
    found = assess_multistart(problem, result, "a")
    assert found.code == "not_identified"
    assert_allclose(found.groups, [[result.x[:, 0].min(), result.x[:, 0].max()]])
    assert found.groups[0, 1] - found.groups[0, 0] > unit


def test_a_curved_band_is_followed(build):
    """A circle: its chord leaves it, but the other parameter bends along."""
    problem = build(lambda a, b: ((a**2 + b**2 - 4) / 0.01, 1 + 0 * a), a=(-9, 9), b=(-9, 9))
    found = assess_multistart(problem, run_multistart(problem, effort=Effort(12, 2)), "a")
    assert (found.code, len(found.groups)) == ("not_identified", 1)


def test_a_band_beside_false_minima_is_followed_from_its_ends(build):
    """b = a² has χ² = 1; other minima lie at b ≈ a² + π n, and the chord from (−2, 4) to (2, 4) leads into them."""
    problem = build(lambda a, b: (2 * np.sin(b - a**2), 0.3 * (b - a**2), 1 + 0 * a), a=(-9, 9), b=(-99, 99))
    result = ended_at([[-2.0, 4.0], [2.0, 4.0]], chi2=1.0)
    assert solve(problem, np.array([0.0, 4.0]), fixed=("a",)).chi2 > 1.5
    assert assess_multistart(problem, result, "a").code == "not_identified"


def test_degenerate_minima_apart_are_not_one_point(build):
    """The derivative by a vanishes at both, so that the standard error of `a` is anything."""
    problem = build(lambda a, b: 1 + (4 - a**2) ** 2 * (abs(b) + 0.1), a=(-3, 3), b=(-1, 1))
    found = assess_multistart(problem, run_multistart(problem, effort=Effort(20, 2)), "a")
    assert found.code == "disjoint"
    assert_allclose(found.groups, [[-2, -2], [2, 2]], atol=1e-3)


def test_where_nothing_converges_between_it_is_not_known(build, monkeypatch):
    problem = build(lambda a: a**2 - 4, a=(-9, 9))
    result = run_multistart(problem, effort=Effort(9, 2))

    def lost(*arguments, **options):
        fit = solve(*arguments, **options)
        return dataclasses.replace(fit, converged=np.zeros_like(fit.converged))

    monkeypatch.setattr(bands, "solve", lost)
    found = assess_multistart(problem, result, "a")
    assert found.code == "unreliable"
    assert_allclose(found.groups, [[-2, -2], [2, 2]], rtol=1e-5)
    assert found.sentence.endswith("it is undecided whether χ² stays at its minimum between them.")


def test_two_bands_apart_are_two_groups(build):
    """1 ≤ |a| ≤ 2 has χ² = 1."""

    def residuals(a, b):
        outside = np.where(abs(a) > 2, abs(a) - 2, np.where(abs(a) < 1, 1 - abs(a), 0 * a))
        return outside / 0.1, b, 1 + 0 * a

    problem = build(residuals, a=(-3.0, 3.0), b=(-1, 1))
    starts = run_multistart(problem, effort=Effort(30, 2))
    found = assess_multistart(problem, starts, "a")
    assert (found.code, len(found.groups)) == ("disjoint", 2)
    assert (np.abs(found.groups) > 0.999).all()
    assert (np.diff(found.groups) > 0.1).all()
    assert " to " in found.sentence


@pytest.mark.parametrize("limits", [(-9, 9), (-inf, inf)])
def test_a_square_has_two_roots(build, limits):
    problem = build(lambda a: a**2 - 4, a=limits)
    found = assess_multistart(problem, run_multistart(problem, effort=Effort(9, 2, {"a": (-9, 9)})), "a")
    assert (found.code, len(found.groups)) == ("disjoint", 2)
    assert_allclose(found.groups, [[-2, -2], [2, 2]], rtol=1e-5)


def test_an_infinite_range_holds_a_point(build):
    """The width of the box was infinite, so that every band was a point and every point one."""
    problem = build(lambda a, b: (a - 1e-9, b - a, 2 + 0 * a), a=(-inf, inf), b=(-inf, inf))
    result = run_multistart(problem, effort=Effort(9, 2, {"a": (-9, 9), "b": (-9, 9)}))
    assert assess_multistart(problem, result, "a").code == "identified"


def test_scatter_of_end_points_in_a_flat_minimum_is_no_band(build):
    problem = build(lambda a: (a**2, 1 + 0 * a), a=(-9, 9))
    found = assess_multistart(problem, run_multistart(problem, effort=Effort(20, 2)), "a")
    assert (found.code, len(found.groups)) == ("identified", 1)


def test_end_points_on_a_plateau_are_a_band(build):
    """|a| ≤ 1 is flat: no derivative is left, but χ² is the best all the way between the end points."""
    problem = build(lambda a: (np.where(abs(a) > 1, abs(a) - 1, 0 * a), 1 + 0 * a), a=(-9, 9))
    found = assess_multistart(problem, ended_at([[-0.9], [0.2]], chi2=1.0), "a")
    assert (found.code, found.groups.tolist()) == ("not_identified", [[-0.9, 0.2]])


@pytest.mark.parametrize("n_starts", [1, 6])
def test_nothing_is_said_of_starts_that_do_not_agree(build, n_starts):
    problem = build(lambda t: np.sqrt(t), t=(-9, -1))  # nowhere defined
    found = assess_multistart(problem, run_multistart(problem, effort=Effort(n_starts, 2)), "t")
    assert (found.code, found.groups.shape) == ("unreliable", (0, 2))
    again = BandResult.from_dict(json.loads(json.dumps(found.to_dict(), allow_nan=False)))
    assert_array_equal(again.groups, found.groups)
    assert_array_equal(again.low, found.low)


def test_the_old_address_still_works():
    assert by_its_other_name is assess_multistart
