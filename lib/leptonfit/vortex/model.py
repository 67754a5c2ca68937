"""Cross-lepton model of three masses and two g-factors, with one shared stiffness β and one shared C_μ.

Model (dimensionless, masses in m_e): m = U² I(R, A) − β S(R, A) + λ G(R, A) with I, S and G from the closure, and a
moment map: universal, g = C_μ k R U with k = 1/5, or mass-scaled, g = C_μ k m R U with m the measured mass (the moment
in units of the magneton of the lepton). The moment is a proxy: k R U is the moment of a rigidly rotating sphere,
whereas the axisymmetric flow has no magnetic moment.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import KW_ONLY, dataclass, field
from functools import cached_property

import numpy as np

from leptonfit.inference.arguments import read_choice, read_instance, read_number
from leptonfit.inference.problem import LeastSquaresProblem, Parameter
from leptonfit.vortex.closures import CLOSURES, Closure
from leptonfit.vortex.measurements import QUANTITIES, Measurements

LEPTONS = ("e", "mu", "tau")
MOMENT_FACTOR = 0.2

Bounds = Mapping[str, tuple[float, float]]

BOUNDS: dict[str, Bounds] = {
    "report": {"beta": (0.0, np.inf), "c_mu": (100.0, 1500.0), "R": (0.1, 1.0), "U": (0.001, 3.0), "A": (0.1, 1.0)},
    "wide": {"beta": (0.0, np.inf), "c_mu": (1e-3, 1e5), "R": (1e-3, 10.0), "U": (1e-4, 1e3), "A": (0.01, 1.0)},
}
"""Bounds by parameter kind: those of the December 2025 report, and wide bounds. β is only kept non-negative."""
REPORT_BOUNDS = BOUNDS["report"]
PHYSICAL = {"beta": (0.0, np.inf), "R": (0.0, np.inf), "U": (0.0, np.inf), "A": (0.0, 1.0)}
"""Physical range by parameter kind: no parameter is negative, and A is at most ρ_vac = 1. C_μ has no such range."""
MOMENT_MAPS = ("universal", "mass_scaled")

_START = {"e": (0.44, 0.024, 0.90), "mu": (0.49, 0.31, 0.91), "tau": (0.50, 1.26, 0.92)}
_SYMBOL = {"e": "e", "mu": "μ", "tau": "τ"}
_TEX = {"e": "e", "mu": r"\mu", "tau": r"\tau"}


@dataclass(frozen=True, eq=False)
class VortexModel:
    """Cross-lepton model with its measured values and errors; `dataclasses.replace` makes a variant.

    Parameters
    ----------
    measurements : Measurements
    sigma_m_model : float
        Relative model error of each mass.
    sigma_g_model : float
        Absolute model error of each g-factor.
    include_sigma_exp : bool
        Whether the experimental covariance is added to that of the model.
    closure : str or callable
        One of `CLOSURES`, or the constructor of a closure, called with r_max=.
    r_max : float
        Outer radius of the flow integral, at least the largest R allowed; without effect in the `lab` closures.
    gradient : float
        λ of the gradient term, which only the analytic closures have.
    moment_map : str
        One of `MOMENT_MAPS`.
    moment_factor : float
        k of the moment k R U.
    bounds : mapping
        Bounds by parameter kind (`beta`, `c_mu`, `R`, `U`, `A`) or by name (`R_e`, …), which takes precedence.

    Raises
    ------
    TypeError
        If an attribute is of another type.
    ValueError
        If a number is not finite, or a σ not above 0; if the closure, the moment map or the name of a bound is unknown;
        if r_max is below the largest R; or if the closure does not accept that r_max or gradient.
    """

    measurements: Measurements
    _: KW_ONLY
    sigma_m_model: float
    sigma_g_model: float
    include_sigma_exp: bool = False
    closure: str | Callable[..., Closure] = "stream"
    r_max: float = 10.0
    gradient: float = 0.0
    moment_map: str = "universal"
    moment_factor: float = MOMENT_FACTOR
    bounds: Bounds = field(default_factory=lambda: REPORT_BOUNDS)

    def __post_init__(self) -> None:
        read_instance("measurements", self.measurements, Measurements)
        read_instance("include_sigma_exp", self.include_sigma_exp, bool)
        if not callable(self.closure):
            read_choice("closure", self.closure, CLOSURES)
        read_choice("moment_map", self.moment_map, MOMENT_MAPS)
        for name in ("sigma_m_model", "sigma_g_model", "gradient", "moment_factor"):
            read_number(name, getattr(self, name))
        if not self._is_lab:
            read_number("r_max", self.r_max)
        if not self.r_max > 0:
            raise ValueError(f"r_max = {self.r_max:g}: must be above 0")
        make = CLOSURES[self.closure] if isinstance(self.closure, str) else self.closure
        if self.gradient and "gradient" not in inspect.signature(make).parameters:
            raise ValueError(f"gradient = {self.gradient:g}: must be 0, because this closure has no gradient term")
        largest = max(high for name, (_, high) in self.limits.items() if name.startswith("R_"))
        if not (largest <= self.r_max < np.inf or self._is_lab):
            raise ValueError(f"r_max = {self.r_max:g}: must be finite and at least {largest:g}, the largest R allowed")
        for name in ("sigma_m_model", "sigma_g_model"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name} = {getattr(self, name):g}: must be above 0")
        _ = self.energy  # a closure refuses an r_max or a gradient that it does not accept

    def require_closed_form(self) -> None:
        """Refuse a model to which exact solutions without a fit do not apply.

        Raises
        ------
        ValueError
            If the moment map is not universal, or there is a gradient term, with which U need not grow with A.
        """
        if self.moment_map != "universal":
            raise ValueError(f"moment_map = {self.moment_map!r}: must be universal for solutions without a fit")
        if self.gradient:
            raise ValueError(f"gradient = {self.gradient:g}: must be 0 for solutions without a fit")

    @property
    def _is_lab(self) -> bool:
        return isinstance(self.closure, str) and self.closure.startswith("lab")

    @cached_property
    def energy(self) -> Closure:
        """Energy integrals of the closure."""
        make = CLOSURES[self.closure] if isinstance(self.closure, str) else self.closure
        return make(r_max=self.r_max, **({"gradient": self.gradient} if self.gradient else {}))

    @cached_property
    def limits(self) -> dict[str, tuple[float, float]]:
        """Bounds of every parameter by name."""
        return {parameter.name: (parameter.lower, parameter.upper) for parameter in self._parameters}

    @cached_property
    def covariance(self) -> np.ndarray:
        """Covariance (5, 5) of the model errors and, if included, the experimental errors, ordered as `QUANTITIES`."""
        masses = self.sigma_m_model * self.measurements.values[:3]
        model = np.diag(np.concatenate([masses, np.full(2, self.sigma_g_model)]) ** 2)
        return model + self.measurements.covariance if self.include_sigma_exp else model

    @cached_property
    def problem(self) -> LeastSquaresProblem:
        """Fit of 11 parameters (β, C_μ, and R, U, A of e, μ, τ) to 5 measurements.

        Residuals are L⁻¹(model − measured) with LLᵀ the covariance, in the order of `QUANTITIES`; nan where an R
        exceeds r_max, except in the `lab` closures.
        """
        return LeastSquaresProblem(self._parameters, QUANTITIES, self._residuals, self._jacobian)

    @cached_property
    def _whiten(self) -> np.ndarray:
        return np.linalg.inv(np.linalg.cholesky(self.covariance)).T

    @cached_property
    def _moment_factors(self) -> np.ndarray:
        """Factor (2,) of C_μ R U in the g-factor of e and μ."""
        mass_scaled = self.moment_map == "mass_scaled"
        return self.moment_factor * (self.measurements.values[:2] if mass_scaled else np.ones(2))

    def _residuals(self, x: np.ndarray) -> np.ndarray:
        beta, c_mu, radius, velocity, amplitude = _split(x)
        mass = velocity**2 * self.energy.flow(radius, amplitude) + self.energy.static(radius, amplitude, beta)
        outer = np.inf if self._is_lab else self.r_max  # the vortex must lie inside the integrated flow
        mass = np.where(radius <= outer, mass, np.nan)
        moment = self._moment_factors * c_mu * radius[..., :2] * velocity[..., :2]
        return (np.concatenate([mass, moment], axis=-1) - self.measurements.values) @ self._whiten

    def _jacobian(self, x: np.ndarray) -> np.ndarray:
        beta, c_mu, radius, velocity, amplitude = _split(x)
        flow_by_radius, flow_by_amplitude = self.energy.flow_slopes(radius, amplitude)
        static_by_radius, static_by_amplitude, static_by_beta = self.energy.static_slopes(radius, amplitude, beta)
        square = velocity * velocity
        by_geometry = (
            square * flow_by_radius + static_by_radius,
            2 * velocity * self.energy.flow(radius, amplitude),
            square * flow_by_amplitude + static_by_amplitude,
        )
        rows = np.zeros((*x.shape, len(QUANTITIES)))  # parameters come first, so whitening is one matrix product
        rows[..., 0, :3] = static_by_beta
        for lepton in range(3):
            for offset, derivative in enumerate(by_geometry):
                rows[..., 2 + 3 * lepton + offset, lepton] = derivative[..., lepton]
        radius, velocity = self._moment_factors * radius[..., :2], velocity[..., :2]
        rows[..., 1, 3:] = radius * velocity
        for lepton in range(2):
            rows[..., 2 + 3 * lepton, 3 + lepton] = (self._moment_factors * c_mu * velocity)[..., lepton]
            rows[..., 3 + 3 * lepton, 3 + lepton] = (c_mu * radius)[..., lepton]
        return (rows.reshape(-1, len(QUANTITIES)) @ self._whiten).reshape(rows.shape).swapaxes(-1, -2)

    @cached_property
    def _parameters(self) -> tuple[Parameter, ...]:
        shared = [("beta", "beta", 3.0, "β", r"\beta"), ("c_mu", "c_mu", 250.0, "C_μ", r"C_\mu")]
        geometry = [
            (f"{kind}_{lepton}", kind, _START[lepton][i], f"{kind}_{_SYMBOL[lepton]}", f"{kind}_{_TEX[lepton]}")
            for lepton in LEPTONS
            for i, kind in enumerate("RUA")
        ]
        table = shared + geometry
        unknown = set(self.bounds) - {name for name, *_ in table} - {kind for _, kind, *_ in table}
        if unknown:
            raise ValueError(
                f"bounds of {sorted(unknown)[0]!r}: must be for one of {', '.join(REPORT_BOUNDS)}, R_e, U_e, …"
            )
        parameters = []
        for name, kind, start, symbol, label in table:
            low, high = self.bounds.get(name, self.bounds.get(kind, REPORT_BOUNDS[kind]))
            parameters.append(
                Parameter(
                    name=name,
                    start=float(np.clip(start, low, high)),
                    lower=low,
                    upper=high,
                    physical=PHYSICAL.get(kind, (-np.inf, np.inf)),
                    symbol=symbol,
                    label=f"${label}$",
                )
            )
        return tuple(parameters)


def _split(x: np.ndarray) -> tuple[np.ndarray, ...]:
    """Parts of x (..., 11): β and C_μ as (..., 1), R, U and A as (..., 3)."""
    return x[..., 0:1], x[..., 1:2], x[..., 2::3], x[..., 3::3], x[..., 4::3]
