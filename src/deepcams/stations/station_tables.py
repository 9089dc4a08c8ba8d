"""What a validation found, as rows for machines, tables for the terminal, and files."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from deepcams.core.errors import InputError, OutputError, choose
from deepcams.evaluation.statistics import COLUMNS, GROUP_FIGURES, bootstrap, figures, pairs_of
from deepcams.evaluation.tables import ALL, Row, cell, defined, new_table, save, to_json
from deepcams.stations.metadata import INLAND, SEA, SURFACES, count_surroundings

if TYPE_CHECKING:
    from rich.console import RenderableType

    from deepcams.stations.validation import Validation

BY = ("year", "month", "hour", "country", "surface", "station")
"""What rows can be given by, beside those over everything."""
DRAWS = 1000
FEWEST = 24
"""Pairs that a station must have to count in the mean over stations."""
FEWEST_RESAMPLED = 5
"""Stations (or cells) that an interval needs: resamples of fewer repeat one another and tell of none but those."""
VIEWS = {
    "pooled": "all pairs of all stations in one",
    "cells": "stations of one cell averaged each hour, then all pairs in one",
    "stations": f"each station's own figures, averaged over stations with at least {FEWEST} pairs",
}
PRODUCTS = {"field": "field", "original": "original", "original, linear in time": "linear"}
PAIRS = {
    "own": "all pairs of its own",
    "same": "pairs of both",
    "hourly": "also hours between the original's",
}


def rows(
    found: Validation, by: Iterable[str] = ("year",), draws: int = DRAWS, seed: int = 0
) -> list[Row]:
    """One row per product, set of pairs, view and group; undefined figures are ``None``.

    Args:
        found: a validation.
        by: of :data:`BY`; rows over everything (``by`` "all") come first.
        draws: bootstrap resamples of the stations (of the cells in the view ``cells``); 0 for no intervals, and there
            is none of fewer than :data:`FEWEST_RESAMPLED` stations.
        seed: of the resamples.

    Returns:
        rows with product, pairs, view, by, group, stations (or cells), n, R, RMSE, MAE, bias, FAC2, their ``_low``
        and ``_high`` (95 %), observed_mean, model_mean, slope and intercept of the model on the observed; by station
        also its place, and what is around it.
    """
    result: list[Row] = []
    places = _places(found.stations) if "station" in (by := tuple(by)) else {}
    for name in (ALL, *dict.fromkeys(by)):
        if name != ALL:
            choose("--by", name, BY)
        for scored in found.scored:
            for view in VIEWS:
                sums = scored.cells if view == "cells" else scored.stations
                if name in ("country", "surface", "station") and view == "cells":
                    continue  # a cell is of no one's
                for group, part in _groups(found, sums, name):
                    counted = part[part[:, 0] > 0]
                    if name != ALL and not len(counted):
                        continue
                    if view == "stations" and name == "station":
                        continue  # it would repeat the pooled one
                    row: Row = {
                        "product": scored.product,
                        "pairs": scored.pairs,
                        "view": view,
                        "by": name,
                        "group": group,
                    }
                    row |= _figures(counted, view, draws if name != "station" else 0, seed)
                    result.append(row | (places[group] if name == "station" else {}))
    return result


def _places(stations: pd.DataFrame) -> dict[str, Row]:
    """Where each station lies and what is around it, for its rows."""
    known = [
        name
        for name in ("latitude", "longitude", "country", "land", "surface", "altitude")
        if name in stations
    ]
    table = stations[known].astype(object).where(stations[known].notna(), None)
    return {
        str(name): dict(zip(known, row, strict=True))
        for name, row in zip(stations["id"], table.to_numpy(), strict=True)
    }


def _groups(found: Validation, sums: Any, by: str) -> Iterator[tuple[str, np.ndarray]]:
    """Each group's name and its sums by station (or cell): (stations, 9)."""
    months = found.months
    if by == ALL:
        yield ALL, sums.month.sum(axis=1)
    elif by in ("year", "month"):
        names = months.astype("datetime64[Y]" if by == "year" else "datetime64[M]").astype(str)
        for name in np.unique(names):
            yield str(name), sums.month[:, names == name].sum(axis=1)
    elif by == "hour":
        for hour in range(24):
            yield f"{hour:02d}", sums.hour[:, hour]
    else:
        total = sums.month.sum(axis=1)
        names = found.stations["id" if by == "station" else by].fillna("").astype(str).to_numpy()
        for name, members in sorted(
            pd.Series(np.arange(names.size)).groupby(names).indices.items()
        ):
            yield str(name) or "unknown", total[np.asarray(members)]


