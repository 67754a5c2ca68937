"""Random command lines, damaged report files and mutated notebooks: an answer or one line, and never a wrong result.

`make test` draws a few of each; `make test-slow` draws many and prints how many there were.
"""

import json
import random
import shutil
import string
import sys
from pathlib import Path

import pytest
from tests.workbook.test_run import execute_here, write

from leptonfit.datafiles import ROOT
from leptonfit.workbook import answer, cli, data_check, manuscript, own_notebook, page, pairs, run, store, sweep
from leptonfit.workbook.declarations import read_notebook

ODD = [
    *("", " ", "0", "1", "-1", "00", "1.5", "1e5", "1e999", "-0.0", "nan", "inf", "1_0", "0x10", "１", "٣", "9" * 5000),
    *(
        "True",
        "None",
        "quick",
        "full",
        "x",
        "é",
        "β",
        "\udcff",
        "\x1b[31m",
        "\u202e",
        "\r",
        "a\nb",
        "a" * 300,
        "%s",
        "{}",
    ),
    *("=", "=1", "a=", "a=b", ",", ",,", "1,2", "1,1", "a,b", ":", "a=0:1", "a=1:0", "a=:", "a=0:1:log", "a=b,c=d"),
    *("-", "--", "-p", "--help", "--tag", ".", "..", "../x", "/", "/dev/null", "~", "*", "[", "'", '"', "$HOME", ";"),
]
OPTIONS = {
    "run": ["-p", "--tag", "--jobs", "--budget", "--fresh", "--data"],
    "sweep": ["-p", "--tag", "--jobs", "--budget", "--fresh", "--data"],
    "list": [],
    "check": ["--data"],
    "notebooks": [],
    "figures": [],
    "fit": ["--bounds", "--y", "--sigma", "--counts", "--level", "--out"],
    "new": ["--bounds", "--y", "--sigma", "--counts", "--data", "--model"],
}
FLAGS = {"--fresh", "--counts"}


class Attack:
    """Runs actions as a command of `leptonfit` would, and collects those that fell."""

    def __init__(self, monkeypatch, capsys):
        self.monkeypatch, self.capsys = monkeypatch, capsys
        self.n, self.fell = 0, []

    def run(self, shown, action=None):
        """Run an action, or else the command line in sys.argv; return its exit code, or None if it fell."""
        self.n += 1
        code, said = None, "no exit"
        with self.monkeypatch.context() as patched:
            patched.setattr(cli, "_leave_at_once", sys.exit, raising=False)
            if action is not None:
                patched.setattr(cli.cli, "main", lambda **_: action())
            try:
                cli.main()
            except SystemExit as stopped:
                code = stopped.code or 0
            except BaseException as error:
                said = repr(error)
        err = self.capsys.readouterr().err
        lines = err.splitlines()
        if code is not None and (code not in (0, 1, 2) or any(not c.isprintable() for line in lines for c in line)):
            code, said = None, f"exit {code}, {err!r}"
        if code == 2 and len(lines) != 1:
            code, said = None, f"{len(lines)} lines: {err!r}"
        if code is None:
            self.fell.append(f"{shown}: {said[:300]}")
        return code

    def report(self, what):
        """Print the counts, and fail if an action fell."""
        print(f"{self.n} {what}, {len(self.fell)} fell")
        assert not self.fell, "\n".join([f"{len(self.fell)} of {self.n} {what} fell:", *self.fell[:40]])


@pytest.fixture
def attack(monkeypatch, capsys):
    """A new attack."""
    return Attack(monkeypatch, capsys)


@pytest.fixture
def workplace(tmp_path, monkeypatch):
    """A folder with files to name, commands that execute nothing, and the report folders that they would have used."""
    used = []

    def execute(request, say):
        used.append(request.folder)
        return []

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(run, "execute", execute)
    monkeypatch.setattr(
        sweep, "execute_sweep", lambda name, found, **_: [execute(one, None) for one in found.values()] and []
    )
    monkeypatch.setattr(page, "write_pdf", lambda folder: "")
    monkeypatch.setattr(pairs, "write_pairs", lambda say, names: [pairs.find_notebook(name) for name in names] and [])
    monkeypatch.setattr(manuscript, "write_all", lambda say: [])
    monkeypatch.setattr(own_notebook, "write_notebook", lambda name, source, say: source.make_problem() and None)
    monkeypatch.setattr(answer, "assess", lambda problem, level: answer.Answer(problem, None))
    monkeypatch.setattr(answer.Answer, "__str__", lambda self: "\n".join(self.problem.notes))
    monkeypatch.setattr(answer.Answer, "save", lambda self, folder: folder)
    (tmp_path / "table.csv").write_text("x,y,sigma\n" + "".join(f"{k},{2 * k},0.1\n" for k in range(9)))
    (tmp_path / "odd.csv").write_bytes(b"x,\x1b[31m,y\n1,2\n\xff")
    (tmp_path / "empty.csv").touch()
    (tmp_path / "model.py").write_text("def line(x, a, b):\n    return a + b * x\n\nnumber = 3\n")
    (tmp_path / "broken.py").write_text("def line(x, a:\n")
    (tmp_path / "stops.py").write_text("raise SystemExit('\x1b[31m')\n")
    (tmp_path / "folder").mkdir()
    (tmp_path / "listed").mkdir()
    (tmp_path / "listed" / "SHA256SUMS").write_bytes(b"\xff\0" * 9)
    return used


