"""Confidence intervals of a quantity derived from the parameters (half-life, ratio) by profiling this quantity."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import numpy as np

from leptonfit.inference.derivatives import check_points
from leptonfit.inference.differences import agreeing_complex_steps, complex_steps, differentiate
from leptonfit.inference.directions import covariance
from leptonfit.inference.identifiability import VerdictResult, assess_profile
from leptonfit.inference.multistart import Effort, run_multistart
from leptonfit.inference.problem import LeastSquaresProblem, Parameter, extend
from leptonfit.inference.profile import ProfileResult, scan_profile
from leptonfit.inference.result import Result
from leptonfit.inference.scan import guess_ranges

Values = Mapping[str, np.ndarray]
_STIFFNESS = 1e-4
_STEP = 0.1
_ROUNDING, _UNSEEN = 1e-14, 1e-6


@dataclass(frozen=True)
class DerivedResult(Result):
    """Derived quantity with its profile and its verdict.

    Attributes
    ----------
    name : str
    value : float
        Value at the best fit.
    delta_error : float
        √(∇gᵀ C ∇g), the error to first order ("delta method"), for comparison; inf if the quantity is undetermined to
        first order.
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
    effort: Effort,
    grid: np.ndarray | None = None,
) -> DerivedResult:
    """Profile χ² along a quantity g(x) and judge whether the data determine it.

    Unlike those of the delta method, the intervals follow any curvature of g. If g is a monotone function of one
    parameter, they are the transformed intervals of that parameter. For a ratio of means they are those of E. C.
    Fieller, J. R. Stat. Soc. B 16, 175 (1954).

    Parameters
    ----------
    problem : LeastSquaresProblem
    name : str
        Name of the quantity; no parameter may have the same name.
    function, gradient : callable
        As for `add_derived`.
    effort : Effort
        Fresh starts at each value, and for the best fit.
    grid : ndarray (n_grid,), optional
        Values to scan; by default `scan_profile` chooses them.

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
    >>> found = profile_derived(problem, "half_life", lambda p: np.log(2) / p["b"], effort=Effort(2, seed=1))
    >>> found.verdict.code
    'identified'
    """
    ranges = guess_ranges(problem, effort.ranges or {})
    best = run_multistart(problem, effort=replace(effort, ranges=ranges))
    if not np.isfinite(best.chi2[0]):
        raise ValueError(f"{name}: none of {effort.n_starts} starts has a finite χ²")
    extended, value, error = _add(problem, best.x[0], name, function, gradient)
    profile = scan_profile(extended, name, grid, effort=effort)
    return DerivedResult(name, value, error, profile, assess_profile(extended, profile))


def add_derived(
    problem: LeastSquaresProblem,
    x: np.ndarray,
    name: str,
    function: Callable[[Values], np.ndarray],
    gradient: Callable[[Values], Values] | None = None,
) -> LeastSquaresProblem:
    """Problem with a quantity g added as the last parameter θ, so that θ can be scanned like any parameter.

    A residual (g(x) − θ)/ε ties θ to g, with ε = 1e-4 of the error of g. It lowers Δχ² by a fraction of ε²/σ² = 1e-8,
    which does not change the ends of an interval noticeably. Where no x reaches g, χ² rises to 3.84 within 2 ε.

    Parameters
    ----------
    problem : LeastSquaresProblem
    x : ndarray (n_par,)
        Best fit, which sets ε; θ starts at g(x).
    name : str
    function : callable
        Maps a mapping of parameter names to arrays (...) to g (...).
    gradient : callable, optional
        Maps the same mapping to a mapping of parameter names to ∂g/∂parameter (...); the derivative by an omitted name
        is 0. By default complex steps are used where the function accepts them, else difference quotients.
    """
    return _add(problem, x, name, function, gradient)[0]


