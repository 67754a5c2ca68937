"""Tables of the charged leptons: C_μ, edges, degeneracy, closures, the Golden Loop."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from leptonfit.claims.claim import Claim
from leptonfit.claims.december_2025.degeneracy import DegeneracyResult, VariantResult
from leptonfit.inference.intervals import LEVELS
from leptonfit.inference.multistart import format_chi2
from leptonfit.inference.profile import ProfileResult
from leptonfit.vortex.c_mu import CMuResult
from leptonfit.vortex.certificate import CertifiedScanResult
from leptonfit.vortex.golden_loop import GoldenLoopResult
from leptonfit.workbook.tables.fits import describe_holders, describe_set


def tabulate_closures(profiles: Mapping[str, Mapping[str, Any]], judged: Mapping[str, Sequence[Claim]]) -> pd.DataFrame:
    """95 % set of each closure and the claims that stand under it, one row for each closure.

    Parameters
    ----------
    profiles : mapping
        Stored results of `02_profile_scan`, by closure.
    judged : mapping
        Claims from `judge_claims`, by closure.
    """
    return pd.DataFrame(
        [
            {
                "closure": name,
                "verdict": document["verdict_code"],
                "95 % set within the bounds": describe_set(document["results"]["profile"].identified_set["0.95"]),
                "largest χ²_min": format_chi2(document["results"]["profile"].chi2_min.max()),
                **{claim.name: claim.verdict for claim in judged[name]},
            }
            for name, document in profiles.items()
        ]
    )


def tabulate_standing(standing: Mapping[str, Sequence[str]], n_closures: int) -> pd.DataFrame:
    """Number and names of the closures under which each claim stands."""
    return pd.DataFrame(
        [
            {"claim": claim, "stands under": f"{len(names)} of {n_closures}", "which": "; ".join(names) or "none"}
            for claim, names in standing.items()
        ]
    )


def tabulate_degeneracy(checks: Sequence[DegeneracyResult]) -> pd.DataFrame:
    """Degeneracy checks of the report, claimed beside computed."""
    rows = []
    for check in checks:
        found = f"zero at {check.n_zero} of {len(check.beta)} points" if check.constraints else ""
        if check.constraints and check.n_zero < len(check.beta):
            found += f", lowest at β = {check.beta[check.chi2_min.argmin()]:g}"
        if check.followed:
            ends = np.nanmin(check.values), np.nanmax(check.values)
            found += f"{', ' if found else ''}{check.followed} from {ends[0]:.6g} to {ends[1]:.6g}"
        rows.append(
            {
                "check": check.name,
                "fitted to": ", ".join(check.constraints) or "nothing",
                "held": check.held,
                "free": check.free,
                "claimed": check.claimed,
                "computed": found,
            }
        )
    return pd.DataFrame(rows)


def tabulate_variants(variants: Sequence[VariantResult]) -> pd.DataFrame:
    """Results of the fit with changed constraints or fixed parameters, one row for each variant."""
    return pd.DataFrame(
        [
            {
                "fit": v.name,
                "constraints": v.n_constraints,
                "parameters": v.n_parameters,
                "rank": v.rank,
                "lowest χ²": format_chi2(v.best_chi2),
                "95 % set of β within the bounds": describe_set(v.identified_set),
                "held by": describe_holders(v.identified_set),
                "verdict": v.verdict_code,
                "in tension": {True: "yes", False: "no", None: "not testable"}[v.in_tension],
                "mark": v.mark,
            }
            for v in variants
        ]
    )


def tabulate_edges(
    certified: CertifiedScanResult | None,
    roots: np.ndarray,
    shifts: Sequence[float],
    corner: float,
    profile: ProfileResult,
) -> pd.DataFrame:
    """Edges of the exact solutions, one column for each edge: closed form, enclosure, ends of the profile, σ-shift."""
    if not len(roots):
        return pd.DataFrame({"edges": ["exact solutions neither begin nor end in this scan"]})
    rows = []
    enclosures = certified.enclosures() if certified else np.empty((0, 2))
    for root, shift in zip(roots, shifts, strict=True):
        around = enclosures[(enclosures[:, 0] <= root) & (root <= enclosures[:, 1])]
        row = {
            "closed form": f"{corner:.11f}" if abs(corner - root) < 1e-9 * root else "not at corners",
            "root": f"{root:.11f}",
            "proven between": "{:.10f} and {:.10f}".format(*around[0]) if len(around) else "not proven",
        }
        for level, delta in LEVELS.items():
            ends = profile.identified_set[level].intervals.ravel()
            ends = ends[np.isfinite(ends)]
            end = ends[np.abs(ends - root).argmin()] if len(ends) else np.nan
            row[f"profile's end at {level}, from the root"] = f"{end - root:+.4e}" if np.isfinite(end) else "open"
            row[f"to first order at {level}"] = f"±{np.sqrt(delta) * shift:.4e}"
        rows.append(row)
    table = pd.DataFrame(rows, index=[f"edge {k + 1}" for k in range(len(rows))]).T
    return table.rename_axis("quantity").reset_index()


def tabulate_golden_loop(found: GoldenLoopResult, claims: Mapping[str, Any]) -> pd.DataFrame:
    """β from α in each form, claimed beside computed, and the c₁ that the report's minima would need."""
    stated = claims["golden_loop"]
    rows = [
        ("1/α = 2π² e^β/β + 1, larger root", f"{stated['beta']:.10g}", f"{found.beta:.10f} ± {found.sigma_beta:.0e}"),
        ("the same, smaller root", "", f"{found.beta_small:.6f}"),
        ("without the + 1", "", f"{found.beta_without_one:.6f}"),
        ("older form, π² e^β c₂/c₁ = 1/α", f"{stated['older_beta']:g}", f"{found.beta_older:.6f}"),
        ("c₁ = (1 − α)/2", f"{stated['older_c1']:.10g} (older form)", f"{found.c1:.10f}"),
        ("dβ/d(1/α), larger root", "", f"{found.by_alpha_inverse:.6f}"),
        ("dβ/d ln c₁, larger root", "", f"{found.by_ln_c1:.4f}"),
        ("dβ/d ln c₁ and dβ/d ln c₂, older form", "", "{:+.4f} and {:+.4f}".format(*found.older_by_ln_c)),
    ]
    for beta, c1 in zip(found.wanted, found.c1_needed, strict=True):
        change = 100 * (c1 / found.c1 - 1)
        rows.append((f"c₁ that β = {beta:g} would need", "", f"{c1:.6f}, {change:+.1f} %"))
    return pd.DataFrame(rows, columns=["quantity", "claimed", "computed"])


def tabulate_c_mu(result: CMuResult, fitted: np.ndarray) -> pd.DataFrame:
    """Feasible intervals of C_μ and its fitted value, one row for each β, for a CSV file."""
    columns = {"beta": result.beta}
    for name in ("electron", "muon", "joint"):
        columns |= {f"{name}_low": getattr(result, name)[:, 0], f"{name}_high": getattr(result, name)[:, 1]}
    return pd.DataFrame({**columns, "fitted": fitted})
