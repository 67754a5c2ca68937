"""Tables of the December 2025 report: claimed beside re-enacted and computed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from leptonfit.inference.multistart import CHI2_FLOOR
from leptonfit.vortex.model import MOMENT_FACTOR
from leptonfit.workbook.formats import from_records

if TYPE_CHECKING:
    from leptonfit.claims.december_2025.degeneracy import DegeneracyResult
    from leptonfit.claims.december_2025.recorded import ConvergedReportResult, RecordedRunResult


def tabulate_three_ways(
    claims: Mapping[str, Any], g_e: float, run: RecordedRunResult, converged: ConvergedReportResult
) -> pd.DataFrame:
    """Analyses of the report: claimed, re-enacted in a recorded run, and converged, with the seconds of the latter two.

    Parameters
    ----------
    claims : mapping
        From `load_claims`.
    g_e : float
        Measured g-factor of the electron, from which C_μ of the electron alone follows.
    run : RecordedRunResult
    converged : ConvergedReportResult
    """
    again, multi = run.report, claims["multi_start"]
    varies = "minimum {:,.0f} at {:.2f}, varies by {:,.0f} %, {} local minima"
    radius, velocity = claims["c_mu"]["electron_point"]
    rows: list[tuple[str, str, str, str, float | None, float | None]] = [
        (
            multi["title"],
            "β {:g} to {:g}, best {:g} at {:g}".format(*multi["beta_spread"], multi["chi2_best"], multi["beta_best"]),
            f"β {again.multi_start.beta.min():.2f} to {again.multi_start.beta.max():.2f}, "
            f"best {again.multi_start.chi2[0]:,.0f} at {again.multi_start.beta[0]:.3f}",
            converged.multi_start.summary(),
            again.multi_start.seconds,
            run.seconds.get("multi-start"),
        )
    ]
    for name, scan, profile in (("tight", again.tight[0], converged.tight), ("loose", again.loose[0], converged.loose)):
        claim = claims[name]
        rows.append(
            (
                claim["title"],
                varies.format(claim["chi2_min"], claim["beta_min"], 100 * claim["variation"], claim["local_minima"]),
                varies.format(scan.chi2.min(), scan.beta_min, 100 * scan.variation, scan.n_local_minima),
                f"zero at {np.count_nonzero(profile.chi2_min < CHI2_FLOOR)} of {len(profile.grid)} points",
                scan.seconds,
                run.seconds.get(name),
            )
        )
    (low, high), ends = claims["c_mu"]["joint"], again.tight[0].c_mu
    point, stated = g_e / (MOMENT_FACTOR * radius * velocity), claims["c_mu"]["electron_alone"]
    rows += [
        (
            "C_μ, electron alone",
            f"{stated:g}",
            f"arithmetic: {point:.1f} at R, U = {radius:g}, {velocity:g}",
            f"{_interval(converged.c_mu.electron[1])} at β = {converged.c_mu.beta[1]:.6g}",
            None,
            None,
        ),
        (
            "C_μ, joint fit",
            f"{low:g} to {high:g}, a factor of {claims['c_mu']['factor']:g} less",
            f"{ends.min():.0f} to {ends.max():.0f} where the tight scan stopped, "
            f"{point / ends.max():.2f} to {point / ends.min():.2f} times less",
            "; ".join(
                f"{_interval(found)} at β = {beta:.6g}"
                for found, beta in zip(converged.c_mu.joint, converged.c_mu.beta, strict=True)
            ),
            None,
            None,
        ),
    ]
    within = claims["mass_only"]["residual"], multi["sigma_m_model"]
    rows += [
        (
            check.name,
            check.claimed,
            _describe_check(check, within=within),
            _describe_check(exact),
            check.seconds,
            run.seconds.get(check.name),
        )
        for check, exact in zip(again.checks, converged.checks, strict=True)
    ]
    titles = ("analysis", "claimed", "re-enacted (recorded run)", "converged")
    return from_records(
        rows,
        {title: k for k, title in enumerate(titles)}
        | {"re-enacted in s": (4, "{:.2f}"), "converged in s": (5, "{:.2f}")},
    )


def _interval(values: np.ndarray) -> str:
    return "{:.5g} to {:.5g}".format(*values) if np.isfinite(values[0]) else "none"


def _describe_check(check: DegeneracyResult, *, within: tuple[float, float] | None = None) -> str:
    """Describe the result of a check; `within` adds the number of points with a mass residual below `within[0]`."""
    said = []
    if check.constraints:
        n, lowest = len(check.beta), f"lowest at β = {check.beta[check.chi2_min.argmin()]:.6g}"
        said.append(f"zero at {check.n_zero} of {n} points")
        if within and check.free and not any(name.startswith("g_") for name in check.constraints):
            met = np.sqrt(check.chi2_min) * within[1] < within[0]
            said.append(f"{np.count_nonzero(met)} within {within[0]:g}")
        if check.n_zero < n:
            said.append(
                f"{lowest}, varies by {100 * (check.chi2_min.max() / check.chi2_min.min() - 1):,.0f} %"
                if check.n_zero == 0
                else lowest
            )
    if check.followed:
        said.append(f"{check.followed} from {np.nanmin(check.values):.6g} to {np.nanmax(check.values):.6g}")
    return ", ".join(said)
