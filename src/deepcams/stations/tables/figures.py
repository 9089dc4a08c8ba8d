"""The figures of a validation: its sums converted for ``deepcams.plotting``."""

from __future__ import annotations

import math
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from deepcams.core.text import counted
from deepcams.evaluation.scores import figures
from deepcams.evaluation.sums import COLUMNS, pairs_of
from deepcams.stations import fairmode
from deepcams.stations.sums import LINEAR, Scored

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from deepcams.stations.validation import Validation

_N, _O = COLUMNS.index("n"), COLUMNS.index("o")
FEWEST = 24
"""Smallest number of pairs for a station's R to be plotted."""
_PANELS = 4  # panels (years) per row
_HOURS = 22  # smallest number of hours of the day for a cycle
_SHARE = 0.01  # smallest fraction of the largest number of hours for a panel or dot


_MEANS = {"hour": "hourly values", "day": "daily means", "year": "annual means"}


def _years(found: Validation) -> np.ndarray:
    return np.asarray(found.months.astype("datetime64[Y]").astype(int) + 1970)


def _name(scored: Scored, found: Validation) -> str:
    product = "field" if scored.product == "field" else "original"
    step = found.products[product]["grid"].split(",")[0]
    return f"{product}, {step.replace(' degrees', '°')}"


def _credit(found: Validation) -> str:
    """Return the source line: that of the stations, and the fields' own."""
    from deepcams.plotting.figure_layout import credit_words

    sources, times = [], []
    for about in found.products.values():
        sources.append((about["source"], float(about["grid"].split()[0])))
        span = about["times"].partition(", ")[2].split(" to ")
        times += [np.datetime64(moment[:10]) for moment in span]
    # The stations for a simulated field are not OpenAQ's.
    if not any("simul" in source.lower() for source, _ in sources):
        sources.insert(0, ("OpenAQ", 0.0))
    return credit_words(sources, times)


def draw_scatter(
    found: Validation, species: str = "PM2.5", size: str = "screen"
) -> Figure:
    """Plot Fig. 6: one panel per year, original and field side by side, on the pairs of both."""
    from deepcams.plotting.scores.scatter import ScatterPanel, scatter_figure

    both = found.find("original", "same") is not None
    pairs = "same" if both else "own"
    chosen = [
        found.find(name, pairs)
        for name in (("original", "field") if both else ("field",))
    ]
    products = [scored for scored in chosen if scored is not None]
    number = {year: int(density.sum()) for year, density in products[0].density.items()}
    years = sorted(
        year for year in number if number[year] >= _SHARE * max(number.values())
    )
    alone = len(years) == 1

    def panel(scored: Scored, year: int) -> ScatterPanel:
        pairs = pairs_of(
            scored.stations.month[:, _years(found) == year].sum(axis=(0, 1))
        )
        scores = {key: float(value) for key, value in figures(pairs).items()}
        slope, intercept = pairs.line()
        return ScatterPanel(
            title=_name(scored, found) + ("" if alone else f", {year}"),
            density=scored.density[year],
            n=int(pairs.count),
            r=scores["R"],
            rmse=scores["RMSE"],
            bias=scores["bias"],
            slope=float(slope),
            intercept=float(intercept),
        )

    parts = [years[at : at + _PANELS] for at in range(0, len(years), _PANELS)]
    rows = [
        [panel(scored, year) for year in part] for part in parts for scored in products
    ]
    if alone:
        rows = [[one for row in rows for one in row]]
    title = "Stations and model, " + " to ".join(
        str(year) for year in sorted({*years[:1], *years[-1:]})
    )
    note = _MEANS[found.options.average]
    if both:
        note += "; the same pairs for both"
    return scatter_figure(
        rows, title=title, note=note, species=species, size=size, credit=_credit(found)
    )


def draw_maps(found: Validation, size: str = "screen") -> dict[str, Figure]:
    """Plot Fig. 1: maps of the stations by year, coloured by number of hours, and by R if there are enough."""
    from deepcams.plotting.scores.stations import station_map

    latitude, longitude = (
        found.stations[name].to_numpy(float) for name in ("latitude", "longitude")
    )
    draw = partial(station_map, latitude, longitude, size=size, credit=_credit(found))
    own = found.find("field", "own")
    hours, fits, rare = {}, {}, {}
    for year in np.unique(_years(found)).tolist():
        inside = _years(found) == year
        number = found.observed_months[:, inside].sum(axis=1)
        if own is not None:
            pairs = pairs_of(own.stations.month[:, inside].sum(axis=1))
            number = pairs.count
            r = np.where(number >= FEWEST, figures(pairs)["R"], np.nan)
            if np.isfinite(r).any():
                fits[str(year)] = r
        if number.any():
            rare[str(year)] = (number > 0) & (number < _SHARE * number.max())
            hours[str(year)] = np.where(rare[str(year)], 0, number).astype(float)
    most = max((each.sum() for each in hours.values()), default=0)
    hours = {name: each for name, each in hours.items() if each.sum() >= _SHARE * most}
    drawn = {}
    if hours:
        seldom = np.any([rare[name] for name in hours], axis=0)
        hidden = int((seldom & ~np.any(list(hours.values()), axis=0)).sum())
        what = f"{found.options.average}s"
        with_few = f"{counted(hidden, 'station')} with less than {_SHARE:.0%} of the most {what}"
        drawn["stations-n"] = draw(
            hours,
            "n",
            title="Stations",
            note=f"not drawn: {with_few}" if hidden else "",
            label="hours after quality control"
            if own is None
            else f"{found.options.average}s compared",
        )
    if fits:
        drawn["stations-R"] = draw(
            fits,
            "R",
            title="How the field follows the stations",
            note=f"stations with at least {FEWEST} pairs",
        )
    return drawn


