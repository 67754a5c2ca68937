"""The closed forms against quadrature of the flow and the density themselves."""

import numpy as np
import pytest
from scipy import integrate

from leptonfit.vortex.closures import StreamClosure

POINTS = [(0.44, 0.90, 10.0), (0.13, 0.92, 10.0), (1.0, 1.0, 2.5), (0.7, 0.1, 40.0)]


def velocity_squared(r, theta, radius):
    """|v|²/U² from Lamb's stream function: v_r = ψ_θ/(r² sin θ), v_θ = −ψ_r/(r sin θ)."""
    x = r / radius
    if x < 1:  # ψ = −(3/4) r²(1 − x²) sin²θ
        v_r = -1.5 * (1 - x**2) * np.cos(theta)
        v_theta = (1.5 - 3 * x**2) * np.sin(theta)
    else:  # ψ = (1/2) r²(1 − x⁻³) sin²θ
        v_r = (1 - x**-3) * np.cos(theta)
        v_theta = -(1 + 0.5 * x**-3) * np.sin(theta)
    return v_r**2 + v_theta**2


@pytest.mark.parametrize(("radius", "amplitude", "r_max"), POINTS)
def test_circulation_is_the_kinetic_energy_of_lambs_flow(radius, amplitude, r_max):
    nodes, weights = np.polynomial.legendre.leggauss(24)  # exact: polynomials in cos θ, and in r inside
    theta, w_theta = (nodes + 1) * np.pi / 2, weights * np.pi / 2

    def shell(r):
        density = 1 - amplitude * (1 - (r / radius) ** 2) if r < radius else 1.0
        speed = np.array([velocity_squared(r, t, radius) for t in theta])
        return np.pi * density * r**2 * np.sum(w_theta * speed * np.sin(theta))

    inside = integrate.quad(shell, 0, radius, epsabs=0, epsrel=1e-13)[0]
    outside = integrate.quad(shell, radius, r_max, epsabs=0, epsrel=1e-13, limit=200)[0]
    assert StreamClosure(r_max).circulation(np.array(radius), np.array(amplitude)) == pytest.approx(
        inside + outside, rel=1e-10
    )


def test_lambs_flow_is_continuous_at_the_surface_and_has_no_source():
    h = 1e-7
    for theta in (0.3, 1.2, 2.5):
        assert velocity_squared(0.5 - h, theta, 0.5) == pytest.approx(velocity_squared(0.5 + h, theta, 0.5), abs=1e-5)
    # flux through a sphere inside: ∫ v_r sin θ dθ of cos θ vanishes for every r
    assert integrate.quad(lambda t: -1.5 * (1 - 0.3**2) * np.cos(t) * np.sin(t), 0, np.pi)[0] == pytest.approx(
        0, abs=1e-14
    )


@pytest.mark.parametrize(("radius", "amplitude", "r_max"), POINTS)
def test_stabilisation_is_the_integral_of_the_squared_deficit(radius, amplitude, r_max):
    def shell(r):
        return 4 * np.pi * r**2 * (amplitude * (1 - (r / radius) ** 2)) ** 2

    exact = integrate.quad(shell, 0, radius, epsabs=0, epsrel=1e-13)[0]
    assert StreamClosure(r_max).stabilisation(np.array(radius), np.array(amplitude)) == pytest.approx(exact, rel=1e-12)


@pytest.mark.parametrize("name", ["circulation", "stabilisation"])
@pytest.mark.parametrize(("radius", "amplitude", "r_max"), POINTS)
def test_gradients_by_complex_step(name, radius, amplitude, r_max):
    closure, step = StreamClosure(r_max), 1e-30
    value = getattr(closure, name)
    by_radius, by_amplitude = getattr(closure, f"{name}_gradient")(radius, amplitude)
    assert by_radius == pytest.approx(value(radius + 1j * step, amplitude).imag / step, rel=1e-12)
    assert by_amplitude == pytest.approx(value(radius, amplitude + 1j * step).imag / step, rel=1e-12)


def test_the_flow_energy_is_that_of_the_box():
    """Over the report's whole box of R and A it varies by 0.023 %, about (2π/3) r_max³."""
    radius, amplitude = np.meshgrid(np.linspace(0.1, 1, 200), np.linspace(0.1, 1, 200))
    energy = StreamClosure(10.0).circulation(radius, amplitude)
    assert energy.min() == pytest.approx(2094.2, abs=0.1)
    assert energy.max() == pytest.approx(2094.6, abs=0.1)
    assert np.ptp(energy) / energy.mean() == pytest.approx(2.3e-4, abs=0.2e-4)
