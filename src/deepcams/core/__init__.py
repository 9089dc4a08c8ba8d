"""The words everything speaks: errors, fields, grids, times, boxes, names."""
