"""Arguments that are not allowed are refused at the door: the argument, its value and what is allowed."""

import numpy as np
import pytest

from leptonfit import (
    BinnedModel,
    Effort,
    LeastSquaresProblem,
    Parameter,
    SetOptions,
    find_limits,
    map_ordered,
    problem_from_model,
    restrict,
    run_multistart,
    scan_profile,
    solve,
)
from leptonfit.inference.coverage import run_toys
from leptonfit.inference.intervals import find_levels
from leptonfit.inference.limit_coverage import cover_limits
from leptonfit.inference.neyman import run_feldman_cousins
from leptonfit.inference.parallel import spawn_seeds

X = np.arange(4.0)
COUNTS = BinnedModel(
    nuisances=(),
    base=np.array([3.0, 4.0]),
    shifts=np.zeros((0, 2)),
    signal=np.array([1.0, 2.0]),
    signal_shifts=np.zeros((0, 2)),
    is_free=np.zeros(0, dtype=bool),
)
DATA = np.array([3.0, 5.0])


def residuals(x):
    return x[..., :1] * X - 2 * X


def jacobian(x):
    return np.broadcast_to(X[:, None], (*x.shape[:-1], 4, 1)).copy()


def make(residuals=residuals, jacobian=jacobian, **changed):
    """A line through the origin with slope 2 fitted to four data."""
    given = {"parameters": (Parameter(name="a", start=1.0, lower=0.0, upper=5.0),), "residual_names": tuple("abcd")}
    return LeastSquaresProblem(residuals=residuals, jacobian=jacobian, **{**given, **changed})


PROBLEM = make()


def add_in_place(x):
    x += 1e-9
    return residuals(x)


BAD_COUNTS = [
    (0, "must be at least 1"),
    (-3, "must be at least"),
    (2.5, "must be a whole number"),
    (True, "must be a whole number"),
    ("4", "must be a whole number"),
    (None, "must be a whole number"),
    (10**12, "must be at most 10000000"),
]
BAD_SEEDS = [
    (-1, "must be 0 or more"),
    (1.5, "must be a whole number"),
    (None, "must be"),
    ("1", "must be"),
    (True, ""),
]
BAD_LEVELS = [
    (1.0, "below 1"),
    ([0.9, 1.2], "below 1"),
    ([], "must be above"),
    ("0.9", "must be one number or several"),
    ([np.nan], "must be above"),
    (True, "must be one number or several"),
    (None, "must be one number or several"),
    ([95], "below 1"),
    ([-0.1], "must be above"),
]
FACES = {
    "n_toys": [
        lambda bad: cover_limits(COUNTS, DATA, 1.0, n_toys=bad, seed=1),
        lambda bad: run_feldman_cousins(COUNTS, DATA, n_toys=bad, seed=1),
        lambda bad: run_toys(PROBLEM, "a", np.array([2.0]), n_toys=bad, seed=1),
    ],
    "n_starts": [lambda bad: run_multistart(PROBLEM, effort=Effort(n_starts=bad, seed=1))],
    "jobs": [lambda bad: map_ordered(abs, [1, 2], jobs=bad)],
    "seed": [
        lambda bad: cover_limits(COUNTS, DATA, 1.0, n_toys=1, seed=bad),
        lambda bad: run_feldman_cousins(COUNTS, DATA, n_toys=1, seed=bad),
        lambda bad: run_toys(PROBLEM, "a", np.array([2.0]), n_toys=1, seed=bad),
        lambda bad: Effort(n_starts=1, seed=bad),
        lambda bad: spawn_seeds(bad, 2),
    ],
    "confidence": [
        lambda bad: find_limits(COUNTS, DATA, confidence=bad),
        lambda bad: cover_limits(COUNTS, DATA, 1.0, confidence=bad, n_toys=1, seed=1),
        lambda bad: run_feldman_cousins(COUNTS, DATA, confidence=bad, n_toys=1, seed=1),
    ],
    "levels": [lambda bad: scan_profile(PROBLEM, "a", sets=SetOptions(levels=bad))],
}
KINDS = {
    "n_toys": BAD_COUNTS,
    "n_starts": BAD_COUNTS,
    "jobs": BAD_COUNTS,
    "seed": BAD_SEEDS,
    "confidence": BAD_LEVELS,
    "levels": BAD_LEVELS,
}


