"""Intervals of a quantity derived from the parameters, a half-life or a ratio, by its own profile likelihood."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from leptonfit.inference.differences import differentiate
from leptonfit.inference.directions import covariance, invert_information
from leptonfit.inference.identifiability import VerdictResult, assess_profile
from leptonfit.inference.multistart import run_multistart
from leptonfit.inference.problem import LeastSquaresProblem, Parameter, extend
from leptonfit.inference.profile import ProfileResult, scan_profile
from leptonfit.inference.result import Result

Values = Mapping[str, np.ndarray]
_STIFFNESS = 1e-4
_STEP = 0.1
_REACH, _N_GRID = 6.0, 41


@dataclass(frozen=True)
class DerivedResult(Result):
    """A derived quantity with its profile.

    Attributes
    ----------
    name : str
    value : float
        At the best fit.
    delta_error : float
        √(∇gᵀ C ∇g), the error to first order ("delta method"), for comparison; inf where the quantity is not
        determined to first order.
    profile : ProfileResult
        χ² minimised over the parameters at each value of the quantity, with the identified sets.
    verdict : VerdictResult
        Whether the data determine the quantity.
    """

    name: str
    value: float
    delta_error: float
    profile: ProfileResult
    verdict: VerdictResult


def profile_derived(
    problem: LeastSquaresProblem,
    name: str,
    function: Callable[[Values], np.ndarray],
    gradient: Callable[[Values], Values] | None = None,
    *,
    n_starts: int,
    seed: int,
    grid: np.ndarray | None = None,
    ranges: Mapping[str, tuple[float, float]] | None = None,
) -> DerivedResult:
    """Profile χ² along a quantity g(x) and judge whether the data determine it.

    Unlike the delta method, intervals follow any curvature of g: those of a monotone function of one parameter are
    the transformed intervals of that parameter (for a ratio of means they are those of E. C. Fieller, J. R. Stat.
    Soc. B 16, 175 (1954)).

    Parameters
    ----------
    problem : LeastSquaresProblem
    name : str
        Name of the quantity; no parameter has it.
    function, gradient : callable
        As for `add_derived`.
    n_starts, seed : int
        Fresh starts at each value, and for the best fit; their seed.
    grid : ndarray (n_grid,), optional
        Values scanned; by default 41 within six standard errors of the best fit.
    ranges : mapping, optional
        Where starts are drawn for parameters without finite bounds.

    Raises
    ------
    ValueError
        If g is not finite at the best fit, or no start has a finite χ².

    Examples
    --------
    >>> t, y = np.arange(4.0), np.array([1.02, 0.59, 0.37, 0.23])
    >>> problem = LeastSquaresProblem(
    ...     (Parameter(name="b", start=1.0, lower=0.1, upper=5.0),), tuple("pqrs"),
    ...     lambda x: (np.exp(-x * t) - y) / 0.02,
    ...     lambda x: (-t * np.exp(-x * t) / 0.02)[..., None],
    ... )
    >>> found = profile_derived(problem, "half_life", lambda p: np.log(2) / p["b"], n_starts=2, seed=1)
    >>> found.verdict.code
    'identified'
    """
    best = run_multistart(problem, n_starts=n_starts, seed=seed, ranges=ranges)
    if not np.isfinite(best.chi2[0]):
        raise ValueError(f"{name}: none of {n_starts} starts has a finite χ²")
    extended, value, error, scale = _add(problem, best.x[0], name, function, gradient)
    if grid is None:
        grid = value + scale * np.linspace(-_REACH, _REACH, _N_GRID)
    profile = scan_profile(extended, name, grid, n_starts=n_starts, seed=seed, ranges=ranges)
    return DerivedResult(name, value, error, profile, assess_profile(extended, profile))


def add_derived(
    problem: LeastSquaresProblem,
    x: np.ndarray,
    name: str,
    function: Callable[[Values], np.ndarray],
    gradient: Callable[[Values], Values] | None = None,
) -> LeastSquaresProblem:
    """Problem with a quantity g as a further, last parameter θ, so that θ can be scanned as any parameter.

    A residual (g(x) − θ)/ε ties θ to g, with ε = 1e-4 of the error of g. It lowers Δχ² by a fraction of ε²/σ² = 1e-8
    where g is Gaussian, and nothing at the best fit.

    Parameters
    ----------
    problem : LeastSquaresProblem
    x : ndarray (n_par,)
        Best fit: sets ε, and θ starts at g(x).
    name : str
    function : callable
        Mapping of parameter names to arrays (...) → g (...).
    gradient : callable, optional
        The same mapping → mapping of parameter names to ∂g/∂parameter (...); names left out have none. Difference
        quotients with error control where not given.
    """
    return _add(problem, x, name, function, gradient)[0]


def _add(
    problem: LeastSquaresProblem,
    x: np.ndarray,
    name: str,
    function: Callable[[Values], np.ndarray],
    gradient: Callable[[Values], Values] | None,
) -> tuple[LeastSquaresProblem, float, float, float]:
    """Problem with the quantity; the quantity, its error to first order, and the scale on which it is uncertain."""
    x = np.asarray(x, dtype=float)
    names = problem.names
    errors = covariance(problem, x).standard_errors
    least = np.where(np.isfinite(errors) & (errors > 0), errors, 0.0)

    def quantity(at: np.ndarray) -> np.ndarray:
        return np.asarray(function({key: at[..., j] for j, key in enumerate(names)}), dtype=float)

    def slopes(at: np.ndarray) -> np.ndarray:
        """∇g (..., n_par)."""
        if gradient is not None:
            given = gradient({key: at[..., j] for j, key in enumerate(names)})
            zero = np.zeros(at.shape[:-1])
            return np.stack([np.broadcast_to(given.get(key, zero), zero.shape) for key in names], axis=-1)
        columns = []
        for j in range(len(names)):

            def along(values: np.ndarray, j: int = j) -> np.ndarray:
                moved = np.broadcast_to(at, (*values.shape, len(names))).copy()
                moved[..., j] = values
                return quantity(moved)

            step = _STEP * np.maximum(np.abs(at[..., j]), least[j])
            step = np.where(step > 0, step, _STEP)
            columns.append(differentiate(along, at[..., j], step, lower=problem.lower[j], upper=problem.upper[j]))
        return np.stack(columns, axis=-1)

    value, slope = float(quantity(x)), slopes(x)
    if not (np.isfinite(value) and np.isfinite(slope).all()):
        raise ValueError(f"{name} = {value:g}: it and its derivatives must be finite at the best fit")
    error = _delta_error(problem, x, slope)
    around = np.abs(quantity(np.clip(x + np.concatenate([1, -1] * np.diag(least)[:, None]), problem.lower, problem.upper)) - value)
    scale = error
    epsilon = _STIFFNESS * scale
    return extend(
        problem, (f"{name} as given by the parameters",),
        lambda z: ((quantity(z[..., :-1]) - z[..., -1]) / epsilon)[..., None],
        lambda z: np.concatenate([slopes(z[..., :-1]), -np.ones((*z.shape[:-1], 1))], axis=-1)[..., None, :] / epsilon,
        parameters=(Parameter(name=name, start=value),),
    ), value, error, scale  # fmt: skip
