"""Training stores: made from files, checked, and read."""
