"""Definition of a fit: named, bounded parameters and residuals with an analytic Jacobian, batched over leading axes."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from numbers import Real

import numpy as np

from leptonfit.inference.arguments import read_number
from leptonfit.inference.derivatives import check_functions, check_points
from leptonfit.inference.norms import norms


@dataclass(frozen=True, kw_only=True)
class Parameter:
    """Fit parameter with start, bounds and labels.

    Parameters
    ----------
    name : str
        Identifier, unique in a problem.
    start : float, optional
        Start value inside the bounds, in `unit`; by default the middle of finite bounds, which is their geometric mean
        on a logarithmic scale.
    lower, upper : float
        Bounds in `unit`; ±inf if there is none.
    physical : (float, float)
        Range outside of which the parameter has no meaning, in `unit`; ±inf if there is no such limit. A bound equal
        to its limit is *physical*: like data, it may close a set. Every other bound is a *search* bound, chosen only
        to limit the search.
    scale : {"linear", "log"}
        "log" for a positive parameter of unknown order of magnitude: it is fitted in ln p, starts and points of a
        profile are spread evenly over the decades, and 0 is its physical limit. Bounds and results are in p.
    unit : str
        Unit, empty for a dimensionless parameter.
    symbol : str
        Plain-text symbol for sentences; the name if empty.
    label : str
        TeX label for figures; the name if empty.

    Raises
    ------
    ValueError
        If lower ≥ upper, a bound is outside the physical range, the start is outside the bounds, or the scale is
        unknown.
    """

    name: str
    start: float = math.nan
    lower: float = -math.inf
    upper: float = math.inf
    physical: tuple[float, float] = (-math.inf, math.inf)
    scale: str = "linear"
    unit: str = ""
    symbol: str = ""
    label: str = ""

    def __post_init__(self) -> None:
        if not isinstance(self.name, str) or not self.name:
            raise TypeError(f"name = {self.name!r}: must be text")
        for field in ("start", "lower", "upper"):
            value = getattr(self, field)
            if not isinstance(value, Real) or isinstance(value, bool):
                raise TypeError(f"{self.name}: {field} = {value!r}: must be a number")
        if self.scale not in ("linear", "log"):
            raise ValueError(f"{self.name}: scale = {self.scale!r}: must be 'linear' or 'log'")
        if self.scale == "log":
            if not self.lower >= 0:
                raise ValueError(f"{self.name}: lower = {self.lower:g}: must be 0 or more on a logarithmic scale")
            object.__setattr__(self, "physical", (max(self.physical[0], 0.0), self.physical[1]))
        if math.isnan(self.start) and math.isfinite(self.upper - self.lower):
            is_geometric = self.scale == "log" and self.lower > 0
            middle = math.sqrt(self.lower) * math.sqrt(self.upper) if is_geometric else (self.lower + self.upper) / 2
            object.__setattr__(self, "start", middle)
        if not self.physical[0] <= self.lower or not self.upper <= self.physical[1]:
            raise ValueError(
                f"{self.name}: bounds [{self.lower:g}, {self.upper:g}] must lie in the physical range "
                f"[{self.physical[0]:g}, {self.physical[1]:g}]"
            )
        if not self.lower < self.upper:
            raise ValueError(f"{self.name}: bounds [{self.lower:g}, {self.upper:g}] must have lower < upper")
        if math.isnan(self.start):
            raise ValueError(f"{self.name}: bounds [{self.lower:g}, {self.upper:g}] have no middle; give a start")
        if not self.lower <= self.start <= self.upper or not math.isfinite(self.start):
            raise ValueError(
                f"{self.name} = {self.start:g}: the start must be finite and in [{self.lower:g}, {self.upper:g}]"
            )
        if self.scale == "log" and not self.start > 0:
            raise ValueError(f"{self.name} = {self.start:g}: the start must be positive on a logarithmic scale")


@dataclass(frozen=True)
class Accuracy:
    """Accuracy of the functions of a problem; zero means exact to rounding.

    Attributes
    ----------
    derivatives : float
        Error of the Jacobian's columns, relative to their lengths.
    noise : float
        Error of the vector of residuals (its length), for example from the tolerance of an ODE solver.
    """

    derivatives: float = 0.0
    noise: float = 0.0


EXACT = Accuracy()


@dataclass(frozen=True)
class Search:
    """How the minima of a problem are searched on a profile.

    Attributes
    ----------
    n_draws : int
        Random points for each fresh start; the one of the lowest χ² becomes the start.
    n_steps : int
        Steps after which a minimisation goes on only if its χ² is below that of every converged one at the same point.
    trusts_neighbours : bool
        True if a point between two others is trusted where the solutions of both, which different starts found, lead to
        the same χ². If False, fresh starts must find it there, too.
    is_slow : bool
        True if the functions work on one point after another, so that a search should ask for few points.
    is_spread : bool
        True if a call of such functions takes so long that each start is worth a task on a cluster.
    """

    n_draws: int = 1
    n_steps: int = 1000
    trusts_neighbours: bool = False
    is_slow: bool = False
    is_spread: bool = False


USUAL = Search()


@dataclass(frozen=True)
class LeastSquaresProblem:
    """Least-squares problem with chi2(x) = Σ residuals(x)², which is −2 ln L up to a constant.

    Parameters
    ----------
    parameters : tuple of Parameter
        The n_par parameters, in the order of the last axis of x.
    residual_names : tuple of str
        Names of the n_res residuals.
    residuals : callable
        Function (..., n_par) → (..., n_res), dimensionless (already divided by σ). May be non-finite where the model
        is undefined.
    jacobian : callable
        Function (..., n_par) → (..., n_res, n_par), the analytic derivatives of `residuals`.
    p_value : callable, optional
        Function x (n_par,) → p-value of the model at its best fit, or None if χ² does not test the model, for example
        because σ was estimated from the same data or the loss is robust. By default the tail probability of χ² for
        the degrees of freedom.
    sigma_degrees : int, optional
        Degrees of freedom of σ where it was estimated from the same data. Levels of Δχ² then follow the F
        distribution F(1, ν) instead of χ².
    notes : tuple of str
        What was assumed or left out when the problem was made, one sentence each.
    accuracy : Accuracy
        Errors of the functions, where they are not exact to rounding.
    search : Search

    Raises
    ------
    ValueError
        If two parameters, or two residuals, share a name.
    """

    parameters: tuple[Parameter, ...]
    residual_names: tuple[str, ...]
    residuals: Callable[[np.ndarray], np.ndarray]
    jacobian: Callable[[np.ndarray], np.ndarray]
    p_value: Callable[[np.ndarray], float | None] | None = None
    sigma_degrees: int | None = None
    notes: tuple[str, ...] = ()
    accuracy: Accuracy = EXACT
    search: Search = USUAL

    def __post_init__(self) -> None:
        for parameter in self.parameters:
            if not isinstance(parameter, Parameter):
                raise TypeError(f"parameters: {parameter!r}: must be a Parameter")
        for said, names in (("parameter", self.names), ("residual", self.residual_names)):
            if isinstance(names, str):
                raise TypeError(f"{said} names {names!r}: must be a tuple")
            repeated = [name for name, n in Counter(names).items() if n > 1]
            if repeated:
                raise ValueError(f"{said} name {repeated[0]!r} stands twice: names must differ")
        for name in ("residuals", "jacobian"):
            if not callable(getattr(self, name)):
                raise TypeError(f"{name} = {getattr(self, name)!r}: must be a function")

    @cached_property
    def names(self) -> tuple[str, ...]:
        """Parameter names, in the order of the last axis of x."""
        return tuple(parameter.name for parameter in self.parameters)

    @cached_property
    def lower(self) -> np.ndarray:
        """Lower bounds (n_par,)."""
        return np.array([parameter.lower for parameter in self.parameters], dtype=float)

    @cached_property
    def upper(self) -> np.ndarray:
        """Upper bounds (n_par,)."""
        return np.array([parameter.upper for parameter in self.parameters], dtype=float)

    @cached_property
    def start(self) -> np.ndarray:
        """Start values (n_par,)."""
        return np.array([parameter.start for parameter in self.parameters], dtype=float)

    @cached_property
    def is_physical(self) -> np.ndarray:
        """True for lower and upper bounds (2, n_par) that are physical."""
        limits = np.array([parameter.physical for parameter in self.parameters], dtype=float).reshape(-1, 2).T
        bounds = np.stack([self.lower, self.upper])
        return np.isfinite(bounds) & (bounds == limits)

    @cached_property
    def is_log(self) -> np.ndarray:
        """True for parameters (n_par,) with a logarithmic scale."""
        return np.array([parameter.scale == "log" for parameter in self.parameters], dtype=bool)

    @cached_property
    def in_logarithms(self) -> LeastSquaresProblem:
        """Problem in the logarithms of these parameters."""
        from leptonfit.inference.logarithms import transform

        return transform(self)

    def check(self) -> None:
        """Check shapes and derivatives; later calls do not repeat the check (see `check_functions`).

        Raises
        ------
        ValueError
            If a function has the wrong shape, or the Jacobian is not the derivative of the residuals.
        """
        return self._checked

    @cached_property
    def _checked(self) -> None:
        check_functions(self)

    @cached_property
    def scale(self) -> float:
        """Size of the residuals at the start: the largest finite value of ‖r‖ and of ‖J_j‖ |x_j| over all j.

        If this is zero, because the start is the solution, the widths of the boxes replace |x_j|. If nothing is
        finite at the start, an interior point replaces it.
        """
        for x in check_points(self):
            for sizes in (np.abs(x), self.widths):
                with np.errstate(all="ignore"):
                    largest = np.append(norms(self.jacobian(x), axis=-2) * sizes, norms(self.residuals(x)))
                found = float(np.max(largest, initial=0.0, where=np.isfinite(largest)))
                if found > 0:
                    return found
        return 0.0

    @cached_property
    def widths(self) -> np.ndarray:
        """Width (n_par,) of each parameter's box; if it is infinite |start|, or 1."""
        box, start = self.upper - self.lower, np.abs(self.start)
        return np.where(np.isfinite(box), box, np.where(start > 0, start, 1.0))

    @property
    def n_par(self) -> int:
        """Number of parameters."""
        return len(self.parameters)

    @property
    def n_res(self) -> int:
        """Number of residuals."""
        return len(self.residual_names)

    def index(self, name: str) -> int:
        """Position of the parameter called `name`.

        Raises
        ------
        ValueError
            If no parameter has this name.
        """
        if name not in self.names:
            raise ValueError(f"parameter {name!r}: must be one of {', '.join(self.names)}")
        return self.names.index(name)

    def box(self, name: str) -> tuple[float, float]:
        """Lower and upper bound of the parameter called `name`."""
        parameter = self.parameters[self.index(name)]
        return parameter.lower, parameter.upper

    def free_indices(self, fixed: tuple[str, ...]) -> np.ndarray:
        """Positions (n_free,) of the parameters that are not in `fixed`."""
        held = {self.index(name) for name in fixed}
        return np.array([j for j in range(self.n_par) if j not in held], dtype=int)

    def on_bounds(self, x: np.ndarray) -> np.ndarray:
        """True for parameters exactly on a bound; has the shape of x."""
        return (x <= self.lower) | (x >= self.upper)

    def search_box(self, ranges: Mapping[str, tuple[float, float]] | None = None) -> tuple[np.ndarray, np.ndarray]:
        """Finite box from which starts are drawn: the bounds, narrowed or made finite by `ranges`.

        Raises
        ------
        ValueError
            If a parameter without finite bounds is not in `ranges`.
        """
        low, high = self.lower.copy(), self.upper.copy()
        for name, (range_low, range_high) in (ranges or {}).items():
            j = self.index(name)
            low[j], high[j] = max(range_low, low[j]), min(range_high, high[j])
        for j, name in enumerate(self.names):
            if not np.isfinite(low[j]) or not np.isfinite(high[j]) or low[j] > high[j]:
                raise ValueError(
                    f"{name}: starts cannot be drawn from [{low[j]:g}, {high[j]:g}]; give a finite range "
                    "inside its bounds"
                )
        return low, high


