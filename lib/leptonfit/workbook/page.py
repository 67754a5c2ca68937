"""Pages of reports and sweeps: HTML that opens from a file without a network, and its PDF."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import math
import os
import re
import shutil
import signal
import subprocess
import tempfile
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import nbformat
import pandas as pd

from leptonfit.datafiles import ROOT
from leptonfit.inference.multistart import format_chi2
from leptonfit.workbook import records, store
from leptonfit.workbook.execution import temporary_folder
from leptonfit.workbook.notebook_page import KEY_FIGURE, describe_figure, read_title, render_markdown, templates
from leptonfit.workbook.parameters import read_all, upstream

PDF = "report.pdf"
GROUPS = {"0": "Charged leptons", "1": "Neutrino magnetic moments", "2": "Your own fits", "9": "Manuscript"}
"""Title of each analysis, by the first digit of its notebooks' names."""
JUDGED = {
    "Charged leptons": "“The report” is Cross-Lepton Fit: Final Summary and Critical Questions, of 2025-12-23; its "
    "claims are in data/reported_2025.toml, measured values and their sources in data/charged_leptons.toml.",
    "Neutrino magnetic moments": "“The report” is NU838, R_20250917_NU_838, version 1.2.1, of 2025-09-17; its claims "
    "are in data/report_838.toml. Published limits, spectra and their sources are in data/neutrino.",
}
"""Reports whose claims are compared with computed values, by analysis."""
MARKS = {
    "proven": ("■", "by interval arithmetic with outward rounding"),
    "numerical": ("●", "computed"),
    "simulated": ("○", "rests on a number that is no measurement"),
    "recorded": ("◆", "read from recorded runs, which do not repeat to the digit"),
}
CLAIMED = {
    "verdicts": "Verdict on every parameter",
    "claimed_computed": "Claimed beside computed",
    "golden_loop": "The reference β: claimed beside computed",
    "claims": "The claims, and which stand",
    "options": "What the publication proposes to do next",
    "closures": "The claims, closure by closure",
    "standing": "Closures under which each claim stands",
    "changes": "One change of the closure at a time",
    "boxes": "The same closure at other outer radii",
    "coverage": "Coverage by toys",
    "sigma": "Model error estimated from the residuals",
    "audit": "Audit: claimed numbers recomputed",
    "published": "Published limits; ‡: quoted from memory, not checked against a source",
    "meta": "Spread of published limits, by flavour class",
    "limits": "Upper limits on the effective moment (μ_B), by construction",
    "fits": "Best fits",
    "spreads": "Spread between experiments, of limits and of sensitivities",
    "joint": "Joint limits, and whether the data sets agree",
    "moments": "Limits on transition moments, Dirac moments and flavours",
    "charges": "Charge and charge radius of neutrinos",
    "widths": "Fitted parameters: posterior width relative to the prior",
    "scorecard": "Scorecard: claimed, recomputed, computed",
    "falsification": "The publication’s falsification rules, executed",
}
"""Tables that are shown on the page, with their captions."""
_TITLES = {"set_95": "95 % set of β"}
_NUMBERS = ["beta_low", "beta_high", "scan_low", "scan_high", "largest_chi2_min", "c_mu_low", "c_mu_high"]
"""Columns of a comparison that its page does not show as numbers, but as text in other columns."""
_SWEEP_RECORD = ".comparison.inputs"
"""Record of the files of a comparison, in the sweep's folder."""
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
_PRINTING = ".pdf-"
"""First letters of the folder in which a browser works while it prints."""
_PRINT = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--generate-pdf-document-outline",
    "--no-pdf-header-footer",
)
"""Options with which a browser prints the page."""


def write_index(folder: Path, root: Path = ROOT, *, unfinished: Collection[str] = ()) -> None:
    """Write `index.html` of a report folder from its executed notebooks and their results.

    The PDF of a page that was different is deleted.

    Parameters
    ----------
    folder, root : Path
    unfinished : collection of str
        Notebooks that are to run or running; while there are any, the page loads itself again.
    """
    names = {*unfinished} | {
        path.stem.lstrip(".") for pattern in ("[0-9]*.ipynb", ".[0-9]*.ipynb") for path in folder.glob(pattern)
    }
    cards = [_read_card(folder, name, root) for name in sorted({*names, *unfinished})]
    groups: dict[str, list[dict[str, Any]]] = {}
    for card in cards:
        groups.setdefault(GROUPS.get(card["name"][0], "Other notebooks"), []).append(card)
    origins = {card["name"]: _tabulate_origin(card["result"]["provenance"]) for card in cards if card["result"]}
    keys = dict.fromkeys(key for origin in origins.values() for key in origin)
    common = {key: Counter(origin.get(key, "none") for origin in origins.values()).most_common(1)[0][0] for key in keys}
    for card in cards:
        origin = origins.get(card["name"], common)
        card["differs"] = [(key, origin.get(key, "none")) for key in keys if origin.get(key, "none") != common[key]]
    is_value = folder.parent.name == store.SWEEP
    content = (
        templates()
        .get_template("index.html.j2")
        .render(
            tag=f"{folder.parents[1].name}, at the sweep’s value {folder.name}" if is_value else folder.name,
            groups=groups,
            marks=MARKS,
            judged=JUDGED,
            finished=max((card["result"]["provenance"]["finished"] for card in cards if card["result"]), default=""),
            provenance=[row for row in common.items() if row[1] != "none"],
            is_value=is_value,
            sweep=_read_sweep(folder / store.SWEEP),
            unfinished=unfinished,
            written=datetime.now(UTC).strftime("%Y-%m-%d %H:%M:%S UTC"),
        )
    )
    index = folder / "index.html"
    if not index.is_file() or index.read_bytes() != content.encode():
        (folder / PDF).unlink(missing_ok=True)
        store.write_whole(index, content)


