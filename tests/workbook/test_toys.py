"""Toys of a closure in chunks: the same whatever the cores, and resumed after a stop."""

import numpy as np
import pytest

from leptonfit.inference import finished
from leptonfit.vortex.choices import Choice
from leptonfit.vortex.measurements import load_measurements
from leptonfit.vortex.model import VortexModel
from leptonfit.workbook import toys

CHOICE = Choice(moment="spin_half", amplitude="saturated", radius="free", bounds="wide")
MODEL = VortexModel(load_measurements("report_2025"), sigma_m_model=1e-3, sigma_g_model=1e-3)
TRUTH = [0.3459, 7.96587, 0.3142027, 0.03852561, 0.3142047, 0.0022908689, 1.2885085, 5.2148883]


@pytest.fixture(autouse=True)
def small_chunks(monkeypatch):
    monkeypatch.setattr(toys, "CHUNK", 4)


def run(jobs, monkeypatch, **changed):
    monkeypatch.setattr(toys, "count_cores", lambda: jobs)
    return toys.cover_choice(CHOICE, np.array(TRUTH), MODEL, **{"n_toys": 10, "seed": 1, **changed})


def test_one_core_or_two_give_the_same_toys(monkeypatch):
    one, two = (run(jobs, monkeypatch).delta_chi2.tolist() for jobs in (1, 2))
    assert one == two
    assert len(one) == 10
    assert run(1, monkeypatch, seed=2).delta_chi2.tolist() != one


def test_a_run_that_was_cut_off_goes_on(tmp_path, monkeypatch):
    whole, made = run(1, monkeypatch).delta_chi2.tolist(), []
    original = toys.run_toys

    def counted(*arguments, **options):
        made.append(1)
        if len(made) == 3:
            raise KeyboardInterrupt
        return original(*arguments, **options)

    monkeypatch.setattr(toys, "run_toys", counted)
    monkeypatch.setattr(finished, "PAUSE", 0.0)
    with pytest.raises(KeyboardInterrupt), finished.keep_finished(tmp_path / "kept"):
        run(1, monkeypatch)
    with finished.keep_finished(tmp_path / "kept"):
        assert run(1, monkeypatch).delta_chi2.tolist() == whole
    assert len(made) == 4  # the third chunk was done again
