"""Data files changed at random: what is no number, and a wrong unit or mark, are refused, each fault in one line."""

import hashlib
import json
import random
import re
import shutil
import tomllib
from collections import Counter
from pathlib import Path

import pytest

from leptonfit.datafiles import SUMS, read_checksums
from leptonfit.workbook.data_check import check_file

NUMBERS = {
    ".toml": r"(?<![\w.+-])-?\d+(?:\.\d+)?(?:e[+-]?\d+)?(?![\w.-])",
    ".json": r"(?<=[ \[])-?\d+(?:\.\d+)?(?:e[+-]?\d+)?(?=[,\]}])",
    ".csv": r"(?<![^,\n])-?\d+(?:\.\d+)?(?:e[+-]?\d+)?(?![^,\n])",
}
KEYS = {".toml": r"(?m)^\[*([\w.]+)(?: =|\])", ".json": r'"(\w+)":', ".csv": r"(?:\A|(?<=,))(\w+)(?=[,\n])"}
NO_NUMBERS = {
    ".toml": ("true", "nan", "-inf", '"many"', "[]", "{}"),
    ".json": ("true", "NaN", "-Infinity", '"many"', "[]", "{}"),
    ".csv": ("true", "nan", "-inf", "many", "", "1,1", "1_0"),
}


def spoil_number(text, suffix, rng):
    """Write something else in the place of a number."""
    return _replace(text, NUMBERS[suffix], rng.choice(NO_NUMBERS[suffix]), rng)


def spoil_unit(text, suffix, rng):
    """Change a unit or a mark."""
    return _replace(text, r'(?m)^(?:unit|mark) = "([^"]*)"', rng.choice(("furlong", "guessed", "")), rng)


def change_number(text, suffix, rng):
    """Make a number negative, or very large."""
    return _replace(text, NUMBERS[suffix], rng.choice(("-1.0", "1e19")), rng)


def change_key(text, suffix, rng):
    """Change a key or the name of a column."""
    return _replace(text, KEYS[suffix], rng.choice(("other", "value", "")), rng)


def change_lines(text, suffix, rng):
    """Leave out a line, write it twice, or exchange two."""
    lines = text.splitlines(keepends=True)
    i, j = rng.randrange(len(lines)), rng.randrange(len(lines))
    kept = rng.choice(([], [lines[i], lines[i]], [lines[j]]))
    lines[i : i + 1] = kept
    return "".join(lines)


def change_characters(text, suffix, rng):
    """Cut the file, or insert a character."""
    at = rng.randrange(len(text))
    return text[:at] if rng.random() < 0.3 else text[:at] + rng.choice("\0\x1b,\n\"'[{=-٣é") + text[at:]


CHANGES = (spoil_number, spoil_number, spoil_unit, change_number, change_key, change_lines, change_characters)
ALWAYS_REFUSED = (spoil_number, spoil_unit)
READ_WITH = {
    ".csv": ("{stem}.csv", "{stem}.toml"),
    "flux.toml": ("flux.toml", "mixing.toml", "conus.toml", "xenonnt.toml"),
    "targets.toml": ("targets.toml", "xenonnt.toml", "superk_1to4.toml", "coherent_lar.toml"),
    "superk_4.toml": ("superk_4.toml", "superk_1to4.toml"),
}
"""Files that are checked with a changed one, in its folder."""


def _replace(text, pattern, new, rng):
    places = [found.span(found.re.groups) for found in re.finditer(pattern, text) if not _is_text(text, found.start())]
    low, high = rng.choice(places or [(0, 0)])
    return text[:low] + (new if places else "") + text[high:]


def _is_text(text, place):
    before = text[text.rfind("\n", 0, place) + 1 : place]
    return "#" in before or (text[place] != '"' and before.count('"') % 2 == 1)


def _read(text, suffix):
    """What a file says, apart from how it is written."""
    return {".toml": tomllib.loads, ".json": json.loads, ".csv": str.split}[suffix](text)


def _check(name, folder):
    """Faults of a file and of those that are read with it."""
    path = Path(name)
    others = READ_WITH.get(path.name) or READ_WITH.get(path.suffix) or (path.name,)
    names = [path.with_name(one.format(stem=path.stem)).as_posix() for one in others]
    return [fault for one in names if (folder / one).is_file() for fault in check_file(one, folder)]


def _attack(folder, n, seed):
    """Change each file n times; counts, and what was accepted although it must be refused."""
    count, believed = Counter(), []
    sums = read_checksums(folder)
    for name in sorted(sums):
        path, rng = folder / name, random.Random(f"{name} {seed}")
        text = path.read_text()
        for _ in range(n):
            change = rng.choice(CHANGES)
            new = change(text, path.suffix, rng)
            if new == text:
                continue
            path.write_text(new)
            listed = {**sums, name: hashlib.sha256(path.read_bytes()).hexdigest()}
            (folder / SUMS).write_text("".join(f"{digest}  {one}\n" for one, digest in listed.items()))
            faults = _check(name, folder)
            assert all(fault.isprintable() for fault in faults)
            count["mutated files"] += 1
            if not faults and _read(new, path.suffix) != _read(text, path.suffix):
                count["accepted though changed in meaning"] += 1
                count[change.__name__] += 1
                if change in ALWAYS_REFUSED:
                    believed.append((name, new))
        path.write_text(text)
    return count, believed


def _report(count):
    kinds = ", ".join(f"{one.__name__} {count[one.__name__]}" for one in dict.fromkeys(CHANGES))
    return f"{count['mutated files']} mutated files, {count['accepted though changed in meaning']} accepted though " + (
        f"changed in meaning ({kinds})"
    )


@pytest.mark.parametrize("n", [2, pytest.param(200, marks=[pytest.mark.slow, pytest.mark.fuzz])])
def test_numbers_and_units_that_are_none_are_refused(root, tmp_path, n):
    """A line left out, a smaller number or another text can be valid; this is counted."""
    folder = tmp_path / "data"
    shutil.copytree(root / "data", folder)
    count, believed = _attack(folder, n, seed=2025)
    print(_report(count))
    assert not believed
