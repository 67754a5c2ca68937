"""The prefix sums against the report's grid evaluated plainly, and its numbers."""

import numpy as np
import pytest
from scipy.integrate import simpson

from leptonfit.vortex.reported_functional import ReportedClosure


def evaluate_plainly(radius, amplitude, beta):
    """E_circ/U² and −E_stab by the grid of the report, one R at a time."""
    r, theta = np.linspace(0.01, 10, 100), np.linspace(0.01, np.pi - 0.01, 20)
    rr, tt = np.meshgrid(r, theta, indexing="ij")
    sin, cos, x = np.sin(tt), np.cos(tt), rr / radius
    inside = x < 1
    deficit = np.where(inside, amplitude * (1 - x**2), 0.0)
    v_r = np.where(inside, -3 * (1 - x**2) * cos, (1 - x**-3) * cos) * rr**2 * sin / (rr**2 * sin + 1e-10)
    v_theta = np.where(inside, 3 * x**2 * sin, -(1 + 0.5 * x**-3) * sin) * rr * sin / (rr * sin + 1e-10)

    def integral(density):
        return 2 * np.pi * simpson((density * rr**2 * sin).sum(axis=1) * (theta[1] - theta[0]), x=r)

    return integral(0.5 * (1 - deficit) * (v_r**2 + v_theta**2)), -beta * integral(deficit**2)


def test_the_prefix_sums_are_the_grid():
    rng = np.random.default_rng(1)
    for radius, amplitude in zip(rng.uniform(0.1, 9.0, 25), rng.uniform(0.1, 1.0, 25), strict=True):
        flow, static = evaluate_plainly(radius, amplitude, 3.0)
        closure = ReportedClosure()
        assert closure.flow(np.array(radius), amplitude) == pytest.approx(flow, rel=1e-11)
        assert closure.static(np.array(radius), amplitude, 3.0) == pytest.approx(static, rel=1e-9)


@pytest.mark.parametrize(
    ("radius", "velocity", "amplitude", "energy"),
    [(0.44, 0.024, 0.90, 1.00020869928), (0.13, 0.31, 0.92, 200.971295411)],
)
def test_the_reports_energies(radius, velocity, amplitude, energy):
    closure, radius = ReportedClosure(), np.array(radius)
    total = velocity**2 * closure.flow(radius, amplitude) + closure.static(radius, amplitude, 3.043233053)
    assert total == pytest.approx(energy, rel=1e-9)


def test_slopes_between_the_grid_radii():
    closure, h = ReportedClosure(), 1e-6
    radius, amplitude = np.array([0.15, 0.44, 0.87, 3.3]), np.array([0.2, 0.9, 0.5, 0.7])
    numeric = (closure.flow(radius + h, amplitude) - closure.flow(radius - h, amplitude)) / (2 * h)
    np.testing.assert_allclose(closure.flow_slopes(radius, amplitude)[0], numeric, rtol=1e-5)
    numeric = (closure.static(radius + h, amplitude, 3.0) - closure.static(radius - h, amplitude, 3.0)) / (2 * h)
    by_radius, by_amplitude, by_beta = closure.static_slopes(radius, amplitude, 3.0)
    np.testing.assert_allclose(by_radius, numeric, rtol=1e-5)
    np.testing.assert_allclose(by_amplitude, 2 * closure.static(radius, amplitude, 3.0) / amplitude, rtol=1e-13)
    np.testing.assert_allclose(by_beta, closure.static(radius, amplitude, 1.0), rtol=1e-13)
    flow = closure.flow(radius, amplitude)
    assert closure.flow_slopes(radius, amplitude)[1] == pytest.approx((flow - closure.flow(radius, 0.0)) / amplitude)


def test_false_walls_where_a_grid_radius_enters_the_core():
    """It jumps by 0.15 % at R = 0.918, five times what the exact integral varies over the whole box."""
    wall = 0.01 + 9 * 9.99 / 99
    below, above = (ReportedClosure().flow(np.array(wall + side), 0.9) for side in (-1e-9, 1e-9))
    assert wall == pytest.approx(0.918, abs=1e-3)
    assert abs(above / below - 1) == pytest.approx(1.5e-3, rel=0.1)


def test_its_grid_ends_at_ten():
    with pytest.raises(ValueError, match="r_max = 20: must be 10 for the reported closure"):
        ReportedClosure(20.0)
