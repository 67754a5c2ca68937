"""The 35 least-squares problems of Moré, Garbow and Hillstrom, in 46 dimensions, from three starts each.

J. J. Moré, B. S. Garbow, K. E. Hillstrom, ACM Trans. Math. Softw. 7, 17 (1981), doi:10.1145/355934.355936. The numbers
of the problems, the data, the starts and the minima are the paper's; minima are refined to ten digits. Problem 11 has
|y − x2|, as in the paper's later corrections (its print reads "y m i x2"). A start at the origin, multiplied by 10 or
100, is the point whose coordinates are all 10 or 100, as in MINPACK's tests.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy import arctan, cos, exp, log, pi, sin, sqrt

from leptonfit.inference.problem import LeastSquaresProblem, Parameter

FACTORS = (1, 10, 100)
ZERO = 1e-10
"""A minimum F* = 0 counts as reached at or below this."""


@dataclass(frozen=True)
class Case:
    """A problem with its number, its start, its global minimum and its known local minima."""

    number: int
    name: str
    start: np.ndarray
    residuals: Callable[[np.ndarray], np.ndarray]
    minimum: float
    local: tuple[float, ...]

    def begin(self, factor: int) -> np.ndarray:
        """Start multiplied by `factor`."""
        return factor * (self.start if factor == 1 or self.start.any() else np.ones_like(self.start))

    def jacobian(self, x: np.ndarray) -> np.ndarray:
        """Derivatives by a complex step, exact to rounding."""
        step = 1e-30
        moved = x[..., None, :] + 1j * step * np.eye(len(self.start))
        return np.moveaxis(self.residuals(moved).imag / step, -1, -2)

    def problem(self, factor: int) -> LeastSquaresProblem:
        """Problem without bounds that starts at `factor` times the paper's start."""
        parameters = tuple(
            Parameter(name=f"x{j + 1}", start=float(value)) for j, value in enumerate(self.begin(factor))
        )
        names = tuple(f"f{i + 1}" for i in range(self.residuals(self.start).shape[-1]))
        return LeastSquaresProblem(parameters, names, self.residuals, self.jacobian)

    def is_minimum(self, value: float, minimum: float) -> bool:
        """Whether a sum of squares equals a minimum, to 1e-6 of it."""
        return bool(value <= ZERO) if minimum == 0 else bool(abs(value - minimum) <= 1e-6 * minimum)

    def is_reached(self, value: float) -> bool:
        """Whether a sum of squares is the global minimum."""
        return self.is_minimum(value, self.minimum)

    def is_known(self, value: float) -> bool:
        """Whether a sum of squares is the global minimum or a known local minimum."""
        return any(self.is_minimum(value, one) for one in (self.minimum, *self.local))


def join(*columns: np.ndarray) -> np.ndarray:
    """Residuals of one value each, or of several along the last axis, in a row."""
    shape = np.broadcast_shapes(*(np.shape(column)[:-1] for column in columns))
    return np.concatenate([np.broadcast_to(column, (*shape, np.shape(column)[-1])) for column in columns], axis=-1)


def split(x: np.ndarray) -> list[np.ndarray]:
    """Coordinates of x (..., n), each (..., 1)."""
    return [x[..., [j]] for j in range(x.shape[-1])]


def of(formula: Callable[..., np.ndarray | tuple[np.ndarray, ...]]) -> Callable[[np.ndarray], np.ndarray]:
    """Residuals as a function of x (..., n) from a formula of its coordinates."""

    def residuals(x: np.ndarray) -> np.ndarray:
        values = formula(*split(x))
        return join(*values) if isinstance(values, tuple) else values

    return residuals


def numbers(text: str) -> np.ndarray:
    return np.array(text.split(), dtype=float)


