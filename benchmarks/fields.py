"""Compare methods in space on real fields: ``python benchmarks/fields.py METHOD .. [--data FOLDER] [--east]``.

Each field is coarsened three times by area, on whole cells, and made again, conserving. Prints a Markdown table of the
mean absolute error over that of a baseline (``--baseline``, log-bicubic), with 95 % intervals where asked for
(``--intervals``): places of 30 x 30 nodes, all their hours together, are drawn anew. A method is a name or a
checkpoint. GEOS-CF east of 75W (no network saw it) is left out unless asked for: who looks often chooses by it.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import xarray as xr

from deepcams.core.field import grid_of
from deepcams.core.grid import Grid
from deepcams.evaluation.candidates import make
from deepcams.methods.spatial.coarsen import area_mean
from deepcams.readers.open import open_field

DATA = Path(__file__).resolve().parents[2] / "shared" / "data"
PLACE, DRAWS = 30, 2000
LEVEL = 10.0
"""Mean that fields of other quantities than concentrations are brought to, ug m-3."""
AIR = 1.2e9
"""ug of air in a cubic metre, near the ground."""

Set = tuple[str, np.ndarray, Grid, tuple[float, float]]
"""Name; fine values (n, rows, columns) on a grid; west and east edge of what is scored."""
ALL = (-180.0, 180.0)


def geos_cf(data: Path, east: bool) -> Iterator[Set]:
    """Yield GEOS-CF's hours west of 75W, where networks were trained, or east of it."""
    field = open_field(data / "geos_cf" / "geos_cf_20190308_0030-0330z_west.nc4")
    name, edges = ("GEOS-CF PM2.5, 75W..0.5W", (-75.0, -0.5))
    if not east:
        name, edges = ("GEOS-CF PM2.5, 180W..75W", (-180.0, -75.0))
    yield name, field.values, grid_of(field), edges


def cams(data: Path) -> Iterator[Set]:
    """Yield CAMS's PM2.5 at 0.75 degrees and its columns round Hawaii."""
    field = open_field(data / "cams" / "cams_eac4_20191231_new_layout.nc")
    values = np.maximum(field.values, 0)
    yield "EAC4 PM2.5, 180W..40E", values, grid_of(field), (-180.0, 40.0)
    yield "EAC4 PM2.5, 42E..178E", values, grid_of(field), (42.0, 178.0)
    with xr.open_dataset(
        data / "cams" / "cams_eac4_20221120-1204_hawaii_sfc.nc"
    ) as found:
        for name, label in (("tcso2", "SO2"), ("gtco3", "O3")):
            values = found[name].values[::4]
            grid = Grid(0.75, 88, 263, 10, 18)
            yield f"EAC4 {label} column, Hawaii", levelled(values), grid, ALL


def ammonia(data: Path) -> Iterator[Set]:
    """Yield ammonia's first and last days, at three levels."""
    with xr.open_dataset(
        data / "other" / "cams_ifs_nh3_20181201-21_12Z_1deg.nc"
    ) as found:
        ratios = np.maximum(found.nh3.values, 0)
    for days, label in (
        (slice(0, 18), "1 to 18 December"),
        (slice(18, None), "19 to 21 December"),
    ):
        values = ratios[days].reshape(-1, *ratios.shape[2:])
        for factor in (0.03, 1, 30):
            name = f"ammonia, {label}, x {factor:g}"
            yield name, values * AIR * factor, Grid.globe(1.0), ALL


def regions(data: Path) -> Iterator[Set]:
    """Yield regional fields; the nodes that stand for cell-centred ones lie half a step beside."""
    for month, file in (("January", "0105-10_08Z_20Z"), ("February", "0201-28_08Z")):
        path = data / "other" / f"cams_eu_ensemble_analysis_poland_2022{file}.nc"
        with xr.open_dataset(path, decode_times=False) as found:
            for name in ("pm2p5_conc", "no2_conc", "dust"):
                values = found[name].isel(level=0).values
                label = f"CAMS Europe {name.removesuffix('_conc')}, Poland, {month}"
                yield label, values, Grid(0.1, 350, 140, 61, 115), ALL
    with xr.open_dataset(
        data / "other" / "jma_dust_20170221_15Z-22_12Z_3h.nc"
    ) as found:
        for name, label in (("dust_192", "surface"), ("dust_193", "column")):
            values, grid = levelled(found[name].values), Grid(0.5, 80, 220, 61, 81)
            yield f"JMA dust, {label}", values, grid, ALL
    with np.load(data / "other" / "naqfc_pm25_processed.npz") as arrays:
        values = arrays["data"][::6]
    yield "NAQFC PM2.5, Los Angeles", values, Grid(0.05, 1130, 4825, 40, 40), ALL


def levelled(values: np.ndarray) -> np.ndarray:
    """Return values with the mean ``LEVEL``."""
    return values * (LEVEL / values.mean())


def errors(one: Set, methods: list[str]) -> tuple[np.ndarray, np.ndarray]:
    """Return the sum of each method's absolute errors in each place, (methods, places), and the nodes of each place."""
    _, values, grid, (west, east) = one
    coarse, rows, columns = grid.whole_cells()
    fine = values[:, rows][:, :, columns].astype(np.float32)
    known = area_mean(fine, coarse).astype(np.float32)
    longitudes = (coarse.refine().longitudes + 180) % 360 - 180
    scored = (longitudes >= west) & (longitudes <= east)
    found = []
    for name in methods:
        made = make(name).parts[0][1].refine(known, coarse)  # type: ignore[attr-defined]
        found.append(np.abs(made - fine)[..., scored].sum(axis=0))
    shape = found[0].shape
    row, column = (np.arange(size) // PLACE for size in shape)
    place = (row[:, None] * (column.max() + 1) + column).ravel()
    sums = [np.bincount(place, each.ravel()) for each in found]
    return np.stack(sums), np.bincount(place) * len(fine)


def ratio(first: np.ndarray, other: np.ndarray, intervals: bool) -> str:
    """Return the ratio of two methods' errors, whose places are drawn together."""
    words = f"{other.sum() / first.sum():.3f}"
    if not intervals:
        return words
    drawn = np.random.default_rng(0).integers(0, first.size, (DRAWS, first.size))
    low, high = np.quantile(other[drawn].sum(1) / first[drawn].sum(1), (0.025, 0.975))
    return f"{words} ({low:.3f}..{high:.3f})"


def main() -> None:
    """See the module."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("methods", nargs="+", metavar="METHOD")
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--east", action="store_true", help="also the unseen hours")
    parser.add_argument("--baseline", default="log-bicubic", metavar="METHOD")
    parser.add_argument("--intervals", action="store_true")
    given = parser.parse_args()
    methods = [f"{name}+conserve" for name in (given.baseline, *given.methods)]
    sets = [geos_cf(given.data, east=False)]
    if given.east:
        sets.append(geos_cf(given.data, east=True))
    sets += [cams(given.data), ammonia(given.data), regions(given.data)]
    print(
        "| field | " + " | ".join([f"{given.baseline}, ug m-3", *given.methods]) + " |"
    )
    print("|---|" + "---:|" * len(methods))
    for some in sets:
        for one in some:
            (first, *others), nodes = errors(one, methods)
            mean = first.sum() / nodes.sum()
            ratios = " | ".join(
                ratio(first, other, given.intervals) for other in others
            )
            print(f"| {one[0]} | {mean:.4g} | {ratios} |", flush=True)


if __name__ == "__main__":
    main()
