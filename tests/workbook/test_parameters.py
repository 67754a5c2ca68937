import itertools
import math
import re
import shutil

import pytest

from leptonfit.datafiles import InputError, compute_checksums
from leptonfit.inference.constructions import CONSTRUCTIONS
from leptonfit.inference.meta import ESTIMATORS
from leptonfit.neutrino.experiments import MEASURED, RESPONSE, SIMULATED, SPECTRA
from leptonfit.vortex.closures import CLOSURES
from leptonfit.vortex.measurements import SETS
from leptonfit.vortex.model import BOUNDS, LEPTONS, REPORT_BOUNDS
from leptonfit.workbook import cli, parameters, store
from leptonfit.workbook.declarations import read_notebook

NOTEBOOKS = parameters.notebook_names()


CHOICES = {
    "closure": tuple(CLOSURES),
    "bounds": tuple(BOUNDS),
    "measurements": SETS,
    "datasets": (*MEASURED, RESPONSE),
    "simulations": SIMULATED,
    "limit_method": tuple(CONSTRUCTIONS),
    "estimator": ESTIMATORS,
    "lepton": LEPTONS,
}
"""Choices that the library gives; a notebook may offer fewer."""
RANGES = {"radius": "R", "velocity": "U", "amplitude": "A", "c_mu": "c_mu"}


@pytest.mark.parametrize("notebook", NOTEBOOKS)
def test_every_notebook_declares_what_the_library_knows(notebook):
    for name, one in read_notebook(notebook).parameters.items():
        assert set(one.choices) <= set(CHOICES.get(name, one.choices))
        if name in RANGES:
            assert (one.low, one.high) == REPORT_BOUNDS[RANGES[name]]


def test_every_choice_of_the_library_is_offered():
    offered = {name: set() for name in CHOICES}
    for notebook, name in itertools.product(NOTEBOOKS, CHOICES):
        for one in parameters.find_declarations(name, [notebook]).values():
            offered[name] |= set(one.choices)
    assert offered == {name: set(choices) for name, choices in CHOICES.items()}


@pytest.mark.parametrize("notebook", NOTEBOOKS)
def test_every_notebook_says_what_it_loads(notebook, root):
    source = (root / "notebooks" / f"{notebook}.py").read_text()
    assert set(re.findall(r'store\.load\("(\w+)"', source)) <= parameters.upstream(notebook)


@pytest.mark.parametrize("notebook", [name for name in NOTEBOOKS if parameters.find_declarations("closure", [name])])
def test_the_constraints_on_r_max_are_those_of_the_closures(notebook):
    for closure, make in CLOSURES.items():
        for bounds, r_max in itertools.product(BOUNDS, (1.0, 5.0, 10.0, 20.0)):
            try:
                make(r_max=r_max)
                is_allowed = closure.startswith("lab") or r_max >= BOUNDS[bounds]["R"][1]
            except ValueError:
                is_allowed = False
            try:
                read_notebook(notebook).check({"closure": closure, "bounds": bounds, "r_max": r_max})
            except InputError:
                assert not is_allowed, (closure, bounds, r_max)
            else:
                assert is_allowed, (closure, bounds, r_max)


def test_one_data_set_sets_no_limit():
    assert RESPONSE == "response", "the notebooks' constraints name it"


@pytest.mark.parametrize("notebook", NOTEBOOKS)
def test_papermill_sees_every_parameter_we_see(notebook, root):
    papermill = pytest.importorskip("papermill")
    seen = papermill.inspect_notebook(str(root / "notebooks" / f"{notebook}.ipynb"))
    assert list(seen) == list(parameters.notebook_defaults(notebook))


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("sigma_m_model=1e-5", 1e-5),
        ("sigma_m_model=1", 1.0),
        ("n_beta=21", 21),
        ("include_sigma_exp=true", True),
        ("include_sigma_exp=False", False),
        ("closure=stream", "stream"),
        (" beta_min = 2 ", 2.0),
    ],
)
def test_assignments_become_values_of_the_right_type(text, value):
    name, written = parameters.parse_assignment(text)
    declared = read_notebook("02_profile_scan").parameters[name]
    read = declared.read(written)
    assert (read, type(read)) == (value, type(value))
    declared.check(read)


