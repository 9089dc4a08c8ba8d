"""Downscale a CAMS file over Europe, write three hours, and draw one of them.

    python cams_to_map.py [CAMS_FILE]

Without a file a simulated one is made.
"""

import sys

import deepcams
from deepcams.core.times import HOUR
from deepcams.plotting import map_figure, save
from deepcams.simulation import simulate

EUROPE = (-12, 35, 32, 60)  # west, south, east, north

files = sys.argv[1:]
if not files:
    simulate("cams", "cams", "2019-12-31", bbox=(-18, 30, 38, 65))
    files = ["cams"]

field = deepcams.open_cams(files)
start = field.time.values[0]
period = deepcams.Period(start, start + 3 * HOUR)

# lazy: values are computed where they are asked for
hourly = deepcams.downscale(field, bbox=EUROPE, period=period)
print(hourly)
save(map_figure(hourly, start + HOUR), "map.png")

# the same values as a file
summary = deepcams.downscale_to(field, "pm25.nc", bbox=EUROPE, period=period)
print(f"map.png, {summary.path}")
