"""A fit problem from a plain function and a table: what a physicist has, as what the solver needs.

The model is a function f(x, a, b, …) of the data's x and of parameters by name. A function that broadcasts is called
with all parameter sets of a batch at once; any other one is called with one set after another.
"""

from __future__ import annotations

import inspect
import math
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from leptonfit.inference.derivatives import check_points
from leptonfit.inference.differences import complex_steps, differentiate
from leptonfit.inference.multistart import Effort, run_multistart
from leptonfit.inference.problem import LeastSquaresProblem, Parameter
from leptonfit.inference.scan import guess_ranges

Model = Callable[..., np.ndarray]
"""f(x, **parameters) → predictions (n_data,)."""
POISSON = "poisson"
"""Value of `sigma` for counts."""

_AGREEMENT, _SAME = 1e-6, 1e-10
_STEP = 1e-2
_STEPS = tuple(_STEP / 4**k for k in range(9))
"""Steps of a difference quotient, as fractions of the parameter's magnitude, or of the width of its box."""
_CENTRAL = np.array([-2.0, -1.0, 0.0, 1.0, 2.0]), np.array([1.0, -8.0, 0.0, 8.0, -1.0]) / 12
_FORWARD = np.array([0.0, 1.0, 2.0, 3.0, 4.0]), np.array([-25.0, 48.0, -36.0, 16.0, -3.0]) / 12
"""Offsets and weights of five-point difference quotients."""
_NEAR_ONE, _TERMS = 0.1, 14
_SIGMA_STARTS = 32
_START_ATTEMPTS, _GOLDEN = 16, 0.6180339887498949
_FEW_COUNTS, _OFFSET = 5.0, 1e-4


@dataclass(frozen=True)
class Data:
    """Data of a fit.

    Attributes
    ----------
    x : ndarray (..., n_data) or tuple of ndarray (n_data,)
        First argument of the model.
    y : ndarray (n_data,)
    sigma : ndarray (n_data,) or (n_data, n_data) or None
        Standard errors or covariance of y; None for counts.
    n_dropped : int
        Rows left out because a value was missing.
    """

    x: Any
    y: np.ndarray
    sigma: np.ndarray | None
    n_dropped: int = 0

    @property
    def errors(self) -> np.ndarray:
        """Standard errors (n_data,) for pictures; √y, at least 1, for counts."""
        if self.sigma is None:
            return np.sqrt(np.maximum(self.y, 1.0))
        return np.sqrt(np.diag(self.sigma)) if self.sigma.ndim == 2 else self.sigma


@dataclass(frozen=True)
class ModelProblem(LeastSquaresProblem):
    """Least-squares problem of a model and its data.

    Attributes
    ----------
    data : Data
    predict : callable
        Maps (x, parameters (..., n_par)) to predictions (..., n) for any x of n points.
    predict_jacobian : callable
        Maps the same to the derivatives of the predictions (..., n, n_par).
    """

    data: Data = None  # type: ignore[assignment]  # fields after those with defaults need a default
    predict: Callable[[Any, np.ndarray], np.ndarray] = None  # type: ignore[assignment]
    predict_jacobian: Callable[[Any, np.ndarray], np.ndarray] = None  # type: ignore[assignment]