def _figures(counted: np.ndarray, view: str, draws: int, seed: int) -> Row:
    own = view == "stations"
    used = counted[counted[:, 0] >= FEWEST] if own else counted
    pairs = pairs_of(used)
    if own:
        each = figures(used)
        found = {name: _mean(each[name]) for name in GROUP_FIGURES}
    else:
        found = {name: float(value) for name, value in figures(used.sum(axis=0)).items()}
    enough = np.count_nonzero(used[:, 0]) >= FEWEST_RESAMPLED
    ends = bootstrap(used, draws if enough else 0, seed, mean_of_groups=own, fewest=FEWEST)
    slope = pairs.joint_moment / pairs.truth_moment if pairs.truth_moment > 0 else math.nan
    row: Row = {"stations": len(used), "n": pairs.count, **found}
    for name in GROUP_FIGURES:
        row[f"{name}_low"] = ends.low[name] if ends else math.nan
        row[f"{name}_high"] = ends.high[name] if ends else math.nan
    row |= {
        "observed_mean": pairs.truth_mean if pairs.count else math.nan,
        "model_mean": pairs.method_mean if pairs.count else math.nan,
        "slope": slope,
        "intercept": pairs.method_mean - slope * pairs.truth_mean,
    }
    return defined(row)


def _mean(values: np.ndarray) -> float:
    known = values[~np.isnan(values)]
    return float(known.mean()) if known.size else math.nan


def station_table(found: Validation) -> pd.DataFrame:
    """One row a station: what is known of it, hours observed, and for each product and set of pairs n and figures."""
    table = found.stations.drop(columns=["cell", "spread_km"], errors="ignore").copy()
    table["hours"] = found.observed_months.sum(axis=1)
    for scored in found.scored:
        sums = scored.stations.month.sum(axis=1)
        name = f"{scored.product.replace(', linear in time', '_linear')}_{scored.pairs}"
        table[f"{name}_n"] = sums[:, COLUMNS.index("n")].astype(np.int64)
        for key, values in figures(sums).items():
            table[f"{name}_{key}"] = values
    return table


def used_stations(found: Validation) -> np.ndarray:
    """Which stations have a pair of the field, or without a field a value after quality control: (stations,)."""
    own = found.find("field", "own")
    number = found.observed_months if own is None else own.stations.month[..., 0]
    return np.asarray(number.sum(axis=1) > 0)


def about(found: Validation) -> Row:
    """What was compared, and how."""
    from deepcams._version import __version__

    options = found.options
    return {
        "products": found.products,
        "space": options.space,
        "stamps": "start" if options.starts else "end",
        "quality_skipped": sorted(options.quality.skip),
        "surroundings": count_surroundings(found.stations, used_stations(found)),
        "views": VIEWS,
        "pairs": PAIRS,
        "twins": [{"dropped": gone, "kept": kept} for gone, kept in found.quality.twins],
        "deepcams": __version__,
    }


def as_json(found: Validation, table: list[Row]) -> str:
    """``{"rows": [...], "quality": [...], "about": {...}}``."""
    document = {
        "rows": table,
        "quality": found.quality.table().to_dict("records"),
        "about": about(found),
    }
    return to_json(document)


