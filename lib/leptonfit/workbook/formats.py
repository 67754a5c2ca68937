"""Tables of numbers, and the formats that are applied when a table is shown."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from itertools import zip_longest
from operator import attrgetter
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

_PARTS = {" ± ": ("", "error"), " of ": ("", "of")}
"""Parts of a column whose format string has these words."""


class Column(NamedTuple):
    """How a column is read from the records, and how it is shown.

    Parameters
    ----------
    value : str, int or callable
        Path of an attribute, several paths with commas between them, place in a tuple, or function of the record. A
        sequence becomes several columns of numbers that are shown as one; None stands for one without numbers.
    format : str or callable, optional
        Format string or function; it takes the numbers of `also` and of the column, and gives the text.
    missing : str, optional
        Text where the first number is None or nan. With None, `format` is applied there too.
    parts : tuple of str
        Endings of the columns' names where a value has several numbers. By default those of a value and its error for
        a format string with "±", of a count and its total with "of". The rest are low, high, low 2, high 2, ….
    also : tuple of str
        Further columns of numbers on which the text depends.
    """

    value: str | int | Callable[..., Any]
    format: str | Callable[..., str] | None = None
    missing: str | None = ""
    parts: tuple[str, ...] = ()
    also: tuple[str, ...] = ()


def from_records(
    records: Iterable[Any],
    columns: Mapping[str, str | int | Callable[..., Any] | tuple[Any, ...]],
    *,
    across: bool = False,
) -> pd.DataFrame:
    """Table with one row for each record, which `format_table` shows with the formats given here.

    Parameters
    ----------
    records : iterable
        Functions take the record, or the members of a tuple; attributes are those of the last member. A mapping is
        read as its items.
    columns : mapping
        Title → attribute or function, or a tuple of these and a format (see `Column`). The unit is in the title.
    across : bool
        Whether the table is shown with one column for each record, the first column's values as titles.

    Returns
    -------
    DataFrame
        Numbers, and strings where the value is text; the formats are in its `attrs`. Without records it is empty.
    """
    several = records.items() if isinstance(records, Mapping) else records
    rows = [record if type(record) is tuple else (record,) for record in several]
    data: dict[str, list[Any]] = {}
    formats: dict[str, tuple[tuple[str, ...], Column]] = {}
    for title, spec in columns.items() if rows else ():
        column = Column(*spec) if isinstance(spec, tuple) else Column(spec)
        values = [_read(column.value, row) for row in rows]
        if any(isinstance(value, list) for value in values):
            values = [[] if value is None else value if isinstance(value, list) else [value] for value in values]
            parts = list(zip_longest(*values, fillvalue=np.nan)) or [(np.nan,) * len(rows)] * 2
            names = [f"{title} {ending}".rstrip() for ending in _name_parts(column, len(parts))]
        else:
            parts, names = [tuple(values)], [title]
        data |= {name: list(part) for name, part in zip(names, parts, strict=True)}
        formats[title] = (*column.also, *names), column
    table = pd.DataFrame(data)
    table.attrs = {"formats": formats, "across": across and bool(rows)}
    return table


def _read(value: str | int | Callable[..., Any], row: tuple[Any, ...]) -> Any:
    if isinstance(value, int):
        return _to_python(row[value])
    return _to_python(value(*row) if callable(value) else attrgetter(*value.split(", "))(row[-1]))


def _to_python(value: Any) -> Any:
    """Copy with numbers of Python, and with a list instead of an array or a tuple."""
    if isinstance(value, np.ndarray | np.generic):
        return value.ravel().tolist() if value.ndim else value.item()
    return [_to_python(part) for part in value] if isinstance(value, list | tuple) else value


def _name_parts(column: Column, n: int) -> tuple[str, ...]:
    form = column.format if isinstance(column.format, str) else ""
    first = column.parts or next((parts for words, parts in _PARTS.items() if words in form), ())
    ends = (f"{end} {k}" if k > 1 else end for k in range(1, n + 1) for end in ("low", "high"))
    return (*first, *ends)[:n]


def format_table(table: pd.DataFrame) -> pd.DataFrame:
    """Text of a table as it is shown: formats applied, and the numbers of an interval in one column.

    Columns that were added or taken from a table of `from_records` are shown with the formats that are left.
    """
    given = table.attrs.get("formats", {}).items()
    formats = {title: (names, column) for title, (names, column) in given if {*names} <= {*table.columns}}
    known = {name for names, _ in formats.values() for name in names}
    formats |= {name: ((name,), Column(name)) for name in table.columns if name not in known}
    shown = pd.DataFrame(
        {
            title: [_write(column, values) for values in zip(*(table[name].tolist() for name in names), strict=True)]
            for title, (names, column) in formats.items()
        },
        dtype=object,
    )
    if table.attrs.get("across"):
        first = shown.columns[0]
        shown = shown.set_index(first).T.rename_axis(index=first, columns=None).reset_index()
    return shown


def _write(column: Column, values: tuple[Any, ...]) -> str:
    if column.missing is not None and pd.isna(values[len(column.also)]):
        return column.missing
    if callable(column.format):
        return column.format(*values)
    if column.format is not None:
        return column.format.format(*values)
    value = values[0]
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def percent(form: str) -> Callable[[float], str]:
    """Format of a fraction in per cent, with the digits of `form`."""
    return lambda value: f"{100 * value:{form}} %"


def write_set(*ends: float, form: str = ".7f") -> str:
    """Text of a set of values from the ends of its intervals, low, high, low, high, …; infinite ends are open."""
    pairs = [(low, high) for low, high in zip(ends[::2], ends[1::2], strict=True) if not np.isnan(low)]
    return "; ".join(f"{_write_end(low, form)} to {_write_end(high, form)}" for low, high in pairs) or "none"


def _write_end(value: float, form: str) -> str:
    return "open" if np.isinf(value) else f"{value:{form}}"
