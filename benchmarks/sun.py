"""Fit the weights of the method ``sun``, and say what they are worth where nothing was fitted.

``python benchmarks/sun.py [DATA] [--search] [--report] [-o PAGE]`` with DATA the folder of the development data; with
all three it writes docs/sun.md. Two places count alike: Kigali (hourly means of GEOS-CF, twelve nodes) and Poland
(hourly means over at least 20 stations).

fit     Kigali, July to October 2021; Poland, 2017 to June 2018
choose  Kigali, November 2021; Poland, July to December 2018
report  Kigali, December 2021; Poland, 2019; one day of stations elsewhere. To be looked at once, with ``--report``

Every hour begins a window of four frames, three hours apart, whose two hours in the middle are hidden; a window lies in
one of these periods wholly. Coefficients minimise the mean of sqrt(e^2 + 0.04), e the error over linear interpolation's
mean absolute error there, plus the ridge times their squares: nearly the absolute error, smooth at 0. ``--search`` fits
all candidates and lists them by the mean of both places' ratios to linear in the choosing periods; without it the shape
in ``deepcams.methods.temporal.solar`` is fitted again. Nothing is random.
"""

from __future__ import annotations

import argparse
import itertools
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
from scipy.optimize import minimize

from deepcams import open_geos_cf, open_openaq
from deepcams.core.period import Period
from deepcams.core.species import PM25
from deepcams.core.sun import mean_solar_hours, sun_elevation
from deepcams.core.times import HOUR, HOUR_SECONDS, season_of
from deepcams.methods.interval import Interval
from deepcams.methods.temporal.at_points import AT_POINTS
from deepcams.methods.temporal.solar import (
    MOST_SHIFT,
    MOST_SUM,
    SHAPE,
    Shape,
    Sun,
    used_share,
)
from deepcams.stations.archive.quality import Control, Quality, near_pairs
from deepcams.stations.archive.sorted_copy import StationArchive
from deepcams.stations.temporal_evaluation import SEASONS, Finding

DATA = Path("../shared/data")
KIGALI = "geos_cf/geos_cf_kigali_20210701-20211231_hourly.nc"
POLAND = [f"stations/poland_{year}.csv.gz" for year in (2017, 2018, 2019)]
DAYS = {
    "stations of 2018-02-06, south of 40 N": ("stations/global_20180206.csv.gz", 40),
    "China, 2019-12-31": ("stations/china_20191231.csv.gz", 90),
}
PERIODS = {
    "fit": ("2021-07..2021-10", "2017-01..2018-06"),
    "choose": ("2021-11..2021-11", "2018-07..2018-12"),
    "report": ("2021-12..2021-12", "2019-01..2019-12"),
}
"""Of Kigali and of Poland."""
METHODS = ("pchip", "catmull-rom", "cubic")
SUNLESS = "cubic"
THIRDS = (1 / 3, 2 / 3)
RIDGES = (1e-3, 3e-3, 1e-2)
BLOCK = 4
"""Hours of local mean solar time in a row of the tables: the second is the morning."""
FEWEST = 20
"""Hidden hours of a row; fewer say nothing."""
CANDIDATES = [
    Shape(rising, falling, width)
    for rising, falling, width in itertools.product(
        ((-3, 15, 33), (-15, 10, 35), (-10, 10, 30), (-5, 12, 35)),
        ((-5, 15), (-10, 15), (0, 25)),
        (10, 12, 14),
    )
]

