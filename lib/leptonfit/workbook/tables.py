"""Tables of results, as data frames."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from IPython.display import HTML

from leptonfit.datafiles import ROOT
from leptonfit.inference.identifiability import DirectionsResult
from leptonfit.inference.intervals import LEVELS, IntervalSet
from leptonfit.inference.multistart import CHI2_FLOOR, MultistartResult, format_chi2
from leptonfit.inference.problem import LeastSquaresProblem, Parameter
from leptonfit.inference.profile import ProfileResult
from leptonfit.vortex.audit import AuditRow
from leptonfit.vortex.c_mu import CMuResult
from leptonfit.vortex.certificate import CertifiedScanResult
from leptonfit.vortex.claims import ClaimResult
from leptonfit.vortex.cross_lepton import MOMENT_FACTOR
from leptonfit.vortex.degeneracy import DegeneracyResult, VariantResult
from leptonfit.vortex.golden_loop import GoldenLoopResult
from leptonfit.vortex.measurements import QUANTITIES, Measurements
from leptonfit.vortex.reenactment import ReenactedScanResult
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


def tabulate_degeneracy(checks: Sequence[DegeneracyResult]) -> pd.DataFrame:
    """The report's degeneracy checks, claimed beside computed."""
    rows = []
    for check in checks:
        found = f"zero at {check.n_zero} of {len(check.beta)} points" if check.constraints else ""
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
    """What one constraint more or one parameter less changes, a row a variant."""
    return pd.DataFrame(
        [
            {
                "fit": v.name,
                "constraints": v.n_constraints,
                "parameters": v.n_parameters,
                "rank": v.rank,
                "lowest χ²": format_chi2(v.best_chi2),
                "95 % set of β": describe_set(v.identified_set),
                "verdict": v.verdict_code,
                "mark": v.mark,
            }
            for v in variants
        ]
    )


def tabulate_parameter_sets(problem: LeastSquaresProblem, profiles: Mapping[str, ProfileResult]) -> pd.DataFrame:
    """The identified set of every parameter, beside its bounds."""
    return pd.DataFrame(
        [
            {
                "parameter": parameter.symbol,
                "bounds": f"{parameter.lower:g} to {parameter.upper:g}",
                "95 % set": describe_set(profiles[parameter.name].identified_set["0.95"]),
                "share of the bounds": f"{100 * _share(parameter, profiles[parameter.name]):.1f} %",
            }
            for parameter in problem.parameters
        ]
    )


def _share(parameter: Parameter, profile: ProfileResult) -> float:
    """Fraction of a parameter's bounds, in the logarithm, that its 95 % set covers."""
    ends = np.clip(profile.identified_set["0.95"].intervals, parameter.lower, parameter.upper)
    return float(np.log(ends[:, 1] / ends[:, 0]).sum() / np.log(parameter.upper / parameter.lower))


def tabulate_directions(problem: LeastSquaresProblem, directions: DirectionsResult) -> pd.DataFrame:
    """Directions that change no residual: how the dependent parameters follow each free one, in per cent."""
    symbols = {parameter.name: parameter.symbol for parameter in problem.parameters}
    table = pd.DataFrame(
        [[f"{value:+.3f}" if abs(value) > 5e-4 else "0" for value in row] for row in directions.response],
        columns=[symbols[name] for name in directions.dependent],
    )
    table.insert(0, "move by 1 %", [symbols[name] for name in directions.free])
    return table


def tabulate_edges(
    certified: CertifiedScanResult | None,
    roots: np.ndarray,
    shifts: Sequence[float],
    corner: float,
    profile: ProfileResult,
) -> pd.DataFrame:
    """Where exact solutions begin or end, a column an edge: closed form, enclosure, profile's ends and σ-shift."""
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
            end = ends[np.nanargmin(np.abs(np.where(np.isfinite(ends), ends, np.nan) - root))] if len(ends) else np.nan
            row[f"profile's end at {level}, from the root"] = f"{end - root:+.4e}"
            row[f"to first order at {level}"] = f"±{np.sqrt(delta) * shift:.4e}"
        rows.append(row)
    table = pd.DataFrame(rows, index=[f"edge {k + 1}" for k in range(len(rows))]).T
    return table.rename_axis("quantity").reset_index()


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


def tabulate_golden_loop(found: GoldenLoopResult, claims: Mapping[str, Any]) -> pd.DataFrame:
    """β from α in each form, claimed beside computed, and what the report's minima would need."""
    stated = claims["golden_loop"]
    rows = [
        ("1/α = 2π² e^β/β + 1, larger root", f"{stated['beta']:.10g}", f"{found.beta:.10f} ± {found.sigma_beta:.0e}"),
        ("the same, smaller root", "", f"{found.beta_small:.6f}"),
        ("without the + 1", "", f"{found.beta_without_one:.6f}"),
        ("older form, π² e^β c₂/c₁ = 1/α", f"{stated['older_beta']:g}", f"{found.beta_older:.6f}"),
        ("c₁ = (1 − α)/2", f"{stated['older_c1']:.10g} (older form)", f"{found.c1:.10f}"),
        ("dβ/d ln c₁", "", f"{found.by_ln_c1:.4f}"),
    ]
    for beta, c1 in zip(found.wanted, found.c1_needed, strict=True):
        change = 100 * (c1 / found.c1 - 1)
        rows.append((f"c₁ that β = {beta:g} would need", "", f"{c1:.6f}, {change:+.1f} %"))
    return pd.DataFrame(rows, columns=["quantity", "claimed", "computed"])


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
