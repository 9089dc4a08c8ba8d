"""Methods in space and time at once."""
