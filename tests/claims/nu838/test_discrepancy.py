"""The report's terms against a baseline: likelihood, evidence, what is put in and comes back."""

from dataclasses import replace
from types import SimpleNamespace as Made

import numpy as np
import pytest
from scipy.stats import chi2, multivariate_normal, norm

from leptonfit.claims.nu838 import falsification, model_comparison
from leptonfit.claims.nu838.discrepancy import BASELINE, EFT, PULLS, DiscrepancyModel, fit_model, gather_conditions
from leptonfit.claims.nu838.falsification import falsify, relate_thresholds, vary
from leptonfit.claims.nu838.model_comparison import (
    BEYOND_MOMENT,
    ComparisonResult,
    choose_ranges,
    compare_models,
    cross_validate,
    describe_comparison,
    measure,
    select_sets,
)
from leptonfit.claims.nu838.report_838 import COVARIATES, load_covariates, load_report
from leptonfit.inference.compare import EvidenceResult, aic, bic, bootstrap_ks
from leptonfit.inference.constructions import CONSTRUCTIONS
from leptonfit.neutrino import joint as joint_module
from leptonfit.neutrino.experiments import SPECTRA
from leptonfit.neutrino.joint import join, join_classes
from leptonfit.neutrino.likelihood import Likelihood, load_likelihood
from leptonfit.neutrino.threshold_scan import ScanSettings, scan_all
from leptonfit.workbook.formats import format_table
from leptonfit.workbook.tables.discrepancy import tabulate_falsification

pytestmark = pytest.mark.slow

N_TOYS = 1000


@pytest.fixture(scope="module")
def likelihoods():
    return {slug: load_likelihood(slug) for slug in SPECTRA}


@pytest.fixture(scope="module")
def scans():
    return scan_all(SPECTRA, ScanSettings((0.9,), "cls", 8, N_TOYS), seed=5)


@pytest.fixture(scope="module")
def conditions(scans, likelihoods):
    return gather_conditions(scans, likelihoods, load_covariates(), n_toys=N_TOYS)


@pytest.fixture(scope="module")
def ranges():
    return choose_ranges(load_report(), "report")


def point(model, **values):
    given = {"x_bend": 10.0, "tau_c": 5.0} | values
    return np.array([given.get(name, 0.0) for name in model.names])


def test_eight_and_twenty_parameters(conditions, ranges):
    assert len(BASELINE) == 8
    assert len(EFT) == 20
    assert DiscrepancyModel(conditions, True, ranges).names == EFT
    assert ranges[1].tolist() == [-0.05, 0.05]
    wide = choose_ranges(load_report(), "wide")
    assert wide[1].tolist() == [-0.1, 0.1]
    cube = np.random.default_rng(0).choice([1e-9, 1 - 1e-9], (2000, 20))  # corners: every moment stays above zero
    model = DiscrepancyModel(conditions, True, wide)
    assert np.isfinite(model.log_likelihood(model.transform(cube))).all()


def test_likelihood_is_that_of_a_gaussian_with_its_covariance(conditions, ranges):
    model = DiscrepancyModel(conditions, True, ranges)
    rng = np.random.default_rng(3)
    for _ in range(3):
        x = model.transform(rng.uniform(0.1, 0.9, 20))
        expected = multivariate_normal.logpdf(conditions.log_ratio, model.predict(x), model.covariance(x))
        assert model.log_likelihood(x) == pytest.approx(expected, rel=1e-8)
    several = model.transform(rng.uniform(0.1, 0.9, (5, 20)))
    np.testing.assert_allclose(model.log_likelihood(several), [model.log_likelihood(x) for x in several], rtol=1e-10)


@pytest.mark.parametrize("is_eft", [False, True])
def test_gradient_is_that_of_differences(conditions, ranges, is_eft):
    model = DiscrepancyModel(conditions, is_eft, ranges)
    x = model.transform(np.random.default_rng(8).uniform(0.2, 0.8, len(model.names)))
    value, gradient = model.cost(x)
    pulls = [j for j, name in enumerate(model.names) if name in ("offset", *PULLS)]
    prior = (x[pulls] / np.where(np.array(pulls) == 0, 0.5, 1.0)) ** 2
    assert value == pytest.approx(float(model.minus_two_log_likelihood(x)) + prior.sum(), rel=1e-10)
    for j in range(len(x)):
        step = np.zeros(len(x))
        step[j] = 1e-6 * max(abs(x[j]), 1e-12)
        slope = (model.cost(x + step)[0] - model.cost(x - step)[0]) / (2 * step[j])
        assert gradient[j] == pytest.approx(slope, rel=1e-4, abs=1e-4 * abs(gradient[j]) + 1e-5)


