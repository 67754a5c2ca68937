"""Reader of a notebook's source: its parameters, the constraints between them, and the notebooks that it needs."""

from __future__ import annotations

import ast
import functools
import io
import json
import math
import re
import tokenize
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from leptonfit.datafiles import ROOT, InputError

Value = float | int | bool | str
BUDGETS = ("quick", "full")

_MARKER = re.compile(r"^# ?%%+(?=[ {\[]|$).*$", re.M)
_TAGS = re.compile(r'\btags"?\s*[=:]\s*(\[[^\]]*\])')
_SEVERAL = "…"
_KINDS: dict[str, type] = {"bool": bool, "int": int, "float": float, "str": str}
_STATED = ("needs", "constraints")
_TAKEN = ("notebook", "values", "started", "declared", "published")
"""Attributes of `parameters.Settings`, which no parameter may use as a name."""
_ALLOWED_NODES = (
    ast.Expression,
    ast.BoolOp,
    ast.boolop,
    ast.UnaryOp,
    ast.unaryop,
    ast.BinOp,
    ast.operator,
    ast.Compare,
    ast.cmpop,
    ast.Name,
    ast.Load,
    ast.Constant,
    ast.Tuple,
)


@dataclass(frozen=True, kw_only=True)
class Declaration:
    """Declaration of one parameter in a notebook.

    Attributes
    ----------
    name : str
    default : bool, int, float, str or None
        Default value; None only if `budgets` gives a value for each budget.
    kind : type
        bool, int, float or str; for a list, the type of one item.
    unit, meaning : str
    low, high : float
        Inclusive limits.
    choices : tuple
        Allowed values; empty if any value of the type is allowed.
    budgets : mapping
        Value for each budget if the default is None.
    is_list : bool
        Whether several values may be given, as text with commas, or as `all` for every choice.
    """

    name: str
    default: Value | None
    kind: type
    unit: str = ""
    meaning: str = ""
    low: float = -math.inf
    high: float = math.inf
    choices: tuple[Value, ...] = ()
    budgets: Mapping[str, Value] = field(default_factory=dict)
    is_list: bool = False

    @property
    def allowed(self) -> str:
        """Allowed values, as text."""
        choices = ", ".join(map(str, self.choices))
        if self.is_list and choices:
            return f"one or more, with commas, of {choices}, or all"
        if choices:
            return f"one of {choices}"
        words = {bool: "true or false", int: "an integer", float: "a number", str: "text"}[self.kind]
        if (self.low, self.high) != (-math.inf, math.inf):
            words += f" from {_write_number(self.low)} to {_write_number(self.high)}"
        return f"one or more, with commas: each {words}" if self.is_list else words

    def check(self, value: object, where: str = "") -> None:
        """Check one value; an integer is accepted for a float.

        Raises
        ------
        InputError
            If the value is not allowed: one line with the parameter, the value, the allowed values and `where`.
        """
        if value is None and self.budgets:
            return
        if self.is_list:
            items = self.items(value)
            is_allowed = bool(items) and all(map(self._accepts, items)) and len(set(items)) == len(items)
        else:
            is_allowed = self._accepts(value)
        if not is_allowed:
            raise InputError(f"{self.name} = {value}: must be {self.allowed}{where}")

    def _accepts(self, value: object) -> bool:
        """Whether one value (one item of a list) has the right type and is in the range."""
        if self.choices and value not in self.choices:
            return False
        if self.kind is str or self.kind is bool or isinstance(value, bool):
            return isinstance(value, self.kind) and isinstance(value, bool) == (self.kind is bool)
        if not isinstance(value, int if self.kind is int else int | float):
            return False
        return -math.inf < value < math.inf and self.low <= value <= self.high

    def read(self, written: str) -> Value:
        """Convert text from the command line to the parameter's type; text that does not convert stays text."""
        if self.is_list or self.kind is str:
            return written
        if self.kind is bool:
            return {"true": True, "false": False}.get(written.lower(), written)
        try:
            return self.kind(written.replace("_", "?"))  # int("4_1") would be 41
        except ValueError:
            return written

    def items(self, value: object) -> tuple[Any, ...]:
        """Split the value of a list into its items; an item that is not a number stays text."""
        if value == "all" and self.choices:
            return self.choices
        if not isinstance(value, str):
            return tuple(value) if isinstance(value, list | tuple) else (value,)
        one = Declaration(name=self.name, default=None, kind=self.kind)
        return tuple(one.read(item.strip()) for item in value.split(","))


