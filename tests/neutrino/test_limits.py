"""Limits of the data sets: known numbers, simulated sets, and what is said of them."""

from dataclasses import replace

import matplotlib.pyplot as plt
import numpy as np
import pytest
from scipy.stats import norm

from leptonfit.inference.constructions import CONSTRUCTIONS, Construction
from leptonfit.inference.limit_coverage import cover_limits
from leptonfit.inference.limits import find_limits
from leptonfit.neutrino.data_limits import DataLimitsResult, analyse, analyse_all, compare_published, describe_limits
from leptonfit.neutrino.experiments import ALL_SPECTRA, SIMULATED, SPECTRA, load_experiment, load_response
from leptonfit.neutrino.likelihood import compare_spectrum, load_likelihood, to_moment
from leptonfit.neutrino.published import combine_published, describe_published
from leptonfit.neutrino.sheets import load_published
from leptonfit.neutrino.simulation import (
    describe_tuning,
    draw_counts,
    draw_response,
    measure_tuning,
    simulate_all,
    tune_background,
)
from leptonfit.neutrino.spectra import predict_spectrum
from leptonfit.workbook import figures, store, tables


@pytest.fixture(scope="module")
def xenon():
    return analyse("xenonnt", confidence=(0.9, 0.95), n_toys=300, seed=1)


def test_xenon_limits_are_the_known_ones(xenon):
    summary = xenon.summarise()
    assert summary["theta_hat"] == pytest.approx(-0.785e-22, rel=0.02)
    assert xenon.significance**2 == pytest.approx(1.67, rel=0.02)
    for rise, known in (("1.64", 5.90e-12), ("2.71", 7.31e-12), ("3.84", 8.44e-12)):
        assert summary["delta_chi2"][rise] == pytest.approx(known, rel=0.02)
    assert summary["pinned"] == pytest.approx({"90": 5.90e-12, "95": 7.31e-12}, rel=0.02)
    for method, known in (("cls", 8.32e-12), ("fc", 6.27e-12), ("q_tilde", 2.05e-12)):
        assert summary[method]["90"] == pytest.approx(known, rel=0.02)
    assert summary["observed"] is True
    assert summary["flavour_class"] == "solar"


class PowerConstrained(Construction):
    """Limit of q̃ alone, but not below its expectation after a fluctuation by −1 σ (arXiv:1105.3166)."""

    key, title, marker = "power", "power constrained", "^"
    least_counts, largest_bend = 20.0, np.inf

    def gaussian(self, x, confidence):
        high = np.maximum(x, -1.0) + norm.ppf(confidence)
        return np.zeros(np.shape(high)), high


def test_a_fifth_construction_is_one_object(monkeypatch):
    monkeypatch.setitem(CONSTRUCTIONS, "power", PowerConstrained())
    found = analyse("xenonnt", confidence=(0.9,), n_toys=100, seed=1)
    limits = found.limits
    assert limits.theta_hat / limits.sigma < -1
    assert limits.observed["power"][0] == pytest.approx(limits.sigma * (norm.ppf(0.9) - 1), rel=1e-9)
    assert limits.expected["power"][0, 0] == pytest.approx(limits.expected["power"][0, 1])
    assert limits.is_valid["power"] == (limits.n_effective >= 20)
    assert found.coverage[0].n_covered["power"] == 100
    assert found.summarise()["power"]["90"] == found.moment_limit("power")
    _, ax = plt.subplots()
    figures.plot_limits(ax, [found])
    drawn = [line.get_xdata()[0] for line in ax.lines if line.get_marker() == "^" and len(line.get_xdata())]
    assert drawn == [found.moment_limit("power")]
    assert "power constrained" in [text.get_text() for text in ax.get_legend().get_texts()]
    plt.close()
    assert "power constrained" in tables.tabulate_data_limits([found]).columns


def test_results_come_back_from_json(xenon):
    again = DataLimitsResult.from_dict(xenon.to_dict())
    assert again.summarise() == xenon.summarise()
    assert again.coverage[1].n_covered["fc"].dtype == int


