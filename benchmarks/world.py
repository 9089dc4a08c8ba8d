"""The simulated world beside real hours: writes docs/simulated-world.md and docs/figures/world.png.

``python benchmarks/world.py [TRUTH] [--seeds 4]``; TRUTH is any hourly fine field, by default the four real GEOS-CF
hours beside the checkout. The same hours, nodes and statistics are taken from as many simulated worlds, and their mean
days at Kigali and in Poland. Ten minutes.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
import xarray as xr

from deepcams.core.field import grid_of
from deepcams.core.grid import Grid, cells_from_nodes
from deepcams.evaluation.tables import save as save_text
from deepcams.methods.interval import Interval
from deepcams.methods.spatial.bicubic import Bicubic, LogBicubic
from deepcams.methods.spatial.coarsen import area_mean
from deepcams.methods.spatial.conserve import conserve
from deepcams.methods.temporal.flow import Flow
from deepcams.plotting.figure_layout import save
from deepcams.readers.open import open_field
from deepcams.simulation.world import SimulatedWorld
from world_figure import Statistics, world_figure
from world_mornings import mornings_table, real_days, simulated_days

ROOT = Path(__file__).resolve().parents[1]
TRUTH = "../shared/data/geos_cf/geos_cf_20190308_0030-0330z_west.nc4"
BANDS = {
    "60-30° S": (-60, -30),
    "30° S-0": (-30, 0),
    "0-30° N": (0, 30),
    "30-60° N": (30, 60),
}
RANGES = ((20, 40), (40, 80), (80, 120), (120, 200), (200, 320), (320, 480), (480, 700))
LEVELS = (0.001, 0.01, 0.1, 0.25, 0.5, 0.75, 0.9, 0.99, 0.999, 0.9999)
VALUES = (0.0, 2.0, 4.0, 8.0, 16.0, 40.0, np.inf)
SLOPES = (0.0, 0.06, 0.12, 0.25, 0.5, np.inf)
REGIONS = {
    "West of 75° W (tuned to)": (-180.0, -75.1),
    "East of 75° W (not tuned to)": (-75.1, 0.0),
}


@dataclass
class Measures:
    """All numbers of one region's hours.

    Attributes:
        statistics: what the figure shows.
        power: (bands, ranges), zonal power of log PM2.5.
        fine: (bands + 1,), power of all waves shorter than a degree; the last from 60 S to 60 N.
        moved: (bands, ranges), power of the change over an hour in units of that power.
        scores: name -> number.
        by_value, by_slope: mean variance of log PM2.5 within a cell, by the cell's value and by its gradient.
    """

    statistics: Statistics
    power: np.ndarray
    fine: np.ndarray
    moved: np.ndarray
    scores: dict[str, float]
    by_value: np.ndarray
    by_slope: np.ndarray


def spectrum(logs: np.ndarray, step: float) -> tuple[np.ndarray, np.ndarray]:
    """Zonal power of rows that do not close round the globe (trend removed, Hann window): waves, power."""
    n = logs.shape[-1]
    window, x = np.hanning(n + 2)[1:-1], np.arange(n) - (n - 1) / 2
    level = logs - logs.mean(axis=-1, keepdims=True)
    level = level - (level * x).sum(axis=-1, keepdims=True) / (x * x).sum() * x
    power = (
        np.abs(np.fft.rfft(level * window, axis=-1)) ** 2
        / (window * window).sum()
        * n
        * step
        / 360
    )
    return np.arange(power.shape[-1]) * 360 / (n * step), power.reshape(
        -1, power.shape[-1]
    ).mean(axis=0)


def binned(waves: np.ndarray, power: np.ndarray) -> np.ndarray:
    return np.array(
        [power[(waves >= low) & (waves < high)].mean() for low, high in RANGES]
    )


def measured(hours: np.ndarray, grid: Grid, west: float, east: float) -> Measures:
    """Measure four consecutive hours between two longitudes; methods see the whole of them."""

    def inside(values: np.ndarray, of: Grid) -> np.ndarray:
        longitude = (of.longitudes + 180) % 360 - 180
        return values[..., (longitude > west) & (longitude < east)]

    latitudes, logs = grid.latitudes, np.log(np.maximum(inside(hours, grid), 1e-3))
    spectra, power, moved, smooth = {}, [], [], np.zeros(0)
    waves, everywhere = spectrum(logs[:, np.abs(latitudes) < 60], grid.step)
    fine_power = []
    edges = np.geomspace(10, 700, 29)
    for name, (south, north) in BANDS.items():
        rows = (latitudes >= south) & (latitudes < north)
        waves, here = spectrum(logs[:, rows], grid.step)
        _, change = spectrum(np.diff(logs[:, rows], axis=0), grid.step)
        power.append(binned(waves, here))
        fine_power.append(here[waves > 360].sum())
        moved.append(binned(waves, change) / power[-1])
        groups = [(waves >= a) & (waves < b) for a, b in pairwise(edges)]
        kept = [g for g in groups if g.any()]
        smooth = np.array([waves[g].mean() for g in kept])
        spectra[name] = np.array([here[g].mean() for g in kept])
    band = np.abs(latitudes) < 60
    truth, times = hours[1:3], (1 / 3, 2 / 3)
    linear = np.stack([(1 - t) * hours[0] + t * hours[3] for t in times])
    flow = Flow().between(Interval.on_grid(hours[0], hours[3], grid), times)
    coarse, down, across = grid.whole_cells()
    fine = coarse.refine()
    cells = np.stack([area_mean(hour[down, across], coarse) for hour in hours])
    cubic = np.maximum(Bicubic().refine(cells[:2], coarse), 0)
    kept_means = conserve(
        np.asarray(LogBicubic().refine(cells[:2], coarse)), cells[:2], coarse, 3
    )

    def error(values: np.ndarray, true: np.ndarray, of: Grid) -> tuple[float, float]:
        plain, log = (
            np.abs(values - true),
            np.abs(np.log(np.maximum(values, 0.01)) - np.log(np.maximum(true, 0.01))),
        )
        return float(inside(plain, of).mean()), float(
            inside(log, of)[..., np.abs(of.latitudes) < 60, :].mean()
        )

    wanted = hours[:2][..., down, across]
    errors = {
        "linear": error(linear, truth, grid),
        "flow": error(flow, truth, grid),
        "bicubic": error(cubic, wanted, fine),
        "conserving": error(kept_means, wanted, fine),
    }
    mean = float(inside(hours, grid).mean())
    changes = {
        f"{k} h": float(np.abs(logs[k:] - logs[:-k])[:, band].mean()) for k in (1, 2, 3)
    }
    changes |= {name: errors[name][1] for name in ("linear", "flow")}
    scores = {
        "mean, ug m-3": mean,
        "linear's MAE / mean": errors["linear"][0] / mean,
        "flow's MAE / linear's": errors["flow"][0] / errors["linear"][0],
        "the same of log PM": errors["flow"][1] / errors["linear"][1],
        "bicubic's MAE / mean": errors["bicubic"][0] / mean,
        "conserving log-bicubic's MAE / bicubic's": errors["conserving"][0]
        / errors["bicubic"][0],
        "bicubic's error of log PM": errors["bicubic"][1],
        **{
            f"mean change of log PM over {name}": changes[name]
            for name in ("1 h", "2 h", "3 h")
        },
    }
    in_cells = cells_from_nodes(
        np.log(np.maximum(hours[0], 1e-3))[down, across], coarse
    )
    variance = (
        in_cells.reshape(coarse.rows, 3, coarse.columns, 3)
        .transpose(0, 2, 1, 3)
        .reshape(*coarse.shape, 9)
    )
    slope = np.hypot(*np.gradient(np.log(cells[0])))
    kept_rows = np.abs(coarse.latitudes) < 60
    spread, value, slope = (
        inside(a, coarse)[kept_rows] for a in (variance.var(axis=-1), cells[0], slope)
    )

    def by(what: np.ndarray, borders: tuple[float, ...]) -> np.ndarray:
        pairs = pairwise(borders)
        return np.array(
            [spread[(what >= low) & (what < high)].mean() for low, high in pairs]
        )

    quantiles = np.quantile(inside(hours, grid)[:, band], LEVELS)
    statistics = Statistics(smooth, spectra, quantiles, changes)
    fine_power.append(everywhere[waves > 360].sum())
    return Measures(
        statistics,
        np.array(power),
        np.array(fine_power),
        np.array(moved),
        scores,
        by(value, VALUES),
        by(slope, SLOPES),
    )


def cost() -> float:
    """Return processor seconds of a global 0.25 degree day (24 instants) in a new process without cached maps."""
    code = (
        "import time, numpy as np; from deepcams.core.grid import Grid;"
        "from deepcams.simulation.world import SimulatedWorld; began = time.process_time();"
        "times = np.datetime64('2019-03-08') + np.arange(24) * np.timedelta64(1, 'h');"
        "[SimulatedWorld(0).values(Grid.globe(0.25), time) for time in times]; print(time.process_time() - began)"
    )
    with tempfile.TemporaryDirectory() as empty:
        environment = {**os.environ, "DEEPCAMS_CACHE": empty}
        command = [sys.executable, "-c", code]
        found = subprocess.run(
            command, env=environment, capture_output=True, text=True, check=True
        )
    return float(found.stdout)


def table(head: list[str], rows: list[list[str]]) -> str:
    lines = [head, ["---", *["---:"] * (len(head) - 1)], *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def section(title: str, real: Measures, worlds: list[Measures]) -> str:
    """The tables of one region."""

    def mean(of: str) -> np.ndarray:
        return np.asarray(np.mean([getattr(world, of) for world in worlds], axis=0))

    def pairs(one: np.ndarray, other: np.ndarray) -> list[str]:
        return [f"{a:.2g} / {b:.2g}" for a, b in zip(one, other, strict=True)]

    ranges = [f"{low}-{high}" for low, high in RANGES]
    ratio, simulated = mean("power") / real.power, mean("moved")
    power = table(
        ["latitudes", *ranges],
        [[n, *(f"{x:.2f}" for x in ratio[k])] for k, n in enumerate(BANDS)],
    )
    ratios = np.stack([world.fine / real.fine for world in worlds])
    below = table(
        ["", "simulated / real", "from .. to"],
        [
            [name, f"{of.mean():.2f}", f"{of.min():.2f} .. {of.max():.2f}"]
            for name, of in zip((*BANDS, "60° S-60° N"), ratios.T, strict=True)
        ],
    )
    moved = table(
        ["latitudes", *ranges],
        [[n, *pairs(real.moved[k], simulated[k])] for k, n in enumerate(BANDS)],
    )
    quantiles = np.mean([w.statistics.quantiles for w in worlds], axis=0)
    distribution = table(
        ["", *(f"{100 * level:g} %" for level in LEVELS)],
        [
            ["real", *(f"{x:.3g}" for x in real.statistics.quantiles)],
            ["simulated", *(f"{x:.3g}" for x in quantiles)],
        ],
    )
    scores = table(
        ["", "real", "simulated", "from .. to"],
        [
            [
                name,
                f"{number:.3g}",
                f"{np.mean(all_):.3g}",
                f"{min(all_):.3g} .. {max(all_):.3g}",
            ]
            for name, number in real.scores.items()
            for all_ in [[world.scores[name] for world in worlds]]
        ],
    )

    def within(of: str, borders: tuple[float, ...]) -> str:
        head = [
            "",
            *(
                f"{a:g}-{b:g}" if b < np.inf else f"over {a:g}"
                for a, b in pairwise(borders)
            ),
        ]
        rows = (("real", getattr(real, of)), ("simulated", mean(of)))
        return table(head, [[name, *(f"{x:.2g}" for x in row)] for name, row in rows])

    return f"""## {title}

