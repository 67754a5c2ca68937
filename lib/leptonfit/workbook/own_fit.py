"""A fit of one's own from files: a CSV table and a function in a Python file."""

from __future__ import annotations

import inspect
import math
import runpy
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from leptonfit.datafiles import InputError, data_folder, read_checked
from leptonfit.inference.model_data import POISSON
from leptonfit.inference.model_problem import ModelProblem, problem_from_model
from leptonfit.inference.problem import Parameter


@dataclass(frozen=True, kw_only=True)
class FitSource:
    """Files of a fit, read and checked.

    Attributes
    ----------
    data, file : Path
        CSV file, and Python file of the model.
    function : callable
    function_name : str
        Name of the function in its file.
    table : DataFrame
        Numbers of the CSV file.
    x, y : str
        Columns of x and y.
    sigma : str, float or None
        Column of σ; σ of every y; None if σ is unknown. Not used for counts.
    counts : bool
    bounds : mapping
        As the parameters of `problem_from_model`.
    """

    data: Path
    file: Path
    function: Callable[..., Any]
    function_name: str
    table: pd.DataFrame
    x: str
    y: str
    sigma: str | float | None
    counts: bool
    bounds: Mapping[str, Any]

    def make_problem(self) -> ModelProblem:
        """Make the fit problem; raises InputError if the model, the data or a bound cannot be used."""
        sigma: Any = POISSON if self.counts else self.sigma
        if isinstance(self.sigma, str) and not self.counts:
            sigma = self.table[self.sigma].to_numpy()
        x, y = (self.table[column].to_numpy() for column in (self.x, self.y))
        try:
            problem = problem_from_model(self.function, x, y, sigma, self.bounds)
        except ValueError as error:
            raise InputError(str(error)) from None
        return replace(problem, data=replace(problem.data, x_name=self.x, y_name=self.y))


def read_source(
    data: Path, model: str, bounds: str, *, y: str | None = None, sigma: str | None = None, counts: bool = False
) -> FitSource:
    """Read the files of a fit and choose the columns; parameters and errors are those of `problem_from_files`."""
    if counts and sigma is not None:
        raise InputError(f"--sigma {sigma}: counts have no error of their own; leave it out")
    function = load_function(model)
    table = read_table(data)
    try:
        first = next(iter(inspect.signature(function).parameters), "")
    except ValueError as error:
        raise InputError(f"model = {model}: {error}") from None
    x_column = first if first in table.columns else table.columns[0]
    others = [name for name in table.columns if name != x_column]
    y_column = _choose(others, y, "y", data)
    others.remove(y_column)
    file, _, name = model.rpartition(":")
    return FitSource(
        data=data,
        file=Path(file),
        function=function,
        function_name=name,
        table=table,
        x=x_column,
        y=y_column,
        sigma=None if counts else _choose_sigma(others, sigma, data),
        counts=counts,
        bounds=read_bounds(bounds),
    )


def problem_from_files(data: Path, model: str, bounds: str, **columns: Any) -> ModelProblem:
    """Make a fit problem from a CSV file and a function.

    Parameters
    ----------
    data : Path
        CSV file with a head. The column called like the model's first argument is x, else the first one. Of the others,
        the column `y` (or the one named) is y, else the first; then `sigma` is the standard error, else the only one
        that is left. Without such a column σ is estimated.
    model : str
        `file.py:function`.
    bounds : str
        For example `a=0:20,b=0:5,c=1`: search bounds, or a fixed value. An empty side is infinite, and needs a start:
        `b=0::1`. `b=1e-6:1:log` is fitted in ln b.
    **columns
        `y`, the name of the column of y; `sigma`, the name of the column of σ, or a number as text; `counts`, True if
        y are counts.

    Raises
    ------
    InputError
        If a file, column, function or bound cannot be used.
    """
    return read_source(data, model, bounds, **columns).make_problem()


def load_function(reference: str) -> Callable[..., Any]:
    """Function named by `file.py:function`.

    Raises
    ------
    InputError
        If the file or the function does not exist, or the file cannot be executed.
    """
    file, _, name = reference.rpartition(":")
    path = Path(file)
    if not name or not path.is_file():
        raise InputError(f"model = {reference}: must be FILE.py:FUNCTION with a file that exists")
    try:
        found = runpy.run_path(str(path), run_name=path.stem)
    except (Exception, SystemExit) as error:  # whatever the user's file raises
        raise InputError(f"model = {reference}: {path.name} failed: {type(error).__name__}: {error}") from error
    function = found.get(name)
    if not callable(function):
        names = [key for key, value in found.items() if inspect.isfunction(value)]
        raise InputError(f"model = {reference}: {path.name} has the functions {', '.join(names) or 'none'}")
    return function


