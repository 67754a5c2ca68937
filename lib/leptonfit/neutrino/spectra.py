"""Expected spectra of each data set, from flux to recoil to detector, for weak and magnetic scattering.

The magnetic part is linear in θ = μ². Both parts are therefore computed once, from the same moments of the flux, and
give the spectrum for any μ. The unit of θ is (1e-11 μ_B)² everywhere.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.polynomial.legendre import leggauss
from scipy import constants

from leptonfit.datafiles import data_folder, read_checksums
from leptonfit.inference.result import Result
from leptonfit.neutrino import flux as fluxes
from leptonfit.neutrino import scattering
from leptonfit.neutrino.experiments import DEFAULT_CHOICES, Choices, Experiment, load_experiment, width
from leptonfit.neutrino.flux import Flux
from leptonfit.neutrino.response import quench_lindhard, respond_gaussian, respond_photoelectrons
from leptonfit.neutrino.sheets import load_fluxes, load_targets

MU_UNIT = 1e-11
"""Unit of μ in μ_B: θ = 1 corresponds to μ = 1e-11 μ_B."""
DAY = 86400.0
UNIT_STEP = 0.1
"""Relative change of a free background or flux for a pull of 1; it only sets the unit of the pull."""
_KEV, _PANELS = 1e-3, 80
_NODES, _WEIGHTS = leggauss(4)
_LEAST_RECOIL = 1e-3
"""Smallest nuclear recoil that is computed, as a fraction of the largest."""
_BEYOND = 8.0
"""Distance beyond the bins, in standard deviations, up to which recoils are included."""
_FINE = 20
"""Number of parts of each bin in which an efficiency of the measured energy is evaluated."""


@dataclass(frozen=True)
class SpectrumResult(Result):
    """Expected counts of a data set in its bins.

    Attributes
    ----------
    slug : str
    edges : ndarray (n_bins + 1,)
        Bin edges in the unit of the experiment.
    weak, magnetic : ndarray (n_bins,)
        Counts (rates for Super-Kamiokande) from weak scattering, and from a moment μ = 1e-11 μ_B.
    shifts : dict of ndarray (2, n_bins)
        Change of both if a nuisance parameter, for example energy scale or quenching, is one standard deviation higher.
    recoil : dict of ndarray (n,)
        Recoil energies, MeV, by channel.
    weak_rate, magnetic_rate : dict of ndarray (n,)
        Recoils per MeV over the whole exposure at these energies, before the detector response.
    """

    slug: str
    edges: np.ndarray
    weak: np.ndarray
    magnetic: np.ndarray
    shifts: dict[str, np.ndarray]
    recoil: dict[str, np.ndarray]
    weak_rate: dict[str, np.ndarray]
    magnetic_rate: dict[str, np.ndarray]


@dataclass(frozen=True)
class Signal:
    """Scattering that is added to weak scattering, at unit strength.

    Attributes
    ----------
    electron : callable
        Maps recoils (n,), MeV, and the flavours of a flux to coefficients (3, n) of dσ/dT on a free electron, as those
        in `scattering`.
    nucleus : callable
        Maps recoils (n,), a number of protons and a mass number to coefficients (3, n) of dσ/dT on a nucleus.
    unit : float
        Factor on both, for the unit of the strength.
    select : callable or None
        Maps a flux to the part of it that scatters so; None for all of it.
    """

    electron: Callable[[np.ndarray, Mapping[str, float]], np.ndarray]
    nucleus: Callable[[np.ndarray, int, float], np.ndarray]
    unit: float = 1.0
    select: Callable[[Flux], Flux] | None = None


def _magnetic(recoil: np.ndarray, flavours: Mapping[str, float]) -> np.ndarray:
    return scattering.magnetic(recoil)


MOMENT = Signal(_magnetic, scattering.magnetic_nucleus, MU_UNIT**2)
"""Magnetic scattering; its strength is θ."""


@dataclass(frozen=True)
class Atom:
    """Target atom of neutrino scattering.

    `shells` are (binding energy in MeV, number of electrons). `ratios` are (recoil in MeV, factor on the number of
    electrons), with linear interpolation between them and constant factors outside; empty for no correction.
    """

    n_protons: int
    mass_number: float
    shells: tuple[tuple[float, int], ...]
    n_outer: int
    ratios: tuple[tuple[float, float], ...] = ()

    def correct(self, recoil: np.ndarray) -> np.ndarray | float:
        """Factor (...) on the number of electrons at recoils (...), MeV."""
        return np.interp(recoil, *np.transpose(self.ratios)) if self.ratios else 1.0


def predict_spectrum(
    experiment: Experiment, *, data: Path | None = None, steps: bool = True, signal: Signal = MOMENT
) -> SpectrumResult:
    """Expected spectrum of a data set.

    With the atomic response `stepping`, bound electrons count only above their binding energy. With `rrpa`, rates on
    electrons of xenon are multiplied by the ratio of the relativistic random-phase approximation to the stepping
    approximation (J.-W. Chen et al., Phys. Lett. B 774, 656 (2017), arXiv:1610.04177). The ratio is known for weak
    scattering; its use for magnetic scattering is an approximation.

    Parameters
    ----------
    experiment : Experiment
    data : Path, optional
        Folder of the fluxes and atoms; by default that of the workbook.
    steps : bool
        Whether bound electrons count only above their binding energy; else all count.
    signal : Signal
        Scattering that takes the place of magnetic scattering in the result.

    Returns
    -------
    SpectrumResult
    """
    folder = data or data_folder()
    if experiment.parts:
        several = [predict_spectrum(part, data=data, steps=steps, signal=signal) for part in experiment.parts]
        return replace(
            several[0],
            slug=experiment.slug,
            edges=experiment.edges,
            weak=np.concatenate([one.weak for one in several]),
            magnetic=np.concatenate([one.magnetic for one in several]),
            shifts={
                f"{part.slug}: {name}": shift
                for part, one in zip(experiment.parts, several, strict=True)
                for name, shift in one.shifts.items()
            },
        )
    sources, atoms = load_sources(experiment, data=folder), _atoms(experiment, folder, steps)
    if experiment.background == "oscillated":
        return _predict_ratios(experiment, sources, atoms[0], signal)
    whole = {channel: _scatter(experiment, channel, sources, atoms, signal) for channel in experiment.channels}
    parts = [("", part, np.ones(experiment.n_bins)) for part in whole.values()]
    if any("branches" in one for one in experiment.declared.values()):
        parts = [
            (one.name, _scatter(experiment, "electron", [one], atoms, signal), np.ones(experiment.n_bins))
            for one in sources
        ]
    elif "arrival" in experiment.values:
        parts = [
            (one.name, _scatter(experiment, "nucleus", [one], atoms, signal), _share_of_time(experiment, one))
            for one in sources
        ]

    def respond(
        varied: Mapping[str, Any] | None = None, *, only: Sequence[str] = (), scale: float = 1.0, quenching: float = 1.0
    ) -> np.ndarray:
        changed = replace(experiment, values={**experiment.values, **(varied or {})})
        found = np.zeros((2, experiment.n_bins))
        for name, part, share in parts:
            if not only or name in only:
                found += share * part.in_detector(changed, scale=scale, quenching=quenching)
        if experiment.signal_column:
            weak = experiment.columns[experiment.signal_column]
            ratio = np.divide(found[1], found[0], out=np.zeros(len(weak)), where=found[0] > 0)
            found = np.stack([weak, weak * ratio])
        return found

    weak, magnetic = nominal = respond()
    shifts = {}
    for name, size in experiment.nuisances.items():
        entry = experiment.declared.get(name, {})
        step = UNIT_STEP if size is None else size
        if "up" in entry:
            down = respond(entry["down"]) if "down" in entry else 2 * nominal - respond(entry["up"])
            shifts[name] = step * (respond(entry["up"]) - down) / 2
        elif "branches" in entry:
            shifts[name] = step * respond(only=entry["branches"])
        elif "line" in entry:
            peak = respond_gaussian(
                np.array([entry["line"]]), experiment.energies, np.array(experiment.values["resolution"])
            )
            shifts[name] = np.stack([step * entry["counts"] * peak[:, 0], np.zeros(experiment.n_bins)])
        elif size and name == "energy_scale":
            shifts[name] = (respond(scale=1 + size) - respond(scale=1 - size)) / 2
        elif size and name == "quenching":
            shifts[name] = (respond(quenching=1 + size) - respond(quenching=1 - size)) / 2
    assert nominal.shape == (2, experiment.n_bins)
    return SpectrumResult(
        slug=experiment.slug,
        edges=experiment.edges,
        weak=weak,
        magnetic=magnetic,
        shifts=shifts,
        recoil={channel: part.recoil for channel, part in whole.items()},
        weak_rate={channel: part.rates[:, 0].sum(axis=0) for channel, part in whole.items()},
        magnetic_rate={channel: part.rates[:, 1].sum(axis=0) for channel, part in whole.items()},
    )


@dataclass(frozen=True)
class _Recoils:
    """Recoils of one channel: energies and weights (n,) of a quadrature, and rates (n_atoms, 2, n) per MeV."""

    channel: str
    atoms: tuple[Atom, ...]
    recoil: np.ndarray
    weights: np.ndarray
    rates: np.ndarray

    def in_detector(self, experiment: Experiment, *, scale: float = 1.0, quenching: float = 1.0) -> np.ndarray:
        """Weak and magnetic counts (2, n_bins) after the detector response."""
        atoms, weighted = self.atoms, self.rates * self.weights
        if self.channel == "electron" or "quenching" in experiment.values:  # the response to all atoms is the same
            atoms, weighted = atoms[:1], weighted.sum(axis=0, keepdims=True)
        total = np.zeros((2, len(experiment.edges) - 1))
        for atom, rates in zip(atoms, weighted, strict=True):
            total += rates @ _response(experiment, self.channel, atom, self.recoil, scale, quenching).T
        total = total[:, np.searchsorted(experiment.edges, experiment.columns["low"])]
        return total * experiment.columns.get("efficiency", 1.0) * experiment.columns.get("binning", 1.0)


def _response(
    experiment: Experiment, channel: str, atom: Atom, recoil: np.ndarray, scale: float, quenching: float
) -> np.ndarray:
    values = experiment.values
    if experiment.unit == "PE":
        x = recoil[:, None] ** np.arange(1, 1 + len(values["quenching"]))
        seen = quenching * np.maximum(x @ np.array(values["quenching"]), 0.0) / _KEV
        return values.get("time_efficiency", 1.0) * respond_photoelectrons(
            np.maximum(seen, 1e-9),
            experiment.edges,
            light_yield=values["light_yield"],
            spread=np.array(values["pe_spread"]),
            efficiency=np.array(values["efficiency"]),
        )
    energy = recoil / experiment.energy_unit
    if channel == "nucleus":
        if "quenching" in values:
            energy = quenching * energy * np.polynomial.polynomial.polyval(recoil, values["quenching"])
        else:
            energy = quench_lindhard(energy, atom.n_protons, values["lindhard_k"] * quenching)
    offset, slope = values.get("calibration", (0.0, 1.0))
    measured = np.maximum(offset + slope * energy, 0.0)
    resolution, edges = np.array(values["resolution"]), experiment.energies
    if "measured_efficiency" in values:
        fine = np.interp(np.arange(_FINE * (len(edges) - 1) + 1) / _FINE, np.arange(len(edges)), edges)
        counted = np.interp((fine[1:] + fine[:-1]) / 2, *np.transpose(values["measured_efficiency"]))
        shares = respond_gaussian(measured, fine, resolution, scale=scale) * counted[:, None]
        return shares.reshape(len(edges) - 1, _FINE, -1).sum(axis=1)
    shares = respond_gaussian(measured, edges, resolution, scale=scale)
    return (
        shares * np.interp(energy, *np.transpose(values["true_efficiency"])) if "true_efficiency" in values else shares
    )


def _scatter(
    experiment: Experiment, channel: str, sources: Sequence[Flux], atoms: Sequence[Atom], signal: Signal = MOMENT
) -> _Recoils:
    """Recoil rates over the exposure for every atom of the formula unit, on common quadrature nodes."""
    recoil, weights = _lay_nodes(experiment, channel, sources, atoms)
    unit_mass = sum(atom.mass_number for atom in atoms) * constants.atomic_mass  # kg
    exposure = (
        experiment.values["exposure_on"] * DAY if "exposure_on" in experiment.values else experiment.values["mass"]
    )
    rates = np.zeros((len(atoms), 2, len(recoil)))
    for i, atom in enumerate(atoms):
        mass = scattering.ELECTRON_MASS if channel == "electron" else atom.mass_number * scattering.DALTON
        least = scattering.least_energy(recoil, mass)
        moments = taken = np.stack([source.moments(least) for source in sources])
        if signal.select is not None:
            taken = np.stack([signal.select(source).moments(least) for source in sources])
        if channel == "electron":
            many = scattering.count_electrons(recoil, atom.shells, atom.n_outer) * atom.correct(recoil)
            weak = sum(
                many * np.sum(_weak_electron(recoil, source.flavours) * found, axis=0)
                for source, found in zip(sources, moments, strict=True)
            )
            laws = np.stack([signal.electron(recoil, source.flavours) for source in sources])
            magnetic = many * np.sum(laws * taken, axis=(0, 1))
        else:
            nucleus = recoil, atom.n_protons, atom.mass_number
            weak = np.sum(scattering.weak_nucleus(*nucleus) * moments, axis=(0, 1))
            magnetic = np.sum(signal.nucleus(*nucleus) * taken, axis=(0, 1))
        rates[i] = np.stack([weak, signal.unit * magnetic]) * exposure / unit_mass
    return _Recoils(channel, tuple(atoms), recoil, weights, rates)


def _weak_electron(recoil: np.ndarray, flavours: Mapping[str, float]) -> np.ndarray:
    shares = [share * scattering.weak_electron(recoil, *scattering.COUPLINGS[name]) for name, share in flavours.items()]
    return np.sum(shares, axis=0)


def _share_of_time(experiment: Experiment, source: Flux) -> np.ndarray:
    """Share (n_bins,) of the recoils from a source that is recorded in the range of time of each bin."""
    values, columns = experiment.values, experiment.columns
    times = np.stack([columns["time_low"], columns["time_high"]])
    (low, high), which = np.unique(times, axis=1, return_inverse=True)  # many bins have the same range
    shares = fluxes.share_of_time(low, high, source.name, arrival=values["arrival"], recorded=values["recorded"])
    return shares[which]


def _lay_nodes(
    experiment: Experiment, channel: str, sources: Sequence[Flux], atoms: Sequence[Atom]
) -> tuple[np.ndarray, np.ndarray]:
    """Recoil energies, MeV, and weights of a quadrature with panel edges at the steps of the spectra."""
    electron = channel == "electron"
    masses = [scattering.ELECTRON_MASS if electron else atom.mass_number * scattering.DALTON for atom in atoms]
    steps = [float(scattering.largest_recoil(source.largest_energy, mass)) for source in sources for mass in masses]
    high = max(steps)
    low = _LEAST_RECOIL * high
    if electron:
        ends, unit = experiment.energies[[0, -1]], experiment.energy_unit
        sigma = width(ends, np.array(experiment.values["resolution"]))
        offset, slope = experiment.values.get("calibration", (0.0, 1.0))
        reach = (ends + _BEYOND * sigma * np.array([-1, 1]) - offset) / slope
        low, high = max(reach[0], ends[0] / 20) * unit, min(reach[1] * unit, high)
        steps += [binding for atom in atoms for binding, _ in atom.shells]
    inside = [one for one in steps if low < one < high]
    edges = np.unique(np.concatenate([np.geomspace(low, high, _PANELS + 1), inside]))
    half = np.diff(edges)[:, None] / 2
    return (edges[:-1, None] + half * (1 + _NODES)).ravel(), (half * _WEIGHTS).ravel()


def _predict_ratios(experiment: Experiment, sources: Sequence[Flux], atom: Atom, signal: Signal) -> SpectrumResult:
    """Expected rates: published rates without oscillation, scaled by ratios of computed spectra.

    With r the ratio of smeared ν_μ to ν_e spectra and P the survival probability, oscillation leaves a fraction
    P + (1 − P) r of the rates. The ratio of magnetic to weak ν_e spectra gives the contribution of a moment.
    """
    (boron,) = (source for source in sources if source.name == "B8")
    pure = {flavour: replace(boron, flavours={flavour: 1.0}) for flavour in ("nu_e", "nu_mu")}
    whole = replace(experiment, values={**experiment.values, "exposure_on": 1.0})
    parts = {flavour: _scatter(whole, "electron", [source], [atom], signal) for flavour, source in pure.items()}
    oscillated = _scatter(whole, "electron", [boron], [atom], signal)
    unoscillated = experiment.columns["boron"] * experiment.values.get("boron_factor", 1.0)
    rates = unoscillated + experiment.columns["hep"]
    survival = boron.flavours["nu_e"]

    def respond(scale: float = 1.0) -> np.ndarray:
        electron, at_nominal = (parts["nu_e"].in_detector(whole, scale=one) for one in (scale, 1.0))
        muon = parts["nu_mu"].in_detector(whole, scale=scale)
        weak = rates * (survival * electron[0] + (1 - survival) * muon[0]) / at_nominal[0]
        added = oscillated.in_detector(whole, scale=scale)[1]
        return np.stack([weak, unoscillated * added / at_nominal[0]])

    weak, magnetic = respond()
    electron, muon = (parts[flavour].in_detector(whole)[0] for flavour in ("nu_e", "nu_mu"))
    lost = np.stack([survival * rates * (1 - muon / electron), np.zeros(experiment.n_bins)])
    shifts = {}
    for name, size in experiment.nuisances.items():
        step = UNIT_STEP if size is None else size
        if name == "energy_scale":
            shifts[name] = (respond(1 + step) - respond(1 - step)) / 2
        elif name in ("survival", "slope"):
            shifts[name] = step * lost * (experiment.tilt if name == "slope" else 1.0)
    return SpectrumResult(
        slug=experiment.slug,
        edges=experiment.edges,
        weak=weak,
        magnetic=magnetic,
        shifts=shifts,
        recoil={"electron": parts["nu_e"].recoil},
        weak_rate={"electron": survival * parts["nu_e"].rates[0, 0] + (1 - survival) * parts["nu_mu"].rates[0, 0]},
        magnetic_rate={"electron": oscillated.rates[0, 1]},
    )


def load_sources(experiment: Experiment, *, data: Path | None = None) -> list[Flux]:
    """Neutrino fluxes at the detector of a data set."""
    folder = data or data_folder()
    tables = _fluxes(folder, _digest("flux.toml", folder))
    if experiment.flux == "reactor":
        return [fluxes.reactor_flux(tables["reactor"], experiment.values["flux_total"])]
    if experiment.flux == "solar":
        factors = experiment.values.get("branch_factors")
        return fluxes.solar_fluxes(tables["solar"], model=experiment.solar_model, factors=factors)
    values = experiment.values
    area = 4 * math.pi * (100 * values["distance"]) ** 2
    return fluxes.pion_fluxes(values["per_proton"] * values["protons"] / area)


def _atoms(experiment: Experiment, folder: Path, steps: bool) -> list[Atom]:
    table = _targets(folder, _digest("targets.toml", folder))
    found = []
    for name in experiment.atoms:
        one = table[name]
        shells = tuple((binding * _KEV, electrons) for binding, electrons in one["shells"])
        if not steps:
            shells = tuple((0.0, electrons) for _, electrons in shells)
        known = one["rrpa"]["value"] if experiment.atomic_response == "rrpa" and "rrpa" in one else ()
        ratios = tuple((energy * _KEV, ratio) for energy, ratio in known)
        found.append(Atom(one["n_protons"], one["mass_number"], shells, one["n_outer"], ratios))
    return found


def _digest(name: str, folder: Path) -> str:
    return read_checksums(folder).get(f"neutrino/{name}", "")


@cache
def _fluxes(folder: Path, digest: str) -> Mapping[str, Any]:
    return load_fluxes(data=folder)


@cache
def _targets(folder: Path, digest: str) -> Mapping[str, Any]:
    return load_targets(data=folder)


def load_spectrum(
    slug: str, *, choices: Choices = DEFAULT_CHOICES, data: Path | None = None
) -> tuple[Experiment, SpectrumResult]:
    """Read a data set and compute its expected spectrum."""
    experiment = load_experiment(slug, choices=choices, data=data)
    return experiment, predict_spectrum(experiment, data=data)
