"""What every part of deepcams uses: errors, fields, grids, times, boxes, names."""
