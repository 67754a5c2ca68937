"""Figures, numbers and tables of a manuscript: published the same twice, and what is committed compiles."""

import json
import re
import shutil
import subprocess
import time

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

from leptonfit.datafiles import ROOT
from leptonfit.vortex.flow import lay_out_flow
from leptonfit.workbook import figures, latex, manuscript, publish, store
from leptonfit.workbook.parameters import Settings

FIGURES = ROOT / "figures"


def find_declared(kind):
    """Names that the notebooks publish."""
    sources = (path.read_text(encoding="utf-8") for path in sorted((ROOT / "notebooks").glob("*.py")))
    return re.findall(rf'publish\.{kind}\(settings, "(\w+)"', "".join(sources))


def test_what_the_notebooks_publish_is_committed_and_nothing_else():
    drawn, tables = (
        find_declared("figure"),
        [f"table_{name}" for name in (*find_declared("table"), "claims", "options")],
    )
    assert len(drawn) == 18
    assert len(tables) == 14
    for name in drawn:
        for suffix in ("pdf", "png", "json"):
            assert (FIGURES / f"{name}.{suffix}").is_file()
    for name in tables:
        for suffix in ("csv", "tex"):
            assert (FIGURES / f"{name}.{suffix}").is_file()
    assert {path.stem for path in FIGURES.iterdir() if path.is_file()} == {*drawn, *tables, "numbers", "bench"}


@pytest.fixture
def settings(tmp_path, monkeypatch):
    monkeypatch.setenv(store.REPORT_VARIABLE, str(tmp_path))
    monkeypatch.setattr(plt, "show", lambda: None)
    with plt.style.context(figures.STYLE):
        yield Settings("00_start_here", {"r_max": 10.0}, time.monotonic())
    plt.close("all")


def draw():
    """A figure of the workbook, and what it shows."""
    flow = lay_out_flow(0.9, r_max=10.0, n=41)
    figure, axes = plt.subplots(1, 2, figsize=(6.8, 2.9))
    figures.plot_model(axes, flow)
    return figure, flow


def test_what_is_published_is_the_same_bytes_twice_with_its_fonts(settings):
    made = []
    for _ in range(2):
        figure, flow = draw()
        settings.published.clear()
        publish.figure(settings, "vortex", figure, flow=flow)
        made.append(dict(settings.published))
    assert made[0] == made[1]
    assert set(made[0]) == {"vortex.pdf", "vortex.png", "vortex.json"}
    assert b"/FontFile2" in made[0]["vortex.pdf"]
    assert b"CreationDate" not in made[0]["vortex.pdf"]
    assert b"Software" not in made[0]["vortex.png"]
    stored = json.loads(made[0]["vortex.json"])["flow"]
    np.testing.assert_allclose(stored["psi"], flow.psi, rtol=1e-4)


def test_an_axis_without_a_name_is_not_published(settings):
    figure, ax = plt.subplots()
    ax.set_ylabel("y (m)")
    with pytest.raises(ValueError, match="figure bare: a panel has no x label"):
        publish.figure(settings, "bare", figure)
    assert settings.published == {}
    _, (above, below) = plt.subplots(2, sharex=True)
    below.set_xlabel("x (m)")  # it also names the axis of the panel above
    publish.figure(settings, "shared", above.figure)
    assert "shared.png" in settings.published


def test_numbers_without_a_known_mark_or_a_name_of_letters_are_refused(settings):
    with pytest.raises(ValueError, match="mark = 'guessed': must be one of"):
        publish.numbers(settings, mark="guessed", width=1.0)
    with pytest.raises(ValueError, match="number 'set_95': a LaTeX macro has letters only"):
        publish.numbers(settings, set_95=1.0)
    assert settings.published == {}


