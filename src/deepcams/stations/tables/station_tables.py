"""Results of a validation as rows, tables for the terminal, and files."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from deepcams.core.errors import InputError, choose
from deepcams.core.text import figure
from deepcams.evaluation.criteria import that_apply
from deepcams.evaluation.score import ADDED
from deepcams.evaluation.scores import bootstrap, figures, known_scores, of_series
from deepcams.evaluation.sums import pairs_of
from deepcams.evaluation.tables import (
    ALL,
    Column,
    Row,
    defined,
    save_all,
    to_csv,
    to_json,
    to_terminal,
)
from deepcams.stations.archive.metadata import INLAND, SEA, SURFACES, count_surroundings
from deepcams.stations.averages import DAY_WORDS, check_by
from deepcams.stations.tables import averages_tables, differences

if TYPE_CHECKING:
    from rich.console import RenderableType

    from deepcams.stations.sums import Scored
    from deepcams.stations.validation import Validation

BY = ("year", "month", "hour", "country", "surface", "kind", "station")
"""Available groupings of rows, besides rows over everything."""
_OF_PLACES = ("country", "surface", "kind", "station")
DRAWS = 1000
FEWEST = 24
"""Smallest number of pairs for a station to count in the mean over stations."""
FEWEST_RESAMPLED = 5
"""Smallest number of stations (or cells) for an interval; resamples of fewer are not representative."""
VIEWS = {
    "pooled": "all pairs of all stations in one",
    "cells": "stations of one cell averaged each hour, then all pairs in one",
    "stations": f"each station's own figures, averaged over stations with at least {FEWEST} pairs",
}
PRODUCTS = {
    "field": "field",
    "original": "original",
    "original, linear in time": "linear",
}
PAIRS = {
    "own": "all pairs of its own",
    "same": "pairs of both",
    "hourly": "also hours between the original's",
}


def rows(
    found: Validation, by: Iterable[str] = ("year",), draws: int = DRAWS, seed: int = 0
) -> list[Row]:
    """Return one row per product, set of pairs, view and group; undefined figures are ``None``.

    Args:
        found: a validation.
        by: groupings in :data:`BY`; rows over everything (``by`` "all") come first.
        draws: number of bootstrap resamples of the stations (of the cells in the view ``cells``); 0 for no intervals,
            nor are there any for fewer than :data:`FEWEST_RESAMPLED` stations.
        seed: random seed.

    Returns:
        rows with product, pairs, view, by, group, stations (or cells), n, all scores
        (:func:`deepcams.evaluation.scores.known_scores`), their ``_low`` and ``_high`` (95 %), observed_mean,
        model_mean, slope and intercept of the model on the observed; by station also its coordinates and surroundings.
        Scores of whole series (index of agreement, Spearman's) exist only per station: in the view ``stations`` of
        groups of whole stations, and by station.
    """
    by = [choose("--by", name, BY) for name in dict.fromkeys(by)]
    check_by(found.options.average, by)
    result: list[Row] = []
    for name in (ALL, *by):
        for scored in found.scored:
            for view in VIEWS:
                # Cells have no such attributes; for one station the mean over stations equals the pooled view.
                of_places = name in _OF_PLACES and view == "cells"
                # A single station has too few years for its own figures.
                few = name == "station" or found.options.average == "year"
                if of_places or (few and view == "stations"):
                    continue
                for group, part, series in _groups(found, scored, view, name):
                    used = part[:, 0] > 0
                    if name != ALL and not used.any():
                        continue
                    row: Row = {
                        "product": scored.product,
                        "pairs": scored.pairs,
                        "view": view,
                        "by": name,
                        "group": group,
                    }
                    # Series scores are in a station's own row, and in other groups as means over stations.
                    if name != "station" and view != "stations":
                        series = np.full_like(series, np.nan)
                    times = draws if name != "station" else 0
                    row |= _figures(part[used], series[used], view, times, seed)
                    result.append(row)
    if "station" in by:
        places = _places(found.stations)
        result = [
            row | (places[row["group"]] if row["by"] == "station" else {})
            for row in result
        ]
    return result


def _places(stations: pd.DataFrame) -> dict[str, Row]:
    """Return each station's coordinates and surroundings by id, for its rows."""
    names = ("latitude", "longitude", "country", "land", "surface", "altitude", "kind")
    table = stations[[name for name in names if name in stations]].astype(object)
    table = table.where(table.notna(), None)
    return dict(zip(stations["id"].astype(str), table.to_dict("records"), strict=True))  # type: ignore[arg-type]


def _groups(
    found: Validation, scored: Scored, view: str, by: str
) -> Iterator[tuple[str, np.ndarray, np.ndarray]]:
    """Yield each group's name, its sums by station (or cell), (stations, columns), and their series scores.

    The latter need whole series: they are NaN for cells, and for groups in time.
    """
    sums, series = scored.stations, scored.series
    if view == "cells":
        sums, series = scored.cells, np.empty((len(scored.cells.month), 0))
    parts = np.full((len(sums.month), len(of_series())), np.nan)
    whole = series if series.shape == parts.shape else parts
    months = found.months
    if by == ALL:
        yield ALL, sums.month.sum(axis=1), whole
    elif by in ("year", "month"):
        names = months.astype(
            "datetime64[Y]" if by == "year" else "datetime64[M]"
        ).astype(str)
        for name in np.unique(names):
            yield str(name), sums.month[:, names == name].sum(axis=1), parts
    elif by == "hour":
        for hour in range(24):
            yield f"{hour:02d}", sums.hour[:, hour], parts
    else:
        total = sums.month.sum(axis=1)
        column = found.stations.get("id" if by == "station" else by)
        if column is None:  # no metadata with kinds
            column = pd.Series("", found.stations.index)
        names = column.fillna("").astype(str).to_numpy()
        for name, members in sorted(
            pd.Series(np.arange(names.size)).groupby(names).indices.items()
        ):
            of_group = np.asarray(members)
            yield str(name) or "unknown", total[of_group], whole[of_group]


def _figures(
    counted: np.ndarray, series: np.ndarray, view: str, draws: int, seed: int
) -> Row:
    own = view == "stations"
    enough = counted[:, 0] >= (FEWEST if own else 1)
    used, series = counted[enough], series[enough]
    pairs = pairs_of(used.sum(axis=0))
    found = figures(pairs)
    if own:
        found = {key: _mean(values) for key, values in figures(pairs_of(used)).items()}
    found |= {
        key: _mean(values) for key, values in zip(of_series(), series.T, strict=True)
    }
    few = np.count_nonzero(used[:, 0]) < FEWEST_RESAMPLED
    ends = bootstrap(used, 0 if few else draws, seed, own, FEWEST, series)
    row: Row = {"stations": len(used), "n": int(pairs.count), **found}
    for key in found:
        row[f"{key}_low"], row[f"{key}_high"] = ends.get(key, (np.nan, np.nan))
    slope, intercept = pairs.line()
    row |= {
        "observed_mean": pairs.truth_mean,
        "model_mean": pairs.method_mean,
        "slope": slope,
        "intercept": intercept,
    }
    return defined(row)


def _mean(values: np.ndarray) -> float:
    known = values[~np.isnan(values)]
    return known.mean() if known.size else np.nan


def station_table(found: Validation) -> pd.DataFrame:
    """Return one row per station: metadata, hours observed, and n and figures of each product and set of pairs."""
    table = found.stations.drop(columns=["cell", "spread_km"], errors="ignore").copy()
    table["hours"] = found.observed_months.sum(axis=1)
    for scored in found.scored:
        sums = scored.stations.month.sum(axis=1)
        name = f"{scored.product.replace(', linear in time', '_linear')}_{scored.pairs}"
        pairs = pairs_of(sums)
        table[f"{name}_n"] = pairs.count
        for key, values in figures(pairs).items():
            table[f"{name}_{key}"] = values
        for key, values in zip(of_series(), scored.series.T, strict=True):
            table[f"{name}_{key}"] = values
    return table


def used_stations(found: Validation) -> np.ndarray:
    """Return which stations have a pair with the field or, without a field, a valid value: (stations,)."""
    own = found.find("field", "own")
    number = found.observed_months if own is None else own.stations.month[..., 0]
    return np.asarray(number.sum(axis=1) > 0)


def about(found: Validation) -> Row:
    """Return the inputs and options of a validation."""
    from deepcams._version import __version__

    options = found.options
    return {
        "products": found.products,
        "space": options.space,
        "stamps": "start" if options.starts else "end",
        "average": options.average,
        "days": DAY_WORDS[options.days],
        "quality_skipped": sorted(options.quality.skip),
        "surroundings": count_surroundings(found.stations, used_stations(found)),
        "views": {
            view: averages_tables.views(found, words) for view, words in VIEWS.items()
        },
        "pairs": PAIRS,
        "differences": differences.about(),
        "scores": {
            key: {
                "name": score.name,
                "unit": score.unit,
                "better": score.better,
                "source": score.source,
            }
            for key, score in known_scores().items()
        },
        "twins": [
            {"dropped": gone, "kept": kept} for gone, kept in found.quality.twins
        ],
        "deepcams": __version__,
    }


def criteria_rows(found: Validation, table: list[Row]) -> list[Row]:
    """Return which published criteria the pooled scores meet: one row per product, set of pairs and criterion."""
    options = found.options
    return [
        {
            "product": row["product"],
            "pairs": row["pairs"],
            "level": each.name,
            "bounds": dict(each.bounds),
            "met": each.met(row),
            "source": each.source,
            "note": each.note,
        }
        for row in table
        if row["by"] == ALL and row["view"] == "pooled" and row["n"]
        for each in that_apply(options.species, options.average)
    ]


def as_json(found: Validation, table: list[Row], compared: list[Row]) -> str:
    """Return all results as JSON.

    Args:
        found: a validation.
        table: result of :func:`rows`.
        compared: result of :func:`deepcams.stations.tables.differences.rows`.
    """
    document = {
        "rows": table,
        "differences": compared,
        "criteria": criteria_rows(found, table),
        "quality": found.quality.rows(),
        "about": about(found),
    }
    return to_json(document | averages_tables.document(found))


def write(
    found: Validation, table: list[Row], compared: list[Row], folder: Path
) -> list[Path]:
    """Write scores.json, scores.csv, stations.csv and quality.csv into a folder, which is created if needed.

    With an original, differences.csv is added; with daily means, the files of
    :mod:`deepcams.stations.tables.averages_tables`.

    Raises:
        OutputError: the folder cannot be created or written to.
    """
    texts = {
        "scores.json": as_json(found, table, compared),
        "scores.csv": to_csv(table),
        "stations.csv": station_table(found).to_csv(index=False, float_format="%.6g"),
        "quality.csv": to_csv(found.quality.rows()),
    }
    if compared:
        texts["differences.csv"] = to_csv(compared)
    return save_all(folder, texts | averages_tables.texts(found))


def parse_by(texts: Iterable[str]) -> tuple[str, ...]:
    """Parse groupings, one or several separated by commas in each text.

    Raises:
        InputError: a grouping is not in :data:`BY`.
    """
    names = [name.strip() for text in texts for name in text.split(",")]
    return tuple(choose("--by", name, BY) for name in dict.fromkeys(names))


def check_pairs(found: Validation) -> None:
    """Raise if there is no pair, with the steps at which rows were lost.

    Raises:
        InputError: there is no pair.
    """
    if not found.scored or any(scored.any() for scored in found.scored):
        return
    averages_tables.check_means(found)
    lost = [row for row in found.quality.rows() if row["dropped"]]
    why = "; ".join(
        f"{row['step']} {row['dropped']} of {row['rows_in']}" for row in lost
    )
    most = max(lost, key=lambda row: row["dropped"], default=None)
    if most is not None and most["step"] == "units":
        texts = ", ".join(repr(text) for text in found.units[:3])
        why += f"; units: {texts} are no mass concentrations"
    elif most is not None and most["what"] != most["step"]:
        why += f"; {most['step']}: {most['what']}"
    raise InputError(
        "stations", "values in the field's cells and hours", f"none left ({why})"
    )


def _short(form: str) -> Callable[[float], str]:
    """Return a formatter that drops the decimal point that ``#`` leaves after integers."""
    return lambda value: figure(value, form).rstrip(".")


_FORMS = {"R": ".3f", "RMSE": "#.3g", "bias": "+#.3g", "NMB": "+.0%"}
_FORMS_POOLED = _FORMS | {"MFE": ".0%", "FAC2": ".0%"}
"""Formats of the scores shown in 80 columns, chosen as in agencies' reports; JSON and CSV have all scores."""
_FORMS_STATIONS = _FORMS | {"IOA": ".2f", "Spearman": ".2f"}
_HEADS = {"Spearman": "ranks"}


def _columns(view: str) -> list[Column]:
    """Return the columns of the scores in a view; scores of other packages come last."""
    forms = _FORMS_STATIONS if view == "stations" else _FORMS_POOLED
    scores, added = known_scores(), set(ADDED.names())
    if view != "stations":
        added -= set(of_series())
    return [
        *(
            Column(key, _HEADS.get(key, key), _short(form))
            for key, form in forms.items()
        ),
        *(
            Column(key, score.head or key, score.form)
            for key, score in scores.items()
            if key in added
        ),
        Column("R_interval", "R, 95 %", str),
    ]


_QUALITY = (
    Column("step", "step"),
    Column("rows_in", "in", "{:,}".format),
    Column("dropped", "dropped", "{:,}".format),
    Column("rows_out", "out", "{:,}".format),
)


def for_terminal(
    found: Validation,
    table: list[Row],
    by: Iterable[str] = (),
    compared: list[Row] | None = None,
) -> RenderableType:
    """Return the tables for the terminal: quality control, figures over everything, then by groupings.

    Args:
        found: a validation.
        table: result of :func:`rows`.
        by: groupings to show.
        compared: result of :func:`deepcams.stations.tables.differences.rows`.
    """
    from rich.console import Group
    from rich.text import Text

    steps = found.quality.rows()
    quality = to_terminal(
        steps, _QUALITY, lambda row, _: "" if row["dropped"] else "dim"
    )
    parts: list[RenderableType] = [
        Text("Quality control and matching", style="bold"),
        quality,
    ]
    for view, words in VIEWS.items():
        chosen = [
            row
            for row in table
            if row["by"] == ALL and row["view"] == view and row["n"]
        ]
        if chosen:
            parts += [
                Text.assemble(
                    (view.capitalize(), "bold"),
                    f": {averages_tables.views(found, words)}",
                ),
                _scores(chosen),
            ]
    for name in by:
        chosen = [row for row in table if row["by"] == name and row["view"] == "pooled"]
        pairs = "same" if any(row["pairs"] == "same" for row in chosen) else "own"
        chosen = [row for row in chosen if row["pairs"] == pairs]
        if name != "station" and chosen:
            parts += [Text(f"By {name}, pooled", style="bold"), _scores(chosen, name)]
    parts += [Text(words) for words in _criteria(found, table)]
    parts += differences.for_terminal(compared or [])
    parts += averages_tables.for_terminal(found)
    parts.append(Text(_surroundings(found)))
    if found.scored:
        parts.append(Text(_legend(found), style="dim"))
    spaced = [each for part in parts for each in (part, Text(""))]
    return Group(*spaced[:-1])


def _scores(chosen: list[Row], by: str = "") -> RenderableType:
    order = list(PAIRS)
    shown = []
    for row in sorted(
        chosen, key=lambda row: (row["group"], order.index(row["pairs"]))
    ):
        ends = (
            None if row["R_low"] is None else f"{row['R_low']:.2f}..{row['R_high']:.2f}"
        )
        shown.append(row | {"R_interval": ends, "product": PRODUCTS[row["product"]]})
    heads = [Column("group", by)] if by else []
    heads.append(Column("product", "product"))
    if not by:
        heads.append(Column("pairs", "pairs"))
    places = "cells" if chosen[0]["view"] == "cells" else "stat."
    counts = (
        Column("n", "n", averages_tables.number),
        Column("stations", places, "{:,}".format),
    )
    return to_terminal(
        shown, [*heads, *counts, *_columns(chosen[0]["view"])], close=True
    )


def _criteria(found: Validation, table: list[Row]) -> list[str]:
    """Describe which published criteria are met, one line each."""
    options = found.options
    rows = criteria_rows(found, table)
    lines = []
    for each in that_apply(options.species, options.average):
        by_answer: dict[bool | None, list[str]] = {True: [], False: [], None: []}
        for row in rows:
            if row["level"] == each.name and row["source"] == each.source:
                name = f"{PRODUCTS[row['product']]} ({row['pairs']})"
                by_answer[row["met"]].append(name)
        words = {True: "met by", False: "not met by", None: "not defined for"}
        parts = [
            f"{words[answer]} {', '.join(names)}"
            for answer, names in by_answer.items()
            if names
        ]
        lines.append(
            f"{each.name.capitalize()}, {each.words()} ({each.source}): {'; '.join(parts)}."
        )
    return lines


def _surroundings(found: Validation) -> str:
    count = count_surroundings(found.stations, used_stations(found))
    words = ", ".join(f"{count[name]:,} {name}" for name in SURFACES)
    known = count["altitude_known"]
    altitude = f"known of {known:,}" if known else "not known of any"
    return (
        f"{count['stations']:,} stations: {words} (cells with at least {INLAND:.0%} land, between, at most {SEA:.0%}); "
        f"altitude {altitude}."
    )


def _legend(found: Validation) -> str:
    kinds = {scored.pairs for scored in found.scored}
    words = [
        "RMSE and bias (model - observed) in ug m-3; NMB: bias as a share of the observed; MFE: mean fractional error; "
        "FAC2: within a factor of two; IOA: index of agreement; ranks: their correlation; 95 %: stations resampled."
    ]
    words += averages_tables.legend(found)
    words += [
        f"{name}: {PAIRS[name]}." for name in PAIRS if name in kinds and len(kinds) > 1
    ]
    if "hourly" in kinds:
        words.append("linear: the original, on straight lines between its instants.")
    return " ".join(words)
