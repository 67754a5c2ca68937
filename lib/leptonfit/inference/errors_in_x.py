"""Errors in x: the distance of a datum from a curve, in units of its errors in x and y, as its residual."""

from __future__ import annotations

from typing import Any

import numpy as np

from leptonfit.inference.model_calls import ModelCaller, ModelSlope
from leptonfit.inference.model_data import Data

_STEP, _LEAST = 0.02, 1e-5
"""Step of ∂f/∂x as a fraction of the error of x, and its least value as a fraction of the largest |x|."""
_OFFSETS = np.array([-2.0, -1.0, 0.0, 1.0, 2.0])
_FIRST, _SECOND = np.array([1.0, -8.0, 0.0, 8.0, -1.0]) / 12, np.array([-1.0, 16.0, -30.0, 16.0, -1.0]) / 12
_ITERATIONS, _AT_REST, _BENT = 50, 1e-12, 0.1
_AGREES = 1e-10


class MovedCaller:
    """Predictions (..., n) of a model at other x (..., n) for each parameter set z (..., n_par)."""

    def __init__(self, call: ModelCaller, data: Data, probes: np.ndarray) -> None:
        self.call, self.broadcasts = call, call.broadcasts
        if self.broadcasts:  # a model may take several parameter sets, but only one axis of x
            x = np.broadcast_to(data.x, (*probes.shape[:-1], len(data.y)))
            alone = call(data.x, probes)
            try:
                self.broadcasts = np.allclose(self(x, probes), alone, rtol=_AGREES, atol=0.0, equal_nan=True)
            except Exception:  # whatever a function of one x raises when it is given several
                self.broadcasts = False

    def __call__(self, x: Any, z: np.ndarray) -> np.ndarray:
        """Predictions, with axes added to x before its last one where z has more."""
        n = x.shape[-1]
        x = x.reshape(*x.shape[:-1], *(1,) * (z.ndim - x.ndim), n)
        shape = np.broadcast_shapes(x.shape[:-1], z.shape[:-1])
        fill = self.call.arguments.fill
        if self.broadcasts:
            return np.broadcast_to(self.call.model(x, **fill(np.moveaxis(z[..., None], z.ndim - 1, 0))), (*shape, n))
        places = np.broadcast_to(x, (*shape, n)).reshape(-1, n)
        sets = np.broadcast_to(z, (*shape, z.shape[-1])).reshape(-1, z.shape[-1])
        values = [
            np.broadcast_to(self.call.model(place, **fill(one)), n) for place, one in zip(places, sets, strict=True)
        ]
        return np.reshape(values, (*shape, n))


class Distances:
    """Residuals and Jacobian of data with errors in x.

    The true position ξ of each datum is a parameter that is eliminated:
    χ² = Σ min_ξ [(ξ − x)²/σ_x² + (f(ξ) − y)²/σ_y²].
    This is the likelihood of x and y maximised over ξ, whose variances do not depend on the parameters, so that there
    is no term ln σ² (P. T. Boggs and J. E. Rogers, Contemp. Math. 112, 186 (1990)). At the minimum the distance is
    r = (f − y) s/σ_y² with s² = σ_y² + f'² σ_x², and the envelope theorem gives ∂r/∂parameter = (∂f/∂parameter)/s, both
    at ξ. For a straight line it is the effective variance, r = (f(x) − y)/s (D. York et al., Am. J. Phys. 72, 367
    (2004), doi:10.1119/1.1632486). Of several minima that next to x is taken.
    """

    def __init__(self, call: MovedCaller, slope: ModelSlope, data: Data, x_sigma: np.ndarray) -> None:
        self.call, self.slope, self.data, self.x_sigma = call, slope, data, x_sigma
        self._step = np.maximum(_STEP * x_sigma, _LEAST * np.max(np.abs(data.x)))

    def residuals(self, z: np.ndarray) -> np.ndarray:
        """Signed distances (..., n) for parameters z (..., n_par)."""
        if np.iscomplexobj(z):
            raise TypeError("the distance of a datum is not an analytic function")
        sigma = self.data.errors
        at, value, _, _ = self._nearest(z)
        away, miss = (at - self.data.x) / np.where(self.x_sigma > 0, self.x_sigma, 1.0), (value - self.data.y) / sigma
        return np.where(miss < 0, -1.0, 1.0) * np.hypot(away, miss)

    def jacobian(self, z: np.ndarray) -> np.ndarray:
        """Derivatives (..., n, n_par) of the distances."""
        at, _, first, _ = self._nearest(z)
        return self.slope(at, z) / np.hypot(self.data.errors, first * self.x_sigma)[..., None]

    def _nearest(self, z: np.ndarray) -> tuple[np.ndarray, ...]:
        """Positions ξ (..., n), f there, and its first and second derivatives, by Newton's method from x."""
        x, y, sigma, x_sigma = self.data.x, self.data.y, self.data.errors, self.x_sigma
        here = np.broadcast_to(x, (*z.shape[:-1], len(y))).copy()
        share = np.ones(here.shape)

        def cost(at: np.ndarray, value: np.ndarray) -> np.ndarray:
            """Squared distance, times σ_x² so that an exact x is allowed."""
            return np.asarray((at - x) ** 2 + (x_sigma * (value - y) / sigma) ** 2)

        with np.errstate(all="ignore"):
            found = self._expand(here, z)
            for _ in range(_ITERATIONS):
                value, first, second = found
                slope = here - x + x_sigma**2 * (value - y) * first / sigma**2
                convex = 1 + (x_sigma * first / sigma) ** 2
                bent = convex + x_sigma**2 * (value - y) * second / sigma**2
                step = -share * slope / np.where(bent > _BENT * convex, bent, convex)
                step = np.where((x_sigma > 0) & np.isfinite(step), step, 0.0)
                if (np.abs(step) <= _AT_REST * (x_sigma + np.abs(here))).all():
                    break
                there = self._expand(here + step, z)
                is_lower = cost(here + step, there[0]) <= cost(here, value)
                share = np.where(is_lower, 1.0, share / 4)
                here = np.where(is_lower, here + step, here)
                found = tuple(np.where(is_lower, new, old) for new, old in zip(there, found, strict=True))
        return here, *found

    def _expand(self, at: np.ndarray, z: np.ndarray) -> tuple[np.ndarray, ...]:
        """F and its first two derivatives by x (..., n) at positions (..., n)."""
        moved = at[..., None, :] + _OFFSETS[:, None] * self._step
        values = self.call(moved, np.broadcast_to(z[..., None, :], (*moved.shape[:-1], z.shape[-1])))
        first = np.einsum("...kn,k->...n", values, _FIRST) / self._step
        return values[..., 2, :], first, np.einsum("...kn,k->...n", values, _SECOND) / self._step**2
