"""Euclidean norms that neither overflow nor underflow."""

from __future__ import annotations

import numpy as np


def norms(values: np.ndarray, axis: int = -1) -> np.ndarray:
    """Euclidean norm along an axis, exact to rounding from 1e-307 to 1e307; inf or nan if an entry is inf or nan.

    Parameters
    ----------
    values : ndarray (..., n)
    axis : int
    """
    values = np.abs(values)
    largest = np.max(values, axis=axis, keepdims=True, initial=0.0)
    usable = np.isfinite(largest) & (largest > 0)
    shares = np.divide(values, largest, out=np.zeros_like(values), where=usable)
    return np.where(usable, np.sqrt(np.sum(shares**2, axis=axis, keepdims=True)) * largest, largest).squeeze(axis)
