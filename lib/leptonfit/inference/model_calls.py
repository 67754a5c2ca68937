"""Calls of a user's model: its predictions for a batch of parameter sets, and their derivatives."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from leptonfit.inference.derivatives import check_points
from leptonfit.inference.differences import agreeing_complex_steps, complex_steps, differentiate
from leptonfit.inference.model_data import Data
from leptonfit.inference.problem import Parameter

if TYPE_CHECKING:
    from leptonfit.inference.model_problem import ModelProblem

Model = Callable[..., np.ndarray]
"""f(x, **parameters) → predictions (n_data,)."""

_SAME = 1e-10
_STEP = 1e-2
_STEPS = tuple(_STEP / 4**k for k in range(9))
"""Steps of a difference quotient, as fractions of the parameter's magnitude, or of the width of its box."""
_CENTRAL = np.array([-2.0, -1.0, 0.0, 1.0, 2.0]), np.array([1.0, -8.0, 0.0, 8.0, -1.0]) / 12
_FORWARD = np.array([0.0, 1.0, 2.0, 3.0, 4.0]), np.array([-25.0, 48.0, -36.0, 16.0, -3.0]) / 12
"""Offsets and weights of five-point difference quotients."""


class ModelCaller:
    """Predictions (..., n_data) of a model for parameters (..., n_par)."""

    def __init__(
        self, model: Model, names: tuple[str, ...], fixed: Mapping[str, float], equal: Mapping[str, str]
    ) -> None:
        self.model, self.names, self.fixed, self.equal = model, names, dict(fixed), dict(equal)
        self.broadcasts = False

    def __call__(self, x: Any, z: np.ndarray) -> np.ndarray:
        """Predictions (..., n) for any x of n points and parameters z (..., n_par)."""
        return self.apply(self.model, x, z, (_count(x),), at_once=self.broadcasts)

    def apply(self, function: Model, x: Any, z: np.ndarray, shape: tuple[int, ...], *, at_once: bool) -> np.ndarray:
        """Values (..., *shape) of a function of the model's arguments; `shape` is that of its value for one set."""
        if at_once:
            return np.asarray(function(x, **self.fill(np.moveaxis(z[..., None], z.ndim - 1, 0))))
        rows = [np.broadcast_to(function(x, **self.fill(row)), shape) for row in z.reshape(-1, z.shape[-1])]
        return np.reshape(rows, (*z.shape[:-1], *shape))

    def fill(self, values: np.ndarray) -> dict[str, Any]:
        """Arguments of the model by name, from the values of the free parameters (n_par, ...)."""
        found = {**self.fixed, **dict(zip(self.names, values, strict=True))}
        return {**found, **{name: found[other] for name, other in self.equal.items()}}

    def inspect(self, data: Data, probes: np.ndarray) -> None:
        """Check the model at the first of the probes (2, 3, n_par), the start, and learn whether it broadcasts."""
        start = probes[0, 0]
        first = np.asarray(self.model(data.x, **self.fill(start)))
        at = ", ".join(f"{name} = {value:g}" for name, value in zip(self.names, start, strict=True))
        if first.shape not in ((len(data.y),), ()):
            raise ValueError(f"the model returns the shape {first.shape} at {at}: must be ({len(data.y)},), as y has")
        if np.iscomplexobj(first):
            raise ValueError(f"the model returns complex numbers at {at}: must be real")
        first = np.broadcast_to(first, data.y.shape)
        if not np.isfinite(first).all():
            i = int(np.flatnonzero(~np.isfinite(first))[0])
            raise ValueError(f"the model is {first[i]:g} for datum {i + 1} at {at}")
        if not np.array_equal(first, self(data.x, start)):
            raise ValueError(f"the model changes its answer from call to call at {at}")
        self.broadcasts = self.agrees(self.model, data.x, probes, (len(data.y),))

    def agrees(self, function: Model, x: Any, probes: np.ndarray, shape: tuple[int, ...]) -> bool:
        """Whether a function gives the same values for all parameter sets (2, 3, n_par) at once as for one by one."""
        alone = self.apply(function, x, probes, shape, at_once=False)
        try:
            together = np.broadcast_to(self.apply(function, x, probes, shape, at_once=True), alone.shape)
        except Exception:  # whatever a function of single numbers raises when it is given arrays
            return False
        size = np.max(np.abs(alone), initial=0.0, where=np.isfinite(alone))
        return np.allclose(together, alone, rtol=_SAME, atol=_SAME * float(size), equal_nan=True)


def draw_probes(parameters: Sequence[Parameter]) -> np.ndarray:
    """Parameter sets (2, 3, n_par): the start, and five points near it inside the bounds, different in each number."""
    start, low, high = np.array([(one.start, one.lower, one.upper) for one in parameters]).T
    room = np.where(high - start >= start - low, np.minimum(high - start, 1e100), -np.minimum(start - low, 1e100))
    size = np.where(start != 0, np.abs(start), 1.0)
    step = np.sign(room) * np.minimum(np.abs(room), size) * (1 + 0.1 * np.arange(len(start)))
    return np.clip(start + step * np.linspace(0.0, 0.01, 6)[:, None], low, high).reshape(2, 3, -1)


