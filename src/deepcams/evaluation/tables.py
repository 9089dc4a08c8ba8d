"""Results as tables: rows for machines (JSON, CSV), Markdown, and a table for the terminal."""

from __future__ import annotations

import csv
import io
import json
import math
import os
from collections.abc import Callable, Iterable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from deepcams.core.errors import OutputError
from deepcams.core.text import figure
from deepcams.evaluation.experiment import Result
from deepcams.evaluation.statistics import Mean, Scores
from deepcams.files.atomic import os_errors_explained, write_atomically

if TYPE_CHECKING:
    from rich.console import RenderableType

FIGURES = ("R", "RMSE", "MAE", "bias", "MAE_p99", "RMSE_p99", "bias_p99")
ALL = "all"
"""The period of rows that hold every month."""

KINDS = ("baseline", "training-free", "network")

Row = dict[str, Any]


def _mean_of(values: Iterable[float]) -> float:
    total = Mean()
    for value in values:
        total += Mean.of(value)
    return total.value


def rows(result: Result) -> list[Row]:
    """Return one row per method and month, and one per method over all months; undefined figures are ``None``.

    Args:
        result: of :func:`deepcams.evaluation.evaluate`.

    Returns:
        method, period (``2019-03``, or ``all``) and figures (ug m-3, R and skill without unit) of each row.

    ``R``, ``RMSE``, ``MAE``, ``bias`` and the ``_p99`` figures are averaged as in Xiao et al. 2022: over the samples
    (frames) of a month, then over the months; ``_pooled`` ones come from all pairs in one. ``skill`` is
    1 - MAE / MAE of the correct baseline (``linear``, ``bicubic``, ``linear-then-bicubic``), and
    ``skill_training_free`` the same against the best training-free method among the rows.
    """
    months = result.table.months
    table: list[Row] = []
    for period in [*months, ALL]:
        chosen = months if period == ALL else [period]
        mae = {
            name: _figures(result, name, chosen)["MAE"] for name in {*result.kinds, result.baseline}
        }
        free = [mae[name] for name, kind in result.kinds.items() if kind == "training-free"]
        best = min((value for value in free if not math.isnan(value)), default=math.nan)
        for name, kind in result.kinds.items():
            scores = _sum(result, name, chosen)
            figures = _figures(result, name, chosen)
            figures |= {
                "R_pooled": scores.pooled.r,
                "RMSE_pooled": scores.pooled.rmse,
                "MAE_pooled": scores.pooled.mae,
                "bias_pooled": scores.pooled.bias,
                "MAE_p99_pooled": scores.pooled_extreme.mae,
                "RMSE_p99_pooled": scores.pooled_extreme.rmse,
                "skill": _skill(figures["MAE"], mae[result.baseline]),
                "skill_training_free": _skill(figures["MAE"], best),
            }
            table.append(
                {
                    "task": result.experiment.task,
                    "method": name,
                    "kind": kind,
                    "period": period,
                    "samples": scores.samples,
                    "skipped": scores.skipped,
                    "missing": scores.missing,
                    **defined(figures),
                }
            )
    return table


def _sum(result: Result, name: str, months: Iterable[str]) -> Scores:
    return sum((result.table.scores.get((name, month), Scores()) for month in months), Scores())


def _figures(result: Result, name: str, months: Iterable[str]) -> dict[str, float]:
    scores = [result.table.scores.get((name, month), Scores()) for month in months]
    return {figure: _mean_of(getattr(each, figure).value for each in scores) for figure in FIGURES}


def _skill(mae: float, reference: float) -> float:
    return 1 - mae / reference if reference > 0 else math.nan


def as_json(result: Result) -> str:
    """Return the scores as JSON.

    Args:
        result: of :func:`deepcams.evaluation.evaluate`.

    Returns:
        ``{"rows": [...], "experiment": {...}, "truth": ..., "scored": ..., "baseline": ...}``.
    """
    from deepcams._version import __version__

    document = {
        "rows": rows(result),
        "experiment": asdict(result.experiment),
        "baseline": result.baseline,
        "truth": result.truth,
        "scored": result.scored,
        "deepcams": __version__,
    }
    return to_json(document)


