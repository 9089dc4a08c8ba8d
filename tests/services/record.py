"""A long record over OPeNDAP (DAP 2), with the broken time axis that the real one has."""

from __future__ import annotations

import re
from collections.abc import Callable

import numpy as np

from services.base import Answer, Fault, Seen, Service

UNDEFINED = np.float32(1e15)
_PART = re.compile(r"(\w+)(?:\.(\w+))?((?:\[[^\]]*\])*)$")


class Record(Service):
    """Hourly maps, one variable.

    Args:
        values: gives the map of an hour, counted from the record's first: (rows, columns), float32, south first;
            ``None`` where the record has none.
        latitude, longitude: of rows (south first) and columns.
        hours: length of the record.
        name: of the variable.
        faults: see :class:`Service`.
    """

    def __init__(
        self,
        values: Callable[[int], np.ndarray | None],
        latitude: np.ndarray,
        longitude: np.ndarray,
        hours: int,
        name: str = "pm25_rh35_gcc",
        faults: Callable[[Seen], Fault | None] = lambda seen: None,
    ) -> None:
        super().__init__(faults)
        self.values, self.hours, self.name = values, hours, name
        self.axes = {
            "time": np.zeros(hours),
            "lev": np.array([1.0]),
            "lat": latitude,
            "lon": longitude,
        }
        self.axes["time"][:] = 736696.0 + np.arange(hours) / 24
        self.axes["time"][5 : 5 + 32] = (
            9.999e20  # as in the real record: no calendar, corrupt values
        )

    @property
    def url(self) -> str:
        """The record's address."""
        return f"{self.root}/dods/geos-cf/record"

    def answer(self, seen: Seen, body: bytes) -> Answer:
        """``.dds``, ``.das`` and ``.dods``; without a projection, of all variables."""
        if not seen.path.startswith("/dods/geos-cf/record"):
            return Answer(b"not found", 404, "text/plain")
        if seen.path.endswith(".das"):
            return Answer(self._attributes().encode(), 200, "text/plain")
        whole = [self.name, *self.axes]
        projections = [
            part for part in seen.query.get("", "").split(",") if part
        ] or whole
        values = seen.path.endswith(".dods")
        declared, data = [], b""
        try:
            for projection in projections:
                words, part = self._project(projection, values)
                declared.append(words)
                data += part
        except (ValueError, KeyError, IndexError) as error:
            text = f'Error {{\n    code = 1001;\n    message = "{error}";\n}};\n'
            return Answer(text.encode(), 200, "text/plain")
        head = "Dataset {\n" + "".join(declared) + "} record;\n"
        if not values:
            return Answer(head.encode(), 200, "text/plain")
        return Answer(
            head.encode() + b"\nData:\n" + data, 200, "application/octet-stream"
        )

    def _attributes(self) -> str:
        kept = f"        Float32 _FillValue {UNDEFINED:.1e};\n        Float32 missing_value {UNDEFINED:.1e};\n"
        axes = "".join(
            f'    {name} {{\n        String grads_dim "{name[0]}";\n    }}\n'
            for name in self.axes
        )
        return f"Attributes {{\n    {self.name} {{\n{kept}    }}\n{axes}}}\n"

    def _project(self, text: str, values: bool = True) -> tuple[str, bytes]:
        match = _PART.match(text.strip())
        if match is None:
            raise ValueError(f"cannot read {text}")
        name, ranges = match[2] or match[1], re.findall(r"\[([^\]]*)\]", match[3])
        if name != self.name and name not in self.axes:
            raise KeyError(f"{name} is no variable")
        dims = ("time", "lev", "lat", "lon") if name == self.name else (name,)
        chosen = [
            _chosen(ranges[k] if k < len(ranges) else "", self.axes[dim].size)
            for k, dim in enumerate(dims)
        ]
        if name != self.name:
            part = self.axes[name][chosen[0]]
            words = f"    Float64 {name}[{name} = {part.size}];\n"
            return _within(match[1], words) if match[2] else words, _xdr(
                part.astype(">f8")
            )
        hours, _, rows, columns = chosen
        shape = "".join(
            f"[{dim} = {index.size}]" for dim, index in zip(dims, chosen, strict=True)
        )
        words = (
            f"    Grid {{\n      ARRAY:\n        Float32 {name}{shape};\n      MAPS:\n"
        )
        data = b""
        if values:
            block = np.empty((hours.size, 1, rows.size, columns.size), ">f4")
            for k, hour in enumerate(hours.tolist()):
                one = self.values(hour)
                block[k, 0] = UNDEFINED if one is None else one[np.ix_(rows, columns)]
            data = _xdr(block)
        if match[2]:  # the array of the grid without its maps
            return _within(match[1], f"    Float32 {name}{shape};\n"), data
        for dim, index in zip(dims, chosen, strict=True):
            words += f"        Float64 {dim}[{dim} = {index.size}];\n"
            data += _xdr(self.axes[dim][index].astype(">f8"))
        return words + f"    }} {name};\n", data


def _within(grid: str, words: str) -> str:
    """A single member of a grid is a structure's."""
    return f"    Structure {{\n    {words}    }} {grid};\n"


def _chosen(text: str, size: int) -> np.ndarray:
    """The indices of ``first:step:last`` (as DAP counts: the last is included)."""
    if not text:
        return np.arange(size)
    numbers = [int(number) for number in text.split(":")]
    first, step, last = (
        (numbers * 3)[0:3] if len(numbers) == 1 else (numbers[0], 1, numbers[-1])
    )
    step = numbers[1] if len(numbers) == 3 else 1
    if not 0 <= first <= last < size:
        raise IndexError(f"constraint [{text}] is beyond {size}")
    return np.arange(first, last + 1, step)


def _xdr(values: np.ndarray) -> bytes:
    count = np.array([values.size, values.size], ">u4").tobytes()
    return count + values.tobytes()
