"""Notebook pairs: the .py is the source, the .ipynb its normalised execution."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from pathlib import Path

import nbformat

from leptonfit.datafiles import ROOT
from leptonfit.workbook import store
from leptonfit.workbook.execution import execute_notebook
from leptonfit.workbook.parameters import notebook_names

_METADATA = {
    "jupytext": {"cell_metadata_filter": "tags,-all", "formats": "ipynb,py:percent"},
    "kernelspec": {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"},
    "language_info": {"name": "python", "file_extension": ".py", "mimetype": "text/x-python"},
}


def compare_pairs(root: Path = ROOT) -> list[str]:
    """Differences between each .py and its .ipynb, a line each: missing, or another type, source or tags of a cell."""
    import jupytext

    differences = []
    for name in notebook_names(root):
        source, executed = root / "notebooks" / f"{name}.py", root / "notebooks" / f"{name}.ipynb"
        if not executed.is_file():
            differences.append(f"{name}: {executed.name} is missing (make notebooks)")
            continue
        ours, theirs = (
            [(cell.cell_type, cell.source, cell.metadata.get("tags", [])) for cell in jupytext.read(path).cells]
            for path in (source, executed)
        )
        for number, (one, other) in enumerate(zip(ours, theirs, strict=False), start=1):
            if one != other:
                differences.append(f"{name}: cell {number} differs between .py and .ipynb (make notebooks)")
                break
        else:
            if len(ours) != len(theirs):
                differences.append(f"{name}: {len(ours)} cells in .py, {len(theirs)} in .ipynb (make notebooks)")
    return differences


def write_pairs(say: Callable[[str], None], root: Path = ROOT) -> list[str]:
    """Execute every notebook at its defaults and write its .ipynb; what went wrong, a line a notebook."""
    errors = []
    with tempfile.TemporaryDirectory() as folder:
        os.environ[store.REPORT_VARIABLE] = folder  # results of this run are not kept
        for name in notebook_names(root):
            output = Path(folder) / f"{name}.ipynb"
            error = execute_notebook(name, {}, output, root=root)
            if error:
                errors.append(f"{name}: {error}")
                continue
            normalised = normalise(nbformat.read(output, as_version=4))
            store.write_whole(root / "notebooks" / f"{name}.ipynb", nbformat.writes(normalised) + "\n")
            say(f"{name}: written")
    return errors


def normalise(notebook: nbformat.NotebookNode) -> nbformat.NotebookNode:
    """Drop what differs between two identical executions: timings, widget state, random ids, versions."""
    notebook.metadata = nbformat.from_dict(_METADATA)
    for number, cell in enumerate(notebook.cells):
        tags = cell.metadata.get("tags")
        cell.metadata = nbformat.from_dict({"tags": tags} if tags else {})
        cell.id = f"cell-{number:02d}"
    return notebook
