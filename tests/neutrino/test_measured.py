"""Data sets with published counts: limits, signals and fits against numbers computed independently.

The reference values are 90 % limits in μ_B, from another program with the nuisance parameters named in each test. They
hold to 5 % unless a test says otherwise.
"""

from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import chi2

from leptonfit.datafiles import InputError, read_toml
from leptonfit.inference.limits import find_limits
from leptonfit.neutrino import joint as joint_module
from leptonfit.neutrino.data_limits import vary_choices
from leptonfit.neutrino.experiments import MEASURED, SPECTRA, Choices, load_experiment
from leptonfit.neutrino.flux import share_of_time
from leptonfit.neutrino.joint import choose_joint, compare_sets, group_by_class, join_classes
from leptonfit.neutrino.likelihood import build_likelihood, compare_spectrum, load_likelihood, to_moment
from leptonfit.neutrino.spectra import load_sources, predict_spectrum
from leptonfit.neutrino.threshold_scan import describe_agreement


def compute(slug, *, first=0, nuisances=None, merged=False, weak_only=False, **options):
    """Signal at 1e-11 μ_B, best fit and −2 ln L at θ = 0, and limits, of a data set with other nuisance parameters.

    With `merged`, bins of the same energy are added up. With `weak_only`, pulls change the weak expectation alone.
    """
    experiment = load_experiment(slug, merged=False).with_nuisances(**(nuisances or {}))
    experiment = experiment.merge_bins({"time_low": 2}) if merged else experiment
    one = build_likelihood(experiment, predict_spectrum(experiment, **options))
    used, model = one.above(first), one.model
    if weak_only:
        model = replace(model, signal_shifts=np.zeros(model.shifts.shape))
    limits = find_limits(model, one.data, confidence=(0.9,), used=used)
    return {
        "signal": float(one.spectrum.magnetic @ used[: experiment.n_bins]),
        "theta": float(limits.theta_hat),
        "chi2": float(limits.chi2_zero),
        "cls": float(to_moment(limits.observed["cls"][0])),
        "pinned": float(to_moment(limits.delta_chi2[1])),
        "expected": float(to_moment(limits.expected["cls"][0, 2])),
    }


@pytest.mark.parametrize(
    ("slug", "nuisances", "signal", "theta", "chi2", "cls", "pinned", "expected"),
    [
        ("xenonnt", {}, 31.1, -0.78, 22.9, 8.33e-12, 7.31e-12, 1.04e-11),
        ("lz_ws2022", {}, 23.4, -0.35, 8.3, 1.48e-11, 1.42e-11, 1.58e-11),
        ("lz_ws2022", {"background": 0.03}, 23.4, 0.06, 8.4, 1.23e-11, 1.24e-11, 1.22e-11),
        ("lz_ws2024", {}, 87.7, 0.24, 12.2, 1.12e-11, 1.15e-11, 1.04e-11),
        ("lz_ws2024", {"slope": None}, 87.7, 0.58, 12.2, 1.53e-11, 1.60e-11, 1.40e-11),
        ("pandax4t_run1", {}, 29.6, 0.61, 27.9, 1.71e-11, 1.77e-11, 1.57e-11),
        ("xenon1t_sr1", {}, 18.6, 7.6, 44.3, 3.24e-11, 3.37e-11, None),
    ],
)
def test_limits_of_xenon_detectors(slug, nuisances, signal, theta, chi2, cls, pinned, expected):
    """With a free norm of the background, and with a norm known to 3 % or a free tilt beside the norm."""
    found = compute(slug, nuisances=nuisances)
    assert found["signal"] == pytest.approx(signal, rel=0.01)
    assert found["theta"] == pytest.approx(theta, abs=0.1)
    assert found["chi2"] == pytest.approx(chi2, abs=0.1)
    assert found["cls"] == pytest.approx(cls, rel=0.01)
    assert found["pinned"] == pytest.approx(pinned, rel=0.01)
    if expected is not None:
        assert found["expected"] == pytest.approx(expected, rel=0.01)