FILES = ["table.csv", "odd.csv", "empty.csv", "folder", "listed", "none.csv"]
MODELS = ["model.py:line", "model.py:number", "model.py:none", "broken.py:line", "stops.py:line", "folder:f", "x", ":"]


def draw_value(draw, option, names):
    """Value for an option: often of the right kind, else anything."""
    if draw.random() < 0.3:
        return draw.choice(ODD)
    parameters = [(one, default) for name in names for one, default in read_notebook(name).parameters.items()]
    if option == "-p" and parameters:
        name, declared = draw.choice(parameters)
        values = [str(declared.default), *ODD, *map(str, declared.choices or ())]
        return f"{name}={','.join(draw.choices(values, k=draw.choice([1, 1, 1, 2, 3])))}"
    usual = {
        "--tag": ["latest", "a.b-c_d"],
        "--jobs": ["1", "2"],
        "--budget": ["quick", "full"],
        "--data": FILES,
        "--bounds": ["a=0:9,b=0:9", "a=-9:9,b=1", "a=0:9:5,b=1e-3:9:log"],
        "--y": ["y", "x", "sigma"],
        "--sigma": ["0.1", "sigma", "y"],
        "--level": ["0.9", "0.95"],
        "--out": ["out", "table.csv"],
        "--model": MODELS,
    }
    return draw.choice(usual.get(option, ODD))


def draw_command(draw, names):
    """A command line, without the name of the program."""
    command = draw.choice([*OPTIONS, "run", "sweep", "sweep", "fit", "fit"])
    words = [command]
    if command == "fit":
        words += [
            draw.choice([*FILES[:2], "table.csv", draw.choice(ODD)]),
            draw.choice([MODELS[0], *MODELS, draw.choice(ODD)]),
        ]
    elif command == "new":
        words += [draw.choice(["mine", "a" * 99, *ODD])]
    elif draw.random() < 0.7:
        words += draw.choices([*names, *(name[3:] for name in names), draw.choice(ODD)], k=draw.choice([0, 1, 1, 2]))
    needed = [
        option
        for option in ("--bounds", "--data", "--model")
        if option in OPTIONS[command] and command in ("fit", "new")
    ]
    asked = [option for option in OPTIONS[command] if draw.random() < 0.3 and option not in needed]
    asked += needed if draw.random() < 0.95 else []
    for option in asked + [option for option in asked if option == "-p" and draw.random() < 0.3]:
        words += [option] if option in FLAGS else [option, draw_value(draw, option, names)]
    return [*words, draw.choice(ODD)] if draw.random() < 0.1 else words


def attack_commands(attack, monkeypatch, used, n, seed):
    draw, names = random.Random(seed), pairs.notebook_names()
    here = {*Path.cwd().rglob("*")}
    for _ in range(n):
        words = draw_command(draw, names)
        monkeypatch.setattr(sys, "argv", ["leptonfit", *words])
        used.clear()
        attack.run(words)
        outside = [folder for folder in used if not folder.resolve().is_relative_to(ROOT / "reports")]
        sweeps = [folder for folder in used if "sweep" in folder.parts and folder.parents[2] != ROOT / "reports"]
        if outside or sweeps:
            attack.fell.append(f"{words}: writes into {(outside + sweeps)[0]}")
    assert {*Path.cwd().rglob("*")} == here
    attack.report("command lines")


def damage(draw, path):
    """Damage a file in one of the ways in which files are damaged."""
    content = path.read_bytes()
    how = draw.choice(
        ["cut", "flip", "flip", "zeros", "empty", "type", "type", "folder", "gone", "loop", "deep", "text"]
    )
    place = draw.randrange(len(content)) if content else 0
    path.unlink()
    if how == "folder":
        path.mkdir()
    elif how == "loop":
        path.symlink_to(path)
    elif how == "type" and path.suffix in (".json", ".ipynb", ".inputs"):
        path.write_text(json.dumps(change_type(draw, json.loads(content))))
    elif how != "gone":
        changed = content[:place] + bytes([draw.randrange(256)]) + content[place + 1 :]
        made = {
            "cut": content[:place],
            "zeros": bytes(len(content)),
            "empty": b"",
            "deep": b"[" * 99_999,
            "text": b"\x1b[31m\n",
        }
        path.write_bytes(made.get(how, changed))
    return how


def change_type(draw, found):
    """Copy of JSON data in which one entry, somewhere, has another type or is missing."""
    if isinstance(found, dict | list) and found and draw.random() < 0.9:
        keys = list(found) if isinstance(found, dict) else range(len(found))
        key = draw.choice(keys)
        copy = dict(found) if isinstance(found, dict) else list(found)
        copy[key] = change_type(draw, found[key])
        return copy
    return draw.choice([None, True, -1, 1e308, "", "x", [], {}, [[]], {"a": 1}])


