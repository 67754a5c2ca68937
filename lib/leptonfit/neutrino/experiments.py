"""The data sets: spectra, exposures and what is known of the detectors, read from `data/neutrino` and checked.

Every number there has a unit, a source and a mark: *observed* (published, checked against its source), *textbook*
(quoted from general knowledge) or *simulated* (made by this workbook).
"""

from __future__ import annotations

import io
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from leptonfit.datafiles import InputError, read_checked

SPECTRA = ("gemma", "texono", "conus", "borexino", "superk", "coherent", "xenonnt")
"""Slugs of the data sets that set a limit."""
RESPONSE = "response"
"""Slug of the calibration points, which set none."""
SLUGS = (*SPECTRA, RESPONSE)
MARKS = ("observed", "simulated", "textbook")
FLAVOUR_CLASSES = {
    "reactor": "ν̄_e of reactors",
    "solar": "solar mixture",
    "stopped_pion": "ν_μ, ν̄_μ and ν_e of stopped pions",
    "accelerator_numu": "ν_μ of accelerators",
    "accelerator_nutau": "ν_τ of accelerators",
}
"""Whose effective moment a limit is on: these are not the same quantity."""

_UNITS = {
    "flux_total": "cm-2 s-1", "exposure_on": "kg d", "exposure_off": "kg d", "background_rate": "counts/(kg d keV)",
    "background_factor": "1", "lindhard_k": "1", "mass": "kg", "distance": "m", "protons": "protons on target",
    "per_proton": "neutrinos of each flavour per proton", "light_yield": "PE/keVee", "time_efficiency": "1",
}  # fmt: skip
_COUNTS = ("on", "off", "counts", "coincidence", "anticoincidence")
_CHOICES = {
    "flavour_class": tuple(FLAVOUR_CLASSES),
    "mark": MARKS[:2],
    "flux": ("reactor", "solar", "pion"),
    "statistics": ("poisson", "gaussian"),
    "background": ("on_off", "flat", "column", "oscillated", "anticoincidence"),
    "unit": ("keV", "MeV", "PE"),
}
_COLUMNS = {
    "on_off": ("on", "off"), "flat": ("counts",), "column": ("counts", "background", "efficiency"),
    "oscillated": ("rate", "error", "boron", "hep"), "anticoincidence": ("coincidence", "anticoincidence"),
}  # fmt: skip
"""Columns beside the bins' edges, by how the background is known."""


@dataclass(frozen=True)
class Experiment:
    """One spectrum.

    Attributes
    ----------
    slug, title : str
    flavour_class, moment : str
        Key of `FLAVOUR_CLASSES`, and whose effective moment it is in words.
    mark : str
        "observed", or "simulated" where the counts are this workbook's own.
    flux : str
        Kind of source: reactor, solar or pion.
    channels, atoms : tuple of str
        What recoils, electron or nucleus; keys of `targets.toml`.
    statistics, background : str
        How counts scatter, and how the background is known.
    unit : str
        Of the bins.
    published : str
        The published limit it stands beside, a row of `published_limits.csv`; empty where there is none.
    values : mapping
        Quantities by name, in the units of the data file.
    nuisances : mapping
        Standard deviation of each, relative; None where it is free.
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
        """Whether somebody measured it."""
        return self.mark == "observed"

    @property
    def edges(self) -> np.ndarray:
        """Bin edges (n_bins + 1,)."""
        return np.append(self.columns["low"], self.columns["high"][-1])

    @property
    def n_bins(self) -> int:
        """Number of bins."""
        return len(self.columns["low"])


def read_tables(name: str, *, data: Path | None = None) -> dict[str, Any]:
    """A TOML file of `data/neutrino`, each of its quantities checked for unit, source and mark.

    Raises
    ------
    InputError
        Naming the file, the quantity and what it lacks.
    """
    path = f"neutrino/{name}"
    try:
        tables = tomllib.loads(read_checked(path, data=data).decode())
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"data file {path}: must be TOML: {error}") from None
    _check_quantities(path, "", tables)
    return tables


def _check_quantities(path: str, name: str, table: Mapping[str, Any]) -> None:
    if name and not any(isinstance(inner, dict) for inner in table.values()):
        for key in ("unit", "source", "mark"):
            if not isinstance(table.get(key), str) or not table[key]:
                raise InputError(f"data file {path}: {name} has no {key}: every number needs one")
        if table["mark"] not in MARKS:
            raise InputError(f"data file {path}: mark of {name} = {table['mark']}: must be one of {', '.join(MARKS)}")
        required = _UNITS.get(name)
        if required and table["unit"] != required:
            raise InputError(f"data file {path}: unit of {name} = {table['unit']}: must be {required}")
        if "value" in table:
            number = np.array(table["value"], dtype=object).ravel()
            if not all(isinstance(one, int | float) and np.isfinite(one) for one in number):
                raise InputError(f"data file {path}: {name} = {table['value']}: must be a number")
        return
    for key, inner in table.items():
        if isinstance(inner, dict):
            _check_quantities(path, f"{name}.{key}" if name else key, inner)


def read_columns(stem: str, tables: Mapping[str, Any], *, data: Path | None = None) -> pd.DataFrame:
    """The CSV beside a TOML file, its columns those the TOML describes.

    Raises
    ------
    InputError
        If a column is not described or missing, or a number not one.
    """
    path = f"neutrino/{stem}.csv"
    described = list(tables.get("columns", {}))
    try:
        table = pd.read_csv(io.BytesIO(read_checked(path, data=data)), dtype=str, keep_default_na=False)
    except (pd.errors.ParserError, pd.errors.EmptyDataError, UnicodeDecodeError) as error:
        raise InputError(f"data file {path}: must be CSV: {error}") from None
    for name in sorted(set(table.columns) ^ set(described)):
        where = f"described in {stem}.toml" if name in table.columns else "in the file"
        raise InputError(f"data file {path}: column {name} must be {where}")
    for name in described:
        if tables["columns"][name]["unit"] == "text":
            continue
        numbers = pd.to_numeric(table[name], errors="coerce")
        wrong = np.flatnonzero(~np.isfinite(numbers))
        if len(wrong):
            found = table[name].iloc[wrong[0]]
            raise InputError(f"data file {path}: {name} in row {wrong[0] + 1} = {found or 'nothing'}: must be a number")
        table[name] = numbers.astype(float)
    return table


def load_experiment(slug: str, *, data: Path | None = None) -> Experiment:
    """Read one data set.

    Parameters
    ----------
    slug : str
        One of `SPECTRA`.
    data : Path, optional
        Data folder; the workbook's where not given.

    Raises
    ------
    InputError
        One line: the file, what is wrong in it, its value and what is allowed.
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
    nuisances: dict[str, float | None] = {}
    for name, table in tables["nuisances"].items():
        sigma = table.get("value", 0.0)
        if not table.get("free") and not sigma > 0:
            raise InputError(f"data file {path}: nuisances.{name} = {sigma}: must be above 0, or free = true")
        nuisances[name] = None if table.get("free") else sigma
    columns = read_columns(slug, tables, data=data)
    _check_bins(f"neutrino/{slug}.csv", columns, ("low", "high", *_COLUMNS[tables["background"]]))
    return Experiment(
        slug=slug,
        **{name: tables[name] for name in ("title", "moment", "published", *_CHOICES)},
        channels=tuple(tables["channels"]),
        atoms=tuple(tables["atoms"]),
        values={name: table["value"] for name, table in tables.items() if isinstance(table, dict) and "value" in table},
        nuisances=nuisances,
        columns={str(name): columns[name].to_numpy() for name in columns},
    )