def test_without_its_terms_the_eft_is_the_baseline(conditions, ranges):
    eft, base = (DiscrepancyModel(conditions, flag, ranges) for flag in (True, False))
    x = np.array([0.1, 0.5, -0.3, 0.2, 0.4, -1.0, 0.3, 0.2])
    both = point(eft, **dict(zip(BASELINE, x, strict=True)))
    np.testing.assert_allclose(eft.predict(both), base.predict(x), atol=1e-12)
    assert eft.log_likelihood(both) == pytest.approx(float(base.log_likelihood(x)))


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({"mu0": 3e-11}, lambda c: 0.5 * np.log(1 + 9 * np.exp(-2 * c.log_expected))),
        ({"gamma": 0.04}, lambda c: np.log(1 + 0.04 * c.path)),
        ({"k_STG": 0.3}, lambda c: np.log(1 + 0.3 * c.covariates[:, 0])),
        ({"beta_TPR": 0.2}, lambda c: np.log(1 + 0.2 * c.covariates[:, 1])),
        ({"rho_Recon": 0.5}, lambda c: np.log(1 + 0.5 * c.covariates[:, 2])),
        ({"alpha_thr": 0.4}, lambda c: np.log(1 + 0.4 * np.log(1 + c.energy / 10))),
        ({"theta_Coh": 0.4}, lambda c: np.log(1 - 0.4 * (1 - np.exp(-np.abs(c.energy - 10) / 5)))),
        ({"eta_Damp": 0.3}, lambda c: -0.3 * c.covariates[:, 4] ** 2),
        ({"xi_RL": 0.2}, lambda c: -np.log(1 + 0.2 * c.covariates[:, 5])),
    ],
)
def test_each_term_is_the_equation_it_stands_for(conditions, ranges, values, expected):
    model = DiscrepancyModel(conditions, True, ranges)
    np.testing.assert_allclose(model.predict(point(model, **values)), expected(conditions), atol=1e-12)


def test_the_environment_adds_a_variance_to_each_data_set(conditions, ranges):
    model = DiscrepancyModel(conditions, True, ranges)
    found = model.shared_variance(point(model, tau=0.1, k_TBN=0.2))
    u = [load_covariates()[slug][COVARIATES.index("U_env")] for slug in conditions.slugs]
    np.testing.assert_allclose(found, 0.01 + (0.2 * np.array(u)) ** 2)


def test_transforms_are_inverses(conditions, ranges):
    model = DiscrepancyModel(conditions, True, ranges)
    cube = np.random.default_rng(1).uniform(0.01, 0.99, (50, 20))
    np.testing.assert_allclose(norm.cdf(model.untransform(model.transform(cube))), cube, atol=1e-9)


def test_slopes_of_limits_are_known_ones(conditions):
    """A flux 3 % higher lowers a limit on μ by half of it, where the background does not come from the flux."""
    xenon = conditions.owner == conditions.slugs.index("xenonnt")
    np.testing.assert_allclose(conditions.slopes[xenon, PULLS.index("flux_solar")], -0.015, rtol=0.06)
    np.testing.assert_allclose(conditions.slopes[xenon, PULLS.index("background")], 0.025, rtol=0.03)
    assert not conditions.slopes[:, PULLS.index("flux_reactor")].any()  # no reactor spectrum is public
    moved = {
        slug: {PULLS[k] for k in np.flatnonzero(conditions.slopes[conditions.owner == i].any(axis=0))}
        for i, slug in enumerate(conditions.slugs)
    }
    assert moved["superk_1to4"] == {"energy_scale", "flux_solar"}
    assert moved["borexino_phase2"] == {"energy_scale", "background", "flux_solar"}
    assert moved["coherent_csi"] == {"quenching", "background", "flux_pion"}
    assert moved["coherent_lar"] == {"background", "flux_pion"}
    assert conditions.path[xenon][[0, -1]].tolist() == [0, 1]


def test_the_best_fit_is_found_again_from_elsewhere(conditions, ranges):
    base = DiscrepancyModel(conditions, False, ranges)
    first, second = (fit_model(base, n_starts=6, seed=seed) for seed in (1, 2))
    assert first.penalised == pytest.approx(second.penalised, abs=1e-4)
    assert first.slope < 1e-3
    eft = fit_model(DiscrepancyModel(conditions, True, ranges), n_starts=4, seed=1)
    assert eft.penalised < first.penalised + 0.1


def test_criteria_and_bootstrap():
    assert aic(10.0, 3) == 16
    assert bic(10.0, 3, np.e) == pytest.approx(13)
    rng = np.random.default_rng(2)
    toys = rng.standard_normal((300, 50))
    assert bootstrap_ks(rng.standard_normal(50), toys) > 0.05
    assert bootstrap_ks(2.5 * rng.standard_normal(50), toys) < 0.01


def test_parameter_goodness_of_fit_of_gaussians_is_their_scatter(likelihoods):
    """Two copies of one experiment, one with a moment in it: χ²_PG as for two Gaussian measurements of θ."""
    xenon = likelihoods["xenonnt"]
    shifted = Likelihood(
        replace(xenon.experiment, slug="other"), xenon.spectrum, xenon.model, xenon.model.expected(2.0).round()
    )
    found = join([xenon, shifted], confidence=(0.9,), n_toys=50, seed=1)
    fits = [one.model.fit(one.data) for one in (xenon, shifted)]
    steps = [
        1e-3 / abs(one.model.fit(one.data, theta=fit.theta + 1e-3).slope / 2)
        for one, fit in zip((xenon, shifted), fits, strict=True)
    ]
    assert found.chi2_pg == pytest.approx((fits[1].theta - fits[0].theta) ** 2 / sum(steps), rel=0.25)
    assert found.p_value < 0.05
    assert found.toy_p_value < 0.1
    assert found.dof == 1


