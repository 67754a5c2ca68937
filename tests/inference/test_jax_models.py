"""Models written in jax.numpy: exact derivatives, the answer of NumPy, and the refusal of single precision."""

import numpy as np
import pytest

from leptonfit.inference.assess import assess_problem
from leptonfit.inference.model_problem import problem_from_model

jax = pytest.importorskip("jax")
jnp = jax.numpy

T = np.linspace(0, 6, 12)
Y = 5 * np.exp(-0.7 * T) + 0.3 + 0.15 * np.random.default_rng(3).standard_normal(len(T))
BOUNDS = {"a": (0, 20), "b": (0, 5), "c": (-1, 2)}


@pytest.fixture
def double():
    jax.config.update("jax_enable_x64", True)
    yield
    jax.config.update("jax_enable_x64", False)


def decay(t, a, b, c):
    return a * jnp.exp(-b * t) + jnp.abs(c)


def in_numpy(t, a, b, c):
    return a * np.exp(-b * t) + np.abs(c)


def test_derivatives_are_exact_also_of_equal_and_fixed_parameters(double):
    problem = problem_from_model(decay, T, Y, 0.15, BOUNDS)
    problem.check()
    assert problem.notes == ()
    x = np.array([[4.0, 0.6, 0.2], [3.0, 0.0, -0.4], [5.0, 0.7, 0.3]])
    a, b, c = x[..., None].transpose(1, 0, 2)
    exact = np.stack([np.exp(-b * T), -a * T * np.exp(-b * T), np.sign(c) + 0 * T], axis=-1) / 0.15
    assert problem.jacobian(x) == pytest.approx(exact, rel=1e-14)
    assert problem.residuals(x) == pytest.approx((in_numpy(T, a, b, c) - Y) / 0.15, rel=1e-14)
    equal = problem_from_model(decay, T, Y, 0.15, {"a": 5.0, "b": (0.1, 5), "c": "b"})
    equal.check()
    assert equal.jacobian(np.array([0.7])) * 0.15 == pytest.approx((1 - 5 * T * np.exp(-0.7 * T))[:, None], rel=1e-13)


def test_the_answer_is_that_of_numpy(double):
    found, other = (assess_problem(problem_from_model(f, T, Y, 0.15, BOUNDS), ["b"]) for f in (decay, in_numpy))
    assert found.verdicts["b"].interval == pytest.approx(other.verdicts["b"].interval, rel=1e-6)
    assert found.verdicts["b"].code == other.verdicts["b"].code


def test_single_precision_is_refused_in_one_line():
    with pytest.raises(ValueError, match=r"single precision: call jax\.config\.update") as refused:
        problem_from_model(decay, T, Y, 0.15, BOUNDS)
    assert "\n" not in str(refused.value)
