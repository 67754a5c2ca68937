"""Time and memory of one unit of work as the work grows, each size in a fresh process.

The problem has N species, y_i(t) = a_i exp(−k_i t) + c_i + s t: three parameters for each species and a drift s that
they share. Its Jacobian is block-sparse.
"""

import json
import resource
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from comparison import count_repeats, measure

from leptonfit.inference.binned import BinnedModel
from leptonfit.inference.blocks import find_blocks, solve_by_blocks
from leptonfit.inference.coverage import run_toys
from leptonfit.inference.limit_coverage import draw_toys
from leptonfit.inference.multistart import Effort, run_multistart
from leptonfit.inference.problem import LeastSquaresProblem, Parameter
from leptonfit.inference.profile import SetOptions, scan_profile
from leptonfit.inference.solve import solve

SEED = 1
SIZES = {
    "starts": (1, 16, 256, 4096),
    "grid points": (10, 100, 1000, 10_000),
    "parameters": (4, 10, 31, 100),
    "residuals": (100, 1000, 10_000, 100_000),
    "toys": (1000, 10_000, 100_000, 1_000_000),
    "refitted data sets": (100, 1000, 10_000),
}
"""Sizes of each kind of work. Toys are fits of counts; refitted data sets are fits of the least-squares problem."""


@dataclass(frozen=True)
class Cost:
    """Cost of work of one size.

    Attributes
    ----------
    kind : str
    size : int
    seconds : float
        Processor time of the whole work.
    megabytes : float
        Peak memory of the process above that before the work.
    """

    kind: str
    size: int
    seconds: float
    megabytes: float


def build_species(n_species, n_times):
    """Problem with 3 n_species + 1 parameters and n_species n_times residuals of data drawn at its start."""
    t = np.linspace(0, 4, n_times)
    rng = np.random.default_rng(SEED)
    truth = np.append(np.stack([rng.uniform(*ends, n_species) for ends in ((2, 5), (0.5, 2), (-1, 1))], axis=1), 0.1)
    box = [("a", 0, 10), ("k", 0.05, 5), ("c", -5, 5)]
    parameters = tuple(
        Parameter(name=f"{name}{i}", start=value, lower=low, upper=high)
        for i, row in enumerate(truth[:-1].reshape(-1, 3))
        for (name, low, high), value in zip(box, row, strict=True)
    )
    parameters = (*parameters, Parameter(name="s", start=0.1, lower=-2.0, upper=2.0))
    sigma, at = 0.1, np.arange(n_species)

    def predict(x):
        a, k, c = np.moveaxis(x[..., :-1].reshape(*x.shape[:-1], n_species, 3), -1, 0)[..., None]
        return a * np.exp(-k * t) + c + x[..., -1, None, None] * t

    data = predict(truth) + sigma * rng.standard_normal((n_species, n_times))

    def residuals(x):
        return ((predict(x) - data) / sigma).reshape(*x.shape[:-1], data.size)

    def jacobian(x):
        a, k, _ = np.moveaxis(x[..., :-1].reshape(*x.shape[:-1], n_species, 3), -1, 0)[..., None]
        decay = np.exp(-k * t)
        rows = np.zeros((*x.shape[:-1], n_species, n_times, len(truth)))
        for column, slope in enumerate((decay, -a * t * decay, np.ones_like(decay))):
            rows[..., at, :, 3 * at + column] = np.moveaxis(slope, -2, 0)
        rows[..., -1] = t
        return rows.reshape(*x.shape[:-1], data.size, len(truth)) / sigma

    names = tuple(f"r{j}" for j in range(n_species * n_times))
    return LeastSquaresProblem(parameters, names, residuals, jacobian)


def prepare(kind, size):
    """Function that does the work of one size."""
    if kind == "starts":
        problem = build_species(1, 40)
        return lambda: run_multistart(problem, effort=Effort(size, SEED))
    if kind == "grid points":
        problem = build_species(1, 40)
        grid, sets = np.linspace(0.0, 0.2, size), SetOptions((0.95,), release=False)
        return lambda: scan_profile(problem, "s", grid, effort=Effort(2, SEED), sets=sets)
    if kind in ("parameters", "residuals"):
        problem = build_species((size - 1) // 3, 20) if kind == "parameters" else build_species(1, size)
        starts = np.clip(problem.start * np.array([[0.9], [0.95], [1.05], [1.1]]), problem.lower, problem.upper)
        return lambda: solve(problem, starts)
    if kind == "refitted data sets":
        problem = build_species(1, 10)
        return lambda: run_toys(problem, "s", problem.start, n_toys=size, seed=SEED)
    if kind != "toys":
        raise ValueError(f"kind {kind!r}: must be one of {', '.join(SIZES)}")
    base, shape = np.linspace(40.0, 10.0, 20), np.geomspace(8.0, 0.1, 20)
    model = BinnedModel(("b",), base, 0.1 * base[None], shape, np.zeros((1, 20)), np.array([False]))
    rng = np.random.default_rng(SEED)

    def fit_toys():
        data, centres = draw_toys(model, 1.0, np.zeros(1), size, rng)
        return model.fit(data, theta=1.0, centres=centres)

    return fit_toys


def measure_one(kind, size):
    work = prepare(kind, size)
    before = read_peak()
    began = time.process_time()
    work()
    seconds = time.process_time() - began
    return {"seconds": seconds, "megabytes": read_peak() - before}


def compare_steps():
    """Time of the linear algebra of one step of four starts at 100 parameters: dense, and by blocks."""
    problem = build_species(33, 20)
    x = np.tile(problem.start, (4, 1))
    jacobian, residuals = problem.jacobian(x), problem.residuals(x)
    n = problem.n_par

    def solve_dense():
        system = np.concatenate([jacobian, np.broadcast_to(np.eye(n), (len(x), n, n))], axis=1)
        target = np.concatenate([residuals, np.zeros((len(x), n))], axis=1)
        triangle = np.linalg.qr(np.concatenate([system, target[..., None]], axis=-1), mode="r")
        return -np.linalg.solve(triangle[:, :n, :n], triangle[:, :n, n:])[..., 0]

    tasks = {"dense": solve_dense, "by blocks": lambda: solve_by_blocks(jacobian, residuals, find_blocks(jacobian))}
    seconds = {name: measure(run, count_repeats(run))[0] for name, run in tasks.items()}
    return {"parameters": n, "residuals": problem.n_res, "seconds": seconds}


def read_peak():
    """Peak memory of this process in MB; `getrusage` would count the process that started it as well."""
    table = Path("/proc/self/status")
    if table.is_file():
        (peak,) = (line.split()[1] for line in table.read_text().splitlines() if line.startswith("VmHWM"))
        return int(peak) / 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (2**20 if sys.platform == "darwin" else 1024)


def run_all() -> list[Cost]:
    """Costs of every kind and size."""
    costs = []
    for kind, sizes in SIZES.items():
        for size in sizes:
            run = subprocess.run(
                [sys.executable, __file__, kind, str(size)], capture_output=True, text=True, check=True
            )
            cost = Cost(kind, size, **json.loads(run.stdout))
            costs.append(cost)
            print(
                f"  {kind:20}{size:>9}{cost.seconds:9.3f} s{1e6 * cost.seconds / size:12.1f} μs"
                f"{cost.megabytes:9.1f} MB{1e3 * cost.megabytes / size:10.2f} kB",
                flush=True,
            )
    return costs


if __name__ == "__main__":
    if len(sys.argv) == 3:
        print(json.dumps(measure_one(sys.argv[1], int(sys.argv[2]))))
    else:
        run_all()