def test_classes_are_joined_apart(likelihoods):
    some = [likelihoods[slug] for slug in ("superk_1to4", "coherent_csi", "xenonnt")]
    found = join_classes(some, confidence=(0.9, 0.95), n_toys=30, seed=1)
    assert set(found) == {"solar"}
    assert found["solar"].limits.observed["cls"][0] == pytest.approx(0.69, rel=0.02)  # XENONnT decides
    assert found["solar"].toy_p_value > 0.05
    with pytest.raises(ValueError, match="1 data sets: must be at least 2"):
        join([likelihoods["xenonnt"]], confidence=(0.9,), n_toys=5, seed=1)


def test_left_out_data_sets_take_no_part(conditions, ranges):
    some = select_sets(conditions, [0, 2])
    assert some.slugs == (conditions.slugs[0], conditions.slugs[2])
    model = DiscrepancyModel(some, False, ranges)
    x = np.array([0.1, 0, 0, 0, 0, 0, 0, 0.2])
    expected = multivariate_normal.logpdf(some.log_ratio, model.predict(x), model.covariance(x))
    assert model.log_likelihood(x) == pytest.approx(expected)
    fit = fit_model(DiscrepancyModel(conditions, False, ranges), n_starts=2, seed=1)
    rmse, density = cross_validate(DiscrepancyModel(conditions, False, ranges), fit, seed=1)
    assert 0.05 < rmse < 0.5
    assert np.isfinite(density)


def test_conditions_are_those_of_the_toys(scans, conditions):
    """Covariances widened for the number of toys (J. Hartlap et al., Astron. Astrophys. 464, 399 (2007))."""
    for i, one in enumerate(scans):
        rows = np.flatnonzero(conditions.owner == i)
        block = conditions.whitener[np.ix_(rows, rows)]
        widened = one.toy_covariance * (N_TOYS - 1) / (N_TOYS - len(rows) - 2)
        np.testing.assert_allclose(block @ widened @ block.T, np.eye(len(rows)), atol=1e-6)
        np.testing.assert_allclose(conditions.log_ratio[rows], one.log_ratio - one.toy_mean)


def test_a_shared_offset_has_closed_forms(conditions, ranges, monkeypatch):
    """Two data sets at ±0.5, one offset of prior 0.5: each is predicted by the other alone, shrunk."""
    two = select_sets(conditions, [0, 2])
    signs = np.where(two.owner == 0, 0.5, -0.5)
    two = replace(two, log_ratio=signs)
    model = DiscrepancyModel(two, False, ranges, fixed=(*PULLS, "tau"))
    ones = two.whitener.sum(axis=1)
    weight = np.array([np.sum(ones[two.owner == i] ** 2) for i in (0, 1)])
    fit = fit_model(model, n_starts=1, seed=1)
    from_other = (np.array([0.5, -0.5]) * weight / (weight + 4))[::-1]
    left = signs - from_other[two.owner]
    rmse, density = cross_validate(model, fit, seed=1)
    assert rmse == pytest.approx(np.sqrt(np.mean(left**2)), rel=1e-4)
    exact = -0.5 * (np.sum((two.whitener @ left) ** 2) + two.log_determinant.sum() + two.n * np.log(2 * np.pi))
    assert density == pytest.approx(exact / two.n, rel=1e-3)
    seen = []
    monkeypatch.setattr(model_comparison, "bootstrap_ks", lambda residuals, toys: seen.append(toys) or 0.5)
    metrics = measure(model, fit, seed=1)
    np.testing.assert_allclose(seen[0] @ ones, 0, atol=1e-8)
    assert np.sum(seen[0] ** 2) / len(seen[0]) == pytest.approx(two.n - 1, rel=0.1)
    assert metrics.n_effective == pytest.approx(weight.sum() / (weight.sum() + 4))
    assert metrics.chi2_dof == pytest.approx(metrics.chi2 / (two.n - metrics.n_effective))


def test_toys_of_a_joint_fit_scatter_about_its_pulls(likelihoods, monkeypatch):
    seen = []
    monkeypatch.setattr(joint_module, "_compare", lambda *given: seen.append(given) or np.ones(given[2].shape[:-1]))
    join([likelihoods["superk_1to4"], likelihoods["coherent_csi"]], confidence=(0.9,), n_toys=4000, seed=1)
    both, _, toys, centres = seen[1]
    pulls = both.fit(np.concatenate([likelihoods[slug].data for slug in ("superk_1to4", "coherent_csi")])).pulls
    assert abs(pulls[~both.is_free]).max() > 0.2
    assert (centres[:, both.is_free] == pulls[both.is_free]).all()
    away = centres[:, ~both.is_free] - pulls[~both.is_free]
    np.testing.assert_allclose(away.mean(axis=0), 0, atol=0.07)
    np.testing.assert_allclose(away.std(axis=0), 1, atol=0.05)
    assert len(toys) == 4000


