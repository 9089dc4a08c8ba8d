"""The whole way without any data: simulate a world, coarsen it, downscale it, score the result and draw it."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from deepcams._version import __version__
from deepcams.core.errors import InputError, OutputError
from deepcams.core.field import field_like, grid_of
from deepcams.core.grid import Grid
from deepcams.core.period import Period
from deepcams.downscaling.job import Summary, downscale_to
from deepcams.downscaling.plan import downscale
from deepcams.evaluation import tables
from deepcams.evaluation.candidates import CONSERVE, CORRECT_BASELINE, THEN, Kind, make
from deepcams.evaluation.experiment import SPAN, Experiment, Result
from deepcams.evaluation.statistics import Table, score_sample
from deepcams.files.atomic import atomic_path
from deepcams.methods.base import HOUR, INTERPOLATED, hour_status
from deepcams.methods.chains import best
from deepcams.methods.coarsen import coarsen
from deepcams.readers.cams import open_cams
from deepcams.readers.open import open_field
from deepcams.simulation.world import WORLD_VERSION, SimulatedWorld
from deepcams.simulation.write_cams import write_cams
from deepcams.simulation.write_fields import write_days
from deepcams.writers import open_target

REGION = (70.0, 5.0, 130.0, 45.0)
"""South and East Asia: cities, coasts, deserts and fires. W S E N in degrees."""
ZOOM = (82.0, 14.0, 100.0, 26.0)
"""The north of the Bay of Bengal, drawn enlarged where it lies in the region: coasts and the plumes of large cities."""
PERIOD = "2019-12-01..2019-12-02"
BASELINES = (CORRECT_BASELINE["joint"], f"linear-eq9{THEN}bicubic")
"""The paper's: interpolation as it should be, and with its equation 9 as printed (weights swapped)."""

STEPS = {
    "simulate": "simulating",
    "downscale": "downscaling",
    "score": "scoring",
    "draw": "drawing",
    "report": "reporting",
}
Progress = Callable[[str, int, int], None]
"""Called with a key of :data:`STEPS`, how much of it is done, and how much there is."""

_RECORD = ".deepcams-demo.json"
_TRUTH, _CAMS, _OUTPUT, _SCORES, _MAP = (
    "truth",
    "cams_simulated.nc",
    "pm25.zarr",
    "scores.json",
    "map.png",
)
_REPORT = "report.html"


def ours() -> str:
    """The name, as evaluations have it, of what ``deepcams downscale`` does unless told otherwise."""
    return f"{best('spatial')}{CONSERVE}{THEN}{best('temporal')}"


@dataclass(frozen=True)
class Demo:
    """What a run made and found.

    Attributes:
        folder: where everything is.
        result: the scores.
        summary: of the downscaling.
        region: the fine grid.
        seed: of the world.
        seconds: it took.
    """

    folder: Path
    result: Result
    summary: Summary
    region: Grid
    seed: int
    seconds: float

    @property
    def truth(self) -> Path:
        """The truth: a folder of one netCDF a day."""
        return self.folder / _TRUTH

    @property
    def cams(self) -> Path:
        """What CAMS would give of the truth: a netCDF file in its layout."""
        return self.folder / _CAMS

    @property
    def output(self) -> Path:
        """The downscaled fields, a Zarr store."""
        return self.folder / _OUTPUT

    @property
    def scores(self) -> Path:
        """The scores, JSON."""
        return self.folder / _SCORES

    @property
    def picture(self) -> Path:
        """The maps, PNG."""
        return self.folder / _MAP

    @property
    def report(self) -> Path:
        """Everything in one HTML file."""
        return self.folder / _REPORT


