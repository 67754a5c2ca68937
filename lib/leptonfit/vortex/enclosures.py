"""Interval arithmetic with outward rounding for the cross-lepton fit: rigorous bounds on its exact solutions.

At given β, R and A the velocity that meets a mass is U² = (m + βS)/I. As A grows, S ≥ 0 grows and I > 0 falls, so U
grows. The allowed A at one R are therefore an interval. On any range of R where some A is allowed throughout, the
moment q = R U takes all values between its smallest and its largest (intermediate value theorem). C_μ = g/(k q) then
takes all values of one interval for e and of another for μ. χ²_min is zero where these two intervals and the bounds on
C_μ have a common value and the mass of the τ can be met. Where they have no common value even if every measured value
may move by t standard errors, χ²_min ≥ t².
"""

from __future__ import annotations

import heapq
import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import partial
from typing import Any

import numpy as np
from mpmath.ctx_iv import MPIntervalContext

from leptonfit.vortex.closures import CLOSURES, HillClosure
from leptonfit.vortex.model import LEPTONS, VortexModel

CERTIFIABLE = tuple(name for name, closure in CLOSURES.items() if isinstance(closure(r_max=10.0), HillClosure))
"""Closures with closed forms; the functional of the report is a sum over a grid and is not included."""

_IV = MPIntervalContext()
_IV.prec = 100
_SLABS, _SPLITS, _TOLERANCE = 12, 400, 1e-14
_MARGIN = _IV.mpf([1 - 1e-15, 1 + 1e-15])

Interval = Any
"""Interval type of mpmath; only end points are compared."""


@dataclass(frozen=True)
class _Integrals:
    """Constants of I/π = a + R³(b − cA) + dR⁶ and S/π = s A²R³, as intervals."""

    a: Interval
    b: Interval
    c: Interval
    d: Interval
    s: Interval