Changes and errors. MAE is over all nodes; *of log PM*: the mean absolute difference of the logarithms, 60 S to 60 N.

{scores}

Zonal power of log PM, simulated / real, by waves round the globe:

{power}

The same of all waves shorter than a degree (over 360 round the globe):

{below}

Power of the change over one hour in units of that power, real / simulated (2: nothing stays in place):

{moved}

Quantiles of PM2.5 between 60 S and 60 N, ug m-3:

{distribution}

Variance of log PM among the nine nodes of a 0.75 degree cell, by the cell's mean (ug m-3):

{within("by_value", VALUES)}

and by the gradient of the logarithm of the cells' means (per cell):

{within("by_slope", SLOPES)}
"""


def text(
    found: dict[str, tuple[Measures, list[Measures]]],
    seeds: int,
    seconds: float,
    mornings: str,
) -> str:
    """The page; the words stand here, every measured number comes from the run."""
    return f"""# The simulated world

`SimulatedWorld(seed)` is a world with known truth at any place and moment, for tests, the demo, and for training
networks beside the few real hours. This page compares it with the four real GEOS-CF hours of 2019-03-08 (00:30 to
03:30 UTC, hourly means, western hemisphere) and is written by `python benchmarks/world.py`; each simulated number is a
mean over {seeds} worlds (seeds 0 to {seeds - 1}) at the same hours and nodes.

