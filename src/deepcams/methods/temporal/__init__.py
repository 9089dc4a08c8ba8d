"""Temporal methods."""
