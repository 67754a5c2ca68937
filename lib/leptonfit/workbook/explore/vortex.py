"""Explorer of one vortex: shape, energies, mass, moment, and a walk along the degeneracy at fixed mass and moment."""

from __future__ import annotations

import asyncio

import ipywidgets as widgets
import matplotlib as mpl
import numpy as np

from leptonfit.claims.december_2025.reported import load_claims
from leptonfit.inference.multistart import CHI2_FLOOR
from leptonfit.inference.problem import LeastSquaresProblem, restrict
from leptonfit.inference.solve import solve
from leptonfit.vortex.flow import lay_out_flow
from leptonfit.vortex.measurements import QUANTITIES, load_measurements
from leptonfit.vortex.model import BOUNDS, LEPTONS, MOMENT_FACTOR, VortexModel
from leptonfit.workbook.declarations import Value, read_notebook
from leptonfit.workbook.explore.controls import choice, slider
from leptonfit.workbook.explore.explorer import Drawing, Explorer
from leptonfit.workbook.figures.leptons import FlowPicture, trace
from leptonfit.workbook.figures.style import BLUE, GREEN, ORANGE

SYMBOLS = {"e": "e", "mu": "μ", "tau": "τ"}
SHADES = mpl.colormaps["Blues_r"].resampled(256)
"""Colours for the density, from 0 to the density of the vacuum."""
_PARAMETERS = {"R": "radius", "U": "velocity", "A": "amplitude", "beta": "beta", "c_mu": "c_mu"}
"""Name in the notebook of each quantity shown."""
_EXTENT, _STEP, _PAUSE = 1.5, 1.01, 0.03
"""Half width of the picture, factor on β in one step of the walk, and seconds between two steps."""


def trace_streamlines(*, extent: float) -> list[np.ndarray]:
    """Return contours of ψ/(U R²), with the surface, as lines (n, 2) in units of R."""
    flow = lay_out_flow(0.0, r_max=2.0, extent=extent, n=121)
    return trace(flow, np.array([-0.17, -0.12, -0.06, 0.0, 0.05, 0.2, 0.45, 0.8]))


