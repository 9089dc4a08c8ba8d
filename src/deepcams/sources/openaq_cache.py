"""Rows of observations sorted by station and time, as one Parquet file a year: built once, read in any part.

Rows come in whatever order files have them, and there may be hundreds of millions. They are spilled into buckets of
stations, and each bucket is sorted on its own, so that memory stays level. Stations are numbered by place (those of
one 0.25 degree cell, and those within a few hundred metres, follow each other): a batch of neighbours is one stretch
of each file.
"""

from __future__ import annotations

import json
import shutil
import uuid
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from deepcams.observations import eastward
from deepcams.sources.openaq_files import Block

VERSION = 1
"""Counts up when the files' layout changes."""
SPILL_ROWS = 6_000_000
"""Rows that are held in memory before they go to disk."""
BUCKET = 128
"""Stations that are sorted together."""
NEAR = 0.25
"""Stations are numbered by cells of this many degrees."""

_ROW = np.dtype([("station", "<i4"), ("unit", "<i2"), ("end", "<i8"), ("value", "<f8")])


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
        """From an array of :data:`_ROW`."""
        return cls(*(np.ascontiguousarray(records[name]) for name in ("station", "end", "value", "unit")))

    def where(self, keep: np.ndarray) -> Rows:
        """The rows for which ``keep`` (boolean, or indices) holds."""
        return Rows(self.station[keep], self.end[keep], self.value[keep], self.unit[keep])