def evidences(base, eft, moment, has_converged=True):
    """A comparison by its three evidences, each with an error of 0.3."""
    base, eft, moment = (EvidenceResult(value, 0.3, 50, 1, np.zeros((0, 1))) for value in (base, eft, moment))
    return ComparisonResult(
        "observed",
        ("a",),
        moment=moment,
        baseline=Made(evidence=base, metrics=Made(aic=1.0, n_parameters=8)),
        eft=Made(
            evidence=eft,
            metrics=Made(aic=15.0, n_parameters=20),
            prior_dominated=("gamma",),
            posterior=Made(has_converged=has_converged),
        ),
    )


@pytest.mark.parametrize(
    ("given", "code"),
    [
        ((0, -4, -1), "baseline_preferred"),
        ((0, 4, 1), "eft_preferred"),
        ((0, 4, 3.8), "moment_preferred"),
        ((0, -4, 3), "moment_preferred"),
        ((0, 0.5, 0.2), "undecided"),
        ((0, -0.5, -3), "undecided"),
        ((0, 0.8, -1), "undecided"),
    ],
)
def test_the_eft_must_beat_the_baseline_with_and_without_a_moment(given, code):
    found, sentence = describe_comparison([evidences(*given)], load_report())
    assert found == code
    assert f"lnK (EFT over baseline): observed {given[1]:.1f} ± 0.4" in sentence
    assert f"Baseline with one moment over baseline: observed {given[2]:.1f} ± 0.4" in sentence
    assert "AIC changes by +14.0 for 12 further parameters, and 1 of the report's 10" in sentence
    assert "onverged" not in sentence


def test_the_verdict_says_where_walkers_have_not_converged():
    sentence = describe_comparison([evidences(0, -4, -1, has_converged=False)], load_report())[1]
    expected = " Not converged: the walkers of emcee in the EFT on observed; draws of nested sampling are used."
    assert sentence.endswith(expected)


def execute(conditions, ranges, monkeypatch, *, residuals, aic=0.0, whole=(0.1, 1.0), sets=(0, 2), **values):
    """The falsification line with a reduced fit by hand: residuals, Δ(−2 ln L) and parameters; RMSE and size of the
    whole EFT's residuals."""
    some = select_sets(conditions, list(sets))
    eft, reduced, base = (
        DiscrepancyModel(some, flag, ranges, fixed)
        for flag, fixed in ((True, ()), (True, falsification.FALSIFIED), (False, ()))
    )
    u = np.concatenate([np.linspace(0, 1, np.sum(some.owner == i)) for i in range(len(sets))])
    before, after = (size * 0.1 * np.sin(5 * u) for size in (whole[1], 1.0))
    after = np.where(u == 0, residuals[1] * (0.5 - some.owner), after * np.where(some.owner == 0, residuals[0], 1))
    fit = Made(x=point(reduced, **values), minus_two_log_likelihood=100 + aic, residuals=after)
    monkeypatch.setattr(falsification, "fit_model", lambda *_, **__: fit)
    comparison = Made(
        eft=Made(
            fit=Made(x=point(eft), minus_two_log_likelihood=100.0, residuals=before),
            metrics=Made(aic=-500.0, rmse=whole[0]),
        ),
        baseline=Made(fit=Made(x=point(base), residuals=before)),
    )
    covariances = {slug: 0.04 * np.eye(np.sum(some.owner == i)) for i, slug in enumerate(some.slugs)}
    return falsify(some, ranges, comparison, covariances, load_report(), seed=1)


@pytest.mark.parametrize(
    ("given", "fires"),
    [
        ({"residuals": (1, 0)}, True),
        ({"residuals": (1, 0), "aic": 12.5}, False),
        ({"residuals": (1, 0), "whole": (0.05, 1.0)}, False),
        ({"residuals": (-1, 0)}, False),  # the curves no longer run together
        ({"residuals": (1, 3.0), "whole": (10.0, 1.0)}, False),  # the lowest limits part
        ({"residuals": (1, 0), "sets": (0,)}, None),
    ],
)
def test_the_second_rule_fires_where_nothing_is_lost(conditions, ranges, monkeypatch, given, fires):
    found = execute(conditions, ranges, monkeypatch, **given)
    assert found.second_rule is fires
    shown = format_table(tabulate_falsification({"observed": found})).iloc[0]
    assert shown.iloc[-1] == {True: "yes", False: "no", None: "not executable"}[fires]
    if fires:
        assert shown["Δlog10 μ left, EFT → zero (baseline)"].count("none beyond the errors") == 3


@pytest.mark.parametrize(
    ("values", "within"),
    [
        ({}, (True, True)),
        ({"offset": 0.15}, (True, True)),
        ({"offset": 0.25}, (False, True)),
        ({"offset": -0.25}, (False, True)),
        ({"theta_Coh": 0.5, "tau_c": 1e-3}, (True, False)),
    ],
)
def test_the_first_rule_asks_for_limits_and_slopes(conditions, ranges, monkeypatch, values, within):
    lowest = {"x_bend": conditions.energy[0]}
    found = execute(conditions, ranges, monkeypatch, residuals=(1, 0), **lowest | values)
    assert found.within[conditions.slugs[0]] == within
    assert found.first_rule == all(all(pair) for pair in found.within.values())
    assert execute(conditions, ranges, monkeypatch, residuals=(1, 0), aic=16.0, **lowest).first_rule is False


