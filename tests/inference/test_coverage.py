"""Coverage by toys: nominal where theory says so, and not where it does not."""

import numpy as np
import pytest

from leptonfit.inference.coverage import NOMINAL, CoverageResult, combine, run_toys
from leptonfit.inference.problem import LeastSquaresProblem, Parameter


def line(lower=-np.inf):
    """y = a + b t measured at four t with unit errors."""
    t = np.array([-1.5, -0.5, 0.5, 1.5])
    parameters = (
        Parameter(name="a", start=1.0, lower=-np.inf, upper=np.inf),
        Parameter(name="b", start=1.0, lower=lower, upper=np.inf),
    )
    slopes = np.stack([np.ones(4), t], axis=-1)
    return LeastSquaresProblem(
        parameters, tuple("1234"), lambda x: x @ slopes.T, lambda x: np.broadcast_to(slopes, (*x.shape[:-1], 4, 2))
    )


def test_a_linear_fit_covers_as_it_says():
    """Δχ² of each toy is the square of its slope's pull."""
    toys = run_toys(line(), "b", np.array([1.0, 2.0]), n_toys=20_000, seed=2)
    noise, t = np.random.default_rng(2).standard_normal((20_000, 4)), np.array([-1.5, -0.5, 0.5, 1.5])
    assert toys.delta_chi2 == pytest.approx(np.sort((noise @ t) ** 2 / (t @ t)), abs=1e-12)
    assert (toys.n_failed, toys.truth) == (0, 2.0)
    assert toys.covers("0.68")
    assert toys.covers("0.95")


def test_at_a_bound_the_interval_covers_too_often():
    """Half the toys put b on its bound, where Δχ² = 0: coverage (1 + nominal)/2 (Chernoff 1954)."""
    toys = run_toys(line(lower=0.0), "b", np.array([1.0, 0.0]), n_toys=20_000, seed=1)
    assert not toys.covers("0.68")
    assert toys.n_covered("0.68") / 20_000 == pytest.approx((1 + NOMINAL["0.68"]) / 2, abs=0.01)


def test_the_toys_scatter_about_the_truth_not_the_measured():
    """The residuals at the truth are large; the toys do not know."""
    toys = run_toys(line(), "b", np.array([100.0, 50.0]), n_toys=2000, seed=1)
    assert toys.delta_chi2.max() < 20


def test_chunks_make_the_whole():
    parts = [run_toys(line(), "b", np.array([1.0, 2.0]), n_toys=n, seed=n) for n in (3, 5)]
    whole = combine(parts)
    assert len(whole.delta_chi2) == 8
    assert whole.delta_chi2.tolist() == sorted(np.concatenate([part.delta_chi2 for part in parts]))


def test_what_did_not_converge_widens_the_interval_on_both_sides():
    sure = CoverageResult("b", 0.0, np.array([0.1] * 70 + [5.0] * 30))
    doubtful = CoverageResult("b", 0.0, np.array([0.1] * 60 + [5.0] * 20 + [np.nan] * 20))
    assert (doubtful.n_toys, doubtful.n_failed) == (80, 20)
    assert (
        doubtful.interval("0.68")[0]
        < sure.interval("0.68")[0]
        < sure.interval("0.68")[1]
        < doubtful.interval("0.68")[1]
    )
    low, high = sure.interval("0.68")  # Wilson's, k = 70 of 100
    assert (low, high) == (pytest.approx(0.60415, abs=1e-5), pytest.approx(0.78105, abs=1e-5))


def test_no_toys_are_refused():
    with pytest.raises(ValueError, match="n_toys = 0: must be at least 1"):
        run_toys(line(), "b", np.array([1.0, 2.0]), n_toys=0, seed=1)