@dataclass
class _Places:
    """What is known of each station so far."""

    codes: dict[str, int] = field(default_factory=dict)
    names: list[str] = field(default_factory=list)
    place: list[tuple[float, float]] = field(default_factory=list)
    spread: list[float] = field(default_factory=list)

    def take(self, block: Block) -> np.ndarray:
        """Number a block's rows: (n,), int32."""
        mine = np.empty(len(block.ids), np.int32)
        for k, name in enumerate(block.ids):
            if name not in self.codes:
                self.codes[name] = len(self.codes)
                self.names.append(block.names[k] or name)
                self.place.append((np.nan, np.nan))
                self.spread.append(0.0)
            mine[k] = self.codes[name]
        codes = mine[block.code]
        good = (abs(block.latitude) <= 90) & (abs(block.longitude) <= 360)
        good &= (block.latitude != 0) | (block.longitude != 0)  # what broken tables write for "unknown"
        if good.any():
            three = np.stack([codes[good].astype(float), block.latitude[good], block.longitude[good]], axis=1)
            changes = np.ones(len(three), bool)
            changes[1:] = (three[1:] != three[:-1]).any(axis=1)
            for code, latitude, longitude in np.unique(three[changes], axis=0).tolist():
                self._seen(int(code), latitude, longitude)
        return codes

    def _seen(self, code: int, latitude: float, longitude: float) -> None:
        known = self.place[code]
        if np.isnan(known[0]):
            self.place[code] = latitude, longitude
            return
        east = (longitude - known[1] + 180) % 360 - 180
        apart = 111.2 * float(np.hypot(latitude - known[0], east * np.cos(np.deg2rad(latitude))))
        self.spread[code] = max(self.spread[code], apart)

    def table(self) -> pd.DataFrame:
        latitude, longitude = np.array(self.place, float).reshape(-1, 2).T
        return pd.DataFrame({
            "id": list(self.codes), "name": self.names, "latitude": latitude, "longitude": eastward(longitude),
            "spread_km": self.spread,
        })  # fmt: skip


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
    """Rows in buckets on disk, or all in memory while they are few."""

    def __init__(self, folder: Path, rows: int) -> None:
        self._folder, self._limit = folder, rows
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
        bucket = rows["station"] // BUCKET
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
            yield np.concatenate(self._held) if self._held else np.zeros(0, _ROW)
            self._held = []
            return
        self.flush()
        for bucket in range(-(-count // BUCKET)):
            path = self.path(bucket)
            if path.exists():
                yield np.fromfile(path, _ROW)
                path.unlink()


def build(blocks: Iterable[Block], folder: Path, progress: Any, spill_rows: int = SPILL_ROWS) -> Built:
    """Sort all rows into yearly Parquet files in ``folder`` (new and complete when this returns).

    Args:
        blocks: see :class:`BlockReader`.
        folder: made here; the caller gives it its name when it is complete.
        progress: called with the number of rows read so far.
        spill_rows: rows held in memory.
    """
    folder.mkdir(parents=True)
    places, units = _Places(), list[str]()
    first = _Spill(folder / "arrived", spill_rows)
    read = other = 0
    for block in blocks:
        other += block.other
        if not block.value.size:
            continue
        rows = np.empty(block.value.size, _ROW)
        rows["station"], rows["end"], rows["value"] = places.take(block), block.end, block.value
        for text in block.units:
            if text not in units:
                units.append(text)
        rows["unit"] = np.array([units.index(text) for text in block.units], np.int16)[block.unit]
        first.add(rows)
        read += rows.size
        progress(read)
    stations = places.table()
    order = place_order(stations.latitude.to_numpy(), stations.longitude.to_numpy())
    number = np.empty(order.size, np.int32)
    number[order] = np.arange(order.size)
    second = _Spill(folder / "numbered", spill_rows)
    for rows in first.buckets(order.size):
        rows["station"] = number[rows["station"]]
        second.add(rows)
    if first.on_disk:
        second.flush()
    stations = stations.iloc[order].reset_index(drop=True)
    built = Built(stations, units, read, other, 0, [], 0, 0)
    counts = np.zeros(len(stations), np.int64)
    built = _write_years(second.buckets(order.size), folder, built, counts)
    stations["rows"] = counts
    for name in ("arrived", "numbered"):
        shutil.rmtree(folder / name, ignore_errors=True)
    return built


def _write_years(buckets: Iterable[np.ndarray], folder: Path, built: Built, counts: np.ndarray) -> Built:
    import pyarrow as pa
    import pyarrow.parquet as pq

    schema = pa.schema([("station", pa.int32()), ("end", pa.int64()), ("value", pa.float64()), ("unit", pa.int16())])
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
            year = (rows["end"] - 1).astype("datetime64[s]").astype("datetime64[Y]").astype(int) + 1970
            for each in np.unique(year).tolist():
                if each not in writers:
                    writers[each] = pq.ParquetWriter(folder / f"{each}.parquet", schema, compression="zstd")
                part = rows[year == each]
                for at in range(0, part.size, 1 << 19):
                    piece = part[at : at + (1 << 19)]
                    writers[each].write_table(
                        pa.table({name: np.ascontiguousarray(piece[name]) for name in schema.names}, schema)
                    )
    finally:
        for writer in writers.values():
            writer.close()
    return replace(built, years=sorted(writers), first=first, last=last)


def save(built: Built, folder: Path, key: str) -> None:
    """Write what :func:`load` reads; last of all, so that a folder with it is complete."""
    built.stations.to_parquet(folder / "stations.parquet")
    about = {"version": VERSION, "key": key, **{k: v for k, v in built.__dict__.items() if k != "stations"}}
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
        begins = (np.datetime64(str(year), "s").astype(np.int64), np.datetime64(str(year + 1), "s").astype(np.int64))
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
                    rows = np.empty(int(keep.sum()), _ROW)
                    for name in _ROW.names or ():
                        rows[name] = table[name].to_numpy()[keep]
                    parts.append(rows)
    rows = np.concatenate(parts) if parts else np.zeros(0, _ROW)
    if len(parts) > 1:
        rows = rows[np.lexsort((rows["end"], rows["station"]))]
    return Rows.of(rows)


def new_folder(folder: Path) -> Path:
    """A name beside ``folder`` to build under."""
    return folder.with_name(f"{folder.name}.part-{uuid.uuid4().hex[:8]}")
