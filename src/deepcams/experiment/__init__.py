"""Whole experiments described by one file, from fetching to validation; and the demo."""
