"""Moment functionals and mean radii of a charged, rotating vortex, from the shape of its density.

The axisymmetric Hill flow has no azimuthal velocity, so its magnetic moment is exactly zero. The fit uses the moment
M = k Q R U of a proxy: a charge Q is spread over the sphere and moves with a rotation that the flow does not contain.
Its moment is M = ½ ∫ ρ_Q (r × v)_z dV (Jackson, Classical Electrodynamics, 3rd ed., §5.6), with v_φ = U x sin θ for a
rigid rotation and v_φ = U sin θ (3x − x³)/2 for a swirl, where x = r/R.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from leptonfit.inference.arguments import read_choice
from leptonfit.vortex.closures import NODES, SHAPES, WEIGHTS

_DENSITIES: dict[str, Callable[[str], np.ndarray]] = {
    "uniform": lambda shape: np.ones_like(NODES),
    "deficit": lambda shape: SHAPES[shape][0](NODES),
    "squared": lambda shape: SHAPES[shape][0](NODES) ** 2,
}
_ROTATIONS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "rigid": lambda x: x,
    "swirl": lambda x: (3 * x - x**3) / 2,
}
CURRENTS = tuple(f"{charge}_{rotation}" for charge in ("uniform", "deficit") for rotation in _ROTATIONS)
"""Distribution of the charge, uniform or proportional to the density deficit |δρ|, and its rotation."""


def moment_factor(current: str, *, shape: str = "parabolic") -> float:
    """Compute k of the moment M = k Q R U.

    Parameters
    ----------
    current : str
        One of `CURRENTS`.
    shape : str
        One of `SHAPES`.

    Raises
    ------
    ValueError
        If the current is unknown.
    """
    read_choice("current", current, CURRENTS)
    charge, rotation = current.split("_")
    return _average(charge, shape, NODES * _ROTATIONS[rotation](NODES)) / 3  # ½ ⟨sin²θ⟩ = ⅓


def rms_factor(weight: str, *, shape: str = "parabolic") -> float:
    """Compute R_rms/R, the root of the mean of x² weighted by |δρ| ("deficit") or by δρ² ("squared").

    Parameters
    ----------
    weight : str
    shape : str
        One of `SHAPES`.

    Raises
    ------
    ValueError
        If the weight is unknown.
    """
    read_choice("weight", weight, ("deficit", "squared"))
    return math.sqrt(_average(weight, shape, NODES**2))


def _average(weight: str, shape: str, values: np.ndarray) -> float:
    """Weighted mean over the sphere of values given at the quadrature nodes."""
    read_choice("shape", shape, SHAPES)
    share = WEIGHTS * NODES**2 * _DENSITIES[weight](shape)
    return float(np.sum(share * values) / np.sum(share))
