"""Results on disk: one JSON a notebook, whole or not at all, with where it came from."""

from __future__ import annotations

import hashlib
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from leptonfit.datafiles import ROOT, SUMS, DamagedError, compute_checksums, data_folder
from leptonfit.inference.finished import digest_modules, versions
from leptonfit.inference.parallel import FINISHED, describe_cluster
from leptonfit.inference.result import decode, encode
from leptonfit.workbook.formats import format_table

if TYPE_CHECKING:
    from leptonfit.workbook.parameters import Settings

SCHEMA_VERSION = 4
KEYS = ("schema_version", "parameters", "results", "verdict", "verdict_code", "mark", "provenance")
"""What a file of results holds."""
MARKS = ("proven", "numerical", "simulated", "recorded")
SWEEP = "sweep"
"""Folder of a report with a folder for each value of a swept parameter."""
REPORT_VARIABLE = "LEPTONFIT_REPORT"
"""Environment variable naming the report folder; outside a run, results go to `reports/interactive`."""
INTERACTIVE = "interactive"


def report_folder() -> Path:
    """The report folder in use."""
    return Path(os.environ.get(REPORT_VARIABLE) or ROOT / "reports" / INTERACTIVE)


def save(
    settings: Settings,
    *,
    results: Mapping[str, Any],
    verdict: str,
    verdict_code: str,
    mark: str = "numerical",
    tables: Mapping[str, pd.DataFrame] | None = None,
) -> Path:
    """Write a notebook's results to `results/NN_topic.json`, its tables to `results/NN_topic.<name>.csv`.

    The CSV has the numbers of a table. Its text for the page and for LaTeX is in `NN_topic.<name>.shown.csv`.
    What the notebook published is written beside them, as `results/NN_topic.<file>`.

    Parameters
    ----------
    settings : Settings
    results : mapping
        Arrays, numbers, strings, results, and dicts and lists of these. Results are stored with their type.
    verdict, verdict_code : str
        The computed sentence and its code.
    mark : str
        One of `MARKS`: how the verdict is known.
    tables : mapping of DataFrame, optional

    Returns
    -------
    Path
        Of the JSON.

    Raises
    ------
    ValueError
        If the mark is unknown, or if a result is defined outside leptonfit.
    """
    if mark not in MARKS:
        raise ValueError(f"mark = {mark!r}: must be one of {', '.join(MARKS)}")
    folder = report_folder() / "results"
    folder.mkdir(parents=True, exist_ok=True)
    document = {
        "schema_version": SCHEMA_VERSION,
        "parameters": dict(settings.values),
        "results": encode(results),
        "verdict": verdict,
        "verdict_code": verdict_code,
        "mark": mark,
        "provenance": provenance(settings),
    }
    document["provenance"]["content_checksum"] = content_checksum(document)
    content = json.dumps(document, ensure_ascii=False, allow_nan=False, indent=1) + "\n"
    for name, table in (tables or {}).items():
        if len(table.columns):  # else nothing was tabulated
            write_whole(folder / f"{settings.notebook}.{name}.csv", table.to_csv(index=False))
            write_whole(folder / f"{settings.notebook}.{name}.shown.csv", format_table(table).to_csv(index=False))
    for name, published in settings.published.items():
        write_whole(folder / f"{settings.notebook}.{name}", published)
    path = folder / f"{settings.notebook}.json"
    write_whole(path, content)
    forget_tasks(settings.notebook, report_folder())
    return path


def keep_tasks(notebook: str) -> None:
    """Keep the finished tasks of a notebook from now on, for the data in use."""
    data = hashlib.sha256(json.dumps(compute_checksums(data_folder())).encode()).hexdigest()[:16]
    digest_modules()
    os.environ[FINISHED] = str(_tasks_folder(notebook, report_folder()) / data)


def forget_tasks(notebook: str, folder: Path) -> None:
    """Delete the finished tasks that a notebook has kept for a report folder."""
    if (tasks := _tasks_folder(notebook, folder)).is_dir():
        shutil.rmtree(tasks)


def _tasks_folder(notebook: str, folder: Path) -> Path:
    """Folder beside `reports`: tasks are kept as pickles, and none may be read from a report of somebody else."""
    place = folder.resolve()
    reports = next((parent for parent in place.parents if parent.name == "reports"), place.parent)
    return reports.parent / ".unfinished" / place.relative_to(reports) / notebook


