"""Readers for the claims of report NU838 and for the covariates of its extra terms, from the data folder."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import numpy as np

from leptonfit.datafiles import InputError, read_checked
from leptonfit.neutrino.experiments import SPECTRA
from leptonfit.neutrino.sheets import read_tables

COVARIATES = ("G_src", "delta_pi", "R_E", "U_env", "z", "xi")


def load_report(*, data: Path | None = None) -> dict[str, Any]:
    """Load all claims of the report from `report_838.toml`.

    Raises
    ------
    InputError
        If the file does not match its checksum.
    """
    report: dict[str, Any] = tomllib.loads(read_checked("report_838.toml", data=data).decode())
    return report


def load_covariates(*, data: Path | None = None) -> dict[str, np.ndarray]:
    """Load the covariates (6,) of each data set, in the order of `COVARIATES`.

    Raises
    ------
    InputError
        If a data set does not have exactly six covariates.
    """
    table = read_tables("covariates_838.toml", data=data)
    for slug in SPECTRA:
        if len(table.get(slug, [])) != len(COVARIATES):
            raise InputError(
                f"data file neutrino/covariates_838.toml: {slug} = {table.get(slug)}: must be "
                f"{len(COVARIATES)} numbers, {', '.join(COVARIATES)}"
            )
    return {slug: np.array(table[slug], dtype=float) for slug in SPECTRA}