def _count(x: Any) -> int:
    """Number of points of x."""
    return int(np.shape(x[0] if isinstance(x, tuple) else x)[-1])


class ModelSlope:
    """Derivatives (..., n_data, n_par) of the predictions: as given, by complex steps, or by difference quotients."""

    def __init__(self, call: ModelCaller, jacobian: Model | None, bounds: np.ndarray) -> None:
        self.call, self.given, self.bounds = call, jacobian, bounds
        self._steps = np.full(bounds.shape[1], _STEP)
        self._given_at_once = False
        self._compute = self._by_differences if jacobian is None else self._as_given

    def __call__(self, x: Any, z: np.ndarray) -> np.ndarray:
        """Derivatives (..., n, n_par) for any x of n points and parameters z (..., n_par)."""
        return self._compute(x, z)

    def choose(self, problem: ModelProblem) -> list[str]:
        """Use complex steps if the model takes them and they agree with difference quotients; else choose their steps.

        Of difference quotients with steps from 1e-2 of a parameter to 1e-7 those are used that agree best with
        extrapolated ones at the start and at two interior points; a model with noise, for example from an ODE solver,
        needs longer steps than one that is exact to rounding.
        """
        if self.given is not None:
            shape = (problem.n_res, problem.n_par)
            self._given_at_once = self.call.broadcasts and self.call.agrees(
                self.given, problem.data.x, draw_probes(problem.parameters), shape
            )
            return []
        x, points = problem.data.x, check_points(problem)
        with np.errstate(all="ignore"):
            reference = self._extrapolated(x, points)
            if agreeing_complex_steps(lambda z: self._by_complex_steps(x, z), reference, points, axis=-2):
                self._compute = self._by_complex_steps
                return []
            size = np.nanmax(np.abs(reference), axis=-2, keepdims=True, initial=0.0)
            size = np.where(size > 0, size, 1.0)
            tried = []
            for step in _STEPS:
                self._steps = np.full(points.shape[1], step)
                error = np.abs(self._by_differences(x, points) - reference) / size
                tried.append(np.nanmax(error, axis=(0, 1), initial=0.0))
        self._steps = np.array(_STEPS)[np.argmin(tried, axis=0)]
        worst = float(np.min(tried, axis=0).max())
        return [f"The derivatives of the model are difference quotients, with a relative error of {worst:.0e}."]

    def _as_given(self, x: Any, z: np.ndarray) -> np.ndarray:
        assert self.given is not None
        return self.call.apply(self.given, x, z, (_count(x), z.shape[-1]), at_once=self._given_at_once)

    def _by_complex_steps(self, x: Any, z: np.ndarray) -> np.ndarray:
        def predict(moved: np.ndarray) -> np.ndarray:
            return np.broadcast_to(self.call(x, moved), (*moved.shape[:-1], _count(x)))

        return np.moveaxis(complex_steps(predict, z), -2, -1)

    def _by_differences(self, x: Any, z: np.ndarray) -> np.ndarray:
        """Five-point quotients, central where there is room within the bounds, else one-sided, of fourth order."""
        lower, upper = self.bounds
        step = self._steps * self._sizes(z)
        room = np.minimum(z - lower, upper - z)
        is_central = room >= 2 * step
        step = np.where(is_central | (upper - z >= z - lower), step, -step)
        offsets = np.where(is_central[..., None], _CENTRAL[0], _FORWARD[0]) * step[..., None]
        weights = np.where(is_central[..., None], _CENTRAL[1], _FORWARD[1]) / step[..., None]
        moved = z[..., None, None, :] + offsets[..., None] * np.eye(z.shape[-1])[:, None, :]
        values = np.broadcast_to(self.call(x, moved), (*moved.shape[:-1], _count(x)))
        return np.einsum("...jkn,...jk->...nj", values, weights)

    def _extrapolated(self, x: Any, z: np.ndarray) -> np.ndarray:
        lower, upper = self.bounds
        columns = []
        for j in range(z.shape[-1]):

            def along(values: np.ndarray, j: int = j) -> np.ndarray:
                moved = z.copy()
                moved[..., j] = values[..., 0]
                return np.broadcast_to(self.call(x, moved), values.shape)

            here = np.repeat(z[..., j, None], _count(x), axis=-1)
            step = _STEP * self._sizes(z)[..., j, None]
            columns.append(differentiate(along, here, step, lower=lower[j], upper=upper[j]))
        return np.stack(columns, axis=-1)

    def _sizes(self, z: np.ndarray) -> np.ndarray:
        width = self.bounds[1] - self.bounds[0]
        return np.where(z != 0, np.abs(z), np.where(np.isfinite(width), width, 1.0))
