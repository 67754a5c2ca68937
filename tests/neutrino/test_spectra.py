"""Expected spectra, against an independent integration and known totals."""

import itertools
from dataclasses import replace

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.stats import gamma, norm

from leptonfit.neutrino import scattering as sc
from leptonfit.neutrino import spectra
from leptonfit.neutrino.experiments import ALL_SPECTRA, SPECTRA, load_experiment
from leptonfit.neutrino.response import quench_lindhard, respond_gaussian, respond_photoelectrons
from leptonfit.neutrino.spectra import load_sources, load_spectrum, predict_spectrum


def test_xenon_events_are_the_known_ones():
    experiment, spectrum = load_spectrum("xenonnt")
    assert spectrum.magnetic.sum() == pytest.approx(31.1, rel=0.005)
    assert predict_spectrum(experiment, steps=False).magnetic.sum() == pytest.approx(34.7, rel=0.005)


@pytest.mark.parametrize("slug", ["xenonnt", "gemma"])
def test_spectrum_is_that_of_a_plain_sum_over_energies_and_recoils(slug):
    """Another way: the fluxes on a fine grid of energies, the recoils on a fine grid of their own, nothing shared."""
    experiment, spectrum = load_spectrum(slug)
    z, mass_number, shells = {
        "xenonnt": (
            54,
            131.293,
            [
                (34.561, 2),
                (5.453, 2),
                (5.107, 2),
                (4.786, 4),
                (1.148, 2),
                (1.002, 2),
                (0.941, 4),
                (0.689, 4),
                (0.676, 6),
            ],
        ),
        "gemma": (32, 72.63, [(11.10, 2), (1.41, 2), (1.25, 2), (1.22, 4), (0.18, 2), (0.125, 2), (0.12, 4)]),
    }[slug]
    step = 0.01
    recoil = np.arange(0.3, 65, step) + step / 2  # keV
    rate = np.zeros((2, len(recoil)))
    for source in load_sources(experiment):
        if source.density is None:
            energies, weights = np.array([source.line]), np.array([source.total])
        else:
            edges = np.linspace(source.edges[0], source.edges[-1], 8001)
            energies = (edges[1:] + edges[:-1]) / 2
            weights = source.spectrum(energies) * np.diff(edges)
        for energy, weight in zip(energies, weights, strict=True):
            t = recoil[recoil < 1e3 * 2 * energy**2 / (0.510999 + 2 * energy)] / 1e3
            for flavour, share in source.flavours.items():
                left, right = sc.COUPLINGS[flavour]
                weak = left**2 + right**2 * (1 - t / energy) ** 2 - left * right * 0.510999 * t / energy**2
                rate[0, : len(t)] += weight * share * 1.7233e-44 * weak
            rate[1, : len(t)] += weight * 2.49467e-25 * 1e-22 * (1 / t - 1 / energy)
    free = z - sum(n * (recoil < binding) for binding, n in shells)
    atoms = 6.02214e26 / mass_number * experiment.values["exposure_on"] * 86400
    a, b, c = experiment.values["resolution"]
    sigma = a + b * np.sqrt(recoil) + c * recoil
    share = np.diff(norm.cdf((experiment.edges[:, None] - recoil) / sigma), axis=0)
    expected = (rate * free * atoms * step / 1e3) @ share.T * experiment.columns.get("efficiency", 1.0)
    np.testing.assert_allclose(spectrum.weak, expected[0], rtol=2e-3)
    np.testing.assert_allclose(spectrum.magnetic, expected[1], rtol=2e-3)


@pytest.mark.parametrize("slug", ALL_SPECTRA)
def test_a_finer_quadrature_changes_nothing(slug, monkeypatch):
    experiment, spectrum = load_spectrum(slug)
    monkeypatch.setattr(spectra, "_PANELS", 400)
    fine = predict_spectrum(experiment)
    np.testing.assert_allclose(spectrum.weak, fine.weak, rtol=2e-3, atol=1e-3 * fine.weak.max())
    np.testing.assert_allclose(spectrum.magnetic, fine.magnetic, rtol=2e-3, atol=1e-4 * fine.magnetic.max())


def test_oscillated_rates_follow_from_the_published_ones():
    """Without oscillation the published rates come back; ν_μ scatter about a sixth as often as ν_e."""
    experiment, spectrum = load_spectrum("superk_4")
    whole = experiment.columns["boron"] + experiment.columns["hep"]
    ratio = spectrum.weak / whole
    left, _ = sc.COUPLINGS["nu_mu"]
    least = (left / sc.COUPLINGS["nu_e"][0]) ** 2  # where the electron takes all the energy
    assert ((ratio > 0.33 + 0.67 * least) & (ratio < 0.33 + 0.67 * 0.18)).all()
    assert (np.diff(spectrum.magnetic / experiment.columns["boron"]) < 0).all()  # a moment shows at low energies


def test_energy_scale_shifts_are_the_derivative_of_the_smeared_spectrum():
    experiment, spectrum = load_spectrum("borexino")
    sigma = experiment.nuisances["energy_scale"]
    part = spectra._scatter(
        experiment, "electron", load_sources(experiment), spectra._atoms(experiment, spectra.data_folder(), True)
    )
    ends = experiment.edges
    smeared = respond_gaussian(
        part.recoil * 1e3, np.column_stack([ends - 0.5, ends + 0.5]).ravel(), np.array(experiment.values["resolution"])
    )[::2]
    density = smeared @ (part.rates[0, 0] * part.weights)  # per keV at each edge
    np.testing.assert_allclose(
        spectrum.shifts["energy_scale"][0],
        -sigma * np.diff(ends * density),
        rtol=2e-2,
        atol=2e-3 * abs(spectrum.shifts["energy_scale"][0]).max(),
    )


