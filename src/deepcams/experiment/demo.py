"""The whole workflow without real data: simulate a world, coarsen it, downscale it, score and plot the result."""

from __future__ import annotations

import json
import shutil
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from deepcams._version import __version__
from deepcams.core.box import Box
from deepcams.core.errors import InputError, OutputError
from deepcams.core.field import field_like, grid_of
from deepcams.core.grid import Grid
from deepcams.core.period import Period
from deepcams.core.progress import Progress, no_progress
from deepcams.core.times import DAY, HOUR, stamp
from deepcams.downscaling.job import Summary, downscale_to
from deepcams.downscaling.plan import downscale
from deepcams.evaluation import experiment_tables, tables
from deepcams.evaluation.candidates import CONSERVE, CORRECT_BASELINE, THEN, make
from deepcams.evaluation.diagnostics.base import SPAN
from deepcams.evaluation.experiment import Experiment, Result, score_block
from deepcams.files.records import FOLDER, Records, differences
from deepcams.methods.chains import best
from deepcams.methods.spatial.coarsen import coarsen
from deepcams.readers.cams import open_cams
from deepcams.readers.open import open_field
from deepcams.simulation.world import WORLD_VERSION, SimulatedWorld
from deepcams.simulation.write_cams import write_cams
from deepcams.simulation.write_fields import write_days
from deepcams.writers import open_target

REGION = (70.0, 5.0, 130.0, 45.0)
"""South and East Asia: cities, coasts, deserts and fires. W S E N in degrees."""
ZOOM = (82.0, 14.0, 100.0, 26.0)
"""North of the Bay of Bengal, plotted enlarged if the region contains it: coasts and plumes of large cities."""
PERIOD = "2019-12-01..2019-12-02"
BASELINES = (CORRECT_BASELINE["joint"], f"linear-eq9{THEN}bicubic")
"""The paper's baselines: correct linear interpolation, and its equation 9 as printed (weights swapped)."""

STEPS = {
    "simulate": "simulating",
    "downscale": "downscaling",
    "score": "scoring",
    "draw": "drawing",
    "report": "reporting",
}
FILES = {
    "truth": "truth",
    "cams": "cams_simulated.nc",
    "output": "pm25.zarr",
    "scores": "scores.json",
    "picture": "map.png",
    "report": "report.html",
}
"""File names in the demo's folder, by attribute of :class:`Demo`."""


def ours() -> str:
    """Return the evaluation name of the default method of ``deepcams downscale``."""
    return f"{best('spatial')}{CONSERVE}{THEN}{best('temporal')}"


@dataclass(frozen=True)
class Demo:
    """The result of a demo.

    Attributes:
        truth: folder with one netCDF file per day.
        cams: the truth as coarse CAMS data: a netCDF file in the CAMS layout.
        output: downscaled fields, a Zarr store.
        scores: scores, JSON.
        picture: maps, PNG.
        report: report, one HTML file.
        folder: folder that holds these files.
        result: scores.
        summary: summary of the downscaling.
        region: fine grid.
        seed: seed of the world.
        seconds: duration.
    """

    truth: Path
    cams: Path
    output: Path
    scores: Path
    picture: Path
    report: Path
    folder: Path
    result: Result
    summary: Summary
    region: Grid
    seed: int
    seconds: float


def demo(
    folder: Path | str = "deepcams-demo",
    *,
    seed: int = 0,
    bbox: tuple[float, float, float, float] = REGION,
    period: Period | str = PERIOD,
    progress: Progress = no_progress,
) -> Demo:
    """Simulate a region, coarsen it to CAMS data, downscale that, and compare the result with the truth.

    A rerun keeps complete files; with another seed it replaces the files of the earlier demo, and nothing else.

    Args:
        folder: output folder; created if it does not exist.
        seed: seed of the world.
        bbox: W S E N in degrees; the 0.75 degree nodes in it and their cells are simulated.
        period: whole days. One more frame is simulated, so that the hours after the last frame have two neighbours.
        progress: callback, called with keys of :data:`STEPS`.

    Raises:
        InputError: an argument is invalid.
        OutputError: the folder cannot be written to, or holds files of these names not made by a demo.
    """
    from deepcams.plotting.figure_layout import save
    from deepcams.report import write_report

    began = time.perf_counter()
    folder, world = Path(folder), SimulatedWorld(seed)
    coarse = Grid.globe(0.75).select(bbox)[0]
    days = Period.parse(period) if isinstance(period, str) else period
    if any(moment.astype(int) % DAY.astype(int) for moment in (days.start, days.end)):
        raise InputError("period", "whole days", str(days))
    hours = np.arange(days.start, days.end + HOUR, HOUR)
    _claim(folder, {"seed": seed, "bbox": bbox, "period": str(days)})
    paths = {key: folder / name for key, name in FILES.items()}

    progress("simulate", 0, hours.size)
    field = world.field(coarse.refine(), hours)
    files = write_days(field, paths["truth"], progress=progress)
    truth = field_like(field, open_field(files.paths).values, coarse.refine(), hours)
    write_cams(coarsen(truth).isel(time=slice(None, None, SPAN)), paths["cams"])

    # From here on the file is handled like one from the data store; only the attributes mark it as simulated.
    cams = open_cams(paths["cams"]).assign_attrs(source=field.attrs["source"])
    summary = downscale_to(
        cams,
        paths["output"],
        period=days,
        inputs=[paths["cams"]],
        command="deepcams demo",
        progress=lambda _, done, total: progress("downscale", done, total),
    )
    truth = truth.isel(time=slice(0, hours.size - 1))
    made = {ours(): open_field(paths["output"])}
    for name in BASELINES:
        temporal, spatial = name.split(THEN)
        made[name] = downscale(
            cams, temporal, spatial, conserve=False, order="temporal-first", period=days
        )
    made = {
        name: field_like(truth, each.values, grid_of(each))
        for name, each in made.items()
    }

    progress("score", 0, 1)
    result = _score(truth, made)
    document = {
        "note": f"simulated world, seed {seed}: no real data",
        **json.loads(experiment_tables.as_json(result)),
    }
    tables.save(paths["scores"], json.dumps(document, indent=1, allow_nan=False) + "\n")
    progress("score", 1, 1)

    progress("draw", 0, 1)
    save(draw(truth, made, cams, seed), paths["picture"])
    progress("draw", 1, 1)
    write_report(
        folder, paths["report"], progress=lambda _, *count: progress("report", *count)
    )
    return Demo(
        **paths,
        folder=folder,
        result=result,
        summary=summary,
        region=coarse.refine(),
        seed=seed,
        seconds=time.perf_counter() - began,
    )


