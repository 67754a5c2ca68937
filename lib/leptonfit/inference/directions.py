"""Local analysis of the Jacobian at one point: rank, null space, standard errors and correlations."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.linalg import qr, solve_triangular

from leptonfit.inference.problem import LeastSquaresProblem
from leptonfit.inference.result import Result

_RANK_TOLERANCE = 1e-10
_NOISE = 1e-12
_TIE, _LEAST_EFFECT = 1e-9, 1e-4
_INVOLVED = 1e-6


@dataclass(frozen=True)
class SingularValueResult(Result):
    """Singular values of the Jacobian over the parameters that can move freely.

    Attributes
    ----------
    names : tuple of str
        The n parameters that are not on a bound.
    singular_values : ndarray (min(n_res, n),)
        Singular values of the Jacobian with rows and columns scaled to unit length, descending.
    rank : int
        Number of singular values above 1e-10 of the largest. For the rank, columns are scaled before rows: if rows
        were scaled first, a parameter in a small unit would outweigh the others.
    null_space : ndarray (n − rank, n)
        Unit vectors, in units of the scaled parameters, along which no residual changes.
    condition : float
        Largest singular value divided by the smallest of the first `rank` ones; nan at rank 0.
    """

    names: tuple[str, ...]
    singular_values: np.ndarray
    rank: int
    null_space: np.ndarray
    condition: float


def jacobian_spectrum(
    problem: LeastSquaresProblem, x: np.ndarray, *, fixed: tuple[str, ...] = ()
) -> SingularValueResult:
    """Spectrum of the Jacobian at x (n_par,), over the parameters neither in `fixed` nor on a bound."""
    free = problem.free_indices(fixed)
    free = free[~problem.on_bounds(x)[free]]
    jacobian = _finite_jacobian(problem, x)[:, free]
    rank = len(_split(jacobian)[0])
    for axis in (1, 0):
        lengths = np.linalg.norm(jacobian, axis=axis, keepdims=True)
        jacobian = jacobian / np.where(lengths > 0, lengths, 1.0)
    _, values, directions = np.linalg.svd(jacobian)
    return SingularValueResult(
        names=tuple(problem.names[j] for j in free),
        singular_values=values,
        rank=rank,
        null_space=directions[rank:],
        condition=float(values[0] / values[rank - 1]) if rank else np.nan,
    )


@dataclass(frozen=True)
class DirectionsResult(Result):
    """Directions along which no residual changes to first order: one for each freely chosen parameter.

    Attributes
    ----------
    free : tuple of str
        Parameters that can be moved freely.
    dependent : tuple of str
        Parameters that must follow to keep the residuals unchanged.
    response : ndarray (n_free, n_dependent)
        d ln(dependent)/d ln(free). A parameter of value 0 has no logarithm. Its changes count in units of 1/‖J_j‖, its
        standard error if all other parameters were known (or in units of 1 if no residual depends on it).
    at_zero : tuple of str
        Parameters whose value is 0.
    """

    free: tuple[str, ...]
    dependent: tuple[str, ...]
    response: np.ndarray
    at_zero: tuple[str, ...]


def null_directions(problem: LeastSquaresProblem, x: np.ndarray) -> DirectionsResult:
    """Describe the null space of the Jacobian at x (n_par,) by parameter names, without parameters on their bounds.

    A QR decomposition with pivoting of the Jacobian by ln x chooses the dependent parameters. Residuals that depend on
    no parameter, and parameters on which no residual depends, are allowed.
    """
    x = np.asarray(x, dtype=float)
    off = np.flatnonzero(~problem.on_bounds(x))
    jacobian, names = _finite_jacobian(problem, x)[:, off], np.array(problem.names, dtype=object)[off]
    lengths = _lengths(jacobian, axis=0)
    steps = np.where(x[off] == 0, 1 / lengths, x[off])
    follow, lead, response = _split(jacobian, steps)
    response *= (lengths[lead] * steps[lead])[:, None] / (lengths[follow] * steps[follow])
    return DirectionsResult(tuple(names[lead]), tuple(names[follow]), response, tuple(names[x[off] == 0]))


def _finite_jacobian(problem: LeastSquaresProblem, x: np.ndarray) -> np.ndarray:
    """Jacobian (n_res, n_par) at x (n_par,).

    Raises
    ------
    ValueError
        If an element is not finite.
    """
    jacobian = problem.jacobian(x)
    if not np.isfinite(jacobian).all():
        i, j = np.argwhere(~np.isfinite(jacobian))[0]
        raise ValueError(f"∂({problem.residual_names[i]})/∂({problem.names[j]}) = {jacobian[i, j]:g}: must be finite")
    return jacobian


def _lengths(matrix: np.ndarray, axis: int) -> np.ndarray:
    """Lengths along an axis, with 0 replaced by 1."""
    lengths = np.linalg.norm(matrix, axis=axis)
    return np.where(lengths > 0, lengths, 1.0)


def _split(jacobian: np.ndarray, steps: np.ndarray | float = 1.0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Independent columns, other columns, and the response (n_other, n_independent) of the first to the others.

    The parameters of the independent columns must follow when those of the other columns move. The unit of each
    parameter is that of its column scaled to unit length. Columns with the largest effect per step are chosen as
    independent. Columns are scaled first, so that units do not matter when rows are compared. Rows are scaled next,
    so that a precise measurement does not hide the others.
    """
    columns = jacobian / _lengths(jacobian, axis=0)
    rows = _lengths(columns, axis=1)[:, None]
    lengths = _lengths(columns / rows, axis=0)
    scaled = columns / rows / lengths
    values = np.linalg.svd(scaled, compute_uv=False)
    rank = int(np.count_nonzero(values > _RANK_TOLERANCE * values.max(initial=0.0)))
    effect = np.linalg.norm(columns / rows, axis=0) * np.linalg.norm(jacobian, axis=0) * np.abs(steps)
    effect = np.clip(effect / (effect.max(initial=0.0) or 1.0), _LEAST_EFFECT, 1.0)
    effect *= 1 + _TIE * np.arange(len(effect))  # of equal columns, the last one is chosen as independent
    pivots = qr(scaled * effect, mode="r", pivoting=True)[1] if scaled.size else np.arange(scaled.shape[1])
    follow, lead = np.sort(pivots[:rank]), np.sort(pivots[rank:])
    response = -np.linalg.lstsq(scaled[:, follow], scaled[:, lead], rcond=None)[0].T
    response[np.abs(response) < _NOISE] = 0.0
    return follow, lead, response * lengths[lead][:, None] / lengths[follow]