BEALE = numbers("1.5 2.25 2.625")
BARD = numbers(".14 .18 .22 .25 .29 .32 .35 .39 .37 .58 .73 .96 1.34 2.10 4.39")
GAUSSIAN = numbers(".0009 .0044 .0175 .0540 .1295 .2420 .3521 .3989 .3521 .2420 .1295 .0540 .0175 .0044 .0009")
MEYER = numbers("34780 28610 23650 19630 16370 13720 11540 9744 8261 7030 6005 5147 4427 3820 3307 2872")
KOWALIK = numbers(".1957 .1947 .1735 .1600 .0844 .0627 .0456 .0342 .0323 .0235 .0246")
KOWALIK_U = numbers("4 2 1 .5 .25 .167 .125 .1 .0833 .0714 .0625")
OSBORNE_1 = numbers(
    ".844 .908 .932 .936 .925 .908 .881 .850 .818 .784 .751 .718 .685 .658 .628 .603 .580 .558 .538 .522 .506 .490 "
    ".478 .467 .457 .448 .438 .431 .424 .420 .414 .411 .406"
)
OSBORNE_2 = numbers(
    "1.366 1.191 1.112 1.013 .991 .885 .831 .847 .786 .725 .746 .679 .608 .655 .616 .606 .602 .626 .651 .724 .649 "
    ".649 .694 .644 .624 .661 .612 .558 .533 .495 .500 .423 .395 .375 .372 .391 .396 .405 .428 .429 .523 .562 .607 "
    ".653 .672 .708 .633 .668 .645 .632 .591 .559 .597 .625 .739 .710 .729 .720 .636 .581 .428 .292 .162 .098 .054"
)


def up_to(m: int) -> np.ndarray:
    return np.arange(1.0, m + 1)


def helical(a, b, c):
    angle = np.where(a.real == 0, np.sign(b.real) / 4, arctan(b / np.where(a.real == 0, 1, a)) / (2 * pi))
    angle = angle + np.where(a.real < 0, 0.5, 0.0)
    return 10 * (c - 10 * angle), 10 * (sqrt(a * a + b * b) - 1), c


def bard(a, b, c):
    u = up_to(15)
    return BARD - (a + u / ((16 - u) * b + np.minimum(u, 16 - u) * c))


def gulf(a, b, c):
    t = up_to(99) / 100
    distance = 25 + (-50 * log(t)) ** (2 / 3) - b
    return exp(-((distance * distance) ** (c / 2)) / a) - t


def box(a, b, c):
    t = up_to(10) / 10
    return exp(-t * a) - exp(-t * b) - c * (exp(-t) - exp(-10 * t))


def powell(x):
    a, b, c, d = (x[..., k::4] for k in range(4))
    return join(a + 10 * b, sqrt(5) * (c - d), (b - 2 * c) ** 2, sqrt(10) * (a - d) ** 2)


def rosenbrock(x):
    a, b = x[..., ::2], x[..., 1::2]
    return join(10 * (b - a * a), 1 - a)


def wood(a, b, c, d):
    bends = 10 * (b - a * a), sqrt(90) * (d - c * c)
    return *bends, 1 - a, 1 - c, sqrt(10) * (b + d - 2), (b - d) / sqrt(10)


def brown_dennis(a, b, c, d):
    t = up_to(20) / 5
    return (a + t * b - exp(t)) ** 2 + (c + d * sin(t) - cos(t)) ** 2


def osborne_1(a, b, c, d, e):
    t = 10 * (up_to(33) - 1)
    return OSBORNE_1 - (a + b * exp(-t * d) + c * exp(-t * e))


def biggs(a, b, c, d, e, f):
    t = up_to(13) / 10
    data = exp(-t) - 5 * exp(-10 * t) + 3 * exp(-4 * t)
    return c * exp(-t * a) - d * exp(-t * b) + f * exp(-t * e) - data


def osborne_2(*p):
    t = (up_to(65) - 1) / 10
    peaks = sum(p[k] * exp(-((t - p[7 + k]) ** 2) * p[4 + k]) for k in (1, 2, 3))
    return OSBORNE_2 - (p[0] * exp(-t * p[4]) + peaks)


def watson(x):
    t, j = up_to(29)[:, None] / 29, np.arange(x.shape[-1])
    slope = x @ (j * t ** np.maximum(j - 1, 0)).T
    value = x @ (t**j).T
    a, b = x[..., [0]], x[..., [1]]
    return join(slope - value * value - 1, a, b - a * a - 1)


def penalty_1(x):
    return join(sqrt(1e-5) * (x - 1), np.sum(x * x, axis=-1, keepdims=True) - 0.25)


def penalty_2(x):
    n = x.shape[-1]
    i, grown = up_to(n), exp(x / 10)
    pairs = grown[..., 1:] + grown[..., :-1] - (exp(i / 10)[1:] + exp(i / 10)[:-1])
    ball = np.sum((n + 1 - i) * x * x, axis=-1, keepdims=True) - 1
    return join(x[..., :1] - 0.2, sqrt(1e-5) * pairs, sqrt(1e-5) * (grown[..., 1:] - exp(-0.1)), ball)


def variably_dimensioned(x):
    total = np.sum(up_to(x.shape[-1]) * (x - 1), axis=-1, keepdims=True)
    return join(x - 1, total, total * total)


