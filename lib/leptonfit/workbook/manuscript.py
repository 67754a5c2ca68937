"""Figures for a manuscript: PDF and PNG of the same bytes on every run, each with the JSON it was drawn from."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
from matplotlib.figure import Figure

from leptonfit.datafiles import ROOT
from leptonfit.inference.profile import ProfileResult
from leptonfit.inference.result import encode
from leptonfit.vortex.certificate import CertifiedScanResult
from leptonfit.vortex.cross_lepton import BOUNDS, build_problem
from leptonfit.vortex.measurements import load_measurements
from leptonfit.vortex.recorded import RECORDED, RecordedRunResult, converge_report, digest_setup, load_recorded
from leptonfit.vortex.reenactment import reenact_report
from leptonfit.vortex.reported import RecomputedScan, load_claims
from leptonfit.workbook import figures, parameters, run, store

TAG = "figures"
"""Report folder whose results the figures are drawn from."""


def _draw_profile(figure: Figure, document: Mapping[str, Any]) -> None:
    given, results = document["parameters"], document["results"]
    problem = build_problem(
        load_measurements(given["measurements"]),
        **{k: given[k] for k in ("sigma_m_model", "sigma_g_model", "include_sigma_exp", "closure", "r_max")},
        bounds=BOUNDS[given["bounds"]],
    )
    claims = [RecomputedScan.from_dict(scan) for scan in results["report_scans"]]
    profile, certified = ProfileResult.from_dict(results["profile"]), results["certificate"]
    figures.plot_profile(
        figure.subplots(), problem, profile, claims=claims, certified=CertifiedScanResult.from_dict(certified)
    )


FIGURES: dict[str, tuple[str, Callable[[Figure, Mapping[str, Any]], None]]] = {
    "profile_scan": ("02_profile_scan", _draw_profile),
}
"""Figure name: the notebook whose results it shows, and how it is drawn."""


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
        kernel=store.blas_kernel(),
        versions=store.versions(),
        setup=digest_setup(claims),
        report=reenact_report(load_measurements("report_2025"), claims, seed=seed, say=say),
        seconds=dict(seconds),
    )


def record_reenactment(say: Callable[[str], None], root: Path = ROOT) -> None:
    """Re-enact the report here and freeze it in `data/`, with what made it, beside the runs already there.

    Figures and quoted numbers show the first of them: what L-BFGS-B stalls at differs from machine to machine.
    A run with the same SciPy and linear-algebra kernel is replaced, and so are those of another set-up.
    """
    claims, data = load_claims(), root / "data"
    effort = parameters.read_settings("08_reported", parameters.notebook_defaults("08_reported"))
    converged = converge_report(
        load_measurements("report_2025"), claims, n_starts=effort.n_starts, seed=effort.seed
    ).list_seconds()
    here = reenact_here(claims, seed=effort.seed, seconds=converged, say=say)
    runs = {run.name: run for run in load_recorded(claims, data=data)} | {here.name: here}
    lines = ",\n".join(json.dumps(encode(run), ensure_ascii=False) for run in runs.values())
    store.write_whole(data / RECORDED, f"[\n{lines}\n]\n")
    store.write_checksums(data)
    say(f"data/{RECORDED}: {here.name}; {len(runs)} runs recorded, and their checksum written")


def draw_all(say: Callable[[str], None], root: Path = ROOT) -> list[str]:
    """Bring the results up to date at the notebooks' defaults, then draw every figure into `figures/`.

    Returns
    -------
    list of str
        What went wrong, a line a notebook; then nothing is drawn.
    """
    notebooks = sorted({notebook for notebook, _ in FIGURES.values()})
    request = run.check_request(notebooks, tag=TAG, root=root)
    errors = run.execute(request, say)
    if errors:
        return errors
    for name, (notebook, draw) in FIGURES.items():
        document = store.load(notebook, request.folder)
        del document["provenance"]  # what differs from run to run stays with the report
        with plt.style.context([str(figures.STYLE)]):
            figure = plt.figure()
            draw(figure, document)
            path = root / "figures" / name
            figure.savefig(path.with_suffix(".png"), metadata={"Software": None})
            figure.savefig(path.with_suffix(".pdf"), metadata={"CreationDate": None})
            plt.close(figure)
        content = json.dumps({"notebook": notebook, **document}, ensure_ascii=False, indent=1) + "\n"
        store.write_whole(path.with_suffix(".json"), content)
        say(f"figures/{name}: .pdf, .png, .json")
    return []