def test_a_free_argon_line_weakens_the_limit_of_lz_less_than_a_free_tilt():
    alone, line, tilt = (
        compute("lz_ws2022", nuisances=more)["cls"] for more in ({}, {"argon_37": None}, {"slope": None})
    )
    assert alone < line < tilt == pytest.approx(2.0e-11, rel=0.02)
    experiment = load_experiment("lz_ws2022").with_nuisances(argon_37=None)
    peak = predict_spectrum(experiment).shifts["argon_37"]
    assert peak[0].sum() == pytest.approx(0.1 * 52.5, rel=1e-3)
    assert not peak[1].any()
    middle = (experiment.columns["low"] + experiment.columns["high"]) / 2
    assert peak[0] @ middle / peak[0].sum() == pytest.approx(2.82, abs=0.1)


def test_atomic_response_weakens_xenon_limits_by_about_six_percent():
    ratios = {slug: limit(slug, atomic_response="rrpa") / limit(slug) for slug in ("xenonnt", "lz_ws2024")}
    assert ratios == pytest.approx({"xenonnt": 1.06, "lz_ws2024": 1.05}, abs=0.015)
    water = load_experiment("superk_4"), load_experiment("superk_4", choices=Choices(atomic_response="rrpa"))
    assert np.array_equal(*(predict_spectrum(one).magnetic for one in water))


def limit(slug, **choices):
    one = load_likelihood(slug, choices=Choices(**choices))
    return to_moment(find_limits(one.model, one.data, confidence=[0.9]).observed["cls"][0])


def test_each_choice_changes_the_limit_of_the_sets_that_it_concerns():
    changed = {(one.title, one.change): one for one in vary_choices(SPECTRA, Choices(), confidence=0.9)}
    xenon = {"LZ WS2022", "LZ WS2024", "PandaX-4T Run 1", "XENONnT", "XENON1T SR1"}
    assert {title for title, change in changed if "rrpa" in change} == xenon
    assert {title for title, change in changed if "solar model" in change} == xenon
    borexino = {change: one for (title, change), one in changed.items() if title == "Borexino Phase II"}
    assert {change: one.after for change, one in borexino.items()} == pytest.approx(
        {"loose solar fluxes": 3.4, "model solar fluxes": 2.97}, rel=0.01
    )
    assert {title for title, _ in changed} == {*xenon, "Borexino Phase II"}
    tilted = changed["XENONnT", "with nuisance slope"]
    assert tilted.before == pytest.approx(limit("xenonnt") / 1e-11)
    assert tilted.after == pytest.approx(limit("xenonnt", nuisances=("slope",)) / 1e-11)
    assert changed["LZ WS2024", "solar model B16-AGSS09met"].after > changed["LZ WS2024", "with nuisance slope"].before


def test_a_choice_in_use_is_taken_back():
    chosen = Choices("B16-AGSS09met", "loose", "rrpa", ("argon_37", "slope"))
    changes = {one.change: one for one in vary_choices(["lz_ws2022"], chosen, confidence=0.9)}
    assert set(changes) == {
        "solar model B16-GS98",
        "stepping response of xenon",
        "without nuisance slope",
        "without nuisance argon_37",
        "with nuisance efficiency",
    }
    assert changes["without nuisance slope"].after < changes["without nuisance slope"].before


def test_measured_fluxes_do_not_follow_a_solar_model():
    other = Choices(solar_model="B16-AGSS09met")
    totals = [
        [flux.total for flux in load_sources(load_experiment("borexino_phase2", choices=one))]
        for one in (Choices(), other)
    ]
    assert totals[0] == totals[1]
    assert limit("superk_1to4", solar_model="B16-AGSS09met") == pytest.approx(limit("superk_1to4"), rel=1e-9)


def test_borexino_has_bins_of_hits():
    one = load_experiment("borexino_phase2", merged=False)
    assert one.unit == "N_h"
    assert one.edges[0] == 99.5
    assert one.energies[:2] == pytest.approx([229.8543, 232.2148], abs=1e-4)  # by the axes of the figure
    assert one.energies_kev == pytest.approx(one.energies)


