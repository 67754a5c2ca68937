"""The data files, and what is refused in them."""

import numpy as np
import pytest

from leptonfit.datafiles import InputError
from leptonfit.neutrino.experiments import (
    ALL_SPECTRA,
    MEASURED,
    SIMULATED,
    SPECTRA,
    Choices,
    check_independent,
    load_experiment,
    load_response,
)
from leptonfit.neutrino.joint import join
from leptonfit.neutrino.likelihood import load_likelihood
from leptonfit.neutrino.sheets import load_fluxes, load_published


def test_marks_say_what_was_measured():
    assert {slug for slug in ALL_SPECTRA if load_experiment(slug).is_observed} == set(MEASURED)
    assert set(SIMULATED) == set(ALL_SPECTRA) - set(MEASURED)
    assert load_response().mark == "simulated"


def test_attainable_thresholds_are_269():
    """The report counts 240 conditions; thresholds of a real spectrum lie on its bin edges."""
    n = {slug: load_experiment(slug).n_thresholds for slug in SPECTRA}
    assert n == {
        "lz_ws2022": 18,
        "lz_ws2024": 18,
        "pandax4t_run1": 28,
        "xenonnt": 28,
        "xenon1t_sr1": 28,
        "superk_1to4": 22,
        "borexino_phase2": 104,
        "coherent_csi": 12,
        "coherent_lar": 11,
    }
    assert sum(n.values()) == 269
    assert sum(min(30, one) for one in n.values()) == 195


def test_sets_that_share_events_are_not_joined():
    check_independent(SPECTRA)
    check_independent(["superk_1", "superk_4"])
    for one, other in (("xenonnt", "xenonnt_140kev"), ("superk_3", "superk_1to4"), ("xenonnt", "xenonnt")):
        with pytest.raises(
            InputError, match=f"data sets {one} and {other} share events: a joint fit must use only one"
        ):
            check_independent(["lz_ws2022", one, other])
        if one != other:
            with pytest.raises(InputError, match="share events"):
                join([load_likelihood(slug) for slug in (one, other)], confidence=(0.9,), n_toys=1, seed=1)


def test_bins_are_merged_as_the_data_file_says(edited):
    """Neighbouring bins add up; a smaller bin is left at the end of an axis."""
    whole, merged = (load_experiment("borexino_phase2", merged=flag) for flag in (False, True))
    assert (whole.n_bins, merged.n_bins) == (420, 105)
    assert merged.edges[:-1].tolist() == whole.edges[:-1:4].tolist()
    for name in ("counts", "krypton_85"):
        np.testing.assert_allclose(merged.columns[name], whole.columns[name].reshape(-1, 4).sum(axis=1))
    np.testing.assert_allclose(merged.columns["binning"], whole.columns["binning"].reshape(-1, 4).mean(axis=1))
    argon = load_experiment("coherent_lar", merged=False)
    halves = load_experiment("coherent_lar")
    assert halves.n_bins == 192
    assert halves.columns["time_low"][[0, -1]].tolist() == [-0.1, 2.4]
    assert halves.columns["time_high"][[0, -1]].tolist() == [2.4, 4.9]
    odd = argon.merge_bins({"time_low": 4, "low": 5, "f90": 8})
    assert odd.edges.tolist() == [0.5, 50, 100, 120]
    assert (odd.n_bins, odd.columns["counts"].sum()) == (9, argon.columns["counts"].sum())
    late = argon.columns["time_low"] >= 3.9 - 1e-9
    assert odd.columns["counts"][-3:].sum() == argon.columns["counts"][late].sum()
    folder = edited("coherent_lar.toml", "value = {time_low = 5}", "value = {time = 5}")
    with pytest.raises(InputError, match="merge"):
        load_experiment("coherent_lar", data=folder)


def test_observed_spectra_have_their_published_totals():
    xenon = load_experiment("xenonnt").columns
    assert xenon["background"].sum() == pytest.approx(426.5, abs=0.1)
    coherent = load_experiment("coherent_csi").columns
    difference = coherent["coincidence"].sum() - coherent["anticoincidence"].sum()
    assert difference == 276
    assert np.sqrt(coherent["coincidence"].sum() + coherent["anticoincidence"].sum()) == pytest.approx(53, abs=0.5)


