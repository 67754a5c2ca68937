"""Names and parameters of the notebooks, and the checked settings of one execution."""

from __future__ import annotations

import ast
import contextlib
import difflib
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import Any

from leptonfit.datafiles import ROOT, InputError
from leptonfit.workbook.declarations import Declaration, Notebook, Value, read_notebook

_INJECTED = "# Parameters\n"
"""First line of the cell in which papermill sets parameters."""


def notebook_names(root: Path = ROOT) -> list[str]:
    """Return the names of all notebooks, in order."""
    return sorted(path.stem for path in (root / "notebooks").glob("[0-9][0-9]_*.py"))


def find_notebook(name: str, root: Path = ROOT) -> str:
    """Return the full name of a notebook; its number may be left out.

    Raises
    ------
    InputError
        If no notebook has this name, or several have it with different numbers.
    """
    known = notebook_names(root)
    found = [one for one in known if name in (one, one[3:])]
    if len(found) != 1:
        raise InputError(f"notebook {name}: must be one of {', '.join(found or known)}")
    return found[0]


def notebook_defaults(notebook: str, root: Path = ROOT) -> dict[str, Value | None]:
    """Return the parameters of a notebook with their defaults."""
    return {name: one.default for name, one in read_notebook(notebook, root).parameters.items()}


def upstream(notebook: str, root: Path = ROOT) -> set[str]:
    """Return the notebooks whose results this notebook loads; empty if its declarations cannot be read."""
    return {needed for one in read_all([notebook], root) for needed in one.needs}


def read_all(notebooks: Iterable[str], root: Path = ROOT) -> Iterator[Notebook]:
    """Yield the declarations of several notebooks, without those that cannot be read."""
    for notebook in notebooks:
        with contextlib.suppress(InputError):
            yield read_notebook(notebook, root)


def find_faults(notebooks: Sequence[str], root: Path = ROOT) -> dict[str, str]:
    """Return the notebooks that cannot be run, with the reason: unreadable declarations or circular needs."""
    faults = {}
    for name in notebooks:
        try:
            read_notebook(name, root)
        except InputError as error:
            faults[name] = str(error)
    graph = {name: upstream(name, root) for name in notebooks}
    while True:
        try:
            TopologicalSorter(graph).prepare()
        except CycleError as error:
            circle = error.args[1]
            for name in circle:
                faults[name] = f"{name}: needs itself, by way of {', '.join(circle)}"
                graph[name] = set()
        else:
            return faults


def find_declarations(name: str, notebooks: Iterable[str], root: Path = ROOT) -> dict[str, Declaration]:
    """Return the declarations of one parameter, by notebook."""
    return {one.name: one.parameters[name] for one in read_all(notebooks, root) if name in one.parameters}


def parse_assignment(text: str) -> tuple[str, str]:
    """Split `name=value` from the command line.

    Raises
    ------
    InputError
        If there is no `=` or no name.
    """
    name, equals, written = text.partition("=")
    if not equals or not name.strip():
        raise InputError(f"-p {text}: must be name=value")
    return name.strip(), written.strip()


def refuse_unknown(name: str, value: object, known: Iterable[str]) -> InputError:
    """Return the error for an undeclared parameter, with the most similar declared name."""
    known = sorted(set(known))
    nearest = difflib.get_close_matches(name, known, n=1)
    said = f"the nearest is {nearest[0]}" if nearest else f"must be one of {', '.join(known)}"
    return InputError(f"{name} = {value}: unknown parameter, {said}")


@dataclass(frozen=True)
class Settings:
    """Checked parameters of one execution, as attributes (lists as tuples), its start time, and what it publishes.

    `published` holds the content of files by name, until `store.save` writes them.
    """

    notebook: str
    values: Mapping[str, Value]
    started: float
    declared: Mapping[str, Declaration] | None = None
    published: dict[str, bytes] = field(default_factory=dict)

    def __getattr__(self, name: str) -> Any:
        if name not in self.values:
            raise AttributeError(f"{self.notebook} has no parameter {name}")
        value, declared = self.values[name], (self.declared or {}).get(name)
        return declared.items(value) if declared and declared.is_list else value


def read_settings(notebook: str, namespace: Mapping[str, Any], root: Path = ROOT) -> Settings:
    """Check the parameters in a notebook's namespace and return them; call this function first, with `globals()`.

    In a kernel, tasks that finish from then on are kept, so that a run that is cut off goes on where it was, until
    `store.save` writes the results.

    Raises
    ------
    InputError
        If a value is not allowed, or papermill was given a parameter that the notebook does not declare.
    """
    declared = read_notebook(notebook, root)
    for name, value in _injected(namespace):
        if name not in declared.parameters:
            raise refuse_unknown(name, value, declared.parameters)
    if missing := [name for name in declared.parameters if name not in namespace]:
        raise InputError(
            f"{missing[0]}: is declared in {notebook}.py and not in the notebook that runs (make notebooks)"
        )
    values = {name: namespace[name] for name in declared.parameters}
    declared.check(values)
    if "In" in namespace:  # IPython's input history
        from leptonfit.workbook import store

        store.keep_tasks(notebook)
    return Settings(notebook, declared.resolve(values), time.monotonic(), declared.parameters)


def _injected(namespace: Mapping[str, Any]) -> list[tuple[str, Any]]:
    """Return the parameters given to papermill, read from the injected cell in IPython's input history."""
    names: list[str] = []
    for text in namespace.get("In", ()):
        if text.startswith(_INJECTED):
            with contextlib.suppress(SyntaxError):  # not a cell of papermill
                assigned = [one.targets[0] for one in ast.parse(text).body if isinstance(one, ast.Assign)]
                names += [target.id for target in assigned if isinstance(target, ast.Name)]
    return [(name, namespace[name]) for name in names]