class LeptonEnclosure:
    """Exact solutions for the mass of one lepton, for β and m in intervals; U and q grow with both.

    `side` in the methods is None for all β and m of the intervals, True for their upper ends, False for their lower.
    """

    def __init__(self, integrals: _Integrals, beta: Interval, mass: Interval, limits: Sequence[tuple[float, float]]):
        self.integrals, mass_over_pi = integrals, mass / _IV.pi
        (self.r_low, self.r_high), u, (self.a_low, self.a_high) = limits
        self.slowest, self.fastest = (_IV.mpf(end) ** 2 for end in u)
        self._mass_over_pi = {None: mass_over_pi, False: mass_over_pi.a, True: mass_over_pi.b}
        self._factors = {
            (amplitude, side): (at * integrals.s * _IV.mpf(amplitude) ** 2, integrals.b - integrals.c * amplitude)
            for side, at in ((None, beta), (False, beta.a), (True, beta.b))
            for amplitude in (self.a_low, self.a_high)
        }
        self._square_speeds: dict[tuple[Interval, float, bool | None], Interval] = {}

    def _parts(self, radius: Interval, amplitude: float, side: bool | None) -> list[Interval]:
        """(m + βS)/π and I/π, followed by their terms βS/π, R³(b − cA) and dR⁶; A is its largest or smallest."""
        by_cube, bulk_by_cube = self._factors[amplitude, side]
        cube = radius**3
        stiff, bulk, far = by_cube * cube, cube * bulk_by_cube, self.integrals.d * cube**2
        return [self._mass_over_pi[side] + stiff, self.integrals.a + bulk + far, stiff, bulk, far]

    def _square_speed(self, radius: Interval, amplitude: float, side: bool | None) -> Interval:
        """U² that meets the mass at one R, an end of several intervals: computed once."""
        key = radius, amplitude, side
        if key not in self._square_speeds:
            energy, flow = self._parts(*key)[:2]
            self._square_speeds[key] = energy / flow
        return self._square_speeds[key]

    def allows(self, radius: Interval) -> bool | None:
        """Whether some A is allowed at every R of an interval (True) or at no R (False); None if neither is certain."""
        speeds = []
        for amplitude in (self.a_low, self.a_high):
            energy, flow, stiff, bulk, far = self._parts(radius, amplitude, None)
            if not flow.a > 0:
                return None
            # dU²/dR has the sign of `slope`; where this sign is definite, the ends of the interval bound U²
            slope = stiff * (self.integrals.a - far) - self._mass_over_pi[None] * (bulk + 2 * far)
            at_end = partial(self._square_speed, amplitude=amplitude, side=None)
            speeds.append(_between(radius, slope, energy / flow, at_end))
        least, most = speeds
        if least.a > self.fastest.b or most.b < self.slowest.a:
            return False
        return True if least.b <= self.fastest.a and most.a >= self.slowest.b else None

    def moment(self, radius: Interval, *, largest: bool, upper: bool) -> Interval:
        """Enclosure of the largest or smallest q² at each R of an interval, at the upper or lower ends of β and m."""
        amplitude = self.a_high if largest else self.a_low
        energy, flow, stiff, bulk, far = self._parts(radius, amplitude, upper)
        square = radius**2
        free = square * _hull(self.slowest, self.fastest)
        if flow.a > 0:
            a = self.integrals.a
            # sign of d(R²U²)/dR
            slope = self._mass_over_pi[upper] * (2 * a - bulk - 4 * far) + stiff * (5 * a + 2 * bulk - far)

            def at_end(end: Interval) -> Interval:
                return end**2 * self._square_speed(end, amplitude, upper)

            free = _between(radius, slope, square * (energy / flow), at_end)
        slow, fast = square * self.slowest, square * self.fastest  # q² at the limits of U grows with R
        return _hull(_clip(free.a, slow.a, fast.a), _clip(free.b, slow.b, fast.b))

    def extreme(self, *, largest: bool) -> tuple[Interval, Interval | None] | None:
        """Bound on the largest or smallest allowed q², and the best R found that is certainly allowed (or None).

        The result is None if no R is allowed.
        """
        sign, serial = (1 if largest else -1), itertools.count()
        heap: list[tuple[float, int, Interval, Interval]] = []
        best = certain = -math.inf
        where, tried = None, set()

        def push(slab: Interval) -> None:
            nonlocal best, certain, where
            if self.allows(slab) is False:
                return
            found = self.moment(slab, largest=largest, upper=largest)
            bound = found.b if largest else found.a
            heapq.heappush(heap, (-sign * float(bound.mid), next(serial), bound, slab))
            for end in (slab.a, slab.b):
                if end in tried:  # neighbouring slabs share it
                    continue
                tried.add(end)
                allowed = self.allows(end)
                if allowed is not False:
                    value = sign * float(self.moment(end, largest=largest, upper=largest).mid)
                    best = max(best, value)
                    if allowed and value > certain:
                        certain, where = value, end

        edges = np.geomspace(self.r_low, self.r_high, _SLABS + 1)
        edges[[0, -1]] = self.r_low, self.r_high
        for low, high in itertools.pairwise(edges):
            push(_IV.mpf([low, high]))
        for _ in range(_SPLITS):
            if not heap or (best > -math.inf and -heap[0][0] - best <= _TOLERANCE * abs(best)):
                break
            slab = heapq.heappop(heap)[3]
            push(_hull(slab.a, slab.mid))
            push(_hull(slab.mid, slab.b))
        if not heap:
            return None
        bound = heap[0][2] * _MARGIN  # a margin, because the heap is ordered by rounded numbers
        return (bound.b if largest else bound.a), where

    def attained(self) -> tuple[Interval, Interval] | None:
        """Two values of q² between which some allowed (R, U, A) attains every value; None if that is not certain."""
        ends = []
        for largest in (False, True):
            found = self.extreme(largest=largest)
            if found is None or found[1] is None:
                return None
            value = self.moment(found[1], largest=largest, upper=not largest)
            ends.append((found[1], value.a if largest else value.b))
        (first, low), (second, high) = ends
        todo = [_hull(first, second)]
        for _ in range(_SPLITS):
            if not todo:
                return low, high
            slab = todo.pop()
            if not self.allows(slab):
                todo += [_hull(slab.a, slab.mid), _hull(slab.mid, slab.b)]
        return None


