"""The report's degeneracy checks as fits, and what one constraint more or one parameter less would change."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from leptonfit.inference.identifiability import assess_profile, jacobian_spectrum
from leptonfit.inference.intervals import IntervalSet
from leptonfit.inference.multistart import CHI2_FLOOR
from leptonfit.inference.problem import LeastSquaresProblem, extend, restrict
from leptonfit.inference.profile import ProfileResult, scan_profile
from leptonfit.inference.result import Booleans, Result
from leptonfit.vortex.closures import Closure
from leptonfit.vortex.cross_lepton import LEPTONS, MOMENT_FACTOR


@dataclass(frozen=True)
class DegeneracyResult(Result):
    """One check.

    Attributes
    ----------
    name : str
    held, free : str
        What is held and what is fitted, in words.
    constraints : tuple of str
        The measured quantities that are fitted.
    beta : ndarray (n,)
    chi2_min : ndarray (n,)
    trusted : ndarray (n,) of bool
    followed : str
        A quantity worth following along the scan; empty if there is none.
    values : ndarray (n,)
        Its values; nan if there is none.
    claimed : str
        What the report says of it; empty if nothing.
    seconds : float
        Time the scan took.
    """

    name: str
    held: str
    free: str
    constraints: tuple[str, ...]
    beta: np.ndarray
    chi2_min: np.ndarray
    trusted: Booleans
    followed: str
    values: np.ndarray
    claimed: str
    seconds: float = 0.0

    @property
    def n_zero(self) -> int:
        """Points of the scan that fit exactly."""
        return int(np.count_nonzero(self.chi2_min < CHI2_FLOOR))


def run_degeneracy_checks(
    problem: LeastSquaresProblem, energy: Closure, claims: dict[str, Any], *, n_starts: int, seed: int
) -> tuple[DegeneracyResult, ...]:
    """Run the checks on the electron, and the mass-only and single-lepton scans.

    Parameters
    ----------
    problem : LeastSquaresProblem
        The cross-lepton fit.
    energy : Closure
        Its closure.
    claims : mapping
        From `load_claims`.
    n_starts, seed : int
        As for `scan_profile`.
    """
    stated, reference = claims["degeneracy"], claims["golden_loop"]["beta"]
    grid = _grid(stated)
    radius, amplitude = stated["radius"], stated["amplitude"]

    def scan(
        name: str, held: str, free: Sequence[str], constraints: Sequence[str], fixed: Mapping[str, float],
        beta: np.ndarray = grid, follow: str = "", claimed: str = "",
    ) -> DegeneracyResult:  # fmt: skip
        others = {p.name: p.start for p in problem.parameters if p.name not in (*free, "beta")}
        part = restrict(problem, fixed={**others, **fixed}, residuals=constraints)
        began = time.perf_counter()
        profile = scan_profile(part, "beta", beta, n_starts=n_starts, seed=seed)
        seconds = time.perf_counter() - began
        values = np.full(len(beta), np.nan)
        if follow:
            values = profile.x[:, part.index("A_e")] * np.sqrt(beta)
        symbols = [problem.parameters[problem.index(parameter)].symbol for parameter in free]
        return DegeneracyResult(
            name, held, ", ".join(symbols) or "nothing", tuple(constraints), beta, profile.chi2_min, profile.trusted,
            follow, values, claimed, seconds,
        )  # fmt: skip

    r, a = np.array(radius), np.array(amplitude)
    at_reference = {"R_e": radius, "A_e": amplitude, "U_e": _velocity(energy, stated["mass"], r, a, reference)}
    elsewhere = {**at_reference, "U_e": _velocity(energy, stated["mass"], r, a, float(grid[1]))}
    echo = -energy.static(r, a, grid) / grid
    checks = [
        DegeneracyResult(
            "echo", "R_e, U_e, A_e", "nothing", (), grid, np.full(len(grid), np.nan), np.ones(len(grid), dtype=bool),
            "E_stab/β", echo, stated["claim"],
        ),
        scan("frozen at the reference", "R_e, U_e, A_e", [], ["m_e"], at_reference, claimed=stated["claim"]),
        scan(f"frozen at β = {grid[1]:g}", "R_e, U_e, A_e", [], ["m_e"], elsewhere),
        scan("restricted refit", "R_e, U_e", ["A_e"], ["m_e"], {k: at_reference[k] for k in ("R_e", "U_e")},
             follow="A √β", claimed=f"A √β = {stated['a_sqrt_beta']:g}"),
    ]  # fmt: skip
    checks += [
        scan(f"fixed amplitude {value:g}", f"A_e = {value:g}", ["R_e", "U_e"], ["m_e"], {"A_e": value},
             claimed=stated["claim"])
        for value in stated["amplitudes"]
    ]  # fmt: skip
    geometry = [f"{kind}_{lepton}" for lepton in ("e", "mu", "tau") for kind in "RUA"]
    only = claims["mass_only"]
    said = f"{only['n_converged']} of {only['n_beta']} converge, minimum {only['beta_min']:g}"
    checks.append(
        scan("mass only", "C_μ, unused", geometry, ["m_e", "m_mu", "m_tau"], {},
             beta=_grid(only), claimed=said)
    )  # fmt: skip
    for scanned in claims["single_lepton"]:
        c_mu = scanned["c_mu"]
        said = (
            f"varies by {100 * scanned['variation']:.0f} %, minimum {scanned['beta_min']:g}"
            if "variation" in scanned
            else ""
        )
        checks.append(
            scan(f"single lepton, {scanned['n_beta']} points", f"C_μ = {c_mu:g}", ["R_e", "U_e", "A_e"], ["m_e", "g_e"],
                 {"c_mu": c_mu}, beta=_grid(scanned), claimed=said)
        )  # fmt: skip
    return tuple(checks)


@dataclass(frozen=True)
class VariantResult(Result):
    """The fit with something added, left out or held.

    Attributes
    ----------
    name : str
    n_constraints, n_parameters : int
    rank : int
        Of the Jacobian over the parameters off their bounds, at the lowest χ² known.
    best_chi2 : float
        The lowest χ² known.
    verdict_code : str
        Of β over the scan.
    identified_set : IntervalSet
        Of β, at 95 %.
    contains_reference : bool or None
    mark : str
        "numerical", or "simulated" where a constraint is not a measurement.
    """

    name: str
    n_constraints: int
    n_parameters: int
    rank: int
    best_chi2: float
    verdict_code: str
    identified_set: IntervalSet
    contains_reference: bool | None
    mark: str


def compare_variants(
    problem: LeastSquaresProblem,
    grid: np.ndarray,
    claims: dict[str, Any],
    g_tau: Mapping[str, float],
    *,
    sigma_g_model: float,
    n_starts: int,
    seed: int,
) -> tuple[VariantResult, ...]:
    """Profile β with one constraint added or left out, or a parameter held.

    Parameters
    ----------
    problem : LeastSquaresProblem
        The cross-lepton fit, with the universal moment map.
    grid : ndarray (n,)
        Scan of β.
    claims : dict
        From `load_claims`.
    g_tau : mapping
        Predicted `value` of the τ's g-factor, which nobody has measured to this precision.
    sigma_g_model : float
        Its error.
    n_starts, seed : int
        As for `scan_profile`.
    """
    columns = [problem.index(name) for name in ("c_mu", "R_tau", "U_tau")]

    def moment(x: np.ndarray) -> np.ndarray:
        c_mu, radius, velocity = (x[..., j] for j in columns)
        return (MOMENT_FACTOR * c_mu * radius * velocity - g_tau["value"])[..., None] / sigma_g_model

    def slopes(x: np.ndarray) -> np.ndarray:
        rows = np.zeros((*x.shape[:-1], 1, problem.n_par))
        for j in columns:
            rows[..., 0, j] = MOMENT_FACTOR / sigma_g_model * np.prod([x[..., k] for k in columns if k != j], axis=0)
        return rows

    amplitudes = {f"A_{lepton}": problem.upper[problem.index(f"A_{lepton}")] for lepton in LEPTONS}
    radii = {f"R_{lepton}": claims["degeneracy"]["radius"] for lepton in LEPTONS}
    without = [name for name in problem.residual_names if name != "g_mu"]
    variants = {
        "as it is": problem,
        "with the τ's g-factor, as predicted": extend(problem, ["g_tau"], moment, slopes),
        "without the μ's g-factor": restrict(problem, residuals=without),
        f"C_μ held at {claims['c_mu']['electron_alone']:g}": restrict(
            problem, fixed={"c_mu": claims["c_mu"]["electron_alone"]}
        ),
        "C_μ held at 250": restrict(problem, fixed={"c_mu": 250.0}),
        "every A held at its upper bound": restrict(problem, fixed=amplitudes),
        f"every R held at {claims['degeneracy']['radius']:g}": restrict(problem, fixed=radii),
        "R_e and A_e held": restrict(problem, fixed={"R_e": radii["R_e"], "A_e": claims["degeneracy"]["amplitude"]}),
    }
    reference = claims["golden_loop"]["beta"]
    compared = []
    for name, variant in variants.items():
        profile = scan_profile(variant, "beta", grid, n_starts=n_starts, seed=seed, references=(reference,))
        verdict = assess_profile(variant, profile, reference=reference)
        compared.append(
            VariantResult(
                name=name,
                n_constraints=variant.n_res,
                n_parameters=variant.n_par,
                rank=jacobian_spectrum(variant, profile.best_x).rank,
                best_chi2=profile.best_chi2,
                verdict_code=verdict.code,
                identified_set=profile.identified_set["0.95"],
                contains_reference=verdict.contains_reference,
                mark="simulated" if "g_tau" in variant.residual_names else "numerical",
            )
        )
    return tuple(compared)


def profile_every_parameter(
    problem: LeastSquaresProblem, *, n_points: int, n_starts: int, seed: int
) -> dict[str, ProfileResult]:
    """Profile each parameter over its own bounds, which must be finite, all others free.

    Parameters
    ----------
    problem : LeastSquaresProblem
    n_points : int
        Points of each scan, evenly spaced in the logarithm where the bounds are positive.
    n_starts, seed : int
        As for `scan_profile`.
    """
    profiles = {}
    for parameter in problem.parameters:
        space = np.geomspace if parameter.lower > 0 else np.linspace
        grid = np.clip(space(parameter.lower, parameter.upper, n_points), parameter.lower, parameter.upper)
        profiles[parameter.name] = scan_profile(problem, parameter.name, grid, n_starts=n_starts, seed=seed)
    return profiles


def _grid(stated: Mapping[str, Any]) -> np.ndarray:
    low, high = stated["beta_range"]
    return np.linspace(low, high, stated["n_beta"])


def _velocity(energy: Closure, mass: float, radius: np.ndarray, amplitude: np.ndarray, beta: float) -> float:
    """U that meets a mass."""
    return float(np.sqrt((mass - energy.static(radius, amplitude, np.array(beta))) / energy.flow(radius, amplitude)))
