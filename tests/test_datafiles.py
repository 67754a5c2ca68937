"""Every data file has a schema, and what is against it is refused in one line."""

import json
import shutil

import pytest
from jsonschema import Draft202012Validator

from leptonfit import datafiles
from leptonfit.datafiles import InputError, check_folder, find_faults
from leptonfit.neutrino.sheets import FLAVOUR_CLASSES
from leptonfit.workbook import cli
from leptonfit.workbook.data_check import check_file
from leptonfit.workbook.run import check_request

SCHEMAS = sorted((datafiles.ROOT / "lib/leptonfit/schemas").rglob("*.json"))


@pytest.mark.parametrize("path", SCHEMAS, ids=lambda path: path.stem)
def test_schemas_are_json_schemas(path):
    Draft202012Validator.check_schema(json.loads(path.read_text()))


def test_every_data_file_has_a_schema(monkeypatch):
    checked = []
    monkeypatch.setattr(datafiles, "_VALID", set())
    monkeypatch.setattr(datafiles, "_compare_schema", lambda name, content: checked.append(name) or [])
    check_folder(datafiles.ROOT / "data")
    listed = datafiles.read_checksums(datafiles.ROOT / "data")
    assert sorted(checked) == sorted(name for name in listed if not name.startswith("own/"))


def test_flavour_classes_are_those_of_the_schema():
    common = json.loads((datafiles.ROOT / "lib/leptonfit/schemas/common.json").read_text())
    assert common["$defs"]["flavour_class"]["enum"] == list(FLAVOUR_CLASSES)


@pytest.mark.parametrize(
    ("name", "old", "new", "said"),
    [
        ("reported_2025.toml", "chi2_min = 8686.0", "chi2_min = nan", "tight.chi2_min = nan: must be a number above 0"),
        (
            "reported_2025.toml",
            "n_beta = 41",
            "n_beta = 41.5",
            "tight.n_beta = 41.5: must be a whole number from 2 to 1001",
        ),
        ("reported_2025.toml", "n_beta = 41", "n_beta = 1e9", "n_beta = 1000000000.0: must be a whole number from 2"),
        ("reported_2025.toml", "beta_box = [2.5, 3.5]", "beta_box = [3.5, 2.5]", "beta_box = [3.5, 2.5]: must ascend"),
        ("reported_2025.toml", "{tight[source]}", "{tight.source}", "must be {name} or {name:.3g}"),
        ("reported_2025.toml", "[statements.offset]", "[statements.onset]", "statements.offset is missing"),
        ("report_838.toml", 'unit = "mu_B"', 'unit = "1"', "parameter.mu0.unit = 1: must be mu_B"),
        ("report_838.toml", "[1.0, 30.0]", "[30.0, 1.0]", "threshold_kevee = [30.0, 1.0]: must ascend"),
        ("reenacted_2025.json", '"seconds": {"tight"', '"second": {"tight"', "[0].seconds is missing"),
        ("reenacted_2025.json", '"beta": [2.85, ', '"beta": [', "'beta': 40, 'chi2': 41"),
        ("reenacted_2025.json", '"setup": ', '"setup": "", "setup": ', "setup is given twice"),
        ("neutrino/covariates_838.toml", "[0.0, 0.99,", "[nan, 0.99,", "lz_ws2022[0] = nan: must be"),
        ("neutrino/xenonnt_release.toml", "[0.15, 0.0]", "[0.01, 0.0]", "energy 0.01 after 0.05: must ascend"),
        ("examples/decay_long.csv", "0.5455,4.4359", "0.0000,6.0051", "row 2 is the same as row 1: rows must differ"),
        ("examples/decay_long.csv", "6.0000,1.0267,0.15\n", "6.0000,1.0267,0.1", "must end with a new line"),
        ("neutrino/pandax4t_run1.toml", "[nuisances.slope]", "[nuisances.slop]", "nuisances.slop: not known for"),
        ("reported_2025.toml", "chi2_best = 683.0", "chi2_bast = 683.0", "multi_start.chi2_best is missing"),
        ("reported_2025.toml", 'mark = "proven"', 'mark = "true"', "mark = true: must be one of arithmetic, numerical"),
        (
            "report_838.toml",
            "claimed = [1.3e-11, 0.4e-11]",
            "claimed = [1.3e-11]",
            "claimed = [1.3e-11]: must be 2 numbers",
        ),
        (
            "report_838.toml",
            "weight = 12",
            "weight = true",
            "scorecard.dimension[0].weight = true: must be a whole number",
        ),
        ("report_838.toml", "nuclear = true", "nuclear = 1", "dataset[5].nuclear = 1: must be true or false"),
        ("closures.toml", "[[block]]", "[[blocks]]", "closures.toml: blocks: must be one of block"),
        ("reenacted_2025.json", '"recorded": "2026-11-22"', '"recorded": 2026', "[0].recorded = 2026: must be text"),
        ("reenacted_2025.json", '{"recorded"', '"recorded"', "reenacted_2025.json: must be JSON: "),
        ("neutrino/published_limits.csv", "name,experiment", 'name,"experiment', "must be CSV with a head"),
    ],
)
def test_what_is_not_valid_is_refused_in_one_line(edited, name, old, new, said):
    assert not find_faults(name, data=datafiles.ROOT / "data")  # that the same name was valid before does not matter
    folder = edited(f"../{name}", old, new)
    first, *_ = check_file(name, folder)
    assert first.startswith("data file ")
    assert said in first
    assert first.isprintable()


