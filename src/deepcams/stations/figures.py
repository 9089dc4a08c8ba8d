"""The figures of a validation: its sums, in the words of ``deepcams.plotting``."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from deepcams.core.text import counted
from deepcams.evaluation.scores import figures
from deepcams.evaluation.sums import COLUMNS, pairs_of
from deepcams.stations.sums import LINEAR, Scored

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from deepcams.stations.validation import Validation

_N, _O = COLUMNS.index("n"), COLUMNS.index("o")
FEWEST = 24
"""Pairs that a station must have for its own R to be drawn."""
_PANELS = 4  # years in a row
_HOURS = 22  # of the day that a cycle must have
_SHARE = 0.01  # of the largest number: fewer hours are no panel, and no dot


def _years(found: Validation) -> np.ndarray:
    return np.asarray(found.months.astype("datetime64[Y]").astype(int) + 1970)


def _name(scored: Scored, found: Validation) -> str:
    step = found.products["field" if scored.product == "field" else "original"]["grid"].split(",")[
        0
    ]
    return (
        f"{'field' if scored.product == 'field' else 'original'}, {step.replace(' degrees', '°')}"
    )


def _credit(found: Validation) -> str:
    """The source line: the stations', and what the fields say of theirs."""
    from deepcams.plotting.page import credit_words

    about = list(found.products.values())
    sources = [(each["source"], float(each["grid"].split()[0])) for each in about]
    times = [
        np.datetime64(end[:10])
        for each in about
        for end in each["times"].split(", ")[1].split(" to ")
    ]
    simulated = any(
        "simul" in source.lower() for source, _ in sources
    )  # whose stations are not OpenAQ's either
    return credit_words(sources if simulated else [("OpenAQ", 0.0), *sources], times)


def draw_scatter(found: Validation, species: str = "PM2.5", size: str = "screen") -> Figure:
    """Fig. 6: a panel a year, the original beside the field, on the pairs of both."""
    from deepcams.plotting.scatter import ScatterPanel, scatter_figure

    both = found.find("original", "same") is not None
    pairs = "same" if both else "own"
    chosen = [found.find(name, pairs) for name in (("original", "field") if both else ("field",))]
    products = [scored for scored in chosen if scored is not None]
    number = {year: int(products[0].density[year].sum()) for year in products[0].density}
    years = sorted(year for year in number if number[year] >= _SHARE * max(number.values()))

    def panel(scored: Scored, year: int, alone: bool) -> ScatterPanel:
        pairs = pairs_of(scored.stations.month[:, _years(found) == year].sum(axis=(0, 1)))
        scores = {key: float(value) for key, value in figures(pairs).items()}
        slope, intercept = pairs.line()
        return ScatterPanel(
            _name(scored, found) + ("" if alone else f", {year}"),
            scored.density[year],
            int(pairs.count),
            scores["R"],
            scores["RMSE"],
            scores["bias"],
            float(slope),
            float(intercept),
        )

    if len(years) == 1:
        rows = [[panel(scored, years[0], alone=True) for scored in products]]
    else:
        rows = []
        for at in range(0, len(years), _PANELS):
            part = years[at : at + _PANELS]
            rows += [[panel(scored, year, alone=False) for year in part] for scored in products]
    title = f"Stations and model, {years[0]}" + (f" to {years[-1]}" if len(years) > 1 else "")
    note = "hourly values; the same pairs for both" if both else "hourly values"
    return scatter_figure(
        rows, title=title, note=note, species=species, size=size, credit=_credit(found)
    )


