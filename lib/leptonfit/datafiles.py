"""Read the data folder; every file is compared with SHA256SUMS before it is used."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
"""Root folder of the checkout."""
SUMS = "SHA256SUMS"


class InputError(ValueError):
    """Invalid input, reported in one line that names the input, its value and what is allowed."""


def data_folder() -> Path:
    """Data folder in use: the environment variable LEPTONFIT_DATA if set, else `data` in the checkout."""
    return Path(os.environ.get("LEPTONFIT_DATA") or ROOT / "data")


def read_checksums(folder: Path) -> dict[str, str]:
    """File names and SHA-256 digests listed in SHA256SUMS of a folder.

    Raises
    ------
    InputError
        If the list is missing, or a line is not a digest and a file name.
    """
    if not (folder / SUMS).is_file():
        raise InputError(f"data = {folder}: must be a folder with a {SUMS} file (leptonfit check --write makes one)")
    lines = (folder / SUMS).read_text(encoding="utf-8", errors="replace").splitlines()
    entries = [line.split(maxsplit=1) for line in lines]
    for number, entry in enumerate(entries, start=1):
        if len(entry) != 2 or len(entry[0]) != 64:
            raise InputError(f"{folder / SUMS}: line {number} must be a SHA-256 digest and a file name")
    return {name: digest for digest, name in entries}


def check_folder(folder: Path) -> None:
    """Check that a folder contains exactly the listed files, with the listed checksums.

    Raises
    ------
    InputError
        For the first file that is missing, unlisted or changed.
    """
    for name in sorted(read_checksums(folder).keys() | compute_checksums(folder).keys()):
        read_checked(name, data=folder)


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
    content = (folder / name).read_bytes()
    digest = hashlib.sha256(content).hexdigest()
    if digest != listed:
        raise InputError(f"data file {name}: its SHA-256 is {digest[:12]}…, {SUMS} allows only {listed[:12]}…")
    return content


def compute_checksums(folder: Path) -> dict[str, str]:
    """SHA-256 digests of the files in a folder, sorted by name, without hidden files and the list of checksums."""
    files = sorted(p for p in folder.rglob("*") if p.is_file() and p.name != SUMS and not p.name.startswith("."))
    return {p.relative_to(folder).as_posix(): hashlib.sha256(p.read_bytes()).hexdigest() for p in files}
