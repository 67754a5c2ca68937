"""Simulated data sets: Poisson counts from the forward model, for exposures whose spectra were not published.

The background is scaled so that the expected 90 % CLs limit equals the published limit. The spread of limits among
simulated data sets is therefore an input and carries no information about the experiments: no fit and no verdict uses
them, except to teach this.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from scipy.optimize import brentq

from leptonfit.datafiles import data_folder
from leptonfit.inference.limits import find_limits
from leptonfit.inference.parallel import spawn_seeds
from leptonfit.inference.result import Result
from leptonfit.neutrino.experiments import RESPONSE, SIMULATED, Experiment, load_experiment, load_response
from leptonfit.neutrino.likelihood import build_likelihood
from leptonfit.neutrino.response import GERMANIUM, quench_lindhard
from leptonfit.neutrino.sheets import load_published
from leptonfit.neutrino.spectra import predict_spectrum

SEED = 838
_STREAMS = {"gemma": 0, "texono": 1, "conus": 2, "borexino": 3, RESPONSE: 7}
"""Number of the stream of random numbers of each data set; the counts in the data folder depend on it."""
DIGITS = 4
"""Significant digits of a background factor; decimals of simulated calibration points."""


_FACTORS = np.geomspace(0.03, 100, 15)
"""Background factors at which the expected limit is shown."""


def tune_background(experiment: Experiment, *, data: Path | None = None) -> float:
    """Factor on the background for which the expected CLs limit equals the published limit.

    Raises
    ------
    ValueError
        If no factor from 1e-3 to 1e3 gives the published limit.
    """
    published = load_published(data=data).set_index("name").loc[experiment.published]

    def excess(log_factor: float) -> float:
        return math.log(expect_limit(experiment, 10**log_factor, data=data) / published.limit)

    return float(f"{10 ** brentq(excess, -3, 3):.{DIGITS}g}")


def expect_limit(experiment: Experiment, factor: float, *, data: Path | None = None) -> float:
    """Expected CLs limit, in 1e-11 μ_B, at the published confidence with the background multiplied by a factor."""
    published = load_published(data=data).set_index("name").loc[experiment.published]
    tuned = replace(experiment, values={**experiment.values, "background_factor": factor})
    likelihood = build_likelihood(tuned, predict_spectrum(experiment, data=data))
    limits = find_limits(likelihood.model, likelihood.model.base, confidence=[published.confidence])
    return math.sqrt(limits.expected["cls"][0, 2])


@dataclass(frozen=True)
class TuningResult(Result):
    """How a simulated data set was tuned to a published limit; limits in 1e-11 μ_B.

    Attributes
    ----------
    slug, title : str
    background_rate : float
        Stated background, counts/(kg d keV).
    factor : float
        Factor on the background for which the expected limit is the published one.
    as_stated, tuned : float
        Expected CLs limit with the stated background, and with that factor.
    half_factor, half_tuned : float
        Factor and expected limit if only half of the exposure is assumed.
    published : float
    published_name : str
    factors, expected : ndarray (n,)
        Expected limits at several factors.
    """

    slug: str
    title: str
    background_rate: float
    factor: float
    as_stated: float
    tuned: float
    half_factor: float
    half_tuned: float
    published: float
    published_name: str
    factors: np.ndarray
    expected: np.ndarray


def measure_tuning(slug: str, *, data: Path | None = None) -> TuningResult:
    """Expected limits of a simulated data set for several backgrounds, and the factors that give the published limit.

    Parameters
    ----------
    slug : str
        One of `SIMULATED`.

    Raises
    ------
    InputError
        If the data files are not valid.
    """
    experiment = load_experiment(slug, data=data)
    if experiment.mark != "simulated":
        raise ValueError(f"slug = {slug}: must be a simulated data set, whose background was tuned")
    values = experiment.values
    half = {name: value / 2 if name.startswith("exposure") else value for name, value in values.items()}
    halved = replace(experiment, values=half)
    half_factor = tune_background(halved, data=data)
    published = load_published(data=data).set_index("name").loc[experiment.published]
    return TuningResult(
        slug=slug,
        title=experiment.title,
        background_rate=values["background_rate"],
        factor=values["background_factor"],
        as_stated=expect_limit(experiment, 1.0, data=data),
        tuned=expect_limit(experiment, values["background_factor"], data=data),
        half_factor=half_factor,
        half_tuned=expect_limit(halved, half_factor, data=data),
        published=float(published.limit),
        published_name=experiment.published,
        factors=_FACTORS,
        expected=np.array([expect_limit(experiment, factor, data=data) for factor in _FACTORS]),
    )


def describe_tuning(found: Sequence[TuningResult]) -> tuple[str, str]:
    """Verdict code `tuned` and sentence on what the tuning hides."""
    stated = "; ".join(
        f"{one.title} {one.as_stated:.3g} instead of {one.published:g}, hidden by a factor {one.factor:.3g} on the "
        "background"
        for one in found
    )
    apart = [abs(math.log(one.as_stated / one.published)) for one in found]
    halved = max(abs(one.half_tuned / one.published - 1) for one in found)
    return "tuned", (
        f"With the stated backgrounds the models expect limits of (1e-11 μ_B): {stated}. They miss the published "
        f"limits by factors up to {math.exp(max(apart)):.2f}; the tuned ones repeat them. So does a model with half of "
        f"the exposure, to {100 * halved:.1g} %: agreement with a limit to which a background was tuned tests neither "
        "the model nor the experiment, and the spread of such limits is that of the published ones."
    )


def draw_counts(experiment: Experiment, *, data: Path | None = None) -> dict[str, np.ndarray]:
    """Simulated counts of a data set by column, without a magnetic moment."""
    likelihood = build_likelihood(experiment, predict_spectrum(experiment, data=data))
    rng = _generator(experiment.slug)
    counts = likelihood.model.draw(0.0, 0.0, rng)
    names = ("on", "off") if experiment.background == "on_off" else ("counts",)
    return dict(zip(names, counts.reshape(len(names), experiment.n_bins), strict=True))


def draw_response(*, data: Path | None = None) -> dict[str, np.ndarray]:
    """Simulated columns of the calibration points: ionisation of nuclear recoils, and measured energies of lines."""
    points = load_response(data=data)
    rng = _generator(RESPONSE)
    given = points.columns
    recoil = rng.normal(given["recoil"], given["recoil_error"])
    ionisation = quench_lindhard(recoil, GERMANIUM, points.values["lindhard_k"])
    line = rng.normal(given["line"], given["line_error"])
    return {
        "ionisation": rng.normal(ionisation, given["ionisation_error"]).round(DIGITS),
        "measured": rng.normal(points.values["scale"] * line, given["measured_error"]).round(DIGITS),
    }


def _generator(slug: str) -> np.random.Generator:
    """Random generator of a data set; each data set has a separate stream."""
    return np.random.default_rng(spawn_seeds(SEED, 1 + max(_STREAMS.values()))[_STREAMS[slug]])


def simulate_all(*, data: Path | None = None) -> dict[str, str]:
    """Tune and draw all simulated data again.

    Returns
    -------
    dict of str
        New content of each file, by its name in the data folder: background factors in the TOML files of the data sets,
        counts and calibration points in the CSV files.

    Raises
    ------
    InputError
        If the data files are not valid.
    """
    folder, found = data or data_folder(), {}
    for slug in SIMULATED:
        experiment = load_experiment(slug, data=data)
        factor = tune_background(experiment, data=data)
        tuned = replace(experiment, values={**experiment.values, "background_factor": factor})
        name = f"neutrino/{slug}.toml"
        text = (folder / name).read_text(encoding="utf-8")
        found[name] = re.sub(r"(?<=\[background_factor\]\nvalue = ).*", f"{factor:g}", text)
        counts = {column: drawn.astype(int) for column, drawn in draw_counts(tuned, data=data).items()}
        found[f"neutrino/{slug}.csv"] = _replace_columns(folder / f"neutrino/{slug}.csv", counts)
    name = f"neutrino/{RESPONSE}.csv"
    found[name] = _replace_columns(folder / name, draw_response(data=data))
    return found


def _replace_columns(path: Path, columns: Mapping[str, np.ndarray]) -> str:
    """Text of a CSV file with other numbers in some of its columns."""
    head, *rows = (line.split(",") for line in path.read_text(encoding="utf-8").splitlines())
    for name, values in columns.items():
        k = head.index(name)
        for row, value in zip(rows, values.tolist(), strict=True):
            row[k] = str(value)
    return "".join(",".join(row) + "\n" for row in (head, *rows))
