"""The grammar of a parameters cell, and notebooks that do not keep to it."""

import math

import pytest

from leptonfit.datafiles import InputError
from leptonfit.workbook.declarations import read_notebook

BUDGET = 'budget = "quick"  # effort [quick | full]\n'


@pytest.fixture
def declare(tmp_path):
    """Read a notebook made of a parameters cell and a cell that follows it."""
    (tmp_path / "notebooks").mkdir()

    def read(cell, *, header='# %% tags=["parameters"]', following=""):
        source = f"# %% [markdown]\n# # Title\n\n{header}\n{cell}\n\n# %%\n{following}\n"
        (tmp_path / "notebooks" / "20_mine.py").write_text(source)
        return read_notebook("20_mine", tmp_path)

    return read


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (
            "x = 1e-6  # relative, error of each mass [1e-12, 1e3]",
            {"kind": float, "unit": "relative", "meaning": "error of each mass", "low": 1e-12, "high": 1e3},
        ),
        ("x = 3  # seed of the starts", {"kind": int, "unit": "", "meaning": "seed of the starts", "low": -math.inf}),
        ("x = 3  # m, length, of a side", {"unit": "m", "meaning": "length, of a side"}),
        ("x = 3", {"kind": int, "unit": "", "meaning": "", "choices": ()}),
        ("x = -3  # [-5, 0]", {"default": -3, "low": -5, "high": 0, "meaning": ""}),
        ("x = True  # whether", {"kind": bool, "meaning": "whether"}),
        ("x = 'a'  # which [a | b|c d ]", {"kind": str, "meaning": "which", "choices": ("a", "b", "c d")}),
        ("x = 2  # order [1 | 2 | 4]", {"kind": int, "choices": (1, 2, 4)}),
        ("x = 'a # b'  # text", {"default": "a # b", "kind": str, "meaning": "text"}),
        ("x = 1  # flux [arb] over [0, 2]", {"meaning": "flux [arb] over", "low": 0, "high": 2}),
        ("x: int = 3  # seed [0, 9]", {"kind": int, "default": 3, "high": 9}),
        ("x: float = 3  # length", {"kind": float, "default": 3}),
        ("x = 'a'  # which [a | b | …]", {"is_list": True, "choices": ("a", "b"), "kind": str}),
        ("x = '0.1, 0.2'  # levels [0, 1, …]", {"is_list": True, "kind": float, "low": 0, "high": 1}),
        ("x = 0.1  # levels [0, 1, …]", {"is_list": True, "kind": float}),
        ("x = 'b'  # which [a |\n# b |\n#   c]", {"choices": ("a", "b", "c")}),
        ("x = (\n    3\n)  # m, length", {"unit": "m", "default": 3}),
        ("# about the next\nx = 3  # m, length\n# about nothing", {"unit": "m", "meaning": "length"}),
        (
            BUDGET + "x = None  # count, points {quick: 16, full: 64} [1, 100]",
            {"kind": int, "budgets": {"quick": 16, "full": 64}, "meaning": "points", "high": 100},
        ),
        (BUDGET + "x = None  # points [1, 100] {quick: 16, full: 64}", {"meaning": "points", "high": 100}),
    ],
)
def test_a_line_is_read(declare, line, expected):
    declared = declare(line).parameters["x"]
    assert {name: getattr(declared, name) for name in expected} == expected


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("x = 2 * 3  # m, length", "x = 2 * 3: must be a literal"),
        ("x = len('a')", "x = len('a'): must be a literal"),
        ("x = [1, 2]", "x = [1, 2]: must be a number, a text (several with commas), True, False or None"),
        ("x = y = 3", "x = y = 3: must be name = value"),
        ("x, y = 1, 2", "must be name = value"),
        ("x += 1", "x += 1: must be name = value"),
        ("import os", "import os: must be name = value"),
        ("x: int", "x: int: must be"),
        ("x: int | None = 3", "x: int | None: must be one of bool, int, float, str"),
        ("x: int = 2.5", "x = 2.5: must be an integer"),
        ("x = 3\nx = 4", "x: is declared twice"),
        ("values = 3", "values: must be another name"),
        ("x = " + 5000 * "-" + "1", "the parameters cell is nested too deeply"),
        ("x = " + 20000 * "-" + "1", "the parameters cell is nested too deeply"),
        ("x = (1", "line 5 in the parameters cell: '(' was never closed"),
        ("x = 3  # a, b=c [0, 1]", "x: its comment must hold no '='"),
        ("x = 3  # length [m]", "x: [m]: must be [low, high] of a number or [a | b]"),
        ("x = 3  # length [5, 1]", "x: [5, 1]: must be [low, high]"),
        ("x = 3  # length [0, nan]", "x: [0, nan]: must be [low, high]"),
        ("x = 3  # length [0, 1, 2]", "x: [0, 1, 2]: must be"),
        ("x = 'a'  # which [0, 1]", "x: [0, 1]: must be"),
        ("x = True  # which [a | b]", "x: [a | b]: must be"),
        ("x = 3  # length [0, 2]", "x = 3: must be an integer from 0 to 2"),
        ("x = 'c'  # which [a | b]", "x = c: must be one of a, b"),
        ("x = 1e999  # length", "x = inf: must be a number"),
        ("x = None  # points [1, 9]", "x = None: its comment must hold the value for each budget"),
        ("x = None  # points {quick: few}", "x = None: its comment must hold the value for each budget"),
        ("x = 5  # points {quick: 1, full: 2}", "x = 5: must be None where its comment has a value for each budget"),
        ("x = None  # points {full: 5}", "x = None: must have a value for the budget quick"),
        (BUDGET + "x = None  # points {quick: 5, full: 70} [1, 50]", "x = 70: must be an integer from 1 to 50"),
        (BUDGET + "x = None  # points {quick: 5}", "x = None: must have a value for the budget full"),
    ],
)
def test_a_line_is_refused_in_one_line_that_names_the_notebook(declare, line, message):
    with pytest.raises(InputError) as refused:
        declare(line)
    assert str(refused.value).startswith("20_mine: ")
    assert message in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    "header",
    [
        '# %% tags=["parameters"]',
        '# %% What may be changed tags=["remove-output", "parameters"]',
        '# %% title="Settings" tags=["parameters","x"] editable=true',
        '#%% tags=["parameters"]',
        '# %% {"tags": ["parameters"]}',
    ],
)
def test_the_cell_is_found_by_its_tag(declare, header):
    assert list(declare("x = 3", header=header).parameters) == ["x"]


