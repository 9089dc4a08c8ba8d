"""One call that writes a simulated world in a provider's layout: what ``deepcams simulate`` does."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, get_args

import numpy as np
import xarray as xr

from deepcams.core.errors import InputError, OutputError, choose
from deepcams.core.grid import Grid
from deepcams.core.period import Period
from deepcams.files.atomic import atomic_path
from deepcams.files.flock import alone
from deepcams.methods.coarsen import coarsen
from deepcams.simulation.arrays import Arrays
from deepcams.simulation.folder import WORLD_VERSION, Progress, Written, claim, no_progress, shifted
from deepcams.simulation.station_network import place_stations
from deepcams.simulation.world_field import SimulatedWorld
from deepcams.simulation.write_cams import CamsLayout, write_cams
from deepcams.simulation.write_fields import write_days
from deepcams.simulation.write_geos_cf import write_geos_cf
from deepcams.simulation.write_openaq import Dirt, write_openaq

if TYPE_CHECKING:
    import pandas as pd

Layout = Literal["cams", "geos-cf", "openaq", "field"]
Box = tuple[float, float, float, float]

_LOCK = ".deepcams-simulation.lock"
_HOUR = np.timedelta64(1, "h").astype("timedelta64[ns]")


@dataclass
class Simulation:
    """What was simulated and written.

    Attributes:
        written: which files.
        what: one phrase for people.
        planted: the planted dirt (OpenAQ only).
    """

    written: Written
    what: str
    planted: pd.DataFrame | None = None

    def summary(self, folder: Path | str) -> str:
        """The closing line for people."""
        from deepcams.core.text import size

        written, planted = self.written, self.planted
        done = f"{written.files} files ({size(written.bytes)}) written to {folder}"
        kept = f", {written.kept} complete ones kept" if written.kept else ""
        dirt = (
            f"; {len(planted)} planted faults are listed in {Path(folder) / 'planted.csv'}"
            if planted is not None
            else ""
        )
        return f"{done}{kept}: {self.what}{dirt}. This world is simulated: no real data."


def simulate(
    folder: Path | str,
    layout: Layout,
    period: Period | str,
    *,
    bbox: Box | None = None,
    seed: int = 0,
    cams_layout: CamsLayout = "new",
    stations: int = 100,
    dirt: bool = False,
    overwrite: bool = False,
    arrays: Arrays | None = None,
    progress: Progress = no_progress,
) -> Simulation:
    """Write a simulated world; files that are complete are kept.

    Args:
        folder: where the files go.
        layout: ``cams`` (0.75 degrees, 3-hourly instants that are the area means of the truth; one file a month),
            ``geos-cf`` (0.25 degrees, hourly means, one file an hour), ``openaq`` (stations in cities, one file a
            station and day) or ``field`` (0.25 degrees, hourly instants, one netCDF a day).
        period: a :class:`Period` or its text.
        bbox: W S E N in degrees (W > E crosses the dateline); default the globe.
        seed: chooses the world.
        cams_layout: ``new``, ``old`` or ``zip``.
        stations: how many, for ``openaq``.
        dirt: plant what goes wrong in real archives, for ``openaq``, and tell it in ``planted.csv``.
        overwrite: write files that are there anew.
        arrays: what to compute fields with, by default NumPy (see :meth:`SimulatedWorld.field`; stations always do).
        progress: called with how much is done and how much there is.

    Raises:
        InputError: an argument is not what it should be.
        OutputError: the folder holds another simulated world, another process writes to it, or it cannot be written
            to.
    """
    choose("layout", layout, get_args(Layout))
    choose("CAMS layout", cams_layout, get_args(CamsLayout))
    period = Period.parse(period, "--period") if isinstance(period, str) else period
    folder, world = Path(folder), SimulatedWorld(seed)
    if folder.exists() and not folder.is_dir():
        raise OutputError(
            f"{folder}: a folder is needed, and a file of that name is there; name another folder"
        )
    with alone(folder / _LOCK, folder):
        return _simulate(
            folder,
            layout,
            period,
            bbox,
            world,
            cams_layout,
            stations,
            dirt,
            overwrite,
            arrays,
            progress,
        )


def _simulate(
    folder: Path,
    layout: Layout,
    period: Period,
    bbox: Box | None,
    world: SimulatedWorld,
    cams_layout: CamsLayout,
    stations: int,
    dirt: bool,
    overwrite: bool,
    arrays: Arrays | None,
    progress: Progress,
) -> Simulation:
    """:func:`simulate`, while no other process writes to the folder."""
    seed = world.seed
    settings = {"seed": seed, "bbox": list(bbox) if bbox else None}
    keep = f"world {WORLD_VERSION}, {settings}"
    if layout == "openaq":
        chosen = Dirt() if dirt else None
        places = place_stations(seed, stations, _checked(bbox), chosen.twins if chosen else 0.0)
        claim(folder, layout, {"seed": seed, "dirt": dirt}, overwrite)
        written, planted = write_openaq(seed, places, period, folder, chosen, overwrite, progress)
        if chosen is not None:
            with atomic_path(folder / "planted.csv") as temporary:
                planted.to_csv(temporary, index=False)
        return Simulation(written, f"{len(places)} simulated stations", planted if dirt else None)
    if layout == "cams":
        coarse = _grid(0.75, bbox)
        times = _times(period, 3)
        claim(folder, layout, {**settings, "cams_layout": cams_layout}, overwrite)
        field = coarsen(world.field(coarse.refine(), times, arrays=arrays))
        return Simulation(
            _cams(field, folder, cams_layout, overwrite, progress, keep),
            f"{times.size} frames of {coarse.describe()}",
        )
    fine = _grid(0.25, bbox)
    mean = layout == "geos-cf"
    times = _times(period, 1, mean)
    claim(folder, layout, settings, overwrite)
    field = world.field(fine, times, mean, arrays)
    if mean:
        written = write_geos_cf(field, folder, overwrite, progress)
    else:
        written = write_days(field, folder, overwrite, progress, keep)
    return Simulation(written, f"{times.size} hours of {fine.describe()}")


def _checked(bbox: Box | None) -> Box | None:
    if bbox is not None:
        Grid.globe(0.25).select(bbox, "--bbox")
    return bbox


def _grid(step: float, bbox: Box | None) -> Grid:
    return Grid.globe(step) if bbox is None else Grid.globe(step).select(bbox, "--bbox")[0]


def _times(period: Period, hours: int, mean: bool = False) -> np.ndarray:
    """Whole multiples of ``hours`` (or middles of whole hours) in the period."""
    day = period.start.astype("datetime64[D]").astype("datetime64[ns]")
    first = day + (_HOUR // 2 if mean else 0 * _HOUR)
    times = np.arange(first, period.end, hours * _HOUR)
    inside = (
        (times - _HOUR // 2 >= period.start) & (times + _HOUR // 2 <= period.end)
        if mean
        else period.contains(times)
    )
    if not inside.any():
        what = "a whole hour" if mean else f"a multiple of {hours} hours"
        raise InputError("--period", f"a period that holds {what}", str(period))
    return np.asarray(times[inside])


def _cams(
    field: xr.DataArray,
    folder: Path,
    layout: CamsLayout,
    overwrite: bool,
    progress: Progress,
    keep: str,
) -> Written:
    """One file a month, named after its first and last time."""
    months = field.time.values.astype("datetime64[M]")
    written, done, total = Written(), 0, field.sizes["time"]
    for month in np.unique(months):
        part = field.isel(time=np.flatnonzero(months == month))
        first, last = (
            str(t.astype("datetime64[h]")).replace("-", "") for t in part.time.values[[0, -1]]
        )
        path = folder / f"cams_eac4_{first}-{last}.{'zip' if layout == 'zip' else 'nc'}"
        new = write_cams(part, path, layout, overwrite, shifted(progress, done, total), keep)
        written.add(path, new)
        done += part.sizes["time"]
        progress(done, total)
    return written
