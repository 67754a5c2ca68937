import os
import subprocess
import sys

import pytest

from leptonfit.datafiles import DamagedError
from leptonfit.workbook import cli, page, run

LEPTONFIT = [sys.executable, "-c", "from leptonfit.workbook.cli import main; main()"]


def main(monkeypatch, capsys, *words):
    """Exit code of a command line, and what it says on stderr."""
    monkeypatch.setattr("sys.argv", ["leptonfit", *words])
    monkeypatch.setattr(cli, "_leave_at_once", sys.exit)
    with pytest.raises(SystemExit) as stopped:
        cli.main()
    return stopped.value.code, capsys.readouterr().err


def test_a_failed_notebook_is_exit_1_and_a_line_on_stderr(capsys, monkeypatch):
    line = "02_profile_scan: cell 3 failed: ValueError: no"
    monkeypatch.setattr(run, "execute", lambda request, say: [line])
    monkeypatch.setattr(page, "write_pdf", lambda folder: f"PDF of {folder.name}")
    monkeypatch.setattr("sys.argv", ["leptonfit", "run"])
    with pytest.raises(SystemExit) as stopped:
        cli.main()
    assert stopped.value.code == 1
    said = capsys.readouterr()
    assert (said.out, said.err) == ("PDF of latest\n", f"leptonfit: {line}\n")


def test_an_error_of_ours_is_not_taken_for_bad_input(monkeypatch):
    def broken(*_, **__):
        raise ValueError("a fault in the library")

    monkeypatch.setattr(run, "execute", broken)
    monkeypatch.setattr("sys.argv", ["leptonfit", "run"])
    with pytest.raises(ValueError, match="a fault in the library"):
        cli.main()


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (OSError(28, "No space left on device", "reports/a"), "reports/a: No space left on device"),
        (IsADirectoryError(21, "Is a directory", b"reports/b"), "reports/b: Is a directory"),
        (PermissionError(13, "Permission denied", "reports/c"), "reports/c: Permission denied"),
        (OSError("the disk\nis gone"), "the disk is gone"),
        (DamagedError("reports/d.json is not what was written"), "reports/d.json is not what was written"),
    ],
)
def test_what_cannot_be_read_or_written_is_one_line_and_exit_1(monkeypatch, capsys, error, said):
    def fail(*_):
        raise error

    monkeypatch.setattr(run, "execute", fail)
    assert main(monkeypatch, capsys, "run") == (1, f"leptonfit: {said}\n")


def test_no_control_character_reaches_the_terminal(monkeypatch, capsys):
    assert main(monkeypatch, capsys, "run", "\x1b[31m", "--tag", "\x9b")[1].startswith(
        r"leptonfit: notebook \x1b[31m: "
    )
    monkeypatch.setattr(run, "execute", lambda request, say: say("02: finished: \x1b]0;title\x07 \u202eabc β") or [])
    monkeypatch.setattr(page, "write_pdf", lambda folder: "")
    monkeypatch.setattr("sys.argv", ["leptonfit", "run"])
    with pytest.raises(SystemExit):
        cli.main()
    assert capsys.readouterr().out == "02: finished: \\x1b]0;title\\x07 \\u202eabc β\n\n"


def test_a_terminal_without_greek_letters_a_full_one_and_a_deleted_folder(tmp_path):
    latin = {**os.environ, "PYTHONIOENCODING": "latin-1"}
    done = subprocess.run([*LEPTONFIT, "list"], env=latin, capture_output=True, check=False)
    assert (done.returncode, done.stderr) == (0, b"")
    assert rb"\u03b2" in done.stdout

    if os.path.exists("/dev/full"):
        with open("/dev/full", "w") as full:
            done = subprocess.run([*LEPTONFIT, "list"], stdout=full, stderr=subprocess.PIPE, text=True, check=False)
        assert (done.returncode, done.stderr) == (1, "leptonfit: stdout: No space left on device\n")

    there = tmp_path / "there"
    there.mkdir()
    command = (
        f"import os, shutil, sys; shutil.rmtree({str(there)!r}); os.execv(sys.executable, {[*LEPTONFIT, 'list']!r})"
    )
    done = subprocess.run([sys.executable, "-c", command], cwd=there, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (
        2,
        "leptonfit: the working folder was deleted: change to one that exists\n",
    )
