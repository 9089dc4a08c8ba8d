"""Tables as files: CSV, Parquet, GeoPackage, each whole or not at all, and what they were made from next to them."""

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
    """Refuse an output of an unknown kind or in a place that cannot be written to, before the work.

    Raises:
        InputError: another suffix than those of ``kinds``.
        OutputError: it cannot be written.
        MissingExtraError: its library is not installed.
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
    """Give a temporary path with the same suffix; it becomes ``path`` at the end, or is removed.

    Raises:
        OutputError: it cannot be written, whichever library says so.
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
    """Return a table whose times are text: ``2019-12-31`` for days, ``2019`` for years, .."""
    times = [name for name in ("start", "end") if name in frame]
    return frame.assign(**{name: _texts(frame[name], over) for name in times})


def _texts(times: pd.Series, over: str) -> pd.Series:
    # Each moment is written once: there are far fewer than rows.
    number, moments = np.unique(times.to_numpy(), return_inverse=True)[::-1]
    texts = need("pandas").Series(moments).dt.strftime(_TIMES[over])
    return need("pandas").Series(texts.to_numpy(object)[number], index=times.index)


def write_tables(frames: Iterable[pd.DataFrame], path: Path, over: str) -> None:
    """Write the parts of a table as one CSV or Parquet file, by its suffix.

    Args:
        frames: of the same columns; with ``start``, and perhaps ``end``, of ``datetime64``.
        path: to write; an older file is replaced.
        over: how times are written in CSV.

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
    """Write what a table was made from next to it, as ``NAME.json``; return the file.

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

    With one row a zone the layer ``exposure`` has the polygons; else ``zones`` has them, and ``exposure`` is a table
    without, to be joined by the zones' ids.

    Args:
        frame: as for :func:`write_tables`; its first column has ids.
        path: to write.
        over: how times are written.
        ids, shapes: of the zones.

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
