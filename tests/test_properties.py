"""What must hold for every fit, set, limit, combination and stored value: properties with random examples."""

import json
from dataclasses import replace

import hypothesis
import hypothesis.strategies as st
import numpy as np
import pytest

from leptonfit import BinnedModel, Effort, LeastSquaresProblem, Parameter, SetOptions, find_limits, scan_profile, solve
from leptonfit.inference.constructions import CONSTRUCTIONS
from leptonfit.inference.intervals import EndResult, IntervalSet
from leptonfit.inference.meta import ESTIMATORS, combine_estimates
from leptonfit.inference.result import decode, encode
from leptonfit.workbook.declarations import Declaration
from leptonfit.workbook.parameters import parse_assignment

PROPERTIES = {}
QUICK, SLOW_QUICK, MANY = 8, 3, 300
"""Examples of each property, fewer where it takes long, and in `make test-slow`."""
KKT = 1e-6
SEEDS = st.integers(0, 2**32 - 1)
SCALES = st.sampled_from([1e-12, 1e-3, 0.7, 5.0, 1e4, 1e11])
MODELS = {
    "line": (lambda t, a, b: (a + b * t, [np.ones_like(t), t]), (1.0, 2.0)),
    "decay": (lambda t, a, b: (a * np.exp(-b * t), [np.exp(-b * t), -a * t * np.exp(-b * t)]), (4.0, 0.7)),
    "saturation": (lambda t, a, b: (a * t / (b + t), [t / (b + t), -a * t / (b + t) ** 2]), (3.0, 2.0)),
}


def holds(quick=QUICK, **examples):
    """Add a property, a function of random arguments, with its number of examples in `make test`."""

    def add(check):
        PROPERTIES[check.__name__] = check, examples, quick
        return check

    return add


def make_fit(name, seed, *, units=(1.0, 1.0), order=(0, 1), factor=1.0, rows=slice(None)):
    """Fit of two parameters to ten random data, in other units or another order of parameters or residuals."""
    formula, truth = MODELS[name]
    rng = np.random.default_rng(seed)
    t, noise, width = np.sort(rng.uniform(0.1, 5, 10)), rng.standard_normal(10), rng.uniform(0.5, 3, 2)
    sigma = 0.05 * np.abs(formula(t, *truth)[0]).mean() * rng.uniform(0.2, 2)
    data = formula(t, *truth)[0] + sigma * noise
    units, order = np.array(units), list(order)

    def split(x):
        return [x[..., [order.index(j)]] / units[j] for j in (0, 1)]

    def residuals(x):
        return factor * ((formula(t, *split(x))[0] - data) / sigma)[..., rows]

    def jacobian(x):
        columns = np.broadcast_arrays(*formula(t, *split(x))[1], formula(t, *split(x))[0])[:2]
        return factor * np.stack([columns[j] / units[j] / sigma for j in order], axis=-1)[..., rows, :]

    ends = [(max(truth[j] - width[j], 0.01), truth[j] + width[j]) for j in (0, 1)]
    parameters = [
        Parameter(name="ab"[j], start=units[j] * truth[j], lower=units[j] * ends[j][0], upper=units[j] * ends[j][1])
        for j in order
    ]
    return LeastSquaresProblem(tuple(parameters), tuple(f"r{i}" for i in range(10)), residuals, jacobian)


def draw_start(problem, seed):
    return np.random.default_rng(seed).uniform(problem.lower, problem.upper)


@holds(name=st.sampled_from(sorted(MODELS)), seed=SEEDS)
def solver_descends_within_bounds_and_is_stationary_where_it_says_so(name, seed):
    problem = make_fit(name, seed)
    start = draw_start(problem, seed)
    found = solve(problem, start)
    r, jacobian = problem.residuals(found.x), problem.jacobian(found.x)
    assert found.chi2 == pytest.approx(r @ r, rel=1e-12)
    assert found.chi2 <= np.sum(problem.residuals(start) ** 2)
    assert ((problem.lower <= found.x) & (found.x <= problem.upper)).all()
    gradient = r @ jacobian
    blocked = (gradient > 0) & (found.x == problem.lower) | (gradient < 0) & (found.x == problem.upper)
    kkt = np.max(np.abs(gradient) * ~blocked / np.linalg.norm(jacobian, axis=0)) / np.linalg.norm(r)
    assert not found.converged or kkt <= KKT


