"""Which bounds hold a fit: those that the descent of χ² pushes against, and how far an end of a set moves with each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from leptonfit.inference.problem import LeastSquaresProblem
from leptonfit.inference.result import Result
from leptonfit.inference.stationarity import KKT_TOLERANCE, column_lengths, least_size

PUSH_TOLERANCE = 10 * KKT_TOLERANCE
"""A bound pushes where its KKT residual exceeds this; one that is merely touched holds nothing."""
_COLLINEAR = 1e-10
"""A column is a combination of others where less than this fraction of it is at right angles to them."""
_SIDES = ("lower", "upper")


@dataclass(frozen=True)
class ActiveBoundResult(Result):
    """A bound that pushes at a point.

    Attributes
    ----------
    parameter, symbol : str
    side : str
        "lower" or "upper".
    value : float
        The bound, in the parameter's unit.
    is_physical : bool
        Whether it is the physical limit itself; else it is a search bound.
    slope : float
        Change of the lowest χ² at the point with the bound, dχ²/du, per unit of the parameter.
    shift : float
        Change of the end of a set with the bound, dθ/du; nan where the point is no such end.
    """

    parameter: str
    symbol: str
    side: str
    value: float
    is_physical: bool
    slope: float
    shift: float = np.nan

    @property
    def key(self) -> tuple[str, str]:
        """Parameter and side."""
        return self.parameter, self.side

    def __str__(self) -> str:
        return f"{self.symbol} {'≥' if self.side == 'lower' else '≤'} {self.value:.6g}"


def find_active_bounds(
    problem: LeastSquaresProblem, x: np.ndarray, *, fixed: tuple[str, ...] = ()
) -> tuple[ActiveBoundResult, ...]:
    """Find the bounds that push at x (n_par,), a minimum over the parameters not in `fixed`.

    A bound pushes where χ² falls across it: |g_j| / (‖J_j‖ scale) > 1e-5, with g = Jᵀr and the scale of the KKT
    residual. J_j is taken at right angles to the columns of the parameters that are free to follow. So is r, hence g_j
    stays the same, and a bound is found even where another parameter almost makes up for it. By the envelope theorem
    the lowest χ² changes with the bound by 2 g_j.
    """
    if not np.isfinite(x).all():
        return ()
    free = problem.free_indices(fixed)
    touched = problem.on_bounds(x)
    with np.errstate(all="ignore"):
        residuals, jacobian = problem.residuals(x), problem.jacobian(x)
        lengths = column_lengths(jacobian)
        alone = remove_columns(jacobian, jacobian[:, free[~touched[free]]])
        left = column_lengths(alone)
        gradient = np.where(left > _COLLINEAR * lengths, residuals @ alone, 0.0)
        floor = least_size(problem, x[free], lengths[free], free)
        scale = max(float(np.linalg.norm(residuals)), float(floor))
        push = gradient / np.where(left > 0, left, 1.0) / (scale or 1.0)
    found = []
    for j in free:
        for side, meets, outward in ((0, x[j] <= problem.lower[j], push[j]), (1, x[j] >= problem.upper[j], -push[j])):
            if meets and outward > PUSH_TOLERANCE:
                parameter = problem.parameters[j]
                found.append(
                    ActiveBoundResult(
                        parameter=parameter.name,
                        symbol=parameter.symbol or parameter.name,
                        side=_SIDES[side],
                        value=float(x[j]),
                        is_physical=bool(problem.is_physical[side, j]),
                        slope=2 * float(gradient[j]),
                    )
                )
    return tuple(found)


def remove_columns(jacobian: np.ndarray, others: np.ndarray) -> np.ndarray:
    """What is left of the columns of a Jacobian (n_res, n) at right angles to `others` (n_res, m)."""
    lengths = column_lengths(others)
    usable = np.isfinite(lengths) & (lengths > 0)
    if not usable.any():
        return jacobian
    basis, values, _ = np.linalg.svd(others[:, usable] / lengths[usable], full_matrices=False)
    basis = basis[:, values > _COLLINEAR * values[0]]
    return jacobian - basis @ (basis.T @ jacobian)


def conditional_sigma(problem: LeastSquaresProblem, x: np.ndarray, name: str) -> float:
    """Standard deviation of a parameter at x (n_par,) from the Jacobian, with bounds that push held; inf if none."""
    held = tuple(bound.parameter for bound in find_active_bounds(problem, x, fixed=(name,)))
    with np.errstate(all="ignore"):
        jacobian = problem.jacobian(x)
    jacobian = np.where(np.isfinite(jacobian), jacobian, 0.0)
    own = jacobian[:, [problem.index(name)]]
    left = float(np.linalg.norm(remove_columns(own, jacobian[:, problem.free_indices((name, *held))])))
    return 1 / left if left > 1e-8 * np.linalg.norm(own) else np.inf


def with_shifts(
    at_end: Sequence[ActiveBoundResult], at_best: Sequence[ActiveBoundResult], slope: float
) -> tuple[ActiveBoundResult, ...]:
    """Bounds that move an end: those that push there, and those that push at the best fit, each with dθ/du.

    At an end χ²_profile(θ, u) = χ²_best(u) + Δχ², hence dθ/du = (∂χ²_best/∂u − ∂χ²_profile/∂u) / (∂χ²_profile/∂θ).

    Parameters
    ----------
    at_end, at_best : sequence of ActiveBoundResult
    slope : float
        ∂χ²_profile/∂θ at the end.
    """
    best = {bound.key: bound for bound in at_best}
    end = {bound.key: bound for bound in at_end}
    moved = []
    for key in {**end, **best}:
        raised = (best[key].slope if key in best else 0.0) - (end[key].slope if key in end else 0.0)
        moved.append(replace(end.get(key) or best[key], shift=raised / slope if slope else np.nan))
    return tuple(moved)


def describe_bounds(bounds: Sequence[ActiveBoundResult]) -> str:
    """List bounds in words, search bounds before physical ones: "a ≤ 20 (search) and A ≤ 1 (physical)"."""
    parts = []
    for is_physical, kind in ((False, "search"), (True, "physical")):
        names = list(dict.fromkeys(str(bound) for bound in bounds if bound.is_physical == is_physical))
        if names:
            parts.append(f"{', '.join(names)} ({kind})")
    return " and ".join(parts)
