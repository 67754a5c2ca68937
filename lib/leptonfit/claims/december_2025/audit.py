"""The December 2025 report's own numbers, held against one another and against computed ones: a row a claim."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from leptonfit.claims.december_2025.degeneracy import DegeneracyResult
from leptonfit.claims.december_2025.reported import RecomputedScan
from leptonfit.inference.multistart import CHI2_FLOOR, format_chi2
from leptonfit.inference.result import Result
from leptonfit.vortex.c_mu import feasible_c_mu
from leptonfit.vortex.certificate import certify
from leptonfit.vortex.closures import HillClosure
from leptonfit.vortex.cross_lepton import MOMENT_FACTOR
from leptonfit.vortex.golden_loop import solve_golden_loop
from leptonfit.vortex.measurements import QUANTITIES, Measurements
from leptonfit.vortex.reported_functional import ReportedClosure

N_PARAMETERS = 11


@dataclass(frozen=True)
class AuditRow(Result):
    """One claim, tested.

    Attributes
    ----------
    name : str
        Short key, unique in the audit.
    claim : str
        As the report has it.
    test : str
        What it must satisfy.
    recomputed : str
        The numbers.
    verdict : str
        "holds", "contradicted", or "no meaning" where the quantity says nothing of β.
    mark : str
        "arithmetic" (from the report's own numbers), "proven" or "numerical".
    """

    name: str
    claim: str
    test: str
    recomputed: str
    verdict: str
    mark: str


def audit_report(
    claims: dict[str, Any],
    measurements: Measurements,
    scans: Sequence[RecomputedScan],
    checks: Sequence[DegeneracyResult],
) -> tuple[AuditRow, ...]:
    """Test every claim.

    Parameters
    ----------
    claims : dict
        From `load_claims`.
    measurements : Measurements
        The report's.
    scans : sequence of RecomputedScan
        The tight and the loose scan, computed.
    checks : sequence of DegeneracyResult
        From `run_degeneracy_checks`.
    """
    return (
        _audit_monotonicity(claims),
        _audit_multi_start(claims),
        _audit_spread(claims, scans[0]),
        *(_audit_offset(claims, name) for name in ("tight", "loose")),
        *(_audit_variation(claims, name, scan) for name, scan in zip(("tight", "loose"), scans, strict=True)),
        *(_audit_local_minima(claims, name, scan) for name, scan in zip(("tight", "loose"), scans, strict=True)),
        *(_audit_per_constraint(claims, name, measurements) for name in ("tight", "loose")),
        *(_audit_residual(claims, name) for name in ("tight", "loose")),
        _audit_sigma(claims, measurements),
        _audit_precision(claims, measurements),
        _audit_model_precision(claims, scans),
        _audit_reference(claims, measurements, scans[0]),
        _audit_c_mu_factor(claims, measurements),
        _audit_c_mu_joint(claims, measurements),
        _audit_flow_energy(claims),
        _audit_stabilisation(claims),
        *_audit_checks(claims, checks),
        *_audit_golden_loop(claims),
    )


def _row(name: str, claim: str, test: str, recomputed: str, holds: bool | None, mark: str = "arithmetic") -> AuditRow:
    verdict = {True: "holds", False: "contradicted", None: "no meaning"}[holds]
    return AuditRow(name, claim, test, recomputed, verdict, mark)


def _zeros(scan: RecomputedScan) -> str:
    rest = "" if scan.n_zero == scan.n_grid else f", elsewhere at most {format_chi2(scan.largest_chi2)}"
    return f"χ²_min is zero (< 1e-6) at {scan.n_zero} of {scan.n_grid} points{rest}"


def _audit_monotonicity(claims: dict[str, Any]) -> AuditRow:
    tight, loose = claims["tight"], claims["loose"]
    least = min(loose[sigma] / tight[sigma] for sigma in ("sigma_m_model", "sigma_g_model")) ** 2
    allowed = tight["chi2_min"] / least
    low, high = loose["beta_range"]
    applies = low <= tight["beta_min"] <= high and least >= 1
    return _row(
        "σ-monotonicity",
        f"χ²_min {tight['chi2_min']:,.0f} at σ_m {tight['sigma_m_model']:g}, {loose['chi2_min']:,.0f} at "
        f"{loose['sigma_m_model']:g}",
        "no χ² rises when every σ is loosened",
        f"every term falls by at least {least:.3g}: at most {allowed:,.0f}",
        loose["chi2_min"] <= allowed if applies else None,
    )


def _audit_multi_start(claims: dict[str, Any]) -> AuditRow:
    multi, tight = claims["multi_start"], claims["tight"]
    same = all(multi[sigma] == tight[sigma] for sigma in ("sigma_m_model", "sigma_g_model"))
    inside = tight["beta_range"][0] <= multi["beta_best"] <= tight["beta_range"][1]
    ratio = tight["chi2_min"] / multi["chi2_best"]
    where = ("in" if inside else "outside") + " the scanned range"
    return _row(
        "multi-start below the profile",
        f"global minimum {tight['chi2_min']:,.0f}; multi-start's best {multi['chi2_best']:g} at {multi['beta_best']:g}",
        "nothing in the scanned range lies below a global minimum",
        f"{tight['chi2_min']:,.0f} is {ratio:.3g} times {multi['chi2_best']:g}, at "
        f"{'the same' if same else 'another'} σ and {where}",
        multi["chi2_best"] >= tight["chi2_min"] if same and inside else None,
    )


def _audit_spread(claims: dict[str, Any], scan: RecomputedScan) -> AuditRow:
    low, high = claims["multi_start"]["beta_spread"]
    within = scan.chi2_min[(low <= scan.beta) & (scan.beta <= high)]
    return _row(
        "multi-start's spread",
        f"β from {low:g} to {high:g}: an uncertainty of {(high - low) / 2:.2f}",
        "end points measure β if χ²_min tells them apart",
        f"at the {len(within)} points of the scan within it, χ²_min is at most "
        + format_chi2(float(within.max(initial=0.0))),
        None if not (within >= CHI2_FLOOR).any() else True,
        "numerical",
    )


def _audit_offset(claims: dict[str, Any], name: str) -> AuditRow:
    claim, reference = claims[name], claims["golden_loop"]["beta"]
    old = claims["golden_loop"]["older_beta"]
    offset, older = abs(claim["beta_min"] - reference), abs(claim["beta_min"] - old)
    return _row(
        f"offset, {name}",
        f"minimum {claim['beta_min']:g} is {claim['offset']:g} from {reference:.10g}",
        "the difference of its own two numbers",
        f"{offset:.4f} ({100 * offset / reference:.2f} %); from the older {old:g} it is {older:.3f}",
        abs(offset - claim["offset"]) <= 5e-4,
    )


def _audit_variation(claims: dict[str, Any], name: str, scan: RecomputedScan) -> AuditRow:
    return _row(
        f"variation, {name}",
        f"χ²_min varies by {100 * claims[name]['variation']:,.0f} %: sharp",
        "(max − min)/min says something if the minimum is above rounding",
        f"{_zeros(scan)}: {claims[name]['variation']:g} is of where an optimiser stopped",
        None if scan.n_zero else True,
        "numerical",
    )


def _audit_local_minima(claims: dict[str, Any], name: str, scan: RecomputedScan) -> AuditRow:
    return _row(
        f"local minima, {name}",
        f"{claims[name]['local_minima']} local minima",
        "minima must be minima of χ²_min, not of where an optimiser stopped",
        f"{_zeros(scan)}: "
        + ("none can be counted" if scan.n_zero == scan.n_grid else "some of the scan can be counted"),
        None if scan.n_zero else True,
        "numerical",
    )


def _audit_per_constraint(claims: dict[str, Any], name: str, measurements: Measurements) -> AuditRow:
    claim = claims[name]
    ratio, freedom = claim["chi2_min"] / claim["constraints"], len(measurements.values) - N_PARAMETERS
    arithmetic = abs(ratio - claim["chi2_per_constraint"]) <= 0.5
    return _row(
        f"χ² per constraint, {name}",
        f"χ²/constraint ≈ {claim['chi2_per_constraint']:,.0f}",
        "a χ² is judged by its degrees of freedom",
        f"{claim['chi2_min']:,.0f}/{claim['constraints']} = {ratio:,.1f}; {len(measurements.values)} constraints less "
        f"{N_PARAMETERS} parameters leave {freedom}",
        (True if freedom > 0 else None) if arithmetic else False,
    )


def _audit_residual(claims: dict[str, Any], name: str) -> AuditRow:
    claim = claims[name]
    least = (claim["mass_residual"] / claim["sigma_m_model"]) ** 2
    return _row(
        f"mass residual, {name}",
        f"mass residuals of about {claim['mass_residual']:g} at χ²_min {claim['chi2_min']:,.0f}",
        "one such residual alone must not exceed χ²_min",
        f"({claim['mass_residual']:g}/{claim['sigma_m_model']:g})² = {least:,.0f}",
        least <= claim["chi2_min"],
    )


def _audit_sigma(claims: dict[str, Any], measurements: Measurements) -> AuditRow:
    sigma = claims["tight"]["sigma_m_model"]
    known = np.sqrt(np.diag(measurements.covariance))[:3] / measurements.values[:3]
    finer = [QUANTITIES[k] for k in range(3) if known[k] > sigma]
    return _row(
        "σ_m below the measurement",
        f"σ_m = {sigma:g} on every mass",
        "a fit cannot ask for more than is known",
        f"m_τ is known to {known[2]:.1e}; finer than the measurement for {', '.join(finer) or 'none'}",
        not finer,
    )


def _audit_precision(claims: dict[str, Any], measurements: Measurements) -> AuditRow:
    best, worst = sorted(claims["precision"]["codata"])
    sigma = np.sqrt(np.diag(measurements.covariance)) / measurements.values
    outside = [f"{name} {s:.1e}" for name, s in zip(QUANTITIES, sigma, strict=True) if s > worst or 0 < s < best]
    return _row(
        "precision table",
        f"experimental precision from {worst:g} to {best:g}",
        "the measured values' own relative uncertainties",
        f"outside: {', '.join(outside) or 'none'}",
        not outside,
    )


def _audit_model_precision(claims: dict[str, Any], scans: Sequence[RecomputedScan]) -> AuditRow:
    (best, worst), target = claims["precision"]["model"], claims["precision"]["target"]
    reached = max(np.sqrt(scan.chi2_at_claimed) * scan.sigma_m_model for scan in scans)
    return _row(
        "model's precision",
        f"the model reaches {best:g} to {worst:g} where {target[0]:g} to {target[1]:g} is asked",
        "the mass residuals that χ²_min leaves where the report has its minima",
        f"at most {reached:.1e} of the mass",
        bool(reached > target[1]),
        "numerical",
    )


def _audit_reference(claims: dict[str, Any], measurements: Measurements, scan: RecomputedScan) -> AuditRow:
    beta = claims["audit"]["excluded"]
    found = certify(measurements, beta, beta, sigma_m_model=scan.sigma_m_model, sigma_g_model=scan.sigma_g_model)
    proven = {
        "zero": "an exact solution exists there: χ²_min = 0",
        "positive": f"χ²_min ≥ {found.chi2_bound:.3g} there",
        "undecided": "not decided",
    }[found.status]
    return _row(
        "β strongly disfavoured",
        f"β = {beta:.10g} is not validated, the minimum is elsewhere",
        "χ²_min there, by interval arithmetic",
        proven,
        {"zero": False, "positive": True, "undecided": None}[found.status],
        "proven",
    )


def _audit_c_mu_factor(claims: dict[str, Any], measurements: Measurements) -> AuditRow:
    claim = claims["c_mu"]
    found = feasible_c_mu(measurements, np.array([claims["golden_loop"]["beta"]]))
    low, high = found.electron[0]
    ratios = [claim["electron_alone"] / end for end in claim["joint"][::-1]]
    radius, velocity = claim["electron_point"]
    point = measurements.values[3] / (MOMENT_FACTOR * radius * velocity)
    return _row(
        "C_μ's factor",
        f"electron alone {claim['electron_alone']:g}, joint {claim['joint'][0]:g}–{claim['joint'][1]:g}: a factor of "
        f"{claim['factor']:g}",
        "the electron alone must fix C_μ before it can disagree",
        "{:.2f} to {:.2f} by its own numbers; ".format(*ratios)
        + f"at R, U = {radius:g}, {velocity:g}: {point:.1f}; the electron alone allows {low:.5g} to {high:.5g}",
        ratios[0] - 0.05 <= claim["factor"] <= ratios[1] + 0.05
        and not (low <= claim["joint"][0] and claim["electron_alone"] <= high),
        "numerical",
    )


def _audit_c_mu_joint(claims: dict[str, Any], measurements: Measurements) -> AuditRow:
    low, high = claims["c_mu"]["joint"]
    found = feasible_c_mu(measurements, np.array([claims["tight"]["beta_range"][0]]), closure="reported").joint[0]
    return _row(
        "C_μ, joint range",
        f"joint fits between {low:g} and {high:g}",
        "the feasible interval at the start of its scan, in its functional",
        f"{found[0]:.2f} to {found[1]:.2f}" if np.isfinite(found[0]) else "none is feasible",
        bool(abs(found[0] - low) < 1 and abs(found[1] - high) < 1),
        "numerical",
    )


def _audit_flow_energy(claims: dict[str, Any]) -> AuditRow:
    r_max = claims["audit"]["r_max"]
    radius, amplitude = np.array(1.0), np.array(claims["degeneracy"]["amplitude"])
    energies = [float(HillClosure(r_max=factor * r_max).flow(radius, amplitude)) for factor in (0.5, 1, 2, 4)]
    shown = ", ".join(f"{energy:.0f} at {f * r_max:g}" for energy, f in zip(energies, (0.5, 1, 2, 4), strict=True))
    grows = energies[2] / energies[1]
    return _row(
        "flow energy against r_max",
        f"E_circ, the vortex's, integrated to r_max = {r_max:g}",
        "a vortex's energy must not depend on where the integral is cut",
        f"E_circ/U² is {shown}: it grows {grows:.2f}-fold when r_max doubles",
        grows < 1.01,
        "numerical",
    )


def _audit_stabilisation(claims: dict[str, Any]) -> AuditRow:
    radius = np.array(claims["audit"]["grid_radius"])
    one = np.array(1.0)
    exact, summed = (
        -float(closure.static(radius, one, one) / radius**3) for closure in (HillClosure(), ReportedClosure())
    )
    error = summed / exact - 1
    return _row(
        "stabilisation's grid",
        f"∫(δρ)² dV on a grid, at R = {radius:g}",
        "the closed form, 32π/105 R³ at A = 1, to 1 %",
        f"{summed:.4f} R³ instead of {exact:.4f} R³: {100 * error:+.0f} %",
        abs(error) < 0.01,
        "numerical",
    )


def _audit_checks(claims: dict[str, Any], checks: Sequence[DegeneracyResult]) -> list[AuditRow]:
    only, by_name = claims["mass_only"], {check.name: check for check in checks}
    masses = by_name["mass only"]
    refit = by_name["restricted refit"].values
    met = int(np.count_nonzero(np.sqrt(masses.chi2_min) * claims["tight"]["sigma_m_model"] < only["residual"]))
    stated, (radius, velocity) = claims["degeneracy"]["a_sqrt_beta"], claims["c_mu"]["electron_point"]
    rows = [
        _row(
            "A √β",
            f"A √β = {stated:g}, so that the electron's mass holds at every β",
            f"the fit at R, U = {radius:g}, {velocity:g}, in its functional",
            f"{refit.min():.4f} to {refit.max():.4f}",
            bool(np.abs(refit - stated).max() < 1e-4),
            "numerical",
        ),
        _row(
            "mass only",
            f"{only['n_converged']} of {only['n_beta']} converge, minimum {only['beta_min']:g}",
            f"the points with every mass residual below {only['residual']:g}, and the lowest of them",
            f"{met} of {len(masses.beta)}; χ²_min is zero (< 1e-6) at {masses.n_zero}"
            + (": none is lowest" if masses.n_zero > 1 else ""),
            met == only["n_converged"] and masses.n_zero <= 1,
            "numerical",
        ),
    ]
    for scanned in claims["single_lepton"]:
        if "variation" in scanned:
            found = by_name[f"single lepton, {scanned['n_beta']} points"]
            rows.append(
                _row(
                    "single lepton",
                    f"objective varies by {100 * scanned['variation']:,.0f} %, minimum {scanned['beta_min']:g}",
                    "the electron's mass and g can be met exactly at every β",
                    f"zero at {found.n_zero} of {len(found.beta)} points",
                    None if found.n_zero else True,
                    "numerical",
                )
            )
    return rows


def _audit_golden_loop(claims: dict[str, Any]) -> list[AuditRow]:
    stated = claims["golden_loop"]
    c1, c2 = stated["older_c1"], stated["older_c2"]
    found = solve_golden_loop(older_constants=(c1, c2))
    return [
        _row(
            "Golden Loop",
            f"β = {stated['beta']:.10g} from α",
            "the root of 1/α = 2π² e^β/β + 1",
            f"{found.beta:.9f}",
            abs(found.beta - stated["beta"]) < 1e-9,
            "numerical",
        ),
        _row(
            "Golden Loop, older form",
            f"β = {stated['older_beta']:g} from c₁ = {c1:.10g} and c₂ = {c2:.10g}",
            "the root of π² e^β c₂/c₁ = 1/α, to the digits quoted",
            f"{found.beta_older:.5f}",
            abs(found.beta_older - stated["older_beta"]) < 5e-4,
            "numerical",
        ),
    ]
