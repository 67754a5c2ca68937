"""Damped linear least squares by blocks, for a Jacobian that is zero outside them, as in a joint fit of many data sets.

Columns that are not zero in most rows are shared. Without them, rows and columns fall into blocks that have nothing in
common. A QR decomposition of each block leaves a few rows that hold only shared columns; these are solved together, and
the parameters of each block follow (block angular problems: Å. Björck, Numerical Methods for Least Squares Problems,
SIAM (1996), doi:10.1137/1.9781611971484, section 6.3). The result is that of the dense decomposition, except for
rounding.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np

FEWEST = 32
"""Number of columns from which on blocks are looked for; with fewer, the dense decomposition is as fast."""
_SHARED = 0.5
"""A column that is not zero in more than this fraction of the rows is shared."""
_LARGEST = 0.5
"""Largest fraction of all columns, shared ones or those of one block, for which a solution by blocks is faster."""

Blocks = tuple[np.ndarray, tuple[tuple[np.ndarray, np.ndarray], ...]]


def find_blocks(jacobian: np.ndarray) -> Blocks | None:
    """Blocks of a batch of Jacobians (n, n_res, n_col), or None if it has no such structure.

    Returns
    -------
    shared : ndarray (n_shared,) of int
        Shared columns.
    groups : tuple of (rows, columns)
        Blocks of the same shape together: their rows (n_blocks, n_rows) and columns (n_blocks, n_columns).
    """
    if jacobian.shape[-1] < FEWEST:
        return None
    pattern = (jacobian != 0).any(axis=0)
    return _find_blocks(pattern.shape, np.packbits(pattern).tobytes())


@lru_cache(maxsize=4)
def _find_blocks(shape: tuple[int, int], packed: bytes) -> Blocks | None:
    from scipy.sparse import csr_array
    from scipy.sparse.csgraph import connected_components

    n_rows, n_columns = shape
    pattern = np.unpackbits(np.frombuffer(packed, dtype=np.uint8), count=n_rows * n_columns).reshape(shape) == 1
    is_shared = pattern.mean(axis=0) > _SHARED
    rows, columns = np.nonzero(pattern & ~is_shared)
    links = csr_array((np.ones(len(rows)), (rows, n_rows + columns)), shape=(n_rows + n_columns,) * 2)
    label = connected_components(links, directed=False)[1]
    of_rows, of_columns = label[:n_rows], np.where(is_shared, -2, label[n_rows:])
    of_rows[np.setdiff1d(np.arange(n_rows), rows)] = -1  # rows of shared columns only, together
    by_shape: dict[tuple[int, int], list[tuple[np.ndarray, np.ndarray]]] = {}
    for block in np.union1d(of_rows, of_columns[~is_shared]):
        inside = np.flatnonzero(of_rows == block), np.flatnonzero(of_columns == block)
        by_shape.setdefault((len(inside[0]), len(inside[1])), []).append(inside)
    if max(int(is_shared.sum()), *(n for _, n in by_shape)) > _LARGEST * n_columns:
        return None
    groups = tuple(
        (np.stack([rows for rows, _ in same]), np.stack([columns for _, columns in same])) for same in by_shape.values()
    )
    return np.flatnonzero(is_shared), groups


def solve_by_blocks(jacobian: np.ndarray, residuals: np.ndarray, blocks: Blocks) -> np.ndarray:
    """Solution q (n, n_col) that minimises ‖r + J q‖² + ‖q‖² for a batch of Jacobians (n, n_res, n_col)."""
    shared, groups = blocks
    n, n_shared = len(jacobian), len(shared)
    solution, triangles = np.zeros(jacobian.shape[::2]), []
    left = [np.broadcast_to(np.eye(n_shared, n_shared + 1), (n, n_shared, n_shared + 1))]
    for rows, columns in groups:
        n_blocks, n_own = columns.shape
        system = np.zeros((n, n_blocks, rows.shape[1] + n_own, n_own + n_shared + 1))
        system[:, :, : rows.shape[1], :n_own] = jacobian[:, rows[:, :, None], columns[:, None, :]]
        system[:, :, : rows.shape[1], n_own:-1] = jacobian[:, rows[:, :, None], shared]
        system[:, :, : rows.shape[1], -1] = residuals[:, rows]
        system[:, :, rows.shape[1] + np.arange(n_own), np.arange(n_own)] = 1.0
        triangle: np.ndarray = np.linalg.qr(system, mode="r")  # type: ignore[assignment]  # this mode returns an array
        triangles.append(triangle[:, :, :n_own])
        left.append(triangle[:, :, n_own:, n_own:].reshape(n, -1, n_shared + 1))
    if n_shared:
        triangle = np.linalg.qr(np.concatenate(left, axis=1), mode="r")[:, :n_shared]  # type: ignore[call-overload]
        solution[:, shared] = -np.linalg.solve(triangle[..., :n_shared], triangle[..., n_shared:])[..., 0]
    for (_, columns), own in zip(groups, triangles, strict=True):
        n_own = columns.shape[1]
        target = own[..., n_own:-1] @ solution[:, None, shared, None] + own[..., -1:]
        solution[:, columns] = -np.linalg.solve(own[..., :n_own], target)[..., 0]
    return solution
