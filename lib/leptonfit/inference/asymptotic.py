"""Asymptotic p-values of the profile likelihood, and Feldman–Cousins intervals of a Gaussian estimate."""

from __future__ import annotations

import numpy as np
from scipy.optimize import elementwise
from scipy.special import log_ndtr, ndtr
from scipy.stats import norm


def asymptotic_p_values(q_tilde: np.ndarray, q_asimov: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """CLs and p(q̃ | θ) from q̃ and its value for the Asimov data, both at θ > 0 (arXiv:1007.1727, eqs. 65 and 66).

    Where the Asimov data have no sensitivity to θ, q̃ is rounding noise and CLs is 1.
    """
    root, root_asimov = np.sqrt(q_tilde), np.sqrt(q_asimov)
    middle = (q_tilde + q_asimov) / (2 * np.where(root_asimov > 0, root_asimov, 1.0))
    high = (q_tilde > q_asimov) & (root_asimov > 0)
    beyond = np.where(high, middle, root)
    cls = np.exp(log_ndtr(-beyond) - log_ndtr(root_asimov - beyond))
    return cls, ndtr(-beyond)


def feldman_cousins(x: np.ndarray, confidence: np.ndarray | float) -> tuple[np.ndarray, np.ndarray]:
    """Ends of the Feldman–Cousins interval for the mean μ ≥ 0 of a Gaussian of unit width measured at x.

    With likelihood-ratio ordering the acceptance interval of μ is [μ − d, μ + d] where d ≤ μ, else
    [(μ² − d²)/(2μ), μ + d] (arXiv:physics/9711021, section IV B). The upper end is the μ whose acceptance interval
    begins at x. The lower end is the μ whose acceptance interval ends at x, or 0.

    Parameters
    ----------
    x : ndarray (...)
    confidence : ndarray (...)
        Broadcast with x.
    """
    x, confidence = np.broadcast_arrays(np.asarray(x, dtype=float), confidence)
    d = norm.ppf((1 + confidence) / 2)

    def begins(mu: np.ndarray, at: np.ndarray, level: np.ndarray) -> np.ndarray:
        return ndtr(np.sqrt(mu**2 - 2 * mu * at)) - ndtr(at - mu) - level

    def ends(mu: np.ndarray, at: np.ndarray, level: np.ndarray) -> np.ndarray:
        return ndtr(at - mu) - ndtr((mu**2 - (at - mu) ** 2) / (2 * mu) - mu) - level

    below = np.minimum(x, 0.0)
    upper = elementwise.find_root(begins, (np.zeros(x.shape), np.full(x.shape, 10.0)), args=(below, confidence)).x
    least = norm.ppf(confidence)
    between = np.clip(x, least * (1 + 1e-9), 2 * d)
    lower = elementwise.find_root(ends, (np.full(x.shape, 1e-12), between / 2), args=(between, confidence)).x
    return np.where(x <= least, 0.0, np.where(x >= 2 * d, x - d, lower)), np.where(x >= 0, x + d, upper)
