"""The report recomputed from its own numbers."""

import copy

import numpy as np
import pytest

from leptonfit.datafiles import InputError
from leptonfit.neutrino.experiments import SPECTRA, load_experiment
from leptonfit.neutrino.report_838 import load_covariates, load_report
from leptonfit.neutrino.scorecard import add_points, audit_report, rank_differences
from leptonfit.neutrino.sheets import load_published

SAMPLES, GLOBAL = "n_samples_total, over its 8 data sets", "global 90 % limit, with XENON in the list"

KEV, CONDITIONS = "(keVee), overlap", "n_conditions, on the bins of the spectra here"


def audit(report):
    experiments = {slug: load_experiment(slug) for slug in SPECTRA}
    rows = audit_report(report, experiments, load_published().set_index("name")["limit"].to_dict())
    return {row.claim: row for row in rows}


def test_every_recomputed_number_is_the_known_one():
    rows = audit(load_report())
    for claim, claimed, recomputed in (
        ("EFT total", "85.1", "85.2"), ("mainstream total", "70.0", "69.6"), ("difference of totals", "15.1", "15.6"),
        ("n_samples_total, over its 8 data sets", "12800", "11800 (table 1: 10500)"),
        ("BIC − AIC, EFT, k = 10", "80.3", "74.6 at n = 12800 (34.8 at 240)"),
        ("BIC − AIC, mainstream, k = 8", "79.3", "59.7 at n = 12800 (27.8 at 240)"),
        ("n implied by BIC − AIC, one data set", "the same for both models", "22697 and 149119"),
        ("ΔRMSE (%)", "-15.0", "-15.6"), ("lnK, beside −ΔBIC/2", "1.7 ± 0.5", "39.35"),
        ("ΔAIC implied by χ²/dof at 240", "79.7", "35.2"),
        ("falsification margin, beside ΔAIC/AIC", "≥ 5 %", "2.6 %"),
        ("two falsification thresholds on AIC", "ΔAIC < 2", "1 % of AIC is 30.1: 15 times as much"),
        ("global 90 % limit, with XENON in the list", "1.9e-11 μ_B", "XENONnT alone: 6.4e-12 μ_B"),
    ):  # fmt: skip
        assert (rows[claim].claimed, rows[claim].recomputed, rows[claim].standing) == (
            claimed,
            recomputed,
            "contradicted",
        )
    for claim in ("points of each row", "difference of each row", "ranking of differences",
                  f"thresholds of Borexino {KEV}",
                  f"thresholds of XENON/PandaX {KEV}", "thresholds of COHERENT (keV nuclear), overlap"):  # fmt: skip
        assert rows[claim].standing == "holds", claim
    for claim in (f"thresholds of GEMMA {KEV}", f"thresholds of CONUS/CONNIE {KEV}", f"thresholds of Super-K {KEV}",
                  "parameter economy, EFT above mainstream"):  # fmt: skip
        assert rows[claim].standing == "contradicted", claim
    assert rows["the same numbers for CONUS/CONNIE in eVee"].standing == "holds"
    for claim in ("quality gates I to IV", "hash of the package"):
        assert rows[claim].standing == "not verifiable"
    conditions = rows["n_conditions, on the bins of the spectra here"]
    assert (conditions.claimed, conditions.recomputed, conditions.standing) == ("240", "182", "not comparable")
    assert len(rows) == 28


@pytest.mark.parametrize(
    ("change", "claim", "standing"),
    [
        (lambda r: r["scorecard"]["totals"].__setitem__(0, 85.2), "EFT total", "holds"),
        (
            lambda r: r["report"].__setitem__("n_samples_total", 11800),
            "n_samples_total, over its 8 data sets",
            "holds",
        ),
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
    assert audit(report)[claim].standing != standing
    change(report)
    assert audit(report)[claim].standing == standing


def test_a_claim_changed_in_a_copy_of_the_data_changes_its_row(edited):
    folder = edited("../report_838.toml", "totals = [85.1, 70.0]", "totals = [85.1, 69.6]")
    rows = audit(load_report(data=folder))
    assert rows["mainstream total"].standing == "holds"
    assert rows["EFT total"].standing == "contradicted"


def test_points_and_ranks():
    points = add_points(load_report())
    np.testing.assert_allclose(points.sum(axis=0), [85.2, 69.6])
    assert rank_differences([3.0, 2.4, 2.4, 1.0]) == [1, 2, 2, 4]


def test_a_data_set_without_covariates_is_refused(edited):
    folder = edited("covariates_838.toml", "gemma = [1.0, 0.80, 0.02, 0.49, 0.56, 0.04]", "gemma = [1.0]")
    with pytest.raises(InputError, match=r"covariates_838.toml: gemma = \[1.0\]: must be 6 numbers, G_src"):
        load_covariates(data=folder)
