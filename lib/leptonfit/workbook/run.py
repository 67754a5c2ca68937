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
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field, replace
from graphlib import TopologicalSorter
from pathlib import Path
from typing import Any

from leptonfit.datafiles import ROOT, DamagedError, InputError, data_folder, describe_fault, read_checksums
from leptonfit.inference.parallel import count_cores, own_core, share_cores, use_core
from leptonfit.workbook import notebook_page, page, progress, records, schedule, store
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

_PAGE = threading.Lock()
"""Lock held while the page, or a file from which it is made, is written."""
_valid: set[str] = set()
"""Digests of the data that this process has found valid (see `_describe_data`)."""


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
        Number of notebooks executed at the same time, if there are so many cores.
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
    jobs: int | None = None,
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
    jobs : int, optional
        Number of notebooks executed at the same time; the number of cores if not given, which is also the most.
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
    jobs = count_cores() if jobs is None else jobs
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
    request = Request(notebooks, overrides, tag, (data or root / "data").resolve(), jobs, fresh, root, place)
    _refuse_links(request)
    _check_data(request)
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
    with _environment(request):
        for notebook in (name for name in notebooks if name not in faults):
            _check_upstream(request, notebook, {*notebooks, *missing})
    return request


def _check_upstream(request: Request, notebook: str, run: Collection[str]) -> None:
    """Refuse stored results that a notebook reads and cannot use; those of notebooks that `run` first are not read."""
    settings = Settings(notebook, request.parameters(notebook), 0.0)
    for other in sorted(upstream(notebook, request.root)):
        try:
            if other not in run:
                store.load(other, request.folder, like=settings)
            for path in store.find_results(other, request.folder)[1:]:  # of a sweep
                store.read(path)
        except DamagedError as error:
            raise InputError(f"{notebook} reads {other}, and {error}: delete it, or run its sweep again") from None
        except ValueError as error:
            said = f"{notebook} reads {other}, and {error}: run both, or use another --tag"
            raise InputError(said) from None


def _refuse_links(request: Request) -> None:
    """Refuse a report folder of which a part is a link that leads out of `reports`."""
    reports = request.root / "reports"
    parts = [folder / part for folder in (request.folder, request.folder.parent) for part in ("results", ".cores")]
    for folder in (request.folder, *parts):
        if not folder.resolve().is_relative_to(reports.resolve()):
            raise InputError(f"--tag {request.tag}: {folder} is a link: must stay inside {reports}")


def _missing_upstream(request: Request) -> list[str]:
    """Return the notebooks that are read and not requested, and have no finished results as they were written."""
    missing: list[str] = []
    todo = list(request.notebooks)
    while todo:
        needed = upstream(todo.pop(), request.root) - {*request.notebooks, *missing}
        unfinished = records.list_unfinished(request.folder, needed)
        missing += unfinished
        todo += unfinished
    return missing