![Simulated and real hours](figures/world.png)

*Maps: one real and one simulated hour. Spectra: real (black) and the mean of the simulated worlds (dashed), each band
of latitudes two decades below the one before. Quantiles: one line a world, the line of equality in grey.
Changes: mean absolute change of log PM2.5 over 1, 2 and 3 h, and the error of `linear` and `flow` across a gap of 3 h.
Mean day: real (black; GEOS-CF at Kigali in 2021, stations in Poland in 2017 and 2018), one line a world.*

## How it is made

Values are a pure function of seed, place and time: nothing is stepped forward, so any region, grid, hour and chunking
gives the same number, to the last bit on one platform.

- **Winds**: trades, westerlies and jets, and 28 travelling waves with rotational and divergent parts, stronger in the
  middle latitudes. Semi-Lagrangian: paths are followed back from each node (2.5 degree lattice, cubic between).
- **Air masses**: smooth patches and the background of where the air was, stirred by the winds for two days on a finer
  lattice, and then for up to two more while they live: that makes filaments and fronts. Two generations overlap.
  Convection along the equator and storms wash air in ragged patches, which are carried and drawn out as well.
- **Sources** along the path of the air, at 14 ages up to 32 h, the wider spread the older: cities and towns of
  GeoNames with industry that differs from world to world, patchy rural emissions, fires in clusters with seasons
  and a diurnal cycle, dust that grows with the wind's cube, sea salt with its square.
