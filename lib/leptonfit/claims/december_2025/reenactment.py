"""Re-enactment of the December 2025 analyses: the report's functional, starts, optimiser and finite differences.

The results cannot be reproduced to the last digit. χ² spans sixteen decades, and the point at which L-BFGS-B with
finite differences stalls depends on the difference step, the start, the order of the scan, the grid of the functional
and the version of the library. A new run is therefore never a reference; the runs in the module `recorded` are.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
from scipy.optimize import OptimizeResult, minimize

from leptonfit.claims.december_2025.degeneracy import (
    DegeneracyCheck,
    DegeneracyResult,
    Minima,
    conclude_checks,
    plan_degeneracy_checks,
)
from leptonfit.inference.problem import LeastSquaresProblem, restrict
from leptonfit.inference.result import Booleans, Result
from leptonfit.inference.solve import solve
from leptonfit.vortex.measurements import Measurements
from leptonfit.vortex.model import LEPTONS, MOMENT_FACTOR, VortexModel
from leptonfit.vortex.reported_functional import N_RADII, ReportedClosure


@dataclass(frozen=True)
class Setting:
    """Numerical settings that the report does not state, or could have chosen differently.

    Parameters
    ----------
    name : str
    step : float
        Step of the finite differences; SciPy's default is 1e-8.
    order : str
        "ascending" or "descending": each point starts where the previous one ended. "cold": each starts at `start`.
    start : str
        Analysis of the report whose start is used: "tight", "loose" or "multi_start".
    n_radii : int
        Number of radii in the grid of the functional.
    analytic : bool
        Whether the optimiser uses the analytic gradient instead of finite differences.
    """

    name: str
    step: float = 1e-8
    order: str = "ascending"
    start: str = "tight"
    n_radii: int = N_RADII
    analytic: bool = False


SETTINGS = (
    Setting("as stated"),
    Setting("step 1e-7", step=1e-7),
    Setting("step 1e-9", step=1e-9),
    Setting("step 1e-10", step=1e-10),
    Setting("scan descending", order="descending"),
    Setting("every point from the start", order="cold"),
    Setting("the multi-start's start", start="multi_start"),
    Setting("200 radii", n_radii=200),
    Setting("400 radii", n_radii=400),
    Setting("analytic gradient", analytic=True),
)
"""Settings that do not change the model: the number of radii changes it by less than the error of the grid, and the
analytic gradient only helps the optimiser."""


@dataclass(frozen=True)
class ReenactedScanResult(Result):
    """Scan of β with the report's optimiser.

    Attributes
    ----------
    name : str
        Name of the setting.
    beta, chi2, c_mu : ndarray (n,)
        Grid of β, and χ² and C_μ where the optimiser stopped.
    says_converged : ndarray (n,) of bool
        Whether the optimiser reports convergence.
    stationary : ndarray (n,) of bool
        Whether the KKT residual from the analytic Jacobian is ≤ 1e-6.
    n_evaluations : int
    seconds : float
    """

    name: str
    beta: np.ndarray
    chi2: np.ndarray
    c_mu: np.ndarray
    says_converged: Booleans
    stationary: Booleans
    n_evaluations: int
    seconds: float

    @property
    def beta_min(self) -> float:
        """Grid point β with the lowest χ²."""
        return float(self.beta[self.chi2.argmin()])

    @property
    def variation(self) -> float:
        """Variation of χ² over the scan, (max − min)/min, as the report defines it."""
        return float(self.chi2.max() / self.chi2.min() - 1)

    @property
    def n_local_minima(self) -> int:
        """Number of grid points where χ² is below both neighbours."""
        inner = self.chi2[1:-1]
        return int(np.count_nonzero((inner < self.chi2[:-2]) & (inner < self.chi2[2:])))


def reenact_scan(
    measurements: Measurements, claims: Mapping[str, Any], name: str, setting: Setting = SETTINGS[0]
) -> ReenactedScanResult:
    """Scan β with the report's optimiser and start.

    Parameters
    ----------
    measurements : Measurements
    claims : mapping
        From `load_claims`.
    name : str
        "tight" or "loose".
    setting : Setting
    """
    claim = claims[name]
    problem = build_reported(measurements, claim, n_radii=setting.n_radii).problem
    low, high = claim["beta_range"]
    grid = np.linspace(low, high, claim["n_beta"])
    source = claims[setting.start]
    start = np.concatenate([[claim["c_mu_start"]], _geometry(source["start"])])
    start = np.clip(start, problem.lower[1:], problem.upper[1:])
    options = {**claims["multi_start"]["optimiser"], "maxiter": claim["maxiter"]}
    began, order = time.perf_counter(), np.arange(len(grid))
    ends: list[OptimizeResult] = [OptimizeResult()] * len(grid)
    x = start
    for at in order[::-1] if setting.order == "descending" else order:
        part = restrict(problem, fixed={"beta": float(grid[at])})
        ends[at] = descend(part, x, options, step=setting.step, analytic=setting.analytic)
        x = start if setting.order == "cold" else ends[at].x
    seconds = time.perf_counter() - began
    stopped = np.array([np.concatenate([[beta], end.x]) for beta, end in zip(grid, ends, strict=True)])
    judged = solve(problem, stopped, fixed=("beta",), max_iter=0)
    return ReenactedScanResult(
        name=setting.name,
        beta=grid,
        chi2=judged.chi2,
        c_mu=stopped[:, problem.index("c_mu")],
        says_converged=np.array([bool(end.success) for end in ends]),
        stationary=judged.converged,
        n_evaluations=sum(int(end.nfev) for end in ends),
        seconds=seconds,
    )


def build_reported(measurements: Measurements, claim: Mapping[str, Any], *, n_radii: int = N_RADII) -> VortexModel:
    """Return the report's model with the σ of a claim and the report's functional on a grid of `n_radii` radii."""
    return VortexModel(
        measurements,
        sigma_m_model=claim["sigma_m_model"],
        sigma_g_model=claim["sigma_g_model"],
        closure=partial(ReportedClosure, n_radii=n_radii),
    )


def descend(
    problem: LeastSquaresProblem, start: np.ndarray, options: Mapping[str, Any], *, step: float, analytic: bool = False
) -> OptimizeResult:
    """Minimise χ² by L-BFGS-B, with finite differences or with the analytic gradient."""

    def chi2(x: np.ndarray) -> float:
        return float(np.sum(problem.residuals(x) ** 2))

    def slope(x: np.ndarray) -> np.ndarray:
        return 2 * problem.jacobian(x).T @ problem.residuals(x)

    bounds = list(zip(problem.lower, problem.upper, strict=True))
    how = {"jac": slope, "options": dict(options)} if analytic else {"options": {**options, "eps": step}}
    return minimize(chi2, start, method="L-BFGS-B", bounds=bounds, **how)


@dataclass(frozen=True)
class ReenactedMultiStartResult(Result):
    """Multi-start of the report: random start of β, the same start of the geometry, and C_μ by least squares.

    Attributes
    ----------
    beta_start, beta, chi2 : ndarray (n_starts,)
        Drawn start of β, and β and χ² where the optimiser stopped, in order of increasing χ².
    seconds : float
    """

    beta_start: np.ndarray
    beta: np.ndarray
    chi2: np.ndarray
    seconds: float


def draw_beta(claim: Mapping[str, Any], *, seed: int) -> np.ndarray:
    """Random starts of β (n_starts,) of the report's multi-start, whose claim is `claim`."""
    lowest, highest = claim["beta_start"]
    return np.random.default_rng(seed).uniform(lowest, highest, claim["n_starts"])


