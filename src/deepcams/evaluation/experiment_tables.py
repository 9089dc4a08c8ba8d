"""Results of an experiment as rows, as files, and as formatted tables."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from deepcams.core.grid import FACTOR
from deepcams.evaluation.diagnostics import of_diagnostics
from deepcams.evaluation.diagnostics.spectra import COHERENT, FARTHEST
from deepcams.evaluation.experiment import Result
from deepcams.evaluation.frames import OF_EXTREMES, Mean, Scores
from deepcams.evaluation.score import ADDED
from deepcams.evaluation.scores import figures, known_scores, of_frames
from deepcams.evaluation.tables import (
    ALL,
    Column,
    Marked,
    Row,
    defined,
    save_all,
    to_csv,
    to_json,
    to_markdown,
    to_terminal,
)

if TYPE_CHECKING:
    from rich.console import RenderableType

KINDS = {"baseline": "dim", "training-free": "cyan", "network": "magenta"}
"""Colour by kind of method, in the order of the tables."""

_COLUMNS = (
    Column("method", "method", folded=True),
    Column("R", "R", ".4f"),
    Column("RMSE", "RMSE", ".3f"),
    Column("MAE", "MAE", ".4f"),
    Column("bias", "bias", "+.3f"),
    Column("MAE_p99", "MAE p99", ".3f"),
    Column("skill", "skill", "+.1%"),
)
DRIFT = 0.001
"""Smallest relative drift of the mean that is reported."""
_IN_FILES = {"CSI"}
"""Scores shown in files only, for lack of width in the terminal."""
_MOST_BY_MONTH = 4
"""Largest number of methods whose monthly scores fit into 80 columns."""


def rows(result: Result) -> list[Row]:
    """Return one row per method and month, and one per method over all months; undefined figures are ``None``.

    Args:
        result: result of :func:`deepcams.evaluation.evaluate`.

    Returns:
        rows with method, period (``2019-03``, or ``all``) and figures (ug m-3, R and skill without unit).

    ``R``, ``RMSE``, ``MAE``, ``bias`` and the ``_p99`` figures are averaged as in Xiao et al. 2022: over the samples
    (frames) of a month, then over the months; ``_pooled`` ones are computed from all pairs together. ``skill`` is
    1 - MAE / MAE of the correct baseline (``linear``, ``bicubic``, ``linear-then-bicubic``), and
    ``skill_training_free`` the same against the best training-free method among the rows. The scores of
    :mod:`deepcams.evaluation.diagnostics` are in the rows over all months.
    """
    months = result.table.months
    table: list[Row] = []
    for period in [*months, ALL]:
        chosen = months if period == ALL else [period]
        scores = {
            name: [result.table.scores.get((name, month), Scores()) for month in chosen]
            for name in {*result.kinds, result.baseline}
        }
        mae = {name: _mean(each, "MAE") for name, each in scores.items()}
        free = [
            mae[name] for name, kind in result.kinds.items() if kind == "training-free"
        ]
        best = min((value for value in free if not math.isnan(value)), default=math.nan)
        for name, kind in result.kinds.items():
            total = sum(scores[name], Scores())
            pooled = figures(total.pooled, of_frames())
            extreme = figures(total.pooled_extreme, ("MAE", "RMSE"))
            row: Row = {
                "task": result.experiment.task,
                "method": name,
                "kind": kind,
                "period": period,
                "samples": total.samples,
                "skipped": total.skipped,
                "missing": total.missing,
            }
            for key in (*of_frames(), *(f"{key}_p99" for key in OF_EXTREMES)):
                row[key] = _mean(scores[name], key)
            row |= {f"{key}_pooled": value for key, value in pooled.items()}
            row |= {f"{key}_p99_pooled": value for key, value in extreme.items()}
            row["skill"] = _skill(mae[name], mae[result.baseline])
            row["skill_training_free"] = _skill(mae[name], best)
            # Diagnostics exist for the whole period only.
            whole = result.figures.get(name, {}) if period == ALL else {}
            row |= {key: whole.get(key, math.nan) for key in _diagnostic_keys(result)}
            table.append(defined(row))
    return table


def _diagnostic_keys(result: Result) -> list[str]:
    """Return the keys of the experiment's diagnostic scores."""
    return list(next(iter(result.figures.values()), {}))


def _mean(months: Iterable[Scores], key: str) -> float:
    return Mean.of(*(month.mean(key) for month in months)).value


def _skill(mae: float, reference: float) -> float:
    return 1 - mae / reference if reference > 0 else math.nan


