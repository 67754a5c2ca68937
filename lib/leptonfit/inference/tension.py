"""Does the model fit at all? The p-value of the lowest χ², where χ² is a test of the model."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.stats import chi2 as chi2_distribution

from leptonfit.inference.directions import jacobian_spectrum
from leptonfit.inference.problem import LeastSquaresProblem
from leptonfit.inference.result import Result

TENSION = 0.05
"""A fit is in tension with the data below this p-value."""
REJECTED = 2.7e-3
"""A model is rejected below this p-value: three standard deviations of a Gaussian."""


@dataclass(frozen=True)
class TensionResult(Result):
    """How well a model fits.

    Attributes
    ----------
    degrees_of_freedom : int
        n_res − rank of the Jacobian over the parameters off their bounds.
    p_value : float or None
        None where there are no degrees of freedom, or the problem says that χ² is no test.
    """

    degrees_of_freedom: int
    p_value: float | None

    @property
    def is_rejected(self) -> bool:
        """Whether the model is rejected: a model that does not fit identifies nothing."""
        return self.p_value is not None and self.p_value < REJECTED

    def describe(self) -> str:
        """Degrees of freedom and p in words."""
        plural = "s" if self.degrees_of_freedom != 1 else ""
        p = "" if self.p_value is None else f", p {format_p(self.p_value)}"
        return f"{self.degrees_of_freedom} degree{plural} of freedom{p}"


def format_p(p_value: float) -> str:
    """A p-value with its sign of relation: "= 0.03", and "< 1e-300" where it is zero to double precision."""
    return f"= {p_value:.2g}" if p_value > 0 else "< 1e-300"


def assess_tension(problem: LeastSquaresProblem, x: np.ndarray, chi2: float) -> TensionResult:
    """Judge the fit at x (n_par,), the best known, whose χ² is `chi2`."""
    freedom = problem.n_res - jacobian_spectrum(problem, x).rank
    if problem.p_value is not None:
        return TensionResult(freedom, problem.p_value(x))
    return TensionResult(freedom, float(chi2_distribution.sf(chi2, freedom)) if freedom > 0 else None)
