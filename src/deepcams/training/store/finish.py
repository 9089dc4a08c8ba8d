"""The end of a preparation: which hours a store has, where they come from, and what was left out."""

from __future__ import annotations

import json
import warnings
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from deepcams._version import __version__
from deepcams.core.errors import InputError
from deepcams.core.period import Period
from deepcams.files.atomic import write_atomically
from deepcams.readers.frames import combine
from deepcams.training.store.checks import Fault, Report, gaps
from deepcams.training.store.day_records import Days
from deepcams.training.store.input_hours import Inputs
from deepcams.training.store.open_store import HOURS, REPORT, STATE
from deepcams.training.store.region import BBox

_HOUR = np.timedelta64(1, "h").astype("timedelta64[ns]")


@dataclass(frozen=True)
class Settings:
    """What was asked for, for provenance."""

    degradation: str
    variable: str | None
    bbox: BBox | None
    period: Period | None


def finish(out: Path, inputs: Inputs, days: Days, settings: Settings) -> Report:
    """Write what opens the store: its good hours, where they come from, and what was left out."""
    import zarr

    state = out / STATE
    known: dict[str, Any] = {}
    if (state / HOURS).exists():
        known = json.loads((state / HOURS).read_text(encoding="utf-8"))
    good: dict[int, dict[str, Any]] = {}
    tried: set[int] = set()
    faults: list[Fault] = []
    for record in days.all():
        good |= record.good
        tried |= set(record.tried)
        faults += record.faults
    if not good:
        raise InputError(
            inputs.headers[0].file or "field",
            "an hour fit for training",
            f"none in {len(tried):,}: {faults[0].kind}, {faults[0].detail}" if faults else "none",
        )
    again = {header.file for header in inputs.headers}
    of_files = [
        f for f in map(Fault.from_json, known.get("file faults", [])) if f.files[0] not in again
    ]
    of_files += inputs.faults
    span = _span(inputs, settings.period, known.get("span"))
    first = min(span[0], days.first)
    present = np.zeros(int((span[1] - first) // _HOUR) + 1, bool)
    shift = int((days.first - first) // _HOUR)
    present[[shift + slot for slot in (*good, *tried)]] = True
    begin = int((span[0] - first) // _HOUR)
    slots = sorted(good)
    times = days.first + np.array(slots) * _HOUR
    report = Report.of(times, [*faults, *of_files, *gaps(present[begin:], span[0])])
    write_atomically(state / REPORT, (json.dumps(report.to_json(), indent=1) + "\n").encode())
    with warnings.catch_warnings():
        warnings.simplefilter(
            "ignore"
        )  # that records are no arrays, and that Zarr 3 has no such thing yet
        zarr.consolidate_metadata(out)
    hours = {
        "slots": slots,
        "sources": _sources(inputs, settings, [good[slot] for slot in slots]),
        "span": [str(time.astype("datetime64[m]")) for time in span],
        "file faults": [asdict(fault) for fault in of_files],
    }
    write_atomically(state / HOURS, json.dumps(hours).encode())
    return report


def _span(
    inputs: Inputs, period: Period | None, known: list[str] | None
) -> tuple[np.datetime64, np.datetime64]:
    """First and last hour that should be there: of the period, else of the input; of earlier runs as well."""
    first, last = min(inputs.offers), max(inputs.offers)
    if period is not None:
        first -= (first - period.start) // _HOUR * _HOUR
        last += (period.end - np.timedelta64(1, "ns") - last) // _HOUR * _HOUR
    if known is not None:
        first, last = (
            min(first, np.datetime64(known[0], "ns")),
            max(last, np.datetime64(known[1], "ns")),
        )
    return first, last


def _sources(inputs: Inputs, settings: Settings, hours: list[dict[str, Any]]) -> dict[str, Any]:
    """Where the values come from, for the store and for what is trained on it."""
    files = sorted({tuple(str(hour["file"]).split("|")[:2]) for hour in hours})
    return {
        "family": inputs.family,
        "source": inputs.source,
        "inputs": {
            "files": len(files) if inputs.files else 0,
            "bytes": sum(int(size) for _, size in files),
            "fingerprint": combine([name + size for name, size in files]),
        },
        "values": combine([str(hour["digest"]) for hour in hours]),
        "negatives set to 0": sum(int(hour["negative"]) for hour in hours),
        "settings": {
            "degradation": settings.degradation,
            "variable": settings.variable,
            "bbox": list(settings.bbox) if settings.bbox else None,
            "period": str(settings.period) if settings.period else None,
        },
        "deepcams": __version__,
    }
