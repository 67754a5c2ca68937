"""Fluxes and their moments."""

import itertools

import numpy as np
import pytest
from scipy.integrate import quad

from leptonfit.neutrino.experiments import load_experiment
from leptonfit.neutrino.flux import Flux, pion_fluxes, reactor_flux, solar_fluxes
from leptonfit.neutrino.sheets import load_fluxes
from leptonfit.neutrino.spectra import load_sources


def every():
    tables = load_fluxes()
    return [reactor_flux(tables["reactor"], 2.7e13), *solar_fluxes(tables["solar"]), *pion_fluxes(1e10)]


@pytest.mark.parametrize("flux", every(), ids=lambda f: f.name)
def test_moments_are_those_of_adaptive_quadrature(flux):
    least = np.array([0.02, 0.3, 0.99]) * flux.largest_energy
    moments = flux.moments(least)
    for i, low in enumerate(least):
        for k in range(3):
            if flux.density is None:
                expected = flux.total * flux.line**-k
            else:
                cuts = np.concatenate([[low], flux.edges[flux.edges > low]])
                expected = sum(
                    quad(lambda e, k=k: flux.spectrum(np.array(e)) * e**-k, a, b, epsrel=1e-9)[0]
                    for a, b in itertools.pairwise(cuts)
                )
            assert moments[k, i] == pytest.approx(expected, rel=2e-5)


@pytest.mark.parametrize("flux", every(), ids=lambda f: f.name)
def test_the_whole_spectrum_is_the_total(flux):
    assert flux.moments(np.array([1e-4]))[0, 0] == pytest.approx(flux.total, rel=1e-9)
    assert flux.moments(np.array([flux.largest_energy * 1.001]))[0, 0] == 0


def test_about_seven_antineutrinos_per_fission():
    """Six β decays of the fragments and 1.2 after capture: the norm behind published reactor fluxes."""
    tables = load_fluxes()["reactor"]
    unit = reactor_flux(tables, 1.0)
    fraction = [one["fraction"]["value"] for one in tables["isotope"].values()]
    at_3_mev = sum(
        share * np.exp(np.polyval(one["coefficients"]["value"][::-1], 3.0))
        for share, one in zip(fraction, tables["isotope"].values(), strict=True)
    )
    assert at_3_mev / unit.spectrum(np.array(3.0)) == pytest.approx(7.2, abs=0.5)


def test_table_holds_below_two_mev_and_the_exponential_above():
    tables = load_fluxes()["reactor"]
    flux = reactor_flux(tables, 1.0)
    isotopes = tables["isotope"].values()
    table = sum(one["fraction"]["value"] * one["below_2_mev"]["value"][-1] for one in isotopes)
    above = sum(
        one["fraction"]["value"] * np.exp(np.polyval(one["coefficients"]["value"][::-1], 2.0)) for one in isotopes
    )
    low, high = flux.spectrum(np.array([2 - 1e-9, 2 + 1e-9]))
    assert low / high == pytest.approx(table / above, rel=1e-6)
    assert 0.01 < abs(1 - low / high) < 0.08


def test_boron_spectrum_is_normalised_in_its_table():
    branch = load_fluxes()["solar"]["branch"]["B8"]
    assert np.sum(branch["density"]["value"]) * 0.5 == pytest.approx(1, abs=2e-3)


def test_muon_decay_is_normalised_and_the_pion_line_is_where_kinematics_puts_it():
    line, anti, electron = pion_fluxes(1.0)
    assert [one.flavours for one in (line, anti, electron)] == [{"nu_mu": 1}, {"nu_mu_bar": 1}, {"nu_e": 1}]
    assert line.line == pytest.approx(29.79, abs=0.01)
    assert anti.moments(np.array([1e-4]))[1, 0] ** -1 < electron.largest_energy == pytest.approx(52.83, abs=0.01)
    energy = np.array(30.0)
    x = 2 * 30 / 105.6583745
    assert anti.spectrum(energy) == pytest.approx(2 / 105.6583745 * x**2 * (6 - 4 * x), rel=1e-4)
    assert electron.spectrum(energy) == pytest.approx(2 / 105.6583745 * 6 * x**2 * (2 - 2 * x), rel=1e-4)


def test_the_beam_is_spread_over_a_sphere():
    line, *_ = load_sources(load_experiment("coherent_csi"))
    assert line.total == pytest.approx(0.0848 * 3.198e23 / (4 * np.pi * 1930**2))


def test_a_line_has_no_spectrum():
    assert Flux("x", {}, 1.0, np.empty(0), None, 0.4).spectrum(np.array([0.4, 0.5])).tolist() == [0, 0]


@pytest.mark.parametrize(("name", "mean"), [("pp", 0.2668), ("N13", 0.7063), ("O15", 0.9964)])
def test_mean_energies_of_solar_neutrinos_are_the_known_ones(name, mean):
    """J. N. Bahcall, Neutrino Astrophysics, Cambridge 1989, table 6.1; without Coulomb corrections up to a percent."""
    (flux,) = (one for one in solar_fluxes(load_fluxes()["solar"]) if one.name == name)
    energy = np.linspace(1e-4, flux.largest_energy, 200_001)
    spectrum = flux.spectrum(energy)
    assert np.trapezoid(spectrum * energy, energy) / np.trapezoid(spectrum, energy) == pytest.approx(mean, rel=0.012)


def test_solar_neutrinos_arrive_as_either_flavour():
    for flux in solar_fluxes(load_fluxes()["solar"]):
        assert sum(flux.flavours.values()) == pytest.approx(1)
    shares = {flux.name: flux.flavours["nu_e"] for flux in solar_fluxes(load_fluxes()["solar"])}
    assert (shares["pp"], shares["B8"]) == (0.55, 0.33)


def test_the_mean_energy_of_what_reactors_send():
    """1.366 MeV; those detected by inverse β decay have 3.6 MeV."""
    source = load_sources(load_experiment("gemma"))[0]
    energy = np.linspace(1e-4, 8, 200_001)
    mean = np.trapezoid(energy * source.spectrum(energy), energy) / source.total
    assert mean == pytest.approx(1.366, abs=0.002)
