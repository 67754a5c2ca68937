"""Limits against thresholds: against one at a time, toys, and known numbers."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import chi2

from leptonfit.claims.nu838.report_838 import load_report
from leptonfit.datafiles import InputError
from leptonfit.inference.errors_in_variables import fit_orthogonal
from leptonfit.inference.gaussian_process import fit_curve
from leptonfit.inference.limits import find_limits
from leptonfit.neutrino.experiments import SPECTRA, load_response
from leptonfit.neutrino.joint import AgreementResult, compare_sets, group_by_class
from leptonfit.neutrino.likelihood import load_likelihood
from leptonfit.neutrino.response import calibrate_quenching, calibrate_scale
from leptonfit.neutrino.threshold_scan import (
    ScanSettings,
    ThresholdScanResult,
    compare_spreads,
    describe_scan,
    measure_coherence,
    scan_all,
    scan_thresholds,
)

pytestmark = pytest.mark.slow

HOW = ScanSettings(confidence=(0.9, 0.95), method="cls", n_thresholds=30, n_toys=400)


@pytest.fixture(scope="module")
def scans():
    return scan_all(SPECTRA, HOW, seed=838)


@pytest.fixture(scope="module")
def xenon(scans):
    return scans[SPECTRA.index("xenonnt")]


@pytest.fixture(scope="module")
def agreement():
    return {name: compare_sets(several) for name, several in group_by_class([*map(load_likelihood, SPECTRA)]).items()}


def test_every_attainable_condition_is_there(scans):
    """Two or more bins above each threshold; none sets a limit above the energies that argon's neutrinos reach."""
    assert sum(one.attainable for one in scans) == 269
    assert sum(one.tried for one in scans) == 195
    missing = {one.slug: one.tried - len(one.threshold) for one in scans if one.tried > len(one.threshold)}
    assert missing == {"coherent_lar": 5}
    fewer = scan_thresholds(load_likelihood("xenonnt"), replace(HOW, n_thresholds=5), seed=1)
    assert fewer.threshold.tolist() == [1, 8, 15, 21, 28]
    with pytest.raises(InputError, match="data sets xenonnt and xenonnt_140kev share events"):
        scan_all(["xenonnt", "xenonnt_140kev"], HOW, seed=1)


def test_a_limit_of_the_scan_is_that_of_the_data_cut_there(xenon):
    one = load_likelihood("xenonnt")
    for i in (0, 11, 27):
        alone = find_limits(one.model, one.data, used=one.above(i))
        np.testing.assert_allclose(xenon.limit[i], np.sqrt(alone.observed["cls"]), rtol=1e-6)
        np.testing.assert_allclose(xenon.band[i], np.sqrt(alone.expected["cls"][0]), rtol=1e-6)


def test_thresholds_share_events_as_nested_data_do(scans, xenon):
    for one in scans:
        nested = np.minimum.outer(one.sigma, one.sigma) / np.maximum.outer(one.sigma, one.sigma)
        assert abs(one.toy_correlation - nested).mean() < 0.08, one.slug
    assert xenon.n_independent == pytest.approx(4.5, abs=1)


def test_results_come_back_from_json(scans):
    again = ThresholdScanResult.from_dict(scans[3].to_dict())
    assert again.k_thr == scans[3].k_thr
    np.testing.assert_array_equal(again.toy_covariance, scans[3].toy_covariance)


def test_the_verdict_names_the_largest_disagreement(scans, agreement):
    spreads, coherence = compare_spreads(scans), measure_coherence(scans, seed=1)
    assert set(spreads) == {"solar", "stopped_pion", "all"}
    code, sentence = describe_scan(scans, spreads, coherence, agreement, load_report())
    assert code == "sets_disagree"
    assert sentence.startswith("Two data sets of a class disagree on a moment: the worst of 22 pairs is XENON1T SR1 ag")
    assert "190 of 195 thresholds tried set a limit; 269 are attainable" in sentence
    assert describe_scan(scans[:1], {}, None, {}, load_report())[0] == "no_comparison"