def problem_from_model(
    model: Model,
    x: Any,
    y: Sequence[float] | np.ndarray,
    sigma: float | Sequence[float] | np.ndarray | str | None,
    parameters: Mapping[str, Any],
    *,
    jacobian: Model | None = None,
) -> ModelProblem:
    """Make a fit problem from a model function and data.

    Parameters
    ----------
    model : callable
        Function f(x, a, b, …) → predictions (n_data,). It should broadcast: with parameters of shape (m, 1) it returns
        (m, n_data). A function that does not is called for one parameter set at a time, which is slower.
    x : ndarray (n_data,), or (k, n_data), or a tuple of such arrays
        First argument of the model.
    y : array (n_data,)
        Measured values. Rows where x, y or σ is nan are left out and counted in the notes.
    sigma : float, array (n_data,), array (n_data, n_data), "poisson", or None
        Standard error of y, its covariance, "poisson" if y are counts, or None if σ is unknown and the same for all
        data: it is then estimated from the scatter around the best fit, which leaves nothing to test the model with.
    parameters : mapping
        For each parameter of the model `(low, high)`, search bounds with the start between them (the geometric mean
        where low > 0); a `Parameter`; a number, at which it is fixed; or the name of another parameter to which it is
        equal.
    jacobian : callable, optional
        Function of the same arguments that returns ∂f/∂parameter, of shape (n_data, n_par) for one parameter set, in
        the order of the free parameters. By default the derivatives come from complex steps where the model takes
        complex numbers, else from difference quotients.

    Returns
    -------
    ModelProblem

    Raises
    ------
    ValueError
        If the model does not take a parameter or lacks one, changes its answer from call to call, or is not finite at
        the start; if the lengths of the data differ, σ is not positive, counts are negative, or a bound is not valid.

    Examples
    --------
    >>> t = np.linspace(0, 5, 8)
    >>> problem = problem_from_model(
    ...     lambda t, a, b: a * np.exp(-b * t), t, 3 * np.exp(-0.7 * t), 0.1, {"a": (0, 20), "b": (0, 5)}
    ... )
    >>> problem.names, problem.notes
    (('a', 'b'), ())
    """
    free, fixed, equal = _sort_parameters(model, parameters)
    data, counts = _read_data(x, y, sigma)
    names = tuple(parameter.name for parameter in free)
    call = _Caller(model, names, fixed, equal)
    free = _move_start(free, parameters, lambda z: model(data.x, **call.fill(z)))
    notes = [f"{data.n_dropped} rows with missing values are left out."] if data.n_dropped else []
    call.inspect(data, _draw_probes(free))
    if not call.broadcasts:
        notes.append("The model is called for one parameter set at a time, which is slower than one call for all.")
    residuals, by_prediction = _poisson(data.y) if counts else _gaussian(data)
    bounds = np.array([(parameter.lower, parameter.upper) for parameter in free]).reshape(-1, 2).T
    slope = _Slope(call, jacobian, bounds)

    def whole(z: np.ndarray) -> np.ndarray:
        return residuals(call(data.x, z))

    problem = ModelProblem(
        tuple(free),
        tuple(f"datum {i + 1}" for i in range(len(data.y))),
        whole,
        lambda z: by_prediction(call(data.x, z), slope(data.x, z)),
        _few_counts(call, data) if counts else None,
        data=data,
        predict=call,
        predict_jacobian=slope,
    )
    notes += slope.choose(problem)
    if len(free) > len(data.y):
        notes.append(f"There are fewer data ({len(data.y)}) than parameters ({len(free)}).")
    problem = replace(problem, notes=tuple(notes))
    return _estimate_sigma(problem) if sigma is None else problem


def _sort_parameters(
    model: Model, given: Mapping[str, Any]
) -> tuple[list[Parameter], dict[str, float], dict[str, str]]:
    """Free parameters, fixed ones with their values, and equal ones with the name of the other."""
    signature = list(inspect.signature(model).parameters.values())[1:]
    takes_any = any(one.kind is one.VAR_KEYWORD for one in signature)
    taken = [one.name for one in signature if one.kind in (one.POSITIONAL_OR_KEYWORD, one.KEYWORD_ONLY)]
    needed = [one.name for one in signature if one.name in taken and one.default is one.empty]
    for name in given:
        if name not in taken and not takes_any:
            raise ValueError(f"parameter {name!r}: the model takes only {', '.join(taken)}")
    for name in needed:
        if name not in given:
            raise ValueError(f"parameter {name!r}: the model needs it; give bounds, a Parameter or a value")
    free, fixed, equal = [], {}, {}
    for name, value in given.items():
        if isinstance(value, Parameter):
            if value.name != name:
                raise ValueError(f"parameter {name!r}: its Parameter is called {value.name!r}")
            free.append(value)
        elif isinstance(value, str):
            if value == name or value not in given or isinstance(given[value], str):
                raise ValueError(f"parameter {name!r} = {value!r}: must name a parameter with bounds or a value")
            equal[name] = value
        elif np.ndim(value) == 0:
            if not np.isfinite(value):
                raise ValueError(f"parameter {name!r} = {value}: a fixed value must be finite")
            fixed[name] = float(value)
        else:
            free.append(_from_bounds(name, value))
    if not free:
        raise ValueError("parameters: at least one must be free")
    return free, fixed, equal


