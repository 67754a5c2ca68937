"""The report recomputed from its own numbers."""

import copy
from types import SimpleNamespace as Made

import numpy as np
import pytest

from leptonfit.claims.claim import Claim
from leptonfit.claims.nu838.discrepancy import EFT
from leptonfit.claims.nu838.report_838 import load_covariates, load_report
from leptonfit.claims.nu838.scorecard import (
    add_points,
    audit_report,
    describe_scorecard,
    judge_results,
    rank_differences,
    score_models,
)
from leptonfit.datafiles import InputError
from leptonfit.neutrino.experiments import SIMULATED, SPECTRA, load_experiment
from leptonfit.neutrino.sheets import load_published

SAMPLES, GLOBAL = "n_samples_total, over its 8 data sets", "global 90 % limit, with XENON in the list"

KEV, CONDITIONS = "(keVee), overlap", "n_conditions, on the bins of the spectra here"


def audit(report):
    experiments = {slug: load_experiment(slug) for slug in (*SPECTRA, *SIMULATED)}
    rows = audit_report(report, experiments, load_published().set_index("name")["limit"].to_dict())
    return {row.name: row for row in rows}


def test_every_recomputed_number_is_the_known_one():
    rows = audit(load_report())
    for claim, claimed, recomputed in (
        ("EFT total", "85.1", "85.2"),
        ("mainstream total", "70.0", "69.6"),
        ("difference of totals", "15.1", "15.6"),
        ("n_samples_total, over its 8 data sets", "12800", "11800 (table 1: 10500)"),
        ("BIC − AIC, EFT, k = 10", "80.3", "74.6 at n = 12800 (34.8 at 240)"),
        ("BIC − AIC, mainstream, k = 8", "79.3", "59.7 at n = 12800 (27.8 at 240)"),
        ("n implied by BIC − AIC, one data set", "the same for both models", "22697 and 149119"),
        ("ΔRMSE (%)", "-15.0", "-15.6"),
        ("lnK, beside −ΔBIC/2", "1.7 ± 0.5", "39.35"),
        ("ΔAIC implied by χ²/dof at 240", "79.7", "35.2"),
        ("falsification margin, beside ΔAIC/AIC", "≥ 5 %", "2.6 %"),
        ("two falsification thresholds on AIC", "ΔAIC < 2", "1 % of AIC is 30.1: 15 times as much"),
        ("global 90 % limit, with XENON in the list", "1.9e-11 μ_B", "XENONnT alone: 6.4e-12 μ_B"),
    ):
        assert (rows[claim].stated, rows[claim].computed, rows[claim].verdict) == (claimed, recomputed, "contradicted")
    for claim in (
        "points of each row",
        "difference of each row",
        "ranking of differences",
        f"thresholds of Borexino {KEV}",
        f"thresholds of XENON/PandaX {KEV}",
        "thresholds of COHERENT (keV nuclear), overlap",
    ):
        assert rows[claim].verdict == "holds", claim
    for claim in (
        f"thresholds of GEMMA {KEV}",
        f"thresholds of CONUS/CONNIE {KEV}",
        f"thresholds of Super-K {KEV}",
        "parameter economy, EFT above mainstream",
    ):
        assert rows[claim].verdict == "contradicted", claim
    assert rows["the same numbers for CONUS/CONNIE in eVee"].verdict == "holds"
    for claim in ("quality gates I to IV", "hash of the package"):
        assert rows[claim].verdict == "not verifiable"
    conditions = rows["n_conditions, on the bins of the spectra here"]
    assert (conditions.stated, conditions.computed, conditions.verdict) == (
        "240",
        "269 on 9 measured spectra; 195 with at most 30 for each",
        "not comparable",
    )
    assert len(rows) == 28
    assert {row.source for row in rows.values()} == {"R_20250917_NU_838, version 1.2.1"}


