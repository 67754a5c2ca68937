"""Fits of the measured data sets in fundamental moments, which are the same for all sources.

A data set sees several incoherent states: the three mass states of the sun, or ν_μ and ν_e of stopped pions. Each state
has an effective moment that is a form of the fundamental moments (`flavour`), and a signal of its own, computed with
the share of the state at each energy. Data sets of different flavour classes may be fitted together only in this way.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
from scipy.optimize import brentq
from scipy.stats import chi2 as chi2_distribution

from leptonfit.inference.arguments import read_choice, read_instance
from leptonfit.inference.assess import CLOSED, assess_problem
from leptonfit.inference.binned import BinnedModel, scale_information, stack_models
from leptonfit.inference.identifiability import VerdictResult
from leptonfit.inference.limits import LimitsResult, find_limits
from leptonfit.inference.multistart import Effort
from leptonfit.inference.norms import norms
from leptonfit.inference.problem import LeastSquaresProblem, Parameter
from leptonfit.inference.result import Result
from leptonfit.inference.signals import SignalSet, combine_signals, scale_linearly
from leptonfit.neutrino.experiments import DEFAULT_CHOICES, Choices, Experiment, load_experiment
from leptonfit.neutrino.flavour import Mixing, flavour_shares, flavour_state, keep_mass_state, majorana_form
from leptonfit.neutrino.flux import Flux
from leptonfit.neutrino.likelihood import build_likelihood, to_moment
from leptonfit.neutrino.spectra import MOMENT, Signal, predict_spectrum

BASES = {"majorana": ("|Λ_1|", "|Λ_2|", "|Λ_3|"), "dirac": ("μ_1", "μ_2", "μ_3"), "flavour": ("μ_e", "μ_μ", "μ_τ")}
"""Moments that are fitted, by basis.