def _from_bounds(name: str, bounds: Sequence[float], share: float = 0.5) -> Parameter:
    if len(bounds) != 2:
        raise ValueError(f"parameter {name!r} = {bounds!r}: must be (low, high), a Parameter, a number or a name")
    low, high = map(float, bounds)
    if not (math.isfinite(low) and math.isfinite(high)):
        raise ValueError(f"parameter {name!r} = ({low:g}, {high:g}): infinite bounds need a Parameter with a start")
    start = low ** (1 - share) * high**share if low > 0 else low + share * (high - low)
    return Parameter(name=name, start=start, lower=low, upper=high)


def _move_start(
    free: list[Parameter], given: Mapping[str, Any], predict: Callable[[np.ndarray], np.ndarray]
) -> list[Parameter]:
    """Parameters with another start within their bounds if the model is not finite at the middle of the box.

    Two rates with the same bounds have the same middle, where an expression such as 1/(k₂ − k₁) is not defined.
    """
    for attempt in range(_START_ATTEMPTS):
        moved = [
            parameter
            if isinstance(given[parameter.name], Parameter)
            else _from_bounds(parameter.name, given[parameter.name], (0.5 + attempt * _GOLDEN * (j + 1)) % 1)
            for j, parameter in enumerate(free)
        ]
        with np.errstate(all="ignore"):
            if np.isfinite(predict(np.array([parameter.start for parameter in moved]))).all():
                return moved
    return free


def _read_data(x: Any, y: Any, sigma: Any) -> tuple[Data, bool]:
    """Data without the rows where a value is missing, and whether they are counts."""
    counts = isinstance(sigma, str)
    if counts and sigma != POISSON:
        raise ValueError(f"sigma = {sigma!r}: must be numbers, {POISSON!r} or None")
    y = np.asarray(y, dtype=float)
    if y.ndim != 1 or not len(y):
        raise ValueError(f"y of shape {y.shape}: must have one axis and at least one value")
    n = len(y)
    columns = tuple(np.asarray(one, dtype=float) for one in x) if isinstance(x, tuple) else np.asarray(x, dtype=float)
    for one in columns if isinstance(columns, tuple) else (columns,):
        if one.shape[-1:] != (n,):
            raise ValueError(f"x of shape {one.shape}: its last axis must have {n} values, as y has")
    sizes = None if counts else np.asarray(1.0 if sigma is None else sigma, dtype=float)
    if sizes is not None and sizes.shape not in ((), (n,), (n, n)):
        raise ValueError(f"sigma of shape {sizes.shape}: must be a number, {n} numbers or a covariance ({n}, {n})")
    missing = np.isnan(y)
    for one in columns if isinstance(columns, tuple) else (columns,):
        missing = missing | np.isnan(one).reshape(-1, n).any(axis=0)
    if sizes is not None:
        sizes = np.full(n, sizes) if sizes.ndim == 0 else sizes
        missing = missing | (np.isnan(np.diag(sizes)) if sizes.ndim == 2 else np.isnan(sizes))
    kept = ~missing
    if not kept.any():
        raise ValueError(f"data: all {n} rows have a missing value")
    y = y[kept]
    columns = tuple(one[..., kept] for one in columns) if isinstance(columns, tuple) else columns[..., kept]
    if sizes is not None:
        sizes = sizes[np.ix_(kept, kept)] if sizes.ndim == 2 else sizes[kept]
        _check_sigma(sizes)
    elif (y < 0).any() or not np.isfinite(y).all():
        raise ValueError(f"y = {y[(y < 0) | ~np.isfinite(y)][0]:g}: counts must be finite and 0 or more")
    if not np.isfinite(y).all():
        raise ValueError(f"y = {y[~np.isfinite(y)][0]:g}: must be finite")
    return Data(columns, y, sizes, int(missing.sum())), counts


