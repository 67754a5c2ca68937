"""Feasible values of C_μ: exact solutions of the cross-lepton fit, computed without a fit.

At given β the velocity U = √((m − E_static)/I) meets the mass of a lepton exactly for every R and A. Then q = R U
covers a range [q_min, q_max], and C_μ = g/(k q) covers another range. A value of C_μ inside the ranges of e and μ, and
inside the bounds on C_μ, fits both masses and both g-factors exactly. Each range is assumed to be connected. This is
true where q is continuous in R and the allowed R are connected. It is not true for `reported`, whose small jumps in R
are ignored, nor where a limit of U cuts the allowed R in two.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from leptonfit.inference.arguments import read_array, read_choice, read_count, read_instance, read_number
from leptonfit.inference.result import Booleans, Result
from leptonfit.vortex.closures import Closure
from leptonfit.vortex.model import LEPTONS, VortexModel

_MOST = 1e9
"""Largest β."""
_POINTS, _ROUNDS, _KEPT, _GRID = 401, 6, 2.0, 401
_STEP = 1e-6


@dataclass(frozen=True)
class CMuResult(Result):
    """Feasible intervals [low, high] of C_μ at each β; nan where no value is feasible.

    Attributes
    ----------
    beta : ndarray (n,)
    electron, muon : ndarray (n, 2)
        Interval for that lepton alone, without the bounds on C_μ.
    joint : ndarray (n, 2)
        Interval for both leptons, within the bounds on C_μ; nan also where the mass of the τ cannot be met.
    is_feasible : ndarray (n,) of bool
        Whether a joint interval exists, so that χ²_min = 0 at this β.
    """

    beta: np.ndarray
    electron: np.ndarray
    muon: np.ndarray
    joint: np.ndarray
    is_feasible: Booleans


def feasible_c_mu(model: VortexModel, beta: np.ndarray) -> CMuResult:
    """Find the feasible intervals of C_μ at each β (n,).

    Raises
    ------
    ValueError
        If the moment map is not universal, or there is a gradient term, with which U need not grow with A.
    """
    read_instance("model", model, VortexModel).require_closed_form()
    energy, limits, values = model.energy, model.limits, model.measurements.values
    beta = read_array("beta", beta, (None,))
    if (beta < 0).any():
        raise ValueError(f"beta = {beta.min():g}: must be 0 or more")
    own = []
    for lepton, mass, moment in zip(("e", "mu"), values[:2], values[3:], strict=True):
        q = moment_range(energy, mass, beta, *(limits[f"{kind}_{lepton}"] for kind in "RUA"))
        own.append(moment / (model.moment_factor * q[:, ::-1]))
    tau = moment_range(energy, values[2], beta, *(limits[f"{kind}_tau"] for kind in "RUA"))
    low = np.maximum(np.maximum(own[0][:, 0], own[1][:, 0]), limits["c_mu"][0])
    high = np.minimum(np.minimum(own[0][:, 1], own[1][:, 1]), limits["c_mu"][1])
    feasible = (low <= high) & np.isfinite(tau[:, 0])
    joint = np.where(feasible[:, None], np.stack([low, high], axis=1), np.nan)
    return CMuResult(beta=beta, electron=own[0], muon=own[1], joint=joint, is_feasible=feasible)


def find_edges(model: VortexModel, low: float, high: float) -> np.ndarray:
    """Values of β (n,) between `low` and `high`, ascending, at which exact solutions begin or end.

    The relative precision is 1e-12. A set narrower than 1/400 of the range can be missed.

    Raises
    ------
    ValueError
        As for `feasible_c_mu`.
    """
    low, high = read_number("low", low, low=0.0, high=_MOST), read_number("high", high, low=0.0, high=_MOST)
    if not low < high:
        raise ValueError(f"low = {low:g}, high = {high:g}: must ascend")
    grid = np.linspace(low, high, _GRID)
    feasible = feasible_c_mu(model, grid).is_feasible
    changes = np.flatnonzero(feasible[1:] != feasible[:-1])
    below, above, side = grid[changes], grid[changes + 1], feasible[changes]
    while True:
        middle = (below + above) / 2
        if not ((above - below > 1e-12 * above) & (below < middle) & (middle < above)).any():
            break
        same = feasible_c_mu(model, middle).is_feasible == side
        below, above = np.where(same, middle, below), np.where(same, above, middle)
    return (below + above) / 2


def edge_at_corners(model: VortexModel) -> float:
    """β, in closed form, at which the largest q of e and the smallest q of μ require the same C_μ.

    Exact solutions begin at this β if the largest q of e lies at the upper limits of R and A, the smallest q of μ lies
    at their lower limits, and no bound on U or C_μ is reached first. The squares of q are then linear in β.
    """
    energy, limits, values = model.energy, model.limits, model.measurements.values
    constant, slope = [], []
    for row, (lepton, end) in enumerate((("e", 1), ("mu", 0))):
        radius, amplitude = np.array(limits[f"R_{lepton}"][end]), np.array(limits[f"A_{lepton}"][end])
        scale = radius**2 / energy.flow(radius, amplitude) / values[3 + row] ** 2
        still = energy.static(radius, amplitude, np.array(0.0))
        constant.append(scale * (values[row] - still))
        slope.append(scale * (still - energy.static(radius, amplitude, np.array(1.0))))
    return float((constant[1] - constant[0]) / (slope[0] - slope[1]))


def sigma_shift(model: VortexModel, edge: float) -> float:
    """Distance that β may lie beyond an edge of the exact solutions per √Δχ², to first order in the errors.

    The exact solutions end where a margin h(β, y) of the data y falls to zero. Beyond the edge
    χ²_min = h²/(∇h C ∇h), with C the covariance of the model and ∇h the gradient with respect to y.

    Parameters
    ----------
    model : VortexModel
    edge : float
        Edge from `find_edges`.
    """
    values = read_instance("model", model, VortexModel).measurements.values
    edge = read_number("edge", edge)
    if not edge > 0:
        raise ValueError(f"edge = {edge:g}: must be above 0")

    def margin(beta: float, y: np.ndarray) -> float:
        return _margin(replace(model, measurements=replace(model.measurements, values=y)), beta)

    # on the side without solutions, where the smallest margin belongs to the violated constraint
    side = 1 if margin(edge * (1 + _STEP), values) < 0 else -1
    near, far = edge * (1 + side * _STEP), edge * (1 + 2 * side * _STEP)
    by_beta = (margin(far, values) - margin(near, values)) / (far - near)
    moves = 0.1 * _STEP * np.diag(values)
    by_value = [(margin(near, values + move) - margin(near, values - move)) / (2 * move.max()) for move in moves]
    return float(np.sqrt(np.array(by_value) @ model.covariance @ np.array(by_value)) / abs(by_beta))


def _margin(model: VortexModel, beta: float) -> float:
    """Smallest margin in ln C_μ or in a mass: positive where exact solutions exist, negative where they do not."""
    found, energy, limits = feasible_c_mu(model, np.array([beta])), model.energy, model.limits
    low = np.max([found.electron[0, 0], found.muon[0, 0], limits["c_mu"][0]])
    high = np.min([found.electron[0, 1], found.muon[0, 1], limits["c_mu"][1]])
    gaps = [np.log(high / low)]  # nan where a mass cannot be met

    def weigh(radius: np.ndarray, lepton: str, sign: int) -> np.ndarray:
        """Largest mass at each R (sign 1), or minus the smallest mass (sign −1); both lie at limits of U and A."""
        end = 1 if sign > 0 else 0
        amplitude = np.full_like(radius, limits[f"A_{lepton}"][1 - end])
        square = limits[f"U_{lepton}"][end] ** 2
        return sign * (square * energy.flow(radius, amplitude) + energy.static(radius, amplitude, np.array(beta)))

    for lepton, mass in zip(LEPTONS, model.measurements.values[:3], strict=True):
        heaviest, lightest = (
            _largest(partial(weigh, lepton=lepton, sign=sign), 1, limits[f"R_{lepton}"])[0] for sign in (1, -1)
        )
        gaps += [heaviest - mass, mass + lightest]  # `lightest` is minus the smallest mass
    return float(np.nanmin(gaps))


def moment_range(
    energy: Closure,
    mass: float,
    beta: np.ndarray,
    radius_limits: tuple[float, float],
    velocity_limits: tuple[float, float],
    amplitude_limits: tuple[float, float],
) -> np.ndarray:
    """Smallest and largest q = R U (n, 2) that meet the mass exactly within the limits; nan where none does.

    At given R, U grows with A. So q is extreme at a limit of A or, if U reaches a limit first, at that limit of U.
    """
    stiffness = beta[:, None]

    def moment(radius: np.ndarray, sign: int) -> np.ndarray:
        with np.errstate(invalid="ignore"):
            slowest, fastest = (
                np.sqrt((mass - energy.static(radius, amplitude, stiffness)) / energy.flow(radius, amplitude))
                for amplitude in (np.full_like(radius, end) for end in amplitude_limits)
            )
        allowed = (slowest <= velocity_limits[1]) & (fastest >= velocity_limits[0])
        velocity = np.clip(fastest if sign > 0 else slowest, *velocity_limits)
        return np.where(allowed, sign * radius * velocity, -np.inf)

    ends = [_largest(partial(moment, sign=sign), len(beta), radius_limits) for sign in (-1, 1)]
    return np.stack([-ends[0], ends[1]], axis=1)


def _largest(objective: Callable[[np.ndarray], np.ndarray], n: int, limits: tuple[float, float]) -> np.ndarray:
    """Largest values (n,) of n functions of R; nan where all values of a function are −inf.

    `objective` maps R (n, 401) to values of the same shape. A grid in ln R is laid six times, each time closer around
    the best point of each function; the last grid resolves 1e-13 of the range.
    """
    full = np.log(limits)
    low, high = np.full(n, full[0]), np.full(n, full[1])
    best = np.full(n, np.nan)
    for _ in range(_ROUNDS):
        places = low[:, None] + (high - low)[:, None] * np.linspace(0, 1, _POINTS)
        values = objective(np.clip(np.exp(places), *limits))
        at = values.argmax(axis=-1)
        top = values[np.arange(n), at]
        best = np.fmax(best, np.where(np.isfinite(top), top, np.nan))
        half = _KEPT * (high - low) / (_POINTS - 1)
        centre = places[np.arange(n), at]
        low, high = np.maximum(centre - half, full[0]), np.minimum(centre + half, full[1])
    return best


@dataclass(frozen=True)
class ManifoldResult(Result):
    """Exact solutions for the mass of one lepton, over R and A, at one β.

    Attributes
    ----------
    beta : float
    radius : ndarray (n_R,)
    amplitude : ndarray (n_A,)
    velocity : ndarray (n_A, n_R)
        U that meets the mass; nan where U is outside its bounds.
    c_mu : ndarray (n_A, n_R)
        C_μ that then meets the g-factor; nan for the τ.
    """

    beta: float
    radius: np.ndarray
    amplitude: np.ndarray
    velocity: np.ndarray
    c_mu: np.ndarray


def solution_manifold(
    model: VortexModel, beta: float, *, lepton: str = "e", n_radius: int = 200, n_amplitude: int = 5
) -> ManifoldResult:
    """Compute the exact solutions that one lepton alone allows at one β: a surface, not a point.

    Parameters
    ----------
    model : VortexModel
        Its moment map must be universal.
    beta : float
    lepton : str
        "e", "mu" or "tau"; the τ has no g-factor here and therefore no C_μ.
    n_radius, n_amplitude : int
        Number of points along R and along A.
    """
    read_instance("model", model, VortexModel).require_closed_form()
    beta = read_number("beta", beta, low=0.0)
    read_choice("lepton", lepton, LEPTONS)
    n_radius, n_amplitude = read_count("n_radius", n_radius), read_count("n_amplitude", n_amplitude)
    energy, limits, values, row = model.energy, model.limits, model.measurements.values, LEPTONS.index(lepton)
    radius = np.linspace(*limits[f"R_{lepton}"], n_radius)
    amplitude = np.linspace(*limits[f"A_{lepton}"], n_amplitude)
    r, a = np.meshgrid(radius, amplitude)
    with np.errstate(invalid="ignore"):
        velocity = np.sqrt((values[row] - energy.static(r, a, np.array(beta))) / energy.flow(r, a))
    inside = (velocity >= limits[f"U_{lepton}"][0]) & (velocity <= limits[f"U_{lepton}"][1])
    velocity = np.where(inside, velocity, np.nan)
    c_mu = (values[3 + row] if row < 2 else np.nan) / (model.moment_factor * r * velocity)
    return ManifoldResult(beta=beta, radius=radius, amplitude=amplitude, velocity=velocity, c_mu=c_mu)


def describe_c_mu(scan: CMuResult, there: CMuResult, *, claim: float, limits: tuple[float, float]) -> str:
    """Sentences that compare the allowed C_μ at one β, within the bounds given, with the value the report claims.

    Parameters
    ----------
    scan : CMuResult
        Intervals over the scan of β.
    there : CMuResult
        Interval at the single β.
    claim : float
        C_μ that the report calibrates on the electron alone.
    limits : tuple of float
        Bounds on C_μ.
    """
    n_feasible, n = int(np.count_nonzero(scan.is_feasible)), len(scan.beta)
    low, high = there.electron[0]
    alone = f"from {low:.5g} to {high:.5g}" if np.isfinite(low) else "at no value"
    said = f"Within the bounds given, at β = {there.beta[0]:.10g}, the electron's mass and g-factor alone allow C_μ "
    said += alone
    exists = f"An exact fit exists at {n_feasible} of {n} points of the scan."
    if not there.is_feasible[0]:
        mu = "from {:.5g} to {:.5g}".format(*there.muon[0]) if np.isfinite(there.muon[0, 0]) else "at no value"
        bounded = f"the bounds of C_μ are {limits[0]:g} to {limits[1]:g}"
        return f"{said}, the muon's {mu}, and {bounded}: no C_μ fits all leptons there. {exists}"
    joint, inside = there.joint[0], low <= claim <= high
    factor = f"a range of a factor {high / low:.3g}. A calibration on the electron alone does not determine C_μ"
    return (
        f"{said}, {factor}. All leptons together allow it from {joint[0]:.5g} to {joint[1]:.5g}. The report's "
        f"{claim:g} is {'allowed by the electron alone' if inside else 'not allowed by the electron alone'}"
        f"{' and does not contradict the joint fit' if inside else ''}. {exists}"
    )
