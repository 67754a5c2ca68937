"""The report's degeneracy checks as fits, and profiles of β with changed constraints or fixed parameters."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from leptonfit.inference.identifiability import assess_profile, jacobian_spectrum
from leptonfit.inference.intervals import IntervalSet
from leptonfit.inference.multistart import CHI2_FLOOR, Effort
from leptonfit.inference.problem import LeastSquaresProblem, extend, restrict
from leptonfit.inference.profile import ProfileResult, SetOptions, scan_profile
from leptonfit.inference.result import Booleans, Result
from leptonfit.vortex.closures import Closure
from leptonfit.vortex.model import LEPTONS, VortexModel


@dataclass(frozen=True)
class DegeneracyResult(Result):
    """Result of one degeneracy check: a scan of β with some parameters fixed.

    Attributes
    ----------
    name : str
    held, free : str
        Fixed and fitted parameters, as text.
    constraints : tuple of str
        Measured quantities that are fitted.
    beta : ndarray (n,)
    chi2_min : ndarray (n,)
    trusted : ndarray (n,) of bool
    followed : str
        Name of a derived quantity recorded along the scan; empty if there is none.
    values : ndarray (n,)
        Values of this quantity; nan if there is none.
    claimed : str
        Result that the report states for this check; empty if there is none.
    seconds : float
        Duration of the scan.
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
        """Number of scan points with an exact fit (χ²_min below 1e-6)."""
        return int(np.count_nonzero(self.chi2_min < CHI2_FLOOR))


Minima = tuple[np.ndarray, np.ndarray, Booleans]


@dataclass(frozen=True)
class DegeneracyCheck:
    """Definition of one degeneracy check: fixed parameters with their values, free parameters, fitted quantities.

    `values` gives the fixed values by name, and `free` the names of the free parameters. The other attributes are as
    in `DegeneracyResult`.
    """

    name: str
    held: str
    free: tuple[str, ...]
    constraints: tuple[str, ...]
    values: Mapping[str, float]
    beta: np.ndarray
    claimed: str = ""
    followed: str = ""

    def restrict(self, problem: LeastSquaresProblem) -> LeastSquaresProblem:
        """Return the fit of this check; parameters that it does not name are fixed at their start values."""
        others = {p.name: p.start for p in problem.parameters if p.name not in (*self.free, "beta")}
        return restrict(problem, fixed={**others, **self.values}, residuals=self.constraints)

    def conclude(self, model: VortexModel, minima: Minima, seconds: float) -> DegeneracyResult:
        """Collect the fits at each β into one result.

        The columns of x (n, n_free) in `minima` are the parameters named in `free`. R and A of the electron, which the
        followed quantity needs, are taken from these columns or else from the fixed `values`.
        """
        x, chi2, trusted = minima
        at = {**self.values, **dict(zip(("beta", *self.free), (self.beta, *x.T), strict=True))}
        follow: dict[str, Callable[[], np.ndarray]] = {
            "": lambda: np.full(len(self.beta), np.nan),
            "E_stab/β": lambda: -model.energy.static(np.array(at["R_e"]), np.array(at["A_e"]), self.beta) / self.beta,
            "A √β": lambda: at["A_e"] * np.sqrt(self.beta),
        }
        problem = model.problem
        symbols = [problem.parameters[problem.index(name)].symbol for name in self.free]
        return DegeneracyResult(
            self.name,
            self.held,
            ", ".join(symbols) or "nothing",
            self.constraints,
            self.beta,
            chi2,
            trusted,
            self.followed,
            follow[self.followed](),
            self.claimed,
            seconds,
        )


