"""Imports run one way, and nothing in the tree points outside it."""

import ast
import importlib
import re
import subprocess
import sys
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


FACES = [path.parent for path in sorted((ROOT / "lib/leptonfit").rglob("__init__.pyi"))]


@pytest.mark.parametrize("folder", FACES, ids=lambda folder: folder.name)
def test_every_name_of_a_face_is_what_its_module_defines(folder):
    name = ".".join(folder.relative_to(ROOT / "lib").parts)
    face = importlib.import_module(name)
    listed = [
        (f"{name}.{node.module}", alias.name)
        for node in ast.parse((folder / "__init__.pyi").read_text()).body
        for alias in node.names
    ]
    assert sorted(one for _, one in listed) == sorted(face.__all__)
    for module, one in listed:
        assert getattr(face, one) is getattr(importlib.import_module(module), one), f"{name}.{one}"


HEAVY = "numpy", "scipy", "matplotlib", "pandas", "sklearn", "IPython"
SAMPLERS = "sklearn", "joblib", "arviz", "emcee", "dynesty"
NEUTRINOS = "leptonfit.neutrino.experiments", "leptonfit.neutrino.likelihood", "leptonfit.claims.nu838.discrepancy"


@pytest.mark.parametrize(
    ("code", "may_not_load"),
    [
        ("import leptonfit", HEAVY),
        ("from leptonfit.workbook import figures, tables, explore", HEAVY),
        ("from leptonfit.workbook.cli import describe_notebooks; list(describe_notebooks())", HEAVY),
        ("from leptonfit.workbook.figures import plot_outer_radius", (*SAMPLERS, *NEUTRINOS, "scipy.stats", "pandas")),
        ("from leptonfit.workbook.figures import plot_profile", (*SAMPLERS, *NEUTRINOS, "pandas")),
        ("from leptonfit.workbook.tables import show, tabulate_c_mu", (*SAMPLERS, *NEUTRINOS)),
        ("from leptonfit.workbook.explore import VortexExplorer", (*SAMPLERS, *NEUTRINOS)),
        ("from leptonfit.workbook.figures import plot_spectrum, plot_limits", (*SAMPLERS, "leptonfit.vortex.model")),
        (
            "import nbformat; from leptonfit.workbook.notebook_page import describe_figure as describe; "
            "assert describe(nbformat.v4.new_code_cell('figures.plot_profile(ax)'))",
            ("matplotlib", "scipy", *SAMPLERS),
        ),
        ("from leptonfit.workbook import run", ("matplotlib", "scipy.stats", "IPython", "nbconvert", *SAMPLERS)),
    ],
)
def test_what_is_not_used_is_not_loaded(code, may_not_load):
    code = f"import sys; {code}; print([name for name in {may_not_load} if name in sys.modules])"
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert said.strip() == "[]"


@pytest.mark.parametrize("path", sorted((ROOT / "notebooks").glob("*.py")), ids=lambda path: path.stem)
def test_a_notebook_imports_from_at_most_four_modules_of_the_library(path):
    nodes = ast.parse(path.read_text()).body
    modules = [node.module for node in nodes if isinstance(node, ast.ImportFrom)]
    modules += [alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names]
    assert len([module for module in modules if module.split(".")[0] == "leptonfit"]) <= 4


@pytest.mark.parametrize("path", sorted((ROOT / "notebooks").glob("*.py")), ids=lambda path: path.stem)
def test_the_checks_of_a_notebook_do_not_depend_on_how_python_runs(path):
    """`python -O` and PYTHONOPTIMIZE take every `assert` away."""
    assert not [node.lineno for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Assert)]


def test_a_check_stops_under_every_setting_of_python():
    code = "import leptonfit; leptonfit.check(1 < 2, 'right'); leptonfit.check(1 > 2, 'the order is wrong')"
    said = subprocess.run([sys.executable, "-OO", "-c", code], capture_output=True, text=True, check=False).stderr
    assert said.splitlines()[-1].endswith("CheckError: the order is wrong")


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