def test_xenonnt_is_the_same_in_its_two_tables():
    """The table to 140 keV, without neutrinos and in bins of 2 keV, against B0 and counts in bins of 1 keV."""
    fine, wide = load_experiment("xenonnt"), load_experiment("xenonnt_140kev")
    first = wide.columns["high"] <= 30
    pairs = fine.columns["counts"][1:].reshape(-1, 2).sum(axis=1)
    np.testing.assert_array_equal(wide.columns["counts"][first], pairs)
    whole = wide.columns["background"] + predict_spectrum(wide).weak
    background = fine.columns["background"][1:].reshape(-1, 2).sum(axis=1)
    np.testing.assert_allclose(whole[first], background, rtol=0.07)
    assert predict_spectrum(wide).weak.sum() == pytest.approx(300, rel=0.1)
    assert compute("xenonnt_140kev")["cls"] == pytest.approx(1.0e-11, rel=0.05)


def test_the_table_of_xenonnt_follows_from_the_released_events():
    """Counts exactly; the background integrated over each bin, and the efficiency averaged, nearly."""
    table, release = load_experiment("xenonnt"), read_toml("neutrino/xenonnt_release.toml")
    events = np.array(release["events"]["value"])
    assert len(events) == 433
    np.testing.assert_array_equal(np.histogram(events, table.edges)[0], table.columns["counts"])
    energy = np.linspace(1, 30, 29 * 200 + 1)
    middle = (energy[1:] + energy[:-1]) / 2
    background = 1.16 * np.interp(middle, *np.transpose(release["background"]["value"])).reshape(29, -1).mean(axis=1)
    np.testing.assert_allclose(background, table.columns["background"], rtol=0.003)
    efficiency = np.interp(middle, *np.transpose(release["efficiency"]["value"])).reshape(29, -1).mean(axis=1)
    np.testing.assert_allclose(efficiency, table.columns["efficiency"], rtol=0.005)


def test_both_solar_models_give_their_fluxes():
    """Beryllium in B16-GS98 is 4.93e9, in B16-AGSS09met 4.50e9 cm⁻² s⁻¹; the latter gives fewer recoils."""
    experiment = load_experiment("xenonnt_140kev")
    poor = replace(experiment, solar_model="B16-AGSS09met")
    ratio = predict_spectrum(poor).magnetic.sum() / predict_spectrum(experiment).magnetic.sum()
    assert 0.97 < ratio < 1


def test_a_nuisance_that_is_not_declared_is_refused():
    experiment = load_experiment("lz_ws2024")
    with pytest.raises(InputError, match="data set lz_ws2024: nuisance argon: must be one of background, beryllium_7"):
        experiment.with_nuisances(argon=None)
    with pytest.raises(InputError, match=r"nuisance background = -0\.1: must be a number, 0 or more, or None"):
        experiment.with_nuisances(background=-0.1)
    assert experiment.with_nuisances(background=0.0, pp=0.0, beryllium_7=0.0).nuisances == {}


def test_efficiency_of_the_true_energy_acts_before_the_resolution():
    """With a perfect resolution it is that of each bin; a constant one is a factor."""
    experiment = load_experiment("lz_ws2024")
    flat = [[0.0, 0.5], [100.0, 0.5]]
    whole, half = (
        predict_spectrum(
            replace(experiment, values={**experiment.values, "true_efficiency": [[0.0, one], [99.0, one]]})
        )
        for one in (1.0, 0.5)
    )
    np.testing.assert_allclose(half.magnetic, 0.5 * whole.magnetic)
    measured = {key: value for key, value in experiment.values.items() if key != "true_efficiency"}
    other = predict_spectrum(replace(experiment, values={**measured, "measured_efficiency": flat}))
    np.testing.assert_allclose(other.magnetic, half.magnetic, rtol=1e-9)


