"""``deepcams report``: from what a run has left to one HTML file."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from deepcams._version import __version__
from deepcams.core.errors import OutputError
from deepcams.core.field import grid_of
from deepcams.core.species import label
from deepcams.evaluation.candidates import THEN
from deepcams.evaluation.tables import check_writable, save
from deepcams.report import html, pictures
from deepcams.report.discover import Found, find_run
from deepcams.writers.layout import STATUS_MEANINGS

LARGEST = 10_000_000
"""Bytes of a report: pictures that would go beyond are named, not shown."""
FOR_TEXT = 1_000_000
MOST_ROWS = 60
MOST_GAPS = 40

Progress = Callable[[str, int, int], None]


def write_report(
    run: Path | str,
    out: Path | str = "report.html",
    *,
    original: Sequence[Path | str] | Path | str | None = None,
    animation: bool = True,
    progress: Progress | None = None,
) -> Path:
    """Write one self-contained HTML file about a run; it appears whole or not at all.

    Args:
        run: an output (Zarr, netCDF, a folder of netCDF), or a folder that holds one with tables, pictures and
            networks: what ``demo``, ``validate``, ``train`` and ``run`` leave.
        out: the file; an earlier report of that name is replaced.
        original: the run's input; default the one that the output names, if it lies beside it or in ``data``.
        animation: with an animation (GIF) of up to :data:`deepcams.report.pictures.MOST_FRAMES` hours.
        progress: hears which part is being made.

    Returns:
        the file.

    Raises:
        InputError: nothing to report on.
        OutputError: the file cannot be written, or is no report.
    """
    out = Path(out)
    check_name(out)
    told = progress or (lambda step, done, total: None)
    found = find_run(run, original)
    shown = pictures.Pictures(LARGEST - FOR_TEXT)
    sections: dict[str, Callable[[], str]] = {
        "Warnings and missing hours": lambda: _warnings(found),
        "Scores": lambda: _scores(found),
        "Quality control of the stations": lambda: _quality(found),
        "Pictures": lambda: pictures.own(found, shown) + pictures.drawn(found, shown),
        "Animation": lambda: pictures.animation(found, shown) if animation else "",
        "Trainings": lambda: pictures.trainings(found, shown),
        "Settings": lambda: html.pairs(found.identity, "Settings") if found.identity else "",
        "Networks": lambda: _cards(found),
        "Provenance": lambda: (
            html.pairs(found.attributes, "Provenance") if found.attributes else ""
        ),
        "How to cite": lambda: _citation(found),
    }
    made: dict[str, str] = {}
    for k, (name, make) in enumerate(sections.items()):
        told(name, k, len(sections))
        made[name] = make()
    told("done", len(sections), len(sections))
    notes = [
        *found.problems,
        *(f"left out, for the file would grow too large: {name}" for name in shown.left_out),
    ]
    first = next(iter(sections))
    made[first] = (
        "".join(f'<p class="warn">{html.text(note)}</p>' for note in dict.fromkeys(notes))
        + made[first]
    )
    title = f"deepcams: {found.name}"
    save(out, html.page(title, _about(found), made))
    return out


def check_name(out: Path) -> None:
    """Refuse a name that no report can have, or a folder that is not there; to be asked before long work.

    Raises:
        OutputError: another ending than .html, or no such folder.
    """
    if out.suffix.lower() not in (".html", ".htm"):
        raise OutputError(
            f"{out}: expected a name ending in .html, found {out.suffix or 'none'}; name it report.html"
        )
    check_writable(out)


def _about(found: Found) -> str:
    """What was run on what, in a few lines."""
    now = datetime.now(UTC).strftime("%Y-%m-%d %H:%M")
    lines = [f'<p class="faint">Written {now} UTC by deepcams {html.text(__version__)}.</p>']
    if found.output is not None:
        field = found.output.field
        times, species = field.time.values, label(str(field.name))
        span = f"{pictures.stamp(times[0])} to {pictures.stamp(times[-1])} UTC"
        words = f"{species} at {times.size:,} times, {span}; {grid_of(field).describe()}."
        lines.append(f"<p>{html.text(words)}</p>")
        made_from = [
            str(one.get("name"))
            for one in found.identity.get("inputs", [])
            if isinstance(one, dict)
        ]
        more = {"Made from": ", ".join(made_from), "How": str(found.attributes.get("summary", ""))}
        lines += [f"<p>{name}: {html.text(value)}</p>" for name, value in more.items() if value]
    if _is_simulated(found):
        lines.append('<p class="warn"><strong>Simulated world: no real data.</strong></p>')
    return "".join(lines)


def _is_simulated(found: Found) -> bool:
    texts = [str(found.attributes.get("source", ""))] + [
        str(one.get("note", "")) for one in found.tables.values()
    ]
    return any("simulated" in one.lower() for one in texts)


def _warnings(found: Found) -> str:
    if found.output is None:
        return ""
    parts: list[str] = []
    total = found.output.total
    if total is not None:
        missing, analysis, interpolated = total.hours
        counts = total.counts
        rows: list[Sequence[object]] = [
            ("hours of the input's frames (analysis)", analysis),
            ("hours between them (interpolated)", interpolated),
            ("missing hours", missing),
            ("missing values in other hours", total.missing_cells),
            ("input values: all", counts.total),
            ("input values: missing", counts.missing),
            ("input values: small negatives set to 0", counts.negative),
            ("input values: implausible, taken as missing", counts.implausible),
            ("values above a network's scaling, clipped", counts.clipped),
            ("largest value, µg m⁻³", total.largest),
        ]
        parts.append(html.table(["what", "count"], rows, "What the run counted"))
    if found.output.times is not None and found.output.status is not None:
        gaps = list(_gaps(found.output.times, found.output.status))
        rows = [(first, last, hours) for first, last, hours in gaps[:MOST_GAPS]]
        if rows:
            more = (
                f"; {len(gaps) - MOST_GAPS} more gaps are not listed"
                if len(gaps) > MOST_GAPS
                else ""
            )
            parts.append(
                html.table(["from (UTC)", "to (UTC)", "hours"], rows, f"Missing hours{more}")
            )
        else:
            parts.append("<p>No hour is missing.</p>")
    return "".join(parts)


def _gaps(times: np.ndarray, status: np.ndarray) -> Iterator[tuple[str, str, int]]:
    missing = status == STATUS_MEANINGS.index("missing")
    edges = np.flatnonzero(np.diff(np.concatenate([[False], missing, [False]]).astype(np.int8)))
    for first, stop in zip(edges[::2], edges[1::2], strict=True):
        yield pictures.stamp(times[first]), pictures.stamp(times[stop - 1]), int(stop - first)


def _told_apart(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Without groupings that hold one group (a single year): its rows say what those over everything say."""
    groups: dict[str, set[str]] = {}
    for row in rows:
        groups.setdefault(str(row.get("by")), set()).add(str(row.get("group")))
    return [
        row for row in rows if row.get("by") in (None, "all") or len(groups[str(row["by"])]) > 1
    ] or rows


