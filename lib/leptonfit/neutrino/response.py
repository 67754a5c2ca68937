"""Response of a detector to recoils: quenching, resolution, efficiency, energy scale.

A response is a matrix (n_bins, n): the probability that a recoil of each of n energies is counted in each bin.
"""

from __future__ import annotations

import numpy as np
from numpy.polynomial.legendre import leggauss
from scipy.special import gammaln, ndtr

from leptonfit.inference.arguments import read_array, read_count, read_instance
from leptonfit.inference.errors_in_variables import OrthogonalFitResult, fit_orthogonal
from leptonfit.neutrino.experiments import ResponsePoints, width

GERMANIUM = 32
"""Number of protons in the calibrated nucleus."""
_NODES, _WEIGHTS = leggauss(6)


def quench_lindhard(recoil: np.ndarray, n_protons: int, k: np.ndarray | float) -> np.ndarray:
    """Ionisation energy (...), keV, of nuclear recoils (...), keV.

    It is T k g/(1 + k g) with ε = 11.5 Z^(−7/3) T and g = 3 ε^0.15 + 0.7 ε^0.6 + ε (J. Lindhard et al., Mat. Fys. Medd.
    Dan. Vid. Selsk. 33, 10 (1963); J. D. Lewin and P. F. Smith, Astropart. Phys. 6, 87 (1996), eqs. 3.3 and 3.4).
    """
    recoil, k = read_array("recoil", recoil), read_array("k", k)
    read_count("n_protons", n_protons)
    for name, value in (("recoil", recoil), ("k", k)):
        if (value < 0).any():
            raise ValueError(f"{name} = {value.min():g}: must be 0 or more")
    epsilon = 11.5 * n_protons ** (-7 / 3) * recoil
    kg = k * (3 * epsilon**0.15 + 0.7 * epsilon**0.6 + epsilon)
    return recoil * kg / (1 + kg)


def respond_gaussian(
    energy: np.ndarray, edges: np.ndarray, resolution: np.ndarray, *, scale: float = 1.0
) -> np.ndarray:
    """Response (n_bins, n) of a detector with Gaussian resolution.

    Parameters
    ----------
    energy : ndarray (n,)
        True energies, in the unit of the edges.
    edges : ndarray (n_bins + 1,)
    resolution : ndarray (3,), (4,) or (5,)
        As for `width`.
    scale : float
        Factor by which measured energies are multiplied.
    """
    below = ndtr((edges[:, None] / scale - energy) / width(energy, resolution))
    return np.diff(below, axis=0)


def respond_photoelectrons(
    energy: np.ndarray, edges: np.ndarray, *, light_yield: float, spread: np.ndarray, efficiency: np.ndarray
) -> np.ndarray:
    """Response (n_bins, n) in photoelectrons: gamma-distributed about the mean, then counted with an efficiency.

    Parameters
    ----------
    energy : ndarray (n,)
        Electron-equivalent energies, keV.
    edges : ndarray (n_bins + 1,)
        Bin edges in photoelectrons.
    light_yield : float
        Mean number of photoelectrons per keV.
    spread : ndarray (2,)
        a and b in the shape parameter a + b E of the gamma distribution.
    efficiency : ndarray (4,)
        a, b, c and d of the efficiency a/(1 + exp(−b (n − c))) + d at n photoelectrons; negative values count as 0.
    """
    half = np.diff(edges)[:, None] / 2
    photoelectrons = (edges[:-1, None] + half * (1 + _NODES)).ravel()
    a, b, c, d = efficiency
    counted = np.maximum(a / (1 + np.exp(-b * (photoelectrons - c))) + d, 0.0) * (half * _WEIGHTS).ravel()
    shape = spread[0] + spread[1] * energy
    rate = shape / (light_yield * energy)
    norm = shape * np.log(rate) - gammaln(shape)  # logarithm, of the gamma density
    density = np.exp(norm + (shape - 1) * np.log(photoelectrons)[:, None] - rate * photoelectrons[:, None])
    return (counted[:, None] * density).reshape(len(edges) - 1, len(_NODES), -1).sum(axis=1)


def calibrate_quenching(points: ResponsePoints, n_points: int | None = None) -> OrthogonalFitResult:
    """Fit Lindhard's k to the first `n_points` calibration points (all by default), with errors in both variables."""
    given = read_instance("points", points, ResponsePoints).select(n_points)
    return fit_orthogonal(
        lambda recoil, k: quench_lindhard(recoil, GERMANIUM, k[0]),
        given["recoil"],
        given["ionisation"],
        given["recoil_error"],
        given["ionisation_error"],
        np.array([0.16]),
    )


def calibrate_scale(points: ResponsePoints, n_points: int | None = None) -> OrthogonalFitResult:
    """Fit the energy scale (measured over true energy) to the first `n_points` calibration lines (all by default)."""
    given = read_instance("points", points, ResponsePoints).select(n_points)
    return fit_orthogonal(
        lambda line, scale: scale[0] * line,
        given["line"],
        given["measured"],
        given["line_error"],
        given["measured_error"],
        np.array([1.0]),
    )