def write(found: Validation, table: list[Row], folder: Path) -> list[Path]:
    """Write scores.json, scores.csv, stations.csv and quality.csv into a folder, which is made.

    Raises:
        OutputError: it cannot be made or written to.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"{folder}: cannot be made ({error.strerror or error})") from error
    texts = {
        "scores.json": as_json(found, table),
        "scores.csv": pd.DataFrame(table).to_csv(index=False),
        "stations.csv": station_table(found).to_csv(index=False, float_format="%.6g"),
        "quality.csv": found.quality.table().to_csv(index=False),
    }
    for name, text in texts.items():
        save(folder / name, text)
    return [folder / name for name in texts]


def parse_by(texts: Iterable[str]) -> tuple[str, ...]:
    """Groupings as people write them: one in each text, or several with commas between them.

    Raises:
        InputError: one is not among :data:`BY`.
    """
    names = [name.strip() for text in texts for name in text.split(",")]
    return tuple(choose("--by", name, BY) for name in dict.fromkeys(names))


def check_pairs(found: Validation) -> None:
    """Refuse to go on without a single pair, and say where they were lost.

    Raises:
        InputError: no pair.
    """
    if not found.scored or any(s.stations.month[..., 0].any() for s in found.scored):
        return
    table = found.quality.table()
    lost = [row for row in table.to_dict("records") if row["dropped"]]
    steps = "; ".join(f"{row['step']} {row['dropped']} of {row['rows_in']}" for row in lost)
    most = max(lost, key=lambda row: row["dropped"], default=None)
    why = (
        "" if most is None or most["what"] == most["step"] else f"; {most['step']}: {most['what']}"
    )
    if most is not None and most["step"] == "units":
        why = f"; units: {', '.join(repr(text) for text in found.units[:3])} are no mass concentrations"
    raise InputError(
        "stations", "values in the field's cells and hours", f"none left ({steps}{why})"
    )


_COLUMNS = (("R", ".3f"), ("RMSE", "#.3g"), ("MAE", "#.3g"), ("bias", "+#.3g"), ("FAC2", ".0%"))


def for_terminal(found: Validation, table: list[Row], by: Iterable[str] = ()) -> RenderableType:
    """The tables for people: quality, figures over everything, then by whatever was asked for."""
    from rich.console import Group
    from rich.text import Text

    parts: list[RenderableType] = [
        Text("Quality control and matching", style="bold"),
        Text(""),
        _quality(found),
    ]
    for view, words in VIEWS.items():
        chosen = [row for row in table if row["by"] == ALL and row["view"] == view and row["n"]]
        if chosen:
            parts += [
                Text(""),
                Text.assemble((view.capitalize(), "bold"), f": {words}"),
                Text(""),
                _scores(chosen, ""),
            ]
    for name in by:
        chosen = [row for row in table if row["by"] == name and row["view"] == "pooled"]
        chosen = [
            row for row in chosen if row["pairs"] == ("same" if _has(chosen, "same") else "own")
        ]
        if name != "station" and chosen:
            parts += [
                Text(""),
                Text(f"By {name}, pooled", style="bold"),
                Text(""),
                _scores(chosen, name),
            ]
    parts += [Text(""), Text(_surroundings(found))]
    if found.scored:
        parts += [Text(""), Text(_legend(found), style="dim")]
    return Group(*parts)


def _surroundings(found: Validation) -> str:
    count = count_surroundings(found.stations, used_stations(found))
    words = ", ".join(f"{count[name]:,} {name}" for name in SURFACES)
    known = count["altitude_known"]
    altitude = f"known of {known:,}" if known else "not known of any"
    return (
        f"{count['stations']:,} stations: {words} (cells with at least {INLAND:.0%} land, between, at most {SEA:.0%}); "
        f"altitude {altitude}."
    )


def _has(table: list[Row], pairs: str) -> bool:
    return any(row["pairs"] == pairs for row in table)


def _quality(found: Validation) -> RenderableType:
    shown = new_table()
    shown.add_column("step")
    for name in ("in", "dropped", "out"):
        shown.add_column(name, justify="right")
    for row in found.quality.table().itertuples():
        style = "" if row.dropped else "dim"
        shown.add_row(
            row.step, f"{row.rows_in:,}", f"{row.dropped:,}", f"{row.rows_out:,}", style=style
        )
    return shown


def _scores(chosen: list[Row], by: str) -> RenderableType:
    shown = new_table()
    if by:
        shown.add_column(by, no_wrap=True)
    for name in ("product", *([] if by else ["pairs"])):
        shown.add_column(name, no_wrap=True)
    shown.add_column("n", justify="right", no_wrap=True)
    shown.add_column(
        "cells" if chosen[0]["view"] == "cells" else "stat.", justify="right", no_wrap=True
    )
    for name, _ in _COLUMNS:
        shown.add_column(name, justify="right", no_wrap=True)
    shown.add_column("R, 95 %", justify="right", no_wrap=True)
    order = {name: k for k, name in enumerate(PAIRS)}
    chosen = sorted(chosen, key=lambda r: (r["group"], order[r["pairs"]]))
    for row in chosen:
        names = [
            *([row["group"]] if by else []),
            PRODUCTS[row["product"]],
            *([] if by else [row["pairs"]]),
        ]
        texts = [cell(row[key], form).rstrip(".") for key, form in _COLUMNS]
        ends = "-" if row["R_low"] is None else f"{row['R_low']:.2f}..{row['R_high']:.2f}"
        shown.add_row(*names, _number(row["n"]), f"{row['stations']:,}", *texts, ends)
    return shown


def _number(n: int) -> str:
    """A number of pairs, from ten millions on as such, so that tables of years keep to 80 columns."""
    return f"{n:,}" if n < 10_000_000 else f"{n / 1e6:,.0f} M"


def _legend(found: Validation) -> str:
    kinds = {scored.pairs for scored in found.scored}
    words = [
        "RMSE, MAE and bias (model - observed) in ug m-3; FAC2: within a factor of two; 95 %: stations resampled."
    ]
    words += [f"{name}: {PAIRS[name]}." for name in PAIRS if name in kinds and len(kinds) > 1]
    if "hourly" in kinds:
        words.append("linear: the original, on straight lines between its instants.")
    return " ".join(words)