@pytest.mark.parametrize(
    ("slug", "n_bins", "theta", "chi2", "cls", "pinned", "expected"),
    [
        ("superk_1", 8, 75, 6.3, 1.74e-10, 1.80e-10, 1.59e-10),
        ("superk_2", 17, 110, 5.6, 2.45e-10, 2.52e-10, 2.29e-10),
        ("superk_4", 23, 128, 11.7, 1.58e-10, 1.67e-10, 1.23e-10),
        ("superk_1to4", 69, 128, 48.9, 1.55e-10, 1.64e-10, 1.18e-10),
    ],
)
def test_limits_of_super_kamiokande(slug, n_bins, theta, chi2, cls, pinned, expected):
    """With pulls for the flux, the survival probability and its slope, the energy scale and the rate of each phase."""
    found = compute(slug)
    assert load_experiment(slug).n_bins == n_bins
    assert found["theta"] == pytest.approx(theta, rel=0.11)
    assert found["chi2"] == pytest.approx(chi2, abs=0.3)
    assert (found["cls"], found["pinned"], found["expected"]) == pytest.approx((cls, pinned, expected), rel=0.04)


def test_phases_of_super_kamiokande_share_flux_and_survival_probability():
    """Nuisances that belong to the sun are one parameter for all phases; those of the detector are one for each."""
    whole = load_experiment("superk_1to4")
    one = build_likelihood(whole, predict_spectrum(whole))
    phases = [part.title for part in whole.parts]
    own = [f"{title}: {name}" for title in phases for name in ("energy_scale", "rate")]
    assert sorted(one.model.nuisances) == sorted(["flux", "survival", "slope", *own])
    pull = np.zeros(len(one.model.nuisances))
    pull[one.model.nuisances.index("flux")] = 1.0
    moved = one.model.expected(0.0, pull) / one.model.base
    np.testing.assert_allclose(moved, 1.04)
    pull = np.zeros(len(pull))
    pull[one.model.nuisances.index("Super-Kamiokande II: rate")] = 1.0
    moved = one.model.expected(0.0, pull) / one.model.base
    np.testing.assert_allclose(moved, np.repeat([1.0, 1.048, 1.0, 1.0], [part.n_bins for part in whole.parts]))


def test_the_fourth_phase_is_the_table_without_day_and_night():
    """Day and night averaged against the published table of their sum (Super-Kamiokande 2023, arXiv:2312.12907)."""
    rate = [94.1, 82.6, 80.5, 69.7, 61.4, 54.4, 48.3, 41.1, 35.3, 28.7, 23.2, 18.4]
    rate += [14.3, 11.3, 8.6, 6.17, 4.76, 3.13, 2.07, 1.39, 1.54, 0.57, 0.18]
    error = [8.4, 3.9, 2.4, 1.5, 1.1, 1.0, 0.9, 0.8, 0.7, 0.6, 0.6, 0.5]
    error += [0.5, 0.4, 0.3, 0.25, 0.21, 0.17, 0.14, 0.12, 0.12, 0.08, 0.05]
    found = load_experiment("superk_4").columns["rate"]
    assert (abs(found - rate) < 0.12 * np.array(error)).all()


def test_a_free_slope_of_the_survival_probability_weakens_the_limit():
    """Oscillation parameters that are free, as in the publication on the first phase."""
    assert compute("superk_1", nuisances={"slope": None})["cls"] == pytest.approx(2.5e-10, rel=0.05)


def test_spectrum_of_several_phases_is_compared_bin_by_bin():
    whole = load_experiment("superk_1to4")
    compared = compare_spectrum(build_likelihood(whole, predict_spectrum(whole)), [100.0])
    assert compared.unit == "bin"
    np.testing.assert_array_equal(compared.edges, np.arange(70))
    np.testing.assert_array_equal(compared.data[:8], load_experiment("superk_1").columns["rate"])


PULLED = {"beryllium_7": 0.06, "pp": 0.1, "krypton_85": 0.25}


