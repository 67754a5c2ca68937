"""Recorded re-enactments: one of this machine's libraries stands for a new one, and is what a new one gives."""

from dataclasses import replace

import numpy as np
import pytest

from leptonfit.claims.december_2025.recorded import load_recorded
from leptonfit.claims.december_2025.reported import load_claims
from leptonfit.inference.finished import versions
from leptonfit.workbook import parameters, recording, store

CLAIMS = load_claims()
RECORDED = load_recorded(CLAIMS)
SEED = parameters.notebook_defaults("08_reported")["seed"]


@pytest.fixture
def of_this_machine(monkeypatch):
    """Recorded runs, the second of which is of this machine; a new re-enactment only notes its seed."""
    seeds = []

    def note(measurements, claims, *, seed, say):
        seeds.append(seed)
        return RECORDED[0].report

    monkeypatch.setattr(recording, "reenact_report", note)
    own = replace(RECORDED[0], kernel=store.kernels(), versions=versions())
    return (replace(RECORDED[0], kernel="another"), own), seeds


def test_a_recorded_run_of_this_machine_is_not_made_again(of_this_machine):
    runs, seeds = of_this_machine
    assert recording.find_run_here(CLAIMS, runs, seed=SEED, seconds={}) is runs[1]
    assert not seeds


@pytest.mark.parametrize("change", ["kernel", "scipy", "seed"])
def test_what_has_no_recording_is_re_enacted(of_this_machine, change):
    (_, own), seeds = of_this_machine
    own = replace(own, kernel="another") if change == "kernel" else own
    own = replace(own, versions={**own.versions, "scipy": "0"}) if change == "scipy" else own
    seed = SEED + (change == "seed")
    found = recording.find_run_here(CLAIMS, [own], seed=seed, seconds={"tight": 2.0})
    assert seeds == [seed]
    assert (found.kernel, found.seconds) == (store.kernels(), {"tight": 2.0})


@pytest.mark.slow
def test_a_recorded_run_is_what_a_re_enactment_gives():
    run = recording.find_run_here(CLAIMS, RECORDED, seed=SEED, seconds={})
    if not any(run is one for one in RECORDED):
        pytest.skip(f"no recorded run of {run.name}")
    again = recording.reenact_here(CLAIMS, seed=SEED, seconds={}).report
    for name in ("tight", "loose"):
        for old, new in zip(getattr(run.report, name), getattr(again, name), strict=True):
            assert (old.name, old.n_evaluations) == (new.name, new.n_evaluations)
            for field in ("beta", "chi2", "c_mu", "says_converged"):
                assert np.array_equal(getattr(old, field), getattr(new, field)), (name, old.name, field)
    for field in ("beta_start", "beta", "chi2"):
        assert np.array_equal(getattr(run.report.multi_start, field), getattr(again.multi_start, field)), field
    for old, new in zip(run.report.checks, again.checks, strict=True):
        assert np.array_equal(old.chi2_min, new.chi2_min, equal_nan=True), old.name
