"""Products of powers that are determined where their factors are not: V/K where neither V nor K is."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from scipy.linalg import qr

from leptonfit.inference.directions import covariance
from leptonfit.inference.problem import LeastSquaresProblem
from leptonfit.inference.result import Result

_POOR = 1.0
_GOOD = 0.3
_RANK_TOLERANCE = 1e-10
_DENOMINATORS = (1, 2, 3)
_ROUNDING = 0.1


@dataclass(frozen=True)
class CombinationsResult(Result):
    """Determined products of powers of poorly determined parameters.

    Attributes
    ----------
    names : tuple of str
        The n poorly determined parameters: relative standard error above 1, or not determined at all.
    exponents : ndarray (n_combinations, n)
        Powers of each; a combination is Π x_j ** exponent_j.
    values, relative_errors : ndarray (n_combinations,)
    labels : tuple of str
        As `V/K` or `a·b^2`.
    sentences : tuple of str
        As `V/K = 0.5120 ± 0.0041`.
    """

    names: tuple[str, ...]
    exponents: np.ndarray
    values: np.ndarray
    relative_errors: np.ndarray
    labels: tuple[str, ...]
    sentences: tuple[str, ...]

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Self:
        """Rebuild from `to_dict`, where an array without rows has lost its shape."""
        found = super().from_dict(data)
        return cls(**{**vars(found), "exponents": found.exponents.reshape(len(found.values), len(found.names))})


def determined_combinations(problem: LeastSquaresProblem, x: np.ndarray) -> CombinationsResult:
    """Find the products of powers that the data determine at x (n_par,) though they do not determine the factors.

    Among the parameters whose relative standard error is above 1 (off their bounds and not 0), the row space of the
    Jacobian by ln x, with all other parameters fitted as well, holds the determined directions: those with a relative
    error of at most 0.3. Exponents are rounded to integers, halves or thirds where the product stays that well
    determined. A product counts only if it is still determined after the factors move by a factor of two along the
    directions that the data leave open; a sum a + b, which looks like a product at one point, is not reported.

    Parameters
    ----------
    problem : LeastSquaresProblem
    x : ndarray (n_par,)
        Best fit.

    Examples
    --------
    >>> from leptonfit.inference.problem import Parameter
    >>> problem = LeastSquaresProblem(
    ...     (Parameter(name="a", start=2.0), Parameter(name="b", start=3.0)), ("r",),
    ...     lambda x: (x[..., :1] * x[..., 1:] - 6) / 0.1,
    ...     lambda x: x[..., None, ::-1] / 0.1,
    ... )
    >>> determined_combinations(problem, problem.start).sentences
    ('a·b = 6.00 ± 0.10',)
    """
    x = np.asarray(x, dtype=float)
    errors = covariance(problem, x).standard_errors
    is_poor = (errors > _POOR * np.abs(x)) & (x != 0)
    others = ~is_poor & ~problem.on_bounds(x)

    def sensitivity(at: np.ndarray) -> np.ndarray:
        """∂r/∂ln x (n_res, n) of the poor parameters, less what the others can make up for."""
        jacobian = problem.jacobian(at)
        slopes, space = jacobian[:, is_poor] * at[is_poor], jacobian[:, others]
        lengths = np.linalg.norm(space, axis=0)
        basis, values, _ = np.linalg.svd(space[:, lengths > 0] / lengths[lengths > 0], full_matrices=False)
        basis = basis[:, values > _RANK_TOLERANCE * values.max(initial=0.0)]
        return slopes - basis @ (basis.T @ slopes)

    here = sensitivity(x)
    _, values, directions = np.linalg.svd(here)
    values = np.append(values, np.zeros(len(directions) - len(values)))
    is_good = values * _GOOD >= 1
    elsewhere = []
    for move in directions[~is_good]:
        for factor in (0.5, 2.0):
            moved = x.copy()
            moved[is_poor] *= factor ** (move / np.abs(move).max())
            found = sensitivity(np.clip(moved, problem.lower, problem.upper))
            elsewhere += [found] if np.isfinite(found).all() else []
    chosen = [_round(row, here) for row in _reduce(directions[is_good])]
    rows = [row for row in chosen if all(_relative_error(row, there) <= _POOR for there in elsewhere)]
    exponents = np.array(rows).reshape(len(rows), int(is_poor.sum()))
    numbers = np.array([_product(x[is_poor], row) for row in exponents])
    relative = np.array([_relative_error(row, here) for row in exponents])
    symbols = [parameter.symbol or parameter.name for parameter in np.array(problem.parameters, dtype=object)[is_poor]]
    labels = tuple(_label(symbols, row) for row in exponents)
    said = tuple(
        f"{label} = {_format(number, abs(number) * error)}"
        for label, number, error in zip(labels, numbers, relative, strict=True)
    )
    names = tuple(name for name, poor in zip(problem.names, is_poor, strict=True) if poor)
    return CombinationsResult(names, exponents, numbers, relative, labels, said)


def _relative_error(exponents: np.ndarray, sensitivity: np.ndarray) -> float:
    """Standard error of Σ exponent_j ln x_j; inf where it is not determined."""
    _, values, directions = np.linalg.svd(sensitivity)
    along = np.abs(directions @ exponents)
    values = np.append(values, np.zeros(len(along) - len(values)))
    is_seen = values > _RANK_TOLERANCE * values.max(initial=0.0)
    if (along[~is_seen] > 1e-8 * np.linalg.norm(exponents)).any():
        return math.inf
    return float(np.linalg.norm(along[is_seen] / values[is_seen]))


def _reduce(rows: np.ndarray) -> np.ndarray:
    """Rows (r, n) that span the same space with as many zeros as pivoting can make, the first exponent positive."""
    if not len(rows):
        return rows
    pivots = np.sort(qr(rows, mode="r", pivoting=True)[1][: len(rows)])
    rows = np.linalg.solve(rows[:, pivots], rows)
    for row in rows:
        row[np.abs(row) < 1e-9] = 0.0
        large = row[np.abs(row) > _ROUNDING]
        row *= np.sign(large[0]) / np.abs(large).min()
    return rows


def _round(row: np.ndarray, sensitivity: np.ndarray) -> np.ndarray:
    for denominator in _DENOMINATORS:
        near = np.round(row * denominator) / denominator
        is_near = np.abs(near - row).max() <= _ROUNDING / denominator
        if is_near and _relative_error(near, sensitivity) <= _GOOD:
            return near
    return row


def _product(x: np.ndarray, exponents: np.ndarray) -> float:
    """Π x^e, with |x| where e is no integer."""
    whole = exponents == np.round(exponents)
    return float(np.prod(np.where(whole, x, np.abs(x)) ** exponents))


def _label(symbols: list[str], exponents: np.ndarray) -> str:
    above, below = (
        [
            symbol if power == 1 else f"{symbol}^{power:.3g}"
            for symbol, power in zip(symbols, sign * exponents, strict=True)
            if power > 0
        ]
        for sign in (1, -1)
    )
    under = "·".join(below)
    return ("·".join(above) or "1") + (f"/({under})" if len(below) > 1 else f"/{under}" if below else "")


def _format(value: float, error: float) -> str:
    """Value and error, the error to two digits."""
    error = float(f"{error:.1e}")
    digits = 2 + math.floor(math.log10(abs(value))) - math.floor(math.log10(error)) if value and error else 6
    return f"{value:#.{max(digits, 1)}g}".rstrip(".") + f" ± {error:#.2g}".rstrip(".")