@pytest.mark.parametrize(
    ("first", "nuisances", "theta", "chi2", "cls", "pinned", "expected"),
    [
        (0, {}, -5.2, 407, 3.15e-11, 2.92e-11, 3.48e-11),
        (21, {"beryllium_7": None, "pp": 0.1}, -14, 380, 3.87e-11, 3.69e-11, None),
        (21, PULLED, -4.8, 381, 2.57e-11, 2.33e-11, 3.01e-11),
    ],
)
def test_limits_of_borexino(first, nuisances, theta, chi2, cls, pinned, expected):
    """With pp and beryllium known to 3 %, with loose fluxes, and with krypton known; from 100 or from 121 hits.

    The calibration is a fit to the published solar component. The limits hold to 10 %.
    """
    found = compute("borexino_phase2", first=first, nuisances=nuisances)
    assert found["theta"] == pytest.approx(theta, abs=2)
    assert found["chi2"] == pytest.approx(chi2, abs=1)
    assert (found["cls"], found["pinned"]) == pytest.approx((cls, pinned), rel=0.04)
    if expected is not None:
        assert found["expected"] == pytest.approx(expected, rel=0.10)


def test_components_of_borexino_add_up_to_the_fit_of_the_collaboration():
    """χ² of the collaboration's total is 406.6 in these bins; ours replaces its solar part by a computed spectrum."""
    experiment = load_experiment("borexino_phase2", merged=False)
    spectrum = predict_spectrum(experiment)
    one = build_likelihood(experiment, spectrum)
    counts, total = experiment.columns["counts"], one.model.base
    assert 2 * np.sum(total - counts + counts * np.log(counts / total)) == pytest.approx(410, abs=10)
    beryllium = spectrum.shifts["beryllium_7"][0].sum() / experiment.nuisances["beryllium_7"]
    assert beryllium / spectrum.weak.sum() == pytest.approx(0.8, abs=0.05)
    branches = sum(
        shift / experiment.nuisances[name] for name, shift in spectrum.shifts.items() if "energy" not in name
    )
    np.testing.assert_allclose(branches, [spectrum.weak, spectrum.magnetic])


def test_rates_of_backgrounds_do_not_become_negative():
    """Krypton and a moment have nearly the same spectrum: without the bound, a negative rate would hide a moment."""
    experiment = load_experiment("borexino_phase2", merged=False).with_nuisances(beryllium_7=None, pp=0.1)
    one = build_likelihood(experiment, predict_spectrum(experiment))
    used, at = one.above(21), one.model.nuisances.index("krypton_85")
    fit = one.model.fit(one.data, theta=25.0, used=used)
    assert fit.converged
    assert fit.pulls[at] == pytest.approx(-10)
    loose = replace(one.model, lowest_pulls=None)
    below = loose.fit(one.data, theta=25.0, used=used)
    assert below.pulls[at] < -11
    assert below.value < fit.value - 0.1
    limits = [find_limits(model, one.data, used=used).observed["cls"][0] for model in (one.model, loose)]
    assert limits[0] < limits[1]


@pytest.mark.parametrize(
    ("slug", "merged", "theta", "chi2", "cls", "pinned", "expected"),
    [
        ("coherent_csi", True, -2.4e-18, 9.5, 2.09e-9, 1.93e-9, 2.37e-9),
        ("coherent_csi", False, -2.2e-18, 20.8, 1.91e-9, 1.76e-9, 2.19e-9),
        ("coherent_lar", False, 1.3e-18, 1068, 2.65e-9, 2.74e-9, 2.47e-9),
    ],
)
def test_limits_of_coherent(slug, merged, theta, chi2, cls, pinned, expected):
    """Where pulls change weak scattering alone, as in the reference. Ours also scale the signal, which costs 5 to 8 %.

    A neutrino flux that is 10 % lower gives 10 % fewer recoils from a moment as well.
    """
    found = compute(slug, merged=merged, weak_only=True)
    assert 1e-22 * found["theta"] == pytest.approx(theta, abs=0.25e-18)
    assert found["chi2"] == pytest.approx(chi2, abs=0.6)
    assert (found["cls"], found["pinned"], found["expected"]) == pytest.approx((cls, pinned, expected), rel=0.03)
    assert 1.03 < compute(slug, merged=merged)["cls"] / found["cls"] < 1.09


