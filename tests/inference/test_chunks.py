"""Batches in chunks: the same results, and memory below the limit whatever the number of rows."""

import tracemalloc
from dataclasses import replace

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from leptonfit.inference import chunks, coverage
from leptonfit.inference.asymptotic import feldman_cousins
from leptonfit.inference.binned import BinnedModel
from leptonfit.inference.coverage import run_toys
from leptonfit.inference.limit_coverage import cover_limits
from leptonfit.inference.multistart import Effort, run_multistart
from leptonfit.inference.neyman import run_feldman_cousins
from leptonfit.inference.problem import LeastSquaresProblem, Parameter
from leptonfit.inference.profile import scan_profile
from leptonfit.inference.solve import solve

ROW = 8 * chunks.COPIES


def species(n_par, n_res):
    """Independent amplitudes a exp(0.3 a t), each with its own points; nothing depends on the last parameter."""
    t, row = np.linspace(0.5, 1.5, n_res), np.arange(n_res)
    column, y = row % (n_par - 1), 1.3 * t**2 + 0.1 * np.cos(7 * row)

    def jacobian(x):
        slopes = np.zeros((*x.shape[:-1], n_res, n_par))
        slopes[..., row, column] = t * np.exp(0.3 * x[..., column] * t) * (1 + 0.3 * x[..., column] * t)
        return slopes

    return LeastSquaresProblem(
        tuple(Parameter(name=f"a{k}", start=0.5, lower=0.0, upper=3.0) for k in range(n_par)),
        tuple(f"r{i}" for i in row),
        lambda x: x[..., column] * t * np.exp(0.3 * x[..., column] * t) - y,
        jacobian,
    )


def decay(build):
    """A peak that most starts do not see, so that they are restarted from other points."""
    t = np.linspace(0, 5, 12)
    y = 2 * np.exp(-0.5 * ((t - 3.3) / 0.2) ** 2) + 0.1 * np.sin(9 * t)
    return build(lambda h, m, w: 5 * (h * np.exp(-0.5 * ((t - m) / w) ** 2) - y), h=(0, 9), m=(-40, 40), w=(0.05, 2))


def test_a_problem_of_ordinary_size_is_one_chunk():
    assert chunks.split_points(species(20, 100), 4096) == [slice(0, 4096)]
    assert chunks.split_toys(100_000, 80, np.random.SeedSequence(1))[0][0] == 100_000
    assert len(chunks.split_points(species(100, 10_000), 4096)) == 410


def test_starts_in_chunks_end_where_they_do_together(build, monkeypatch):
    problem = decay(build)
    whole = run_multistart(problem, effort=Effort(40, 1))
    assert len(whole.plateau_chi2) > 1
    monkeypatch.setattr(chunks, "MEMORY", 3 * ROW * problem.n_res * problem.n_par)
    assert len(chunks.split_points(problem, 40)) == 14
    parts = run_multistart(problem, effort=Effort(40, 1))
    for name in ("converged", "flat", "n_iter", "reproduced", "plateau_size"):
        assert_array_equal(getattr(parts, name), getattr(whole, name), name)
    assert_allclose(parts.x, whole.x, rtol=1e-12, atol=1e-12)
    assert_allclose(parts.chi2, whole.chi2, rtol=1e-12)


def test_a_profile_in_chunks_is_the_same(build, monkeypatch):
    problem, grid = decay(build), [1.5, 1.8, 2.0, 2.2]
    whole = scan_profile(problem, "h", grid, effort=Effort(6, 1))
    monkeypatch.setattr(chunks, "MEMORY", 2 * ROW * problem.n_res * problem.n_par)
    parts = scan_profile(problem, "h", grid, effort=Effort(6, 1))
    assert_allclose(parts.chi2_min, whole.chi2_min, rtol=1e-12)
    assert_array_equal(parts.trusted, whole.trusted)
    for level, found in whole.identified_set.items():
        assert_allclose(parts.identified_set[level].intervals, found.intervals, rtol=1e-9)
        assert parts.identified_set[level].decided == found.decided


@pytest.mark.parametrize(("n_par", "n_res", "rows"), [(10, 500, 1.1), (10, 500, 4.5), (40, 200, 20.5)])
def test_memory_stays_below_the_limit(n_par, n_res, rows, monkeypatch):
    problem, limit = species(n_par, n_res), int(rows * ROW * n_par * n_res)
    run_multistart(species(3, 5), effort=Effort(2, 1))  # imports what it needs
    monkeypatch.setattr(chunks, "MEMORY", limit)
    tracemalloc.start()
    found = run_multistart(problem, effort=Effort(30, 1))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert found.converged.all()
    assert peak < limit + 16 * found.x.nbytes


