import errno
import json
import os
import subprocess
import time

import numpy as np
import pandas as pd
import pytest

from leptonfit.datafiles import DamagedError
from leptonfit.inference.intervals import EndResult, IntervalSet
from leptonfit.vortex.choices import Choice
from leptonfit.workbook import store
from leptonfit.workbook.formats import format_table
from leptonfit.workbook.parameters import Settings


@pytest.fixture
def settings(tmp_path, monkeypatch):
    monkeypatch.setenv(store.REPORT_VARIABLE, str(tmp_path))
    return Settings("02_profile_scan", {"seed": 3, "sigma_m_model": 1e-6}, time.monotonic())


def test_what_is_saved_comes_back_with_its_provenance(settings):
    open_set = IntervalSet(np.array([[1.5, np.inf]]), (EndResult("crossing"),), (EndResult("scan_end"),), decided=True)
    table = pd.DataFrame({"beta": [1.0, 2.0]})
    path = store.save(
        settings,
        results={"x": np.array([1.0, np.nan]), "set": open_set},
        verdict="β is open",
        verdict_code="open_above",
        tables={"t": table},
    )
    document = store.load("02_profile_scan")
    assert document["schema_version"] == store.SCHEMA_VERSION
    assert document["parameters"] == {"seed": 3, "sigma_m_model": 1e-6}
    assert document["results"]["x"] == [1.0, None]
    assert document["results"]["set"].intervals.tolist() == [[1.5, np.inf]]
    assert document["results"]["set"].below == (EndResult("crossing"),)
    stored = json.loads(path.read_text())["results"]["set"]
    assert (stored["type"], stored["intervals"]) == ("inference.intervals.IntervalSet", [[1.5, None]])
    assert (document["verdict"], document["verdict_code"]) == ("β is open", "open_above")
    assert {"git_commit", "git_dirty", "versions", "data_checksums", "seed", "seconds", "machine"} <= set(
        document["provenance"]
    )
    assert document["provenance"]["versions"]["numpy"] == np.__version__
    assert document["provenance"]["data_folder"] is None
    pd.testing.assert_frame_equal(pd.read_csv(path.parent / "02_profile_scan.t.csv"), table)
    shown = pd.read_csv(path.parent / "02_profile_scan.t.shown.csv", dtype=str)
    pd.testing.assert_frame_equal(shown, format_table(table), check_dtype=False)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda d: d["results"]["end"].update(type="os.system"), "type = 'os.system': must be a result"),
        (lambda d: d["results"]["end"].update(type=["x"]), r"type = \['x'\]: must be a result"),
        (lambda d: d["results"]["end"].pop("held_by"), "the field 'held_by' is missing"),
        (lambda d: d["results"]["end"].update(held_by=3), "is not what was written"),
        (lambda d: d["results"]["choice"].update(frame="moon"), "frame = 'moon'"),
        (lambda d: d.pop("verdict"), "its keys must be schema_version, parameters,"),
        (lambda d: d.update(more=1), "its keys must be"),
        (lambda d: d.update(schema_version=2), "has schema_version = 2: must be 4; run 02_profile_scan again"),
        (lambda d: d.pop("schema_version"), "its keys must be"),
    ],
)
def test_a_file_that_is_not_what_was_written_is_refused_by_name(settings, change, message):
    results = {"end": EndResult("crossing"), "choice": Choice()}
    path = store.save(settings, results=results, verdict="", verdict_code="identified")
    document = json.loads(path.read_text())
    change(document)
    document["provenance"]["content_checksum"] = store.content_checksum(document)  # the file is not only damaged
    path.write_text(json.dumps(document))
    with pytest.raises(ValueError, match=message) as refused:
        store.load("02_profile_scan")
    assert str(path) in str(refused.value)


def test_a_changed_number_is_noticed(settings):
    path = store.save(settings, results={"x": 1.25}, verdict="", verdict_code="identified")
    path.write_text(path.read_text().replace("1.25", "1.26"))
    with pytest.raises(DamagedError, match="its content differs from its checksum"):
        store.load("02_profile_scan")