def _claim(folder: Path, settings: dict[str, Any]) -> None:
    """Reserve the folder for this demo: it is empty or holds only files of an earlier run with the same settings.

    Raises:
        OutputError: the folder cannot be written to, or holds files not made by a demo.
    """
    settings = {"deepcams": __version__, "world": WORLD_VERSION, **settings}
    records = Records(folder / f"{FOLDER}-demo")
    before = records.identity()
    present = [name for name in FILES.values() if (folder / name).exists()]
    if before is None and present:
        raise OutputError(
            f"{folder} holds {', '.join(present)}, made by no demo; name another folder"
        )
    if before is not None and differences(before, settings):
        _clear(folder)
        shutil.rmtree(records.folder)
    records.begin(settings, folder, "name another folder")


def _clear(folder: Path) -> None:
    """Remove the files of a demo of another world."""
    output = open_target(folder / FILES["output"])
    if output.exists():
        inputs = (output.identity() or {}).get("inputs", [])
        if [one["name"] for one in inputs] != [FILES["cams"]]:
            raise OutputError(
                f"{output.path} was made by no demo; move it, or name another folder"
            )
        output.discard()
    for old in (folder / FILES["truth"]).glob("simulated_*.nc"):
        old.unlink()
    for key in ("cams", "scores", "picture", "report"):
        (folder / FILES[key]).unlink(missing_ok=True)


@dataclass(frozen=True)
class _Made:
    """A downscaler that returns stored fields, so that the stored output is scored."""

    field: xr.DataArray

    def downscale(self, _: xr.DataArray, hours: np.ndarray) -> xr.DataArray:
        return self.field


def _score(truth: xr.DataArray, made: dict[str, xr.DataArray]) -> Result:
    """Score the hours between CAMS's frames."""
    methods = []
    for name, field in made.items():
        parts: Any = ((name, _Made(field)),)
        methods.append(replace(make(name), parts=parts))
    experiment, grid = Experiment("joint", margin=0.0), grid_of(truth).describe()
    first, last = (stamp(moment) for moment in truth.time.values[[0, -1]])
    return Result(
        experiment,
        score_block(truth, methods, experiment),
        {method.name: method.kind for method in methods},
        BASELINES[0],
        f"simulated, {grid}; {truth.sizes['time']} frames, {first} to {last} UTC",
        grid,
    )


def draw(
    truth: xr.DataArray, made: dict[str, xr.DataArray], cams: xr.DataArray, seed: int
) -> Any:
    """Plot maps of one hour between CAMS frames: truth, input, baseline, deepcams, and errors.

    Args:
        truth: hourly fine field, whole days.
        made: fields like the truth, by method; the first baseline and the default method are plotted.
        cams: coarse field that they were made from.
        seed: seed of the world, for the caption.

    Returns:
        a :class:`matplotlib.figure.Figure`.
    """
    from deepcams.plotting.compare import compare_maps

    # The last hour before a frame, in daylight over the region.
    hour = truth.sizes["time"] * 2 // 3 // SPAN * SPAN - 1
    moment = truth.time.values[hour]
    latitude, longitude = truth.latitude.values, truth.longitude.values
    region = Box(longitude[0], latitude[-1], longitude[-1], latitude[0])
    west, south, east, north = ZOOM
    holds = region.contains(np.array([south, north]), np.array([west, east])).all()
    return compare_maps(
        {"Linear + bicubic": made[BASELINES[0]], "deepcams": made[ours()]},
        moment,
        truth=truth,
        source=("CAMS-like input", cams),
        zooms=[ZOOM] if holds else [],
        title=f"SIMULATED world (seed {seed}), {stamp(moment)} UTC",
        note="No real data. The truth is averaged to 0.75°, every 3 h (CAMS's grid and hours), and downscaled to "
        "0.25°, hourly, without seeing the truth.",
    )
