"""Export to CSV and Parquet: one row per node and time, with the status of the time if known."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from deepcams.core.units import UNITS
from deepcams.export.source import Piece, Source
from deepcams.files.optional import need
from deepcams.writers.layout import STATUS_MEANINGS


def _frames(
    source: Source, piece: Piece, blocks: Iterable[tuple[int, np.ndarray]]
) -> Iterator[tuple[np.datetime64, str, np.ndarray]]:
    """Yield each time, its status (empty: unknown) and its flattened values."""
    for start, block in blocks:
        for place, frame in enumerate(block, piece.start + start):
            status = ""
            if source.status is not None:
                status = STATUS_MEANINGS[source.status[place]]
            yield source.times[place], status, frame.ravel()


def _places(source: Source) -> tuple[np.ndarray, np.ndarray]:
    """Return latitude and longitude of each node, flattened."""
    rows, columns = source.grid.shape
    latitudes = np.repeat(source.grid.latitudes, columns)
    return latitudes, np.tile(source.grid.longitudes, rows)


def write_csv(
    path: Path,
    source: Source,
    piece: Piece,
    blocks: Iterable[tuple[int, np.ndarray]],
) -> None:
    """Write a piece as CSV: ``time`` (UTC), ``latitude``, ``longitude``, the value (empty where missing), ``status``.

    Numbers have enough digits to restore the same float32.

    Raises:
        OSError: it cannot be written.
    """
    import pandas as pd

    latitudes, longitudes = _places(source)
    table = pd.DataFrame({"latitude": latitudes, "longitude": longitudes})
    head = True
    with path.open("w", encoding="utf-8", newline="") as file:
        for time, status, values in _frames(source, piece, blocks):
            moment = f"{np.datetime_as_string(time, 's')}Z"
            columns = table.assign(**{source.name: values})
            columns.insert(0, "time", moment)
            if status:
                columns["status"] = status
            columns.to_csv(file, index=False, header=head, lineterminator="\n")
            head = False


def describe_csv(source: Source) -> bytes:
    """Describe the columns of the CSV files as CSV on the Web metadata (W3C, 2015)."""
    named: dict[str, Any] = {
        "time": {"datatype": "dateTime", "dc:description": "UTC"},
        "latitude": {"datatype": "number", "dc:description": "degrees north"},
        "longitude": {"datatype": "number", "dc:description": "degrees east"},
        source.name: {"datatype": "number", "dc:description": UNITS},
    }
    if source.status is not None:
        named["status"] = {"datatype": "string"}
    about = {
        "@context": "http://www.w3.org/ns/csvw",
        "dc:title": source.provenance.get("title", source.name),
        "dc:license": source.provenance.get("license", ""),
        "dc:provenance": source.provenance["history"],
        "dc:source": source.provenance.get("source", ""),
        "tableSchema": {
            "columns": [{"name": name, **more} for name, more in named.items()]
        },
    }
    return (json.dumps(about, indent=1) + "\n").encode()


def write_parquet(
    path: Path,
    source: Source,
    piece: Piece,
    blocks: Iterable[tuple[int, np.ndarray]],
) -> None:
    """Write a piece as Parquet, one row group per time; missing values are null; the schema has units and provenance.

    Raises:
        OSError: it cannot be written.
        MissingExtraError: pyarrow is not installed.
    """
    pa: Any = need("pyarrow")
    parquet: Any = need("pyarrow.parquet")
    latitudes, longitudes = _places(source)
    units = {"latitude": "degrees_north", "longitude": "degrees_east"}
    types = {
        "time": pa.timestamp("ms", tz="UTC"),
        "latitude": pa.float64(),
        "longitude": pa.float64(),
        source.name: pa.float32(),
    }
    if source.status is not None:
        types["status"] = pa.string()
    units[source.name] = UNITS
    fields = [
        pa.field(name, kind, metadata={"units": units[name]} if name in units else None)
        for name, kind in types.items()
    ]
    about = {key: str(value) for key, value in source.provenance.items()}
    schema = pa.schema(fields, metadata=about)
    with parquet.ParquetWriter(path, schema, compression="zstd") as writer:
        for time, status, values in _frames(source, piece, blocks):
            size = values.size
            columns = [
                pa.array(np.full(size, time.astype("datetime64[ms]"))).cast(
                    types["time"]
                ),
                pa.array(latitudes),
                pa.array(longitudes),
                pa.array(values, from_pandas=True),
            ]
            if source.status is not None:
                columns.append(pa.repeat(status, size))
            writer.write_table(pa.table(columns, schema=schema))
