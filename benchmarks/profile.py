"""The 41-point profile of the cross-lepton fit, timed beside SciPy and iminuit on the same problem in the same run.

Each line is the median of several runs on one core, with the lowest, median and highest χ² reached: a time says nothing
without what was found in it. The peers are given the same analytic derivatives.
"""

import statistics
import sys
import time

import numpy as np

from leptonfit.inference.multistart import Effort, draw_starts
from leptonfit.inference.profile import scan_profile
from leptonfit.inference.solve import solve
from leptonfit.vortex.measurements import load_measurements
from leptonfit.vortex.model import VortexModel

GRID = np.linspace(2.85, 3.25, 41)
N_STARTS = 64


def main():
    problem = VortexModel(load_measurements("report_2025"), sigma_m_model=1e-6, sigma_g_model=2e-8).problem
    rng = np.random.default_rng(1)
    fresh = draw_starts(problem, N_STARTS * len(GRID), rng, {"beta": (GRID[0], GRID[-1])}).reshape(
        len(GRID), N_STARTS, -1
    )
    fresh[..., 0] = GRID[:, None]
    # warm: every point from the solution of a profile at a ten times looser σ
    loose = VortexModel(load_measurements("report_2025"), sigma_m_model=1e-5, sigma_g_model=2e-7).problem
    warm = scan_profile(loose, "beta", GRID, effort=Effort(4, 1)).x
    walk = np.roll(warm, 1, axis=0)  # and each from its left neighbour's, as a profile walk does
    walk[:, 0] = GRID

    def held(starts, method, **options):
        return solve(problem, starts, fixed=("beta",), method=method, **options)

    print(f"cross-lepton fit, {len(GRID)} values of beta, 10 nuisances, 5 residuals; one core, NumPy {np.__version__}")
    print(f"{'':46}{'time':>10}  {'starts':>6}   chi2 reached: min, median, max      chi2 <= 1e-6")
    report("leptonfit, warm, neighbour's solution", 41, lambda: held(walk, "lm"))
    report("SciPy least_squares (trf), warm", 41, lambda: held(walk, "scipy"), repeats=1)
    report("iminuit MIGRAD, warm", 41, lambda: held(walk, "iminuit", max_iter=20000), repeats=1)
    report(f"leptonfit, {N_STARTS} random starts a point", fresh[..., 0].size, lambda: held(fresh, "lm"))
    few = fresh[:, :2]
    report("SciPy least_squares (trf), 2 random starts", few[..., 0].size, lambda: held(few, "scipy"), repeats=1)
    report("iminuit MIGRAD, 2 random starts", few[..., 0].size, lambda: held(few, "iminuit", max_iter=20000), repeats=1)
    seconds = timed(lambda: scan_profile(problem, "beta", GRID, effort=Effort(N_STARTS, 1)), 5)[0]
    print(f"{'leptonfit, whole scan_profile with ' + str(N_STARTS) + ' starts':46}{1e3 * seconds:7.1f} ms")


def timed(run, repeats):
    run()
    seconds = []
    for _ in range(repeats):
        began = time.perf_counter()
        result = run()
        seconds.append(time.perf_counter() - began)
    return statistics.median(seconds), result


def report(name, n_starts, run, repeats=7):
    seconds, fit = timed(run, repeats)
    low, middle, high = (float(f(fit.chi2)) for f in (np.min, np.median, np.max))
    share = np.mean(fit.chi2 <= 1e-6)
    print(f"{name:46}{1e3 * seconds:7.1f} ms  {n_starts:>6}   {low:9.1e} {middle:9.1e} {high:9.1e}   {share:18.1%}")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