- **Hours**: over land a mixing layer of 100 to 250 m at night (deeper in wind) that grows with the square root of the
  heat the sun has brought since the morning, to some 1,500 m, and collapses within four hours of the sun's getting low;
  shallow in the winter of middle latitudes; over the sea always the same. What was emitted then is mixed through the
  deepest layer between then and now: the night gathers, the morning dilutes, and what the day mixed stays mixed. Towns
  emit more in the morning and in the evening, where it is cold most of all in the evening, and little at night; fires
  and dust most in the afternoon. Two smooth random maps of a world say how much the layer and people's hours count at
  a place, from hardly to strongly.
- **Ground**: coasts; mountains where the Earth's ranges are, with relief that acts on the air where it was in the
  last hour and a half (streaks in the lee); valleys that fill under the night's shallow layer; loss with 36 h.

Seeds differ in winds, air masses, industry, relief, fires, dust and kinds of day; coasts, cities and ranges are the
Earth's.

`deepcams simulate --layout cams --meteorology` adds the winds that carry the air (`u10`, `v10`) and a simple
temperature (`t2m`: latitude, season, local hour, land and mountains) to the files, under the names of EAC4. They have
no profile towards the ground, and no weather moves the temperature.

## Mornings

The relative mean day by local solar hour, at the same places and months; of the simulated worlds every twentieth day of
a year. Kigali is GEOS-CF, July to October 2021; Poland is 46 and 51 stations in 2017 and 2018 (2019 was not looked at).
The world's hours were chosen with these shapes in view, so that the four worlds span Kigali's is no test of it, and
what a network scores on it is no evidence about real mornings: those of GEOS-CF and of stations differ.

