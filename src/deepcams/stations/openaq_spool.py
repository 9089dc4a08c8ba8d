"""Rows of observations as they come out of files, kept so that reading millions of files goes on after a kill."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd

from deepcams.core.box import eastward
from deepcams.files.atomic import write_atomically
from deepcams.stations.openaq_files import Block, BlockReader

ROW = np.dtype([("station", "<i4"), ("unit", "<i2"), ("end", "<i8"), ("value", "<f8")])
"""A row as it is kept: its station's number, its units' number, its stamp (seconds since 1970 UTC) and its value."""


@dataclass
class Places:
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
        good &= (block.latitude != 0) | (
            block.longitude != 0
        )  # what broken tables write for "unknown"
        if good.any():
            three = np.stack(
                [codes[good].astype(float), block.latitude[good], block.longitude[good]], axis=1
            )
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
        """One row a station: id, name, latitude, longitude, spread_km."""
        latitude, longitude = np.array(self.place, float).reshape(-1, 2).T
        return pd.DataFrame(
            {
                "id": list(self.codes),
                "name": self.names,
                "latitude": latitude,
                "longitude": eastward(longitude),
                "spread_km": self.spread,
            }
        )


@dataclass
class Arrived:
    """All rows so far, in memory while they are few, else in a file, and how far their files have been read.

    Attributes:
        folder: of the file and of the note of how far it goes.
        limit: rows that are held in memory before they go to the file.
        places: the stations so far; their numbers are those of the rows.
        units: the texts that occur.
        read: rows so far; ``other``: rows of other parameters.
        place: see :class:`BlockReader`; ``skipped``: files that were passed over.
    """

    folder: Path
    limit: int
    places: Places = field(default_factory=Places)
    units: list[str] = field(default_factory=list)
    read: int = 0
    other: int = 0
    place: tuple[int, int] = (0, 0)
    skipped: list[str] = field(default_factory=list)
    _held: list[np.ndarray] = field(default_factory=list)
    _size: int = 0

    @classmethod
    def take_up(cls, folder: Path, limit: int) -> Arrived:
        """What an interrupted run left in ``folder`` (made if need be), or nothing."""
        folder.mkdir(parents=True, exist_ok=True)
        new = cls(folder, limit)
        try:
            note = json.loads(new._note.read_text(encoding="utf-8"))
            size = note["read"] * ROW.itemsize
            if new._file.stat().st_size < size:
                raise ValueError
            os.truncate(new._file, size)  # rows that came after the note was written come again
            places = Places(
                {name: k for k, name in enumerate(note["ids"])},
                note["names"],
                [(lat, lon) for lat, lon in note["at"]],
                note["spread"],
            )
            return cls(
                folder,
                limit,
                places,
                note["units"],
                note["read"],
                note["other"],
                (note["place"][0], note["place"][1]),
                note["skipped"],
            )
        except (OSError, ValueError, KeyError, TypeError):
            new.forget()
            return new

    @property
    def _file(self) -> Path:
        return self.folder / "arrived.rows"

    @property
    def _note(self) -> Path:
        return self.folder / "arrived.json"

    def add(self, block: Block, reader: BlockReader) -> None:
        """Take the block that a reader has just given out."""
        self.other += block.other
        if block.value.size:
            rows = np.empty(block.value.size, ROW)
            rows["station"], rows["end"], rows["value"] = (
                self.places.take(block),
                block.end,
                block.value,
            )
            self.units += [text for text in dict.fromkeys(block.units) if text not in self.units]
            rows["unit"] = np.array([self.units.index(text) for text in block.units], np.int16)[
                block.unit
            ]
            self._held.append(rows)
            self._size += rows.size
            self.read += rows.size
        if self._size >= self.limit:
            self._flush()
            self._write_note(reader)

    def _flush(self) -> None:
        with self._file.open("ab") as file:
            for rows in self._held:
                rows.tofile(file)
        self._held, self._size = [], 0

    def _write_note(self, reader: BlockReader) -> None:
        """Say how far the file goes; until this is done, the last note holds."""
        note = {
            "read": self.read,
            "other": self.other,
            "place": reader.place,
            "units": self.units,
            "skipped": [str(path) for path in reader.skipped],
            "ids": list(self.places.codes),
            "names": self.places.names,
            "at": self.places.place,
            "spread": self.places.spread,
        }
        write_atomically(self._note, json.dumps(note).encode())

    def rows(self) -> Iterator[np.ndarray]:
        """All rows in the order in which they came, ``limit`` or a few more at a time."""
        if self._file.exists():
            with self._file.open("rb") as file:
                while (rows := np.fromfile(file, ROW, max(self.limit, 1))).size:
                    yield rows
        if self._held:
            yield np.concatenate(self._held)
        self._held, self._size = [], 0

    def forget(self) -> None:
        """Remove what is on disk."""
        for path in (self._note, self._file):
            path.unlink(missing_ok=True)