@pytest.mark.parametrize(
    ("name", "old", "new", "said"),
    [
        (
            "xenonnt.toml",
            '[exposure_on]\nvalue = 423690.0\nunit = "kg d"',
            "[exposure_on]\nvalue = 423690.0",
            "neutrino/xenonnt.toml: exposure_on.unit is missing",
        ),
        ("xenonnt.toml", 'unit = "kg d"', 'unit = "t y"', "exposure_on.unit = t y: must be kg d"),
        ("xenonnt.toml", "value = 423690.0", 'value = "many"', "exposure_on = many: must be a number above 0"),
        ("xenonnt.toml", '[columns.counts]\nunit = "counts"', "[columns.counts]", "columns.counts.unit is missing"),
        ("xenonnt.toml", 'mark = "observed"\nflux', 'mark = "guessed"\nflux', "mark = guessed: must be one of"),
        ("xenonnt.toml", 'flux = "solar"', 'flux = "lunar"', "flux = lunar: must be one of reactor, solar, pion"),
        ("xenonnt.toml", "title =", "title = =", "neutrino/xenonnt.toml: must be TOML"),
        ("gemma.toml", "value = 27000000000000.0", "value = -2.7e13", "flux_total = -27000000000000.0: must be"),
        ("gemma.toml", "value = 748.875", "value = 0", "exposure_on = 0: must be a number above 0"),
        ("gemma.toml", "[exposure_off]", "[exposure_away]", "exposure_off is missing"),
        ("gemma.toml", 'unit = "keV"\n', 'unit = "MeV"\n', "unit of columns low and high = keV: must be MeV"),
        ("gemma.toml", '["electron"]', '["electro"]', "channels[0] = electro: must be one of electron, nucleus"),
        ("gemma.toml", '["Ge"]', '["Unobtainium"]', "atoms = Unobtainium: must be in targets.toml"),
        (
            "gemma.toml",
            'statistics = "poisson"',
            'statistics = "gaussian"',
            "statistics = gaussian: must be poisson where the background is on_off",
        ),
        ("gemma.toml", "value = [0.0, 0.15, 0.0]", "value = [0.0, -0.15, 0.0]", "must be above 0 at every edge"),
        ("gemma.toml", "value = [0.0, 0.15, 0.0]", "value = [0.0, 0.15]", "= [0.0, 0.15]: must be 3 numbers"),
        ("gemma.toml", "free = true", 'free = "no"', "nuisances.background.free = no: must be true"),
        ("gemma.toml", "GEMMA 2010", "GEMMA 2036", "published = GEMMA 2036: must be a name in published_limits.csv"),
        ("gemma.csv", "\n2.8,4.5,", "\n0,4.5,", "low in row 1 = 0: must be a number above 0"),
        ("conus.toml", "[lindhard_k]", "[k]", "lindhard_k is missing"),
        ("coherent_csi.toml", "value = 19.3", "value = 0.0", "distance = 0.0: must be a number above 0"),
        ("superk_4.toml", "[nuisances.survival]", "[nuisances.life]", "nuisances.survival is missing"),
        ("superk_4.csv", ",93.461,", ",-93.461,", "rate in row 1 = -93.461: must be a number, 0 or more"),
        ("flux.toml", 'unit = "cm-2 s-1"\n', "", "solar.model.B16-GS98.unit is missing"),
        ("flux.toml", 'unit = "cm-2 s-1"', 'unit = "m-2 s-1"', "GS98.unit = m-2 s-1: must be cm-2 s-1"),
        ("flux.toml", "pp = 5.98e+10", "pp = -5.98e+10", "GS98.pp = -59800000000.0: must be a number above 0"),
        (
            "flux.toml",
            "[solar.branch.pp.survival]\nvalue = 0.55",
            "[solar.branch.pp.survival]\nvalue = 5.5",
            "solar.branch.pp.survival = 5.5: must be a number from 0 to 1",
        ),
        ("targets.toml", "n_outer = 26", "n_outer = 28", "atom.Xe holds 56 electrons: must be 54"),
        ("targets.toml", "mass_number = 131.293\n", "", "atom.Xe.mass_number is missing"),
        ("targets.toml", "shells keV", "shells eV", "atom.Xe.unit = mass number u; shells eV: must be one of"),
        ("published_limits.csv", ",24,0.9,collaboration", ",24,0.9,referee", "kind in row 1 = referee: must be one of"),
        ("published_limits.csv", "\nRovno 1993,", "\nKrasnoyarsk 1992,", "every row must have a name of its own"),
        ("published_limits.csv", ",1992,", ",1992.7,", "year in row 1 = 1992.7: must be a whole number"),
        ("xenonnt.csv", "\n1,2,4,", "\n1,2,-4,", "counts in row 1 = -4: must be a count, 0 or more"),
        ("xenonnt.csv", "\n1,2,4,", "\n1,2,4.5,", "counts in row 1 = 4.5: must be a count, 0 or more"),
        ("xenonnt.csv", "\n1,2,4,", "\n1,2,,", "counts in row 1 = nothing: must be a count, 0 or more"),
        ("coherent_csi.csv", "56,60,1,6,76,72,0.0082403,0.20327\n", "", "25 rows: must be blocks of 13 rows"),
        ("xenonnt.csv", "\n2,3,", "\n1.5,3,", "bin 2 from 1.5 to 3 overlaps 1 to 2: bins must follow one another"),
        ("xenonnt.csv", "\n2,3,", "\n2.5,3,", "bin 2 from 2.5 to 3 leaves a gap to 1 to 2"),
        ("xenonnt.csv", "\n1,2,", "\n2,1,", "bin 1 from 2 to 1: must have low < high"),
        ("xenonnt.csv", "low,high,counts", "low,high,events", "column events: must be one of low, high"),
        ("gemma.toml", "value = 0.03", "value = -0.03", "nuisances.flux = -0.03: must be a number above 0"),
        ("superk_4.csv", ",8.2996,", ",0,", "error in row 1 = 0: must be a number above 0"),
        ("published_limits.csv", ",reactor,", ",nuclear,", "flavour_class in row 1 = nuclear: must be one of"),
        (
            "published_limits.csv",
            ",24,0.9,",
            ",24,1.2,",
            "confidence in row 1 = 1.2: must be a number above 0.5 and below 1",
        ),
        ("published_limits.csv", ",24,0.9,", ",-24,0.9,", "limit in row 1 = -24: must be a number above 0"),
        ("xenonnt.toml", "value = 423690.0", "value = true", "exposure_on = true: must be a number above 0"),
        ("xenonnt.toml", "value = 423690.0", "value = inf", "exposure_on = inf: must be a number above 0"),
        ("xenonnt.toml", "value = 423690.0", "value = -3", "exposure_on = -3: must be a number above 0"),
        (
            "xenonnt.toml",
            "value = 423690.0\n",
            "value = 4.0\nspare = 2\n",
            "exposure_on.spare: must be one of value, unit",
        ),
        ("xenonnt.toml", "[exposure_on]", "[exposure_in]", "exposure_on is missing"),
        ("gemma.toml", "free = true", "free = true\nvalue = 0.1", "background: must have exactly one of free, value"),
        (
            "gemma.toml",
            "[nuisances.flux]\nvalue = 0.03",
            "[nuisances.flux]",
            "flux: must have exactly one of free, value",
        ),
        ("superk_4.csv", "low,high,rate,", "low,high,", "superk_4.csv: row 1 has 7 entries: must have 6, as the head"),
        ("xenonnt.csv", "\n1,2,4,", "\n1,2,3,4,", "xenonnt.csv: row 1 has 6 entries: must have 5, as the head"),
        ("xenonnt.csv", "\n1,2,4,", "\n1,2,1e19,", "counts in row 1 = 1e+19: must be a count, 0 or more"),
        ("xenonnt.csv", "counts,", "on,", "xenonnt.csv: column counts must be in the file"),
        ("xenonnt.csv", "\n1,2,4,", "\n1,2,1_0,", "counts in row 1 = 1_0: must be a count, 0 or more"),
        (
            "xenonnt.csv",
            "low,high,counts",
            "low,low,counts",
            "columns = low, low, counts, background, efficiency: must",
        ),
        ("published_limits.csv", ",1992,", ",1e19,", "year in row 1 = 1e+19: must be a whole number from 1900 to 2100"),
        ("published_limits.csv", ',"G. S.', ',,"G. S.', "published_limits.csv: row 1 has 13 entries: must have 12"),
        ("targets.toml", "[5.453, 2]", "[-5.4, 2]", "atom.Xe.shells[1][0] = -5.4: must be a number above 0"),
        (
            "flux.toml",
            "[reactor.isotope.U235.fraction]\nvalue = 0.55",
            "[reactor.isotope.U235.fraction]\nvalue = 1.0",
            "sum of reactor.isotope fractions = 1.45: must be 1",
        ),
        ("flux.toml", "0.024, 0.092,", "0.024,", "reactor.isotope.U235.below_2_mev has 10 numbers: must have 11"),
        ("flux.toml", "[0.0078125, 0.015625,", "[0.015625, 0.0078125,", "must be ascending"),
        (
            "flux.toml",
            "[solar.branch.pep.line]",
            "[solar.branch.pep.lines]",
            "pep: must have exactly one of line, endpoint",
        ),
        ("response.csv", "\n0.6,0.044", "\n0.6,0", "recoil_error in row 1 = 0: must be a number above 0"),
    ],
)
def test_bad_data_are_refused_in_one_line(edited, name, old, new, said):
    folder = edited(name, old, new)
    with pytest.raises(InputError) as refused:
        _load_all(folder)
    assert said in str(refused.value)
    assert "\n" not in str(refused.value)


