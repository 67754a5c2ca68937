"""Fits of the benchmark beside other tools: our verdicts are those known from closed forms, and the peers' rows run."""

import importlib.util
import sys
from pathlib import Path

import numpy as np
import pytest
from scipy.optimize import brentq, minimize_scalar

import leptonfit

PATH = Path(__file__).resolve().parents[1] / "benchmarks" / "own_fit.py"
spec = importlib.util.spec_from_file_location("own_fit", PATH)
own_fit = sys.modules["own_fit"] = importlib.util.module_from_spec(spec)
spec.loader.exec_module(own_fit)
FITS = {fit.title: fit for fit in own_fit.list_fits()}
LEVEL = 3.841458820694124


def assess(fit):
    problem = leptonfit.problem_from_model(fit.model, *fit.data, fit.bounds)
    return leptonfit.assess(problem, [fit.name]).verdicts[fit.name]


def linear_chi2(fit, *columns):
    """Lowest χ² of a sum of columns with free factors."""
    x, y, sigma = fit.data
    design = np.stack(np.broadcast_arrays(*columns, x)[:-1], axis=1) / sigma[:, None]
    return np.sum((design @ np.linalg.lstsq(design, y / sigma)[0] - y / sigma) ** 2)


def decay_profile(fit):
    """Δχ² at fixed b, where the fit of a and c is linear, as a function; and b at the lowest χ²."""

    def chi2(b):
        return linear_chi2(fit, 1, np.expm1(-b * fit.data[0]) / b)

    best = minimize_scalar(chi2, bounds=(0.1, 4), method="bounded", options={"xatol": 1e-10})
    return lambda b: chi2(b) - best.fun, best.x


def test_long_data_determine_the_decay_rate():
    fit = FITS["decay, long"]
    rise, best = decay_profile(fit)
    verdict = assess(fit)
    assert verdict.code == fit.code == "identified"
    ends = brentq(lambda b: rise(b) - LEVEL, 0.1, best), brentq(lambda b: rise(b) - LEVEL, best, 4)
    assert verdict.interval == pytest.approx(ends, rel=1e-5)


def test_short_data_allow_a_straight_line_and_so_give_only_an_upper_limit():
    fit = FITS["decay, short"]
    rise, best = decay_profile(fit)
    straight = linear_chi2(fit, 1, fit.data[0])
    assert rise(1e-4) == pytest.approx(straight - linear_chi2(fit, 1, np.exp(-best * fit.data[0])), abs=1e-3)
    assert rise(1e-4) < LEVEL
    verdict = assess(fit)
    assert verdict.code == fit.code == "open_below"
    assert verdict.interval[1] == pytest.approx(brentq(lambda b: rise(b) - LEVEL, best, 8), rel=1e-5)


def test_far_below_k_m_a_line_through_zero_is_allowed_and_v_has_no_upper_end():
    fit = FITS["far below K_m"]
    s = fit.data[0]

    def profile(v):
        return minimize_scalar(
            lambda k: np.sum(((fit.model(s, v, k) - fit.data[1]) / fit.data[2]) ** 2), (v / 3, v)
        ).fun

    lowest = minimize_scalar(profile, (1, 7)).fun
    assert linear_chi2(fit, s) - lowest < LEVEL
    verdict = assess(fit)
    assert verdict.code == fit.code == "open_above"
    assert verdict.interval[0] == pytest.approx(brentq(lambda v: profile(v) - lowest - LEVEL, 0.5, 5), rel=1e-4)


@pytest.mark.slow
def test_aliases_of_a_sine_are_mirrored_at_half_the_sampling_rate():
    fit = FITS["sine, aliases"]
    assert fit.model(fit.data[0], 0.3, 0.5) == pytest.approx(fit.model(fit.data[0], 0.7, np.pi - 0.5), abs=1e-12)
    verdict = assess(fit)
    assert verdict.code == fit.code == "disjoint"
    low, high = verdict.allowed.intervals
    assert 1 - low[::-1] == pytest.approx(high, rel=1e-6)


def test_rates_that_may_change_places_give_two_intervals():
    fit = FITS["flip-flop"]
    t = fit.data[0]
    assert fit.model(t, 2, 1.5, 0.3) == pytest.approx(fit.model(t, 2 * 0.3 / 1.5, 0.3, 1.5), rel=1e-12)
    verdict = assess(fit)
    assert verdict.code == fit.code == "disjoint"
    low, high = verdict.allowed.intervals
    assert low[0] < 0.3 < low[1] < high[0] < 1.5 < high[1]


@pytest.mark.parametrize("tool", ["lmfit", "lmfit, no bounds", "iminuit", "iminuit, no bounds"])
def test_the_rows_of_the_peers_run(tool):
    for title in ("decay, long", "far below K_m"):
        _, intervals, said = own_fit.run_once(tool, FITS[title])
        assert len(intervals) == 1, said
    assert "valid" in said or "maxiter" in said
    assert 4 < own_fit.count_statements(own_fit.TOOLS[tool]) < 9


def test_what_a_tool_refuses_with_is_shown(monkeypatch):
    def refuses(*given):
        raise RuntimeError("no minimum\nmore")

    monkeypatch.setitem(own_fit.TOOLS, "lmfit", refuses)
    assert own_fit.run_once("lmfit", FITS["decay, long"])[1:] == ([], "no minimum")
