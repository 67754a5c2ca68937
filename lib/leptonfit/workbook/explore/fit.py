"""Explorer of a fit of one's own: every parameter on a slider, beside data, residuals and a profile."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

import ipywidgets as widgets
import numpy as np

from leptonfit.inference.assess import EFFORT
from leptonfit.inference.continuation import ProfilePath, watched
from leptonfit.inference.identifiability import VerdictResult, assess_profile
from leptonfit.inference.model_problem import ModelProblem
from leptonfit.inference.multistart import Effort
from leptonfit.inference.profile import ProfileResult, SetOptions, scan_profile, scan_released
from leptonfit.inference.scan import guess_ranges
from leptonfit.inference.solve import solve
from leptonfit.workbook.declarations import Declaration, Value
from leptonfit.workbook.explore.controls import choice, log_slider, slider
from leptonfit.workbook.explore.explorer import Drawing, Explorer
from leptonfit.workbook.figures.style import BLUE, GREEN, GREY, ORANGE, RED

DATA, PROFILED = "data set", "profile of"
"""Names of the two lists; they hold a space, so that no parameter has the same name."""
_LOGARITHMIC = 1e3
"""Ratio of positive bounds from which a slider is logarithmic."""
_N_STEPS, _N_CURVE = 500, 201
_TOP = 3.0
"""Height of the profile's axis, in units of the level."""
_EQUAL = 1e-6
"""Difference of two χ² that is zero to rounding, in units of the level."""


