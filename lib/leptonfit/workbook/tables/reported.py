"""Tables of the December 2025 report: claimed beside re-enacted and computed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from leptonfit.claims.december_2025.degeneracy import DegeneracyResult
from leptonfit.claims.december_2025.recorded import ConvergedReportResult, RecordedRunResult
from leptonfit.claims.december_2025.reenactment import ReenactedScanResult
from leptonfit.claims.december_2025.reported import RecomputedScan, ReportedOptimiserResult
from leptonfit.inference.multistart import CHI2_FLOOR, MultistartResult, format_chi2
from leptonfit.inference.problem import LeastSquaresProblem
from leptonfit.vortex.c_mu import CMuResult
from leptonfit.vortex.model import MOMENT_FACTOR


def tabulate_scans(scans: Sequence[RecomputedScan]) -> pd.DataFrame:
    """Scans of the report, claimed beside computed with the closure `stream` and the report's bounds."""
    return pd.DataFrame(
        [
            {
                "scan": scan.title,
                "σ_m": f"{scan.sigma_m_model:.0e}",
                "claimed minimum at β": f"{scan.claimed_beta_min:.3f}",
                "claimed χ²_min": f"{scan.claimed_chi2_min:.0f}",
                "computed χ²_min there (stream)": format_chi2(scan.chi2_at_claimed),
                "computed zero at (stream)": f"{scan.n_zero} of {scan.n_grid} points",
                "claimed offset": f"{scan.claimed_offset:.3f}",
                "recomputed offset": f"{scan.offset:.4f}",
            }
            for scan in scans
        ]
    )


def tabulate_reenacted(scans: Sequence[ReenactedScanResult]) -> pd.DataFrame:
    """Minimum that the report's optimiser reaches, one row for each setting."""
    rows = []
    for scan in scans:
        shown = scan.chi2.min() >= CHI2_FLOOR
        row = {
            "setting": scan.name,
            "minimum at β": f"{scan.beta_min:.3f}" if shown else "none, zero",
            "χ² there": f"{scan.chi2.min():,.0f}" if shown else format_chi2(float(scan.chi2.min())),
            "variation": f"{100 * scan.variation:,.0f} %" if shown else "no meaning",
            "local minima": f"{scan.n_local_minima}" if shown else "no meaning",
            "says converged": f"{np.count_nonzero(scan.says_converged)} of {len(scan.beta)}",
            "χ² is zero": f"{np.count_nonzero(scan.chi2 < CHI2_FLOOR)} of {len(scan.beta)}",
        }
        rows.append(row)
    return pd.DataFrame(rows)


def tabulate_runs(runs: Sequence[RecordedRunResult]) -> pd.DataFrame:
    """Minima that the report's optimiser reaches with the stated settings, one row for each recorded run."""
    rows = []
    for run in runs:
        row = {"recorded": run.recorded, "SciPy": run.versions["scipy"], "NumPy": run.versions["numpy"]}
        row |= {"kernel": run.kernel, "machine": run.machine}
        for name, scan in (("tight", run.report.tight[0]), ("loose", run.report.loose[0])):
            row |= {f"{name} minimum at β": f"{scan.beta_min:.3f}", f"{name} χ² there": f"{scan.chi2.min():,.0f}"}
        best = run.report.multi_start
        rows.append({**row, "multi-start's best": f"{best.chi2[0]:,.0f} at {best.beta[0]:.3f}"})
    return pd.DataFrame(rows)


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
    columns = ["analysis", "claimed", "re-enacted (recorded run)", "converged"]
    table = pd.DataFrame([row[:4] for row in rows], columns=columns)
    for column_name, at in (("re-enacted in s", 4), ("converged in s", 5)):
        table[column_name] = ["" if row[at] is None else f"{row[at]:.2f}" for row in rows]
    return table


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


def tabulate_c_mu_claims(claims: Mapping[str, Any], scan: CMuResult, there: CMuResult) -> pd.DataFrame:
    """C_μ of the report, claimed beside computed at the start of the scan and at the reference β."""
    claim = claims["c_mu"]

    low, high = there.electron[0]
    return pd.DataFrame(
        {
            "quantity": ["electron alone", "joint", "ratio of the two"],
            "claimed": [
                f"{claim['electron_alone']:g}",
                "{:g} to {:g}".format(*claim["joint"]),
                f"a factor of about {claim['factor']:g}",
            ],
            f"computed at β = {there.beta[0]:.10g}": [
                _interval(there.electron[0]),
                _interval(there.joint[0]),
                f"any up to {high / low:.3g}" if np.isfinite(low) else "none",
            ],
            f"computed at β = {scan.beta[0]:.6g}": [_interval(scan.electron[0]), _interval(scan.joint[0]), ""],
        }
    )


def tabulate_multistart_claims(
    problem: LeastSquaresProblem, claims: Mapping[str, Any], result: MultistartResult, reported: ReportedOptimiserResult
) -> pd.DataFrame:
    """Multi-start of the report: claimed, by the report's optimiser from these starts, and by our solver."""
    claim, column = claims["multi_start"], problem.index("beta")

    def spread(beta: np.ndarray) -> str:
        return f"{beta.min():.3f} to {beta.max():.3f}"

    return pd.DataFrame(
        {
            "quantity": ["starts", "lowest χ²", "β of the end points"],
            "claimed": [
                f"{claim['n_starts']}",
                f"{claim['chi2_best']:g}",
                "{:g} to {:g}".format(*claim["beta_spread"]),
            ],
            "its optimiser, these starts": [
                f"{len(reported.chi2)}",
                format_chi2(float(np.nanmin(reported.chi2))),
                spread(reported.x[:, column]),
            ],
            "computed": [f"{len(result.chi2)}", format_chi2(float(result.chi2[0])), spread(result.x[:, column])],
        }
    )