def test_lindhard_quenching_is_about_a_fifth_in_germanium():
    assert quench_lindhard(np.array([1.0, 5.0]), 32, 0.162) == pytest.approx([0.18, 1.1], rel=0.1)
    assert quench_lindhard(np.array([1.0]), 32, 0.2) > quench_lindhard(np.array([1.0]), 32, 0.162)


def test_response_in_photoelectrons_is_that_of_gamma_distributions():
    energy, edges, spread = np.array([0.3, 1.0, 2.5]), np.linspace(8.0, 60.0, 14), np.array([0.2, 9.0])
    all_counted = respond_photoelectrons(
        energy, edges, light_yield=13.35, spread=spread, efficiency=np.array([0, 1, 0, 1.0])
    )
    shape = spread[0] + spread[1] * energy
    below = gamma.cdf(edges[:, None], shape, scale=13.35 * energy / shape)
    np.testing.assert_allclose(all_counted, np.diff(below, axis=0), atol=1e-7)
    counted = respond_photoelectrons(
        np.array([2.5]), edges, light_yield=13.35, spread=spread, efficiency=np.array([1.0, 0.3, 20.0, 0.0])
    )

    def integrand(n):
        return gamma.pdf(n, shape[2], scale=13.35 * 2.5 / shape[2]) / (1 + np.exp(-0.3 * (n - 20)))

    by_quad = [quad(integrand, *ends)[0] for ends in itertools.pairwise(edges)]
    np.testing.assert_allclose(counted[:, 0], by_quad, rtol=1e-6, atol=1e-9)


def test_every_count_of_a_wide_bin_is_kept():
    share = respond_gaussian(np.array([5.0, 9.0]), np.array([-100.0, 200.0]), np.array([0.1, 0.3, 0.0]))
    np.testing.assert_allclose(share, 1)


def test_slugs_have_the_classes_they_are_said_to():
    classes = {slug: load_experiment(slug).flavour_class for slug in SPECTRA}
    pions = dict.fromkeys(("coherent_csi", "coherent_lar"), "stopped_pion")
    assert classes == dict.fromkeys(set(SPECTRA) - pions.keys(), "solar") | pions


def test_shifts_of_both_parts_are_what_a_moved_detector_gives():
    """Energy scale: the same counts between edges moved the other way. Quenching: another Lindhard k."""
    conus, spectrum = load_spectrum("conus")
    for name, sigma in (("energy_scale", conus.nuisances["energy_scale"]), ("quenching", conus.nuisances["quenching"])):
        moved = []
        for sign in (1, -1):
            if name == "quenching":
                values = {**conus.values, "lindhard_k": conus.values["lindhard_k"] * (1 + sign * sigma)}
                one = predict_spectrum(replace(conus, values=values))
            else:
                factor = 1 + sign * sigma
                a, b, c = conus.values["resolution"]
                values = {**conus.values, "resolution": [a, b, c]}
                columns = {key: conus.columns[key] / factor for key in ("low", "high")}
                one = predict_spectrum(replace(conus, values=values, columns={**conus.columns, **columns}))
            moved.append(np.stack([one.weak, one.magnetic]))
        np.testing.assert_allclose(
            spectrum.shifts[name], (moved[0] - moved[1]) / 2, rtol=1e-3, atol=1e-3 * abs(spectrum.shifts[name]).max()
        )


def test_super_kamiokande_from_its_own_columns():
    """A signal of B σ_mag/σ_weak, and a survival probability whose pull of one adds 6.06 % of what it lost."""
    experiment, spectrum = load_spectrum("superk_4")
    boron, hep = experiment.columns["boron"], experiment.columns["hep"]
    assert (spectrum.magnetic < 2e-3 * boron).all()
    np.testing.assert_array_equal(np.argsort(spectrum.magnetic / boron), np.arange(len(boron))[::-1])
    share = (spectrum.weak / (boron + hep) - 0.33) / 0.67  # of ν_μ in ν_e scattering
    np.testing.assert_allclose(spectrum.shifts["survival"][0], 0.0606 * 0.33 * (boron + hep) * (1 - share), rtol=1e-9)
    middle = (experiment.columns["low"] + experiment.columns["high"]) / 2
    slope = spectrum.shifts["slope"][0] / spectrum.shifts["survival"][0]
    nuisances = experiment.nuisances
    np.testing.assert_allclose(slope * nuisances["survival"] / nuisances["slope"], (middle - 9) / 5, atol=1e-9)
    assert not spectrum.shifts["survival"][1].any()


def test_hep_neutrinos_add_no_signal_to_super_kamiokande():
    experiment, spectrum = load_spectrum("superk_4")
    more = predict_spectrum(replace(experiment, columns={**experiment.columns, "hep": 10 * experiment.columns["hep"]}))
    np.testing.assert_array_equal(more.magnetic, spectrum.magnetic)
    assert (more.weak > spectrum.weak).all()
