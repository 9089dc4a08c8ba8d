"""Reader of NASA GEOS-CF, versions 1 and 2: hourly means at 0.25 degrees, south first, stamped at mid-hour.

Accepts downloaded files (``.nc4``) and files saved from OPeNDAP, where names are in lower case and 1e15 is missing.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Sequence

import numpy as np
import xarray as xr

from deepcams.core.air import concentration_factor, named_concentration
from deepcams.core.errors import DeepcamsNotice, InputError, notice
from deepcams.core.species import PM25 as SPECIES_PM25
from deepcams.core.species import species_of
from deepcams.core.times import HOUR, MINUTE
from deepcams.readers.cams import rename
from deepcams.readers.formats.datasets import field_variables
from deepcams.readers.formats.detect import DataFile, find_files
from deepcams.readers.merge import open_merged
from deepcams.readers.protocols import Paths
from deepcams.readers.times import Stamp, with_middle_stamps, with_valid_time

TITLE = "NASA GEOS-CF version {}"
PM25 = {"pm25_rh35_gcc": 1, "pm25_rh35": 2}
"""GEOS-CF version by the lower-case name of its PM2.5 variable, at 35 % relative humidity."""
UNDEFINED = 1e14
"""Threshold from which values are missing (1e15 in the files, with or without an attribute)."""


def version_of(dataset: xr.Dataset) -> int | None:
    """Return the GEOS-CF version of a file from its variables, else its title and file name, or ``None``."""
    names = {str(name).lower() for name in dataset.data_vars}
    for name, version in PM25.items():
        if name in names:
            return version
    if any(name.endswith("_gcc") for name in names):
        return 1
    words = " ".join(
        str(dataset.attrs.get(key, ""))
        for key in ("Title", "title", "Filename", "filename", "Source")
    )
    words += " " + str(dataset.encoding.get("source", "")).rpartition("/")[2]
    match = re.search(
        r"GEOS[-.]CF[ ._-]*v(?:ersion)?[ ._]*0?([12])", words, re.IGNORECASE
    )
    if match:
        return int(match[1])
    return 2 if "GEOS.cf." in words else None


def simulated_source(dataset: xr.Dataset) -> list[str]:
    """Return the description of the simulated world in a file of this layout; empty for real data."""
    words = str(dataset.attrs.get("Source", ""))
    return [words.partition(": ")[2] or words] if words.startswith("simulated") else []


def _find(dataset: xr.Dataset, variable: str | None) -> xr.DataArray | None:
    wanted = (
        list(PM25)
        if variable is None or variable.lower() in ("pm2p5", "pm2.5", "pm25")
        else [variable.lower()]
    )
    by_name = {
        str(name).lower(): array for name, array in field_variables(dataset).items()
    }
    return next((by_name[name] for name in wanted if name in by_name), None)


def _with_units(array: xr.DataArray, file: DataFile) -> xr.DataArray:
    """Set missing units of particulate matter (OPeNDAP has none) to ug m-3, and check units that are given.

    Raises:
        InputError: the units are not those of a mass concentration, for instance of a gas.
    """
    written = str(array.attrs.get("units", "")).strip()
    if str(array.name).lower().startswith("pm") and written in ("", "1", "none", "-"):
        return array.assign_attrs(units="ug m-3")
    plain = re.sub(
        r"\s*\(?(?:at\s+)?\d+ ?% ?RH\)?$", "", written
    )  # the humidity is not part of the unit
    where = f"{file}: {array.name}"
    concentration_factor(plain or None, str(array.name), array.attrs, where)
    return array.assign_attrs(units=plain)


def mend_times(times: np.ndarray) -> tuple[np.ndarray, int]:
    """Repair the time axis of a long hourly OPeNDAP record, whose first month holds corrupt stamps.

    Stamps are rounded to the minute. If they then do not increase, and at least nine tenths of them imply the same
    start of the record, the others are replaced by the times expected from that start; gaps are left alone.

    Args:
        times: ``datetime64``, one per hour.

    Returns:
        the times, and the number of repaired ones.
    """
    times = (times.astype("datetime64[ns]") + MINUTE // 2).astype("datetime64[m]")
    times = times.astype("datetime64[ns]")
    if times.size < 24 or np.all(np.diff(times) > np.timedelta64(0)):
        return times, 0
    hours = np.arange(times.size) * HOUR
    begins, counts = np.unique((times - hours)[~np.isnat(times)], return_counts=True)
    begin = begins[np.argmax(counts)]
    if counts.max() < 0.9 * times.size:
        return times, 0
    return begin + hours, int(times.size - counts.max())


def _with_times(
    array: xr.DataArray, dataset: xr.Dataset, file: DataFile, stamp: Stamp | None
) -> xr.DataArray:
    """Repair the times, and stamp each hour in its middle.

    Raises:
        InputError: the stamps are not HH:30 and their position in the hour is not given.
    """
    array = with_valid_time(array, file)
    if "time" not in array.coords or not np.issubdtype(array.time.dtype, np.datetime64):
        return array  # as_field reports the error
    times, mended = mend_times(np.atleast_1d(array.time.values))
    if mended:
        notice(
            f"{file}: {mended} corrupt times are mended from the {times.size - mended} others"
        )
    array = array.assign_coords(time=times if array.time.ndim else times[0])
    with warnings.catch_warnings():  # the meaning of the stamps is known
        warnings.simplefilter("ignore", DeepcamsNotice)
        array = with_middle_stamps(array, dataset, file, stamp)
    times = np.atleast_1d(array.time.values)
    off = times[(times - times.astype("datetime64[h]")) != 30 * MINUTE]
    if off.size:
        expected = "hourly means stamped in the middle of the hour (HH:30)"
        do = "take the tavg_1hr collection, or say what its stamps are: deepcams --mean-stamp start .."
        raise InputError(f"{file}: time", expected, str(off[0])[:16], do)
    return array


def open_geos_cf(paths: Paths, *, variable: str | None = None) -> xr.DataArray:
    """Open GEOS-CF files of one version as one canonical field of hourly means, lazily.

    Args:
        paths: file, folder, glob, URL, or a sequence of them in any order.
        variable: name of a mass concentration in the files; ``None``: PM2.5 at 35 % relative humidity
            (``PM25_RH35_GCC`` in version 1, ``PM25_RH35`` in version 2, in upper or lower case).

    Returns:
        (time, latitude, longitude), float32, ug m-3, ``cell_methods`` "time: mean", times at HH:30, backed by Dask.

    Raises:
        InputError: versions 1 and 2 together, times that are not HH:30, or as for :func:`deepcams.open_cams`.
    """
    return open_geos_cf_files(find_files(paths), variable)


def open_geos_cf_files(
    files: Sequence[DataFile],
    variable: str | None,
    stamp: Stamp | None = None,
    *,
    with_dask: bool = True,
) -> xr.DataArray:
    """Open files of :func:`find_files`; see :func:`open_geos_cf` and, for ``with_dask``, :func:`open_merged`."""
    versions: dict[int, DataFile] = {}
    worlds: list[str] = []

    def choose(dataset: xr.Dataset, file: DataFile) -> xr.DataArray | None:
        array = _find(dataset, variable)
        if array is None:
            return None
        version = version_of(dataset)
        if version is not None:
            versions.setdefault(version, file)
        if len(versions) > 1:
            found = f"version 1 in {versions[1]} and version 2 in {versions[2]}"
            do = "open them apart; they must not be mixed"
            raise InputError("GEOS-CF", "files of one version", found, do)
        worlds.extend(simulated_source(dataset))
        array = _with_units(array, file).assign_attrs(cell_methods="time: mean")
        array.attrs.pop("source", None)  # rebuilt below
        return _with_times(array, dataset, file, stamp)

    wanted = variable or "PM2.5 (PM25_RH35_GCC or PM25_RH35)"
    field = open_merged(
        files,
        choose,
        wanted,
        "middle",
        _undefined_to_missing,
        with_dask=with_dask,
    )
    if variable is None or str(field.name).lower() in PM25:
        long_name = "PM2.5 at 35 % relative humidity"
        field = rename(field, SPECIES_PM25.name)
        field = field.assign_attrs(
            standard_name=SPECIES_PM25.standard_name, long_name=long_name
        )
    elif (species := species_of(str(field.name))) is not None:
        field = rename(field, species.name).assign_attrs(
            standard_name=species.standard_name,
            long_name=named_concentration(species),
        )
    title = TITLE.format(next(iter(versions))) if versions else "NASA GEOS-CF"
    words = [worlds[0] if worlds else title, str(field.attrs.get("source", ""))]
    return field.assign_attrs(source="; ".join(filter(None, words)))


def _undefined_to_missing(values: np.ndarray) -> np.ndarray:
    return np.where(np.abs(values) >= UNDEFINED, np.float32(np.nan), values)
