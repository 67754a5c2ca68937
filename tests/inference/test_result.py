"""Results become JSON and come back."""

import dataclasses
import importlib
import json
import math
import pkgutil
import types
import typing

import numpy as np
import pytest
from numpy import inf, nan
from numpy.testing import assert_array_equal

import leptonfit
from leptonfit.inference.identifiability import assess_profile, jacobian_spectrum
from leptonfit.inference.intervals import EndResult, IntervalSet
from leptonfit.inference.multistart import Effort, run_multistart
from leptonfit.inference.profile import scan_profile
from leptonfit.inference.result import Result, decode, encode
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
    "multistart": lambda build: run_multistart(partly_defined(build), effort=Effort(8, 1)),
    "multistart_none_converged": lambda build: run_multistart(
        partly_defined(build), effort=Effort(3, 1), fixed={"t": -1.0}
    ),
    "profile": lambda build: scan_profile(
        partly_defined(build), "t", GRID, effort=Effort(3, 1), references=(-0.5, 1.0)
    ),
    "profile_without_references": lambda build: scan_profile(well_defined(build), "t", GRID, effort=Effort(3, 1)),
    "verdict": lambda build: assess_profile(
        well_defined(build), scan_profile(well_defined(build), "t", GRID, effort=Effort(3, 1))
    ),
    "verdict_of_a_reference": lambda build: assess_profile(
        partly_defined(build),
        scan_profile(partly_defined(build), "t", GRID, effort=Effort(3, 1), references=(-0.5,)),
        reference=-0.5,
    ),
    "spectrum": lambda build: jacobian_spectrum(partly_defined(build), np.array([1.0, 1.0])),
    "spectrum_rank_1": lambda build: jacobian_spectrum(
        build(lambda a, b: a * b - 1, a=(-9, 9), b=(-9, 9)), np.array([2.0, 0.5])
    ),
    "spectrum_rank_0": lambda build: jacobian_spectrum(build(lambda a: 0 * a - 1, a=(-9, 9)), np.array([2.0])),
    "spectrum_without_parameters": lambda build: jacobian_spectrum(build(lambda a: a - 1, a=(-9, 9)), np.array([9.0])),
}


for module in pkgutil.walk_packages(leptonfit.__path__, "leptonfit."):
    importlib.import_module(module.name)
CLASSES = sorted(
    (kind for kind in Result.__subclasses__() if kind.__module__.startswith("leptonfit.")),
    key=lambda kind: (kind.__module__, kind.__name__),
)


def make(hint, array):
    """A value of a field's type, with numbers that JSON does not know."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin is types.UnionType:
        return make(arguments[0], array)
    if origin is dict:
        return {"a": make(arguments[1], array), "b": make(arguments[1], array)}
    if origin is tuple:
        return (make(arguments[0], array),) * 2
    if hint is np.ndarray or origin is typing.Annotated:
        return array.astype(arguments[1]) if arguments else array
    if hint is IntervalSet:
        return IntervalSet(np.array([[-inf, inf]]), (EndResult("box"),), (EndResult("scan_end"),), decided=True)
    if isinstance(hint, type) and issubclass(hint, Result):
        if all(field.default is not dataclasses.MISSING for field in dataclasses.fields(hint)):
            return hint()
        hints = typing.get_type_hints(hint, include_extras=True)
        return hint(**{field.name: make(hints[field.name], array) for field in dataclasses.fields(hint)})
    return {float: -inf, int: 3, bool: True, str: "inf"}[hint]


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
    elif isinstance(first, list | tuple):
        for one, other in zip(first, second, strict=True):
            assert_same(one, other)
    elif isinstance(first, np.ndarray):
        assert (first.dtype, first.shape) == (second.dtype, second.shape)
        assert_array_equal(first, second)
    else:
        assert first == second or (isinstance(first, float) and math.isnan(first) and math.isnan(second))


def through_json(value):
    return decode(json.loads(json.dumps(encode(value), allow_nan=False)))


@pytest.mark.parametrize("name", RESULTS)
def test_round_trip_through_json(build, name):
    result = RESULTS[name](build)
    assert_same(through_json({"found": [result]}), {"found": [result]})


@pytest.mark.parametrize("kind", CLASSES, ids=lambda kind: f"{kind.__module__}.{kind.__name__}")
@pytest.mark.parametrize("shape", [(2, 3), (0, 3), (2, 0, 3)])
@pytest.mark.filterwarnings("ignore:invalid value encountered in cast")
def test_every_result_comes_back_as_it_was(kind, shape):
    array = np.resize([1.5, nan, inf, -inf], shape)
    result = make(kind, array)
    assert_same(through_json(result), result)
    assert encode(result)["type"] == f"{kind.__module__}.{kind.__name__}".removeprefix("leptonfit.")


@dataclasses.dataclass(frozen=True)
class LocalResult(Result):
    x: float


def test_a_result_from_outside_the_library_is_not_stored():
    with pytest.raises(ValueError, match=r"LocalResult': must be a result defined in a module of leptonfit"):
        encode([LocalResult(1.0)])


def test_the_key_of_the_type_is_reserved():
    with pytest.raises(ValueError, match="type = 'reactor': this key is reserved"):
        encode({"experiment": {"type": "reactor"}})


@pytest.mark.parametrize(
    "name",
    [
        "os.system",
        "inference.profile",
        "inference.profile.scan_profile",
        "inference.profile.IntervalSet",
        "Result",
        "inference.nothing.ProfileResult",
        "..os.system",
        "vortex.measurements.Measurements",
        "",
        None,
        3,
        ["x"],
    ],
)
def test_a_type_that_is_not_a_result_of_the_library_is_refused(name):
    with pytest.raises(ValueError, match="must be a result defined in a module of leptonfit"):
        decode({"a": [{"type": name, "x": 1.0}]})


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
