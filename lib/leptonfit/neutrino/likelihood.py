"""The likelihood of each data set: θ = μ² in (1e-11 μ_B)², and the nuisances its data file names."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from leptonfit.datafiles import InputError
from leptonfit.inference.binned import BinnedModel
from leptonfit.inference.result import Result
from leptonfit.neutrino.experiments import Experiment
from leptonfit.neutrino.spectra import MU_UNIT, SpectrumResult, load_spectrum

_UNIT_STEP = 0.1
"""Change of a free background for a pull of one: only a unit."""
_LEAST_VARIANCE = 1e-6
"""Variance of a bin that expects nothing, so that its residual is a number."""


@dataclass(frozen=True)
class Likelihood:
    """A data set ready to be fitted.

    Attributes
    ----------
    experiment : Experiment
    spectrum : SpectrumResult
    model : BinnedModel
        θ in (1e-11 μ_B)². Where the background is measured apart its bins follow those with signal.
    data : ndarray (n_model_bins,)
    """

    experiment: Experiment
    spectrum: SpectrumResult
    model: BinnedModel
    data: np.ndarray

    def above(self, first: int | np.ndarray) -> np.ndarray:
        """Bins in use (..., n_model_bins) where those below `first` (...) are left out."""
        bins = np.arange(self.model.n_bins) % self.experiment.n_bins
        return bins >= np.asarray(first)[..., None]


def load_likelihood(slug: str, *, data: Path | None = None) -> Likelihood:
    """Read a data set and set up its likelihood.

    Raises
    ------
    InputError
        If its data are not as they must be.
    """
    experiment, spectrum = load_spectrum(slug, data=data)
    return build_likelihood(experiment, spectrum)


def build_likelihood(experiment: Experiment, spectrum: SpectrumResult) -> Likelihood:
    """Background, signal and nuisances of a data set in one model."""
    n_bins, columns = experiment.n_bins, experiment.columns
    nothing = np.zeros(n_bins)
    sigma = None
    if experiment.background in ("on_off", "flat"):
        values = experiment.values
        level = values["background_rate"] * values["background_factor"] * np.diff(experiment.edges)
        backgrounds = [level * values[name] for name in ("exposure_on", "exposure_off") if name in values]
        data = [columns[name] for name in ("on", "off", "counts") if name in columns]
        base = spectrum.weak
    elif experiment.background == "column":  # weak scattering is in it
        backgrounds, data, base = [columns["background"]], [columns["counts"]], nothing
    elif experiment.background == "oscillated":
        backgrounds, data, base, sigma = [nothing], [columns["rate"]], spectrum.weak, columns["error"]
    else:  # as many events in either window where there is no signal; a bin without any counts as half a one
        backgrounds = [np.maximum(columns["anticoincidence"], 0.5)] * 2
        data, base = [columns["coincidence"], columns["anticoincidence"]], spectrum.weak
    background = np.concatenate(backgrounds)
    pad = np.zeros(len(background) - n_bins)
    tilt = np.tile(experiment.tilt, len(backgrounds))
    names: list[str] = []
    shifts: list[np.ndarray] = []
    signal_shifts: list[np.ndarray] = []
    is_free: list[bool] = []
    for name, size in experiment.nuisances.items():
        step = _UNIT_STEP if size is None else size
        moved = spectrum.shifts.get(name)
        if name == "bins":
            rows = _UNIT_STEP * np.tile(np.eye(n_bins), len(backgrounds)) * background
            found = [(f"background of bin {i + 1}", row, nothing) for i, row in enumerate(rows)]
        elif moved is not None:
            found = [(name, np.append(moved[0] if base is spectrum.weak else nothing, pad), moved[1])]
        elif name == "flux":
            found = [(name, step * np.append(base, pad), step * spectrum.magnetic)]
        elif name in ("background", "slope"):
            found = [(name, step * background * (tilt if name == "slope" else 1.0), nothing)]
        else:
            raise InputError(f"data file neutrino/{experiment.slug}.toml: nuisances.{name}: not known for a background "
                             f"that is {experiment.background}")  # fmt: skip
        for label, row, signal_row in found:
            names.append(label)
            shifts.append(row)
            signal_shifts.append(np.append(signal_row, pad))
            is_free.append(size is None)
    model = BinnedModel(
        nuisances=tuple(names),
        base=background + np.append(base, pad),
        shifts=np.array(shifts),
        signal=np.append(spectrum.magnetic, pad),
        signal_shifts=np.array(signal_shifts),
        is_free=np.array(is_free),
        sigma=sigma,
    )
    return Likelihood(experiment, spectrum, model, np.concatenate(data))


@dataclass(frozen=True)
class ComparedSpectrumResult(Result):
    """Data of a spectrum beside what is expected at several θ.

    Attributes
    ----------
    slug, title, unit, mark : str
    subtracted : bool
        Whether the background fitted at θ = 0 is taken off data and expectation.
    edges : ndarray (n_bins + 1,)
    data, errors : ndarray (n_bins,)
        Counts, or events/(kt y), and their standard deviation where θ = 0.
    theta : ndarray (n_curves,)
        In (1e-11 μ_B)²; the first is 0.
    expected : ndarray (n_curves, n_bins)
        With the nuisances fitted at each θ.
    residuals : ndarray (n_bins,)
        (data − expectation at θ = 0)/standard deviation.
    """

    slug: str
    title: str
    unit: str
    mark: str
    subtracted: bool
    edges: np.ndarray
    data: np.ndarray
    errors: np.ndarray
    theta: np.ndarray
    expected: np.ndarray
    residuals: np.ndarray


def compare_spectrum(likelihood: Likelihood, theta: Sequence[float]) -> ComparedSpectrumResult:
    """Data beside the expectation at θ = 0 and at others; the background is taken off where it is not weak scattering.

    Parameters
    ----------
    likelihood : Likelihood
    theta : sequence of float
        In (1e-11 μ_B)², beside 0. The expectation is nan where it is not finite: no limit.
    """
    experiment, model, n_bins = likelihood.experiment, likelihood.model, likelihood.experiment.n_bins
    strengths = np.array([0.0, *theta])
    known = np.isfinite(strengths)
    pulls = model.fit(likelihood.data, theta=strengths[known]).pulls
    expected = np.full((len(strengths), n_bins), np.nan)
    expected[known] = model.expected(strengths[known], pulls)[:, :n_bins]
    variance = model.variance(model.expected(0.0, pulls[0]))[:n_bins]
    errors = np.sqrt(np.maximum(variance, _LEAST_VARIANCE))
    subtracted = experiment.background in ("on_off", "flat", "anticoincidence")
    background = expected[0] - likelihood.spectrum.weak if subtracted else 0.0
    data = likelihood.data[:n_bins]
    return ComparedSpectrumResult(
        experiment.slug, experiment.title, experiment.unit, experiment.mark, subtracted, experiment.edges,
        data - background, errors, strengths, expected - background, (data - expected[0]) / errors,
    )  # fmt: skip


def to_moment(theta: np.ndarray | float) -> np.ndarray:
    """Effective magnetic moment (...), μ_B, of θ (...) in (1e-11 μ_B)²; 0 where θ is negative."""
    return MU_UNIT * np.sqrt(np.maximum(theta, 0.0))
