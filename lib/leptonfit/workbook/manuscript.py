"""Manuscript folder `figures/`: the figures, tables and numbers that the notebooks of a report publish, collected.

Every figure is a PDF and a PNG beside the JSON it was drawn from; every number a macro in `numbers.tex`, with its
origin and its mark; every table a CSV and a LaTeX tabular.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd

from leptonfit.datafiles import ROOT
from leptonfit.workbook import run, store
from leptonfit.workbook.declarations import read_notebook
from leptonfit.workbook.latex import write_macros
from leptonfit.workbook.parameters import notebook_names
from leptonfit.workbook.publish import NUMBERS

TAG = "figures"
"""Report folder from which `figures/` is collected."""
NOTEBOOK = "90_manuscript_figures"
"""Notebook that shows what is collected, from the notebooks that it needs."""


def find_sources() -> tuple[str, ...]:
    """Return the notebooks that the manuscript's notebook needs; all notebooks in a workbook without it."""
    names = notebook_names()
    return read_notebook(NOTEBOOK).needs if NOTEBOOK in names else tuple(names)


def find_published(suffix: str, folder: Path | None = None) -> dict[str, tuple[str, Path]]:
    """Find published files, such as "pdf" or "tex", in the report folder in use or another.

    Returns
    -------
    dict
        Notebook and path of each file, by the name under which it was published.
    """
    results = (folder or store.report_folder()) / "results"
    return {
        path.stem.removeprefix(f"{notebook}."): (notebook, path)
        for notebook in find_sources()
        for path in sorted(results.glob(f"{notebook}.*.{suffix}"))
    }


def read_numbers(folder: Path | None = None) -> pd.DataFrame:
    """Read the published numbers of all notebooks: macro, value, origin and mark."""
    results = (folder or store.report_folder()) / "results"
    paths = [results / f"{notebook}.{NUMBERS}" for notebook in find_sources()]
    tables = [pd.read_csv(path, dtype=str, keep_default_na=False) for path in paths if path.is_file()]
    return pd.concat(tables, ignore_index=True) if tables else pd.DataFrame()


def read_figures(folder: Path | None = None) -> dict[str, dict[str, Any]]:
    """Read what each published figure shows, with the verdict, the mark and the parameters it belongs to."""
    figures = {}
    for name, (notebook, path) in find_published("pdf", folder).items():
        stored = store.read(path.parent / f"{notebook}.json")
        figures[name] = {
            "figure": name,
            "verdict": stored["verdict"],
            "mark": stored["mark"],
            "parameters": {notebook: stored["parameters"]},
            "drawn": json.loads(path.with_suffix(".json").read_text(encoding="utf-8")),
        }
    return figures


def write_all(say: Callable[[str], None]) -> list[str]:
    """Bring the notebooks at their defaults up to date, then collect what they publish in `figures/`.

    Returns
    -------
    list of str
        What went wrong, a line a notebook; then nothing is written.

    Raises
    ------
    InputError
        If another run is using the tag.
    """
    names = find_sources()
    request = run.check_request([*names, *({NOTEBOOK} & {*notebook_names()})], tag=TAG)
    if errors := run.execute(request, say):
        return errors
    target = ROOT / "figures"
    with run.only_run(request.folder, TAG):
        for name, figure in read_figures(request.folder).items():
            store.write_whole(target / f"{name}.json", json.dumps(figure, ensure_ascii=False, indent=1) + "\n")
            say(f"figures/{name}: .pdf, .png, .json")
        for name, (_, path) in find_published("tex", request.folder).items():
            store.write_whole(target / f"{name}.csv", path.with_suffix(".csv").read_bytes())
            say(f"figures/{name}: .csv, .tex")
        for suffix in ("pdf", "png", "tex"):
            for name, (_, path) in find_published(suffix, request.folder).items():
                store.write_whole(target / f"{name}.{suffix}", path.read_bytes())
        if macros := write_macros(read_numbers(request.folder)):
            store.write_whole(target / "numbers.tex", macros)
            say("figures/numbers.tex")
        store.delete_unfinished(target)
    return []
