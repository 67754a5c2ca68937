"""Energy functional as the December 2025 report evaluated it, kept only to repeat the analyses of the report.

The flow is neither continuous nor divergence-free, and the grid is coarse, so the functional does not describe Hill's
vortex. Grid: 100 radii from 0.01 to 10, 20 angles from 0.01 to π − 0.01; Simpson's rule in r, rectangles in θ. Inside,
v_r = −3U(1 − x²) cos θ and v_θ = 3Ux² sin θ; outside, Lamb's stream. Each component is divided by its geometric factor
plus 1e-10, as in the report. Between two grid radii the integrals are polynomials in R³ and R⁻². Prefix sums over the
grid therefore give the integrals and their derivatives for any number of R at once. Where a grid radius enters the
core, the integrals jump.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache

import numpy as np
from scipy.integrate import simpson

R_MAX = 10.0
N_RADII = 100

_ANGLES = np.linspace(0.01, math.pi - 0.01, 20)
_EPSILON = 1e-10


class _Tables:
    """Sums over the grid radii, for a core that contains the first k radii."""

    def __init__(self, n_radii: int):
        self.radii = np.linspace(0.01, R_MAX, n_radii)
        # Simpson's rule for an even number of points as in SciPy ≥ 1.11; it is linear, so unit vectors give its weights
        weights = simpson(np.eye(n_radii), x=self.radii, axis=-1)
        sin, cos = np.sin(_ANGLES), np.cos(_ANGLES)
        radius = self.radii[:, None]
        measure = 2 * math.pi * weights[:, None] * (_ANGLES[1] - _ANGLES[0]) * radius**2 * sin
        # weights of v_r²/cos²θ and v_θ²/sin²θ in the kinetic energy, factor ½ included, and of 1 in ∫ dV
        radial = np.sum(0.5 * measure * (cos / (1 + _EPSILON / (radius**2 * sin))) ** 2, axis=1)
        polar = np.sum(0.5 * measure * (sin / (1 + _EPSILON / (radius * sin))) ** 2, axis=1)
        r, p, v = (self._prefix(w) for w in (radial, polar, np.sum(measure, axis=1)))
        # inside: coefficients of R⁰, R⁻², R⁻⁴, R⁻⁶ for k radii in the core
        self.flow = 9 * np.stack([r[:, 0], -2 * r[:, 1], r[:, 2] + p[:, 2], 0 * r[:, 3]], axis=1)
        self.deficit = 9 * np.stack([r[:, 0], -3 * r[:, 1], 3 * r[:, 2] + p[:, 2], -r[:, 3] - p[:, 3]], axis=1)
        self.static = np.stack([v[:, 0], -2 * v[:, 1], v[:, 2], 0 * v[:, 3]], axis=1)
        # outside: coefficients of R⁰, R³, R⁶
        cube = self.radii**3
        far = (radial + polar, (-2 * radial + polar) / cube, (radial + 0.25 * polar) / cube**2)
        self.outside = np.stack([np.append(np.cumsum(w[::-1])[::-1], 0.0) for w in far], axis=1)

    def _prefix(self, weights: np.ndarray) -> np.ndarray:
        """Sums (n_radii + 1, 4) of weights · r^(2n) over the first k radii."""
        powers = self.radii[:, None] ** np.arange(0, 8, 2)
        return np.concatenate([np.zeros((1, 4)), np.cumsum(weights[:, None] * powers, axis=0)])


@cache
def _tables(n_radii: int) -> _Tables:
    return _Tables(n_radii)


def _inside(coefficients: np.ndarray, radius: np.ndarray) -> np.ndarray:
    """Polynomial in R⁻²; coefficients (..., 4)."""
    z = radius**-2
    return coefficients[..., 0] + z * (coefficients[..., 1] + z * (coefficients[..., 2] + z * coefficients[..., 3]))


def _inside_slope(coefficients: np.ndarray, radius: np.ndarray) -> np.ndarray:
    """Derivative of `_inside` by R."""
    z = radius**-2
    by_z = coefficients[..., 1] + z * (2 * coefficients[..., 2] + 3 * z * coefficients[..., 3])
    return -2 * by_z * z / radius


@dataclass(frozen=True)
class ReportedClosure:
    """Closure with the functional of the report; `r_max` must be 10, as in the report.

    Parameters
    ----------
    r_max : float
    n_radii : int
        Number of grid radii; the report uses 100.

    Raises
    ------
    ValueError
        If `r_max` is not 10.
    """

    r_max: float = R_MAX
    n_radii: int = N_RADII

    def __post_init__(self) -> None:
        if self.r_max != R_MAX:
            raise ValueError(
                f"r_max = {self.r_max:g}: must be {R_MAX:g} for the reported closure, whose grid ends there"
            )

    def _locate(self, radius: np.ndarray) -> tuple[_Tables, np.ndarray]:
        """Sums over the grid, and the number of grid radii in the core."""
        tables = _tables(self.n_radii)
        return tables, np.searchsorted(tables.radii, radius)

    def flow(self, radius: np.ndarray, amplitude: np.ndarray) -> np.ndarray:
        """I = E_circ/U², for arrays of any shape."""
        tables, core = self._locate(radius)
        outside, cube = tables.outside[core], radius**3
        uniform = _inside(tables.flow[core], radius)
        uniform = uniform + outside[..., 0] + cube * (outside[..., 1] + cube * outside[..., 2])
        return uniform - amplitude * _inside(tables.deficit[core], radius)

    def flow_slopes(self, radius: np.ndarray, amplitude: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Derivatives ∂I/∂R and ∂I/∂A, valid between grid radii."""
        tables, core = self._locate(radius)
        outside, cube = tables.outside[core], radius**3
        uniform_slope = _inside_slope(tables.flow[core], radius)
        uniform_slope = uniform_slope + 3 * radius**2 * (outside[..., 1] + 2 * cube * outside[..., 2])
        deficit = tables.deficit[core]
        return uniform_slope - amplitude * _inside_slope(deficit, radius), -_inside(deficit, radius)

    def static(self, radius: np.ndarray, amplitude: np.ndarray, beta: np.ndarray) -> np.ndarray:
        """−β S, for arrays of any shape."""
        tables, core = self._locate(radius)
        return -beta * amplitude**2 * _inside(tables.static[core], radius)

    def static_slopes(
        self, radius: np.ndarray, amplitude: np.ndarray, beta: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Derivatives of `static` by R, A and β."""
        tables, core = self._locate(radius)
        value, slope = _inside(tables.static[core], radius), _inside_slope(tables.static[core], radius)
        square = amplitude**2
        return -beta * square * slope, -2 * beta * amplitude * value, -square * value
