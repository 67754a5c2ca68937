"""Callables are checked before they are believed: shapes, and a Jacobian that is the derivative of its residuals."""

import numpy as np
import pytest
from numpy import exp, inf

from leptonfit.inference.multistart import Effort, run_multistart
from leptonfit.inference.problem import LeastSquaresProblem, Parameter
from leptonfit.inference.profile import scan_profile
from leptonfit.inference.solve import solve

TIMES = np.linspace(0, 4, 9)
DATA = 2 * exp(-0.8 * TIMES)
PARAMETERS = (Parameter(name="a", start=1.0, lower=0.1, upper=9), Parameter(name="k", start=1.0, lower=0.01, upper=9))


def residuals(x):
    return (x[..., [0]] * exp(-x[..., [1]] * TIMES) - DATA) / 0.05


def jacobian(x, by_k=TIMES, sign=-1):
    decay = exp(-x[..., [1]] * TIMES)
    return np.stack([decay, sign * x[..., [0]] * by_k * decay], axis=-1) / 0.05


def problem(residuals=residuals, jacobian=jacobian, n_res=9, parameters=PARAMETERS):
    return LeastSquaresProblem(parameters, tuple(f"y{i}" for i in range(n_res)), residuals, jacobian)


ONE_ENTRY = np.where((np.arange(9) == 4)[:, None] & np.array([True, False]), 1.01, 1.0)
SLIPS = {
    "a sign": lambda x: jacobian(x, sign=1),
    "a factor of t left out": lambda x: jacobian(x, by_k=np.ones(9)),
    "one entry": lambda x: jacobian(x) * ONE_ENTRY,
    "columns exchanged": lambda x: jacobian(x)[..., ::-1],
}


@pytest.mark.parametrize("wrong", SLIPS.values(), ids=SLIPS)
def test_a_slip_in_a_jacobian_is_refused(wrong):
    for run in (
        lambda p: solve(p, p.start),
        lambda p: run_multistart(p, effort=Effort(2, 1)),
        lambda p: scan_profile(p, "k", np.linspace(0.4, 1.6, 5), effort=Effort(2, 1)),
    ):
        with pytest.raises(
            ValueError, match=r"^jacobian: d\(y\d\)/d\([ak]\) at [ak] = .* is .*, but the residuals change by"
        ):
            run(problem(jacobian=wrong))


def test_the_message_names_what_is_wrong():
    wrong = slice(4, 5)

    def one_entry(x):
        found = jacobian(x)
        found[..., wrong, 0] *= -1
        return found

    with pytest.raises(ValueError, match=r"d\(y4\)/d\(a\) at a = 1 is -2\.70671, but the residuals change by 2\.70671"):
        problem(jacobian=one_entry).check()


def test_right_derivatives_pass():
    problem().check()
    problem(jacobian=lambda x: jacobian(x) * (1 + 1e-7)).check()  # a difference quotient of the user's


@pytest.mark.parametrize("at", [0.0, 1.0, -1.0])
def test_a_complex_step_that_is_silently_wrong_accuses_nobody(at):
    """Through |x| and max(x, 0) the imaginary part is lost; at 0 there is no derivative to compare with."""
    parameter = (Parameter(name="x", start=at, lower=-5, upper=5),)

    def folded(x):
        return np.concatenate([np.abs(x) - 1, np.maximum(x, 0) - 2], axis=-1)

    def slopes(x):
        return np.stack([np.where(x < 0, -1.0, 1.0), np.where(x < 0, 0.0, 1.0)], axis=-2)

    problem(folded, slopes, 2, parameter).check()


def test_interpolation_is_compared_by_differences():
    table = np.arange(10.0)
    parameter = (Parameter(name="x", start=2.0, lower=0.5, upper=8.5),)  # on a knot, where the slopes differ

    def looked_up(x):
        return np.interp(x, table, table**2)

    def slope(x):
        return (2 * np.floor(x) + 1)[..., None, :]

    problem(looked_up, slope, 1, parameter).check()
    with pytest.raises(ValueError, match=r"d\(y0\)/d\(x\)"):
        problem(looked_up, lambda x: -slope(x), 1, parameter).check()


def test_points_that_are_not_finite_are_skipped():
    parameter = (Parameter(name="x", start=1.0, lower=-inf, upper=inf),)
    with np.errstate(all="ignore"):
        problem(lambda x: np.log(1.2 - x), lambda x: (-1 / (1.2 - x))[..., None], 1, parameter).check()


def test_noise_of_the_residuals_is_no_disagreement():
    def noisy(x):
        return residuals(x) + 1e-6 * np.sin(1e9 * x.real[..., [0]])

    problem(noisy).check()


def test_checked_once():
    calls = []

    def counted(x):
        calls.append(x.shape)
        return residuals(x)

    once = problem(counted)
    once.check()
    n = len(calls)
    once.check()
    assert len(calls) == n


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"n_res": 8}, r"residuals of one point: shape \(9,\), must be \(8,\) for 8 residual names"),
        ({"jacobian": lambda x: jacobian(x)[..., :1]}, r"jacobian of one point: shape \(9, 1\), must be \(9, 2\)"),
        ({"residuals": lambda x: (x[0] * exp(-x[1] * TIMES) - DATA) / 0.05}, "residuals"),
        (
            {"jacobian": lambda x: jacobian(x[..., :2].reshape(-1, 2)[0])},
            r"jacobian of points \(2, 3, 2\): shape \(9, 2\)",
        ),
        ({"residuals": lambda x: residuals(np.broadcast_to(x.reshape(-1, 2)[0], x.shape))}, "a point in a batch"),
    ],
)
def test_wrong_shapes_are_named(given, message):
    with pytest.raises(ValueError, match=message):
        problem(**given).check()


def test_a_jacobian_that_ignores_the_batch():
    unit = (Parameter(name="a", start=1.0), Parameter(name="k", start=1.0))
    with pytest.raises(ValueError, match="jacobian of points"):
        problem(lambda x: x - 1.0, lambda x: np.eye(2), 2, unit).check()
