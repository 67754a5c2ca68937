"""Re-enactments of the December 2025 report on this machine, and their record in `data/`."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from leptonfit.claims.december_2025.recorded import (
    RECORDED,
    RecordedRunResult,
    converge_report,
    digest_setup,
    load_recorded,
)
from leptonfit.claims.december_2025.reenactment import draw_beta, reenact_report
from leptonfit.claims.december_2025.reported import load_claims
from leptonfit.datafiles import ROOT
from leptonfit.inference.finished import versions
from leptonfit.inference.multistart import Effort
from leptonfit.vortex.measurements import load_measurements
from leptonfit.workbook import parameters, store


def reenact_here(
    claims: Mapping[str, Any],
    *,
    seed: int,
    seconds: Mapping[str, float],
    say: Callable[[str], None] = lambda line: None,
) -> RecordedRunResult:
    """Re-enact the report on this machine, with its versions.

    Parameters
    ----------
    claims : mapping
        From `load_claims`.
    seed : int
    seconds : mapping
        Time of each analysis, converged, here.
    say : callable, optional
        Gets a line a scan.
    """
    return RecordedRunResult(
        recorded=time.strftime("%Y-%m-%d", time.gmtime()),
        machine=store.machine(),
        kernel=store.kernels(),
        versions=versions(),
        setup=digest_setup(claims),
        report=reenact_report(load_measurements("report_2025"), claims, seed=seed, say=say),
        seconds=dict(seconds),
    )


def find_run_here(
    claims: Mapping[str, Any], recorded: Sequence[RecordedRunResult], *, seed: int, seconds: Mapping[str, float]
) -> RecordedRunResult:
    """Recorded run with the SciPy, the linear-algebra kernel and the seed of this run; re-enacted if there is none.

    Parameters
    ----------
    claims : mapping
        From `load_claims`.
    recorded : sequence of RecordedRunResult
        From `load_recorded`.
    seed : int
    seconds : mapping
        As for `reenact_here`.
    """
    drawn = np.sort(draw_beta(claims["multi_start"], seed=seed))
    for run in recorded:
        is_here = run.versions["scipy"] == versions()["scipy"] and run.kernel == store.kernels()
        if is_here and np.array_equal(np.sort(run.report.multi_start.beta_start), drawn):
            return run
    return reenact_here(claims, seed=seed, seconds=seconds)


def record_reenactment(say: Callable[[str], None], root: Path = ROOT) -> None:
    """Re-enact the report here and freeze it in `data/`, with what made it, beside the runs already there.

    Figures and quoted numbers show the first of them: what L-BFGS-B stalls at differs from machine to machine.
    A run with the same SciPy and linear-algebra kernel is replaced, and so are those of another set-up.
    """
    claims, data = load_claims(), root / "data"
    settings = parameters.read_settings("08_reported", parameters.notebook_defaults("08_reported"))
    effort = Effort(settings.n_starts, settings.seed)
    converged = converge_report(load_measurements("report_2025"), claims, effort=effort).list_seconds()
    here = reenact_here(claims, seed=effort.seed, seconds=converged, say=say)
    runs = {run.name: run for run in load_recorded(claims, data=data)} | {here.name: here}
    lines = ",\n".join(json.dumps(run.to_dict(), ensure_ascii=False) for run in runs.values())
    store.write_whole(data / RECORDED, f"[\n{lines}\n]\n")
    store.write_checksums(data)
    say(f"data/{RECORDED}: {here.name}; {len(runs)} runs recorded, and their checksum written")
