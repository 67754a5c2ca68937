"""Values of finished tasks on disk, so that work that was cut off goes on where it was."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import hashlib
import importlib.metadata
import os
import pickle
import platform
import re
import shutil
import sys
import sysconfig
import time
import types
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from leptonfit.inference.cluster import write_description
from leptonfit.inference.parallel import FINISHED

PAUSE = 1.0
"""Seconds between two files of finished tasks: what a cut may lose. Shorter work leaves no file."""


@contextlib.contextmanager
def keep_finished(folder: str | Path) -> Iterator[None]:
    """Keep the values of finished tasks of `map_ordered` in a folder, which is deleted when the work has ended well.

    After a cut, an interrupt or an error, the same work in the same folder computes only the tasks that are missing.
    The values belong to the function, all tasks, the sources and versions of leptonfit, of its packages and of the
    user's own modules; where one of these differs, the work begins again. Data files that a task reads by itself are
    not compared: use another folder for other files.

    Parameters
    ----------
    folder : str or Path
        Made when it is needed.
    """
    digest_modules()
    before = os.environ.get(FINISHED)
    os.environ[FINISHED] = str(Path(folder).resolve())
    try:
        yield
        if Path(folder).is_dir():
            shutil.rmtree(folder)
    finally:
        os.environ.pop(FINISHED)
        if before is not None:
            os.environ[FINISHED] = before


def find_kept(function: Callable[[Any], Any], tasks: list[Any]) -> Kept | None:
    """Finished tasks of one call of `map_ordered`, in the folder in use.

    None if the tasks cannot be pickled, or a module of the user has changed since it was imported.

    Raises
    ------
    ValueError
        If a file in the folder is not what was written.
    """
    try:
        return Kept(Path(os.environ[FINISHED]) / _digest((function, tasks)))
    except (pickle.PicklingError, TypeError, AttributeError):  # for example of a lock
        return None


class Kept:
    """Finished tasks of one call of `map_ordered`, in a folder. As a context it writes the last of them.

    Attributes
    ----------
    values : dict
        Values of the finished tasks that were found, by position.
    """

    def __init__(self, folder: Path) -> None:
        self.values: dict[int, Any] = {}
        self._new: dict[int, Any] = {}
        self._folder = folder
        self._began = self._written = time.monotonic()
        for path in sorted(folder.glob("*.pickle")):
            try:
                self.values |= pickle.loads(path.read_bytes())
            except Exception as error:  # whatever pickle makes of other bytes
                raise ValueError(f"{path} is not what was written: {error}; delete it") from None

    def __enter__(self) -> Kept:
        return self

    def __exit__(self, *error: object) -> None:
        if time.monotonic() - self._began > PAUSE:
            self._write()

    def add(self, values: Mapping[int, Any]) -> None:
        """Keep values of tasks by position."""
        self._new.update(values)
        if time.monotonic() - self._written > PAUSE:
            self._write()

    def _write(self) -> None:
        if self._new:
            import cloudpickle

            self._folder.mkdir(parents=True, exist_ok=True)
            path = self._folder / f"{min(self._new)}.pickle"
            part = path.with_suffix(f".{os.getpid()}")
            part.write_bytes(cloudpickle.dumps(self._new))
            os.replace(part, path)  # the file is there whole or not at all
        self._new, self._written = {}, time.monotonic()


def _digest(what: object) -> str:
    """Digest of an object, and of the sources and versions in use."""
    import cloudpickle

    class Pickler(cloudpickle.Pickler):
        """Pickler whose bytes are the same in every process and do not depend on what was computed before."""

        def reducer_override(self, obj: Any) -> Any:
            if isinstance(obj, types.CodeType):  # without its file and lines, which change with each kernel
                return tuple, ((obj.co_code, obj.co_consts, obj.co_names, obj.co_varnames, obj.co_freevars),)
            if dataclasses.is_dataclass(obj) and not isinstance(obj, type):  # without its cached properties
                return type(obj), tuple(getattr(obj, field.name) for field in dataclasses.fields(obj))
            return super().reducer_override(obj)

    class Hash:
        def __init__(self) -> None:
            self.hash = hashlib.sha256()

        def write(self, content: Any) -> None:
            self.hash.update(content)

    modules = digest_modules()
    if changed := [name for name, digest in modules.items() if _SEEN[name] != digest]:
        raise pickle.PicklingError(f"{changed[0]} may not be what its file says")
    found = Hash()
    Pickler(found).dump((what, _describe_here(), modules))
    return found.hash.hexdigest()[:16]


@functools.cache
def _describe_here() -> dict[str, str]:
    return {**versions(), **write_description()()}


def versions() -> dict[str, str]:
    """Versions of Python, leptonfit and the packages it is built on."""
    required = importlib.metadata.requires("leptonfit") or []
    names = [re.split(r"[<>=!~;\[ ]", line)[0] for line in required if "extra ==" not in line]
    packages = {name: importlib.metadata.version(name) for name in ["leptonfit", *names]}
    return {"python": platform.python_version(), **packages}


def digest_modules() -> dict[str, str]:
    """Digests of the files of the user's modules, by name; call it early, since a file may change after its import."""
    installed = tuple(sysconfig.get_paths()[name] for name in ("stdlib", "platstdlib", "purelib", "platlib"))
    digests = {}
    for name, module in sorted(sys.modules.items()):
        file = getattr(module, "__file__", None) or ""
        is_own = file.endswith(".py") and not file.startswith(installed)
        if is_own and name.partition(".")[0] not in ("__main__", "leptonfit") and Path(file).is_file():
            digests[name] = hashlib.sha256(Path(file).read_bytes()).hexdigest()
            _SEEN.setdefault(name, digests[name])
    return digests


_SEEN: dict[str, str] = {}
"""Digests of the user's modules when this process first looked at them, by name."""
