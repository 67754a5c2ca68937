import numpy as np
import pytest
from scipy import integrate

from leptonfit.vortex.closures import HillClosure
from leptonfit.vortex.flow import describe_energy, lay_out_flow, scan_outer_radius


def test_streamlines_are_those_of_the_velocities():
    """v_x = −ψ_z/x and v_z = ψ_x/x: uniform flow far outside, a closed eddy inside with its centre at R/√2."""
    flow = lay_out_flow(0.9, r_max=5.0, extent=3.0, n=601)
    middle = len(flow.z) // 2
    right = flow.x > 0.05
    v_z = np.gradient(flow.psi[middle], flow.x)[right] / flow.x[right]
    assert v_z[np.abs(flow.x[right] - 3.0).argmin() - 2] == pytest.approx(1 + 0.5 * 2.98**-3, abs=5e-3)
    inside = (flow.x > 0.05) & (flow.x < 1)
    centre = flow.x[inside][flow.psi[middle, inside].argmin()]
    assert centre == pytest.approx(np.sqrt(0.5), abs=0.01)
    assert flow.density[middle, middle] == pytest.approx(0.1)


def test_energy_inside_by_quadrature():
    flow = lay_out_flow(0.5, r_max=10.0)

    def shell(x):
        radial, polar = 1.5 * (1 - x**2), 1.5 * (1 - 2 * x**2)
        return np.pi * x**2 * (1 - 0.5 * (1 - x**2)) * (2 / 3 * radial**2 + 4 / 3 * polar**2)

    assert flow.energy[0] == pytest.approx(integrate.quad(shell, 0, 1)[0], rel=1e-10)
    assert "the integration volume sets the energy" in describe_energy(flow)
    assert "the box's" not in describe_energy(lay_out_flow(0.5, r_max=1.0 + 1e-9))


def test_the_outer_radius_is_scanned_for_the_three_vortices_stated():
    found = scan_outer_radius(np.array([1.0, 4.0]))
    for row, (radius, amplitude) in enumerate([(0.1, 0.1), (1, 0.1), (1, 1)]):
        stream = [HillClosure(r_max=outer).flow(radius, amplitude) for outer in (1.0, 4.0)]
        assert found.stream[row] == pytest.approx(stream, rel=1e-12)
        assert found.lab[row] == pytest.approx(HillClosure(frame="lab").flow(radius, amplitude), rel=1e-12)