def draw_cycle(
    found: Validation, species: str = "PM2.5", size: str = "screen"
) -> Figure | None:
    """Plot the diurnal cycle of observations, original and field; ``None`` if hours of the day are missing.

    Only stations with (nearly) all hours of the day are used; others would cause steps between hours.
    """
    from deepcams.plotting.scores.diurnal import Cycle, diurnal_figure

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
            name = _name(original, found) + (
                ", linear between analyses" if linear else ""
            )
            mean = pairs_of(original.stations.hour[whole].sum(axis=0)).method_mean
            cycles.append(Cycle(name, "original", mean, dashed=linear is not None))
    months = found.months[by_month.sum(axis=0) > _SHARE * by_month.sum(axis=0).max()]
    span = f"{months[0]}" + (f" to {months[-1]}" if months.size > 1 else "")
    note = (
        f"{len(number):,} stations with whole days, {int(number.sum()):,} hours, {span}"
    )
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
    """Return half the 95 % interval of each hour's mean deviation from the station's daily mean, resampling stations.

    The daily mean differs between stations and is not part of the cycle, so it is subtracted.
    """
    used = (number > 0).all(axis=1)
    if used.sum() < 8:
        return None
    means = total[used] / number[used]
    means = means - means.mean(axis=1, keepdims=True)
    return np.asarray(1.96 * means.std(axis=0, ddof=1) / math.sqrt(int(used.sum())))


def draw_target(
    found: Validation, species: str = "PM2.5", size: str = "screen"
) -> Figure | None:
    """Plot FAIRMODE's target diagram, one panel per product, on the pairs of both; ``None`` if not applicable."""
    from deepcams.plotting.scores.target import TargetPanel, target_figure

    options = found.options
    parameters = fairmode.parameters_of(options.species)
    if options.average != "day" or parameters is None:
        return None
    pairs = "own" if found.find("original", "same") is None else "same"
    panels, groups = [], []
    for each in fairmode.indicators(found):
        # Indicators over all years come first; single years are only in the tables.
        if each.pairs != pairs or each.target is None or each.product in groups:
            continue
        groups.append(each.product)
        scored = found.find(each.product, pairs)
        if scored is None or not each.used.any():
            continue
        row = each.row()
        panels.append(
            TargetPanel(
                _name(scored, found),
                each.target.x[each.used],
                each.target.y[each.used],
                row["MQI_90"],
            )
        )
    if not panels:
        return None
    months = found.months[
        found.find(groups[0], pairs).stations.month[..., _N].sum(axis=0) > 0  # type: ignore[union-attr]
    ]
    note = f"daily means, {months[0]} to {months[-1]}; a point a station; FAIRMODE {parameters.version}"
    return target_figure(
        panels[::-1],
        title="Target diagram",
        note=note,
        species=species,
        size=size,
        credit=_credit(found),
    )


def draw_taylor(
    found: Validation, species: str = "PM2.5", size: str = "screen"
) -> Figure | None:
    """Plot Taylor's diagram, one point per product, on the pairs of both; ``None`` if no R is defined."""
    from deepcams.plotting.scores.taylor import TaylorPoint, taylor_figure

    both = found.find("original", "same") is not None
    points = []
    for scored in found.scored:
        if (scored.pairs == "own") == both:
            continue
        pairs = pairs_of(scored.stations.month.sum(axis=(0, 1)))
        r = float(figures(pairs, ["R"])["R"])
        if not math.isfinite(r):
            continue
        name = _name(scored, found)
        if scored.product == LINEAR:
            name += ", linear in time"
        if both:
            name += " (pairs of both)" if scored.pairs == "same" else " (every hour)"
        kind = "field" if scored.product == "field" else "original"
        ratio = math.sqrt(pairs.method_moment / pairs.truth_moment)
        points.append(
            TaylorPoint(name, kind, ratio, r, hollow=scored.pairs == "hourly")
        )
    if not points:
        return None
    note = f"{species}, {_MEANS[found.options.average]}, all pairs of all stations; "
    note += "dotted: centred RMSE / standard deviation of the observed"
    return taylor_figure(
        points,
        title="Taylor diagram at the stations",
        note=note,
        size=size,
        credit=_credit(found),
    )
