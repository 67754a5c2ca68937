"""Explorer of the profile of β, with controls for errors, scan, closure and bounds, and the vortices at one β."""

from __future__ import annotations

import numpy as np
from matplotlib.collections import LineCollection
from matplotlib.patches import Circle

from leptonfit.claims.december_2025.reported import load_claims
from leptonfit.inference.continuation import ProfilePath, watched
from leptonfit.inference.identifiability import VerdictResult, assess_profile
from leptonfit.inference.multistart import CHI2_FLOOR, Effort, format_chi2
from leptonfit.inference.problem import LeastSquaresProblem
from leptonfit.inference.profile import ProfileResult, scan_profile
from leptonfit.inference.solve import solve
from leptonfit.vortex.c_mu import CMuResult, feasible_c_mu
from leptonfit.vortex.closures import CLOSURES
from leptonfit.vortex.measurements import load_measurements
from leptonfit.vortex.model import BOUNDS, LEPTONS, VortexModel
from leptonfit.workbook.declarations import Value, read_notebook
from leptonfit.workbook.explore.controls import choice, log_slider, range_slider, slider, tidy
from leptonfit.workbook.explore.explorer import Drawing, Explorer
from leptonfit.workbook.explore.vortex import SHADES, SYMBOLS, trace_streamlines
from leptonfit.workbook.figures.fits import ProfileCurve
from leptonfit.workbook.figures.style import BLUE, GREEN, RED

N_STARTS = 2
"""Fresh starts at each β: an eighth of the notebook's starts. All are used if the verdict would be `unreliable`."""
_POINTS, _C_MU_POINTS = 41, 9
_SKETCHED = 30
"""Largest number of steps of a fit in the first picture of a new state."""
_COMPUTING = "The ends of the set and the verdict are being computed."
_CONTROLLED = ("sigma_m_model", "sigma_g_model", "beta_min", "beta_max", "r_max", "closure", "bounds")
_HIGHEST = 5.0
"""Upper end of the β sliders."""
_Found = tuple[dict[str, Value], ProfileResult, VerdictResult, CMuResult]
"""Parameters, and the results computed with them."""


