"""The NIST StRD nonlinear regression sets: six certified digits from both of NIST's starts."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from numpy import arctan, cos, exp, pi, sin

from leptonfit.inference.problem import LeastSquaresProblem, Parameter
from leptonfit.inference.solve import solve

FILES = {path.stem: path for path in sorted((Path(__file__).parent / "nist_strd").glob("*.dat"))}
DIGITS = 6


def saturation(x, b):
    return b[0] * (1 - exp(-b[1] * x))


def chwirut(x, b):
    return exp(-b[0] * x) / (b[1] + b[2] * x)


def enso(x, b):
    cycles = ((b[1], b[2], 12), (b[4], b[5], b[3]), (b[7], b[8], b[6]))
    return b[0] + sum(c * cos(2 * pi * x / period) + s * sin(2 * pi * x / period) for c, s, period in cycles)


def gauss(x, b):
    return b[0] * exp(-b[1] * x) + sum(b[i] * exp(-((x - b[i + 1]) ** 2) / b[i + 2] ** 2) for i in (2, 5))


def cubic_over_cubic(x, b):
    return (b[0] + b[1] * x + b[2] * x**2 + b[3] * x**3) / (1 + b[4] * x + b[5] * x**2 + b[6] * x**3)


def lanczos(x, b):
    return sum(b[i] * exp(-b[i + 1] * x) for i in (0, 2, 4))


MODELS: dict[str, Callable[[np.ndarray, np.ndarray], np.ndarray]] = {
    "Bennett5": lambda x, b: b[0] * (b[1] + x) ** (-1 / b[2]),
    "BoxBOD": saturation,
    "Chwirut1": chwirut,
    "Chwirut2": chwirut,
    "DanWood": lambda x, b: b[0] * x ** b[1],
    "ENSO": enso,
    "Eckerle4": lambda x, b: b[0] / b[1] * exp(-0.5 * ((x - b[2]) / b[1]) ** 2),
    "Gauss1": gauss,
    "Gauss2": gauss,
    "Gauss3": gauss,
    "Hahn1": cubic_over_cubic,
    "Kirby2": lambda x, b: (b[0] + b[1] * x + b[2] * x**2) / (1 + b[3] * x + b[4] * x**2),
    "Lanczos1": lanczos,
    "Lanczos2": lanczos,
    "Lanczos3": lanczos,
    "MGH09": lambda x, b: b[0] * (x**2 + x * b[1]) / (x**2 + x * b[2] + b[3]),
    "MGH10": lambda x, b: b[0] * exp(b[1] / (x + b[2])),
    "MGH17": lambda x, b: b[0] + b[1] * exp(-x * b[3]) + b[2] * exp(-x * b[4]),
    "Misra1a": saturation,
    "Misra1b": lambda x, b: b[0] * (1 - (1 + b[1] * x / 2) ** -2),
    "Misra1c": lambda x, b: b[0] * (1 - (1 + 2 * b[1] * x) ** -0.5),
    "Misra1d": lambda x, b: b[0] * b[1] * x / (1 + b[1] * x),
    "Nelson": lambda x, b: b[0] - b[1] * x[0] * exp(-b[2] * x[1]),
    "Rat42": lambda x, b: b[0] / (1 + exp(b[1] - b[2] * x)),
    "Rat43": lambda x, b: b[0] / (1 + exp(b[1] - b[2] * x)) ** (1 / b[3]),
    "Roszman1": lambda x, b: b[0] - b[1] * x - arctan(b[2] / (x - b[3])) / pi,
    "Thurber": cubic_over_cubic,
}

RSS_DIGITS = {"Lanczos1": 2}
"""y rounds at 0.5 % of Lanczos1's residuals."""


@dataclass(frozen=True)
class StrdSet:
    """Contents of a .dat file, and its problem from both starts; residuals are divided by `deviation`."""

    name: str
    problems: tuple[LeastSquaresProblem, LeastSquaresProblem]
    y: np.ndarray
    certified: np.ndarray
    deviations: np.ndarray
    rss: float
    deviation: float


def read_set(name: str) -> StrdSet:
    text = FILES[name].read_text(encoding="ascii")
    number = r"([-+.\dE]+)"
    rows = re.findall(rf"^\s*b\d+ =\s+{number}\s+{number}\s+{number}\s+{number}", text, flags=re.M)
    start_1, start_2, certified, deviations = np.array(rows, dtype=float).T
    rss, deviation = (
        float(re.search(rf"Residual {key}:\s+{number}", text)[1]) for key in ("Sum of Squares", "Standard Deviation")
    )
    y, *x = np.array([line.split() for line in text.splitlines()[60:]], dtype=float).T
    assert len(y) == int(re.search(r"Number of Observations:\s+(\d+)", text)[1])
    y = np.log(y) if name == "Nelson" else y
    x, n_par = x if len(x) > 1 else x[0], len(certified)

    def residuals(b):
        return (MODELS[name](x, np.moveaxis(b, -1, 0)[..., None]) - y) / deviation

    def jacobian(b):
        step = 1e-30  # complex step: no difference is taken, so the derivative is exact to rounding
        return np.moveaxis(residuals(b[..., None, :] + 1j * step * np.eye(n_par)).imag / step, -1, -2)

    problems = tuple(
        LeastSquaresProblem(
            tuple(Parameter(name=f"b{j + 1}", start=value) for j, value in enumerate(start)),
            tuple(f"y{i + 1}" for i in range(len(y))),
            residuals,
            jacobian,
        )
        for start in (start_1, start_2)
    )
    return StrdSet(name, problems, y, certified, deviations, rss, deviation)


def correct_digits(value: np.ndarray, certified: np.ndarray) -> np.ndarray:
    """Log relative error, the number of correct significant digits."""
    with np.errstate(divide="ignore"):
        return -np.log10(np.abs(value / certified - 1))


def test_every_set_has_a_formula():
    assert len(FILES) == 27
    assert set(FILES) == set(MODELS)


@pytest.mark.parametrize("name", FILES)
def test_certified_standard_deviations(name):
    """√diag((JᵀJ)⁻¹) at the certified point: formula, data and Jacobian are NIST's."""
    strd = read_set(name)
    jacobian = strd.problems[0].jacobian(strd.certified)
    lengths = np.linalg.norm(jacobian, axis=0)
    _, values, directions = np.linalg.svd(jacobian / lengths, full_matrices=False)
    deviations = np.linalg.norm(directions.T / values, axis=1) / lengths
    assert correct_digits(deviations, strd.deviations).min() >= DIGITS


@pytest.mark.slow
@pytest.mark.parametrize("name", FILES)
def test_both_starts_reach_the_certified_values(name):
    strd = read_set(name)
    for problem in strd.problems:
        fit = solve(problem, problem.start, max_iter=5000)
        assert fit.converged
        assert correct_digits(fit.x, strd.certified).min() >= DIGITS
        assert correct_digits(fit.chi2 * strd.deviation**2, strd.rss) >= RSS_DIGITS.get(name, DIGITS)