def document(result: Result) -> Row:
    """Return the content of the JSON file.

    Args:
        result: of :func:`deepcams.evaluation.evaluate`.

    Returns:
        ``{"rows": [...], "details": {diagnostic: [...]}, "gaps": [...], "experiment": {...}, "truth": ...,
        "scored": ..., "baseline": ...}``.
    """
    from deepcams._version import __version__

    return {
        "rows": rows(result),
        "details": result.details,
        "gaps": result.gaps,
        "experiment": asdict(result.experiment),
        "baseline": result.baseline,
        "truth": result.truth,
        "scored": result.scored,
        "deepcams": __version__,
    }


def as_json(result: Result) -> str:
    """Return the scores as JSON.

    Args:
        result: of :func:`deepcams.evaluation.evaluate`.

    Returns:
        the result of ``document`` as text.
    """
    return to_json(document(result))


def as_csv(result: Result) -> str:
    """Return the scores as CSV.

    Args:
        result: of :func:`deepcams.evaluation.evaluate`.

    Returns:
        one row per method and month under one header; undefined figures are empty.
    """
    return to_csv(rows(result))


def write(result: Result, folder: Path) -> list[Path]:
    """Write scores.json, scores.csv, scores.md and a CSV per diagnostic into a folder, which is created if needed.

    Raises:
        OutputError: the folder cannot be created or written to.
    """
    texts = {
        "scores.json": as_json(result),
        "scores.csv": as_csv(result),
        "scores.md": as_markdown(result),
    }
    for name, details in result.details.items():
        if details:
            texts[f"{name.replace('_', '-')}.csv"] = to_csv(details)
    return save_all(folder, texts)


def _by_mae(row: Row) -> float:
    return math.inf if row["MAE"] is None else row["MAE"]


def _over_all(table: list[Row]) -> list[Row]:
    """Return the rows over all months, sorted by kind, then best first."""
    chosen = [row for row in table if row["period"] == ALL]
    return sorted(
        chosen, key=lambda row: (list(KINDS).index(row["kind"]), _by_mae(row))
    )


def _best_of(table: list[Row]) -> Marked:
    """Return the best value of each column, to be marked; not if 0 is best, because many reach it within noise."""
    scores = known_scores() | of_diagnostics()
    best = {}
    for key in table[0] if table else ():
        score = scores.get(key) or scores.get(key.removesuffix("_p99"))
        values = [row[key] for row in table if row[key] is not None]
        if score is None or score.better == "zero" or len(values) < 2:
            continue
        if score.better == "one":
            best[key] = min(values, key=lambda value: abs(value - 1))
        else:
            best[key] = max(values) if score.better == "higher" else min(values)
    return lambda row, key: key in best and row[key] == best[key]


def _columns() -> list[Column]:
    """Return the columns of the first table; scores of other packages come last."""
    scores, added = known_scores(), ADDED.names()
    chosen = [scores[key] for key in of_frames() if key in added]
    heads = [Column(each.key, each.head or each.key, each.form) for each in chosen]
    return [*_COLUMNS, *heads]


def _diagnostic_columns(result: Result) -> list[Column]:
    """Return the columns of the second table; empty without diagnostics."""
    scores = of_diagnostics()
    chosen = [scores[key] for key in _diagnostic_keys(result)]
    heads = [Column(each.key, each.head or each.key, each.form) for each in chosen]
    return [_COLUMNS[0], *heads] if heads else []


def title(result: Result) -> str:
    """Describe the experiment in one line."""
    experiment = result.experiment
    hidden, hour = f"{experiment.span * result.cadence:g} h", f"{result.cadence:g} h"
    where = {
        "temporal": f"{hidden} to {hour} at the {experiment.resolution} resolution",
        "spatial": "coarse to fine, each hour",
        "joint": f"{hidden} coarse to {hour} fine",
    }[experiment.task]
    extra = [f"degradation {experiment.degradation}"] if experiment.degraded else []
    factor = experiment.factor
    extra += [f"factor {factor}"] if factor != FACTOR else []
    extra += ["area-weighted"] if experiment.weighting == "area" else []
    extra += [f"clipped at {experiment.clip:g}"] if experiment.clip is not None else []
    return ", ".join([f"{experiment.task.capitalize()}: {where}", *extra])


def explanation(result: Result, table: list[Row]) -> str:
    """Explain the columns in a few sentences."""
    samples = sorted({row["samples"] for row in table})
    skipped = max(row["skipped"] for row in table)
    months = len(result.table.months)
    frames = " to ".join(
        str(number) for number in dict.fromkeys((samples[0], samples[-1]))
    )
    over = f"mean over {frames} frames" + (
        f", then over {months} months" if months > 1 else ""
    )
    return (
        f"Scored: {result.scored}; {over}{f'; {skipped} skipped as missing' if skipped else ''}. RMSE, MAE and bias in "
        f"ug m-3; MAE p99: where the truth is above its frame's 99th percentile; skill: 1 - MAE / MAE of "
        f"{result.baseline}."
    )


