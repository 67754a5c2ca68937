"""A fit of one's own from Python and from files: table, verdicts, page, refusals."""

import json

import matplotlib.pyplot as plt
import numpy as np
import pytest

import leptonfit
from leptonfit.datafiles import ROOT
from leptonfit.workbook import cli, figures, own_fit

MODEL = "import numpy as np\n\n\ndef decay(t, a, b, c):\n    return a * np.exp(-b * t) + c\n"
T = np.linspace(0, 6, 12)


def decay(t, a, b, c):
    return a * np.exp(-b * t) + c


@pytest.fixture
def files(tmp_path):
    noise = 0.1 * np.array([0.4, -1.1, 0.9, 0.2, -0.6, 1.2, -0.1, 0.3, -0.8, 0.5, -0.4, 0.7])
    rows = [f"{t:.4f},{y:.5f},0.1" for t, y in zip(T, decay(T, 5, 0.8, 0.2) + noise, strict=True)]
    (tmp_path / "decay.csv").write_text("\n".join(["t,y,sigma", *rows, ""]))
    (tmp_path / "decay.py").write_text(MODEL)
    return tmp_path


BOUNDS = "a=0:20,b=0:5,c=-3:3"


def test_three_lines_give_a_verdict_on_every_parameter(files):
    t, y, sigma = np.loadtxt(files / "decay.csv", delimiter=",", skiprows=1, unpack=True)
    problem = leptonfit.problem_from_model(decay, t, y, sigma, {"a": (0, 20), "b": (0, 5), "c": (-3, 3)})
    answer = leptonfit.assess(problem, derived={"half_life": lambda p: np.log(2) / p["b"]})
    assert {name: verdict.code for name, verdict in answer.verdicts.items()} == dict.fromkeys(
        ("a", "b", "c", "half_life"), "identified"
    )
    low, high = answer.verdicts["b"].interval
    assert low < 0.8 < high
    assert answer.verdicts["b"].held_by == ((), ())
    assert answer.verdicts["half_life"].interval == pytest.approx((np.log(2) / high, np.log(2) / low), rel=1e-3)
    lines = str(answer).splitlines()
    assert lines[0].split()[:3] == ["parameter", "estimate", "error"]
    assert lines[2].split()[0] == "b"
    assert "degrees of freedom; p = 0." in str(answer)
    figure = answer.plot()
    assert len(figure.axes) == 6
    assert (figure.axes[0].get_xlabel(), figure.axes[0].get_ylabel()) == ("t", "y")


def test_the_table_shows_as_many_digits_as_the_error_allows():
    """A mean of 1000.25 known to 0.0006, and ends near zero with three digits of their own."""
    y = 1000.25 + 1e-3 * np.array([-1.0, 1.0, 0.0])
    near = leptonfit.problem_from_model(lambda x, m: m + 0 * x, np.arange(3.0), y, 1e-3, {"m": (900, 1100)})
    assert str(leptonfit.assess(near)).splitlines()[1].split() == [
        *("m", "1000.25", "0.00058", "[1000.2489,", "1000.2511]", "identified", "data", "data")
    ]
    zero = leptonfit.problem_from_model(lambda x, m: m + 0 * x, np.arange(3.0), np.full(3, 1.0), 1.0, {"m": (-9, 9)})
    assert "[-0.132, 2.13]" in str(leptonfit.assess(zero))
    square = leptonfit.problem_from_model(
        lambda x, m: m * m + 0 * x, np.arange(3.0), np.full(3, 1e4), 1.0, {"m": (-200, 200)}
    )
    assert "[-100.0057, -99.9943] and [99.99434, 100.00566]" in str(leptonfit.assess(square))


def test_a_best_fit_that_a_bound_holds_is_said():
    x, noise = np.arange(6.0), np.array([0.3, -0.4, 0.1, 0.5, -0.6, 0.2])
    problem = leptonfit.problem_from_model(
        lambda x, a, b: a + b * x, x, 1 + 2 * x + noise, None, {"a": (3, 10), "b": (-10, 10)}
    )
    said = leptonfit.assess(problem, ["b"]).describe_fit()
    assert said.endswith("It is held by a ≥ 3 (search); with search bounds released, the lowest χ² is 4.")


def test_the_command_prints_the_table_and_writes_a_page(files, monkeypatch, capsys):
    monkeypatch.chdir(files)
    monkeypatch.setattr(
        "sys.argv", ["leptonfit", "fit", "decay.csv", "decay.py:decay", "--bounds", "a=0:20,b=0:5,c=0.2"]
    )
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert not ended.value.code
    printed = capsys.readouterr().out
    assert "identified" in printed
    assert "page: reports/decay/index.html" in printed
    page = (files / "reports/decay/index.html").read_text()
    assert "The data determine a" in page
    assert "http" not in page.split("</style>")[1]
    stored = json.loads((files / "reports/decay/answer.json").read_text())
    assert stored["notes"] == []