@pytest.mark.parametrize("value", [math.nan, math.inf, -1e-6, 0.0, "1e-6", True, None])
def test_values_from_a_notebook_are_checked_like_those_of_the_command_line(value):
    with pytest.raises(InputError, match=r"sigma_m_model = .*: must be a number from 1e-12 to 1000"):
        read_notebook("02_profile_scan").check({"sigma_m_model": value})


@pytest.mark.parametrize(
    ("name", "value", "items"),
    [
        ("datasets", "all", (*SPECTRA, RESPONSE)),
        ("datasets", " xenonnt, lz_ws2024", ("xenonnt", "lz_ws2024")),
        ("confidence_levels", "0.90, 0.95", (0.9, 0.95)),
        ("confidence_levels", 0.9, (0.9,)),
    ],
)
def test_lists_are_read_as_they_are_written(name, value, items):
    settings = parameters.read_settings(
        "12_recoil_spectra", {**parameters.notebook_defaults("12_recoil_spectra"), name: value}
    )
    assert getattr(settings, name) == items
    assert settings.values[name] == value


def test_a_notebook_namespace_is_checked_and_budget_fills_only_what_is_not_explicit():
    defaults = parameters.notebook_defaults("02_profile_scan")
    assert parameters.read_settings("02_profile_scan", {**defaults, "budget": "full"}).n_starts == 64
    assert parameters.read_settings("02_profile_scan", {**defaults, "budget": "full", "n_starts": 5}).n_starts == 5
    full, quick = (parameters.read_settings("02_profile_scan", {**defaults, "budget": b}) for b in ("full", "quick"))
    assert {k: v for k, v in full.values.items() if k not in ("budget", "n_starts")} == {
        k: v for k, v in quick.values.items() if k not in ("budget", "n_starts")
    }
    said = r"beta_min = 4: must satisfy beta_min < beta_max, with beta_max = 3\.25, in 02_profile_scan"
    with pytest.raises(InputError, match=said):
        parameters.read_settings("02_profile_scan", {**defaults, "beta_min": 4})


