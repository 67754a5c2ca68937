"""Calculations for the audit of the December 2025 report; the sentences are in `reported_2025.toml`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from leptonfit.claims.claim import HOLDING, Claim, Numbers, state_claim
from leptonfit.claims.december_2025.degeneracy import DegeneracyResult
from leptonfit.claims.december_2025.reported import RecomputedScan
from leptonfit.inference.multistart import CHI2_FLOOR, format_chi2
from leptonfit.vortex.c_mu import feasible_c_mu
from leptonfit.vortex.certificate import certify
from leptonfit.vortex.closures import HillClosure
from leptonfit.vortex.golden_loop import solve_golden_loop
from leptonfit.vortex.measurements import QUANTITIES, Measurements
from leptonfit.vortex.model import MOMENT_FACTOR, VortexModel
from leptonfit.vortex.reported_functional import ReportedClosure

N_PARAMETERS = 11
SCANS = ("tight", "loose")


def audit_report(
    claims: Mapping[str, Any],
    measurements: Measurements,
    scans: Sequence[RecomputedScan],
    checks: Sequence[DegeneracyResult],
) -> tuple[Claim, ...]:
    """Return every audited claim of the report with its computed value and verdict.

    Parameters
    ----------
    claims : mapping
        From `load_claims`.
    measurements : Measurements
        Measured values that the report used.
    scans : sequence of RecomputedScan
        The recomputed tight and loose scans, in this order.
    checks : sequence of DegeneracyResult
        From `run_degeneracy_checks`.
    """
    tight = scans[0]
    model = VortexModel(measurements, sigma_m_model=tight.sigma_m_model, sigma_g_model=tight.sigma_g_model)
    reported = replace(model, closure="reported")
    by_name, computed = {check.name: check for check in checks}, dict(zip(SCANS, scans, strict=True))
    loop = solve_golden_loop(older_constants=(claims["golden_loop"]["older_c1"], claims["golden_loop"]["older_c2"]))
    found = [
        ("monotonicity", _compare_scans(claims["tight"], claims["loose"])),
        ("multi_start", _compare_multi_start(claims["multi_start"], claims["tight"])),
        ("spread", _compare_spread(claims["multi_start"]["beta_spread"], tight)),
        *(("offset", _subtract_reference(name, claims[name], claims["golden_loop"])) for name in SCANS),
        *(("variation", _count_zeros(name, claims[name], scan)) for name, scan in computed.items()),
        *(("local_minima", _count_zeros(name, claims[name], scan)) for name, scan in computed.items()),
        *(("per_constraint", _count_constraints(name, claims[name])) for name in SCANS),
        *(("residual", _square_residual(name, claims[name])) for name in SCANS),
        ("sigma", _compare_sigma(tight.sigma_m_model, measurements)),
        ("precision", _compare_precision(claims["precision"]["codata"], measurements)),
        ("model_precision", _reach_precision(claims["precision"]["target"], scans)),
        ("reference", _certify_reference(claims["audit"]["excluded"], model)),
        ("c_mu_factor", _divide_c_mu(claims["c_mu"], claims["golden_loop"]["beta"], model)),
        ("c_mu_joint", _bound_c_mu(claims["c_mu"]["joint"], claims["tight"]["beta_range"][0], reported)),
        ("flow_energy", _cut_flow_energy(claims["audit"]["r_max"], claims["degeneracy"]["amplitude"])),
        ("stabilisation", _sum_stabilisation(claims["audit"]["grid_radius"])),
        ("a_sqrt_beta", _refit_amplitude(claims["degeneracy"]["a_sqrt_beta"], by_name["restricted refit"])),
        ("mass_only", _count_masses(claims["mass_only"], tight.sigma_m_model, by_name["mass only"])),
        *(
            ("single_lepton", _scan_electron(scanned, by_name[f"single lepton, {scanned['n_beta']} points"]))
            for scanned in claims["single_lepton"]
            if "variation" in scanned
        ),
        ("golden_loop", _compare_root(loop.beta, claims["golden_loop"]["beta"], 1e-9)),
        ("golden_loop_older", _compare_root(loop.beta_older, claims["golden_loop"]["older_beta"], 5e-4)),
    ]
    return tuple(state_claim(claims, claims["statements"][key], numbers) for key, numbers in found)


def _compare_scans(tight: Mapping[str, Any], loose: Mapping[str, Any]) -> Numbers:
    least = min(loose[sigma] / tight[sigma] for sigma in ("sigma_m_model", "sigma_g_model")) ** 2
    allowed = tight["chi2_min"] / least
    low, high = loose["beta_range"]
    applies = low <= tight["beta_min"] <= high and least >= 1
    return {"verdict": HOLDING[loose["chi2_min"] <= allowed if applies else None], "least": least, "allowed": allowed}


def _compare_multi_start(multi: Mapping[str, Any], tight: Mapping[str, Any]) -> Numbers:
    same = all(multi[sigma] == tight[sigma] for sigma in ("sigma_m_model", "sigma_g_model"))
    inside = tight["beta_range"][0] <= multi["beta_best"] <= tight["beta_range"][1]
    return {
        "verdict": HOLDING[multi["chi2_best"] >= tight["chi2_min"] if same and inside else None],
        "ratio": tight["chi2_min"] / multi["chi2_best"],
        "sigma": "the same" if same else "another",
        "where": "in" if inside else "outside",
    }


def _compare_spread(spread: Sequence[float], scan: RecomputedScan) -> Numbers:
    low, high = spread
    within = scan.chi2_min[(low <= scan.beta) & (scan.beta <= high)]
    return {
        "verdict": HOLDING[True if (within >= CHI2_FLOOR).any() else None],
        "half_width": (high - low) / 2,
        "n_within": len(within),
        "largest": format_chi2(float(within.max(initial=0.0))),
    }


def _subtract_reference(name: str, scan: Mapping[str, Any], loop: Mapping[str, Any]) -> Numbers:
    offset = abs(scan["beta_min"] - loop["beta"])
    return {
        "verdict": HOLDING[abs(offset - scan["offset"]) <= 5e-4],
        "which": name,
        "scan": scan,
        "offset": offset,
        "percent": 100 * offset / loop["beta"],
        "older": abs(scan["beta_min"] - loop["older_beta"]),
    }


def _count_zeros(name: str, stated: Mapping[str, Any], scan: RecomputedScan) -> Numbers:
    return {
        "verdict": HOLDING[None if scan.n_zero else True],
        "case": "all" if scan.n_zero == scan.n_grid else "some",
        "which": name,
        "scan": stated,
        "percent": 100 * stated["variation"],
        "n_zero": scan.n_zero,
        "n_grid": scan.n_grid,
        "largest": format_chi2(scan.largest_chi2),
    }


def _count_constraints(name: str, scan: Mapping[str, Any]) -> Numbers:
    n_constraints = len(QUANTITIES)
    ratio, freedom = scan["chi2_min"] / scan["constraints"], n_constraints - N_PARAMETERS
    is_sum_right = abs(ratio - scan["chi2_per_constraint"]) <= 0.5
    return {
        "verdict": HOLDING[(True if freedom > 0 else None) if is_sum_right else False],
        "which": name,
        "scan": scan,
        "ratio": ratio,
        "n_constraints": n_constraints,
        "n_parameters": N_PARAMETERS,
        "freedom": freedom,
    }


def _square_residual(name: str, scan: Mapping[str, Any]) -> Numbers:
    least = (scan["mass_residual"] / scan["sigma_m_model"]) ** 2
    return {"verdict": HOLDING[least <= scan["chi2_min"]], "which": name, "scan": scan, "least": least}


def _compare_sigma(sigma_m_model: float, measurements: Measurements) -> Numbers:
    known = np.sqrt(np.diag(measurements.covariance))[:3] / measurements.values[:3]
    finer = [QUANTITIES[k] for k in range(3) if known[k] > sigma_m_model]
    return {"verdict": HOLDING[not finer], "m_tau": known[2], "finer": ", ".join(finer) or "none"}


def _compare_precision(stated: Sequence[float], measurements: Measurements) -> Numbers:
    best, worst = sorted(stated)
    sigma = np.sqrt(np.diag(measurements.covariance)) / measurements.values
    outside = [f"{name} {s:.1e}" for name, s in zip(QUANTITIES, sigma, strict=True) if s > worst or 0 < s < best]
    return {"verdict": HOLDING[not outside], "best": best, "worst": worst, "outside": ", ".join(outside) or "none"}


def _reach_precision(target: Sequence[float], scans: Sequence[RecomputedScan]) -> Numbers:
    reached = max(np.sqrt(scan.chi2_at_claimed) * scan.sigma_m_model for scan in scans)
    return {"verdict": HOLDING[bool(reached > target[1])], "reached": reached}


def _certify_reference(beta: float, model: VortexModel) -> Numbers:
    found = certify(model, beta, beta)
    holds = {"zero": False, "positive": True, "undecided": None}[found.status]
    return {"verdict": HOLDING[holds], "case": found.status, "bound": found.chi2_bound}


def _divide_c_mu(stated: Mapping[str, Any], beta: float, model: VortexModel) -> Numbers:
    low, high = feasible_c_mu(model, np.array([beta])).electron[0]
    least, most = (stated["electron_alone"] / end for end in stated["joint"][::-1])
    radius, velocity = stated["electron_point"]
    is_sum_right = least - 0.05 <= stated["factor"] <= most + 0.05
    disagrees = not (low <= stated["joint"][0] and stated["electron_alone"] <= high)
    return {
        "verdict": HOLDING[is_sum_right and disagrees],
        "least": least,
        "most": most,
        "point": model.measurements.values[3] / (MOMENT_FACTOR * radius * velocity),
        "low": low,
        "high": high,
    }


def _bound_c_mu(stated: Sequence[float], beta: float, model: VortexModel) -> Numbers:
    found = feasible_c_mu(model, np.array([beta])).joint[0]
    return {
        "verdict": HOLDING[bool((np.abs(found - stated) < 1).all())],
        "case": "some" if np.isfinite(found[0]) else "none",
        "low": found[0],
        "high": found[1],
    }


def _cut_flow_energy(r_max: float, amplitude: float) -> Numbers:
    outer = [factor * r_max for factor in (0.5, 1, 2, 4)]
    energy = [float(HillClosure(r_max=end).flow(np.array(1.0), np.array(amplitude))) for end in outer]
    growth = energy[2] / energy[1]
    return {"verdict": HOLDING[growth < 1.01], "outer": outer, "energy": energy, "growth": growth}


def _sum_stabilisation(grid_radius: float) -> Numbers:
    radius, one = np.array(grid_radius), np.array(1.0)
    exact, summed = (
        -float(closure.static(radius, one, one) / radius**3) for closure in (HillClosure(), ReportedClosure())
    )
    error = summed / exact - 1
    return {"verdict": HOLDING[abs(error) < 0.01], "exact": exact, "summed": summed, "percent": 100 * error}


def _refit_amplitude(stated: float, refit: DegeneracyResult) -> Numbers:
    is_met = bool(np.abs(refit.values - stated).max() < 1e-4)
    return {"verdict": HOLDING[is_met], "low": refit.values.min(), "high": refit.values.max()}


def _count_masses(stated: Mapping[str, Any], sigma_m_model: float, masses: DegeneracyResult) -> Numbers:
    met = np.sqrt(masses.chi2_min) * sigma_m_model < stated["residual"]
    n_met = int(np.count_nonzero(met))
    return {
        "verdict": HOLDING[n_met == stated["n_converged"] and masses.n_zero <= 1],
        "case": "several" if masses.n_zero > 1 else "unique",
        "n_met": n_met,
        "n_beta": len(masses.beta),
        "n_zero": masses.n_zero,
    }


def _scan_electron(stated: Mapping[str, Any], found: DegeneracyResult) -> Numbers:
    return {
        "verdict": HOLDING[None if found.n_zero else True],
        "scan": stated,
        "percent": 100 * stated["variation"],
        "n_zero": found.n_zero,
        "n_beta": len(found.beta),
    }


def _compare_root(root: float, stated: float, tolerance: float) -> Numbers:
    return {"verdict": HOLDING[abs(root - stated) < tolerance], "root": root}