def _check_sigma(sizes: np.ndarray) -> None:
    if sizes.ndim == 1:
        wrong = sizes[~((sizes > 0) & np.isfinite(sizes))]
        if len(wrong):
            raise ValueError(f"sigma = {wrong[0]:g}: must be positive and finite")
        return
    if not np.isfinite(sizes).all() or not np.allclose(sizes, sizes.T, rtol=1e-10, atol=0.0):
        raise ValueError("sigma: a covariance must be finite and symmetric")
    smallest = float(np.linalg.eigvalsh(sizes)[0])
    if not smallest > 0:
        raise ValueError(f"sigma: a covariance must be positive definite; its smallest eigenvalue is {smallest:g}")


class _Caller:
    """Predictions (..., n_data) of a model for parameters (..., n_par)."""

    def __init__(
        self, model: Model, names: tuple[str, ...], fixed: Mapping[str, float], equal: Mapping[str, str]
    ) -> None:
        self.model, self.names, self.fixed, self.equal = model, names, dict(fixed), dict(equal)
        self.broadcasts = False

    def __call__(self, x: Any, z: np.ndarray) -> np.ndarray:
        return self.apply(self.model, x, z, (_count(x),), at_once=self.broadcasts)

    def apply(self, function: Model, x: Any, z: np.ndarray, shape: tuple[int, ...], *, at_once: bool) -> np.ndarray:
        """Values (..., *shape) of a function of the model's arguments; `shape` is that of its value for one set."""
        if at_once:
            return np.asarray(function(x, **self.fill(np.moveaxis(z[..., None], z.ndim - 1, 0))))
        rows = [np.broadcast_to(function(x, **self.fill(row)), shape) for row in z.reshape(-1, z.shape[-1])]
        return np.reshape(rows, (*z.shape[:-1], *shape))

    def fill(self, values: np.ndarray) -> dict[str, Any]:
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


def _draw_probes(parameters: Sequence[Parameter]) -> np.ndarray:
    """Parameter sets (2, 3, n_par): the start, and five points near it inside the bounds, different in each number."""
    start, low, high = np.array([(one.start, one.lower, one.upper) for one in parameters]).T
    room = np.where(high - start >= start - low, np.minimum(high - start, 1e100), -np.minimum(start - low, 1e100))
    size = np.where(start != 0, np.abs(start), 1.0)
    step = np.sign(room) * np.minimum(np.abs(room), size) * (1 + 0.1 * np.arange(len(start)))
    return np.clip(start + step * np.linspace(0.0, 0.01, 6)[:, None], low, high).reshape(2, 3, -1)


def _count(x: Any) -> int:
    """Number of points of x."""
    return int(np.shape(x[0] if isinstance(x, tuple) else x)[-1])


class _Slope:
    """Derivatives (..., n_data, n_par) of the predictions: as given, by complex steps, or by difference quotients."""

    def __init__(self, call: _Caller, jacobian: Model | None, bounds: np.ndarray) -> None:
        self.call, self.given, self.bounds = call, jacobian, bounds
        self._steps = np.full(bounds.shape[1], _STEP)
        self._given_at_once = False
        self._compute = self._by_differences if jacobian is None else self._as_given

    def __call__(self, x: Any, z: np.ndarray) -> np.ndarray:
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
                self.given, problem.data.x, _draw_probes(problem.parameters), shape
            )
            return []
        x, points = problem.data.x, check_points(problem)
        with np.errstate(all="ignore"), warnings.catch_warnings():
            warnings.simplefilter("error", np.exceptions.ComplexWarning)
            reference = self._extrapolated(x, points)
            size = np.nanmax(np.abs(reference), axis=-2, keepdims=True, initial=0.0)
            size = np.where(size > 0, size, 1.0)

            def errors(found: np.ndarray) -> np.ndarray:
                return np.nanmax(np.abs(found - reference) / size, axis=(0, 1), initial=0.0)

            try:
                if (errors(self._by_complex_steps(x, points)) <= _AGREEMENT).all():
                    self._compute = self._by_complex_steps
                    return []
            except Exception:  # whatever a function of real numbers raises when it is given complex ones
                pass
            tried = []
            for step in _STEPS:
                self._steps = np.full(points.shape[1], step)
                tried.append(errors(self._by_differences(x, points)))
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


Residuals = Callable[[np.ndarray], np.ndarray]
ByPrediction = Callable[[np.ndarray, np.ndarray], np.ndarray]