def plan_degeneracy_checks(
    energy: Closure, claims: Mapping[str, Any], *, velocity: float | None = None
) -> tuple[DegeneracyCheck, ...]:
    """Define the checks on the electron, and the mass-only and single-lepton scans.

    Parameters
    ----------
    energy : Closure
    claims : mapping
        From `load_claims`.
    velocity : float, optional
        Fixed value of U_e; by default the value that gives the electron's mass at the reference β under this closure.
    """
    stated, reference = claims["degeneracy"], claims["golden_loop"]["beta"]
    grid, flat = _grid(stated), stated["claim"]
    radius, amplitude = stated["radius"], stated["amplitude"]
    r, a = np.array(radius), np.array(amplitude)

    def frozen(beta: float) -> dict[str, float]:
        return {"R_e": radius, "A_e": amplitude, "U_e": _velocity(energy, stated["mass"], r, a, beta)}

    at_reference = frozen(reference) if velocity is None else {**frozen(reference), "U_e": velocity}
    held, only = {name: at_reference[name] for name in ("R_e", "U_e")}, claims["mass_only"]
    with_reference = np.sort(np.append(grid, reference))
    geometry = tuple(f"{kind}_{lepton}" for lepton in LEPTONS for kind in "RUA")
    echo = {"R_e": radius, "A_e": amplitude}
    return (
        DegeneracyCheck("echo", "R_e, U_e, A_e", (), (), echo, grid, flat, "E_stab/β"),
        DegeneracyCheck("frozen at the reference", "R_e, U_e, A_e", (), ("m_e",), at_reference, with_reference, flat),
        DegeneracyCheck(f"frozen at β = {grid[1]:g}", "R_e, U_e, A_e", (), ("m_e",), frozen(float(grid[1])), grid),
        DegeneracyCheck(
            "restricted refit", "R_e, U_e", ("A_e",), ("m_e",), held, grid, f"A √β = {stated['a_sqrt_beta']:g}", "A √β"
        ),
        *(
            DegeneracyCheck(
                f"fixed amplitude {value:g}", f"A_e = {value:g}", ("R_e", "U_e"), ("m_e",), {"A_e": value}, grid, flat
            )
            for value in stated["amplitudes"]
        ),
        DegeneracyCheck(
            "mass only",
            "C_μ, unused",
            geometry,
            ("m_e", "m_mu", "m_tau"),
            {},
            _grid(only),
            f"{only['n_converged']} of {only['n_beta']} converge, minimum {only['beta_min']:g}",
        ),
        *(
            DegeneracyCheck(
                f"single lepton, {scanned['n_beta']} points",
                f"C_μ = {scanned['c_mu']:g}",
                ("R_e", "U_e", "A_e"),
                ("m_e", "g_e"),
                {"c_mu": scanned["c_mu"]},
                _grid(scanned),
                f"varies by {100 * scanned['variation']:.0f} %, minimum {scanned['beta_min']:g}"
                if "variation" in scanned
                else "",
            )
            for scanned in claims["single_lepton"]
        ),
    )


def run_degeneracy_checks(
    model: VortexModel, claims: Mapping[str, Any], *, effort: Effort, velocity: float | None = None
) -> tuple[DegeneracyResult, ...]:
    """Run the checks of `plan_degeneracy_checks` with converged fits.

    Parameters
    ----------
    model : VortexModel
    claims, velocity
        As for `plan_degeneracy_checks`.
    effort : Effort
    """

    def converge(part: LeastSquaresProblem, check: DegeneracyCheck) -> Minima:
        profile = scan_profile(part, "beta", check.beta, effort=effort, sets=SetOptions(release=False))
        return profile.x[:, [part.index(name) for name in check.free]], profile.chi2_min, profile.trusted

    return conclude_checks(model, plan_degeneracy_checks(model.energy, claims, velocity=velocity), converge)


def conclude_checks(
    model: VortexModel,
    checks: Sequence[DegeneracyCheck],
    minimise: Callable[[LeastSquaresProblem, DegeneracyCheck], Minima],
) -> tuple[DegeneracyResult, ...]:
    """Run checks with a given minimiser; a check without constraints only records its followed quantity.

    Parameters
    ----------
    model : VortexModel
    checks : sequence of DegeneracyCheck
    minimise : callable
        Takes the fit of a check and the check. Returns, at each β, the free parameters (n, n_free), χ² (n,), and
        whether the point is trusted (n,).
    """
    found = []
    for check in checks:
        n, began = len(check.beta), time.perf_counter()
        minima = np.empty((n, 0)), np.full(n, np.nan), np.ones(n, dtype=bool)
        if check.constraints:
            minima = minimise(check.restrict(model.problem), check)
        found.append(check.conclude(model, minima, time.perf_counter() - began))
    return tuple(found)