def to_json(document: Row) -> str:
    """Return a document as JSON text; undefined figures must be ``None``."""
    return json.dumps(document, indent=1, allow_nan=False) + "\n"


def as_csv(result: Result) -> str:
    """Return the scores as CSV.

    Args:
        result: of :func:`deepcams.evaluation.evaluate`.

    Returns:
        a row for each method and month under one header; undefined figures are empty.
    """
    return to_csv(rows(result))


def to_csv(table: list[Row]) -> str:
    """Return rows as CSV text under one header; undefined figures are empty."""
    text = io.StringIO()
    names = dict.fromkeys(name for row in table for name in row)
    writer = csv.DictWriter(text, list(names), lineterminator="\n")
    writer.writeheader()
    writer.writerows(table)
    return text.getvalue()


def defined(row: Row) -> Row:
    """Return a row with ``None`` for figures that are not finite."""
    return {
        key: None if isinstance(value, float) and not math.isfinite(value) else value
        for key, value in row.items()
    }


def cell(value: float | None, form: str) -> str:
    """Return a figure for people; ``-`` where it is undefined."""
    return "-" if value is None else figure(value, form)


def new_table() -> Any:
    """Return an empty table for the terminal (``rich.table.Table``)."""
    from rich import box
    from rich.table import Table

    return Table(
        box=box.SIMPLE_HEAD,
        show_edge=False,
        pad_edge=False,
        header_style="bold",
        padding=(0, 1, 0, 0),
    )


_COLUMNS: tuple[tuple[str, str, str], ...] = (
    ("R", "R", ".4f"),
    ("RMSE", "RMSE", ".3f"),
    ("MAE", "MAE", ".4f"),
    ("bias", "bias", "+.3f"),
    ("MAE_p99", "MAE p99", ".3f"),
    ("skill", "skill", "+.1%"),
)
_BEST: dict[str, Callable[[float], float]] = {
    "R": lambda value: -value,
    "RMSE": abs,
    "MAE": abs,
    "MAE_p99": abs,
}
"""What is marked as best: the smallest of this. Not the bias, which everywhere is next to nothing."""


def _sorted(table: list[Row], period: str) -> list[Row]:
    """Rows of a period: by kind, then the best first."""
    chosen = [row for row in table if row["period"] == period]
    return sorted(
        chosen, key=lambda r: (KINDS.index(r["kind"]), math.inf if r["MAE"] is None else r["MAE"])
    )


def _best(table: list[Row]) -> dict[str, float]:
    best = {}
    for key, size in _BEST.items():
        values = [row[key] for row in table if row[key] is not None]
        if len(values) > 1:
            best[key] = min(values, key=size)
    return best


def title(result: Result) -> str:
    """The experiment in one line."""
    experiment = result.experiment
    where = {
        "temporal": f"3 h to 1 h at the {experiment.resolution} resolution",
        "spatial": "coarse to fine, each hour",
        "joint": "3 h coarse to 1 h fine",
    }[experiment.task]
    degraded = experiment.task != "temporal" or experiment.resolution == "coarse"
    extra = [f"degradation {experiment.degradation}"] if degraded else []
    extra += ["area-weighted"] if experiment.weighting == "area" else []
    extra += [f"clipped at {experiment.clip:g}"] if experiment.clip is not None else []
    return f"{experiment.task.capitalize()}: {where}" + "".join(f", {each}" for each in extra)


def explanation(result: Result) -> str:
    """What the columns mean, in a few sentences."""
    table = [row for row in rows(result) if row["period"] == ALL]
    samples = sorted({row["samples"] for row in table})
    skipped = max(row["skipped"] for row in table)
    months = len(result.table.months)
    frames = (
        f"{samples[0]} frames" if len(samples) == 1 else f"{samples[0]} to {samples[-1]} frames"
    )
    over = f"mean over {frames}" + (f", then over {months} months" if months > 1 else "")
    return (
        f"Scored: {result.scored}; {over}{f'; {skipped} skipped as missing' if skipped else ''}. RMSE, MAE and bias in "
        f"ug m-3; MAE p99: where the truth is above its frame's 99th percentile; skill: 1 - MAE / MAE of "
        f"{result.baseline}."
    )


