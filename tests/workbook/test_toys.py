"""Toys in chunks: the same whatever the cores, and resumed after a stop."""

import numpy as np
import pytest

from leptonfit.vortex.choices import Choice
from leptonfit.vortex.measurements import load_measurements
from leptonfit.vortex.model import VortexModel
from leptonfit.workbook import store, toys

CHOICE = Choice(moment="spin_half", amplitude="saturated", radius="free", bounds="wide")
MODEL = VortexModel(load_measurements("report_2025"), sigma_m_model=1e-3, sigma_g_model=1e-3)
TRUTH = [0.3459, 7.96587, 0.3142027, 0.03852561, 0.3142047, 0.0022908689, 1.2885085, 5.2148883]


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv(store.REPORT_VARIABLE, str(tmp_path))
    monkeypatch.setattr(toys, "CHUNK", 4)
    return tmp_path / "results"


def run(jobs, monkeypatch, **changed):
    monkeypatch.setattr(toys, "count_cores", lambda: jobs)
    return toys.cover_choice(CHOICE, np.array(TRUTH), MODEL, **{"n_toys": 10, "seed": 1, **changed})


def test_one_core_or_two_and_nothing_left_behind(folder, monkeypatch):
    one, two = (run(jobs, monkeypatch).delta_chi2.tolist() for jobs in (1, 2))
    assert one == two
    assert len(one) == 10
    assert list(folder.iterdir()) == []
    assert run(1, monkeypatch, seed=2).delta_chi2.tolist() != one


def test_a_run_that_was_cut_off_goes_on(folder, monkeypatch):
    whole, made, stopped = run(1, monkeypatch).delta_chi2.tolist(), [], []
    original = toys.run_toys

    def counted(*arguments, **options):
        made.append(1)
        if len(made) == 3 and not list(folder.glob(".toys-*/2.json")) and not stopped:
            stopped.append(1)
            raise KeyboardInterrupt
        return original(*arguments, **options)

    monkeypatch.setattr(toys, "run_toys", counted)
    with pytest.raises(KeyboardInterrupt):
        run(1, monkeypatch)
    assert len(list(folder.glob(".toys-*/*.json"))) == 2
    other = run(1, monkeypatch, seed=2).delta_chi2.tolist()
    assert other != whole, "another seed must not take up these chunks"
    made.clear()
    assert run(1, monkeypatch).delta_chi2.tolist() == whole
    assert len(made) == 1  # the chunk that was cut off