def _gaussian(data: Data) -> tuple[Residuals, ByPrediction]:
    """Residuals L⁻¹(f − y) with LLᵀ the covariance, and their derivatives from those of f."""
    y, sigma = data.y, data.sigma
    assert sigma is not None
    if sigma.ndim == 1:
        return lambda f: (f - y) / sigma, lambda f, slope: slope / sigma[:, None]
    whiten = np.linalg.inv(np.linalg.cholesky(sigma))
    return lambda f: (f - y) @ whiten.T, lambda f, slope: whiten @ slope


def _poisson(counts: np.ndarray) -> tuple[Residuals, ByPrediction]:
    """Deviance residuals of counts n with expectation μ: their squares sum to −2 ln L(μ) + 2 ln L(n), exactly.

    r = sign(μ − n) √(2 (μ − n + n ln(n/μ))) (P. McCullagh and J. A. Nelder, Generalized Linear Models, 2nd ed.,
    sect. 2.4.3). With u = μ/n − 1 it is u √n √g(u), g = 2 (u − ln(1 + u))/u², and ∂r/∂μ = 1/(√n (1 + u) √g): nothing
    cancels at μ = n. For n = 0, r = √(2 μ + δ): a constant δ = 1e-4 keeps the derivative finite at μ = 0.
    """
    is_zero = counts == 0
    n = np.where(is_zero, 1.0, counts)

    def shape(expected: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return u and √g(u)."""
        u = expected / n - 1
        near = np.abs(u) < _NEAR_ONE
        small = np.where(near, u, 0.0)
        series = 2 * sum((-small) ** k / (k + 2) for k in range(_TERMS))
        far = np.where(near, 1.0, u)
        return u, np.sqrt(np.where(near, series, 2 * (far - np.log1p(far)) / far**2))

    def residuals(expected: np.ndarray) -> np.ndarray:
        with np.errstate(invalid="ignore", divide="ignore"):
            u, root = shape(expected)
            found = np.where(is_zero, np.sqrt(2 * expected + _OFFSET), u * np.sqrt(n) * root)
        return np.where(expected < 0, np.nan, found)

    def by_prediction(expected: np.ndarray, slope: np.ndarray) -> np.ndarray:
        with np.errstate(invalid="ignore", divide="ignore"):
            u, root = shape(expected)
            factor = np.where(is_zero, 1 / np.sqrt(2 * expected + _OFFSET), 1 / (np.sqrt(n) * (1 + u) * root))
        return np.asarray(factor[..., None] * slope)

    return residuals, by_prediction


def _few_counts(call: _Caller, data: Data) -> Callable[[np.ndarray], float | None] | None:
    """For counts below five, χ² does not follow its distribution: then there is no p-value."""
    return None if (data.y >= _FEW_COUNTS).all() else lambda x: None


def _estimate_sigma(problem: ModelProblem) -> ModelProblem:
    """Problem with σ = √(RSS/(n − p)) at the best fit; intervals then follow the F distribution (Student's t²)."""
    degrees = problem.n_res - problem.n_par
    if degrees < 1:
        raise ValueError(
            f"sigma = None: needs more data than parameters; there are {problem.n_res} and {problem.n_par}"
        )
    best = run_multistart(problem, effort=Effort(_SIGMA_STARTS, 1, guess_ranges(problem)))
    if not best.converged.any():
        raise ValueError(f"sigma = None: none of {_SIGMA_STARTS} starts converged, so that σ cannot be estimated")
    sigma = math.sqrt(best.chi2[0] / degrees)
    if not sigma > 1e-12 * np.abs(problem.data.y).max():
        raise ValueError("sigma = None: the model passes through all data, so that σ cannot be estimated")
    data = replace(problem.data, sigma=np.full(len(problem.data.y), sigma))
    note = f"σ is unknown; from the scatter around the best fit it is {sigma:.4g}, and χ² does not test the model."
    residuals, jacobian = problem.residuals, problem.jacobian
    return replace(
        problem,
        residuals=lambda z: residuals(z) / sigma,
        jacobian=lambda z: jacobian(z) / sigma,
        p_value=lambda x: None,
        sigma_degrees=degrees,
        data=data,
        notes=(*problem.notes, note),
    )