def restrict(
    problem: LeastSquaresProblem, *, fixed: Mapping[str, float] | None = None, residuals: Sequence[str] | None = None
) -> LeastSquaresProblem:
    """Copy of a problem with some parameters fixed and only some of the residuals.

    Parameters
    ----------
    problem : LeastSquaresProblem
    fixed : mapping, optional
        Parameters to fix, with their values.
    residuals : sequence of str, optional
        Residuals to keep; all if not given.

    Raises
    ------
    ValueError
        If there is no parameter or residual of a given name, or a value is not finite and inside the bounds.
    """
    fixed, residuals = fixed or {}, problem.residual_names if residuals is None else tuple(residuals)
    for name in residuals:
        if name not in problem.residual_names:
            raise ValueError(f"residual {name!r}: must be one of {', '.join(problem.residual_names)}")
    rows = np.array([problem.residual_names.index(name) for name in residuals], dtype=int)
    free = problem.free_indices(tuple(fixed))
    whole = problem.start.copy()
    for name, value in fixed.items():
        low, high = problem.box(name)
        whole[problem.index(name)] = read_number(name, value, low=low, high=high)

    p_value = problem.p_value

    def fill(x: np.ndarray) -> np.ndarray:
        full = np.empty((*x.shape[:-1], problem.n_par))
        full[...] = whole
        full[..., free] = x
        return full

    return LeastSquaresProblem(
        tuple(problem.parameters[j] for j in free),
        residuals,
        lambda x: problem.residuals(fill(x))[..., rows],
        lambda x: problem.jacobian(fill(x))[..., rows, :][..., free],
        None if p_value is None else lambda x: p_value(fill(x)),
        problem.sigma_degrees,
        problem.notes,
        problem.accuracy,
        problem.search,
    )


