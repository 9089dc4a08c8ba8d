"""Scores of temporal methods at stations as rows, files and formatted tables."""

from __future__ import annotations

import math
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from deepcams.core.text import counted
from deepcams.evaluation.experiment_tables import KINDS
from deepcams.evaluation.scores import figures, interval
from deepcams.evaluation.sums import COLUMNS, pairs_of
from deepcams.evaluation.tables import (
    ALL,
    Column,
    Row,
    defined,
    save_all,
    to_csv,
    to_json,
    to_markdown,
    to_terminal,
)
from deepcams.stations.temporal_evaluation import BASELINE, GROUPS, Result

if TYPE_CHECKING:
    from rich.console import RenderableType

DRAWS = 1000
FEWEST_WEEKS = 5
"""Smallest number of weeks for an interval; resamples of fewer are not representative."""
FIGURES = ("R", "RMSE", "MAE", "bias")
_ABSOLUTE = COLUMNS.index("absolute")
_COLUMNS = (
    Column("method", "method", folded=True),
    Column("R", "R", ".4f"),
    Column("RMSE", "RMSE", ".3f"),
    Column("MAE", "MAE", ".4f"),
    Column("bias", "bias", "+.3f"),
    Column("skill", "skill", "+.1%"),
    Column("ratio", f"x {BASELINE}", ".3f"),
    Column("interval", "95 %", str),
)
_BY = {"season": "season", "hour": "local hour"}
"""Headings of the groupings in formatted tables."""


def ratio_ends(
    method: np.ndarray, baseline: np.ndarray, draws: int = DRAWS, seed: int = 0
) -> tuple[float, float]:
    """Compute the 95 % percentile interval of the ratio of two sums by resampling whole weeks with replacement.

    Hours within a week are not independent; both sums are resampled together, because they cover the same hours.

    Args:
        method, baseline: (weeks,), sums of absolute errors; weeks in which the baseline's is 0 are ignored.
        draws: number of resamples.
        seed: random seed; the same weeks are drawn for every method.

    Returns:
        low and high end; NaN for fewer than :data:`FEWEST_WEEKS` weeks or no draws.
    """
    used = baseline > 0
    weeks = int(used.sum())
    if weeks < FEWEST_WEEKS or draws < 1:
        return math.nan, math.nan
    random = np.random.default_rng(seed)
    times = random.multinomial(weeks, np.full(weeks, 1 / weeks), draws)
    ratios = (times @ method[used]) / (times @ baseline[used])
    return interval(ratios)


def rows(result: Result, draws: int = DRAWS, seed: int = 0) -> list[Row]:
    """Return one row per method and group; undefined figures are ``None``.

    Args:
        result: result of :func:`deepcams.stations.temporal_evaluation.evaluate`.
        draws: number of resamples of the weeks; 0 for no intervals.
        seed: random seed.

    Returns:
        rows with method, kind, ``by`` and ``group`` (``temporal_evaluation.GROUPS``; first over all), ``n`` (hours of
        regions), ``weeks``, R, RMSE, MAE and bias (ug m-3) over all pairs, ``skill`` (1 - MAE / MAE of ``linear``),
        ``ratio`` (MAE / MAE of ``linear``), and ``ratio_low`` and ``ratio_high`` (95 %).
    """
    table: list[Row] = []
    for by, names in GROUPS.items():
        for at, group in enumerate(names):
            reference = result.of(BASELINE, by)[:, at]
            if not reference[:, 0].any():
                continue
            for method, kind in result.kinds.items():
                sums = result.of(method, by)[:, at]
                error, usual = sums[:, _ABSOLUTE], reference[:, _ABSOLUTE]
                pairs = pairs_of(sums.sum(axis=0))
                ratio = error.sum() / usual.sum() if usual.any() else math.nan
                low, high = ratio_ends(error, usual, draws, seed)
                row: Row = {
                    "task": "temporal",
                    "method": method,
                    "kind": kind,
                    "period": ALL,
                    "by": by,
                    "group": group,
                    "n": int(pairs.count),
                    "weeks": int(np.count_nonzero(sums[:, 0])),
                    **{key: float(v) for key, v in figures(pairs, FIGURES).items()},
                    "skill": 1 - ratio,
                    "ratio": float(ratio),
                    "ratio_low": low,
                    "ratio_high": high,
                }
                table.append(defined(row))
    return table


def document(result: Result) -> Row:
    """Return the content of the JSON file, laid out as :func:`deepcams.evaluation.experiment_tables.document`.

    Args:
        result: of :func:`deepcams.stations.temporal_evaluation.evaluate`.

    Returns:
        ``{"rows": [...], "details": {"local_hours": [...]}, "quality": [...], "experiment": {...}, ...}``.
    """
    from deepcams._version import __version__

    options = asdict(result.options)
    options["quality"]["skip"] = sorted(options["quality"]["skip"])
    period = result.options.period
    options["period"] = None if period is None else str(period)
    return {
        "rows": rows(result),
        "details": {"local_hours": _local_hours(result)},
        "quality": result.quality.rows(),
        "experiment": {"task": "temporal", "truth": "stations", **options},
        "baseline": BASELINE,
        "truth": result.truth,
        "scored": _scored(result),
        "windows": result.windows,
        "windows_with_fewer_stations": result.few,
        "deepcams": __version__,
    }


