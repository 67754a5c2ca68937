import json
import re
from pathlib import Path

import pytest

from leptonfit.datafiles import InputError
from leptonfit.workbook.declarations import read_notebook

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text()


def test_the_verdict_quoted_is_that_of_the_figure():
    document = json.loads((ROOT / "figures" / "profile_scan.json").read_text())
    assert f"> {document['verdict']}\n" in README


def test_every_file_and_target_named_exists():
    for path in re.findall(r"\]\((figures/[^)]+)\)", README):
        assert (ROOT / path).is_file()
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.M))
    assert set(re.findall(r"`?make ([a-z]+)", README)) <= targets


def test_the_python_examples_run(capsys, monkeypatch):
    monkeypatch.chdir(ROOT)
    for example in re.findall(r"```python\n(.*?)```", README, re.S):
        exec(compile(example, "README.md", "exec"), {})
    said = capsys.readouterr().out
    (shown,) = re.findall(r"```text\n(.*?)```", README, re.S)
    assert shown in said
    assert "The data do not determine β" in said
    assert "'cls': array([8.32" in said


def test_the_limits_quoted_are_those_of_the_figure():
    document = json.loads((ROOT / "figures" / "moment_limits.json").read_text())
    (xenon,) = (one for one in document["drawn"]["found"] if one["slug"] == "xenonnt")
    for method in ("cls", "q_tilde"):
        assert f"{1e-11 * xenon['limits']['observed'][method][0] ** 0.5:.1e} μ_B" in README
    assert len(document["drawn"]["found"]) == 9
    assert all(one["observed"] for one in document["drawn"]["found"])


def test_the_notebook_shown_declares_what_is_said(tmp_path):
    (example,) = re.findall(r"```\n(# %% tags=.*?)```", README, re.S)
    (tmp_path / "notebooks").mkdir()
    for name, source in (("20_mine", example), ("02_profile_scan", "")):
        (tmp_path / "notebooks" / f"{name}.py").write_text(source)
    notebook = read_notebook("20_mine", tmp_path)
    assert list(notebook.parameters) == ["length", "closure", "datasets", "levels", "n_points", "budget"]
    assert [one.is_list for one in notebook.parameters.values()] == [False, False, True, True, False, False]
    assert notebook.needs == ("02_profile_scan",)
    with pytest.raises(InputError, match="length = 6: must satisfy length < 5 or closure == 'lab'"):
        notebook.check({"length": 6})
