"""Zones: polygons with ids, from any vector file, or the countries that come with the package."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from deepcams.core.errors import InputError, notice
from deepcams.core.text import counted
from deepcams.exposure.coverage import without_jumps
from deepcams.files.optional import need
from deepcams.files.records import fingerprint

COUNTRIES = "countries"
"""Name, given instead of a file, of the countries that come with the package."""
_FILE = Path(__file__).with_name("countries.npz")
_MOST_EASTWARD = 720.0
"""Largest longitude, degrees: a zone may continue beyond a meridian, not circle the Earth for ever."""
_PER_DEGREE = 1000  # units of the integers in that file
_PIECES = 1000
"""Smallest number of pieces into which an edge as long as the whole extent is cut before reprojection."""
_IDS = ("id", "zone", "code", "geo_id_micro", "nuts_id", "iso_a3", "iso3", "gid_0")
_NAMES = ("name", "nuts_name", "name_0", "name_en")
_DO = "mend it (in QGIS: Fix geometries; in Python: geopandas' make_valid())"


@dataclass(frozen=True)
class Ring:
    """A closed ring of a zone.

    Attributes:
        zone: index of its zone.
        points: (n, 2), longitude and latitude, degrees, the first one also the last; longitudes have no jumps.
        hole: whether the ring is a hole in the zone.
    """

    zone: int
    points: np.ndarray
    hole: bool = False


@dataclass(frozen=True)
class Zones:
    """Polygons with ids.

    Attributes:
        ids: id of each zone, unique.
        names: display name of each zone.
        rings: rings of all zones.
        source: description of the origin.
    """

    ids: tuple[str, ...]
    names: tuple[str, ...]
    rings: tuple[Ring, ...]
    source: str

    def __len__(self) -> int:
        return len(self.ids)

    @cached_property
    def identity(self) -> str:
        """Fingerprint of the polygons, without ids and names."""
        parts: list[object] = [len(self)]
        for ring in self.rings:
            parts += [ring.zone, ring.hole, ring.points]
        return fingerprint(*parts)

    def geometries(self) -> list[Any]:
        """Return each zone as a shapely geometry, in degrees; longitudes are as in :attr:`Ring.points`."""
        shapely = need("shapely")
        found: list[list[Any]] = [[] for _ in self.ids]
        for ring in self.rings:
            one = shapely.Polygon(ring.points)
            if ring.hole:
                found[ring.zone][-1] = found[ring.zone][-1].difference(one)
            else:
                found[ring.zone].append(one)
        return [shapely.MultiPolygon(_plain(parts)) for parts in found]


def _plain(parts: list[Any]) -> Iterator[Any]:
    for part in parts:
        yield from getattr(part, "geoms", [part])


def country_zones() -> Zones:
    """Return the countries that come with the package: Natural Earth 4.1 at 1:50m (public domain), 241 of them.

    Borders are de facto and imply no statement about their status. Ids are three-letter codes of ISO 3166; areas
    without one, most of them disputed, are separate zones whose ids are XKX (Kosovo) or begin with ``x-``.
    """
    with np.load(_FILE) as file:
        points = np.cumsum(file["steps"], axis=0) / _PER_DEGREE
        lines = np.split(points, np.cumsum(file["lengths"])[:-1])
        rings = tuple(
            Ring(int(zone), line, bool(hole))
            for zone, line, hole in zip(
                file["zones"], lines, file["holes"], strict=True
            )
        )
        codes, names = (tuple(file[key].tolist()) for key in ("codes", "names"))
    return Zones(codes, names, rings, "countries of Natural Earth 4.1 (1:50m)")


def read_zones(
    path: str | Path,
    *,
    id_column: str | None = None,
    name_column: str | None = None,
    layer: str | None = None,
) -> Zones:
    """Read polygons from a file.

    Args:
        path: GeoPackage, GeoJSON, Shapefile, GeoParquet or any other format that GDAL reads; or ``countries``.
        id_column: column with the ids; default the first named id, zone, code, NUTS_ID, ISO_A3, .. in any case, else
            the row numbers from 1.
        name_column: column with the names; default name, NUTS_NAME, .., else the ids.
        layer: layer to read, for a file with several.

    Returns:
        polygons in longitude and latitude (WGS 84); other reference systems are converted.

    Raises:
        InputError: the file cannot be read, or has no reference system, no polygon, an invalid ring or a duplicate id.
    """
    if str(path) == COUNTRIES:
        return country_zones()
    path = Path(path).expanduser()
    table = _read(path, layer)
    if not len(table):
        raise InputError(path, "at least one polygon", "an empty file")
    if table.crs is None:
        do = "write one into the file (EPSG:4326 for longitude and latitude)"
        raise InputError(path, "a coordinate reference system (CRS)", "none", do)
    table = _in_degrees(table, path)
    ids = _column(table, id_column, _IDS, "--id", path)
    labels = tuple(map(str, range(1, len(table) + 1)))
    if ids is not None:
        labels = tuple(map(str, table[ids]))
    twice = [label for label in dict.fromkeys(labels) if labels.count(label) > 1]
    if twice:
        do = "choose another column with --id, or dissolve the polygons of each id"
        raise InputError(f"{path}: {ids}", "each id once", f"{twice[0]!r} twice", do)
    named = _column(table, name_column, _NAMES, "--name", path)
    names = labels if named is None else tuple(map(str, table[named]))
    rings, turned = list[Ring](), 0
    for number, shape in enumerate(table.geometry):
        where = f"{path}: zone {labels[number]!r}"
        for ring, jumped in _rings(shape, number, where):
            rings.append(ring)
            turned += jumped
    if turned:
        many = counted(turned, "ring")
        notice(
            f"{path}: {many} with an edge of more than 180 degrees, read as crossing the 180th meridian"
        )
    return Zones(labels, names, tuple(rings), path.name)


def _read(path: Path, layer: str | None) -> Any:
    geopandas = need("geopandas")
    if not path.exists():
        raise InputError(
            path, "a file of polygons, or countries", "nothing of this name"
        )
    options = {} if layer is None else {"layer": layer}
    try:
        if path.suffix.lower() in (".parquet", ".geoparquet"):
            return geopandas.read_parquet(path)
        table = geopandas.read_file(path, **options)
    except Exception as error:  # GDAL, pyarrow and geopandas raise their own types
        found = " ".join(str(error).split())[:160]
        expected = "polygons (GeoPackage, GeoJSON, Shapefile, GeoParquet)"
        raise InputError(path, expected, found) from error
    if not hasattr(table, "crs") or getattr(table, "_geometry_column_name", 1) is None:
        raise InputError(path, "polygons", "a table without geometries")
    return table


def _in_degrees(table: Any, path: Path) -> Any:
    """Convert the table to WGS 84.

    Raises:
        InputError: a latitude is beyond the poles, or coordinates cannot be converted.
    """
    if not table.crs.is_geographic:
        try:
            # Edges that are straight in the source CRS are curved in degrees.
            west, south, east, north = table.total_bounds
            longest = max(east - west, north - south) / _PIECES
            if longest > 0:
                table = table.set_geometry(table.geometry.segmentize(longest))
            table = table.to_crs(4326)
        except Exception as error:  # pyproj raises its own types
            found = " ".join(str(error).split())[:160]
            raise InputError(path, "a known reference system", found) from error
    west, south, east, north = table.total_bounds
    if not np.isfinite([west, south, east, north]).all():
        raise InputError(path, "finite coordinates", "infinite or missing ones")
    worst = max(north, -south)
    if worst > 90 + 1e-9:
        do = "correct the coordinates or their CRS"
        if max(abs(west), abs(east)) <= 90:
            do = "latitude and longitude are swapped: write longitude first"
        found = f"{north if worst == north else south:g}"
        raise InputError(path, "latitudes within -90..90", found, do)
    if max(-west, east) > _MOST_EASTWARD:
        found = f"{west:g}..{east:g}"
        expected = f"longitudes within -{_MOST_EASTWARD:g}..{_MOST_EASTWARD:g}"
        raise InputError(path, expected, found, "correct the coordinates or their CRS")
    return table


def _column(
    table: Any, chosen: str | None, usual: tuple[str, ...], option: str, path: Path
) -> str | None:
    """Return the name of the chosen column, or of the first usual one.

    Raises:
        InputError: the chosen column does not exist.
    """
    columns = [str(name) for name in table.columns if name != table.geometry.name]
    if chosen is not None:
        if chosen not in columns:
            listed = ", ".join(columns) or "none"
            raise InputError(f"{path}: {option}", f"one of {listed}", repr(chosen))
        return chosen
    lower = {name.lower(): name for name in reversed(columns)}
    return next((lower[name] for name in usual if name in lower), None)


def _rings(shape: Any, zone: int, where: str) -> Iterator[tuple[Ring, bool]]:
    """Yield the rings of a polygon, outer before holes, each with whether an edge was read as the short way.

    Raises:
        InputError: the geometry is not a polygon, or is invalid.
    """
    shapely = need("shapely")
    if shape is None or shape.is_empty:
        raise InputError(where, "a polygon", "none", "leave the row out")
    if shape.geom_type not in ("Polygon", "MultiPolygon"):
        raise InputError(where, "a polygon", shape.geom_type)
    for polygon in getattr(shape, "geoms", [shape]):
        lines = [polygon.exterior, *polygon.interiors]
        read = [without_jumps(np.asarray(line.coords)[:, :2]) for line in lines]
        whole = [polygon]
        if any(jumped for _, jumped in read):
            # Validity is checked after jumps at the 180th meridian are removed.
            whole = [shapely.Polygon(points) for points, _ in read]
        for one in whole:
            if not one.is_valid:
                found = str(shapely.is_valid_reason(one))
                raise InputError(where, "valid rings", found, _DO)
        for number, (points, jumped) in enumerate(read):
            yield Ring(zone, points, number > 0), jumped
