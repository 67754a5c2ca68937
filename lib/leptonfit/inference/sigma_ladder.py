"""Profiles of one parameter at increasing model errors; χ²_min can only decrease from one to the next."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from leptonfit.inference.identifiability import verdict_code
from leptonfit.inference.intervals import IntervalSet
from leptonfit.inference.multistart import Effort
from leptonfit.inference.problem import LeastSquaresProblem
from leptonfit.inference.profile import ProfileResult, WarmStart, scan_profile
from leptonfit.inference.result import Booleans, Result

FACTORS = (1.0, 10.0, 100.0, 1000.0)
"""Factors by which both model errors are multiplied."""


@dataclass(frozen=True)
class SigmaLadderResult(Result):
    """Profiles of β on one grid at n_sigma pairs of model errors, smallest errors first.

    Attributes
    ----------
    sigma_m_model, sigma_g_model : ndarray (n_sigma,)
    beta : ndarray (n_beta,)
    chi2_min : ndarray (n_sigma, n_beta)
    trusted : ndarray (n_sigma, n_beta) of bool
    identified_set : tuple of IntervalSet
        Sets at 95 % within the given bounds.
    verdict_code : tuple of str
        Verdict codes of the sets allowed by data and physical limits alone.
    """

    sigma_m_model: np.ndarray
    sigma_g_model: np.ndarray
    beta: np.ndarray
    chi2_min: np.ndarray
    trusted: Booleans
    identified_set: tuple[IntervalSet, ...]
    verdict_code: tuple[str, ...]


def scan_sigma_ladder(
    build: Callable[..., LeastSquaresProblem],
    profile: ProfileResult,
    *,
    sigma_m_model: float,
    sigma_g_model: float,
    effort: Effort,
) -> SigmaLadderResult:
    """Profile χ² at increasing σ, starting from a given profile at the smallest σ.

    Each step starts from the solutions of the step before. Their χ² is not larger at the larger σ, so that χ²_min never
    increases.

    Parameters
    ----------
    build : callable
        Function (sigma_m_model=, sigma_g_model=) → problem: the same model with these errors.
    profile : ProfileResult
        Profile of the problem at `sigma_m_model` and `sigma_g_model`.
    effort : Effort
    """
    steps = [profile]
    for factor in FACTORS[1:]:
        problem = build(sigma_m_model=factor * sigma_m_model, sigma_g_model=factor * sigma_g_model)
        steps.append(scan_profile(problem, profile.parameter, WarmStart(profile.grid, steps[-1].x), effort=effort))
    return SigmaLadderResult(
        sigma_m_model=sigma_m_model * np.array(FACTORS),
        sigma_g_model=sigma_g_model * np.array(FACTORS),
        beta=profile.grid,
        chi2_min=np.array([step.chi2_min for step in steps]),
        trusted=np.array([step.trusted for step in steps]),
        identified_set=tuple(step.identified_set["0.95"] for step in steps),
        verdict_code=tuple(verdict_code(step.released_set["0.95"]) for step in steps),
    )
