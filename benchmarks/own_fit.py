"""A fit from data to verdict beside lmfit, iminuit and pyPESTO: statements that a user writes, seconds, intervals.

The right answers of the five fits are known. A decay with b → 0 becomes a straight line, which the short data allow.
Far below K_m a reaction shows only V/K_m. A sine sampled at whole numbers has the alias 1 − frequency. Absorption and
elimination may change places (flip-flop kinetics).

Each tool gets the model, the data and the same bounds; lmfit and iminuit also run without bounds. These two start at
the true parameters, which no user has. The counted statements are those of each function up to the line `# end`:
imports, fit, and the 95 % interval in the way that the tool's manual shows first (in lmfit that is an F test, which
does not use the known σ). After that line the program reads what the tool says about the interval. Each time is the
median of several runs on one core, in which the tools take turns, as processor time: what else runs does not count.
"""

import ast
import inspect
import itertools
import statistics
import textwrap
import time
import warnings
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from io import StringIO

import numpy as np
from comparison import is_installed

from leptonfit.datafiles import read_csv

SEED = 1
REPEATS = 3
END = "# end"


@dataclass(frozen=True)
class Fit:
    """A fit and its right answer: the code of the verdict on one parameter, and the answer in words."""

    title: str
    model: object
    data: tuple
    truth: dict
    bounds: dict
    name: str
    code: str
    answer: str


@dataclass(frozen=True)
class Answer:
    """What one tool says of a fit: 95 % intervals [low, high], in how many statements and seconds, and its remarks."""

    fit: str
    name: str
    truth: str
    tool: str
    n_statements: int
    seconds: float
    intervals: list
    said: str

    @property
    def text(self):
        """Intervals and remarks in one line."""
        between = " and ".join(f"[{low:.4g}, {high:.4g}]" for low, high in self.intervals)
        return ", ".join(filter(None, [between or "no interval", self.said[:60]]))


def decay(t, a, b, c):
    return a * np.exp(-b * t) + c


def michaelis(s, v_max, k_m):
    return v_max * s / (k_m + s)


def sine(t, frequency, phase):
    return np.sin(2 * np.pi * frequency * t + phase)


def oral(t, volume, k_in, k_out):
    return k_in / (volume * (k_in - k_out)) * (np.exp(-k_out * t) - np.exp(-k_in * t))


def list_fits():
    rng = np.random.default_rng(SEED)

    def simulate(model, x, sigma, truth):
        return x, model(x, *truth.values()) + sigma * rng.standard_normal(len(x)), np.full(len(x), sigma)

    truth, box = {"a": 5, "b": 0.8, "c": 1}, {"a": (0, 20), "b": (0, 5), "c": (-3, 3)}
    long, short = (np.array(list(read_csv(f"examples/decay_{time}.csv").values())) for time in ("long", "short"))
    fits = [
        Fit("decay, long", decay, long, truth, box, "b", "identified", "determined"),
        Fit("decay, short", decay, short, truth, box, "b", "open_below", "b → 0 is allowed"),
    ]
    for title, model, x, sigma, truth, box, *answer in (
        (
            "far below K_m",
            michaelis,
            np.arange(1, 6) / 100,
            1e-3,
            {"v_max": 10, "k_m": 5},
            {"v_max": (0, 1e3), "k_m": (0, 1e3)},
            "v_max",
            "open_above",
            "no upper end; V/K_m is determined",
        ),
        (
            "sine, aliases",
            sine,
            np.arange(12.0),
            0.1,
            {"frequency": 0.3, "phase": 0.5},
            {"frequency": (0, 1), "phase": (-4, 4)},
            "frequency",
            "disjoint",
            "two intervals, mirrored at 0.5",
        ),
        (
            "flip-flop",
            oral,
            np.linspace(0.25, 12, 16),
            0.005,
            {"volume": 2, "k_in": 1.5, "k_out": 0.3},
            {"volume": (0.01, 20), "k_in": (0.01, 5), "k_out": (0.01, 5)},
            "k_in",
            "disjoint",
            "two intervals, as k_in and k_out may change places",
        ),
    ):
        fits.append(Fit(title, model, simulate(model, x, sigma, truth), truth, box, *answer))
    return fits


def by_leptonfit(model, x, y, sigma, bounds, start, name):
    import leptonfit

    problem = leptonfit.problem_from_model(model, x, y, sigma, bounds)
    answer = leptonfit.assess(problem, [name])
    print(answer)
    # end
    verdict = answer.verdicts[name]
    return verdict.allowed.intervals.tolist(), "; ".join([verdict.code, *answer.result.combinations])


