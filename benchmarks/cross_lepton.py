"""Profile of β of the cross-lepton fit at 41 points, by leptonfit and by its peers from the same starts.

The peers are given the same analytic derivatives. The report's procedure (L-BFGS-B with finite differences) runs at a
few of the points; its time is extrapolated to all of them.
"""

import warnings
from functools import partial

import numpy as np
from comparison import Part, Row, compare, is_installed
from scipy.optimize import least_squares

from leptonfit.claims.december_2025.reenactment import SETTINGS, build_reported, descend
from leptonfit.claims.december_2025.reported import load_claims
from leptonfit.inference.multistart import Effort, draw_starts
from leptonfit.inference.problem import restrict
from leptonfit.inference.profile import scan_profile
from leptonfit.inference.solve import solve
from leptonfit.vortex.measurements import load_measurements
from leptonfit.vortex.model import LEPTONS, VortexModel

GRID = np.linspace(2.85, 3.25, 41)
EXACT = 1e-6
REPORTED_POINTS = 5


def build_problem(sigma_m, sigma_g):
    return VortexModel(load_measurements("report_2025"), sigma_m_model=sigma_m, sigma_g_model=sigma_g).problem


def minimise_each(minimise, problem, starts):
    """χ² where a minimiser of one start, called with residuals and Jacobian of the free parameters, ends."""
    chi2, low, high = np.empty(len(starts)), problem.lower[1:], problem.upper[1:]
    for i, start in enumerate(starts):
        point = start.copy()

        def residuals(free, point=point):
            point[1:] = free
            return problem.residuals(point)

        def jacobian(free, point=point):
            point[1:] = free
            return problem.jacobian(point)[:, 1:]

        chi2[i] = np.sum(residuals(minimise(residuals, jacobian, start[1:], low, high)) ** 2)
    return chi2


def by_scipy(residuals, jacobian, start, low, high):
    return least_squares(residuals, start, jac=jacobian, bounds=(low, high), x_scale="jac").x


def by_lmfit(residuals, jacobian, start, low, high):
    """Minimise by lmfit's `least_squares`: its default needs at least as many residuals as parameters."""
    from lmfit import Parameters, minimize

    parameters = Parameters()
    for j, value in enumerate(start):
        parameters.add(f"x{j}", value=value, min=low[j], max=high[j])

    def values(given):
        return np.array([given[f"x{j}"].value for j in range(len(start))])

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of its error matrix, which is singular here
        fit = minimize(
            lambda p: residuals(values(p)), parameters, method="least_squares", jac=lambda p: jacobian(values(p))
        )
    return values(fit.params)


def by_pypesto(residuals, jacobian, start, low, high):
    import pypesto
    from pypesto import optimize

    objective = pypesto.Objective(
        lambda x: 0.5 * float(np.sum(residuals(x) ** 2)), grad=lambda x: residuals(x) @ jacobian(x)
    )
    problem = pypesto.Problem(objective, low, high, x_guesses=start[None])
    return optimize.minimize(problem, n_starts=1, progress_bar=False).optimize_result[0]["x"]


def by_report(claims, n_points):
    """The report's scan of its first points: its functional, its start, each point from where the one before ended."""
    claim = claims["tight"]
    problem = build_reported(load_measurements("report_2025"), claim).problem
    start = np.concatenate([[claim["c_mu_start"]], *(claim["start"][lepton] for lepton in LEPTONS)])
    x = np.clip(start, problem.lower[1:], problem.upper[1:])
    options, chi2 = {**claims["multi_start"]["optimiser"], "maxiter": claim["maxiter"]}, np.empty(n_points)
    for i, beta in enumerate(GRID[:n_points]):
        end = descend(restrict(problem, fixed={"beta": beta}), x, options, step=SETTINGS[0].step)
        x, chi2[i] = end.x, end.fun
    return chi2


def describe(chi2):
    return f"{np.count_nonzero(chi2 <= EXACT)} of {len(chi2)} (largest χ² {np.nanmax(chi2):.0e})"


def run_all() -> list[Row]:
    """Rows of every tool, from starts near the solutions and from random ones."""
    problem = build_problem(1e-6, 2e-8)
    # near: each point from the solution at its left neighbour of a profile at a ten times looser σ
    near = np.roll(scan_profile(build_problem(1e-5, 2e-7), "beta", GRID, effort=Effort(4, 1)).x, 1, axis=0)
    far = draw_starts(problem, len(GRID), np.random.default_rng(1), {"beta": (GRID[0], GRID[-1])})
    rows = []
    for task, starts in (
        ("profile of β started at its neighbours: points with χ² ≤ 1e-6", near),
        ("profile of β started at random: points with χ² ≤ 1e-6", far),
    ):
        starts[:, 0] = GRID
        peers = {
            "iminuit": lambda s=starts: solve(problem, s, fixed=("beta",), method="iminuit", max_iter=20000).chi2,
            "SciPy trf": partial(minimise_each, by_scipy, problem, starts),
            "SciPy trf, tolerances 1e-15": lambda s=starts: solve(problem, s, fixed=("beta",), method="scipy").chi2,
        }
        if is_installed("lmfit"):
            peers["lmfit"] = partial(minimise_each, by_lmfit, problem, starts)
        if is_installed("pypesto"):
            peers["pyPESTO"] = partial(minimise_each, by_pypesto, problem, starts)
        if starts is near:
            name = f"the report's procedure, extrapolated from {REPORTED_POINTS} points"
            peers[name] = Part(partial(by_report, load_claims(), REPORTED_POINTS), len(GRID) / REPORTED_POINTS)
        print(task)
        rows += compare(task, lambda s=starts: solve(problem, s, fixed=("beta",)).chi2, peers, describe)
    return rows


if __name__ == "__main__":
    run_all()
