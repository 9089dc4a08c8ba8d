"""Make the countries' borders that come with the package, from Natural Earth's 1:50m countries (public domain).

Usage: python benchmarks/borders.py countries-50m.json

The file is that of the package world-atlas 2.0.2 (``npm pack world-atlas@2.0.2``), Natural Earth 4.1.0 as TopoJSON. An
arc that two countries share is stored once there: those arcs are the borders, and no coast is among them.
"""

from __future__ import annotations

import argparse
import json
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np

TARGET = Path(__file__).resolve().parents[1] / "src/deepcams/plotting/borders.npz"
PER_DEGREE = 100  # a kilometre: Natural Earth's own generalisation at 1:50m is no finer


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("countries", type=Path)
    parser.add_argument("-o", "--out", type=Path, default=TARGET)
    arguments = parser.parse_args()
    topology = json.loads(arguments.countries.read_text())
    lines = borders(topology)
    lengths = np.array([len(line) for line in lines], np.uint16)
    steps = np.diff(np.concatenate(lines), axis=0, prepend=0)  # small numbers pack well
    np.savez_compressed(arguments.out, lengths=lengths, steps=steps.astype(np.int32))
    print(
        f"{arguments.out.name}: {len(lines)} lines, {lengths.sum():,} points, {arguments.out.stat().st_size:,} bytes"
    )


def borders(topology: dict[str, Any]) -> list[np.ndarray]:
    """Arcs of two countries or more, each (n, 2): longitude and latitude in hundredths of a degree."""
    owners: defaultdict[int, set[int]] = defaultdict(set)

    def walk(arcs: Any, country: int) -> None:
        if isinstance(arcs, int):
            owners[arcs if arcs >= 0 else ~arcs].add(country)  # ~: run through backwards
        else:
            for each in arcs:
                walk(each, country)

    for country, geometry in enumerate(topology["objects"]["countries"]["geometries"]):
        walk(geometry.get("arcs", []), country)
    scale, origin = (np.array(topology["transform"][key]) for key in ("scale", "translate"))
    found = []
    for arc, countries in sorted(owners.items()):
        if len(countries) < 2:
            continue
        degrees = np.cumsum(topology["arcs"][arc], axis=0) * scale + origin
        points = np.rint(degrees * PER_DEGREE).astype(int)
        moved = np.r_[True, np.any(np.diff(points, axis=0) != 0, axis=1)]
        found.append(points[moved])
    return [line for line in found if len(line) > 1]


if __name__ == "__main__":
    main()
