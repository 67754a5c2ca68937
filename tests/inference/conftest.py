"""One constructor for the small problems of these tests."""

import numpy as np
import pytest

from leptonfit.inference.problem import LeastSquaresProblem, Parameter


def build_problem(residuals, *, physical=None, **bounds) -> LeastSquaresProblem:
    """Build a problem from a formula, its Jacobian by complex step (exact to rounding).

    `residuals` takes the parameters, each (..., 1), and gives an array (..., n_res) or a tuple of such to be joined;
    `bounds` names the parameters, in order; `physical` gives the physical ranges of some. Where the residuals are not
    finite, neither is the Jacobian.
    """
    names = tuple(bounds)

    def at(x):
        values = residuals(*(x[..., [j]] for j in range(len(names))))
        if not isinstance(values, tuple):
            return values
        shape = np.broadcast_shapes(*(value.shape[:-1] for value in values))
        return np.concatenate([np.broadcast_to(value, (*shape, value.shape[-1])) for value in values], axis=-1)

    def jacobian(x):
        derivative = np.moveaxis(at(x[..., None, :] + 1e-30j * np.eye(len(names))).imag / 1e-30, -1, -2)
        return np.where(np.isfinite(at(x))[..., None], derivative, np.nan)

    middle = {name: float(np.clip(0.0, *limits)) for name, limits in bounds.items()}
    parameters = tuple(
        Parameter(
            name=name,
            start=middle[name],
            lower=limits[0],
            upper=limits[1],
            physical=(physical or {}).get(name, (-np.inf, np.inf)),
        )
        for name, limits in bounds.items()
    )
    with np.errstate(all="ignore"):
        n_res = at(np.array(list(middle.values()))).shape[-1]
    return LeastSquaresProblem(parameters, tuple(f"r{i + 1}" for i in range(n_res)), at, jacobian)


@pytest.fixture(scope="session")
def build():
    return build_problem
