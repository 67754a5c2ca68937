"""A data set without a single count: limits, toys, coverage and goodness are still numbers, and marked."""

import json
import math
from dataclasses import replace

import numpy as np
import pytest

from leptonfit.inference.limits import find_limits
from leptonfit.neutrino import data_limits
from leptonfit.neutrino.experiments import SPECTRA
from leptonfit.neutrino.likelihood import compare_spectrum, load_likelihood
from leptonfit.workbook import tables


@pytest.fixture(scope="module")
def empty():
    likelihood = load_likelihood("xenonnt")
    likelihood = replace(likelihood, data=0 * likelihood.data)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(data_limits, "load_likelihood", lambda slug, **_: likelihood)
        return likelihood, data_limits.analyse("xenonnt", confidence=(0.9,), n_toys=200, seed=1)


def test_zero_counts_have_limits_that_are_marked(empty):
    found = empty[1]
    assert not any(found.limits.is_valid.values())
    assert 0 < found.toys.limit[0] < math.inf
    assert found.goodness.is_by_toys
    assert found.goodness.p_value == 1.0
    assert np.isfinite(found.delta_chi2).all()
    assert found.delta_chi2.min() > -1e-6
    code, sentence = data_limits.describe_limits([found], "cls")
    assert code == "no_moment_seen"
    assert "by CLs (approximation not valid here)" in sentence
    assert "Approximations that do not hold at these counts: CLs at XENONnT" in sentence
    assert json.loads(json.dumps(found.summarise()))["is_valid"]["cls"] is False


def test_zero_counts_are_shown_with_marks(empty):
    likelihood, found = empty
    row = tables.format_table(tables.tabulate_data_limits([found])).iloc[0]
    assert row["CLs"].endswith(" †")
    assert tables.tabulate_fits([found]).iloc[0]["p from"] == "200 toys"
    compared = compare_spectrum(likelihood, (math.inf, 4.0))
    assert np.isnan(compared.expected[1]).all()
    assert np.isfinite(compared.expected[[0, 2]]).all()


def test_approximations_that_hold_are_not_marked():
    found = data_limits.analyse("texono", confidence=(0.9,), n_toys=50, seed=1)
    assert all(found.limits.is_valid.values())
    assert "†" not in tables.format_table(tables.tabulate_data_limits([found])).to_string()
    assert not found.goodness.is_by_toys


@pytest.mark.parametrize(
    ("slug", "empty_bins"),
    [*((slug, slice(-3, None)) for slug in SPECTRA), *(("borexino_phase2", slice(n)) for n in (4, 5, 50))],
)
def test_bins_without_a_count_at_either_end_leave_a_limit(slug, empty_bins):
    """Without the first bins of Borexino, other components imitate a signal of 1e4 σ, of which few digits remain."""
    likelihood = load_likelihood(slug)
    counts = likelihood.data.astype(float)
    counts[empty_bins] = 0
    found = find_limits(likelihood.model, counts, confidence=0.9)
    assert found.observed["cls"][0] > 0
    assert found.delta_chi2[0] > max(found.theta_hat, 0)