Λ_i are the transition moments of Majorana neutrinos. μ_i² = Σ_j |μ_ji|² is the sum over all transitions of mass state i
of Dirac neutrinos. μ_α is the effective moment of flavour α, if flavours do not interfere.
"""
_EFFORT = Effort(n_starts=4, seed=1)
"""Fresh starts at each point of a profile; −2 ln L is nearly convex in the squares of the moments."""
LEVEL, RISE = 0.90, 2.7055
"""Confidence level of the limits, and its Δχ²."""
UNIT, _SIZES = "1e-22 μ_B²", (0.0, np.inf)
_REACH = 10.0
"""Upper search bound of a squared moment, and largest error of a determined one, over its limit if others vanish."""
_ROUNDING = 1e-12
_SINGULAR = 1e10
"""Condition number of the information above which the estimates are not determined one by one."""


@dataclass(frozen=True)
class StateSet:
    """Data set with the signal of each incoherent state of its neutrinos.

    Attributes
    ----------
    experiment : Experiment
    signals : SignalSet
        Strengths are the μ_eff² of the states, in (1e-11 μ_B)².
    states : dict of ndarray (3, 3)
        Density matrices in the basis of mass states, by name.
    """

    experiment: Experiment
    signals: SignalSet
    states: dict[str, np.ndarray]

    @property
    def shares(self) -> np.ndarray:
        """Share (n_states,) of each state in the signal of one effective moment for all states."""
        totals = np.array([model.signal.sum() for model in self.signals.models])
        return totals / totals.sum()

    @property
    def mean_state(self) -> np.ndarray:
        """Density matrix (3, 3) of the neutrinos that would scatter magnetically and be counted."""
        return np.einsum("k,kij->ij", self.shares, np.stack(list(self.states.values())))

    def weigh(self, basis: str, mixing: Mixing) -> np.ndarray:
        """Weights (n_states, 3) of the squares of the moments of a basis in μ_eff² of each state.

        For `majorana` they are exact for mass states; the products of two Λ_i that other states see depend on unknown
        phases and are left out.
        """
        states = np.stack(list(self.states.values()))
        if basis == "flavour":
            found = flavour_shares(mixing, states)
        else:
            form = majorana_form(states) if basis == "majorana" else states
            found = np.diagonal(form, axis1=-2, axis2=-1).real
        return np.where(found > _ROUNDING, found, 0.0)


@dataclass(frozen=True)
class MomentFitResult(Result):
    """Limits on the moments of one basis from one or several data sets.

    Attributes
    ----------
    titles : tuple of str
    basis : str
        Key of `BASES`.
    names : tuple of str (n_seen,)
        The moments that some of the data sets see; the others have no weight in any of them.
    weights : ndarray (n_seen,)
        Weight of each squared moment in μ_eff², averaged over the signal; nan for several data sets.
    alone : ndarray (n_seen,)
        Limit, μ_B, if all other moments vanish: Δχ² = 2.71 from the lowest χ² at μ² ≥ 0.
    cls : ndarray (n_seen,)
        CLs limit, μ_B, if all other moments vanish.
    profiled : ndarray (n_seen,)
        Limit, μ_B, by the same Δχ² whatever the other moments are; inf if the set is open, nan if it is not quoted.
    verdicts : dict of VerdictResult
        For the squares of the moments, in (1e-11 μ_B)², by name.
    n_combinations : int
        Number of combinations of the squares, of n_seen, whose standard error without the bounds μ² ≥ 0 is less than
        ten times their limits.
    correlations : ndarray (n_seen, n_seen)
        Of the estimates of the squares at the best fit, without their bounds; nan if the data determine fewer of them.
    chi2, p_value : float
        At the best fit, with as many degrees of freedom as bins less free nuisance parameters.
    """

    titles: tuple[str, ...]
    basis: str
    names: tuple[str, ...]
    weights: np.ndarray
    alone: np.ndarray
    cls: np.ndarray
    profiled: np.ndarray
    verdicts: dict[str, VerdictResult]
    n_combinations: int
    correlations: np.ndarray
    chi2: float
    p_value: float


def load_signals(experiment: Experiment, signals: Sequence[Signal], *, data: Path | None = None) -> SignalSet:
    """Data of an experiment, and its expectation with several signals."""
    spectra = [predict_spectrum(experiment, data=data, signal=one) for one in signals]
    several = [build_likelihood(experiment, spectrum) for spectrum in spectra]
    return SignalSet(several[0].data, tuple(one.model for one in several))


def load_states(slug: str, mixing: Mixing, *, choices: Choices = DEFAULT_CHOICES, data: Path | None = None) -> StateSet:
    """Read a data set and compute the signal of each of its states."""
    read_instance("mixing", mixing, Mixing)
    experiment = load_experiment(slug, choices=choices, data=data)
    found = _find_states(experiment.flux, mixing)
    signals = [replace(MOMENT, select=select) for _, select in found.values()]
    states = {name: state for name, (state, _) in found.items()}
    return StateSet(experiment, load_signals(experiment, signals, data=data), states)


def fit_moments(sets: Sequence[StateSet], basis: str, mixing: Mixing) -> MomentFitResult:
    """Limits at 90 % on each moment of a basis, alone and with the others profiled, and whether the data determine it.

    Parameters
    ----------
    sets : sequence of StateSet
        Independent data sets.
    basis : str
        Key of `BASES`.
    mixing : Mixing

    Raises
    ------
    ValueError
        If the basis is unknown.
    """
    read_choice("basis", basis, BASES)
    weights = [one.weigh(basis, mixing) for one in sets]
    seen = np.flatnonzero(sum(one.sum(axis=0) for one in weights) > 0)
    weights = [one[:, seen] for one in weights]
    names = tuple(BASES[basis][j] for j in seen)
    strengths = [scale_linearly(one) for one in weights]
    parameters = [
        Parameter(name=name, symbol=f"{name}²", unit=UNIT, start=0.0, lower=0.0, physical=_SIZES) for name in names
    ]
    problem = combine_signals([one.signals for one in sets], parameters, strengths)
    alone = np.array([_bound_alone(problem, name) for name in names])
    parameters = [replace(one, upper=_REACH * end) for one, end in zip(problem.parameters, alone, strict=True)]
    problem = replace(problem, parameters=tuple(parameters))
    found = assess_problem(problem, level=LEVEL, effort=_EFFORT)
    ends = [found.verdicts[name].interval for name in names]
    jacobian = problem.jacobian(found.best_x)
    n_nuisances = sum(len(one.signals.models[0].nuisances) for one in sets)
    return MomentFitResult(
        titles=tuple(one.experiment.title for one in sets),
        basis=basis,
        names=names,
        weights=sets[0].shares @ weights[0] if len(sets) == 1 else np.full(len(seen), np.nan),
        alone=to_moment(alone),
        cls=to_moment(np.array([_bound_by_cls(sets, [one[:, j] for one in weights]) for j in range(len(seen))])),
        profiled=np.array([np.nan if end is None else to_moment(end[1]) for end in ends]),
        verdicts=dict(found.verdicts),
        n_combinations=int(np.count_nonzero(np.linalg.svd(jacobian * alone, compute_uv=False) > 1 / _REACH)),
        correlations=_correlate(jacobian),
        chi2=found.best_chi2,
        p_value=float(chi2_distribution.sf(found.best_chi2, problem.n_res - n_nuisances)),
    )


def describe_moments(fits: Mapping[str, MomentFitResult], left_out: Sequence[str] = ()) -> tuple[str, str]:
    """Verdict code and sentences on fits by the name of their data; `left_out` are titles of data sets not fitted.

    The code is `no_data` without fits, `moments_bounded` if every set of a squared moment is closed from above, else
    `moments_open`.
    """
    note = f" Not fitted: {', '.join(left_out)}." if left_out else ""
    if not fits:
        return "no_data", f"No data set was fitted.{note}"
    parts, is_open, excludes = [], False, []
    for name, fit in fits.items():
        limits = ", ".join(
            f"{moment} < {1e11 * end:.3g}e-11" for moment, end in zip(fit.names, fit.profiled, strict=True)
        )
        alone = len(fit.names) - fit.n_combinations
        of = "each" if not alone else f"{fit.n_combinations} of {len(fit.names)} combinations"
        parts.append(f"{name}: {limits} μ_B; the counts alone determine {of} of their squares.")
        is_open |= not all(verdict.code in CLOSED for verdict in fit.verdicts.values())
        excludes += [name for verdict in fit.verdicts.values() if verdict.interval and verdict.interval[0] > 0]
    zero = (
        f"A moment of 0 is excluded by {', '.join(dict.fromkeys(excludes))}."
        if excludes
        else "None of these fits excludes that all moments vanish, so that no phase of a moment is determined."
    )
    head = (
        "Some moments stay open. " if is_open else "Every moment is bounded at 90 %, whatever the other squares are. "
    )
    return ("moments_open" if is_open else "moments_bounded"), f"{head}{' '.join(parts)} {zero}{note}"


def bound_alone(one: StateSet, basis: str, mixing: Mixing) -> dict[str, LimitsResult]:
    """Limits at 90 % by every construction on each moment of a basis, if all others vanish, from one data set."""
    found = {}
    for name, weights in zip(BASES[basis], one.weigh(basis, mixing).T, strict=True):
        if weights.any():
            found[name] = find_limits(_weigh_model(one, weights), one.signals.data, confidence=[LEVEL])
    return found


def _weigh_model(one: StateSet, weights: np.ndarray) -> BinnedModel:
    """Model of a data set with a single signal, in which the states have weights (n_states,)."""
    first, *_ = several = one.signals.models
    signal = sum(weight * model.signal for weight, model in zip(weights, several, strict=True))
    shifts = sum(weight * model.signal_shifts for weight, model in zip(weights, several, strict=True))
    return replace(first, signal=signal, signal_shifts=shifts)


def _bound_by_cls(sets: Sequence[StateSet], weights: Sequence[np.ndarray]) -> float:
    """CLs limit on the square of one moment, all others 0, from data sets with weights (n_states,) of their states."""
    seen = [(one, several) for one, several in zip(sets, weights, strict=True) if several.any()]
    model = stack_models({one.experiment.title: _weigh_model(one, several) for one, several in seen})
    data = np.concatenate([one.signals.data for one, _ in seen])
    return float(find_limits(model, data, confidence=[LEVEL]).observed["cls"][0])


def propagate_mixing(slug: str, basis: str, mixing: Mixing, *, choices: Choices = DEFAULT_CHOICES) -> dict[str, float]:
    """Relative standard error, from the errors of the mixing, of the CLs limits of `bound_alone` on a solar data set.

    θ₁₂, θ₁₃ and Δm²₂₁, on which the shares of the mass states depend, are moved one by one by their standard error to
    both sides; half the differences are added in quadrature. The basis is `majorana` or `dirac`.
    """
    read_choice("basis", basis, BASES)
    read_instance("mixing", mixing, Mixing)

    def limits(mixing: Mixing) -> np.ndarray:
        found = bound_alone(load_states(slug, mixing, choices=choices), basis, mixing)
        return np.log(to_moment(np.array([one.observed["cls"][0] for one in found.values()])))

    steps = [
        (limits(above) - limits(below)) / 2 for below, above in map(mixing.vary, ("sin2_12", "sin2_13", "delta_m2_21"))
    ]
    return dict(zip(BASES[basis], norms(np.array(steps), axis=0), strict=True))


def _bound_alone(problem: LeastSquaresProblem, name: str) -> float:
    """Largest value of one squared moment, all others 0, at which χ² is 2.71 above its lowest value."""
    unit = np.eye(problem.n_par)[problem.index(name)]

    def fall(size: float) -> float:
        return float(-problem.residuals(size * unit) @ problem.jacobian(size * unit) @ unit)

    def chi2(size: float) -> float:
        return float(np.sum(problem.residuals(size * unit) ** 2))

    def pass_(function: Callable[[float], float], begin: float) -> float:
        """Root of a function that is positive at `begin` and negative far above."""
        step = float(1 / norms(problem.jacobian(begin * unit) @ unit, axis=-1))
        while function(begin + step) > 0:
            step *= 2
        return float(brentq(function, begin, begin + step, rtol=1e-10))

    lowest = pass_(fall, 0.0) if fall(0.0) > 0 else 0.0
    return pass_(lambda size: chi2(lowest) + RISE - chi2(size), lowest)


def _correlate(jacobian: np.ndarray) -> np.ndarray:
    """Correlations (n, n) from a Jacobian (n_res, n); nan where it is singular."""
    information, _ = scale_information(jacobian.T @ jacobian)
    if np.linalg.cond(information) > _SINGULAR:
        return np.full(information.shape, np.nan)
    covariance = np.linalg.inv(information)
    errors = np.sqrt(np.diagonal(covariance))
    return covariance / np.outer(errors, errors)


def _find_states(source: str, mixing: Mixing) -> dict[str, tuple[np.ndarray, Callable[[Flux], Flux]]]:
    """Density matrix of each incoherent state of a kind of source, and a function that keeps its part of a flux."""
    if source == "solar":
        pure = [np.diag(row).astype(complex) for row in np.eye(3)]
        return {f"nu_{i + 1}": (state, partial(keep_mass_state, mixing, i)) for i, state in enumerate(pure)}
    flavours = {"nu_e": "e"} if source == "reactor" else {"nu_mu": "mu", "nu_e": "e"}
    return {name: (flavour_state(mixing, one), partial(_keep_flavour, name)) for name, one in flavours.items()}


def _keep_flavour(name: str, flux: Flux) -> Flux:
    """Flux if it consists of neutrinos or antineutrinos of one flavour, else nothing of it."""
    is_kept = set(flux.flavours) <= {name, f"{name}_bar"}
    return flux if is_kept else flux.weigh(np.zeros_like)