def read_table(path: Path) -> pd.DataFrame:
    """Numbers of a CSV file with a head; an empty entry is a missing value, and "#" begins a comment.

    Raises
    ------
    InputError
        If the file is not CSV, a row is longer than the head, or an entry is not a number.
    """
    read = partial(pd.read_csv, path, dtype=str, keep_default_na=False, comment="#")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", pd.errors.ParserWarning)  # a row longer than the head loses its end
            table = read(index_col=False)
    except (OSError, UnicodeDecodeError, pd.errors.ParserError, pd.errors.EmptyDataError) as error:
        raise InputError(f"data = {path}: must be a CSV file: {error}") from None
    except pd.errors.ParserWarning:
        raise InputError(f"data = {path}: a row has more entries than the head") from None
    heads = [name.strip() for name in read(header=None, nrows=1).iloc[0]]
    if len(set(heads)) < len(heads):
        raise InputError(f"data = {path}: the head {', '.join(heads)} has a name twice")
    if pd.to_numeric(pd.Series(heads), errors="coerce").notna().any():
        raise InputError(f"data = {path}: the first row {', '.join(heads)} must be a head with names, not numbers")
    if len(heads) < 2:
        raise InputError(f"data = {path}: has one column, {heads[0]}: must have x and y, separated by commas")
    found = {}
    for name in table.columns:
        text = table[name].str.strip()
        numbers = pd.to_numeric(text, errors="coerce")
        wrong = np.flatnonzero(numbers.isna() & ~text.str.lower().isin(["", "nan"]))
        if len(wrong):
            raise InputError(f"data = {path}: {name} in row {wrong[0] + 1} = {text.iloc[wrong[0]]}: must be a number")
        found[name.strip()] = numbers.astype(float)
    return pd.DataFrame(found)


def load_table(name: str) -> pd.DataFrame:
    """Numbers of a CSV file in the data folder in use, after the check of its checksum.

    Raises
    ------
    InputError
        If the file is not what SHA256SUMS says, or as for `read_table`.
    """
    read_checked(name)
    return read_table(data_folder() / name)


def _choose(columns: list[str], asked: str | None, usual: str, path: Path) -> str:
    if asked is not None and asked not in columns:
        raise InputError(f"data = {path}: has no column {asked} beside x; it has {', '.join(columns)}")
    return asked or (usual if usual in columns else columns[0])


def _choose_sigma(columns: list[str], asked: str | None, path: Path) -> str | float | None:
    """σ as a number or the name of a column; None if there is none, so that it is estimated."""
    if asked is not None:
        try:
            return float(asked)
        except ValueError:
            return _choose(columns, asked, asked, path)
    if "sigma" not in columns and len(columns) > 1:
        raise InputError(f"data = {path}: which of {', '.join(columns)} is σ? Give --sigma COLUMN, or a number")
    return "sigma" if "sigma" in columns else columns[0] if columns else None


def read_bounds(text: str) -> Mapping[str, Any]:
    """Parameters from `a=0:20,b=0::1,c=1,d=1e-6:1:log`; `log` stands for a logarithmic scale.

    Raises
    ------
    InputError
        If a part is not `name=low:high`, `name=low:high:start`, `name=low:high:log` or `name=value`.
    """
    found: dict[str, Any] = {}
    for part in filter(None, text.split(",")):
        name, _, value = (word.strip() for word in part.partition("="))
        words = value.split(":")
        if name in found:
            raise InputError(f"--bounds {part}: {name} is given twice")
        try:
            if not name or not 1 <= len(words) <= 3 or (len(words) == 1 and not value):
                raise ValueError
            if len(words) == 1:
                found[name] = float(value)
                continue
            low = float(words[0]) if words[0] else -math.inf
            high = float(words[1]) if words[1] else math.inf
            is_log = words[2:] == ["log"]
            start = float(words[2]) if len(words) == 3 and not is_log else None
        except ValueError:
            raise InputError(
                f"--bounds {part}: must be name=low:high, name=low:high:start, name=low:high:log or name=value, with "
                "numbers"
            ) from None
        try:
            if is_log:
                given: Any = Parameter(name=name, lower=low, upper=high, scale="log")
            else:
                given = (low, high) if start is None else Parameter(name=name, start=start, lower=low, upper=high)
        except ValueError as error:
            raise InputError(f"--bounds {part}: {error}") from None
        found[name] = given
    return found
