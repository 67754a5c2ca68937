import fcntl
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # before NumPy is loaded: small matrices, busy machines

from leptonfit.workbook import parameters, store

ROOT = Path(__file__).resolve().parents[1]
FIRST = ["05_closures", "14_joint_fit", "08_reported", "04_identifiability", "12_recoil_spectra"]
"""Notebooks that take longest."""


@pytest.hookimpl(tryfirst=True)  # before xdist reads the groups
def pytest_collection_modifyitems(items):
    """Notebooks first and one by one; then files, each in one worker, the slow before the others; the manuscript last.

    What takes longest starts first, so that no worker is idle at the end.
    """
    slow = {item.path for item in items if item.get_closest_marker("slow")}

    def order(item):
        if {"executed", "notebook"} <= {*item.fixturenames}:
            notebook = item.callspec.params["notebook"]
            return FIRST.index(notebook) - len(FIRST) if notebook in FIRST else 0
        if "executed" in item.fixturenames:
            return 3
        return 1 if item.path in slow else 2

    items.sort(key=order)
    for item in items:
        if order(item) > 0 and not item.get_closest_marker("xdist_group"):
            item.add_marker(pytest.mark.xdist_group(item.nodeid.partition("::")[0]))


class Executed:
    """Notebooks executed by nbval at their defaults, each once for all tests of all workers; results in `folder`."""

    def __init__(self, folder):
        self.folder = folder

    def load(self, notebook):
        """What the notebook stored."""
        assert self.run(notebook) == "", f"{notebook} failed"
        return store.load(notebook, self.folder)

    def run(self, notebook):
        """Execute the notebook after those it needs, or wait until another worker has; return what nbval objects."""
        for needed in sorted(parameters.upstream(notebook)):
            self.run(needed)
        failure = self.folder / f"{notebook}.txt"
        with open(self.folder / f"{notebook}.lock", "w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not failure.is_file():
                options = ["--nbval-lax", "-q", "-p", "no:cacheprovider", "-o", "addopts=-p leptonfit.workbook"]
                done = subprocess.run(
                    [sys.executable, "-m", "pytest", *options, ROOT / "notebooks" / f"{notebook}.ipynb"],
                    cwd=ROOT,
                    env={**os.environ, store.REPORT_VARIABLE: str(self.folder)},
                    capture_output=True,
                    text=True,
                    check=False,
                )
                store.write_whole(failure, done.stdout + done.stderr if done.returncode else "")
        return failure.read_text()


@pytest.fixture(scope="session")
def executed(tmp_path_factory):
    """Every notebook executed once: see `Executed`."""
    folder = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        folder = folder.parent
    folder /= "executed"
    folder.mkdir(exist_ok=True)
    return Executed(folder)


@pytest.fixture(scope="session")
def root():
    """The checkout."""
    return ROOT


@pytest.fixture(scope="session")
def client():
    """Client of a Dask cluster of two worker processes."""
    distributed = pytest.importorskip("distributed")
    options = {"n_workers": 2, "threads_per_worker": 1, "processes": True, "dashboard_address": "127.0.0.1:0"}
    with distributed.LocalCluster(**options) as local, distributed.Client(local, set_as_default=False) as client:
        yield client


@pytest.fixture
def checkout(tmp_path):
    """A copy of notebooks and data, whose reports go nowhere near the real ones."""
    shutil.copytree(ROOT / "notebooks", tmp_path / "notebooks")
    shutil.copytree(ROOT / "data", tmp_path / "data")
    return tmp_path


@pytest.fixture
def edited(root, tmp_path):
    """A copy of the data folder in which a file of `neutrino/` is changed, its checksums written anew; calls add up."""

    def edit(name, old, new):
        folder = tmp_path / "data"
        if not folder.is_dir():
            shutil.copytree(root / "data", folder)
        path = folder / "neutrino" / name
        text = path.read_text()
        assert old in text
        path.write_text(text.replace(old, new, 1))
        store.write_checksums(folder)
        return folder

    return edit
