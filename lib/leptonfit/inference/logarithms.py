"""Minimisation in ln p for parameters with a logarithmic scale; everything outside of it is in p."""

from __future__ import annotations

from dataclasses import fields, replace

import numpy as np

from leptonfit.inference.problem import LeastSquaresProblem, Parameter
from leptonfit.inference.solve import SolveResult
from leptonfit.inference.solve import solve as solve_as_given


def solve(
    problem: LeastSquaresProblem, x0: np.ndarray, *, fixed: tuple[str, ...] = (), max_iter: int = 1000
) -> SolveResult:
    """Minimise χ² from every start, in ln p for each parameter with `scale="log"`; arguments and result are in p.

    χ², the KKT residual and the bounds are the same in p and in ln p; only the steps differ. They cannot leave p > 0,
    and are as easy at 1e-6 as at 1. Where χ² falls all the way to a bound p = 0, ln p has no minimum, and the fit ends
    in p.

    Parameters
    ----------
    problem : LeastSquaresProblem
    x0 : ndarray (..., n_par)
    fixed : tuple of str
    max_iter : int

    Returns
    -------
    SolveResult

    Raises
    ------
    ValueError
        As `leptonfit.inference.solve.solve`.
    """
    is_log = problem.is_log
    if not is_log.any():
        return solve_as_given(problem, x0, fixed=fixed, max_iter=max_iter)
    x0 = np.asarray(x0, dtype=float)
    fit = solve_as_given(problem.in_logarithms, take_logarithms(x0, is_log), fixed=fixed, max_iter=max_iter)
    x = np.clip(undo_logarithms(fit.x, is_log), problem.lower, problem.upper)
    inner = problem.in_logarithms
    x = np.where(fit.x <= inner.lower, problem.lower, np.where(fit.x >= inner.upper, problem.upper, x))
    held = [problem.index(name) for name in fixed]
    x[..., held] = x0[..., held]
    fit = replace(fit, x=x)
    is_endless = ~fit.converged & np.isfinite(fit.chi2) & (is_log & (problem.lower == 0)).any()
    if not is_endless.any():
        return fit
    ended = solve_as_given(problem, x[is_endless], fixed=fixed, max_iter=max_iter)
    for field in fields(fit):
        getattr(fit, field.name)[is_endless] = getattr(ended, field.name)
    return fit


def take_logarithms(x: np.ndarray, is_log: np.ndarray) -> np.ndarray:
    """X (..., n_par) with the logarithm of the columns `is_log`; −inf for 0."""
    with np.errstate(divide="ignore"):
        return np.where(is_log, np.log(np.where(is_log, x, 1.0)), x)


def undo_logarithms(u: np.ndarray, is_log: np.ndarray) -> np.ndarray:
    """Inverse of `take_logarithms`."""
    return np.where(is_log, np.exp(np.where(is_log, u, 0.0)), u)


def transform(problem: LeastSquaresProblem) -> LeastSquaresProblem:
    """Problem whose parameters with a logarithmic scale are replaced by their logarithms."""
    is_log = problem.is_log

    def log_of(value: float) -> float:
        return float(take_logarithms(np.array(value), np.array(True)))

    def change(parameter: Parameter) -> Parameter:
        if parameter.scale != "log":
            return parameter
        low, high = parameter.physical
        return replace(
            parameter,
            start=log_of(parameter.start),
            lower=log_of(parameter.lower),
            upper=log_of(parameter.upper),
            physical=(log_of(low), log_of(high)),
            scale="linear",
        )

    def jacobian(u: np.ndarray) -> np.ndarray:
        x = undo_logarithms(u, is_log)
        return problem.jacobian(x) * np.where(is_log, x, 1.0)[..., None, :]

    return replace(
        problem,
        parameters=tuple(change(parameter) for parameter in problem.parameters),
        residuals=lambda u: problem.residuals(undo_logarithms(u, is_log)),
        jacobian=jacobian,
    )
