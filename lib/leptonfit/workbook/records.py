"""Records of executions: digests of a notebook's input and outputs, by which a changed or damaged file is noticed."""

from __future__ import annotations

import glob
import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from leptonfit.workbook.store import write_whole


@dataclass(frozen=True)
class Record:
    """Record of an execution, compared with the files that are there now.

    Attributes
    ----------
    fingerprint : str or None
        Digest of everything that can change the outputs; None if the execution failed.
    changed : tuple of str
        Names of the files that are not as they were written; the record itself if it cannot be read.
    """

    fingerprint: str | None
    changed: tuple[str, ...]

    @property
    def is_finished(self) -> bool:
        """Whether the execution finished, and its outputs are as they were written."""
        return self.fingerprint is not None and not self.changed


def list_outputs(folder: Path, name: str) -> list[Path]:
    """Files that a notebook left in a report folder: its results, what it published, and its pages."""
    pattern = f"{glob.escape(name)}.*"
    return sorted([*folder.glob(pattern), *folder.glob(f"results/{pattern}")])


def record_path(folder: Path, name: str) -> Path:
    """Path of the record of a notebook; it does not exist while the notebook runs."""
    return folder / "results" / f".{name}.inputs"


def write_record(path: Path, fingerprint: str | None, files: Iterable[Path]) -> None:
    """Write the record of an execution and of the files that it wrote; the fingerprint is None if it failed."""
    write_whole(path, json.dumps([fingerprint, _digest(files)]))


def read_record(path: Path, files: Iterable[Path]) -> Record | None:
    """Compare a record with files; None if there is no record."""
    if not path.is_file():
        return None
    try:
        fingerprint, recorded = json.loads(path.read_bytes())
        names = recorded.keys()
    except (ValueError, TypeError, AttributeError, RecursionError):
        return Record(None, (path.name,))
    found = _digest(files)
    changed = sorted(name for name in names | found.keys() if recorded.get(name) != found.get(name))
    return Record(fingerprint, tuple(changed))


def read_notebook_record(folder: Path, name: str) -> Record | None:
    """Record of a notebook in a report folder, compared with its files; None if there is no record."""
    return read_record(record_path(folder, name), list_outputs(folder, name))


def list_unfinished(folder: Path, names: Iterable[str]) -> list[str]:
    """Sorted names of the notebooks that have no finished results, as they were written, in a report folder."""
    found = {name: read_notebook_record(folder, name) for name in names}
    return sorted(name for name, record in found.items() if record is None or not record.is_finished)


def _digest(files: Iterable[Path]) -> dict[str, str]:
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in files if path.is_file()}