@pytest.mark.parametrize(
    ("change", "claim", "standing"),
    [
        (lambda r: r["scorecard"]["totals"].__setitem__(0, 85.2), "EFT total", "holds"),
        (lambda r: r["report"].__setitem__("n_samples_total", 11800), "n_samples_total, over its 8 data sets", "holds"),
        (lambda r: r["metrics"].__setitem__("delta_rmse_percent", -15.6), "ΔRMSE (%)", "holds"),
        (lambda r: r["result"].__setitem__("lnK", [39.0, 0.5]), "lnK, beside −ΔBIC/2", "holds"),
        (lambda r: r["scorecard"]["dimension"][0]["points"].__setitem__(0, 10.7), "points of each row", "contradicted"),
        (
            lambda r: r["scorecard"]["dimension"][2].__setitem__("difference", 1.3),
            "difference of each row",
            "contradicted",
        ),
        (lambda r: r["scorecard"]["dimension"][9].__setitem__("rank", 2), "ranking of differences", "contradicted"),
        (lambda r: r["metrics"]["n_parameters"].__setitem__(0, 8), "parameter economy, EFT above mainstream", "holds"),
        (
            lambda r: r["result"]["mu_lim_90"].__setitem__(0, 5e-12),
            "global 90 % limit, with XENON in the list",
            "holds",
        ),
        (lambda r: r["metrics"]["aic"].__setitem__(1, 3045.4), "ΔAIC implied by χ²/dof at 240", "holds"),
    ],
)
def test_a_changed_claim_changes_its_row(change, claim, standing):
    report = copy.deepcopy(load_report())
    assert audit(report)[claim].verdict != standing
    change(report)
    assert audit(report)[claim].verdict == standing


def test_a_claim_changed_in_a_copy_of_the_data_changes_its_row(edited):
    folder = edited("../report_838.toml", "totals = [85.1, 70.0]", "totals = [85.1, 69.6]")
    rows = audit(load_report(data=folder))
    assert rows["mainstream total"].verdict == "holds"
    assert rows["EFT total"].verdict == "contradicted"


def test_points_and_ranks():
    points = add_points(load_report())
    np.testing.assert_allclose(points.sum(axis=0), [85.2, 69.6])
    assert rank_differences([3.0, 2.4, 2.4, 1.0]) == [1, 2, 2, 4]


@pytest.mark.parametrize(
    ("new", "said"),
    [
        ("xenonnt = [1.0]", r"covariates_838.toml: xenonnt = \[1.0\]: must be 6 numbers from -10 to 10, G_src"),
        ("xenonnt = [1.0, nan, 0.02, 0.49, 0.56, 0.04]", r"xenonnt\[1\] = nan: must be a number"),
        ("spare = [1.0, 0.80, 0.02, 0.49, 0.56, 0.04]", "xenonnt is missing"),
    ],
)
def test_bad_covariates_are_refused(edited, new, said):
    folder = edited("covariates_838.toml", "xenonnt = [0.0, 0.99, 0.05, 0.01, -0.57, 0.31]", new)
    with pytest.raises(InputError, match=said):
        load_covariates(data=folder)


def compared(
    *, names=EFT, selection="all data sets", dominated=(), lnk=(1.5, 0.1), aic=(-80.0, 0.0), cv=(0.1, 0.3), **given
):
    """Both models, by hand: every parameter at its claim, a tenth of it uncertain, but for those given."""
    report = load_report()
    claims = {name: one["claimed"][0] for name, one in report["parameter"].items()}
    claims |= {name: report["result"][name][0] for name in ("x_bend", "tau_c")}
    values = np.array([given.get(name, (claims.get(name, 0.0), abs(claims.get(name, 1.0)) / 10)) for name in names])
    both = [
        Made(
            fit=Made(names=several),
            mean=values[:, 0],
            sd=values[:, 1],
            prior_dominated=tuple(dominated),
            metrics=Made(aic=a, bic=1, rmse=0.1, r2=0.9, cv_rmse=error, chi2_dof=chi2, ks_p=0.5, n=60, n_parameters=k),
        )
        for a, error, chi2, k, several in zip(aic, cv, (2.0, 1.0), (20, 8), (names, names[:8]), strict=True)
    ]
    return Made(eft=both[0], baseline=both[1], selection=selection, log_bayes_factor=lnk, slugs=("a", "b", "c"))


def joint(p_value=0.5, moment=1.9):
    limits = Made(
        confidence=np.array([0.90, 0.95]),
        observed={"cls": np.array([moment**2, 2.3**2])},
        expected={"cls": np.array([[1.0, 1.5, 2.0, 2.5, 3.0]] * 2) ** 2},
    )
    return Made(limits=limits, toy_p_value=p_value)


def judged(one, whole=None, agreeing=None, spread=None, coherence=None):
    joined = whole, agreeing or whole
    return {row.name: row for row in judge_results(load_report(), one, joined, spread, coherence)}


@pytest.mark.parametrize(
    ("mean", "sd", "standing"),
    [
        (1.3, 0.3, "agrees"),
        (2.19, 0.2, "agrees"),
        (2.2, 0.2, "differs"),
        (5.0, 1.0, "differs"),
        (1.4, 0.66, "cannot be told"),
        (0.7, 0.4, "cannot be told"),
        (0.9, 0.4, "agrees"),
    ],
)
def test_a_parameter_agrees_where_its_posterior_holds_the_claim_and_not_zero(mean, sd, standing):
    assert judged(compared(mu0=(mean * 1e-11, sd * 1e-11)))["mu0"].verdict == standing