@pytest.mark.parametrize(("name", "bad", "said"), [(name, *one) for name, kind in KINDS.items() for one in kind])
def test_counts_seeds_and_confidences_are_refused_by_every_face(name, bad, said):
    for face in FACES[name]:
        with pytest.raises((TypeError, ValueError)) as refused:
            face(bad)
        assert str(refused.value).startswith(f"{name} = ")
        assert said in str(refused.value)


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: solve(PROBLEM, np.array([np.nan])), r"a = nan: a start must lie in"),
        (lambda: solve(PROBLEM, np.array([1j])), "x0 of type complex128: must be real numbers"),
        (lambda: solve(PROBLEM, ["a"]), "x0 of type <U1: must be real numbers"),
        (lambda: solve(PROBLEM, np.array([6.0])), r"a = 6: a start must lie in \[0, 5\]"),
        (lambda: solve(PROBLEM, np.array([1.0]), fixed="a"), r"fixed = 'a': must be a tuple of names"),
        (lambda: solve(PROBLEM, np.array([1.0]), max_iter=-1), "max_iter = -1: must be at least 0"),
        (lambda: restrict(PROBLEM, fixed={"a": 6.0}), r"a = 6: must be in \[0, 5\]"),
        (lambda: restrict(PROBLEM, fixed={"a": np.nan}), r"a = nan: must be in \[0, 5\]"),
        (lambda: restrict(PROBLEM, fixed={"a": "1"}), "a = '1': must be a number"),
        (lambda: restrict(PROBLEM, fixed={"b": 1.0}), "parameter 'b': must be one of a"),
        (lambda: restrict(PROBLEM, residuals=["e"]), "residual 'e': must be one of a, b, c, d"),
        (
            lambda: run_toys(PROBLEM, "a", np.array([1.0, 2.0]), n_toys=1, seed=1),
            r"truth of shape \(2,\): must be \(1,\)",
        ),
        (lambda: scan_profile(PROBLEM, "a", [1.0, np.nan]), r"grid of a\[1\] = nan: must be finite"),
        (lambda: scan_profile(PROBLEM, "a", [[1.0, 2.0]]), r"grid of a of shape \(1, 2\): must be \(n,\)"),
        (lambda: SetOptions(n_grid=10**9), "n_grid = 1000000000: must be at most 100001"),
        (lambda: Effort(n_starts=1, seed=1, ranges={"a": 2}), r"ranges\['a'\] = 2: must be \(low, high\)"),
        (lambda: cover_limits(COUNTS, DATA, np.inf, n_toys=1, seed=1), "theta = inf: must be finite"),
        (lambda: Parameter(name="a", start="1"), "a: start = '1': must be a number"),
        (lambda: Parameter(name=""), "name = '': must be text"),
        (lambda: make(residual_names=("a", "a", "b", "c")), "residual name 'a' stands twice: names must differ"),
        (lambda: make(residual_names="abcd"), "residual names 'abcd': must be a tuple"),
        (lambda: make(parameters=("a",)), "parameters: 'a': must be a Parameter"),
        (lambda: make(residuals=None), "residuals = None: must be a function"),
        (lambda: make(residual_names=tuple("abc")).check(), r"residuals of one point: shape \(4,\), must be \(3,\)"),
        (lambda: make(residuals=add_in_place).check(), "must leave its argument as it is"),
        (lambda: make(residuals=lambda x: residuals(x) + 0j).check(), "residuals of type complex128: must be real"),
        (lambda: make(jacobian=lambda x: jacobian(x) * 1j).check(), "jacobian of type complex128: must be real"),
        (
            lambda: problem_from_model(lambda x, a: a * x, X, X, sigma=[1, 2], parameters={"a": (0, 5)}),
            r"sigma of shape \(2,\): must be a number, 4 numbers",
        ),
    ],
)
def test_what_is_not_allowed_is_named_with_its_value(call, said):
    with pytest.raises((TypeError, ValueError), match=said):
        call()


def test_zero_is_a_seed():
    assert Effort(n_starts=1, seed=0).seed == 0


def test_one_confidence_is_read_as_several():
    for confidence in (0.9, [0.9], np.array([0.9])):
        assert find_limits(COUNTS, DATA, confidence=confidence).confidence.tolist() == [0.9]
    assert find_levels(0.9) == find_levels([0.9])


@pytest.mark.parametrize("wraps", [lambda array: array, lambda array: (array.setflags(write=False), array)[1]])
def test_the_solver_leaves_the_arrays_of_a_function_as_they_are(wraps):
    """A function may return an array that it keeps, or one that cannot be written, on a valley that bends."""
    kept = {}

    def bent(x):
        key = x.tobytes(), x.shape
        if key not in kept:
            values = np.stack([10 * (x[..., 1] - x[..., 0] ** 2), 1 - x[..., 0]], axis=-1)
            kept[key] = wraps(values), values.copy()
        return kept[key][0]

    def slopes(x):
        rows = np.zeros((*x.shape[:-1], 2, 2))
        rows[..., 0, 0], rows[..., 0, 1], rows[..., 1, 0] = -20 * x[..., 0], 10.0, -1.0
        return wraps(rows)

    parameters = tuple(Parameter(name=name, start=-1.2, lower=-5.0, upper=5.0) for name in "ab")
    found = solve(LeastSquaresProblem(parameters, ("a", "b"), bent, slopes), np.array([[-1.2, 1.0], [3.0, -4.0]]))
    np.testing.assert_allclose(found.x, 1.0)
    for array, copy in kept.values():
        np.testing.assert_array_equal(array, copy)