def execute(request: Request, say: Callable[[str], None] = lambda line: None) -> list[str]:
    """Run the notebooks of a request, each after the notebooks that it needs, and write the report's page.

    Parameters
    ----------
    request : Request
    say : callable
        Receives progress messages, one line each.

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
    (request.folder / "results").mkdir(parents=True, exist_ok=True)
    record, digest = _describe_data(request)
    if digest in _valid:
        store.write_whole(record, digest)
    cores = share_cores(request.folder / ".cores", count_cores())
    with only_run(request.folder, request.tag), _environment(request), cores:
        run = _Run(request, names, say)
        say(f"page: {run.relative(run.index)}, written again after each notebook")
        if not run.index.is_file():
            run.write_page()
        if expected := run.describe_costs():
            say(expected)
        try:
            run.run_all()
        finally:
            with _PAGE:
                page.write_index(request.folder, request.root)
        for folder in (request.folder, request.folder / "results"):
            store.delete_unfinished(folder)
    say(f"report: {run.relative(run.index)}")
    return list(run.errors.values())


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


class _Run:
    """One run of the notebooks of a request, with the errors so far by notebook."""

    def __init__(self, request: Request, names: Sequence[str], say: Callable[[str], None]) -> None:
        self.request, self.folder, self.say = request, request.folder, say
        self.index = request.folder / "index.html"
        self.errors = {name: fault for name, fault in request.faults.items() if name in names}
        self.unfinished = {name for name in names if name not in self.errors}
        self.parameters = {name: request.parameters(name) for name in names if name not in self.errors}
        self.graph: dict[str, set[str]] = {name: set() for name in self.errors}
        self.graph |= {name: upstream(name, request.root) & {*names} for name in self.parameters}
        self.seconds = schedule.read_seconds(self.folder, self.parameters)
        self.origin = store.origin()

    def run_all(self) -> None:
        """Run each notebook after the notebooks that it needs, those with the longest work after them first."""
        sorter = TopologicalSorter(self.graph)
        sorter.prepare()
        n_jobs = min(self.request.jobs, count_cores())
        pool = ThreadPoolExecutor(n_jobs)
        ready: set[str] = set()
        running: dict[Future[str | None], str] = {}
        try:
            while sorter.is_active():
                ready |= {*sorter.get_ready()}
                for name in sorted(ready):
                    if needed := sorted(self.graph[name] & self.errors.keys()):
                        self.errors[name] = f"{name}: not run, it needs {', '.join(needed)}"
                    if name in self.errors:
                        self.unfinished.discard(name)
                        ready.remove(name)
                        sorter.done(name)
                for name in schedule.order_ready(ready, self.graph, self.seconds)[: n_jobs - len(running)]:
                    ready.remove(name)
                    running[pool.submit(self._bring_up_to_date, name)] = name
                finished, _ = wait(running, return_when=FIRST_COMPLETED) if running else (set(), None)
                for future in finished:
                    name = running.pop(future)
                    if error := future.result():
                        self.errors[name] = error
                    sorter.done(name)
        finally:
            pool.shutdown(wait=False, cancel_futures=True)  # do not wait for running notebooks after an interrupt

    def describe_costs(self) -> str | None:
        """Describe in one line what the notebooks that are not up to date will take; None if that is little."""
        costs: dict[str, schedule.Cost | None] = {}
        for name in TopologicalSorter(self.graph).static_order():
            if name in self.parameters and (self.graph[name] & costs.keys() or not self._is_up_to_date(name)):
                declared = read_notebook(name, self.request.root).parameters
                counts = {one for one in self.parameters[name] if declared[one].unit == "count"}
                reports = self.request.root / "reports"
                costs[name] = schedule.estimate_cost(reports, name, self.parameters[name], counts)
        return schedule.describe_costs(costs, self.graph, min(self.request.jobs, count_cores()))

    def _is_up_to_date(self, name: str) -> bool:
        """Whether the outputs of a notebook belong to its input, so that it is not run again."""
        try:
            record = records.read_notebook_record(self.folder, name)
            if record is None or not record.is_finished or self.request.fresh:
                return False
            return record.fingerprint == self._fingerprint(name)
        except (OSError, DamagedError):  # which its run will name
            return False

    def _fingerprint(self, name: str) -> str:
        return _fingerprint(self.request, name, self.parameters[name], self.origin)

    def _bring_up_to_date(self, name: str) -> str | None:
        """Run one notebook unless its outputs belong to the same input; return the error in one line, or None."""
        with use_core(own_core(), goes_first=True):
            try:
                fingerprint = self._fingerprint(name)
                record = records.read_notebook_record(self.folder, name)
                is_same = record is not None and record.is_finished and record.fingerprint == fingerprint
                if is_same and not self.request.fresh:
                    self.unfinished.discard(name)
                    self.say(f"{name}: up to date")
                    return None
                if self.request.fresh:
                    store.forget_tasks(name, self.folder)
                error = self._run_notebook(name)
                path, outputs = records.record_path(self.folder, name), records.list_outputs(self.folder, name)
                records.write_record(path, None if error else fingerprint, outputs)
            except (OSError, DamagedError) as fault:
                error = f"{name}: {describe_fault(fault)}"
            with _PAGE:
                self.unfinished.discard(name)
                self.write_page()
            return error

    def _run_notebook(self, name: str) -> str | None:
        """Run one notebook in place of its old outputs; return the error in one line, or None."""
        began, expected = time.monotonic(), self.seconds.get(name)
        partial, pages = self.folder / f".{name}.ipynb", (self.folder / f"{name}.ipynb", self.folder / f"{name}.html")
        last = f"; the last run took {progress.write_time(expected)}" if expected else ""
        self.say(f"{name}: running{last}")
        with _PAGE:  # delete all files of the old run, and write the page without them
            old = [records.record_path(self.folder, name), *records.list_outputs(self.folder, name)]
            is_new = not any(path.exists() for path in old)
            for path in (*old, partial):  # never write through a link
                path.unlink(missing_ok=True)
            partial.touch()
            if not is_new:
                self.write_page()
        with progress.show_bar(name, expected):
            error = execute_notebook(name, self.parameters[name], partial, root=self.request.root)
        result = self.folder / "results" / f"{name}.json"
        is_saved = result.is_file()
        with _PAGE:
            for path in records.list_outputs(self.folder / "results", name) if error else ():
                path.unlink()  # what a failed notebook saved is not a result
            os.replace(partial, pages[0])
            notebook_page.write_notebook(*pages)
        if error:
            return f"{name}: {error}; the partial notebook is {self.relative(pages[0])}"
        if not is_saved:
            return f"{name}: finished without saving results to {self.relative(result)}"
        seconds = time.monotonic() - began
        saved = store.read(result)
        with _PAGE:
            memory = saved["provenance"]["memory"]
            schedule.record_cost(self.folder, name, self.parameters[name], seconds, memory)
        self.say(f"{name}: finished in {seconds:.1f} s: {saved['verdict']}")
        return None

    def write_page(self) -> None:
        """Write the page as it is while notebooks run."""
        page.write_index(self.folder, self.request.root, unfinished={*self.unfinished})

    def relative(self, path: Path) -> str:
        """Path below the root folder of the workbook, as text."""
        return path.relative_to(self.request.root).as_posix()


def _check_data(request: Request) -> None:
    """Check every data file, unless the same files were found valid before by the same version of the library."""
    record, digest = _describe_data(request)
    if digest in _valid or (
        record.is_file() and not record.is_symlink() and record.read_text(errors="replace") == digest
    ):
        return
    from leptonfit.workbook.data_check import check_data  # here, because it loads the models

    check_data(request.data)
    _valid.add(digest)


def _describe_data(request: Request) -> tuple[Path, str]:
    """Return the file that names the data last found valid, and a digest of these data and of what checks them."""
    listed = read_checksums(request.data)
    with _environment(request):
        digest = hashlib.sha256(json.dumps([listed, store.origin()], sort_keys=True).encode()).hexdigest()
    return request.root / "reports" / ".valid_data", digest


def _fingerprint(request: Request, name: str, parameters: Mapping[str, Value], origin: Mapping[str, Any]) -> str:
    """Return a digest of everything that can change a notebook's outputs; `origin` is `store.origin`."""
    parts = {
        "parameters": dict(parameters),
        "source": (request.root / "notebooks" / f"{name}.py").read_text(encoding="utf-8"),
        "origin": origin,
        "data": str(request.data),
        "upstream": {
            str(path): {k: store.read(path).get(k) for k in ("parameters", "results", "verdict")}
            for other in sorted(upstream(name, request.root))
            for path in store.find_results(other, request.folder)
        },
    }
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


@contextlib.contextmanager
def only_run(folder: Path, tag: str) -> Iterator[None]:
    """Lock the folder of a tag; the lock is released when the process ends, even after a crash."""
    handle = os.open(folder / ".lock", os.O_CREAT | os.O_RDWR | os.O_NOFOLLOW, 0o644)
    with open(handle, "w") as lock:
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