{mornings}

## On a GPU

The arithmetic at the nodes is written once for whatever arrays a caller hands in (`field(.., arrays=)`): NumPy by
default, PyTorch with `deepcams.simulation.arrays.world_arrays("cuda")` or `deepcams simulate --device`. They
agree to 1e-5 of the value at 99 of 100 nodes, and to 3e-4 beside the sharpest sources. On a CPU NumPy is used always:
it was faster there than PyTorch, and only it promises the same bits for any chunking. A global day (24 instants at
0.25 degrees) took {seconds:.0f} processor seconds in this run, maps included. Paths and maps are made on the CPU
either way. No GPU was at hand when this was written: PyTorch's arithmetic is tested on the CPU, and a test compares a
GPU where there is one.

A rerun goes on where a run was stopped, also within a file: what is computed of it (a few hours of the globe at a time)
is stored in the hidden folder `.deepcams-simulation` until the file is written, so that a kill costs some ten seconds.
Without that it would cost most of a file: a global day of `--layout field` takes 43 s on two CPU cores, one of
`--layout cams` (eight frames, each the mean of 0.25 degree values) 22 s, and a file of CAMS is a month. One process at
a time may write to a folder.

The maps of a seed, of five days (fires) and of a day (air masses) are cached on disk, at most 1 GB of them. A process
that finds none needs 8 to 13 processor seconds for its first hour, one that finds them 0.8 s; a further day then costs
0.1 s instead of 2 s, another seed 0.5 s instead of 7 s.

## What differs

The world's numbers were chosen to meet the tables of the real hours west of 75 W. The half east of it was **in view**
while that was done: its quantiles and errors were printed beside the western ones, the maps looked at were of the
whole hemisphere, and one choice (less emission between cities) was made because South America, most of it east of
75 W, looked too even. So for the simulated world, and for networks trained on it, the east is data that nothing was
fitted to, but not data that nobody had seen.

- Worlds differ, as the ranges and the figure show, and one real day cannot tell which of them is nearer the truth.
- The tables below tell what differs on each side of 75 W. The power below a degree was measured for the west while
  numbers were chosen; for the east it was computed once, after that, and nothing was changed for it.
- `flow` gains a little less on `linear` than on real hours in plain MAE, and a little more in log PM.
- Conserving log-bicubic gains less on bicubic than on real hours west of 75 W; cells above 40 ug m-3 are too even.

{chr(10).join(section(title, *measures) for title, measures in found.items())}"""


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("truth", nargs="?", default=TRUTH)
    parser.add_argument("--seeds", type=int, default=4)
    parser.add_argument("-o", "--output", type=Path, default=ROOT / "docs")
    options = parser.parse_args()
    with contextlib.chdir(ROOT):
        real: xr.DataArray = open_field(options.truth).load()
    grid, fields = grid_of(real), []
    for seed in range(options.seeds):
        began = time.perf_counter()
        fields.append(
            SimulatedWorld(seed).field(grid, real.time.values, mean=True).load()
        )
        print(f"world {seed}: {time.perf_counter() - began:.0f} s", file=sys.stderr)
    found = {
        title: (
            measured(real.values, grid, *box),
            [measured(field.values, grid, *box) for field in fields],
        )
        for title, box in REGIONS.items()
    }
    real_day, places = real_days()
    days = simulated_days(options.seeds, places)
    frames = {
        "GEOS-CF, 2019-03-08 00:30 UTC": real[:1],
        "simulated (seed 0)": fields[0][:1],
    }
    figures = {
        t: (one.statistics, [w.statistics for w in all_])
        for t, (one, all_) in found.items()
    }
    save(
        world_figure(
            frames,
            figures,
            LEVELS,
            {name: (day, [of[name] for of in days]) for name, day in real_day.items()},
        ),
        options.output / "figures" / "world.png",
    )
    save_text(
        options.output / "simulated-world.md",
        text(found, options.seeds, cost(), mornings_table(real_day, days)).rstrip()
        + "\n",
    )


if __name__ == "__main__":
    main()