def test_a_disagreement_put_in_is_seen(scans, xenon):
    shifted = ThresholdScanResult.from_dict(xenon.to_dict())
    object.__setattr__(shifted, "log_ratio", xenon.log_ratio + 1.5)
    super_k = scans[SPECTRA.index("superk_1to4")]
    spread = compare_spreads([super_k, shifted])["solar"]
    assert spread.excess.p_value < 1e-4
    assert compare_spreads([super_k, xenon])["solar"].excess.p_value > 0.01


def made(title, *, limit=1.0, expected=1.0, excess=0.0, mean=0.0):
    """A data set of one threshold, by hand; the standard deviation of its log ratio is 0.2."""
    one = np.ones(1)
    return ThresholdScanResult(
        slug=title,
        title=title,
        flavour_class="solar",
        unit="keV",
        attainable=9,
        tried=4,
        threshold=one,
        energy=one,
        limit=limit * np.eye(1),
        expected=expected * np.eye(1),
        is_valid=np.ones(1, dtype=bool),
        band=np.ones((1, 5)),
        sigma=one,
        signal_above=one,
        log_ratio=excess * one,
        toy_mean=mean * one,
        toy_covariance=0.04 * np.eye(1),
        toy_correlation=np.eye(1),
        curve=None,
    )


def test_spreads_are_those_of_three_limits_by_hand():
    three = [
        made("a", limit=1, expected=1, excess=0.9, mean=0.9),
        made("b", limit=2, expected=1, excess=0.1, mean=0.1),
        made("c", limit=4, expected=2, excess=0.4, mean=0.4),
    ]
    found = compare_spreads(three)["solar"]
    assert found.cross == pytest.approx((1 / 0.08 * 1 + 1 / 0.2 * 3 + 1 / 0.2 * 2) / (1 / 0.08 + 2 / 0.2))
    assert found.cross_expected == pytest.approx((5 * 1 + 5 * 1) / (1 / 0.08 + 2 / 0.2))
    assert found.limits.mean == pytest.approx(np.log(2))
    assert found.limits.q == pytest.approx(2 * np.log(2) ** 2 / 0.2**2)
    assert found.sensitivities.mean == pytest.approx(np.log(2) / 3, rel=1e-3)
    assert found.excess.mean == pytest.approx(0, abs=1e-12)
    assert found.excess.q == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize("limit", [0.0, np.inf])
def test_a_limit_without_a_logarithm_is_left_out_of_the_spread(limit):
    """A construction that excludes every moment, or none, has a limit of 0 or infinity."""
    several = [made("A"), made("B", limit=2.0), made("C", limit=limit)]
    found = compare_spreads(several)["solar"]
    assert found.titles == ("A", "B")
    assert found.limits.tau2 == pytest.approx(compare_spreads(several[:2])["solar"].limits.tau2)


def test_k_thr_is_the_slope_of_the_expected_curve(xenon):
    away = xenon.energy - xenon.energy[0]
    line = replace(xenon, expected=2 * np.exp(0.1 * away)[:, None], curve=fit_curve(xenon.energy, 0.1 * away, seed=0))
    assert line.k_thr[0] == pytest.approx(0.2, rel=0.02)
    assert line.k_thr[1] == pytest.approx(2 * line.curve.slope_error)
    assert np.isnan(made("a").k_thr).all()


@pytest.mark.parametrize(
    ("several", "p_pair", "code", "said"),
    [
        ([made("a"), made("b")], 1e-3, "sets_disagree", "Two data sets of a class disagree"),
        ([made("a", excess=1), made("b", excess=-1)], 0.5, "limits_differ", "Limits of a flavour class differ, at"),
        ([made("a", excess=1), made("b", excess=1)], 0.5, "sensitivities_differ", "class do not differ, at 1 %"),
        ([made("a")], 0.5, "no_comparison", "1 of 4 thresholds tried set a limit; 9 are attainable"),
    ],
)
def test_a_verdict_is_first_on_spectra_then_on_limits(several, p_pair, code, said):
    pair = np.array([[0.0, chi2.isf(p_pair, 1)], [chi2.isf(p_pair, 1), 0.0]])
    titles, alone = ("a", "b"), np.zeros(2)
    two = AgreementResult(titles, pair[0, 1], p_pair, pair, chi2.sf(pair, 1), alone, alone + 1)
    found, sentence = describe_scan(several, compare_spreads(several), None, {"solar": two}, load_report())
    assert found == code
    assert said in sentence
    n = len(several)
    assert f"{n} of {4 * n} thresholds tried set a limit; {9 * n} are attainable" in sentence


