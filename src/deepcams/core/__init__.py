"""Shared basics: errors, fields, grids, times, boxes, names."""