def _local_hours(result: Result) -> list[Row]:
    """Return errors by local hour in the form of a field's details, always including the baseline."""
    found: list[Row] = []
    for method in {BASELINE: "", **result.kinds}:
        sums = result.of(method, "hour").sum(axis=0)
        for hour in np.flatnonzero(sums[:, 0]).tolist():
            pairs = pairs_of(sums[hour])
            errors = figures(pairs, ("MAE", "bias", "RMSE"))
            row: Row = {
                "method": method,
                "surface": "stations",
                "hour": hour,
                "share": float(pairs.weight / sums[:, 0].sum()),
                **{key: float(value) for key, value in errors.items()},
                "truth": float(pairs.truth_mean),
            }
            found.append(defined(row))
    return found


def as_json(result: Result) -> str:
    """Return :func:`document` as text."""
    return to_json(document(result))


def as_csv(result: Result) -> str:
    """Return the rows as CSV under one header; undefined figures are empty."""
    return to_csv(rows(result))


def write(result: Result, folder: Path) -> list[Path]:
    """Write scores.json, scores.csv and scores.md into a folder, which is created if needed.

    Raises:
        OutputError: the folder cannot be created or written to.
    """
    texts = {
        "scores.json": as_json(result),
        "scores.csv": as_csv(result),
        "scores.md": as_markdown(result),
    }
    return save_all(folder, texts)


def title(result: Result) -> str:
    """Describe the experiment in one line."""
    region = result.options.region
    if region is None:
        means = "means of all stations"
    elif region:
        means = f"means of boxes of {region:g} degrees"
    else:
        means = "each station alone"
    return f"Temporal: 3 h to 1 h at stations, {means}"


def _scored(result: Result) -> str:
    stations = counted(round(result.members), "station")
    return (
        f"{counted(result.windows, 'window')} of ten whole hours in {counted(result.regions, 'region')}, "
        f"{stations} each on average (at least {result.options.at_least})"
    )


def explanation(result: Result) -> str:
    """Explain the columns in a few sentences."""
    return (
        f"Scored: {_scored(result)}; {result.truth}. RMSE, MAE and bias in ug m-3; skill: 1 - MAE / MAE of {BASELINE}; "
        f"x {BASELINE}: MAE / MAE of {BASELINE}; 95 %: weeks resampled, both methods together."
    )


def _shown(table: list[Row], by: str) -> list[Row]:
    """Return the rows of a grouping, sorted by kind, then best first."""
    chosen = [row for row in table if row["by"] == by]
    for row in chosen:
        ends = row["ratio_low"], row["ratio_high"]
        known = None not in ends and row["method"] != BASELINE
        row["interval"] = f"{ends[0]:.3f}..{ends[1]:.3f}" if known else None
    return sorted(chosen, key=lambda row: (list(KINDS).index(row["kind"]), row["MAE"]))


def _ratios(table: list[Row], by: str) -> tuple[list[Row], list[Column]]:
    """Return one row per group: number of pairs, the baseline's MAE, and each other method's ratio."""
    names = [row["method"] for row in _shown(table, ALL) if row["method"] != BASELINE]
    groups: dict[str, Row] = {}
    for row in table:
        if row["by"] == by:
            mae = row["MAE"] / row["ratio"] if row["ratio"] else None
            group = groups.setdefault(row["group"], {"group": row["group"]})
            group |= {"n": row["n"], row["method"]: row["ratio"], BASELINE: mae}
    heads = [
        Column("group", _BY[by]),
        Column("n", "n", "{:,}".format),
        Column(BASELINE, f"MAE of {BASELINE}", ".3f"),
        *(Column(name, f"{name}, x", ".3f", folded=True) for name in names),
    ]
    return list(groups.values()), heads


def as_markdown(result: Result) -> str:
    """Return the table over all windows, and the ratios by season and by local solar hour."""
    table = rows(result)
    columns = [_COLUMNS[0], Column("kind", "kind"), *_COLUMNS[1:]]
    parts = [
        f"**{title(result)}**",
        to_markdown(_shown(table, ALL), columns),
        explanation(result),
        *(to_markdown(*_ratios(table, by)) for by in _BY),
    ]
    return "\n\n".join(parts) + "\n"


def for_terminal(result: Result) -> RenderableType:
    """Return the tables for the terminal, 80 columns wide."""
    from rich.console import Group
    from rich.text import Text

    table = rows(result)
    parts: list[RenderableType] = [
        Text(title(result), style="bold"),
        Text(""),
        to_terminal(
            _shown(table, ALL),
            _COLUMNS,
            lambda row, key: KINDS[row["kind"]] if key == "method" else "",
            section="kind",
        ),
    ]
    for by in _BY:
        parts += [Text(""), to_terminal(*_ratios(table, by))]
    parts += [Text(""), Text(explanation(result), style="dim")]
    return Group(*parts)