def reenact_multi_start(
    measurements: Measurements, claim: Mapping[str, Any], *, seed: int
) -> ReenactedMultiStartResult:
    """Run the report's multi-start with a given seed, since the report states none.

    Parameters
    ----------
    measurements : Measurements
    claim : mapping
        "multi_start" of `load_claims`.
    seed : int
    """
    problem = build_reported(measurements, claim).problem
    column = problem.index("c_mu")
    others = np.delete(np.arange(problem.n_par), column)
    low, high = problem.lower[others], problem.upper[others]
    low[0], high[0] = claim["beta_box"]

    def chi2(x: np.ndarray) -> float:
        moment = MOMENT_FACTOR * x[1:7:3] * x[2:7:3]
        c_mu = moment @ measurements.values[3:] / (moment @ moment)
        return float(np.sum(problem.residuals(np.insert(x, column, c_mu)) ** 2))

    began = time.perf_counter()
    drawn = draw_beta(claim, seed=seed)
    ends = [
        minimize(
            chi2,
            np.concatenate([[beta], _geometry(claim["start"])]),
            method="L-BFGS-B",
            bounds=list(zip(low, high, strict=True)),
            options=dict(claim["optimiser"]),
        )
        for beta in drawn
    ]
    order = np.argsort([end.fun for end in ends])
    return ReenactedMultiStartResult(
        beta_start=drawn[order],
        beta=np.array([ends[k].x[0] for k in order]),
        chi2=np.array([ends[k].fun for k in order]),
        seconds=time.perf_counter() - began,
    )


