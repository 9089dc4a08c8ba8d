"""Exposure of files: open a field and zones or places, and write a table (``deepcams zones``, ``deepcams points``)."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from deepcams.core.errors import InputError, notice
from deepcams.core.period import Period
from deepcams.core.progress import Progress
from deepcams.exposure.fields import open_exposure_field
from deepcams.exposure.point_list import read_points
from deepcams.exposure.points import PointExposure, PointOptions
from deepcams.exposure.polygons import read_zones
from deepcams.exposure.population import Kind, read_population
from deepcams.exposure.steps import Over
from deepcams.exposure.tables import (
    check_output,
    write_facts,
    write_geopackage,
    write_tables,
)
from deepcams.exposure.zones import WHO, Layout, zone_exposure


@dataclass(frozen=True)
class ZoneRequest:
    """The exposure of zones, from files to a file.

    Attributes:
        field: files, folders, globs or URLs.
        zones: file of polygons, or ``countries``.
        out: output file: CSV, Parquet or GeoPackage, by its suffix.
        over, layout: see :func:`deepcams.exposure.zone_exposure`.
        period: period of the field, as text.
        population: population raster, or ``simulated``.
        population_kind, population_year, population_variable: see :func:`deepcams.exposure.read_population`.
        classes: class limits separated by commas, or ``who``.
        id_column, name_column, layer: see :func:`deepcams.exposure.read_zones`.
        variable: variable of the field.
    """

    field: tuple[str, ...]
    zones: str
    out: Path
    over: Over = "day"
    period: str | None = None
    population: str | None = None
    population_kind: Kind = "count"
    population_year: str | None = None
    population_variable: str | None = None
    classes: str | None = None
    layout: Layout = "plain"
    id_column: str | None = None
    name_column: str | None = None
    layer: str | None = None
    variable: str | None = None


def zones_to_file(request: ZoneRequest, progress: Progress | None = None) -> list[Path]:
    """Compute the exposure of zones and write it; return the files.

    Args:
        request: what to read, compute and write.
        progress: see :func:`deepcams.exposure.zone_exposure`.

    Raises:
        InputError: an input or option is invalid.
        OutputError: the table cannot be written; checked before the work where possible.
    """
    check_output(request.out, (".csv", ".parquet", ".gpkg"))
    period = (
        None if request.period is None else Period.parse(request.period, "--period")
    )
    classes = _classes(request.classes)
    zones = read_zones(
        request.zones,
        id_column=request.id_column,
        name_column=request.name_column,
        layer=request.layer,
    )
    people = None
    if request.population is not None:
        people = read_population(
            request.population,
            kind=request.population_kind,
            year=request.population_year,
            variable=request.population_variable,
        )
        if not people.year:
            notice(
                "the year of the population is not in its file's name; say it with --population-year"
            )
    field = open_exposure_field(request.field, request.variable)
    found = zone_exposure(
        field,
        zones,
        over=request.over,
        period=period,
        population=people,
        classes=classes,
        progress=progress,
    )
    table = found.table(request.layout)
    if request.out.suffix.lower() == ".gpkg":
        ids = np.array(zones.ids, object)
        shapes = zones.geometries()
        write_geopackage(table, request.out, request.over, ids, shapes)
    else:
        write_tables([table], request.out, request.over)
    return [request.out, write_facts(request.out, found.facts)]


def points_to_file(
    field: str,
    points: Path,
    out: Path,
    options: PointOptions,
    *,
    id_column: str | None = None,
    variable: str | None = None,
    progress: Progress | None = None,
) -> list[Path]:
    """Sample a field at the places of a list and write the table; return the files.

    Args:
        field: file, folder, glob or URL.
        points: list of places, see :func:`deepcams.exposure.read_points`.
        out: output file: CSV or Parquet, by its suffix.
        options: options of the sampling.
        id_column: column with the ids.
        variable: variable of the field.
        progress: see :class:`deepcams.exposure.points.PointExposure`.

    Raises:
        InputError: the list or the field is invalid.
        OutputError: the table cannot be written; checked before the work where possible.
    """
    check_output(out, (".csv", ".parquet"))
    places = read_points(points, id_column=id_column)
    options.check(places)
    found = PointExposure(
        open_exposure_field([field], variable), places, options, progress
    )
    write_tables(found.tables(), out, options.over)
    return [out, write_facts(out, found.facts)]


def _classes(text: str | None) -> tuple[float, ...] | Literal["who"]:
    """Parse limits between classes.

    Raises:
        InputError: a limit is not a number.
    """
    if text is None:
        return ()
    if text.strip().lower() == WHO:
        return WHO
    try:
        return tuple(float(part) for part in text.split(","))
    except ValueError as error:
        expected = "numbers with commas between them (5,10,15), or who"
        raise InputError("--classes", expected, repr(text)) from error
