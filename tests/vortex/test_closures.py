"""The closed forms against quadrature of the flow and the density themselves."""

import itertools

import numpy as np
import pytest
from scipy import integrate

from leptonfit.vortex.closures import CLOSURES, SHAPES, HillClosure

DEFICITS = {
    "parabolic": lambda x: 1 - x**2,
    "quartic": lambda x: (1 - x**2) ** 2,
    "gaussian": lambda x: np.exp(-(x**2)),
    "linear": lambda x: 1 - x,
}
POINTS = [(0.44, 0.90, 10.0), (0.13, 0.92, 10.0), (1.0, 1.0, 2.5), (0.7, 0.1, 40.0)]
ANALYTIC = list(itertools.product(("stream", "lab"), DEFICITS))


def velocity_squared(r, theta, radius, frame):
    """|v|²/U² from Lamb's stream function, v_r = ψ_θ/(r² sin θ), v_θ = −ψ_r/(r sin θ); in `lab` less the stream."""
    x = r / radius
    if x < 1:  # ψ = −(3/4) r²(1 − x²) sin²θ
        v_r, v_theta = -1.5 * (1 - x**2) * np.cos(theta), (1.5 - 3 * x**2) * np.sin(theta)
    else:  # ψ = (1/2) r²(1 − x⁻³) sin²θ
        v_r, v_theta = (1 - x**-3) * np.cos(theta), -(1 + 0.5 * x**-3) * np.sin(theta)
    if frame == "lab":
        v_r, v_theta = v_r - np.cos(theta), v_theta + np.sin(theta)
    return v_r**2 + v_theta**2


@pytest.mark.parametrize(("frame", "shape"), ANALYTIC)
@pytest.mark.parametrize(("radius", "amplitude", "r_max"), POINTS)
def test_flow_is_the_kinetic_energy_of_lambs_flow(frame, shape, radius, amplitude, r_max):
    nodes, weights = np.polynomial.legendre.leggauss(24)  # exact in cos θ
    theta = np.arccos(nodes)

    def shell(r):
        density = 1 - amplitude * DEFICITS[shape](r / radius) if r < radius else 1.0
        return np.pi * density * r**2 * np.sum(weights * velocity_squared(r, theta, radius, frame))

    tight = {"epsabs": 0, "epsrel": 1e-13, "limit": 200}
    inside = integrate.quad(shell, 0, radius, **tight)[0]
    outside = integrate.quad(shell, radius, r_max if frame == "stream" else np.inf, **tight)[0]
    closure = HillClosure(frame, shape, r_max)
    assert closure.flow(np.array(radius), np.array(amplitude)) == pytest.approx(inside + outside, rel=1e-10)


@pytest.mark.parametrize(("frame", "shape"), ANALYTIC)
@pytest.mark.parametrize("gradient", [0.0, 0.7])
def test_static_energy_is_the_integral_of_the_deficit_and_its_gradient(frame, shape, gradient):
    if shape == "gaussian" and gradient:
        with pytest.raises(ValueError, match=r"gradient = 0\.7: must be 0 for the gaussian shape"):
            HillClosure(frame, shape, gradient=gradient)
        return
    radius, amplitude, beta, step = 0.6, 0.8, 3.1, 1e-30

    def shell(r):
        deficit = amplitude * DEFICITS[shape](r / radius)
        slope = amplitude * DEFICITS[shape]((r + 1j * step) / radius).imag / step
        return 4 * np.pi * r**2 * (gradient * slope**2 - beta * deficit**2)

    exact = integrate.quad(shell, 0, radius, epsabs=0, epsrel=1e-13)[0]
    closure = HillClosure(frame, shape, gradient=gradient)
    assert closure.static(np.array(radius), np.array(amplitude), np.array(beta)) == pytest.approx(exact, rel=1e-10)


def test_published_coefficients():
    """Lamb's kinetic energy at A = 0, and the closed forms of the two power shapes."""
    one = np.array(1.0)
    assert HillClosure("lab").flow(one, 0 * one) == pytest.approx(10 * np.pi / 7, rel=1e-14)
    for frame, shape, coefficient in (
        ("stream", "parabolic", 6 / 35),
        ("lab", "parabolic", 2 / 3),
        ("stream", "quartic", 136 / 1155),
        ("lab", "quartic", 328 / 693),
    ):
        closure = HillClosure(frame, shape)
        assert closure.flow(one, 0 * one) - closure.flow(one, one) == pytest.approx(np.pi * coefficient, rel=1e-11)
    for shape, s, g in (
        ("parabolic", 32 * np.pi / 105, 16 * np.pi / 5),
        ("quartic", 512 * np.pi / 3465, 512 * np.pi / 315),
    ):
        closure = HillClosure("stream", shape, gradient=1.0)
        assert closure.static(one, one, 0 * one) == pytest.approx(g, rel=1e-13)
        assert closure.static(one, one, one) == pytest.approx(g - s, rel=1e-13)


@pytest.mark.parametrize(("frame", "shape"), ANALYTIC)
def test_slopes_by_complex_step(frame, shape):
    closure, step = HillClosure(frame, shape, gradient=0.0 if shape == "gaussian" else 0.3), 1e-30
    radius, amplitude, beta = np.array([0.13, 0.9]), np.array([0.2, 1.0]), np.array([1.5, 3.0])
    dr, da, db = radius + 1j * step, amplitude + 1j * step, beta + 1j * step
    by = [f.imag / step for f in (closure.flow(dr, amplitude), closure.flow(radius, da))]
    np.testing.assert_allclose(closure.flow_slopes(radius, amplitude), by, rtol=1e-12)
    static = closure.static
    by = [f.imag / step for f in (static(dr, amplitude, beta), static(radius, da, beta), static(radius, amplitude, db))]
    np.testing.assert_allclose(closure.static_slopes(radius, amplitude, beta), by, rtol=1e-12)


def test_lambs_flow_is_continuous_at_the_surface():
    h = 1e-7
    for theta, frame in itertools.product((0.3, 1.2, 2.5), ("stream", "lab")):
        inside, outside = (velocity_squared(0.5 + side, theta, 0.5, frame) for side in (-h, h))
        assert inside == pytest.approx(outside, abs=1e-5)


def test_the_flow_energy_of_the_stream_is_that_of_its_box():
    """Over the report's whole box of R and A it varies by 0.023 %, about (2π/3) r_max³; r_max alone sets it."""
    radius, amplitude = np.meshgrid(np.linspace(0.1, 1, 200), np.linspace(0.1, 1, 200))
    energy = HillClosure().flow(radius, amplitude)
    assert energy.min() == pytest.approx(2094.2, abs=0.1)
    assert energy.max() == pytest.approx(2094.6, abs=0.1)
    assert np.ptp(energy) / energy.mean() == pytest.approx(2.3e-4, abs=0.2e-4)
    for r_max, expected in ((5, 262), (10, 2094), (20, 16755), (40, 134041)):
        assert HillClosure(r_max=r_max).flow(0.5, 0.5) == pytest.approx(expected, abs=1)


def test_every_shape_in_every_frame_has_a_name():
    assert set(SHAPES) == set(DEFICITS)
    names = {frame if shape == "parabolic" else f"{frame}_{shape}" for frame, shape in ANALYTIC}
    assert set(CLOSURES) == names | {"reported"}
