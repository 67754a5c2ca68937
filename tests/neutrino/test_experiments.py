"""The data files, and what is refused in them."""

import numpy as np
import pytest

from leptonfit.datafiles import InputError
from leptonfit.neutrino.experiments import SPECTRA, load_all, load_experiment, load_response
from leptonfit.neutrino.likelihood import load_likelihood
from leptonfit.neutrino.sheets import load_published


def test_marks_say_what_was_measured():
    observed = {slug for slug in SPECTRA if load_experiment(slug).is_observed}
    assert observed == {"superk", "coherent", "xenonnt"}
    assert load_response().mark == "simulated"


def test_attainable_thresholds_are_182():
    """The report counts 240 conditions; thresholds of a real spectrum lie on its bin edges."""
    n = {slug: load_experiment(slug).n_bins - 1 for slug in SPECTRA}
    assert n == dict.fromkeys(("gemma", "texono", "conus", "borexino"), 30) | {
        "xenonnt": 28,
        "superk": 22,
        "coherent": 12,
    }
    assert sum(n.values()) == 182


def test_observed_spectra_have_their_published_totals():
    xenon = load_experiment("xenonnt").columns
    assert xenon["background"].sum() == pytest.approx(426.5, abs=0.1)
    coherent = load_experiment("coherent").columns
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
        ("coherent.toml", "value = 19.3", "value = 0.0", "distance = 0.0: must be a number above 0"),
        ("superk.toml", "[nuisances.survival]", "[nuisances.life]", "nuisances.survival is missing"),
        ("superk.csv", ",94.1,", ",-94.1,", "rate in row 1 = -94.1: must be a number, 0 or more"),
        ("flux.toml", 'unit = "cm-2 s-1"\n', "", "solar.branch.pp.flux.unit is missing"),
        ("flux.toml", 'unit = "cm-2 s-1"', 'unit = "m-2 s-1"', "flux.unit = m-2 s-1: must be cm-2 s-1"),
        ("flux.toml", "value = 5.98e+10", "value = -5.98e+10", "pp.flux = -59800000000.0: must be a number above 0"),
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
        ("xenonnt.csv", "\n2,3,", "\n1.5,3,", "bin 2 from 1.5 to 3 overlaps 1 to 2: bins must follow one another"),
        ("xenonnt.csv", "\n2,3,", "\n2.5,3,", "bin 2 from 2.5 to 3 leaves a gap to 1 to 2"),
        ("xenonnt.csv", "\n1,2,", "\n2,1,", "bin 1 from 2 to 1: must have low < high"),
        ("xenonnt.csv", "low,high,counts", "low,high,events", "column events: must be one of low, high"),
        ("gemma.toml", "value = 0.03", "value = -0.03", "nuisances.flux = -0.03: must be a number above 0"),
        ("superk.csv", ",8.4,", ",0,", "error in row 1 = 0: must be a number above 0"),
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
        ("superk.csv", "low,high,rate,", "low,high,", "superk.csv: row 1 has 6 entries: must have 5, as the head"),
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
    read = load_published if name.startswith("published") else load_all
    with pytest.raises(InputError) as refused:
        read(data=folder)
    assert said in str(refused.value)
    assert "\n" not in str(refused.value)


def test_an_unknown_slug_is_refused():
    with pytest.raises(InputError, match="data set lz: must be one of gemma, texono, conus"):
        load_experiment("lz")


def test_a_nuisance_that_does_nothing_is_refused(edited):
    folder = edited("xenonnt.toml", "[nuisances.background]", "[nuisances.weather]")
    with pytest.raises(InputError, match=r"nuisances\.weather: not known for a background that is column"):
        load_likelihood("xenonnt", data=folder)


@pytest.mark.parametrize("slug", SPECTRA)
def test_every_number_has_a_source(slug, root):
    text = (root / "data/neutrino" / f"{slug}.toml").read_text()
    assert text.count("source = ") == text.count("unit = ") - 1 == text.count("mark = ") - 1