class FitEnclosure:
    """Bounds on the solutions of the whole fit for β in an interval."""

    def __init__(self, model: VortexModel, beta: tuple[float, float]):
        limits, covariance = model.limits, model.covariance
        model.require_closed_form()
        _check(beta, limits)
        self.limits = [[limits[f"{kind}_{lepton}"] for kind in "RUA"] for lepton in LEPTONS]
        self.c_mu = tuple(_IV.mpf(end) ** 2 for end in limits["c_mu"])
        self.integrals, self.beta = _integrals(model), _IV.mpf(list(beta))
        self.moment_factor = _IV.mpf(model.moment_factor)
        self.values = [_IV.mpf(float(value)) for value in model.measurements.values]
        sigma = np.sqrt(np.diag(covariance))
        # χ² ≥ Σ(Δ/σ)²/λ; Gershgorin's circles bound λ, the largest eigenvalue of the correlation matrix
        inflation = np.abs(covariance / np.outer(sigma, sigma)).sum(axis=1).max()
        self._reached: dict[tuple[int, float], tuple[Interval, Interval] | None] = {}
        self.sigma = [_IV.mpf(float(s)) * _IV.sqrt(_IV.mpf(float(inflation) * (1 + 1e-15))) for s in sigma]

    def _moved(self, index: int, t: float) -> Interval:
        return self.values[index] + self.sigma[index] * _IV.mpf([-t, t])

    def _lepton(self, index: int, t: float = 0.0) -> LeptonEnclosure:
        return LeptonEnclosure(self.integrals, self.beta, self._moved(index, t), self.limits[index])

    def _calibrated(self, index: int, square: Interval, t: float = 0.0) -> Interval:
        """C_μ² for which q² gives the g-factor."""
        return self._moved(3 + index, t) ** 2 / (self.moment_factor**2 * square)

    def _reach(self, index: int, t: float) -> tuple[Interval, Interval] | None:
        """Bounds on C_μ² for e or μ, on q² for the τ, within t standard errors; None without a solution."""
        if (index, t) not in self._reached:
            self._reached[index, t] = self._find_reach(index, t)
        return self._reached[index, t]

    def _find_reach(self, index: int, t: float) -> tuple[Interval, Interval] | None:
        lepton = self._lepton(index, t)
        ends = [lepton.extreme(largest=largest) for largest in (True, False)]
        if ends[0] is None or ends[1] is None:
            return None
        if index == 2:
            return ends[1][0], ends[0][0]
        return self._calibrated(index, ends[0][0], t).a, self._calibrated(index, ends[1][0], t).b

    def excluded_alone(self, index: int, t: float) -> bool:
        """Whether one lepton has no solution within t standard errors."""
        found = self._reach(index, t)
        if found is None or index == 2:
            return found is None
        return bool(found[1] < self.c_mu[0].a or found[0] > self.c_mu[1].b)

    def excluded_together(self, t: float) -> bool:
        """Whether e and μ have no common C_μ within t standard errors."""
        found = [self._reach(index, t) for index in (0, 1)]
        if found[0] is None or found[1] is None:
            return True
        return bool(found[0][1] < found[1][0] or found[1][1] < found[0][0])

    def shared_c_mu(self) -> np.ndarray | None:
        """Range (2,) of C_μ in which every value certainly has an exact solution; None if no value is certain."""
        low, high = self.c_mu
        for index in (0, 1):
            found = self._lepton(index).attained()
            if found is None:
                return None
            own = self._calibrated(index, found[1]).b, self._calibrated(index, found[0]).a
            low, high = (own[0] if own[0] > low.b else low.b), (own[1] if own[1] < high.a else high.a)
        tau = self._lepton(2).extreme(largest=False)
        if low > high or tau is None or tau[1] is None:
            return None
        ends = np.array([float(_IV.sqrt(low).b.mid), float(_IV.sqrt(high).a.mid)])
        return ends * [1 + 1e-15, 1 - 1e-15]