@dataclass(frozen=True)
class CovarianceResult(Result):
    """Errors of the parameters at a fit, to first order, with parameters on their bounds kept fixed.

    Attributes
    ----------
    names : tuple of str
        All n_par parameters.
    standard_errors : ndarray (n_par,)
        In the parameters' units; inf for an undetermined parameter, nan for a parameter on a bound.
    covariance, correlation : ndarray (n_par, n_par)
        nan in rows and columns of parameters on a bound or undetermined; the diagonal of the covariance is inf for
        undetermined parameters.
    held : tuple of str
        Parameters on a bound: the errors of the others are conditional on these values.
    undetermined : tuple of str
        Parameters that take part in a direction along which no residual changes.
    """

    names: tuple[str, ...]
    standard_errors: np.ndarray
    covariance: np.ndarray
    correlation: np.ndarray
    held: tuple[str, ...]
    undetermined: tuple[str, ...]


def covariance(problem: LeastSquaresProblem, x: np.ndarray) -> CovarianceResult:
    """Standard errors, covariance (JᵀJ)⁻¹ and correlation at the best fit x (n_par,).

    Residuals are in units of σ, so the errors follow from the errors of the data, not from the scatter around the fit.
    An undetermined parameter does not affect the errors of the others.
    """
    x = np.asarray(x, dtype=float)
    touched = problem.on_bounds(x)
    off, names = np.flatnonzero(~touched), np.array(problem.names, dtype=object)
    matrix = np.full((problem.n_par, problem.n_par), np.nan)
    matrix[np.ix_(off, off)] = invert_information(_finite_jacobian(problem, x)[:, off])
    errors = np.sqrt(np.diag(matrix))
    with np.errstate(invalid="ignore"):
        correlation = matrix / errors / errors[:, None]
    np.fill_diagonal(correlation, np.where(np.isfinite(errors), 1.0, np.nan))
    return CovarianceResult(
        problem.names, errors, matrix, correlation, tuple(names[touched]), tuple(names[np.isinf(errors)])
    )


def invert_information(jacobian: np.ndarray) -> np.ndarray:
    """(JᵀJ)⁻¹ (n, n) of a Jacobian (n_res, n); undetermined parameters get inf on the diagonal and nan beside it.

    A determined parameter has the same variance if the dependent columns are left out (C. R. Rao, Linear Statistical
    Inference, 2nd ed., 4a). Sorting rows by length and pivoting columns keeps the digits of a residual whose σ is 1e10
    times that of the others (A. J. Cox and N. J. Higham, in Numerical Analysis 1997, p. 57).
    """
    n = jacobian.shape[1]
    follow, _, response = _split(jacobian, 1 / _lengths(jacobian, axis=0))
    lengths = _lengths(jacobian, axis=0)[follow]
    kept = jacobian[:, follow] / lengths
    triangle, pivots = qr(kept[np.argsort(-_lengths(kept, axis=1))], mode="r", pivoting=True)
    inverse = solve_triangular(triangle[: len(follow)], np.eye(len(follow)))
    inverse[pivots] = inverse.copy()
    is_determined = np.max(np.abs(response), axis=0, initial=0.0) < _INVOLVED
    found = np.full((n, n), np.nan)
    np.fill_diagonal(found, np.inf)
    chosen = follow[is_determined]
    found[np.ix_(chosen, chosen)] = ((inverse @ inverse.T) / lengths / lengths[:, None])[np.ix_(*[is_determined] * 2)]
    return found
