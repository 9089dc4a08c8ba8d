"""Spatial methods."""
