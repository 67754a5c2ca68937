"""The workbook: parameters, runs, results, figures and the command line."""
