"""A closure in full: a choice along each axis, and the fit that follows from it."""

from __future__ import annotations

import itertools
import tomllib
from collections.abc import Callable
from dataclasses import asdict, dataclass, fields
from pathlib import Path

import numpy as np

from leptonfit.datafiles import InputError, read_checked
from leptonfit.inference.problem import LeastSquaresProblem, Parameter, extend, restrict
from leptonfit.inference.result import Result
from leptonfit.vortex.closures import SHAPES, Closure
from leptonfit.vortex.cross_lepton import BOUNDS, LEPTONS, build_problem
from leptonfit.vortex.measurements import Measurements
from leptonfit.vortex.moments import CURRENTS, moment_factor, rms_factor

AXES: dict[str, tuple[str, ...]] = {
    "frame": ("stream", "lab"),
    "shape": tuple(SHAPES),
    "moment": ("universal", "mass_scaled", "spin_half", "none"),
    "current": CURRENTS,
    "amplitude": ("free", "saturated"),
    "radius": ("none", "mean", "free"),
    "gradient": ("off", "on"),
    "bounds": tuple(BOUNDS),
}
"""What can be chosen along each axis; the first of each is the report's."""
SPIN_HALF_C = 4.0
"""C of g = C m k R U for a spin of one half: the moment in units of the lepton's own magneton, and nothing free."""
GRADIENT = 1.0
"""λ where the gradient term is on, in m_e per unit of length."""
_CONTRASTS = np.array([[1, 1], [-1, 1], [0, -2]]) / np.sqrt([2, 6])
SIGMA_KAPPA = 0.03
"""Relative error of κ where m R_rms is shared."""


@dataclass(frozen=True)
class Choice(Result):
    """A choice along each axis of `AXES`; by default the report's.

    Parameters
    ----------
    frame, shape : str
        Of the flow, and of the density deficit.
    moment : str
        "universal", g = C M; "mass_scaled", g = C m M; "spin_half", the same with C = 4; "none", no g-factors.
    current : str
        The moment functional, for k of M = k R U.
    amplitude : str
        "free", or "saturated": every A at ρ_vac, where the core is empty (cavitation).
    radius : str
        "none", or m R_rms of every lepton equal to κ within 3 %: κ their "mean", or "free".
    gradient : str
        Whether a gradient term is "on", with λ = 1, or "off".
    bounds : str
        One of `BOUNDS`.

    Raises
    ------
    ValueError
        If there is no such choice on an axis, or two of them exclude one another.
    """

    frame: str = "stream"
    shape: str = "parabolic"
    moment: str = "universal"
    current: str = "uniform_rigid"
    amplitude: str = "free"
    radius: str = "none"
    gradient: str = "off"
    bounds: str = "report"

    def __post_init__(self) -> None:
        for axis, allowed in AXES.items():
            if getattr(self, axis) not in allowed:
                raise ValueError(f"{axis} = {getattr(self, axis)!r}: must be one of {', '.join(allowed)}")
        if self.gradient == "on" and self.shape == "gaussian":
            raise ValueError("gradient = 'on': must be off for the gaussian shape, which jumps at R")

    @property
    def changed(self) -> dict[str, str]:
        """The axes on which it is not the report's."""
        return {axis: value for axis, value in asdict(self).items() if value != AXES[axis][0]}

    @property
    def name(self) -> str:
        """Frame, shape, and what else is not the report's."""
        words = {
            "mass_scaled": "g ∝ m",
            "spin_half": "g = 4 m M",
            "moment none": "no g",
            "saturated": "A = 1",
            "mean": "κ mean",
            "radius free": "κ free",
            "on": "gradient",
            "wide": "wide bounds",
        }
        said = [
            words.get(value, words.get(f"{axis} {value}", value.replace("_", " ")))
            for axis, value in self.changed.items()
            if axis not in ("frame", "shape")
        ]
        return ", ".join([f"{self.frame} {self.shape}", *said])

    @property
    def closure(self) -> str:
        """Frame and shape as in `CLOSURES`."""
        return self.frame if self.shape == "parabolic" else f"{self.frame}_{self.shape}"


def load_choices(*, data: Path | None = None) -> tuple[Choice, ...]:
    """Every combination of `closures.toml`, each once: of the choices listed in each block, the rest as in the report.

    Raises
    ------
    InputError
        If the file is not the one its checksum names, or a block names no such axis or choice.
    """
    name = "closures.toml"
    try:
        blocks = tomllib.loads(read_checked(name, data=data).decode()).get("block", [])
    except tomllib.TOMLDecodeError as error:
        raise InputError(f"{name}: {error}") from error
    found: dict[Choice, None] = {}
    for block in blocks if isinstance(blocks, list) else [blocks]:
        for axis, values in block.items():
            if axis != "meaning" and not (isinstance(values, list) and values):
                raise InputError(f"{name}: {axis} = {values!r}: must be a list of choices")
        listed = {axis: values for axis, values in block.items() if axis != "meaning"}
        unknown = set(listed) - {field.name for field in fields(Choice)}
        if unknown:
            raise InputError(f"{name}: axis {sorted(unknown)[0]!r}: must be one of {', '.join(AXES)}")
        for values in itertools.product(*listed.values()):
            chosen = dict(zip(listed, values, strict=True))
            if chosen.get("gradient") == "on" and chosen.get("shape") == "gaussian":
                continue  # it jumps, so that there is no such term
            try:
                found[Choice(**chosen)] = None
            except ValueError as error:
                raise InputError(f"{name}: {error}") from error
    if not found:
        raise InputError(f"{name}: no combination: must have at least one [[block]] of choices that go together")
    return tuple(found)


