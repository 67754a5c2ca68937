"""Cross-sections, integrated two ways, and what is known of them."""

import numpy as np
import pytest
from scipy.integrate import quad

from leptonfit.neutrino import scattering as sc


def at(coefficients, energy):
    return coefficients @ energy ** -np.arange(3.0)


def test_constants_are_the_known_ones():
    assert pytest.approx(2.4947e-25, rel=1e-4) == sc.MAGNETIC
    scale = sc.weak_electron(np.array(0.0), 1.0, 0.0)[0]
    assert scale == pytest.approx(1.723e-44, rel=3e-4)


@pytest.mark.parametrize("flavour", sc.COUPLINGS)
@pytest.mark.parametrize("energy", [0.3, 1.0, 10.0])
def test_weak_cross_section_integrates_to_its_closed_form(flavour, energy):
    """σ = (2G²m/π) [g_L² T + g_R² E/3 (1 − (1 − T/E)³) − g_L g_R m T²/(2E²)] at T = T_max."""
    left, right = sc.COUPLINGS[flavour]
    end = sc.largest_recoil(energy, sc.ELECTRON_MASS)
    total = quad(lambda t: at(sc.weak_electron(np.array(t), left, right), energy), 0, end, epsrel=1e-11, epsabs=0)[0]
    scale = sc.weak_electron(np.array(0.0), 1.0, 0.0)[0]
    closed = left**2 * end + right**2 * energy / 3 * (1 - (1 - end / energy) ** 3)
    closed -= left * right * sc.ELECTRON_MASS * end**2 / (2 * energy**2)
    assert total == pytest.approx(scale * closed, rel=1e-10)


def test_magnetic_cross_section_integrates_to_its_closed_form():
    energy, low = 1.3, 1e-3
    end = sc.largest_recoil(energy, sc.ELECTRON_MASS)
    total = quad(lambda t: at(sc.magnetic(np.array(t)), energy), low, end, epsrel=1e-11, epsabs=0)[0]
    assert total == pytest.approx(sc.MAGNETIC * (np.log(end / low) - (end - low) / energy), rel=1e-10)


def test_least_energy_and_largest_recoil_are_inverses():
    recoil = np.array([1e-5, 0.1, 3.0])
    for mass in (sc.ELECTRON_MASS, 1e5):
        np.testing.assert_allclose(sc.largest_recoil(sc.least_energy(recoil, mass), mass), recoil, rtol=1e-9)


def test_total_of_high_energy_neutrinos_is_the_known_one():
    """σ(ν_e e) = 9.2e-45 and σ(ν_μ e) = 1.6e-45 cm² per MeV far above the electron's mass (PDG)."""
    for flavour, known in (("nu_e", 9.2e-45), ("nu_mu", 1.55e-45)):
        left, right = sc.COUPLINGS[flavour]
        scale = sc.weak_electron(np.array(0.0), 1.0, 0.0)[0]
        assert scale * (left**2 + right**2 / 3) == pytest.approx(known, rel=0.05)


def test_coherent_cross_section_without_a_form_factor():
    """At zero recoil G_F² M/(4π) Q_w²: for caesium, per MeV, from the constants themselves."""
    charge = 132.905 - 55 - (1 - 4 * 0.2386) * 55
    mass = 132.905 * 931.494
    expected = (1.1663788e-11) ** 2 * mass / (4 * np.pi) * charge**2 * (197.32698e-13) ** 2
    assert sc.weak_nucleus(np.array([1e-12]), 55, 132.905)[0, 0] == pytest.approx(expected, rel=1e-6)


def test_form_factor_is_one_at_rest_and_falls():
    recoil = np.array([1e-9, 0.005, 0.02])
    factor = sc.form_factor(recoil, 131.0)
    assert factor[0] == pytest.approx(1, abs=1e-5)
    assert (np.diff(factor) < 0).all()
    q, slope = np.sqrt(2 * 131 * sc.DALTON * 1e-7) / sc.HBAR_C, 1 - sc.form_factor(np.array(1e-7), 131.0)
    mean_square = 6 * slope / q**2  # fm²: that of the sphere, and of the Yukawa range
    assert mean_square == pytest.approx(3 / 5 * (1.2**2 * 131 ** (2 / 3)) + 6 * 0.7**2, rel=1e-3)


def test_electrons_are_freed_shell_by_shell():
    many = sc.count_electrons(np.array([0.5e-3, 2e-3, 20e-3, 40e-3]), [(34.561e-3, 2), (5e-3, 8), (1e-3, 18)], 26)
    np.testing.assert_array_equal(many, [26, 44, 52, 54])


def test_couplings_are_those_of_the_standard_model():
    """g_L = ±½ + s² and g_R = s² with s² = 0.2386, exchanged for antineutrinos."""
    assert sc.COUPLINGS["nu_e"] == pytest.approx((0.7386, 0.2386))
    assert sc.COUPLINGS["nu_e_bar"] == pytest.approx((0.2386, 0.7386))
    assert sc.COUPLINGS["nu_mu"] == pytest.approx((-0.2614, 0.2386))
    assert sc.COUPLINGS["nu_mu_bar"] == pytest.approx((0.2386, -0.2614))


