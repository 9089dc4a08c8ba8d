"""A finished store of daily means, as ``deepcams means`` writes it: Zarr or netCDF."""

from __future__ import annotations

from typing import Any

import numpy as np

from deepcams.core.errors import InputError, UnreadableError
from deepcams.core.grid import Grid
from deepcams.core.url import Place, Url, place_of
from deepcams.files.records import Identity, damaged_explained
from deepcams.files.storage import storage_at
from deepcams.readers.formats.datasets import reason
from deepcams.readers.formats.detect import find_files
from deepcams.writers import open_target
from deepcams.writers.layout import MEANS
from deepcams.writers.target import written


def identity_of(path: str | Place) -> Identity | None:
    """Return the identity of an output of ``deepcams means``; ``None`` for anything else."""
    place = place_of(path)
    suffix = place.suffix.lower()
    is_url = isinstance(place, Url)
    if suffix not in {".zarr", ".nc"} or (is_url and suffix == ".nc"):
        return None
    if isinstance(place, Url) and (place.is_web or not place.has_key):
        return None
    found = open_target(place).identity()
    return found if found is not None and MEANS in found else None


class DailyStore:
    """Daily means and the counts stored with them.

    Args:
        path: a Zarr store or a netCDF file.
        identity: from :func:`identity_of`.

    Attributes:
        path: as given.
        settings: settings that it was made with.
        species: short name (``pm2p5``).
        dates: ``datetime64[D]``.
        some: whether any cell has a mean, per date.
        grid: grid of its maps.
        names: suffixes of its variables' names.
        offsets: UTC offset of each cell's days, int16, minutes; ``None`` for UTC days.

    Raises:
        InputError: the path holds no daily means, or is unfinished.
    """

    def __init__(self, path: str | Place, identity: Identity) -> None:
        import xarray as xr

        self.path = place_of(path)
        self.identity = identity
        with damaged_explained(self.path):
            self.settings: dict[str, Any] = dict(identity[MEANS])
            self.species = str(self.settings["species"])
            over = str(self.settings["over"])
            self.settings["values a day"] = int(self.settings["values a day"])
        if over != "day":
            raise InputError(
                self.path, "hourly fields or daily means", f"means over {over}s"
            )
        (file,) = find_files(str(path))
        with damaged_explained(self.path):
            engine: Any = "zarr" if file.kind == "zarr" else "netcdf4"
            source: Any = file.path
            if file.kind == "zarr":
                source = storage_at(file.path).zarr(read_only=True)
            self._dataset = xr.open_dataset(
                source, engine=engine, chunks=None, mask_and_scale=False
            )
            self.dates = self._dataset.time.values.astype("datetime64[D]")
            self.some = self._dataset["status"].values > 0
            self.grid = Grid.from_coordinates(
                self._dataset.latitude.values, self._dataset.longitude.values
            )
            self.offsets = None
            if "utc_offset" in self._dataset:
                hours = self._dataset.utc_offset.values
                self.offsets = np.round(60 * hours).astype(np.int16)
        start = f"{self.species}_"
        self.names = frozenset(
            str(name).removeprefix(start)
            for name in self._dataset.data_vars
            if str(name).startswith(start)
        )
        if file.kind == "zarr":  # a netCDF file is written atomically
            found = written(file.path, f"{start}mean", self.dates.size)
            if found is not None and not found.whole:
                raise InputError(
                    self.path,
                    "a finished store of daily means",
                    f"{int(found.items.sum())} of {found.items.size} parts of it",
                    "give the command that began it again",
                )

    @property
    def attributes(self) -> dict[str, Any]:
        """Global attributes."""
        return dict(self._dataset.attrs)

    def read(self, name: str, times: slice, place: tuple[slice, slice]) -> np.ndarray:
        """Return values (days, rows, columns) of the variable with this suffix.

        Raises:
            UnreadableError: the values cannot be read.
        """
        try:
            variable = self._dataset[f"{self.species}_{name}"].variable
            return np.array(variable[times, place[0], place[1]].values)
        except Exception as error:  # each library raises its own type
            do = "see deepcams verify, or make it again"
            raise UnreadableError(
                self.path, "readable values", reason(error), do
            ) from error

    def blocks(self) -> tuple[list[slice], list[slice]]:
        """Return the rows and columns of the blocks in which the maps are stored."""
        variable = self._dataset[f"{self.species}_mean"].variable
        chunks = dict(variable.encoding.get("preferred_chunks") or {})
        sizes = self.grid.shape
        own = [
            int(chunks.get(name, size))
            for name, size in zip(("latitude", "longitude"), sizes, strict=True)
        ]
        rows, columns = (
            [slice(start, min(start + step, size)) for start in range(0, size, step)]
            for step, size in zip(own, sizes, strict=True)
        )
        return rows, columns
