"""Moment functionals and mean radii against adaptive quadrature and fractions done by hand."""

import numpy as np
import pytest
from scipy.integrate import dblquad, quad

from leptonfit.vortex.closures import SHAPES
from leptonfit.vortex.moments import CURRENTS, moment_factor, rms_factor

FRACTIONS = {"uniform_rigid": 1 / 5, "deficit_rigid": 1 / 7, "uniform_swirl": 8 / 35, "deficit_swirl": 11 / 63}


@pytest.mark.parametrize("current", CURRENTS)
def test_k_of_the_parabolic_density_is_the_fraction(current):
    assert moment_factor(current) == pytest.approx(FRACTIONS[current], abs=1e-14)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("current", CURRENTS)
def test_k_is_the_moment_of_a_turning_charge(current, shape):
    """½ ∫ ρ_Q (r × v)_z dV over the ball, in spherical coordinates."""
    charge, rotation = current.split("_")

    def density(x):
        return 1.0 if charge == "uniform" else float(SHAPES[shape][0](np.array(x)))

    def speed(x, theta):  # v_φ/U
        return np.sin(theta) * (x if rotation == "rigid" else (3 * x - x**3) / 2)

    options = {"epsabs": 1e-14, "epsrel": 1e-13}
    moment, _ = dblquad(
        lambda theta, x: 0.5 * density(x) * x * np.sin(theta) * speed(x, theta) * 2 * np.pi * x**2 * np.sin(theta),
        0,
        1,
        0,
        np.pi,
        **options,
    )
    total, _ = quad(lambda x: 4 * np.pi * x**2 * density(x), 0, 1, **options)
    assert moment_factor(current, shape=shape) == pytest.approx(moment / total, rel=1e-12)


@pytest.mark.parametrize(("shape", "s"), [("parabolic", 1), ("quartic", 2)])
def test_the_mean_radius_has_its_closed_form(shape, s):
    assert rms_factor("deficit", shape=shape) == pytest.approx(np.sqrt(3 / (2 * s + 5)), rel=1e-13)
    assert rms_factor("squared", shape=shape) == pytest.approx(np.sqrt(3 / (4 * s + 5)), rel=1e-13)


def test_unknown_names_are_refused():
    with pytest.raises(ValueError, match="current = 'rigid': must be one of uniform_rigid"):
        moment_factor("rigid")
    with pytest.raises(ValueError, match="weight = 'mass': must be one of deficit, squared"):
        rms_factor("mass")