def load(notebook: str, folder: Path | None = None, *, like: Settings | None = None) -> dict[str, Any]:
    """Read what `save` wrote for a notebook, from the report folder in use or another.

    Results come back as the objects that were saved. Arrays that were saved outside a result come back as lists.

    Parameters
    ----------
    notebook : str
    folder : Path, optional
    like : Settings, optional
        Settings the results must agree with, in every parameter both have; and they must come from the library and
        the data in use.

    Raises
    ------
    FileNotFoundError
        If the notebook has no results there.
    DamagedError
        If the file is not what `save` wrote.
    ValueError
        If it has another `schema_version`, or if the results do not agree with `like`.
    """
    path = (folder or report_folder()) / "results" / f"{notebook}.json"
    if not path.is_file():
        raise FileNotFoundError(f"{notebook} has no results in {path.parent}: run it first (leptonfit run {notebook})")
    document = read(path)
    if (version := document["schema_version"]) != SCHEMA_VERSION:
        raise ValueError(f"{path} has schema_version = {version}: must be {SCHEMA_VERSION}; run {notebook} again")
    for name, value in document["parameters"].items():
        if like is not None and like.values.get(name, value) != value:
            raise ValueError(f"{notebook} was run with {name} = {value}, not {like.values[name]}")
    if like is not None and not _is_current(document):
        raise ValueError(f"{notebook} was run with another state of library or data")
    return _restore(document, path)


def read(path: Path) -> dict[str, Any]:
    """Read a file that `save` wrote, as plain JSON data. Files of another `schema_version` may have other keys.

    Raises
    ------
    DamagedError
        If it is not such a file, or its content is not that of its checksum.
    """
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise DamagedError(f"{path} is not what was written: {error}") from None
    version = document.get("schema_version") if isinstance(document, dict) else None
    if version is None or (version == SCHEMA_VERSION and set(document) != set(KEYS)):
        raise DamagedError(f"{path} is not what was written: its keys must be {', '.join(KEYS)}")
    if version == SCHEMA_VERSION and not _has_its_checksum(document):
        raise DamagedError(f"{path} is not what was written: its content differs from its checksum")
    return dict(document)


def content_checksum(document: Mapping[str, Any]) -> str:
    """SHA-256 digest of a document of `KEYS`, without the entry in its provenance that holds this digest."""
    origin = {name: value for name, value in document["provenance"].items() if name != "content_checksum"}
    return hashlib.sha256(json.dumps({**document, "provenance": origin}).encode()).hexdigest()


def _has_its_checksum(document: Mapping[str, Any]) -> bool:
    origin = document["provenance"]
    return isinstance(origin, dict) and origin.get("content_checksum") == content_checksum(document)


def _restore(document: dict[str, Any], path: Path) -> dict[str, Any]:
    """Copy of a document with its results as objects."""
    try:
        return {**document, "results": decode(document["results"])}
    except KeyError as error:
        raise DamagedError(f"{path} is not what was written: the field {error} is missing") from None
    except (TypeError, ValueError, AttributeError) as error:
        raise DamagedError(f"{path} is not what was written: {error}") from None


def find_results(notebook: str, folder: Path) -> list[Path]:
    """Files with a notebook's results in a report folder: its own, and those of its sweep.

    Raises
    ------
    DamagedError
        If the results of a value of the sweep are a link that leads out of the report folder.
    """
    swept = sorted(folder.glob(f"{SWEEP}/*/results/{notebook}.json"))
    for path in swept:
        if not path.resolve().is_relative_to(folder.resolve()):
            raise DamagedError(f"{path} is a link out of {folder}")
    return [folder / "results" / f"{notebook}.json", *swept]


def find_variants(notebook: str, parameter: str, folder: Path | None = None) -> dict[str, dict[str, Any]]:
    """Results of a notebook that differ in one parameter only: the report's own, and those of its sweep.

    Parameters
    ----------
    notebook, parameter : str
    folder : Path, optional
        As for `load`.

    Returns
    -------
    dict
        Documents by the parameter's value, the report's own first; those of another schema, library or data left out.
    """
    folder = folder or report_folder()
    own = load(notebook, folder)
    found = {str(own["parameters"][parameter]): own}
    for path in find_results(notebook, folder)[1:]:
        document = read(path)
        if document["schema_version"] != SCHEMA_VERSION:
            continue
        value = str(document["parameters"][parameter])
        same = {**document["parameters"], parameter: own["parameters"][parameter]} == own["parameters"]
        if same and _is_current(document) and value not in found:
            found[value] = _restore(document, path)
    return found