def test_nuclear_cross_sections_at_a_finite_recoil():
    """Caesium, 10 keV from 30 MeV, from the formulas with numbers in place of names."""
    recoil, energy, z, mass_number = 0.01, 30.0, 55, 132.905
    mass = mass_number * 931.494102
    q = np.sqrt(2 * mass * recoil) / 197.3269804
    r = 1.2 * mass_number ** (1 / 3)
    factor = 3 * (np.sin(q * r) - q * r * np.cos(q * r)) / (q * r) ** 3 / (1 + 0.49 * q**2)
    weak = (1.1663788e-11) ** 2 * mass / (4 * np.pi) * (mass_number - z - (1 - 4 * 0.2386) * z) ** 2 * factor**2
    weak *= (1 - mass * recoil / (2 * energy**2)) * (197.3269804e-13) ** 2
    assert at(sc.weak_nucleus(np.array([recoil]), z, mass_number)[:, 0], energy) == pytest.approx(weak, rel=1e-5)
    magnetic = 2.49467e-25 * z**2 * factor**2 * (1 / recoil - 1 / energy)
    assert at(sc.magnetic_nucleus(np.array([recoil]), z, mass_number)[:, 0], energy) == pytest.approx(
        magnetic, rel=1e-5
    )


RECOIL = np.array([1e-3, 0.05, 0.4])


@pytest.mark.parametrize("flavour", sc.COUPLINGS)
def test_a_shift_of_the_vector_coupling_is_exact_to_second_order(flavour):
    left, right = sc.COUPLINGS[flavour]
    for shift in (0.3, -1.2):
        first, second = sc.shifted_electron(RECOIL, left, right, np.full(3, shift))
        whole = sc.weak_electron(RECOIL, left + shift / 2, right + shift / 2)
        np.testing.assert_allclose(sc.weak_electron(RECOIL, left, right) + first + second, whole, rtol=1e-12)


def test_a_charge_radius_is_a_shift_of_the_weak_mixing_angle():
    """sin²θ_W (1 + m_W²⟨r²⟩/3), with m_W² sin²θ_W = πα/(√2 G_F), moves g_L and g_R by as much each."""
    radius = 1e-32 / (197.3269804e-13) ** 2  # MeV⁻²
    moved = np.pi / 137.035999 / (np.sqrt(2) * 1.1663788e-11) * radius / 3
    np.testing.assert_allclose(1e-32 * sc.shift_by_radius(RECOIL) / 2, moved, rtol=1e-6)
    changed = sc.weak_nucleus(RECOIL * 1e-2, 55, 132.905)[0]
    first, second = sc.shifted_nucleus(RECOIL * 1e-2, 55, 132.905, np.full(3, 2 * moved))
    charge = 132.905 - 55 - (1 - 4 * sc.SIN2_THETA_W) * 55
    ratio = (132.905 - 55 - (1 - 4 * (sc.SIN2_THETA_W + moved)) * 55) ** 2 / charge**2
    np.testing.assert_allclose((first + second)[0], (ratio - 1) * changed, rtol=1e-9)


def test_a_charge_scatters_as_rutherford_says():
    """Without weak scattering 2πα² q²/(M T²), times Z² and the form factor for nuclei, at E far above T."""
    alpha2 = (1 / 137.035999) ** 2 * (197.3269804e-13) ** 2
    second = sc.shifted_electron(RECOIL, 0.7, 0.2, sc.shift_by_charge(RECOIL, sc.ELECTRON_MASS))[1]
    closed = 2 * np.pi * alpha2 / (sc.ELECTRON_MASS * RECOIL**2)
    np.testing.assert_allclose(at(second.T, 1e6), closed, rtol=1e-5)
    mass = 132.905 * sc.DALTON
    recoil = RECOIL * 1e-2
    second = sc.shifted_nucleus(recoil, 55, 132.905, sc.shift_by_charge(recoil, mass))[1]
    closed = 2 * np.pi * alpha2 * 55**2 / (mass * recoil**2) * sc.form_factor(recoil, 132.905) ** 2
    np.testing.assert_allclose(second[0], closed, rtol=1e-5)


def test_interference_of_a_charge_lowers_scattering_of_electron_neutrinos():
    """A positive charge of ν_e weakens its coupling to electrons, and that to nuclei, whose weak charge is positive."""
    first, _ = sc.shifted_electron(RECOIL, *sc.COUPLINGS["nu_e"], sc.shift_by_charge(RECOIL, sc.ELECTRON_MASS))
    assert (at(first.T, 5.0) < 0).all()
    assert (sc.shifted_nucleus(RECOIL, 55, 132.9, sc.shift_by_charge(RECOIL, 1.2e5))[0][0] < 0).all()