def test_one_start_that_does_not_fit_is_refused_before_it_is_evaluated(build, monkeypatch):
    monkeypatch.setattr(chunks, "MEMORY", 2**20)
    problem, names = species(3, 5), tuple(f"r{i}" for i in range(10**5))
    huge = LeastSquaresProblem(problem.parameters, names, problem.residuals, problem.jacobian)
    needed = f"{ROW * 3 * 10**5:,} bytes of memory, must be at most 1,048,576"
    with pytest.raises(ValueError, match=f"^one point of {10**5} residuals × 3 parameters: needs about {needed}$"):
        run_multistart(huge, effort=Effort(1, 1))


def test_toys_of_a_fit_in_chunks_are_the_same_toys(build, monkeypatch):
    t = np.linspace(0, 3, 6)
    problem = build(lambda a, b: (a * np.exp(-b * t) - 1.5) / 0.2, a=(0, 9), b=(-5, 5))
    truth = np.array([2.0, 0.3])
    whole = run_toys(problem, "b", truth, n_toys=50, seed=3)

    def fail_at_first(problem, starts, **how):
        fit, is_first = solve(problem, starts, **how), (starts[:, :2] == truth).all(axis=-1)
        return replace(fit, converged=fit.converged & ~(is_first & (starts[:, -1] > 1)))

    monkeypatch.setattr(coverage, "solve", fail_at_first)
    monkeypatch.setattr(chunks, "MEMORY", 7 * ROW * 6 * 8)
    parts = run_toys(problem, "b", truth, n_toys=50, seed=3)
    assert parts.n_failed == whole.n_failed
    assert_allclose(parts.delta_chi2, whole.delta_chi2, rtol=1e-9, atol=1e-9)


def test_binned_fits_in_chunks_are_the_same(monkeypatch):
    model, rng = two_bins(), np.random.default_rng(1)
    data, used = rng.poisson(9.0, (20, 1, 2)), np.array([[True, True], [True, False]])
    whole = model.fit(data, used=used, lowest=0.0)
    monkeypatch.setattr(chunks, "MEMORY", 7 * ROW * 3)
    parts = model.fit(data, used=used, lowest=0.0)
    assert parts.theta.shape == (20, 2)
    for name in ("theta", "pulls", "value", "slope"):
        assert_allclose(getattr(parts, name), getattr(whole, name), rtol=1e-12, atol=1e-12)
    assert_array_equal(parts.converged, whole.converged)


def two_bins():
    return BinnedModel(
        nuisances=("scale",),
        base=np.array([5.0, 9.0]),
        shifts=np.array([[0.5, 0.9]]),
        signal=np.array([2.0, 1.0]),
        signal_shifts=np.zeros((1, 2)),
        is_free=np.array([False]),
    )


def test_seeds_of_toys_differ_and_the_first_is_the_given(monkeypatch):
    monkeypatch.setattr(chunks, "TOYS", 300)
    given = np.random.SeedSequence(5)
    found = chunks.split_toys(1000, 3, given)
    assert [n for n, _ in found] == [300, 300, 300, 100]
    assert found[0][1] is given
    assert len({seed.generate_state(1)[0] for _, seed in found}) == 4


def test_limits_from_several_chunks_of_toys_are_right_and_so_is_their_coverage(monkeypatch):
    monkeypatch.setattr(chunks, "TOYS", 3000)
    none = np.zeros((0, 1))
    model = BinnedModel((), np.zeros(1), none, np.ones(1), none, np.zeros(0, dtype=bool), np.ones(1))
    found = run_feldman_cousins(model, np.array([0.4]), n_toys=20_000, seed=1)
    exact = feldman_cousins(0.4, np.array([0.9, 0.95]))[1]
    assert (np.abs(found.limit - exact) < 4 * found.error + 0.01).all()
    assert (found.error < 0.05).all()
    covered = cover_limits(model, np.zeros(1), 1.0, n_toys=20_000, seed=1)
    for level, confidence in enumerate((0.9, 0.95)):
        low, high = covered.interval("fc", level, confidence=0.999)
        assert low <= confidence <= high
