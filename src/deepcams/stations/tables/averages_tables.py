"""Tables of a validation of daily or annual means: FAIRMODE's indicators, and exceedances of limits."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd

from deepcams.core.errors import InputError
from deepcams.core.limits import limits_of
from deepcams.core.text import counted
from deepcams.evaluation.tables import ALL, Column, Row, to_csv, to_terminal
from deepcams.stations import exceedances, fairmode
from deepcams.stations.averages import DAY_WORDS, HOURS

if TYPE_CHECKING:
    from rich.console import RenderableType

    from deepcams.stations.validation import Validation


def number(n: int) -> str:
    """Format a number of pairs, from ten million in millions, so that tables of years fit into 80 columns."""
    return f"{n:,}" if n < 10_000_000 else f"{n / 1e6:,.0f} M"


def views(found: Validation, words: str) -> str:
    """Return the description of a view, adapted to the validation's kind of pairs."""
    return words.replace("each hour", f"each {found.options.average}")


_FAIRMODE = (
    Column("group", "years"),
    Column("product", "product"),
    Column("stations", "stat.", "{:,}".format),
    Column("MQI_90", "MQI, 90 %", ".3f"),
    Column("MQO_met", "met", lambda met: "yes" if met else "no"),
    Column("annual_stations", "stat.", "{:,}".format),
    Column("annual_MQI_90", "annual MQI, 90 %", ".3f"),
    Column("annual_MQO_met", "met", lambda met: "yes" if met else "no"),
)
_LIMITS = (
    Column("product", "product"),
    Column("n", "n", number),
    *(Column(key, key, ".2f") for key in ("POD", "FAR", "CSI", "ETS")),
    Column("station_years", "years", "{:,}".format),
    Column("observed_met", "met", "{:,}".format),
    Column("model_met", "model", "{:,}".format),
)


def _has_means(found: Validation) -> bool:
    return found.options.average != "hour" and bool(found.scored)


def _indicators(found: Validation) -> list[fairmode.Indicators]:
    known = fairmode.parameters_of(found.options.species) is not None
    return fairmode.indicators(found) if _has_means(found) and known else []


def check_means(found: Validation) -> None:
    """Raise if hours were matched but no mean is valid.

    Raises:
        InputError: no day (or year) of any station has enough values.
    """
    if not _has_means(found):
        return
    average = found.options.average
    counts = found.quality.counts
    for what in ("days", "years"):
        count = counts.get(f"field's {what} under 75 %")
        if count is None or not count.rows_in or count.dropped < count.rows_in:
            continue
        unit = what.removesuffix("s")
        needed = "18 observed hours and 75 % of the hours that the field could have"
        if unit == "year":
            needed = "75 % of its days"
        raise InputError(
            f"--average {average}",
            f"a {unit} at a station with {needed}",
            f"none among {counted(count.rows_in, f'{unit} of a station', f'{what} of stations')}",
            "give a longer field, or leave --average out",
        )


def document(found: Validation) -> Row:
    """Return the additional keys of a validation's JSON, ``fairmode`` and ``exceedances``; empty for hours."""
    if not _has_means(found):
        return {}
    result: Row = {"exceedances": exceedances.rows(found)}
    each = _indicators(found)
    if each:
        ids = found.stations["id"].astype(str).tolist()
        result["fairmode"] = {
            "parameters": fairmode.about(found.options.species),
            "rows": [one.row() for one in each],
            "stations": [row for one in each for row in one.station_rows(ids)],
        }
    return result


def texts(found: Validation) -> dict[str, str]:
    """Return the texts of the additional files by name; empty for hours."""
    more = document(found)
    if not more:
        return {}
    result = {}
    if more["exceedances"]:
        result["exceedances.csv"] = to_csv(more["exceedances"])
    parts = [
        exceedances.compliance(found, scored).assign(
            product=scored.product, pairs=scored.pairs
        )
        for scored in found.scored
        if scored.pairs in exceedances.SETS
    ]
    parts = [part for part in parts if len(part)]
    if parts:
        table = pd.concat(parts, ignore_index=True)
        result["limits.csv"] = table.to_csv(index=False, float_format="%.6g")
    if "fairmode" in more:
        result["fairmode.csv"] = to_csv(more["fairmode"]["rows"])
        result["fairmode-stations.csv"] = to_csv(more["fairmode"]["stations"])
    return result


def for_terminal(found: Validation) -> list[RenderableType]:
    """Return the tables for the terminal; empty for hours."""
    from rich.text import Text

    if not _has_means(found):
        return []
    parts: list[RenderableType] = []
    pairs = "own" if found.find("original", "same") is None else "same"
    rows = [one.row() for one in _indicators(found) if one.pairs == pairs]
    if rows:
        parameters = fairmode.parameters_of(found.options.species)
        assert parameters is not None  # since there are rows
        head = f"FAIRMODE {parameters.version}, doi {parameters.doi}, {exceedances.SET_WORDS[pairs]}"
        parts += [Text(head, style="bold"), to_terminal(rows, _FAIRMODE)]
        parts += [Text(words, style="dim") for words in _gaps(rows)]
    limits = [row for row in exceedances.rows(found) if row["group"] == ALL]
    if not limits_of(found.options.species):
        words = f"No limits and no FAIRMODE parameters are known of {found.options.species}."
        parts.append(Text(words, style="dim"))
    for period, words in (("day", "daily means"), ("year", "annual means")):
        chosen = [
            row | {"name": f"{row['limit']}, {row['level']:g}"}
            for row in limits
            if row["pairs"] == pairs and row["n"] and row["period"] == period
        ]
        if chosen:
            head = f"Limits of {words} (ug m-3), {exceedances.SET_WORDS[pairs]}"
            table = to_terminal(chosen, [Column("name", "limit"), *_LIMITS])
            parts += [Text(head, style="bold"), table]
    return parts


def _gaps(rows: list[Row]) -> list[str]:
    """Explain why figures are undefined."""
    words = []
    if any(row["MQI_90"] is None or row["annual_MQI_90"] is None for row in rows):
        words.append(
            "-: fewer than two stations with 75 % of the days (annual: of one calendar year)."
        )
    return words


def legend(found: Validation) -> list[str]:
    """Explain the figures in a few sentences."""
    if not _has_means(found):
        return []
    average, days = found.options.average, DAY_WORDS[found.options.days]
    return [
        f"Pairs are of {'daily' if average == 'day' else 'annual'} means, days in {days}; "
        f"a day counts with 75 % of its {HOURS} hours observed and 75 % of those the product could have, "
        "a year with 75 % of its days.",
        "MQI: RMSE / (2 x the measurements' uncertainty) of stations with 75 % of the days that the product has, "
        "met where 9 in 10 have at most 1.",
        "POD: share of exceedances foreseen; FAR: of alarms, the false ones; CSI: hits of hits, misses, false alarms; "
        "ETS: CSI less chance; years: station-years that a limit's form can be asked of (limits.csv), "
        "met and model: those within it, observed and modelled.",
    ]
