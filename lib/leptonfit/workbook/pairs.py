"""Notebook pairs: the .py is the source, and the .ipynb is its execution in normalised form."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from graphlib import TopologicalSorter
from pathlib import Path

import nbformat
from nbconvert.preprocessors import CoalesceStreamsPreprocessor

from leptonfit.datafiles import ROOT
from leptonfit.workbook import store
from leptonfit.workbook.execution import execute_notebook, temporary_folder
from leptonfit.workbook.parameters import find_faults, find_notebook, notebook_names, upstream

_METADATA = {
    "jupytext": {"cell_metadata_filter": "tags,-all", "formats": "ipynb,py:percent"},
    "kernelspec": {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"},
    "language_info": {"name": "python", "file_extension": ".py", "mimetype": "text/x-python"},
}


def compare_pairs(root: Path = ROOT) -> list[str]:
    """Return one line for each notebook with a missing file, or with a cell that differs between .py and .ipynb.

    A cell differs if its type, source or tags differ; the first such cell is named. A file that cannot be read also
    gives a line.
    """
    import jupytext

    lone = {path.stem for path in (root / "notebooks").glob("[0-9][0-9]_*.ipynb")} - {*notebook_names(root)}
    differences = [f"{name}: {name}.py is missing (jupytext --to py:percent)" for name in sorted(lone)]
    for name in notebook_names(root):
        source, executed = root / "notebooks" / f"{name}.py", root / "notebooks" / f"{name}.ipynb"
        if not executed.is_file():
            differences.append(f"{name}: {executed.name} is missing (make notebooks)")
            continue
        try:
            ours, theirs = (
                [(cell.cell_type, cell.source, cell.metadata.get("tags", [])) for cell in jupytext.read(path).cells]
                for path in (source, executed)
            )
        except ValueError as error:
            differences.append(f"{name}: cannot be read: {' '.join(str(error).split())}")
            continue
        for number, (one, other) in enumerate(zip(ours, theirs, strict=False), start=1):
            if one != other:
                differences.append(f"{name}: cell {number} differs between .py and .ipynb (make notebooks)")
                break
        else:
            if len(ours) != len(theirs):
                differences.append(f"{name}: {len(ours)} cells in .py, {len(theirs)} in .ipynb (make notebooks)")
    return differences


def write_pairs(say: Callable[[str], None], names: Sequence[str] = (), root: Path = ROOT) -> list[str]:
    """Execute notebooks (all, or those named) at their defaults and write their .ipynb.

    Notebooks that these need are executed first, and their .ipynb are left as they are.

    Returns
    -------
    list of str
        Errors, one line for each notebook that failed.
    """
    wanted = [find_notebook(name, root) for name in names] or notebook_names(root)
    graph: dict[str, set[str]] = {}
    todo = list(wanted)
    while todo:
        if (name := todo.pop()) not in graph:
            graph[name] = upstream(name, root)
            todo += graph[name]
    faults = find_faults(sorted(graph), root)
    errors = list(faults.values())
    graph = {name: needed for name, needed in graph.items() if name not in faults}
    with temporary_folder() as folder:
        os.environ[store.REPORT_VARIABLE] = str(folder / "report")  # results of this run are discarded
        for name in TopologicalSorter(graph).static_order():
            if name in faults:
                continue
            output = folder / f"{name}.ipynb"
            error = execute_notebook(name, {}, output, root=root)
            if error:
                errors.append(f"{name}: {error}")
            if error or name not in wanted:
                continue
            normalised = normalise(nbformat.read(output, as_version=4))
            store.write_whole(root / "notebooks" / f"{name}.ipynb", nbformat.writes(normalised) + "\n")
            say(f"{name}: written")
    return errors


def normalise(notebook: nbformat.NotebookNode) -> nbformat.NotebookNode:
    """Remove timings, widget state, random ids, versions and cuts in printed text, which differ between executions."""
    coalesce = CoalesceStreamsPreprocessor()
    notebook.metadata = nbformat.from_dict(_METADATA)
    for number, cell in enumerate(notebook.cells):
        tags = cell.metadata.get("tags")
        cell.metadata = nbformat.from_dict({"tags": tags} if tags else {})
        cell.id = f"cell-{number:02d}"
        coalesce.preprocess_cell(cell, {}, number)
    return notebook
