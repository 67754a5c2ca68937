"""Parameters fitted in ln p: the same intervals as in p, starts and grids over decades, refusals."""

import math
from dataclasses import replace

import numpy as np
import pytest

from leptonfit.inference.assess import assess_problem
from leptonfit.inference.determine import add_prior
from leptonfit.inference.logarithms import solve
from leptonfit.inference.model_problem import problem_from_model
from leptonfit.inference.multistart import draw_starts
from leptonfit.inference.problem import USUAL, Parameter
from leptonfit.inference.profile import scan_profile

T = np.linspace(0, 6, 13)
Y = 5e-4 * np.exp(-0.7 * T) + 2e-5 * np.random.default_rng(3).standard_normal(len(T))


def decay(t, a, b):
    return a * np.exp(-b * t)


def make(a, b=(0.01, 10), **more):
    return problem_from_model(decay, T, Y, 2e-5, {"a": a, "b": b}, **more)


LOG = Parameter(name="a", lower=1e-8, upper=1.0, scale="log")


def test_intervals_do_not_depend_on_the_scale_and_are_in_p():
    linear, log = (assess_problem(make(a)) for a in ((1e-8, 1.0), LOG))
    for name in ("a", "b"):
        assert log.verdicts[name].code == linear.verdicts[name].code == "identified"
        assert log.verdicts[name].interval == pytest.approx(linear.verdicts[name].interval, rel=1e-6)
    assert log.best_x == pytest.approx(linear.best_x, rel=1e-6)
    assert log.errors == pytest.approx(linear.errors, rel=1e-5)


def test_starts_and_grids_spread_over_the_decades():
    problem = make(LOG)
    assert problem.start[0] == pytest.approx(1e-4)
    narrow = make(Parameter(name="a", lower=1e-5, upper=1e-2, scale="log"))
    starts = np.log10(draw_starts(replace(narrow, search=USUAL), 300, np.random.default_rng(1))[:, 0])
    assert np.median(starts) == pytest.approx(-3.5, abs=0.02)
    ratios = np.diff(np.log(scan_profile(problem, "a").grid))
    assert ratios == pytest.approx(ratios[0], rel=1e-6)


def test_the_minimum_is_found_many_orders_of_magnitude_away():
    problem = make(Parameter(name="a", start=1e6, lower=1e-8, upper=1e8, scale="log"), Parameter(name="b", start=0.5))
    assert solve(problem, problem.start).x == pytest.approx(solve(problem, [5e-4, 0.7]).x, rel=1e-6)


def test_what_is_linear_in_the_logarithm_takes_two_steps():
    k = Parameter(name="k", start=1e-9, lower=1e-12, upper=1e12, scale="log")
    problem = problem_from_model(lambda t, k: t * np.log(k), T, 3 * T, 0.1, {"k": k})
    fit = solve(problem, problem.start)
    assert fit.x[0] == pytest.approx(math.exp(3), rel=1e-9)
    assert fit.n_iter <= 4


def test_a_point_on_a_bound_is_exactly_on_it():
    problem = make(Parameter(name="a", start=2e-3, lower=1.1e-3, upper=1.0, scale="log"))
    fit = solve(problem, problem.start)
    assert fit.x[0] == 1.1e-3
    assert fit.converged


def test_an_amount_that_is_not_seen_is_bounded_from_above_only():
    noise = 2e-5 * np.random.default_rng(5).standard_normal(len(T))
    problem = problem_from_model(decay, T, noise, 2e-5, {"a": LOG, "b": 0.7})
    verdict = assess_problem(problem, ["a"]).verdicts["a"]
    assert verdict.code == "open_below"
    assert verdict.sentence.startswith("The data bound a from above only: ")
    assert verdict.interval[0] == 0.0
    slope = np.exp(-0.7 * T) / 2e-5
    middle = slope @ (noise / 2e-5) / (slope @ slope)  # of the parabola, below the bound: χ² is lowest there
    assert middle < 0
    end = middle + math.sqrt((LOG.lower - middle) ** 2 + 3.841458820694124 / (slope @ slope))
    assert verdict.interval[1] == pytest.approx(end, rel=1e-6)