class VortexExplorer(Explorer):
    """Explorer of R, U, A of one lepton, β and C_μ in the stream closure; the walk changes β and refits R, U and A.

    Attributes
    ----------
    walk_button : ToggleButton
        The walk continues while this button is on.

    Parameters
    ----------
    **start
        Initial values for the parameters of `07_explore`; by default those of the notebook.
    """

    notebooks = ("07_explore",)

    def __init__(self, **start: Value) -> None:
        default = read_notebook("02_profile_scan").resolve({})
        measured = load_measurements(str(default["measurements"]))
        model = VortexModel(
            measured,
            sigma_m_model=float(str(default["sigma_m_model"])),
            sigma_g_model=float(str(default["sigma_g_model"])),
            closure=str(default["closure"]),
            r_max=float(str(default["r_max"])),
        )
        self._energy, self._problem = model.energy, model.problem
        self._measured = dict(zip(QUANTITIES, measured.values, strict=True))
        reference = load_claims()["golden_loop"]["beta"]
        first = self._problem.start.copy()
        first[self._problem.index("beta")] = reference
        self._fitted = dict(zip(self._problem.names, solve(self._problem, first, fixed=("beta",)).x, strict=True))
        self._ended = ""
        self.walk_button = widgets.ToggleButton(
            description="walk along the degeneracy",
            icon="play",
            layout=widgets.Layout(width="16rem"),
            tooltip="β grows by 1 % a step; R, U and A are refitted to the same mass and g-factor",
        )
        bounds = BOUNDS[str(default["bounds"])]
        notebook = read_notebook("07_explore")
        begun = notebook.resolve(start)
        self._range = notebook.parameters["beta"].low, notebook.parameters["beta"].high
        exact = {name: float(str(begun[parameter])) for name, parameter in _PARAMETERS.items()}
        self._tick_timer: asyncio.TimerHandle | None = None
        super().__init__(
            {
                "lepton": choice("lepton", [(SYMBOLS[one], one) for one in LEPTONS], begun["lepton"]),
                **{kind: slider(kind, exact[kind], *bounds[kind], 1e-4, readout_format=".4f") for kind in "RUA"},
                "beta": slider("β", exact["beta"], *self._range, 1e-3, readout_format=".3f"),
                "c_mu": slider("C_μ", exact["c_mu"], *bounds["c_mu"], 0.01),
            },
            size=(9.2, 3.9),
            actions=(self.walk_button,),
            exact=exact,
        )
        self.controls["lepton"].observe(lambda change: self.call(self._change_lepton), "value")
        self.walk_button.observe(lambda change: self.call(self._toggle), "value")

    def parameters(self) -> dict[str, Value]:
        """Return the parameters for the notebook of explorers."""
        x = self._x
        return {"lepton": self.controls["lepton"].value, **{one: x[name] for name, one in _PARAMETERS.items()}}

    def set_up(self) -> None:
        """Create the panels: flow over density, energies with the mass, and g-factor."""
        grid = self.figure.add_gridspec(
            2,
            2,
            width_ratios=[1, 1.25],
            height_ratios=[2.2, 1],
            left=0.07,
            right=0.985,
            top=0.94,
            bottom=0.13,
            wspace=0.62,
            hspace=0.62,
        )
        left, right, below = (self.figure.add_subplot(place) for place in (grid[:, 0], grid[0, 1], grid[1, 1]))
        self._flow = FlowPicture(left, _EXTENT)
        left.set(xlabel="$x$ (dimensionless)", ylabel="$z$, axis (dimensionless)")
        names = (r"flow energy $U^2 I$", r"stabilisation $\beta S$", "mass, the difference")
        self._bars = right.barh(range(3), [1, 1, 1], color=[BLUE, ORANGE, GREEN], height=0.6)
        self._mass = right.axvline(1, color="black", ls="--", lw=1.2, label="measured mass")
        right.set(xscale="log", yticks=range(3), yticklabels=names, ylim=(2.6, -0.6), xlim=(1e-3, 1e6))
        right.minorticks_off()
        right.set_xlabel("energy over the electron's mass")
        right.legend(fontsize=7.5, loc="lower left", bbox_to_anchor=(0, 1), borderaxespad=0)
        (self._g,) = below.plot([1], [0], "D", color=GREEN, ms=8)
        self._g_measured = below.axvline(1, color="black", ls="--", lw=1.2)
        below.set(xscale="log", xlim=(1e-3, 1e4), ylim=(-1, 1), yticks=[0], yticklabels=["g-factor"])
        below.minorticks_off()
        below.set_xlabel(r"$g = C_\mu\, k\, R\, U$; dashed: measured")
        self._note = left.text(
            0.02,
            0.98,
            "",
            transform=left.transAxes,
            va="top",
            fontsize=8,
            bbox={"color": "white", "alpha": 0.8, "pad": 2},
        )

    def advance(self) -> Drawing:
        """Compute the model on screen and compare it with the measured values."""
        lepton, x = self.controls["lepton"].value, self._x
        radius, amplitude = np.array(x["R"]), np.array(x["A"])
        flow = float(x["U"] ** 2 * self._energy.flow(radius, amplitude))
        static = float(self._energy.static(radius, amplitude, np.array(x["beta"])))
        mass, g = flow + static, MOMENT_FACTOR * x["c_mu"] * x["R"] * x["U"]
        measured_mass, measured_g = self._measured[f"m_{lepton}"], self._measured.get(f"g_{lepton}")
        laid = lay_out_flow(x["A"], r_max=2.0, extent=_EXTENT / x["R"], n=151)
        self._flow.update(laid, x["R"])
        for bar, value in zip(self._bars, (flow, -static, mass), strict=True):
            bar.set_width(max(value, 0.0))
        self._mass.set_xdata([measured_mass] * 2)
        self._g.set_xdata([max(g, 1e-3)])
        self._g_measured.set_xdata([measured_g or np.nan] * 2)
        self._note.set_text(f"{SYMBOLS[lepton]}: U = {x['U']:.4g}")
        said = [f"m = {mass:.7g} m_e, measured {measured_mass:.7g} ({mass / measured_mass - 1:+.1e})"]
        said.append(f"flow energy U²I = {flow:.7g}, stabilisation βS = {-static:.7g}")
        said.append(f"g = {g:.7g}" + (f", measured {measured_g:.7g}" if measured_g else ", not fitted for τ"))
        part, point = self._part
        chi2 = float(np.sum(part.residuals(point) ** 2))
        self.say(
            "fits" if chi2 <= CHI2_FLOOR else "misses",
            f"{SYMBOLS[lepton]} at β = {x['beta']:.4f}: {'; '.join(said)}.{self._ended}",
        )
        yield None

    def walk(self) -> bool:
        """Take and draw one step along the degeneracy; return whether a step was possible.

        If the vortex on screen does not fit, the step is the fit at its β. The walk ends where no vortex within the
        bounds fits, or at the end of the slider.
        """
        part, point = self._part
        if np.sum(part.residuals(point) ** 2) <= CHI2_FLOOR:
            point[part.index("beta")] = point[part.index("beta")] * _STEP
        fit = solve(part, point, fixed=("beta",))
        if fit.chi2 > CHI2_FLOOR:
            self._ended = " The walk ends here: one step on, nothing within the bounds fits."
        elif fit.x[part.index("beta")] > self._range[1]:
            self._ended = " The slider ends here; the fit goes on beyond it."
        if fit.chi2 > CHI2_FLOOR or fit.x[part.index("beta")] > self._range[1]:
            self.draw()
            return False
        self._ended = ""
        self.put(**{name.partition("_")[0]: value for name, value in zip(part.names, fit.x, strict=True)})
        return True

    @property
    def _x(self) -> dict[str, float]:
        return {name: self.read(name) for name in self._exact}

    @property
    def _part(self) -> tuple[LeastSquaresProblem, np.ndarray]:
        """Fit of this lepton's mass and g-factor alone with C_μ fixed, and the point on screen."""
        lepton, x = self.controls["lepton"].value, self._x
        free = {"beta": x["beta"], **{f"{kind}_{lepton}": x[kind] for kind in "RUA"}}
        fixed = {name: value for name, value in {**self._fitted, "c_mu": x["c_mu"]}.items() if name not in free}
        residuals = [name for name in QUANTITIES if name in (f"m_{lepton}", f"g_{lepton}")]
        part = restrict(self._problem, fixed=fixed, residuals=residuals)
        return part, np.clip([free[name] for name in part.names], part.lower, part.upper)

    def _change_lepton(self) -> None:
        self._ended = ""
        at = {kind: self._fitted[f"{kind}_{self.controls['lepton'].value}"] for kind in "RUA"}
        self.put(**at, beta=self._fitted["beta"], c_mu=self._fitted["c_mu"])

    def _toggle(self) -> None:
        self.walk_button.icon = "pause" if self.walk_button.value else "play"
        if self._tick_timer is not None:
            self._tick_timer.cancel()
        if self.walk_button.value:
            self._tick()

    def _tick(self) -> None:
        """Continue the walk while the button is on; without a front end, take one step."""
        if not self.walk_button.value:
            return
        if self.walk() and self.loop:
            self._tick_timer = self.loop.call_later(_PAUSE, self._tick)
        else:
            self.walk_button.value = False
