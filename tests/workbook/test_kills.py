"""Commands that are killed at a random moment: what is on disk is whole, and the same command then finishes.

`make test` kills a few times; `make test-slow` kills fifty times and prints each moment and what was found after it.
"""

import contextlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import nbformat
import psutil
import pytest
from tests.workbook.test_run import write

from leptonfit.datafiles import DamagedError
from leptonfit.workbook import execution, records, store

RUN, SWEEP, FIGURES = ("run",), ("sweep", "makes", "-p", "seed=1,2"), ("figures",)
SIGNALS = (signal.SIGKILL, signal.SIGTERM, signal.SIGINT)
INTERRUPTED = (130, "\nleptonfit: interrupted\n")
HEED = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)"  # a shell may have it ignored
PROGRAM = f"{HEED}; from leptonfit.workbook.cli import main; print('begun', flush=True); main()"
MAKES = """value = 7
from leptonfit.workbook import publish
import matplotlib.pyplot as plt
import pandas as pd

drawn, ax = plt.subplots(figsize=(1, 1))
ax.set_xlabel("x")
publish.figure(settings, "fig_made", drawn, value=value)
publish.table(settings, "made", pd.DataFrame({"value": [value]}))
publish.numbers(settings, madeValue=value)"""


class Workplace:
    """A workbook of three small notebooks with a report, in which commands are killed; 20 of them is up to date."""

    def __init__(self, root, folder):
        self.folder, self.place, self.temporary = folder, folder / "workbook", folder / "tmp"
        known = {name: value for name, value in os.environ.items() if not name.startswith(("JUPYTER", "XDG"))}
        library = str(Path(store.__file__).parents[2])
        self.environment = {**known, "HOME": str(folder / "home"), "TMPDIR": str(self.temporary)}
        self.environment |= {"PYTHONPATH": library, "KILLED": str(folder)}
        for made in (self.place / "notebooks", self.place / "figures", folder / "home", self.temporary):
            made.mkdir(parents=True)
        shutil.copytree(root / "data", self.place / "data")
        (self.place / "figures" / "fig_made.pdf").write_text("of an earlier day")
        write(self.place, "20_alone", "value = 10 * settings.seed")
        write(self.place, "21_needs", 'needs = ("22_makes",)\nvalue = store.load("22_makes")["results"]["value"] + 1')
        write(self.place, "22_makes", "value = 6")
        assert self.execute(RUN) == (0, "")
        write(self.place, "22_makes", MAKES)
        shutil.copytree(self.place, folder / "before")
        self.before = read_files(self.place)

    def restore(self):
        """Take back everything that a command has done in the workbook."""
        shutil.rmtree(self.place)
        shutil.copytree(self.folder / "before", self.place)

    def execute(self, command, kill=None):
        """Execute a command to its end, or send a signal after a time; return the exit code and standard error."""
        program = [sys.executable, "-c", PROGRAM, *command]
        options = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, "start_new_session": True}
        with subprocess.Popen(program, cwd=self.place, env=self.environment, **options) as started:
            assert started.stdout.readline() == "begun\n"
            if kill:
                sent, seconds = kill
                with contextlib.suppress(subprocess.TimeoutExpired):
                    started.wait(seconds)
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(started.pid, sent)
            _, errors = started.communicate()
        return started.returncode, errors

    def list_faults(self, after):
        """A line for each file that is not whole, or is neither as it was nor as it is after the whole command."""
        faults, found = [], read_files(self.place)
        shown, old, new = (describe(files) for files in (found, self.before, after))
        faults += [
            f"{name} is neither old nor new" for name in shown if shown[name] not in (old.get(name), new.get(name))
        ]
        for name, content in self.before.items():
            is_kept = name.startswith("reports/latest/") and "20_alone" in name
            if (is_kept or is_outside(name)) and found.get(name) != content:
                faults.append(f"{name} has changed")
        faults += [f"{name} is new" for name in found.keys() - self.before.keys() if is_outside(name)]
        for name in found:
            path = self.place / name
            try:
                if path.suffix == ".html":
                    assert found[name].rstrip().endswith(b"</html>")
                elif path.suffix == ".ipynb" and not path.name.startswith("."):
                    nbformat.read(path, as_version=4)
                elif path.suffix == ".json" and path.stem.count(".") == 0 and path.parent.name == "results":
                    store.read(path)
                elif path.suffix == ".inputs" and path.parent.name == "results":
                    folder, notebook = path.parents[1], path.stem.removeprefix(".")
                    assert not records.list_unfinished(folder, [notebook])
            except (AssertionError, ValueError, DamagedError) as error:
                faults.append(f"{name} is not whole: {error}")
        return faults

    def list_left(self):
        """What a command that has ended may not leave: processes, temporary files and half-written files."""
        alive = psutil.wait_procs(self.list_processes(), timeout=60)[1]
        left = [f"process {process.pid}" for process in alive]
        left += [f"$TMPDIR/{path.name}" for path in self.temporary.iterdir()]
        left += [f"~/{path.name}" for path in (self.folder / "home").rglob("runtime/*")]
        for name in read_files(self.place):
            is_partial = Path(name).name.startswith(".") and name.endswith(".ipynb")
            if is_partial or any(part in name for part in (".new-", ".printing", ".unfinished")):
                left.append(name)
        return left

    def list_processes(self):
        """Processes that commands have started, directly or not."""
        found = []
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error):
                if process.environ().get("KILLED") == str(self.folder):
                    found.append(process)
        return found