@holds(name=st.sampled_from(sorted(MODELS)), seed=SEEDS, units=st.tuples(SCALES, SCALES), factor=SCALES)
def solver_does_not_depend_on_units_or_order(name, seed, units, factor):
    rows = np.random.default_rng(seed).permutation(10)
    plain = make_fit(name, seed)
    start = draw_start(plain, seed)
    other = make_fit(name, seed, units=units, order=(1, 0), factor=factor, rows=rows)
    one = solve(plain, start)
    two = solve(other, np.clip((np.array(units) * start)[::-1], other.lower, other.upper))
    assert bool(one.converged) == bool(two.converged)
    if one.converged:
        assert two.chi2 == pytest.approx(factor**2 * one.chi2, rel=1e-9)
        np.testing.assert_allclose(two.x[::-1] / units, one.x, rtol=1e-5)


def scan(problem, name="a"):
    return scan_profile(
        problem, name, effort=Effort(n_starts=4, seed=1), sets=SetOptions((0.68, 0.95), release=False, n_grid=9)
    )


@holds(SLOW_QUICK, name=st.sampled_from(sorted(MODELS)), seed=SEEDS, factor=st.floats(1.05, 3))
def sets_are_nested_in_level_and_wider_with_larger_errors(name, seed, factor):
    sets = scan(make_fit(name, seed)).identified_set
    wide = scan(make_fit(name, seed, factor=1 / factor)).identified_set
    slack = 1e-6 * (1 + np.ptp(sets["0.95"].intervals))
    for inner, outer in ((sets["0.68"], sets["0.95"]), (sets["0.95"], wide["0.95"]), (sets["0.68"], wide["0.68"])):
        for low, high in inner.intervals:
            assert any(below <= low + slack and high - slack <= above for below, above in outer.intervals)


@holds(SLOW_QUICK, seed=SEEDS, pull=st.floats(0.02, 0.4))
def an_end_moves_as_its_sensitivity_says(seed, pull):
    """An upper bound on the slope of a line below its best fit pushes the ends of the other parameter's set."""
    free = make_fit("line", seed)
    best = solve(free, free.start).x
    a, b = free.parameters

    def ends(upper):
        problem = replace(free, parameters=(replace(a, lower=-50.0, upper=50.0), replace(b, start=upper, upper=upper)))
        return scan(problem).identified_set["0.95"]

    upper = b.lower + (best[1] - b.lower) * (1 - pull)
    step = 1e-4 * (upper - b.lower)
    one, below, above = ends(upper), ends(upper - step), ends(upper + step)
    for k, end in ((0, one.below[0]), (1, one.above[-1])):
        for held in end.held_by:
            if held.key == ("b", "upper"):
                slope = (above.intervals.ravel()[[0, -1]] - below.intervals.ravel()[[0, -1]])[k] / (2 * step)
                assert held.shift == pytest.approx(slope, rel=1e-3, abs=1e-3)


def one_bin(background, signal):
    return BinnedModel(
        nuisances=(),
        base=np.array([background]),
        shifts=np.zeros((0, 1)),
        signal=np.array([signal]),
        signal_shifts=np.zeros((0, 1)),
        is_free=np.zeros(0, dtype=bool),
    )