@pytest.mark.parametrize("slug", ALL_SPECTRA)
def test_profile_is_the_same_by_migrad(slug):
    from iminuit import Minuit

    one = load_likelihood(slug)
    sigma = float(find_limits(one.model, one.data).sigma)
    ours = one.model.fit(one.data, theta=sigma)

    def cost(pulls):
        expected = one.model.expected(sigma, np.array(pulls))
        if one.model.sigma is not None:
            terms = ((one.data - expected) / one.model.sigma) ** 2
        else:
            expected = np.maximum(expected, 1e-9)
            safe = np.maximum(one.data, 1)
            terms = 2 * (expected - one.data) + 2 * one.data * np.log(safe / expected)
        return terms.sum() + np.sum(np.array(pulls)[~one.model.is_free] ** 2)

    peer = Minuit(cost, np.zeros(len(one.model.nuisances)))
    peer.errordef, peer.strategy, peer.tol = Minuit.LEAST_SQUARES, 2, 1e-4
    peer.migrad(ncall=100_000)
    assert ours.value == pytest.approx(peer.fval, abs=1e-3)
    assert ours.value <= peer.fval + 1e-6


@pytest.mark.parametrize("slug", SIMULATED)
def test_simulated_sets_are_what_the_forward_model_draws(slug):
    experiment = load_experiment(slug)
    for name, counts in draw_counts(experiment).items():
        np.testing.assert_array_equal(experiment.columns[name], counts)


@pytest.mark.parametrize("slug", SIMULATED)
def test_backgrounds_of_simulated_sets_are_tuned_to_the_published_limit(slug):
    experiment = load_experiment(slug)
    assert tune_background(experiment) == experiment.values["background_factor"]
    one = load_likelihood(slug)
    published = load_published().set_index("name").loc[experiment.published, "limit"]
    expected = find_limits(one.model, one.data, confidence=(0.9,)).expected["cls"][0, 2]
    assert to_moment(expected) == pytest.approx(published * 1e-11, rel=1e-3)


def test_calibration_points_are_what_they_are_drawn_from():
    points = load_response()
    for name, values in draw_response().items():
        np.testing.assert_allclose(points.columns[name], values)


def test_signal_is_linear_in_the_square_of_the_moment():
    one = load_likelihood("gemma")
    rise = one.model.expected(np.array([1.0, 3.0])) - one.model.expected(0.0)
    np.testing.assert_allclose(rise[1], 3 * rise[0])
    np.testing.assert_allclose(rise[0, : one.experiment.n_bins], one.spectrum.magnetic)
    assert not rise[0, one.experiment.n_bins :].any()  # the reactor is off


def test_a_threshold_leaves_out_the_bins_below_it_in_every_window():
    one = load_likelihood("coherent_csi")  # two windows, and two ranges of time
    used = one.above(np.array([0, 3]))
    assert used.sum(axis=1).tolist() == [52, 40]
    limits = find_limits(one.model, one.data, used=used).observed["cls"][:, 0]
    assert limits[1] > limits[0]


@pytest.mark.parametrize("slug", SPECTRA)
def test_data_compared_are_data_less_background(slug):
    one = load_likelihood(slug)
    found = compare_spectrum(one, [4.0])
    assert found.mark == one.experiment.mark
    weak = one.spectrum.weak
    blocks = len(weak) // len(found.data)  # bins of the same energy are added up
    counts, weak = (part[: one.experiment.n_bins].reshape(blocks, -1).sum(axis=0) for part in (one.data, weak))
    if found.subtracted:
        pulls = one.model.fit(one.data, theta=0.0).pulls
        expected = one.model.expected(0.0, pulls)[: one.experiment.n_bins].reshape(blocks, -1).sum(axis=0)
        np.testing.assert_allclose(found.data + expected - weak, counts)
    else:
        np.testing.assert_allclose(found.data, counts)


def test_classes_are_not_mixed_and_an_experiment_counts_once():
    table = load_published()
    found = combine_published(table, sigma_log10=0.079)
    for name, used in found.used.items():
        rows = table.set_index("name").loc[list(used)]
        assert set(rows["flavour_class"]) == {name}
        assert rows["experiment"].is_unique
    assert "GEMMA 2010 ionisation" not in found.used["reactor"]
    assert set(found.alone) == {"stopped_pion", "accelerator_nue"}
    disputed = combine_published(table, sigma_log10=0.079, include_disputed=True)
    assert "GEMMA 2010 ionisation" in disputed.used["reactor"]
    assert disputed.classes["reactor"].mean < found.classes["reactor"].mean


