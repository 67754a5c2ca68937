"""Notebooks at other parameters, by the runner and by plain papermill: what each must then say."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
import numpy as np
import pytest
from numpy.testing import assert_array_equal

from leptonfit.datafiles import InputError
from leptonfit.inference.profile import ProfileResult
from leptonfit.inference.result import encode
from leptonfit.workbook import pairs, parameters, run, store, sweep
from leptonfit.workbook.execution import execute_notebook

REFERENCE = 3.043233053


pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def scans(root, executed, tmp_path_factory):
    """02 at its defaults, the report's tight σ; and by the runner, in a copy of the checkout, at others."""
    copy = tmp_path_factory.mktemp("checkout")
    for folder in ("notebooks", "data"):
        shutil.copytree(root / folder, copy / folder)
    loose = ["sigma_m_model=1e-5", "sigma_g_model=1e-7", "beta_min=2.95", "n_beta=31"]
    edge = ["beta_min=0.8", "beta_max=1.4", "n_beta=7", "n_starts=4"]
    found = {"tight": executed.load("02_profile_scan")}
    for tag, assignments in (("loose", loose), ("edge", edge), ("again", edge)):
        assert run.execute(run.check_request(["02_profile_scan"], assignments, tag=tag, root=copy)) == []
        found[tag] = store.load("02_profile_scan", copy / "reports" / tag)
    return found


@pytest.mark.parametrize(("tag", "n"), [("tight", 41), ("loose", 31)])
def test_02_at_the_reports_two_sigmas(scans, tag, n):
    document = scans[tag]
    results = document["results"]
    profile, verdict = results["profile"], results["assessment"]
    assert profile.x.shape == (n, 11)
    assert profile.chi2_min.max() <= 1e-6
    assert profile.trusted.all()
    assert document["verdict_code"] == verdict.code == "not_identified"
    assert (verdict.minimum, verdict.in_tension, verdict.contains_reference) == (None, None, True)
    for level in ("0.68", "0.95"):
        within, released = profile.identified_set[level], profile.released_set[level]
        assert within.intervals == pytest.approx(np.array([[1.11487, 1.97664e8]]), rel=1e-4)
        assert [end.reason for end in (*within.below, *within.above)] == ["box", "box"]
        held_by = {bound.parameter: bound.is_physical for bound in within.below[0].held_by}
        assert held_by == {"R_e": False, "A_e": True, "R_mu": False, "A_mu": False}
        assert released.intervals.tolist() == [[0.0, np.inf]]
        assert [end.reason for end in (*released.below, *released.above)] == ["physical_own", "scan_end"]
    assert str(REFERENCE) in document["verdict"]
    assert [(scan.chi2_min < 1e-6).sum() for scan in results["report_scans"]] == [41, 31]
    assert [round(scan.offset, 4) for scan in results["report_scans"]] == [0.0968, 0.1368]


def test_02_c_mu_at_the_start_of_the_tight_scan(scans):
    profile = scans["tight"]["results"]["profile"]
    assert 237.26 <= profile.x[0, profile.names.index("c_mu")] <= 318.63


def test_02_below_the_edge(scans):
    results = scans["edge"]["results"]
    assert scans["edge"]["verdict_code"] == "not_identified"
    profile = results["profile"]
    low, high = profile.identified_set["0.95"].intervals[0]
    assert low == pytest.approx(1.11487, abs=1e-4)
    assert high == pytest.approx(1.97664e8, rel=1e-4)
    beta, chi2 = profile.grid, profile.chi2_min
    assert (chi2[beta < 1.1148] > 1).all()
    assert (chi2[beta > 1.1149] <= 1e-6).all()
    ladder = results["sigma_ladder"].chi2_min
    assert (np.diff(ladder, axis=0) <= 1e-9 * ladder[:-1]).all()
    assert profile.on_bounds[0, profile.names.index("R_e")]


def test_02_twice_gives_the_same_numbers_to_the_last_digit(scans):
    first, second = (encode(scans[tag]["results"]) for tag in ("edge", "again"))
    assert json.dumps(first) == json.dumps(second)
    assert scans["edge"]["verdict"] == scans["again"]["verdict"]


def test_02_the_profile_comes_back_as_a_result(scans):
    profile = scans["edge"]["results"]["profile"]
    assert isinstance(profile, ProfileResult)
    assert profile.released_set["0.95"].intervals[0, 1] == np.inf
    assert profile.trusted.dtype == bool


