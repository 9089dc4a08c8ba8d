"""Score methods in time where frames around are known: ``python benchmarks/in_time.py [DATA] [--kigali MONTHS]``.

DATA is the folder of development data beside the checkout. Of each record every second frame (of hourly ones two of
three) is hidden and made again from four frames. Printed is each method's mean absolute error over that of ``linear``,
and ``self-checked`` over ``flow``. All records are scaled to a mean of 20, because flow looks at values between 0.1 and
1000 and columns of gases have none there. Real CAMS frames with 18 and 21 UTC hidden are the case of two frames alone.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import xarray as xr

from deepcams.core.field import grid_of
from deepcams.core.grid import Grid
from deepcams.methods import TEMPORAL
from deepcams.methods.interval import Interval
from deepcams.readers.cams import open_cams

ROOT = Path(__file__).resolve().parents[1]
METHODS = ("linear", "flow", "cubic", "pchip", "catmull-rom", "self-checked")


@dataclass
class Record:
    """Consecutive frames, one of each ``span`` of which is given."""

    name: str
    values: np.ndarray
    grid: Grid
    span: int
    stride: int = 1


def records(data: Path, months: str) -> Iterator[Record]:
    """Open the records."""
    dust = xr.open_dataset(data / "other/jma_dust_20170221_15Z-22_12Z_3h.nc")
    for name, label in (("dust_192", "surface"), ("dust_193", "column")):
        grid = Grid(0.5, 80, 220, 61, 81)
        yield Record(f"JMA dust, {label}", dust[name].values, grid, 2)
    around_hawaii = Grid(0.75, 88, 262, 10, 18)
    for part, names in (("sfc", ("tcso2", "gtco3")), ("nox", ("tcno2", "tc_no"))):
        file = xr.open_dataset(data / f"cams/cams_eac4_20221120-1204_hawaii_{part}.nc")
        for name in names:
            yield Record(f"Hawaii, {name}", file[name].values, around_hawaii, 2)
    with np.load(data / "other/naqfc_pm25_processed.npz", allow_pickle=True) as stored:
        hourly = next(stored[n] for n in stored.files if stored[n].ndim == 3)
    yield Record("NAQFC", np.nan_to_num(hourly), Grid(0.125, 400, 1900, 40, 40), 3, 3)
    path = next((data / "geos_cf").glob("*kigali*"))
    kigali = xr.open_dataset(path)["pm25_rh35_gcc"].squeeze()
    first, _, last = months.partition("..")
    values = kigali.sel(time=slice(first, last or first)).values
    yield Record(f"Kigali {months}", values, Grid(0.25, 367, 119, 3, 4), 3)


def errors(record: Record, methods: dict[str, object]) -> dict[str, float]:
    """Return each method's mean absolute error."""
    values = np.maximum(record.values.astype(np.float64), 0)
    values = (values / values.mean() * 20).astype(np.float32)
    span, found = record.span, dict.fromkeys(methods, 0.0)
    fractions = [k / span for k in range(1, span)]
    for i in range(span, len(values) - 2 * span, record.stride):
        earlier, before, after, later = values[i - span : i + 2 * span + 1 : span]
        interval = Interval.on_grid(
            before, after, record.grid, earlier=earlier, later=later
        )
        for name, method in methods.items():
            made = method.between(interval, fractions)
            found[name] += float(abs(made - values[i + 1 : i + span]).mean())
    return found


def two_frames(data: Path, methods: dict[str, object]) -> dict[str, float]:
    """Return errors on real CAMS frames, area-weighted, whose inner two were hidden."""
    field = open_cams(data / "cams/cams_eac4_20191231_new_layout.nc")
    values, grid = np.maximum(field.values, 0), grid_of(field)
    interval = Interval.on_grid(values[0], values[3], grid)
    area = grid.row_areas[:, None] / grid.row_areas.mean()
    return {
        name: float(
            (abs(method.between(interval, [1 / 3, 2 / 3]) - values[1:3]) * area).mean()
        )
        for name, method in methods.items()
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "data", nargs="?", type=Path, default=ROOT.parent / "shared" / "data"
    )
    parser.add_argument(
        "--kigali", default="2021-07..2021-11", help="months of 2021, A..B"
    )
    options = parser.parse_args()
    methods = {name: TEMPORAL.get(name)() for name in METHODS}
    print("| record | " + " | ".join(METHODS[1:]) + " | self-checked / flow |")
    print("|---|" + "---:|" * len(METHODS))
    found = {r.name: errors(r, methods) for r in records(options.data, options.kigali)}
    found["CAMS, 18 and 21 UTC, two frames"] = two_frames(options.data, methods)
    for name, each in found.items():
        ratios = [each[method] / each["linear"] for method in METHODS[1:]]
        ratios.append(each["self-checked"] / each["flow"])
        print(f"| {name} | " + " | ".join(f"{ratio:.3f}" for ratio in ratios) + " |")


if __name__ == "__main__":
    main()
