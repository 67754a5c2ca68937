"""The Jacobian's spectrum and null space: which directions the data see, and which change no residual."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from scipy.linalg import qr

from leptonfit.inference.problem import LeastSquaresProblem
from leptonfit.inference.result import Result

_RANK_TOLERANCE = 1e-10
_CONFIDENCE = 0.95


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
        How many of them exceed 1e-10 of the largest.
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
    """Spectrum at x (n_par,), over the parameters neither in `fixed` nor on a bound."""
    free = problem.free_indices(fixed)
    free = free[~problem.on_bounds(x)[free]]
    jacobian = problem.jacobian(x)[:, free]
    for axis in (1, 0):
        lengths = np.linalg.norm(jacobian, axis=axis, keepdims=True)
        jacobian = jacobian / np.where(lengths > 0, lengths, 1.0)
    _, values, directions = np.linalg.svd(jacobian)
    rank = int(np.count_nonzero(values > _RANK_TOLERANCE * values.max(initial=0.0)))
    return SpectrumResult(
        names=tuple(problem.names[j] for j in free),
        singular_values=values,
        rank=rank,
        null_space=directions[rank:],
        condition=float(values[0] / values[rank - 1]) if rank else np.nan,
    )


@dataclass(frozen=True)
class DirectionsResult(Result):
    """Directions that change no residual, to first order: one a freely chosen parameter.

    Attributes
    ----------
    free : tuple of str
        Parameters that can be moved at will.
    dependent : tuple of str
        Parameters that must follow.
    response : ndarray (n_free, n_dependent)
        d ln(dependent)/d ln(free).
    """

    _rows_of: ClassVar[dict[str, str]] = {"response": "dependent"}

    free: tuple[str, ...]
    dependent: tuple[str, ...]
    response: np.ndarray


def null_directions(problem: LeastSquaresProblem, x: np.ndarray) -> DirectionsResult:
    """Name the null space at x (n_par,), over the parameters off their bounds, none of them zero.

    Which parameters follow is chosen by a QR decomposition with pivoting of the Jacobian by ln x.
    """
    off = np.flatnonzero(~problem.on_bounds(x))
    jacobian = problem.jacobian(x)[:, off] * x[off]
    jacobian = jacobian / np.linalg.norm(jacobian, axis=1, keepdims=True)
    _, triangle, pivots = qr(jacobian, mode="economic", pivoting=True)
    diagonal = np.abs(np.diag(triangle))
    rank = int(np.count_nonzero(diagonal > _RANK_TOLERANCE * diagonal.max(initial=0.0)))
    follow, lead = np.sort(pivots[:rank]), np.sort(pivots[rank:])
    response = -np.linalg.lstsq(jacobian[:, follow], jacobian[:, lead], rcond=None)[0].T
    names = np.array(problem.names)[off]
    return DirectionsResult(free=tuple(names[lead]), dependent=tuple(names[follow]), response=response)
