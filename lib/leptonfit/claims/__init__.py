"""Claims of two published reports, each beside the workbook's own computation and a verdict."""
