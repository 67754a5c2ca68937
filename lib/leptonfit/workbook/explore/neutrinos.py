"""Explorer of one data set on the neutrino magnetic moment: spectrum and data, Δχ², limits above a threshold."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from itertools import cycle
from typing import Any

import numpy as np

from leptonfit.inference.constructions import CONSTRUCTIONS
from leptonfit.inference.limits import LimitsResult, find_limits
from leptonfit.neutrino.experiments import MEASURED, load_experiment
from leptonfit.neutrino.likelihood import Likelihood, compare_spectrum, load_likelihood, to_moment
from leptonfit.workbook.declarations import Value, read_notebook
from leptonfit.workbook.explore.controls import choice, slider, tidy, whole
from leptonfit.workbook.explore.explorer import Drawing, Explorer
from leptonfit.workbook.figures.neutrinos import SpectrumPanels
from leptonfit.workbook.figures.style import BLUE, GREEN, GREY, ORANGE, RED

_POINTS = 61
_LINES = ((RED, "-"), (BLUE, "--"), (ORANGE, "-."), (GREEN, ":"))
_ABOVE: dict[str, Any] = {
    "loc": "lower left",
    "bbox_to_anchor": (0, 1),
    "borderaxespad": 0.2,
    "frameon": False,
    "ncols": 2,
    "fontsize": 7.5,
}
_Found = tuple[tuple[Any, ...], LimitsResult, np.ndarray, np.ndarray]
"""State of the controls, its limits, and Δχ² (n,) at moments (n,) in 1e-11 μ_B."""
_REACH = 5.0
"""Distance above θ̂, or above zero if θ̂ < 0, up to which Δχ² is drawn, in standard deviations of θ̂."""


class NeutrinoExplorer(Explorer):
    """Explorer with controls for data set, moment, threshold and limit; it shows spectrum, Δχ²(μ) and limits.

    Bins below the threshold are left out of the fit. At the lowest threshold the limits are those of the notebook.
    The confidence level and the construction of the limit are further controls; limits of all constructions are shown.

    Parameters
    ----------
    dataset : str
        One of `MEASURED`.
    mu_nu : float
        Magnetic moment in μ_B.
    confidence : float
    limit_method : str
        Key of `CONSTRUCTIONS`.
    """

    def __init__(
        self, *, dataset: str = "xenonnt", mu_nu: float = 1e-11, confidence: float = 0.9, limit_method: str = "cls"
    ) -> None:
        self._likelihoods: dict[str, Likelihood] = {}
        self._found: _Found | None = None
        level = read_notebook("12_recoil_spectra").parameters["confidence_levels"]
        self._analysed = read_notebook("12_recoil_spectra").parameters["datasets"].choices
        self._scanned = read_notebook("13_threshold_scan").parameters
        methods = [(one.title, key) for key, one in CONSTRUCTIONS.items()]
        datasets = choice("data set", [(load_experiment(slug).title, slug) for slug in MEASURED], dataset)
        self._threshold = whole("threshold, bin", 1, 1, _count_thresholds(self._load(dataset)))
        datasets.observe(self._change_dataset, "value")  # before the observer that draws
        super().__init__(
            {
                "dataset": datasets,
                "mu_nu": slider("μ_ν (1e-11 μ_B)", 1e11 * mu_nu, 0.0, max(30.0, 1e11 * mu_nu), 0.05),
                "threshold": self._threshold,
                "confidence": slider("confidence", confidence, level.low, level.high, 0.005, readout_format=".3f"),
                "limit_method": choice("construction", methods, limit_method),
            },
            size=(9.2, 4.0),
        )

    @property
    def limits(self) -> LimitsResult:
        """Limits on screen."""
        return self._current[1]

    @property
    def notebooks(self) -> tuple[str, ...]:  # type: ignore[override]  # depends on the state
        """Notebook of the spectra, or of the threshold scan if bins are left out, where it accepts what is chosen."""
        if self.controls["threshold"].value == 1:
            return ("12_recoil_spectra",) if self.controls["dataset"].value in self._analysed else ()
        chosen = {"limit_method": self.controls["limit_method"].value, "datasets": self.controls["dataset"].value}
        is_scanned = all(value in self._scanned[name].choices for name, value in chosen.items())
        return ("13_threshold_scan",) if is_scanned else ()

    def parameters(self) -> dict[str, Value]:
        """Return the parameters for the notebooks; the threshold scan runs every threshold."""
        return {
            "datasets": self.controls["dataset"].value,
            "mu_nu": tidy(1e-11 * self.controls["mu_nu"].value),
            "confidence_levels": f"{tidy(self.controls['confidence'].value):g}",
            "limit_method": self.controls["limit_method"].value,
            "n_thresholds": self._likelihood.experiment.n_thresholds,
        }

    def set_up(self) -> None:
        """Create the panels: spectrum with residuals, and Δχ² with limits."""
        grid = self.figure.add_gridspec(
            2, 2, height_ratios=[3, 1], left=0.075, right=0.985, top=0.84, bottom=0.12, hspace=0.08, wspace=0.2
        )
        top, below, right = (self.figure.add_subplot(place) for place in (grid[0, 0], grid[1, 0], grid[:, 1]))
        below.sharex(top)
        self._top, self._right = top, right
        self._panels = SpectrumPanels((top, below), ("no moment", "with the moment put in"))
        self._left_out = [ax.axvspan(0, 0, color=GREY, alpha=0.25, lw=0) for ax in (top, below)]
        (self._curve,) = right.plot([], [], color=BLUE)
        (self._here,) = right.plot([], [], "D", color="black", mfc="white", ms=7)
        self._limit_lines = {
            name: right.axvline(1, color=colour, ls=style, lw=1.4)
            for name, (colour, style) in zip(CONSTRUCTIONS, cycle(_LINES), strict=False)
        }
        right.set_ylim(0, 10)
        right.set_xlabel(r"$\mu_\nu$ ($10^{-11}\,\mu_{\rm B}$)")
        right.set_ylabel(r"$\Delta\chi^2$ above the best $\mu^2 \geq 0$")

    def advance(self) -> Drawing:
        """Compare spectrum and data; then scan Δχ² and set the limits."""
        likelihood, mu = self._likelihood, float(self.controls["mu_nu"].value)
        if self._found is None or self._found[0] != self._key:
            self._sketch(mu)
            yield None
            self._found = yield partial(self._find, likelihood, self._key)
            self._set_reach(self._found[1])
        _, limits, moments, rises = self._current
        used, level = self._used, float(limits.confidence[0])
        rise = float(likelihood.model.fit(likelihood.data, theta=mu**2, used=used).value - self._lowest)
        found = {name: 1e11 * float(to_moment(ends[0])) for name, ends in limits.observed.items()}
        self._update_spectrum(mu)
        self._curve.set_data(moments, rises)
        self._here.set_data([mu], [min(rise, 9.8)])
        chosen = str(self.controls["limit_method"].value)
        title = CONSTRUCTIONS[chosen].title
        for name, line in self._limit_lines.items():
            line.set_xdata([found[name]] * 2)
            line.set_linewidth(2.6 if name == chosen else 1.1)
            line.set_label(f"{CONSTRUCTIONS[name].title}: {found[name]:.3g}")
        self._right.set_xlim(0, max(1.15 * mu, moments[-1]))
        self._list_limits(f"limits at {100 * level:g} % (1e-11 μ_B)")
        experiment = likelihood.experiment
        sigmas = float(limits.theta_hat / limits.sigma)
        lowest = experiment.edges[self.controls["threshold"].value - 1]
        row = f"its table of conditions has a row from {lowest:g} {experiment.unit}"
        self.remark = row if "13_threshold_scan" in self.notebooks else ""
        if self.controls["threshold"].value == 1 and not self.notebooks:
            self.remark = f"no notebook takes {experiment.title}, which shares events with a data set of theirs"
        elif not self.notebooks:
            is_zero = chosen not in self._scanned["limit_method"].choices
            self.remark = (
                f"no notebook takes {title} above a threshold: it can be zero"
                if is_zero
                else f"no notebook takes {experiment.title} above a threshold"
            )
        sentence = (
            f"{experiment.title}, {experiment.moment}, from {lowest:g} {experiment.unit}: "
            f"{found[chosen]:.3g}e-11 μ_B at {100 * level:g} % by {title}; best fit μ² {sigmas:+.2f} "
            f"standard deviations from zero; Δχ²({mu:g}e-11 μ_B) = {rise:.3g}."
        )
        self.say("excluded" if mu > found[chosen] else "allowed", sentence)
        yield None

    def _sketch(self, mu: float) -> None:
        """Show the spectrum of a new state, and nothing that depends on its limits."""
        self._update_spectrum(mu)
        for line in (self._curve, self._here):
            line.set_data([], [])
        for name, line in self._limit_lines.items():
            line.set_xdata([np.nan] * 2)
            line.set_label(CONSTRUCTIONS[name].title)
        self._list_limits("limits are being computed")
        self.say("computing", f"{self._likelihood.experiment.title}: the limits are being computed.")

    def _list_limits(self, title: str) -> None:
        self._right.legend(title=title, title_fontsize=8, **_ABOVE)

    @property
    def _likelihood(self) -> Likelihood:
        return self._load(str(self.controls["dataset"].value))

    def _load(self, slug: str) -> Likelihood:
        if slug not in self._likelihoods:
            self._likelihoods[slug] = load_likelihood(slug)
        return self._likelihoods[slug]

    @property
    def _used(self) -> np.ndarray:
        return self._likelihood.above(self.controls["threshold"].value - 1)

    @property
    def _lowest(self) -> float:
        """Lowest −2 ln L at μ² ≥ 0."""
        limits = self._current[1]
        return float(limits.chi2_zero if limits.theta_hat < 0 else limits.chi2_min)

    @property
    def _current(self) -> _Found:
        if self._found is None or self._found[0] != self._key:
            self._found = self._find(self._likelihood, self._key)
        return self._found

    @property
    def _key(self) -> tuple[Any, ...]:
        return tuple(self.controls[name].value for name in ("dataset", "threshold", "confidence"))

    def _find(self, likelihood: Likelihood, key: tuple[Any, ...]) -> _Found:
        used = likelihood.above(key[1] - 1)
        limits = find_limits(likelihood.model, likelihood.data, confidence=(tidy(key[2]),), used=used)
        theta = np.linspace(0, max(float(limits.theta_hat), 0.0) + _REACH * float(limits.sigma), _POINTS)
        lowest = float(limits.chi2_zero if limits.theta_hat < 0 else limits.chi2_min)
        rises = likelihood.model.fit(likelihood.data, theta=theta, used=used).value - lowest
        return key, limits, 1e11 * to_moment(theta), rises

    def _change_dataset(self, change: Mapping[str, Any]) -> None:
        """Put the threshold at the first bin of the new data set."""
        self._threshold.value, self._threshold.max = 1, _count_thresholds(self._load(change["new"]))

    def _set_reach(self, limits: LimitsResult) -> None:
        """Let the slider of the moment reach three times the highest limit without a threshold."""
        if self.controls["threshold"].value == 1:
            before, self._quiet = self._quiet, True
            reach = 1e11 * max(float(to_moment(ends[0])) for ends in limits.observed.values())
            moment = self.controls["mu_nu"]
            moment.max = max(float(f"{3 * reach:.1g}"), float(moment.value))
            self._quiet = before

    def _update_spectrum(self, mu: float) -> None:
        compared = compare_spectrum(self._likelihood, [mu**2])
        self._panels.update(compared)
        self._top.legend(**_ABOVE)
        shown = compared.edges  # without the bins left out, where bins have numbers instead of energies
        cut = shown[0 if compared.unit == "bin" else self.controls["threshold"].value - 1]
        for span in self._left_out:
            span.set_width(cut - shown[0])
            span.set_x(shown[0])


def _count_thresholds(likelihood: Likelihood) -> int:
    """Number of bins at which a threshold can be put, so that two bins or more are left."""
    return len(likelihood.experiment.edges) - 2