def demo(
    folder: Path | str = "deepcams-demo",
    *,
    seed: int = 0,
    bbox: tuple[float, float, float, float] = REGION,
    period: Period | str = PERIOD,
    progress: Progress | None = None,
) -> Demo:
    """Simulate a region, make CAMS's view of it, downscale that, and compare the result with the truth.

    A rerun keeps what is complete; with another seed it replaces what an earlier demo left, and nothing else.

    Args:
        folder: where everything goes; made if it is not there.
        seed: chooses the world.
        bbox: W S E N in degrees; the 0.75 degree nodes in it and their cells are simulated.
        period: whole days. One frame more is simulated, so that the hours after the last frame have two neighbours.
        progress: hears what is being done.

    Raises:
        InputError: an argument is not what it should be.
        OutputError: the folder cannot be written to, or holds things of these names that no demo has made.
    """
    began = time.perf_counter()
    tell = progress or (lambda step, done, total: None)
    folder, world = Path(folder), SimulatedWorld(seed)
    coarse = Grid.globe(0.75).select(bbox)[0]
    hours = _hours(Period.parse(period) if isinstance(period, str) else period)
    _claim(folder, {"seed": seed, "bbox": list(bbox), "hours": [str(hours[0]), hours.size]})

    tell("simulate", 0, hours.size)
    hourly = [
        world.field(coarse.refine(), hour) for hour in hours
    ]  # a block each, for the progress bar
    field = xr.concat(
        hourly, "time", combine_attrs="override", join="exact", compat="equals", coords="minimal"
    )
    files = write_days(
        field, folder / _TRUTH, progress=lambda _, done, total: tell("simulate", done, total)
    )
    truth = _loaded(open_field(files.paths), field)
    write_cams(coarsen(truth).isel(time=slice(None, None, SPAN)), folder / _CAMS)

    # From here on everything is as with a file from the data store; only the output's attributes say what it is.
    cams = open_cams(folder / _CAMS).assign_attrs(source=field.attrs["source"])
    days = Period(hours[0], hours[-1])
    summary = downscale_to(
        cams,
        folder / _OUTPUT,
        period=days,
        inputs=[folder / _CAMS],
        command="deepcams demo",
        progress=lambda _, done, total: tell("downscale", done, total),
    )
    truth = truth.isel(time=slice(0, hours.size - 1))
    made = {ours(): open_field(folder / _OUTPUT)}
    for name in BASELINES:
        temporal, spatial = name.split(THEN)
        made[name] = downscale(
            cams, temporal, spatial, conserve=False, order="temporal-first", period=days
        )
    made = {name: field_like(truth, each.values, grid_of(each)) for name, each in made.items()}
    result = _score(truth, made, cams.time.values, tell)
    _write_scores(folder / _SCORES, result, seed)

    tell("draw", 0, 1)
    from deepcams.plotting.page import save

    save(draw(truth, made, cams, seed), folder / _MAP)
    tell("draw", 1, 1)
    from deepcams.report.report import report

    report(folder, folder / _REPORT, progress=lambda _, done, total: tell("report", done, total))
    return Demo(folder, result, summary, coarse.refine(), seed, time.perf_counter() - began)


def _hours(period: Period) -> np.ndarray:
    """All hours of a period of whole days, and the one that ends it."""
    for moment in (period.start, period.end):
        if moment != moment.astype("datetime64[D]"):
            raise InputError("period", "whole days", str(period))
    return np.arange(period.start, period.end + HOUR, HOUR)


def _loaded(found: xr.DataArray, like: xr.DataArray) -> xr.DataArray:
    return field_like(like, found.values, grid_of(found), found.time.values)


def _claim(folder: Path, settings: dict[str, Any]) -> None:
    """Make the folder this demo's own: empty, or with what an earlier run of the very same has left."""
    settings = {"deepcams": __version__, "world": WORLD_VERSION, **settings}
    record = folder / _RECORD
    before: Any = None
    try:
        before = json.loads(record.read_text())
    except (FileNotFoundError, ValueError):
        pass
    except OSError as error:
        raise OutputError(
            f"{folder}: expected a folder for the demo ({error.strerror or error}); name another"
        ) from error
    if before is None:
        there = [
            name
            for name in (_TRUTH, _CAMS, _OUTPUT, _SCORES, _MAP, _REPORT)
            if (folder / name).exists()
        ]
        if there:
            raise OutputError(
                f"{folder} holds {', '.join(there)}, made by no demo; name another folder"
            )
    elif before != settings:
        _clear(folder)
    with atomic_path(record) as temporary:
        temporary.write_text(json.dumps(settings) + "\n")


