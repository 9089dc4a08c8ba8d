"""``deepcams report``: write one HTML file about the files of a run."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from deepcams._version import __version__
from deepcams.core.errors import OutputError
from deepcams.core.field import grid_of
from deepcams.core.progress import Progress, no_progress
from deepcams.core.species import label
from deepcams.core.text import figure
from deepcams.core.times import stamp
from deepcams.core.url import Place
from deepcams.evaluation.candidates import THEN
from deepcams.evaluation.diagnostics import of_diagnostics
from deepcams.evaluation.tables import check_writable, save
from deepcams.report import exposure, pictures
from deepcams.report.discover import Found, Output, find_run
from deepcams.report.page import Table, render
from deepcams.writers.layout import STATUS_MEANINGS

LARGEST = 10_000_000
"""Maximum size of a report, bytes: pictures beyond it are only listed."""
FOR_TEXT = 1_000_000
MOST_ROWS = 60
MOST_GAPS = 40
_PARTS: dict[str, Callable[[Found, pictures.Pictures], Any]] = {
    "pictures": lambda found, shown: (
        pictures.made(found, shown) + pictures.drawn(found, shown)
    ),
    "animation": pictures.animation,
    "trainings": pictures.trainings,
}
"""Functions that draw pictures, which take time, by section."""
_COLUMNS = (
    *(
        "task",
        "method",
        "product",
        "pairs",
        "view",
        "by",
        "group",
        "kind",
        "stations",
        "n",
    ),
    *("samples", "R", "RMSE", "MAE", "bias", "FAC2", "MAE_p99", "skill"),
)
"""Columns of score tables that are shown."""


def write_report(
    run: Path | str,
    out: Path | str = "report.html",
    *,
    original: Sequence[Place | str] | Place | str | None = None,
    animation: bool = True,
    progress: Progress = no_progress,
) -> Path:
    """Write one self-contained HTML file about a run, atomically.

    Args:
        run: an output (Zarr, netCDF, a folder of netCDF), or a folder that holds one with tables, pictures and
            networks: as written by ``demo``, ``validate``, ``train`` and ``run``.
        out: the file; an earlier report of the same name is replaced.
        original: the run's input; default: the one named in the output, if it is in its folder or in ``data``.
        animation: include an animation (GIF) of up to :data:`deepcams.report.pictures.MOST_FRAMES` hours.
        progress: called with the name of the next part.

    Returns:
        the file.

    Raises:
        InputError: there is nothing to report.
        OutputError: the file cannot be written, or exists and is not a report.
    """
    out = Path(out)
    check_name(out)
    found = find_run(run, original)
    shown = pictures.Pictures(LARGEST - FOR_TEXT)
    output = found.output
    context: dict[str, Any] = {}
    for done, (part, make) in enumerate(_PARTS.items()):
        progress(part, done, len(_PARTS))
        if part != "animation" or animation:
            context[part] = make(found, shown)
    progress("done", len(_PARTS), len(_PARTS))
    left_out = [
        f"left out, for the file would grow too large: {name}"
        for name in shown.left_out
    ]
    zones = exposure.zones(found)  # may add problems
    page = render(
        **context,
        name=found.name,
        now=datetime.now(UTC).strftime("%Y-%m-%d %H:%M"),
        version=__version__,
        about=[] if output is None else _about(output),
        simulated=_is_simulated(found),
        problems=dict.fromkeys([*found.problems, *left_out]),
        counts=None if output is None else _counts(output),
        gaps=None if output is None else _gaps(output),
        exposed=[*map(exposure.exceedances, found.means), *zones],
        scores=_scores(found),
        quality=_quality(found),
        settings=found.identity,
        cards={name: dataclasses.asdict(card) for name, card in found.cards.items()},
        provenance=found.attributes,
        citations=_citations(found),
    )
    save(out, page)
    return out


def check_name(out: Path) -> None:
    """Check the name of a report before long work.

    Raises:
        OutputError: the suffix is not .html, or the folder does not exist.
    """
    if out.suffix.lower() not in (".html", ".htm"):
        found = out.suffix or "none"
        raise OutputError(
            f"{out}: expected a name ending in .html, found {found}; name it report.html"
        )
    check_writable(out)


def _about(output: Output) -> list[str]:
    """Return a few lines on the output, its inputs and its method."""
    species, grid = label(str(output.field.name)), grid_of(output.field).describe()
    lines = [f"{species}: {output.span}; {grid}."]
    if output.inputs:
        lines.append(f"Made from: {', '.join(output.inputs)}")
    if output.is_means:
        lines.append(f"What it is worth: {output.attributes.get('comment', '')}.")
    if output.attributes.get("summary"):
        lines.append(f"How: {output.attributes['summary']}")
    return lines


def _is_simulated(found: Found) -> bool:
    texts = [found.attributes.get("source", "")]
    texts += [table.get("note", "") for table in found.tables.values()]
    return any("simulated" in str(text).lower() for text in texts)


def _counts(output: Output) -> Table | None:
    """Return the table of counts in the run's records, if any."""
    total = output.total
    if total is None:
        return None
    missing, analysis, interpolated = total.hours
    if output.is_means:
        means = {
            "complete: every cell has all values": analysis,
            "incomplete: some cells have fewer": interpolated,
            "missing: no cell has enough": missing,
            "missing means in the others": total.missing_cells,
            "largest mean, µg m⁻³": total.largest,
        }
        return Table(["what", "count"], list(means.items()), "What the run counted")
    counts = {
        "hours of the input's frames (analysis)": analysis,
        "hours between them (interpolated)": interpolated,
        "missing hours": missing,
        "missing values in other hours": total.missing_cells,
        "input values: all": total.counts.total,
        "input values: missing": total.counts.missing,
        "input values: small negatives set to 0": total.counts.negative,
        "input values: implausible, taken as missing": total.counts.implausible,
        "values above a network's scaling, clipped": total.counts.clipped,
        "largest value, µg m⁻³": total.largest,
    }
    return Table(["what", "count"], list(counts.items()), "What the run counted")


