"""The columns of OpenAQ's files: what they are called, and what their texts mean."""

from __future__ import annotations

import io
import re
from datetime import datetime
from typing import Any

import numpy as np

from deepcams.core.errors import InputError

COLUMNS: dict[str, tuple[str, ...]] = {
    "location_id": ("location_id", "locationid", "location-id", "station_id", "station"),
    "datetime": ("datetime", "datetimeutc", "datetime_utc", "date", "timestamp"),
    "lat": ("lat", "latitude"),
    "lon": ("lon", "lng", "longitude"),
    "parameter": ("parameter",),
    "units": ("units", "unit"),
    "value": ("value",),
    "location": ("location", "location_name", "name"),
}
"""The archive's columns, and other names that exports give them (in lower case); ``location`` may be absent."""
OPTIONAL = ("location",)
FARTHEST = 14
"""Hours that a clock is ahead of UTC at most (Kiribati)."""
_STAMP = re.compile(
    r"(\d{4})-(\d\d)-(\d\d)[T ](\d\d):(\d\d)(?::(\d\d)(?:\.\d+)?)?\s*(Z|UTC|[+-]\d\d(?::?\d\d)?)?$",
    re.IGNORECASE,
)


def parse_stamp(text: str, where: object) -> tuple[int, bool]:
    """A time's text as seconds since 1970 UTC (taken for UTC if it has no offset), and whether it has an offset.

    Raises:
        InputError: it is no time.
    """
    match = _STAMP.match(text.strip())
    try:
        if match is None:
            raise ValueError
        *digits, zone = match.groups()
        year, month, day, hour, minute, second = (int(n or 0) for n in digits)
        days = (datetime(year, month, day) - datetime(1970, 1, 1)).days
        if (
            not (hour < 24 or (hour == 24 and not minute and not second))
            or minute > 59
            or second > 60
        ):
            raise ValueError
        ahead = _offset(zone)
    except ValueError:
        expected = "times such as 2019-12-31T15:00:00+08:00"
        raise InputError(
            f"{where}: datetime", expected, repr(text) if text else "a row without one"
        ) from None
    return days * 86400 + hour * 3600 + minute * 60 + second - ahead, zone is not None


def _offset(zone: str | None) -> int:
    if zone is None or zone.upper() in ("Z", "UTC"):
        return 0
    digits = zone[1:].replace(":", "").ljust(4, "0")
    hours, minutes = int(digits[:2]), int(digits[2:])
    if hours > FARTHEST or minutes > 59:
        raise ValueError
    return (1 if zone[0] == "+" else -1) * (hours * 3600 + minutes * 60)


def header_names(header: bytes) -> list[str]:
    """The column names of a CSV's first line."""
    mark = _separator(header)
    return [
        name.strip().strip('"').strip() for name in header.decode("utf-8", "replace").split(mark)
    ]


def _separator(header: bytes) -> str:
    return max(",;\t", key=lambda mark: header.count(mark.encode()))


def find_columns(names: list[str]) -> dict[str, str]:
    """Canonical name -> the file's own, for the columns that are there."""
    lower = {name.lower(): name for name in reversed(names)}
    found = {}
    for canonical, aliases in COLUMNS.items():
        alias = next((alias for alias in aliases if alias in lower), None)
        if alias is not None:
            found[canonical] = lower[alias]
    return found


def canonical_name(columns: dict[str, str], name: str) -> str:
    """The canonical name of a file's own column."""
    return next(canonical for canonical, own in columns.items() if own == name)


def plain_parameter(parameter: str) -> str:
    """A species' name without marks: pm25 for PM2.5, pm2p5 and pm25."""
    return re.sub(r"[^a-z0-9]", "", parameter.lower().replace("2p5", "25"))


def read_csv(header: bytes, body: bytes) -> Any:
    """Parse rows of a CSV into an Arrow table of the canonical columns.

    Args:
        header: its first line.
        body: whole lines below it, in UTF-8 or Latin-1.

    Raises:
        ValueError: a row that does not fit, or a number that is none (Arrow's error is one).
    """
    import pyarrow as pa
    from pyarrow import csv

    text = pa.dictionary(pa.int32(), pa.string())
    names = header_names(header)
    columns = find_columns(names)
    types = {
        own: pa.float64() if name in ("lat", "lon", "value") else text
        for name, own in columns.items()
    }
    try:
        body.decode("utf-8")
    except UnicodeDecodeError:  # an old export: its micro sign is one byte
        body = body.decode("latin-1").encode()
    table = csv.read_csv(
        io.BytesIO(body),
        csv.ReadOptions(use_threads=False, column_names=names, block_size=max(len(body), 1) + 1),
        csv.ParseOptions(delimiter=_separator(header)),
        csv.ConvertOptions(
            column_types=types,
            include_columns=list(columns.values()),
            strings_can_be_null=False,
            null_values=["", "NA", "N/A", "n/a", "NaN", "nan", "null", "NULL", "None", "-", "\\N"],
        ),
    )
    return table.rename_columns([canonical_name(columns, name) for name in table.column_names])


def texts(column: Any) -> tuple[list[str], np.ndarray]:
    """The texts that occur in a column, and which of them each row has."""
    import pyarrow as pa

    if not pa.types.is_dictionary(column.type):
        column = column.cast(pa.string()).dictionary_encode()
    column = column.unify_dictionaries().combine_chunks()
    if isinstance(column, pa.ChunkedArray):
        if not column.num_chunks:
            return [], np.zeros(0, np.int64)
        column = column.chunk(0)
    found = ["" if text is None else str(text) for text in column.dictionary.to_pylist()]
    codes = column.indices
    if codes.null_count:
        found.append("")
        codes = codes.fill_null(len(found) - 1)
    code = np.asarray(codes, np.int64)
    used = np.unique(code)
    if used.size < len(found):  # after a filter the dictionary still names what is gone
        place = np.zeros(len(found), np.int64)
        place[used] = np.arange(used.size)
        return [found[k] for k in used], place[code]
    return found, code


def numbers(column: Any) -> np.ndarray:
    """A numeric column, float64, NaN where there is none."""
    import pyarrow as pa

    values = column.cast(pa.float64()).combine_chunks()
    return np.asarray(values.to_numpy(zero_copy_only=False), np.float64)