def by_lmfit(model, x, y, sigma, bounds, start, name):
    import lmfit

    fitted = lmfit.Model(model)
    values = fitted.make_params(**{key: {"value": start[key], "min": a, "max": b} for key, (a, b) in bounds.items()})
    fit = fitted.fit(y, values, weights=1 / sigma, scale_covar=False, **{fitted.independent_vars[0]: x})
    print(fit.ci_report(p_names=[name], sigmas=[0.95]))
    # end
    (_, low), _, (_, high) = fit.ci_out[name]
    return [(low, high)], ""


def by_iminuit(model, x, y, sigma, bounds, start, name):
    from iminuit import Minuit
    from iminuit.cost import LeastSquares

    fit = Minuit(LeastSquares(x, y, sigma, model), **start)
    fit.limits = list(bounds.values())
    fit.migrad()
    fit.minos(name, cl=0.95)
    print(fit)
    # end
    error, value = fit.merrors[name], fit.values[name]
    flags = ("at_lower_limit", "at_upper_limit", "lower_new_min", "upper_new_min")
    said = [flag.replace("_", " ") for flag in flags if getattr(error, flag)]
    said += [f"{side} end not valid" for side in ("lower", "upper") if not getattr(error, f"{side}_valid")]
    return [(value + error.lower, value + error.upper)], ", ".join(said)


def by_pypesto(model, x, y, sigma, bounds, start, name):
    import pypesto
    from pypesto import optimize, profile

    objective = pypesto.Objective(lambda p: 0.5 * np.sum(((model(x, *p) - y) / sigma) ** 2))
    problem = pypesto.Problem(objective, *zip(*bounds.values(), strict=True), x_names=list(bounds))
    result = optimize.minimize(problem)
    index = problem.x_names.index(name)
    result = profile.parameter_profile(problem, result, optimize.ScipyOptimizer(), profile_index=[index])
    found = result.profile_result.list[0][index]
    low, high = profile.calculate_approximate_ci(
        found.x_path[index], found.ratio_path, profile.chi2_quantile_to_ratio(0.95)
    )
    print(result.summary(), low, high)
    # end
    return [(low, high)], ""


TOOLS = {
    "leptonfit": by_leptonfit,
    "lmfit": by_lmfit,
    "lmfit, no bounds": by_lmfit,
    "iminuit": by_iminuit,
    "iminuit, no bounds": by_iminuit,
    "pyPESTO": by_pypesto,
}


def count_statements(run):
    """Statements of a function that come before the line `# end`."""
    body = textwrap.dedent(inspect.getsource(run)).split(END)[0]
    return sum(isinstance(node, ast.stmt) for node in ast.walk(ast.parse(body))) - 1


def run_once(tool, fit):
    """Seconds, the 95 % intervals (low, high), and what the tool says about them."""
    bounds = dict.fromkeys(fit.bounds, (-np.inf, np.inf)) if "no bounds" in tool else fit.bounds
    np.random.seed(SEED)  # noqa: NPY002 - pyPESTO draws its starts from it
    with warnings.catch_warnings(record=True) as caught, redirect_stdout(StringIO()), redirect_stderr(StringIO()):
        warnings.simplefilter("always")
        began = time.process_time()
        try:
            intervals, said = TOOLS[tool](fit.model, *fit.data, bounds, fit.truth, fit.name)
        except Exception as error:  # whatever a tool refuses with is its answer
            intervals, said = [], str(error).split("\n")[0]
        seconds = time.process_time() - began
    warned = [str(one.message).split("\n")[0] for one in caught if issubclass(one.category, UserWarning)]
    return seconds, intervals, said or "; ".join(dict.fromkeys(warned))


def run_all() -> list[Answer]:
    """Answers of every tool that is installed, fit by fit."""
    tools = [tool for tool in TOOLS if is_installed(tool.split(",")[0].lower())]
    answers = []
    for fit in list_fits():
        print(f"{fit.title}: {fit.name}; right answer: {fit.answer}")
        runs = {tool: [run_once(tool, fit)] for tool in tools}  # the first run also imports, and is not timed
        for _, tool in itertools.product(range(REPEATS), tools):
            runs[tool].append(run_once(tool, fit))
        for tool, found in runs.items():
            n = count_statements(TOOLS[tool]) - (tool == "iminuit, no bounds")  # which has no statement for the limits
            _, intervals, said = found[-1]
            seconds = statistics.median(one[0] for one in found[1:])
            answers.append(Answer(fit.title, fit.name, fit.answer, tool, n, seconds, intervals, said))
            print(f"  {tool:19}{n:>3} statements{seconds:>8.3f} s   {answers[-1].text}".rstrip(), flush=True)
    return answers


if __name__ == "__main__":
    run_all()
