"""Joint methods, in space and time."""