@pytest.mark.parametrize("text", ["", "[]", '{"schema_version": 4, "parameters"', "\x00", "[" * 100_000])
def test_a_file_that_is_no_document_is_refused_by_name(settings, text):
    path = store.save(settings, results={}, verdict="", verdict_code="identified")
    path.write_text(text)
    with pytest.raises(ValueError, match=r"02_profile_scan.json is not what was written"):
        store.load("02_profile_scan")


def test_a_failed_write_leaves_the_old_file_and_nothing_else(settings, tmp_path):
    path = store.save(settings, results={"x": 1}, verdict="old", verdict_code="identified")
    with pytest.raises(TypeError):
        store.save(settings, results={"x": object()}, verdict="new", verdict_code="identified")
    assert json.loads(path.read_text())["verdict"] == "old"
    assert [p.name for p in path.parent.iterdir()] == [path.name]


def test_results_made_with_other_parameters_are_refused(settings):
    store.save(settings, results={}, verdict="", verdict_code="identified")
    assert store.load("02_profile_scan", like=settings)
    other = Settings("06_verdict", {"sigma_m_model": 1e-5}, time.monotonic())
    with pytest.raises(ValueError, match="02_profile_scan was run with sigma_m_model = 1e-06, not 1e-05"):
        store.load("02_profile_scan", like=other)


def test_variants_differ_in_one_parameter_only_and_come_from_the_same_library(tmp_path, monkeypatch):
    def saved(place, **values):
        monkeypatch.setenv(store.REPORT_VARIABLE, str(tmp_path / place))
        settings = Settings("02_profile_scan", {"closure": "stream", "n_beta": 3, **values}, time.monotonic())
        return store.save(settings, results={}, verdict=place, verdict_code="identified")

    saved("")
    saved("sweep/lab", closure="lab")
    saved("sweep/finer", closure="reported", n_beta=9)
    old = saved("sweep/old", closure="lab_linear")
    document = json.loads(old.read_text())
    document["provenance"]["library_checksum"] = "another"
    document["provenance"]["content_checksum"] = store.content_checksum(document)
    old.write_text(json.dumps(document))
    saved("sweep/older", closure="lab_quartic").write_text('{"schema_version": 1}')
    found = store.find_variants("02_profile_scan", "closure", tmp_path)
    assert {closure: document["verdict"] for closure, document in found.items()} == {"stream": "", "lab": "sweep/lab"}
    with pytest.raises(ValueError, match="another state of library or data"):
        store.load("02_profile_scan", tmp_path / "sweep" / "old", like=Settings("06_verdict", {}, 0.0))


def test_loading_what_was_never_run_says_how_to_run_it(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"leptonfit run 02_profile_scan"):
        store.load("02_profile_scan", tmp_path)


def test_the_commit_is_that_of_the_checkout_and_of_no_repository_around_it(tmp_path, settings, monkeypatch):
    def git(*words):
        identity = ["-c", "user.name=a", "-c", "user.email=a@b"]
        subprocess.run(["git", "-C", tmp_path, *identity, *words], capture_output=True, check=True)

    git("init")
    git("commit", "--allow-empty", "-m", "around")
    inside = tmp_path / "checkout"
    inside.mkdir()
    monkeypatch.setattr(store, "ROOT", tmp_path)
    assert len(store.provenance(settings)["git_commit"]) == 40
    monkeypatch.setattr(store, "ROOT", inside)
    assert store.provenance(settings)["git_commit"] is None
    monkeypatch.setenv("GIT_DIR", str(tmp_path / ".git"))
    found = store.provenance(settings)
    assert (found["git_commit"], found["git_dirty"]) == (None, None)


def test_a_full_disk_is_named_with_the_file_that_was_to_be_written(tmp_path, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    path = tmp_path / "a.json"
    path.write_text("old")
    monkeypatch.setattr(os, "chmod", full)
    with pytest.raises(OSError, match="No space left on device") as failed:
        store.write_whole(path, "new")
    assert failed.value.filename == str(path)
    assert [(one.name, one.read_text()) for one in tmp_path.iterdir()] == [("a.json", "old")]
