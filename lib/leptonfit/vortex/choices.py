"""Complete definition of a closure by one choice on each axis, and the fit that follows from it."""

from __future__ import annotations

import itertools
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np

from leptonfit.datafiles import InputError, read_toml
from leptonfit.inference.arguments import read_choice, read_instance
from leptonfit.inference.problem import LeastSquaresProblem, Parameter, extend, restrict
from leptonfit.inference.result import Result
from leptonfit.vortex.closures import SHAPES
from leptonfit.vortex.model import BOUNDS, LEPTONS, Bounds, VortexModel
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
"""Allowed choices on each axis; the first is the choice of the report."""
SPIN_HALF_C = 4.0
"""C of g = C m k R U for spin ½: the moment is in units of the magneton of the lepton, and no constant is free."""
GRADIENT = 1.0
"""λ of the gradient term where it is on, in m_e per unit of length."""
_CONTRASTS = np.array([[1, 1], [-1, 1], [0, -2]]) / np.sqrt([2, 6])
SIGMA_KAPPA = 0.03
"""Relative error of κ where all leptons share m R_rms = κ."""


@dataclass(frozen=True)
class Choice(Result):
    """One choice on each axis of `AXES`; the defaults are the choices of the report.

    Parameters
    ----------
    frame, shape : str
        Frame of the flow, and shape of the density deficit.
    moment : str
        "universal", g = C M; "mass_scaled", g = C m M; "spin_half", the same with C = 4; "none", no g-factors.
    current : str
        Moment functional, which sets k of M = k R U.
    amplitude : str
        "free", or "saturated": every A equals ρ_vac, so that the core is empty (cavitation).
    radius : str
        "none", or m R_rms of every lepton equals κ within 3 %, where κ is their "mean" or a "free" parameter.
    gradient : str
        "on" for a gradient term with λ = 1, or "off".
    bounds : str
        One of `BOUNDS`.

    Raises
    ------
    ValueError
        If a choice is unknown, or if two choices exclude each other.
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
            read_choice(axis, getattr(self, axis), allowed)
        if self.gradient == "on" and self.shape == "gaussian":
            raise ValueError("gradient = 'on': must be off for the gaussian shape, which jumps at R")

    @property
    def changed(self) -> dict[str, str]:
        """Axes, with values, on which this choice differs from the report."""
        return {axis: value for axis, value in asdict(self).items() if value != AXES[axis][0]}

    @property
    def name(self) -> str:
        """Frame, shape, and all other choices that differ from the report."""
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
        """Key of `CLOSURES` for this frame and shape."""
        return self.frame if self.shape == "parabolic" else f"{self.frame}_{self.shape}"


def load_choices(*, data: Path | None = None) -> tuple[Choice, ...]:
    """All combinations of the choices in each block of `closures.toml`, each once; other axes are as in the report.

    Raises
    ------
    InputError
        If the file is not valid, or a block names an unknown choice.
    """
    name = "closures.toml"
    found: dict[Choice, None] = {}
    for block in read_toml(name, data=data)["block"]:
        listed = {axis: values for axis, values in block.items() if axis != "meaning"}
        for values in itertools.product(*listed.values()):
            chosen = dict(zip(listed, values, strict=True))
            if chosen.get("gradient") == "on" and chosen.get("shape") == "gaussian":
                continue  # the gaussian shape jumps at R, so it has no gradient term
            try:
                found[Choice(**chosen)] = None
            except ValueError as error:
                raise InputError(f"data file {name}: {error}") from error
    if not found:
        raise InputError(f"data file {name}: no combination: must have choices that go together")
    return tuple(found)


def limit_radius(bounds: Bounds, r_max: float) -> Bounds:
    """Bounds by parameter kind in which no R exceeds r_max."""
    low, high = bounds["R"]
    if not r_max > low:
        raise ValueError(f"r_max = {r_max}: must be above {low:g}, the smallest R allowed")
    return {**bounds, "R": (low, min(high, r_max))}


def build_choice(choice: Choice, model: VortexModel) -> LeastSquaresProblem:
    """Build the least-squares problem of a choice.

    Parameters
    ----------
    choice : Choice
    model : VortexModel
        Measured values, errors and r_max; the rest is that of the choice. If its closure is a constructor, this
        closure and its moment factor replace frame, shape, current and gradient.

    Returns
    -------
    LeastSquaresProblem
        No R exceeds r_max. Where m R_rms is shared, residuals (m R_rms/κ − 1)/0.03 of e, μ and τ are added, with m the
        measured mass; where κ is their mean, two contrasts of these residuals are added.

    Raises
    ------
    ValueError
        As for `VortexModel`, or if the closure is a constructor and frame, shape, current or gradient are not those of
        the report.
    """
    read_instance("choice", choice, Choice)
    is_own = not isinstance(read_instance("model", model, VortexModel).closure, str)
    bounds = dict(limit_radius(BOUNDS[choice.bounds], model.r_max))
    if choice.moment == "spin_half":
        bounds["c_mu"] = (0.0, 2 * SPIN_HALF_C)  # C is held between them
    if is_own and {"frame", "shape", "current", "gradient"} & set(choice.changed):
        raise ValueError(
            f"{choice.name}: frame, shape, current and gradient must be the report's beside a closure of one's own"
        )
    problem = replace(
        model,
        closure=model.closure if is_own else choice.closure,
        gradient=GRADIENT if choice.gradient == "on" else 0.0,
        moment_map="mass_scaled" if choice.moment in ("mass_scaled", "spin_half") else "universal",
        moment_factor=model.moment_factor if is_own else moment_factor(choice.current, shape=choice.shape),
        bounds=bounds,
    ).problem
    held = {f"A_{lepton}": BOUNDS[choice.bounds]["A"][1] for lepton in LEPTONS if choice.amplitude == "saturated"}
    kept = problem.residual_names
    if choice.moment == "spin_half":
        held["c_mu"] = SPIN_HALF_C
    elif choice.moment == "none":
        held["c_mu"], kept = problem.parameters[problem.index("c_mu")].start, kept[:3]
    problem = restrict(problem, fixed=held, residuals=kept)
    return problem if choice.radius == "none" else _share_radius(problem, choice, model)


def _share_radius(problem: LeastSquaresProblem, choice: Choice, model: VortexModel) -> LeastSquaresProblem:
    """Add the constraint m R_rms = κ to a problem.

    The weight in R_rms cancels in the ratio m R_rms/κ and only sets the scale of κ. If κ is the mean of the three
    leptons, their deviations add up to zero. They are then two constraints, written as two orthonormal contrasts.
    """
    columns = [problem.index(f"R_{lepton}") for lepton in LEPTONS]
    scale = model.measurements.values[:3] * rms_factor("deficit", shape=choice.shape)
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
        name="kappa",
        start=float(np.sqrt(smallest.min() * largest.max())),
        lower=float(smallest.min()),
        upper=float(largest.max()),
        physical=(0.0, np.inf),
        symbol="κ",
        label=r"$\kappa$",
    )
    names = [f"kappa_{lepton}" for lepton in LEPTONS] if is_free else ["kappa_e_mu", "kappa_tau"]
    return extend(problem, names, residuals, slopes, parameters=(kappa,) if is_free else ())
