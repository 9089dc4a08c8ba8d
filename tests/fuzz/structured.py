"""Changes that need a library: of netCDF variables and attributes, GRIB keys, and columns of Parquet."""

from __future__ import annotations

import io
import os
import resource
import signal
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
from hypothesis import strategies as st

Draw = Any
_ATTRIBUTES = (
    "units",
    "scale_factor",
    "add_offset",
    "_FillValue_",
    "missing_value",
    "valid_range",
    "calendar",
    "coordinates",
    "bounds",
    "cell_methods",
    "standard_name",
    "grid_mapping",
    "dtype",
    "quantization_maximum_relative_error",
    "GRIB_stepType",
    "GRIB_stream",
    "Title",
    "institution",
    "source",
    "Conventions",
    "deepcams_run",
)
_ATTRIBUTE_VALUES: tuple[Any, ...] = (
    "",
    "x",
    "kg m-3",
    "kg m**-3",
    "1e300 kg m-3",
    "9e9e9 kg m-3",
    "10^9999 kg m-3",
    "hours since 2019-01-01",
    "days since 0001-01-01",
    "months since 2019-01-01",
    "microseconds since 9999-01-01",
    "hours since 2019-13-45",
    "noleap",
    "360_day",
    "time latitude pm2p5",
    "time_bnds",
    "time: mean (interval: 1 hour)",
    "time: mean within years time: mean over years",
    "{}",
    "[1]",
    "\x1b[31m red",
    "a" * 3000,
    "ünï\u2028cøde",
    np.float64("nan"),
    np.float64("inf"),
    np.float32(0),
    np.float64(1e300),
    np.int32(-1),
    np.int16(7),
    np.array([1.0, 2.0]),
    np.array([0, 1, 2], np.int32),
)
_NUMBERS = (
    0.0,
    -1.0,
    90.0,
    91.0,
    180.0,
    360.0,
    720.0,
    1e30,
    -1e30,
    float("nan"),
    float("inf"),
    2.0**31,
    2.0**53,
)


def netcdf(draw: Draw, content: bytes, others: list[bytes]) -> bytes:
    """Set attributes to what nobody expects, write strange coordinates, rename variables and dimensions."""
    names = ["set", "set", "set", "values", "rename", "new"]
    number = st.integers(0, 10_000)
    changes = st.tuples(st.sampled_from(names), number, number, number)
    chosen = draw(st.lists(changes, min_size=1, max_size=3))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "a.nc"
        path.write_bytes(content)
        return path.read_bytes() if _apart(path, chosen) else content


def _apart(path: Path, chosen: list[tuple[str, int, int, int]]) -> bool:
    """Change a file in a process of its own, for the library may crash; return whether it did not."""
    child = os.fork()
    if child == 0:
        signal.alarm(5)
        resource.setrlimit(resource.RLIMIT_FSIZE, (_LARGEST, _LARGEST))
        with suppress(BaseException):
            with quiet():
                _change_file(path, chosen)
            os._exit(0)
        os._exit(1)
    return os.waitpid(child, 0)[1] == 0


def _change_file(path: Path, chosen: list[tuple[str, int, int, int]]) -> None:
    import netCDF4

    with netCDF4.Dataset(path, "a") as file:
        file.set_auto_maskandscale(False)
        file.set_fill_off()
        for action, *numbers in chosen:
            with suppress(
                RuntimeError, AttributeError, ValueError, TypeError, OverflowError
            ):  # what the library does not write
                _CHANGES[action](file, *numbers)


def _pick(sequence: Any, number: int) -> Any:
    items = list(sequence)
    return items[number % len(items)]


def _set(file: Any, i: int, j: int, k: int) -> None:
    holder = _pick([*file.variables.values(), file], i)
    own = [name for name in holder.ncattrs() if not name.startswith("_")]
    holder.setncattr(_pick([*_ATTRIBUTES, *own], j), _pick(_ATTRIBUTE_VALUES, k))


def _values(file: Any, i: int, j: int, k: int) -> None:
    variable = _pick(file.variables.values(), i)
    if variable.size < 1_000_000:
        values = np.array(variable[...])
        flat = values.reshape(-1)
        with np.errstate(all="ignore"):
            flat[j % max(flat.size, 1) :] = np.array(_pick(_NUMBERS, k)).astype(
                flat.dtype
            )
        variable[...] = values


def _rename(file: Any, i: int, j: int, k: int) -> None:
    names = ["time", "latitude", "lon", "expver", "step", "x", "time_bnds"]
    if k % 2:
        file.renameVariable(_pick(file.variables, i), _pick(names, j))
    else:
        file.renameDimension(_pick(file.dimensions, i), _pick(names, j))