def test_what_the_prior_decides_is_not_measured():
    rows = judged(compared(dominated=("gamma", "x_bend"), tau_c=(60.0, 31.0)))
    assert [rows[name].verdict for name in ("gamma", "x_bend (keV)")] == ["not measured"] * 2
    assert rows["tau_c (keV)"].verdict == "cannot be told"
    assert rows["k_STG"].verdict == "agrees"


def test_every_result_is_there_whatever_could_be_computed():
    spread = Made(limits=Made(tau2=(0.46 * np.log(10)) ** 2, tau2_interval=np.log(10) ** 2 * np.array([0.09, 0.49])))
    whole = judged(compared(), joint(), None, spread, Made(coherence=0.1, null=np.array([-0.2, 0.2])))
    none = judged(compared())
    assert list(whole) == list(none)
    missing = ("mu_lim_90", "mu_lim_95", "PG_PTE", "Delta_log10_mu", "C_coh")
    assert [whole[name].verdict for name in missing] == ["agrees"] * 4 + ["differs"]
    assert whole["mu_lim_90"].computed == "1.9e-11 ± 5e-12"
    assert {(none[name].computed, none[name].verdict) for name in missing} == {("none", "cannot be told")}
    assert judged(compared(), joint(0.01))["PG_PTE"].verdict == "differs"
    assert judged(compared(), joint(moment=0.5))["mu_lim_90"].verdict == "differs"
    rows = judged(compared(), joint(0.01, moment=0.5), joint(0.9, moment=1.9))  # one data set disagrees with the others
    assert (rows["PG_PTE"].verdict, rows["mu_lim_90"].verdict) == ("differs", "agrees")


def test_metrics_of_other_data_are_not_compared_but_gains_are():
    rows = judged(compared())
    for name in (
        "RMSE (ln μ)",
        "R2",
        "AIC",
        "BIC",
        "CV error (ln μ)",
        "chi2_dof",
        "KS_p",
        "Delta_RMSE_vs_Mainstream (%)",
    ):
        assert rows[name].verdict == "not comparable", name
    assert (rows["AIC, EFT less baseline"].verdict, rows["lnK"].verdict) == ("agrees", "agrees")
    rows = judged(compared(aic=(-75.0, 0.0), lnk=(-3.0, 0.3)))
    assert (rows["AIC, EFT less baseline"].verdict, rows["lnK"].verdict) == ("differs", "differs")


def test_results_are_numerical_and_sums_arithmetic():
    rows = judged(compared())
    assert rows["mu0"].mark == "numerical"
    assert rows["n_samples_total, sum over its own list"].mark == "arithmetic"


def test_scores_are_shared_by_what_was_computed():
    scores = score_models(compared(dominated=EFT[:5], lnk=(np.log(3), 0.1)), joint(0.025))
    for name, pair in {
        "Explanatory power": (7.5, 2.5),
        "Predictiveness": (7.5, 2.5),
        "Goodness of fit": (5, 10),
        "Robustness": (7.5, 3.75),
        "Parameter economy": (10 * 8 / 28, 10 * 20 / 28),
        "Cross-sample consistency": (5, 5),
    }.items():
        assert scores[name] == pytest.approx(pair), name
    assert set(score_models(compared(cv=(np.nan, np.nan)), None)) == set(scores) - {
        "Predictiveness",
        "Cross-sample consistency",
    }


def with_verdict(verdict):
    return Claim("", "", "", "", "", verdict, "numerical")


def test_the_verdict_counts_what_stands():
    rows = [with_verdict(standing) for standing in ("holds", "holds", "not verifiable", "not comparable")]
    claims = [with_verdict(standing) for standing in ("agrees", "differs", "differs", "not comparable")]
    scores = {"Robustness": (5.6, 5.0), "Predictiveness": (5.4, 5.0)}
    code, sentence = describe_scorecard(rows, claims, scores, "all data sets")
    assert code == "consistent"
    assert (
        "Of 4 numbers audited, 0 are contradicted, 2 hold, 1 cannot be verified and 1 cannot be compared." in sentence
    )
    assert "on all data sets, 2 differ, 1 agree, 0 are not measured" in sentence
    assert sentence.endswith("ahead in 1: Robustness.")
    assert describe_scorecard([*rows, with_verdict("contradicted")], claims, scores, "all")[0] == "contradicted"
