"""How fast it is: ratios of things timed side by side in one run, because machines differ and are shared."""

from __future__ import annotations

import shutil
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import xarray as xr

from deepcams.core.grid import Grid
from deepcams.downscaling.job import Job, plan_job
from deepcams.files.records import Record
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


def write_input(path: Path, days: int, seed: int = 0, first: int = 0, closed: bool = True) -> None:
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
    pattern = np.fft.irfft2(noise[0] + 1j * noise[1], s=(2 * grid.rows, grid.columns))[: grid.rows]
    still = np.exp(1 + 1.2 * pattern / pattern.std())
    frames = 8 * first + np.arange(8 * days + closed)
    values = np.stack([np.roll(still, k, axis=1) * (1 + 0.2 * np.sin(k / 4)) for k in frames])
    times = np.datetime64("2019-01-01", "ns") + frames * np.timedelta64(3, "h")
    coordinates = {"valid_time": times, "latitude": grid.latitudes, "longitude": grid.longitudes}
    array = xr.DataArray(
        values.astype(np.float32) * np.float32(1e-9), coordinates, tuple(coordinates)
    )
    array.attrs["units"] = "kg m**-3"
    layout = {"zlib": True, "complevel": 1, "chunksizes": (8, *grid.shape)}
    array.to_dataset(name="pm2p5").to_netcdf(path, encoding={"pm2p5": layout})


def pipeline(
    days: int = 3,
    repeats: int = 3,
    folder: Path | None = None,
    progress: Callable[[str], None] | None = None,
) -> PipelineResult:
    """Time the whole pipeline, linear in time and bicubic in space, against writing alone, in turns.

    Args:
        days: simulated global days a run.
        repeats: how often each is run.
        folder: where to write (default: the system's folder for temporary files); left as it was.
        progress: told what has been timed.
    """
    from deepcams.readers.cams import open_cams

    timed: dict[str, list[float]] = {"pipeline": [], "writing": []}
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
                progress(
                    f"{turn + 1} of {repeats}: {timed['pipeline'][-1]:.2f} s, {timed['writing'][-1]:.2f} s"
                )
    return PipelineResult(hours, tuple(timed["pipeline"]), tuple(timed["writing"]), size)


def _write(job: Job, arrays: list[np.ndarray]) -> float:
    """Seconds to write arrays that lie in memory, rounded already, as the job would write them."""
    started = time.perf_counter()
    target = open_target(job.target.path)
    target.create(job.layout, job.plan.items, job.identity)
    for item, values in zip(job.plan.items, arrays, strict=True):
        target.write(item, values, np.ones(item.hours, np.int8), Record(item.name))
    target.finish()
    return time.perf_counter() - started
