"""Figures, tables and numbers for a manuscript, each declared once, in the notebook that shows it.

They wait in the settings until `store.save` writes them beside the notebook's results, as `<notebook>.<file>`. The same
results give the same bytes.
"""

from __future__ import annotations

import io
import json
import re
from collections.abc import Sequence
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from leptonfit.inference.result import Result, encode
from leptonfit.workbook.formats import format_table
from leptonfit.workbook.latex import write_tabular
from leptonfit.workbook.parameters import Settings
from leptonfit.workbook.store import MARKS

NUMBERS = "numbers.csv"
"""File with a notebook's numbers, one row for each macro."""
_LARGE = 3000
"""Numbers in one result beyond which five digits of each are kept: such a result is a layout for the eye."""


def figure(settings: Settings, name: str, drawn_figure: Figure, **drawn: Any) -> None:
    """Show a figure in the notebook, and publish it as PDF and PNG beside the data that it shows, as JSON.

    Parameters
    ----------
    settings : Settings
    name : str
        Name of the files.
    drawn_figure : Figure
        At the size it has in the manuscript: 6.8 inches are the width of a text block, 3.4 of a column.
    **drawn
        Results, arrays and numbers that the figure shows.

    Raises
    ------
    ValueError
        If an axis has no name.
    """
    for ax in drawn_figure.axes:
        is_read = ax.axison and ax.get_label() != "<colorbar>" and ax.xaxis.get_tick_params()["labelbottom"]
        if is_read and not ax.get_xlabel():
            raise ValueError(f"figure {name}: a panel has no x label: add one with its unit, such as 'x (m)'")
    for kind, dated in (("png", "Software"), ("pdf", "CreationDate")):
        content = io.BytesIO()
        drawn_figure.savefig(content, format=kind, metadata={dated: None})
        settings.published[f"{name}.{kind}"] = content.getvalue()
    data = encode({key: _simplify(value) for key, value in drawn.items()})
    settings.published[f"{name}.json"] = json.dumps(data, ensure_ascii=False).encode()
    plt.show()


def table(settings: Settings, name: str, shown: pd.DataFrame, columns: Sequence[str] | None = None) -> None:
    """Publish a table as CSV, with its numbers, and as a LaTeX tabular, with its text; nothing without columns.

    Parameters
    ----------
    settings : Settings
    name : str
        The files are called `table_<name>`.
    shown : DataFrame
    columns : sequence of str, optional
        Columns of the tabular, if a text block has no room for all.
    """
    if not len(shown.columns):
        return  # nothing was tabulated
    written = format_table(shown)
    settings.published[f"table_{name}.csv"] = shown.to_csv(index=False).encode()
    settings.published[f"table_{name}.tex"] = write_tabular(written[columns or written.columns]).encode()


def spell(name: str) -> str:
    """Name in letters only, for a macro: words begin with a capital, and digits are written as words.

    >>> spell("lz_ws2024")
    'LzWsTwoZeroTwoFour'
    """
    words = ["Zero", "One", "Two", "Three", "Four", "Five", "Six", "Seven", "Eight", "Nine"]
    digits = {str(i): word for i, word in enumerate(words)}
    parts = re.findall(r"[A-Za-z]+|[0-9]", name)
    return "".join(digits.get(part, part.capitalize()) for part in parts)


def numbers(
    settings: Settings, *, form: str = "", source: str = "", mark: str = "numerical", **values: float | str | None
) -> None:
    """Publish numbers, each under the name of its macro, as the text that a manuscript quotes.

    Parameters
    ----------
    settings : Settings
    form : str
        Format of the values. None and nan are written as "none".
    source : str
        Origin of the values; by default the notebook.
    mark : str
        One of `store.MARKS`, or "claimed".
    **values
    """
    if mark not in (*MARKS, "claimed"):
        raise ValueError(f"mark = {mark!r}: must be one of {', '.join(MARKS)} or claimed")
    for macro in values:
        if not (macro.isascii() and macro.isalpha()):
            raise ValueError(f"number {macro!r}: a LaTeX macro has letters only")
    said = ["none" if value is None or value != value else format(value, form) for value in values.values()]
    rows = pd.DataFrame({"macro": list(values), "value": said, "from": source or settings.notebook, "mark": mark})
    if NUMBERS in settings.published:
        before = pd.read_csv(io.BytesIO(settings.published[NUMBERS]), dtype=str, keep_default_na=False)
        rows = pd.concat([before, rows]).drop_duplicates("macro", keep="last")  # a cell may be executed again
    settings.published[NUMBERS] = rows.to_csv(index=False).encode()


def _simplify(value: Any) -> Any:
    """Data of what is drawn: without timings, and with five digits of each number of a large result."""
    if isinstance(value, Result):
        data = {key: item for key, item in value.to_dict().items() if key != "seconds"}
        is_large = sum(np.size(item) for item in data.values() if isinstance(item, list)) > _LARGE
        return _round(data) if is_large else data
    if isinstance(value, list | tuple):
        return [_simplify(item) for item in value]
    return value


def _round(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _round(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_round(item) for item in value]
    return float(f"{value:.5g}") if isinstance(value, float) else value