REFUSED = [
    (["-p", "sigma_m_model=nan"], "sigma_m_model = nan: must be a number from 1e-12 to 1000"),
    (["-p", "sigma_m_model=inf"], "sigma_m_model = inf: must be a number from 1e-12 to 1000"),
    (["-p", "sigma_m_model=0"], "sigma_m_model = 0.0: must be a number from 1e-12 to 1000"),
    (["-p", "sigma_g_model=-1e-8"], "sigma_g_model = -1e-08: must be a number from 1e-14 to 1000"),
    (["-p", "sigma_m_model=tiny"], "sigma_m_model = tiny: must be a number from 1e-12 to 1000"),
    (["-p", "seed=-1"], "seed = -1: must be an integer from 0 to"),
    (["-p", "n_beta=2.5"], "n_beta = 2.5: must be an integer"),
    (["-p", "n_starts=0"], "n_starts = 0: must be an integer from 1 to 10000"),
    (["-p", "n_starts=-3"], "n_starts = -3: must be an integer from 1 to 10000"),
    (["-p", "r_max=0"], "r_max = 0.0: must be a number from 1 to 1000"),
    (["-p", "r_max=-10"], "r_max = -10.0: must be a number from 1 to 1000"),
    (["-p", "beta_min=3.5"], "beta_min = 3.5: must satisfy beta_min < beta_max, with beta_max = 3.25, in"),
    (["-p", "beta_min=3", "-p", "beta_max=3"], "beta_min = 3.0: must satisfy beta_min < beta_max, with beta_max = 3.0"),
    (["-p", "closure=torus"], "closure = torus: must be one of stream"),
    (["-p", "closure=reported", "-p", "r_max=20"], "r_max = 20.0: must satisfy r_max == 10 or closure != 'reported'"),
    (["-p", "bounds=wide", "-p", "r_max=5"], "r_max = 5.0: must satisfy r_max >= 10 or bounds == 'report'"),
    (["-p", "bounds=open"], "bounds = open: must be one of report, wide"),
    (["-p", "measurements=pdg"], "measurements = pdg: must be one of report_2025, codata_2022"),
    (["-p", "datasets=xenonnt,lz"], "datasets = xenonnt,lz: must be one or more, with commas, of lz_ws2022, lz_ws2024"),
    (["-p", "datasets=xenonnt,xenonnt"], "datasets = xenonnt,xenonnt: must be one or more, with commas, of lz"),
    (["-p", "confidence_levels=1.2"], "confidence_levels = 1.2: must be one or more, with commas: each a"),
    (["-p", "confidence_levels=0.9,high"], "confidence_levels = 0.9,high: must be one or more, with commas:"),
    (["-p", "confidence_levels="], "confidence_levels = : must be one or more, with commas: each a number"),
    (["-p", "limit_method=bayes"], "limit_method = bayes: must be one of cls, fc, q_tilde, pinned"),
    (["13_threshold_scan", "-p", "limit_method=q_tilde"], "limit_method = q_tilde: must be one of cls, fc, pinned"),
    (["13_threshold_scan", "-p", "datasets=response"], "datasets = response: must satisfy datasets != ('response',)"),
    (["13_threshold_scan", "-p", "n_toys=5"], "n_toys = 5: must be an integer from 100 to 1000000"),
    (["-p", "n_live=1"], "n_live = 1: must be an integer from 50"),
    (["-p", "mu_nu=-1e-11"], "mu_nu = -1e-11: must be a number from 0 to 1e-06"),
    (["-p", "include_sigma_exp=maybe"], "include_sigma_exp = maybe: must be true or false"),
    (["-p", "sigma_model=1e-5"], "sigma_model = 1e-5: unknown parameter, the nearest is sigma_m_model"),
    (["-p", "sigma_m_model"], "-p sigma_m_model: must be name=value"),
    (["-p", "=3"], "-p =3: must be name=value"),
    (["-p", "seed=1", "-p", "seed=2"], "-p seed=2: seed is given twice"),
    (["--budget", "huge"], "budget = huge: must be one of quick, full"),
    (["-p", "budget=huge"], "budget = huge: must be one of quick, full"),
    (["--jobs", "0"], "--jobs 0: must be at least 1"),
    (["--jobs", "two"], "Invalid value for '--jobs': 'two' is not a valid integer"),
    (["-p", "n_beta=4_1"], "n_beta = 4_1: must be an integer from 2 to 1001"),
    (["-p", "sigma_m_model=1e-5\nx"], "sigma_m_model = 1e-5 x: must be a number"),
    (["-p", "sigma_m_model=1e-200"], "sigma_m_model = 1e-200: must be a number from 1e-12 to 1000"),
    (["-p", "beta_min=3", "-p", "beta_max=3.0000000000000004"], "n_beta = 41: must satisfy n_beta * 1e-9 * beta_max <"),
    (["-p", "zzz=1"], "zzz = 1: unknown parameter, must be one of amplitude, atomic_response, beta"),
    (["12_recoil_spectra", "13_threshold_scan", "-p", "n_toys=5"], "from 100 to 1000000, in 13_threshold_scan"),
    (["11_limits", "-p", "n_beta=5"], "n_beta = 5: none of the selected notebooks has this parameter"),
    (["--tag", "x" * 300], "must be 1 to 100 letters"),
    (["--tag", "a\n"], "--tag a : must be 1 to 100 letters"),
    (["--tag", "a/b"], "--tag a/b: must be 1 to 100 letters, digits, '.', '_' or '-'"),
    (["--tag", ".."], "--tag ..: must be 1 to 100 letters"),
    (["--tag", ""], "--tag : must be 1 to 100 letters"),
    (["--data", "nowhere"], "nowhere: must be a folder with a SHA256SUMS file"),
    (["--colour", "red"], "No such option"),
    (["02_profile"], f"notebook 02_profile: must be one of {', '.join(NOTEBOOKS)}"),
]


