"""Lists of places with ids and time windows. They may be people's homes: no message names an id, a place or a date.

Messages identify rows by number, and columns by name.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from deepcams.core.errors import InputError, MissingExtraError
from deepcams.core.text import counted
from deepcams.files.optional import need

_NAMES = {
    "id": ("id", "person", "person_id", "subject", "participant", "pid"),
    "latitude": ("latitude", "lat", "y"),
    "longitude": ("longitude", "lon", "lng", "long", "x"),
    "start": ("start", "start_date", "from", "date"),
    "end": ("end", "end_date", "to"),
}
_DAY = np.timedelta64(1, "D")


@dataclass(frozen=True)
class PointList:
    """Places, one per row; an id may occur more than once (a person moved).

    Attributes:
        ids: (n,), text.
        latitude, longitude: (n,), degrees.
        start, end: (n,), ``datetime64[D]``, first and last day of the window, UTC; NaT: first or last day of the
            field. ``None``: the list has no windows.
    """

    ids: np.ndarray
    latitude: np.ndarray
    longitude: np.ndarray
    start: np.ndarray | None = None
    end: np.ndarray | None = None

    def __len__(self) -> int:
        return self.ids.size

    def __repr__(self) -> str:
        return f"PointList of {counted(len(self), 'place')}"


def read_points(path: str | Path, *, id_column: str | None = None) -> PointList:
    """Read a list of places.

    Args:
        path: CSV (with commas, semicolons or tabs) or Parquet: latitude and longitude in degrees, optionally ids, and
            ``start`` and ``end`` (both included), or ``date``: days, as 2019-12-31.
        id_column: column with the ids; default id, person, subject, .., else the row numbers.

    Returns:
        the places, in the order of the list.

    Raises:
        InputError: the list cannot be read, is empty, or has an invalid place or window; rows are numbered from 1
            below the header.
    """
    path = Path(path).expanduser()
    return points_of(_table(path), path, id_column=id_column)


def points_of(
    table: pd.DataFrame, where: object = "list", *, id_column: str | None = None
) -> PointList:
    """Return the places of a table, see :func:`read_points`.

    Args:
        table: one row per place.
        where: name of the table for messages.
        id_column: see :func:`read_points`.

    Raises:
        InputError: see :func:`read_points`.
    """
    if not len(table):
        raise InputError(where, "at least one place", "an empty list")
    columns = _columns(table, where, id_column)
    ids = np.arange(1, len(table) + 1).astype(str).astype(object)
    if "id" in columns:
        own = table[columns["id"]]
        _refuse(own.isna().to_numpy(), where, f"a value of {columns['id']}", "none")
        ids = own.astype(str).to_numpy(object)
    latitude, longitude = (
        _degrees(table[columns[name]], where, columns[name])
        for name in ("latitude", "longitude")
    )
    beyond, do = np.abs(latitude) > 90, ""
    if np.all(np.abs(longitude) <= 90) and 2 * beyond.sum() >= beyond.size:
        do = f"{columns['latitude']} and {columns['longitude']} are swapped: exchange the columns' names"
    _refuse(beyond, where, "a latitude within -90..90", "another number", do)
    far = (longitude < -180) | (longitude > 360)
    _refuse(far, where, "a longitude within -180..360", "another number")
    if "start" not in columns:
        if "end" in columns:
            do = f"name the first days start, or leave {columns['end']} out"
            raise InputError(where, "a column start", "an end alone", do)
        return PointList(ids, latitude, longitude)
    start = _days(table[columns["start"]], where, columns["start"])
    end = start
    if "end" in columns:
        end = _days(table[columns["end"]], where, columns["end"])
    elif columns["start"].lower() != "date":
        end = np.full(start.shape, np.datetime64("NaT"), start.dtype)
    _refuse(end < start, where, "an end that is not before the start", "one before")
    return PointList(ids, latitude, longitude, start, end)


def _table(path: Path) -> pd.DataFrame:
    if not path.is_file():
        expected = "a list of places (CSV, Parquet)"
        raise InputError(path, expected, "no file of this name", "check the path")
    try:
        if path.suffix.lower() == ".parquet":
            need("pyarrow")
            return pd.read_parquet(path)
        with path.open(encoding="utf-8-sig") as file:
            head = file.readline()
            file.seek(0)
            separator = max(",;\t", key=head.count)
            table = pd.read_csv(file, sep=separator, dtype=str, skipinitialspace=True)
            if not isinstance(table.index, pd.RangeIndex):
                raise ValueError("more values than the head has names")
            return table
    except pd.errors.EmptyDataError:
        raise InputError(path, "at least one place", "an empty file") from None
    except UnicodeDecodeError:
        raise InputError(path, "text in UTF-8", "another encoding") from None
    except MissingExtraError:
        raise
    except Exception:
        # Messages of pandas and pyarrow may quote part of a row.
        expected = "a table with a head and as many values in each row"
        raise InputError(path, expected, "another file") from None


def _columns(
    table: pd.DataFrame, where: object, id_column: str | None
) -> dict[str, str]:
    """Return the column name of each kind.

    Raises:
        InputError: a column is missing.
    """
    own = {str(name).strip().lower(): str(name) for name in reversed(table.columns)}
    found = {}
    for kind, names in _NAMES.items():
        name = next((own[name] for name in names if name in own), None)
        if name is not None:
            found[kind] = name
    for kind in ("latitude", "longitude"):
        if kind not in found:
            expected = f"a column {kind} ({', '.join(_NAMES[kind][1:])})"
            # Without a header the names are a person's row, so they are not shown.
            others = f"{counted(len(table.columns), 'column')} of other names"
            do = "name the columns in the first row"
            raise InputError(where, expected, others, do)
    if id_column is not None:
        if id_column not in table.columns:
            listed = ", ".join(map(str, table.columns))[:200]
            raise InputError(f"{where}: --id", f"one of {listed}", repr(id_column))
        found["id"] = id_column
    return found


def _degrees(column: pd.Series, where: object, name: str) -> np.ndarray:
    numbers = pd.to_numeric(column, errors="coerce").to_numpy(float)
    wrong = ~np.isfinite(numbers)
    found = "none, or no number (decimal commas are none)"
    _refuse(wrong, where, f"degrees in {name}", found)
    return np.asarray(numbers)


def _days(column: pd.Series, where: object, name: str) -> np.ndarray:
    empty = column.isna().to_numpy()
    days = pd.to_datetime(column, errors="coerce", format="ISO8601", utc=True)
    _refuse(
        days.isna().to_numpy() & ~empty, where, f"a day as 2019-12-31 in {name}", "none"
    )
    naive = days.dt.tz_localize(None).to_numpy()
    return np.asarray(naive.astype("datetime64[D]"))


def _refuse(
    wrong: np.ndarray, where: object, expected: str, found: str, do: str = ""
) -> None:
    """Raise if any row is wrong; the message gives only the number of the first one."""
    rows = np.flatnonzero(wrong)
    if rows.size:
        more = f" and {rows.size - 1:,} more" if rows.size > 1 else ""
        raise InputError(f"{where}: row {rows[0] + 1}{more}", expected, found, do)
