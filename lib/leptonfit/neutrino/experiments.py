"""Data sets with spectra, exposures and detector properties, read from `data/neutrino` and checked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from leptonfit.datafiles import InputError, read_toml
from leptonfit.inference.arguments import read_choice, read_count, read_instance, show
from leptonfit.inference.result import Result
from leptonfit.neutrino.flux import SOLAR_MODEL, SOLAR_MODELS
from leptonfit.neutrino.sheets import check_ascending, load_fluxes, load_published, load_targets, read_columns

SPECTRA = (
    "lz_ws2022",
    "lz_ws2024",
    "pandax4t_run1",
    "xenonnt",
    "xenon1t_sr1",
    "superk_1to4",
    "borexino_phase2",
    "coherent_csi",
    "coherent_lar",
)
"""Slugs of the measured data sets that the notebooks analyse by default; no two of them share events."""
PARTIAL = {
    "xenonnt_140kev": "xenonnt",
    "superk_1": "superk_1to4",
    "superk_2": "superk_1to4",
    "superk_3": "superk_1to4",
    "superk_4": "superk_1to4",
}
"""Further measured data sets, each with the data set in `SPECTRA` with which it shares events."""
SIMULATED = ("gemma", "texono", "conus", "borexino")
"""Slugs of the data sets with counts drawn from the forward model, which are no evidence (see `simulation`)."""
MEASURED = (*SPECTRA, *PARTIAL)
"""Slugs of all measured data sets."""
ALL_SPECTRA = (*MEASURED, *SIMULATED)
"""Slugs of all data sets that set a limit."""
RESPONSE = "response"
"""Slug of the calibration points, which set no limit."""
AXES = ("time_low", "time_high", "f90")
"""Columns of the variables other than energy in which a data set may be binned."""
ATOMIC_RESPONSES = ("stepping", "rrpa")
"""Ways to count bound electrons (see `predict_spectrum`)."""
SOLAR_FLUXES = ("measured", "loose", "model")
"""What is known about solar fluxes beforehand, in data sets that fit them."""
_TEXTS = ("title", "flavour_class", "moment", "mark", "flux", "statistics", "background", "unit", "published")


@dataclass(frozen=True)
class Choices(Result):
    """Choices in the models of the data sets that data do not make.

    Attributes
    ----------
    solar_model : str
        Solar model in `flux.toml` that gives the total fluxes, except where a data set has measured fluxes.
    solar_fluxes : str
        One of `SOLAR_FLUXES`, for data sets that fit solar fluxes: `measured` fluxes with the standard deviations of
        the data file, the same with `loose` standard deviations, or those of the solar `model` with its errors.
    atomic_response : str
        One of `ATOMIC_RESPONSES`.
    nuisances : tuple of str
        Optional nuisance parameters to use, in every data set that declares them.
    """

    solar_model: str = SOLAR_MODEL
    solar_fluxes: str = SOLAR_FLUXES[0]
    atomic_response: str = ATOMIC_RESPONSES[0]
    nuisances: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        read_choice("solar_model", self.solar_model, SOLAR_MODELS)
        read_choice("solar_fluxes", self.solar_fluxes, SOLAR_FLUXES)
        read_choice("atomic_response", self.atomic_response, ATOMIC_RESPONSES)
        for name in read_instance("nuisances", self.nuisances, tuple):
            read_instance("nuisances", name, str)


def read_slugs(slugs: Sequence[str]) -> list[str]:
    """Names of data sets that set limits, in the order of the workbook; `response`, which sets none, is left out.

    Raises
    ------
    TypeError, ValueError
        If they are no sequence of texts, or one is unknown.
    """
    if isinstance(slugs, str) or not isinstance(slugs, Sequence):
        raise TypeError(f"slugs = {show(slugs)}: must be a sequence of names of data sets")
    for slug in slugs:
        read_choice("slugs", slug, (*ALL_SPECTRA, RESPONSE))
    return [slug for slug in ALL_SPECTRA if slug in slugs]


DEFAULT_CHOICES = Choices()


@dataclass(frozen=True)
class Experiment:
    """One data set: a spectrum, its exposure and its detector.

    Attributes
    ----------
    slug, title : str
    flavour_class, moment : str
        Key of `FLAVOUR_CLASSES`, and the effective moment in words.
    mark : str
        "observed", or "simulated" if this workbook generated the counts.
    flux : str
        Kind of source: reactor, solar or pion.
    channels, atoms : tuple of str
        Recoiling particles (electron or nucleus), and keys of `targets.toml`.
    statistics, background : str
        Distribution of the counts, and kind of background.
    unit : str
        Unit of the bin edges.
    published : str
        Published limit to compare with, a row of `published_limits.csv`; empty if there is none.
    values : mapping
        Quantities by name, in the units of the data file.
    nuisances : mapping
        Relative standard deviation of each nuisance parameter in use; None where it is free.
    columns : mapping of ndarray (n_bins,)
        Bins in several variables are blocks of rows; each block has all bins in energy.
    declared : mapping
        Entries of all nuisance parameters in the data file, with those that are optional and not in use.
    components : tuple of str
        Columns with the expected counts of separate backgrounds; each may have a nuisance parameter of its name.
    adds_weak : bool
        Whether weak scattering is added to the background; else the background columns include it.
    signal_column : str
        Column with the published expectation of weak scattering, to which the computed ratio of magnetic to weak
        scattering is applied; empty if both are computed.
    solar_model : str
        Solar model in `flux.toml` that gives the total fluxes.
    atomic_response : str
        One of `ATOMIC_RESPONSES`.
    parts : tuple of Experiment
        Data sets of which this one consists; empty for a single data set.
    common : tuple of str
        Nuisance parameters that are the same parameter in all parts.
    departure : str
        Why the limit here departs from the published one; empty if nothing is known to make it.
    """

    slug: str
    title: str
    flavour_class: str
    moment: str
    mark: str
    flux: str
    channels: tuple[str, ...]
    atoms: tuple[str, ...]
    statistics: str
    background: str
    unit: str
    published: str
    values: Mapping[str, Any]
    nuisances: Mapping[str, float | None]
    columns: Mapping[str, np.ndarray]
    declared: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    components: tuple[str, ...] = ()
    adds_weak: bool = True
    signal_column: str = ""
    solar_model: str = SOLAR_MODEL
    atomic_response: str = ATOMIC_RESPONSES[0]
    parts: tuple[Experiment, ...] = ()
    common: tuple[str, ...] = ()
    departure: str = ""

    @property
    def is_observed(self) -> bool:
        """Whether the counts were measured."""
        return self.mark == "observed"

    @cached_property
    def edges(self) -> np.ndarray:
        """Bin edges in energy (n_edges,): n_bins + 1 for a data set with a single block of bins."""
        return np.append(np.unique(self.columns["low"]), self.columns["high"].max())

    @property
    def energies(self) -> np.ndarray:
        """Energy (n_edges,) of the bin edges, in MeV where these are in MeV, else in keV."""
        if self.unit == "PE":
            return self.edges / self.values["light_yield"]
        return np.polynomial.polynomial.polyval(self.edges, self.values.get("energy_of_hits", (0.0, 1.0)))

    @property
    def energy_unit(self) -> float:
        """Unit of `energies`, in MeV."""
        return 1.0 if self.unit == "MeV" else 1e-3

    @property
    def energies_kev(self) -> np.ndarray:
        """Energy (n_edges,) of the bin edges, keV."""
        return self.energies * self.energy_unit * 1e3

    @property
    def tilt(self) -> np.ndarray:
        """Linear function of energy (n_bins,): −1 at the middle of the first bin, 1 at the middle of the last bin.

        With a `pivot` (a, b) in the data file it is (E − a)/b at the middle of each bin.
        """
        middle = (self.columns["low"] + self.columns["high"]) / 2
        if "pivot" in self.values:
            centre, distance = self.values["pivot"]
            return (middle - centre) / distance
        return 2 * (middle - middle[0]) / (middle[-1] - middle[0]) - 1

    @property
    def n_bins(self) -> int:
        """Number of bins."""
        return len(self.columns["low"])

    @property
    def n_thresholds(self) -> int:
        """Number of possible thresholds: bin edges with at least two bins in energy above them."""
        return len(self.edges) - 2

    def merge_bins(self, sizes: Mapping[str, int]) -> Experiment:
        """Copy in which neighbouring bins are added up.

        Parameters
        ----------
        sizes : mapping of int
            Number of neighbouring bins that become one, by axis: `low` for energy, `time_low` or `f90`. The last bin of
            an axis may contain fewer.
        """
        table = pd.DataFrame(self.columns)
        axes = [*(name for name in ("time_low", "f90") if name in table), "low"]
        groups = [np.unique(table[name], return_inverse=True)[1] // sizes.get(name, 1) for name in axes]
        chosen = {"low": "min", "high": "max", "time_low": "min", "time_high": "max"}
        chosen |= dict.fromkeys(("f90", "efficiency", "binning"), "mean")
        merged = table.groupby(groups).agg({name: chosen.get(name, "sum") for name in table})
        return replace(self, columns={name: merged[name].to_numpy() for name in table})

    def with_nuisances(self, **sizes: float | None) -> Experiment:
        """Copy with other nuisance parameters, for example an optional one of the data file.

        Parameters
        ----------
        **sizes : float or None
            Relative standard deviation of each nuisance parameter named; None makes it free, 0 leaves it out.

        Raises
        ------
        InputError
            If the data file has no such nuisance parameter, or a standard deviation is negative.
        """
        if self.parts:
            for name in sizes.keys() - {name for part in self.parts for name in part.declared}:
                self._refuse_nuisance(name)
            parts = (
                part.with_nuisances(**{name: size for name, size in sizes.items() if name in part.declared})
                for part in self.parts
            )
            return replace(self, parts=tuple(parts))
        for name, size in sizes.items():
            if name not in self.declared:
                self._refuse_nuisance(name)
            if size is not None and size < 0:
                raise InputError(
                    f"data set {self.slug}: nuisance {name} = {size:g}: must be a number, 0 or more, or None"
                )
        kept = {name: size for name, size in {**self.nuisances, **sizes}.items() if size is None or size > 0}
        return replace(self, nuisances=kept)

    def choose(self, choices: Choices) -> Experiment:
        """Copy with the choices that concern this data set.

        The solar model concerns data sets with factors on its fluxes, which stand for measured fluxes, only if these
        are not used. Data sets whose background includes weak scattering fit no solar flux.
        """
        if self.parts:
            return replace(self, parts=tuple(part.choose(choices) for part in self.parts))
        chosen = {name: self.declared[name].get("value") for name in choices.nuisances if name in self.declared}
        for name, entry in self.declared.items():
            if choices.solar_fluxes in entry:
                size = entry[choices.solar_fluxes]
                chosen[name] = None if size == "free" else size
        values = dict(self.values)
        if choices.solar_fluxes == "model":
            values.pop("branch_factors", None)
        model = self.solar_model if "branch_factors" in values else choices.solar_model
        copy = replace(self, values=values, solar_model=model, atomic_response=choices.atomic_response)
        return copy.with_nuisances(**chosen)

    def _refuse_nuisance(self, name: str) -> None:
        known = sorted({one for part in (self, *self.parts) for one in part.declared})
        raise InputError(f"data set {self.slug}: nuisance {name}: must be one of {', '.join(known)}")


def check_independent(slugs: Sequence[str]) -> None:
    """Check that no two data sets share events, so that they can be joined.

    Raises
    ------
    InputError
        For the first two data sets that share events, or are the same.
    """
    for one, other in combinations(slugs, 2):
        if one == other or PARTIAL.get(one) == other or PARTIAL.get(other) == one:
            raise InputError(f"data sets {one} and {other} share events: a joint fit must use only one of them")


def load_experiment(
    slug: str, *, choices: Choices = DEFAULT_CHOICES, data: Path | None = None, merged: bool = True
) -> Experiment:
    """Read and check one data set.

    Parameters
    ----------
    slug : str
        One of `ALL_SPECTRA`.
    choices : Choices
    data : Path, optional
        Data folder; by default that of the workbook.
    merged : bool
        Whether bins are added up as the entry `merge` of the data file says; else all published bins are kept.

    Raises
    ------
    InputError
        If the data file is not valid; one line names the file, the fault, the value and the allowed values.
    """
    if not isinstance(slug, str) or slug not in ALL_SPECTRA:
        raise InputError(f"data set {slug}: must be one of {', '.join(ALL_SPECTRA)}")
    path = f"neutrino/{slug}.toml"
    tables = read_toml(path, data=data)
    if "parts" in tables:
        if slug in tables["parts"]:
            raise InputError(f"data file {path}: parts = {slug}: must be other data sets")
        parts = [load_experiment(part, choices=choices, data=data, merged=merged) for part in tables["parts"]]
        return _join_parts(slug, tables, parts)
    units = {tables["columns"][name]["unit"] for name in ("low", "high")}
    if units != {tables["unit"]}:
        raise InputError(
            f"data file {path}: unit of columns low and high = {', '.join(units)}: must be {tables['unit']}"
        )
    for name in sorted(set(tables["atoms"]) - load_targets(data=data).keys()):
        raise InputError(f"data file {path}: atoms = {name}: must be in targets.toml")
    if tables["published"] and tables["published"] not in set(load_published(data=data)["name"]):
        raise InputError(f"data file {path}: published = {tables['published']}: must be a name in published_limits.csv")
    columns = read_columns(slug, tables["columns"], data=data)
    _check_bins(f"neutrino/{slug}.csv", columns)
    is_column = tables["background"] == "column"
    components = tuple(tables.get("components", ("background",) if is_column else ()))
    signal_column = tables.get("signal_column", "")
    for name in {*components, *([signal_column] if signal_column else [])} - set(columns):
        raise InputError(f"data file {path}: components or signal_column = {name}: must be a column")
    values = _values(tables)
    _check_quantities(path, tables, values, data)
    experiment = Experiment(
        slug=slug,
        **{name: tables[name] for name in _TEXTS},
        channels=tuple(tables["channels"]),
        atoms=tuple(tables["atoms"]),
        values=values,
        nuisances={name: one.get("value") for name, one in tables["nuisances"].items() if not one.get("optional")},
        columns={str(name): columns[name].to_numpy() for name in columns},
        declared=tables["nuisances"],
        components=components,
        adds_weak=not is_column or tables.get("weak") == "added",
        signal_column=signal_column,
        departure=tables.get("departure", ""),
        solar_model=tables.get("solar_model", SOLAR_MODEL),
    ).choose(choices)
    if "resolution" in values and not (width(experiment.energies, np.array(values["resolution"])) > 0).all():
        raise InputError(f"data file {path}: resolution = {values['resolution']}: must be above 0 at every edge")
    return experiment.merge_bins(values["merge"]) if merged and "merge" in values else experiment


def _join_parts(slug: str, tables: Mapping[str, Any], parts: list[Experiment]) -> Experiment:
    """One data set from several, whose bins it has side by side."""
    path = f"neutrino/{slug}.toml"
    for part in parts[1:]:
        for name in ("flavour_class", "flux", "statistics", "background", "unit"):
            if getattr(part, name) != getattr(parts[0], name):
                raise InputError(
                    f"data file {path}: {name} of {part.slug} = {getattr(part, name)}: must be "
                    f"{getattr(parts[0], name)}, as that of the other parts"
                )
    for name in tables["common"]:
        if not all(name in part.nuisances for part in parts):
            raise InputError(f"data file {path}: common = {name}: must be a nuisance of every part")
    names = [name for name in parts[0].columns if all(name in part.columns for part in parts)]
    return replace(
        parts[0],
        slug=slug,
        **{name: tables[name] for name in ("title", "published")},
        mark="observed" if all(part.is_observed for part in parts) else "simulated",
        values={},
        nuisances={},
        columns={name: np.concatenate([part.columns[name] for part in parts]) for name in names},
        declared={},
        parts=tuple(parts),
        common=tuple(tables["common"]),
        departure=tables.get("departure", ""),
    )


def width(energy: np.ndarray, resolution: np.ndarray) -> np.ndarray:
    """Standard deviation (...) of the measured energy at energies E (...), in the same unit.

    It is a + b √E + c E + d E² + e E³; `resolution` (3,), (4,) or (5,) are a, b, c and, where given, d and e.
    """
    a, b, c, *more = resolution
    return a + b * np.sqrt(energy) + c * energy + sum(one * energy**power for power, one in enumerate(more, start=2))


def _values(tables: Mapping[str, Any]) -> dict[str, Any]:
    return {name: table["value"] for name, table in tables.items() if isinstance(table, dict) and "value" in table}


def _check_quantities(path: str, tables: Mapping[str, Any], values: Mapping[str, Any], data: Path | None) -> None:
    """Check that curves ascend, and that nuisances vary known quantities and known branches of the sun."""
    for name in ("true_efficiency", "measured_efficiency"):
        check_ascending(path, name, [energy for energy, _ in values.get(name, [])])
    branches = {
        f"nuisances.{name}.branches": one["branches"] for name, one in tables["nuisances"].items() if "branches" in one
    }
    branches["branch_factors"] = list(values.get("branch_factors", {}))
    known = load_fluxes(data=data)["solar"]["branch"].keys() if any(branches.values()) else set()
    for name, several in branches.items():
        for branch in sorted(set(several) - known):
            raise InputError(f"data file {path}: {name} = {branch}: must be one of {', '.join(known)}")
    for name, one in tables["nuisances"].items():
        for side in ("up", "down"):
            for quantity, varied in one.get(side, {}).items():
                nominal = values.get(quantity)
                if not isinstance(nominal, list) or len(nominal) != len(varied):
                    must = f"{len(nominal)} numbers" if isinstance(nominal, list) else "a list of numbers in this file"
                    raise InputError(f"data file {path}: nuisances.{name}.{side}.{quantity} = {varied}: must be {must}")


def _check_bins(path: str, columns: pd.DataFrame) -> None:
    """Check that the bins of the first block follow one another, and that all blocks have these bins."""
    axes = columns[[name for name in AXES if name in columns]].to_numpy()
    new = np.append(True, (np.diff(axes, axis=0) != 0).any(axis=1))  # True where a block begins
    block = columns[np.cumsum(new) == 1]
    _check_block(path, block)
    size = len(block)
    if len(columns) % size:
        raise InputError(f"data file {path}: {len(columns)} rows: must be blocks of {size} rows")
    for name in ("low", "high"):
        expected = np.resize(block[name], len(columns))
        for i in np.flatnonzero((columns[name] != expected) | (new != (np.arange(len(columns)) % size == 0))):
            raise InputError(
                f"data file {path}: {name} in row {i + 1} = {columns[name].iloc[i]:g}: must be that of the first "
                f"block, of {size} rows"
            )


def _check_block(path: str, columns: pd.DataFrame) -> None:
    low, high = columns["low"].to_numpy(), columns["high"].to_numpy()
    for i in range(len(low)):
        if not low[i] < high[i]:
            raise InputError(f"data file {path}: bin {i + 1} from {low[i]:g} to {high[i]:g}: must have low < high")
        if i and low[i] != high[i - 1]:
            fault = "overlaps" if low[i] < high[i - 1] else "leaves a gap to"
            before = f"{low[i - 1]:g} to {high[i - 1]:g}"
            raise InputError(
                f"data file {path}: bin {i + 1} from {low[i]:g} to {high[i]:g} {fault} {before}: "
                "bins must follow one another"
            )


@dataclass(frozen=True)
class ResponsePoints:
    """Simulated calibration points with errors in both variables.

    Attributes
    ----------
    title, mark : str
    values : mapping
        True values used in the simulation: `lindhard_k` and the energy `scale`.
    columns : mapping of ndarray (n_points,)
        `recoil` and `ionisation`, `line` and `measured`, each with its `_error`, in keV.
    """

    title: str
    mark: str
    values: Mapping[str, float]
    columns: Mapping[str, np.ndarray]

    def select(self, n_points: int | None) -> dict[str, np.ndarray]:
        """Columns of the first points, at least two; of all points if `n_points` is None."""
        if n_points is not None:
            read_count("n_points", n_points, lowest=2)
        return {name: column[:n_points] for name, column in self.columns.items()}


def load_response(*, data: Path | None = None) -> ResponsePoints:
    """Read the calibration points.

    Raises
    ------
    InputError
        As for `load_experiment`.
    """
    tables = read_toml(f"neutrino/{RESPONSE}.toml", data=data)
    columns = read_columns(RESPONSE, tables["columns"], data=data)
    return ResponsePoints(
        tables["title"], tables["mark"], _values(tables), {str(name): columns[name].to_numpy() for name in columns}
    )