def _new(file: Any, i: int, j: int, k: int) -> None:
    """Add a variable of another type, or a large one of which nothing is written."""
    names = ["time", "valid_time", "step", "expver", "number", "pm10", "time_bnds"]
    kind, name = _pick(["f4", "f8", "i8", "i1", "S1", str], i), _pick(names, j)
    if name not in file.dimensions:
        file.createDimension(name, _pick([1, 2, 10**6, 2**31 - 1], k))
    dims = _pick([(name,), (), tuple(file.dimensions)[:3]], k // 4)
    options: dict[str, Any] = {}
    if file.data_model.startswith("NETCDF4") and dims and kind is not str:
        sizes = [min(len(file.dimensions[one]), 64) for one in dims]
        options = {"zlib": True, "chunksizes": sizes}
    file.createVariable(name, kind, dims, **options)


_CHANGES = {"set": _set, "values": _values, "rename": _rename, "new": _new}
_LARGEST = 10 << 20
"""Bytes of a changed file."""
_GRIB_KEYS = (
    "Ni",
    "Nj",
    "dataDate",
    "dataTime",
    "stepRange",
    "paramId",
    "bitsPerValue",
    "level",
    "iScansNegatively",
    "jScansPositively",
    "jPointsAreConsecutive",
    "latitudeOfFirstGridPointInDegrees",
    "longitudeOfLastGridPointInDegrees",
    "bitmapPresent",
    "numberOfValues",
    "numberOfDataPoints",
    "gridType",
    "packingType",
    "binaryScaleFactor",
    "decimalScaleFactor",
    "referenceValue",
    "centre",
    "expver",
    "stepUnits",
    "typeOfLevel",
    "indicatorOfUnitOfTimeRange",
    "significanceOfReferenceTime",
    "year",
    "month",
    "hour",
)
_GRIB_VALUES: tuple[Any, ...] = (
    0,
    1,
    -1,
    2,
    24,
    255,
    1000,
    65535,
    99999999,
    20190230,
    -90.0,
    1e9,
    "0",
    "regular_gg",
    "reduced_ll",
    "grid_simple",
    "grid_jpeg",
    "grid_ccsds",
    "0-3",
    "0001",
    "missing",
)


def grib(draw: Draw, content: bytes, others: list[bytes]) -> bytes:
    """Set keys of messages; join messages."""
    messages: list[bytes] = []
    with quiet():
        _change_messages(draw, content, messages)
    if draw(st.booleans()):
        messages.append(draw(st.sampled_from(messages)))
    return b"".join(messages)


@contextmanager
def quiet() -> Iterator[None]:
    """Send the words of libraries nowhere: each key that cannot be set is an error to ecCodes."""
    before = os.dup(2)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    try:
        yield
    finally:
        os.dup2(before, 2)
        os.close(before)
        os.close(nowhere)


def _change_messages(draw: Draw, content: bytes, messages: list[bytes]) -> None:
    import eccodes

    start = 0
    while (start := content.find(b"GRIB", start)) >= 0:
        handle = eccodes.codes_new_from_message(content[start:])
        length = eccodes.codes_get(handle, "totalLength")
        for _ in range(draw(st.integers(0, 2))):
            try:
                key = draw(st.sampled_from(_GRIB_KEYS))
                eccodes.codes_set(handle, key, draw(st.sampled_from(_GRIB_VALUES)))
            except (eccodes.CodesInternalError, TypeError, ValueError):
                continue
        messages.append(eccodes.codes_get_message(handle))
        eccodes.codes_release(handle)
        start += length


def parquet(draw: Draw, content: bytes, others: list[bytes]) -> bytes:
    """Give columns other types, names and values."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    table = pq.read_table(io.BytesIO(content))
    for _ in range(draw(st.integers(1, 3))):
        at = draw(st.integers(0, table.num_columns - 1))
        name, rows = table.column_names[at], table.num_rows
        names = [
            *table.column_names,
            "",
            "LAT",
            "date.utc",
            'a"b',
            "x" * 500,
            "\x1b[2J",
        ]
        columns: list[Any] = [
            pa.nulls(rows),
            pa.array([[1, 2]] * rows),
            pa.array([{"a": 1, "b": [2]}] * rows),
            pa.array([b"\xff\x00"] * rows),
            pa.array(["nan"] * rows),
            pa.array(["a" * 100_000] * rows),
            pa.array([1e300] * rows),
            pa.array([2**62] * rows),
            pa.array([True] * rows),
            pa.array([0] * rows, pa.timestamp("ns", "Asia/Kolkata")),
            pa.array([2**60] * rows, pa.timestamp("s")),
            pa.array([-(2**40)] * rows, pa.timestamp("us")),
            pa.array([5] * rows, pa.date32()),
            pa.array([1] * rows, pa.duration("s")),
            pa.DictionaryArray.from_arrays(pa.array([0] * rows), pa.array(["pm25"])),
            table.column(at),
        ]
        new = draw(st.sampled_from([name, name, *names]))
        table = table.set_column(at, new, draw(st.sampled_from(columns)))
    if draw(st.integers(0, 5)) == 0:
        table = table.slice(0, 0)
    if draw(st.booleans()):
        table = table.replace_schema_metadata(
            {b"pandas": b'{"columns": 5}', b"\xff": b"x"}
        )
    target = io.BytesIO()
    packing = draw(st.sampled_from(["none", "zstd", "gzip"]))
    with suppress(pa.ArrowException):
        pq.write_table(table, target, compression=packing)
    return target.getvalue() or content
