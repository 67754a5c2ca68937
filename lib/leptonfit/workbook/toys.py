"""Toy experiments of a closure in chunks, distributed over processes."""

from __future__ import annotations

import os
from functools import partial

import numpy as np
from tqdm import tqdm

from leptonfit.inference.coverage import CoverageResult, combine, run_toys
from leptonfit.inference.parallel import count_cores, map_ordered, spawn_seeds
from leptonfit.vortex.choices import Choice, build_choice
from leptonfit.vortex.model import VortexModel
from leptonfit.workbook import store

CHUNK = 250
"""Number of toys in one task."""


def cover_choice(choice: Choice, truth: np.ndarray, model: VortexModel, *, n_toys: int, seed: int) -> CoverageResult:
    """Run toys of β under a closure; each chunk of toys is one task with a separate seed.

    The same seed gives the same toys on any number of cores. Outside a report run, a progress bar is shown.

    Parameters
    ----------
    choice : Choice
    truth : ndarray (n_par,)
        True parameters of the fit under this closure.
    model : VortexModel
        As for `build_choice`.
    n_toys, seed : int
    """
    sizes = [min(CHUNK, n_toys - first) for first in range(0, n_toys, CHUNK)]
    run = partial(_run_chunk, choice=choice, truth=truth, model=model)
    tasks = list(zip(sizes, spawn_seeds(seed, len(sizes)), strict=True))
    with tqdm(total=len(tasks), desc="toys", unit="chunk", disable=store.REPORT_VARIABLE in os.environ) as bar:
        return combine(map_ordered(run, tasks, jobs=count_cores(), done=lambda finished, n: bar.update()))


def _run_chunk(
    task: tuple[int, np.random.SeedSequence], *, choice: Choice, truth: np.ndarray, model: VortexModel
) -> CoverageResult:
    n_toys, seed = task
    return run_toys(build_choice(choice, model), "beta", truth, n_toys=n_toys, seed=seed)