def read_files(folder):
    names = [path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()]
    return {name: (folder / name).read_bytes() for name in sorted(names)}


def is_outside(name):
    return not name.startswith(("reports/", "figures/", ".unfinished/"))


def describe(files):
    """What files show, by name: results without where and when they were made, and all that was published."""
    shown = {}
    for name, content in files.items():
        path = Path(name)
        if path.name.startswith("."):
            continue
        if path.parent.name == "results" and path.suffix == ".json" and path.stem.count(".") == 0:
            with contextlib.suppress(ValueError):  # `list_faults` names it
                content = {key: value for key, value in json.loads(content).items() if key != "provenance"}
        if path.parent.name == "results" or path.parts[0] == "figures" or path.suffix in (".csv", ".png"):
            shown[name] = content
    return shown


def attack(workplace, commands, n, seed):
    """Kill commands n times; fail with a line for each thing that was not as it must be."""
    draw, seconds, after, fell = random.Random(seed), {}, {}, []
    for command in {*commands}:
        workplace.restore()
        began = time.monotonic()
        assert workplace.execute(command) == (0, "")
        seconds[command], after[command] = time.monotonic() - began, read_files(workplace.place)
        assert workplace.list_faults(after[command]) == workplace.list_left() == []
    print(f"seed {seed}; " + ", ".join(f"{name[0]} takes {time:.1f} s" for name, time in seconds.items()))
    counts = Counter()
    for k in range(n):
        command, sent, share = commands[k % len(commands)], SIGNALS[k % len(SIGNALS)], draw.random()
        workplace.restore()
        ended = workplace.execute(command, (sent, share * seconds[command]))
        expected = (-signal.SIGKILL, "") if sent == signal.SIGKILL else INTERRUPTED
        faults = [] if ended in (expected, (0, "")) else [f"exit {ended[0]}, {ended[1]!r}"]
        faults += workplace.list_faults(after[command])
        n_results = len([*workplace.place.rglob("reports/**/results/.*.inputs")])
        ended = workplace.execute(command)
        if ended != (0, ""):
            faults.append(f"again: exit {ended[0]}, {ended[1]!r}")
        if describe(read_files(workplace.place)) != describe(after[command]):
            faults.append("again: other results")
        faults += [f"again: {fault}" for fault in (*workplace.list_faults(after[command]), *workplace.list_left())]
        counts[f"{command[0]} {sent.name}"] += 1
        shown = f"{command[0]}, {sent.name} at {share:.3f}, with {n_results} results"
        print(f"{shown}: {'; '.join(faults) or 'held'}", flush=True)
        fell += [f"{shown}: {fault}" for fault in faults]
    print(f"{n} kills, {len(fell)} faults: {dict(counts)}")
    assert not fell, "\n".join(fell)


@pytest.mark.slow
def test_some_kills(root, tmp_path):
    attack(Workplace(root, tmp_path), [("run", "makes")], 6, seed=1)


@pytest.mark.slow
@pytest.mark.fuzz
def test_many_kills(root, tmp_path):
    attack(Workplace(root, tmp_path), [RUN, FIGURES, SWEEP, RUN, FIGURES, RUN, FIGURES], 50, seed=2)


def test_folders_and_files_of_killed_processes_are_deleted_and_no_others(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    leave = "import os, signal; from leptonfit.workbook.execution import temporary_folder as make\n"
    leave += "with make() as folder: (folder / 'file').touch(); os.kill(os.getpid(), signal.SIGKILL)"
    (tmp_path / "leptonfit-of-another-program").mkdir()
    with execution.temporary_folder() as first:
        environment = {**os.environ, "TMPDIR": str(tmp_path), "PYTHONPATH": str(Path(store.__file__).parents[2])}
        assert subprocess.run([sys.executable, "-c", leave], env=environment, check=False).returncode == -9
        assert len([*tmp_path.iterdir()]) == 3
        with execution.temporary_folder() as second:
            assert {*tmp_path.iterdir()} == {first, second, tmp_path / "leptonfit-of-another-program"}
    assert [path.name for path in tmp_path.iterdir()] == ["leptonfit-of-another-program"]
