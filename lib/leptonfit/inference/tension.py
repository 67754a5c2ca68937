"""Test whether the model fits at all: p-value of the lowest χ², where χ² tests the model."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.stats import chi2 as chi2_distribution

from leptonfit.inference.directions import jacobian_spectrum
from leptonfit.inference.problem import LeastSquaresProblem
from leptonfit.inference.result import Result

TENSION = 0.05
"""p-value below which a fit is in tension with the data."""
REJECTED = 2.7e-3
"""p-value below which a model is rejected: three standard deviations of a Gaussian."""


@dataclass(frozen=True)
class TensionResult(Result):
    """Goodness of fit of a model.

    Attributes
    ----------
    degrees_of_freedom : int
        n_res − rank of the Jacobian over the parameters off their bounds.
    p_value : float or None
        None if there are no degrees of freedom, or the problem states that χ² does not test the model.
    """

    degrees_of_freedom: int
    p_value: float | None

    @property
    def is_rejected(self) -> bool:
        """True if the model is rejected; a model that does not fit cannot determine a parameter."""
        return self.p_value is not None and self.p_value < REJECTED

    def describe(self) -> str:
        """Degrees of freedom and p-value as text."""
        plural = "s" if self.degrees_of_freedom != 1 else ""
        p = "" if self.p_value is None else f", p {format_p(self.p_value)}"
        return f"{self.degrees_of_freedom} degree{plural} of freedom{p}"


def format_p(p_value: float) -> str:
    """p-value as text with its relation sign: "= 0.03", or "< 1e-300" if it is zero in double precision."""
    return f"= {p_value:.2g}" if p_value > 0 else "< 1e-300"


def assess_tension(problem: LeastSquaresProblem, x: np.ndarray, chi2: float) -> TensionResult:
    """Degrees of freedom and p-value at the best fit known, x (n_par,), whose χ² is `chi2`."""
    freedom = problem.n_res - jacobian_spectrum(problem, x).rank
    if problem.p_value is not None:
        return TensionResult(freedom, problem.p_value(x))
    return TensionResult(freedom, float(chi2_distribution.sf(chi2, freedom)) if freedom > 0 else None)