def trigonometric(x):
    n = x.shape[-1]
    return n - np.sum(cos(x), axis=-1, keepdims=True) + up_to(n) * (1 - cos(x)) - sin(x)


def brown_almost_linear(x):
    sums = x[..., :-1] + np.sum(x, axis=-1, keepdims=True) - (x.shape[-1] + 1)
    return join(sums, np.prod(x, axis=-1, keepdims=True) - 1)


def neighbours(x):
    """Values before and after each coordinate; zero outside."""
    zero = np.zeros_like(x[..., :1])
    return join(zero, x[..., :-1]), join(x[..., 1:], zero)


def discrete_boundary(x):
    n = x.shape[-1]
    before, after = neighbours(x)
    return 2 * x - before - after + (x + up_to(n) / (n + 1) + 1) ** 3 / (2 * (n + 1) ** 2)


def discrete_integral(x):
    n = x.shape[-1]
    t = up_to(n) / (n + 1)
    kernel = np.where(t[:, None] >= t, (1 - t[:, None]) * t, t[:, None] * (1 - t))
    return x + (x + t + 1) ** 3 @ kernel.T / (2 * (n + 1))


def broyden_tridiagonal(x):
    before, after = neighbours(x)
    return (3 - 2 * x) * x - before - 2 * after + 1


def broyden_banded(x):
    i = np.arange(x.shape[-1])
    band = (i >= i[:, None] - 5) & (i <= i[:, None] + 1) & (i != i[:, None])
    return x * (2 + 5 * x * x) + 1 - (x * (1 + x)) @ band.T.astype(float)


def linear_full_rank(m):
    def residuals(x):
        rest = np.broadcast_to(-2 / m * np.sum(x, axis=-1, keepdims=True) - 1, (*x.shape[:-1], m))
        return rest + join(x, np.zeros(m - x.shape[-1]))

    return residuals


def linear_rank_1(m):
    return lambda x: up_to(m) * np.sum(up_to(x.shape[-1]) * x, axis=-1, keepdims=True) - 1


def linear_rank_1_zero(m):
    def residuals(x):
        weights = up_to(x.shape[-1])
        weights[[0, -1]] = 0
        factors = up_to(m) - 1
        factors[-1] = 0
        return factors * np.sum(weights * x, axis=-1, keepdims=True) - 1

    return residuals


def chebyquad(x):
    n, shifted = x.shape[-1], 2 * x - 1
    before, now, means = np.ones_like(x), shifted, []
    for i in range(1, n + 1):
        means.append(np.mean(now, axis=-1, keepdims=True) + (1 / (i * i - 1) if i % 2 == 0 else 0))
        before, now = now, 2 * shifted * now - before
    return join(*means)