@dataclass(frozen=True, kw_only=True)
class Notebook:
    """Declarations of one notebook: parameters, needed notebooks and constraints.

    Attributes
    ----------
    name : str
    parameters : dict of Declaration
        From the cell tagged `parameters`, by name; empty if there is no such cell.
    needs : tuple of str
        Notebooks whose results this notebook loads.
    constraints : tuple of str
        Comparisons between parameters, such as `beta_min < beta_max`.
    """

    name: str
    parameters: dict[str, Declaration]
    needs: tuple[str, ...] = ()
    constraints: tuple[str, ...] = ()

    def resolve(self, given: Mapping[str, Value | None]) -> dict[str, Value]:
        """Return all parameters: values from `given`, else defaults, with None replaced by the value for the budget.

        Raises
        ------
        InputError
            If a parameter has no value for the budget.
        """
        values = {name: given.get(name, one.default) for name, one in self.parameters.items()}
        budget = str(values.get("budget", BUDGETS[0]))
        resolved: dict[str, Value] = {}
        for name, value in values.items():
            chosen = self.parameters[name].budgets.get(budget) if value is None else value
            if chosen is None:
                raise InputError(f"{name} = None: must have a value for the budget {budget}")
            resolved[name] = chosen
        return resolved

    def check(self, given: Mapping[str, Value | None]) -> None:
        """Check values of this notebook's parameters, each alone and then the constraints between them.

        Raises
        ------
        InputError
            For the first value that is not allowed, or the first constraint that does not hold.
        """
        for name, one in self.parameters.items():
            if name in given:
                one.check(given[name])
        values = self.resolve(given)
        names = {
            name: one.items(values[name]) if one.is_list else values[name] for name, one in self.parameters.items()
        }
        for constraint in self.constraints:
            try:
                holds = eval(constraint, {"__builtins__": {}}, names)  # safe after the check in `_read_constraint`
            except (TypeError, ArithmeticError):
                holds = False
            if not holds:
                subject, *others = [f"{name} = {values[name]}" for name in _names_in(constraint)]
                beside = f", with {', '.join(others)}" if others else ""
                raise InputError(f"{subject}: must satisfy {constraint}{beside}, in {self.name}")