def test_events_of_coherent_are_the_known_ones():
    csi = load_experiment("coherent_csi")
    both = csi.merge_bins({"time_low": 2}).columns
    assert both["low"].tolist() == list(range(8, 60, 4))
    assert both["coincidence"].tolist() == [147, 224, 177, 144, 120, 117, 117, 93, 87, 106, 74, 73, 88]
    assert both["anticoincidence"].tolist() == [98, 144, 123, 105, 104, 98, 86, 96, 78, 97, 97, 84, 81]
    assert both["beam_neutrons"].sum() == pytest.approx(18.4, abs=0.1)
    assert both["induced_neutrons"].sum() == pytest.approx(5.6, abs=0.1)
    spectrum = predict_spectrum(csi)
    assert spectrum.weak.sum() == pytest.approx(320.6, rel=0.005)
    merged = predict_spectrum(csi.merge_bins({"time_low": 2}))
    np.testing.assert_allclose(spectrum.weak.reshape(2, -1).sum(axis=0), merged.weak, rtol=1e-5)
    argon = load_experiment("coherent_lar")
    assert argon.columns["cevns"].sum() == pytest.approx(128, abs=0.1)
    computed = predict_spectrum(replace(argon.merge_bins({"time_low": 2, "f90": 8}), signal_column=""))
    assert computed.weak.sum() == pytest.approx(131.5, rel=0.01)


def test_prompt_neutrinos_arrive_before_the_delayed_ones():
    """ν_μ of the pion come within 1 µs, ν̄_μ and ν_e of the muon mostly later; all arrive at some time."""
    how = {"arrival": (0.44, 0.15), "recorded": (0.52, 0.0)}
    ends = np.array([[-2.0, 1.0], [1.0, 30.0]])
    prompt, electron, muon = (share_of_time(*ends.T, name, **how) for name in ("nu_mu", "nu_e", "nu_mu_bar"))
    np.testing.assert_array_equal(electron, muon)
    assert prompt.sum() == pytest.approx(1, abs=1e-3)
    assert electron.sum() == pytest.approx(1, abs=1e-3)
    assert prompt[0] > 0.99
    rng = np.random.default_rng(1)
    times = rng.normal(0.44, 0.15, 400_000) + rng.exponential(0.026033, 400_000) + rng.exponential(2.19698, 400_000)
    assert electron[0] == pytest.approx(np.mean(times < 1), abs=0.003)
    some = share_of_time(*ends.T, "nu_e", arrival=(0.44, 0.15), recorded=(0.52, 0.0494))
    assert 0.85 < some.sum() / electron.sum() < 0.95


def test_fit_of_argon_gives_the_rates_of_the_collaboration():
    """With weak scattering free and no moment the release finds 159, 553, 10 and 3131 events."""
    experiment = load_experiment("coherent_lar", merged=False).with_nuisances(cevns=None, pion_yield=0.0)
    one = build_likelihood(experiment, predict_spectrum(experiment))
    fit = one.model.fit(one.data, theta=0.0)
    found = {
        name: experiment.columns[name].sum() * (1 + pull * (experiment.nuisances[name] or 0.1))
        for name, pull in zip(one.model.nuisances, fit.pulls, strict=True)
    }
    assert found["cevns"] == pytest.approx(159, abs=2)
    assert found["prompt_neutrons"] == pytest.approx(553, abs=4)
    assert found["delayed_neutrons"] == pytest.approx(10, abs=2)
    assert found["steady_state"] == pytest.approx(3131, abs=4)


