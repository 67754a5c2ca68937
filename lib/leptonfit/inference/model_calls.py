"""Calls of a user's model: its predictions for a batch of parameter sets, and their derivatives.

A model that does not broadcast is called for one parameter set at a time, and its latest predictions are remembered:
difference quotients, and repeated tests of a point, ask for many of them again.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from leptonfit.inference.derivatives import check_points
from leptonfit.inference.differences import agreeing_complex_steps, complex_steps, differentiate
from leptonfit.inference.model_data import Data
from leptonfit.inference.model_workers import Workers, choose_workers
from leptonfit.inference.norms import norms
from leptonfit.inference.problem import EXACT, Accuracy, Parameter

if TYPE_CHECKING:
    from leptonfit.inference.errors_in_x import MovedCaller
    from leptonfit.inference.model_problem import ModelProblem

Model = Callable[..., np.ndarray]
"""f(x, **parameters) → predictions (n_data,)."""

_SAME = 1e-10
_STEP = 1e-2
_STEPS = tuple(0.16 / 4**k for k in range(11))
"""Steps of a difference quotient, as fractions of the parameter's magnitude, or of the width of its box."""
_CENTRAL = {
    2: (np.array([-1.0, 0.0, 0.0, 0.0, 1.0]), np.array([-0.5, 0.0, 0.0, 0.0, 0.5])),
    4: (np.array([-2.0, -1.0, 0.0, 1.0, 2.0]), np.array([1.0, -8.0, 0.0, 8.0, -1.0]) / 12),
}
_FORWARD = np.array([0.0, 1.0, 2.0, 3.0, 4.0]), np.array([-25.0, 48.0, -36.0, 16.0, -3.0]) / 12
"""Offsets and weights of difference quotients: central ones of second and fourth order, one-sided of fourth order."""
_ENOUGH = 1e-8
"""Relative error with which quotients of second order are used for a slow model: they need half as many calls."""
_LOST = 100.0
"""Shorter steps are not tried where the error is this many times larger than the smallest so far."""
_REMEMBERED = 2_000_000
"""Number of predictions, of one datum each, that are remembered."""


@dataclass(frozen=True)
class Arguments:
    """Arguments of a model by name: `names` of the free ones, the fixed ones, and which are equal to which."""

    names: tuple[str, ...]
    fixed: Mapping[str, float]
    equal: Mapping[str, str]

    def fill(self, values: np.ndarray) -> dict[str, Any]:
        """Arguments from the values of the free parameters (n_par, ...)."""
        found = {**self.fixed, **dict(zip(self.names, values, strict=True))}
        return {**found, **{name: found[other] for name, other in self.equal.items()}}

    def describe(self, values: np.ndarray) -> str:
        """Values of the free parameters as text."""
        return ", ".join(f"{name} = {value:g}" for name, value in zip(self.names, values, strict=True))


def call_once(function: Model, arguments: Arguments, x: Any, values: np.ndarray) -> Any:
    """Value of a function as it returns it, for one parameter set (n_par,).

    Raises
    ------
    ValueError
        If the function fails, or returns no numbers.
    """
    at = arguments.describe(values)
    try:
        found = function(x, **arguments.fill(values))
    except Exception as error:  # whatever the user's function raises
        raise ValueError(f"the model failed at {at}: {type(error).__name__}: {error}") from error
    if np.asarray(found).dtype.kind not in "biufc":
        raise ValueError(f"the model returns {str(found)[:60]!r} at {at}: must return real numbers")
    return found


def call_each(function: Model, arguments: Arguments, x: Any, shape: tuple[int, ...], sets: np.ndarray) -> list[Any]:
    """Values of a function for one parameter set (m, n_par) after another, each of the given shape or a number.

    Where Python's arithmetic has no value (an overflow of `math.exp`, a division by zero) the value is nan: the model
    is undefined there, as it is where NumPy returns nan.

    Raises
    ------
    ValueError
        If a value has another shape.
    """
    found = []
    for one in sets:
        try:
            with np.errstate(all="ignore"):
                value = np.asarray(function(x, **arguments.fill(one)))
        except ArithmeticError:  # the model has no value there
            value = np.asarray(np.nan)
        if value.shape not in (shape, ()):
            raise ValueError(
                f"the model returns the shape {value.shape} at {arguments.describe(one)}: must be {shape}, as y has; "
                "where it has no value, return nan"
            )
        found.append(np.broadcast_to(value, shape))
    return found


