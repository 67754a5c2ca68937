"""Execution of notebooks into a report folder: input is checked first, and unchanged notebooks are not run again."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import re
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field, replace
from graphlib import TopologicalSorter
from pathlib import Path

from leptonfit.claims.nu838.report_838 import load_covariates
from leptonfit.datafiles import ROOT, InputError, check_folder, data_folder
from leptonfit.neutrino.experiments import load_all
from leptonfit.neutrino.sheets import load_published
from leptonfit.workbook import notebook_page, page, store
from leptonfit.workbook.declarations import BUDGETS, Value, read_notebook
from leptonfit.workbook.execution import execute_notebook
from leptonfit.workbook.parameters import (
    Settings,
    find_declarations,
    find_faults,
    find_notebook,
    notebook_names,
    parse_assignment,
    read_all,
    refuse_unknown,
    upstream,
)

DATA_OF: dict[str, Callable[..., object]] = {
    "datasets": load_all,
    "include_disputed": load_published,
    "priors": load_covariates,
}
"""Function that loads the data belonging to a parameter, called as a check before anything is written."""
_PAGE = threading.Lock()
"""Lock held while the page, or a file from which it is made, is written."""


@dataclass(frozen=True)
class Request:
    """Request for a run that has passed every check.

    Attributes
    ----------
    notebooks : tuple of str
        Requested notebooks.
    overrides : mapping
        Explicit parameters, used by every notebook that declares them; text if notebooks declare different types.
    tag : str
        Name of the report folder.
    data : Path
        Data folder.
    jobs : int
        Number of notebooks executed at the same time.
    fresh : bool
        Whether to run even notebooks that are up to date.
    root : Path
        Root folder of the workbook.
    place : str
        Subfolder of the tag's folder.
    faults : mapping
        Reason why a notebook cannot be run, for each notebook with unusable declarations.
    """

    notebooks: tuple[str, ...]
    overrides: Mapping[str, Value]
    tag: str
    data: Path
    jobs: int
    fresh: bool
    root: Path
    place: str = ""
    faults: Mapping[str, str] = field(default_factory=dict)

    @property
    def folder(self) -> Path:
        """Folder of the report."""
        return self.root / "reports" / self.tag / self.place

    def parameters(self, notebook: str) -> dict[str, Value]:
        """Return all parameters with which a notebook will run."""
        return read_notebook(notebook, self.root).resolve(self.read(notebook))

    def read(self, notebook: str) -> dict[str, Value]:
        """Return the explicit parameters that a notebook declares, converted to the declared types."""
        declared = read_notebook(notebook, self.root).parameters
        given = {name: value for name, value in self.overrides.items() if name in declared}
        return {n: declared[n].read(value) if isinstance(value, str) else value for n, value in given.items()}


def check_request(
    names: Sequence[str] = (),
    assignments: Sequence[str] = (),
    *,
    tag: str = "latest",
    jobs: int = 1,
    budget: str | None = None,
    fresh: bool = False,
    data: Path | None = None,
    root: Path = ROOT,
    place: str = "",
) -> Request:
    """Check all input of a user before anything is written, and return the request.

    Parameters
    ----------
    names : sequence of str
        Notebooks, with or without their numbers; all notebooks if empty.
    assignments : sequence of str
        `name=value`, as on the command line.
    place : str
        Subfolder of the tag's folder.

    Raises
    ------
    InputError
        For the first input that is not allowed.
    """
    known = notebook_names(root)
    names = [find_notebook(name, root) for name in names]
    if not re.fullmatch(r"[A-Za-z0-9._-]{1,100}", tag) or set(tag) == {"."}:
        raise InputError(f"--tag {tag}: must be 1 to 100 letters, digits, '.', '_' or '-', and not only dots")
    if jobs < 1:
        raise InputError(f"--jobs {jobs}: must be at least 1")
    notebooks = tuple(name for name in known if name in names or not names)
    overrides: dict[str, Value] = {}
    for assignment in assignments:
        name, written = parse_assignment(assignment)
        if name in overrides:
            raise InputError(f"-p {assignment}: {name} is given twice")
        overrides[name] = written
    for name, value in overrides.items():
        if not find_declarations(name, notebooks, root):
            if find_declarations(name, known, root):
                raise InputError(f"{name} = {value}: none of the selected notebooks has this parameter")
            raise refuse_unknown(name, value, [one for each in read_all(known, root) for one in each.parameters])
    if budget is not None:
        if budget not in BUDGETS:
            raise InputError(f"budget = {budget}: must be one of {', '.join(BUDGETS)}")
        overrides.setdefault("budget", budget)
    folder = (data or root / "data").resolve()
    check_folder(folder)
    request = Request(notebooks, overrides, tag, folder, jobs, fresh, root, place)
    missing = _missing_upstream(request)
    faults = find_faults((*notebooks, *missing), root)
    if faults.keys() >= {*notebooks}:
        raise InputError(faults[notebooks[0]])
    request = replace(request, faults=faults)
    runnable = [notebook for notebook in (*notebooks, *missing) if notebook not in faults]
    for name in overrides:
        declared = find_declarations(name, runnable, root)
        is_one_range = len({one.allowed for one in declared.values()}) == 1
        values = {notebook: request.read(notebook)[name] for notebook in declared}
        for notebook, one in declared.items():
            one.check(values[notebook], "" if is_one_range else f", in {notebook}")
        if len({type(value) for value in values.values()}) == 1:
            overrides[name] = next(iter(values.values()))
    for notebook in runnable:
        read_notebook(notebook, root).check(request.read(notebook))
    for name, load in DATA_OF.items():
        if find_declarations(name, runnable, root):
            load(data=folder)
    with _environment(request):
        for notebook in notebooks:
            if notebook in faults:
                continue
            settings = Settings(notebook, request.parameters(notebook), 0.0)
            for other in sorted(upstream(notebook, root) - {*notebooks, *missing}):
                try:
                    store.load(other, request.folder, like=settings)
                except ValueError as error:
                    said = f"{notebook} reads {other}, and {error}: run both, or use another --tag"
                    raise InputError(said) from None
    return request


def _missing_upstream(request: Request) -> list[str]:
    missing: list[str] = []
    todo = list(request.notebooks)
    while todo:
        for name in sorted(upstream(todo.pop(), request.root) - {*request.notebooks, *missing}):
            if not (request.folder / "results" / f"{name}.json").is_file():
                missing.append(name)
                todo.append(name)
    return missing


def execute(
    request: Request, say: Callable[[str], None] = lambda line: None, *, show_progress: bool = False
) -> list[str]:
    """Run the notebooks of a request, after the notebooks that they need, and write the report's page.

    Parameters
    ----------
    request : Request
    say : callable
        Receives progress messages, one line each.
    show_progress : bool
        Whether to show a progress bar over the cells of each notebook.

    Returns
    -------
    list of str
        Errors, one line for each notebook that failed; empty if all finished.

    Raises
    ------
    InputError
        If another run is using the tag.
    """
    names = [*_missing_upstream(request), *request.notebooks]
    errors = {name: fault for name, fault in request.faults.items() if name in names}
    graph = {name: upstream(name, request.root) & set(names) if name not in errors else set() for name in names}
    (request.folder / "results").mkdir(parents=True, exist_ok=True)
    with only_run(request.folder, request.tag), _environment(request):
        pool = ThreadPoolExecutor(request.jobs)
        try:
            _run_graph(request, graph, pool, errors, say, show_progress)
        finally:
            pool.shutdown(wait=False, cancel_futures=True)  # do not wait for running notebooks after an interrupt
        page.write_index(request.folder, request.root)
    say(f"report: {_relative(request.folder / 'index.html', request.root)}")
    return list(errors.values())


def bring_upstream(settings: Settings) -> None:
    """Run the notebooks that this one reads, unless their stored results match its settings.

    Inside `leptonfit run` nothing is done, since these notebooks were run before.

    Raises
    ------
    RuntimeError
        If one of these notebooks fails.
    """
    if store.REPORT_VARIABLE in os.environ:
        return
    names = []
    for name in upstream(settings.notebook):
        try:
            store.load(name, like=settings)
        except (FileNotFoundError, ValueError):
            names.append(name)
    if names:
        request = check_request(names, tag=store.INTERACTIVE, data=data_folder())
        if errors := execute(replace(request, overrides=settings.values), print):
            raise RuntimeError("; ".join(errors))


def _run_graph(
    request: Request,
    graph: Mapping[str, set[str]],
    pool: ThreadPoolExecutor,
    errors: dict[str, str],
    say: Callable[[str], None],
    show_progress: bool,
) -> None:
    """Run each notebook after the notebooks that it needs; `errors` collects the errors by notebook."""
    sorter = TopologicalSorter(graph)
    sorter.prepare()
    running: dict[Future[str | None], str] = {}
    while sorter.is_active():
        for name in sorted(sorter.get_ready()):
            if name in errors:
                sorter.done(name)
            elif needed := sorted(graph[name] & errors.keys()):
                errors[name] = f"{name}: not run, it needs {', '.join(needed)}"
                sorter.done(name)
            else:
                running[pool.submit(_bring_up_to_date, request, name, say, show_progress)] = name
        finished, _ = wait(running, return_when=FIRST_COMPLETED) if running else (set(), None)
        for future in finished:
            name = running.pop(future)
            if error := future.result():
                errors[name] = error
            sorter.done(name)


def _bring_up_to_date(request: Request, name: str, say: Callable[[str], None], show_progress: bool) -> str | None:
    """Run one notebook unless its outputs belong to the same input; return the error in one line, or None."""
    folder, parameters = request.folder, request.parameters(name)
    result, pages = folder / "results" / f"{name}.json", (folder / f"{name}.ipynb", folder / f"{name}.html")
    fingerprint = _fingerprint(request, name, parameters)
    record = folder / "results" / f".{name}.inputs"
    if not request.fresh and record.is_file() and record.read_text() == _record(fingerprint, folder, name):
        say(f"{name}: up to date")
        return None
    began, partial = time.monotonic(), folder / f".{name}.ipynb"
    say(f"{name}: running")
    with _PAGE:  # delete all files of the old run, and write the page without them
        for old in (record, *_list_outputs(folder, name)):
            old.unlink(missing_ok=True)
        partial.touch()
        page.write_index(folder, request.root)
    error = execute_notebook(name, parameters, partial, root=request.root, show_progress=show_progress)
    with _PAGE:
        os.replace(partial, pages[0])
        notebook_page.write_notebook(*pages)
    if error:
        return f"{name}: {error}; the partial notebook is {_relative(pages[0], request.root)}"
    if not result.is_file():
        return f"{name}: finished without saving results to {_relative(result, request.root)}"
    store.write_whole(record, _record(fingerprint, folder, name))
    say(f"{name}: finished in {time.monotonic() - began:.1f} s: {store.load(name, folder)['verdict']}")
    return None


def _fingerprint(request: Request, name: str, parameters: Mapping[str, Value]) -> str:
    """Return a digest of everything that can change a notebook's outputs."""
    parts = {
        "parameters": dict(parameters),
        "source": (request.root / "notebooks" / f"{name}.py").read_text(encoding="utf-8"),
        "origin": store.origin(),
        "data": str(request.data),
        "upstream": {
            str(path): {k: store.read(path)[k] for k in ("parameters", "results", "verdict")}
            for other in sorted(upstream(name, request.root))
            for path in store.find_results(other, request.folder)
        },
    }
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def _list_outputs(folder: Path, name: str) -> list[Path]:
    """Return what a notebook left: its results, what it published, and its pages."""
    return sorted([*folder.glob(f"{name}.*"), *folder.glob(f"results/{name}.*")])


def _record(fingerprint: str, folder: Path, name: str) -> str:
    """Return the record of a finished notebook: the digests of its input and of its outputs."""
    outputs = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in _list_outputs(folder, name)}
    return json.dumps([fingerprint, outputs])


@contextlib.contextmanager
def only_run(folder: Path, tag: str) -> Iterator[None]:
    """Lock the folder of a tag; the lock is released when the process ends, even after a crash."""
    with open(folder / ".lock", "w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise InputError(f"--tag {tag}: another run is using it, wait or choose another tag") from None
        yield


@contextlib.contextmanager
def _environment(request: Request) -> Iterator[None]:
    """Set the environment variables that tell the kernels the folders of data and results."""
    told = {"LEPTONFIT_DATA": str(request.data), store.REPORT_VARIABLE: str(request.folder)}
    before = {name: os.environ.get(name) for name in told}
    os.environ.update(told)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def _relative(path: Path, root: Path) -> str:
    return path.relative_to(root).as_posix()
