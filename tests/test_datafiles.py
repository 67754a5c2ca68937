"""Every data file has a schema, and what is against it is refused in one line."""

import json
import shutil

import pytest
from jsonschema import Draft202012Validator

from leptonfit import datafiles
from leptonfit.datafiles import InputError, check_folder
from leptonfit.neutrino.sheets import FLAVOUR_CLASSES
from leptonfit.workbook import cli

SCHEMAS = sorted((datafiles.ROOT / "lib/leptonfit/schemas").rglob("*.json"))


@pytest.mark.parametrize("path", SCHEMAS, ids=lambda path: path.stem)
def test_schemas_are_json_schemas(path):
    Draft202012Validator.check_schema(json.loads(path.read_text()))


def test_every_data_file_has_a_schema(monkeypatch):
    checked = []
    monkeypatch.setattr(datafiles, "_VALID", set())
    monkeypatch.setattr(datafiles, "check_schema", lambda name, content: checked.append(name))
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
            "tight.n_beta = 41.5: must be a whole number, 1 or more",
        ),
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
def test_what_is_against_a_schema_is_refused_by_check(edited, monkeypatch, capsys, name, old, new, said):
    check_folder(datafiles.ROOT / "data")  # that the same name was valid before does not matter
    folder = edited(f"../{name}", old, new)
    with pytest.raises(InputError) as refused:
        check_folder(folder)
    assert str(refused.value).startswith(f"data file {name}: ")
    assert said in str(refused.value)
    assert "\n" not in str(refused.value)
    monkeypatch.setattr("sys.argv", ["leptonfit", "check", "--data", str(folder)])
    with pytest.raises(SystemExit) as stopped:
        cli.main()
    assert stopped.value.code == 2
    assert said in capsys.readouterr().err


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
