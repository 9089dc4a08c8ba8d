"""The whole pipeline against writing alone."""

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

from deepcams.bench.inputs import write_input
from deepcams.downscaling.job import Job, plan_job
from deepcams.files.records import Record
from deepcams.writers import open_target


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