def _check_bins(path: str, columns: pd.DataFrame, required: tuple[str, ...]) -> None:
    for name in required:
        if name not in columns:
            raise InputError(f"data file {path}: column {name} is missing")
    low, high = columns["low"].to_numpy(), columns["high"].to_numpy()
    for i in range(len(low)):
        if not low[i] < high[i]:
            raise InputError(f"data file {path}: bin {i + 1} from {low[i]:g} to {high[i]:g}: must have low < high")
        if i and low[i] != high[i - 1]:
            fault = "overlaps" if low[i] < high[i - 1] else "leaves a gap to"
            before = f"{low[i - 1]:g} to {high[i - 1]:g}"
            raise InputError(f"data file {path}: bin {i + 1} from {low[i]:g} to {high[i]:g} {fault} {before}: "
                             "bins must follow one another")  # fmt: skip
    if len(low) < 2:
        raise InputError(f"data file {path}: {len(low)} bins: must be at least 2")
    for name in _COUNTS:
        for i, count in enumerate(columns.get(name, [])):
            if count < 0 or count != round(count):
                raise InputError(f"data file {path}: {name} in bin {i + 1} = {count:g}: must be a count, 0 or more")
    for name in ("error", "background", "boron"):
        for i, value in enumerate(columns.get(name, [])):
            if not value > 0:
                raise InputError(f"data file {path}: {name} in bin {i + 1} = {value:g}: must be above 0")
    for i, value in enumerate(columns.get("efficiency", [])):
        if not 0 <= value <= 1:
            raise InputError(f"data file {path}: efficiency in bin {i + 1} = {value:g}: must be from 0 to 1")


@dataclass(frozen=True)
class ResponsePoints:
    """Calibration points with errors in both variables, simulated.

    Attributes
    ----------
    title, mark : str
    values : mapping
        What they were drawn with: `lindhard_k` and the energy `scale`.
    columns : mapping of ndarray (n_points,)
        recoil, ionisation and line, measured, each with its `_error`, keV.
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


def load_published(*, data: Path | None = None) -> pd.DataFrame:
    """Published limits: name, experiment, flavour_class, year, limit (1e-11 μ_B), confidence, disputed, mark, source.

    Raises
    ------
    InputError
        As for `load_experiment`; and if a flavour class, a mark or a confidence is not allowed.
    """
    stem, path = "published_limits", "neutrino/published_limits.csv"
    table = read_columns(stem, read_tables(f"{stem}.toml", data=data), data=data)
    for name, allowed in (("flavour_class", tuple(FLAVOUR_CLASSES)), ("mark", MARKS), ("disputed", ("yes", "no"))):
        for i, value in enumerate(table[name]):
            if value not in allowed:
                raise InputError(f"data file {path}: {name} in row {i + 1} = {value or 'nothing'}: "
                                 f"must be one of {', '.join(allowed)}")  # fmt: skip
    for i, row in enumerate(table.itertuples()):
        if not row.limit > 0:
            raise InputError(f"data file {path}: limit in row {i + 1} = {row.limit:g}: must be above 0")
        if not 0.5 < row.confidence < 1:
            raise InputError(f"data file {path}: confidence in row {i + 1} = {row.confidence:g}: "
                             "must be above 0.5 and below 1")  # fmt: skip
        if not row.source:
            raise InputError(f"data file {path}: row {i + 1} has no source")
    table["year"] = table["year"].astype(int)
    table["disputed"] = table["disputed"] == "yes"
    return table


def load_all(*, data: Path | None = None) -> tuple[dict[str, Experiment], ResponsePoints]:
    """Every spectrum by slug, and the calibration points.

    Raises
    ------
    InputError
        For the first thing that is not as it must be.
    """
    return {slug: load_experiment(slug, data=data) for slug in SPECTRA}, load_response(data=data)
