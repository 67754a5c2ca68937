"""Cross-sections of neutrinos on electrons and nuclei, as polynomials in 1/E.

Each dσ/dT is c₀(T) + c₁(T)/E + c₂(T)/E² for a neutrino energy E above the minimum for a recoil T. A recoil spectrum
therefore needs only three moments of the flux (`Flux.moments`). Energies and masses are in MeV, cross-sections in
cm²/MeV. The magnetic moment is the effective moment of the mixture of states that reaches the target. It flips the
helicity, so its cross-section adds without interference (P. Vogel and J. Engel, Phys. Rev. D 39, 3378 (1989)).
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from scipy import constants
from scipy.special import spherical_jn

ELECTRON_MASS = constants.value("electron mass energy equivalent in MeV")
DALTON = constants.value("atomic mass constant energy equivalent in MeV")
HBAR_C = constants.value("reduced Planck constant times c in MeV fm")
_CM2 = (HBAR_C * 1e-13) ** 2
"""(ħc)² in cm² MeV²."""
FERMI = constants.value("Fermi coupling constant") * 1e-6
"""G_F in MeV⁻²."""
SIN2_THETA_W = 0.2386
"""sin²θ_W at low momentum transfer (J. Erler and M. J. Ramsey-Musolf, Phys. Rev. D 72, 073003 (2005))."""
MAGNETIC = math.pi * constants.alpha**2 / ELECTRON_MASS**2 * _CM2
"""πα²/m_e² in cm²: 2.4947e-25."""

VECTOR_SHIFT = math.sqrt(2) * math.pi * constants.alpha / FERMI
"""√2πα/G_F in MeV²: a charge form factor F(q²) of the neutrino shifts g_V of electrons by 2F/q² times this."""

COUPLINGS = {
    "nu_e": (0.5 + SIN2_THETA_W, SIN2_THETA_W),
    "nu_e_bar": (SIN2_THETA_W, 0.5 + SIN2_THETA_W),
    "nu_mu": (-0.5 + SIN2_THETA_W, SIN2_THETA_W),
    "nu_mu_bar": (SIN2_THETA_W, -0.5 + SIN2_THETA_W),
}
"""g_L and g_R for scattering on electrons; ν_τ has the couplings of ν_μ. Antineutrinos have g_L and g_R exchanged."""


def least_energy(recoil: np.ndarray, mass: float) -> np.ndarray:
    """Minimum neutrino energy (...) for a recoil kinetic energy (...) of a particle with the given mass; all in MeV."""
    return (recoil + np.sqrt(recoil**2 + 2 * mass * recoil)) / 2


def largest_recoil(energy: np.ndarray | float, mass: float) -> np.ndarray | float:
    """Largest recoil energy 2E²/(M + 2E) of a particle of mass M hit by neutrinos of energy E; all in MeV."""
    return 2 * energy**2 / (mass + 2 * energy)


def weak_electron(recoil: np.ndarray, g_left: float, g_right: float) -> np.ndarray:
    """Coefficients (3, ...) of the weak dσ/dT on a free electron at recoils (...), MeV.

    dσ/dT = (2 G_F² m_e/π) [g_L² + g_R² (1 − T/E)² − g_L g_R m_e T/E²] (G. 't Hooft, Phys. Lett. B 37, 195 (1971)).
    """
    scale = 2 * FERMI**2 * ELECTRON_MASS / math.pi * _CM2
    constant = np.full(np.shape(recoil), g_left**2 + g_right**2)
    squared = g_right**2 * recoil**2 - g_left * g_right * ELECTRON_MASS * recoil
    return scale * np.stack([constant, -2 * g_right**2 * recoil, squared])


def magnetic(recoil: np.ndarray) -> np.ndarray:
    """Coefficients (3, ...) of (πα²/m_e²)(1/T − 1/E), the dσ/dT of a moment of 1 μ_B on a unit charge."""
    return MAGNETIC * np.stack([1 / recoil, -np.ones(np.shape(recoil)), np.zeros(np.shape(recoil))])


def weak_nucleus(recoil: np.ndarray, n_protons: int, mass_number: float) -> np.ndarray:
    """Coefficients (3, ...) of the coherent dσ/dT on a nucleus at recoils (...), MeV.

    dσ/dT = (G_F² M/4π) [N − (1 − 4s²) Z]² F² (1 − MT/2E²) (D. Z. Freedman, Phys. Rev. D 9, 1389 (1974)).
    """
    mass = mass_number * DALTON
    charge = mass_number - n_protons - (1 - 4 * SIN2_THETA_W) * n_protons
    scale = FERMI**2 * mass / (4 * math.pi) * _CM2 * charge**2 * form_factor(recoil, mass_number) ** 2
    return scale * np.stack([np.ones(np.shape(recoil)), np.zeros(np.shape(recoil)), -mass * recoil / 2])


def magnetic_nucleus(recoil: np.ndarray, n_protons: int, mass_number: float) -> np.ndarray:
    """Coefficients (3, ...) of the magnetic dσ/dT on a nucleus: Z² F² times the dσ/dT on a unit charge."""
    return n_protons**2 * form_factor(recoil, mass_number) ** 2 * magnetic(recoil)


def shift_by_charge(recoil: np.ndarray, mass: float) -> np.ndarray:
    """Shift (...) of g_V of electrons by a neutrino charge of 1 e, for recoils (...) of a particle of this mass, MeV.

    It is −√2πα/(G_F M T). Antineutrinos have the opposite charge and the same shift, as g_L and g_R are exchanged. For
    protons the shift has the opposite sign (C. Giunti and A. Studenikin, Rev. Mod. Phys. 87, 531 (2015),
    arXiv:1403.6344, sect. VII).
    """
    return -VECTOR_SHIFT / (mass * recoil)


def shift_by_radius(recoil: np.ndarray) -> np.ndarray:
    """Shift (...) of g_V of electrons by a neutrino charge radius ⟨r²⟩ of 1 cm²: √2πα/(3G_F), at any recoil (...).

    It is that of sin²θ_W by the factor 1 + m_W²⟨r²⟩/3 (P. Vogel and J. Engel, Phys. Rev. D 39, 3378 (1989)).
    """
    return np.full(np.shape(recoil), VECTOR_SHIFT / 3 / _CM2)


def shifted_electron(
    recoil: np.ndarray, g_left: float, g_right: float, shift: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Change of the weak dσ/dT on a free electron by a shift (...) of g_V, to first and to second order.

    Each order has coefficients (3, ...), as `weak_electron`; g_L and g_R move by half of the shift. The first order is
    the interference with weak scattering, because charge and charge radius do not flip the helicity.
    """
    scale = 2 * FERMI**2 * ELECTRON_MASS / math.pi * _CM2
    g_vector = g_left + g_right
    one = np.ones(np.shape(recoil))
    first = np.stack(
        [g_vector * one, -2 * g_right * recoil, g_right * recoil**2 - g_vector / 2 * ELECTRON_MASS * recoil]
    )
    second = np.stack([2 * one, -2 * recoil, recoil**2 - ELECTRON_MASS * recoil]) / 4
    return scale * shift * first, scale * shift**2 * second


def shifted_nucleus(
    recoil: np.ndarray, n_protons: int, mass_number: float, shift: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Change of the coherent dσ/dT on a nucleus by a shift (...) of g_V, to first and to second order.

    The weak charge N − (1 − 4s²) Z grows by 2 Z times the shift. Coefficients (3, ...) as those of `weak_nucleus`.
    """
    charge = mass_number - n_protons - (1 - 4 * SIN2_THETA_W) * n_protons
    ratio = 2 * n_protons * shift / charge
    weak = weak_nucleus(recoil, n_protons, mass_number)
    return 2 * ratio * weak, ratio**2 * weak


def form_factor(recoil: np.ndarray, mass_number: float) -> np.ndarray:
    """Form factor F(q) (...) of a nucleus with q² = 2MT, for recoils (...) in MeV.

    The density is a hard sphere of radius 1.2 A^⅓ fm folded with a Yukawa potential of range 0.7 fm (S. R. Klein and
    J. Nystrand, Phys. Rev. C 60, 014903 (1999), arXiv:hep-ph/9902259, eq. 12).
    """
    q = np.sqrt(2 * mass_number * DALTON * np.asarray(recoil)) / HBAR_C
    radius, range_ = 1.2 * mass_number ** (1 / 3), 0.7
    return 3 * spherical_jn(1, q * radius) / (q * radius) / (1 + (q * range_) ** 2)


def count_electrons(recoil: np.ndarray, shells: Sequence[tuple[float, int]], n_outer: int) -> np.ndarray:
    """Number of electrons (...) of an atom that a recoil (...) can free: Σ n_i θ(T − B_i), the stepping approximation.

    Parameters
    ----------
    recoil : ndarray (...)
        Energy given to the electron, MeV.
    shells : sequence of (float, int)
        Binding energy, MeV, and occupancy of each shell.
    n_outer : int
        Number of electrons that are always free.
    """
    free = np.full(np.shape(recoil), n_outer)
    for binding, n in shells:
        free += n * (recoil >= binding)
    return free
