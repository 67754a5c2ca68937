"""Figures of the report's extra terms against a baseline."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from leptonfit.claims.nu838.discrepancy import REPORTED
from leptonfit.claims.nu838.model_comparison import PRIOR_DOMINATED
from leptonfit.workbook.figures.style import BLUE, GREY, ORANGE, RED

if TYPE_CHECKING:
    from leptonfit.claims.nu838.model_comparison import ComparisonResult, ModelResult

_MARKERS = (("o", BLUE), ("s", ORANGE))
"""Marker and colour of the first and of the second selection of data sets."""
_CORNER = ("mu0", "k_STG", "beta_TPR", "alpha_thr", "theta_Coh", "eta_Damp", "x_bend")


def plot_models(
    axes: tuple[Axes, Axes], found: Sequence[ComparisonResult], report: Mapping[str, Any]
) -> tuple[Axes, Axes]:
    """LnK by selection beside the claimed value, and ratio of posterior to prior width of the report's parameters."""
    left, right = axes
    claimed, error = report["result"]["lnK"]
    left.axvspan(claimed - error, claimed + error, color=RED, alpha=0.15, lw=0)
    left.axvline(claimed, color=RED, ls="--", label=f"claimed, {claimed:g} ± {error:g}")
    left.axvline(0, color=GREY, lw=0.8)
    for row, one in enumerate(found):
        marker, colour = _MARKERS[row]
        value, spread = one.log_bayes_factor
        left.errorbar(value, row, xerr=spread, fmt=marker, color=colour, capsize=3)
        for j, name in enumerate(REPORTED):
            width = one.eft.width[one.eft.fit.names.index(name)]
            right.plot(width, j + 0.22 * (row - 1), marker, color=colour, label=one.selection if j == 0 else None)
    left.set_yticks(range(len(found)), [one.selection for one in found])
    left.set_ylim(len(found) - 0.5, -0.5)
    left.set_xlabel("lnK, EFT over baseline")
    left.legend(fontsize=7.5, loc="lower left", bbox_to_anchor=(0, 1))
    right.axvspan(PRIOR_DOMINATED, 1.4, color=GREY, alpha=0.15, lw=0)
    right.axvline(PRIOR_DOMINATED, color=GREY, lw=0.8, ls=":")
    right.set_xlim(0, 1.25)
    right.set_yticks(range(len(REPORTED)), REPORTED)
    right.set_ylim(len(REPORTED) - 0.4, -0.6)
    right.set_xlabel("posterior width / prior width; shaded: not measured")
    right.legend(fontsize=7.5, ncols=3, loc="lower left", bbox_to_anchor=(0, 1))
    return axes


def plot_corner(figure: Figure, models: Mapping[str, ModelResult]) -> Figure:
    """Posterior contours (68 %, 95 %) of some of the report's parameters by selection; needs no layout engine."""
    import corner

    labels = [{"mu0": "mu0 (1e-11 μ_B)", "x_bend": "log10 x_bend/keV"}.get(name, name) for name in _CORNER]
    drawn = {}
    for selection, model in models.items():
        drawn[selection] = samples = model.samples[:, [model.fit.names.index(name) for name in _CORNER]]
        samples[:, _CORNER.index("mu0")] *= 1e11
        samples[:, _CORNER.index("x_bend")] = np.log10(samples[:, _CORNER.index("x_bend")])
    every = np.concatenate(list(drawn.values()))
    ends = list(zip(every.min(axis=0), every.max(axis=0), strict=True))
    for (selection, samples), (_, colour) in zip(drawn.items(), _MARKERS, strict=False):
        with np.errstate(invalid="ignore"):
            corner.corner(
                samples,
                labels=labels,
                fig=figure,
                range=ends,
                color=colour,
                plot_datapoints=False,
                plot_density=False,
                label_kwargs={"fontsize": 7.5},
                max_n_ticks=3,
                smooth=1.0,
                levels=(0.68, 0.95),
                hist_kwargs={"density": True},
            )
        figure.axes[len(_CORNER) - 1].plot([], [], color=colour, label=selection)
    for ax in figure.axes:
        ax.tick_params(labelsize=6)
    figure.axes[len(_CORNER) - 1].legend(loc="upper right", fontsize=8)
    return figure


def plot_scorecard(ax: Axes, report: Mapping[str, Any], scores: Mapping[str, tuple[float, float]]) -> Axes:
    """Scorecard by dimension: claimed scores (open), computed scores (filled); lines join EFT and baseline."""
    dimensions = report["scorecard"]["dimension"]
    for row, one in enumerate(dimensions):
        for shift, pair, filled in ((-0.14, one["scores"], False), (0.14, scores.get(one["name"]), True)):
            if pair is None:
                continue
            ax.plot(pair, [row + shift] * 2, color=GREY, lw=0.8)
            for value, colour, marker in zip(pair, (RED, BLUE), "oD", strict=True):
                ax.plot(value, row + shift, marker, color=colour, mfc=colour if filled else "white", ms=5)
    for label, colour, marker, filled in (
        ("EFT, claimed", RED, "o", False),
        ("baseline, claimed", BLUE, "D", False),
        ("EFT, computed", RED, "o", True),
        ("baseline, computed", BLUE, "D", True),
    ):
        ax.plot([], [], marker, color=colour, mfc=colour if filled else "white", label=label)
    ax.set_yticks(range(len(dimensions)), [one["name"] for one in dimensions])
    ax.set_ylim(len(dimensions) - 0.4, -0.6)
    ax.set_xlim(-0.3, 10.3)
    ax.set_xlabel("score (0 to 10)")
    ax.legend(fontsize=7.5, ncols=4, loc="lower left", bbox_to_anchor=(-0.3, 1.0))
    return ax
