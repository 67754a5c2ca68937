"""Chunks of a batch of points or toys, so that the memory of a computation does not grow with their number."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from leptonfit.inference.arguments import read_count

if TYPE_CHECKING:
    from leptonfit.inference.problem import LeastSquaresProblem

MEMORY = 2**30
"""Largest memory in bytes of the arrays of one chunk."""
TOYS = 100_000
"""Largest number of toys drawn from one seed."""
COPIES = 13
"""Arrays as large as the Jacobian (or the data of toys) that exist at the same time, in the largest step measured."""


def split_rows(n_rows: int, numbers: int, what: str) -> list[slice]:
    """Consecutive slices of the rows of a batch, each within the limit of memory; one slice where everything fits.

    Parameters
    ----------
    n_rows : int
    numbers : int
        Numbers in the largest array for each row.
    what : str
        Description of a row, for the error.

    Raises
    ------
    ValueError
        If one row alone exceeds the limit.
    """
    each = 8 * COPIES * max(numbers, 1)
    if each > MEMORY:
        raise ValueError(f"{what}: needs about {each:,} bytes of memory, must be at most {MEMORY:,}")
    size = MEMORY // each
    return [slice(first, min(first + size, n_rows)) for first in range(0, n_rows, size)] or [slice(0, 0)]


def split_points(problem: LeastSquaresProblem, n_points: int) -> list[slice]:
    """Slices of points at which a problem is evaluated with its Jacobian (see `split_rows`)."""
    what = f"one point of {problem.n_res} residuals × {problem.n_par} parameters"
    return split_rows(n_points, problem.n_res * problem.n_par, what)


def find_chi2(problem: LeastSquaresProblem, x: np.ndarray) -> np.ndarray:
    """Values χ² (...) at the points x (..., n_par), in chunks."""
    points, chi2 = x.reshape(-1, problem.n_par), np.empty(x[..., 0].size)
    for part in split_rows(len(points), problem.n_res, f"one point of {problem.n_res} residuals"):
        residuals = problem.residuals(points[part])
        chi2[part] = np.vecdot(residuals, residuals)
    return chi2.reshape(x.shape[:-1])


def split_toys(n_toys: int, numbers: int, seed: np.random.SeedSequence) -> list[tuple[int, np.random.SeedSequence]]:
    """Number of toys and seed of each chunk. The first chunk has the given seed, the others have its children.

    Parameters
    ----------
    n_toys : int
    numbers : int
        Numbers drawn for each toy.
    seed : SeedSequence

    Raises
    ------
    ValueError
        If `n_toys` is not from 1 to `arguments.MOST`, or one toy alone exceeds the limit of memory.
    """
    n_toys = read_count("n_toys", n_toys)
    parts = split_rows(min(n_toys, TOYS), numbers, f"one toy of {numbers} numbers")
    size = parts[0].stop
    sizes = [min(size, n_toys - first) for first in range(0, n_toys, size)]
    return list(zip(sizes, [seed, *seed.spawn(len(sizes) - 1)], strict=True))
