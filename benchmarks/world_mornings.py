"""The hours of the day in the simulated world and in real series: what `world.py` compares and draws of mornings."""

from __future__ import annotations

from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
import pandas as pd

from deepcams.readers.open import open_field
from deepcams.simulation.world import Moment

SHARED = Path(__file__).resolve().parents[2] / "shared" / "data"
SEASONS = {
    "Poland, winter": (12, 1, 2),
    "Poland, spring": (3, 4, 5),
    "Poland, summer": (6, 7, 8),
    "Poland, autumn": (9, 10, 11),
}
KIGALI, KIGALI_MONTHS = "Kigali, July to October", (7, 8, 9, 10)
EVERY = 20
"""Days between the days of a year that are simulated."""
_STATIONS = 8
_HOURS = np.arange(24)


def real_days() -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Return the relative mean day by local solar hour, name -> (24,), and the places, name -> (n, 2) degrees.

    Kigali is GEOS-CF at twelve nodes in 2021, Poland is stations in 2017 and 2018.
    """
    field = open_field(str(next((SHARED / "geos_cf").glob("*kigali*")))).load()
    kigali = pd.DataFrame(
        {"time": field.time.values, "value": field.values.mean(axis=(1, 2))}
    )
    kigali["longitude"] = float(field.longitude.mean())
    nodes = np.array([(-2.25, 29.75), (-2.0, 30.25), (-1.75, 30.5)])
    days = {KIGALI: _day(kigali[kigali.time.dt.month.isin(KIGALI_MONTHS)])}
    files = (SHARED / "stations" / f"poland_{year}.csv.gz" for year in (2017, 2018))
    poland = pd.concat([pd.read_csv(file) for file in files])
    poland = poland[(poland.parameter == "pm25") & poland.value.between(0, 1000)]
    ends = pd.to_datetime(poland.datetime, utc=True).dt.tz_localize(None)
    poland = poland.assign(
        time=ends - pd.Timedelta("30min"), latitude=poland.lat, longitude=poland.lon
    )
    places = poland.groupby("location_id")[["latitude", "longitude"]].first()
    some = places.iloc[:: len(places) // _STATIONS].to_numpy()
    for name, months in SEASONS.items():
        days[name] = _day(poland[poland.time.dt.month.isin(months)])
    return days, {KIGALI: nodes, **dict.fromkeys(SEASONS, some)}


def _day(series: pd.DataFrame) -> np.ndarray:
    clock = series.time.dt.hour + series.time.dt.minute / 60 + series.longitude / 15
    mean = series.groupby((clock % 24).astype(int)).value.mean().reindex(_HOURS)
    return (mean / mean.mean()).to_numpy()


def simulated_days(
    seeds: int, places: dict[str, np.ndarray]
) -> list[dict[str, np.ndarray]]:
    """Return the same of simulated worlds at the same places: every twentieth day of a year, two processes."""
    with ProcessPoolExecutor(2) as pool:
        return list(pool.map(_world, range(seeds), [places] * seeds))


def _world(seed: int, places: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    where = np.concatenate(list(dict.fromkeys(map(_hashable, places.values()))))
    first = (np.datetime64("2018-01-05") - np.datetime64("2000-01-01")).astype(float)
    found: dict[str, list[np.ndarray]] = {name: [] for name in places}
    for day in np.arange(first, first + 365, EVERY):
        month = (np.datetime64("2000-01-01") + int(day)).astype(object).month
        # from solar midnight to solar midnight half-way between Kigali and Poland, one more hour to remove the trend
        begin = 24 * day - 1.5
        values = np.stack(
            [Moment(seed, begin + hour).points(*where.T) for hour in range(25)]
        )
        trend = values[-1] - values[0]
        level = values[:24] - trend * ((np.arange(24) - 11.5) / 24)[:, None]
        months = {KIGALI: KIGALI_MONTHS, **SEASONS}
        for name, of in months.items():
            if month in of:
                here = (where[:, None] == places[name][None]).all(axis=2).any(axis=1)
                found[name].append(level[:, here].mean(axis=1))
    means = {name: np.mean(days, axis=0) for name, days in found.items()}
    return {name: day / day.mean() for name, day in means.items()}


def _hashable(points: np.ndarray) -> tuple[tuple[float, ...], ...]:
    return tuple(map(tuple, points.tolist()))


def mornings_table(
    real: dict[str, np.ndarray], worlds: list[dict[str, np.ndarray]]
) -> str:
    """Return rows of a Markdown table: how strong the day is, and when it is dirtiest and cleanest."""
    lines = [
        "| | highest / lowest hour | simulated, from .. to | 6 h / 14 h | simulated | 20 h / 14 h | simulated |",
        "| --- | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    for name, day in real.items():
        cells = []
        for of in (
            lambda d: d.max() / d.min(),
            lambda d: d[6] / d[14],
            lambda d: d[20] / d[14],
        ):
            low, *_, high = sorted(of(world[name]) for world in worlds)
            cells += [f"{of(day):.2f}", f"{low:.2f} .. {high:.2f}"]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines)
