"""Read the data folder; every file is compared with SHA256SUMS and checked by its JSON Schema before it is used.

The schema of `data/X` is `schemas/X.json`, and that of a data set `schemas/neutrino/experiment` with its suffix. A
`description` in a schema states in words what is allowed, for the messages.
"""

from __future__ import annotations

import contextlib
import csv
import hashlib
import io
import json
import os
import re
import sys
import textwrap
import tomllib
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from jsonschema import ValidationError
    from jsonschema.protocols import Validator

SUMS = "SHA256SUMS"


def is_workbook(folder: Path) -> bool:
    """Whether a folder is a workbook: it has `notebooks` and `data/SHA256SUMS`."""
    return (folder / "notebooks").is_dir() and (folder / "data" / SUMS).is_file()


def find_root(start: Path) -> Path:
    """Folder of the workbook: the nearest one at or above `start`, else the checkout of the library, else `start`."""
    places = (start, *start.parents, Path(__file__).resolve().parents[2])
    return next(filter(is_workbook, places), start)


def _working_folder() -> Path:
    try:
        return Path.cwd()
    except FileNotFoundError:  # it was deleted; the command line refuses to work there
        return Path(os.environ.get("PWD", "/"))


ROOT = find_root(_working_folder())
"""Root folder of the workbook in use."""
_SCHEMAS = Path(__file__).parent / "schemas"
_COMMON = "common.json"
_TYPES = {
    "number": "a number",
    "integer": "a whole number",
    "string": "text",
    "boolean": "true or false",
    "array": "a list",
    "object": "a table",
}


class InputError(ValueError):
    """Invalid input, reported in one line that names the input, its value and what is allowed."""


class DamagedError(ValueError):
    """A stored file is not what was written; the message is one line with its path."""


def describe_fault(error: OSError | DamagedError) -> str:
    """Describe in one line what could not be read or written, and why."""
    if not isinstance(error, OSError) or error.strerror is None:
        return str(error)
    return error.strerror if error.filename is None else f"{os.fsdecode(error.filename)}: {error.strerror}"


def check_working_folder() -> None:
    """Check that the working folder exists; raises InputError if it was deleted."""
    try:
        os.getcwd()
    except FileNotFoundError:
        raise InputError("the working folder was deleted: change to one that exists") from None


def data_folder() -> Path:
    """Data folder in use: the environment variable LEPTONFIT_DATA if set, else `data` in the workbook."""
    return Path(os.environ.get("LEPTONFIT_DATA") or ROOT / "data")


def read_checksums(folder: Path) -> dict[str, str]:
    """File names and SHA-256 digests listed in SHA256SUMS of a folder.

    Raises
    ------
    InputError
        If the list is missing, a line is not a digest and a file name, or a file is named twice or lies outside.
    """
    if not (folder / SUMS).is_file():
        raise InputError(f"data = {folder}: must be a folder with a {SUMS} file (leptonfit check --write makes one)")
    lines = (folder / SUMS).read_text(encoding="utf-8", errors="replace").splitlines()
    listed: dict[str, str] = {}
    for number, line in enumerate(lines, start=1):
        digest, _, name = line.partition("  ")
        if not re.fullmatch("[0-9a-f]{64}", digest) or not name:
            raise InputError(
                f"{folder / SUMS}: line {number} must be a SHA-256 digest and a file name, with two spaces between"
            )
        if name in listed:
            raise InputError(f"{folder / SUMS}: line {number} names {name} again: must name each file once")
        if Path(name).is_absolute() or ".." in Path(name).parts:
            raise InputError(f"{folder / SUMS}: line {number} names {name}: must name a file in this folder")
        listed[name] = digest
    return listed


def _check_inside(folder: Path, name: str) -> None:
    """Refuse a data file that is a link out of its folder."""
    if not (folder / name).resolve().is_relative_to(folder.resolve()):
        raise InputError(f"data file {name}: must lie in {folder}, and is a link out of it")


def check_folder(folder: Path) -> None:
    """Check that a folder contains exactly the listed files, with the listed checksums, each as its schema says.

    Raises
    ------
    InputError
        For the first file that is missing, unlisted, changed or not valid.
    """
    for name in list_files(folder):
        for fault in find_faults(name, data=folder):
            raise InputError(fault)


