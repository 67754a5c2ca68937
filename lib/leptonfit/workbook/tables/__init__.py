"""Tables of results as pandas data frames of numbers, shown as text by their formats."""

import pandas as pd
from IPython.display import HTML

from leptonfit.inference.multistart import format_chi2
from leptonfit.workbook.formats import format_table, from_records, percent, write_set
from leptonfit.workbook.tables.claims import tabulate_claims
from leptonfit.workbook.tables.closures import tabulate_changes, tabulate_comparison
from leptonfit.workbook.tables.discrepancy import tabulate_falsification, tabulate_models, tabulate_relations
from leptonfit.workbook.tables.fits import (
    describe_holders,
    describe_set,
    tabulate_c_mu,
    tabulate_figures,
    tabulate_notebooks,
    tabulate_parameter_sets,
    tabulate_profile,
    tabulate_starts,
)
from leptonfit.workbook.tables.neutrinos import tabulate_data_limits, tabulate_fits
from leptonfit.workbook.tables.reported import tabulate_three_ways

__all__ = [
    "describe_holders",
    "describe_set",
    "format_chi2",
    "format_table",
    "from_records",
    "percent",
    "show",
    "tabulate_c_mu",
    "tabulate_changes",
    "tabulate_claims",
    "tabulate_comparison",
    "tabulate_data_limits",
    "tabulate_falsification",
    "tabulate_figures",
    "tabulate_fits",
    "tabulate_models",
    "tabulate_notebooks",
    "tabulate_parameter_sets",
    "tabulate_profile",
    "tabulate_relations",
    "tabulate_starts",
    "tabulate_three_ways",
    "write_set",
]


def show(table: pd.DataFrame) -> HTML:
    """Show a table with its formats as plain HTML, which is identical on every execution."""
    return HTML(format_table(table).to_html(index=False, border=0))
