"""Figure of a fit: data with the best fit and residuals, and the profile of every parameter."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from leptonfit.inference.model_problem import ModelProblem
from leptonfit.inference.profile import scan_released
from leptonfit.workbook.figures.style import BLUE, GREEN, GREY, ORANGE, RED, STYLE

if TYPE_CHECKING:
    from leptonfit.inference.assess import AssessmentResult
    from leptonfit.inference.problem import LeastSquaresProblem
    from leptonfit.inference.profile import ProfileResult

_COLOURS = {"identified": GREEN, "bound_limited": GREEN, "disjoint": GREEN}
_N_CURVE = 201
_COLUMNS = 3
_TOP, _LOW_TOP = 3.0, 2.25
"""Height of a profile's axis, in units of the level: beside other profiles, and below the data."""


def plot_answer(problem: LeastSquaresProblem, result: AssessmentResult) -> Figure:
    """Data with the best fit, and the profile of each parameter: green where the data determine it, orange where not.

    Returns
    -------
    Figure
    """
    shows_data = isinstance(problem, ModelProblem) and np.ndim(problem.data.x) == 1
    n_rows = -(-len(result.profiles) // _COLUMNS)
    heights = [1.3] * shows_data + [1.0] * n_rows
    with plt.style.context(STYLE):
        figure = plt.figure(figsize=(9.0, 2.6 * sum(heights)), layout="constrained")
        grid = figure.add_gridspec(len(heights), _COLUMNS, height_ratios=heights)
        if isinstance(problem, ModelProblem) and shows_data:
            plot_data(figure.add_subplot(grid[0, :2]), problem, result.best_x)
            plot_residuals(figure.add_subplot(grid[0, 2]), problem, result.best_x)
        for number, (name, profile) in enumerate(result.profiles.items()):
            row, column = divmod(number, _COLUMNS)
            ax = figure.add_subplot(grid[row + shows_data, column])
            released = scan_released(problem, profile) if name in problem.names else None
            plot_assessed_profile(ax, profile, released, result.verdicts[name].code)
        plt.close(figure)
    return figure


def plot_data(ax: Axes, problem: ModelProblem, x: np.ndarray) -> Any:
    """Data with errors, and the model at parameters x (n_par,)."""
    data = problem.data
    ax.errorbar(data.x, data.y, data.errors, fmt="o", color="black", ms=3.5, lw=1, label="data")
    curve = np.linspace(data.x.min(), data.x.max(), _N_CURVE)
    (line,) = ax.plot(curve, np.broadcast_to(problem.predict(curve, x), curve.shape), color=BLUE, label="best fit")
    ax.set_xlabel(data.x_name)
    ax.set_ylabel(data.y_name)
    ax.legend()
    return line


def plot_allowed_fits(ax: Axes, problem: ModelProblem, profile: ProfileResult, until: float) -> Axes:
    """Data, and the fits of a profile within its highest level, drawn from the first x to `until`."""
    data = problem.data
    curve = np.linspace(data.x.min(), until, _N_CURVE)
    allowed = profile.chi2_min - profile.best_chi2 <= max(profile.levels.values())
    for x in profile.x[allowed]:
        ax.plot(curve, problem.predict(curve, x), color=ORANGE, lw=0.8, alpha=0.6)
    ax.plot([], [], color=ORANGE, lw=0.8, label=f"fits allowed at {_percent(profile)}")
    ax.plot(curve, problem.predict(curve, profile.best_x), color=BLUE, label="best fit")
    ax.errorbar(data.x, data.y, data.errors, fmt="o", color="black", ms=3, lw=1, label="data")
    ax.set_xlim(curve[0] - 0.02 * until, 1.02 * until)
    return ax


def plot_profile_by_cause(ax: Axes, within: ProfileResult, alone: ProfileResult, code: str) -> Axes:
    """Δχ² of the data alone, and its part within the given bounds that search bounds of other parameters make.

    Parameters
    ----------
    ax : Axes
    within : ProfileResult
        Profile within the given bounds.
    alone : ProfileResult
        Profile with bounds so wide that none is active.
    code : str
        Code of the verdict, which is the title.
    """
    colour, level = _COLOURS.get(code, RED), max(alone.levels.values())
    for low, high in within.released_set[max(within.levels, key=float)].intervals:
        ends = max(low, within.grid[0], alone.grid[0]), min(high, alone.grid[-1])
        ax.axvspan(*ends, color=colour, alpha=0.13, lw=0, label=f"{_percent(alone)} set of the data")
    ax.plot(alone.grid, alone.chi2_min - alone.best_chi2, color=colour, label="data alone")
    others = [j for j, name in enumerate(within.names) if name != within.parameter]
    held, rise = within.on_bounds[:, others].any(axis=1), within.chi2_min - within.best_chi2
    ax.plot(within.grid, np.where(held, rise, np.nan), color=ORANGE, ls=":", lw=2)
    shown = np.flatnonzero(held & (rise <= _LOW_TOP * level))
    if len(shown):
        text = (
            f"made by the\nbounds of {', '.join(within.names[j] for j in others if within.on_bounds[shown, j].any())}"
        )
        at = within.grid[shown[-1]], rise[shown[-1]]
        ax.annotate(text, at, xytext=(6, 0), textcoords="offset points", va="top")
    ax.axhline(level, color=GREY, ls="--", lw=1, label=f"{_percent(alone)} level")
    ax.set_ylim(0, _LOW_TOP * level)
    ax.set_xlabel(within.parameter)
    ax.set_ylabel(r"$\Delta\chi^2$")
    ax.set_title(f"{within.parameter} is {code.replace('_', ' ')}", color=colour)
    return ax


def _percent(profile: ProfileResult) -> str:
    return f"{100 * float(max(profile.levels, key=float)):g} %"


def plot_residuals(ax: Axes, problem: ModelProblem, x: np.ndarray) -> Any:
    """Residuals at parameters x (n_par,), in standard errors."""
    ax.axhline(0, color=GREY, lw=0.8)
    (points,) = ax.plot(problem.data.x, -problem.residuals(x), "o", color=BLUE, ms=3.5)
    ax.set_xlabel(problem.data.x_name)
    ax.set_ylabel("(data − model)/σ")
    return points


def plot_assessed_profile(ax: Axes, profile: ProfileResult, released: ProfileResult | None, code: str) -> Axes:
    """Δχ² along one parameter with its set and the level, dotted within the given bounds where others were released."""
    colour = _COLOURS.get(code, RED)
    level, shown = max(profile.levels.values()), released or profile
    rise = shown.chi2_min - shown.best_chi2
    ax.plot(shown.grid, rise, color=colour)
    ax.plot(shown.grid[~shown.trusted], rise[~shown.trusted], "x", color=RED, ms=5)
    if released is not None:
        ax.plot(profile.grid, profile.chi2_min - profile.best_chi2, color=ORANGE, ls=":", lw=2)
    ax.axhline(level, color=GREY, ls="--", lw=1)
    for low, high in profile.released_set[max(profile.levels, key=float)].intervals:
        ax.axvspan(max(low, shown.grid[0]), min(high, shown.grid[-1]), color=colour, alpha=0.13, lw=0)
    ax.set_xlim(shown.grid[0], shown.grid[-1])
    ax.set_ylim(0, _TOP * level)
    ax.set_xlabel(profile.parameter)
    ax.set_ylabel(r"$\Delta\chi^2$")
    ax.set_title(code.replace("_", " "), fontsize=9, color=colour)
    return ax