def list_files(folder: Path) -> list[str]:
    """Names of the files in a folder and of those that its SHA256SUMS lists, sorted."""
    return sorted(read_checksums(folder).keys() | compute_checksums(folder).keys())


def find_faults(name: str, *, data: Path) -> list[str]:
    """Faults of one data file, each in a line: it is not as listed, cannot be read, or entries are not allowed."""
    try:
        file = read_checked(name, data=data)
        parse = _PARSERS.get(Path(name).suffix)
        if parse is None or not _find_schema(name).is_file() or (name, hashlib.sha256(file).digest()) in _VALID:
            return []
        return list(_compare_schema(name, _parse(name, file, parse)))
    except InputError as error:
        return [str(error)]


def read_checked(name: str, *, data: Path | None = None) -> bytes:
    """Read the bytes of a data file after checking its checksum.

    Raises
    ------
    InputError
        If the file is missing, unlisted, or its checksum differs from the listed one.
    """
    folder = data or data_folder()
    listed = read_checksums(folder).get(name)
    if listed is None or not (folder / name).is_file():
        raise InputError(f"data file {name}: must be in {folder} and listed in its {SUMS}")
    _check_inside(folder, name)
    content = (folder / name).read_bytes()
    digest = hashlib.sha256(content).hexdigest()
    if digest != listed:
        raise InputError(f"data file {name}: its SHA-256 is {digest[:12]}…, {SUMS} allows only {listed[:12]}…")
    return content


def read_toml(name: str, *, data: Path | None = None) -> dict[str, Any]:
    """Tables of a TOML file.

    Raises
    ------
    InputError
        If the file is not what SHA256SUMS says, not TOML, or against its schema; the message names file and entry.
    """
    tables: dict[str, Any] = _read(name, data)
    return tables


def read_json(name: str, *, data: Path | None = None) -> Any:
    """Content of a JSON file; raises as `read_toml`, and if a table has the same key twice."""
    return _read(name, data)


def read_csv(name: str, *, data: Path | None = None) -> dict[str, list[Any]]:
    """Columns of a CSV file, of numbers and texts; raises as `read_toml`, and if a row is not as long as the head."""
    columns: dict[str, list[Any]] = _read(name, data)
    return columns


def _read(name: str, data: Path | None) -> Any:
    file = read_checked(name, data=data)
    content = _parse(name, file, _PARSERS[Path(name).suffix])
    _check_once(name, file, content)
    return content


def _parse(name: str, file: bytes, parse: Callable[[str], Any]) -> Any:
    """Content of a file of text, as `parse` reads it."""
    try:
        return parse(file.decode())
    except InputError as error:
        raise InputError(f"data file {name}: {error}") from None
    except (ValueError, csv.Error, RecursionError) as error:
        kind = Path(name).suffix[1:].upper() + " with a head" * name.endswith(".csv")
        raise InputError(f"data file {name}: must be {kind}: {' '.join(str(error).split())}") from None


