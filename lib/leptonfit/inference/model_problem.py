"""A fit problem from a plain function and a table: what a physicist has, as what the solver needs.

The model is a function f(x, a, b, …) of the data's x and of parameters by name. A function that broadcasts is called
with all parameter sets of a batch at once; any other one is called with one set after another.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np

from leptonfit.inference.continuation import ProfilePath
from leptonfit.inference.errors_in_x import Distances, MovedCaller
from leptonfit.inference.jax_models import is_jax, read_model
from leptonfit.inference.model_calls import Arguments, Model, ModelCaller, ModelSlope, call_once, draw_probes
from leptonfit.inference.model_data import Data, compare_counts, compare_gaussian, read_data
from leptonfit.inference.problem import Accuracy, LeastSquaresProblem, Parameter, Search
from leptonfit.inference.release import refit_released
from leptonfit.inference.scan import SearchOptions, guess_ranges
from leptonfit.inference.stationarity import KKT_TOLERANCE

_SIGMA_STARTS = 32
_START_ATTEMPTS, _GOLDEN = 16, 0.6180339887498949
_FEW_COUNTS = 5.0
_WORTH_A_TASK = 1e-3
"""Shortest call of a model, in seconds, from which on each start is a task on a cluster."""
_DRAWS, _STEPS = 8, 40
"""Search on a model: it is cheap to draw many points, and a start far from every minimum may wander without end."""


@dataclass(frozen=True, kw_only=True)
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

    data: Data
    predict: Callable[[Any, np.ndarray], np.ndarray]
    predict_jacobian: Callable[[Any, np.ndarray], np.ndarray]


def problem_from_model(
    model: Model,
    x: Any,
    y: Sequence[float] | np.ndarray,
    sigma: float | Sequence[float] | np.ndarray | str | None,
    parameters: Mapping[str, Any],
    *,
    x_sigma: float | Sequence[float] | np.ndarray | None = None,
    jacobian: Model | None = None,
    jobs: int | None = None,
) -> ModelProblem:
    """Make a fit problem from a model function and data.

    Parameters
    ----------
    model : callable
        Function f(x, a, b, …) → predictions (n_data,). It should broadcast: with parameters of shape (m, 1) it returns
        (m, n_data). A function that does not is called for one parameter set at a time, which is slower; where it has
        no value, for example because an integration failed, it should return nan.
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
    x_sigma : float or array (n_data,), optional
        Standard error of x, independent of y's; 0 where x is exact. The true x of each datum is then fitted, too (see
        `errors_in_x.Distances`). It needs one array x and known standard errors of y.
    jacobian : callable, optional
        Function of the same arguments that returns ∂f/∂parameter, of shape (n_data, n_par) for one parameter set, in
        the order of the free parameters. By default JAX differentiates a model written in jax.numpy; for others the
        derivatives come from complex steps where the model takes complex numbers, else from difference quotients, whose
        measured error is in the notes.
    jobs : int, optional
        Number of processes for a model that does not broadcast; the results do not depend on it. By default several
        are used where a measurement shows that this is faster.

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
    data = replace(read_data(x, y, sigma), x_name=next(iter(inspect.signature(model).parameters)))
    counts = data.sigma is None
    names = tuple(parameter.name for parameter in free)
    arguments = Arguments(names, fixed, equal)
    free = _move_start(free, parameters, partial(call_once, model, arguments, data.x))
    if is_jax(call_once(model, arguments, data.x, np.array([parameter.start for parameter in free]))):
        model, by_jax = read_model(model, arguments)
        jacobian = by_jax if jacobian is None and x_sigma is None else jacobian
    call = ModelCaller(model, arguments)
    notes = [f"Rows with missing values are left out: {data.n_dropped}."] if data.n_dropped else []
    held = _describe_defaults(model, parameters)
    notes += [f"Parameters held at the defaults of the model: {held}."] if held else []
    if counts and (data.y != data.y.round()).any():
        notes.append("Some counts are not whole numbers.")
    notes += call.inspect(data, draw_probes(free), jobs)
    at_x = _read_x_sigma(x_sigma, x, y, sigma)
    if counts:
        residuals, by_prediction = compare_counts(data.y)
    else:
        residuals, by_sigma = compare_gaussian(data)
    bounds = np.array([(parameter.lower, parameter.upper) for parameter in free]).reshape(-1, 2).T
    slope = ModelSlope(call, jacobian, bounds)

    def whole(z: np.ndarray) -> np.ndarray:
        return residuals(call(data.x, z))

    def slopes(z: np.ndarray) -> np.ndarray:
        if counts:
            return by_prediction(call(data.x, z), slope(data.x, z))
        return by_sigma(slope(data.x, z))

    if at_x is not None:
        if jacobian is not None:
            raise ValueError("jacobian: cannot be given together with x_sigma; it is computed at the fitted x")
        moved = MovedCaller(call, data, draw_probes(free))
        slope_there = ModelSlope(moved, None, bounds)
        distances = Distances(moved, slope_there, data, at_x)
        whole, slopes = distances.residuals, distances.jacobian
        notes.append("x has errors: the true x of each datum is fitted, too, and the residual is its distance.")
    problem = ModelProblem(
        tuple(free),
        tuple(f"datum {i + 1}" for i in range(len(data.y))),
        whole,
        slopes,
        _p_value_of_counts(data.y) if counts else None,
        data=data,
        predict=call,
        predict_jacobian=slope,
    )
    accuracy = slope.choose(problem) if at_x is None else slope_there.choose(problem)
    if accuracy.derivatives:
        notes.append(_describe(accuracy))
    if len(free) > len(data.y):
        notes.append(f"There are fewer data ({len(data.y)}) than parameters ({len(free)}).")
    search = Search(_DRAWS, _STEPS, True, not call.broadcasts, call.seconds >= _WORTH_A_TASK)
    problem = replace(problem, notes=tuple(notes), accuracy=accuracy, search=search)
    return _estimate_sigma(problem) if sigma is None else problem