HEAD = """# The sun

Written by `python benchmarks/sun.py --search --report -o docs/sun.md` from the development data (half a minute of one
core).

What happens between two frames depends on the sun: emissions gather under a shallow layer of air at night, which
opens after sunrise and closes in the evening. The method `sun` is the curve `cubic`, whose blend of the two middle
frames gets the weights `1 - t + t (1 - t) g` and `t + t (1 - t) h`; g and h follow from the sun's mean elevation
over the interval and its change ([the formula](../src/deepcams/methods/temporal/solar.py)): ten coefficients, bounded
so that weights are never below 0, their sum is within 0.8 and 1.2, and the frames stay as they are. They count on land
(the share of land in 1.5 degrees round) up to 55 degrees of latitude, less towards 65 and not beyond; at sea, for
other species than PM2.5, other steps than three hours and unknown times, the result is `cubic`'s.

GEOS-CF's mornings are not the air's, and a table of weights by the hour that is learnt from GEOS-CF does harm at
stations. So two places were fitted together, each counting alike: GEOS-CF's hours at Kigali, and the means of
Poland's stations.

| | Kigali (GEOS-CF, 12 nodes) | Poland (stations) |
|---|---|---|
| fit | July to October 2021 | 2017 to June 2018 |
| choose | November 2021 | July to December 2018 |
| report, looked at once | December 2021 | 2019 |

Every hour begins a window of four frames whose two middle hours are hidden. Errors are mean absolute errors over
those of straight lines, or of `cubic`; Poland's truth is the mean of at least 20 stations, or of at least 5 in
boxes of 2.5 degrees."""
SEARCHED = """## How it was chosen

Centres and width of the bumps in elevation round which the climb (rising) or the descent (falling) counts, and the
ridge: all 108 fitted, listed by the mean of both places' ratios to linear in the choosing periods. They hardly
differ; the first was taken."""
CHOSEN = """## Where it was fitted and chosen

`cubic` is the curve without the sun because it has the lowest mean of both places in the choosing periods."""
INPUTS = """## What each input is worth

Fitted again without it, choosing periods. Elevation and change matter together: it is whether the sun climbs, and
where. The land fraction changes nothing here: all these places are land. It is caution, not skill."""
REPORTED = """## Where nothing was fitted or chosen

One day of real-time stations elsewhere, in boxes of 2.5 degrees with at least 5, is a glance at other air."""
MEANING = """## What it means

- **The shape is shared.** Weights that were fitted at Kigali alone, in GEOS-CF, help at Poland's stations, and the
  other way round: steepness and height of the sun carry what a table by the hour cannot.
- **In Poland it holds in every season and part of the day**, and in 2019 at each station alone, too (0.983 x linear,
  `cubic` 0.990; every season:
  `deepcams evaluate ../shared/data/stations/poland_2019.csv.gz --task temporal --truth stations
  --methods linear,cubic,sun --region-mean 0 --at-least 1`). At Kigali the evening is worse than `cubic`'s
  (GEOS-CF's evening is not Poland's); its mornings gain more than that.
- **In China it does not hold**, on the one winter day that there is: worse than `cubic`, most of all in the
  morning. One day of one season cannot say whether that is the day or the place; it was not used to change
  anything.
- Stations' hours and GEOS-CF's are means, CAMS's analyses are instants whose mornings may be others. Nobody has
  tried these weights on CAMS: who has its record can hide every second analysis, but that is a step of six hours."""


@dataclass
class Sample:
    """Windows of one place and period.

    Attributes:
        interval: of all windows, at points.
        truth: (2, n), the hidden hours, ug m-3.
    """

    interval: Interval
    truth: np.ndarray

    def where(self, keep: np.ndarray) -> Sample:
        """Return the windows for which ``keep`` holds."""
        names = (
            "before",
            "after",
            "earlier",
            "later",
            "latitude",
            "longitude",
            "start",
        )
        chosen = {
            name: np.asarray(getattr(self.interval, name))[keep] for name in names
        }
        return Sample(replace(self.interval, **chosen), self.truth[:, keep])

    def within(self, period: str) -> Sample:
        """Return the windows of which all ten hours lie in a period."""
        wanted, half = Period.parse(period), HOUR // 2
        start = np.asarray(self.interval.start)
        first, last = start - 3 * HOUR - half, start + 6 * HOUR + half
        return self.where((first >= wanted.start) & (last <= wanted.end))

    @cached_property
    def elevations(self) -> tuple[np.ndarray, np.ndarray]:
        """The sun's elevation at both frames, degrees."""
        of = self.interval
        before, after = (
            sun_elevation(of.time(end), of.latitude, of.longitude) for end in (0, 1)
        )
        return before, after

    @cached_property
    def share(self) -> np.ndarray:
        """How much of the modulation is used, 0..1."""
        return used_share(self.interval)

    @cached_property
    def hours(self) -> np.ndarray:
        """Local mean solar hours, (2, n), 0..23."""
        of = self.interval
        return np.stack(
            [mean_solar_hours(of.time(t), of.longitude).astype(int) for t in THIRDS]
        )

    @cached_property
    def seasons(self) -> np.ndarray:
        """Places in ``SEASONS``, (2, n)."""
        months = [self.interval.time(t).astype("datetime64[M]") for t in THIRDS]
        return season_of(np.stack(months).astype(np.int64))

    @cached_property
    def made(self) -> dict[str, np.ndarray]:
        """Values of the sunless methods, (2, n)."""
        return {
            name: AT_POINTS.get(name)().between(self.interval, THIRDS)
            for name in ("linear", *METHODS)
        }

    def mae(self, values: np.ndarray, where: np.ndarray | None = None) -> float:
        """Return the mean absolute error of some values, all or those chosen."""
        error = np.abs(values - self.truth)
        return float(error.mean() if where is None else error[where].mean())


