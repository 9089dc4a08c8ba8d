"""Requests to CAMS: hours and species, and their division into requests."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np

from deepcams.core.errors import InputError, choose
from deepcams.core.grid import Grid
from deepcams.core.period import Period
from deepcams.core.species import SPECIES, Species, species_of
from deepcams.core.text import counted
from deepcams.core.times import HOUR
from deepcams.fetch.endpoints import CAMS_DATASETS, CamsDataset

Box = tuple[float, float, float, float]
Dataset = Literal["reanalysis", "forecast"]
_AIR = ("temperature", "surface_pressure")
"""The service's names of the variables that determine the air density."""


@dataclass(frozen=True)
class CamsRequest:
    """The CAMS data to fetch.

    Attributes:
        period: period of the values.
        out: the folder.
        variable: one of :data:`deepcams.core.species.SPECIES`, by any of its names. Gases are mixing ratios on the
            lowest model level; the temperature there and the surface pressure are requested with them.
        bbox: W S E N in degrees.
        per: one request per month or per day.
        at_once: number of concurrent requests, 1 to 4.
        form: file format.
        dataset: EAC4's analyses every 3 hours, or global forecasts: the first 12 hours of each run, so that there is
            one value per hour (for gases every 3 hours), with the shortest lead time.
    """

    period: Period
    out: Path
    variable: str = "pm2p5"
    bbox: Box | None = None
    per: Literal["month", "day"] = "month"
    at_once: int = 2
    form: Literal["netcdf_zip", "grib"] = "netcdf_zip"
    dataset: Dataset = "reanalysis"

    @property
    def species(self) -> Species:
        """The variable's species.

        Raises:
            InputError: the variable is unknown.
        """
        species = species_of(self.variable)
        if species is None:
            known = ", ".join(one.name for one in SPECIES)
            raise InputError("--species", f"one of {known}", repr(self.variable))
        return species

    @property
    def about(self) -> CamsDataset:
        """The data set at the service."""
        return CAMS_DATASETS[choose("--dataset", self.dataset, get_args(Dataset))]

    @property
    def every(self) -> int:
        """Hours from one value to the next."""
        return self.about.every[self.species.molar_mass is not None]

    @property
    def grid(self) -> Grid:
        """The grid of the files."""
        globe = Grid.globe(self.about.step)
        return globe if self.bbox is None else globe.select(self.bbox, "--bbox")[0]

    def parts(self) -> list[Part]:
        """Return the individual requests.

        Raises:
            InputError: an unknown variable or data set, an invalid box, or a period that holds no value or begins
                before the first.
        """
        if not 1 <= self.at_once <= 4:
            raise InputError("--at-once", "1 to 4 requests", self.at_once)
        begin = self.about.first[self.species.molar_mass is not None]
        if self.period.start < np.datetime64(begin):
            raise InputError("--period", f"{begin} or later", str(self.period))
        first = self.period.start.astype("datetime64[D]").astype("datetime64[ns]")
        times = np.arange(first, self.period.end, self.every * HOUR)
        times = times[self.period.contains(times)]
        if not times.size:
            expected = (
                f"a period that holds a multiple of {counted(self.every, 'hour')}"
            )
            raise InputError("--period", expected, str(self.period))
        keys = times.astype("datetime64[M]" if self.per == "month" else "datetime64[D]")
        species, grid = self.species, self.grid
        return [
            Part(str(key), species, times[keys == key], grid, self)
            for key in np.unique(keys)
        ]


@dataclass(frozen=True)
class Part:
    """One request: some times of one variable on one grid."""

    name: str
    species: Species
    times: np.ndarray
    grid: Grid
    of: CamsRequest

    @property
    def item(self) -> str:
        """Name in the records; a longer part of the same month is a different item."""
        return (
            f"{self.species.name} {str(self.times[0])[:13]}..{str(self.times[-1])[:13]}"
        )

    @property
    def stem(self) -> str:
        """The file's name without its suffix."""
        begin = np.datetime64(self.name)  # a month or a day
        hours = (begin + 1).astype("datetime64[h]") - begin.astype("datetime64[h]")
        stem = f"cams_{self.of.about.words}_{self.species.name}"
        if self.times.size * self.of.every * HOUR != hours:
            span = "-".join(
                str(time.astype("datetime64[h]")).replace("-", "")
                for time in self.times[[0, -1]]
            )
            return f"{stem}_{span}"
        return f"{stem}_{self.name.replace('-', '')}"

    @property
    def words(self) -> str:
        """Name in messages."""
        kind = "forecast " if self.of.about.apart else ""
        return f"CAMS {kind}{self.species.name} {self.name}"

    @property
    def variables(self) -> int:
        """Number of fields per time."""
        return len(self.request()["variable"])

    def request(self) -> dict[str, Any]:
        """Return the request in the data store's form."""
        about, gas = self.of.about, self.species.molar_mass is not None
        days = np.unique(self.times.astype("datetime64[D]"))
        # a period that begins within a day is requested in whole days
        hours = np.arange(0, 24, self.of.every)
        if days.size == 1:
            hours = (self.times - days[0]) // HOUR
        runs = np.unique(hours // about.apart * about.apart) if about.apart else hours
        found: dict[str, Any] = {
            "variable": [self.species.request, *(_AIR if gas else ())],
            "date": [f"{days[0]}/{days[-1]}"],
            "time": [f"{hour:02d}:00" for hour in runs],
            "data_format": self.of.form,
        }
        if about.apart:
            leads = np.unique(hours % about.apart).tolist()
            found |= {"leadtime_hour": list(map(str, leads)), "type": ["forecast"]}
        if gas:
            found["model_level"] = [about.level]
        if self.of.bbox is not None:
            west, south, east, north = self.of.bbox
            found["area"] = [north, west, south, east]
        return found