@pytest.fixture
def few_closures(checkout):
    """A checkout with little to compute, for tests of what reads it: 05 compares two closures and asks one for its
    model error, and no notebook makes more than four starts."""
    (checkout / "data" / "closures.toml").write_text('[[block]]\nmeaning = "two frames"\nframe = ["stream", "lab"]\n')
    path = checkout / "notebooks" / "05_closures.py"
    asked, one = 'asked = [Choice(), Choice(radius="mean"),', "asked = [Choice()]  # ["
    assert asked in path.read_text()
    path.write_text(path.read_text().replace(asked, one))
    for path in (checkout / "notebooks").glob("*.py"):
        source = path.read_text().replace("{quick: 16, ", "{quick: 4, ")
        path.write_text(source.replace("{quick: 2000, ", "{quick: 100, "))
    store.write_checksums(checkout / "data")
    return checkout


@pytest.mark.parametrize("notebook", ["01_multi_start", "02_profile_scan", "06_verdict"])
def test_plain_papermill_with_a_new_sigma(notebook, root, few_closures):
    checkout = few_closures
    shutil.copytree(root / "lib", checkout / "lib", ignore=shutil.ignore_patterns("__pycache__"))
    environment = {k: v for k, v in os.environ.items() if k not in (store.REPORT_VARIABLE, "LEPTONFIT_DATA")}
    done = subprocess.run(
        [
            Path(sys.executable).parent / "papermill",
            f"notebooks/{notebook}.ipynb",
            "out.ipynb",
            "-p",
            "sigma_m_model",
            "1e-5",
        ],
        env={**environment, "PYTHONPATH": str(checkout / "lib")},
        cwd=checkout,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    for name in {notebook, *parameters.upstream(notebook)}:  # what it reads is made on the way
        document = store.load(name, checkout / "reports" / store.INTERACTIVE)
        assert document["parameters"]["sigma_m_model"] == 1e-5


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (["sigma_m_model", "-1"], "sigma_m_model = -1: must be a number from 1e-12 to 1000"),
        (["n_beta", "2.5"], "n_beta = 2.5: must be an integer from 2 to 1001"),
        (["beta_min", "4"], "beta_min = 4: must satisfy beta_min < beta_max, with beta_max = 3.25"),
        (["sigma_model", "1e-5"], "sigma_model = 1e-05: unknown parameter, the nearest is sigma_m_model"),
    ],
)
def test_plain_papermill_refuses_what_the_command_line_refuses(given, message, root, tmp_path):
    done = subprocess.run(
        [
            Path(sys.executable).parent / "papermill",
            "notebooks/02_profile_scan.ipynb",
            tmp_path / "out.ipynb",
            "-p",
            *given,
        ],
        env={**os.environ, store.REPORT_VARIABLE: str(tmp_path)},
        cwd=root,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode != 0
    assert message in done.stderr
    assert not (tmp_path / "results").exists()


def test_01_at_a_new_sigma(checkout):
    request = run.check_request(["01_multi_start"], ["sigma_m_model=1e-5", "n_starts=5"], root=checkout)
    assert run.execute(request) == []
    document = store.load("01_multi_start", checkout / "reports" / "latest")
    found = document["results"]["multistart"]
    assert len(found.chi2) == found.reproduced == 5
    assert (np.diff(found.chi2) >= 0).all()
    assert found.converged.all()
    assert (found.starts != found.x).any()
    assert document["verdict_code"] == document["results"]["band"].code == "not_identified"


def test_03_at_a_range_of_its_own(checkout):
    assignments = ["sigma_m_model=1e-5", "beta_min=0.9", "beta_max=1.5", "n_beta=9", "n_starts=6"]
    request = run.check_request(["03_c_mu_calibration"], assignments, root=checkout)
    assert run.execute(request) == []
    results = store.load("03_c_mu_calibration", checkout / "reports" / "latest")["results"]
    feasible, fits = results["feasible"], results["fits"]
    assert feasible.joint.shape == (9, 2)
    assert_array_equal(feasible.is_feasible, fits.grid > 1.11487)
    assert_array_equal(np.isfinite(feasible.joint[:, 0]), feasible.is_feasible)
    assert_array_equal(fits.chi2_min < 1e-6, feasible.is_feasible)


def test_two_executions_normalise_to_the_same_bytes(tmp_path):
    written = []
    for path in (tmp_path / "first.ipynb", tmp_path / "second.ipynb"):
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv(store.REPORT_VARIABLE, str(tmp_path))
            assert execute_notebook("11_limits", {}, path) is None
        written.append(nbformat.writes(pairs.normalise(nbformat.read(path, as_version=4))))
    assert written[0] == written[1]
    assert " at 0x" not in written[0]


def test_06_runs_what_it_needs_and_judges_by_rule_every_closure_run_so_far(few_closures):
    checkout, data = few_closures, few_closures / "data"
    few = ["n_starts=4", "n_beta=3"]
    names = ["01_multi_start", "02_profile_scan", "03_c_mu_calibration", "06_verdict"]
    strict = [*few, "closure=lab", "sigma_m_model=1e-5"]
    assert run.execute(run.check_request(names, strict, jobs=2, root=checkout, data=data)) == []
    report = checkout / "reports" / "latest"
    rejected = store.load("06_verdict", report)
    assert rejected["verdict_code"] == "rejected"
    assert [claim.name for claim in rejected["results"]["claims"] if claim.stands] == ["null"]
    with pytest.raises(
        InputError, match=r"06_verdict reads 01_multi_start, and .* was run with sigma_m_model = 1e-05, not 1e-06"
    ):
        run.check_request(["06_verdict"], ["closure=stream"], root=checkout, data=data)
    assert store.load("06_verdict", report) == rejected, "a refused run loses nothing"
    parameter, requests = sweep.check_sweep(
        ["02_profile_scan"], [*few, "closure=lab_linear,stream_quartic"], tag="new", root=checkout, data=data
    )
    assert sweep.execute_sweep(parameter, requests) == []
    again = run.check_request(["02_profile_scan", "06_verdict"], few, tag="new", root=checkout, data=data)
    assert run.execute(again) == [], "what 06 reads besides is run first"
    fine = store.load("06_verdict", checkout / "reports" / "new")["results"]
    assert [claim.name for claim in fine["claims"] if claim.stands] == ["compatible"]
    assert "There is no minimum" in fine["answers"]["offset"]
    standing = {
        closure: [claim.name for claim in claims if claim.stands] for closure, claims in fine["closures"].items()
    }
    assert standing == {"stream": ["compatible"], "lab_linear": ["null"], "stream_quartic": ["compatible"]}


def test_lab_with_the_reports_bounds_and_with_wide_ones(checkout):
    found = {}
    for bounds, few in (("report", ["n_beta=3", "n_starts=4"]), ("wide", ["n_beta=2", "n_starts=2"])):
        assignments = ["closure=lab", f"bounds={bounds}", *few]
        request = run.check_request(["02_profile_scan"], assignments, tag=bounds, root=checkout)
        assert run.execute(request) == []
        found[bounds] = store.load("02_profile_scan", checkout / "reports" / bounds)
    rejected = found["report"]["results"]["profile"]
    assert rejected.chi2_min.min() == pytest.approx(2.92e12, rel=0.01)
    assert rejected.reproduced.min() >= 2
    assert rejected.on_bounds[:, [rejected.names.index(name) for name in ("c_mu", "U_tau")]].any(axis=0).all()
    assert found["wide"]["verdict_code"] == "not_identified"
    assert found["wide"]["results"]["profile"].chi2_min.max() < 1e-6


def test_12_on_two_data_sets_at_one_confidence(checkout):
    assignments = ["datasets=superk_1to4,xenonnt", "confidence_levels=0.9", "limit_method=fc", "n_toys=100"]
    request = run.check_request(["12_recoil_spectra"], assignments, root=checkout)
    assert run.execute(request) == []
    document = store.load("12_recoil_spectra", checkout / "reports" / "latest")
    limits = document["results"]["limits"]
    assert list(limits) == ["xenonnt", "superk_1to4"]
    xenon = limits["xenonnt"]
    assert xenon["fc"] == pytest.approx({"90": 6.27e-12}, rel=0.02)
    assert xenon["cls"] == pytest.approx({"90": 8.32e-12}, rel=0.02)
    assert xenon["theta_hat"] == pytest.approx(-0.785e-22, rel=0.02)
    assert set(xenon["delta_chi2"]) == {"1.64", "2.71", "3.84"}
    assert xenon["observed"] is True
    assert "6.28e-12 μ_B by Feldman–Cousins" in document["verdict"]


def test_12_without_a_spectrum_has_nothing_to_say(checkout):
    request = run.check_request(["12_recoil_spectra"], ["datasets=response"], root=checkout)
    assert run.execute(request) == []
    document = store.load("12_recoil_spectra", checkout / "reports" / "latest")
    assert (document["verdict_code"], document["results"]["limits"]) == ("no_data", {})


def test_11_with_the_disputed_limit_and_another_estimator(checkout):
    request = run.check_request(["11_limits"], ["include_disputed=true", "estimator=DL"], root=checkout)
    assert run.execute(request) == []
    found = store.load("11_limits", checkout / "reports" / "latest")["results"]["published"]
    assert found.classes["reactor"].estimator == "DL"