def extend(
    problem: LeastSquaresProblem,
    names: Sequence[str],
    residuals: Callable[[np.ndarray], np.ndarray],
    jacobian: Callable[[np.ndarray], np.ndarray],
    *,
    parameters: tuple[Parameter, ...] = (),
) -> LeastSquaresProblem:
    """Copy of a problem with additional, independent residuals, and additional parameters at the end.

    Parameters
    ----------
    problem : LeastSquaresProblem
    names : sequence of str
        Names of the additional residuals.
    residuals, jacobian : callable
        Functions of all the parameters, as for `LeastSquaresProblem`.
    parameters : tuple of Parameter, optional
        Additional parameters; only the additional residuals depend on them.
    """
    n_par, p_value = problem.n_par, problem.p_value

    def all_residuals(x: np.ndarray) -> np.ndarray:
        return np.concatenate([problem.residuals(x[..., :n_par]), residuals(x)], axis=-1)

    def all_slopes(x: np.ndarray) -> np.ndarray:
        rows = np.zeros((*x.shape[:-1], problem.n_res, x.shape[-1]))
        rows[..., :n_par] = problem.jacobian(x[..., :n_par])
        return np.concatenate([rows, jacobian(x)], axis=-2)

    return LeastSquaresProblem(
        (*problem.parameters, *parameters),
        (*problem.residual_names, *names),
        all_residuals,
        all_slopes,
        None if p_value is None else lambda x: p_value(x[:n_par]),
        problem.sigma_degrees,
        problem.notes,
        problem.accuracy,
        problem.search,
    )