def test_columns_are_matched_by_name_and_else_by_place(files):
    named = own_fit.problem_from_files(files / "decay.csv", str(files / "decay.py:decay"), BOUNDS)
    assert named.data.sigma == pytest.approx(0.1)
    assert (named.data.x_name, named.data.y_name) == ("t", "y")
    (files / "plain.csv").write_text((files / "decay.csv").read_text().replace("t,y,sigma", "time,activity,error"))
    plain = own_fit.problem_from_files(files / "plain.csv", str(files / "decay.py:decay"), BOUNDS)
    assert plain.data.y == pytest.approx(named.data.y)
    assert plain.data.sigma == pytest.approx(0.1)
    given = own_fit.problem_from_files(files / "plain.csv", str(files / "decay.py:decay"), BOUNDS, sigma="0.3")
    assert given.data.sigma == pytest.approx(0.3)
    swapped = own_fit.problem_from_files(files / "decay.csv", str(files / "decay.py:decay"), BOUNDS, y="sigma")
    assert swapped.data.y == pytest.approx(0.1)


def test_a_column_is_never_used_twice_nor_left_out(files):
    rows = [line.split(",") for line in (files / "decay.csv").read_text().splitlines()[1:]]
    (files / "turned.csv").write_text("\n".join(["activity,t", *(f"{y},{t}" for t, y, _ in rows)]))
    turned = own_fit.problem_from_files(files / "turned.csv", str(files / "decay.py:decay"), BOUNDS)
    assert turned.data.x == pytest.approx(T, abs=1e-4)
    assert turned.data.y[0] == pytest.approx(float(rows[0][1]))
    (files / "named.csv").write_text("\n".join(["t,y,err", *(",".join(row) for row in rows)]))
    named = own_fit.problem_from_files(files / "named.csv", str(files / "decay.py:decay"), BOUNDS)
    assert named.data.sigma == pytest.approx(0.1)
    assert (named.data.x_name, named.data.y_name) == ("t", "y")
    (files / "more.csv").write_text("\n".join(["t,y,err,n", *(",".join([*row, "1"]) for row in rows)]))
    with pytest.raises(leptonfit.datafiles.InputError, match="which of err, n is σ"):
        own_fit.problem_from_files(files / "more.csv", str(files / "decay.py:decay"), BOUNDS)


def test_a_table_of_two_columns_has_an_unknown_sigma(files):
    rows = [line.rsplit(",", 1)[0] for line in (files / "decay.csv").read_text().splitlines()]
    (files / "two.csv").write_text("\n".join(rows))
    problem = own_fit.problem_from_files(files / "two.csv", str(files / "decay.py:decay"), BOUNDS)
    assert problem.sigma_degrees == 9


def test_empty_entries_are_missing_values(files):
    text = (files / "decay.csv").read_text().splitlines()
    text[3] = text[3].rsplit(",", 1)[0] + ","
    (files / "holes.csv").write_text("\n".join(text))
    problem = own_fit.problem_from_files(files / "holes.csv", str(files / "decay.py:decay"), BOUNDS)
    assert problem.notes == ("Rows with missing values are left out: 1.",)


def test_comments_are_left_out(files):
    text = (files / "decay.csv").read_text().splitlines()
    (files / "notes.csv").write_text("\n".join(["# counts per second", *text[:4], f"{text[4]}  # twice", *text[5:]]))
    assert own_fit.read_table(files / "notes.csv").equals(own_fit.read_table(files / "decay.csv"))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("t,y\n1,2,3\n4,5,6\n", "a row has more entries than the head"),
        ("t,y\n1,2\n3,x\n", "y in row 2 = x: must be a number"),
        ("0,1\n1,2\n", "the first row 0, 1 must be a head with names, not numbers"),
        ("t,y,t\n1,2,3\n", "the head t, y, t has a name twice"),
        ("t\n1\n", "has one column, t: must have x and y, separated by commas"),
        ("", "must be a CSV file"),
    ],
)
def test_tables_that_cannot_be_read_are_refused(files, text, message):
    (files / "bad.csv").write_text(text)
    with pytest.raises(leptonfit.datafiles.InputError, match=message):
        own_fit.read_table(files / "bad.csv")


@pytest.mark.parametrize(
    ("bounds", "message"),
    [
        ("a=0:20,b=0:5,c=x", "--bounds c=x: must be name=low:high"),
        ("a=0:20,b", "--bounds b: must be name=low:high"),
        ("a=0:20,b=0::-1", "the start must be finite and in"),
        ("a=0:20,b=0:,c=1", "infinite bounds need a Parameter with a start"),
        ("a=0:20,b=0:5,a=1", "--bounds a=1: a is given twice"),
        ("a=0:20,b=0:5", "parameter 'c': the model needs it"),
    ],
)
def test_bounds_that_cannot_be_read_are_refused(files, bounds, message):
    with pytest.raises(leptonfit.datafiles.InputError, match=message):
        own_fit.problem_from_files(files / "decay.csv", str(files / "decay.py:decay"), bounds)


