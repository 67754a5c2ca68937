import json
import re
from pathlib import Path

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


def test_the_python_example_runs(capsys):
    exec(compile(re.search(r"```python\n(.*?)```", README, re.S)[1], "README.md", "exec"), {})
    assert "bound β from below only" in capsys.readouterr().out