def read_notebook(name: str, root: Path = ROOT) -> Notebook:
    """Read the declarations of `notebooks/<name>.py` without executing it.

    Raises
    ------
    InputError
        If the file cannot be read, or a declaration does not follow the grammar. The message is one line with the
        notebook's name.
    """
    folder = root / "notebooks"
    try:
        notebook = _parse(name, (folder / f"{name}.py").read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(f"{name}: there is no notebooks/{name}.py") from None
    except UnicodeDecodeError:
        raise InputError(f"{name}: must be UTF-8 text") from None
    except SyntaxError as error:
        raise InputError(f"{name}: line {error.lineno} in the parameters cell: {error.msg}") from None
    except ValueError as error:
        raise InputError(f"{name}: {' '.join(str(error).split())}") from None
    except (MemoryError, RecursionError):  # of Python's parser
        raise InputError(f"{name}: the parameters cell is nested too deeply") from None
    for needed in notebook.needs:
        if not (folder / f"{needed}.py").is_file():
            raise InputError(f"{name}: needs {needed}, and there is no notebooks/{needed}.py")
    return notebook


@functools.lru_cache(maxsize=256)
def _parse(name: str, source: str) -> Notebook:
    cells = list(_split_cells(source))
    tagged = [text for tags, text in cells if "parameters" in tags]
    if len(tagged) > 1:
        raise InputError(f"{len(tagged)} cells are tagged parameters, must be one")
    parameters = _read_parameters(tagged[0]) if tagged else {}
    stated: dict[str, tuple[str, ...]] = dict.fromkeys(_STATED, ())
    for _, text in cells:
        stated.update(_read_stated(text))
        if "read_settings(" in text:
            break
    for constraint in stated["constraints"]:
        _read_constraint(constraint, parameters)
    notebook = Notebook(name=name, parameters=parameters, **stated)
    notebook.check({name: one.default for name, one in parameters.items()})
    for budget in parameters["budget"].choices if "budget" in parameters else ():
        notebook.check(notebook.resolve({"budget": budget}))
    return notebook


def _split_cells(source: str) -> Iterator[tuple[list[str], str]]:
    """Yield tags and text of each cell of a py:percent notebook; blank lines keep the line numbers of the file."""
    markers = list(_MARKER.finditer(source))
    starts = [*(marker.start() for marker in markers), len(source)]
    yield [], source[: starts[0]]
    for marker, end in zip(markers, starts[1:], strict=True):
        tags = _TAGS.search(marker.group())
        try:
            found = json.loads(tags.group(1)) if tags else []
        except json.JSONDecodeError:
            raise InputError(f"{marker.group()}: its tags must be texts in double quotes") from None
        yield found, "\n" * source.count("\n", 0, marker.start()) + source[marker.end() : end]


def _read_parameters(text: str) -> dict[str, Declaration]:
    """Read the parameters cell, in which each line is `name = literal  # comment`."""
    statements = ast.parse(text).body
    tokens = tokenize.generate_tokens(io.StringIO(text).readline)
    comments = {token.start[0]: token.string.lstrip("#").strip() for token in tokens if token.type == tokenize.COMMENT}
    lines = [line.lstrip()[:1] for line in text.splitlines()]
    declared: dict[str, Declaration] = {}
    for statement in statements:
        refusal = InputError(f"{_first_line(statement)}: must be name = value in the parameters cell")
        if not isinstance(statement, ast.Assign | ast.AnnAssign) or statement.value is None:
            raise refusal
        targets = statement.targets if isinstance(statement, ast.Assign) else [statement.target]
        if len(targets) != 1 or not isinstance(target := targets[0], ast.Name):
            raise refusal
        if target.id in _STATED:
            continue
        if target.id in declared:
            raise InputError(f"{target.id}: is declared twice")
        if target.id in _TAKEN:
            raise InputError(f"{target.id}: must be another name, settings.{target.id} has a meaning already")
        number = statement.end_lineno or 0
        comment = comments.get(number, "")
        while comment.count("[") > comment.count("]") and lines[number : number + 1] == ["#"]:  # continued comment
            number += 1
            comment += f" {comments[number]}"
        declared[target.id] = _read_declaration(target.id, statement, comment)
    return declared


def _read_declaration(name: str, statement: ast.Assign | ast.AnnAssign, comment: str) -> Declaration:
    """Read one declaration: the default, and the comment `unit, meaning {quick: 1, full: 2} [low, high]`."""
    assert statement.value is not None  # a name without a value was refused before
    try:
        default = ast.literal_eval(statement.value)
    except (ValueError, TypeError):
        raise InputError(
            f"{_first_line(statement)}: must be a literal: a number, a text, True, False or None"
        ) from None
    if not isinstance(default, bool | int | float | str | None):
        raise InputError(
            f"{_first_line(statement)}: must be a number, a text (several with commas), True, False or None"
        )
    if "=" in comment:
        raise InputError(f"{name}: its comment must hold no '=' (papermill would drop the line)")
    budgets: dict[str, Value] = {}
    if default is None:
        comment, budgets = _read_budgets(name, comment)
    elif "{" in comment:
        raise InputError(f"{name} = {default!r}: must be None where its comment has a value for each budget")
    kind = type(next(iter(budgets.values()))) if default is None else type(default)
    if isinstance(statement, ast.AnnAssign):
        annotation = ast.unparse(statement.annotation)
        if annotation not in _KINDS:
            raise InputError(f"{name}: {annotation}: must be one of {', '.join(_KINDS)}")
        kind = _KINDS[annotation]
    words, bracket, inside = comment.rpartition("[") if comment.endswith("]") else (comment, "", "")
    unit, comma, meaning = words.strip().partition(",")
    found: dict[str, Any] = {"kind": kind, "budgets": budgets}
    found |= {"unit": unit.strip(), "meaning": meaning.strip()} if comma else {"meaning": unit.strip()}
    if bracket:
        found |= _read_allowed(name, kind, inside.removesuffix("]"))
    return Declaration(name=name, default=default, **found)


def _read_budgets(name: str, comment: str) -> tuple[str, dict[str, Value]]:
    """Split a comment into its text without `{quick: 16, full: 64}`, and the value for each budget."""
    before, opening, rest = comment.partition("{")
    inside, closing, after = rest.partition("}")
    try:
        pairs = [item.split(":") for item in inside.split(",")]
        budgets: dict[str, Value] = {budget.strip(): _read_number(value) for budget, value in pairs}
    except ValueError:
        budgets = {}
    if not opening or not closing or len({type(value) for value in budgets.values()}) != 1:
        raise InputError(f"{name} = None: its comment must hold the value for each budget, as {{quick: 16, full: 64}}")
    return f"{before.strip()} {after.strip()}".strip(), budgets


def _read_allowed(name: str, kind: type, inside: str) -> dict[str, Any]:
    """Read the brackets of a comment: a range or choices, with `…` at the end if several values may be given."""
    separator = "|" if "|" in inside else ","
    parts = [part.strip() for part in inside.split(separator)]
    is_list = parts[-1] == _SEVERAL
    parts = parts[: len(parts) - is_list]
    found: dict[str, Any] = {"is_list": is_list}
    try:
        if separator == "|" and kind is not bool and all(parts):
            choices = tuple(parts) if kind is str else tuple(map(_read_number, parts))
            return {**found, "choices": choices}
        if kind in (int, float) or (is_list and kind is str):
            low, high = map(_read_number, parts)
            if low <= high:
                return {**found, "low": low, "high": high, "kind": float if is_list else kind}
    except ValueError:
        pass
    raise InputError(f"{name}: [{inside}]: must be [low, high] of a number or [a | b] in choices")


def _read_stated(text: str) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Yield `needs = (…)` and `constraints = (…)` of a cell; a cell that does not parse will fail when it is run."""
    try:
        statements = ast.parse(text).body
    except SyntaxError:
        return
    for statement in statements:
        if not isinstance(statement, ast.Assign) or not isinstance(target := statement.targets[0], ast.Name):
            continue
        if target.id in _STATED:
            try:
                value = ast.literal_eval(statement.value)
            except (ValueError, TypeError):
                value = None
            values = (value,) if isinstance(value, str) else value
            if not isinstance(values, tuple | list) or not all(isinstance(one, str) for one in values):
                raise InputError(f"{_first_line(statement)}: must be texts in parentheses, with commas")
            yield target.id, tuple(values)


def _read_constraint(constraint: str, parameters: Mapping[str, Declaration]) -> None:
    """Check that a constraint contains only declared names, literals, arithmetic and comparisons."""
    try:
        nodes = list(ast.walk(ast.parse(constraint, mode="eval")))
    except SyntaxError:
        nodes = []
    names = [node.id for node in nodes if isinstance(node, ast.Name)]
    if not names or not all(isinstance(node, _ALLOWED_NODES) for node in nodes):
        raise InputError(f"constraint {constraint}: must compare parameters, such as 'beta_min < beta_max'")
    for name in names:
        if name not in parameters:
            raise InputError(f"constraint {constraint}: {name} must be one of {', '.join(parameters)}")


def _names_in(constraint: str) -> list[str]:
    """Return the names in a constraint, in the order in which they are written."""
    nodes = [node for node in ast.walk(ast.parse(constraint, mode="eval")) if isinstance(node, ast.Name)]
    return list(dict.fromkeys(node.id for node in sorted(nodes, key=lambda node: node.col_offset)))


def _first_line(statement: ast.stmt) -> str:
    return ast.unparse(statement).splitlines()[0]


def _read_number(text: str) -> int | float:
    try:
        return int(text)
    except ValueError:
        return float(text)


def _write_number(number: float) -> str:
    short = str(number) if isinstance(number, int) else f"{number:g}"
    return short if float(short) == number else str(number)
