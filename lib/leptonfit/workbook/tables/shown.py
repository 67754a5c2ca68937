"""A table as plain HTML, and the texts that tables and sentences share."""

from __future__ import annotations

from typing import TYPE_CHECKING

from leptonfit.inference.multistart import format_chi2 as format_chi2
from leptonfit.workbook.formats import format_table as format_table
from leptonfit.workbook.formats import from_records as from_records
from leptonfit.workbook.formats import percent as percent
from leptonfit.workbook.formats import write_set as write_set

if TYPE_CHECKING:
    import pandas as pd
    from IPython.display import HTML


def show(table: pd.DataFrame) -> HTML:
    """Show a table with its formats as plain HTML, which is identical on every execution."""
    from IPython.display import HTML

    return HTML(format_table(table).to_html(index=False, border=0))
