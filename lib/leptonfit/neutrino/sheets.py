"""Files of `data/neutrino`, read and checked: tables with their units, published limits, fluxes and atoms.

Every number there has a unit, a source and a mark: *observed* (published, checked against its source), *textbook*
(quoted from general knowledge) or *simulated* (made by this workbook).
"""

from __future__ import annotations

import io
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from leptonfit.datafiles import InputError, read_checked

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
    "background_factor": "1", "lindhard_k": "1", "scale": "1", "mass": "kg", "distance": "m",
    "protons": "protons on target", "per_proton": "neutrinos of each flavour per proton", "light_yield": "PE/keVee",
    "time_efficiency": "1", "quenching": "MeVee of x MeV: a polynomial without constant term",
    "pe_spread": "1; 1/keVee: shape of the gamma law at E_ee is a + b E_ee",
    "efficiency": "1; 1/PE; PE; 1: a/(1 + exp(-b (PE - c))) + d",
}  # fmt: skip
"""Units of quantities, which must be these."""
_FLUX_UNITS = {
    "flux": "cm-2 s-1", "survival": "1", "endpoint": "MeV", "line": "MeV", "energy": "MeV", "density": "MeV-1",
    "fraction": "1", "below_2_mev": "antineutrinos per fission per MeV",
    "coefficients": "antineutrinos per fission per MeV: exp of a polynomial in E/MeV, 2 to 8 MeV",
}  # fmt: skip
"""Units in the tables of fluxes."""


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
        known, leaf = (_FLUX_UNITS, name.rpartition(".")[2]) if path.endswith("flux.toml") else (_UNITS, name)
        required = known.get(leaf)
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
        if row.year != int(row.year):
            raise InputError(f"data file {path}: year in row {i + 1} = {row.year:g}: must be a whole number")
    if not len(table) or table["name"].duplicated().any():
        said = table["name"][table["name"].duplicated()].iloc[0] if len(table) else "no row"
        raise InputError(f"data file {path}: name = {said}: every row must have a name of its own, and one at least")
    for flavour, group in table.groupby("flavour_class"):
        if group["confidence"].nunique() > 1:
            several = ", ".join(f"{one:g}" for one in group["confidence"].unique())
            raise InputError(
                f"data file {path}: confidence of {flavour} limits = {several}: must be one for all of a class"
            )
    table["year"] = table["year"].astype(int)
    table["disputed"] = table["disputed"] == "yes"
    return table


def load_fluxes(*, data: Path | None = None) -> dict[str, Any]:
    """Tables of `flux.toml`: `reactor` and `solar`.

    Raises
    ------
    InputError
        If a flux, a fraction or a density is negative, an endpoint or line not above 0, or tables differ in length.
    """
    path = "neutrino/flux.toml"
    tables = read_tables("flux.toml", data=data)

    def refuse(name: str, value: object, allowed: str) -> None:
        raise InputError(f"data file {path}: {name} = {value}: must be {allowed}")

    try:
        reactor, solar = tables["reactor"], tables["solar"]["branch"]
        knots = reactor["energy"]["value"]
        if not (np.diff(knots) > 0).all():
            refuse("reactor.energy", knots, "ascending")
        for name, isotope in reactor["isotope"].items():
            if not 0 <= isotope["fraction"]["value"] <= 1:
                refuse(f"reactor.isotope.{name}.fraction", isotope["fraction"]["value"], "from 0 to 1")
            below = isotope["below_2_mev"]["value"]
            if len(below) != len(knots) or min(below) < 0:
                refuse(f"reactor.isotope.{name}.below_2_mev", below, f"{len(knots)} numbers, 0 or more")
            if len(isotope["coefficients"]["value"]) != 6:
                refuse(f"reactor.isotope.{name}.coefficients", isotope["coefficients"]["value"], "6 numbers")
        for name, branch in solar.items():
            if not branch["flux"]["value"] > 0:
                refuse(f"solar.branch.{name}.flux", branch["flux"]["value"], "above 0")
            if not 0 <= branch["survival"]["value"] <= 1:
                refuse(f"solar.branch.{name}.survival", branch["survival"]["value"], "from 0 to 1")
            for key in ("endpoint", "line"):
                if key in branch and not branch[key]["value"] > 0:
                    refuse(f"solar.branch.{name}.{key}", branch[key]["value"], "above 0")
            if "density" in branch and (
                min(branch["density"]["value"]) < 0 or len(branch["density"]["value"]) != len(branch["energy"]["value"])
            ):
                refuse(f"solar.branch.{name}.density", branch["density"]["value"], "one number, 0 or more, an energy")
        _ = solar["B8"], [reactor["capture"][key] for key in ("per_fission", "endpoints")]
    except KeyError as error:
        raise InputError(f"data file {path}: {error.args[0]} is missing") from None
    return tables


def load_targets(*, data: Path | None = None) -> dict[str, Any]:
    """Atoms of `targets.toml`.

    Raises
    ------
    InputError
        If an atom lacks something, or its shells do not hold as many electrons as it has protons.
    """
    path = "neutrino/targets.toml"
    atoms: dict[str, Any] = read_tables("targets.toml", data=data).get("atom", {})
    for name, atom in atoms.items():
        for key in ("n_protons", "mass_number", "shells", "n_outer"):
            if key not in atom:
                raise InputError(f"data file {path}: atom.{name} has no {key}")
        held = atom["n_outer"] + sum(n for _, n in atom["shells"])
        if held != atom["n_protons"]:
            raise InputError(f"data file {path}: atom.{name} holds {held} electrons: must be {atom['n_protons']}")
        if not atom["unit"].startswith("mass number u") or (atom["shells"] and "shells keV" not in atom["unit"]):
            raise InputError(
                f"data file {path}: unit of atom.{name} = {atom['unit']}: must be mass number u; shells keV"
            )
    return atoms
