"""Writer of a simulated world in a provider's layout, as used by ``deepcams simulate``."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np

from deepcams.core.errors import InputError, OutputError, choose
from deepcams.core.grid import Grid
from deepcams.core.period import Period
from deepcams.core.progress import Progress, no_progress
from deepcams.core.text import size
from deepcams.core.times import HOUR
from deepcams.files.atomic import atomic_path
from deepcams.files.lock import locked
from deepcams.files.records import Records
from deepcams.methods.spatial.coarsen import coarsen
from deepcams.simulation.arrays import Arrays
from deepcams.simulation.meteorology import meteorology as weather
from deepcams.simulation.station_network import place_stations
from deepcams.simulation.world import WORLD_VERSION, SimulatedWorld
from deepcams.simulation.write_cams import CamsLayout, write_cams
from deepcams.simulation.write_fields import STATE, Written, write_calendar, write_days
from deepcams.simulation.write_geos_cf import write_geos_cf
from deepcams.simulation.write_openaq import Dirt, write_openaq

if TYPE_CHECKING:
    import pandas as pd
    import xarray as xr

Layout = Literal["cams", "geos-cf", "openaq", "field"]


@dataclass
class Simulation:
    """The result of a simulation.

    Attributes:
        written: files written and kept.
        what: description in one phrase.
        planted: table of planted faults (OpenAQ only).
    """

    written: Written
    what: str
    planted: pd.DataFrame | None = None

    def summary(self, folder: Path | str) -> str:
        """Return a closing line for display."""
        text = f"{self.written.files} files ({size(self.written.bytes)}) written to {folder}"
        if self.written.kept:
            text += f", {self.written.kept} complete ones kept"
        text += f": {self.what}"
        if self.planted is not None:
            text += f"; {len(self.planted)} planted faults are listed in {Path(folder) / 'planted.csv'}"
        return f"{text}. This world is simulated: no real data."


def simulate(
    folder: Path | str,
    layout: Layout,
    period: Period | str,
    *,
    bbox: tuple[float, float, float, float] | None = None,
    seed: int = 0,
    cams_layout: CamsLayout = "new",
    stations: int = 100,
    dirt: bool = False,
    meteorology: bool = False,
    overwrite: bool = False,
    arrays: Arrays | None = None,
    progress: Progress = no_progress,
) -> Simulation:
    """Write a simulated world; complete files are not written again.

    Args:
        folder: folder of the files.
        layout: ``cams`` (0.75 degrees, 3-hourly instants that are area means of the truth; one file per month),
            ``geos-cf`` (0.25 degrees, hourly means, one file per hour), ``openaq`` (stations in cities, one file per
            station and day) or ``field`` (0.25 degrees, hourly instants, one netCDF per day).
        period: a :class:`Period` or its text.
        bbox: W S E N in degrees (W > E crosses the dateline); default: the globe.
        seed: seed of the world.
        cams_layout: ``new``, ``old`` or ``zip``.
        stations: number of stations, for ``openaq``.
        dirt: plant faults as in real archives, for ``openaq``, and list them in ``planted.csv``.
        meteorology: also write winds and temperature (``u10``, ``v10``, ``t2m``) to the files of ``cams``.
        overwrite: rewrite existing files.
        arrays: array library for fields, by default NumPy (see :meth:`SimulatedWorld.field`); stations always use it.
        progress: called with the amount done and the total.

    Raises:
        InputError: an argument is invalid.
        OutputError: the folder holds another simulated world, another process writes to it, or it cannot be written
            to.
    """
    choose("layout", layout, get_args(Layout))
    choose("CAMS layout", cams_layout, get_args(CamsLayout))
    if meteorology and layout != "cams":
        raise InputError(
            "--meteorology", "--layout cams, whose files hold it", f"--layout {layout}"
        )
    period = Period.parse(period, "--period") if isinstance(period, str) else period
    folder = Path(folder)
    world = SimulatedWorld(seed)
    if folder.exists() and not folder.is_dir():
        raise OutputError(
            f"{folder}: a folder is needed, and a file of that name is there; name another folder"
        )
    grid = Grid.globe(0.75 if layout == "cams" else 0.25)
    if bbox is not None:
        grid = grid.select(bbox, "--bbox")[0]
    state = Records(folder / STATE)
    if layout == "openaq":
        wrong = Dirt() if dirt else None
        places = place_stations(seed, stations, bbox, wrong.twins if wrong else 0.0)
        with locked(state.lock, folder):
            _claim(folder, layout, overwrite, seed, dirt=dirt)
            written, planted = write_openaq(
                seed, places, period, folder, wrong, overwrite, progress
            )
            if dirt:
                with atomic_path(folder / "planted.csv") as temporary:
                    planted.to_csv(temporary, index=False)
        what = f"{len(places)} simulated stations"
        return Simulation(written, what, planted if dirt else None)
    # everything that determines a field's values besides places and times
    key = f"world {WORLD_VERSION}, seed {seed}, bbox {bbox}"
    mean = layout == "geos-cf"
    times = _times(period, 3 if layout == "cams" else 1, mean)
    fine = grid.refine() if layout == "cams" else grid
    field = world.field(fine, times, mean, arrays)
    with locked(state.lock, folder):
        if layout == "cams":
            about = {"bbox": bbox, "cams_layout": cams_layout}
            _claim(folder, layout, overwrite, seed, **about, meteorology=meteorology)
            write = partial(
                write_cams,
                layout=cams_layout,
                overwrite=overwrite,
                world=key,
                others=partial(weather, seed) if meteorology else None,
            )
            written = _write_months(
                coarsen(field), folder, write, cams_layout, progress
            )
            return Simulation(written, f"{times.size} frames of {grid.describe()}")
        _claim(folder, layout, overwrite, seed, bbox=bbox)
        if mean:
            written = write_geos_cf(field, folder, overwrite, progress)
        else:
            written = write_days(field, folder, overwrite, progress, key)
        return Simulation(written, f"{times.size} hours of {grid.describe()}")


def _claim(
    folder: Path, layout: Layout, overwrite: bool, seed: int, **settings: Any
) -> None:
    """Record the settings of a layout's files in the folder, so that a rerun need not rewrite complete ones.

    Args:
        folder: folder of the files; each layout has separate settings in it.
        layout: layout of the files.
        overwrite: discard the settings of an earlier run.
        seed: seed of the world.
        settings: settings that determine the files' values besides seed and period.

    Raises:
        OutputError: the folder holds files with other settings, or cannot be written to.
    """
    records = Records(folder / STATE / layout)
    do = "name another folder or add --overwrite"
    if overwrite:
        shutil.rmtree(records.folder, ignore_errors=True)
    elif records.identity() is None and list(records.folder.glob("*.json")):
        raise OutputError(
            f"{records.folder}: the record of the settings is unreadable; {do}"
        )
    records.begin({"world": WORLD_VERSION, "seed": seed, **settings}, folder, do)


def _write_months(
    field: xr.DataArray,
    folder: Path,
    write_one: Callable[..., bool],
    layout: CamsLayout,
    progress: Progress,
) -> Written:
    """Write one file per month, named after its first and last time."""
    suffix = "zip" if layout == "zip" else "nc"

    def write(month: xr.DataArray, progress: Progress) -> tuple[Path, bool]:
        first, last = month.time.dt.strftime("%Y%m%dT%H").values[[0, -1]]
        path = folder / f"cams_eac4_{first}-{last}.{suffix}"
        return path, write_one(month, path, progress=progress)

    return write_calendar(field, "M", write, progress)


def _times(period: Period, hours: int, mean: bool) -> np.ndarray:
    """Return the whole multiples of ``hours`` (or middles of whole hours) in a period."""
    day = period.start.astype("datetime64[D]").astype("datetime64[ns]")
    times = np.arange(day, period.end, hours * HOUR)
    what = f"a multiple of {hours} hours"
    if mean:
        whole = (times >= period.start) & (times + HOUR <= period.end)
        times = times[whole] + HOUR // 2
        what = "a whole hour"
    else:
        times = times[period.contains(times)]
    if not times.size:
        raise InputError("--period", f"a period that holds {what}", str(period))
    return np.asarray(times)
