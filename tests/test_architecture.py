"""Imports run one way, and nothing in the tree points outside it."""

import ast
import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
MAY_IMPORT = {
    "inference": {"inference"},
    "vortex": {"vortex", "inference", "datafiles"},
    "neutrino": {"neutrino", "inference", "datafiles"},
    "claims": {"claims", "vortex", "neutrino", "inference", "datafiles"},
    "workbook": {"workbook", "claims", "vortex", "neutrino", "inference", "datafiles"},
    "datafiles": set(),
    "__init__": set(),
}


@pytest.mark.parametrize("path", sorted((ROOT / "lib/leptonfit").rglob("*.py")), ids=lambda p: p.stem)
def test_imports_run_one_way(path):
    room = path.relative_to(ROOT / "lib/leptonfit").parts[0].removesuffix(".py")
    imported = set()
    for node in ast.walk(ast.parse(path.read_text())):
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        imported |= {name.split(".")[1] for name in names if name.startswith("leptonfit.")}
    assert imported <= MAY_IMPORT[room]


def tracked_files():
    listed = subprocess.run(["git", "-C", str(ROOT), "ls-files", "-z"], capture_output=True, text=True, check=False)
    if listed.returncode:
        pytest.skip("not a git checkout: which files are the project's is not known")
    return [ROOT / name for name in listed.stdout.split("\0") if name and (ROOT / name).is_file()]


def test_no_tracked_file_holds_an_absolute_path_or_a_registry_address():
    found = []
    for path in tracked_files():
        content = path.read_bytes()
        if b"\0" in content or path == Path(__file__):
            continue
        text = content.decode()
        found += [
            f"{path.name}: {m}" for m in re.findall(r"(?:/home|/root|/Users|/work)/\w+|(?<!emit-)index-url", text)
        ]
    assert found == []


def test_no_tracked_file_is_larger_than_a_megabyte():
    assert [path.name for path in tracked_files() if path.stat().st_size > 1_000_000] == []
