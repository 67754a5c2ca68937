"""Limits on a charge and a charge radius of neutrinos, which shift the vector coupling of weak scattering.

A charge q_ν shifts g_V like 1/T, and adds recoils like 1/T² where weak scattering is small beside them. A charge radius
⟨r²⟩ shifts it equally at all recoils, as sin²θ_W does. Both interfere with weak scattering: the expectation is a
polynomial of second order in them. Electrons count as free above their binding energy; the equivalent-photon
approximation gives more recoils by a charge, and stronger limits. Charges between different flavours are left out.

The weak couplings here hold no charge radius. The standard model has −0.83e-32, −0.48e-32 and −0.30e-32 cm² for ν_e,
ν_μ and ν_τ (J. Bernabéu, J. Papavassiliou and J. Vidal, Phys. Rev. Lett. 89, 101802 (2002), arXiv:hep-ph/0206015).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from leptonfit.inference.arguments import read_choice, read_instance, read_number, show
from leptonfit.inference.assess import assess_problem
from leptonfit.inference.identifiability import VerdictResult
from leptonfit.inference.multistart import Effort
from leptonfit.inference.problem import Parameter
from leptonfit.inference.result import Result
from leptonfit.inference.signals import combine_signals
from leptonfit.neutrino import scattering
from leptonfit.neutrino.experiments import Experiment
from leptonfit.neutrino.flavour import FLAVOURS
from leptonfit.neutrino.flavour_fit import LEVEL, load_signals
from leptonfit.neutrino.flux import Flux
from leptonfit.neutrino.scattering import DALTON, ELECTRON_MASS
from leptonfit.neutrino.spectra import Signal

KINDS = {"charge": ("q", "e"), "radius": ("⟨r²⟩", "cm²")}
"""Symbol and unit of each quantity, by kind."""
_EFFORT = Effort(n_starts=4, seed=1)


@dataclass(frozen=True)
class ChargeFitResult(Result):
    """Charge or charge radius of neutrinos from one data set.

    Attributes
    ----------
    slug, title, kind : str
    flavours : tuple of str
        The quantities fitted together: one for each, by the flavours that have it.
    unit : float
        Unit of the fitted numbers, in e or cm².
    best : ndarray (n,)
        At the best fit, in e or cm².
    intervals : ndarray (n, 2)
        Lowest and highest value within 90 %, the other quantities profiled, in e or cm²; nan if no set is quoted.
    verdicts : dict of VerdictResult
        By flavours, in `unit`.
    chi2_best, chi2_zero : float
    """

    slug: str
    title: str
    kind: str
    flavours: tuple[str, ...]
    unit: float
    best: np.ndarray
    intervals: np.ndarray
    verdicts: dict[str, VerdictResult]
    chi2_best: float
    chi2_zero: float


def fit_charges(
    experiment: Experiment, kind: str, groups: Sequence[str], *, unit: float, reach: float
) -> ChargeFitResult:
    """Fit the charges or charge radii of groups of flavours to one data set.

    Parameters
    ----------
    experiment : Experiment
    kind : str
        Key of `KINDS`.
    groups : sequence of str
        For each quantity the flavours that have it, such as "e", "mu" or "e, mu"; tau counts as mu, because ν_μ and ν_τ
        scatter alike.
    unit : float
        Unit of the fitted numbers, in e or cm².
    reach : float
        Search bounds are ± this, in `unit`.

    Raises
    ------
    ValueError
        If the kind is unknown.
    """
    read_instance("experiment", experiment, Experiment)
    read_choice("kind", kind, KINDS)
    for name, value, most in (("unit", unit, 1.0), ("reach", reach, 1e9)):
        if not read_number(name, value, high=most) > 0:
            raise ValueError(f"{name} = {value:g}: must be above 0")
    if isinstance(groups, str) or not isinstance(groups, Sequence) or not groups:
        raise TypeError(f"groups = {show(groups)}: must be a sequence of one or more texts")
    for group in groups:
        for flavour in read_instance("groups", group, str).split(", "):
            read_choice("groups", flavour, FLAVOURS)
    signals = [_make_signal(kind, group, order, unit) for group in groups for order in (1, 2)]
    one = load_signals(experiment, signals)
    symbol, symbol_unit = KINDS[kind]
    parameters = [
        Parameter(name=group, symbol=f"{symbol}({group})", unit=f"{unit:g} {symbol_unit}", lower=-reach, upper=reach)
        for group in groups
    ]
    problem = combine_signals([one], parameters, [_raise_to_powers])
    found = assess_problem(problem, level=LEVEL, effort=_EFFORT)
    ends = [found.verdicts[group].interval or (np.nan, np.nan) for group in groups]
    return ChargeFitResult(
        slug=experiment.slug,
        title=experiment.title,
        kind=kind,
        flavours=tuple(groups),
        unit=unit,
        best=unit * found.best_x,
        intervals=unit * np.array(ends),
        verdicts=dict(found.verdicts),
        chi2_best=found.best_chi2,
        chi2_zero=float(np.sum(problem.residuals(np.zeros(len(groups))) ** 2)),
    )


def _raise_to_powers(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Strengths (..., 2n): each of n quantities and its square in turn, and their derivatives (..., 2n, n)."""
    n = x.shape[-1]
    strengths = np.stack([x, x**2], axis=-1)
    slopes = np.zeros((*x.shape, 2, n))
    each = np.arange(n)
    slopes[..., each, 0, each], slopes[..., each, 1, each] = 1.0, 2 * x
    return strengths.reshape(*x.shape[:-1], 2 * n), slopes.reshape(*x.shape[:-1], 2 * n, n)


def _make_signal(kind: str, group: str, order: int, unit: float) -> Signal:
    """Signal of first or second order in a charge or charge radius of the flavours of a group."""
    kept = {f"nu_{name}{bar}" for name in group.split(", ") for bar in ("", "_bar")}

    def shift(recoil: np.ndarray, mass: float) -> np.ndarray:
        by_radius = scattering.shift_by_radius(recoil)
        return by_radius if kind == "radius" else scattering.shift_by_charge(recoil, mass)

    def select(flux: Flux) -> Flux:
        share = sum(flux.flavours[name] for name in kept & flux.flavours.keys())
        return flux.weigh(lambda energy: np.full(np.shape(energy), float(share)))

    def electron(recoil: np.ndarray, flavours: Mapping[str, float]) -> np.ndarray:
        """Mean over the selected flavours."""
        shares = {name: flavours[name] for name in kept & flavours.keys()}
        found = np.zeros((3, *np.shape(recoil)))
        for name, share in shares.items():
            by = scattering.shifted_electron(recoil, *scattering.COUPLINGS[name], shift(recoil, ELECTRON_MASS))
            found += share / sum(shares.values()) * by[order - 1]
        return found

    def nucleus(recoil: np.ndarray, n_protons: int, mass_number: float) -> np.ndarray:
        by = shift(recoil, mass_number * DALTON)
        return scattering.shifted_nucleus(recoil, n_protons, mass_number, by)[order - 1]

    return Signal(electron, nucleus, unit**order, select)