def test_curves_that_run_together_are_coherent(scans):
    together = []
    for one in scans:
        copy = ThresholdScanResult.from_dict(one.to_dict())
        u = (one.energy - one.energy[0]) / (one.energy[-1] - one.energy[0])
        object.__setattr__(copy, "log_ratio", one.toy_mean + one.toy_sd * 3 * np.sin(5 * u))
        together.append(copy)
    found = measure_coherence(together, seed=1)
    assert found.coherence > 0.97
    assert found.p_value < 0.01
    assert measure_coherence(scans, seed=1).p_value > 0.05
    assert measure_coherence(scans[:1], seed=1) is None


def test_unrelated_curves_have_a_coherence_about_zero(scans):
    null = measure_coherence(scans, seed=3).null
    assert abs(null.mean()) < 0.05
    assert null.max() < 0.81


def test_a_process_finds_slope_bend_and_scale():
    x = np.linspace(1, 30, 28)
    for curve, slope in (
        (lambda x: np.sqrt(x + 4), 0.5 / np.sqrt(5)),
        (lambda x: np.log(1 + x), 0.5),
        (lambda x: 3 - 0.1 * x, -0.1),
    ):
        found = fit_curve(x, curve(x), seed=1)
        assert abs(found.slope - slope) < max(0.05 * abs(slope), 3 * found.slope_error)
        np.testing.assert_allclose(np.interp(x, found.x, found.y), curve(x), atol=2e-3)
    kink = fit_curve(x, np.log1p(np.exp((x - 18) / 0.8)), seed=1)
    assert kink.bend == pytest.approx(18, abs=0.5)
    assert not kink.bend_on_edge
    assert fit_curve(x, np.exp(x / 8), seed=1).bend_on_edge
    np.testing.assert_allclose(
        fit_curve(10 * x, np.sqrt(x), seed=1).length_scale,
        10 * fit_curve(x, np.sqrt(x), seed=1).length_scale,
        rtol=1e-4,
    )
    with pytest.raises(ValueError, match="3 points: must be at least four"):
        fit_curve(x[:3], x[:3], seed=1)


def test_errors_in_variables_give_pearsons_data_with_yorks_weights():
    """D. York, Can. J. Phys. 44, 1079 (1966)."""
    x = [0, 0.9, 1.8, 2.6, 3.3, 4.4, 5.2, 6.1, 6.5, 7.4]
    y = [5.9, 5.4, 4.4, 4.6, 3.5, 3.7, 2.8, 2.8, 2.4, 1.5]
    wx, wy = (
        np.array([1000, 1000, 500, 800, 200, 80, 60, 20, 1.8, 1]),
        np.array([1, 1.8, 4, 8, 20, 20, 70, 70, 100, 500]),
    )
    found = fit_orthogonal(lambda x, b: b[0] + b[1] * x, x, y, wx**-0.5, wy**-0.5, [5, -0.5])
    assert found.values == pytest.approx([5.479910, -0.480533], abs=1e-6)
    assert found.chi2 == pytest.approx(11.86635, abs=1e-5)
    assert found.errors == pytest.approx([0.295, 0.058], abs=1e-3)


def test_calibration_gives_back_what_the_points_were_drawn_with():
    points = load_response()
    for fit, truth in ((calibrate_quenching(points), 0.162), (calibrate_scale(points), 1.0)):
        assert abs(fit.values[0] - truth) < 3 * fit.errors[0]
        assert fit.chi2 < 25
    assert calibrate_quenching(points, 4).errors[0] > calibrate_quenching(points).errors[0]