def _gaps(output: Output) -> Table | None:
    """Return the table of gaps, if the output has a status flag."""
    if output.times is None or output.status is None or output.is_means:
        return None
    missing = output.status == STATUS_MEANINGS.index("missing")
    edges = np.flatnonzero(np.diff(missing.astype(np.int8), prepend=0, append=0))
    rows = [
        (stamp(output.times[first]), stamp(output.times[stop - 1]), int(stop - first))
        for first, stop in zip(edges[::2], edges[1::2], strict=True)
    ]
    more = len(rows) - MOST_GAPS
    caption = "Missing hours" + (
        f"; {more} more gaps are not listed" if more > 0 else ""
    )
    return Table(["from (UTC)", "to (UTC)", "hours"], rows[:MOST_GAPS], caption)


def _scores(found: Found) -> list[Table]:
    tables = []
    for name, document in found.tables.items():
        rows = _rows_to_show(document["rows"])
        columns = [
            key for key in _COLUMNS if any(row.get(key) is not None for row in rows)
        ]
        caption = name
        if len(rows) > MOST_ROWS:
            caption += f" (the first {MOST_ROWS} of {len(rows)} rows)"
        notes = [
            key for key in ("note", "truth", "scored", "baseline") if document.get(key)
        ]
        if notes:
            caption += ": " + "; ".join(f"{key}: {document[key]}" for key in notes)
        cells = [
            [_without_folders(row.get(key)) for key in columns]
            for row in rows[:MOST_ROWS]
        ]
        if cells:
            tables.append(Table(columns, cells, caption))
        tables += _diagnostics(name, rows[:MOST_ROWS])
    return tables


def _diagnostics(name: str, rows: list[dict[str, Any]]) -> list[Table]:
    """Return the table of the diagnostics of an evaluation, or an empty list."""
    scores = of_diagnostics()
    chosen = [key for key in scores if any(row.get(key) is not None for row in rows)]
    if not chosen:
        return []
    heads = [scores[key].head or key for key in chosen]
    meaning = zip(heads, (scores[key].name for key in chosen), strict=True)
    caption = f"{name}: " + "; ".join(f"{head}: {words}" for head, words in meaning)
    cells = [
        [_without_folders(row.get("method")), *(_written(row, key) for key in chosen)]
        for row in rows
    ]
    return [Table(["method", *heads], cells, caption)]


def _written(row: dict[str, Any], key: str) -> str | None:
    """Format a score as in displayed tables; ``None`` if undefined."""
    value = row.get(key)
    if not isinstance(value, int | float):
        return None
    return figure(value, of_diagnostics()[key].form)


def _rows_to_show(rows: list[Any]) -> list[dict[str, Any]]:
    """Return the rows over all periods with samples, without groupings that have a single group (one year, say)."""
    rows = [row for row in rows if isinstance(row, dict)]
    rows = [row for row in rows if row.get("period", "all") == "all"] or rows
    rows = [row for row in rows if row.get("n") != 0] or rows
    groups: dict[str, set[str]] = {}
    for row in rows:
        groups.setdefault(str(row.get("by")), set()).add(str(row.get("group")))
    several = {
        by for by, names in groups.items() if by in ("None", "all") or len(names) > 1
    }
    return [row for row in rows if str(row.get("by")) in several] or rows


def _without_folders(value: object) -> object:
    """Return a method's name with file names instead of paths, which mean nothing to other readers."""
    if not (isinstance(value, str) and ".safetensors" in value):
        return value
    return THEN.join(
        part.replace("\\", "/").rpartition("/")[2] for part in value.split(THEN)
    )


def _quality(found: Found) -> list[Table]:
    tables = []
    for name, document in found.tables.items():
        steps = [row for row in document.get("quality") or [] if isinstance(row, dict)]
        columns = list(dict.fromkeys(key for row in steps for key in row))
        if steps:
            tables.append(
                Table(
                    columns, [[row.get(key) for key in columns] for row in steps], name
                )
            )
    return tables


def _citations(found: Found) -> list[str]:
    from deepcams.downscaling.output_identity import INNESS, XIAO

    keys = ("acknowledgement", "license")
    lines = [str(found.attributes[key]) for key in keys if found.attributes.get(key)]
    if found.attributes.get("references"):
        lines += str(found.attributes["references"]).split("; ")
    else:
        lines.append(f"Method: {XIAO}")
        if not _is_simulated(found):
            lines.append(f"Data: {INNESS}")
    return [*lines, f"deepcams {__version__}; see CITATION.cff of the project"]
