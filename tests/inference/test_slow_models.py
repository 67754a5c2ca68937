"""Models that are called for one parameter set at a time: number of calls, noise, processes."""

import math
import threading

import numpy as np
import pytest

from leptonfit.inference.assess import assess_problem, choose_effort
from leptonfit.inference.determine import add_prior
from leptonfit.inference.model_problem import problem_from_model
from leptonfit.inference.problem import join, restrict
from leptonfit.inference.solve import solve
from leptonfit.inference.stationarity import KKT_TOLERANCE

T = np.linspace(0, 6, 12)
Y = 5 * np.exp(-0.7 * T) + 0.3 + 0.15 * np.random.default_rng(3).standard_normal(len(T))
BOUNDS = {"a": (0, 20), "b": (0, 5), "c": (-1, 2)}


def decay(t, a, b, c):
    return a * np.exp(-b * t) + c


class Alone:
    """Decay that takes single numbers only, counts its calls and has noise of a relative size, the same every time."""

    def __init__(self, noise=0.0):
        self.noise, self.calls = noise, 0

    def __call__(self, t, a, b, c):
        self.calls += 1
        a, b, c = map(float, (a, b, c))
        wave = np.sin(1.1e10 * a + 2.3e11 * b + 1.3e9 * c + 1e3 * t)
        return a * np.exp(-b * t) * (1 + self.noise * wave) + c


@pytest.fixture(scope="module")
def exact():
    return assess_problem(problem_from_model(decay, T, Y, 0.15, BOUNDS), ["b"])


@pytest.mark.parametrize(
    ("noise", "most", "accuracy"), [(0.0, 12_000, 1e-6), (1e-9, 30_000, 1e-6), (1e-7, 60_000, 1e-5)]
)
def test_few_calls_give_the_same_verdict_and_interval_also_with_noise(exact, noise, most, accuracy):
    model = Alone(noise)
    found = assess_problem(problem_from_model(model, T, Y, 0.15, BOUNDS), ["b"])
    assert model.calls < most
    assert found.verdicts["b"].code == exact.verdicts["b"].code == "identified"
    assert found.verdicts["b"].interval == pytest.approx(exact.verdicts["b"].interval, rel=accuracy)
    assert found.best_chi2 == pytest.approx(exact.best_chi2, rel=1e-6)
    assert found.profiles["b"].trusted.all()


def test_a_point_asked_for_again_costs_no_call():
    model = Alone()
    problem = problem_from_model(model, T, Y, 0.15, BOUNDS)
    x = np.array([[4.0, 0.6, 0.2], [4.1, 0.6, 0.2]])
    problem.residuals(x)
    before = model.calls
    problem.residuals(x[::-1])
    assert model.calls == before
    problem.jacobian(x)
    assert model.calls == before + 2 * 2 * 3  # two calls for each parameter of each point


def test_fewer_starts_are_the_default_of_whatever_is_made_of_a_slow_problem():
    slow, quick = (problem_from_model(model, T, Y, 0.15, BOUNDS) for model in (Alone(), decay))
    for changed in (slow, restrict(slow, fixed={"c": 0.3}), add_prior(slow, "a", 5, 1), join([slow, quick])):
        assert choose_effort(changed).n_starts == 4
    assert choose_effort(quick).n_starts == 16
    assert "fewer fresh starts" in slow.notes[0]


def test_the_tolerance_is_loosened_to_the_error_of_the_derivatives_and_this_is_said():
    noisy, clean = (problem_from_model(Alone(noise), T, Y, 0.15, BOUNDS) for noise in (1e-7, 0.0))
    assert "stationary where the gradient is zero within this error" in noisy.notes[1]
    assert "stationary" not in clean.notes[1]
    assert 1e-6 < noisy.accuracy.derivatives < 1e-3
    assert clean.accuracy.derivatives < 1e-8
    starts = np.array([[4.0, 0.5, 0.0], [9.0, 1.5, 1.0], [2.0, 0.2, -0.5]])
    assert solve(noisy, starts).converged.all()
    best = solve(clean, starts[0]).x
    away = best * np.array([1 + 1e-3, 1.0, 1.0])  # far outside the error: not stationary
    for problem in (noisy, clean):
        assert solve(problem, away, max_iter=0).kkt > 100 * KKT_TOLERANCE


@pytest.mark.slow
def test_processes_give_the_same_bytes_also_for_closures():
    offset = 0.3

    def closure(t, a, b):
        return np.array([float(a) * np.exp(-float(b) * value) + offset for value in t])

    bounds = {"a": (0, 20), "b": (0, 5)}
    alone, shared = (problem_from_model(closure, T, Y, 0.15, bounds, jobs=jobs) for jobs in (1, 2))
    assert "in this process" in alone.notes[0]
    assert "in 2 processes" in shared.notes[0]
    x = np.random.default_rng(1).uniform(0.1, 4, (5, 3, 2))
    assert np.array_equal(alone.residuals(x), shared.residuals(x))
    assert np.array_equal(alone.jacobian(x), shared.jacobian(x))


def test_what_cannot_be_sent_to_another_process_is_refused_in_one_line():
    lock = threading.Lock()

    def model(t, a, b):
        with lock:
            return np.array([float(a) * np.exp(-float(b) * value) for value in t])

    with pytest.raises(ValueError, match="jobs = 2: the model cannot be sent to other processes") as refused:
        problem_from_model(model, T, Y, 0.15, {"a": (0, 20), "b": (0, 5)}, jobs=2)
    assert "\n" not in str(refused.value)
    with pytest.raises(ValueError, match="jobs = 0: must be at least 1"):
        problem_from_model(model, T, Y, 0.15, {"a": (0, 20), "b": (0, 5)}, jobs=0)


def test_a_model_that_stops_early_is_named_with_its_parameters():
    def model(t, a, b):
        return (float(a) * np.exp(-float(b) * t))[: 5 if a > 19 else None]

    with pytest.raises(
        ValueError, match=r"shape \(5,\) at a = 19.\d+, b = .*: must be \(12,\), as y has; where it has no"
    ):
        problem_from_model(model, T, Y, 0.15, {"a": (0, 20), "b": (0, 5)})


@pytest.mark.slow
def test_a_model_whose_arithmetic_overflows_has_no_value_there(exact):
    """`math.exp` raises where NumPy's gives infinity: 20 % of the box of b are such points."""

    def model(t, a, b, c):
        return [a * math.exp(-b * one) / (1 + math.exp(200 * (b - 4))) + c for one in t]

    found = assess_problem(problem_from_model(model, T, Y, 0.15, {**BOUNDS, "b": (0, 10)}), ["b"])
    assert found.verdicts["b"].interval == pytest.approx(exact.verdicts["b"].interval, rel=1e-5)
