"""environment.yml and requirements.lock hold what pyproject.toml says, no more and no less."""

import re
import tomllib
from pathlib import Path

import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
REQUIRED = [Requirement(line) for line in PROJECT["dependencies"] + PROJECT["optional-dependencies"]["dev"]]
LOCK = (ROOT / "requirements.lock").read_text()


def test_conda_environment_is_that_of_pyproject():
    listed = yaml.safe_load((ROOT / "environment.yml").read_text())["dependencies"]
    conda = {str(Requirement(line)) for line in listed if isinstance(line, str) and line != "pip"}
    *by_pip, itself = listed[-1]["pip"]  # what conda-forge names otherwise
    expected = {str(requirement) for requirement in REQUIRED} | {f"python{PROJECT['requires-python']}"}
    assert conda | set(by_pip) == expected
    assert itself == "-e ."


def test_lock_pins_every_requirement_within_its_range_and_with_hashes():
    entries = re.findall(
        r"^([A-Za-z0-9._-]+)==(\S+?)(?: ;[^\\]*)? \\\n((?:    --hash=sha256:[0-9a-f]{64}(?: \\)?\n)+)", LOCK, re.M
    )
    pinned = {canonicalize_name(name): version for name, version, _ in entries}
    assert len(entries) == len(re.findall(r"^[A-Za-z0-9]", LOCK, re.M)), "every entry is pinned and hashed"
    for requirement in REQUIRED:
        assert requirement.specifier.contains(pinned[canonicalize_name(requirement.name)]), requirement
    for line in tomllib.loads((ROOT / "pyproject.toml").read_text())["build-system"]["requires"]:
        assert canonicalize_name(Requirement(line).name) in pinned, "the build backend installs from the lock too"


def test_lock_holds_no_address():
    assert "://" not in LOCK
    assert "--index" not in LOCK
    assert "--find-links" not in LOCK