def test_models_that_cannot_be_loaded_are_refused(files):
    for reference, message in (
        ("nothing.py:decay", "must be FILE.py:FUNCTION with a file that exists"),
        (str(files / "decay.py"), "must be FILE.py:FUNCTION"),
        (str(files / "decay.py:other"), "decay.py has the functions decay"),
    ):
        with pytest.raises(leptonfit.datafiles.InputError, match=message):
            own_fit.load_function(reference)
    (files / "leaves.py").write_text("raise SystemExit(3)\n")
    with pytest.raises(leptonfit.datafiles.InputError, match=r"leaves\.py failed: SystemExit: 3"):
        own_fit.load_function(str(files / "leaves.py:f"))
    (files / "broken.py").write_text("1 / 0\n")
    with pytest.raises(leptonfit.datafiles.InputError, match=r"broken\.py failed: ZeroDivisionError"):
        own_fit.load_function(str(files / "broken.py:f"))


def test_what_cannot_be_assessed_is_refused():
    problem = leptonfit.problem_from_model(decay, T, decay(T, 5, 0.8, 0.2), 0.1, {"a": (0, 20), "b": (0, 5), "c": 0.2})
    for names, derived, message in (
        ("z", None, "parameter 'z': must be one of a, b"),
        (["a"], {"h": lambda p: 0 * p["b"] + 1}, "h = 1: does not depend on the parameters"),
        ([], None, "at least one parameter must be assessed"),
        (["z"], None, "parameter 'z': must be one of a, b"),
        (["a"], {"b": lambda p: p["b"]}, "derived quantity 'b': is the name of a parameter"),
    ):
        with pytest.raises(ValueError, match=message):
            leptonfit.assess(problem, names, derived=derived)


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--level", "95"], "--level 95: must be between 0 and 1"),
        (["--counts", "--sigma", "1"], "--sigma 1: counts have no error of their own"),
        (["--y", "z"], "has no column z beside x; it has y, sigma"),
    ],
)
def test_refused_options_give_one_line_and_write_nothing(files, monkeypatch, capsys, more, message):
    monkeypatch.chdir(files)
    monkeypatch.setattr("sys.argv", ["leptonfit", "fit", "decay.csv", "decay.py:decay", "--bounds", BOUNDS, *more])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert ended.value.code == 2
    said = capsys.readouterr()
    assert message in said.err
    assert len(said.err.splitlines()) == 1
    assert not (files / "reports").exists()


@pytest.mark.slow
def test_what_would_determine_it_is_said(files):
    short = np.linspace(0, 0.4, 9)
    y = decay(short, 5, 0.8, 0.2) + 0.1 * np.array([0.4, -1.1, 0.9, 0.2, -0.6, 1.2, -0.1, 0.3, -0.8])
    problem = leptonfit.problem_from_model(decay, short, y, 0.1, {"a": (0, 20), "b": (0, 5), "c": 0.2})
    answer = leptonfit.assess(problem)
    assert answer.explain("a") == []
    open_ = leptonfit.problem_from_model(decay, short, y, 0.1, {"a": (0, 20), "b": (0, 5), "c": (-3, 3)})
    answer = leptonfit.assess(open_, ["b"])
    assert answer.verdicts["b"].code.startswith(("open", "not"))
    sentences = answer.explain("b")
    assert any(sentence.startswith("A measurement of c with ") for sentence in sentences)
    assert sentences[-1].startswith("So would one further datum, with the median error of the present ones, at t = ")
    with pytest.raises(ValueError, match="parameter 'z': must be one of b"):
        answer.explain("z")


def test_the_picture_names_the_bounds_that_make_a_part_of_the_profile():
    t, y, sigma = np.loadtxt(ROOT / "data/examples/decay_short.csv", delimiter=",", skiprows=1, unpack=True)
    given, wide = ({"a": (0, 20), "b": (0, 5), "c": (-3, 3)}, {"a": (0, 1e4), "b": (0, 5), "c": (-1e4, 1e4)})
    problems = [leptonfit.problem_from_model(decay, t, y, sigma, bounds) for bounds in (given, wide)]
    how = {"effort": leptonfit.Effort(4, 1), "sets": leptonfit.SetOptions((0.95,), release=False)}
    within, alone = (leptonfit.scan_profile(one, "b", np.linspace(0.1, 4.9, 25), **how) for one in problems)
    _, (left, right) = plt.subplots(1, 2)
    for ax, profile, expected in ((left, within, ["made by the\nbounds of c"]), (right, alone, [])):
        figures.plot_profile_by_cause(ax, profile, alone, "open_below")
        assert [text.get_text() for text in ax.texts] == expected
    assert left.get_title() == "b is open below"
    above = figures.plot_allowed_fits(right, problems[1], alone, until=6)
    assert len(above.lines) > (alone.chi2_min - alone.best_chi2 <= alone.levels["0.95"]).sum() > 10
    plt.close("all")


def test_bounds_may_ask_for_a_logarithmic_scale():
    (rate,) = own_fit.read_bounds("k=1e-6:1:log").values()
    assert (rate.scale, rate.lower, rate.upper) == ("log", 1e-6, 1.0)
    assert rate.start == pytest.approx(1e-3)
