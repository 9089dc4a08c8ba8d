"""Tables written atomically as CSV, Parquet or GeoPackage, with a JSON file of their inputs and settings."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from deepcams.core.errors import DeepcamsError, InputError, OutputError
from deepcams.evaluation.tables import check_writable, save
from deepcams.files.atomic import os_errors_explained, replace_atomically
from deepcams.files.optional import need

if TYPE_CHECKING:
    import pandas as pd

_TIMES = {
    "hour": "%Y-%m-%dT%H:%MZ",
    "day": "%Y-%m-%d",
    "month": "%Y-%m",
    "year": "%Y",
    "window": "%Y-%m-%d",
}
_DIGITS = "%.7g"


def check_output(path: Path, kinds: tuple[str, ...]) -> None:
    """Check the suffix and the folder of an output before the work.

    Raises:
        InputError: the suffix is not one of ``kinds``.
        OutputError: the file cannot be written.
        MissingExtraError: the library for the format is not installed.
    """
    if path.suffix.lower() not in kinds:
        found = repr(path.suffix or path.name)
        raise InputError("--out", f"a file that ends with {', '.join(kinds)}", found)
    check_writable(path)
    if path.suffix.lower() == ".parquet":
        need("pyarrow")
    if path.suffix.lower() == ".gpkg":
        need("geopandas")


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """Yield a temporary path with the same suffix; it is renamed to ``path`` on success, else removed.

    Raises:
        OutputError: the file cannot be written, whichever library fails.
    """
    temporary = path.with_name(f".{path.stem}.partial{path.suffix}")
    with os_errors_explained(path):
        try:
            with replace_atomically(path, temporary):
                yield temporary
        except (OSError, DeepcamsError, MemoryError, KeyboardInterrupt):
            raise
        except Exception as error:
            if not type(error).__module__.startswith(("pyogrio", "pyarrow")):
                raise
            reason = " ".join(str(error).split()).partition(":")[0][:100]
            do = "free some space, or check the folder and its permissions"
            raise OutputError(f"{path} cannot be written: {reason}; {do}") from error


def with_times(frame: pd.DataFrame, over: str) -> pd.DataFrame:
    """Return a table with its times as text: ``2019-12-31`` for days, ``2019`` for years, .."""
    times = [name for name in ("start", "end") if name in frame]
    return frame.assign(**{name: _texts(frame[name], over) for name in times})


def _texts(times: pd.Series, over: str) -> pd.Series:
    # Format unique times only: they are far fewer than rows.
    number, moments = np.unique(times.to_numpy(), return_inverse=True)[::-1]
    texts = need("pandas").Series(moments).dt.strftime(_TIMES[over])
    return need("pandas").Series(texts.to_numpy(object)[number], index=times.index)


def write_tables(frames: Iterable[pd.DataFrame], path: Path, over: str) -> None:
    """Write the parts of a table as one CSV or Parquet file, by its suffix.

    Args:
        frames: parts with the same columns; ``start`` and, optionally, ``end`` are ``datetime64``.
        path: output file; an existing one is replaced.
        over: kind of step, which sets the format of times in CSV.

    Raises:
        OutputError: it cannot be written.
    """
    with whole_file(path) as temporary:
        if path.suffix.lower() == ".csv":
            with temporary.open("w", encoding="utf-8", newline="") as file:
                for number, frame in enumerate(frames):
                    texts = with_times(frame, over)
                    texts.to_csv(
                        file, index=False, header=number == 0, float_format=_DIGITS
                    )
            return
        _write_parquet(frames, temporary)


def _write_parquet(frames: Iterable[pd.DataFrame], path: Path) -> None:
    pyarrow = need("pyarrow")
    parquet = need("pyarrow.parquet")
    writer = None
    try:
        for frame in frames:
            table = pyarrow.Table.from_pandas(
                frame, schema=writer and writer.schema, preserve_index=False
            )
            if writer is None:
                writer = parquet.ParquetWriter(path, table.schema)
            writer.write_table(table)
    finally:
        if writer is not None:
            writer.close()


def write_facts(path: Path, facts: dict[str, Any]) -> Path:
    """Write a table's inputs and settings beside it, as ``NAME.json``; return the file.

    Raises:
        OutputError: it cannot be written.
    """
    beside = path.with_name(f"{path.name}.json")
    save(beside, json.dumps(facts, indent=1, ensure_ascii=False) + "\n")
    return beside


def write_geopackage(
    frame: pd.DataFrame, path: Path, over: str, ids: np.ndarray, shapes: list[Any]
) -> None:
    """Write a table with its zones as a GeoPackage.

    With one row per zone the layer ``exposure`` holds the polygons; otherwise ``zones`` holds them, and ``exposure`` is
    a table without geometry, to be joined by zone id.

    Args:
        frame: as for :func:`write_tables`; the first column holds the ids.
        path: output file.
        over: kind of step, which sets the format of times.
        ids, shapes: ids and polygons of the zones.

    Raises:
        OutputError: it cannot be written.
    """
    geopandas, pandas = need("geopandas"), need("pandas")
    key = str(frame.columns[0])
    table = with_times(frame, over)
    zones = pandas.DataFrame({key: ids})
    with whole_file(path) as temporary:
        if len(table) == len(ids) and set(table[key]) == set(ids):
            by_id = dict(zip(ids, shapes, strict=True))
            placed = geopandas.GeoDataFrame(
                table, geometry=table[key].map(by_id), crs=4326
            )
            placed.to_file(temporary, layer="exposure", driver="GPKG")
            return
        placed = geopandas.GeoDataFrame(zones, geometry=shapes, crs=4326)
        placed.to_file(temporary, layer="zones", driver="GPKG")
        pyogrio = need("pyogrio")
        pyogrio.write_dataframe(table, temporary, layer="exposure", driver="GPKG")
