"""What comparing fields with stations takes: ``deepcams bench validate``."""

from __future__ import annotations

import os
import shutil
import tempfile
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from unittest import mock

from deepcams.bench import timed, write_input
from deepcams.core.errors import InputError
from deepcams.core.period import Period
from deepcams.core.times import DAY
from deepcams.downscaling.job import Job, plan_job
from deepcams.files.optional import need
from deepcams.readers.cams import open_cams

if TYPE_CHECKING:
    import psutil

_FILE_DAYS = 31
"""The original comes in files of so many days, as CAMS is downloaded by month."""


@dataclass(frozen=True)
class ValidationResult:
    """What comparing a field with stations takes.

    Attributes:
        stations, hours: how many.
        rows: observations.
        pairs: of them that met a value of the field.
        opening: seconds to read the observations and sort them into the cache.
        again: seconds to open them when that was done before.
        comparing: seconds of quality control, reading the field, matching and sums.
        reading: seconds to read the whole field alone.
        read: bytes of field and original, unpacked, that comparing read; whole: what both hold.
        disk: bytes that comparing read from files, as the system counts them; 0 where it does not.
        memory: largest resident memory while opening and comparing, bytes.
        before: resident memory before, bytes.
    """

    stations: int
    hours: int
    rows: int
    pairs: int
    opening: float
    again: float
    comparing: float
    reading: float
    read: int
    whole: int
    disk: int
    memory: int
    before: int


def write_stations(path: Path, number: int, days: int, seed: int = 0) -> int:
    """Write hourly values of stations in cities, in OpenAQ's columns as one Parquet file.

    Args:
        path: the file.
        number: of stations.
        days: how many, from 2019-01-01.
        seed: chooses places and values.

    Returns:
        the number of rows.
    """
    import pandas as pd

    from deepcams.simulation.station_network import place_stations

    columns = ["location_id", "location", "lat", "lon"]
    places = pd.DataFrame(
        [
            (str(s.id), s.name, s.latitude, s.longitude)
            for s in place_stations(seed, number)
        ],
        columns=columns,
    )
    with need("duckdb").connect() as database:
        database.register("places", places)
        # A hash of station and hour in place of noise: the same in any order of work.
        database.execute(
            f"""COPY (
                SELECT places.*, to_timestamp(epoch(TIMESTAMP '2019-01-01 01:00') + 3600 * hour) AS datetime,
                    'pm25' AS parameter, 'µg/m³' AS units,
                    hash(location_id, hour, {seed:d}) / 18446744073709551616 - 0.5 AS noise,
                    round(20 * exp(0.4 * sin(hour * pi() / 12) + 2 * noise), 1) AS value
                FROM places, range({24 * days:d}) hours(hour)
            ) TO '{str(path).replace("'", "''")}' (FORMAT parquet, COMPRESSION zstd)"""
        )
    return 24 * days * number


def write_original(folder: Path, days: int) -> list[Path]:
    """Write 3-hourly global fields (:func:`deepcams.bench.write_input`) as one file for each 31 days.

    Returns:
        the files, in a folder that is made.
    """
    folder.mkdir()
    files = []
    for first in range(0, days, _FILE_DAYS):
        files.append(folder / f"cams-{first:05}.nc")
        length = min(_FILE_DAYS, days - first)
        write_input(files[-1], length, first=first, closed=first + length == days)
    return files


