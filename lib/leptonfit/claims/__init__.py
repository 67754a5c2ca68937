"""Published reports that the workbook judges: what they state, and what its own computation makes of it."""
