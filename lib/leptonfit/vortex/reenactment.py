"""The December 2025 report's analyses again: its functional, starts, optimiser and finite differences.

They do not reproduce to the digit, nor can they: where L-BFGS-B stalls on finite differences of a χ² that spans sixteen
decades depends on the difference step, the start, the order of the scan, the grid of the functional and the version of
the library. What is re-enacted is therefore never a reference; a recorded run with its versions is (`load_recorded`).
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from scipy.optimize import OptimizeResult, minimize

from leptonfit.datafiles import read_checked
from leptonfit.inference.problem import LeastSquaresProblem, restrict
from leptonfit.inference.result import Booleans, Result
from leptonfit.inference.solve import solve
from leptonfit.vortex.cross_lepton import LEPTONS, MOMENT_FACTOR, REPORT_BOUNDS, Bounds, build_problem
from leptonfit.vortex.measurements import Measurements
from leptonfit.vortex.reported_functional import N_RADII, ReportedClosure

RECORDED = "reenacted_2025.json"


@dataclass(frozen=True)
class Setting:
    """What the report leaves open, or could as well have chosen.

    Parameters
    ----------
    name : str
    step : float
        Of the finite differences; SciPy's default is 1e-8.
    order : str
        "ascending" or "descending", each point starting where the last one ended, or "cold", from the start each time.
    start : str
        Whose start: "tight", "loose" or "multi_start".
    n_radii : int
        Radii of the functional's grid.
    analytic : bool
        Give the optimiser the analytic gradient instead.
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
"""None of these changes the model (the grid, by less than its own error); the last only helps the optimiser."""


@dataclass(frozen=True)
class ReenactedScanResult(Result):
    """A scan of β by the report's optimiser.

    Attributes
    ----------
    name : str
        Of the setting.
    beta, chi2 : ndarray (n,)
        Grid, and χ² where the optimiser stopped.
    says_converged : ndarray (n,) of bool
        Its own word.
    stationary : ndarray (n,) of bool
        KKT ≤ 1e-6, by the analytic Jacobian.
    n_evaluations : int
    seconds : float
    """

    name: str
    beta: np.ndarray
    chi2: np.ndarray
    says_converged: Booleans
    stationary: Booleans
    n_evaluations: int
    seconds: float

    @property
    def beta_min(self) -> float:
        """Where its lowest χ² lies."""
        return float(self.beta[self.chi2.argmin()])

    @property
    def variation(self) -> float:
        """(max − min)/min, as the report defines it."""
        return float(self.chi2.max() / self.chi2.min() - 1)

    @property
    def n_local_minima(self) -> int:
        """Points of the grid below both neighbours."""
        inner = self.chi2[1:-1]
        return int(np.count_nonzero((inner < self.chi2[:-2]) & (inner < self.chi2[2:])))


