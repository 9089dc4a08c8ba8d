"""Rows of observations sorted by station and time, as one Parquet file a year: built once, read in any part.

Rows come in whatever order files have them, and there may be hundreds of millions. They are kept as they come
(:mod:`deepcams.stations.openaq_spool`), spilled into buckets of stations, and each bucket is sorted on its own, so
that memory stays level. Stations are numbered by place (those of one 0.25 degree cell, and those within a few hundred
metres, follow each other): a batch of neighbours is one stretch of each file.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from deepcams.stations.openaq_files import BlockReader, StationFile
from deepcams.stations.openaq_spool import ROW, Arrived

VERSION = 1
"""Counts up when the files' layout changes."""
SPILL_ROWS = 6_000_000
"""Rows that are held in memory before they go to disk."""
BUCKET = 128
"""Stations that are sorted together; fewer where they have many rows."""
NEAR = 0.25
"""Stations are numbered by cells of this many degrees."""


@dataclass
class Rows:
    """Rows as reported, sorted by station and end; values are in their own units, and nothing is checked.

    Attributes:
        station: (n,), int32.
        end: (n,), int64, seconds since 1970 UTC: the stamp.
        value: (n,), float64.
        unit: (n,), int16: which of the archive's ``units``.
    """

    station: np.ndarray
    end: np.ndarray
    value: np.ndarray
    unit: np.ndarray

    @property
    def size(self) -> int:
        """Number of rows."""
        return self.value.size

    @classmethod
    def of(cls, records: np.ndarray) -> Rows:
        """From an array of :data:`ROW`."""
        return cls(
            *(np.ascontiguousarray(records[name]) for name in ("station", "end", "value", "unit"))
        )

    def where(self, keep: np.ndarray) -> Rows:
        """The rows for which ``keep`` (boolean, or indices) holds."""
        return Rows(self.station[keep], self.end[keep], self.value[keep], self.unit[keep])


def place_order(latitude: np.ndarray, longitude: np.ndarray) -> np.ndarray:
    """An order in which neighbours follow each other: by cells, within them by place; without a place last."""
    row, column = np.floor((90 - latitude) / NEAR), np.floor((longitude + 180) / NEAR)
    return np.lexsort((longitude, latitude, column, row))


@dataclass
class Built:
    """What :func:`build` made.

    Attributes:
        stations: id, name, latitude, longitude (NaN where unknown), spread_km (how far apart its places lie), rows.
        units: the texts that occur.
        read: rows of the wanted parameter; ``other``: rows of others; ``files``: how many.
        years: those that have rows.
        first, last: earliest and latest stamp, seconds since 1970 UTC.
    """

    stations: pd.DataFrame
    units: list[str]
    read: int
    other: int
    files: int
    years: list[int]
    first: int
    last: int