def test_relations_are_those_of_the_slope_and_the_logarithm(conditions, ranges):
    model = DiscrepancyModel(conditions, True, ranges)
    bend = np.exp(np.random.default_rng(1).uniform(np.log(0.1), np.log(4000), 300))
    samples = np.tile(point(model, alpha_thr=0.5), (300, 1))
    samples[:, EFT.index("x_bend")] = bend
    for name in ("k_STG", "beta_TPR", "energy_scale", "rho_Recon", "quenching", "k_TBN"):
        samples[:, EFT.index(name)] = 1e-9 * np.random.default_rng(2).normal(size=300)
    found = relate_thresholds(conditions, ranges, Made(eft=Made(samples=samples, sd=samples.std(axis=0))))
    first = np.flatnonzero(conditions.owner == 0)[:2]
    energy = conditions.energy[first]
    mu = np.exp(conditions.log_expected[first]) * (1 + 0.5 * np.log(1 + energy / bend[:, None]))
    slope = np.diff(mu, axis=1)[:, 0] / np.diff(energy)
    slug = conditions.slugs[0]
    assert found.k_thr_x_bend[slug] == pytest.approx(np.corrcoef(slope, np.log(bend))[0, 1], rel=1e-5)
    assert found.k_thr_x_bend_covariance[slug] == pytest.approx(np.cov(slope, np.log(bend))[0, 1], rel=1e-5)