def as_markdown(result: Result) -> str:
    """Return the scores as Markdown.

    Args:
        result: of :func:`deepcams.evaluation.evaluate`.

    Returns:
        a heading line, the table over all months, and the MAE by month where there are several.
    """
    table, months = rows(result), result.table.months
    chosen = _sorted(table, ALL)
    best = _best(chosen)
    lines = [
        f"**{title(result)}**",
        "",
        "| method | kind | " + " | ".join(head for _, head, _ in _COLUMNS) + " |",
    ]
    lines.append("|---|---|" + "---:|" * len(_COLUMNS))
    for row in chosen:
        cells = []
        for key, _, form in _COLUMNS:
            text = cell(row[key], form)
            cells.append(f"**{text}**" if key in best and row[key] == best[key] else text)
        lines.append(f"| {row['method']} | {row['kind']} | " + " | ".join(cells) + " |")
    lines += ["", explanation(result)]
    if len(months) > 1:
        lines += [
            "",
            "| MAE by month | " + " | ".join(months) + " |",
            "|---|" + "---:|" * len(months),
        ]
        maes = {(row["method"], row["period"]): row["MAE"] for row in table}
        for row in chosen:
            cells = [cell(maes[row["method"], month], ".4f") for month in months]
            lines.append(f"| {row['method']} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def for_terminal(result: Result) -> RenderableType:
    """The table for people, 80 columns wide; by month below where there are several."""
    from rich.console import Group
    from rich.padding import Padding
    from rich.text import Text

    table, months = rows(result), result.table.months
    chosen = _sorted(table, ALL)
    best = _best(chosen)
    colours = {"baseline": "dim", "training-free": "cyan", "network": "magenta"}

    shown = new_table()
    shown.add_column("method", overflow="fold", max_width=32)
    for _, head, _ in _COLUMNS:
        shown.add_column(head, justify="right", no_wrap=True)
    for i, row in enumerate(chosen):
        texts = [Text(row["method"], style=colours[row["kind"]])]
        for key, _, form in _COLUMNS:
            is_best = key in best and row[key] == best[key]
            texts.append(Text(cell(row[key], form), style="bold green" if is_best else ""))
        last_of_kind = i + 1 < len(chosen) and chosen[i + 1]["kind"] != row["kind"]
        shown.add_row(*texts, end_section=last_of_kind)
    kinds = [kind for kind in KINDS if any(row["kind"] == kind for row in chosen)]
    legend = Text("  ").join([Text(f"■ {kind}", style=colours[kind]) for kind in kinds])
    parts: list[RenderableType] = [Text(title(result), style="bold"), legend, Text(""), shown]
    if len(months) > 1:
        by_month = new_table()
        by_month.add_column("MAE by month")
        names = [row["method"] for row in chosen]
        maes = {(row["method"], row["period"]): row["MAE"] for row in table}
        kept = sorted(names, key=lambda n: math.inf if maes[n, ALL] is None else maes[n, ALL])[:4]
        if result.baseline in names and result.baseline not in kept:
            kept = [*kept[:3], result.baseline]
        for name in kept:
            by_month.add_column(name, justify="right", overflow="fold")
        for month in months:
            by_month.add_row(month, *[cell(maes[name, month], ".4f") for name in kept])
        parts += [Text(""), by_month]
    return Group(*parts, Padding(Text(explanation(result), style="dim"), (1, 0, 0, 0)))


def check_writable(path: Path) -> None:
    """Refuse a file that cannot be written, before hours of work.

    Raises:
        OutputError: its folder does not exist or is not writable, or it is a folder.
    """
    if path.is_dir():
        raise OutputError(f"{path}: expected a file to write, found a folder; name a file in it")
    if not path.parent.is_dir():
        raise OutputError(
            f"{path}: expected an existing folder, found no {path.parent}; make it first"
        )
    if not os.access(path if path.exists() else path.parent, os.W_OK):
        raise OutputError(
            f"{path}: expected a writable file, found one that may not be written; choose another place"
        )


def save(path: Path, text: str) -> None:
    """Write a whole file or none; an older one is replaced.

    Raises:
        OutputError: the file cannot be written.
    """
    with os_errors_explained(path):
        write_atomically(path, text.encode())
