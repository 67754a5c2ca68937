"""Workbook: notebook parameters, runs, results, figures and the command line."""

import sys

# nbformat imports jsonschema, which builds grammars of IRIs for two seconds in every process; none is checked here
sys.modules.setdefault("rfc3987_syntax", None)  # type: ignore[arg-type]
