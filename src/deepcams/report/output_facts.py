"""A run's output as it tells of itself: field, settings, provenance, hours and counts; Zarr or netCDF alike."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from deepcams.core.errors import OutputError
from deepcams.files.records import FOLDER, Record, Records
from deepcams.readers.open import open_field
from deepcams.writers import Contents
from deepcams.writers.layout import RUN
from deepcams.writers.netcdf import TOTAL
from deepcams.writers.target import absent_files, written

_UNREADABLE = (OSError, ValueError, TypeError, KeyError, OutputError)


@dataclass
class Output:
    """What an output holds and says.

    Attributes:
        path: the store, file or folder.
        field: canonical, lazy.
        identity: settings and inputs, as it keeps them; empty where deepcams has not written it.
        attributes: of the dataset as a whole.
        times, status: hours and their status (missing, analysis, interpolated); ``None`` where it has none.
        total: merged completion records; ``None`` where there are none.
        problems: what could not be read, and what is not finished; one line each.
    """

    path: Path
    field: xr.DataArray
    identity: dict[str, Any] = dataclasses.field(default_factory=dict)
    attributes: dict[str, Any] = dataclasses.field(default_factory=dict)
    times: np.ndarray | None = None
    status: np.ndarray | None = None
    total: Contents | None = None
    problems: list[str] = dataclasses.field(default_factory=list)


def is_ours(path: Path) -> bool:
    """Whether a Zarr store or netCDF file names the run that wrote it."""
    try:
        with _open(path) as dataset:
            return RUN in dataset.attrs
    except _UNREADABLE:
        return False


def read_output(path: Path, files: Sequence[Path] | None = None) -> Output:
    """Read what an output says; of its values nothing.

    Args:
        path: the store, file or folder.
        files: of a folder, those that belong to it; default all of them.

    Raises:
        InputError: it holds no field.
    """
    found = Output(path, open_field(path if files is None else list(files)))
    if path.suffix.lower() == ".zarr" or path.is_file():
        parts = [path]
    else:
        parts = sorted(path.glob("*.nc")) if files is None else list(files)
    records: list[Contents] = []
    hours: list[tuple[np.ndarray, np.ndarray]] = []
    for part in parts:
        try:
            with _open(part) as dataset:
                attributes = dict(dataset.attrs)
                if "status" in dataset and dataset["status"].dims == ("time",):
                    hours.append(
                        (dataset["time"].values.astype("datetime64[ns]"), dataset["status"].values)
                    )
            if TOTAL in attributes:
                records.append(Contents.of(Record.from_json(str(attributes[TOTAL]))))
            if RUN in attributes and not found.identity:
                found.identity = dict(json.loads(str(attributes[RUN])))
        except _UNREADABLE as error:
            found.problems.append(
                f"{part.name}: what it says of itself cannot be read ({type(error).__name__})"
            )
            continue
        if not found.attributes:
            found.attributes = {
                key: value for key, value in attributes.items() if not key.startswith("deepcams_")
            }
    if path.suffix.lower() == ".zarr":
        records += _kept_records(
            found, sum(each.size for each, _ in hours) or found.field.sizes["time"]
        )
    if records:
        found.total = Contents.merge(records)
    if hours:
        times, status = (np.concatenate(each) for each in zip(*hours, strict=True))
        order = np.argsort(times, kind="stable")
        found.times, found.status = times[order], status[order]
    if path.is_dir() and path.suffix.lower() != ".zarr":
        words = absent_files(path)
        found.problems += [words] if words else []
    return found


def _open(path: Path) -> xr.Dataset:
    engine: Any = "zarr" if path.suffix.lower() == ".zarr" else "netcdf4"
    return xr.open_dataset(path, engine=engine, decode_timedelta=False)


def _kept_records(found: Output, length: int) -> list[Contents]:
    """A store's completion records; says which cannot be read and how many are not there yet."""
    kept, records = Records(found.path / FOLDER), []
    for name in kept.names():
        try:
            record = kept.get(name)
            if record is not None:
                records.append(Contents.of(record))
        except _UNREADABLE as error:
            cause = type(error.__cause__ or error).__name__
            found.problems.append(f"{name}: a completion record cannot be read ({cause})")
    there = written(found.path, str(found.field.name), length)
    if there is not None and not there.whole:
        found.problems.append(there.words())
    return records


def inputs_beside(output: Output, folders: Sequence[Path]) -> xr.DataArray | None:
    """The files that the output was made from, by name, where all lie in one of these folders; else ``None``.

    Raises:
        InputError: they are there, and hold no field.
    """
    names = [
        str(one.get("name", ""))
        for one in output.identity.get("inputs", [])
        if isinstance(one, dict)
    ]
    if not names or any(not name or Path(name).name != name for name in names):
        return None
    for folder in folders:
        paths = [folder / name for name in names]
        if all(path.exists() for path in paths):
            return open_field(paths, str(output.field.name))
    return None
