import os
import shutil
from pathlib import Path

import pytest

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # before NumPy is loaded: small matrices, busy machines

from leptonfit.workbook import store

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="session")
def root():
    """The checkout."""
    return ROOT


@pytest.fixture
def checkout(tmp_path):
    """A copy of notebooks and data, whose reports go nowhere near the real ones."""
    shutil.copytree(ROOT / "notebooks", tmp_path / "notebooks")
    shutil.copytree(ROOT / "data", tmp_path / "data")
    return tmp_path


@pytest.fixture
def edited(root, tmp_path):
    """A copy of the data folder in which a file of `neutrino/` has been changed, its checksums written anew."""

    def edit(name, old, new):
        folder = tmp_path / "data"
        shutil.copytree(root / "data", folder, dirs_exist_ok=True)
        path = folder / "neutrino" / name
        text = path.read_text()
        assert old in text
        path.write_text(text.replace(old, new, 1))
        store.write_checksums(folder)
        return folder

    return edit
