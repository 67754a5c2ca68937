"""Data sets with spectra, exposures and detector properties, read from `data/neutrino` and checked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from leptonfit.datafiles import InputError, read_toml
from leptonfit.neutrino.sheets import load_fluxes, load_published, load_targets, read_columns

SPECTRA = ("gemma", "texono", "conus", "borexino", "superk", "coherent", "xenonnt")
"""Slugs of the data sets that set a limit."""
RESPONSE = "response"
"""Slug of the calibration points, which set no limit."""
SLUGS = (*SPECTRA, RESPONSE)
_TEXTS = ("title", "flavour_class", "moment", "mark", "flux", "statistics", "background", "unit", "published")


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
    tables = read_toml(path, data=data)
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
    values = _values(tables)
    if "resolution" in values:
        a, b, c = values["resolution"]
        edges = np.append(columns["low"], columns["high"].iloc[-1])
        if not (a + b * np.sqrt(edges) + c * edges > 0).all():
            raise InputError(f"data file {path}: resolution = {values['resolution']}: must be above 0 at every edge")
    return Experiment(
        slug=slug,
        **{name: tables[name] for name in _TEXTS},
        channels=tuple(tables["channels"]),
        atoms=tuple(tables["atoms"]),
        values=values,
        nuisances={name: one.get("value") for name, one in tables["nuisances"].items()},
        columns={str(name): columns[name].to_numpy() for name in columns},
    )


def _values(tables: Mapping[str, Any]) -> dict[str, Any]:
    return {name: table["value"] for name, table in tables.items() if isinstance(table, dict) and "value" in table}


def _check_bins(path: str, columns: pd.DataFrame) -> None:
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


def load_all(*, data: Path | None = None) -> tuple[dict[str, Experiment], ResponsePoints]:
    """All data sets by slug, and the calibration points; fluxes and published limits are checked as well.

    Raises
    ------
    InputError
        For the first entry that is not valid.
    """
    load_fluxes(data=data)
    return {slug: load_experiment(slug, data=data) for slug in SPECTRA}, load_response(data=data)