class ProfileExplorer(Explorer):
    """Explorer that shows χ²_min(β), its identified set, the feasible C_μ, the verdict, and three vortices at one β.

    Parameters
    ----------
    **start
        Initial values for the parameters of `02_profile_scan` that have a control; by default those of the notebook.

    Raises
    ------
    TypeError
        For a parameter without a control.
    """

    notebooks = ("02_profile_scan", "03_c_mu_calibration")

    def __init__(self, **start: Value) -> None:
        if unknown := start.keys() - _CONTROLLED:
            raise TypeError(f"{sorted(unknown)[0]}: must be one of {', '.join(_CONTROLLED)}")
        notebook = read_notebook("02_profile_scan")
        declared, default = notebook.parameters, notebook.resolve(start)
        self._n_starts = int(default["n_starts"])
        self._measured = load_measurements(str(default["measurements"]))
        self._reference = load_claims()["golden_loop"]["beta"]
        self._seed = int(str(default["seed"]))
        exact = {name: float(default[name]) for name in ("sigma_m_model", "sigma_g_model", "r_max")}
        self._found: _Found | None = None
        self._points: tuple[np.ndarray, np.ndarray]  # grid (n,) and parameters (n, n_par) of the last picture
        scan = float(default["beta_min"]), float(default["beta_max"])
        lowest, highest = declared["beta_min"].low, max(_HIGHEST, scan[1])
        super().__init__(
            {
                "sigma_m_model": log_slider(declared["sigma_m_model"], float(default["sigma_m_model"])),
                "sigma_g_model": log_slider(declared["sigma_g_model"], float(default["sigma_g_model"])),
                "scan": range_slider("scan of β", scan, lowest, highest, 0.05, width="48rem"),
                "r_max": log_slider(declared["r_max"], float(default["r_max"]), step=0.05),
                "closure": choice("closure", tuple(CLOSURES), default["closure"]),
                "bounds": choice("bounds", tuple(BOUNDS), default["bounds"]),
                "beta": slider("vortices at β", sum(scan) / 2, lowest, highest, 0.01),
            },
            size=(9.2, 4.5),
            exact=exact,
        )

    @property
    def profile(self) -> ProfileResult:
        """Profile on screen."""
        return self._current[1]

    @property
    def verdict(self) -> VerdictResult:
        """Verdict on screen."""
        return self._current[2]

    def parameters(self) -> dict[str, Value]:
        """Return the parameters for the notebooks."""
        low, high = self.controls["scan"].value
        numbers = {name: tidy(self.read(name)) for name in self._exact}
        return {
            **numbers,
            "beta_min": tidy(low),
            "beta_max": tidy(high),
            "n_beta": _POINTS,
            "closure": self.controls["closure"].value,
            "bounds": self.controls["bounds"].value,
        }

    def set_up(self) -> None:
        """Create three panels: profile, C_μ and vortices."""
        grid = self.figure.add_gridspec(
            2, 2, width_ratios=[1.15, 1], left=0.075, right=0.985, top=0.875, bottom=0.11, wspace=0.2, hspace=0.42
        )
        left, right, below = (self.figure.add_subplot(place) for place in (grid[:, 0], grid[0, 1], grid[1, 1]))
        self._left, self._right, self._below = left, right, below
        self._curve = ProfileCurve(left, r"$\beta$", reference=self._reference)
        (self._marker,) = left.plot([], [], "D", color="black", mfc="white", ms=7, label="vortices, below right")
        left.minorticks_off()
        left.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=2, fontsize=7.5, borderaxespad=0.2)
        self._band = right.fill_between([0, 1], [1, 1], [2, 2], color=GREEN, alpha=0.4, hatch="//")
        (self._fitted,) = right.plot([], [], ".", color=BLUE, ms=4)
        self._none = right.text(0.5, 0.5, "no exact solution in this scan", transform=right.transAxes, ha="center")
        right.set_yscale("log")
        right.set_xlabel(r"$\beta$ (dimensionless)")
        right.set_ylabel(r"$C_\mu$: feasible, fitted")
        for axis_formatter in (right.yaxis.set_major_formatter, right.yaxis.set_minor_formatter):
            axis_formatter("{x:g}")
        below.set_aspect("equal")
        below.set_axis_off()
        below.set_xlim(-1.3, 7.3)
        below.set_ylim(-2.2, 1.45)
        self._streamlines = trace_streamlines(extent=1.25)
        self._vortices = []
        for number, lepton in enumerate(LEPTONS):
            disc, lines = Circle((3.0 * number, 0), 1.15, ec="black", lw=1), LineCollection([], colors=RED)
            below.add_patch(disc)
            below.add_collection(lines)
            text = below.text(3.0 * number, -2.2, "", ha="center", va="bottom", fontsize=7.5)
            self._vortices.append((lepton, disc, lines, text))

    def advance(self) -> Drawing:
        """Refit the points of the state before and show them; then scan and assess the new state."""
        chosen = self.parameters()
        if self._found is None or self._found[0] != chosen:
            if self._found is not None:
                self._sketch(chosen)
                yield None
            self._found = yield lambda: self._scan(chosen)
        chosen, profile, verdict, feasible = self._current
        problem, grid = self._model(chosen).problem, profile.grid
        self._points = grid, profile.x
        self._curve.update(profile)
        beta = self._clip_beta(grid)
        start = profile.x[np.argmin(np.abs(grid - beta))].copy()
        start[problem.index("beta")] = beta
        x = solve(problem, start, fixed=("beta",)).x
        self._draw(problem, x, feasible, verdict.code, verdict.sentence)
        yield None

    def refine(self, so_far: tuple[np.ndarray, ...]) -> None:
        """Show χ² (n,) along the scan so far; the points are x (n, n_par), and some are trusted (n,)."""
        grid, x, chi2, trusted = so_far
        self._points = grid, x
        self._curve.sketch(grid, chi2)
        self._round_left()
        self.say("computing", f"{trusted.sum()} of {len(grid)} points can be trusted so far. {_COMPUTING}")

    def _sketch(self, chosen: dict[str, Value]) -> None:
        """Show χ² along the new scan, fitted in a few steps from the nearest points of the state before."""
        model, grid = self._model(chosen), self._grid(chosen)
        problem = model.problem
        before, x = self._points
        theta = np.append(grid, self._clip_beta(grid))
        start = x[np.abs(theta[:, None] - before).argmin(axis=1)].copy()
        start = np.clip(np.where(np.isfinite(start), start, problem.start), problem.lower, problem.upper)
        start[:, problem.index("beta")] = theta
        fit = solve(problem, start, fixed=("beta",), max_iter=_SKETCHED)
        self._points = grid, fit.x[:-1]
        self._curve.sketch(grid, fit.chi2[:-1])
        feasible = self._find_c_mu(model, grid)
        self._draw(problem, fit.x[-1], feasible, "computing", _COMPUTING)

    def _draw(self, problem: LeastSquaresProblem, x: np.ndarray, feasible: CMuResult, code: str, sentence: str) -> None:
        """Show the fit x (n_par,) at one β and C_μ beside the curve, and the code and the sentence."""
        beta, chi2 = float(x[problem.index("beta")]), float(np.sum(problem.residuals(x) ** 2))
        self._marker.set_data([beta], [max(chi2, CHI2_FLOOR)])
        self._round_left()
        grid, points = self._points
        self._update_c_mu(grid, points[:, problem.index("c_mu")], feasible)
        self._update_vortices(dict(zip(problem.names, x, strict=True)))
        exact = feasible.joint[feasible.is_feasible]
        interval = f"C_μ {exact[:, 0].min():.5g} to {exact[:, 1].max():.5g}" if len(exact) else "no C_μ fits exactly"
        here = f"At β = {beta:.4g}, χ² is {format_chi2(chi2)}; vortices are drawn at one size."
        self.say(code, f"{sentence} In this scan, {interval}. {here}")

    def _clip_beta(self, grid: np.ndarray) -> float:
        """Value on the slider of β, or the nearest inside the scan."""
        return float(np.clip(self.controls["beta"].value, grid[0], grid[-1]))

    def _round_left(self) -> None:
        self._left.set_ylim(*_round_out(*self._left.get_ylim(), decades=1))

    @property
    def _current(self) -> _Found:
        if self._found is None:
            self._found = self._scan(self.parameters())
        return self._found

    def _scan(self, chosen: dict[str, Value]) -> _Found:
        model, grid = self._model(chosen), self._grid(chosen)
        problem = model.problem

        def see(path: ProfilePath) -> None:
            if path.problem is not problem:  # with bounds released
                return
            at = np.searchsorted(path.theta, grid)
            if np.isfinite(path.chi2[at]).any():
                self.report(grid, path.x[at], path.chi2[at], path.trusted()[at])

        for n_starts in (N_STARTS, self._n_starts):
            effort = Effort(n_starts, self._seed)
            with watched(see):
                profile = scan_profile(problem, "beta", grid, effort=effort, references=(self._reference,))
            verdict = assess_profile(problem, profile, reference=self._reference)
            if verdict.code != "unreliable":
                break
        return chosen, profile, verdict, self._find_c_mu(model, grid)

    def _grid(self, chosen: dict[str, Value]) -> np.ndarray:
        return np.linspace(float(chosen["beta_min"]), float(chosen["beta_max"]), _POINTS)

    def _find_c_mu(self, model: VortexModel, grid: np.ndarray) -> CMuResult:
        return feasible_c_mu(model, grid[:: (_POINTS - 1) // (_C_MU_POINTS - 1)])

    def _model(self, chosen: dict[str, Value]) -> VortexModel:
        return VortexModel(
            self._measured,
            sigma_m_model=float(chosen["sigma_m_model"]),
            sigma_g_model=float(chosen["sigma_g_model"]),
            closure=str(chosen["closure"]),
            r_max=float(chosen["r_max"]),
            bounds=BOUNDS[str(chosen["bounds"])],
        )

    def _update_c_mu(self, grid: np.ndarray, fitted: np.ndarray, feasible: CMuResult) -> None:
        self._right.set_xlim(self._left.get_xlim())
        exact = feasible.is_feasible
        self._none.set_visible(not exact.any())
        low, high = feasible.joint[exact].T if exact.any() else np.ones((2, 0))
        self._band.set_data(feasible.beta[exact], low, high)
        self._fitted.set_data(grid, fitted)
        ends = np.append(low, high) if exact.any() else fitted[np.isfinite(fitted)]
        self._right.set_ylim(*_round_out(ends.min() / 1.1, ends.max() * 1.1, decades=0.1))

    def _update_vortices(self, x: dict[str, float]) -> None:
        for number, (lepton, disc, lines, text) in enumerate(self._vortices):
            radius, velocity, amplitude = (x[f"{kind}_{lepton}"] for kind in "RUA")
            disc.set_facecolor(SHADES(1 - amplitude))
            lines.set_segments([1.15 * line + [3.0 * number, 0] for line in self._streamlines])
            lines.set_linewidth(0.4 + 1.2 * velocity / (0.5 + velocity))
            text.set_text(f"{SYMBOLS[lepton]}: R = {radius:.4g}\nU = {velocity:.4g}, A = {amplitude:.4g}")


def _round_out(low: float, high: float, *, decades: float) -> tuple[float, float]:
    """Range of a logarithmic axis in whole steps, so that its ticks are seldom drawn again."""
    first, last = np.floor(np.log10(low) / decades), np.ceil(np.log10(high) / decades)
    return float(10 ** (decades * first)), float(10 ** (decades * last))
