"""Steps by blocks of a sparse Jacobian, against the dense solution."""

import growth
import numpy as np
import pytest

from leptonfit.inference import levenberg_marquardt
from leptonfit.inference.blocks import FEWEST, find_blocks, solve_by_blocks
from leptonfit.inference.solve import solve


def dense(jacobian, residuals):
    """Least squares of the stacked system."""
    n = jacobian.shape[-1]
    solved = [
        np.linalg.lstsq(np.vstack([j, np.eye(n)]), -np.append(r, np.zeros(n)))[0]
        for j, r in zip(jacobian, residuals, strict=True)
    ]
    return np.array(solved)


def draw(sizes, n_shared, rng, n_alone=0):
    """Jacobians (3, n_res, n_col), rows and columns in random order, and residuals (3, n_res)."""
    n_res, n_own = (sum(size[k] for size in sizes) for k in (0, 1))
    jacobian = np.zeros((3, n_res + n_alone, n_own + n_shared))
    row = column = 0
    for rows, columns in sizes:
        jacobian[:, row : row + rows, column : column + columns] = rng.standard_normal((3, rows, columns))
        row, column = row + rows, column + columns
    jacobian[..., n_own:] = rng.standard_normal((3, n_res + n_alone, n_shared))
    order = rng.permutation(jacobian.shape[1]), rng.permutation(jacobian.shape[2])
    return jacobian[:, order[0]][..., order[1]], rng.standard_normal(jacobian.shape[:2])


@pytest.mark.parametrize(
    ("sizes", "n_shared", "n_alone"),
    [
        ([(20, 3)] * 12, 1, 0),
        ([(20, 3)] * 12, 0, 0),
        ([(5, 4), (9, 4), (9, 4), (1, 3), (30, 10)] * 2, 3, 4),
        ([(2, 3)] * 12, 2, 30),
    ],
)
def test_the_solution_by_blocks_is_the_dense_one(sizes, n_shared, n_alone):
    jacobian, residuals = draw(sizes, n_shared, np.random.default_rng(3), n_alone)
    jacobian[:, :, 5] = 0.0  # a parameter on its bound does not move
    blocks = find_blocks(jacobian)
    assert blocks is not None
    found = solve_by_blocks(jacobian, residuals, blocks)
    np.testing.assert_allclose(found, dense(jacobian, residuals), atol=1e-13)
    shared, groups = blocks
    assert sum(len(rows) for rows, _ in groups) <= jacobian.shape[2] + 1  # rows of shared columns alone are together
    assert sorted(np.concatenate([shared, *(columns.ravel() for _, columns in groups)])) == list(
        range(jacobian.shape[2])
    )


def test_a_jacobian_that_is_full_or_small_has_no_blocks():
    rng = np.random.default_rng(4)
    assert find_blocks(rng.standard_normal((2, 60, 40))) is None
    assert find_blocks(draw([(10, 3)] * ((FEWEST - 1) // 3), 0, rng)[0]) is None
    chain = np.zeros((1, 60, 40))
    for i in range(40):  # each row links two columns, so that all of them are one block
        chain[0, i, [i, (i + 1) % 40]] = 1.0
    assert find_blocks(chain) is None


def test_a_fit_by_blocks_ends_where_the_dense_one_does(monkeypatch):
    problem = growth.build_species(12, 8)
    starts = np.clip(problem.start * np.array([[0.9], [1.1]]), problem.lower, problem.upper)
    calls = []
    monkeypatch.setattr(
        levenberg_marquardt, "solve_by_blocks", lambda *given: calls.append(1) or solve_by_blocks(*given)
    )
    found = solve(problem, starts)
    assert calls
    assert found.converged.all()
    monkeypatch.setattr(levenberg_marquardt, "find_blocks", lambda jacobian: None)
    np.testing.assert_allclose(found.chi2, solve(problem, starts).chi2, rtol=1e-12)
