"""Readers for the claims of report NU838 and for the covariates of its extra terms, from the data folder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from leptonfit.claims.claim import check_ranges, check_sentences
from leptonfit.datafiles import read_toml
from leptonfit.neutrino.experiments import SPECTRA

COVARIATES = ("G_src", "delta_pi", "R_E", "U_env", "z", "xi")


def load_report(*, data: Path | None = None) -> dict[str, Any]:
    """Load all claims of the report from `report_838.toml`.

    Raises
    ------
    InputError
        If the file is not valid.
    """
    name = "report_838.toml"
    report = read_toml(name, data=data)
    check_sentences(name, report)
    check_ranges(name, report, ("prior", "threshold_kevee"))
    return report


def load_covariates(*, data: Path | None = None) -> dict[str, np.ndarray]:
    """Load the covariates (6,) of each data set, in the order of `COVARIATES`.

    Raises
    ------
    InputError
        If the file is not valid.
    """
    table = read_toml("neutrino/covariates_838.toml", data=data)
    return {slug: np.array(table[slug], dtype=float) for slug in SPECTRA}