def _parse_json(text: str) -> Any:
    def refuse_twice(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        keys = [key for key, _ in pairs]
        for key in keys:
            if keys.count(key) > 1:
                raise InputError(f"{key} is given twice")
        return dict(pairs)

    return json.loads(text, object_pairs_hook=refuse_twice)


def _parse_csv(text: str) -> dict[str, list[Any]]:
    head, *rows = csv.reader(io.StringIO(text, newline=""), strict=True)
    if len(set(head)) < len(head):
        raise InputError(f"columns = {', '.join(head)}: must have different names")
    for i, row in enumerate(rows, start=1):
        if len(row) != len(head):
            raise InputError(f"row {i} has {len(row)} entries: must have {len(head)}, as the head")
        if row in rows[: i - 1]:
            raise InputError(f"row {i} is the same as row {rows.index(row) + 1}: rows must differ")
    if not text.endswith("\n"):
        raise InputError(f"row {len(rows)} = {rows[-1] if rows else head}: must end with a new line; the file is cut")
    return {column: [_read_entry(row[k]) for row in rows] for k, column in enumerate(head)}


def _read_entry(text: str) -> Any:
    """Return the number that a text says, else the text."""
    if "_" not in text and text.isascii():  # Python reads 1_0 as 10, and digits of other scripts
        for kind in (int, float):
            with contextlib.suppress(ValueError):
                return kind(text)
    return text


_PARSERS: dict[str, Callable[[str], Any]] = {".toml": tomllib.loads, ".csv": _parse_csv, ".json": _parse_json}


_VALID: set[tuple[str, bytes]] = set()
"""Name and SHA-256 digest of the data files whose content was checked by the schema in this process."""


def _check_once(name: str, file: bytes, content: Any) -> None:
    """Check the content of a data file against its schema, unless the same bytes were checked before.

    The check of a file takes longer than reading the file, and several functions read the same files.
    """
    key = name, hashlib.sha256(file).digest()
    if key not in _VALID:
        check_schema(name, content)
        _VALID.add(key)


def check_schema(name: str, content: Any) -> None:
    """Check the content of a data file against its schema.

    Raises
    ------
    InputError
        For the first entry that is missing, unknown or not allowed.
    """
    for fault in _compare_schema(name, content):
        raise InputError(fault)


def _compare_schema(name: str, content: Any) -> Iterator[str]:
    """Line for each entry of a data file that its schema does not allow."""
    for error in _validator(_find_schema(name)).iter_errors(content):
        yield f"data file {name}: {_describe(error, is_table=name.endswith('.csv'))}"


def _find_schema(name: str) -> Path:
    own, path = _SCHEMAS / f"{name}.json", Path(name)
    return own if own.is_file() else _SCHEMAS / path.parent / f"experiment{path.suffix}.json"


@cache
def _validator(path: Path) -> Validator:
    from jsonschema import Draft202012Validator  # here, because it takes a second to import
    from jsonschema.validators import extend
    from referencing import Registry, Resource

    def is_number(_: object, value: object) -> bool:
        return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= sys.float_info.max

    def is_whole(_: object, value: object) -> bool:
        return isinstance(value, int) and not isinstance(value, bool)

    common = Resource.from_contents(json.loads((_SCHEMAS / _COMMON).read_text(encoding="utf-8")))
    checker = Draft202012Validator.TYPE_CHECKER.redefine_many({"number": is_number, "integer": is_whole})
    strict = extend(Draft202012Validator, type_checker=checker)
    return strict(
        json.loads(path.read_text(encoding="utf-8")), registry=Registry().with_resource(_COMMON, common).crawl()
    )


def _describe(error: ValidationError, *, is_table: bool) -> str:
    """One line on an entry: its name, its value and what is allowed; control characters are shown as �."""
    line = _describe_entry(error, is_table=is_table)
    return "".join(one if one.isprintable() else "�" for one in line)


def _describe_entry(error: ValidationError, *, is_table: bool) -> str:
    keys = [key for key in error.absolute_path if key != "value"]
    if is_table:
        place = " in row ".join(str(key if isinstance(key, str) else key + 1) for key in keys)
    else:
        place = "".join(f".{key}" if isinstance(key, str) else f"[{key}]" for key in keys).removeprefix(".")
    before = "column " if is_table else f"{place}." if place else ""
    allowed = error.validator_value
    if error.validator == "required":
        return f"{before}{next(key for key in allowed if key not in error.instance)} is missing"
    if error.validator == "additionalProperties":
        known = error.schema["properties"]
        return f"{before}{next(key for key in error.instance if key not in known)}: must be one of {', '.join(known)}"
    if error.validator == "oneOf":
        return f"{place}: must have exactly one of {', '.join(' and '.join(one['required']) for one in allowed)}"
    if "description" in error.schema:
        said = error.schema["description"]
    elif error.validator == "enum":
        said = f"one of {', '.join(map(str, allowed))}"
    else:
        said = _TYPES[allowed] if error.validator == "type" else _show(allowed)
    return f"{place} = {_show(error.instance)}: must be {said}"


def _show(value: object) -> str:
    text = "a table" if isinstance(value, dict) else str(value).lower() if isinstance(value, bool) else str(value)
    return textwrap.shorten(text, 80, placeholder=" …") or "nothing"


def compute_checksums(folder: Path) -> dict[str, str]:
    """SHA-256 digests of the files in a folder, sorted by name, without hidden files and the list of checksums."""
    files = sorted(p for p in folder.rglob("*") if p.is_file() and p.name != SUMS and not p.name.startswith("."))
    for path in files:
        _check_inside(folder, path.relative_to(folder).as_posix())
    return {p.relative_to(folder).as_posix(): hashlib.sha256(p.read_bytes()).hexdigest() for p in files}
