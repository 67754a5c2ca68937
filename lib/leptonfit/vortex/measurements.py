"""Measured masses and g-factors to which the vortex model is fitted."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from leptonfit.datafiles import InputError, read_toml

QUANTITIES = ("m_e", "m_mu", "m_tau", "g_e", "g_mu")
"""Order of the measured quantities everywhere: three masses (units of m_e), then two g-factors (magnitudes)."""
SETS = ("report_2025", "codata_2022")


@dataclass(frozen=True)
class Measurements:
    """One set of measurements.

    Attributes
    ----------
    name, title, note : str
        Key and description of the set.
    values : ndarray (5,)
        In the order of `QUANTITIES`: masses in m_e, g dimensionless.
    covariance : ndarray (5, 5)
        Experimental covariance, in products of the same units. It is zero for m_e, which is the unit of mass.
    sources : tuple of str
        Source of each value.
    """

    name: str
    title: str
    note: str
    values: np.ndarray
    covariance: np.ndarray
    sources: tuple[str, ...]


def load_measurements(name: str, *, data: Path | None = None) -> Measurements:
    """Read one set from `charged_leptons.toml`.

    Parameters
    ----------
    name : str
        One of `SETS`.
    data : Path, optional
        Data folder; by default that of the workbook.

    Raises
    ------
    InputError
        If the set is unknown, or the file is not valid.
    """
    tables = read_toml("charged_leptons.toml", data=data)
    if name not in SETS:
        raise InputError(f"measurements = {name!r}: must be one of {', '.join(SETS)}")
    table = tables[name]
    sigma = np.array([table[quantity]["uncertainty"] for quantity in QUANTITIES])
    correlation = np.eye(len(QUANTITIES))
    place = f"data file charged_leptons.toml: {name}.correlations"
    for first, second, coefficient in table["correlations"]:
        i, j = QUANTITIES.index(first), QUANTITIES.index(second)
        if correlation[i, j]:
            raise InputError(f"{place} of {first} and {second}: must be two different quantities, once")
        correlation[i, j] = correlation[j, i] = coefficient
    if not (np.linalg.eigvalsh(correlation) > 0).all():
        raise InputError(f"{place} = {table['correlations']}: must be possible together (positive definite)")
    return Measurements(
        name=name,
        title=table["title"],
        note=table["note"],
        values=np.array([table[quantity]["value"] for quantity in QUANTITIES]),
        covariance=correlation * np.outer(sigma, sigma),
        sources=tuple(table[quantity]["source"] for quantity in QUANTITIES),
    )


def load_predictions(*, data: Path | None = None) -> dict[str, Any]:
    """Predicted (not measured) values in `charged_leptons.toml`: g_tau, with value and uncertainty.

    Raises
    ------
    InputError
        If the file is not valid.
    """
    predicted: dict[str, Any] = read_toml("charged_leptons.toml", data=data)["predicted"]
    return predicted