@pytest.mark.parametrize(("arguments", "message"), REFUSED, ids=lambda a: " ".join(a) if isinstance(a, list) else "")
def test_refused_input_is_one_line_exit_2_and_nothing_written(arguments, message, root, capsys, monkeypatch):
    if "--tag" not in arguments:
        arguments = [*arguments, "--tag", "refused-input"]
    monkeypatch.setattr("sys.argv", ["leptonfit", "run", *arguments])
    reports = root / "reports"
    before = sorted(reports.rglob("*")) if reports.exists() else None
    with pytest.raises(SystemExit) as stopped:
        cli.main()
    out, err = capsys.readouterr()
    assert stopped.value.code == 2
    assert out == ""
    assert err.count("\n") == 1
    assert err.startswith("leptonfit: ")
    assert message in err
    assert (sorted(reports.rglob("*")) if reports.exists() else None) == before


@pytest.mark.parametrize(
    ("name", "old", "new", "message"),
    [
        ("xenonnt.csv", "\n1,2,4,", "\n1,2,-4,", "counts in row 1 = -4: must be a count, 0 or more"),
        ("gemma.toml", 'unit = "cm-2 s-1"', "", "flux_total.unit is missing"),
        ("conus.csv", "\n0.225836,", "\n0.22,", "overlaps 0.21 to 0.225836: bins must follow one another"),
        ("published_limits.csv", ",reactor,", ",core,", "flavour_class in row 1 = core: must be one of reactor"),
    ],
)
def test_bad_data_are_one_line_exit_2_and_nothing_written(name, old, new, message, root, tmp_path, capsys, monkeypatch):
    folder = tmp_path / "data"
    shutil.copytree(root / "data", folder)
    path = folder / "neutrino" / name
    path.write_text(path.read_text().replace(old, new, 1))
    store.write_checksums(folder)
    monkeypatch.setattr("sys.argv", ["leptonfit", "run", "--data", str(folder), "--tag", "refused-data"])
    with pytest.raises(SystemExit) as stopped:
        cli.main()
    out, err = capsys.readouterr()
    assert (stopped.value.code, out, err.count("\n")) == (2, "", 1)
    assert message in err
    assert not (root / "reports" / "refused-data").exists()


def test_list_shows_every_parameter_with_unit_default_and_range(capsys, monkeypatch):
    monkeypatch.setattr("sys.argv", ["leptonfit", "list"])
    with pytest.raises(SystemExit) as stopped:
        cli.main()
    assert not stopped.value.code
    shown = capsys.readouterr().out
    assert "sigma_m_model = 1e-06 [relative]: model error of each mass; a number from 1e-12 to 1000" in shown
    assert "n_starts = 16 at quick, 64 at full" in shown
    for notebook in NOTEBOOKS:
        assert notebook in shown
        assert all(f"  {name} = " in shown for name in parameters.notebook_defaults(notebook))


def test_a_broken_list_of_checksums_is_refused(checkout, capsys, monkeypatch):
    (checkout / "data" / "SHA256SUMS").write_bytes(b"garbage\xff\n")
    monkeypatch.setattr("sys.argv", ["leptonfit", "check", "--data", str(checkout / "data")])
    with pytest.raises(SystemExit) as stopped:
        cli.main()
    assert stopped.value.code == 2
    assert "line 1 must be a SHA-256 digest and a file name" in capsys.readouterr().err


def test_check_refuses_a_changed_data_file_and_write_accepts_it(checkout, capsys, monkeypatch):
    changed = checkout / "data" / "reported_2025.toml"
    changed.write_text(changed.read_text() + "# a note\n")
    monkeypatch.setattr("sys.argv", ["leptonfit", "check", "--data", str(checkout / "data")])
    with pytest.raises(SystemExit) as stopped:
        cli.main()
    assert stopped.value.code == 2
    assert "data file reported_2025.toml: its SHA-256 is" in capsys.readouterr().err
    monkeypatch.setattr("sys.argv", ["leptonfit", "check", "--write", "--data", str(checkout / "data")])
    with pytest.raises(SystemExit) as stopped:
        cli.main()
    assert not stopped.value.code
    listed = (checkout / "data" / "SHA256SUMS").read_text().splitlines()
    assert len(listed) == len(compute_checksums(checkout / "data"))
