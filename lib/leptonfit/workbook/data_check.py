"""Check of a whole data folder: every file by its schema, and then by the function that loads it."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np

from leptonfit.claims.december_2025.recorded import load_recorded
from leptonfit.claims.december_2025.reported import load_claims
from leptonfit.claims.nu838.report_838 import load_covariates, load_report
from leptonfit.datafiles import ROOT, InputError, find_faults, list_files
from leptonfit.neutrino.experiments import ALL_SPECTRA, Choices, load_experiment, load_response
from leptonfit.neutrino.flavour import load_mixing
from leptonfit.neutrino.likelihood import Likelihood, load_likelihood
from leptonfit.neutrino.sheets import load_fluxes, load_published, load_release, load_targets
from leptonfit.vortex.choices import load_choices
from leptonfit.vortex.measurements import SETS, load_measurements


def _load_with_all_nuisances(slug: str, *, data: Path) -> Likelihood:
    """Likelihood of a data set with its optional nuisance parameters, whose names are checked when they are used.

    Raises
    ------
    InputError
        If the data file is not valid, or its numbers have no spectrum.
    """
    experiment = load_experiment(slug, data=data)
    names = tuple(name for part in (experiment, *experiment.parts) for name in part.declared)
    try:
        with np.errstate(divide="raise", over="raise", invalid="raise"):
            return load_likelihood(slug, choices=Choices(nuisances=tuple(dict.fromkeys(names))), data=data)
    except InputError:
        raise
    except (ArithmeticError, ValueError) as error:
        raise InputError(f"data file neutrino/{slug}.toml: its numbers must have a spectrum: {error}") from error


LOADERS: dict[str, tuple[Callable[..., object], ...]] = {
    "charged_leptons.toml": tuple(partial(load_measurements, name) for name in SETS),
    "closures.toml": (load_choices,),
    "reported_2025.toml": (load_claims,),
    "reenacted_2025.json": (lambda *, data: load_recorded(load_claims(data=data), data=data),),
    "report_838.toml": (load_report,),
    "neutrino/covariates_838.toml": (load_covariates,),
    "neutrino/flux.toml": (load_fluxes,),
    "neutrino/mixing.toml": (load_mixing,),
    "neutrino/published_limits.csv": (load_published,),
    "neutrino/response.csv": (load_response,),
    "neutrino/targets.toml": (load_targets,),
    "neutrino/xenonnt_release.toml": (load_release,),
    **{f"neutrino/{slug}.toml": (partial(_load_with_all_nuisances, slug),) for slug in ALL_SPECTRA},
}
"""Functions that load a data file together with the files that belong to it."""


def find_data_faults(folder: Path) -> list[str]:
    """Faults in the files of a data folder, each in one line; the files of the workbook in use must all be there.

    Raises
    ------
    InputError
        If the folder has no valid list of checksums.
    """
    needed = {name for name in LOADERS if (ROOT / "data" / name).is_file()}
    names = sorted({*list_files(folder), *needed})
    return list(dict.fromkeys(fault for name in names for fault in check_file(name, folder)))


def check_data(folder: Path) -> None:
    """Check every file of a data folder.

    Raises
    ------
    InputError
        With the first fault and the number of the others.
    """
    first, *others = find_data_faults(folder) or [""]
    if first:
        more = f" ({len(others)} more: leptonfit check --data {folder})" if others else ""
        raise InputError(first + more)


def check_file(name: str, folder: Path) -> list[str]:
    """Faults of one data file: all entries against its schema, or else the first fault that each loader finds."""
    faults = find_faults(name, data=folder)
    for load in () if faults else LOADERS.get(name, ()):
        try:
            load(data=folder)
        except InputError as error:
            faults.append(str(error))
    return faults
