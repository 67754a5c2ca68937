"""Derivatives from values, against closed forms."""

import numpy as np
import pytest
from numpy.testing import assert_allclose

from leptonfit.inference.differences import complex_steps, differentiate


@pytest.mark.parametrize("step", [1e-3, 0.1, 1.0, 10.0])
def test_the_step_hardly_matters(step):
    x = np.array([0.0, 1.0, 3.0, 10.0])
    assert_allclose(differentiate(np.exp, x, step), np.exp(x), rtol=1e-11)
    assert_allclose(differentiate(lambda x: np.sin(3 * x), x, step), 3 * np.cos(3 * x), atol=1e-10)


@pytest.mark.parametrize("unit", [1e-20, 1.0, 1e20])
def test_units_do_not_matter(unit):
    assert_allclose(differentiate(lambda x: np.exp(x / unit), unit, 0.1 * unit), np.e / unit, rtol=1e-11)


@pytest.mark.parametrize("unit", [1e-40, 1.0, 1e40])
def test_complex_steps_do_not_depend_on_the_unit(unit):
    assert_allclose(complex_steps(lambda x: 1 / x[..., 0], np.array([2 * unit])), -0.25 / unit**2, rtol=1e-14)


def test_limits_are_respected():
    x = np.array([0.0, 1e-3, 1.0])
    seen = []

    def power(x):
        seen.append(x)
        return x**1.5 + x

    assert_allclose(differentiate(power, x[1:], 1.0, lower=0.0), 1.5 * np.sqrt(x[1:]) + 1, rtol=1e-10)
    assert_allclose(differentiate(lambda x: x**2 + x, x, 1.0, lower=0.0), 2 * x + 1, rtol=1e-10)
    assert min(part.min() for part in seen) >= 0


def test_undefined_neighbours_are_passed_over():
    with np.errstate(all="ignore"):
        assert differentiate(np.log, np.array([0.05]), 1.0)[0] == pytest.approx(20, rel=1e-8)
        assert np.isnan(differentiate(lambda x: x * np.nan, np.array([1.0]), 1.0)).all()