def write_field(inputs: list[Path], out: Path, written: int | None = None) -> None:
    """Write the hourly field at 0.25 degrees that belongs to 3-hourly fields.

    Args:
        inputs: see :func:`write_original`.
        out: the store, ending in ``.zarr``.
        written: days that are computed and written; all others are these again, their shards being hard links. What is
            read from the store is then as much as of a whole one, and its size on disk that of these days.

    Raises:
        InputError: a disk without hard links.
    """
    coarse = open_cams(inputs)

    def job(path: Path, period: Period | None = None) -> Job:
        return plan_job(
            coarse,
            path,
            temporal="linear",
            spatial="bicubic",
            conserve=False,
            period=period,
            inputs=inputs,
        )

    if written is None:
        job(out).run()
        return
    begin, short = coarse.time.values[0], out.with_name(f"written-{out.name}")
    part, whole = job(short, Period(begin, begin + written * DAY)), job(out)
    part.run()
    whole.target.create(whole.layout, whole.plan.items, whole.identity)
    for item in whole.plan.items:
        for name in (f"{whole.layout.name}/c/{{}}/0/0", "status/c/{}"):
            link, shard = (
                out / name.format(item.index),
                short / name.format(item.index % len(part.plan.items)),
            )
            link.parent.mkdir(parents=True, exist_ok=True)
            try:
                link.hardlink_to(shard)
            except OSError as error:
                found = f"{link.parent}: {error.strerror}"
                raise InputError(
                    "--written",
                    "a disk with hard links",
                    found,
                    "choose another --folder",
                ) from error
    shutil.rmtree(short)
    # Without records the shards alone say which hours are there.
    shutil.rmtree(whole.target.records.folder)


def validation(
    days: int = 3,
    stations: int = 6656,
    folder: Path | None = None,
    progress: Callable[[str], None] = lambda text: None,
    written: int | None = None,
) -> ValidationResult:
    """Time the comparison of a global hourly field with stations, beside reading that field whole.

    Args:
        days: simulated global days.
        stations: simulated stations (6,656 are those of the paper).
        folder: where to write (default: the system's folder for temporary files); left as it was.
        progress: told what has been done.
        written: days of the field that are written, see :func:`write_field`; default all.
    """
    import psutil

    from deepcams.evaluation.sums import COLUMNS
    from deepcams.readers.open import open_field
    from deepcams.stations.archive.openaq import open_openaq
    from deepcams.stations.validation import validate

    with tempfile.TemporaryDirectory(dir=folder, prefix="deepcams-bench-") as name:
        out, table = Path(name) / "out.zarr", Path(name) / "stations.parquet"
        source = write_original(Path(name) / "cams", days)
        linked = written is not None and written < days
        write_field(source, out, written if linked else None)
        links = f", those after day {written} as links" if linked else ""
        progress(f"{24 * days} hours of field written{links}")
        rows = write_stations(table, stations, days)
        progress(f"{rows} rows of {stations} stations written")
        field, seconds = open_field(out), list[float]()
        process = psutil.Process()
        cache = {"DEEPCAMS_CACHE": str(Path(name) / "cache")}
        with mock.patch.dict(os.environ, cache), _PeakMemory() as peak:
            for _ in ("opening", "again"):
                with timed(seconds):
                    archive = open_openaq(table)
            original, disk = open_cams(source), _bytes_from_files(process)
            with timed(seconds):
                found = validate(archive, field, original)
            disk = _bytes_from_files(process) - disk
        progress("compared")
        with timed(seconds):
            for item in range(0, field.sizes["time"], 24):
                field[item : item + 24].values  # noqa: B018 - reading is what is timed
        pairs = int(found.scored[0].stations.month[..., COLUMNS.index("n")].sum())
    opening, again, comparing, reading = seconds
    return ValidationResult(
        stations,
        24 * days,
        rows,
        pairs,
        opening,
        again,
        comparing,
        reading,
        read=4 * sum(found.nodes_read.values()),
        whole=4 * (field.size + original.size),
        disk=disk,
        memory=peak.bytes,
        before=peak.before,
    )


def _bytes_from_files(process: psutil.Process) -> int:
    counted = (
        process.io_counters() if hasattr(process, "io_counters") else None
    )  # not on macOS
    return getattr(counted, "read_chars", 0)


class _PeakMemory:
    """Measure this process's memory on entering, every 20 ms, and on leaving.

    Args:
        resident: returns the bytes it holds now.

    Attributes:
        before: bytes on entering.
        bytes: the most.
    """

    def __init__(self, resident: Callable[[], int] | None = None) -> None:
        self.before = self.bytes = 0
        self._resident = resident or _resident
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def _watch(self) -> None:
        while not self._done.wait(0.02):
            self._look()

    def _look(self) -> None:
        self.bytes = max(self.bytes, self._resident())

    def __enter__(self) -> _PeakMemory:
        self.before = self.bytes = self._resident()
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join()
        self._look()


def _resident() -> int:
    import psutil

    return int(psutil.Process().memory_info().rss)