@pytest.fixture
def reported(tmp_path, root, monkeypatch):
    """A workbook with a report of three notebooks and a sweep."""
    origin = store.origin()
    monkeypatch.setattr(store, "origin", lambda: origin)  # it takes a tenth of a second
    monkeypatch.setattr(run, "execute_notebook", execute_here)
    monkeypatch.setattr(data_check, "check_data", lambda folder: None)  # the data files have attacks of their own
    (tmp_path / "notebooks").mkdir()
    (tmp_path / "data").mkdir()
    store.write_checksums(tmp_path / "data")
    publish = 'settings.published["a.csv"] = b"a,b"; import pandas as pd'
    write(tmp_path, "20_alone", f"value = 10 * settings.seed; {publish}")
    write(tmp_path, "21_needs", 'needs = ("22_makes",)\nvalue = store.load("22_makes")["results"]["value"] + 1')
    write(tmp_path, "22_makes", f"value = 7; {publish}")
    assert run.execute(run.check_request(root=tmp_path)) == []
    name, requests = sweep.check_sweep(["22_makes"], ["seed=1,2"], root=tmp_path)
    assert sweep.execute_sweep(name, requests, jobs=1) == []
    return tmp_path


def attack_reports(attack, reported, tmp_path_factory, n, seed):
    draw, report = random.Random(seed), reported / "reports"
    whole = tmp_path_factory.mktemp("whole") / "reports"
    shutil.copytree(report, whole)
    files = sorted(p.relative_to(whole) for p in whole.rglob("*") if p.is_file() and p.stat().st_size)
    for _ in range(n):
        shutil.rmtree(report)
        shutil.copytree(whole, report)
        file = draw.choice(files)
        how = damage(draw, report / file)
        shown = f"{file}, {how}"
        attack.run(f"{shown}: page", lambda: page.write_index(report / "latest", reported))
        names = draw.choice([["21_needs"], ["20_alone"], []])

        def again(names=names):
            return int(bool(run.execute(run.check_request(names, root=reported))))

        if attack.run(f"{shown}: run {' '.join(names)}", again) == 0:
            for name, value in {"20_alone": 10, "21_needs": 8}.items():
                if names in ([name], []) and store.load(name, report / "latest")["results"]["value"] != value:
                    attack.fell.append(f"{shown}: {name} is wrong")
    attack.report("commands on damaged reports")


def attack_notebooks(attack, root, tmp_path, n, seed):
    draw = random.Random(seed)
    (tmp_path / "notebooks").mkdir()
    texts = [path.read_text() for path in sorted((root / "notebooks").glob("[0-9]*.py"))]
    cells = [text[text.index("# %% tags=") :].partition("\n# %%")[0] for text in texts if "# %% tags=" in text]
    for _ in range(n):
        lines = draw.choice(cells).split("\n")
        for _ in range(draw.randrange(1, 4)):
            number = draw.randrange(len(lines))
            line, new = (
                lines[number],
                draw.choice([*ODD, *string.punctuation, " ", "[", "{quick: 1}", "# ", "\0", "(" * 200]),
            )
            place = draw.randrange(len(line) + 1)
            kept = line[place + draw.choice([0, 0, 1, 5]) :]
            lines[number] = draw.choice([line[:place] + new + kept, new, line + draw.choice(lines)])
        text = "\n".join(lines).encode("utf-8", "surrogateescape")
        (tmp_path / "notebooks" / "20_mine.py").write_bytes(text)

        def describe():
            return [None for _ in cli.describe_notebooks(tmp_path)] and None

        attack.run(text, describe)

        def check():
            run.check_request(["mine"], root=tmp_path, data=root / "data" / "none")

        attack.run(text, check)
    attack.report("mutated notebooks")


def test_some_command_lines(attack, monkeypatch, workplace):
    attack_commands(attack, monkeypatch, workplace, 50, seed=1)


def test_some_damaged_reports(attack, reported, tmp_path_factory):
    attack_reports(attack, reported, tmp_path_factory, 15, seed=1)


def test_some_mutated_notebooks(attack, root, tmp_path):
    attack_notebooks(attack, root, tmp_path, 100, seed=1)


@pytest.mark.slow
@pytest.mark.fuzz
def test_many_command_lines(attack, monkeypatch, workplace):
    attack_commands(attack, monkeypatch, workplace, 2000, seed=2)


@pytest.mark.slow
@pytest.mark.fuzz
def test_many_damaged_reports(attack, reported, tmp_path_factory):
    attack_reports(attack, reported, tmp_path_factory, 300, seed=2)


@pytest.mark.slow
@pytest.mark.fuzz
def test_many_mutated_notebooks(attack, root, tmp_path):
    attack_notebooks(attack, root, tmp_path, 2000, seed=2)
