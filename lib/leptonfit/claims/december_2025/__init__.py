"""The report of December 2025: one vacuum stiffness β fitted to the charged leptons."""