def _between(radius: Interval, slope: Interval, whole: Interval, at_end: Callable[[Interval], Interval]) -> Interval:
    """Values over an interval of R: the hull of those at its ends if the slope has one sign, else `whole`."""
    if not (radius.delta > 0 and (slope.a > 0 or slope.b < 0)):
        return whole
    return _hull(at_end(radius.a), at_end(radius.b))


def _hull(one: Interval, other: Interval) -> Interval:
    """Smallest interval that contains two intervals."""
    low = one.a if one.a < other.a else other.a
    high = one.b if one.b > other.b else other.b
    return _IV.mpf([low, high])


def _clip(value: Interval, low: Interval, high: Interval) -> Interval:
    return low if value < low.a else high if value > high.b else value


def _check(beta: tuple[float, float], limits: Mapping[str, tuple[float, float]]) -> None:
    """Refuse input for which the monotonicity used in the proof does not hold.

    Raises
    ------
    ValueError
        If β does not ascend within its bounds, a bound on R is not positive, or a bound on U, A or C_μ is negative.
    """
    low, high = limits["beta"]
    if not max(low, 0.0) <= beta[0] <= beta[1] <= high:
        raise ValueError(
            f"β = {beta[0]:g} to {beta[1]:g}: must ascend within its bounds {low:g} to {high:g}, from 0 up"
        )
    for name, (lower, _) in limits.items():
        if lower < 0 or (lower == 0 and name.startswith("R_")):
            raise ValueError(
                f"bounds of {name}: must be {'positive' if name[0] == 'R' else 'at least 0'}, not {lower:g}"
            )


def _integrals(model: VortexModel) -> _Integrals:
    """Constants of the closure as intervals, from exact integrals over the power series of the density.

    Raises
    ------
    ValueError
        If the closure has no closed form.
    """
    if model.closure not in CERTIFIABLE:
        raise ValueError(f"closure = {model.closure!r}: must be one of {', '.join(CERTIFIABLE)} to be certified")
    energy = model.energy
    assert isinstance(energy, HillClosure)
    series, remainder = _series(energy.shape)
    # x² (2/3 v_r² + 4/3 v_θ²), with v_r = (3 − 3x²)/2 and v_θ = (3 − 6x²)/2, each plus 1 in the lab frame
    flow = [Fraction(w, 2) for w in ((25, -50, 27) if energy.frame == "lab" else (9, -30, 27))]
    c = sum((w * a / (2 * i + n + 3) for i, w in enumerate(flow) for n, a in series.items()), Fraction())
    s = sum((4 * a * b / (n + m + 3) for n, a in series.items() for m, b in series.items()), Fraction())
    around = _IV.mpf([-1, 1]) * 100 * _exact(remainder)
    flow_term, static = _exact(c) + around, _exact(s) + around
    if energy.frame == "lab":
        return _Integrals(a=_IV.mpf(0), b=_exact(Fraction(10, 7)), c=flow_term, d=_IV.mpf(0), s=static)
    cube = _IV.mpf(energy.r_max) ** 3
    return _Integrals(a=2 * cube / 3, b=_exact(Fraction(2, 21)), c=flow_term, d=-1 / (3 * cube), s=static)


def _series(shape: str) -> tuple[dict[int, Fraction], Fraction]:
    """Coefficients of the density deficit f(x) by power of x, and a bound on the remainder for 0 ≤ x ≤ 1."""
    exact = {"parabolic": {0: 1, 2: -1}, "quartic": {0: 1, 2: -2, 4: 1}, "linear": {0: 1, 1: -1}}
    if shape in exact:
        return {n: Fraction(a) for n, a in exact[shape].items()}, Fraction(0)
    terms = 30  # of e^(−x²); they alternate and fall, so the next term bounds the remainder
    return {2 * n: Fraction((-1) ** n, math.factorial(n)) for n in range(terms)}, Fraction(1, math.factorial(terms))


def _exact(value: Fraction | int) -> Interval:
    return _IV.mpf(Fraction(value).numerator) / _IV.mpf(Fraction(value).denominator)
