"""Which C_μ can be had at all: exact solutions of the cross-lepton fit, without a fit.

At given β the velocity U = √((m − E_static)/I) meets a lepton's mass exactly for every R and A, so its moment k R U
runs over a range [q_min, q_max], and C_μ = g/(k q) over another. A value that lies in the ranges of e and of μ, and in
its own bounds, fits both masses and both g-factors exactly. Each range is connected, since q is continuous in R and A.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from leptonfit.inference.result import Booleans, Result
from leptonfit.vortex.closures import CLOSURES, Closure
from leptonfit.vortex.cross_lepton import MOMENT_FACTOR, REPORT_BOUNDS, Bounds, bounds_by_name
from leptonfit.vortex.measurements import Measurements

_POINTS, _ROUNDS, _KEPT = 41, 16, 2.0


@dataclass(frozen=True)
class CMuResult(Result):
    """Feasible intervals of C_μ, [low, high], against β; nan where there is none.

    Attributes
    ----------
    beta : ndarray (n,)
    electron, muon : ndarray (n, 2)
        For that lepton alone, whatever the bounds of C_μ.
    joint : ndarray (n, 2)
        For both, within the bounds of C_μ, where the τ's mass can be met as well.
    is_feasible : ndarray (n,) of bool
        Whether there is a joint interval: χ²_min = 0 at this β.
    """

    beta: np.ndarray
    electron: np.ndarray
    muon: np.ndarray
    joint: np.ndarray
    is_feasible: Booleans


def feasible_c_mu(
    measurements: Measurements,
    beta: np.ndarray,
    *,
    closure: str = "stream",
    r_max: float = 10.0,
    bounds: Bounds = REPORT_BOUNDS,
) -> CMuResult:
    """Find the feasible intervals of C_μ at each β (n,), with the universal moment map.

    Raises
    ------
    ValueError
        If the closure is unknown or cannot have that r_max.
    """
    if closure not in CLOSURES:
        raise ValueError(f"closure = {closure!r}: must be one of {', '.join(CLOSURES)}")
    energy, limits = CLOSURES[closure](r_max=r_max), bounds_by_name(bounds)
    beta = np.asarray(beta, dtype=float)
    own = []
    for lepton, mass, moment in zip(("e", "mu"), measurements.values[:2], measurements.values[3:], strict=True):
        q = moment_range(energy, mass, beta, *(limits[f"{kind}_{lepton}"] for kind in "RUA"))
        own.append(moment / (MOMENT_FACTOR * q[:, ::-1]))
    tau = moment_range(energy, measurements.values[2], beta, *(limits[f"{kind}_tau"] for kind in "RUA"))
    low = np.maximum(np.maximum(own[0][:, 0], own[1][:, 0]), limits["c_mu"][0])
    high = np.minimum(np.minimum(own[0][:, 1], own[1][:, 1]), limits["c_mu"][1])
    feasible = (low <= high) & np.isfinite(tau[:, 0])
    joint = np.where(feasible[:, None], np.stack([low, high], axis=1), np.nan)
    return CMuResult(beta=beta, electron=own[0], muon=own[1], joint=joint, is_feasible=feasible)


def moment_range(
    energy: Closure,
    mass: float,
    beta: np.ndarray,
    radius_limits: tuple[float, float],
    velocity_limits: tuple[float, float],
    amplitude_limits: tuple[float, float],
) -> np.ndarray:
    """Smallest and largest q = R U (n, 2) with the mass met exactly inside the limits; nan where it cannot be.

    A grid over R and A is laid again and again around its best point, for all β and both ends at once; 16 times leave
    the position to 1e-12 of the box.
    """
    n = len(beta)
    sign = np.array([-1.0, 1.0])[:, None, None]  # of q: smallest, largest
    full = np.array([radius_limits, amplitude_limits])
    box = np.broadcast_to(full, (n, 2, 2, 2)).copy()  # β, end, (R, A), (low, high)
    fraction = np.linspace(0, 1, _POINTS)
    best = np.full((n, 2), np.nan)
    for _ in range(_ROUNDS):
        width = box[..., 1] - box[..., 0]
        radius, amplitude = (box[:, :, i, :1] + width[:, :, i, None] * fraction for i in (0, 1))
        radius, amplitude = radius[..., :, None], amplitude[..., None, :]
        shape = (n, 2, _POINTS, _POINTS)
        r, a = np.broadcast_to(radius, shape), np.broadcast_to(amplitude, shape)
        with np.errstate(invalid="ignore"):
            velocity = np.sqrt((mass - energy.static(r, a, beta[:, None, None, None])) / energy.flow(r, a))
        allowed = (velocity >= velocity_limits[0]) & (velocity <= velocity_limits[1])
        q = np.where(allowed, sign * r * velocity, -np.inf).reshape(n, 2, -1)
        at = q.argmax(axis=-1)
        top = np.take_along_axis(q, at[..., None], axis=-1)[..., 0]
        best = np.fmax(best, np.where(np.isfinite(top), top, np.nan))
        index = np.stack(np.unravel_index(at, (_POINTS, _POINTS)), axis=-1)
        centre = box[..., 0] + width * fraction[index]
        half = _KEPT * width / (_POINTS - 1)
        box = np.clip(np.stack([centre - half, centre + half], axis=-1), full[:, :1], full[:, 1:])
    return best * sign[:, 0, 0]


@dataclass(frozen=True)
class ManifoldResult(Result):
    """One lepton's exact solutions of its mass, over R and A, at one β.

    Attributes
    ----------
    beta : float
    radius : ndarray (n_R,)
    amplitude : ndarray (n_A,)
    velocity : ndarray (n_A, n_R)
        U that meets the mass; nan outside its bounds.
    c_mu : ndarray (n_A, n_R)
        C_μ that meets the g-factor there.
    """

    beta: float
    radius: np.ndarray
    amplitude: np.ndarray
    velocity: np.ndarray
    c_mu: np.ndarray


def electron_manifold(
    measurements: Measurements,
    beta: float,
    *,
    closure: str = "stream",
    r_max: float = 10.0,
    bounds: Bounds = REPORT_BOUNDS,
    n_radius: int = 200,
    n_amplitude: int = 5,
) -> ManifoldResult:
    """Lay out what the electron alone allows at one β: a surface, not a point."""
    energy, limits = CLOSURES[closure](r_max=r_max), bounds_by_name(bounds)
    radius = np.linspace(*limits["R_e"], n_radius)
    amplitude = np.linspace(*limits["A_e"], n_amplitude)
    a = amplitude[:, None]
    with np.errstate(invalid="ignore"):
        velocity = np.sqrt((measurements.values[0] - energy.static(radius, a, np.array(beta))) / energy.flow(radius, a))
    inside = (velocity >= limits["U_e"][0]) & (velocity <= limits["U_e"][1])
    velocity = np.where(inside, velocity, np.nan)
    c_mu = measurements.values[3] / (MOMENT_FACTOR * radius * velocity)
    return ManifoldResult(beta=beta, radius=radius, amplitude=amplitude, velocity=velocity, c_mu=c_mu)


def describe_c_mu(result: CMuResult, at: int, claims: Mapping[str, Any]) -> tuple[str, str]:
    """Code and sentence of the calibration at point `at` of the scan, against the report's claims on C_μ."""
    claim = claims["c_mu"]
    n_feasible, n = int(np.count_nonzero(result.is_feasible)), len(result.beta)
    low, high = result.electron[at]
    alone = f"from {low:.5g} to {high:.5g}" if np.isfinite(low) else "at no value"
    said = f"At β = {result.beta[at]:.10g} the electron alone allows C_μ {alone}"
    if not result.is_feasible[at]:
        code = "empty" if not n_feasible else "bound_limited"
        return code, f"{said}; no C_μ fits all leptons there, and at {n_feasible} of {n} points of the scan one does."
    where = "one point of" if low <= claim["electron_alone"] <= high else "outside"
    return "bound_limited", (
        f"{said}, all leptons together from {result.joint[at, 0]:.5g} to {result.joint[at, 1]:.5g}: the electron alone "
        f"does not fix C_μ. The report's {claim['electron_alone']:g} is {where} the electron's range. "
        f"An exact fit exists at {n_feasible} of {n} points of the scan."
    )