class ModelCaller:
    """Predictions (..., n_data) of a model for parameters (..., n_par).

    `seconds` is the time of a call, once `inspect` has found that the model does not broadcast.
    """

    def __init__(self, model: Model, arguments: Arguments) -> None:
        self.model, self.arguments = model, arguments
        self.broadcasts, self.workers, self.seconds = False, Workers(), 0.0
        self._x: Any = None
        self._known: dict[bytes, np.ndarray] = {}

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_x": None, "_known": {}}  # predictions are not sent to other processes

    def __call__(self, x: Any, z: np.ndarray) -> np.ndarray:
        """Predictions (..., n) for any x of n points and parameters z (..., n_par)."""
        if self.broadcasts:
            return self.apply(self.model, x, z, (_count(x),), at_once=True)
        if x is not self._x:
            self._x, self._known = x, {}
        sets = np.ascontiguousarray(z).reshape(-1, z.shape[-1])
        keys = [one.tobytes() for one in sets]
        new = {key: i for i, key in enumerate(keys) if key not in self._known}
        function = partial(call_each, self.model, self.arguments, x, (_count(x),))
        self._known.update(zip(new, self.workers.call(function, sets[list(new.values())]), strict=True))
        found = np.reshape([self._known[key] for key in keys], (*z.shape[:-1], _count(x)))
        for key in list(self._known)[: max(len(self._known) - _REMEMBERED // _count(x), 0)]:
            del self._known[key]
        return found

    def apply(self, function: Model, x: Any, z: np.ndarray, shape: tuple[int, ...], *, at_once: bool) -> np.ndarray:
        """Values (..., *shape) of a function of the model's arguments; `shape` is that of its value for one set."""
        if at_once:
            with np.errstate(all="ignore"):  # a search also tries parameters at which a model has no value
                return np.asarray(function(x, **self.arguments.fill(np.moveaxis(z[..., None], z.ndim - 1, 0))))
        rows = call_each(function, self.arguments, x, shape, z.reshape(-1, z.shape[-1]))
        return np.reshape(rows, (*z.shape[:-1], *shape))

    def inspect(self, data: Data, probes: np.ndarray, jobs: int | None) -> list[str]:
        """Check the model at the first of the probes (2, 3, n_par), the start, and learn whether it broadcasts.

        Returns notes that say how a model is called that does not.
        """
        start = probes[0, 0]
        at = self.arguments.describe(start)
        first = np.asarray(call_once(self.model, self.arguments, data.x, start))
        if first.shape not in ((len(data.y),), ()):
            raise ValueError(f"the model returns the shape {first.shape} at {at}: must be ({len(data.y)},), as y has")
        if np.iscomplexobj(first):
            raise ValueError(f"the model returns complex numbers at {at}: must be real")
        first = np.broadcast_to(first, data.y.shape)
        if not np.isfinite(first).all():
            i = int(np.flatnonzero(~np.isfinite(first))[0])
            raise ValueError(f"the model is {first[i]:g} for datum {i + 1} at {at}")
        began = time.perf_counter()
        again = self(data.x, start)
        seconds = time.perf_counter() - began
        if not np.array_equal(first, again):
            raise ValueError(f"the model changes its answer from call to call at {at}")
        self.broadcasts = self.agrees(self.model, data.x, probes, (len(data.y),))
        if self.broadcasts:
            return []
        self.seconds = seconds
        function = partial(call_each, self.model, self.arguments, data.x, (len(data.y),))
        self.workers, how = choose_workers(function, probes.reshape(-1, len(start)), jobs)
        return [
            "The model is called for one parameter set at a time, which is slower than one call for all. "
            f"{how} To save calls, a profile has by default fewer points, and fewer fresh starts at each."
        ]

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

    def __init__(self, call: ModelCaller | MovedCaller, jacobian: Model | None, bounds: np.ndarray) -> None:
        self.call: Any = call
        self.given, self.bounds = jacobian, bounds
        self._steps, self._order = np.full(bounds.shape[1], _STEP), 4
        self._given_at_once = False
        self._compute = self._by_differences if jacobian is None else self._as_given

    def __call__(self, x: Any, z: np.ndarray) -> np.ndarray:
        """Derivatives (..., n, n_par) for any x of n points and parameters z (..., n_par)."""
        return self._compute(x, z)

    def choose(self, problem: ModelProblem) -> Accuracy:
        """Use complex steps if the model takes them and they agree with difference quotients; else choose their steps.

        Of difference quotients with steps from 16 % of a parameter to 1e-7, those are used that change least, at the
        start and at two interior points, when the step becomes four times shorter; this change is their error. A model
        with noise, for example from an ODE solver, needs longer steps than one that is exact to rounding.
        """
        if self.given is not None:
            shape = (problem.n_res, problem.n_par)
            self._given_at_once = self.call.broadcasts and self.call.agrees(
                self.given, problem.data.x, draw_probes(problem.parameters), shape
            )
            return EXACT
        x, points = problem.data.x, check_points(problem)
        with np.errstate(all="ignore"):
            reference = self._extrapolated(x, points)
            if agreeing_complex_steps(lambda z: self._by_complex_steps(x, z), reference, points, axis=-2):
                self._compute = self._by_complex_steps
                return EXACT
            found = {}
            for order in (4,) if self.call.broadcasts else (2, 4):
                self._order = order
                steps, accuracy = self._choose_steps(problem, points)
                found[accuracy.derivatives] = order, steps, accuracy
                if accuracy.derivatives <= _ENOUGH:
                    break
            self._order, self._steps, accuracy = found[min(found)]
        return accuracy

    def _choose_steps(self, problem: ModelProblem, points: np.ndarray) -> tuple[np.ndarray, Accuracy]:
        """Steps (n_par,) whose quotients change least when they become shorter, and the accuracy at the points."""
        errors: list[np.ndarray] = []
        noise, before = 0.0, None
        for step in _STEPS:
            self._steps = np.full(points.shape[1], step)
            slope = problem.jacobian(points)
            if before is not None:
                change, size = norms(slope - before, axis=-2), norms(slope, axis=-2)  # both (n_points, n_par)
                relative = np.where(change == 0, 0.0, change / size)
                is_known = np.isfinite(relative)
                largest = np.max(relative, axis=0, initial=0.0, where=is_known)
                errors.append(np.where(is_known.any(axis=0), largest, np.inf))
                moved = change * step * self._sizes(points)
                noise = float(np.max(moved, initial=0.0, where=np.isfinite(moved)))
                if (errors[-1] > _LOST * np.min(errors, axis=0)).all():
                    break
            before = slope
        steps = np.where(np.any(errors, axis=0), np.array(_STEPS)[np.argmin(errors, axis=0) + 1], _STEP)
        return steps, Accuracy(float(np.min(errors, axis=0).max()), noise)

    def _as_given(self, x: Any, z: np.ndarray) -> np.ndarray:
        assert self.given is not None
        return self.call.apply(self.given, x, z, (_count(x), z.shape[-1]), at_once=self._given_at_once)

    def _by_complex_steps(self, x: Any, z: np.ndarray) -> np.ndarray:
        def predict(moved: np.ndarray) -> np.ndarray:
            return np.broadcast_to(self.call(x, moved), (*moved.shape[:-1], _count(x)))

        return np.moveaxis(complex_steps(predict, z), -2, -1)

    def _by_differences(self, x: Any, z: np.ndarray) -> np.ndarray:
        """Quotients: central where there is room within the bounds, else one-sided."""
        lower, upper = self.bounds
        central, central_weights = _CENTRAL[self._order]
        step = self._steps * self._sizes(z)
        room = np.minimum(z - lower, upper - z)
        is_central = room >= central[-1] * step
        step = np.where(is_central | (upper - z >= z - lower), step, -step)
        offsets = np.where(is_central[..., None], central, _FORWARD[0]) * step[..., None]
        weights = np.where(is_central[..., None], central_weights, _FORWARD[1]) / step[..., None]
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
