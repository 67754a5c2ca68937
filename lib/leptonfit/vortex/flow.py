"""Stream function and density of the vortex in space, and its flow energy as a function of the outer radius."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from leptonfit.inference.arguments import read_array, read_count, read_number
from leptonfit.inference.result import Result
from leptonfit.vortex.closures import HillClosure

_MOST, _FAR = 10_000, 1e9
"""Largest number of points along an axis, and largest distance from the centre."""


@dataclass(frozen=True)
class FlowResult(Result):
    """Hill vortex in its rest frame, with a parabolic density deficit; lengths in units of the vortex radius.

    Attributes
    ----------
    x, z : ndarray (n,)
        Coordinates across and along the axis.
    psi : ndarray (n, n)
        Stream function divided by U R², rows along z; its contours are streamlines.
    density : ndarray (n, n)
    radius : ndarray (n_radius,)
        Outer radii, from 1.
    energy : ndarray (n_radius,)
        Flow energy within each outer radius, divided by U² R³.
    """

    x: np.ndarray
    z: np.ndarray
    psi: np.ndarray
    density: np.ndarray
    radius: np.ndarray
    energy: np.ndarray


def lay_out_flow(amplitude: float, *, r_max: float, extent: float = 2.0, n: int = 201) -> FlowResult:
    """Evaluate Lamb's stream function (Hydrodynamics §165), the density, and the energy within each outer radius.

    Parameters
    ----------
    amplitude : float
        Density deficit A at the centre.
    r_max : float
        Largest outer radius, in units of the vortex radius.
    extent : float
        Half width of the picture, in units of the vortex radius.
    n : int
        Number of points along each side of the picture.
    """
    amplitude, r_max = read_number("amplitude", amplitude), read_number("r_max", r_max, low=1.0, high=_FAR)
    extent, n = read_number("extent", extent, low=0.0, high=_FAR), read_count("n", n, lowest=2, highest=_MOST)
    axis = np.linspace(-extent, extent, n)
    x, z = np.meshgrid(axis, axis)
    r = np.maximum(np.hypot(x, z), 1e-12)
    inside = r < 1
    psi = np.where(inside, -0.75 * (1 - r**2), 0.5 * (1 - r**-3.0)) * x**2  # r² sin²θ = x²
    radius = np.linspace(1.0, r_max, 200)
    energy = np.array([HillClosure(r_max=outer).flow(np.array(1.0), np.array(amplitude)) for outer in radius])
    density = np.where(inside, 1 - amplitude * (1 - r**2), 1.0)
    return FlowResult(x=axis, z=axis, psi=psi, density=density, radius=radius, energy=energy)


@dataclass(frozen=True)
class OuterRadiusResult(Result):
    """Flow energy divided by U², against the outer radius of its integral, in both frames and for a few vortices.

    Attributes
    ----------
    r_max : ndarray (n,)
    radius, amplitude : ndarray (n_vortices,)
        R and A of each vortex.
    stream : ndarray (n_vortices, n)
    lab : ndarray (n_vortices,)
        Flow energy with the fluid at rest at infinity, integrated to infinity.
    """

    r_max: np.ndarray
    radius: np.ndarray
    amplitude: np.ndarray
    stream: np.ndarray
    lab: np.ndarray


def scan_outer_radius(r_max: np.ndarray) -> OuterRadiusResult:
    """Evaluate the flow energy at each r_max (n,) ≥ 1 for three vortices: (R, A) = (0.1, 0.1), (1, 0.1), (1, 1)."""
    r_max = read_array("r_max", r_max, (None,))
    if (r_max < 1).any():
        raise ValueError(f"r_max = {r_max.min():g}: must be 1 or more")
    radius, amplitude = np.array([0.1, 1.0, 1.0]), np.array([0.1, 0.1, 1.0])
    stream = np.array([HillClosure(r_max=float(outer)).flow(radius, amplitude) for outer in r_max]).T
    return OuterRadiusResult(r_max, radius, amplitude, stream, HillClosure(frame="lab").flow(radius, amplitude))


def describe_energy(flow: FlowResult) -> str:
    """Sentence on the share of the flow energy that lies inside the vortex."""
    share = flow.energy[0] / flow.energy[-1]
    box = 2 * math.pi / 3 * flow.radius[-1] ** 3
    return (
        f"In the stream closure, {100 * share:.3g} % of the flow energy within r_max = {flow.radius[-1]:g} lies inside "
        f"a vortex of radius 1; the whole is {flow.energy[-1] / box:.5g} of (2π/3) r_max³"
        + (
            ", the value without a vortex: the integration volume sets the energy, not the vortex."
            if share < 0.5
            else "."
        )
    )
