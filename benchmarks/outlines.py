"""Make the coasts and borders that come with the package, from Natural Earth's maps (public domain).

Usage: python benchmarks/outlines.py FOLDER

The folder is that of the package world-atlas 2.0.2 (``npm pack world-atlas@2.0.2``): Natural Earth 4.1.0 as TopoJSON.
Coasts are the rings of its land at 1:50m, and at 1:110m for wide maps. Borders are of its countries at 1:50m: an arc
that two of them share is stored once.
"""

from __future__ import annotations

import argparse
import json
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

TARGET = Path(__file__).resolve().parents[1] / "src/deepcams/plotting/outlines.npz"
PER_DEGREE = 100  # a kilometre: Natural Earth's own generalisation at 1:50m is no finer
POLE = -89.9  # degrees: a ring south of this is the edge of Natural Earth's own map


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("-o", "--out", type=Path, default=TARGET)
    arguments = parser.parse_args()
    arrays = {}
    for kind, name, read in (
        ("coasts", "land-50m", coasts),
        ("wide_coasts", "land-110m", coasts),
        ("borders", "countries-50m", borders),
    ):
        topology = json.loads((arguments.folder / f"{name}.json").read_text())
        scale, origin = (
            np.array(topology["transform"][key]) for key in ("scale", "translate")
        )
        arcs = [np.cumsum(arc, axis=0) * scale + origin for arc in topology["arcs"]]
        lines = read(topology, arcs)
        rounded = [line for line in map(rounded_line, lines) if len(line) > 1]
        arrays[f"{kind}_lengths"] = np.array([len(line) for line in rounded], np.uint16)
        # Differences are small numbers, which are compressed well.
        steps = np.diff(np.concatenate(rounded), axis=0, prepend=0)
        arrays[f"{kind}_steps"] = steps.astype(np.int32)
        print(f"{kind}: {len(rounded)} lines, {len(steps):,} points")
    np.savez_compressed(arguments.out, **arrays)
    print(f"{arguments.out.name}: {arguments.out.stat().st_size:,} bytes")


def coasts(topology: dict[str, Any], arcs: list[np.ndarray]) -> Iterator[np.ndarray]:
    """Return the rings of all land, each (n, 2): longitude without jumps, and latitude, degrees.

    The ring round Antarctica ends 360 degrees from where it begins.
    """
    for polygon in topology["objects"]["land"]["geometries"][0]["arcs"]:
        for ring in polygon:
            parts = [arcs[arc] if arc >= 0 else arcs[~arc][::-1] for arc in ring]
            points = np.concatenate([parts[0], *(part[1:] for part in parts[1:])])
            longitude = np.unwrap(points[:, 0], period=360)
            if points[:, 1].max() > POLE:
                yield np.stack([longitude, points[:, 1]], axis=1)


def borders(topology: dict[str, Any], arcs: list[np.ndarray]) -> list[np.ndarray]:
    """Return the arcs of two countries or more, each (n, 2): longitude and latitude, degrees."""
    owners: defaultdict[int, set[int]] = defaultdict(set)

    def walk(indices: Any, country: int) -> None:
        if isinstance(indices, int):
            owners[indices if indices >= 0 else ~indices].add(
                country
            )  # ~: run through backwards
        else:
            for each in indices:
                walk(each, country)

    for country, geometry in enumerate(topology["objects"]["countries"]["geometries"]):
        walk(geometry.get("arcs", []), country)
    return [
        arcs[arc] for arc, countries in sorted(owners.items()) if len(countries) > 1
    ]


def rounded_line(line: np.ndarray) -> np.ndarray:
    """Return a line in hundredths of a degree, each point that differs from the one before."""
    points = np.rint(line * PER_DEGREE).astype(int)
    moved = np.any(np.diff(points, axis=0) != 0, axis=1)
    return points[np.concatenate([[True], moved])]


if __name__ == "__main__":
    main()