def test_bins_in_several_variables_are_added_up_for_figures_and_thresholds():
    one = load_likelihood("coherent_lar")
    assert one.above(np.array([0, 2])).sum(axis=1).tolist() == [192, 160]
    compared = compare_spectrum(one, [100.0])
    assert compared.data.sum() == one.data.sum()
    assert compared.edges.tolist() == [0.5, *range(10, 121, 10)]
    assert compared.expected.shape == (2, 12)


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("\n12,16,1,6,", "\n12,15,1,6,", "high in row 15 = 15: must be that of the first block, of 13 rows"),
        ("\n8,12,1,6,", "\n8,12,0,1,", "bin 14 from 8 to 12 overlaps 56 to 60: bins must"),
    ],
)
def test_blocks_that_differ_are_refused(edited, old, new, said):
    folder = edited("coherent_csi.csv", old, new)
    with pytest.raises(InputError) as refused:
        load_experiment("coherent_csi", data=folder)
    assert said in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("slug", MEASURED)
def test_every_number_has_a_source_and_every_set_a_licence(slug, root):
    text = (root / "data/neutrino" / f"{slug}.toml").read_text()
    assert load_experiment(slug).is_observed
    if "parts" not in text:
        assert text.count("source = ") == text.count("unit = ") - 1 == text.count("mark = ") - 1
        assert text.count("licence = ") == 1


@pytest.fixture(scope="module")
def agreement():
    return {name: compare_sets(several) for name, several in group_by_class([*map(load_likelihood, SPECTRA)]).items()}


def test_the_excess_of_xenon1t_is_not_that_of_xenonnt(agreement):
    """The spectra of one collaboration disagree on a moment; those of LZ, PandaX-4T and XENONnT agree."""
    sun = agreement["solar"]
    assert [sun.titles[i] for i in sun.worst] == ["XENONnT", "XENON1T SR1"]
    assert sun.chi2_pairs[sun.worst] == pytest.approx(13.2 + 1.67, abs=0.3)  # both θ̂ move to about 0
    assert sun.p_pairs[sun.worst] == pytest.approx(chi2.sf(sun.chi2_pairs[sun.worst], 1))
    assert sun.p_worst == pytest.approx(21 * sun.p_pairs[sun.worst], rel=0.01)
    assert not sun.agrees
    assert sun.p_without[sun.worst[1]] > 0.3
    assert sun.p_without[sun.worst[0]] < 0.05
    sentence = describe_agreement(agreement)
    assert sentence.startswith("Two data sets of a class disagree on a moment: the worst of 22 pairs is XENON1T SR1")
    assert "against XENONnT" in sentence


def test_cesium_and_argon_agree(agreement):
    pions = agreement["stopped_pion"]
    assert pions.titles == ("COHERENT CsI in time", "COHERENT argon")
    assert pions.agrees
    assert pions.chi2_pg == pions.chi2_pairs[0, 1] == pytest.approx(0.4, abs=0.2)
    assert describe_agreement({"stopped_pion": pions}).startswith("No two data sets of a class disagree")
    (alone,) = (one for one in [load_likelihood("xenonnt")])
    assert group_by_class([alone]) == {}
    with pytest.raises(ValueError, match="1 data sets: must be at least 2"):
        compare_sets([alone])


def test_a_limit_of_a_class_is_without_the_set_that_disagrees():
    names = ("lz_ws2024", "pandax4t_run1", "xenonnt", "xenon1t_sr1")
    joined = join_classes([load_likelihood(slug) for slug in names], confidence=(0.9,), n_toys=100, seed=1)
    assert list(joined) == ["solar", "solar without XENON1T SR1"]
    whole, agreeing = choose_joint(joined)
    assert (len(whole.titles), len(agreeing.titles)) == (4, 3)
    assert (whole.p_value < 0.01, agreeing.p_value > 0.3) == (True, True)
    assert to_moment(agreeing.limits.observed["cls"][0]) < 8.33e-12 < to_moment(whole.limits.observed["cls"][0])
    assert choose_joint({}) == (None, None)
    assert choose_joint({"solar": whole}) == (whole, whole)