class _Spill:
    """Rows in buckets of so many stations on disk, or all in memory while they are few."""

    def __init__(self, folder: Path, rows: int, bucket: int) -> None:
        self._folder, self._limit, self._bucket = folder, rows, bucket
        self._held: list[np.ndarray] = []
        self._size = 0
        self.on_disk = False

    def add(self, rows: np.ndarray) -> None:
        self._held.append(rows)
        self._size += rows.size
        if self._size >= self._limit:
            self.flush()

    def flush(self) -> None:
        self.on_disk = True
        if not self._held:
            return
        self._folder.mkdir(parents=True, exist_ok=True)
        rows = np.concatenate(self._held)
        self._held, self._size = [], 0
        bucket = rows["station"] // self._bucket
        order = np.argsort(bucket, kind="stable")
        rows, bucket = rows[order], bucket[order]
        starts = np.flatnonzero(np.r_[True, np.diff(bucket) != 0])
        for a, b in zip(starts, [*starts[1:], rows.size], strict=True):
            with self.path(int(bucket[a])).open("ab") as file:
                rows[a:b].tofile(file)

    def path(self, bucket: int) -> Path:
        return self._folder / f"{bucket}.rows"

    def buckets(self, count: int) -> Iterable[np.ndarray]:
        """Each bucket's rows, in order of their stations' numbers, and in each station's case as they came."""
        if not self.on_disk:
            yield np.concatenate(self._held) if self._held else np.zeros(0, ROW)
            self._held = []
            return
        self.flush()
        for bucket in range(-(-count // self._bucket)):
            path = self.path(bucket)
            if path.exists():
                yield np.fromfile(path, ROW)
                path.unlink()


def build(
    reader: BlockReader,
    files: Iterable[StationFile],
    folder: Path,
    progress: Any,
    spill_rows: int = SPILL_ROWS,
) -> Built:
    """Sort all rows into yearly Parquet files in ``folder``; only those are in it when this returns.

    Args:
        reader: of the files.
        files: see :func:`find_station_files`.
        folder: what an interrupted call with the same reader and files left there is gone on with. The caller gives
            it its name when it is complete.
        progress: called with the number of rows read so far.
        spill_rows: rows held in memory.
    """
    arrived = Arrived.take_up(folder, spill_rows)
    for left in (*folder.glob("*.parquet"), folder / "numbered"):
        shutil.rmtree(left) if left.is_dir() else left.unlink(missing_ok=True)
    if arrived.read:
        progress(arrived.read)
    reader.skipped += [Path(path) for path in arrived.skipped]
    for block in reader.blocks(files, arrived.place):
        arrived.add(block, reader)
        if block.value.size:
            progress(arrived.read)
    stations = arrived.places.table()
    order = place_order(stations.latitude.to_numpy(), stations.longitude.to_numpy())
    number = np.empty(order.size, np.int32)
    number[order] = np.arange(order.size)
    # A bucket is sorted in memory: of eighteen years it holds fewer stations than of one.
    together = max(1, min(BUCKET, spill_rows * order.size // max(arrived.read, 1)))
    second = _Spill(folder / "numbered", spill_rows, together)
    for rows in arrived.rows():
        rows["station"] = number[rows["station"]]
        second.add(rows)
    stations = stations.iloc[order].reset_index(drop=True)
    built = Built(stations, arrived.units, arrived.read, arrived.other, reader.files, [], 0, 0)
    counts = np.zeros(len(stations), np.int64)
    built = _write_years(second.buckets(order.size), folder, built, counts)
    stations["rows"] = counts
    shutil.rmtree(folder / "numbered", ignore_errors=True)
    arrived.forget()
    return built


def _write_years(
    buckets: Iterable[np.ndarray], folder: Path, built: Built, counts: np.ndarray
) -> Built:
    import pyarrow as pa
    import pyarrow.parquet as pq

    schema = pa.schema(
        [
            ("station", pa.int32()),
            ("end", pa.int64()),
            ("value", pa.float64()),
            ("unit", pa.int16()),
        ]
    )
    writers: dict[int, Any] = {}
    first, last = np.iinfo(np.int64).max, np.iinfo(np.int64).min
    try:
        for rows in buckets:
            if not rows.size:
                continue
            counts += np.bincount(rows["station"], minlength=counts.size)
            first, last = min(first, int(rows["end"].min())), max(last, int(rows["end"].max()))
            rows = rows[np.lexsort((rows["end"], rows["station"]))]
            # An hour that ends with the year belongs to it.
            year = (rows["end"] - 1).astype("datetime64[s]").astype("datetime64[Y]").astype(
                int
            ) + 1970
            for each in np.unique(year).tolist():
                if each not in writers:
                    writers[each] = pq.ParquetWriter(
                        folder / f"{each}.parquet", schema, compression="zstd"
                    )
                part = rows[year == each]
                for at in range(0, part.size, 1 << 19):
                    piece = part[at : at + (1 << 19)]
                    writers[each].write_table(
                        pa.table(
                            {name: np.ascontiguousarray(piece[name]) for name in schema.names},
                            schema,
                        )
                    )
    finally:
        for writer in writers.values():
            writer.close()
    return replace(built, years=sorted(writers), first=first, last=last)


def save(built: Built, folder: Path, key: str) -> None:
    """Write what :func:`load` reads; last of all, so that a folder with it is complete."""
    built.stations.to_parquet(folder / "stations.parquet")
    about = {
        "version": VERSION,
        "key": key,
        **{k: v for k, v in built.__dict__.items() if k != "stations"},
    }
    (folder / "about.json").write_text(json.dumps(about, indent=1) + "\n", encoding="utf-8")


def load(folder: Path, key: str) -> Built | None:
    """What was built from these very files before; ``None`` where nothing usable is there."""
    try:
        about = json.loads((folder / "about.json").read_text(encoding="utf-8"))
        if about.pop("version") != VERSION or about.pop("key") != key:
            return None
        stations = pd.read_parquet(folder / "stations.parquet")
        if not all((folder / f"{year}.parquet").is_file() for year in about["years"]):
            return None
        return Built(stations, **about)
    except (OSError, ValueError, KeyError, TypeError):
        return None


def read_stations(folder: Path, built: Built, wanted: np.ndarray, start: int, end: int) -> Rows:
    """The rows of some stations whose stamps lie in [start, end]; only their stretches of the files are read.

    Args:
        folder: see :func:`build`.
        built: its result.
        wanted: station numbers.
        start, end: seconds since 1970 UTC.
    """
    import pyarrow.parquet as pq

    member = np.zeros(len(built.stations), bool)
    member[wanted] = True
    parts: list[np.ndarray] = []
    for year in built.years:
        begins = (
            np.datetime64(str(year), "s").astype(np.int64),
            np.datetime64(str(year + 1), "s").astype(np.int64),
        )
        if begins[1] < start or begins[0] > end or not len(wanted):
            continue
        with pq.ParquetFile(folder / f"{year}.parquet") as file:
            for group in range(file.num_row_groups):
                bounds = file.metadata.row_group(group).column(0).statistics
                if not member[bounds.min : bounds.max + 1].any():
                    continue
                table = file.read_row_group(group, use_threads=False)
                station, stamp = (table[name].to_numpy() for name in ("station", "end"))
                keep = member[station] & (stamp >= start) & (stamp <= end)
                if keep.any():
                    rows = np.empty(int(keep.sum()), ROW)
                    for name in ROW.names or ():
                        rows[name] = table[name].to_numpy()[keep]
                    parts.append(rows)
    rows = np.concatenate(parts) if parts else np.zeros(0, ROW)
    if len(parts) > 1:
        rows = rows[np.lexsort((rows["end"], rows["station"]))]
    return Rows.of(rows)
