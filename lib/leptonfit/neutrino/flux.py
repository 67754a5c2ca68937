"""Neutrino fluxes from reactors, the sun and a stopped-pion source, and their moments above an energy.

Energies in MeV, fluxes in cm⁻² s⁻¹ (a fluence in cm⁻² where an exposure is counted in protons).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import Any

import numpy as np
from numpy.polynomial.legendre import leggauss
from scipy import constants

from leptonfit.neutrino.scattering import ELECTRON_MASS

N_NODES = 12
_NODES, _WEIGHTS = leggauss(N_NODES)
_LEAST = 1e-4
"""Lower end, in MeV, of spectra that begin at zero. Neutrinos below it give no recoil above 4e-8 MeV."""
MUON_MASS = constants.value("muon mass energy equivalent in MeV")
PION_MASS = 139.57039
"""MeV (R. L. Workman et al., Prog. Theor. Exp. Phys. 2022, 083C01)."""
PION_LIFETIME, MUON_LIFETIME = 0.026033, 2.1969811
"""µs (R. L. Workman et al., Prog. Theor. Exp. Phys. 2022, 083C01)."""
_TIMES = 2000
"""Number of points in a range of time at which the distribution of arrival times is evaluated."""


@dataclass(frozen=True)
class Flux:
    """Neutrino flux from one source: a piecewise smooth spectrum, or a line.

    Attributes
    ----------
    name : str
    flavours : mapping
        Fraction of each flavour at the detector; keys of `COUPLINGS`.
    total : float
        Flux integrated over all energies.
    edges : ndarray (n_pieces + 1,)
        Energies between which the spectrum is smooth; empty for a line.
    density : callable or None
        Function energies → spectrum, whose integral is `total`; None for a line.
    line : float
        Energy of the line; nan for a spectrum.
    """

    name: str
    flavours: Mapping[str, float]
    total: float
    edges: np.ndarray
    density: Callable[[np.ndarray], np.ndarray] | None = None
    line: float = np.nan

    @property
    def largest_energy(self) -> float:
        """Energy above which the flux is zero."""
        return self.line if self.density is None else float(self.edges[-1])

    @cached_property
    def _tails(self) -> np.ndarray:
        """Moments (3, n_pieces + 1) above each edge."""
        pieces = self._integrate(self.edges[:-1], self.edges[1:])
        return np.concatenate([np.cumsum(pieces[:, ::-1], axis=1)[:, ::-1], np.zeros((3, 1))], axis=1)

    def moments(self, least: np.ndarray) -> np.ndarray:
        """Moments ∫ φ E^(−k) dE of the flux above given energies, for k = 0, 1, 2.

        Parameters
        ----------
        least : ndarray (n,)
            Lower limits of the integrals.

        Returns
        -------
        ndarray (3, n)
        """
        if self.density is None:
            return np.where(self.line > least, self.total, 0.0) * self.line ** -np.arange(3.0)[:, None]
        start = np.clip(least, self.edges[0], self.edges[-1])
        piece = np.minimum(np.searchsorted(self.edges, start, side="right") - 1, len(self.edges) - 2)
        return self._integrate(start, self.edges[piece + 1]) + self._tails[:, piece + 1]

    def spectrum(self, energy: np.ndarray) -> np.ndarray:
        """Smooth spectrum φ(E) (...) at energies (...), per MeV; zero for a line."""
        return np.zeros(np.shape(energy)) if self.density is None else self.density(energy)

    def weigh(self, share: Callable[[np.ndarray], np.ndarray]) -> Flux:
        """Part of this flux that `share` gives at each energy (...), between 0 and 1."""
        density = self.density
        if density is None:
            return replace(self, total=self.total * float(share(np.asarray(self.line))))
        part = replace(self, density=lambda energy: density(energy) * share(energy))
        return replace(part, total=float(part._tails[0, 0]))

    def _integrate(self, low: np.ndarray, high: np.ndarray) -> np.ndarray:
        """Moments (3, n) between pairs of energies (n,) that have no edge between them."""
        half = (high - low) / 2
        energy = low[:, None] + half[:, None] * (1 + _NODES)
        weighted = half[:, None] * _WEIGHTS * self.spectrum(energy)
        return np.stack([np.sum(weighted * energy**-k, axis=-1) for k in (0.0, 1.0, 2.0)])


def make_spectrum(
    name: str, flavours: Mapping[str, float], total: float, edges: np.ndarray, shape: Callable[[np.ndarray], np.ndarray]
) -> Flux:
    """Flux with a given total and a spectrum of a given shape; the norm of the shape does not matter."""
    norm = Flux(name, flavours, 1.0, edges, shape)._tails[0, 0]
    return Flux(name, flavours, total, edges, lambda energy: total / norm * shape(energy))


def beta_shape(endpoint: float) -> Callable[[np.ndarray], np.ndarray]:
    """Neutrino spectrum E² p W of an allowed β decay, without the Coulomb field of the daughter nucleus.

    W = Q − E + m_e is the total energy of the electron, Q the endpoint, MeV (E. J. Konopinski, The Theory of Beta
    Radioactivity, Oxford 1966).
    """

    def shape(energy: np.ndarray) -> np.ndarray:
        total = np.maximum(endpoint - energy, 0.0) + ELECTRON_MASS
        return energy**2 * total * np.sqrt(total**2 - ELECTRON_MASS**2)

    return shape


def _approach(endpoint: float) -> np.ndarray:
    """Edges that become denser toward an endpoint, where a β spectrum falls like a square root."""
    edges = endpoint * (1 - (1 - np.linspace(0, 1, 13)) ** 3)
    edges[0] = _LEAST
    return edges


def _interpolate(knots: np.ndarray, values: np.ndarray, energy: np.ndarray) -> np.ndarray:
    return np.asarray(np.interp(energy, knots, values))


def _spread(low: float, high: float, n: int) -> np.ndarray:
    return np.linspace(low, high, n + 1)


def reactor_flux(tables: Mapping[str, Any], total: float) -> Flux:
    """Flux of ν̄_e from a power reactor.

    The spectrum is summed over the fissile isotopes: a table below 2 MeV (P. Vogel and J. Engel, Phys. Rev. D 39, 3378
    (1989)) and exp(Σ a_k E^k) from 2 to 8 MeV (P. Huber, Phys. Rev. C 84, 024617 (2011), arXiv:1106.0687; ²³⁸U
    T. A. Mueller et al., Phys. Rev. C 83, 054615 (2011), arXiv:1101.2663). Neutron capture on ²³⁸U is added. At 2 MeV
    the table and the exponential differ by a few percent; this step is kept.

    Parameters
    ----------
    tables : mapping
        Table `reactor` of the data file `flux.toml`.
    total : float
        Flux at the detector, cm⁻² s⁻¹.
    """
    knots = np.array(tables["energy"]["value"])
    isotopes = tables["isotope"]
    fraction = np.array([one["fraction"]["value"] for one in isotopes.values()])
    below = fraction @ np.array([one["below_2_mev"]["value"] for one in isotopes.values()])
    coefficients = np.array([one["coefficients"]["value"] for one in isotopes.values()])
    endpoints = tables["capture"]["endpoints"]
    captures = [
        make_spectrum("capture", {}, rate, _approach(endpoint), beta_shape(endpoint))
        for rate, endpoint in zip(tables["capture"]["per_fission"], endpoints, strict=True)
    ]

    def shape(energy: np.ndarray) -> np.ndarray:
        powers = energy[..., None] ** np.arange(coefficients.shape[1])
        above = np.exp(powers @ coefficients.T) @ fraction
        table = np.interp(energy, np.concatenate([[0.0], knots]), np.concatenate([[0.0], below]))
        captured = [np.where(energy < one.largest_energy, one.spectrum(energy), 0.0) for one in captures]
        return np.where(energy < 2.0, table, above) + np.sum(captured, axis=0)

    ends = [*endpoints, *_spread(2.0, 8.0, 12)]
    edges = np.unique(np.concatenate([[_LEAST], knots, ends]))
    return make_spectrum("reactor", {"nu_e_bar": 1.0}, total, edges, shape)


SOLAR_MODELS = ("B16-GS98", "B16-AGSS09met")
"""Solar models in `flux.toml`."""
SOLAR_MODEL = SOLAR_MODELS[0]
"""Solar model whose fluxes are used unless another is chosen."""


def solar_fluxes(
    tables: Mapping[str, Any], *, model: str = SOLAR_MODEL, factors: Mapping[str, float] | None = None
) -> list[Flux]:
    """Fluxes of solar neutrinos after oscillation, one flux for each reaction.

    Parameters
    ----------
    tables : mapping
        Table `solar` of the data file `flux.toml`.
    model : str
        Key of `tables["model"]`, which gives the total fluxes.
    factors : mapping, optional
        Factor on the total flux of some of the branches.
    """
    found = []
    totals = tables["model"][model]["value"]
    for name, one in tables["branch"].items():
        survival, total = one["survival"]["value"], totals[name] * (factors or {}).get(name, 1.0)
        flavours = {"nu_e": survival, "nu_mu": 1 - survival}
        if "line" in one:
            found.append(Flux(name, flavours, total, np.empty(0), None, one["line"]["value"]))
        elif "endpoint" in one:
            end = one["endpoint"]["value"]
            found.append(make_spectrum(name, flavours, total, _approach(end), beta_shape(end)))
        else:
            energy = np.concatenate([[0.0], one["energy"]["value"], [one["energy"]["value"][-1] + 0.5]])
            density = np.concatenate([[0.0], one["density"]["value"], [0.0]])
            edges = np.concatenate([[_LEAST], energy[1:]])
            found.append(make_spectrum(name, flavours, total, edges, partial(_interpolate, energy, density)))
    return found


def pion_fluxes(per_flavour: float) -> list[Flux]:
    """Fluxes of ν_μ, ν̄_μ and ν_e, equal in total, from pions and muons that decay at rest.

    ν_μ form a line at (m_π² − m_μ²)/(2 m_π). ν̄_μ and ν_e reach m_μ/2 with the spectra E²(¾ − E/m_μ) and
    E²(½ − E/m_μ) (L. Michel, Proc. Phys. Soc. A 63, 514 (1950)).
    """
    edges = _spread(_LEAST, MUON_MASS / 2, 12)
    line = (PION_MASS**2 - MUON_MASS**2) / (2 * PION_MASS)
    return [
        Flux("nu_mu", {"nu_mu": 1.0}, per_flavour, np.empty(0), None, line),
        make_spectrum("nu_mu_bar", {"nu_mu_bar": 1.0}, per_flavour, edges, lambda e: e**2 * (0.75 - e / MUON_MASS)),
        make_spectrum("nu_e", {"nu_e": 1.0}, per_flavour, edges, lambda e: e**2 * (0.5 - e / MUON_MASS)),
    ]


def share_of_time(
    low: np.ndarray, high: np.ndarray, name: str, *, arrival: Sequence[float], recorded: Sequence[float]
) -> np.ndarray:
    """Share (...) of the neutrinos of stopped pions that arrive, and are recorded, from `low` to `high` (...), µs.

    The time of the protons is Gaussian. ν_μ come from the pion; ν̄_μ and ν_e follow from the muon, and are delayed by
    both lifetimes.

    Parameters
    ----------
    low, high : ndarray (...)
    name : str
        Name of the flux: `nu_mu`, `nu_mu_bar` or `nu_e`.
    arrival : sequence of float
        Mean and standard deviation of the time of the protons, µs.
    recorded : sequence of float
        a and b: the share recorded at t is 1 up to a, then exp(−b (t − a)).
    """
    from scipy.stats import exponnorm  # takes half a second to import

    mean, sigma = arrival
    time = low[..., None] + (high - low)[..., None] * (np.arange(_TIMES) + 0.5) / _TIMES
    pion, muon = (exponnorm.pdf(time, life / sigma, mean, sigma) for life in (PION_LIFETIME, MUON_LIFETIME))
    density = (
        pion if name == "nu_mu" else (MUON_LIFETIME * muon - PION_LIFETIME * pion) / (MUON_LIFETIME - PION_LIFETIME)
    )
    start, decay = recorded
    return (high - low) * np.mean(density * np.exp(-decay * np.maximum(time - start, 0.0)), axis=-1)