def build_cases() -> list[Case]:
    t = up_to(10)
    h = up_to(10) / 11
    cases: list[Case] = []

    def add(number, name, start, residuals, minimum=0.0, *local):
        cases.append(Case(number, name, np.asarray(start, dtype=float), residuals, minimum, local))

    add(1, "Rosenbrock", [-1.2, 1], rosenbrock)
    roth = of(lambda a, b: (-13 + a + ((5 - b) * b - 2) * b, -29 + a + ((b + 1) * b - 14) * b))
    add(2, "Freudenstein and Roth", [0.5, -2], roth, 0.0, 48.98425368)
    powell_scaled = of(lambda a, b: (1e4 * a * b - 1, exp(-a) + exp(-b) - 1.0001))
    add(3, "Powell badly scaled", [0, 1], powell_scaled)
    add(4, "Brown badly scaled", [1, 1], of(lambda a, b: (a - 1e6, b - 2e-6, a * b - 2)))
    add(5, "Beale", [1, 1], of(lambda a, b: BEALE - a * (1 - b ** up_to(3))))
    add(6, "Jennrich and Sampson", [0.3, 0.4], of(lambda a, b: 2 + 2 * t - (exp(t * a) + exp(t * b))), 124.3621823)
    add(7, "Helical valley", [-1, 0, 0], of(helical))
    add(8, "Bard", [1, 1, 1], of(bard), 8.214877307e-3, 17.42869333)
    bell = of(lambda a, b, c: a * exp(-b * ((8 - up_to(15)) / 2 - c) ** 2 / 2) - GAUSSIAN)
    add(9, "Gaussian", [0.4, 1, 0], bell, 1.127932770e-8)
    meyer = of(lambda a, b, c: a * exp(b / (45 + 5 * up_to(16) + c)) - MEYER)
    add(10, "Meyer", [0.02, 4000, 250], meyer, 87.94585517)
    add(11, "Gulf research", [5, 2.5, 0.15], of(gulf))
    add(12, "Box", [0, 10, 20], of(box))
    add(13, "Powell singular", [3, -1, 0, 1], powell)
    add(14, "Wood", [-3, -1, -3, -1], of(wood))
    kowalik = of(lambda a, b, c, d: KOWALIK - a * (KOWALIK_U**2 + KOWALIK_U * b) / (KOWALIK_U**2 + KOWALIK_U * c + d))
    add(15, "Kowalik and Osborne", [0.25, 0.39, 0.415, 0.39], kowalik, 3.075056038e-4, 1.027343e-3)
    add(16, "Brown and Dennis", [25, 5, -5, -1], of(brown_dennis), 85822.20163)
    add(17, "Osborne 1", [0.5, 1.5, -1, 0.01, 0.02], of(osborne_1), 5.464894697e-5)
    add(18, "Biggs EXP6", [1, 2, 1, 1, 1, 1], of(biggs), 0.0, 5.655649925e-3)
    osborne = [1.3, 0.65, 0.65, 0.7, 0.6, 3, 5, 7, 2, 4.5, 5.5]
    add(19, "Osborne 2", osborne, of(osborne_2), 4.013773629e-2)
    for n, minimum in ((6, 2.287670054e-3), (9, 1.399760138e-6), (12, 4.722381e-10)):
        add(20, f"Watson, {n}", np.zeros(n), watson, minimum)
    add(21, "Extended Rosenbrock, 10", np.tile([-1.2, 1], 5), rosenbrock)
    add(22, "Extended Powell singular, 12", np.tile([3, -1, 0, 1], 3), powell)
    for n, minimum in ((4, 2.249977501e-5), (10, 7.087651467e-5)):
        add(23, f"Penalty I, {n}", up_to(n), penalty_1, minimum)
    for n, minimum in ((4, 9.376293042e-6), (10, 2.936605374e-4)):
        add(24, f"Penalty II, {n}", np.full(n, 0.5), penalty_2, minimum)
    add(25, "Variably dimensioned, 10", 1 - t / 10, variably_dimensioned)
    add(26, "Trigonometric, 10", np.full(10, 0.1), trigonometric, 0.0, 2.795056e-5)
    for n in (10, 30, 40):
        add(27, f"Brown almost-linear, {n}", np.full(n, 0.5), brown_almost_linear, 0.0, 1.0)
    add(28, "Discrete boundary value, 10", h * (h - 1), discrete_boundary)
    add(29, "Discrete integral equation, 10", h * (h - 1), discrete_integral)
    add(30, "Broyden tridiagonal, 10", -np.ones(10), broyden_tridiagonal)
    add(31, "Broyden banded, 10", -np.ones(10), broyden_banded)
    for m, n in ((10, 5), (50, 5)):
        add(32, f"Linear, full rank, {m} x {n}", np.ones(n), linear_full_rank(m), m - n)
        rank_1 = m * (m - 1) / (2 * (2 * m + 1))
        add(33, f"Linear, rank 1, {m} x {n}", np.ones(n), linear_rank_1(m), rank_1)
        rank_0 = (m * m + 3 * m - 6) / (2 * (2 * m - 3))
        add(34, f"Linear, rank 1, zeros, {m} x {n}", np.ones(n), linear_rank_1_zero(m), rank_0)
    for n, minimum in ((8, 3.516873726e-3), (9, 0.0), (10, 4.772713673e-3)):
        add(35, f"Chebyquad, {n}", up_to(n) / (n + 1), chebyquad, minimum, *((6.503954800e-3,) if n == 10 else ()))
    return cases


CASES = build_cases()


def tally(ends: dict[tuple[str, int], tuple[float, bool]]) -> tuple[list[int], list[int]]:
    """Count, for each factor, global minima that were reached and false claims.

    `ends` gives the sum of squares and the claim of convergence for each (name, factor). A claim is false at a sum of
    squares that is neither the global minimum nor a local minimum of the paper.
    """
    reached = [sum(case.is_reached(ends[case.name, factor][0]) for case in CASES) for factor in FACTORS]
    false = [
        sum(ends[case.name, factor][1] and not case.is_known(ends[case.name, factor][0]) for case in CASES)
        for factor in FACTORS
    ]
    return reached, false
