"""The notebooks and their parameters: one table with type, unit, range and meaning, one way to check a value."""

from __future__ import annotations

import ast
import math
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from leptonfit.datafiles import ROOT, InputError
from leptonfit.inference.limits import METHODS
from leptonfit.inference.meta import ESTIMATORS
from leptonfit.neutrino.experiments import SLUGS, SPECTRA
from leptonfit.vortex.closures import CLOSURES
from leptonfit.vortex.cross_lepton import BOUNDS, LEPTONS, REPORT_BOUNDS
from leptonfit.vortex.measurements import SETS

Value = float | int | bool | str


@dataclass(frozen=True, kw_only=True)
class Spec:
    """What a parameter may be.

    `low` and `high` are inclusive limits. `by_budget` gives the value that stands for None in the notebook. Where
    `is_list`, several are written with commas between them, or `all` of the choices.
    """

    kind: type
    meaning: str
    unit: str = ""
    low: float = -math.inf
    high: float = math.inf
    choices: tuple[str, ...] = ()
    by_budget: Mapping[str, int] | None = None
    is_list: bool = False

    @property
    def allowed(self) -> str:
        """The allowed values in words."""
        if self.is_list:
            if self.choices:
                return f"one or more, with commas, of {', '.join(self.choices)}, or all"
            return f"one or more, with commas: each {self.one.allowed}"
        if self.choices:
            return "one of " + ", ".join(self.choices)
        if self.kind is bool:
            return "true or false"
        noun = {int: "an integer", float: "a number"}[self.kind]
        low, high = (f"{end}" if self.kind is int else f"{end:g}" for end in (self.low, self.high))
        return f"{noun} from {low} to {high}"

    def accepts(self, value: object) -> bool:
        """Whether a value is of the type and in the range; integers pass for floats."""
        if self.is_list:
            try:
                items = self.items(value)
            except ValueError:
                return False
            return bool(items) and len(set(items)) == len(items) and all(self.one.accepts(item) for item in items)
        if self.choices:
            return value in self.choices
        if self.kind is bool or isinstance(value, bool):
            return self.kind is bool and isinstance(value, bool)
        if not isinstance(value, int if self.kind is int else int | float):
            return False
        return self.low <= value <= self.high  # nan never is

    @property
    def one(self) -> Spec:
        """What an item of a list may be."""
        return replace(self, is_list=False)

    def items(self, value: object) -> tuple[Any, ...]:
        """The items of a list: as written with commas, alone, or all.

        Raises
        ------
        ValueError
            If an item is not a number where numbers are asked for.
        """
        if value == "all" and self.choices:
            return self.choices
        written = value.split(",") if isinstance(value, str) else [value]
        items = [item.strip() if isinstance(item, str) else item for item in written]
        return tuple(items) if self.kind is str else tuple(float(item) for item in items)  # type: ignore[arg-type]


BUDGETS = ("quick", "full")