def test_every_fault_is_a_line_of_check_and_stops_a_run(edited, monkeypatch, capsys):
    """What a schema allows and a loader refuses is found as well."""
    edited("targets.toml", "n_outer = 26", "n_outer = 28")
    edited("../charged_leptons.toml", "value = 3477.228", "value = 1776.86")
    folder = edited("../closures.toml", "[[block]]", "[[blocks]]")
    monkeypatch.setattr("sys.argv", ["leptonfit", "check", "--data", str(folder)])
    with pytest.raises(SystemExit) as stopped:
        cli.main()
    assert stopped.value.code == 2
    lines = capsys.readouterr().err.splitlines()
    assert [line.split(": ")[2:] for line in lines] == [
        ["report_2025.m_tau = 1776.86", "must be a number from 3470 to 3485"],
        ["blocks", "must be one of block"],
        ["atom.Xe holds 56 electrons", "must be 54"],
    ]
    with pytest.raises(InputError, match=r"m_tau = 1776.86: must be .* \(2 more: leptonfit check --data"):
        check_request(data=folder)


def test_check_finds_what_a_schema_cannot_say(edited, monkeypatch, capsys):
    folder = edited("targets.toml", "n_outer = 26", "n_outer = 28")
    monkeypatch.setattr("sys.argv", ["leptonfit", "check", "--data", str(folder)])
    with pytest.raises(SystemExit):
        cli.main()
    assert "atom.Xe holds 56 electrons: must be 54" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("{digest}  ../outside.csv", "names ../outside.csv: must name a file in this folder"),
        ("{digest}  {folder}/outside.csv", "must name a file in this folder"),
        ("{digest}  closures.toml", "names closures.toml again: must name each file once"),
        ("{digest}", "must be a SHA-256 digest and a file name, with two spaces between"),
    ],
)
def test_a_list_of_checksums_names_files_of_its_folder_once(root, tmp_path, line, said):
    shutil.copytree(root / "data", tmp_path / "data")
    with (tmp_path / "data" / "SHA256SUMS").open("a") as sums:
        sums.write(line.format(digest="0" * 64, folder=tmp_path) + "\n")
    with pytest.raises(InputError) as refused:
        check_folder(tmp_path / "data")
    assert str(refused.value).endswith(said)


def test_a_link_out_of_the_data_folder_is_not_read(root, tmp_path):
    shutil.copytree(root / "data", tmp_path / "data")
    (tmp_path / "secret.csv").write_text("x\n1\n")
    (tmp_path / "data" / "more.csv").symlink_to(tmp_path / "secret.csv")
    for read in (check_folder, datafiles.compute_checksums, lambda folder: datafiles.read_csv("more.csv", data=folder)):
        with pytest.raises(InputError, match=r"data file more\.csv: must lie in|must be in"):
            read(tmp_path / "data")