def _scores(found: Found) -> str:
    parts = []
    for name, document in found.tables.items():
        rows = [row for row in document["rows"] if isinstance(row, dict)]
        rows = [row for row in rows if row.get("period", "all") == "all"] or rows
        rows = [
            row for row in rows if row.get("n") != 0
        ] or rows  # of a grouping that nothing falls into
        rows = _told_apart(rows)
        if not rows:
            continue
        wanted = (
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
            "samples",
            "R",
            "RMSE",
            "MAE",
            "bias",
            "FAC2",
            "MAE_p99",
            "skill",
        )
        columns = [key for key in wanted if any(row.get(key) is not None for row in rows)]
        about = "; ".join(
            f"{key}: {document[key]}"
            for key in ("note", "truth", "scored", "baseline")
            if document.get(key)
        )
        more = f" (the first {MOST_ROWS} of {len(rows)} rows)" if len(rows) > MOST_ROWS else ""
        shown = [[_named(row.get(key)) for key in columns] for row in rows[:MOST_ROWS]]
        parts.append(
            html.table(columns, shown, f"{name}{more}: {about}" if about else f"{name}{more}")
        )
    if parts:
        parts.append(
            '<p class="faint">RMSE, MAE and bias in µg m⁻³; skill: 1 \N{MINUS SIGN} MAE / MAE of the baseline.</p>'
        )
    return "".join(parts)


def _named(value: object) -> object:
    """A network by its file's name: where that lies on somebody's disk says nothing to others."""
    if not (isinstance(value, str) and ".safetensors" in value):
        return value
    return THEN.join(part.replace("\\", "/").rpartition("/")[2] for part in value.split(THEN))


def _quality(found: Found) -> str:
    parts = []
    for name, document in found.tables.items():
        steps = [row for row in document.get("quality") or [] if isinstance(row, dict)]
        if steps:
            columns = list(dict.fromkeys(key for row in steps for key in row))
            parts.append(
                html.table(columns, [[row.get(key) for key in columns] for row in steps], name)
            )
    return "".join(parts)


def _cards(found: Found) -> str:
    parts = []
    for name, card in found.cards.items():
        content = html.pairs(dataclasses.asdict(card), f"Card of {name}")
        parts.append(
            f"<details><summary>{html.text(name)}: {html.text(card.network)}, {html.text(card.kind)}</summary>"
        )
        parts.append(f"{content}</details>")
    return "".join(parts)


def _citation(found: Found) -> str:
    from deepcams.downscaling.output_identity import INNESS, XIAO

    keys = ("acknowledgement", "license")
    lines = [str(found.attributes[key]) for key in keys if found.attributes.get(key)]
    if found.attributes.get("references"):
        lines += str(found.attributes["references"]).split("; ")
    else:
        lines += [f"Method: {XIAO}"] + ([] if _is_simulated(found) else [f"Data: {INNESS}"])
    lines.append(f"deepcams {__version__}; see CITATION.cff of the project")
    return "<ul>" + "".join(f"<li>{html.text(line)}</li>" for line in lines) + "</ul>"
