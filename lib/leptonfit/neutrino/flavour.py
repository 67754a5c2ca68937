"""Effective magnetic moments of neutrino sources as quadratic forms in the fundamental moments.

A beam is a mixture of states, described by a density matrix ρ (3, 3) in the basis of mass states, with trace 1. Moments
μ_jk, from state k to state j, give the effective moment μ_eff² = Tr(μ ρ μ†), because the states after the scattering do
not interfere. It is a Hermitian form m† A m in the moments m. By CPT the form is the same for
antineutrinos (W. Grimus and T. Schwetz, Nucl. Phys. B 587, 45 (2000), arXiv:hep-ph/0006028).

Majorana neutrinos have transition moments only, μ_jk = ε_jki Λ_i with three complex Λ_i, and A = Tr(ρ) 1 − ρ. Dirac
neutrinos have all nine μ_jk, and A = 1 ⊗ ρᵀ.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from leptonfit.datafiles import InputError, read_toml
from leptonfit.inference.arguments import read_array, read_choice, read_instance, read_number
from leptonfit.neutrino.flux import Flux
from leptonfit.neutrino.sheets import load_fluxes

FLAVOURS = ("e", "mu", "tau")
_EV = 1e6
"""eV in one MeV."""
_NULL = 1e-10
"""Eigenvalues of a form below this fraction of the largest count as zero."""


@dataclass(frozen=True)
class Mixing:
    """Mixing angles and phase, and the matter where solar neutrinos are produced.

    Attributes
    ----------
    sin2_12, sin2_13, sin2_23 : float
        sin² of the mixing angles.
    delta_cp : float
        Phase δ, radians.
    delta_m2_21 : float
        m₂² − m₁², eV².
    potential : mapping
        √2 G_F n_e, eV, averaged over the region of production, by branch of the solar flux.
    errors : mapping
        Standard errors (below, above) of the other attributes, by their name.
    """

    sin2_12: float
    sin2_13: float
    sin2_23: float
    delta_cp: float
    delta_m2_21: float
    potential: Mapping[str, float]
    errors: Mapping[str, tuple[float, float]]

    def vary(self, name: str) -> tuple[Mixing, Mixing]:
        """Copies with the attribute `name` one standard error below and above its value."""
        value, (below, above) = getattr(self, name), self.errors[name]
        return replace(self, **{name: value - below}), replace(self, **{name: value + above})

    @property
    def matrix(self) -> np.ndarray:
        """Mixing matrix U (3, 3) without Majorana phases: rows e, μ, τ and columns 1, 2, 3.

        The parametrisation is that of the Particle Data Group. Majorana phases are part of the phases of Λ_i.
        """
        s12, s13, s23 = (math.sqrt(one) for one in (self.sin2_12, self.sin2_13, self.sin2_23))
        c12, c13, c23 = (math.sqrt(1 - one) for one in (self.sin2_12, self.sin2_13, self.sin2_23))
        phase = np.exp(1j * self.delta_cp)
        return np.array(
            [
                [c12 * c13, s12 * c13, s13 / phase],
                [-s12 * c23 - c12 * s23 * s13 * phase, c12 * c23 - s12 * s23 * s13 * phase, s23 * c13],
                [s12 * s23 - c12 * c23 * s13 * phase, -c12 * s23 - s12 * c23 * s13 * phase, c23 * c13],
            ]
        )


def load_mixing(*, data: Path | None = None) -> Mixing:
    """Read the mixing from `mixing.toml`.

    Raises
    ------
    InputError
        If the file is not valid, or does not have the matter of exactly the branches of the solar flux.
    """
    path = "neutrino/mixing.toml"
    tables = read_toml(path, data=data)
    values = {name: one["value"] for name, one in tables.items()}
    for branch in sorted(values["potential"].keys() ^ load_fluxes(data=data)["solar"]["branch"].keys()):
        raise InputError(f"data file {path}: potential: branch {branch} must be in it and in solar.branch of flux.toml")
    names = {name: name.replace("_theta", "") for name in values if name != "potential"}
    units = dict.fromkeys(names, 1.0) | {"delta_cp": math.radians(1)}
    return Mixing(
        **{field: units[name] * values[name] for name, field in names.items()},
        potential=values["potential"],
        errors={
            field: (units[name] * tables[name]["errors"][0], units[name] * tables[name]["errors"][1])
            for name, field in names.items()
        },
    )


def share_mass_states(mixing: Mixing, energy: np.ndarray | float, potential: float) -> np.ndarray:
    """Shares (3, ...) of the mass states in solar neutrinos of energies (...), MeV, at Earth by day.

    Electron neutrinos are produced in matter with `potential`, eV, and leave the sun adiabatically: state 2 has the
    share c₁₃² sin²θ_m with cos 2θ_m = (cos 2θ₁₂ − β)/√((cos 2θ₁₂ − β)² + sin² 2θ₁₂) and β = 2 E c₁₃² V/Δm²₂₁
    (S. J. Parke, Phys. Rev. Lett. 57, 1275 (1986); three flavours as in M. Maltoni and A. Y. Smirnov, Eur. Phys. J. A
    52, 87 (2016), arXiv:1507.05287). Matter also changes θ₁₃, and the shares by up to 0.003; this and
    regeneration in the Earth are neglected. The states have lost their coherence on the way.
    """
    read_instance("mixing", mixing, Mixing)
    energy, potential = read_array("energy", energy), read_number("potential", potential, low=-1.0, high=1.0)
    if (energy < 0).any():
        raise ValueError(f"energy = {energy.min():g} MeV: must be 0 or more")
    cos2_13, cos_double = 1 - mixing.sin2_13, 1 - 2 * mixing.sin2_12
    beta = 2 * _EV * np.asarray(energy) * cos2_13 * potential / mixing.delta_m2_21
    cosine = (cos_double - beta) / np.hypot(cos_double - beta, math.sqrt(1 - cos_double**2))
    third = np.full(np.shape(energy), mixing.sin2_13)
    return np.stack([cos2_13 * (1 + cosine) / 2, cos2_13 * (1 - cosine) / 2, third])


def keep_mass_state(mixing: Mixing, state: int, flux: Flux) -> Flux:
    """Part of the flux of one branch of the sun that arrives as mass state 0, 1 or 2 (ν_1, ν_2 or ν_3)."""
    potential = mixing.potential[flux.name]

    def share(energy: np.ndarray) -> np.ndarray:
        return share_mass_states(mixing, energy, potential)[state]

    return flux.weigh(share)


def mean_shares(mixing: Mixing, flux: Flux) -> np.ndarray:
    """Shares (3,) of the mass states in the whole flux of one branch of the sun."""
    return np.array([keep_mass_state(mixing, state, flux).total for state in range(3)]) / flux.total


def flavour_state(mixing: Mixing, flavour: str) -> np.ndarray:
    """Density matrix (3, 3) in the basis of mass states of neutrinos of one flavour, close to their source."""
    read_choice("flavour", flavour, FLAVOURS)
    amplitudes = read_instance("mixing", mixing, Mixing).matrix[FLAVOURS.index(flavour)].conj()
    return np.outer(amplitudes, amplitudes.conj())


def flavour_shares(mixing: Mixing, state: np.ndarray) -> np.ndarray:
    """Probabilities (..., 3) of e, μ and τ in a state (..., 3, 3)."""
    matrix, state = read_instance("mixing", mixing, Mixing).matrix, _read_matrix("state", state)
    found = np.einsum("ai,...ij,aj->...a", matrix, state, matrix.conj()).real
    return np.maximum(found, 0.0)


def majorana_form(state: np.ndarray) -> np.ndarray:
    """Form (..., 3, 3) of μ_eff² in Λ_1, Λ_2, Λ_3, for a state (..., 3, 3) in the basis of mass states."""
    state = _read_matrix("state", state)
    return np.trace(state, axis1=-2, axis2=-1)[..., None, None] * np.eye(3) - state


def dirac_form(state: np.ndarray) -> np.ndarray:
    """Form (9, 9) of μ_eff² in μ_11, μ_12, …, μ_33, the rows of the matrix of moments, for a state (3, 3)."""
    return np.kron(np.eye(3), read_array("state", state, (3, 3), is_complex=True).T)


def to_flavour_basis(mixing: Mixing, form: np.ndarray) -> np.ndarray:
    """Form (..., 3, 3) in Λ_e, Λ_μ, Λ_τ from the form in Λ_1, Λ_2, Λ_3.

    The antisymmetric matrices of moments are related by λ_mass = Uᵀ λ_flavour U, so that Λ_mass = det(U) U† Λ_flavour.
    """
    matrix = read_instance("mixing", mixing, Mixing).matrix
    return matrix @ _read_matrix("form", form) @ matrix.conj().T


def _read_matrix(name: str, value: np.ndarray) -> np.ndarray:
    """Complex matrices (..., 3, 3)."""
    array = read_array(name, value, is_complex=True)
    if array.shape[-2:] != (3, 3):
        raise ValueError(f"{name} of shape {array.shape}: must be (..., 3, 3)")
    return array


def apply_form(form: np.ndarray, moments: np.ndarray) -> np.ndarray:
    """μ_eff² (...) of moments (..., n) for a form (n, n), in the square of their unit."""
    moments = read_array("moments", moments, is_complex=True)
    n = moments.shape[-1] if moments.ndim else 0
    form = read_array("form", form, (n, n), is_complex=True)
    return np.einsum("...i,ij,...j->...", moments.conj(), form, moments).real


def bound_components(form: np.ndarray, limit: float) -> tuple[np.ndarray, np.ndarray]:
    """Largest |m_i| that a limit on μ_eff allows: if all other moments vanish, and whatever the others are.

    The first is limit/√A_ii, the second limit √(A⁻¹)_ii. A state that is pure has a combination of moments that it does
    not see: where this combination has a component i, the second is infinite.

    Parameters
    ----------
    form : ndarray (n, n)
        Hermitian and not negative.
    limit : float

    Returns
    -------
    alone, profiled : ndarray (n,)
    """
    form, limit = read_array("form", form, (None, None), is_complex=True), read_number("limit", limit, low=0.0)
    if form.shape[0] != form.shape[1]:
        raise ValueError(f"form of shape {form.shape}: must be square")
    values, vectors = np.linalg.eigh(form)
    is_null = values < _NULL * values.max()
    parts = np.abs(vectors) ** 2
    inverse = parts[:, ~is_null] @ (1 / values[~is_null])
    is_open = parts[:, is_null].sum(axis=1) > _NULL
    with np.errstate(divide="ignore"):
        alone = limit / np.sqrt(np.diagonal(form).real)
    return alone, np.where(is_open, np.inf, limit * np.sqrt(inverse))