def join(problems: Sequence[LeastSquaresProblem]) -> LeastSquaresProblem:
    """Problem of several independent data sets; parameters of the same name are shared.

    Parameters
    ----------
    problems : sequence of LeastSquaresProblem

    Raises
    ------
    ValueError
        If there is no problem, two parameters of the same name differ, or a σ was estimated from one of the data sets.
    """
    parameters: dict[str, Parameter] = {}
    for problem in problems:
        for parameter in problem.parameters:
            if parameters.setdefault(parameter.name, parameter) != parameter:
                raise ValueError(
                    f"parameter {parameter.name!r}: start, bounds and labels must be the same in all problems"
                )
        if problem.sigma_degrees is not None:
            raise ValueError("problems: σ must be known in each of several data sets")
    if not parameters:
        raise ValueError("problems: at least one must be given")
    names = list(parameters)
    columns = [np.array([names.index(name) for name in problem.names]) for problem in problems]

    def residuals(x: np.ndarray) -> np.ndarray:
        parts = [problem.residuals(x[..., own]) for problem, own in zip(problems, columns, strict=True)]
        return np.concatenate(parts, axis=-1)

    def jacobian(x: np.ndarray) -> np.ndarray:
        parts = []
        for problem, own in zip(problems, columns, strict=True):
            rows = np.zeros((*x.shape[:-1], problem.n_res, len(names)))
            rows[..., own] = problem.jacobian(x[..., own])
            parts.append(rows)
        return np.concatenate(parts, axis=-2)

    is_tested = all(problem.p_value is None for problem in problems)
    return LeastSquaresProblem(
        tuple(parameters.values()),
        tuple(f"{name} of data set {k}" for k, problem in enumerate(problems, 1) for name in problem.residual_names),
        residuals,
        jacobian,
        None if is_tested else lambda x: None,
        notes=tuple(dict.fromkeys(note for problem in problems for note in problem.notes)),
        accuracy=Accuracy(
            max(problem.accuracy.derivatives for problem in problems),
            math.hypot(*(problem.accuracy.noise for problem in problems)),
        ),
        search=Search(
            max(problem.search.n_draws for problem in problems),
            min(problem.search.n_steps for problem in problems),
            all(problem.search.trusts_neighbours for problem in problems),
            any(problem.search.is_slow for problem in problems),
            any(problem.search.is_spread for problem in problems),
        ),
    )


def soften(problem: LeastSquaresProblem) -> LeastSquaresProblem:
    """Copy of a problem with the robust loss 2 (√(1 + r²) − 1) in place of r², which limits the pull of outliers.

    The residual becomes r √(2/(1 + √(1 + r²))). The loss is not −2 ln L, so that no confidence level holds and χ² does
    not test the model (the loss `soft_l1` of SciPy's `least_squares`).
    """

    def root(r: np.ndarray) -> np.ndarray:
        return np.sqrt(1 + r * r)

    def residuals(x: np.ndarray) -> np.ndarray:
        r = problem.residuals(x)
        return np.asarray(r * np.sqrt(2 / (1 + root(r))))

    def jacobian(x: np.ndarray) -> np.ndarray:
        s = root(problem.residuals(x))
        return np.asarray((np.sqrt((1 + s) / 2) / s)[..., None] * problem.jacobian(x))

    note = "The loss is robust (soft L1): no confidence level holds, and χ² does not test the model."
    return replace(
        problem, residuals=residuals, jacobian=jacobian, p_value=lambda x: None, notes=(*problem.notes, note)
    )