def _load_all(data):
    load_published(data=data)
    load_fluxes(data=data)
    load_response(data=data)
    for slug in ALL_SPECTRA:
        load_experiment(slug, data=data)


def test_an_unknown_slug_is_refused():
    with pytest.raises(InputError, match="data set lz: must be one of lz_ws2022, lz_ws2024"):
        load_experiment("lz")


def test_a_nuisance_that_does_nothing_is_refused(edited):
    folder = edited("xenonnt.toml", "[nuisances.background]", "[nuisances.weather]")
    with pytest.raises(InputError, match=r"nuisances\.weather: not known for a background that is column"):
        load_likelihood("xenonnt", data=folder)


@pytest.mark.parametrize("slug", SIMULATED)
def test_every_number_has_a_source(slug, root):
    text = (root / "data/neutrino" / f"{slug}.toml").read_text()
    assert text.count("source = ") == text.count("unit = ") - 1 == text.count("mark = ") - 1


@pytest.mark.parametrize("slug", ["borexino", "borexino_phase2"])
def test_fluxes_of_the_solar_model_replace_measured_ones(slug):
    for fluxes, is_measured in (("measured", True), ("loose", True), ("model", False)):
        experiment = load_experiment(slug, choices=Choices(solar_fluxes=fluxes))
        assert ("branch_factors" in experiment.values) == is_measured
