"""Conversion of station files into one sorted, checked archive."""