def test_limits_are_combined_in_decades_with_the_scatter_given():
    table = load_published()
    found = combine_published(table, sigma_log10=0.1, estimator="FE")
    limits = np.log10(table.set_index("name").loc[list(found.used["solar"]), "limit"])
    assert found.classes["solar"].q == pytest.approx(np.sum((limits - limits.mean()) ** 2) / 0.01)
    assert 10 ** found.classes["solar"].mean == pytest.approx(10 ** limits.mean())
    assert found.classes["solar"].error == pytest.approx(0.1 / np.sqrt(len(limits)))


def test_limits_that_agree_are_said_to(root):
    table = load_published()
    table["limit"] = 5.0
    code, sentence = describe_published(combine_published(table, sigma_log10=0.079), table)
    assert code == "limits_agree"
    assert "no more than sampling" in sentence
    assert (
        describe_published(combine_published(load_published(), sigma_log10=0.079), load_published())[0]
        == "limits_differ"
    )


@pytest.mark.parametrize("kept", [[0], [8], []])
def test_limits_that_are_not_compared_do_not_agree(kept):
    """One limit, one that is disputed, and none."""
    table = load_published().iloc[kept]
    code, sentence = describe_published(combine_published(table, sigma_log10=0.079), table)
    assert code == "no_comparison"
    assert sentence.startswith("No flavour class has two limits to compare.")


def test_without_an_estimate_of_the_spread_none_is_stated():
    table = load_published()
    found = combine_published(table, sigma_log10=0.079, estimator="FE")
    for meta in found.classes.values():
        assert np.isnan([meta.spread, *meta.tau2_interval, *meta.prediction]).all()
    code, sentence = describe_published(found, table)
    assert code == "limits_differ"
    assert "no spread estimated" in sentence
    assert "dex" not in sentence


def test_limits_of_other_kinds_are_not_combined():
    """At another confidence, by a reanalysis, or from stars whatever its kind and confidence."""
    table = load_published()
    table.loc[table["name"] == "MUNU 2005", "confidence"] = 0.95
    stars = table["flavour_class"] == "astrophysical"
    table.loc[stars, ["kind", "confidence"]] = "collaboration", 0.9
    found = combine_published(table, sigma_log10=0.079)
    assert found.left_out["at another confidence"] == ("Rovno 1993", "MUNU 2005")
    assert found.left_out["from stars"] == tuple(table["name"][stars])
    assert "LZ 2022 (Atzori Corona et al.)" in found.left_out["reanalyses"]
    left = {name for names in found.left_out.values() for name in names}
    assert not left & {name for names in found.used.values() for name in names}
    assert "astrophysical" not in {*found.classes, *found.alone}
    assert "Not combined either: from stars TRGB NGC 4258 2020" in describe_published(found, table)[1]


def test_limits_are_what_their_sources_say():
    """Confidence of Rovno, source of LSND, authors of the first limit from LZ, the bound from ω Centauri."""
    table = load_published().set_index("name")
    assert table.loc["Rovno 1993", "confidence"] == 0.95
    assert table.loc["LSND 2001", "flavour_class"] == "stopped_pion"
    assert table.loc["LZ 2022 (Atzori Corona et al.)", "kind"] == "reanalysis"
    assert table.loc["TRGB omega Centauri 2020", ["limit", "confidence"]].tolist() == [0.12, 0.95]
    assert (table["mark"] == "observed").eq(table["checked"].str.match("checked|value checked")).all()
    assert (table["mark"] == "textbook").sum() == 24


def test_verdict_is_on_measured_sets_and_names_the_simulated(xenon):
    code, sentence = describe_limits([xenon], "cls")
    assert code == "no_moment_seen"
    assert "8.33e-12 μ_B by CLs" in sentence
    assert "Simulated" not in sentence
    assert "Constructions whose coverage" not in sentence or "Feldman–Cousins, Gaussian at XENONnT" in sentence
    others = analyse_all(["gemma"], confidence=(0.9,), n_toys=50, seed=1)
    code, sentence = describe_limits(others, "fc")
    assert code == "no_data"
    assert "Simulated data sets, which are no evidence: GEMMA" in sentence


