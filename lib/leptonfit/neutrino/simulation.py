"""Simulated data sets: Poisson counts from the forward model, for exposures whose spectra were not published.

The background is scaled so that the expected 90 % CLs limit equals the published limit. The spread of limits among
simulated data sets is therefore an input and carries no information about the experiments.
"""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
from scipy.optimize import brentq

from leptonfit.inference.limits import find_limits
from leptonfit.inference.parallel import spawn_seeds
from leptonfit.neutrino.experiments import RESPONSE, SLUGS, Experiment, load_response
from leptonfit.neutrino.likelihood import build_likelihood
from leptonfit.neutrino.response import GERMANIUM, quench_lindhard
from leptonfit.neutrino.sheets import load_published
from leptonfit.neutrino.spectra import predict_spectrum

SEED = 838
DIGITS = 4
"""Significant digits of a background factor; decimals of simulated calibration points."""


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
    return np.random.default_rng(spawn_seeds(SEED, len(SLUGS))[SLUGS.index(slug)])
