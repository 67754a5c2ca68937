"""Explorer of a multi-start: the waterfall plot grows as this solver, or the report's optimiser, runs the starts."""

from __future__ import annotations

from functools import partial

import ipywidgets as widgets
import numpy as np

from leptonfit.claims.december_2025.reported import load_claims, run_reported_optimiser
from leptonfit.inference.identifiability import assess_multistart
from leptonfit.inference.multistart import CHI2_FLOOR, Effort, draw_starts, format_chi2, run_multistart
from leptonfit.inference.solve import solve
from leptonfit.vortex.measurements import load_measurements
from leptonfit.vortex.model import BOUNDS, VortexModel
from leptonfit.workbook.declarations import Value, read_notebook
from leptonfit.workbook.explore.controls import choice, whole
from leptonfit.workbook.explore.explorer import Drawing, Explorer
from leptonfit.workbook.figures.fits import EndPoints, label_waterfall
from leptonfit.workbook.figures.style import BLUE, GREEN, GREY

OURS, REPORTED = "this solver", "the report's"
_PARTS = {OURS: 8, REPORTED: 1}
"""Number of starts between two pictures, by optimiser."""


class MultistartExplorer(Explorer):
    """Explorer with controls for number of starts, optimiser and seed; shows sorted χ² and the final β of each start.

    Parameters
    ----------
    **start
        Parameters of `01_multi_start` that differ from its defaults.
    """

    notebooks = ("01_multi_start",)

    def __init__(self, **start: Value) -> None:
        self._given = start
        declared = read_notebook("01_multi_start")
        default = declared.resolve(start)
        self._claims = load_claims()
        box = {**BOUNDS[str(default["bounds"])], "beta": tuple(self._claims["multi_start"]["beta_box"])}
        self._problem = VortexModel(
            load_measurements(str(default["measurements"])),
            sigma_m_model=float(default["sigma_m_model"]),
            sigma_g_model=float(default["sigma_g_model"]),
            closure=str(default["closure"]),
            r_max=float(default["r_max"]),
            bounds=box,
        ).problem
        fewest = int(declared.parameters["n_starts"].low)
        super().__init__(
            {
                "n_starts": whole("n_starts", int(default["n_starts"]), fewest, max(128, int(default["n_starts"]))),
                "optimiser": choice("optimiser", (OURS, REPORTED), OURS),
                "seed": widgets.BoundedIntText(
                    value=int(default["seed"]), min=0, max=2**53, description="seed", layout={"width": "14rem"}
                ),
            },
            size=(9.2, 3.6),
        )

    def parameters(self) -> dict[str, Value]:
        """Return the parameters for the notebook, which runs both optimisers."""
        return {**self._given, "n_starts": self.controls["n_starts"].value, "seed": self.controls["seed"].value}

    def set_up(self) -> None:
        """Create two panels: the waterfall plot, and χ² against β."""
        left, right = self.figure.subplots(
            1, 2, sharey=True, gridspec_kw={"left": 0.08, "right": 0.985, "top": 0.9, "bottom": 0.14, "wspace": 0.06}
        )
        self._ends = []
        for ax in (left, right):
            self._ends.append(EndPoints(ax, "start", "o", BLUE))
            ax.axhline(CHI2_FLOOR, color=GREY, lw=0.8)
        left.set_ylim(CHI2_FLOOR / 10, 1e16)
        label_waterfall(left)
        right.set_xlim(*self._claims["multi_start"]["beta_box"])
        right.axvline(self._claims["golden_loop"]["beta"], color=GREEN, ls=":", lw=1.2)
        right.set_xlabel(r"$\beta$ at the end; dotted: the reference")
        self._left = left

    def advance(self) -> Drawing:
        """Run a few starts between pictures; at the end, show the verdict."""
        n_starts, seed = self.controls["n_starts"].value, self.controls["seed"].value
        optimiser = self.controls["optimiser"].value
        problem, options = self._problem, self._claims["multi_start"]["optimiser"]
        starts = draw_starts(problem, n_starts, np.random.default_rng(seed))
        chi2, beta, converged = np.empty((3, 0))
        for first in range(0, n_starts, _PARTS[optimiser]):
            part = starts[first : first + _PARTS[optimiser]]
            if optimiser == OURS:
                end = yield partial(solve, problem, part)
            else:
                end = yield partial(run_reported_optimiser, problem, part, options)
            chi2, converged = np.append(chi2, end.chi2), np.append(converged, end.converged)
            beta = np.append(beta, end.x[:, problem.index("beta")])
            for ends, along in zip(self._ends, (None, beta), strict=True):
                ends.update(chi2, converged.astype(bool), along)
            self._left.set_xlim(0, n_starts + 1)
            self.say("running", f"{len(chi2)} of {n_starts} starts by {optimiser} optimiser.")
            if len(chi2) < n_starts:
                yield None
        if optimiser == OURS:
            result = yield lambda: run_multistart(problem, effort=Effort(n_starts, seed))
            band = assess_multistart(problem, result, "beta")
            self.say(band.code, f"{result.summary()}. {band.sentence}")
        else:
            stationary = int(converged.sum())
            lowest = f"{format_chi2(float(np.nanmin(chi2)))} at β = {beta[np.nanargmin(chi2)]:.4f}"
            stops = f"The report's optimiser stops where χ² is stationary at {stationary} of {n_starts} starts"
            self.say("reported", f"{stops}; the lowest χ² is {lowest}.")
        yield None