def test_a_moment_put_into_the_data_is_seen():
    one = load_likelihood("xenonnt")
    counts = one.model.expected(9.0).round()
    limits = find_limits(one.model, counts)
    assert limits.theta_hat == pytest.approx(9.0, rel=0.1)
    assert limits.low["fc"][-1] > 0


def test_nuisances_act_on_the_signal_as_on_the_background():
    gemma = load_likelihood("gemma")
    model, n = gemma.model, gemma.experiment.n_bins
    flux, scale, slope = (model.nuisances.index(name) for name in ("flux", "energy_scale", "slope"))
    np.testing.assert_allclose(model.signal_shifts[flux, :n], 0.03 * gemma.spectrum.magnetic)
    np.testing.assert_allclose(model.shifts[flux, :n], 0.03 * gemma.spectrum.weak)
    np.testing.assert_allclose(model.signal_shifts[scale, :n], gemma.spectrum.shifts["energy_scale"][1])
    on, off = model.base[:n] - gemma.spectrum.weak, model.base[n:]
    np.testing.assert_allclose(on / off, 748.875 / 179.625)
    assert (model.shifts[slope, [0, n - 1]] / on[[0, -1]]).tolist() == pytest.approx([-0.1, 0.1])


def test_either_window_of_coherent_has_the_same_background():
    one = load_likelihood("coherent_csi")
    n, columns = one.experiment.n_bins, one.experiment.columns
    counts = columns["anticoincidence"]
    neutrons = columns["beam_neutrons"] + columns["induced_neutrons"]
    np.testing.assert_allclose(one.model.base[n:], np.maximum(counts, 0.5))
    np.testing.assert_allclose(one.model.base[:n] - one.spectrum.weak - neutrons, np.maximum(counts, 0.5))
    row = one.model.nuisances.index("background of bin 4")
    assert one.model.shifts[row, [3, n + 3]].tolist() == pytest.approx((0.1 * counts[[3, 3]]).tolist())


def test_summary_is_what_was_found(xenon):
    summary = xenon.summarise()
    for name, level in (("90", 0), ("95", 1)):
        np.testing.assert_allclose(summary["expected_cls"][name], 1e-11 * xenon.limits.expected["cls"][level] ** 0.5)
        toys = xenon.coverage[1]
        assert summary["coverage"]["pinned"][name] == toys.n_covered["pinned"][level] / toys.n_toys
    assert summary["theta_sigma"] == pytest.approx(0.607e-22, rel=1e-2)
    assert xenon.significance == pytest.approx(-1.29, abs=0.01)
    assert xenon.goodness.dof == 27
    assert xenon.goodness.statistic == pytest.approx(float(xenon.limits.chi2_min))
    assert xenon.published == 0.64


def test_residuals_are_from_no_moment():
    found = compare_spectrum(load_likelihood("xenonnt"), [4.0, 9.0])
    np.testing.assert_allclose(found.residuals, (found.data - found.expected[0]) / np.sqrt(found.expected[0]))
    assert found.theta.tolist() == [0, 4, 9]
    assert (found.expected[2][:3] > found.expected[1][:3]).all()


def test_confidences_come_in_ascending_order_and_few_toys_make_no_limit():
    (one,) = analyse_all(["xenonnt"], confidence=(0.95, 0.9), n_toys=150, seed=1)
    assert one.limits.confidence.tolist() == [0.9, 0.95]
    assert np.isfinite(one.toys.limit[0])
    assert np.isnan(one.toys.limit[1])  # seven toys lie beyond the quantile


@pytest.mark.slow
@pytest.mark.parametrize("slug", SPECTRA)
def test_coverage_at_no_moment_and_at_the_limit(slug):
    """Every construction at least as often as it says, and the Gaussian interval too where θ̂ is Gaussian.

    Where it is not, toys replace it: at COHERENT, whose nuisances are as large as a signal, it is far off.
    """
    one = load_likelihood(slug)
    limits = find_limits(one.model, one.data)
    # krypton at Borexino cannot be negative, so that θ̂ is skewed: CLs still covers, the others do not
    methods = ("cls",) if slug == "borexino_phase2" else ("cls", "q_tilde", "pinned")
    for theta in (0.0, float(limits.observed["cls"][0])):
        found = cover_limits(one.model, one.data, theta, n_toys=4000, seed=11)
        for i, level in enumerate((0.9, 0.95)):
            for method in methods:
                assert found.interval(method, i, confidence=0.999)[1] > level - 0.01, method
            low, high = found.interval("fc", i, confidence=0.999)
            if slug == "superk_1to4":
                assert low - 0.005 <= level <= high + 0.005
            elif slug.startswith("coherent"):
                assert high < level or (slug, theta) == ("coherent_lar", 0.0)
            else:
                assert level - 0.05 < high


