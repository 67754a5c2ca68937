"""What the Jacobian at one point says: its rank, the directions it cannot see, errors and correlations."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Self

import numpy as np
from scipy.linalg import qr, solve_triangular

from leptonfit.inference.problem import LeastSquaresProblem
from leptonfit.inference.result import Result

_RANK_TOLERANCE = 1e-10
_NOISE = 1e-12
_TIE, _LEAST_EFFECT = 1e-9, 1e-4
_TIE = 1e-9
_INVOLVED = 1e-6


@dataclass(frozen=True)
class SpectrumResult(Result):
    """Singular values of the Jacobian over the parameters that are free to move.

    Attributes
    ----------
    names : tuple of str
        The n parameters off their bounds.
    singular_values : ndarray (min(n_res, n),)
        Of the Jacobian with rows and columns scaled to unit length, descending.
    rank : int
        Number of singular values above 1e-10 of the largest, with columns scaled before the rows as well: scaled rows
        first, a parameter in a small unit would outweigh the others.
    null_space : ndarray (n − rank, n)
        Directions, in units of the scaled parameters, that leave every residual unchanged; unit length.
    condition : float
        Largest over smallest of the first `rank` singular values; nan at rank 0.
    """

    _rows_of: ClassVar[dict[str, str]] = {"null_space": "names"}

    names: tuple[str, ...]
    singular_values: np.ndarray
    rank: int
    null_space: np.ndarray
    condition: float


def jacobian_spectrum(problem: LeastSquaresProblem, x: np.ndarray, *, fixed: tuple[str, ...] = ()) -> SpectrumResult:
    """Spectrum of the Jacobian at x (n_par,), over the parameters neither in `fixed` nor on a bound."""
    free = problem.free_indices(fixed)
    free = free[~problem.on_bounds(x)[free]]
    jacobian = _finite_jacobian(problem, x)[:, free]
    rank = len(_split(jacobian)[0])
    for axis in (1, 0):
        lengths = np.linalg.norm(jacobian, axis=axis, keepdims=True)
        jacobian = jacobian / np.where(lengths > 0, lengths, 1.0)
    _, values, directions = np.linalg.svd(jacobian)
    return SpectrumResult(
        names=tuple(problem.names[j] for j in free),
        singular_values=values,
        rank=rank,
        null_space=directions[rank:],
        condition=float(values[0] / values[rank - 1]) if rank else np.nan,
    )


@dataclass(frozen=True)
class DirectionsResult(Result):
    """Directions that change no residual, to first order: one for each freely chosen parameter.

    Attributes
    ----------
    free : tuple of str
        Parameters that can be moved at will.
    dependent : tuple of str
        Parameters that must follow.
    response : ndarray (n_free, n_dependent)
        d ln(dependent)/d ln(free). A parameter of value 0 has no logarithm: its moves count in units of 1/‖J_j‖, its
        standard error if all others were known (or of 1 where no residual depends on it).
    at_zero : tuple of str
        The parameters whose value is 0.
    """

    _rows_of: ClassVar[dict[str, str]] = {"response": "dependent"}

    free: tuple[str, ...]
    dependent: tuple[str, ...]
    response: np.ndarray
    at_zero: tuple[str, ...]


def null_directions(problem: LeastSquaresProblem, x: np.ndarray) -> DirectionsResult:
    """Name the null space of the Jacobian at x (n_par,), over the parameters off their bounds.

    Which parameters follow is chosen by a QR decomposition with pivoting of the Jacobian by ln x. Residuals that no
    parameter touches and parameters that touch no residual are allowed.
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
    """Lengths along an axis, with 1 in place of 0."""
    lengths = np.linalg.norm(matrix, axis=axis)
    return np.where(lengths > 0, lengths, 1.0)


def _split(jacobian: np.ndarray, steps: np.ndarray | float = 1.0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Independent columns, the others, and what the first must do (n_other, n_independent) for a unit of each other.

    The units are those of columns scaled to unit length. Columns with the largest effect per step are the independent
    ones. Columns are scaled first, so that units drop out before rows are compared; rows then, so that a precise
    measurement does not hide the others.
    """
    columns = jacobian / _lengths(jacobian, axis=0)
    rows = _lengths(columns, axis=1)[:, None]
    lengths = _lengths(columns / rows, axis=0)
    scaled = columns / rows / lengths
    values = np.linalg.svd(scaled, compute_uv=False)
    rank = int(np.count_nonzero(values > _RANK_TOLERANCE * values.max(initial=0.0)))
    effect = np.linalg.norm(columns / rows, axis=0) * np.linalg.norm(jacobian, axis=0) * np.abs(steps)
    effect = np.clip(effect / (effect.max(initial=0.0) or 1.0), _LEAST_EFFECT, 1.0)
    effect *= 1 + _TIE * np.arange(len(effect))  # of equal columns, the last becomes the dependent one
    pivots = qr(scaled * effect, mode="r", pivoting=True)[1] if scaled.size else np.arange(scaled.shape[1])
    follow, lead = np.sort(pivots[:rank]), np.sort(pivots[rank:])
    response = -np.linalg.lstsq(scaled[:, follow], scaled[:, lead], rcond=None)[0].T
    response[np.abs(response) < _NOISE] = 0.0
    return follow, lead, response * lengths[lead][:, None] / lengths[follow]


@dataclass(frozen=True)
class CovarianceResult(Result):
    """Errors of the parameters at a fit, to first order and given that parameters on their bounds stay there.

    Attributes
    ----------
    names : tuple of str
        All n_par parameters.
    standard_errors : ndarray (n_par,)
        In the parameters' units; inf for a parameter that is not determined, nan for one on a bound.
    covariance, correlation : ndarray (n_par, n_par)
        Nan in rows and columns of parameters that are not determined (but inf on the diagonal of the covariance) or
        on a bound.
    held : tuple of str
        Parameters on a bound: the errors of the others are conditional on these values.
    undetermined : tuple of str
        Parameters that take part in a direction that changes no residual.
    """

    names: tuple[str, ...]
    standard_errors: np.ndarray
    covariance: np.ndarray
    correlation: np.ndarray
    held: tuple[str, ...]
    undetermined: tuple[str, ...]

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Self:
        """Rebuild from `to_dict`, where inf is None."""
        found = super().from_dict(data)
        at = [found.names.index(name) for name in found.undetermined]
        found.standard_errors[at] = found.covariance[at, at] = np.inf
        return found


def covariance(problem: LeastSquaresProblem, x: np.ndarray) -> CovarianceResult:
    """Standard errors, covariance (JᵀJ)⁻¹ and correlation at the best fit x (n_par,).

    Residuals are in units of σ, so errors come from the errors of the data and not from the scatter around the fit.
    A parameter that is not determined spoils no other.
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
    """(JᵀJ)⁻¹ (n, n) of a Jacobian (n_res, n); inf on the diagonal for what is not determined, nan beside it.

    A determined parameter has the same variance with the dependent columns left out (C. R. Rao, Linear Statistical
    Inference, 2nd ed., 4a). Rows sorted by length and columns by pivoting keep the digits of a residual whose σ is
    1e10 times the others' (A. J. Cox and N. J. Higham, in Numerical Analysis 1997, p. 57).
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