def reenact_scan(
    measurements: Measurements, claims: Mapping[str, Any], name: str, setting: Setting = SETTINGS[0]
) -> ReenactedScanResult:
    """Scan β as the report did.

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
    problem = build_reported(measurements, claim, n_radii=setting.n_radii)
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
        says_converged=np.array([bool(end.success) for end in ends]),
        stationary=judged.converged,
        n_evaluations=sum(int(end.nfev) for end in ends),
        seconds=seconds,
    )


def build_reported(
    measurements: Measurements, claim: Mapping[str, Any], *, n_radii: int = N_RADII, bounds: Bounds = REPORT_BOUNDS
) -> LeastSquaresProblem:
    """The report's fit at a claim's σ, with its functional on a grid of `n_radii`."""
    return build_problem(
        measurements,
        sigma_m_model=claim["sigma_m_model"],
        sigma_g_model=claim["sigma_g_model"],
        closure=partial(ReportedClosure, n_radii=n_radii),
        bounds=bounds,
    )


def descend(
    problem: LeastSquaresProblem, start: np.ndarray, options: Mapping[str, Any], *, step: float, analytic: bool = False
) -> OptimizeResult:
    """Minimise χ² by L-BFGS-B, on finite differences or the analytic gradient."""

    def chi2(x: np.ndarray) -> float:
        return float(np.sum(problem.residuals(x) ** 2))

    def slope(x: np.ndarray) -> np.ndarray:
        return 2 * problem.jacobian(x).T @ problem.residuals(x)

    bounds = list(zip(problem.lower, problem.upper, strict=True))
    how = {"jac": slope, "options": dict(options)} if analytic else {"options": {**options, "eps": step}}
    return minimize(chi2, start, method="L-BFGS-B", bounds=bounds, **how)


@dataclass(frozen=True)
class ReenactedMultiStartResult(Result):
    """The report's multi-start: geometry always from the same start, only β random, C_μ by least squares.

    Attributes
    ----------
    beta_start, beta, chi2 : ndarray (n_starts,)
        β drawn, and where the optimiser stopped; best first.
    seconds : float
    """

    beta_start: np.ndarray
    beta: np.ndarray
    chi2: np.ndarray
    seconds: float


def reenact_multi_start(
    measurements: Measurements, claims: Mapping[str, Any], *, seed: int
) -> ReenactedMultiStartResult:
    """Run the report's multi-start, which states no seed, with one.

    Parameters
    ----------
    measurements : Measurements
    claims : mapping
        From `load_claims`.
    seed : int
    """
    claim = claims["multi_start"]
    problem = build_reported(measurements, claim)
    column = problem.index("c_mu")
    others = np.delete(np.arange(problem.n_par), column)
    low, high = problem.lower[others], problem.upper[others]
    low[0], high[0] = claim["beta_box"]

    def chi2(x: np.ndarray) -> float:
        moment = MOMENT_FACTOR * x[1:7:3] * x[2:7:3]
        c_mu = moment @ measurements.values[3:] / (moment @ moment)
        return float(np.sum(problem.residuals(np.insert(x, column, c_mu)) ** 2))

    began = time.perf_counter()
    lowest, highest = claim["beta_start"]
    drawn = np.random.default_rng(seed).uniform(lowest, highest, claim["n_starts"])
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


def reenact_part(
    measurements: Measurements,
    claims: Mapping[str, Any],
    claim: Mapping[str, Any],
    *,
    fixed: Mapping[str, float],
    residuals: tuple[str, ...],
) -> ReenactedScanResult:
    """Scan a claim's β with only some measurements, from R = 0.44, U = 0.024 √m, A = 0.90 at every point.

    Parameters
    ----------
    measurements : Measurements
    claims : mapping
        From `load_claims`.
    claim : mapping
        With `beta_range` and `n_beta`.
    fixed : mapping
        Parameters held.
    residuals : tuple of str
        What is fitted.
    """
    problem = build_reported(measurements, claims["multi_start"])
    stated = claims["degeneracy"]
    start = problem.start.copy()
    for lepton, mass in zip(LEPTONS, measurements.values, strict=False):
        velocity = claims["c_mu"]["electron_point"][1] * np.sqrt(mass)
        for kind, value in (("R", stated["radius"]), ("U", velocity), ("A", stated["amplitude"])):
            start[problem.index(f"{kind}_{lepton}")] = value
    start = np.clip(start, problem.lower, problem.upper)
    low, high = claim["beta_range"]
    grid = np.linspace(low, high, claim["n_beta"])
    began, ends, judged = time.perf_counter(), [], []
    for beta in grid:
        part = restrict(problem, fixed={**fixed, "beta": float(beta)}, residuals=residuals)
        from_start = np.array([start[problem.index(parameter)] for parameter in part.names])
        ends.append(descend(part, from_start, claims["multi_start"]["optimiser"], step=1e-8))
        judged.append(solve(part, ends[-1].x, max_iter=0))
    return ReenactedScanResult(
        name="as stated",
        beta=grid,
        chi2=np.array([float(found.chi2) for found in judged]),
        says_converged=np.array([bool(end.success) for end in ends]),
        stationary=np.array([bool(found.converged) for found in judged]),
        n_evaluations=sum(int(end.nfev) for end in ends),
        seconds=time.perf_counter() - began,
    )


def load_recorded(*, data: Path | None = None) -> dict[str, Any]:
    """The recorded re-enactment: `versions`, `machine`, `recorded`, and `tight` and `loose`, each a list of scans.

    Raises
    ------
    InputError
        If the file is not the one its checksum names.
    """
    recorded: dict[str, Any] = json.loads(read_checked(RECORDED, data=data))
    for name in ("tight", "loose"):
        recorded[name] = [ReenactedScanResult.from_dict(scan) for scan in recorded[name]]
    return recorded


def reenact_all(
    measurements: Measurements, claims: Mapping[str, Any], say: Callable[[str], None] = lambda line: None
) -> dict[str, list[ReenactedScanResult]]:
    """Every setting of the tight scan, and the loose scan as stated."""
    scans: dict[str, list[ReenactedScanResult]] = {"tight": [], "loose": []}
    for name, settings in (("tight", SETTINGS), ("loose", (Setting("as stated", start="loose"),))):
        for setting in settings:
            scans[name].append(reenact_scan(measurements, claims, name, setting))
            say(f"{name}, {setting.name}: minimum at {scans[name][-1].beta_min:.3f}")
    return scans


def _geometry(start: Mapping[str, Any]) -> np.ndarray:
    """R, U and A of e, μ and τ (9,)."""
    return np.array([value for lepton in LEPTONS for value in start[lepton]])