def _clear(folder: Path) -> None:
    """Remove what a demo of another world has left, before anything of this one is written."""
    output = open_target(folder / _OUTPUT)
    if output.exists():
        inputs = (output.identity() or {}).get("inputs", [])
        if [one["name"] for one in inputs] != [_CAMS]:
            raise OutputError(f"{output.path} was made by no demo; move it, or name another folder")
        output.discard()
    for old in (
        *(folder / _TRUTH).glob("simulated_*.nc"),
        *(folder / name for name in (_CAMS, _SCORES, _MAP, _REPORT)),
    ):
        old.unlink(missing_ok=True)


def _score(
    truth: xr.DataArray, made: dict[str, xr.DataArray], frames: np.ndarray, tell: Progress
) -> Result:
    """Score the hours between CAMS's frames, as the task ``joint`` of the evaluation does."""
    status = hour_status(frames, truth.time.values)
    between = np.flatnonzero(status == INTERPOLATED)
    months = truth.time.values.astype("datetime64[M]").astype(str)
    table = Table()
    for done, i in enumerate(between):
        tell("score", done, between.size)
        for name, field in made.items():
            table += Table({(name, str(months[i])): score_sample(truth.values[i], field.values[i])})
    tell("score", between.size, between.size)
    kinds: dict[str, Kind] = {name: make(name).kind for name in made}
    grid = grid_of(truth).describe()
    first, last = (
        str(t.astype("datetime64[m]")).replace("T", " ") for t in truth.time.values[[0, -1]]
    )
    what = f"simulated, {grid}; {truth.sizes['time']} frames, {first} to {last} UTC"
    return Result(Experiment("joint", margin=0.0), table, kinds, BASELINES[0], what, grid)


def _write_scores(path: Path, result: Result, seed: int) -> None:
    document = {
        "note": f"simulated world, seed {seed}: no real data",
        **json.loads(tables.as_json(result)),
    }
    tables.save(path, json.dumps(document, indent=1, allow_nan=False) + "\n")


def draw(truth: xr.DataArray, made: dict[str, xr.DataArray], cams: xr.DataArray, seed: int) -> Any:
    """The maps of one hour between CAMS's frames: truth, input, baseline, ours, and errors.

    Args:
        truth: hourly fine field, whole days.
        made: method -> field like the truth; the first baseline and ours are drawn.
        cams: what they were made from.
        seed: of the world, for the caption.

    Returns:
        a :class:`matplotlib.figure.Figure`.
    """
    from deepcams.plotting.compare import compare_maps

    hour = (
        truth.sizes["time"] * 2 // 3 // SPAN * SPAN - 1
    )  # late in a gap, in daylight over the region
    moment = truth.time.values[hour]
    return compare_maps(
        {"Linear + bicubic": made[BASELINES[0]], "deepcams": made[ours()]},
        moment,
        truth=truth,
        source=("CAMS-like input", cams),
        zooms=[ZOOM] if _holds(grid_of(truth), ZOOM) else [],
        title=f"SIMULATED world (seed {seed}), {str(moment.astype('datetime64[m]')).replace('T', ' ')} UTC",
        note="No real data. The truth is averaged to 0.75°, every 3 h (CAMS's grid and hours), and downscaled to "
        "0.25°, hourly, without seeing the truth.",
    )


def _holds(grid: Grid, box: tuple[float, float, float, float]) -> bool:
    west, south, east, north = box
    longitudes, latitudes = grid.longitudes, grid.latitudes
    return bool(
        longitudes[0] <= west
        and east <= longitudes[-1]
        and latitudes[-1] <= south
        and north <= latitudes[0]
    )
