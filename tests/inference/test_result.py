"""Results become JSON and come back."""

import dataclasses
import json
import math

import numpy as np
import pytest
from numpy import inf, nan
from numpy.testing import assert_array_equal

from leptonfit.inference.identifiability import assess_profile, jacobian_spectrum
from leptonfit.inference.intervals import EndResult, IntervalSet
from leptonfit.inference.multistart import run_multistart
from leptonfit.inference.profile import scan_profile
from leptonfit.inference.result import Result, encode
from leptonfit.inference.solve import solve

GRID = np.linspace(-2, 2, 9)


def partly_defined(build):
    """√t = 1 with a nuisance; undefined for t < 0, so nan and open ends abound."""
    return build(lambda t, n: ((np.sqrt(t) - 1 + n) / 9, n), t=(-9, 9), n=(-9, 9))


def well_defined(build):
    return build(lambda t, n: (t + n, n, 1 + 0 * t), t=(-9, 9), n=(-9, 9))


RESULTS = {
    "solve": lambda build: solve(partly_defined(build), np.array([[1.0, 1.0], [-1.0, 1.0]])),
    "solve_one_start": lambda build: solve(partly_defined(build), np.array([-1.0, 1.0])),
    "solve_grid_of_starts": lambda build: solve(well_defined(build), np.ones((2, 3, 2))),
    "multistart": lambda build: run_multistart(partly_defined(build), n_starts=8, seed=1),
    "multistart_none_converged": lambda build: run_multistart(
        partly_defined(build), n_starts=3, seed=1, fixed={"t": -1.0}
    ),
    "profile": lambda build: scan_profile(
        partly_defined(build), "t", GRID, n_starts=3, seed=1, references=(-0.5, 1.0)
    ),
    "profile_without_references": lambda build: scan_profile(well_defined(build), "t", GRID, n_starts=3, seed=1),
    "verdict": lambda build: assess_profile(
        well_defined(build), scan_profile(well_defined(build), "t", GRID, n_starts=3, seed=1)
    ),
    "verdict_of_a_reference": lambda build: assess_profile(
        partly_defined(build),
        scan_profile(partly_defined(build), "t", GRID, n_starts=3, seed=1, references=(-0.5,)),
        reference=-0.5,
    ),
    "spectrum": lambda build: jacobian_spectrum(partly_defined(build), np.array([1.0, 1.0])),
    "spectrum_rank_1": lambda build: jacobian_spectrum(
        build(lambda a, b: a * b - 1, a=(-9, 9), b=(-9, 9)), np.array([2.0, 0.5])
    ),
    "spectrum_rank_0": lambda build: jacobian_spectrum(build(lambda a: 0 * a - 1, a=(-9, 9)), np.array([2.0])),
    "spectrum_without_parameters": lambda build: jacobian_spectrum(
        build(lambda a: a - 1, a=(-9, 9)), np.array([9.0])
    ),
}  # fmt: skip


def assert_same(first, second):
    """Equal in type, dtype, shape and value; nan equals nan."""
    assert type(first) is type(second)
    if isinstance(first, Result):
        for field in dataclasses.fields(first):
            assert_same(getattr(first, field.name), getattr(second, field.name))
    elif isinstance(first, dict):
        assert list(first) == list(second)
        for key in first:
            assert_same(first[key], second[key])
    elif isinstance(first, np.ndarray):
        assert (first.dtype, first.shape) == (second.dtype, second.shape)
        assert_array_equal(first, second)
    else:
        assert first == second or (isinstance(first, float) and math.isnan(first) and math.isnan(second))


@pytest.mark.parametrize("name", RESULTS)
def test_round_trip_through_json(build, name):
    result = RESULTS[name](build)
    text = json.dumps(result.to_dict(), allow_nan=False)
    assert_same(type(result).from_dict(json.loads(text)), result)


def test_open_ends_are_null_in_json_and_infinite_in_python():
    ends, crossings = (EndResult("scan_end"), EndResult("crossing")), (EndResult("crossing"), EndResult("scan_end"))
    identified = IntervalSet(np.array([[-inf, 1.0], [2.0, inf]]), ends, crossings, decided=True)
    data = identified.to_dict()
    assert data["intervals"] == [[None, 1.0], [2.0, None]]
    assert data["below"][0] == {"reason": "scan_end", "held_by": []}
    assert_same(IntervalSet.from_dict(data), identified)


def test_encode_gives_plain_data():
    value = {1: np.float64(2.5), "a": (np.int64(3), np.bool_(True), nan, -inf), "b": np.array([[1.0, nan]]), "c": None}
    plain = encode(value)
    assert plain == {"1": 2.5, "a": [3, True, None, None], "b": [[1.0, None]], "c": None}
    assert [type(item) for item in plain["a"]] == [int, bool, type(None), type(None)]


def test_results_are_frozen(build):
    result = RESULTS["solve"](build)
    with pytest.raises(dataclasses.FrozenInstanceError):
        result.x = np.zeros(2)


def test_a_missing_field_is_an_error(build):
    data = RESULTS["solve"](build).to_dict()
    del data["kkt"]
    with pytest.raises(KeyError, match="kkt"):
        type(RESULTS["solve"](build)).from_dict(data)
