"""Energy of a Hill vortex in each closure, with analytic derivatives.

The vortex has radius R and circulation velocity U; with x = r/R its density is 1 − A f(x) inside and 1 outside. The
energy is E = U² I(R, A) − β S(R, A) + λ G(R, A), with the flow integral I, the stabilisation S = ∫(δρ)² dV and the
gradient term G = ∫|∇ρ|² dV. All quantities are dimensionless; energies are in units of the electron mass. The flow is
that of Lamb, Hydrodynamics (6th ed.), §165.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Protocol

import numpy as np

from leptonfit.vortex.reported_functional import ReportedClosure

Slopes = tuple[np.ndarray, np.ndarray]


class Closure(Protocol):
    """Interface of a closure: its energy integrals and their derivatives, for arrays of one common shape."""

    def flow(self, radius: np.ndarray, amplitude: np.ndarray) -> np.ndarray:
        """I = E_circ/U²."""
        ...

    def flow_slopes(self, radius: np.ndarray, amplitude: np.ndarray) -> Slopes:
        """Derivatives ∂I/∂R and ∂I/∂A."""
        ...

    def static(self, radius: np.ndarray, amplitude: np.ndarray, beta: np.ndarray) -> np.ndarray:
        """Static energy −β S + λ G, which does not depend on the flow."""
        ...

    def static_slopes(
        self, radius: np.ndarray, amplitude: np.ndarray, beta: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Derivatives of `static` by R, A and β."""
        ...


SHAPES: dict[str, tuple[Callable[[np.ndarray], np.ndarray], Callable[[np.ndarray], np.ndarray]]] = {
    "parabolic": (lambda x: 1 - x**2, lambda x: -2 * x),
    "quartic": (lambda x: (1 - x**2) ** 2, lambda x: -4 * x * (1 - x**2)),
    "gaussian": (lambda x: np.exp(-(x**2)), lambda x: -2 * x * np.exp(-(x**2))),
    "linear": (lambda x: 1 - x, lambda x: -np.ones_like(x)),
}
"""Density deficits f(x) and their derivatives, 0 ≤ x ≤ 1. The Gaussian is cut off at x = 1 and jumps there."""

_LEGENDRE = np.polynomial.legendre.leggauss(40)
NODES, WEIGHTS = (_LEGENDRE[0] + 1) / 2, _LEGENDRE[1] / 2
"""Gauss–Legendre quadrature on [0, 1]: exact for the polynomial shapes, to 1e-16 for the Gaussian."""


