"""How fast it is: ratios of things timed side by side in one run, because machines differ and are shared."""

from __future__ import annotations

import os
import shutil
import statistics
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import xarray as xr

from deepcams.grid import Grid
from deepcams.production.job import Job, prepare
from deepcams.store import Record, open_target

if TYPE_CHECKING:
    import psutil

COARSE_STEP = 0.75


@dataclass(frozen=True)
class PipelineResult:
    """Rates of the pipeline and of writing alone.

    Attributes:
        hours: output hours of each run.
        pipeline: seconds of each run: reading, linear in time, bicubic in space, writing.
        writing: seconds of each run that only writes the same arrays, with the same encoding, from memory.
        bytes: size of the output.
    """

    hours: int
    pipeline: tuple[float, ...]
    writing: tuple[float, ...]
    bytes: int

    @property
    def ratio(self) -> float:
        """Rate of the pipeline over the rate of writing alone (medians): at best 1, or more where they overlap."""
        return statistics.median(self.writing) / statistics.median(self.pipeline)


def write_input(path: Path, days: int, seed: int = 0) -> None:
    """Write 3-hourly global fields at 0.75 degrees, smooth at all scales and moving eastward, in CAMS's layout.

    Args:
        path: netCDF file.
        days: how many; one more frame closes the last.
        seed: chooses the field.
    """
    grid = Grid.globe(COARSE_STEP)
    draw = np.random.default_rng(seed)
    waves = np.fft.rfftfreq(grid.columns)[None], np.fft.fftfreq(2 * grid.rows)[:, None]
    spectrum = 1 / np.maximum(np.hypot(*waves), 1 / grid.columns) ** 1.8
    noise = draw.standard_normal((2, *spectrum.shape)) * spectrum
    pattern = np.fft.irfft2(noise[0] + 1j * noise[1], s=(2 * grid.rows, grid.columns))[: grid.rows]
    still = np.exp(1 + 1.2 * pattern / pattern.std())
    frames = 8 * days + 1
    values = np.stack([np.roll(still, k, axis=1) * (1 + 0.2 * np.sin(k / 4)) for k in range(frames)])
    times = np.datetime64("2019-01-01", "ns") + np.arange(frames) * np.timedelta64(3, "h")
    coordinates = {"valid_time": times, "latitude": grid.latitudes, "longitude": grid.longitudes}
    array = xr.DataArray(values.astype(np.float32) * np.float32(1e-9), coordinates, tuple(coordinates))
    array.attrs["units"] = "kg m**-3"
    layout = {"zlib": True, "complevel": 1, "chunksizes": (8, *grid.shape)}
    array.to_dataset(name="pm2p5").to_netcdf(path, encoding={"pm2p5": layout})


def pipeline(
    days: int = 3, repeats: int = 3, folder: Path | None = None, progress: Callable[[str], None] | None = None
) -> PipelineResult:
    """Time the whole pipeline, linear in time and bicubic in space, against writing alone, in turns.

    Args:
        days: simulated global days a run.
        repeats: how often each is run.
        folder: where to write (default: the system's folder for temporary files); left as it was.
        progress: told what has been timed.
    """
    from deepcams.sources.cams import open_cams

    timed: dict[str, list[float]] = {"pipeline": [], "writing": []}
    with tempfile.TemporaryDirectory(dir=folder, prefix="deepcams-bench-") as name:
        source, out = Path(name) / "cams.nc", Path(name) / "out.zarr"
        write_input(source, days)

        def job() -> Job:
            return prepare(open_cams(source), out, temporal="linear", spatial="bicubic", conserve=False,
                           overwrite=True, inputs=[source])  # fmt: skip

        size = hours = 0
        arrays: list[np.ndarray] = []
        for turn in range(repeats):
            started = time.perf_counter()
            summary = job().run()
            timed["pipeline"].append(time.perf_counter() - started)
            size, hours = summary.bytes, summary.hours
            if not arrays:
                with xr.open_zarr(out) as dataset:
                    plan = job().plan
                    arrays = [dataset.pm2p5[item.start : item.stop].values for item in plan.items]
            shutil.rmtree(out)
            timed["writing"].append(_write(job(), arrays))
            shutil.rmtree(out)
            if progress is not None:
                progress(f"{turn + 1} of {repeats}: {timed['pipeline'][-1]:.2f} s, {timed['writing'][-1]:.2f} s")
    return PipelineResult(hours, tuple(timed["pipeline"]), tuple(timed["writing"]), size)