@holds(SLOW_QUICK, background=st.floats(0.05, 50), signal=st.floats(0.01, 100), first=st.integers(0, 60))
def limits_rise_with_confidence_and_with_the_count(background, signal, first):
    found = find_limits(
        one_bin(background, signal), np.arange(first, first + 6.0)[:, None], confidence=(0.68, 0.9, 0.95)
    )
    for name in CONSTRUCTIONS:
        limit = found.observed[name]
        slack = 1e-6 * np.max(limit, where=np.isfinite(limit), initial=0.0)
        with np.errstate(invalid="ignore"):
            assert not (np.diff(limit, axis=0) < -slack).any(), name
            assert not (np.diff(limit, axis=1) < -slack).any(), name


@holds(seed=SEEDS, unit=SCALES, zero=st.floats(-100, 100), estimator=st.sampled_from(ESTIMATORS))
def combinations_do_not_depend_on_units_or_order(seed, unit, zero, estimator):
    rng = np.random.default_rng(seed)
    n = int(rng.integers(2, 9))
    y, v, order = rng.normal(0, 2, n), rng.uniform(0.05, 2, n), rng.permutation(n)
    plain = combine_estimates(y, v, estimator=estimator)
    other = combine_estimates(unit * (y + zero)[order], (unit**2 * v)[order], estimator=estimator)
    assert other.mean == pytest.approx(unit * (plain.mean + zero), rel=1e-9, abs=1e-9 * unit)
    assert other.tau2 == pytest.approx(unit**2 * plain.tau2, rel=1e-6, abs=1e-9 * unit**2)
    assert other.q == pytest.approx(plain.q, rel=1e-6, abs=1e-9)
    np.testing.assert_allclose(other.prediction, unit * (plain.prediction + zero), rtol=1e-6, atol=1e-6 * unit)


NUMBERS = st.one_of(st.sampled_from([np.inf, -np.inf, np.nan]), st.floats())
LOWS = st.floats(allow_nan=False).filter(lambda low: low < np.inf)


@holds(ends=st.lists(st.tuples(LOWS, st.floats(0, np.inf)), max_size=4), words=st.lists(st.text(), max_size=3))
def a_stored_set_comes_back(ends, words):
    reasons = tuple(EndResult("crossing") for _ in ends)
    intervals = np.array([(low, max(low, 0.0) + width) for low, width in ends]).reshape(-1, 2)
    one = IntervalSet(intervals, reasons, reasons, decided=True)
    back = decode(json.loads(json.dumps(encode({"set": one, "words": words}))))
    np.testing.assert_array_equal(back["set"].intervals, intervals)
    assert (back["set"].below, back["set"].decided, back["words"]) == (reasons, True, words)


@holds(mean=NUMBERS, interval=st.tuples(NUMBERS, NUMBERS))
def a_stored_result_comes_back(mean, interval):
    """Whatever its numbers are, nan and infinity among them."""
    one = replace(combine_estimates([0.0, 1.0], [1.0, 1.0]), mean=mean, interval=np.array(interval))
    back = decode(json.loads(json.dumps(encode({"one": one}))))["one"]
    np.testing.assert_array_equal([back.mean, *back.interval], [mean, *interval])


@holds(value=st.one_of(st.integers(-(2**63), 2**63), st.floats(allow_nan=False, allow_infinity=False), st.booleans()))
def a_parameter_given_as_text_is_read_as_it_was(value):
    declared = Declaration(name="p", default=value, kind=type(value))
    name, written = parse_assignment(f"p={value}")
    assert name == "p"
    assert declared.read(written) == value


@pytest.mark.parametrize("is_long", [False, pytest.param(True, marks=pytest.mark.fuzz)])
@pytest.mark.parametrize("name", PROPERTIES)
def test_property(name, is_long):
    check, examples, quick = PROPERTIES[name]
    n = MANY if is_long else quick
    phases = [hypothesis.Phase.generate]  # an example that fails is named by its seed; a smaller one takes too long
    settings = hypothesis.settings(max_examples=n, derandomize=True, deadline=None, database=None, phases=phases)
    settings(hypothesis.given(**examples)(check))()
    print(f"{name}: {n} examples")