def test_shared_fluxes_are_one_parameter_of_a_joint_limit():
    """In the limits a flux of the sun has one pull; in the tests of agreement each data set has its own."""
    pair = [load_likelihood(slug) for slug in ("lz_ws2024", "borexino_phase2")]
    shared, own = (joint_module._stack(pair, common) for common in (joint_module.SHARED, ()))
    assert len(own.nuisances) - len(shared.nuisances) == 2
    row = shared.signal_shifts[shared.nuisances.index("beryllium_7")]
    assert (row[: pair[0].model.n_bins] > 0).any()
    assert (row[pair[0].model.n_bins :] > 0).any()
    pions = [load_likelihood(slug) for slug in ("coherent_csi", "coherent_lar")]
    shared = joint_module._stack(pions, joint_module.SHARED)
    row = shared.nuisances.index("pion_yield")
    np.testing.assert_allclose(shared.signal_shifts[row], 0.1 * shared.signal, rtol=1e-12)
    argon = pions[1].experiment
    np.testing.assert_allclose(shared.shifts[row, -argon.n_bins :], 0.1 * argon.columns["cevns"])


@pytest.mark.parametrize(
    ("slug", "name", "old", "new", "said"),
    [
        (
            "coherent_csi",
            "",
            "up = {quenching = [0.0613632,",
            "up = {quench = [0.0613632,",
            "up.quench = [0.0613632, 3.5",
        ),
        ("coherent_csi", "", "up = {quenching = [0.0613632, ", "up = {quenching = [", "595.562]: must be 4 numbers"),
        (
            "borexino_phase2",
            "",
            'branches = ["pp"]',
            'branches = ["p"]',
            "nuisances.pp.branches = p: must be one of pp, Be7",
        ),
        ("borexino_phase2", "", "value = {pp = ", "value = {ppp = ", "branch_factors = ppp: must be one of pp, Be7"),
        (
            "borexino_phase2",
            "",
            '"bismuth_210"',
            '"bismuth"',
            "components or signal_column = bismuth: must be a column",
        ),
        ("borexino_phase2", "", '"B16-GS98"', '"GS98"', "solar_model = GS98: must be one of B16-GS98, B16-AGSS09met"),
        ("lz_ws2024", "", "[0.75, 0.019]", "[0.4, 0.019]", "true_efficiency: energy 0.4 after 0.5: must ascend"),
        ("lz_ws2022", "", "line = 2.82\n", "line = -2.82\n", "argon_37.line = -2.82: must be a number above 0"),
        ("superk_1to4", "", '"superk_4"', '"superk_1to4"', "parts = superk_1to4: must be other data sets"),
        ("superk_1to4", "", '"superk_4"', '"xenonnt"', "statistics of xenonnt = poisson: must be gaussian"),
        ("superk_1to4", "", '"slope"', '"tilt"', "common = tilt: must be a nuisance of every part"),
        ("borexino_phase2", "flux.toml", "hep = 7980, ", "", "solar.model.B16-GS98: branch hep must be in it"),
        (
            "xenonnt",
            "targets.toml",
            "[0.2642844, 0.8269]",
            "[0.1, 0.8269]",
            "atom.Xe.rrpa: energy 0.1 after 0.253784: must ascend",
        ),
    ],
)
def test_faults_in_the_description_of_a_data_set_are_refused(edited, slug, name, old, new, said):
    folder = edited(name or f"{slug}.toml", old, new)
    with pytest.raises(InputError) as refused:
        load_experiment(slug, data=folder)
    assert said in str(refused.value)
    assert "\n" not in str(refused.value)


def test_bins_of_borexino_added_up_change_limits_by_what_its_data_file_says():
    whole, merged = (
        find_limits(one.model, one.data, confidence=[0.9])
        for one in (
            build_likelihood(experiment, predict_spectrum(experiment))
            for experiment in (load_experiment("borexino_phase2", merged=merged) for merged in (False, True))
        )
    )
    ratio = to_moment(whole.observed["cls"][0]) / to_moment(merged.observed["cls"][0])
    assert ratio == pytest.approx(1.04, abs=0.01)
    assert to_moment(whole.expected["cls"][0, 2]) / to_moment(merged.expected["cls"][0, 2]) == pytest.approx(
        0.99, abs=0.005
    )
