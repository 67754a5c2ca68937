"""What a manuscript takes from a report: figures, numbers and tables, the same bytes on every run.

Every figure is a PDF and a PNG beside the JSON it was drawn from; every number a macro in `numbers.tex`, with the
notebook it comes from and its mark; every table a CSV and a LaTeX tabular.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from leptonfit.claims.december_2025.recorded import (
    RECORDED,
    RecordedRunResult,
    converge_report,
    digest_setup,
    load_recorded,
)
from leptonfit.claims.december_2025.reenactment import reenact_report
from leptonfit.claims.december_2025.reported import load_claims
from leptonfit.datafiles import ROOT
from leptonfit.inference.limits import METHODS
from leptonfit.inference.result import Result, encode
from leptonfit.vortex.c_mu import solution_manifold
from leptonfit.vortex.comparison import select_shown
from leptonfit.vortex.cross_lepton import BOUNDS, build_problem
from leptonfit.vortex.flow import lay_out_flow, scan_outer_radius
from leptonfit.vortex.measurements import load_measurements
from leptonfit.workbook import figures, numbers, parameters, run, store

TAG = "figures"
"""Report folder whose results the figures are drawn from."""
NOTEBOOK = "90_manuscript_figures"

Documents = Mapping[str, Mapping[str, Any]]
"""Stored results by notebook."""


@dataclass(frozen=True)
class Drawing:
    """A figure of the manuscript.

    Parameters
    ----------
    notebooks : tuple of str
        Those whose results it shows; the first one's verdict is the figure's.
    size : tuple of float
        In inches; 6.8 is the width of a text block, 3.4 of a column.
    gather : callable
        Documents → what is drawn.
    draw : callable
        Takes the figure, what is drawn and the claims.
    """

    notebooks: tuple[str, ...]
    size: tuple[float, float]
    gather: Callable[[Documents], dict[str, Any]]
    draw: Callable[[Figure, dict[str, Any], Mapping[str, Any]], object]


def _results(documents: Documents, notebook: str) -> Mapping[str, Any]:
    found: Mapping[str, Any] = documents[notebook]["results"]
    return found


def _scan(drawn: Mapping[str, Any]) -> tuple[float, float]:
    low, high = drawn["scan"]
    return low, high


def _gather_profile(documents: Documents) -> dict[str, Any]:
    results = _results(documents, "02_profile_scan")
    return {
        "given": dict(documents["02_profile_scan"]["parameters"]),
        "profile": results["profile"],
        "certificate": results["certificate"],
        "claimed": results["report_scans"],
    }


def _draw_profile(figure: Figure, drawn: dict[str, Any], claims: Mapping[str, Any]) -> None:
    given = drawn["given"]
    problem = build_problem(
        load_measurements(given["measurements"]),
        **{k: given[k] for k in ("sigma_m_model", "sigma_g_model", "include_sigma_exp", "closure", "r_max")},
        bounds=BOUNDS[given["bounds"]],
    )
    figures.plot_profile(
        figure.subplots(), problem, drawn["profile"], claims=drawn["claimed"], certified=drawn["certificate"]
    )


def _gather_manifolds(documents: Documents) -> dict[str, Any]:
    given = documents["04_identifiability"]["parameters"]
    model = {"closure": given["closure"], "r_max": given["r_max"], "bounds": BOUNDS[given["bounds"]]}
    beta, measured = load_claims()["golden_loop"]["beta"], load_measurements(given["measurements"])
    return {
        tex: solution_manifold(measured, beta, lepton=lepton, n_radius=46, n_amplitude=37, **model)
        for lepton, tex in (("e", "e"), ("mu", r"\mu"), ("tau", r"\tau"))
    }


def _gather_reenacted(documents: Documents) -> dict[str, Any]:
    results = _results(documents, "08_reported")
    return {"runs": results["recorded"], "converged": results["converged"].tight}


def _gather_forest(documents: Documents) -> dict[str, Any]:
    given = documents["05_closures"]["parameters"]
    compared = _results(documents, "05_closures")["compared"]
    return {"shown": select_shown(compared), "scan": [given["beta_from"], given["beta_to"]]}


def _draw_spectra(figure: Figure, drawn: dict[str, Any], claims: Mapping[str, Any]) -> None:
    names = [("weak", f"at its limit, {limit:.2g} μ_B") for limit in drawn["limits"]]
    figures.plot_all_compared(figure, drawn["compared"], names)


def _gather_spectra(documents: Documents) -> dict[str, Any]:
    results, given = _results(documents, "12_recoil_spectra"), documents["12_recoil_spectra"]["parameters"]
    compared = results["compared"]
    limits = [next(iter(results["limits"][one.slug][given["limit_method"]].values())) for one in compared]
    return {"compared": compared, "limits": limits}


FIGURES: dict[str, Drawing] = {
    "vortex": Drawing(
        ("00_start_here",),
        (6.8, 2.9),
        lambda d: {"flow": lay_out_flow(0.9, r_max=d["00_start_here"]["parameters"]["r_max"], n=81)},
        lambda f, x, c: figures.plot_model(f.subplots(1, 2), x["flow"]),
    ),
    "outer_radius": Drawing(
        ("00_start_here",),
        (3.4, 2.9),
        lambda d: {"scan": scan_outer_radius(np.geomspace(1.0, 40.0, 81))},
        lambda f, x, c: figures.plot_outer_radius(f.subplots(), x["scan"], c["audit"]["r_max"]),
    ),
    "waterfall": Drawing(
        ("01_multi_start", "08_reported"),
        (4.6, 3.2),
        lambda d: {
            "multistart": _results(d, "01_multi_start")["multistart"],
            "recorded": _gather_reenacted(d)["runs"][0].report.multi_start,
        },
        lambda f, x, c: figures.plot_recorded_waterfall(
            f.subplots(), x["multistart"], x["recorded"], c["multi_start"]["chi2_best"]
        ),
    ),
    "profile_scan": Drawing(("02_profile_scan",), (6.8, 4.0), _gather_profile, _draw_profile),
    "sigma_ladder": Drawing(
        ("02_profile_scan",),
        (4.6, 3.4),
        lambda d: {"ladder": _results(d, "02_profile_scan")["sigma_ladder"]},
        lambda f, x, c: figures.plot_sigma_ladder(f.subplots(), x["ladder"]),
    ),
    "c_mu": Drawing(
        ("03_c_mu_calibration",),
        (6.8, 3.8),
        lambda d: {
            "feasible": _results(d, "03_c_mu_calibration")["feasible"],
            "fitted": np.array(_results(d, "03_c_mu_calibration")["fitted"], dtype=float),
        },
        lambda f, x, c: figures.plot_c_mu_interval(f.subplots(), x["feasible"], c, fitted=x["fitted"]),
    ),
    "manifolds": Drawing(
        ("04_identifiability",),
        (6.8, 2.3),
        _gather_manifolds,
        lambda f, x, c: figures.plot_manifolds(f.subplots(1, 3), x),
    ),
    "degeneracy": Drawing(
        ("04_identifiability",),
        (6.8, 3.6),
        lambda d: {"checks": _results(d, "04_identifiability")["degeneracy"]},
        lambda f, x, c: figures.plot_degeneracy(f.subplots(), x["checks"]),
    ),
    "variants": Drawing(
        ("04_identifiability",),
        (6.8, 3.6),
        lambda d: {
            "variants": _results(d, "04_identifiability")["variants"],
            "scan": [d["04_identifiability"]["parameters"][name] for name in ("beta_min", "beta_max")],
        },
        lambda f, x, c: figures.plot_variants(f.subplots(), x["variants"], *_scan(x), c["golden_loop"]["beta"]),
    ),
    "golden_loop": Drawing(
        ("04_identifiability",),
        (4.6, 3.0),
        lambda d: {"loop": _results(d, "04_identifiability")["golden_loop"]},
        lambda f, x, c: figures.plot_golden_loop(f.subplots(), x["loop"], c),
    ),
    "closures": Drawing(
        ("05_closures",),
        (6.8, 4.4),
        _gather_forest,
        lambda f, x, c: figures.plot_forest(f.subplots(), x["shown"], *_scan(x), c["golden_loop"]["beta"]),
    ),
    "coverage": Drawing(
        ("05_closures",),
        (6.8, 2.9),
        lambda d: {"toys": _results(d, "05_closures")["coverage"]},
        lambda f, x, c: figures.plot_coverage(f.subplots(1, 2), x["toys"]),
    ),
    "three_ways": Drawing(
        ("08_reported",),
        (6.8, 6.8),
        _gather_reenacted,
        lambda f, x, c: figures.plot_reenacted(f.subplots(2, 1), x["runs"], x["converged"], c),
    ),
    "published_limits": Drawing(
        ("11_limits",),
        (6.8, 5.6),
        lambda d: {"limits": _results(d, "11_limits")["limits"], "published": _results(d, "11_limits")["published"]},
        lambda f, x, c: figures.plot_published(f.subplots(), pd.DataFrame(x["limits"]), x["published"]),
    ),
    "recoil_spectra": Drawing(("12_recoil_spectra",), (9.0, 8.4), _gather_spectra, _draw_spectra),
    "moment_limits": Drawing(
        ("12_recoil_spectra",),
        (6.8, 5.8),
        lambda d: {"found": _results(d, "12_recoil_spectra")["analysed"]},
        lambda f, x, c: figures.plot_limits(f.subplots(), x["found"]),
    ),
}
"""The figures, by file name."""

TABLES = {
    "audit": ("08_reported", "audit"),
    "three_ways": ("08_reported", "claimed_computed"),
    "runs": ("08_reported", "runs"),
    "claims": ("06_verdict", "claims"),
    "options": ("06_verdict", "options"),
    "degeneracy": ("04_identifiability", "claimed_computed"),
    "closures": ("05_closures", "comparison"),
    "coverage": ("05_closures", "coverage"),
    "published_limits": ("11_limits", "published"),
    "published_spread": ("11_limits", "meta"),
    "moment_limits": ("12_recoil_spectra", "limits"),
    "moment_fits": ("12_recoil_spectra", "fits"),
}
"""The tables, by file name: notebook, and the name of its table."""


COLUMNS = {
    "audit": ["stated", "test", "computed", "verdict", "mark"],
    "claims": ["stated", "test", "computed", "verdict"],
    "options": ["stated", "test", "computed", "verdict"],
    "closures": ["closure", "95 % set of β", "lowest χ²", "verdict", "contains the reference"],
    "published_limits": ["effective moment of", "experiment", "year", "limit (1e-11 μ_B)", "number", "source"],
    "moment_limits": [
        "data set",
        "counts",
        "confidence",
        *METHODS.values(),
        "expected CLs, 68 % of repetitions",
        "published",
    ],
}
"""Columns of a table that a text block has room for, where it has more."""


def source_notebooks() -> list[str]:
    """Notebooks that a figure, a number or a table comes from."""
    names = {name for drawing in FIGURES.values() for name in drawing.notebooks}
    return sorted(names | {notebook for notebook, _ in TABLES.values()} | set(numbers.NOTEBOOKS))


def read_documents(folder: Path | None = None) -> dict[str, dict[str, Any]]:
    """Stored results of every one of them."""
    return {name: store.load(name, folder) for name in source_notebooks()}


def draw(name: str, figure: Figure, documents: Documents) -> dict[str, Any]:
    """Draw one of `FIGURES`; what was drawn, as JSON data with the verdict and parameters it belongs to."""
    drawing = FIGURES[name]
    drawn = drawing.gather(documents)
    figure.set_size_inches(*drawing.size)
    drawing.draw(figure, drawn, load_claims())
    first = documents[drawing.notebooks[0]]
    return {
        "figure": name,
        "verdict": first["verdict"],
        "mark": first["mark"],
        "parameters": {notebook: documents[notebook]["parameters"] for notebook in drawing.notebooks},
        "drawn": encode({key: _plain(value) for key, value in drawn.items()}),
    }


def _plain(value: Any) -> Any:
    """What is drawn, as data; timings go, and layouts for the eye are rounded."""
    if isinstance(value, Result):
        data = value.to_dict()
        data = {k: v for k, v in data.items() if k != "seconds"}
        large = sum(np.size(v) for v in data.values() if isinstance(v, list))
        if large > 3000:
            data = {k: _shorten(v) for k, v in data.items()}
        return data
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value


def _shorten(value: Any) -> Any:
    if isinstance(value, list):
        return [_shorten(item) for item in value]
    return float(f"{value:.5g}") if isinstance(value, float) else value


def write_all(say: Callable[[str], None], root: Path = ROOT) -> list[str]:
    """Bring the results up to date at the notebooks' defaults, then write figures, numbers and tables to `figures/`.

    Returns
    -------
    list of str
        What went wrong, a line a notebook; then nothing is written.
    """
    request = run.check_request([*source_notebooks(), NOTEBOOK], tag=TAG, root=root)
    errors = run.execute(request, say)
    if errors:
        return errors
    folder, documents = root / "figures", read_documents(request.folder)
    for name in FIGURES:
        with plt.style.context([str(figures.STYLE)]):
            figure = plt.figure()
            content = draw(name, figure, documents)
            figure.savefig(folder / f"{name}.png", metadata={"Software": None})
            figure.savefig(folder / f"{name}.pdf", metadata={"CreationDate": None})
            plt.close(figure)
        store.write_whole(folder / f"{name}.json", json.dumps(content, ensure_ascii=False, indent=1) + "\n")
        say(f"figures/{name}: .pdf, .png, .json")
    store.write_whole(folder / "numbers.tex", numbers.write_macros(documents))
    say("figures/numbers.tex")
    for name, (notebook, table) in TABLES.items():
        stem = request.folder / "results" / f"{notebook}.{table}"
        shown = pd.read_csv(f"{stem}.shown.csv", dtype=str, keep_default_na=False)
        store.write_whole(folder / f"table_{name}.csv", Path(f"{stem}.csv").read_bytes())
        store.write_whole(folder / f"table_{name}.tex", numbers.write_tabular(shown[COLUMNS.get(name, shown.columns)]))
        say(f"figures/table_{name}: .csv, .tex")
    return []


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
    lines = ",\n".join(json.dumps(run.to_dict(), ensure_ascii=False) for run in runs.values())
    store.write_whole(data / RECORDED, f"[\n{lines}\n]\n")
    store.write_checksums(data)
    say(f"data/{RECORDED}: {here.name}; {len(runs)} runs recorded, and their checksum written")