_NEW = ".new-"
"""First letters of the name of a file while it is written."""


def write_whole(path: Path, content: str | bytes) -> None:
    """Write a file so that it is there whole or not at all."""
    data = content.encode() if isinstance(content, str) else content
    try:
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=_NEW)
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(data)
            os.chmod(temporary, 0o644)
            os.replace(temporary, path)
        except BaseException:
            os.unlink(temporary)
            raise
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from None  # it names the temporary file, or none


def delete_unfinished(folder: Path) -> None:
    """Delete what `write_whole` has left in a folder when its process was killed; nothing else may write there now."""
    for path in folder.glob(f"{_NEW}*"):
        path.unlink()


def provenance(settings: Settings) -> dict[str, Any]:
    """Where a result comes from: commit, versions, data, seed, time, machine, cluster."""
    folder = data_folder()
    commit, dirty = _git("rev-parse", "HEAD"), _git("status", "--porcelain")
    return {
        "git_commit": commit,
        "git_dirty": None if dirty is None else bool(dirty),
        **origin(),
        "data_folder": None if folder == ROOT / "data" else str(folder),
        "seed": settings.values.get("seed"),
        "seconds": round(time.monotonic() - settings.started, 3),
        "finished": datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "memory": measure_memory(),
        "machine": machine(),
        "cluster": describe_cluster(),
    }


def origin() -> dict[str, Any]:
    """What every result depends on beside its parameters: library, versions and data in use."""
    package = Path(__file__).resolve().parents[1]
    sources = {name: digest for name, digest in compute_checksums(package).items() if "__pycache__" not in name}
    library = hashlib.sha256(json.dumps(sources, sort_keys=True).encode()).hexdigest()
    return {"versions": versions(), "library_checksum": library, "data_checksums": compute_checksums(data_folder())}


def _is_current(document: Mapping[str, Any]) -> bool:
    return {name: document["provenance"].get(name) for name in origin()} == origin()


def measure_memory() -> int:
    """Largest memory in bytes that this process, and the largest of the processes it has started, have taken."""
    import resource  # not on Windows

    unit = 1 if sys.platform == "darwin" else 1024
    children = unit * resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    status = Path("/proc/self/status")
    if status.is_file():  # what `getrusage` gives there includes the process that started this one
        lines = dict(line.split(":", 1) for line in status.read_text().splitlines() if ":" in line)
        return int(lines["VmHWM"].split()[0]) * 1024 + children
    return unit * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss + children


def machine() -> str:
    """The machine in use, in words."""
    return f"{platform.system()} {platform.machine()}, {os.cpu_count()} CPUs"


def kernels() -> str:
    """What decides the last digits of results here: kernels of linear algebra, and NumPy's instructions."""
    import scipy.linalg  # noqa: F401  # loads its library
    import threadpoolctl

    libraries = [found for found in threadpoolctl.threadpool_info() if found["user_api"] == "blas"]
    names = sorted({f"{found['internal_api']} {found.get('architecture', '')}".strip() for found in libraries})
    instructions = np.show_config("dicts")["SIMD Extensions"]
    used = [*instructions["baseline"], *instructions["found"]]
    level = next((one for one in reversed(used) if one.startswith("X86_V")), "".join(used[-1:]))
    return f"{' and '.join(names)} {level}".strip()


def write_checksums(folder: Path) -> None:
    """Write the list of checksums of a data folder."""
    lines = [f"{digest}  {name}\n" for name, digest in compute_checksums(folder).items()]
    write_whole(folder / SUMS, "".join(lines))


def _git(*arguments: str) -> str | None:
    """Output of git in the checkout; None where there is no git or ROOT itself is not the top of a repository."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    environment["GIT_CEILING_DIRECTORIES"] = str(ROOT.resolve().parent)
    command = ["git", "-C", str(ROOT.resolve()), *arguments]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    except (OSError, subprocess.CalledProcessError):
        return None
    return done.stdout.strip()