@pytest.mark.slow
def test_expected_band_is_where_limits_of_toys_fall():
    """Up to what an asymptotic formula misses at a dozen counts a bin: it is a little wide above."""
    one = load_likelihood("xenonnt")
    toys = one.model.draw(np.zeros(1500), np.zeros((1500, 1)), np.random.default_rng(4))
    band = find_limits(one.model, one.data).expected
    found = find_limits(one.model, toys).observed
    for method in ("cls", "fc"):
        shares = [np.mean(found[method][:, 0] < end) for end in band[method][0]]
        np.testing.assert_allclose(shares, [0.023, 0.159, 0.5, 0.841, 0.977], atol=0.06)


def test_a_moment_of_zero_draws_nothing():
    experiment = load_experiment("borexino")
    assert predict_spectrum(experiment).slug == "borexino"
    assert to_moment(-3.0) == 0


@pytest.mark.parametrize("slug", SIMULATED)
def test_tuning_hides_what_the_models_lack(slug):
    """Stated backgrounds give other limits than the published ones; half of the exposure can be tuned as well."""
    found = measure_tuning(slug)
    assert found.as_stated == pytest.approx(
        {"gemma": 4.38, "texono": 12.9, "conus": 6.09, "borexino": 1.61}[slug], rel=0.005
    )
    assert found.tuned == pytest.approx(found.published, rel=1e-3)
    assert found.half_tuned == pytest.approx(found.published, rel=1e-3)
    assert abs(np.log(found.half_factor / found.factor)) > 0.1
    assert (np.diff(found.expected) > 0).all()
    code, sentence = describe_tuning([found])
    assert code == "tuned"
    assert f"{found.title} {found.as_stated:.3g} instead of {found.published:g}" in sentence


def test_simulated_files_are_written_again_as_they_are(root, edited):
    """Files whose counts and factors were changed come back to the byte."""
    folder = edited("gemma.csv", "\n2.8,4.5,843,217", "\n2.8,4.5,1,2")
    path = folder / "neutrino/gemma.toml"
    path.write_text(path.read_text().replace("value = 0.2822", "value = 0.5"))
    store.write_checksums(folder)
    found = simulate_all(data=folder)
    assert len(found) == 9
    for name, text in found.items():
        assert text == (root / "data" / name).read_text(), name


def test_an_interval_shows_its_lower_end_and_a_number_from_memory_its_mark(xenon):
    def row(found):
        return tables.format_table(tables.tabulate_data_limits([found])).iloc[0]

    assert row(xenon)["published"] == "0.64e-11 ‡ (XENONnT 2022)"
    assert row(replace(xenon, published_mark="observed"))["published"] == "0.64e-11 (XENONnT 2022)"
    assert " to " not in row(xenon)["Feldman–Cousins, Gaussian"]
    low = dict(xenon.limits.low) | {"fc": np.full_like(xenon.limits.low["fc"], 0.25)}
    shown = row(replace(xenon, limits=replace(xenon.limits, low=low)))["Feldman–Cousins, Gaussian"]
    assert shown.startswith("5e-12 to ")


def test_limits_are_compared_with_the_published_ones(xenon):
    (row,) = compare_published([xenon], "cls")
    assert (row.title, row.by, row.published) == ("XENONnT", "XENONnT 2022", 0.64)
    assert row.limit == pytest.approx(0.832, rel=0.01)
    assert row.ratio == pytest.approx(row.limit / 0.64)
    assert row.lowest < 1 < row.highest
    assert "fluctuate downward" in row.reason
    (alone,) = compare_published([replace(xenon, published_confidence=0.68)], "cls")
    assert alone.limit == row.limit
    assert np.isnan([alone.published, alone.ratio, alone.lowest, alone.highest]).all()
