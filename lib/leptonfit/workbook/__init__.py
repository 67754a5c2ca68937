"""Workbook: notebook parameters, runs, results, figures and the command line."""