def _write(job: Job, arrays: list[np.ndarray]) -> float:
    """Seconds to write arrays that lie in memory, rounded already, as the job would write them."""
    started = time.perf_counter()
    target = open_target(job.target.path)
    target.create(job.layout, job.plan.items, job.identity)
    empty = Record.merge([])
    for item, values in zip(job.plan.items, arrays, strict=True):
        target.write(item, values, np.ones(item.hours, np.int8), empty)
    target.finish()
    return time.perf_counter() - started


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
    import pyarrow as pa
    import pyarrow.parquet as pq

    from deepcams.sources.simulation.stations import place_stations

    hours = np.arange(24 * days)
    stamps = np.datetime64("2019-01-01T01:00", "s") + hours * np.timedelta64(3600, "s")
    draw, same = np.random.default_rng(seed), np.zeros(hours.size, np.int32)
    writer, tables, places = None, list[pa.Table](), place_stations(seed, number)
    for station in places:
        level = 20 * np.exp(0.4 * np.sin(hours / 24 * 2 * np.pi) + 0.5 * draw.standard_normal(hours.size))

        def text(word: str) -> pa.DictionaryArray:
            return pa.DictionaryArray.from_arrays(pa.array(same), pa.array([word]))

        table = pa.table({
            "location_id": text(str(station.id)), "location": text(station.name),
            "datetime": pa.array(stamps, pa.timestamp("s", "UTC")), "lat": np.full(hours.size, station.latitude),
            "lon": np.full(hours.size, station.longitude), "parameter": text("pm25"), "units": text("µg/m³"),
            "value": np.round(level, 1),
        })  # fmt: skip
        tables.append(table)
        if sum(each.num_rows for each in tables) > 500_000 or station is places[-1]:
            together = pa.concat_tables(tables).unify_dictionaries()
            if writer is None:
                writer = pq.ParquetWriter(path, together.schema, compression="zstd")
            writer.write_table(together)
            tables = []
    assert writer is not None
    writer.close()
    return hours.size * number


def validation(
    days: int = 3, stations: int = 6656, folder: Path | None = None, progress: Callable[[str], None] | None = None
) -> ValidationResult:
    """Time the comparison of a global hourly field with stations, beside reading that field whole.

    Args:
        days: simulated global days.
        stations: simulated stations (6,656 are those of the paper).
        folder: where to write (default: the system's folder for temporary files); left as it was.
        progress: told what has been done.
    """
    import psutil

    from deepcams.evaluation.grouped import COLUMNS
    from deepcams.evaluation.in_situ import validate
    from deepcams.sources.cams import open_cams
    from deepcams.sources.open import open_field
    from deepcams.sources.openaq import open_openaq

    told = progress or (lambda text: None)
    with tempfile.TemporaryDirectory(dir=folder, prefix="deepcams-bench-") as name:
        source, out, table = Path(name) / "cams.nc", Path(name) / "out.zarr", Path(name) / "stations.parquet"
        write_input(source, days)
        prepare(open_cams(source), out, temporal="linear", spatial="bicubic", conserve=False, inputs=[source]).run()
        told(f"{24 * days} hours of field written")
        rows = write_stations(table, stations, days)
        told(f"{rows} rows of {stations} stations written")
        field, seconds = open_field(out), dict[str, float]()
        process = psutil.Process()
        with _cache(Path(name) / "cache"), _PeakMemory() as peak:
            for what in ("opening", "again"):
                started = time.perf_counter()
                archive = open_openaq(table)
                seconds[what] = time.perf_counter() - started
            original = open_cams(source)
            started, disk = time.perf_counter(), _bytes_from_files(process)
            found = validate(archive, field, original)
            seconds["comparing"] = time.perf_counter() - started
            disk = _bytes_from_files(process) - disk
        told("compared")
        started = time.perf_counter()
        for item in range(0, field.sizes["time"], 24):
            field[item : item + 24].values  # noqa: B018 - reading is what is timed
        seconds["reading"] = time.perf_counter() - started
        pairs = int(found.scored[0].stations.month[..., COLUMNS.index("n")].sum())
    read = 4 * sum(found.nodes_read.values())
    whole = 4 * (field.size + original.size)
    return ValidationResult(
        stations,
        24 * days,
        rows,
        pairs,
        read=read,
        whole=whole,
        disk=disk,
        memory=peak.bytes,
        before=peak.before,
        **seconds,
    )


def _bytes_from_files(process: psutil.Process) -> int:
    counted = process.io_counters() if hasattr(process, "io_counters") else None  # not on macOS
    return getattr(counted, "read_chars", 0)


@contextmanager
def _cache(folder: Path) -> Iterator[None]:
    """Let the cache be another folder for a while."""
    known = os.environ.get("DEEPCAMS_CACHE")
    os.environ["DEEPCAMS_CACHE"] = str(folder)
    try:
        yield
    finally:
        if known is None:
            del os.environ["DEEPCAMS_CACHE"]
        else:
            os.environ["DEEPCAMS_CACHE"] = known


class _PeakMemory:
    """Looks at this process's memory on entering, every 20 ms, and on leaving: what it held before, and the most."""

    def __init__(self) -> None:
        import psutil

        self.before = self.bytes = 0
        self._process = psutil.Process()
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)

    def _look(self) -> None:
        while not self._done.wait(0.02):
            self.bytes = max(self.bytes, self._process.memory_info().rss)

    def __enter__(self) -> _PeakMemory:
        self.before = self.bytes = self._process.memory_info().rss
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join()
        self.bytes = max(self.bytes, self._process.memory_info().rss)