class FitExplorer(Explorer):
    """Explorer with a slider for each free parameter of a fit; it shows data, residuals, χ² and one profile.

    Parameters
    ----------
    problems : ModelProblem, or mapping of ModelProblem
        One fit, or fits of the same parameters to several data sets, by the name of the data. x is one array.
    dataset, profiled : str, optional
        Data set and parameter shown first; by default the first ones.
    level : float
        Confidence level of the set.
    effort : Effort
        Fresh starts at each point of a profile; by default 16.

    Attributes
    ----------
    best_button : Button
        Puts the sliders at the best fit.
    refit_button : Button
        Fits all parameters but the profiled one, which keeps its value: the point moves onto the profile.

    Raises
    ------
    ValueError
        If the problems have different parameters, x is not one array, or there is no such data set or parameter.
    """

    def __init__(
        self,
        problems: ModelProblem | Mapping[str, ModelProblem],
        *,
        dataset: str | None = None,
        profiled: str | None = None,
        level: float = 0.95,
        effort: Effort = EFFORT,
    ) -> None:
        self._problems = {"data": problems} if isinstance(problems, ModelProblem) else dict(problems)
        first = next(iter(self._problems.values()))
        for one in self._problems.values():
            if one.parameters != first.parameters:
                raise ValueError("problems: must have the same parameters, with the same bounds")
            if np.ndim(one.data.x) != 1:
                raise ValueError("x: must be one array, to be drawn")
        dataset = dataset or next(iter(self._problems))
        if dataset not in self._problems:
            raise ValueError(f"data set {dataset!r}: must be one of {', '.join(self._problems)}")
        first.index(name := profiled or first.names[0])
        self._sets, self._effort, self._is_refit = SetOptions(levels=(level,)), effort, False
        self._found: dict[tuple[str, str], tuple[ProfileResult, VerdictResult, ProfileResult | None]] = {}
        best = dict(zip(first.names, self._find(dataset, name)[0].best_x.tolist(), strict=True))
        guessed = [guess_ranges(one, {}) for one in self._problems.values()]
        self.best_button = widgets.Button(description="put the sliders at the best fit", layout={"width": "16rem"})
        self.refit_button = widgets.Button(description="fit the other parameters", layout={"width": "16rem"})
        super().__init__(
            {
                DATA: choice(DATA, tuple(self._problems), dataset),
                PROFILED: choice(PROFILED, first.names, name),
                **{
                    one.name: _make_slider(
                        f"{one.symbol or one.name}{f' ({one.unit})' if one.unit else ''}",
                        best[one.name],
                        [*first.box(one.name), *(end for found in guessed for end in found.get(one.name, ()))],
                    )
                    for one in first.parameters
                },
            },
            size=(9.2, 4.2),
            actions=(self.best_button, self.refit_button),
            exact=best,
        )
        self.best_button.on_click(lambda _: self.call(self.fit))
        self.refit_button.on_click(self._ask_refit)

    @property
    def profile(self) -> ProfileResult:
        """Profile within the given bounds of the parameter on screen."""
        return self._find(*self._key)[0]

    @property
    def verdict(self) -> VerdictResult:
        """Verdict on the parameter whose profile is on screen."""
        return self._find(*self._key)[1]

    @property
    def released(self) -> ProfileResult | None:
        """Profile on screen with search bounds of other parameters released; None if none of them changes it."""
        return self._find(*self._key)[2]

    @property
    def chi2(self) -> float:
        """χ² at the sliders; nan or infinite where the model is not finite."""
        with np.errstate(all="ignore"):
            return float(np.sum(self._problem.residuals(self._x) ** 2))

    def fit(self) -> None:
        """Put the sliders at the best fit."""
        self._put(self.profile.best_x)

    def refit(self) -> None:
        """Fit all parameters but the profiled one, from the point on screen."""
        self._is_refit = True
        self.draw()

    def parameters(self) -> dict[str, Value]:
        """Return the parameters of the fit at the sliders."""
        return {name: self.read(name) for name in self._problem.names}

    def commands(self) -> list[str]:
        """Return the lines of Python that compute χ² of the state on screen from its problem."""
        x = ", ".join(repr(value) for value in self._x.tolist())
        return [f"x = np.array([{x}])  # {', '.join(self._problem.names)}", "np.sum(problem.residuals(x) ** 2)"]

    def set_up(self) -> None:
        """Create three panels: data with the model, residuals, and the profile."""
        grid = self.figure.add_gridspec(
            2,
            2,
            width_ratios=[1.3, 1],
            height_ratios=[2.4, 1],
            left=0.075,
            right=0.985,
            top=0.9,
            bottom=0.12,
            wspace=0.2,
        )
        top, below, right = (self.figure.add_subplot(place) for place in (grid[0, 0], grid[1, 0], grid[:, 1]))
        below.sharex(top)
        top.tick_params(labelbottom=False)
        self._top, self._below, self._right = top, below, right
        self._points = {}
        for name, problem in self._problems.items():
            data = problem.data
            bars = top.errorbar(data.x, data.y, data.errors, fmt="o", color="black", ms=3.5, lw=1)
            self._points[name] = bars.get_children()
        self._at_best = top.plot([], [], "--", color=GREY, lw=1.2, label="best fit")[0]
        self._model = top.plot([], [], color=BLUE, label="at the sliders")[0]
        below.axhline(0, color=GREY, lw=0.8)
        self._residuals = below.plot([], [], "o", color=BLUE, ms=3.5)[0]
        below.set_ylabel("(data − model)/σ")
        self._curve = right.plot([], [], color=BLUE, label="profile")[0]
        self._within = right.plot([], [], color=ORANGE, ls=":", lw=2, label="within bounds")[0]
        self._bad = right.plot([], [], "x", color=RED, ms=5, label="not trusted")[0]
        self._level = right.axhline(0, color=GREY, ls="--", lw=1)
        self._allowed = right.plot(
            [], [], color=GREEN, lw=5, alpha=0.5, solid_capstyle="butt", label="allowed by the data"
        )[0]
        self._here = right.plot([], [], "D", color=ORANGE, mec="black", ms=7, label="sliders")[0]
        right.set_ylabel(r"$\Delta\chi^2$ above the best fit")
        above: dict[str, Any] = {"loc": "lower left", "bbox_to_anchor": (0, 1), "borderaxespad": 0.2, "frameon": False}
        for ax in (top, right):
            ax.legend(ncols=3, fontsize=7.5, columnspacing=1, handlelength=1.4, **above)

    def _ask_refit(self, button: object) -> None:
        self._is_refit = True
        self._notice(button)

    def advance(self) -> Drawing:
        """Show the model at the sliders, then the profile and the verdict, which take longer when they are new."""
        if self._is_refit:
            self._is_refit = False
            fit = yield partial(solve, self._problem, self._x, fixed=(self._key[1],))
            before, self._quiet = self._quiet, True
            self._put(fit.x)
            self._quiet = before
        self._show_model()
        self.best_button.disabled = self._key not in self._found
        if self._key not in self._found:
            for line in (self._at_best, self._curve, self._within, self._bad, self._allowed, self._here):
                line.set_data([], [])
            computing = f"the profile of {self._key[1]} is being computed"
            self.say("computing", f"χ² = {self.chi2:.5g} at the sliders; {computing}.")
            yield None
            yield partial(self._watch, *self._key)
            self.best_button.disabled = False
        self._show_profile()
        profile, chi2, level = self.profile, self.chi2, max(self.profile.levels.values())
        rise = chi2 - profile.best_chi2
        if not np.isfinite(chi2):
            said = "The model is not finite at the sliders."
        elif abs(rise) <= _EQUAL * level * max(1.0, profile.best_chi2):
            said = f"χ² = {chi2:.5g} at the sliders, which are at the best fit."
        else:
            side = "above" if rise > 0 else "below"
            said = f"χ² = {chi2:.5g} at the sliders, {abs(rise):.4g} {side} the best fit's {profile.best_chi2:.5g}."
        if rise < -_EQUAL * level * max(1.0, profile.best_chi2):
            self.say("unreliable", f"{said} The best fit is not the best: the profile needs more starts.")
        else:
            self.say(self.verdict.code, f"{said} {self.verdict.sentence}")
        yield None

    def refine(self, so_far: tuple[np.ndarray, ...]) -> None:
        """Show the profile so far: Δχ² (n,) above the lowest χ² known, at values (n,), and which are trusted (n,)."""
        values, rises, trusted = so_far
        self._curve.set_data(values, rises)
        self._bad.set_data(values[~trusted], rises[~trusted])
        near = values[rises <= max(self._right.get_ylim()[1], rises.min())]
        self._right.set_xlim(*_widen(near.min(), near.max(), 0.03))
        said = f"{trusted.sum()} of {len(values)} points of the profile of {self._key[1]} can be trusted so far"
        self.say("computing", f"χ² = {self.chi2:.5g} at the sliders; {said}.")

    def _watch(self, dataset: str, name: str) -> None:
        """Compute a profile, and report its points meanwhile."""

        def see(path: ProfilePath) -> None:
            is_within_bounds = path.problem is self._problems[dataset]
            if is_within_bounds and np.isfinite(path.best_chi2):
                self.report(path.theta, path.chi2 - path.best_chi2, path.trusted())

        with watched(see):
            self._find(dataset, name)

    def _show_model(self) -> None:
        (dataset, _), problem, x = self._key, self._problem, self._x
        data = problem.data
        for name, artists in self._points.items():
            for artist in artists:
                artist.set_visible(name == dataset)
        self._top.set_ylabel(data.y_name)
        self._below.set_xlabel(data.x_name)
        self._model.set_data(*self._predict(x))
        with np.errstate(all="ignore"):
            residuals = -problem.residuals(x)
        self._residuals.set_data(data.x, residuals)
        self._top.set_xlim(*_widen(data.x.min(), data.x.max(), 0.05))
        self._top.set_ylim(*_widen((data.y - data.errors).min(), (data.y + data.errors).max(), 0.15))
        largest = float(np.max(np.abs(residuals[np.isfinite(residuals)]), initial=3.0))
        reach = 1.2 * 2.0 ** np.ceil(np.log2(largest / 3)) * 3  # few values, so that the frame is seldom drawn again
        self._below.set_ylim(-reach, reach)

    def _show_profile(self) -> None:
        profile, name = self.profile, self._key[1]
        shown = self.released or profile
        key, level = max(profile.levels.items(), key=lambda item: item[1])
        rises = shown.chi2_min - shown.best_chi2
        value, bad = self.read(name), ~shown.trusted
        low, high = _widen(min(shown.grid[0], value), max(shown.grid[-1], value), 0.03)
        ends = np.clip(profile.released_set[key].intervals, low, high)
        self._at_best.set_data(*self._predict(profile.best_x))
        self._curve.set_data(shown.grid, rises)
        self._bad.set_data(shown.grid[bad], rises[bad])
        within = profile.chi2_min - profile.best_chi2 if self.released else np.full(len(profile.grid), np.nan)
        self._within.set_data(profile.grid, within)
        self._level.set_ydata([level] * 2)
        self._allowed.set_data(np.column_stack([ends, np.full(len(ends), np.nan)]).ravel(), np.zeros(3 * len(ends)))
        self._here.set_data([value], [np.clip(self.chi2 - profile.best_chi2, 0, 0.97 * _TOP * level)])
        self._right.set_xlim(low, high)
        self._right.set_ylim(-0.05 * _TOP * level, _TOP * level)
        self._right.set_xlabel(f"{name}; dashed: the level {100 * float(key):g} %")

    def _predict(self, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        data = self._problem.data.x
        curve = np.linspace(data.min(), data.max(), _N_CURVE)
        with np.errstate(all="ignore"):
            return curve, np.broadcast_to(self._problem.predict(curve, x), curve.shape)

    @property
    def _key(self) -> tuple[str, str]:
        """Data set and parameter on screen."""
        return self.controls[DATA].value, self.controls[PROFILED].value

    @property
    def _problem(self) -> ModelProblem:
        return self._problems[self.controls[DATA].value]

    @property
    def _x(self) -> np.ndarray:
        """Parameters (n_par,) at the sliders, within the bounds."""
        problem = self._problem
        return np.clip([self.read(name) for name in problem.names], problem.lower, problem.upper)

    def _find(self, dataset: str, name: str) -> tuple[ProfileResult, VerdictResult, ProfileResult | None]:
        if (dataset, name) not in self._found:
            problem = self._problems[dataset]
            profile = scan_profile(problem, name, effort=self._effort, sets=self._sets)
            released = scan_released(problem, profile, effort=self._effort, n_grid=self._sets.n_grid)
            self._found[dataset, name] = profile, assess_profile(problem, profile), released
        return self._found[dataset, name]

    def _put(self, x: np.ndarray) -> None:
        self.put(**dict(zip(self._problem.names, x.tolist(), strict=True)))


def _make_slider(description: str, value: float, ends: list[float]) -> Any:
    """Slider from the lowest to the highest finite end; logarithmic if these are positive and far apart."""
    finite = [end for end in (*ends, value) if np.isfinite(end)]
    low, high = min(finite), max(finite)
    if low > 0 and high / low >= _LOGARITHMIC:
        declared = Declaration(name=description, default=value, kind=float, low=low, high=high)
        return log_slider(declared, value, step=float(np.log10(high / low)) / _N_STEPS)
    return slider(description, value, low, high, (high - low) / _N_STEPS, readout_format=".4g")


def _widen(low: float, high: float, share: float) -> tuple[float, float]:
    """Range with a margin on both sides, as a share of its length; never of length zero."""
    margin = share * (high - low) or 1.0
    return float(low - margin), float(high + margin)
