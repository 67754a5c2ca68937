"""Energy of a Hill vortex in each closure, with analytic derivatives.

The vortex has radius R, circulation velocity U and, with x = r/R, density 1 − A(1 − x²) inside, 1 outside. Everything
is dimensionless; energies are in units of the electron mass.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class StreamClosure:
    """Rest frame of the vortex, uniform stream outside, integrated to `r_max`; parabolic density deficit.

    The stream function is Lamb's (Hydrodynamics, 6th ed., §165): ψ_in = −(3U/4) r²(1 − x²) sin²θ,
    ψ_out = (U/2) r²(1 − x⁻³) sin²θ.

    Parameters
    ----------
    r_max : float
        Outer radius of the integration, at least the vortex radius.
    """

    r_max: float = 10.0

    def circulation(self, radius: np.ndarray, amplitude: np.ndarray) -> np.ndarray:
        """E_circ/U² = π[(2/3) r_max³ + R³(2/21 − 6A/35) − R⁶/(3 r_max³)], any shape."""
        cube = radius**3
        return math.pi * (
            2 / 3 * self.r_max**3 + cube * (2 / 21 - 6 / 35 * amplitude) - cube * cube / (3 * self.r_max**3)
        )

    def circulation_gradient(self, radius: np.ndarray, amplitude: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Derivatives of `circulation` by R and by A."""
        square = radius * radius
        by_radius = math.pi * square * (3 * (2 / 21 - 6 / 35 * amplitude) - 2 * radius * square / self.r_max**3)
        return by_radius, -6 / 35 * math.pi * radius * square

    def stabilisation(self, radius: np.ndarray, amplitude: np.ndarray) -> np.ndarray:
        """E_stab/β = ∫(δρ)² dV = (32π/105) A²R³, any shape."""
        return 32 * math.pi / 105 * amplitude * amplitude * radius**3

    def stabilisation_gradient(self, radius: np.ndarray, amplitude: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Derivatives of `stabilisation` by R and by A."""
        common = 32 * math.pi / 105 * amplitude * radius * radius
        return 3 * common * amplitude, 2 * common * radius


CLOSURES = {"stream": StreamClosure}