def diagnostics_explanation(result: Result) -> str:
    """Explain the columns of the second table, and which values may be absent."""
    cell = result.experiment.factor
    words = [
        "res.: effective resolution, the wavelength in degrees of longitude under which the squared coherence with the "
        f"truth falls below {COHERENT:g} (rows {FARTHEST:g} S to {FARTHEST:g} N); P<1°: power under 1 degree over the "
        f"truth's; cells: variance inside {cell} x {cell} cells over the truth's; CSI, FSS: events of at least "
        f"{result.experiment.thresholds[:2][-1]:g} ug m-3, FSS over 3 x 3 nodes; p99.99: relative error of that "
        "quantile; land, sea: MAE in ug m-3."
    ]
    if result.experiment.in_time:
        words.append(
            "R diff.: of the change from hour to hour; drift: mean of the hourly field less that of its analyses "
            "joined linearly."
        )
        moved = [
            f"{name} ({figures['drift']:+.1%})"
            for name, figures in result.figures.items()
            if name in result.kinds and abs(figures["drift"]) >= DRIFT
        ]
        if moved:
            words.append(f"Changes daily means: {', '.join(moved)}.")
    words += [f"{gap[0].upper()}{gap[1:]}." for gap in result.gaps]
    return " ".join(words)


def as_markdown(result: Result) -> str:
    """Return the scores as Markdown.

    Args:
        result: of :func:`deepcams.evaluation.evaluate`.

    Returns:
        a heading, the table over all months, and the MAE by month if there are several.
    """
    table, months = rows(result), result.table.months
    chosen = _over_all(table)
    columns = [_COLUMNS[0], Column("kind", "kind"), *_columns()[1:]]
    parts = [
        f"**{title(result)}**",
        to_markdown(chosen, columns, _best_of(chosen)),
        explanation(result, chosen),
    ]
    columns = _diagnostic_columns(result)
    if columns:
        parts += [
            to_markdown(chosen, columns, _best_of(chosen)),
            diagnostics_explanation(result),
        ]
    if len(months) > 1:
        maes = {(row["method"], row["period"]): row["MAE"] for row in table}
        of_months = [
            {
                "method": row["method"],
                **{month: maes[row["method"], month] for month in months},
            }
            for row in chosen
        ]
        heads = [Column(month, month, ".4f") for month in months]
        parts.append(to_markdown(of_months, [Column("method", "MAE by month"), *heads]))
    return "\n\n".join(parts) + "\n"


def for_terminal(result: Result) -> RenderableType:
    """Return the table for the terminal, 80 columns wide, with a table by month below if there are several."""
    from rich.console import Group
    from rich.padding import Padding
    from rich.text import Text

    table, months = rows(result), result.table.months
    chosen = _over_all(table)
    marked = _best_of(chosen)

    def style(row: Row, key: str) -> str:
        if key == "method":
            return KINDS[row["kind"]]
        return "bold green" if marked(row, key) else ""

    kinds = [kind for kind in KINDS if any(row["kind"] == kind for row in chosen)]
    legend = Text("  ").join([Text(f"■ {kind}", style=KINDS[kind]) for kind in kinds])
    parts: list[RenderableType] = [
        Text(title(result), style="bold"),
        legend,
        Text(""),
        to_terminal(chosen, _columns(), style, section="kind"),
    ]
    if len(months) > 1:
        names = [row["method"] for row in sorted(chosen, key=_by_mae)]
        shown = names[:_MOST_BY_MONTH]
        if result.baseline in names and result.baseline not in shown:
            shown[-1] = result.baseline
        of_months = [
            {"month": month}
            | {row["method"]: row["MAE"] for row in table if row["period"] == month}
            for month in months
        ]
        heads = [Column(name, name, ".4f", folded=True) for name in shown]
        parts += [
            Text(""),
            to_terminal(of_months, [Column("month", "MAE by month"), *heads]),
        ]
    words = Text(explanation(result, chosen), style="dim")
    parts.append(Padding(words, (1, 0, 0, 0)))
    columns = _diagnostic_columns(result)
    if columns:
        words = Text(diagnostics_explanation(result), style="dim")
        parts += [
            Text(""),
            to_terminal(
                chosen,
                [column for column in columns if column.key not in _IN_FILES],
                style,
                section="kind",
            ),
            Padding(words, (1, 0, 0, 0)),
        ]
    return Group(*parts)
