"""Maximum-likelihood estimate of the model error, for closures that leave residuals.

Both model errors are multiplied by a common factor f. The likelihood of the n measured values then has
−2 ln L(f) = χ²_min(f) + n ln f² up to a constant, with all parameters refitted at each f. Without the second term f
would run to infinity. Where the measured values can be met exactly, χ²_min does not change with f and −2 ln L falls
without limit as f → 0, so the data do not determine the error.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from scipy.optimize import brentq, minimize_scalar

from leptonfit.inference.arguments import read_array, read_instance
from leptonfit.inference.multistart import CHI2_FLOOR, Effort, draw_starts
from leptonfit.inference.problem import LeastSquaresProblem
from leptonfit.inference.result import Result
from leptonfit.inference.solve import solve
from leptonfit.vortex.model import VortexModel

FACTORS = np.geomspace(1e-2, 1e8, 21)


@dataclass(frozen=True)
class SigmaModelResult(Result):
    """Maximum-likelihood factor f on both model errors.

    Attributes
    ----------
    sigma_m_model, sigma_g_model : float
        Errors at f = 1.
    factor : float or None
        f at the highest likelihood; None where the measured values leave no residual that determines it.
    low, high : float
        f at which −2 ln L has risen by 1; nan without a factor, or if it does not rise by 1 in the range searched.
    chi2 : float
        χ²_min at `factor`; at the smallest f tried where there is no factor.
    beta : float
        β at `factor`; nan where there is no factor.
    factors, deviance : ndarray (n,)
        Values of f, and −2 ln L at each of them up to a constant.
    """

    sigma_m_model: float
    sigma_g_model: float
    factor: float | None
    low: float
    high: float
    chi2: float
    beta: float
    factors: np.ndarray
    deviance: np.ndarray

    def describe(self) -> str:
        """Sentence that states the factor and the resulting model errors."""
        if self.factor is None:
            rest = "" if self.chi2 < CHI2_FLOOR else f" The remaining misfit, χ² = {self.chi2:.4g}, is in the radii."
            return (
                "The masses and g-factors can be met exactly whatever their errors: they leave no residual, the "
                f"likelihood grows without end as σ shrinks, and σ_model cannot be set from these data.{rest}"
            )
        sigma_m, sigma_g = self.factor * self.sigma_m_model, self.factor * self.sigma_g_model
        ends = ", ".join(f"{end:.3g}" if math.isfinite(end) else "open" for end in (self.low, self.high))
        return (
            f"The residuals require model errors {self.factor:.3g} times as large ({ends} at 68 %): "
            f"σ_m = {sigma_m:.3g}, σ_g = {sigma_g:.3g}; χ²_min is then {self.chi2:.3g}."
            + (
                " The model error exceeds 10 % of the mass, so the closure does not describe these leptons."
                if sigma_m > 0.1
                else ""
            )
        )


def estimate_sigma_model(
    build: Callable[[VortexModel], LeastSquaresProblem],
    model: VortexModel,
    *,
    beta_range: tuple[float, float],
    effort: Effort,
) -> SigmaModelResult:
    """Maximise the likelihood over a common factor of both model errors, from 1e-2 to 1e8.

    Parameters
    ----------
    build : callable
        Function VortexModel → LeastSquaresProblem.
    model : VortexModel
        Its errors are those at f = 1.
    beta_range : tuple of float
        Range from which starting values of β are drawn.
    effort : Effort
        Fresh starts at each factor, in addition to starts from the minima of neighbouring factors.
    """
    read_instance("model", model, VortexModel)
    rng = np.random.default_rng(read_instance("effort", effort, Effort).seed)
    beta_range = tuple(read_array("beta_range", beta_range, (2,)))
    sigma_m_model, sigma_g_model = model.sigma_m_model, model.sigma_g_model
    known: dict[float, tuple[float, np.ndarray]] = {}
    n_measured = sum(name.startswith(("m_", "g_")) for name in build(model).residual_names)

    def fit(log_f: float) -> tuple[float, np.ndarray]:
        if log_f not in known:
            f = math.exp(log_f)
            problem = build(replace(model, sigma_m_model=f * sigma_m_model, sigma_g_model=f * sigma_g_model))
            starts = draw_starts(problem, effort.n_starts, rng, {"beta": beta_range})
            nearest = sorted(known, key=lambda other: abs(other - log_f))[:2]
            starts = np.concatenate([starts, *(known[other][1][None] for other in nearest)])
            found = solve(problem, starts)
            at = int(np.nanargmin(found.chi2))
            known[log_f] = float(found.chi2[at]), found.x[at]
        return known[log_f]

    def deviance(log_f: float) -> float:
        return fit(log_f)[0] + 2 * n_measured * log_f

    grid = np.log(FACTORS)
    for log_f in (*grid, *grid[::-1]):  # second pass, backward: each fit also starts from both neighbours
        known.pop(log_f, None)
        fit(log_f)
    values = np.array([deviance(log_f) for log_f in grid])
    at = int(values.argmin())
    nothing = SigmaModelResult(
        sigma_m_model, sigma_g_model, None, math.nan, math.nan, fit(grid[0])[0], math.nan, FACTORS, values
    )
    if values[0] < values[1] or at in (0, len(grid) - 1):
        return nothing
    best = float(minimize_scalar(deviance, bounds=(grid[at - 1], grid[at + 1]), options={"xatol": 1e-4}).x)
    lowest = deviance(best)
    ends = []
    for side in (grid[:at][::-1], grid[at + 1 :]):
        inner, end = best, math.nan
        for outer in side:
            if deviance(outer) > lowest + 1:
                end = float(brentq(lambda log_f: deviance(log_f) - lowest - 1, *sorted((inner, outer)), xtol=1e-4))
                break
            inner = outer
        ends.append(math.exp(end))
    chi2, x = fit(best)
    return SigmaModelResult(
        sigma_m_model, sigma_g_model, math.exp(best), ends[0], ends[1], chi2, float(x[0]), FACTORS, values
    )
