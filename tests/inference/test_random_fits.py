"""Ends of sets on random fits, held against SciPy and against the same fit in a box a thousand times wider."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.optimize import least_squares

from leptonfit.inference.identifiability import assess_profile
from leptonfit.inference.multistart import Effort
from leptonfit.inference.profile import scan_profile

pytestmark = pytest.mark.slow

MODELS = {
    "decay": (lambda t: lambda a, b, c: a * np.exp(-b * t) + c, (5.0, 0.6, 0.5)),
    "peak": (lambda t: lambda a, m, w: a / (1 + ((t - m) / w) ** 2), (3.0, 2.0, 0.8)),
    "saturation": (lambda t: lambda v, k: v * t / (k + t), (4.0, 3.0)),
    "parabola": (lambda t: lambda a, b, c: a + b * t + c * t**2, (1.0, -0.5, 0.3)),
}


def random_fit(build, name, seed):
    """One of the models with random times, errors, data and bounds about its true values, and one of its parameters."""
    rng, (make, truth) = np.random.default_rng(seed), MODELS[name]
    times = np.sort(rng.uniform(0.1, rng.choice([2, 6]), 12))
    model = make(times)
    sigma = np.abs(model(*truth)).mean() * rng.choice([0.01, 0.1])
    data = model(*truth) + sigma * rng.normal(size=12)
    names = model.__code__.co_varnames[: len(truth)]
    widths = np.abs(truth) * rng.choice([0.1, 0.5, 3.0], len(truth))
    bounds = {one: (true - width, true + width) for one, true, width in zip(names, truth, widths, strict=True)}
    problem = build(lambda *x: (model(*x) - data) / sigma, **bounds)
    starts = tuple(replace(one, start=true) for one, true in zip(problem.parameters, truth, strict=True))
    return replace(problem, parameters=starts), str(rng.choice(names))


def lowest(problem, name, value, starts):
    """χ² with a parameter fixed, by SciPy from several starts."""
    free, x = problem.free_indices((name,)), starts[0].copy()
    x[problem.index(name)] = value

    def at(values):
        x[free] = values
        return x

    found = [
        least_squares(
            lambda values: problem.residuals(at(values)),
            np.clip(start, problem.lower, problem.upper)[free],
            jac=lambda values: problem.jacobian(at(values))[:, free],
            x_scale="jac",
            xtol=1e-15,
            ftol=1e-15,
            gtol=1e-15,
            bounds=(problem.lower[free], problem.upper[free]),
        ).cost
        for start in starts
    ]
    return 2 * min(found)


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("seed", range(4))
def test_ends_agree_with_scipy_and_with_a_wider_box(build, name, seed):
    problem, parameter = random_fit(build, name, seed)
    profile, column = scan_profile(problem, parameter), problem.index(parameter)
    level = profile.best_chi2 + profile.levels["0.95"]
    within, best = profile.identified_set["0.95"], profile.best_x[column]
    starts = [profile.best_x, problem.start, *profile.x[[0, -1]]]
    for (low, high), below, above in zip(within.intervals, within.below, within.above, strict=True):
        for end, reason in ((low, below.reason), (high, above.reason)):
            if reason in ("crossing", "box"):
                assert lowest(problem, parameter, end, starts) == pytest.approx(level, abs=1e-3)
                outside = end + 1e-3 * (end - best)
                if problem.lower[column] <= outside <= problem.upper[column]:
                    assert lowest(problem, parameter, outside, starts) > level - 1e-4
    if assess_profile(problem, profile).code in ("rejected", "unreliable"):
        return
    wide = replace(
        problem,
        parameters=tuple(
            one if one.name == parameter else replace(one, lower=one.lower - 1e3 * width, upper=one.upper + 1e3 * width)
            for one, width in zip(problem.parameters, problem.widths, strict=True)
        ),
    )
    drawn = {one.name: (one.lower, one.upper) for one in problem.parameters}
    in_wide = scan_profile(wide, parameter, effort=Effort(16, 1, drawn)).identified_set["0.95"]
    released = profile.released_set["0.95"]
    for side, ends in ((0, in_wide.below[:1]), (1, in_wide.above[-1:])):
        if ends and ends[0].reason == "crossing":
            row = -side
            expected = in_wide.intervals[row, side]
            assert released.intervals[row, side] == pytest.approx(expected, abs=1e-3 * abs(expected - best))
