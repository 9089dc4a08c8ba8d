"""One call that writes a simulated world in a provider's layout: what ``deepcams simulate`` does."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np

from deepcams.core.errors import InputError, OutputError, choose
from deepcams.core.grid import Grid
from deepcams.core.period import Period
from deepcams.core.progress import Progress, no_progress, shifted
from deepcams.core.text import size
from deepcams.core.times import HOUR
from deepcams.files.atomic import atomic_path
from deepcams.files.lock import locked
from deepcams.files.records import Records
from deepcams.methods.coarsen import coarsen
from deepcams.simulation.arrays import Arrays
from deepcams.simulation.station_network import place_stations
from deepcams.simulation.world import WORLD_VERSION, SimulatedWorld
from deepcams.simulation.write_cams import CamsLayout, write_cams
from deepcams.simulation.write_fields import STATE, Written, by_calendar, write_days
from deepcams.simulation.write_geos_cf import write_geos_cf
from deepcams.simulation.write_openaq import Dirt, write_openaq

if TYPE_CHECKING:
    import pandas as pd

Layout = Literal["cams", "geos-cf", "openaq", "field"]


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
        """Return the closing line for people."""
        text = f"{self.written.files} files ({size(self.written.bytes)}) written to {folder}"
        if self.written.kept:
            text += f", {self.written.kept} complete ones kept"
        text += f": {self.what}"
        if self.planted is not None:
            text += (
                f"; {len(self.planted)} planted faults are listed in {Path(folder) / 'planted.csv'}"
            )
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
        dirt: plant what goes wrong in real archives, for ``openaq``, and list it in ``planted.csv``.
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
    folder = Path(folder)
    SimulatedWorld(seed)  # refuses what is no seed
    if folder.exists() and not folder.is_dir():
        raise OutputError(
            f"{folder}: a folder is needed, and a file of that name is there; name another folder"
        )
    task = _Task(folder, seed, period, bbox, overwrite, arrays, progress)
    with locked(Records(folder / STATE).lock, folder):
        if layout == "openaq":
            return task.write_stations(stations, Dirt() if dirt else None)
        if layout == "cams":
            return task.write_cams(cams_layout)
        return task.write_hours(layout)


@dataclass
class _Task:
    """The arguments of :func:`simulate` that all layouts share, and what is done for each layout."""

    folder: Path
    seed: int
    period: Period
    bbox: tuple[float, float, float, float] | None
    overwrite: bool
    arrays: Arrays | None
    progress: Progress

    @property
    def key(self) -> str:
        """Everything that a field's values depend on besides places and times."""
        return f"world {WORLD_VERSION}, seed {self.seed}, bbox {self.bbox}"

    def grid(self, step: float) -> Grid:
        if self.bbox is None:
            return Grid.globe(step)
        return Grid.globe(step).select(self.bbox, "--bbox")[0]

    def claim(self, layout: Layout, **settings: Any) -> None:
        """Note whose world a layout's files in the folder are, so that a rerun may keep what is complete.

        Args:
            layout: each has its own settings in the folder.
            settings: what the files' values depend on besides seed and period.

        Raises:
            OutputError: files with other settings are there, or the folder cannot be written to.
        """
        records = Records(self.folder / STATE / layout)
        do = "name another folder or add --overwrite"
        if self.overwrite:
            shutil.rmtree(records.folder, ignore_errors=True)
        elif records.identity() is None and list(records.folder.glob("*.json")):
            raise OutputError(f"{records.folder}: the record of the settings is unreadable; {do}")
        records.begin({"world": WORLD_VERSION, "seed": self.seed, **settings}, self.folder, do)

    def write_stations(self, number: int, dirt: Dirt | None) -> Simulation:
        self.grid(0.25)  # refuses a box without nodes
        places = place_stations(self.seed, number, self.bbox, dirt.twins if dirt else 0.0)
        self.claim("openaq", dirt=dirt is not None)
        written, planted = write_openaq(
            self.seed, places, self.period, self.folder, dirt, self.overwrite, self.progress
        )
        what = f"{len(places)} simulated stations"
        if dirt is None:
            return Simulation(written, what)
        with atomic_path(self.folder / "planted.csv") as temporary:
            planted.to_csv(temporary, index=False)
        return Simulation(written, what, planted)

    def write_cams(self, layout: CamsLayout) -> Simulation:
        """Write one file a month, named after its first and last time."""
        grid, times = self.grid(0.75), _times(self.period, 3)
        self.claim("cams", bbox=self.bbox, cams_layout=layout)
        fine = SimulatedWorld(self.seed).field(grid.refine(), times, arrays=self.arrays)
        written, done = Written(), 0
        for month in by_calendar(coarsen(fine), "M"):
            stamps = month.time.values[[0, -1]].astype("datetime64[h]").astype(str)
            first, last = (text.replace("-", "") for text in stamps)
            path = self.folder / f"cams_eac4_{first}-{last}.{'zip' if layout == 'zip' else 'nc'}"
            part = shifted(self.progress, done, times.size)
            new = write_cams(month, path, layout, self.overwrite, part, self.key)
            written.add(path, new)
            done += month.sizes["time"]
            self.progress("simulate", done, times.size)
        return Simulation(written, f"{times.size} frames of {grid.describe()}")

    def write_hours(self, layout: Layout) -> Simulation:
        mean = layout == "geos-cf"
        grid, times = self.grid(0.25), _times(self.period, 1, mean)
        self.claim(layout, bbox=self.bbox)
        field = SimulatedWorld(self.seed).field(grid, times, mean, self.arrays)
        if mean:
            written = write_geos_cf(field, self.folder, self.overwrite, self.progress)
        else:
            written = write_days(field, self.folder, self.overwrite, self.progress, self.key)
        return Simulation(written, f"{times.size} hours of {grid.describe()}")


def _times(period: Period, hours: int, mean: bool = False) -> np.ndarray:
    """Return the whole multiples of ``hours`` (or middles of whole hours) in a period."""
    day = period.start.astype("datetime64[D]").astype("datetime64[ns]")
    if mean:
        starts = np.arange(day, period.end, HOUR)
        times = starts[(starts >= period.start) & (starts + HOUR <= period.end)] + HOUR // 2
    else:
        times = np.arange(day, period.end, hours * HOUR)
        times = times[period.contains(times)]
    if not times.size:
        what = "a whole hour" if mean else f"a multiple of {hours} hours"
        raise InputError("--period", f"a period that holds {what}", str(period))
    return np.asarray(times)