TABLE: dict[str, Spec] = {
    "sigma_m_model": Spec(kind=float, low=1e-12, high=1e3, unit="relative", meaning="model error of each mass"),
    "sigma_g_model": Spec(kind=float, low=1e-14, high=1e3, unit="absolute", meaning="model error of each g-factor"),
    "include_sigma_exp": Spec(kind=bool, meaning="add the experimental errors to the model's"),
    "beta_min": Spec(kind=float, low=REPORT_BOUNDS["beta"][0], high=1e9, unit="1", meaning="start of the scan in β"),
    "beta_max": Spec(kind=float, low=REPORT_BOUNDS["beta"][0], high=1e9, unit="1", meaning="end of the scan in β"),
    "beta_from": Spec(kind=float, low=1e-6, high=1e9, unit="1", meaning="start of the scan in ln β"),
    "beta_to": Spec(kind=float, low=1e-6, high=1e9, unit="1", meaning="end of the scan in ln β"),
    "n_beta": Spec(kind=int, low=2, high=10_001, unit="count", meaning="points of the scan in β"),
    "n_starts": Spec(
        kind=int, low=1, high=10_000, unit="count", meaning="fresh starts at each point of a scan, and with β free",
        by_budget={"quick": 16, "full": 64},
    ),
    "n_toys": Spec(
        kind=int, low=1, high=10_000_000, unit="count", meaning="toy experiments",
        by_budget={"quick": 2_000, "full": 100_000},
    ),
    "seed": Spec(kind=int, low=0, high=2**63 - 1, unit="1", meaning="seed of the random starts"),
    "closure": Spec(kind=str, choices=tuple(CLOSURES), meaning="frame and density profile of the vortex"),
    "bounds": Spec(kind=str, choices=tuple(BOUNDS), meaning="bounds of R, U, A and C_μ: the report's, or wide ones"),
    "r_max": Spec(kind=float, low=REPORT_BOUNDS["R"][1], high=1e3, unit="1", meaning="outer radius of the flow"),
    "measurements": Spec(kind=str, choices=SETS, meaning="set of measured masses and g-factors"),
    "datasets": Spec(kind=str, choices=SLUGS, is_list=True, meaning="data sets"),
    "sampler": Spec(kind=str, choices=("emcee", "dynesty"), meaning="whose draws the posterior is"),
    "priors": Spec(kind=str, choices=("report", "wide"), meaning="ranges of the report's parameters, or twice as wide"),
    "n_live": Spec(
        kind=int, low=50, high=100_000, unit="count", meaning="live points of the nested sampling",
        by_budget={"quick": 100, "full": 1_000},
    ),
    "n_thresholds": Spec(kind=int, low=4, high=1000, unit="count", meaning="thresholds of each data set, at most"),
    "mu_nu": Spec(kind=float, low=0.0, high=1e-6, unit="μ_B", meaning="effective moment drawn beside the data"),
    "confidence_levels": Spec(
        kind=float, low=0.55, high=0.999, unit="1", is_list=True, meaning="confidence of the upper limits"
    ),
    "limit_method": Spec(kind=str, choices=tuple(METHODS), meaning="construction of the limit that the verdict quotes"),
    "estimator": Spec(kind=str, choices=ESTIMATORS, meaning="estimator of the variance between experiments"),
    "sigma_log10_mu": Spec(
        kind=float, low=1e-3, high=1.0, unit="dex", meaning="scatter of a limit between repetitions of its experiment"
    ),
    "include_disputed": Spec(kind=bool, meaning="count limits whose theory was refuted"),
    "lepton": Spec(kind=str, choices=LEPTONS, meaning="lepton whose vortex is shown"),
    "radius": Spec(kind=float, low=REPORT_BOUNDS["R"][0], high=REPORT_BOUNDS["R"][1], unit="1", meaning="its R"),
    "velocity": Spec(kind=float, low=REPORT_BOUNDS["U"][0], high=REPORT_BOUNDS["U"][1], unit="1", meaning="its U"),
    "amplitude": Spec(kind=float, low=REPORT_BOUNDS["A"][0], high=REPORT_BOUNDS["A"][1], unit="1", meaning="its A"),
    "beta": Spec(kind=float, low=0.01, high=10.0, unit="1", meaning="vacuum stiffness β of the vortex shown"),
    "c_mu": Spec(
        kind=float, low=REPORT_BOUNDS["c_mu"][0], high=REPORT_BOUNDS["c_mu"][1], unit="1",
        meaning="C_μ of the vortex shown",
    ),
    "budget": Spec(kind=str, choices=BUDGETS, meaning="effort: never changes a grid, and explicit values win"),
}  # fmt: skip

_FEWEST_TOYS = 100
_NEED_LIMITS = ("13_threshold_scan", "14_joint_fit", "15_scorecard", "16_explore_neutrinos")
RANGES = (("beta_min", "beta_max"), ("beta_from", "beta_to"))
"""Pairs that must ascend."""


def check_value(name: str, value: object) -> None:
    """Check one value.

    Raises
    ------
    InputError
        One line: the parameter, the value, what is allowed.
    """
    if name not in TABLE:
        raise InputError(f"{name} = {value}: unknown parameter, must be one of {', '.join(TABLE)}")
    spec = TABLE[name]
    if not spec.accepts(value) and not (value is None and spec.by_budget):
        raise InputError(f"{name} = {value}: must be {spec.allowed}")


def parse_assignment(text: str) -> tuple[str, Value]:
    """Read `name=value` from the command line into a checked value of the parameter's type.

    Raises
    ------
    InputError
        If there is no `=`, the name is unknown or the value not allowed.
    """
    name, equals, written = text.partition("=")
    name, written = name.strip(), written.strip()
    if not equals or not name:
        raise InputError(f"-p {text}: must be name=value")
    value: object = written
    if name in TABLE and TABLE[name].kind is not str and not TABLE[name].is_list:
        readers: dict[type, Callable[[str], Value]] = {bool: _truth, int: int, float: float}
        try:
            value = readers[TABLE[name].kind](written.replace("_", "?"))  # Python would read 4_1 as 41
        except (KeyError, ValueError):
            value = written
    check_value(name, value)
    return name, value  # type: ignore[return-value]  # checked


def _truth(written: str) -> bool:
    return {"true": True, "false": False}[written.lower()]


