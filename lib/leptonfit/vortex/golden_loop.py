"""Reference β of the report, computed from the fine-structure constant by one transcendental equation.

The equation 1/α = 2π² e^β/β + 1 is equivalent to e^β/β = K with K = c₁/(απ²) and c₁ = (1 − α)/2. Its solutions are
β = −W(−1/K) with the Lambert function W. An older form in the same report is π² e^β c₂/c₁ = 1/α, where c₁ and c₂ are
other constants.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy.constants import physical_constants
from scipy.special import lambertw

from leptonfit.inference.arguments import read_array, read_number
from leptonfit.inference.result import Result

ALPHA_INVERSE, ALPHA_INVERSE_SIGMA = (physical_constants["inverse fine-structure constant"][i] for i in (0, 2))
"""1/α and its standard uncertainty, from the CODATA values in SciPy."""


@dataclass(frozen=True)
class GoldenLoopResult(Result):
    """β from α by each form of the equation, and the sensitivity of β to the inputs.

    Attributes
    ----------
    alpha_inverse : float
    beta : float
        The larger root, W₋₁.
    beta_small : float
        The smaller root, W₀.
    sigma_beta : float
        Uncertainty of `beta` from that of α.
    c1 : float
        (1 − α)/2, the constant of the form e^β/β = c₁/(απ²).
    beta_without_one : float
        The larger root of 1/α = 2π² e^β/β.
    beta_older : float
        Root of the older form, with the constants the report states.
    by_ln_c1 : float
        dβ/d ln c₁ = β/(β − 1) at `beta`.
    by_alpha_inverse : float
        dβ/d(1/α) at `beta`.
    older_by_ln_c : ndarray (2,)
        dβ/d ln c₁ and dβ/d ln c₂ of the older form.
    wanted : ndarray (n,)
        Other values of β for which c₁ was requested.
    c1_needed : ndarray (n,)
        c₁ that each of these values requires.
    """

    alpha_inverse: float
    beta: float
    beta_small: float
    sigma_beta: float
    c1: float
    beta_without_one: float
    beta_older: float
    by_ln_c1: float
    by_alpha_inverse: float
    older_by_ln_c: np.ndarray
    wanted: np.ndarray
    c1_needed: np.ndarray


def solve_golden_loop(
    *,
    older_constants: tuple[float, float],
    wanted: tuple[float, ...] = (),
    alpha_inverse: float = ALPHA_INVERSE,
    alpha_inverse_sigma: float = ALPHA_INVERSE_SIGMA,
) -> GoldenLoopResult:
    """Solve each form of the equation for β.

    Parameters
    ----------
    older_constants : tuple of float
        c₁ and c₂ of the older form.
    wanted : tuple of float
        Values of β for which c₁ is computed.
    alpha_inverse, alpha_inverse_sigma : float
        1/α and its uncertainty.

    Raises
    ------
    ValueError
        If there is no real root: 1/α − 1 < 2π²e.
    """
    read_array("older_constants", older_constants, (2,))
    read_array("wanted", wanted, (None,))
    alpha_inverse = read_number("alpha_inverse", alpha_inverse)
    alpha_inverse_sigma = read_number("alpha_inverse_sigma", alpha_inverse_sigma, low=0.0)
    k = (alpha_inverse - 1) / (2 * math.pi**2)
    if k < math.e:
        raise ValueError(f"alpha_inverse = {alpha_inverse:g}: must be at least {2 * math.pi**2 * math.e + 1:.6g}")
    beta, small, without_one = (
        float(-lambertw(-1 / value, branch).real)
        for value, branch in ((k, -1), (k, 0), (alpha_inverse / (2 * math.pi**2), -1))
    )
    by_ln_c1 = beta / (beta - 1)
    by_alpha_inverse = by_ln_c1 / (alpha_inverse - 1)
    c1, c2 = older_constants
    values = np.array(wanted, dtype=float)
    return GoldenLoopResult(
        alpha_inverse=alpha_inverse,
        beta=beta,
        beta_small=small,
        sigma_beta=by_alpha_inverse * alpha_inverse_sigma,
        c1=(1 - 1 / alpha_inverse) / 2,
        beta_without_one=without_one,
        beta_older=math.log(alpha_inverse * c1 / (math.pi**2 * c2)),
        by_ln_c1=by_ln_c1,
        by_alpha_inverse=by_alpha_inverse,
        older_by_ln_c=np.array([1.0, -1.0]),  # β = ln(c₁/(c₂ π² α))
        wanted=values,
        c1_needed=np.pi**2 * np.exp(values) / values / alpha_inverse,
    )
