"""Compare a field with stations, and print its scores over all stations.

    python validate_with_stations.py [STATIONS FIELD]

Without files a simulated day and simulated stations are made.
"""

import sys

import deepcams
from deepcams.simulation import simulate
from deepcams.stations import rows

arguments = sys.argv[1:]
if not arguments:
    poland = (12, 48, 26, 56)  # west, south, east, north
    simulate("stations", "openaq", "2019-12-01", bbox=poland, stations=20)
    simulate("field", "field", "2019-12-01", bbox=poland)
    arguments = ["stations", "field"]

stations, field = arguments
archive = deepcams.open_openaq(stations)
found = deepcams.validate(archive, deepcams.open_field(field))
for row in rows(found, by=()):
    print(
        f"{row['product']}, {row['view']}: {row['n']} pairs of {row['stations']}, "
        f"R {row['R']:.2f}, MAE {row['MAE']:.1f}, bias {row['bias']:+.1f} ug m-3"
    )