def check_together(notebook: str, values: Mapping[str, object]) -> None:
    """Check all parameters of one notebook, each alone and then those that depend on one another.

    Raises
    ------
    InputError
        For the first that is not allowed.
    """
    for name, value in values.items():
        check_value(name, value)
    for low, high in RANGES:
        if low in values and not values[low] < values[high]:  # type: ignore[operator]  # numbers by now
            raise InputError(f"{low} = {values[low]}: must be below {high} = {values[high]} in {notebook}")
    if "n_beta" in values:
        low, high = next(pair for pair in RANGES if pair[0] in values)
        start, end, n_beta = (float(str(values[name])) for name in (low, high, "n_beta"))
        if (end - start) / (n_beta - 1) < 1e-9 * end:
            raise InputError(f"n_beta = {n_beta:g}: must be few enough for points from {start:g} to {end:g} to differ")
    if "datasets" in values and notebook in _NEED_LIMITS:
        datasets = TABLE["datasets"].items(values["datasets"])
        if not set(datasets) & set(SPECTRA):
            said = f"must hold one that sets a limit, of {', '.join(SPECTRA)}, in {notebook}"
            raise InputError(f"datasets = {values['datasets']}: {said}")
    n_toys = values.get("n_toys")
    if "n_thresholds" in values and n_toys is not None and int(str(n_toys)) < _FEWEST_TOYS:
        raise InputError(f"n_toys = {n_toys}: must be at least {_FEWEST_TOYS} in {notebook}, which needs covariances")
    if "n_thresholds" in values and values.get("limit_method") == "q_tilde":
        said = f"must be one of cls, fc, pinned in {notebook}, which takes logarithms, and this one can be zero"
        raise InputError(f"limit_method = q_tilde: {said}")
    if "r_max" in values:
        closure = str(values.get("closure", "stream"))
        bounds = str(values.get("bounds", "report"))
        try:
            CLOSURES[closure](r_max=values["r_max"])
        except ValueError as error:
            raise InputError(str(error)) from None
        largest = BOUNDS[bounds]["R"][1]
        if float(str(values["r_max"])) < largest and not closure.startswith("lab"):
            raise InputError(f"r_max = {values['r_max']}: must be at least {largest:g}, the largest R of these bounds")


def notebook_names(root: Path = ROOT) -> list[str]:
    """Names of the notebooks, in their order."""
    return sorted(path.stem for path in (root / "notebooks").glob("[0-9][0-9]_*.py"))


def notebook_defaults(notebook: str, root: Path = ROOT) -> dict[str, Value | None]:
    """Parameters of a notebook and their defaults, read from its cell tagged `parameters`.

    Raises
    ------
    InputError
        If a line of the cell is not `name = literal`.
    """
    source = (root / "notebooks" / f"{notebook}.py").read_text(encoding="utf-8")
    _, found, after = source.partition('# %% tags=["parameters"]\n')
    if not found:
        return {}
    defaults: dict[str, Value | None] = {}
    for statement in ast.parse(after.split("\n# %%")[0]).body:
        if not isinstance(statement, ast.Assign) or not isinstance(statement.targets[0], ast.Name):
            raise InputError(f"{notebook}: line {statement.lineno} of the parameters cell must be name = literal")
        defaults[statement.targets[0].id] = ast.literal_eval(statement.value)
    return defaults


def upstream(notebook: str, root: Path = ROOT) -> set[str]:
    """Notebooks whose results this one loads."""
    source = (root / "notebooks" / f"{notebook}.py").read_text(encoding="utf-8")
    return set(re.findall(r'store\.load\("(\w+)"', source))


@dataclass(frozen=True)
class Settings:
    """The checked parameters of one execution, as attributes (lists as tuples), and when it began."""

    notebook: str
    values: Mapping[str, Value]
    started: float

    def __getattr__(self, name: str) -> Any:
        if name not in self.values:
            raise AttributeError(f"{self.notebook} has no parameter {name}")
        return TABLE[name].items(self.values[name]) if TABLE[name].is_list else self.values[name]


def resolve(values: Mapping[str, Value | None]) -> dict[str, Value]:
    """Replace None by what the budget says."""
    budget = values.get("budget", BUDGETS[0])
    # None is only allowed where there is a table by budget
    return {name: TABLE[name].by_budget[budget] if value is None else value for name, value in values.items()}  # type: ignore[index]


def read_settings(notebook: str, namespace: Mapping[str, Any], root: Path = ROOT) -> Settings:
    """Check the parameters found in a notebook's namespace; call it first, with `globals()`.

    Raises
    ------
    InputError
        If one is not allowed.
    """
    values = {name: namespace[name] for name in notebook_defaults(notebook, root)}
    check_together(notebook, values)
    return Settings(notebook, resolve(values), time.monotonic())
