"""Fit problems from what people already have: arguments of `curve_fit`, a fit of lmfit, a cost function of iminuit."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from leptonfit.inference.model_data import POISSON
from leptonfit.inference.model_problem import ModelProblem, problem_from_model
from leptonfit.inference.problem import Parameter

if TYPE_CHECKING:
    from iminuit import cost
    from lmfit.model import ModelResult


def from_curve_fit(
    f: Callable[..., np.ndarray],
    xdata: Any,
    ydata: np.ndarray,
    p0: np.ndarray | None = None,
    sigma: np.ndarray | float | None = None,
    bounds: tuple[Any, Any] = (-np.inf, np.inf),
) -> ModelProblem:
    """Make a problem from the arguments of `scipy.optimize.curve_fit`.

    σ is taken as absolute (`absolute_sigma=True`); without σ it is estimated. A start that is not given is 1, or lies
    in the middle of finite bounds, as there.

    Raises
    ------
    ValueError
        As `problem_from_model`.
    """
    names = list(inspect.signature(f).parameters)[1:]
    low, high = (np.broadcast_to(np.asarray(bound, dtype=float), len(names)) for bound in bounds)
    finite = np.isfinite(high - low)
    middle = np.where(finite, np.where(finite, low, 0) / 2 + np.where(finite, high, 0) / 2, np.clip(1.0, low, high))
    start = middle if p0 is None else np.asarray(p0, dtype=float)
    if len(start) != len(names):
        raise ValueError(f"p0 has {len(start)} values: must have {len(names)}, for {', '.join(names)}")
    parameters = {
        name: Parameter(name=name, start=float(start[j]), lower=float(low[j]), upper=float(high[j]))
        for j, name in enumerate(names)
    }
    return problem_from_model(f, xdata, ydata, sigma, parameters)


def from_lmfit(result: ModelResult) -> ModelProblem:
    """Make a problem from a fit of `lmfit.Model`, which starts at its best fit.

    The weights are 1/σ; without weights σ is estimated. A parameter that does not vary is fixed.

    Raises
    ------
    ValueError
        If a parameter has an expression, there are several independent variables, or as `problem_from_model`.
    """
    if len(result.model.independent_vars) != 1:
        raise ValueError(f"independent variables {result.model.independent_vars}: must be one")
    parameters: dict[str, Any] = {}
    for name, given in result.params.items():
        if given.expr is not None:
            raise ValueError(
                f"parameter {name!r} = {given.expr}: an expression cannot be taken over; put it in the model"
            )
        parameters[name] = (
            Parameter(name=name, start=float(given.value), lower=float(given.min), upper=float(given.max))
            if given.vary
            else float(given.value)
        )
    x = result.userkws[result.model.independent_vars[0]]
    sigma = None if result.weights is None else 1 / np.broadcast_to(result.weights, np.shape(result.data))

    def model(x: Any, **values: Any) -> np.ndarray:
        return np.asarray(result.model.func(x, **values))

    return problem_from_model(model, x, result.data, sigma, parameters)


def from_iminuit(function: cost.LeastSquares | cost.ExtendedBinnedNLL, parameters: Mapping[str, Any]) -> ModelProblem:
    """Make a problem from a cost function of iminuit.

    Parameters
    ----------
    function : iminuit.cost.LeastSquares or iminuit.cost.ExtendedBinnedNLL
    parameters : mapping
        As for `problem_from_model`, by the names that the cost function describes.

    Raises
    ------
    ValueError
        If the cost function is of another kind, or as `problem_from_model`.
    """
    from iminuit import cost
    from iminuit.util import describe

    names = describe(function)
    if isinstance(function, cost.LeastSquares):
        return problem_from_model(
            _by_position(function.model, names), function.x, function.y, function.yerror, parameters
        )
    if isinstance(function, cost.ExtendedBinnedNLL) and np.ndim(function.n) == 1:
        at_edge = _by_position(function.scaled_cdf, names)

        def expected(edges: tuple[np.ndarray, np.ndarray], **values: Any) -> np.ndarray:
            return at_edge(edges[1], **values) - at_edge(edges[0], **values)

        edges = np.asarray(function.xe)
        return problem_from_model(expected, (edges[:-1], edges[1:]), function.n, POISSON, parameters)
    raise ValueError(f"cost function {type(function).__name__}: must be LeastSquares, or ExtendedBinnedNLL of counts")


def _by_position(function: Callable[..., np.ndarray], names: list[str]) -> Callable[..., np.ndarray]:
    def model(x: Any, **values: Any) -> np.ndarray:
        return np.asarray(function(x, *(values[name] for name in names)))

    return model
