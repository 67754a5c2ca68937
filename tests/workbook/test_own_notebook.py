"""A notebook of one's own, written by a command: what it holds, what is refused, and a workbook from the wheel."""

import os
import shutil
import subprocess
import sys
import zipfile

import nbformat
import numpy as np
import pytest

from leptonfit.datafiles import InputError, check_folder, find_root
from leptonfit.inference.problem import Parameter
from leptonfit.workbook import cli, own_notebook, pairs, run, store
from leptonfit.workbook.declarations import read_notebook
from leptonfit.workbook.own_fit import read_source

MODEL = """import numpy as np
import pandas as pd

RATE = 1.0


def decay(t, a, b, c):
    return a * np.exp(-RATE * b * t) + c


if __name__ == "__main__":
    raise SystemExit("a script")
"""
BOUNDS = "a=0:20,b=0:5,c=0.2"


@pytest.fixture
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("files")
    t = np.linspace(0, 6, 12)
    y = 5 * np.exp(-0.8 * t) + 0.2 + 0.1 * np.array([0.4, -1.1, 0.9, 0.2, -0.6, 1.2, -0.1, 0.3, -0.8, 0.5, -0.4, 0.7])
    rows = [f"{one:.4f},{value:.5f},0.1" for one, value in zip(t, y, strict=True)]
    (folder / "decay.csv").write_text("\n".join(["t,y,sigma", *rows, ""]))
    (folder / "decay.py").write_text(MODEL)
    return folder


@pytest.fixture
def unexecuted(monkeypatch):
    """Notebooks are written and not executed."""
    monkeypatch.setattr(pairs, "write_pairs", lambda say, names, root: [])


def read(files, bounds=BOUNDS, **columns):
    return read_source(files / "decay.csv", str(files / "decay.py:decay"), bounds, **columns)


def snapshot(folder):
    return {path: path.read_bytes() if path.is_file() else b"" for path in sorted(folder.rglob("*"))}


@pytest.mark.slow
def test_the_notebook_is_listed_paired_executed_run_and_on_the_page(checkout, files, monkeypatch):
    monkeypatch.setenv(store.REPORT_VARIABLE, "")  # it is set while pairs are written
    said = []
    own_notebook.write_notebook("my_decay", read(files), said.append, checkout)
    assert said[1:] == [
        "written: notebooks/25_my_decay.py",
        "written: notebooks/25_my_decay.ipynb",
        "written: data/own/my_decay.csv",
    ]
    assert pairs.compare_pairs(checkout) == []
    code = [cell for cell in nbformat.read(checkout / "notebooks/25_my_decay.ipynb", 4).cells if "outputs" in cell]
    assert [cell.execution_count for cell in code] == list(range(1, len(code) + 1))
    assert [cell.metadata.get("tags") for cell in code].count(["key-figure"]) == 1
    (checked,) = (cell for cell in code if "NBVAL_CHECK_OUTPUT" in cell.source)
    assert checked.outputs[0].text == "{'a': 'identified', 'b': 'identified'}\n"
    assert "25_my_decay" in list(cli.describe_notebooks(checkout))
    assert run.execute(run.check_request(["my_decay"], ["level=0.9"], root=checkout)) == []
    stored = store.load("25_my_decay", checkout / "reports/latest")
    assert stored["verdict_code"] == "identified"
    assert stored["verdict"].startswith("Sets at 90 %: a in [")
    low, high = stored["results"]["answer"].verdicts["b"].interval
    assert low < 0.8 < high
    page = (checkout / "reports/latest/index.html").read_text()
    for shown in ("Your own fits", "Do the data of my_decay determine a and b?", "Verdict on every parameter"):
        assert shown in page
    assert (checkout / "reports/latest/results/25_my_decay.my_decay.pdf").is_file()


