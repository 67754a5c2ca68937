"""Numbers and tables as LaTeX: what is committed compiles, and says where each number comes from."""

import re
import shutil
import subprocess

import pandas as pd
import pytest

from leptonfit.datafiles import ROOT
from leptonfit.workbook import manuscript, numbers

FIGURES = ROOT / "figures"


def test_every_figure_number_and_table_is_there():
    assert len(manuscript.FIGURES) >= 11
    for name in manuscript.FIGURES:
        for suffix in ("pdf", "png", "json"):
            assert (FIGURES / f"{name}.{suffix}").is_file()
    for name in manuscript.TABLES:
        assert (FIGURES / f"table_{name}.csv").is_file()
        assert (FIGURES / f"table_{name}.tex").is_file()
    known = {*manuscript.FIGURES, *(f"table_{name}" for name in manuscript.TABLES), "numbers"}
    assert {path.stem for path in FIGURES.iterdir() if path.is_file()} == known, "figures/ holds what nothing draws"


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
    ],
)
def test_text_becomes_latex(text, tex):
    assert numbers.escape(text) == tex


def test_a_table_becomes_a_tabular():
    tex = numbers.write_tabular(pd.DataFrame({"β": ["1 & 2"], "b": ["c"]}))
    assert r"$\beta$ & b \\" in tex
    assert r"1 \& 2 & c \\" in tex


def test_a_manuscript_with_all_of_it_compiles(tmp_path):
    if shutil.which("pdflatex") is None:
        pytest.skip("no pdflatex on this machine")
    pictures = "\n".join(
        f"\\begin{{figure}}\\includegraphics[width=\\textwidth,height=.8\\textheight,keepaspectratio]{{{name}}}"
        f"\\caption{{{name.replace('_', ' ')}}}\\end{{figure}}\\clearpage"
        for name in manuscript.FIGURES
    )
    rows = "\n".join(f"{{\\tiny\\input{{table_{name}.tex}}}}\\clearpage" for name in manuscript.TABLES)
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
