"""Tables of the December 2025 report: claimed beside re-enacted and computed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from leptonfit.inference.multistart import CHI2_FLOOR, MultistartResult, format_chi2
from leptonfit.inference.problem import LeastSquaresProblem
from leptonfit.vortex.audit import AuditRow
from leptonfit.vortex.c_mu import CMuResult
from leptonfit.vortex.claims import ClaimResult
from leptonfit.vortex.cross_lepton import MOMENT_FACTOR
from leptonfit.vortex.degeneracy import DegeneracyResult
from leptonfit.vortex.reenactment import ReenactedScanResult
from leptonfit.vortex.reported import RecomputedScan, ReportedOptimiserResult


def tabulate_scans(scans: Sequence[RecomputedScan]) -> pd.DataFrame:
    """The report's scans, claimed beside computed with the closure `stream` and the report's bounds."""
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


def tabulate_claims(judged: Sequence[ClaimResult]) -> pd.DataFrame:
    """The report's claims, the rule for each, the numbers, and whether it stands."""
    words = {True: "stands", False: "does not stand", None: "cannot be said"}
    return pd.DataFrame(
        [
            {"claim": c.statement, "stands if": c.rule, "computed": c.computed, "verdict": words[c.stands]}
            for c in judged
        ]
    )


def tabulate_audit(rows: Sequence[AuditRow]) -> pd.DataFrame:
    """The audit of the report's claims, a row a claim."""
    return pd.DataFrame([row.to_dict() for row in rows]).drop(columns="name")


def tabulate_reenacted(scans: Sequence[ReenactedScanResult], *, seconds: bool = False) -> pd.DataFrame:
    """Where the report's optimiser puts its minimum, a row a setting."""
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
        rows.append({**row, "seconds": f"{scan.seconds:.2f}"} if seconds else row)
    return pd.DataFrame(rows)


def tabulate_three_ways(
    claims: Mapping[str, Any],
    reenacted: Mapping[str, Any],
    converged: Mapping[str, Any],
    checks: Sequence[DegeneracyResult],
) -> pd.DataFrame:
    """Each of the report's analyses: claimed, re-enacted, converged, with the time of the last two where it is known.

    Parameters
    ----------
    claims : mapping
        From `load_claims`.
    reenacted : mapping
        "multi-start", "tight", "loose", "mass only", "single lepton", "fixed amplitude", and the measured "g_e".
    converged : mapping
        "multi-start", "tight", "loose", "c_mu" (a `CMuResult` at one β), and "seconds" of the scans.
    checks : sequence of DegeneracyResult
    """
    by_name, seconds = {check.name: check for check in checks}, converged["seconds"]
    multi, only, single, held = (claims[k] for k in ("multi_start", "mass_only", "single_lepton", "degeneracy"))
    single, again, free = single[1], reenacted["multi-start"], converged["multi-start"]
    rows = [
        (
            multi["title"],
            "β {:g} to {:g}, best {:g} at {:g}".format(*multi["beta_spread"], multi["chi2_best"], multi["beta_best"]),
            f"β {again.beta.min():.2f} to {again.beta.max():.2f}, best {again.chi2[0]:,.0f} at {again.beta[0]:.3f}",
            free.summary(),
            again,
            seconds["multi-start"],
        )
    ]
    for name in ("tight", "loose"):
        claim, scan, profile = claims[name], reenacted[name], converged[name]
        varies = "minimum {:,.0f} at {:.2f}, varies by {:,.0f} %, {} local minima"
        rows.append(
            (
                claim["title"],
                varies.format(claim["chi2_min"], claim["beta_min"], 100 * claim["variation"], claim["local_minima"]),
                varies.format(scan.chi2.min(), scan.beta_min, 100 * scan.variation, scan.n_local_minima),
                f"zero at {np.count_nonzero(profile.chi2_min < CHI2_FLOOR)} of {len(profile.grid)} points",
                scan,
                seconds[name],
            )
        )
    radius, velocity = claims["c_mu"]["electron_point"]
    point = reenacted["g_e"] / (MOMENT_FACTOR * radius * velocity)
    electron, masses, fixed = (reenacted[k] for k in ("single lepton", "mass only", "fixed amplitude"))

    def met(scan: ReenactedScanResult) -> str:
        within = np.sqrt(scan.chi2) * multi["sigma_m_model"] < only["residual"]
        return f"{np.count_nonzero(within)} of {len(scan.beta)} within {only['residual']:g}"

    rows += [
        (
            "C_μ calibration",
            f"{claims['c_mu']['electron_alone']:g} from the electron alone",
            f"{point:.1f}, at R, U = {radius:g}, {velocity:g}",
            "{:.5g} to {:.5g} from the electron alone".format(*converged["c_mu"].electron[0]),
            None,
            None,
        ),
        (
            "single lepton, mass and g",
            f"varies by {100 * single['variation']:,.0f} %, minimum {single['beta_min']:g}",
            f"varies by {100 * electron.variation:,.0f} %, minimum {electron.beta_min:.3f}",
            _zero_at(by_name[f"single lepton, {single['n_beta']} points"]),
            electron,
            by_name[f"single lepton, {single['n_beta']} points"].seconds,
        ),
        (
            "mass only",
            f"{only['n_converged']} of {only['n_beta']} converge, minimum {only['beta_min']:g}",
            f"{met(masses)}, minimum {masses.beta_min:.2f}",
            _zero_at(by_name["mass only"]),
            masses,
            by_name["mass only"].seconds,
        ),
        (
            "degeneracy checks",
            f"flat; A √β = {held['a_sqrt_beta']:g} with R and U held",
            f"{met(fixed)} at A_e = {held['amplitudes'][1]:g}",
            f"{_zero_at(by_name['restricted refit'])}, A √β = {np.mean(by_name['restricted refit'].values):.4f}",
            fixed,
            by_name["restricted refit"].seconds,
        ),
    ]
    columns = ["analysis", "claimed", "re-enacted", "converged"]
    table = pd.DataFrame([row[:4] for row in rows], columns=columns)
    table["re-enacted in s"] = [f"{row[4].seconds:.2f}" if row[4] else "" for row in rows]
    table["converged in s"] = [f"{row[5]:.2f}" if row[5] else "" for row in rows]
    return table


def _zero_at(check: DegeneracyResult) -> str:
    return f"zero at {check.n_zero} of {len(check.beta)} points"


def tabulate_c_mu_claims(claims: Mapping[str, Any], scan: CMuResult, there: CMuResult) -> pd.DataFrame:
    """The report's C_μ, claimed beside computed: at the start of the scan and at the reference."""
    claim = claims["c_mu"]

    def interval(values: np.ndarray) -> str:
        return "{:.5g} to {:.5g}".format(*values) if np.isfinite(values[0]) else "none"

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
                interval(there.electron[0]),
                interval(there.joint[0]),
                f"any up to {high / low:.3g}" if np.isfinite(low) else "none",
            ],
            f"computed at β = {scan.beta[0]:.6g}": [interval(scan.electron[0]), interval(scan.joint[0]), ""],
        }
    )


def tabulate_multistart_claims(
    problem: LeastSquaresProblem, claims: Mapping[str, Any], result: MultistartResult, reported: ReportedOptimiserResult
) -> pd.DataFrame:
    """The report's multi-start, claimed beside its optimiser on these starts and beside ours."""
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
            "computed": [
                f"{len(result.chi2)}",
                format_chi2(float(result.chi2[0])),
                spread(result.x[:, column]),
            ],
        }
    )
