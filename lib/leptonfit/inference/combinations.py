"""Products of powers that the data determine although they do not determine the factors, such as V/K."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import combinations, product
from typing import Self

import numpy as np
from scipy.linalg import qr

from leptonfit.inference.directions import covariance
from leptonfit.inference.problem import LeastSquaresProblem
from leptonfit.inference.result import Result

_POOR = 1.0
_GOOD = 0.3
_RANK_TOLERANCE = 1e-10
_UNSEEN = 1e-8
_INDEPENDENT = 1e-3
_SMALL = 0.1


@dataclass(frozen=True)
class CombinationsResult(Result):
    """Products of powers of poorly determined parameters that the data determine.

    Attributes
    ----------
    names : tuple of str
        The n poorly determined parameters: relative standard error above 1, or undetermined.
    exponents : ndarray (n_combinations, n)
        Exponents of the parameters; a combination is Π x_j ** exponent_j.
    values, relative_errors : ndarray (n_combinations,)
    labels : tuple of str
        For example `V/K` or `a·b^2`.
    sentences : tuple of str
        For example `V/K = 0.5120 ± 0.0041`.
    """

    names: tuple[str, ...]
    exponents: np.ndarray
    values: np.ndarray
    relative_errors: np.ndarray
    labels: tuple[str, ...]
    sentences: tuple[str, ...]


def determined_combinations(problem: LeastSquaresProblem, x: np.ndarray) -> CombinationsResult:
    """Find products of powers of parameters that the data determine at x (n_par,) while the factors stay undetermined.

    The candidates are the parameters with a relative standard error above 1, off their bounds and not 0. The Jacobian
    by ln x of these parameters, with all others refitted, has a row space; its determined directions are those with a
    relative error of at most 0.3. The simplest products in this space are reported, with integer powers if possible. A
    product counts only if it is still determined after the factors move by a factor of two along the directions that
    the data leave open. A sum a + b, which looks like a product at one point, is therefore not reported.

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
        """∂r/∂ln x (n_res, n) of the poorly determined parameters, without the part that the others compensate."""
        jacobian = problem.jacobian(at)
        slopes, space = jacobian[:, is_poor] * at[is_poor], jacobian[:, others]
        lengths = np.linalg.norm(space, axis=0)
        basis, values, _ = np.linalg.svd(space[:, lengths > 0] / lengths[lengths > 0], full_matrices=False)
        basis = basis[:, values > _RANK_TOLERANCE * values.max(initial=0.0)]
        return slopes - basis @ (basis.T @ slopes)

    here = _Spectrum.of(sensitivity(x))
    elsewhere = []
    for move in here.directions[here.values * _GOOD < 1]:
        for factor in (0.5, 2.0):
            moved = x.copy()
            moved[is_poor] *= factor ** (move / np.abs(move).max())
            found = sensitivity(np.clip(moved, problem.lower, problem.upper))
            elsewhere += [_Spectrum.of(found)] if np.isfinite(found).all() else []
    exponents = _choose(here, elsewhere, int(is_poor.sum()))
    numbers = np.array([_product(x[is_poor], row) for row in exponents])
    relative = here.errors(exponents)
    symbols = [parameter.symbol or parameter.name for parameter in np.array(problem.parameters, dtype=object)[is_poor]]
    labels = tuple(_label(symbols, row) for row in exponents)
    said = tuple(
        f"{label} = {_format(number, abs(number) * error)}"
        for label, number, error in zip(labels, numbers, relative, strict=True)
    )
    names = tuple(name for name, poor in zip(problem.names, is_poor, strict=True) if poor)
    return CombinationsResult(names, exponents, numbers, relative, labels, said)


@dataclass(frozen=True)
class _Spectrum:
    """Singular values (n,) and directions (n, n) of ∂r/∂ln x."""

    values: np.ndarray
    directions: np.ndarray

    @classmethod
    def of(cls, sensitivity: np.ndarray) -> Self:
        _, values, directions = np.linalg.svd(sensitivity)
        return cls(np.append(values, np.zeros(len(directions) - len(values))), directions)

    def errors(self, exponents: np.ndarray) -> np.ndarray:
        """Standard error (m,) of Σ exponent_j ln x_j for exponents (m, n); inf where it is undetermined."""
        along = np.abs(exponents @ self.directions.T)
        is_seen = self.values > _RANK_TOLERANCE * self.values.max(initial=0.0)
        is_open = (along[:, ~is_seen] > _UNSEEN * np.linalg.norm(exponents, axis=1, keepdims=True)).any(axis=1)
        return np.where(is_open, np.inf, np.linalg.norm(along[:, is_seen] / self.values[is_seen], axis=1))


def _choose(here: _Spectrum, elsewhere: list[_Spectrum], n: int) -> np.ndarray:
    """Independent determined exponents (m, n): the simplest products first, then other vectors of the row space."""
    rank = int(np.count_nonzero(here.values * _GOOD >= 1))
    if not rank:
        return np.zeros((0, n))
    candidates = np.concatenate([_simple_products(n), _reduce(here.directions[:rank])])
    errors = here.errors(candidates)
    fits = errors <= _GOOD
    for there in elsewhere:
        fits &= there.errors(candidates) <= _POOR
    chosen = np.zeros((0, n))
    for i in np.lexsort((errors, np.abs(candidates).sum(axis=1))):
        more = np.vstack([chosen, candidates[i]])
        if fits[i] and len(chosen) < rank and np.linalg.matrix_rank(more, tol=_INDEPENDENT) == len(more):
            chosen = more
    return chosen


def _simple_products(n: int) -> np.ndarray:
    """Exponents (m, n): |power| up to 3 for two factors, 2 for three, 1 for four; the first one is positive."""
    rows = []
    for size, highest in ((2, 3), (3, 2), (4, 1)):
        powers = [power for power in range(-highest, highest + 1) if power]
        for chosen in combinations(range(n), size):
            for exponents in product(*[powers] * size):
                if exponents[0] > 0 and math.gcd(*exponents) == 1:
                    row = np.zeros(n)
                    row[list(chosen)] = exponents
                    rows.append(row)
    return np.array(rows).reshape(-1, n)


def _reduce(rows: np.ndarray) -> np.ndarray:
    """Rows (r, n) of the same span, with as many zeros as pivoting can make and a positive first exponent."""
    pivots = np.sort(qr(rows, mode="r", pivoting=True)[1][: len(rows)])
    rows = np.linalg.solve(rows[:, pivots], rows)
    for row in rows:
        row[np.abs(row) < _UNSEEN] = 0.0
        row *= np.sign(row[row != 0][0]) / np.abs(row[np.abs(row) > _SMALL]).min()
        whole = np.round(row)
        row[:] = np.where(np.abs(row - whole) < _UNSEEN, whole, row)
    return rows


def _product(x: np.ndarray, exponents: np.ndarray) -> float:
    """Product Π x^e, with |x| instead of x where e is not an integer."""
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
    """Value and error as text; the error has two digits, and the value as many decimals."""
    error = float(f"{error:.1e}")
    digits = 2 + math.floor(math.log10(abs(value))) - math.floor(math.log10(error)) if value and error else 6
    return f"{value:#.{max(digits, 1)}g}".rstrip(".") + f" ± {error:#.2g}".rstrip(".")
