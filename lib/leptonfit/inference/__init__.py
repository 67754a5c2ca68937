"""Statistics on arrays: fits, profiles, intervals, identifiability. Knows no physics and no files."""