def _read_card(folder: Path, name: str, root: Path) -> dict[str, Any]:
    """Return the page's data on a notebook; a notebook that is not as it was recorded has only a name."""
    path = folder / f"{name}.ipynb"
    card: dict[str, Any] = {"name": name, "title": name, "question": "", "result": None, "html": "", "damaged": ()}
    record = records.read_notebook_record(folder, name)
    if record is None or record.changed or not path.is_file():
        return card | {"damaged": record.changed if record else ()}
    notebook = nbformat.read(path, as_version=4)
    title, question = read_title(notebook)
    card |= {"title": title or name, "question": render_markdown(question), "html": f"{name}.html"}
    result = store.read(folder / "results" / f"{name}.json") if record.is_finished else None
    if not result or result["schema_version"] != store.SCHEMA_VERSION:  # none, or from another version of leptonfit
        return card
    figure, drawn = _key_figure(notebook)
    return card | {
        "figure": figure,
        "drawn": drawn,
        "tables": [
            _tabulate(caption, pd.read_csv(found, dtype=str, keep_default_na=False))
            for kind, caption in CLAIMED.items()
            if (found := folder / "results" / f"{name}.{kind}.shown.csv").is_file()
        ],
        "parameters": _describe_parameters(name, result["parameters"], root),
        "result": result,
        "newer": _newer(name, result["provenance"]["finished"], folder, root),
        "lost": records.list_unfinished(folder, upstream(name, root)),
    }


def _describe_parameters(name: str, values: Mapping[str, Any], root: Path) -> list[tuple[str, Any, str, str]]:
    """Return name, value, unit and meaning; the last two are empty if the notebook no longer declares the parameter."""
    declared = {one.name: one for notebook in read_all([name], root) for one in notebook.parameters.values()}
    found = [(given, value, declared.get(given)) for given, value in values.items()]
    return [(given, value, one.unit if one else "", one.meaning if one else "") for given, value, one in found]


def _tabulate(caption: str, table: pd.DataFrame) -> tuple[str, list[str], list[list[str]]]:
    """Return caption, columns and rows; a table with few rows and many columns is transposed, to be readable."""
    columns, rows = list(table.columns), table.values.tolist()
    if 3 * len(rows) < len(columns):
        columns, *rows = [list(line) for line in zip(columns, *rows, strict=True)]
    return caption, columns, rows


def _tabulate_origin(origin: Mapping[str, Any]) -> dict[str, str]:
    """Return the provenance that notebooks of one report usually share, as one text for each entry."""
    commit = origin["git_commit"] or "not known"
    return {
        "commit": f"{commit} with uncommitted changes" if origin["git_dirty"] else commit,
        "library": f"SHA-256 {origin['library_checksum']}",
        "machine": origin["machine"],
        "cluster": origin.get("cluster") or "none",
        **origin["versions"],
        **{f"data/{name}": f"SHA-256 {digest}" for name, digest in origin["data_checksums"].items()},
    }


def _newer(name: str, finished: str, folder: Path, root: Path) -> list[str]:
    """Return the notebooks that this one reads and that were run again after it."""
    needed = upstream(name, root)
    found = {
        other: store.read(folder / "results" / f"{other}.json")
        for other in sorted(needed - {*records.list_unfinished(folder, needed)})
    }
    current = {other: read for other, read in found.items() if read["schema_version"] == store.SCHEMA_VERSION}
    return [other for other, read in current.items() if read["provenance"]["finished"] > finished]


def _key_figure(notebook: nbformat.NotebookNode) -> tuple[str | None, str]:
    """Return the PNG of the cell tagged `key-figure` as base64 (None if there is none), and its description."""
    for cell in notebook.cells:
        if KEY_FIGURE in cell.metadata.get("tags", []):
            for output in cell.get("outputs", []):
                if "image/png" in output.get("data", {}):
                    return re.sub(r"\s", "", output["data"]["image/png"]), describe_figure(cell)
    return None, ""