def test_a_notebook_without_the_cell_has_no_parameters(declare):
    assert declare("x = 3", header="# %%").parameters == {}


def test_two_cells_with_the_tag_are_refused(declare):
    with pytest.raises(InputError, match="20_mine: 2 cells are tagged parameters"):
        declare('x = 3\n\n# %% tags=["parameters"]\ny = 2')


@pytest.mark.parametrize(
    ("line", "accepted", "refused"),
    [
        ("x = 1.0  # m, length [0, 5]", [0, 5, 2.5], [-1, 5.1, math.nan, math.inf, True, "1", None]),
        ("x = 1.0  # m, length", [-1e300, 7], [math.nan, math.inf, "1"]),
        ("x = 1  # count", [10**30, -4], [2.5, 2.0, False, "1"]),
        ("x = True", [False], [0, 1, "true"]),
        ("x = 'a'  # label", ["", "b"], [1, None, True]),
        ("x = 2  # order [1 | 2]", [1], [3, True, "1"]),
        ("x = 'a'  # which [a | b | …]", ["all", "a,b", " b , a", ["a"]], ["", "a,a", "a,c", 3, [["a"]]]),
        ("x = 1  # levels [0, 1, …]", ["0.1,0.2", 0.5, [0.1, 0.2]], ["all", "0.1,x", "2", "", "0.1,0.1", True]),
    ],
)
def test_values_are_judged(declare, line, accepted, refused):
    notebook = declare(line)
    for value in accepted:
        notebook.check({"x": value})
    for value in refused:
        with pytest.raises(InputError, match=r"x = .*: must be"):
            notebook.check({"x": value})


def test_explicit_values_win_over_the_budget(declare):
    notebook = declare(BUDGET + "x = None  # points {quick: 16, full: 64} [1, 100]\ny = 3  # grid")
    assert notebook.resolve({}) == {"budget": "quick", "x": 16, "y": 3}
    assert notebook.resolve({"budget": "full", "other": 1}) == {"budget": "full", "x": 64, "y": 3}
    assert notebook.resolve({"budget": "full", "x": 5}) == {"budget": "full", "x": 5, "y": 3}


def test_a_budget_that_has_no_value_is_refused(declare):
    notebook = declare('budget = "quick"  # effort\nx = None  # points {quick: 16, full: 64}')
    with pytest.raises(InputError, match="x = None: must have a value for the budget huge"):
        notebook.check({"budget": "huge"})
    assert notebook.resolve({"budget": "huge", "x": 3})["x"] == 3


def test_needs_and_constraints_are_read_without_running_the_notebook(declare, tmp_path):
    (tmp_path / "notebooks" / "10_first.py").write_text("")
    needs = 'needs = ("10_first",)\nconstraints = ("a < b", "a * 2 <= b or c == \'x\'")\n'
    following = f"{needs}settings = read_settings()\n\n# %%\nneeds = what_is_missing()"
    notebook = declare("a = 1\nb = 2\nc = 'x'", following=following)
    assert (notebook.needs, len(notebook.constraints)) == (("10_first",), 2)
    notebook.check({"b": 5})
    with pytest.raises(InputError, match="a = 3: must satisfy a < b, with b = 2, in 20_mine"):
        notebook.check({"a": 3})
    with pytest.raises(InputError, match=r"a = 1: must satisfy a \* 2 <= b or c == 'x', with b = 1\.5, c = y, in"):
        declare("a = 1\nb = 2.0\nc = 'x'", following=needs).check({"b": 1.5, "c": "y"})


@pytest.mark.parametrize(
    ("following", "message"),
    [
        ('needs = ("02_missing",)', "needs 02_missing, and there is no notebooks/02_missing.py"),
        ("needs = find_all()", r"needs = find_all\(\): must be texts"),
        ("needs = (1, 2)", r"needs = \(1, 2\): must be texts"),
        ('constraints = "a < z"', "constraint a < z: z must be one of a"),
        ('constraints = "a.real < 2"', "constraint a.real < 2: must compare parameters"),
        ('constraints = "open(a)"', r"constraint open\(a\): must compare parameters"),
        ('constraints = "a <"', "constraint a <: must compare parameters"),
        ('constraints = "a < 0"', "a = 1: must satisfy a < 0"),
        ("constraints = \"a < 'b'\"", "a = 1: must satisfy"),
    ],
)
def test_wrong_needs_and_constraints_are_refused(declare, following, message):
    with pytest.raises(InputError, match=f"20_mine: {message}"):
        declare("a = 1", following=following)


def test_a_file_that_is_not_text_is_refused(tmp_path):
    (tmp_path / "notebooks").mkdir()
    (tmp_path / "notebooks" / "20_mine.py").write_bytes(b"# %%\n\xff\xfe")
    with pytest.raises(InputError, match="20_mine: must be UTF-8 text"):
        read_notebook("20_mine", tmp_path)
    with pytest.raises(InputError, match=r"21_none: there is no notebooks/21_none\.py"):
        read_notebook("21_none", tmp_path)
