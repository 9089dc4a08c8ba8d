"""A whole experiment, from fetching to validation, described by one file; and the demo."""