def test_infinite_bounds_equality_and_fixed_values_go_with_it():
    endless = make(
        Parameter(name="a", start=1e-3, lower=1e-8, scale="log"), Parameter(name="b", start=1.0, scale="log", lower=0.0)
    )
    bounded = assess_problem(make(LOG), ["a"])
    found = assess_problem(endless, ["a"])
    assert found.verdicts["a"].interval == pytest.approx(bounded.verdicts["a"].interval, rel=1e-6)
    fixed = make(LOG, b=0.7)
    assert fixed.names == ("a",)
    assert solve(fixed, fixed.start).converged
    equal = problem_from_model(lambda t, a, b: a * np.exp(-b * t), T, np.exp(-T), 0.1, {"a": LOG, "b": "a"})
    equal.check()
    assert equal.names == ("a",)


def test_a_log_normal_prior_is_a_gaussian_one_of_the_logarithm():
    """Without data on it, the 95 % set of p is mean·exp(±1.96 σ/mean)."""
    flat = problem_from_model(
        lambda t, p, m: m + 0 * t,
        T[:2],
        T[:2],
        1.0,
        {"p": Parameter(name="p", lower=1e-6, upper=1e6, scale="log"), "m": (-9, 9)},
    )
    found = assess_problem(add_prior(flat, "p", 2e-3, 4e-4, is_log_normal=True), ["p"]).verdicts["p"]
    reach = math.exp(0.2 * math.sqrt(3.841458820694124))
    assert found.interval == pytest.approx((2e-3 / reach, 2e-3 * reach), rel=1e-6)


def test_a_minimum_at_zero_is_reached_although_ln_p_has_none_there():
    """Michaelis–Menten at saturation: the lower end of V lies where K is 0."""
    s, y = np.array([5.0, 10, 20, 40]), np.array([9.9, 10.1, 9.95, 10.05])

    def rate(s, v, k):
        return v * s / (k + s)

    ends = []
    for scale in ("linear", "log"):
        k = Parameter(name="k", start=1.0, lower=0.0, upper=20.0, scale=scale, physical=(0.0, math.inf))
        verdict = assess_problem(problem_from_model(rate, s, y, 0.3, {"v": (0, 30), "k": k}), ["v"]).verdicts["v"]
        assert verdict.code == "bound_limited"
        ends.append(verdict.interval)
    assert ends[0] == pytest.approx(ends[1], rel=1e-9)


def test_a_log_normal_prior_of_a_parameter_that_may_be_zero():
    """Only a·b is seen: the set of a is that of its prior, on a box from 0 as on one from a positive number."""
    t = np.linspace(0, 3, 10)

    def model(t, a, b, k):
        return a * b * np.exp(-k * t)

    for low in (0.0, 1e-3):
        problem = problem_from_model(
            model, t, 6 * np.exp(-0.7 * t), 0.05, {"a": (low, 1000), "b": (0, 1e4), "k": (0, 5)}
        )
        found = assess_problem(add_prior(problem, "a", 2.0, 1.0, is_log_normal=True), ["a"]).verdicts["a"]
        reach = math.exp(0.5 * math.sqrt(3.841458820694124))
        assert found.interval == pytest.approx((2 / reach, 2 * reach), rel=1e-6)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"scale": "ln"}, "a: scale = 'ln': must be 'linear' or 'log'"),
        ({"lower": -1.0}, "a: lower = -1: must be 0 or more on a logarithmic scale"),
        ({"lower": 0.0, "start": 0.0}, "a = 0: the start must be positive on a logarithmic scale"),
        ({"upper": math.inf}, "have no middle; give a start"),
    ],
)
def test_what_has_no_logarithm_is_refused(change, message):
    with pytest.raises(ValueError, match=message):
        Parameter(**{"name": "a", "lower": 1e-8, "upper": 1.0, "scale": "log", **change})
