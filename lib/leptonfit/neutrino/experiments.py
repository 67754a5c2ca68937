"""Data sets with spectra, exposures and detector properties, read from `data/neutrino` and checked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from leptonfit.datafiles import InputError
from leptonfit.neutrino.sheets import (
    FLAVOUR_CLASSES,
    MARKS,
    load_fluxes,
    load_published,
    load_targets,
    read_columns,
    read_tables,
)

SPECTRA = ("gemma", "texono", "conus", "borexino", "superk", "coherent", "xenonnt")
"""Slugs of the data sets that set a limit."""
RESPONSE = "response"
"""Slug of the calibration points, which set no limit."""
SLUGS = (*SPECTRA, RESPONSE)
_SIZES = {"resolution": 3, "quenching": 4, "pe_spread": 2, "efficiency": 4}
"""Number of values in a quantity; every other quantity is a single number above zero."""
_CHOICES = {
    "flavour_class": tuple(FLAVOUR_CLASSES),
    "mark": MARKS[:2],
    "flux": ("reactor", "solar", "pion"),
    "statistics": ("poisson", "gaussian"),
    "background": ("on_off", "flat", "column", "oscillated", "anticoincidence"),
    "unit": ("keV", "MeV", "PE"),
}
_CHANNELS = ("electron", "nucleus")
_REQUIRED = {
    "on_off": ("exposure_on", "exposure_off", "background_rate", "background_factor", "resolution"),
    "flat": ("exposure_on", "background_rate", "background_factor", "resolution"),
    "column": ("exposure_on", "resolution"),
    "oscillated": ("resolution",),
    "anticoincidence": (
        "mass",
        "distance",
        "protons",
        "per_proton",
        "light_yield",
        "quenching",
        "pe_spread",
        "efficiency",
        "time_efficiency",
    ),
}
"""Required quantities, by the kind of background."""
_COLUMNS = {
    "on_off": {"on": "counts", "off": "counts"},
    "flat": {"counts": "counts"},
    "column": {"counts": "counts", "background": "counts", "efficiency": "1"},
    "oscillated": dict.fromkeys(("rate", "error", "boron", "hep"), "counts/(kt y)"),
    "anticoincidence": {"coincidence": "counts", "anticoincidence": "counts"},
}
"""Required columns beside the bin edges, with their units, by the kind of background."""
_COUNTS = ("on", "off", "counts", "coincidence", "anticoincidence")
_MOST = 1e9
"""Largest allowed number of counts in a bin."""
_ABOVE_ZERO = ("error", "background", "boron")


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
        Relative standard deviation of each nuisance parameter; None where it is free.
    columns : mapping of ndarray (n_bins,)
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

    @property
    def is_observed(self) -> bool:
        """Whether the counts were measured."""
        return self.mark == "observed"

    @property
    def edges(self) -> np.ndarray:
        """Bin edges (n_bins + 1,)."""
        return np.append(self.columns["low"], self.columns["high"][-1])

    @property
    def tilt(self) -> np.ndarray:
        """Linear function of energy (n_bins,): −1 at the middle of the first bin, 1 at the middle of the last bin."""
        middle = (self.columns["low"] + self.columns["high"]) / 2
        return 2 * (middle - middle[0]) / (middle[-1] - middle[0]) - 1

    @property
    def n_bins(self) -> int:
        """Number of bins."""
        return len(self.columns["low"])


def load_experiment(slug: str, *, data: Path | None = None) -> Experiment:
    """Read and check one data set.

    Parameters
    ----------
    slug : str
        One of `SPECTRA`.
    data : Path, optional
        Data folder; by default that of the workbook.

    Raises
    ------
    InputError
        If the data file is not valid; one line names the file, the fault, the value and the allowed values.
    """
    if slug not in SPECTRA:
        raise InputError(f"data set {slug}: must be one of {', '.join(SPECTRA)}")
    path = f"neutrino/{slug}.toml"
    tables = read_tables(f"{slug}.toml", data=data)
    for name, allowed in _CHOICES.items():
        if tables.get(name) not in allowed:
            raise InputError(f"data file {path}: {name} = {tables.get(name)}: must be one of {', '.join(allowed)}")
    for name in ("title", "moment", "published", "channels", "atoms", "nuisances"):
        if name not in tables:
            raise InputError(f"data file {path}: {name} is missing")
    _check_set_up(path, tables, load_targets(data=data))
    nuisances: dict[str, float | None] = {}
    for name, table in tables["nuisances"].items():
        free, sigma = table.get("free", False), table.get("value", 0.0)
        if not isinstance(free, bool) or not (free or sigma > 0):
            said = table.get("free") if "free" in table else sigma
            raise InputError(f"data file {path}: nuisances.{name} = {said}: must be above 0, or free = true")
        nuisances[name] = None if free else sigma
    columns = read_columns(slug, tables, data=data)
    units = {"low": tables["unit"], "high": tables["unit"], **_COLUMNS[tables["background"]]}
    for name, unit in units.items():
        if name not in columns:
            raise InputError(f"data file neutrino/{slug}.csv: column {name} is missing")
        if (found := tables["columns"][name]["unit"]) != unit:
            raise InputError(f"data file {path}: unit of column {name} = {found}: must be {unit}")
    _check_bins(f"neutrino/{slug}.csv", columns)
    values = {name: table["value"] for name, table in tables.items() if isinstance(table, dict) and "value" in table}
    _check_resolution(path, values, np.append(columns["low"], columns["high"].iloc[-1]))
    if tables["published"] and tables["published"] not in set(load_published(data=data)["name"]):
        raise InputError(f"data file {path}: published = {tables['published']}: must be a name in published_limits.csv")
    return Experiment(
        slug=slug,
        **{name: tables[name] for name in ("title", "moment", "published", *_CHOICES)},
        channels=tuple(tables["channels"]),
        atoms=tuple(tables["atoms"]),
        values=values,
        nuisances=nuisances,
        columns={str(name): columns[name].to_numpy() for name in columns},
    )


def _check_set_up(path: str, tables: Mapping[str, Any], targets: Mapping[str, Any]) -> None:
    """Check that channels, atoms and quantities match the background, the unit and the flux."""
    for name, allowed in (("channels", _CHANNELS), ("atoms", tuple(targets))):
        wrong = [one for one in tables[name] if one not in allowed] or ([] if tables[name] else ["none"])
        if wrong:
            raise InputError(f"data file {path}: {name} = {wrong[0]}: must be one of {', '.join(allowed)}")
    background = tables["background"]
    expected = "gaussian" if background == "oscillated" else "poisson"
    if tables["statistics"] != expected:
        said = f"statistics = {tables['statistics']}: must be {expected} where the background is {background}"
        raise InputError(f"data file {path}: {said}")
    required = [*_REQUIRED[background], *(["flux_total"] if tables["flux"] == "reactor" else [])]
    if "nucleus" in tables["channels"] and tables["unit"] == "keV":
        required.append("lindhard_k")
    for name in required:
        if name not in tables:
            raise InputError(f"data file {path}: {name} is missing")
        value, size = tables[name]["value"], _SIZES.get(name)
        if size is None and not (isinstance(value, int | float) and value > 0):
            raise InputError(f"data file {path}: {name} = {value}: must be a number above 0")
        if size is not None and np.shape(value) != (size,):
            raise InputError(f"data file {path}: {name} = {value}: must be {size} numbers")
    asked = {"oscillated": ("energy_scale", "survival", "slope"), "anticoincidence": ("bins",)}.get(background, ())
    for name in asked:
        if name not in tables["nuisances"]:
            raise InputError(f"data file {path}: nuisances.{name} is missing")


def _check_resolution(path: str, values: Mapping[str, Any], edges: np.ndarray) -> None:
    if "resolution" in values:
        a, b, c = values["resolution"]
        if not (a + b * np.sqrt(edges) + c * edges > 0).all():
            raise InputError(f"data file {path}: resolution = {values['resolution']}: must be above 0 at every edge")


def _check_bins(path: str, columns: pd.DataFrame) -> None:
    low, high = columns["low"].to_numpy(), columns["high"].to_numpy()
    if len(low) < 2:
        raise InputError(f"data file {path}: {len(low)} bins: must be at least 2")
    if not low[0] > 0:
        raise InputError(f"data file {path}: bin 1 from {low[0]:g}: must begin above 0")
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
    for name in columns:
        for i, value in enumerate(columns[name]):
            if name in _COUNTS:
                right, allowed = 0 <= value <= _MOST and value == round(value), "a count, 0 or more"
            elif name == "efficiency":
                right, allowed = 0 <= value <= 1, "from 0 to 1"
            elif name in _ABOVE_ZERO:
                right, allowed = value > 0, "above 0"
            else:
                right, allowed = value >= 0, "0 or more"
            if not right:
                raise InputError(f"data file {path}: {name} in bin {i + 1} = {value:g}: must be {allowed}")


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


def load_response(*, data: Path | None = None) -> ResponsePoints:
    """Read the calibration points.

    Raises
    ------
    InputError
        As for `load_experiment`; and if an error is not above 0.
    """
    tables = read_tables(f"{RESPONSE}.toml", data=data)
    columns = read_columns(RESPONSE, tables, data=data)
    for name in columns:
        if not (columns[name] > 0).all():
            worst = columns[name].min()
            raise InputError(f"data file neutrino/{RESPONSE}.csv: {name} = {worst:g}: must be above 0")
    values = {name: table["value"] for name, table in tables.items() if isinstance(table, dict) and "value" in table}
    return ResponsePoints(
        tables["title"], tables["mark"], values, {str(name): columns[name].to_numpy() for name in columns}
    )


def load_all(*, data: Path | None = None) -> tuple[dict[str, Experiment], ResponsePoints]:
    """All data sets by slug, and the calibration points; fluxes and published limits are checked as well.

    Raises
    ------
    InputError
        For the first entry that is not valid.
    """
    load_fluxes(data=data)
    return {slug: load_experiment(slug, data=data) for slug in SPECTRA}, load_response(data=data)
