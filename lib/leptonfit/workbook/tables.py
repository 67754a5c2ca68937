"""Tables of results, as data frames."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from IPython.display import HTML

from leptonfit.datafiles import ROOT
from leptonfit.inference.intervals import IntervalSet
from leptonfit.inference.multistart import MultistartResult, format_chi2
from leptonfit.inference.problem import LeastSquaresProblem
from leptonfit.inference.profile import ProfileResult
from leptonfit.vortex.c_mu import CMuResult
from leptonfit.vortex.claims import ClaimResult
from leptonfit.vortex.measurements import QUANTITIES, Measurements
from leptonfit.vortex.reported import RecomputedScan, ReportedOptimiserResult
from leptonfit.workbook.parameters import notebook_names, upstream


def show(table: pd.DataFrame) -> HTML:
    """Show a table in a notebook: plain HTML, the same on every execution."""
    return HTML(table.to_html(index=False, border=0))


def tabulate_notebooks() -> pd.DataFrame:
    """The workbook's notebooks in their order: question, and what each reads."""
    rows = []
    for name in notebook_names():
        source = (ROOT / "notebooks" / f"{name}.py").read_text(encoding="utf-8")
        title = next(line for line in source.splitlines() if line.startswith("# # ")).removeprefix("# # ")
        rows.append({"notebook": name, "question": title, "reads": ", ".join(sorted(upstream(name))) or "the data"})
    return pd.DataFrame(rows)


def tabulate_errors(measurements: Measurements, *, sigma_m_model: float, sigma_g_model: float) -> pd.DataFrame:
    """Model errors beside experimental ones, in each quantity's unit, and where the model's are the finer."""
    sigma_exp = np.sqrt(np.diag(measurements.covariance))
    sigma_model = np.concatenate([sigma_m_model * measurements.values[:3], np.full(2, sigma_g_model)])
    return pd.DataFrame(
        {
            "quantity": QUANTITIES,
            "value": [f"{value:.15g}" for value in measurements.values],
            "experimental error": [f"{sigma:.2e}" for sigma in sigma_exp],
            "model error": [f"{sigma:.2e}" for sigma in sigma_model],
            "model finer than measurement": np.where(sigma_model < sigma_exp, "yes", "no"),
        }
    )


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


def tabulate_parameters(problem: LeastSquaresProblem, x: np.ndarray) -> pd.DataFrame:
    """A point x (n_par,) with the bounds, and which parameters sit on one."""
    return pd.DataFrame(
        {
            "parameter": [parameter.symbol or parameter.name for parameter in problem.parameters],
            "value": [f"{value:.8g}" for value in x],
            "lower bound": [f"{value:g}" for value in problem.lower],
            "upper bound": [f"{value:g}" for value in problem.upper],
            "on a bound": np.where(problem.on_bounds(x), "yes", "no"),
        }
    )


def tabulate_pulls(problem: LeastSquaresProblem, x: np.ndarray) -> pd.DataFrame:
    """The residuals at x (n_par,), in units of their errors."""
    return pd.DataFrame({"quantity": problem.residual_names, "pull": [f"{pull:+.2e}" for pull in problem.residuals(x)]})


def tabulate_optimisers(result: MultistartResult, reported: ReportedOptimiserResult) -> pd.DataFrame:
    """What each solver says of its end points, and what they are."""
    n_starts = len(result.chi2)
    rows = (
        ("this solver", result.chi2, None, result.converged),
        ("report's optimiser", reported.chi2, reported.claims_success, reported.converged),
    )
    return pd.DataFrame(
        [
            {
                "solver": solver,
                "lowest χ²": format_chi2(float(np.nanmin(chi2))),
                "median χ²": format_chi2(float(np.nanmedian(chi2))),
                "says converged": "does not count" if says is None else f"{np.count_nonzero(says)} of {n_starts}",
                "is stationary": f"{np.count_nonzero(stationary)} of {n_starts}",
            }
            for solver, chi2, says, stationary in rows
        ]
    )


def tabulate_starts(
    problem: LeastSquaresProblem, result: MultistartResult, reported: ReportedOptimiserResult
) -> pd.DataFrame:
    """Every start: where it ended by either solver, a row a start, for a CSV."""
    return pd.DataFrame(result.x, columns=list(problem.names)).assign(
        chi2=result.chi2,
        converged=result.converged,
        reported_beta=reported.x[:, problem.index("beta")],
        reported_chi2=reported.chi2,
        reported_converged=reported.converged,
        reported_says=reported.message,
    )


def tabulate_sets(profile: ProfileResult) -> pd.DataFrame:
    """The identified sets at each level, and why they end where they do."""
    return pd.DataFrame(
        [
            {
                "level": level,
                "set": describe_set(found),
                "reason below": found.reason_below or "",
                "reason above": found.reason_above or "",
                "decided": "yes" if found.decided else "no",
            }
            for level, found in profile.identified_set.items()
        ]
    )


def describe_set(found: IntervalSet) -> str:
    """A set of values in words."""
    ends = [
        f"{'open' if low == -np.inf else f'{low:.7f}'} to {'open' if high == np.inf else f'{high:.7f}'}"
        for low, high in found.intervals
    ]
    return "; ".join(ends) or "none in the scan"


def tabulate_profiles(profiles: Mapping[str, ProfileResult]) -> pd.DataFrame:
    """Largest χ²_min and 95 % set of several profiles."""
    return pd.DataFrame(
        [
            {
                "profile": name,
                "largest χ²_min": format_chi2(float(np.nanmax(profile.chi2_min))),
                "95 % set": describe_set(profile.identified_set["0.95"]),
            }
            for name, profile in profiles.items()
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


def tabulate_closures(
    profiles: Mapping[str, Mapping[str, Any]], judged: Mapping[str, Sequence[ClaimResult]]
) -> pd.DataFrame:
    """Every closure's 95 % set and which claims stand under it, a row a closure.

    Parameters
    ----------
    profiles : mapping
        Stored results of `02_profile_scan`, by closure.
    judged : mapping
        From `judge_claims`, by closure.
    """
    words = {True: "stands", False: "no", None: "cannot be said"}
    return pd.DataFrame(
        [
            {
                "closure": name,
                "verdict": document["verdict_code"],
                "95 % set": describe_set(IntervalSet.from_dict(document["results"]["identified_set"]["0.95"])),
                "largest χ²_min": format_chi2(max(document["results"]["chi2_min"])),
                **{claim.name: words[claim.stands] for claim in judged[name]},
            }
            for name, document in profiles.items()
        ]
    )


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


def tabulate_c_mu(result: CMuResult, fitted: np.ndarray) -> pd.DataFrame:
    """Feasible intervals of C_μ and the fitted value, a row a β, for a CSV."""
    columns = {"beta": result.beta}
    for name in ("electron", "muon", "joint"):
        columns |= {f"{name}_low": getattr(result, name)[:, 0], f"{name}_high": getattr(result, name)[:, 1]}
    return pd.DataFrame({**columns, "fitted": fitted})


def tabulate_profile(problem: LeastSquaresProblem, profile: ProfileResult) -> pd.DataFrame:
    """The whole profile, a row a point: the numbers themselves, for a CSV."""
    return pd.DataFrame(profile.x, columns=list(problem.names)).assign(
        chi2_min=profile.chi2_min, trusted=profile.trusted, reproduced=profile.reproduced
    )
