"""Claims of the December 2025 report, and its scans recomputed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from scipy.optimize import minimize

from leptonfit.claims.claim import check_ranges, check_sentences
from leptonfit.datafiles import read_toml
from leptonfit.inference.multistart import CHI2_FLOOR, Effort
from leptonfit.inference.problem import LeastSquaresProblem
from leptonfit.inference.profile import SetOptions, scan_profile
from leptonfit.inference.result import Booleans, Result
from leptonfit.inference.solve import solve
from leptonfit.vortex.measurements import Measurements
from leptonfit.vortex.model import VortexModel


def load_claims(*, data: Path | None = None) -> dict[str, Any]:
    """Load the claims of the report from `reported_2025.toml`.

    Raises
    ------
    InputError
        If the file is not valid.
    """
    name = "reported_2025.toml"
    claims = read_toml(name, data=data)
    check_sentences(name, claims)
    check_ranges(name, claims, ("beta_box", "beta_spread", "beta_start", "beta_range", "joint", "interval"))
    return claims


@dataclass(frozen=True)
class ReportedOptimiserResult(Result):
    """End points of the report's optimiser from given starts.

    Attributes
    ----------
    x : ndarray (n_starts, n_par)
        Parameters where the optimiser stopped.
    chi2, kkt : ndarray (n_starts,)
        χ² and the stationarity residual at these points, from the analytic Jacobian.
    converged : ndarray (n_starts,) of bool
        Whether the stationarity (KKT) residual is ≤ 1e-6.
    claims_success : ndarray (n_starts,) of bool
        Whether the optimiser reports success.
    message : tuple of str
        Reason that the optimiser gives for stopping.
    """

    x: np.ndarray
    chi2: np.ndarray
    kkt: np.ndarray
    converged: Booleans
    claims_success: Booleans
    message: tuple[str, ...]


def run_reported_optimiser(
    problem: LeastSquaresProblem, starts: np.ndarray, options: Mapping[str, Any]
) -> ReportedOptimiserResult:
    """Minimise χ² as the report did: L-BFGS-B with finite differences.

    Parameters
    ----------
    problem : LeastSquaresProblem
    starts : ndarray (n_starts, n_par)
    options : mapping
        Options of the optimiser, such as its tolerances.
    """
    bounds = list(zip(problem.lower, problem.upper, strict=True))
    fits = [
        minimize(
            lambda x: float(np.sum(problem.residuals(x) ** 2)),
            start,
            method="L-BFGS-B",
            bounds=bounds,
            options=dict(options),
        )
        for start in starts
    ]
    judged = solve(problem, np.array([fit.x for fit in fits]), max_iter=0)
    return ReportedOptimiserResult(
        x=judged.x,
        chi2=judged.chi2,
        kkt=judged.kkt,
        converged=judged.converged,
        claims_success=np.array([bool(fit.success) for fit in fits]),
        message=tuple(str(fit.message) for fit in fits),
    )


@dataclass(frozen=True)
class RecomputedScan(Result):
    """Scan stated by the report beside the same scan computed with the same σ and grid.

    Attributes
    ----------
    title : str
    sigma_m_model, sigma_g_model : float
    claimed_beta_min, claimed_chi2_min, claimed_offset : float
        Values that the report states; the offset is from the report's reference β.
    offset : float
        The same offset, recomputed from the claimed minimum.
    chi2_at_claimed : float
        χ²_min computed at the claimed minimum.
    largest_chi2 : float
        Largest χ²_min on the grid.
    beta, chi2_min : ndarray (n_grid,)
        Grid of β, and χ²_min on it.
    n_trusted : int
        Number of trusted grid points.
    """

    title: str
    sigma_m_model: float
    sigma_g_model: float
    claimed_beta_min: float
    claimed_chi2_min: float
    claimed_offset: float
    offset: float
    chi2_at_claimed: float
    largest_chi2: float
    beta: np.ndarray
    chi2_min: np.ndarray
    n_trusted: int

    @property
    def n_grid(self) -> int:
        """Number of grid points."""
        return len(self.beta)

    @property
    def n_zero(self) -> int:
        """Number of grid points where χ²_min is zero (< 1e-6)."""
        return int(np.count_nonzero(self.chi2_min < CHI2_FLOOR))


def recompute_scan(
    claim: Mapping[str, Any], measurements: Measurements, *, reference: float, effort: Effort
) -> RecomputedScan:
    """Recompute one of the report's profile scans with the `stream` closure at r_max = 10.

    Parameters
    ----------
    claim : mapping
        "tight" or "loose" of `load_claims`.
    measurements : Measurements
    reference : float
        β from which the offset is counted.
    effort : Effort
    """
    model = VortexModel(measurements, sigma_m_model=claim["sigma_m_model"], sigma_g_model=claim["sigma_g_model"])
    low, high = claim["beta_range"]
    grid = np.linspace(low, high, claim["n_beta"])
    profile = scan_profile(
        model.problem, "beta", grid, effort=effort, references=(claim["beta_min"],), sets=SetOptions(release=False)
    )
    return RecomputedScan(
        title=claim["title"],
        sigma_m_model=claim["sigma_m_model"],
        sigma_g_model=claim["sigma_g_model"],
        claimed_beta_min=claim["beta_min"],
        claimed_chi2_min=claim["chi2_min"],
        claimed_offset=claim["offset"],
        offset=abs(claim["beta_min"] - reference),
        chi2_at_claimed=float(profile.reference_chi2[0]),
        largest_chi2=float(profile.chi2_min.max()),
        beta=grid,
        chi2_min=profile.chi2_min,
        n_trusted=int(np.count_nonzero(profile.trusted)),
    )
