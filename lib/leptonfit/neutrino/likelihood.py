"""Likelihood of each data set: θ = μ² in (1e-11 μ_B)², and the nuisance parameters listed in the data file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from leptonfit.datafiles import InputError
from leptonfit.inference.arguments import read_array, read_instance
from leptonfit.inference.binned import BinnedModel, stack_models
from leptonfit.inference.result import Result
from leptonfit.neutrino.experiments import DEFAULT_CHOICES, Choices, Experiment
from leptonfit.neutrino.spectra import MU_UNIT, UNIT_STEP, SpectrumResult, load_spectrum

_LEAST_VARIANCE = 1e-6
"""Smallest variance of a bin, so that the residual is finite where no counts are expected."""


@dataclass(frozen=True)
class Likelihood:
    """Binned likelihood of one data set, with the data to fit.

    Attributes
    ----------
    experiment : Experiment
    spectrum : SpectrumResult
    model : BinnedModel
        Model with θ in (1e-11 μ_B)². Bins of a separate background measurement follow the bins with signal.
    data : ndarray (n_model_bins,)
    """

    experiment: Experiment
    spectrum: SpectrumResult
    model: BinnedModel
    data: np.ndarray

    def above(self, first: int | np.ndarray) -> np.ndarray:
        """Mask (..., n_model_bins) of the bins in use when the bins in energy below `first` (...) are left out."""
        low = np.tile(self.experiment.columns["low"], self.model.n_bins // self.experiment.n_bins)
        return low >= self.experiment.edges[first][..., None]


def load_likelihood(slug: str, *, choices: Choices = DEFAULT_CHOICES, data: Path | None = None) -> Likelihood:
    """Read a data set and build its likelihood.

    Raises
    ------
    InputError
        If the data files are not valid.
    """
    experiment, spectrum = load_spectrum(slug, choices=choices, data=data)
    return build_likelihood(experiment, spectrum)


def build_likelihood(experiment: Experiment, spectrum: SpectrumResult) -> Likelihood:
    """Likelihood of a data set, built from its background, signal and nuisance parameters."""
    if experiment.parts:
        several = {
            part.title: build_likelihood(part, own)
            for part, own in zip(experiment.parts, _split(experiment, spectrum), strict=True)
        }
        model = stack_models({title: one.model for title, one in several.items()}, common=experiment.common)
        return Likelihood(experiment, spectrum, model, np.concatenate([one.data for one in several.values()]))
    n_bins, columns = experiment.n_bins, experiment.columns
    nothing = np.zeros(n_bins)
    sigma = None
    if experiment.background in ("on_off", "flat"):
        values = experiment.values
        level = values["background_rate"] * values["background_factor"] * np.diff(experiment.edges)
        backgrounds = [level * values[name] for name in ("exposure_on", "exposure_off") if name in values]
        data = [columns[name] for name in ("on", "off", "counts") if name in columns]
        base = spectrum.weak
    elif experiment.background == "column":
        backgrounds, data = [nothing], [columns["counts"]]
        base = spectrum.weak if experiment.adds_weak else nothing
    elif experiment.background == "oscillated":
        backgrounds, data, base = [nothing], [columns["rate"]], spectrum.weak
        sigma = np.hypot(columns["error"], columns.get("uncorrelated", 0.0) * spectrum.weak)
    else:  # without signal both windows expect equal counts; an empty bin is set to half a count
        backgrounds = [np.maximum(columns["anticoincidence"], 0.5)] * 2
        data, base = [columns["coincidence"], columns["anticoincidence"]], spectrum.weak
    components = {name: columns[name] for name in experiment.components}
    backgrounds[0] = sum(components.values(), backgrounds[0])
    background = np.concatenate(backgrounds)
    pad = np.zeros(len(background) - n_bins)
    tilt = np.tile(experiment.tilt, len(backgrounds))
    names: list[str] = []
    shifts: list[np.ndarray] = []
    signal_shifts: list[np.ndarray] = []
    is_free: list[bool] = []
    for name, size in experiment.nuisances.items():
        step = UNIT_STEP if size is None else size
        moved = spectrum.shifts.get(name)
        if name == "bins":
            rows = UNIT_STEP * np.tile(np.eye(n_bins) * backgrounds[-1], len(backgrounds))
            found = [(f"background of bin {i + 1}", row, nothing) for i, row in enumerate(rows)]
        elif moved is not None:
            acts = base is spectrum.weak or "line" in experiment.declared.get(name, {})
            found = [(name, np.append(moved[0] if acts else nothing, pad), moved[1])]
        elif name in ("flux", "pion_yield", "rate", "efficiency"):
            scaled = components.get(experiment.signal_column, base)
            found = [(name, step * np.append(scaled, pad), step * spectrum.magnetic)]
        elif name in components:
            moves = spectrum.magnetic if name == experiment.signal_column else nothing
            found = [(name, step * np.append(components[name], pad), step * moves)]
        elif name in ("background", "slope"):
            found = [(name, step * background * (tilt if name == "slope" else 1.0), nothing)]
        else:
            raise InputError(
                f"data file neutrino/{experiment.slug}.toml: nuisances.{name}: not known for a background "
                f"that is {experiment.background}"
            )
        for label, row, signal_row in found:
            names.append(label)
            shifts.append(row)
            signal_shifts.append(np.append(signal_row, pad))
            is_free.append(size is None)
    sizes = [experiment.nuisances[name] if name in components else 0.0 for name in names]
    lowest = np.array([-np.inf if size == 0 else -1 / (size or UNIT_STEP) for size in sizes])
    model = BinnedModel(
        nuisances=tuple(names),
        base=background + np.append(base, pad),
        shifts=np.array(shifts),
        signal=np.append(spectrum.magnetic, pad),
        signal_shifts=np.array(signal_shifts),
        is_free=np.array(is_free),
        sigma=sigma,
        lowest_pulls=lowest if len(components) > 1 else None,
    )
    return Likelihood(experiment, spectrum, model, np.concatenate(data))


def _split(experiment: Experiment, spectrum: SpectrumResult) -> list[SpectrumResult]:
    """Spectra of the parts of a data set, from that of the whole."""
    found, begin = [], 0
    for part in experiment.parts:
        bins = slice(begin, begin + part.n_bins)
        begin += part.n_bins
        shifts = {
            name: spectrum.shifts[f"{part.slug}: {name}"]
            for name in part.nuisances
            if f"{part.slug}: {name}" in spectrum.shifts
        }
        found.append(
            replace(
                spectrum,
                slug=part.slug,
                edges=part.edges,
                weak=spectrum.weak[bins],
                magnetic=spectrum.magnetic[bins],
                shifts=shifts,
            )
        )
    return found


@dataclass(frozen=True)
class ComparedSpectrumResult(Result):
    """Data of a spectrum beside the expected spectra at several θ.

    Attributes
    ----------
    slug, title, unit, mark : str
    subtracted : bool
        Whether the background fitted at θ = 0 is subtracted from data and expectation.
    edges : ndarray (n_edges,)
        Bin edges; numbers of bins for a data set that consists of others, whose bins differ.
    data, errors : ndarray (n_edges - 1,)
        Counts, or events/(kt y), and their standard deviation at θ = 0.
    theta : ndarray (n_curves,)
        Values in (1e-11 μ_B)²; the first is 0.
    expected : ndarray (n_curves, n_edges - 1)
        Expected spectra, with the nuisance parameters fitted at each θ.
    residuals : ndarray (n_edges - 1,)
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
    """Compare the data with the expected spectra at θ = 0 and at other values of θ.

    A background that does not include weak scattering is subtracted.

    Parameters
    ----------
    likelihood : Likelihood
    theta : sequence of float
        Values in (1e-11 μ_B)², in addition to 0. The expectation is nan for a θ that is not finite (no limit).
    """
    read_instance("likelihood", likelihood, Likelihood)
    signals = read_array("theta", theta, (None,), is_finite=False)
    experiment, model, n_bins = likelihood.experiment, likelihood.model, likelihood.experiment.n_bins
    strengths = np.array([0.0, *signals])
    known = np.isfinite(strengths)
    pulls = model.fit(likelihood.data, theta=strengths[known]).pulls
    edges, unit, fold = experiment.edges, experiment.unit, np.eye(n_bins)
    if experiment.parts:
        edges, unit = np.arange(n_bins + 1.0), "bin"
    else:  # sum over the blocks of bins that have the same energy
        place = np.searchsorted(edges, experiment.columns["low"])
        fold = (place == np.arange(len(edges) - 1)[:, None]).astype(float)
    expected = np.full((len(strengths), len(fold)), np.nan)
    expected[known] = model.expected(strengths[known], pulls)[:, :n_bins] @ fold.T
    variance = fold @ model.variance(model.expected(0.0, pulls[0]))[:n_bins]
    errors = np.sqrt(np.maximum(variance, _LEAST_VARIANCE))
    subtracted = experiment.background in ("on_off", "flat", "anticoincidence")
    background = expected[0] - fold @ likelihood.spectrum.weak if subtracted else 0.0
    data = fold @ likelihood.data[:n_bins]
    return ComparedSpectrumResult(
        experiment.slug,
        experiment.title,
        unit,
        experiment.mark,
        subtracted,
        edges,
        data - background,
        errors,
        strengths,
        expected - background,
        (data - expected[0]) / errors,
    )


def to_moment(theta: np.ndarray | float) -> np.ndarray:
    """Effective magnetic moment (...) in μ_B for θ (...) in (1e-11 μ_B)²; 0 where θ is negative."""
    return MU_UNIT * np.sqrt(np.maximum(read_array("theta", theta, is_finite=False), 0.0))
