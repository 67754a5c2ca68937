"""Statistics on arrays: fits, profiles, intervals, identifiability. Contains no physics and reads no files."""