def reenact_checks(measurements: Measurements, claims: Mapping[str, Any]) -> tuple[DegeneracyResult, ...]:
    """Run the degeneracy checks with the report's optimiser, from R = 0.44, U = 0.024 √m, A = 0.90 at every β.

    Parameters
    ----------
    measurements : Measurements
    claims : mapping
        From `load_claims`.
    """
    model = build_reported(measurements, claims["multi_start"])
    problem = model.problem
    radius, velocity = claims["c_mu"]["electron_point"]
    start = problem.start.copy()
    for lepton, mass in zip(LEPTONS, measurements.values, strict=False):
        for kind, value in zip(
            "RUA", (radius, velocity * np.sqrt(mass), claims["degeneracy"]["amplitude"]), strict=True
        ):
            start[problem.index(f"{kind}_{lepton}")] = value
    start = np.clip(start, problem.lower, problem.upper)

    def stop(part: LeastSquaresProblem, check: DegeneracyCheck) -> Minima:
        columns = [part.index(name) for name in ("beta", *check.free)]
        from_start = start[[problem.index(name) for name in check.free]]
        stopped = np.empty((len(check.beta), part.n_par))
        for row, beta in enumerate(check.beta):
            x = from_start
            if check.free:
                at = restrict(part, fixed={"beta": float(beta)})
                x = descend(at, from_start, claims["multi_start"]["optimiser"], step=SETTINGS[0].step).x
            stopped[row, columns] = [beta, *x]
        judged = solve(part, stopped, fixed=("beta",), max_iter=0)
        return stopped[:, columns[1:]], judged.chi2, judged.converged

    return conclude_checks(model, plan_degeneracy_checks(model.energy, claims, velocity=velocity), stop)


@dataclass(frozen=True)
class ReenactedReportResult(Result):
    """Results of all re-enacted analyses.

    Attributes
    ----------
    tight, loose : tuple of ReenactedScanResult
        One scan for each setting; the first uses the settings that the report states.
    multi_start : ReenactedMultiStartResult
    checks : tuple of DegeneracyResult
        Degeneracy checks; a point is `trusted` if the end of the optimiser is stationary.
    """

    tight: tuple[ReenactedScanResult, ...]
    loose: tuple[ReenactedScanResult, ...]
    multi_start: ReenactedMultiStartResult
    checks: tuple[DegeneracyResult, ...]


def reenact_report(
    measurements: Measurements, claims: Mapping[str, Any], *, seed: int, say: Callable[[str], None] = lambda line: None
) -> ReenactedReportResult:
    """Run the tight scan with every setting, the loose scan as stated, the multi-start and the checks."""

    def scan(name: str, setting: Setting) -> ReenactedScanResult:
        found = reenact_scan(measurements, claims, name, setting)
        say(f"{name}, {setting.name}: minimum at {found.beta_min:.3f}")
        return found

    return ReenactedReportResult(
        tight=tuple(scan("tight", setting) for setting in SETTINGS),
        loose=(scan("loose", replace(SETTINGS[0], start="loose")),),
        multi_start=reenact_multi_start(measurements, claims["multi_start"], seed=seed),
        checks=reenact_checks(measurements, claims),
    )


def _geometry(start: Mapping[str, Any]) -> np.ndarray:
    """Return R, U and A of e, μ and τ as one array (9,)."""
    return np.array([value for lepton in LEPTONS for value in start[lepton]])