def _read_x_sigma(x_sigma: Any, x: Any, y: Any, sigma: Any) -> np.ndarray | None:
    """Standard errors (n_data,) of x where no value is missing; None if x is exact. Raises as `problem_from_model`."""
    if x_sigma is None:
        return None
    if isinstance(x, tuple) or np.ndim(x) != 1:
        raise ValueError("x_sigma: needs x to be one array (n_data,)")
    if sigma is None or isinstance(sigma, str) or np.ndim(sigma) > 1:
        raise ValueError("x_sigma: needs standard errors of y; not counts, a covariance or an unknown σ")
    n = len(np.asarray(y))
    found = np.asarray(x_sigma, dtype=float)
    if found.shape not in ((), (n,)):
        raise ValueError(f"x_sigma of shape {found.shape}: must be a number or {n} numbers")
    found = np.broadcast_to(found, (n,))
    found = found[np.isfinite(np.asarray(x, dtype=float) + np.asarray(y, dtype=float) + np.asarray(sigma, dtype=float))]
    wrong = found[~((found >= 0) & np.isfinite(found))]
    if len(wrong):
        raise ValueError(f"x_sigma = {wrong[0]:g}: must be finite and 0 or more")
    return found


def _sort_parameters(
    model: Model, given: Mapping[str, Any]
) -> tuple[list[Parameter], dict[str, float], dict[str, str]]:
    """Free parameters, fixed ones with their values, and equal ones with the name of the other."""
    if not callable(model):
        raise ValueError(f"model = {model!r}: must be a function of x and of the parameters by name")
    signature = list(inspect.signature(model).parameters.values())[1:]
    takes_any = any(one.kind is one.VAR_KEYWORD for one in signature)
    taken = [one.name for one in signature if one.kind in (one.POSITIONAL_OR_KEYWORD, one.KEYWORD_ONLY)]
    needed = [one.name for one in signature if one.name in taken and one.default is one.empty]
    for name in given:
        if name not in taken and not takes_any:
            raise ValueError(f"parameter {name!r}: the model takes only {', '.join(taken) or 'x'}")
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
        elif isinstance(value, (int, float, np.number)):
            if not np.isfinite(value):
                raise ValueError(f"parameter {name!r} = {value}: a fixed value must be finite")
            fixed[name] = float(value)
        else:
            free.append(_from_bounds(name, value))
    if not free:
        raise ValueError("parameters: at least one must be free")
    return free, fixed, equal


def _describe_defaults(model: Model, given: Mapping[str, Any]) -> str:
    """Parameters of the model with a default that are not given, as text: "b = 1, c = 0"."""
    signature = list(inspect.signature(model).parameters.values())[1:]
    return ", ".join(
        f"{one.name} = {one.default}" for one in signature if one.default is not one.empty and one.name not in given
    )


def _from_bounds(name: str, bounds: Sequence[float], share: float = 0.5) -> Parameter:
    try:
        low, high = map(float, bounds)
    except (TypeError, ValueError):
        said = "must be (low, high), a Parameter, a number or a name"
        raise ValueError(f"parameter {name!r} = {bounds!r}: {said}") from None
    if math.isnan(low) or math.isnan(high) or not low < high:
        raise ValueError(f"{name}: bounds [{low:g}, {high:g}] must have lower < upper")
    if math.isinf(high - low):
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
        with np.errstate(all="ignore"), suppress(ValueError):  # at the last one the failure is reported
            if np.isfinite(predict(np.array([parameter.start for parameter in moved]))).all():
                return moved
    return free


def _p_value_of_counts(counts: np.ndarray) -> Callable[[np.ndarray], float | None] | None:
    """No p-value where a count is below five: the deviance does not follow the χ² distribution there."""
    return None if (counts >= _FEW_COUNTS).all() else lambda x: None


def _describe(accuracy: Accuracy) -> str:
    """Error of difference quotients, and what it means for the test of convergence, as a sentence."""
    said = f"The derivatives of the model are difference quotients, with a relative error of {accuracy.derivatives:.0e}"
    if accuracy.derivatives < KKT_TOLERANCE:
        return f"{said}."
    return f"{said}; a point counts as stationary where the gradient is zero within this error."


def _estimate_sigma(problem: ModelProblem) -> ModelProblem:
    """Problem with σ = √(RSS/(n − p)) at the best fit; intervals then follow the F distribution (Student's t²)."""
    degrees = problem.n_res - problem.n_par
    if degrees < 1:
        raise ValueError(
            f"sigma = None: needs more data than parameters; there are {problem.n_res} and {problem.n_par}"
        )
    ranges = guess_ranges(problem, {})
    path = ProfilePath(problem, problem.names[0], np.array([problem.start[0]]))
    path.fit_free(_SIGMA_STARTS, np.random.default_rng(1), ranges, 0.0)
    if not path.best_converged:
        raise ValueError(f"sigma = None: none of {_SIGMA_STARTS} starts converged, so that σ cannot be estimated")
    options = SearchOptions({"": 1.0}, _SIGMA_STARTS, np.random.default_rng(1), ranges)
    lowest = refit_released(problem, path.best_x, options)[1]  # no search bound makes σ
    sigma = math.sqrt(lowest / degrees)
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
        accuracy=replace(problem.accuracy, noise=problem.accuracy.noise / sigma),
    )