def draw_maps(found: Validation, size: str = "screen") -> dict[str, Figure]:
    """Fig. 1: maps of the stations by year, coloured by their hours, and by R where there are enough."""
    from deepcams.plotting.stations import station_map

    latitude, longitude = (
        found.stations[name].to_numpy(float) for name in ("latitude", "longitude")
    )
    years, names = _years(found), {}
    own = found.find("field", "own")
    hours, fits, rare = {}, {}, {}
    for year in np.unique(years).tolist():
        inside = years == year
        if own is None:
            number = found.observed_months[:, inside].sum(axis=1)
        else:
            sums = own.stations.month[:, inside].sum(axis=1)
            number = sums[:, _N]
            r = np.where(number >= FEWEST, figures(pairs_of(sums))["R"], np.nan)
            if np.isfinite(r).any():
                fits[str(year)] = r
        if number.any():
            few = (number > 0) & (number < _SHARE * number.max())
            hours[str(year)] = np.where(few, 0, number).astype(float)
            rare[str(year)] = few
    most = max((each.sum() for each in hours.values()), default=0)
    hours = {name: each for name, each in hours.items() if each.sum() >= _SHARE * most}
    if hours:
        word = "hours compared" if own is not None else "hours after quality control"
        names["stations-n"] = station_map(
            latitude,
            longitude,
            hours,
            "n",
            title="Stations",
            note=_left_out(rare, hours),
            label=word,
            size=size,
            credit=_credit(found),
        )
    if fits:
        names["stations-R"] = station_map(
            latitude,
            longitude,
            fits,
            "R",
            title="How the field follows the stations",
            note=f"stations with at least {FEWEST} pairs",
            size=size,
            credit=_credit(found),
        )
    return names


def _left_out(rare: dict[str, np.ndarray], shown: dict[str, np.ndarray]) -> str:
    """How many stations the maps leave out, in words; empty if none."""
    number = np.stack([rare[name] for name in shown])
    stations = int(
        (number.any(axis=0) & ~np.stack([shown[name] > 0 for name in shown]).any(axis=0)).sum()
    )
    with_few = f"with less than {_SHARE:.0%} of the most hours"
    return f"not drawn: {counted(stations, 'station')} {with_few}" if stations else ""


def draw_cycle(found: Validation, species: str = "PM2.5", size: str = "screen") -> Figure | None:
    """The diurnal cycle: observed, original, field; ``None`` where hours of the day are missing.

    Only stations that have (nearly) all hours of the day take part: others would make steps where they come and go.
    """
    from deepcams.plotting.diurnal import Cycle, diurnal_figure

    scored = found.find("field", "hourly") or found.find("field", "own")
    if scored is None:
        number, total = np.moveaxis(found.observed, -1, 0)
        by_month = found.observed_months
    else:
        number, total = (scored.stations.hour[..., column] for column in (_N, _O))
        by_month = scored.stations.month[..., _N]
    whole = (number > 0).sum(axis=1) >= _HOURS
    number, total, by_month = number[whole], total[whole], by_month[whole]
    if number.any(axis=0).sum() < _HOURS:
        return None
    spread = _spread(number, total)
    if scored is None:
        with np.errstate(invalid="ignore", divide="ignore"):
            observed = total.sum(axis=0) / number.sum(axis=0)
        cycles = [Cycle("observed", "observed", observed, spread=spread)]
    else:
        pairs = pairs_of(scored.stations.hour[whole].sum(axis=0))
        cycles = [Cycle("observed", "observed", pairs.truth_mean, spread=spread)]
        cycles.append(Cycle(_name(scored, found), "field", pairs.method_mean))
        linear = found.find(LINEAR, "hourly")
        original = linear or found.find("original", "same")
        if original is not None:
            name = _name(original, found) + (", linear between analyses" if linear else "")
            mean = pairs_of(original.stations.hour[whole].sum(axis=0)).method_mean
            cycles.append(Cycle(name, "original", mean, dashed=linear is not None))
    months = found.months[by_month.sum(axis=0) > _SHARE * by_month.sum(axis=0).max()]
    span = f"{months[0]}" + (f" to {months[-1]}" if months.size > 1 else "")
    note = f"{len(number):,} stations with whole days, {int(number.sum()):,} hours, {span}"
    note += "; band: 95 % over stations" if spread is not None else ""
    return diurnal_figure(
        cycles,
        title="Diurnal cycle at the stations",
        note=note,
        species=species,
        size=size,
        credit=_credit(found),
    )


def _spread(number: np.ndarray, total: np.ndarray) -> np.ndarray | None:
    """Half the 95 % interval of each hour's mean deviation from the station's day, stations being resampled.

    The level of the whole day differs from station to station and says nothing of the cycle; it is taken out.
    """
    used = (number > 0).all(axis=1)
    if used.sum() < 8:
        return None
    means = total[used] / number[used]
    means = means - means.mean(axis=1, keepdims=True)
    return np.asarray(1.96 * means.std(axis=0, ddof=1) / math.sqrt(int(used.sum())))