def _add(
    problem: LeastSquaresProblem,
    x: np.ndarray,
    name: str,
    function: Callable[[Values], np.ndarray],
    gradient: Callable[[Values], Values] | None,
) -> tuple[LeastSquaresProblem, float, float]:
    """Problem with the quantity as a parameter, the value of the quantity, and its error to first order."""
    x = np.asarray(x, dtype=float)
    names = problem.names
    errors = covariance(problem, x).standard_errors
    least = np.where(np.isfinite(errors) & (errors > 0), errors, 0.0)

    def quantity(at: np.ndarray) -> np.ndarray:
        return np.broadcast_to(function({key: at[..., j] for j, key in enumerate(names)}), at.shape[:-1])

    def as_given(at: np.ndarray) -> np.ndarray:
        assert gradient is not None
        given = gradient({key: at[..., j] for j, key in enumerate(names)})
        zero = np.zeros(at.shape[:-1])
        return np.stack([np.broadcast_to(given.get(key, zero), zero.shape) for key in names], axis=-1)

    def by_differences(at: np.ndarray) -> np.ndarray:
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

    def by_complex_steps(at: np.ndarray) -> np.ndarray:
        return complex_steps(quantity, at)

    slopes = as_given if gradient is not None else by_differences
    if gradient is None:
        points = np.stack([x, *check_points(problem)])
        with np.errstate(all="ignore"):
            reference = by_differences(points)
        if agreeing_complex_steps(by_complex_steps, reference, points, axis=-1):
            slopes = by_complex_steps
    value, slope = float(quantity(x)), slopes(x)
    if not (np.isfinite(value) and np.isfinite(slope).all()):
        raise ValueError(f"{name} = {value:g}: it and its derivatives must be finite at the best fit")
    with np.errstate(all="ignore"):
        is_constant = not np.any(slopes(check_points(problem))) and not slope.any()
    if is_constant:
        raise ValueError(f"{name} = {value:g}: does not depend on the parameters")
    error = _delta_error(problem, x, slope)
    scale = _uncertainty(problem, x, quantity)
    scale = max(scale, error) if np.isfinite(error) else scale
    if not 0 < scale < np.inf:
        scale = abs(value) or 1.0
    epsilon = _STIFFNESS * scale
    return (
        extend(
            problem,
            (f"{name} as given by the parameters",),
            lambda z: ((quantity(z[..., :-1]) - z[..., -1]) / epsilon)[..., None],
            lambda z: (
                np.concatenate([slopes(z[..., :-1]), -np.ones((*z.shape[:-1], 1))], axis=-1)[..., None, :] / epsilon
            ),
            parameters=(Parameter(name=name, start=value),),
        ),
        value,
        error,
    )


def _delta_error(problem: LeastSquaresProblem, x: np.ndarray, slope: np.ndarray) -> float:
    """√(∇gᵀ (JᵀJ)⁻¹ ∇g) over the parameters off their bounds, as the shortest u with Jᵀu = ∇g; inf if none exists."""
    off = ~problem.on_bounds(x)
    jacobian, slope = problem.jacobian(x)[:, off], slope[off]
    lengths = np.linalg.norm(jacobian, axis=0)
    lengths = np.where(lengths > 0, lengths, 1.0)
    jacobian, slope = jacobian / lengths, slope / lengths
    weights = np.linalg.lstsq(jacobian.T, slope, rcond=_ROUNDING)[0]
    if np.linalg.norm(jacobian.T @ weights - slope) > _UNSEEN * np.linalg.norm(slope):
        return np.inf
    return float(np.linalg.norm(weights))


def _uncertainty(problem: LeastSquaresProblem, x: np.ndarray, quantity: Callable[[np.ndarray], np.ndarray]) -> float:
    """Change of g when the determined parameters move by their errors; unlike ∇g it does not vanish at an extremum."""
    found = covariance(problem, x)
    known = np.isfinite(found.standard_errors)
    values, vectors = np.linalg.eigh(found.correlation[np.ix_(known, known)])
    moves = np.zeros((known.sum(), problem.n_par))
    moves[:, known] = (vectors * np.sqrt(np.maximum(values, 0))).T * found.standard_errors[known]
    nearby = np.clip(x + _STEP * np.array([[1.0], [-1.0]])[..., None] * moves, problem.lower, problem.upper)
    with np.errstate(all="ignore"):
        change = np.abs(quantity(nearby) - quantity(x)) / _STEP
    return float(np.linalg.norm(np.where(np.isfinite(change), change, 0.0).max(axis=0, initial=0.0)))
