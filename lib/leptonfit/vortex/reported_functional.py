"""The energy functional as the December 2025 report evaluated it, kept only to re-enact the report.

The flow is neither continuous nor divergence-free, and the grid is coarse: it says nothing about Hill's vortex.
Grid: 100 radii from 0.01 to 10, 20 angles from 0.01 to π − 0.01; Simpson's rule in r, rectangles in θ. Inside,
v_r = −3U(1 − x²) cos θ and v_θ = 3Ux² sin θ; outside, Lamb's stream. Each component is divided by its geometric factor
plus 1e-10, as there. Between two grid radii the integrals are polynomials in R² and R⁻², so prefix sums over the grid
give them, and their derivatives, for any number of R at once; where a grid radius enters the core they jump.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy.integrate import simpson

R_MAX = 10.0

_RADII = np.linspace(0.01, R_MAX, 100)
_ANGLES = np.linspace(0.01, math.pi - 0.01, 20)
_EPSILON = 1e-10


def _simpson_weights() -> np.ndarray:
    """Weights of Simpson's rule for an even number of points as SciPy ≥ 1.11 has it: the rule is linear."""
    return simpson(np.eye(len(_RADII)), x=_RADII, axis=-1)


def _sums() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Weights (100,) of v_r²/cos²θ and v_θ²/sin²θ in the kinetic energy, factor ½ included, and of 1 in ∫ dV."""
    sin, cos = np.sin(_ANGLES), np.cos(_ANGLES)
    radius = _RADII[:, None]
    measure = 2 * math.pi * _simpson_weights()[:, None] * (_ANGLES[1] - _ANGLES[0]) * radius**2 * sin
    radial = 1 / (1 + _EPSILON / (radius**2 * sin))
    polar = 1 / (1 + _EPSILON / (radius * sin))
    return (
        np.sum(0.5 * measure * (cos * radial) ** 2, axis=1),
        np.sum(0.5 * measure * (sin * polar) ** 2, axis=1),
        np.sum(measure, axis=1),
    )


_RADIAL, _POLAR, _VOLUME = _sums()
_POWERS = _RADII[:, None] ** np.arange(0, 8, 2)  # r⁰, r², r⁴, r⁶


def _prefix(weights: np.ndarray) -> np.ndarray:
    """Sums (101, 4) of weights · r^(2n) over the first k radii."""
    return np.concatenate([np.zeros((1, 4)), np.cumsum(weights[:, None] * _POWERS, axis=0)])


def _suffix(weights: np.ndarray) -> np.ndarray:
    """Sums (101,) over the radii from the k-th on."""
    return np.concatenate([np.cumsum(weights[::-1])[::-1], [0.0]])


# inside: coefficients of R⁰, R⁻², R⁻⁴, R⁻⁶ for k radii in the core
_R, _P, _V = _prefix(_RADIAL), _prefix(_POLAR), _prefix(_VOLUME)
_FLOW_INSIDE = 9 * np.stack([_R[:, 0], -2 * _R[:, 1], _R[:, 2] + _P[:, 2], 0 * _R[:, 3]], axis=1)
_DEFICIT_INSIDE = 9 * np.stack([_R[:, 0], -3 * _R[:, 1], 3 * _R[:, 2] + _P[:, 2], -_R[:, 3] - _P[:, 3]], axis=1)
_STATIC_INSIDE = np.stack([_V[:, 0], -2 * _V[:, 1], _V[:, 2], 0 * _V[:, 3]], axis=1)
# outside: coefficients of R⁰, R³, R⁶
_OUTSIDE = np.stack(
    [
        _suffix(_RADIAL + _POLAR),
        _suffix((-2 * _RADIAL + _POLAR) / _RADII**3),
        _suffix((_RADIAL + 0.25 * _POLAR) / _RADII**6),
    ],
    axis=1,
)


def _inside(coefficients: np.ndarray, radius: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Polynomial in R⁻² and its derivative by R."""
    core = coefficients[np.searchsorted(_RADII, radius)]
    z = radius**-2
    value = core[..., 0] + z * (core[..., 1] + z * (core[..., 2] + z * core[..., 3]))
    by_z = core[..., 1] + z * (2 * core[..., 2] + 3 * z * core[..., 3])
    return value, -2 * by_z * z / radius


@dataclass(frozen=True)
class ReportedClosure:
    """The report's functional; `r_max` is 10, as there.

    Raises
    ------
    ValueError
        If `r_max` is not 10.
    """

    r_max: float = R_MAX

    def __post_init__(self) -> None:
        if self.r_max != R_MAX:
            raise ValueError(
                f"r_max = {self.r_max:g}: must be {R_MAX:g} for the reported closure, whose grid ends there"
            )

    def _flow_parts(self, radius: np.ndarray) -> tuple[np.ndarray, ...]:
        """I at A = 0, its slope in −A, and the derivatives of both by R."""
        uniform, uniform_slope = _inside(_FLOW_INSIDE, radius)
        deficit, deficit_slope = _inside(_DEFICIT_INSIDE, radius)
        outside = _OUTSIDE[np.searchsorted(_RADII, radius)]
        cube = radius**3
        uniform = uniform + outside[..., 0] + cube * (outside[..., 1] + cube * outside[..., 2])
        uniform_slope = uniform_slope + 3 * radius**2 * (outside[..., 1] + 2 * cube * outside[..., 2])
        return uniform, deficit, uniform_slope, deficit_slope

    def flow(self, radius: np.ndarray, amplitude: np.ndarray) -> np.ndarray:
        """I = E_circ/U², any shape."""
        uniform, deficit, _, _ = self._flow_parts(radius)
        return uniform - amplitude * deficit

    def flow_slopes(self, radius: np.ndarray, amplitude: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """∂I/∂R, ∂I/∂A; between grid radii."""
        _, deficit, uniform_slope, deficit_slope = self._flow_parts(radius)
        return uniform_slope - amplitude * deficit_slope, -deficit

    def static(self, radius: np.ndarray, amplitude: np.ndarray, beta: np.ndarray) -> np.ndarray:
        """−β S, any shape."""
        return -beta * amplitude**2 * _inside(_STATIC_INSIDE, radius)[0]

    def static_slopes(
        self, radius: np.ndarray, amplitude: np.ndarray, beta: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Derivatives of `static` by R, A and β."""
        value, slope = _inside(_STATIC_INSIDE, radius)
        square = amplitude**2
        return -beta * square * slope, -2 * beta * amplitude * value, -square * value
