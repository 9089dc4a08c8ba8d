"""Fuzzing of the doors: what is opened, how it is changed, and the process that opens it."""
