"""Search on the problem of a model: scaling symmetries, ends behind a poorer minimum, number of calls."""

from dataclasses import replace

import numpy as np
import pytest

from leptonfit.inference.assess import assess_problem
from leptonfit.inference.model_problem import problem_from_model
from leptonfit.inference.multistart import Effort, draw_starts
from leptonfit.inference.problem import USUAL, Parameter

DAYS = np.arange(2.0, 42.0, 2.0)


def runge_kutta(rate, state, t, n_steps):
    states, now = [], 0.0
    for then in t:
        h = (then - now) / n_steps
        for _ in range(n_steps):
            k1 = rate(state)
            k2 = rate(state + h / 2 * k1)
            k3 = rate(state + h / 2 * k2)
            state = state + h / 6 * (k1 + 2 * (k2 + k3) + rate(state + h * k3))
        states.append(state)
        now = then
    return np.concatenate(states, axis=-1)


class Epidemic:
    """Reported ill of an SIR epidemic; counts its calls."""

    calls = 0

    def __call__(self, t, infection, recovery, population, reported):
        self.calls += 1
        infection, recovery = (np.atleast_1d(value) for value in np.broadcast_arrays(infection, recovery))

        def rate(state):
            new = infection * state[0] * state[1]
            return np.stack([-new, new - recovery * state[1]])

        start = np.stack([0.999 + 0 * infection, 0.001 + 0 * infection])
        return reported * population * runge_kutta(rate, start, t, 2)[1]


def epidemic_problem(model, **fixed):
    truth = {"infection": 0.6, "recovery": 0.2, "population": 1e4, "reported": 0.3}
    y = Epidemic()(DAYS, **truth) + 20 * np.random.default_rng(5).standard_normal(len(DAYS))
    share = Parameter(name="reported", start=0.5, lower=0.0, upper=1.0, physical=(0.0, 1.0))
    bounds = {"infection": (0, 3), "recovery": (0, 2), "population": (1e3, 1e6), "reported": share, **fixed}
    return problem_from_model(model, DAYS, y, 20.0, bounds)


@pytest.mark.slow
def test_reported_cases_bound_a_population_only_from_below():
    """At most everybody is reported: population ≥ population·reported; only the product is determined."""
    model = Epidemic()
    found = assess_problem(epidemic_problem(model), ["population"], effort=Effort(8, 1))
    verdict = found.verdicts["population"]
    assert verdict.code == "open_above"
    assert [str(bound) for bound in verdict.held_by[0]] == ["reported ≤ 1"]
    (product,) = found.combinations
    value, error = map(float, product.removeprefix("population·reported = ").split(" ± "))
    assert abs(value - 3000) < 4 * error < 2000
    assert model.calls < 5000
    whole = assess_problem(epidemic_problem(model, reported=1.0), ["population"], effort=Effort(8, 1))
    assert verdict.interval[0] == pytest.approx(whole.verdicts["population"].interval[0], rel=1e-6)


def product(t, a, b, c):
    return a * b * np.exp(-c * t)


def almost_product(t, a, b, c):
    return a * b * np.exp(-c * t) + 1e-4 * a * t


T = np.linspace(0, 4, 9)
BOUNDS = {"a": (0.01, 20), "b": (0.01, 20), "c": (0, 5)}


def judged(model, bounds=BOUNDS):
    y = product(T, 2.0, 3.0, 0.7) + 0.05 * np.random.default_rng(2).standard_normal(len(T))
    return assess_problem(problem_from_model(model, T, y, 0.05, bounds), ["a"])


def test_a_scaling_symmetry_is_seen_without_a_release():
    found = judged(product)
    assert found.verdicts["a"].code == "not_identified"
    assert found.profiles["a"].release is None
    assert "held below by b ≤ 20 (search)" in found.verdicts["a"].sentence
    assert found.combinations[0].startswith("a·b = ")


def test_what_is_almost_a_symmetry_is_followed_behind_the_bounds():
    found = judged(almost_product)
    assert found.profiles["a"].release is not None
    assert found.verdicts["a"].code != "identified"


@pytest.mark.slow
def test_a_curve_of_equal_chi2_is_not_taken_for_a_symmetry():
    """Of a + b² only the sum is known, but no power of a factor and no straight line keeps it."""
    found = assess_problem(
        problem_from_model(
            lambda t, a, b, c: (a + b * b) * np.exp(-c * t),
            T,
            judged_data(),
            0.05,
            {"a": (-20, 20), "b": (0.1, 3), "c": (0, 5)},
        ),
        ["a"],
    )
    assert found.profiles["a"].release is not None
    assert found.profiles["a"].release.boxes["b"][-1, 1] > 3


def test_a_symmetry_ends_at_a_physical_limit():
    """b ≤ 20 closes the set of a from below: a = a·b/20 at the lower end of the product, in closed form."""
    limited = Parameter(name="b", start=1.0, lower=0.01, upper=20.0, physical=(0.0, 20.0))
    found = judged(product, {**BOUNDS, "b": limited})
    assert found.verdicts["a"].code == "open_above"
    direct = assess_problem(
        problem_from_model(
            lambda t, ab, c: ab * np.exp(-c * t), T, judged_data(), 0.05, {"ab": (0.01, 400), "c": (0, 5)}
        ),
        ["ab"],
    )
    assert found.verdicts["a"].interval[0] == pytest.approx(direct.verdicts["ab"].interval[0] / 20, rel=1e-6)


def judged_data():
    return product(T, 2.0, 3.0, 0.7) + 0.05 * np.random.default_rng(2).standard_normal(len(T))


def test_each_start_on_a_model_is_the_best_of_several_points():
    problem = problem_from_model(product, T, judged_data(), 0.05, BOUNDS)
    assert problem.search.n_draws > 1
    usual = replace(problem, search=USUAL)
    chi2 = [
        np.median(np.sum(one.residuals(draw_starts(one, 64, np.random.default_rng(1))) ** 2, axis=-1))
        for one in (problem, usual)
    ]
    assert chi2[0] < 0.2 * chi2[1]
    held = draw_starts(problem, 4, np.random.default_rng(1), held=(0, np.array([1.0, 2.0, 3.0, 4.0])))
    assert held[:, 0].tolist() == [1.0, 2.0, 3.0, 4.0]
