"""Active bounds of a fit (χ² would fall further beyond them), and how far each one moves an end of a set."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from leptonfit.inference.problem import LeastSquaresProblem
from leptonfit.inference.result import Result
from leptonfit.inference.stationarity import KKT_TOLERANCE, column_lengths, least_size

PUSH_TOLERANCE = 10 * KKT_TOLERANCE
"""A bound is active where its KKT residual exceeds this; a bound that is only touched does not restrict the fit."""
_COLLINEAR = 1e-10
"""A column is a linear combination of others if its part orthogonal to them is below this fraction of its length."""
_SIDES = ("lower", "upper")


@dataclass(frozen=True)
class ActiveBoundResult(Result):
    """Active bound at a point: χ² would fall further beyond it.

    Attributes
    ----------
    parameter, symbol : str
    side : str
        "lower" or "upper".
    value : float
        The bound, in the parameter's unit.
    is_physical : bool
        True if the bound is a physical limit, False if it is a search bound.
    slope : float
        dχ²/du: change of the minimum χ² at the point per unit shift of the bound u.
    shift : float
        dθ/du: shift of the end of a set per unit shift of the bound; nan if the point is not an end of a set.
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
        """Parameter name and side, which identify the bound."""
        return self.parameter, self.side

    def __str__(self) -> str:
        return f"{self.symbol} {'≥' if self.side == 'lower' else '≤'} {self.value:.6g}"


def find_active_bounds(
    problem: LeastSquaresProblem, x: np.ndarray, *, fixed: tuple[str, ...] = ()
) -> tuple[ActiveBoundResult, ...]:
    """Find the active bounds at x (n_par,), a minimum over the parameters not in `fixed`.

    A bound is active where χ² falls across it: |g_j| / (‖J_j‖ scale) > 1e-5, with g = Jᵀr and the scale of the KKT
    residual. J_j is first made orthogonal to the columns of the parameters that are free to follow. At a minimum r is
    orthogonal to these columns too, hence g_j stays the same, and the bound is detected even where another parameter
    almost compensates. By the envelope theorem the minimum χ² changes with the bound by 2 g_j.
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
    """Part of the columns of a Jacobian (n_res, n) that is orthogonal to the columns of `others` (n_res, m)."""
    lengths = column_lengths(others)
    usable = np.isfinite(lengths) & (lengths > 0)
    if not usable.any():
        return jacobian
    basis, values, _ = np.linalg.svd(others[:, usable] / lengths[usable], full_matrices=False)
    basis = basis[:, values > _COLLINEAR * values[0]]
    return jacobian - basis @ (basis.T @ jacobian)


def conditional_sigma(problem: LeastSquaresProblem, x: np.ndarray, name: str) -> float:
    """Standard deviation of a parameter at x (n_par,) from the Jacobian, active bounds fixed; inf if undetermined."""
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
    """Bounds that move an end of a set, with dθ/du of each: the bounds active at the end or at the best fit.

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
    """List bounds as text, search bounds before physical ones, for example "a ≤ 20 (search) and A ≤ 1 (physical)"."""
    parts = []
    for is_physical, kind in ((False, "search"), (True, "physical")):
        names = list(dict.fromkeys(str(bound) for bound in bounds if bound.is_physical == is_physical))
        if names:
            parts.append(f"{', '.join(names)} ({kind})")
    return " and ".join(parts)
