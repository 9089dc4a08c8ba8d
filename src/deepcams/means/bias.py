"""The bias of a model at stations, read from the tables of ``deepcams validate`` and written with the means."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from deepcams.core.box import eastward
from deepcams.core.errors import InputError
from deepcams.core.grid import Grid
from deepcams.files.records import fingerprint

UNCALIBRATED = "uncalibrated model"
"""Comment on the concentrations of every output."""
NEAR_KM = 100.0
"""Largest distance between a node and a station that counts as near."""
FEWEST = 24
"""Smallest number of pairs a station must have."""
TABLE = "stations.csv"
_KM_PER_DEGREE = 111.2


@dataclass(frozen=True)
class StationBias:
    """Mean differences between a field and stations.

    Attributes:
        latitude, longitude: (stations,), degrees.
        bias: (stations,), mean of model - observed, ug m-3.
        source: folder of the validation, as shown in texts.
    """

    latitude: np.ndarray
    longitude: np.ndarray
    bias: np.ndarray
    source: str

    @classmethod
    def read(cls, folder: str | Path) -> StationBias:
        """Read the table of stations that ``deepcams validate -o FOLDER`` wrote.

        Raises:
            InputError: the table does not exist, or no station in it has enough pairs.
        """
        import pandas as pd

        path = Path(folder) / TABLE
        do = "give the folder of: deepcams validate FIELD --stations .. -o FOLDER"
        if not path.is_file():
            raise InputError(
                f"--validated {folder}", f"a folder with {TABLE}", "none", do
            )
        needed = ["latitude", "longitude", "field_own_n", "field_own_bias"]
        try:
            table = pd.read_csv(path, usecols=lambda name: name in needed)
        except (ValueError, OSError) as error:
            reason = " ".join(str(error).split())[:120]
            raise InputError(path, "a table of stations", reason, do) from error
        if set(needed) - set(table):
            raise InputError(path, "scores of a field at stations", "none", do)
        numbers = table.apply(pd.to_numeric, errors="coerce").dropna()
        numbers = numbers[numbers["field_own_n"] >= FEWEST]
        if numbers.empty:
            raise InputError(path, f"a station with {FEWEST} pairs", "none", do)
        north, east, _, bias = (numbers[name].to_numpy(float) for name in needed)
        return cls(north, east, bias, Path(folder).name)

    @property
    def fingerprint(self) -> str:
        """Return a hash of the station table."""
        return fingerprint(self.latitude, self.longitude, self.bias)

    def near(self, grid: Grid) -> tuple[np.ndarray, np.ndarray]:
        """Average the stations within :data:`NEAR_KM` of each node.

        Returns:
            the mean bias, float32, NaN where no station is near, and the number of stations, int16: (rows, columns).
        """
        total, number = np.zeros(grid.shape), np.zeros(grid.shape, np.int16)
        reach = NEAR_KM / _KM_PER_DEGREE
        latitudes, longitudes = grid.latitudes, grid.longitudes
        for north, east, bias in zip(
            self.latitude, self.longitude, self.bias, strict=True
        ):
            rows = np.flatnonzero(abs(latitudes - north) <= reach)
            across = np.abs(np.asarray(eastward(longitudes - east)))
            widest = reach / max(
                np.cos(np.deg2rad(min(abs(north) + reach, 89.9))), 1e-3
            )
            columns = np.flatnonzero(across <= widest)
            if not rows.size or not columns.size:
                continue
            apart = _degrees_apart(
                latitudes[rows, None], across[None, columns], float(north)
            )
            at = np.ix_(rows, columns)
            inside = apart <= reach
            total[at] += np.where(inside, bias, 0.0)
            number[at] += inside.astype(np.int16)
        with np.errstate(invalid="ignore", divide="ignore"):
            return (total / number).astype(np.float32), number

    def words(self, grid: Grid) -> str:
        """Describe the bias of the stations near a grid's nodes in one sentence."""
        rows = np.abs(self.latitude[:, None] - grid.latitudes).min(axis=1)
        across = np.asarray(eastward(self.longitude[:, None] - grid.longitudes))
        inside = (rows <= grid.row_step) & (np.abs(across).min(axis=1) <= grid.step)
        if not inside.any():
            return f"{UNCALIBRATED}; no station of {self.source} in this area"
        own = self.bias[inside]
        return (
            f"{UNCALIBRATED}; at {own.size} stations of {self.source} its bias (model - observed) is "
            f"{own.mean():+.2g} ug m-3 on average, {np.median(own):+.2g} in the median"
        )


def _degrees_apart(
    latitude: np.ndarray, across: np.ndarray, north: float
) -> np.ndarray:
    """Return the great-circle angle to a point at latitude ``north``, ``across`` degrees of longitude away."""
    up, own = np.deg2rad(latitude), np.deg2rad(north)
    half = np.sin((up - own) / 2) ** 2
    half = half + np.cos(up) * np.cos(own) * np.sin(np.deg2rad(across) / 2) ** 2
    return np.asarray(np.rad2deg(2 * np.arcsin(np.sqrt(np.minimum(half, 1)))))