def as_sample(
    frames: np.ndarray, truth: np.ndarray, where: tuple[np.ndarray, ...]
) -> Sample:
    """Make a sample of four frames, the hidden hours, and (latitude, longitude, start)."""
    earlier, before, after, later = frames.astype(float)
    interval = Interval(
        before, after, earlier, later, *where, step=3 * HOUR, variable=PM25.name
    )
    return Sample(interval, truth.astype(float))


def at_kigali(path: Path) -> Sample:
    """Return every window of each node of hourly fields."""
    field = open_geos_cf(path).load()
    values = field.values.reshape(field.sizes["time"], -1)
    times, count = field.time.values, values.shape[1]
    assert np.all(np.diff(times) == HOUR)
    begin = np.arange(times.size - 9)
    parts = np.stack([values[begin + hour].ravel() for hour in (0, 3, 6, 9, 4, 5)])
    places = np.meshgrid(field.latitude.values, field.longitude.values, indexing="ij")
    latitude, longitude = (np.tile(each.ravel(), begin.size) for each in places)
    start = np.repeat(times[begin + 3], count)
    return as_sample(parts[:4], parts[4:], (latitude, longitude, start))


def at_stations(
    archive: StationArchive, degrees: float | None, at_least: int
) -> Sample:
    """Return windows of means over the stations of each region, as ``evaluate --truth stations`` makes them."""
    table = archive.stations
    places = [table[name].to_numpy(float) for name in ("latitude", "longitude")]
    region = np.zeros(len(table), int)
    if degrees is not None:
        boxes = np.stack([np.floor(each / degrees) for each in places])
        region = np.unique(boxes, axis=1, return_inverse=True)[1].ravel()
    control = Control(table, archive.units, Quality(), near_pairs(table), False)
    hours = -(-archive.first // HOUR_SECONDS), -(-archive.last // HOUR_SECONDS)
    found, _ = Finding(archive, control, region, hours).compute(np.arange(len(table)))
    found = found.where(found.stations >= at_least)
    members = np.bincount(region)
    latitude, longitude = (
        (np.bincount(region, each) / members)[found.region] for each in places
    )
    means = (found.sums / found.stations[:, None]).T
    seconds = (found.begin + 3) * HOUR_SECONDS - HOUR_SECONDS // 2
    start = seconds.astype("datetime64[s]").astype("datetime64[ns]")
    return as_sample(means[:4], means[4:], (latitude, longitude, start))


Terms = Callable[[Sample, Shape], list[np.ndarray]]


def all_terms(sample: Sample, shape: Shape) -> list[np.ndarray]:
    """The terms as they are."""
    return shape.terms(*sample.elevations)


def without_change(sample: Sample, shape: Shape) -> list[np.ndarray]:
    """Only where the sun is, not whether it climbs or descends."""
    mean = sum(sample.elevations) / 2
    centres = sorted({*shape.rising, *shape.falling})
    return [np.exp(-0.5 * ((mean - each) / shape.width) ** 2) for each in centres]


def without_elevation(sample: Sample, shape: Shape) -> list[np.ndarray]:
    """Only how much the sun climbs or descends."""
    change = (sample.elevations[1] - sample.elevations[0]) / 45
    return [np.maximum(change, 0), np.maximum(-change, 0), change**2]


@dataclass
class Problem:
    """What a fit sees of one sample: the modulation is linear in its terms, then bent by tanh and multiplied."""

    sample: Sample
    terms: np.ndarray
    share: np.ndarray

    def parts(
        self, coefficients: np.ndarray
    ) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Yield the values of each hidden hour, and their derivatives by the coefficients."""
        of, count = self.sample.interval, len(self.terms)
        level = np.tanh(coefficients[:count] @ self.terms / MOST_SUM)
        shift = np.tanh(coefficients[count:] @ self.terms / MOST_SHIFT)
        for t, base in zip(THIRDS, self.sample.made[SUNLESS], strict=True):
            weight = t * (1 - t) * self.share
            mean, fall = (
                weight * (of.before + of.after) / 2,
                weight * (of.before - of.after),
            )
            values = base + MOST_SUM * level * mean + MOST_SHIFT * shift * fall
            slopes = (
                self.terms * (mean * (1 - level**2)),
                self.terms * (fall * (1 - shift**2)),
            )
            yield np.maximum(values, 0), np.concatenate(slopes)

    def values(self, coefficients: np.ndarray) -> np.ndarray:
        """Return the values, (2, n)."""
        return np.stack([values for values, _ in self.parts(coefficients)])


def problem(sample: Sample, shape: Shape, terms: Terms, land: bool = True) -> Problem:
    share = sample.share if land else np.ones_like(sample.share)
    return Problem(sample, np.stack(terms(sample, shape)), share)


def fitted(problems: list[Problem], ridge: float) -> np.ndarray:
    """Return the coefficients, of the level first; all problems count alike."""
    scales = [each.sample.mae(each.sample.made["linear"]) for each in problems]

    def cost(coefficients: np.ndarray) -> tuple[float, np.ndarray]:
        total = ridge * coefficients @ coefficients
        slope = 2 * ridge * coefficients
        for each, scale in zip(problems, scales, strict=True):
            for truth, (values, by) in zip(
                each.sample.truth, each.parts(coefficients), strict=True
            ):
                error = (values - truth) / scale
                size = np.sqrt(error**2 + 0.04)
                total += size.mean() / 2
                slope = slope + by @ (error / size) / (2 * scale * error.size)
        return float(total), slope

    start = np.zeros(2 * len(problems[0].terms))
    found = minimize(cost, start, jac=True, method="L-BFGS-B", options={"maxiter": 200})
    return np.asarray(found.x)


def ratio(
    sample: Sample, values: np.ndarray, to: str, where: np.ndarray | None = None
) -> float:
    """Return the error of some values over that of a sunless method."""
    return sample.mae(values, where) / sample.mae(sample.made[to], where)


def groups(sample: Sample) -> dict[str, np.ndarray]:
    """Return which hidden hours are of each season and of each part of the day."""
    found = {
        name: sample.seasons == place
        for place, name in enumerate(SEASONS)
        if np.any(sample.seasons == place)
    }
    for hour in range(0, 24, BLOCK):
        where = sample.hours // BLOCK == hour // BLOCK
        if where.any():
            found[f"{hour:02d}-{hour + BLOCK:02d} h"] = where
    return found


def as_table(names: list[str], rows: list[list[str]]) -> str:
    """Return rows as Markdown."""
    head = ["| " + " | ".join(names) + " |", "|---" + "|---:" * (len(names) - 1) + "|"]
    return "\n".join([*head, *("| " + " | ".join(row) + " |" for row in rows)])


def tables(
    samples: dict[str, Sample], make: Callable[[Sample], np.ndarray]
) -> list[str]:
    """Return each set's errors, and how the sun does next to the sunless curve by season and part of the day."""
    rows, by_group = [], []
    for name, sample in samples.items():
        values = make(sample)
        figures = [ratio(sample, sample.made[each], "linear") for each in METHODS]
        figures += [ratio(sample, values, to) for to in ("linear", SUNLESS)]
        error = sample.mae(sample.made["linear"])
        words = [f"{error:.3f}", *(f"{each:.3f}" for each in figures)]
        rows.append([name, f"{sample.truth.size:,}", *words])
        for group, where in groups(sample).items():
            if where.sum() < FEWEST:
                continue
            figures = [ratio(sample, values, to, where) for to in ("linear", SUNLESS)]
            words = [f"{each:.3f}" for each in figures]
            by_group.append([name, group, f"{where.sum():,}", *words])
    methods = [f"{each}, x linear" for each in (*METHODS, "sun")]
    last = f"sun, x {SUNLESS}"
    return [
        as_table(["set", "n", "MAE of linear", *methods, last], rows),
        as_table(["set", "hours", "n", "sun, x linear", last], by_group),
    ]


def search(fit: list[Sample], choose: list[Sample]) -> str:
    """Return the candidates by the mean of both places' ratios to linear, the best ones and the last."""
    rows = []
    for shape, ridge in itertools.product(CANDIDATES, RIDGES):
        found = fitted([problem(each, shape, all_terms) for each in fit], ridge)
        ratios = [
            ratio(each, problem(each, shape, all_terms).values(found), "linear")
            for each in choose
        ]
        mean = float(np.mean(ratios))
        words = [
            f"{shape.rising}",
            f"{shape.falling}",
            f"{shape.width:g}",
            f"{ridge:g}",
        ]
        rows.append((mean, [*words, *(f"{each:.4f}" for each in (*ratios, mean))]))
    rows.sort(key=lambda row: row[0])
    names = ["rising", "falling", "width", "ridge", "Kigali", "Poland", "mean"]
    shown = [[str(k + 1), *rows[k][1]] for k in (*range(5), len(rows) - 1)]
    return as_table(["place", *names], shown)


def inputs(fit: list[Sample], choose: dict[str, Sample], ridge: float) -> str:
    """Return what each input is worth: fitted again without it."""
    variants: dict[str, tuple[Terms, bool, tuple[int, ...]]] = {
        "elevation and change, both places": (all_terms, True, (0, 1)),
        "elevation alone": (without_change, True, (0, 1)),
        "change alone": (without_elevation, True, (0, 1)),
        "both, no land fraction": (all_terms, False, (0, 1)),
        "both, fitted at Kigali alone": (all_terms, True, (0,)),
        "both, fitted in Poland alone": (all_terms, True, (1,)),
    }
    rows = []
    for name, (terms, land, places) in variants.items():
        chosen = [problem(fit[place], SHAPE, terms, land) for place in places]
        found = fitted(chosen, ridge)
        values = [
            problem(each, SHAPE, terms, land).values(found) for each in choose.values()
        ]
        figures = [
            f"{ratio(sample, made, SUNLESS):.3f}"
            for sample, made in zip(choose.values(), values, strict=True)
        ]
        rows.append([name, *figures])
    return as_table([f"inputs (x {SUNLESS})", *choose], rows)


def weights() -> str:
    """Return the weights of both middle frames by the solar time of the first of them."""
    places = {"equator, March": (0, "2021-03-20"), "52 N, June": (52, "2021-06-21")}
    places["52 N, December"] = (52, "2021-12-21")
    rows = []
    for hour in range(0, 24, 3):
        words = []
        for latitude, day in places.values():
            start = np.datetime64(day, "ns") + hour * HOUR
            ends = [
                sun_elevation(np.array([start + k * HOUR]), latitude, 0) for k in (0, 3)
            ]
            g, h = (float(each[0]) for each in SHAPE.modulation(*ends))
            for t in THIRDS:
                bend = t * (1 - t)
                words.append(f"{1 - t + bend * g:.2f} / {t + bend * h:.2f}")
        rows.append([f"{hour:02d}", *words])
    names = [f"{name}, +{k} h" for name in places for k in (1, 2)]
    return as_table(["first frame at", *names], rows)


def main() -> int:
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("data", nargs="?", type=Path, default=DATA)
    arguments.add_argument("--search", action="store_true", help="fit all candidates")
    arguments.add_argument(
        "--report", action="store_true", help="the reporting sets, too"
    )
    arguments.add_argument("-o", "--output", type=Path, help="write the page, too")
    arguments.add_argument("--ridge", type=float, default=RIDGES[0])
    asked = arguments.parse_args()
    poland = open_openaq([asked.data / name for name in POLAND])
    wholes = {
        "Kigali": at_kigali(asked.data / KIGALI),
        "Poland": at_stations(poland, None, 20),
        "Poland, boxes of 2.5 degrees": at_stations(poland, 2.5, 5),
    }
    sets: dict[str, dict[str, Sample]] = {}
    for step, (kigali, of_poland) in PERIODS.items():
        sets[step] = {
            f"{name}, {step}": whole.within(kigali if name == "Kigali" else of_poland)
            for name, whole in wholes.items()
        }
    fit, choose = (list(sets[step].values())[:2] for step in ("fit", "choose"))
    parts = [HEAD]
    if asked.search:
        parts += [SEARCHED, search(fit, choose)]
    found = fitted([problem(each, SHAPE, all_terms) for each in fit], asked.ridge)
    level, shift = (tuple(each.tolist()) for each in np.split(np.round(found, 3), 2))
    apart = np.abs(np.concatenate([SHAPE.level, SHAPE.shift]) - found).max()
    parts.append(
        f"The coefficients: level {level}, shift {shift}; the package's are within {apart:.4f}. "
        "Weights of the two middle frames (the straight line has 0.67 / 0.33 and 0.33 / 0.67):"
    )
    parts.append(weights())

    def made(sample: Sample) -> np.ndarray:
        return Sun().between(sample.interval, THIRDS)

    parts += [CHOSEN, *tables(sets["fit"] | sets["choose"], made)]
    parts += [INPUTS, inputs(fit, sets["choose"], asked.ridge)]
    if asked.report:
        days = {}
        for name, (path, north) in DAYS.items():
            sample = at_stations(open_openaq([asked.data / path]), 2.5, 5)
            days[name] = sample.where(np.abs(sample.interval.latitude) < north)
        parts += [REPORTED, *tables(sets["report"] | days, made), MEANING]
    page = "\n\n".join(parts) + "\n"
    print(page)
    if asked.output:
        asked.output.write_text(page)
    return 0


if __name__ == "__main__":
    sys.exit(main())
