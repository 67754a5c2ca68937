"""A notebook of one's own: written from a table, a function and bounds, and executed, in a workbook that may be new."""

from __future__ import annotations

import ast
import json
import re
import shutil
import tokenize
from collections.abc import Callable
from pathlib import Path
from typing import Any

from leptonfit.datafiles import ROOT, SUMS, InputError, check_folder, is_workbook
from leptonfit.inference.problem import Parameter
from leptonfit.workbook import notebook_page, pairs, store
from leptonfit.workbook.own_fit import FitSource
from leptonfit.workbook.parameters import notebook_names

NUMBER = "25"
"""Number of notebooks of one's own; the digit puts them among "Your own fits" on the page."""
_TEMPLATES = notebook_page.TEMPLATES / "own"
_FOLDERS = ("notebooks", "data", "figures")


def write_notebook(name: str, source: FitSource, say: Callable[[str], None], root: Path = ROOT) -> None:
    """Write a notebook on a fit as a pair, with its data in `data/own`, and execute it.

    Where `root` is no workbook, one is made there: notebooks, data, figures and a Makefile. After an error or an
    interrupt nothing of all this is left.

    Parameters
    ----------
    name : str
        Name of the notebook, without a number.
    source : FitSource
    say : callable
        Receives progress messages, one line each.
    root : Path
        Root folder of the workbook.

    Raises
    ------
    InputError
        If the name is not allowed or taken, the fit cannot be made, or the notebook fails.
    """
    if not re.fullmatch(r"[A-Za-z][A-Za-z0-9_]{0,60}", name):
        raise InputError(f"notebook {name}: its name must be a letter, then at most 60 letters, digits or '_'")
    notebook, data = f"{NUMBER}_{name}", f"own/{name}.csv"
    pair = [root / "notebooks" / f"{notebook}.{suffix}" for suffix in ("py", "ipynb")]
    is_new = not is_workbook(root)
    _check_place(name, [*pair, root / "data" / data], root, is_new=is_new)
    text = _fill(name, notebook, data, source)
    sums = None if is_new else (root / "data" / SUMS).read_bytes()
    made: list[Path] = []
    try:
        if is_new:
            _make_workbook(root, made)
        _make_folder(root / "data" / "own", made)
        for path, content in ((pair[0], text), (root / "data" / data, source.data.read_bytes())):
            made.append(path)
            store.write_whole(path, content)
        made.append(pair[1])
        store.write_checksums(root / "data")
        say(f"{notebook}: running")
        if errors := pairs.write_pairs(lambda line: None, [notebook], root):
            raise InputError(f"{errors[0]}; nothing was written")
    except BaseException:
        for path in reversed(made):
            path.rmdir() if path.is_dir() else path.unlink(missing_ok=True)
        if sums is not None:
            store.write_whole(root / "data" / SUMS, sums)
        raise
    for path in (*pair, root / "data" / data):
        say(f"written: {path.relative_to(root)}")


def _check_place(name: str, new: list[Path], root: Path, *, is_new: bool) -> None:
    """Refuse a name that is taken, data that are not as listed, and a folder that is in use and no workbook."""
    if not is_new:
        check_folder(root / "data")
    for path in (root / one for one in (*_FOLDERS, "Makefile") if is_new):
        if path.exists():
            raise InputError(f"{path.name}: is already in this folder, which is no workbook; use an empty folder")
    others = [root / "notebooks" / f"{one}.py" for one in notebook_names(root) if one[3:] == name]
    for path in (*others, *new):
        if path.exists():
            raise InputError(f"{path.relative_to(root)}: exists already; choose another name than {name}")


def _make_workbook(root: Path, made: list[Path]) -> None:
    for folder in _FOLDERS:
        _make_folder(root / folder, made)
    made += [root / "data" / SUMS, root / "Makefile", root / "notebooks" / "jupytext.toml"]
    for path in made[-2:]:
        shutil.copyfile(_TEMPLATES / path.name, path)


def _make_folder(folder: Path, made: list[Path]) -> None:
    if not folder.is_dir():
        folder.mkdir()
        made.append(folder)


def _fill(name: str, notebook: str, data: str, source: FitSource) -> str:
    """Text of the notebook; refuses a model whose names mean something else in the notebook."""
    problem = source.make_problem()
    columns = source.x, source.y
    if source.counts:
        errors, said = '"poisson"', "The values are counts, with the likelihood of Poisson."
    elif source.sigma is None:
        errors, said = "None", "The standard error of the values is unknown; it is estimated from their scatter."
    elif isinstance(source.sigma, float):
        errors, said = repr(source.sigma), f"The standard error of each value is {source.sigma:g}."
    else:
        errors, said = (
            f"table[{_quote(source.sigma)}]",
            f"The standard error of each value is in the column `{_plain(source.sigma)}`.",
        )
    *most, last = problem.names
    filled = {
        "name": name,
        "notebook": notebook,
        "data": data,
        "function": source.function_name,
        "parameters": f"{', '.join(most)} and {last}" if most else last,
        "x": _plain(source.x),
        "y": _plain(source.y),
        "quoted": [_quote(column) for column in columns],
        "errors": errors,
        "errors_said": said,
        "bounds": {key: _write_bound(bound) for key, bound in source.bounds.items()},
    }
    template = notebook_page.templates().get_template("own/notebook.py.j2")
    ours = _names_bound(template.render(model="", **filled).partition("# %%\n")[2])
    model = _read_model(source.file)
    for one, origin in _names_bound(model).items():
        if one in ours and not ours[one] == origin != "":
            raise InputError(f"{source.file.name}: {one} means something else in the notebook; give it another name")
    return str(template.render(model=model, **filled)) + "\n"


def _read_model(path: Path) -> str:
    """Source of the model's file, without what it does only as a script."""
    with tokenize.open(path) as file:
        text = file.read()
    lines = text.split("\n")
    for node in reversed(ast.parse(text).body):
        if isinstance(node, ast.If) and "__name__" in ast.unparse(node.test):
            del lines[node.lineno - 1 : node.end_lineno]
    return "\n".join(lines).strip()


def _names_bound(source: str) -> dict[str, str]:
    """Names that code binds at its top level, with the import that binds them; an assignment or definition has none."""
    found: dict[str, str] = {}
    for node in ast.parse(source).body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            found[node.name] = ""
        elif isinstance(node, ast.Import | ast.ImportFrom):
            for alias in node.names:
                origin = f"{getattr(node, 'module', '')}.{alias.name}"
                found[alias.asname or alias.name.partition(".")[0]] = origin
        else:
            names = [one for one in ast.walk(node) if isinstance(one, ast.Name) and isinstance(one.ctx, ast.Store)]
            found |= dict.fromkeys((one.id for one in names), "")
    return found


def _write_bound(bound: Any) -> str:
    """Bound as Python code."""
    if isinstance(bound, Parameter):
        ends = ", ".join(f"{key}={_write_number(getattr(bound, key))}" for key in ("start", "lower", "upper"))
        scale = "" if bound.scale == "linear" else f", scale={_quote(bound.scale)}"
        return f"leptonfit.Parameter(name={_quote(bound.name)}, {ends}{scale})"
    return f"({', '.join(map(_write_number, bound))})" if isinstance(bound, tuple) else _write_number(bound)


def _write_number(number: float) -> str:
    return f'float("{number}")' if number in (float("inf"), -float("inf")) else repr(number)


def _quote(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


def _plain(text: str) -> str:
    return " ".join(text.split())
