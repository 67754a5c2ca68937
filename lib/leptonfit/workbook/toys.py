"""Toy experiments in chunks, distributed over processes and resumed after an interrupted run."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from functools import partial
from pathlib import Path

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

    Finished chunks are stored beside the results until all have finished, so an interrupted run can resume. The same
    seed gives the same toys on any number of cores. Outside a report run, a progress bar is shown.

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
    given = [model.measurements.name, model.sigma_m_model, model.sigma_g_model, model.include_sigma_exp, model.r_max]
    given += [repr(model.closure), model.moment_factor]
    what = [choice.to_dict(), truth.tolist(), n_toys, seed, given, store.origin()]
    key = hashlib.sha256(json.dumps(what, sort_keys=True).encode()).hexdigest()[:16]
    folder = store.report_folder() / "results" / f".toys-{key}"
    folder.mkdir(parents=True, exist_ok=True)
    run = partial(_run_chunk, choice=choice, truth=truth, model=model, folder=folder)
    tasks = list(enumerate(zip(sizes, spawn_seeds(seed, len(sizes)), strict=True)))
    with tqdm(total=len(tasks), desc="toys", unit="chunk", disable=store.REPORT_VARIABLE in os.environ) as bar:
        toys = combine(map_ordered(run, tasks, jobs=count_cores(), done=lambda finished, n: bar.update()))
    shutil.rmtree(folder)
    return toys


def _run_chunk(
    task: tuple[int, tuple[int, np.random.SeedSequence]],
    *,
    choice: Choice,
    truth: np.ndarray,
    model: VortexModel,
    folder: Path,
) -> CoverageResult:
    number, (n_toys, seed) = task
    path = folder / f"{number}.json"
    if path.is_file():
        return CoverageResult.from_dict(json.loads(path.read_text(encoding="utf-8")))
    problem = build_choice(choice, model)
    found = run_toys(problem, "beta", truth, n_toys=n_toys, seed=seed)
    if folder.is_dir():  # not on a worker of a cluster that does not share the file system
        store.write_whole(path, json.dumps(found.to_dict()))
    return found