@dataclass(frozen=True)
class HillClosure:
    """Closure with analytic energy integrals.

    Parameters
    ----------
    frame : {"stream", "lab"}
        "stream" is the rest frame of the vortex, with a uniform stream outside, integrated to `r_max`:
        I = π[(2/3) r_max³ + R³(2/21 − cA) − R⁶/(3 r_max³)]. In "lab" the fluid is at rest at infinity and r_max → ∞:
        I = πR³(10/7 − cA).
    shape : str
        Density deficit f, one of `SHAPES`; it sets c (the integral of f weighted by the flow), ∫f² and ∫f'².
    r_max : float
        Outer radius of the `stream` integral, at least the vortex radius; without effect in `lab`.
    gradient : float
        λ ≥ 0 of the gradient term.

    Raises
    ------
    ValueError
        If a gradient term is requested for a shape that jumps at R.
    """

    frame: str = "stream"
    shape: str = "parabolic"
    r_max: float = 10.0
    gradient: float = 0.0

    def __post_init__(self) -> None:
        if self.gradient and self.shape == "gaussian":
            raise ValueError(f"gradient = {self.gradient:g}: must be 0 for the gaussian shape, which jumps at R")

    @cached_property
    def _constants(self) -> tuple[float, float, float, float]:
        """Constants (a, b, c, d) of I = π[a + R³(b − cA) + d R⁶]."""
        radial, polar = (1.5 * (1 - NODES**2), 1.5 * (1 - 2 * NODES**2))  # v_r/cos θ and v_θ/sin θ inside, up to sign
        if self.frame == "lab":
            radial, polar = radial + 1, polar + 1
        c = float(np.sum(WEIGHTS * NODES**2 * SHAPES[self.shape][0](NODES) * (2 / 3 * radial**2 + 4 / 3 * polar**2)))
        if self.frame == "lab":
            return 0.0, 10 / 7, c, 0.0
        return 2 / 3 * self.r_max**3, 2 / 21, c, -1 / (3 * self.r_max**3)

    @cached_property
    def _static_constants(self) -> tuple[float, float]:
        """Constants (s, g) of S = s A²R³ and λG = g A²R."""
        deficit, slope = SHAPES[self.shape]
        s = 4 * math.pi * float(np.sum(WEIGHTS * NODES**2 * deficit(NODES) ** 2))
        return s, self.gradient * 4 * math.pi * float(np.sum(WEIGHTS * NODES**2 * slope(NODES) ** 2))

    def flow(self, radius: np.ndarray, amplitude: np.ndarray) -> np.ndarray:
        """I = E_circ/U², for arrays of any shape."""
        a, b, c, d = self._constants
        cube = radius * radius * radius
        return math.pi * (a + cube * (b - c * amplitude + d * cube))

    def flow_slopes(self, radius: np.ndarray, amplitude: np.ndarray) -> Slopes:
        """Derivatives ∂I/∂R and ∂I/∂A."""
        _, b, c, d = self._constants
        square = radius * radius
        by_radius = 3 * math.pi * square * (b - c * amplitude + 2 * d * radius * square)
        return by_radius, -math.pi * c * radius * square

    def static(self, radius: np.ndarray, amplitude: np.ndarray, beta: np.ndarray) -> np.ndarray:
        """−β S + λ G, for arrays of any shape."""
        s, g = self._static_constants
        return amplitude * amplitude * radius * (g - s * beta * radius * radius)

    def static_slopes(
        self, radius: np.ndarray, amplitude: np.ndarray, beta: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Derivatives of `static` by R, A and β."""
        s, g = self._static_constants
        square, stiff = amplitude * amplitude, s * radius * radius
        by_radius = square * (g - 3 * beta * stiff)
        return by_radius, 2 * amplitude * radius * (g - beta * stiff), -square * radius * stiff


@dataclass(frozen=True)
class ComplexStepClosure:
    """User-defined closure from its energies alone; derivatives are by complex step, exact to rounding.

    f'(x) = Im f(x + ih)/h with h = 1e-30 contains no difference, so nothing cancels (W. Squire, G. Trapp, SIAM Rev. 40,
    110 (1998), doi:10.1137/S003614459631241X). Both functions must consist of operations that accept complex arrays:
    no abs, no comparisons, no real part.

    Parameters
    ----------
    flow : callable
        (radius, amplitude) → E_circ/U², for arrays of one common shape.
    static : callable
        (radius, amplitude, beta) → static energy, for example −β S + λ G.
    """

    flow: Callable[[np.ndarray, np.ndarray], np.ndarray]
    static: Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray]

    def flow_slopes(self, radius: np.ndarray, amplitude: np.ndarray) -> Slopes:
        """Derivatives ∂I/∂R and ∂I/∂A."""
        first, second = _complex_slopes(self.flow, radius, amplitude)
        return first, second

    def static_slopes(
        self, radius: np.ndarray, amplitude: np.ndarray, beta: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Derivatives of `static` by R, A and β."""
        first, second, third = _complex_slopes(self.static, radius, amplitude, beta)
        return first, second, third


_STEP = 1e-30


def _complex_slopes(function: Callable[..., np.ndarray], *arguments: np.ndarray) -> list[np.ndarray]:
    """Derivatives of a function by each of its arguments; the other arguments stay real."""
    real = np.broadcast_arrays(*arguments)
    return [
        np.imag(function(*(x + _STEP * 1j if k == j else x for k, x in enumerate(real)))) / _STEP
        for j in range(len(real))
    ]


CLOSURES: dict[str, Callable[..., Closure]] = {
    f"{frame}{'' if shape == 'parabolic' else '_' + shape}": partial(HillClosure, frame=frame, shape=shape)
    for frame in ("stream", "lab")
    for shape in SHAPES
} | {"reported": ReportedClosure}
"""Constructors of closures by name, called with r_max=; the report intended `stream` but evaluated `reported`."""