def build_choice(
    choice: Choice,
    measurements: Measurements,
    *,
    sigma_m_model: float,
    sigma_g_model: float,
    include_sigma_exp: bool = False,
    r_max: float = 10.0,
    closure: Callable[..., Closure] | None = None,
    k: float | None = None,
) -> LeastSquaresProblem:
    """Build the fit of a choice.

    Parameters
    ----------
    choice : Choice
    measurements : Measurements
    sigma_m_model, sigma_g_model, include_sigma_exp, r_max
        As for `build_problem`.
    closure : callable, optional
        Makes an energy of one's own from r_max=, in place of frame, shape and gradient.
    k : float, optional
        Moment factor of one's own, in place of the current's.

    Returns
    -------
    LeastSquaresProblem
        Where m R_rms is shared, with residuals (m R_rms/κ − 1)/0.03 of e, μ and τ, m measured; two contrasts of them
        where κ is their mean. No R exceeds r_max.

    Raises
    ------
    ValueError
        As for `build_problem`, or if a closure of one's own comes with a frame, shape or gradient term as well.
    """
    if closure is not None and {"frame", "shape", "gradient"} & set(choice.changed):
        raise ValueError(f"{choice.name}: frame, shape and gradient must be the report's beside an energy of one's own")
    bounds = {**BOUNDS[choice.bounds], "R": (BOUNDS[choice.bounds]["R"][0], min(BOUNDS[choice.bounds]["R"][1], r_max))}
    problem = build_problem(
        measurements,
        sigma_m_model=sigma_m_model,
        sigma_g_model=sigma_g_model,
        include_sigma_exp=include_sigma_exp,
        closure=closure or choice.closure,
        r_max=r_max,
        gradient=GRADIENT if choice.gradient == "on" and closure is None else 0.0,
        moment_map="mass_scaled" if choice.moment in ("mass_scaled", "spin_half") else "universal",
        moment_factor=moment_factor(choice.current, shape=choice.shape) if k is None else k,
        bounds=bounds,
    )
    held = {f"A_{lepton}": BOUNDS[choice.bounds]["A"][1] for lepton in LEPTONS if choice.amplitude == "saturated"}
    kept = problem.residual_names
    if choice.moment == "spin_half":
        held["c_mu"] = SPIN_HALF_C
    elif choice.moment == "none":
        held["c_mu"], kept = problem.parameters[problem.index("c_mu")].start, kept[:3]
    problem = restrict(problem, fixed=held, residuals=kept)
    return problem if choice.radius == "none" else _share_radius(problem, choice, measurements)


def _share_radius(problem: LeastSquaresProblem, choice: Choice, measurements: Measurements) -> LeastSquaresProblem:
    """Add m R_rms = κ; what R_rms weights by drops out of the ratio, and only sets the scale of κ.

    From their own mean the three depart by amounts that add up to zero: two constraints, as two orthonormal contrasts.
    """
    columns = [problem.index(f"R_{lepton}") for lepton in LEPTONS]
    scale = measurements.values[:3] * rms_factor("deficit", shape=choice.shape)
    n_par, is_free = problem.n_par, choice.radius == "free"
    smallest, largest = problem.lower[columns] * scale, problem.upper[columns] * scale

    def residuals(x: np.ndarray) -> np.ndarray:
        size = scale * x[..., columns]
        kappa = x[..., n_par:] if is_free else size.mean(axis=-1, keepdims=True)
        apart = (size / kappa - 1) / SIGMA_KAPPA
        return apart if is_free else apart @ _CONTRASTS

    def slopes(x: np.ndarray) -> np.ndarray:
        size = scale * x[..., columns]
        kappa = x[..., n_par:] if is_free else size.mean(axis=-1, keepdims=True)
        rows = np.zeros((*x.shape[:-1], 3, x.shape[-1]))
        lepton = np.arange(3)
        rows[..., lepton, np.array(columns)] = scale / kappa
        by_kappa = -(size / kappa**2)[..., None]
        if is_free:
            rows[..., n_par:] = by_kappa
        else:
            rows[..., columns] += by_kappa * scale / 3
            rows = _CONTRASTS.T @ rows
        return rows / SIGMA_KAPPA

    kappa = Parameter(
        name="kappa", start=float(np.sqrt(smallest.min() * largest.max())), lower=float(smallest.min()),
        upper=float(largest.max()), physical=(0.0, np.inf), symbol="κ", label=r"$\kappa$",
    )  # fmt: skip
    names = [f"kappa_{lepton}" for lepton in LEPTONS] if is_free else ["kappa_e_mu", "kappa_tau"]
    return extend(problem, names, residuals, slopes, parameters=(kappa,) if is_free else ())