@dataclass(frozen=True)
class VariantResult(Result):
    """Profile of β for a variant of the fit: a constraint added or left out, or parameters fixed.

    Attributes
    ----------
    name : str
    n_constraints, n_parameters : int
    rank : int
        Rank of the Jacobian over the parameters that are not on a bound, at the lowest χ² known.
    best_chi2 : float
        The lowest χ² known.
    verdict_code : str
        Verdict code for β.
    identified_set : IntervalSet
        95 % set of β within the given bounds.
    released_set : IntervalSet
        95 % set of β that data and physical limits alone allow.
    contains_reference : bool or None
    in_tension : bool or None
        Whether the lowest χ² is too large for its degrees of freedom (p below 5 %); None if there are none.
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
    released_set: IntervalSet
    contains_reference: bool | None
    in_tension: bool | None
    mark: str


def compare_variants(
    model: VortexModel, grid: np.ndarray, claims: Mapping[str, Any], *, g_tau: float, effort: Effort
) -> tuple[VariantResult, ...]:
    """Profile β for variants of the fit: one constraint added or left out, or parameters fixed.

    Parameters
    ----------
    model : VortexModel
        With the universal moment map; its error of the g-factors is also that of the τ's.
    grid : ndarray (n,)
        Scan of β.
    claims : mapping
        From `load_claims`.
    g_tau : float
        Predicted g-factor of the τ, which nobody has measured to this precision.
    effort : Effort
    """
    problem, factor, sigma = model.problem, model.moment_factor, model.sigma_g_model
    columns = [problem.index(name) for name in ("c_mu", "R_tau", "U_tau")]

    def moment(x: np.ndarray) -> np.ndarray:
        c_mu, radius, velocity = (x[..., j] for j in columns)
        return (factor * c_mu * radius * velocity - g_tau)[..., None] / sigma

    def slopes(x: np.ndarray) -> np.ndarray:
        rows = np.zeros((*x.shape[:-1], 1, problem.n_par))
        for j in columns:
            rows[..., 0, j] = factor / sigma * np.prod([x[..., k] for k in columns if k != j], axis=0)
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
        profile = scan_profile(variant, "beta", grid, effort=effort, references=(reference,))
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
                released_set=profile.released_set["0.95"],
                contains_reference=verdict.contains_reference,
                in_tension=verdict.in_tension,
                mark="simulated" if "g_tau" in variant.residual_names else "numerical",
            )
        )
    return tuple(compared)


def profile_every_parameter(problem: LeastSquaresProblem, *, n_points: int, effort: Effort) -> dict[str, ProfileResult]:
    """Profile each parameter over its bounds, which must be finite; all other parameters are free.

    Parameters
    ----------
    problem : LeastSquaresProblem
    n_points : int
        Points of each scan, spaced evenly, or evenly in the logarithm if the lower bound is positive.
    effort : Effort
    """
    profiles = {}
    for parameter in problem.parameters:
        space = np.geomspace if parameter.lower > 0 else np.linspace
        grid = np.clip(space(parameter.lower, parameter.upper, n_points), parameter.lower, parameter.upper)
        profiles[parameter.name] = scan_profile(problem, parameter.name, grid, effort=effort)
    return profiles


def _grid(stated: Mapping[str, Any]) -> np.ndarray:
    low, high = stated["beta_range"]
    return np.linspace(low, high, stated["n_beta"])


def _velocity(energy: Closure, mass: float, radius: np.ndarray, amplitude: np.ndarray, beta: float) -> float:
    """Return the velocity U at which the energy equals a given mass."""
    return float(np.sqrt((mass - energy.static(radius, amplitude, np.array(beta))) / energy.flow(radius, amplitude)))