def test_what_is_published_is_collected_with_verdict_mark_and_parameters(settings):
    figure, flow = draw()
    publish.figure(settings, "vortex", figure, flow=flow, reference=3.0)
    publish.numbers(settings, form=".2f", share=0.123, missing=float("nan"), none=None)
    for _ in range(2):  # as when a cell is executed again
        publish.numbers(settings, source="elsewhere", mark="claimed", heldBy="R_e ≤ 1")
    publish.table(settings, "audit", pd.DataFrame({"a": [1.5, np.nan], "b": ["x", "y"]}), ["a"])
    store.save(settings, results={}, verdict="a vortex", verdict_code="model", mark="recorded")
    (found,) = manuscript.read_figures().values()
    assert list(found) == ["figure", "verdict", "mark", "parameters", "drawn"]
    assert (found["figure"], found["verdict"], found["mark"]) == ("vortex", "a vortex", "recorded")
    assert found["parameters"] == {"00_start_here": {"r_max": 10.0}}
    assert found["drawn"]["reference"] == 3.0
    assert latex.write_macros(manuscript.read_numbers()).splitlines() == [
        r"\newcommand{\share}{0.12}% 00_start_here, numerical",
        r"\newcommand{\missing}{none}% 00_start_here, numerical",
        r"\newcommand{\none}{none}% 00_start_here, numerical",
        r"\newcommand{\heldBy}{R\_e $\le$ 1}% elsewhere, claimed",
    ]
    ((notebook, path),) = manuscript.find_published("tex").values()
    assert (notebook, path.name) == ("00_start_here", "00_start_here.table_audit.tex")
    assert r"1.5 \\" in path.read_text()
    assert path.with_suffix(".csv").read_text() == "a,b\n1.5,x\n,y\n"


def test_each_macro_names_its_source_and_mark_once():
    lines = (FIGURES / "numbers.tex").read_text().splitlines()
    pattern = re.compile(
        r"\\newcommand\{\\([A-Za-z]+)\}\{([^}]+)\}% ([\w. ]+), (claimed|numerical|proven|simulated|recorded)"
    )
    found = [pattern.fullmatch(line) for line in lines]
    assert all(found), "a line is no macro"
    names = [match[1] for match in found]
    assert len(set(names)) == len(names)
    marks = {match[1]: match[4] for match in found}
    assert marks["claimedTightChi"] == "claimed"
    assert marks["edgeLow"] == "proven"
    assert marks["coverageNinetyFive"] == "simulated"
    assert marks["reenactedBeta"] == "recorded"


@pytest.mark.parametrize(
    ("text", "tex"),
    [
        ("χ²_min < 1e-6", r"$\chi^2$\_min $<$ 1e-6"),
        ("95 % set of β", r"95 \% set of $\beta$"),
        ("R & U {x}", r"R \& U \{x\}"),
        ("A √β", r"A $\surd\beta$"),
        ("a$β", r"a\$$\beta$"),
        ("θ̂ and q̃", r"$\hat{\theta}$ and $\tilde{q}$"),
    ],
)
def test_text_becomes_latex(text, tex):
    assert latex.escape(text) == tex


def test_a_table_becomes_a_tabular():
    tex = latex.write_tabular(pd.DataFrame({"β": ["1 & 2"], "b": ["c"]}))
    assert r"$\beta$ & b \\" in tex
    assert r"1 \& 2 & c \\" in tex


def test_a_manuscript_with_all_of_it_compiles(tmp_path):
    if shutil.which("pdflatex") is None:
        pytest.skip("no pdflatex on this machine")
    pictures = "\n".join(
        f"\\begin{{figure}}\\includegraphics[width=\\textwidth,height=.8\\textheight,keepaspectratio]{{{name}}}"
        f"\\caption{{{name.replace('_', ' ')}}}\\end{{figure}}\\clearpage"
        for name in sorted(path.stem for path in FIGURES.glob("*.pdf"))
    )
    rows = "\n".join(f"{{\\tiny\\input{{{path.name}}}}}\\clearpage" for path in sorted(FIGURES.glob("table_*.tex")))
    macros = re.findall(r"\\newcommand\{(\\[A-Za-z]+)\}", (FIGURES / "numbers.tex").read_text())
    quoted = ", ".join(f"{macro}{{}}" for macro in macros)
    (tmp_path / "stub.tex").write_text(
        "\\documentclass{article}\\usepackage[margin=1cm]{geometry}\\usepackage{graphicx,array,longtable}\n"
        f"\\graphicspath{{{{{FIGURES}/}}}}\\makeatletter\\def\\input@path{{{{{FIGURES}/}}}}\\makeatother\n"
        f"\\input{{numbers.tex}}\\begin{{document}}\n{quoted}\n{pictures}\n{rows}\n\\end{{document}}\n"
    )
    done = subprocess.run(
        ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "stub.tex"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
    )
    assert done.returncode == 0, done.stdout[-1500:]
    assert (tmp_path / "stub.pdf").stat().st_size > 100_000


def test_names_of_data_sets_are_spelled_in_letters():
    assert [publish.spell(name) for name in ("gemma", "lz_ws2024")] == ["Gemma", "LzWsTwoZeroTwoFour"]
