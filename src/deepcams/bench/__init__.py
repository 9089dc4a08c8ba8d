"""How fast it is: ratios of things timed side by side in one run, because machines differ and are shared."""

from __future__ import annotations

import shutil
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from deepcams.core.field import field_like
from deepcams.core.grid import Grid
from deepcams.core.times import HOUR
from deepcams.downscaling.job import Job, plan_job
from deepcams.files.records import Record
from deepcams.simulation.write_cams import write_cams
from deepcams.writers import open_target

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

    def as_dict(self) -> dict[str, Any]:
        """Return everything as JSON types."""
        return {**asdict(self), "ratio": self.ratio}


def write_input(
    path: Path, days: int, seed: int = 0, first: int = 0, closed: bool = True
) -> None:
    """Write 3-hourly global fields at 0.75 degrees, smooth at all scales and moving eastward, in CAMS's layout.

    Args:
        path: netCDF file.
        days: how many.
        seed: chooses the field.
        first: days after 2019-01-01 that they begin.
        closed: whether one more frame closes the last.
    """
    grid = Grid.globe(COARSE_STEP)
    draw = np.random.default_rng(seed)
    waves = np.fft.rfftfreq(grid.columns)[None], np.fft.fftfreq(2 * grid.rows)[:, None]
    spectrum = 1 / np.maximum(np.hypot(*waves), 1 / grid.columns) ** 1.8
    noise = draw.standard_normal((2, *spectrum.shape)) * spectrum
    pattern = np.fft.irfft2(noise[0] + 1j * noise[1], s=(2 * grid.rows, grid.columns))[
        : grid.rows
    ]
    still = np.exp(1 + 1.2 * pattern / pattern.std())
    frames = 8 * first + np.arange(8 * days + closed)
    values = np.stack(
        [np.roll(still, k, axis=1) * (1 + 0.2 * np.sin(k / 4)) for k in frames]
    )
    times = np.datetime64("2019-01-01", "ns") + frames * 3 * HOUR
    about = xr.DataArray(name="pm2p5", attrs={"source": "noise, no data"})
    write_cams(field_like(about, values.astype(np.float32), grid, times), path)


@contextmanager
def timed(seconds: list[float]) -> Iterator[None]:
    """Add to a list how many seconds the block takes."""
    began = time.perf_counter()
    yield
    seconds.append(time.perf_counter() - began)


def pipeline(
    days: int = 3,
    repeats: int = 3,
    folder: Path | None = None,
    progress: Callable[[str], None] = lambda text: None,
) -> PipelineResult:
    """Time the whole pipeline, linear in time and bicubic in space, against writing alone, in turns.

    Args:
        days: simulated global days a run.
        repeats: how often each is run.
        folder: where to write (default: the system's folder for temporary files); left as it was.
        progress: told what has been timed.
    """
    from deepcams.readers.cams import open_cams

    reading_too: list[float] = []
    writing: list[float] = []
    with tempfile.TemporaryDirectory(dir=folder, prefix="deepcams-bench-") as name:
        source, out = Path(name) / "cams.nc", Path(name) / "out.zarr"
        write_input(source, days)

        def job() -> Job:
            return plan_job(
                open_cams(source),
                out,
                temporal="linear",
                spatial="bicubic",
                conserve=False,
                overwrite=True,
                inputs=[source],
            )

        size = hours = 0
        arrays: list[np.ndarray] = []
        for turn in range(repeats):
            with timed(reading_too):
                summary = job().run()
            size, hours = summary.bytes, summary.hours
            if not arrays:
                with xr.open_zarr(out) as dataset:
                    plan = job().plan
                    arrays = [
                        dataset.pm2p5[item.start : item.stop].values
                        for item in plan.items
                    ]
            shutil.rmtree(out)
            with timed(writing):
                _write(job(), arrays)
            shutil.rmtree(out)
            progress(
                f"{turn + 1} of {repeats}: {reading_too[-1]:.2f} s, {writing[-1]:.2f} s"
            )
    return PipelineResult(hours, tuple(reading_too), tuple(writing), size)


def _write(job: Job, arrays: list[np.ndarray]) -> None:
    """Write arrays that are in memory, rounded already, as the job would write them."""
    target = open_target(job.target.path)
    target.create(job.layout, job.plan.items, job.identity)
    for item, values in zip(job.plan.items, arrays, strict=True):
        target.write(item, values, np.ones(item.hours, np.int8), Record(item.name))
    target.finish()