def write_comparison(folder: Path) -> None:
    """Write `index.html` of a sweep from its `comparison.csv` and `comparison.png`, and record these two files."""
    records.write_record(folder / _SWEEP_RECORD, "", _list_comparison(folder))
    sweep = _read_sweep(folder)
    store.write_whole(folder / "index.html", templates().get_template("comparison.html.j2").render(sweep=sweep))


def _read_sweep(folder: Path) -> dict[str, Any] | None:
    """Return the page's data on a sweep; None if no sweep has finished."""
    paths = _list_comparison(folder)
    record = records.read_record(folder / _SWEEP_RECORD, paths)
    if record is None or record.changed:
        return {"damaged": record.changed} if record else None
    parameter = pd.read_csv(paths[0], nrows=0).columns[0]
    table = pd.read_csv(paths[0], dtype={parameter: str}, keep_default_na=False, na_values=[""])
    shown = pd.DataFrame({"value": table[parameter]})
    for column in table.columns.drop(parameter).drop(_NUMBERS, errors="ignore"):
        shown[_TITLES.get(column, column)] = table[column].fillna("")
    if "largest_chi2_min" in table:
        shown["largest χ²_min"] = [
            "" if math.isnan(value) else format_chi2(value) for value in table["largest_chi2_min"]
        ]
    if "c_mu_low" in table:
        ends = zip(table["c_mu_low"], table["c_mu_high"], strict=True)
        shown["C_μ feasible somewhere in the scan"] = [
            "none" if math.isnan(low) else f"{low:.6g} to {high:.6g}" for low, high in ends
        ]
    return {
        "damaged": (),
        "parameter": parameter,
        "figure": base64.b64encode(paths[1].read_bytes()).decode(),
        "columns": list(shown.columns),
        "rows": shown.values.tolist(),
        "linked": [value for value in table[parameter] if (folder / value / "index.html").is_file()],
    }


def _list_comparison(folder: Path) -> list[Path]:
    return [folder / "comparison.csv", folder / "comparison.png"]


def write_pdf(folder: Path) -> str:
    """Print a report's `index.html` to `report.pdf` with the Chromium on the PATH; return the outcome in one line.

    A PDF that was printed from the same page is kept.
    """
    index, pdf, record = folder / "index.html", folder / PDF, folder / ".printed"
    made_of = hashlib.sha256(index.read_bytes() + " ".join(_PRINT).encode()).hexdigest()
    if record.is_file() and pdf.is_file() and record.read_bytes() == _describe_print(made_of, pdf).encode():
        return f"PDF: {os.path.relpath(pdf)}, as it was"
    pdf.unlink(missing_ok=True)
    browser = next(filter(None, map(shutil.which, BROWSERS)), None)
    if browser is None:
        return f"no {PDF}: it takes one of {', '.join(BROWSERS)} on the PATH; install one and run this again"
    for left in folder.glob(f"{_PRINTING}*"):  # by a process that was killed
        shutil.rmtree(left, ignore_errors=True)
    with (
        tempfile.TemporaryDirectory(dir=folder, prefix=_PRINTING, ignore_cleanup_errors=True) as place,
        temporary_folder() as scratch,
    ):
        printed = Path(place) / PDF
        profile = f"--user-data-dir={place}/profile"
        command = [browser, *_PRINT, profile, f"--print-to-pdf={printed}", index.resolve().as_uri()]
        try:
            code, errors = _run_alone(command, scratch)
        except (OSError, subprocess.TimeoutExpired) as error:
            return f"no {PDF}: {' '.join(str(error).split())}"
        if code or not printed.is_file():
            said = (errors.strip().splitlines() or ["it said nothing"])[-1]
            return f"no {PDF}: {browser} ended with {code}: {said}"
        os.replace(printed, pdf)
    store.write_whole(record, _describe_print(made_of, pdf))
    return f"PDF: {os.path.relpath(pdf)}"


def _run_alone(command: Sequence[str], scratch: Path) -> tuple[int, str]:
    """Run a command for at most two minutes, then end all its processes; return its exit code and standard error.

    The command makes its temporary files in `scratch`.
    """
    with subprocess.Popen(
        command,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
        env={**os.environ, "TMPDIR": str(scratch)},
        start_new_session=True,
    ) as process:
        try:
            _, errors = process.communicate(timeout=120)
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
    return process.returncode, errors


def _describe_print(made_of: str, pdf: Path) -> str:
    """Record of a print: the digest of the page and of the command, and that of the PDF."""
    return f"{made_of} {hashlib.sha256(pdf.read_bytes()).hexdigest()}\n"
