"""Methods in space."""