def test_too_few_distinct_draws_are_not_weighed(compared, ranges, monkeypatch):
    drawn, found = compared
    anew = EvidenceResult(7.0, 0.1, 50, 1, np.zeros((0, 20)))
    monkeypatch.setattr(falsification, "run_nested", lambda *_, **__: anew)
    monkeypatch.setattr(falsification, "fit_model", lambda *_, **__: found.eft.fit)
    for n, is_new in ((10, True), (2000, False)):
        draws = np.tile(
            DiscrepancyModel(drawn, True, ranges).transform(np.random.default_rng(1).uniform(0.45, 0.55, (n, 20))),
            (2000 // n, 1),
        )
        eft = replace(found.eft, evidence=replace(found.eft.evidence, samples=draws))
        one = vary({"simulated": drawn}, ranges, [replace(found, eft=eft)], n_live=50, seed=1)["simulated"][5]
        assert one.name == "z halved"
        assert np.isnan(one.n_effective) == is_new
        assert (one.log_bayes_factor == 7.0 - found.baseline.evidence.log_evidence) == is_new


def test_the_error_of_the_integral_is_that_of_its_nodes(conditions, ranges, monkeypatch):
    base = DiscrepancyModel(conditions, False, ranges)
    found = []
    for n_nodes in (8, 32, 1024):
        monkeypatch.setattr(model_comparison, "_N_NODES", n_nodes)
        found.append(model_comparison.integrate_baseline(base, seed=1))
    *coarse, exact = found
    for one in coarse:
        assert abs(one.log_evidence - exact.log_evidence) <= one.error
    assert 0 < exact.error < 1e-9 < coarse[1].error < 0.1 * coarse[0].error < 0.1


@pytest.mark.parametrize("values", [{"gamma": -1e3}, {"theta_Coh": 1e3}, {"xi_RL": -1e3}])
def test_parameters_at_which_a_factor_is_negative_are_refused(values, conditions, ranges):
    model = DiscrepancyModel(conditions, True, ranges)
    x = np.array([point(model), point(model, **values)])
    assert np.isfinite(model.predict(x)).all(axis=-1).tolist() == [True, False]
    assert np.isfinite(model.log_likelihood(x)).tolist() == [True, False]
    assert model.log_likelihood(x[1]) == -np.inf


def fit_few(model, *, n_starts, seed, start):
    """As `fit_model`, from fewer starts."""
    return fit_model(model, n_starts=n_starts // 4, seed=seed, start=np.atleast_2d(start)[:4])


def compare(conditions, ranges):
    """Models on these conditions by fewer starts and shorter chains than a notebook makes."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(model_comparison, "fit_model", fit_few)
        patch.setattr(model_comparison, "_FEWEST_STEPS", 100)
        (found,) = compare_models({"simulated": conditions}, ranges, n_live=60, sampler="emcee", seed=5)
    return found


@pytest.fixture(scope="module")
def three(conditions):
    """Conditions of three experiments of different kinds."""
    return select_sets(conditions, [3, 5, 7])


@pytest.fixture(scope="module")
def compared(three, ranges):
    """Models on data drawn from the baseline: a shared offset and a small random effect."""
    base = DiscrepancyModel(three, False, ranges)
    truth = np.array([0.0, 0, 0, 0, 0, 0, 0, 0.05])
    rng = np.random.default_rng(11)
    drawn = replace(three, log_ratio=rng.multivariate_normal(base.predict(truth), base.covariance(truth)))
    return drawn, compare(drawn, ranges)


def test_data_from_the_baseline_prefer_the_baseline(compared):
    _, found = compared
    assert found.log_bayes_factor[0] < 0
    assert found.eft.metrics.aic > found.baseline.metrics.aic
    assert found.eft.drawn_by == "emcee"
    assert len(found.eft.prior_dominated) >= 2
    assert abs(found.baseline.mean[0]) < 4 * found.baseline.sd[0]
    again = ComparisonResult.from_dict(found.without_samples().to_dict())
    assert again.log_bayes_factor == found.log_bayes_factor
    assert again.eft.prior_dominated == found.eft.prior_dominated


def draw_ratios(scan, likelihood, theta, n_toys, rng):
    """Log ratios (n_toys, n) of limits from counts drawn with θ, as conditions have them."""
    model = likelihood.model
    used = likelihood.above(np.searchsorted(likelihood.experiment.edges, scan.threshold - 1e-9))
    nothing = np.zeros((n_toys, len(model.nuisances)))
    toys = model.draw(np.full(n_toys, theta), nothing, rng)
    centres = rng.standard_normal(nothing.shape) * ~model.is_free
    found = model.fit(toys[:, None], used=used, centres=centres[:, None]).theta / scan.sigma
    limit, at_zero = (CONSTRUCTIONS["cls"].gaussian(x, 0.9)[1] for x in (found, np.zeros(1)))
    return np.log(limit / at_zero) / 2 - scan.toy_mean


def test_simulated_counts_without_a_moment_fit_the_covariance_of_their_toys(scans, likelihoods):
    """Drawn as counts, not as limits: χ² of each data set by the χ² law, in the mean and in its tail."""
    for one in scans:
        y = draw_ratios(one, likelihoods[one.slug], 0.0, 400, np.random.default_rng(6))
        values, n = np.einsum("ti,ij,tj->t", y, np.linalg.inv(one.toy_covariance), y), len(one.threshold)
        assert values.mean() / n == pytest.approx(1, abs=0.12), one.slug
        assert 0.02 < np.mean(values > chi2.ppf(0.95, n)) < 0.09, one.slug  # 0.05 ± 0.011, covariances of 1000 toys
        assert np.quantile(values, 0.95) / chi2.ppf(0.95, n) == pytest.approx(1, abs=0.25), one.slug


def test_data_from_the_baseline_falsify_the_eft_by_its_own_rules(compared, ranges, monkeypatch):
    monkeypatch.setattr(falsification, "fit_model", fit_few)
    drawn, found = compared
    covariances = {slug: 0.04 * np.eye(np.sum(drawn.owner == i)) for i, slug in enumerate(drawn.slugs)}
    report = load_report()
    ended = falsify(drawn, ranges, found, covariances, report, seed=1)
    assert ended.delta_chi2 > -0.5
    assert ended.delta_aic == pytest.approx(ended.delta_chi2 - 10)
    assert ended.first_rule
    strict = {**report, "report": {**report["report"], "falsification_deterioration_percent": -1e6}}
    assert not falsify(drawn, ranges, found, covariances, strict, seed=1).first_rule
    related = relate_thresholds(drawn, ranges, found)
    assert set(related.k_thr_x_bend) == set(drawn.slugs)
    assert (np.abs(list(related.k_thr_x_bend.values())) <= 1).all()
    assert related.rho_recon_sd[0] == pytest.approx(found.eft.sd[EFT.index("rho_Recon")])
    assert related.rho_recon_sd[1] == pytest.approx(related.rho_recon_sd[0] * np.sqrt(1 - related.scale_rho_recon**2))


def test_large_terms_put_in_are_preferred_and_measured(three, ranges):
    eft = DiscrepancyModel(three, True, ranges)
    truth = point(eft, tau=0.03, eta_Damp=0.45, alpha_thr=0.6, mu0=4e-11, x_bend=5.0)
    rng = np.random.default_rng(4)
    found = compare(
        replace(three, log_ratio=rng.multivariate_normal(eft.predict(truth), eft.covariance(truth))), ranges
    )
    assert found.log_bayes_factor[0] > 5
    j = EFT.index("mu0")
    assert abs(found.eft.mean[j] - 4e-11) < 4 * found.eft.sd[j]
    assert "mu0" not in found.eft.prior_dominated
    assert found.eft.width.max() > 0.8  # a moment says nothing of some


def test_metrics_are_those_of_the_fit(compared, ranges):
    drawn, found = compared
    base = DiscrepancyModel(drawn, False, ranges)
    metrics = measure(base, found.baseline.fit, seed=1)
    r = found.baseline.fit.residuals
    assert metrics.rmse == pytest.approx(np.sqrt(np.mean(r**2)))
    assert metrics.chi2 == pytest.approx(r @ np.linalg.solve(base.covariance(found.baseline.fit.x), r))
    assert metrics.aic == pytest.approx(found.baseline.fit.minus_two_log_likelihood + 16)
    assert metrics.bic == pytest.approx(metrics.aic - 16 + 8 * np.log(drawn.n_independent))
    assert metrics.ks_p > 0.01


def test_a_covariate_changed_changes_the_evidence_as_draws_of_the_prior_find(compared, ranges):
    drawn, found = compared
    eft = replace(found.eft, evidence=replace(found.eft.evidence, samples=found.eft.posterior.samples))
    several = vary({"simulated": drawn}, ranges, [replace(found, eft=eft)], n_live=50, seed=1)["simulated"]
    as_they_are, *changed, wide = several
    assert as_they_are.delta_aic == pytest.approx(as_they_are.delta_chi2 + 24)
    assert as_they_are.log_bayes_factor == found.log_bayes_factor[0]
    assert wide.delta_chi2 <= as_they_are.delta_chi2 + 0.5
    model = DiscrepancyModel(drawn, True, ranges)
    data, middle = drawn.log_ratio[None], model.transform(np.full((1, 20), 0.5))

    def weigh_prior(model):
        return weigh(model, data, middle, np.random.default_rng(2))[0][0]

    before = weigh_prior(model)
    by_name = {one.name: one for one in changed}
    for name, change in (("G_src turned round", lambda g: g.max() + g.min() - g), ("z halved", lambda z: z / 2)):
        one, covariates = by_name[name], drawn.covariates.copy()
        column = covariates[:, COVARIATES.index(name.split()[0])]
        column[:] = change(column)
        bayes = weigh_prior(replace(model, conditions=replace(drawn, covariates=covariates))) - before
        away = one.log_bayes_factor - as_they_are.log_bayes_factor - bayes
        if name == "z halved":  # sampled anew: few draws are left
            assert np.isnan(one.n_effective)
            assert abs(away) < 3 * np.hypot(one.error, as_they_are.error)
        else:
            assert one.n_effective > 200
            assert abs(away) < 0.1
    bayes = weigh_prior(replace(model, ranges=choose_ranges(load_report(), "wide"))) - before
    away = wide.log_bayes_factor - as_they_are.log_bayes_factor - bayes
    assert abs(away) < 3 * np.hypot(wide.error, as_they_are.error)


N_DRAWS, N_REPEATS = 300_000, 200


def weigh(model, data, truths, rng, names=()):
    """Evidence (t,), effective draws (t,), and of the parameters `names` posterior distribution functions at the truths
    (t, n_names) and widths over the prior's, of data sets (t, n): by draws of the prior, weighted by their likelihood.
    A second way to all of them."""
    c = model.conditions
    first = np.searchsorted(c.owner, np.arange(len(c.slugs)))
    ones = c.whitener.sum(axis=1)
    weight = np.add.reduceat(ones**2, first)
    white_data = data @ c.whitener.T
    along_data = np.add.reduceat(white_data * ones, first, axis=1)
    columns = [model.names.index(name) for name in names]
    total, squares = np.zeros((2, len(data), 1))
    below, first_moment, second_moment = np.zeros((3, len(data), len(columns)))
    reference = model.log_likelihood(truths[0])
    for _ in range(N_DRAWS // 4_000):
        cube = rng.uniform(size=(4_000, len(model.names)))
        x = model.transform(cube)
        white = np.broadcast_to(model.predict(x), (len(x), c.n)) @ c.whitener.T
        variance = model.shared_variance(x)
        shrunk = variance / (1 + variance * weight)
        along = np.add.reduceat(white * ones, first, axis=1)
        chi2 = (white_data**2).sum(axis=1)[:, None] + (white**2).sum(axis=1) - 2 * white_data @ white.T
        chi2 -= along_data**2 @ shrunk.T + (shrunk * along**2).sum(axis=1) - 2 * along_data @ (shrunk * along).T
        log_l = -0.5 * (
            chi2 + np.log(1 + variance * weight).sum(axis=1) + c.log_determinant.sum() + c.n * np.log(2 * np.pi)
        )
        if not total.any():
            one = replace(model, conditions=replace(c, log_ratio=data[0]))
            np.testing.assert_allclose(log_l[0, :5], one.log_likelihood(x[:5]), rtol=1e-8)
        w = np.exp(log_l - reference)
        total += w.sum(axis=1, keepdims=True)
        squares += (w**2).sum(axis=1, keepdims=True)
        cube, x = cube[:, columns], x[:, columns]
        first_moment += w @ cube
        second_moment += w @ cube**2
        for below_t, w_t, truth in zip(below, w, truths[:, columns], strict=True):
            heavy = w_t > 1e-9 * w_t.max()
            below_t += w_t[heavy] @ (x[heavy] < truth)
    log_evidence = np.log(total[:, 0] / N_DRAWS) + reference
    width = np.sqrt(second_moment / total - (first_moment / total) ** 2) * np.sqrt(12)
    return log_evidence, (total**2 / squares)[:, 0], below / total, width


@pytest.fixture(scope="module")
def repeated(three, ranges):
    """Two hundred data sets of three experiments from either model, truths drawn from its prior."""
    models = {is_eft: DiscrepancyModel(three, is_eft, ranges) for is_eft in (True, False)}
    rng, found = np.random.default_rng(17), {}
    for is_eft, model in models.items():
        truths = model.transform(rng.uniform(size=(N_REPEATS, len(model.names))))
        data = np.array([rng.multivariate_normal(model.predict(x), model.covariance(x)) for x in truths])
        found[is_eft] = truths, data
    return models, found


@pytest.mark.slow
def test_what_is_put_in_comes_back_as_often_as_it_should(repeated):
    """Parameters and data drawn together: credible intervals hold the truth at their nominal rate, all twenty of them
    (calibration by simulation, S. Talts et al., arXiv:1804.06788); few parameters are measured, and those are."""
    models, found = repeated
    truths, data = found[True]
    _, effective, below, width = weigh(models[True], data, truths, np.random.default_rng(18), EFT)
    enough = effective > 30
    assert enough.mean() > 0.9
    for level in (0.68, 0.95):
        covered = (np.abs(below[enough] - 0.5) <= level / 2).mean(axis=0)
        error = np.sqrt(level * (1 - level) / enough.sum())
        assert (np.abs(covered - level) < 3.5 * error).all(), dict(zip(EFT, covered.round(2), strict=True))
    measured = {name for name, one in zip(EFT, width[enough].mean(axis=0), strict=True) if one < 0.8}
    assert measured == {"offset", "mu0", "x_bend"}


@pytest.mark.slow
def test_data_prefer_the_model_they_are_from(repeated):
    """Evidence by draws of the prior. From the baseline, a Bayes factor above ten for the EFT has a chance below a
    tenth, whatever the models."""
    models, found = repeated
    bayes = {}
    for source, (_, data) in found.items():
        middle = {
            is_eft: model.transform(np.full((N_REPEATS, len(model.names)), 0.5)) for is_eft, model in models.items()
        }
        eft, base = (
            weigh(models[is_eft], data, middle[is_eft], np.random.default_rng(19))[0] for is_eft in (True, False)
        )
        bayes[source] = eft - base
    assert np.mean(bayes[False] < 0) > 0.9
    assert np.mean(bayes[False] > np.log(10)) < 0.05
    assert np.mean(bayes[True] > 0) > 0.7


def test_both_samplers_agree_with_draws_of_the_prior(compared, ranges):
    drawn, one = compared
    for is_eft, result in ((True, one.eft), (False, one.baseline)):
        model = DiscrepancyModel(drawn, is_eft, ranges)
        truth = model.transform(np.full((1, len(model.names)), 0.5))
        log_evidence, effective, below, width = weigh(
            model, drawn.log_ratio[None], truth, np.random.default_rng(2), model.names
        )
        assert effective[0] > 300
        assert abs(result.evidence.log_evidence - log_evidence[0]) < 4 * np.hypot(
            result.evidence.error, effective[0] ** -0.5
        )
        assert result.drawn_by == ("emcee" if is_eft else "quadrature")
        cube = norm.cdf(model.untransform(result.samples))
        np.testing.assert_allclose(cube.std(axis=0) * np.sqrt(12), width[0], atol=0.1)
        np.testing.assert_allclose((cube < 0.5).mean(axis=0), below[0], atol=0.1)


@pytest.mark.slow
def test_offset_is_recovered_as_often_as_it_should(conditions, ranges):
    """Two hundred toys of the baseline: Δ(−2 ln L) of the true offset below 3.84 in 95 % of them."""
    base = DiscrepancyModel(conditions, False, ranges)
    held = DiscrepancyModel(conditions, False, ranges, fixed=("offset",))
    truth = np.array([0.0, 0, 0, 0, 0, 0, 0, 0.15])
    rng = np.random.default_rng(7)
    covered = 0
    for _ in range(200):
        y = rng.multivariate_normal(base.predict(truth), base.covariance(truth))
        free = fit_model(replace(base, conditions=replace(conditions, log_ratio=y)), n_starts=0, seed=1, start=truth)
        at_truth = fit_model(
            replace(held, conditions=replace(conditions, log_ratio=y)), n_starts=0, seed=1, start=truth[1:]
        )
        covered += at_truth.penalised - free.penalised <= 3.84
    assert 0.89 <= covered / 200 <= 0.985


@pytest.mark.slow
def test_a_moment_put_into_counts_is_covered(scans, likelihoods, ranges):
    """Two hundred toys of counts with 2e-11 μ_B. With nothing else free its intervals hold it at their rate; the priors
    of offset, pulls and random effect, of which these counts have none, make them wider than they need be."""
    some = [one for one in scans if one.slug in ("lz_ws2022", "pandax4t_run1", "xenonnt")]
    conditions = gather_conditions(some, likelihoods, load_covariates(), n_toys=N_TOYS)
    rng = np.random.default_rng(23)
    data = np.concatenate([draw_ratios(one, likelihoods[one.slug], 4.0, 200, rng) for one in some], axis=1)
    covered = {}
    for name, fixed in (("alone", (*BASELINE, *BEYOND_MOMENT)), ("moment", BEYOND_MOMENT), ("eft", ())):
        model = DiscrepancyModel(conditions, True, ranges, fixed)
        truths = np.tile(point(model, mu0=2e-11), (200, 1))
        _, effective, below, _ = weigh(model, data, truths, np.random.default_rng(24), ("mu0",))
        below = below[effective > 30, 0]
        assert len(below) > 190
        covered[name] = [np.mean(np.abs(below - 0.5) <= level / 2) for level in (0.68, 0.95)]
    assert (
        np.abs(np.subtract(covered["alone"], [0.68, 0.95])) < 3 * np.sqrt([0.68 * 0.32 / 200, 0.95 * 0.05 / 200])
    ).all()
    assert 0.78 < covered["moment"][0] < 0.94
    assert covered["moment"][1] > 0.97
    assert 0.84 < covered["eft"][0] < 0.97
    assert covered["eft"][1] > 0.98