@pytest.mark.slow
def test_the_wheel_makes_a_workbook_of_its_own_that_its_commands_work_on(root, files, tmp_path):
    built = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", tmp_path]
    subprocess.run(built, cwd=root, check=True, capture_output=True)
    with zipfile.ZipFile(next(tmp_path.glob("*.whl"))) as wheel:
        wheel.extractall(tmp_path / "site")
    (tmp_path / "mine").mkdir()
    (tmp_path / "bin").mkdir()
    command = tmp_path / "bin" / "leptonfit"
    command.write_text(f"#!{sys.executable}\nfrom leptonfit.workbook.cli import main\nmain()\n")
    command.chmod(0o755)
    environment = {k: v for k, v in os.environ.items() if k not in (store.REPORT_VARIABLE, "LEPTONFIT_DATA")}
    environment |= {"PYTHONPATH": str(tmp_path / "site"), "PATH": f"{command.parent}:{environment['PATH']}"}

    def go(*words, code=0):
        done = subprocess.run(
            words, cwd=tmp_path / "mine", env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == code, done.stderr
        return done.stdout if code == 0 else done.stderr

    (line,) = go("leptonfit", "list", code=2).splitlines()
    assert line.endswith("upwards; leptonfit new makes one")
    model = ["--data", files / "decay.csv", "--model", f"{files / 'decay.py'}:decay"]
    (line,) = go("leptonfit", "new", "my_decay", *model, "--bounds", "a=0:20", code=2).splitlines()
    assert "parameter 'b': the model needs it" in line
    assert list((tmp_path / "mine").iterdir()) == []
    go("leptonfit", "new", "my_decay", *model, "--bounds", BOUNDS)
    assert {path.name for path in (tmp_path / "mine").iterdir()} == {"notebooks", "data", "figures", "Makefile"}
    assert go("leptonfit", "list").startswith("25_my_decay\n")
    (line,) = go("leptonfit", "bench", code=2).splitlines()
    assert line == "leptonfit: bench needs benchmarks, which only a checkout of leptonfit has"
    assert "1 pairs agree" in go("make", "test")
    assert "figures/my_decay: .pdf, .png, .json" in go("make", "figures")
    assert (tmp_path / "mine/figures/my_decay.pdf").is_file()


@pytest.mark.usefixtures("unexecuted")
@pytest.mark.parametrize(
    ("columns", "errors"),
    [
        ({}, 'table["sigma"]'),
        ({"sigma": "0.3"}, "0.3"),
        ({"counts": True}, '"poisson"'),
        ({"y": "sigma", "sigma": "y"}, 'table["y"]'),
    ],
)
def test_the_source_holds_model_data_and_bounds(checkout, files, columns, errors):
    if columns.get("counts"):
        (files / "decay.csv").write_text("t,y\n0,5\n1,2\n2,1\n3,0\n")
    own_notebook.write_notebook("my_decay", read(files, "a=0:20,b=0::1,c=0.2", **columns), print, checkout)
    text = (checkout / "notebooks/25_my_decay.py").read_text()
    assert f"{errors}, bounds" in " ".join(text.split())
    assert MODEL.partition("\n\n\nif __name__")[0] in text
    assert "a script" not in text
    namespace = {"leptonfit": __import__("leptonfit")}
    exec(text[text.index("bounds = {") :].partition("}\n")[0] + "}", namespace)
    assert namespace["bounds"] == {"a": (0, 20), "b": Parameter(name="b", start=1, lower=0), "c": 0.2}
    assert list(read_notebook("25_my_decay", checkout).parameters) == ["level", "n_starts", "seed", "budget"]
    assert (checkout / "data/own/my_decay.csv").read_bytes() == (files / "decay.csv").read_bytes()
    check_folder(checkout / "data")


@pytest.mark.usefixtures("unexecuted")
def test_what_exists_or_has_a_wrong_name_is_refused_and_nothing_is_written(checkout, files):
    own_notebook.write_notebook("my_decay", read(files), print, checkout)
    (checkout / "notebooks" / "31_numbered.py").write_text("")
    (checkout / "notebooks" / "25_half.ipynb").write_text("")
    before = snapshot(checkout)
    for name, message in (
        ("my_decay", r"notebooks/25_my_decay\.py: exists already; choose another name than my_decay"),
        ("numbered", r"notebooks/31_numbered\.py: exists already"),
        ("half", r"notebooks/25_half\.ipynb: exists already"),
        ("my decay", "notebook my decay: its name must be a letter, then at most 60 letters, digits or '_'"),
        ("../decay", "its name must be a letter"),
        ("", "its name must be a letter"),
    ):
        with pytest.raises(InputError, match=message):
            own_notebook.write_notebook(name, read(files), print, checkout)
    (files / "decay.py").write_text(MODEL.replace("RATE", "bounds"))
    with pytest.raises(InputError, match=r"decay\.py: bounds means something else in the notebook; give it another"):
        own_notebook.write_notebook("other", read(files), print, checkout)
    assert snapshot(checkout) == before
    (checkout / "data/own/my_decay.csv").write_text("t,y\n")
    with pytest.raises(InputError, match=r"data file own/my_decay\.csv: its SHA-256 is"):
        own_notebook.write_notebook("other", read(files), print, checkout)


def test_a_notebook_that_fails_leaves_nothing(checkout, files, tmp_path_factory, monkeypatch):
    monkeypatch.setattr(pairs, "write_pairs", lambda say, names, root: [f"{names[0]}: cell 4 failed: ValueError: no"])
    for folder in (checkout, tmp_path_factory.mktemp("empty")):
        before = snapshot(folder)
        with pytest.raises(InputError, match="25_my_decay: cell 4 failed: ValueError: no; nothing was written"):
            own_notebook.write_notebook("my_decay", read(files), print, folder)
        assert snapshot(folder) == before


@pytest.mark.usefixtures("unexecuted")
def test_a_folder_that_is_in_use_is_not_made_a_workbook(files, tmp_path):
    (tmp_path / "data").mkdir()
    with pytest.raises(InputError, match="data: is already in this folder, which is no workbook; use an empty folder"):
        own_notebook.write_notebook("my_decay", read(files), print, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["data"]


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("my-decay", {}, "notebook my-decay: its name must be a letter"),
        ("fine", {"--data": "none.csv"}, "File 'none.csv' does not exist"),
        ("fine", {"--model": "none.py:decay"}, "must be FILE.py:FUNCTION with a file that exists"),
        ("fine", {"--bounds": "a=0:20,b=5:0,c=1"}, "b: bounds [5, 0] must have lower < upper"),
        ("fine", {"--sigma": "1", "--counts": None}, "--sigma 1: counts have no error of their own"),
    ],
)
def test_the_command_refuses_in_one_line(files, root, monkeypatch, capsys, name, options, message):
    monkeypatch.chdir(files)
    given = {"--data": "decay.csv", "--model": "decay.py:decay", "--bounds": BOUNDS, **options}
    words = [word for pair in given.items() for word in pair if word is not None]
    monkeypatch.setattr("sys.argv", ["leptonfit", "new", name, *words])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert ended.value.code == 2
    said = capsys.readouterr().err
    assert message in said
    assert len(said.splitlines()) == 1
    assert not list((root / "notebooks").glob("25_*"))


def test_the_workbook_is_the_nearest_one_else_the_checkout(checkout, root, tmp_path_factory):
    assert find_root(checkout / "notebooks") == find_root(checkout) == checkout
    assert find_root(tmp_path_factory.mktemp("elsewhere")) == root
    shutil.rmtree(checkout / "data")
    assert find_root(checkout) == root, "a folder called notebooks is no workbook"


def test_a_number_may_be_left_out_where_the_name_is_clear(checkout):
    assert run.check_request(["limits"], root=checkout).notebooks == ("11_limits",)
    (checkout / "notebooks" / "31_limits.py").write_text("")
    with pytest.raises(InputError, match=r"notebook limits: must be one of 11_limits, 31_limits$"):
        run.check_request(["limits"], root=checkout)


def test_pairs_of_a_new_workbook_are_set_up_as_ours(root):
    templates = root / "lib/leptonfit/workbook/templates/own"
    assert (templates / "jupytext.toml").read_bytes() == (root / "notebooks/jupytext.toml").read_bytes()
