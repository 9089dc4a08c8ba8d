"""``deepcams report``: from what a run has left to one HTML file."""

from __future__ import annotations

import dataclasses
import io
import math
import tempfile
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from deepcams import __version__
from deepcams.errors import DeepcamsError, InputError, OutputError
from deepcams.evaluation.tables import check_writable, save
from deepcams.field import grid_of
from deepcams.report import html
from deepcams.report.found import Found, find_run
from deepcams.store.attributes import STATUS_MEANINGS, label

LARGEST = 10_000_000
"""Bytes of a report: pictures that would go beyond are named, not shown."""
MOST_FRAMES = 36
MOST_ROWS = 60
MOST_GAPS = 40

Progress = Callable[[str, int, int], None]


class _Pictures:
    """Adds pictures while there is room."""

    def __init__(self) -> None:
        self.bytes, self.left_out = 0, list[str]()

    def add(self, content: bytes, kind: str, alt: str, caption: str) -> str:
        size = 4 * len(content) // 3
        if self.bytes + size > LARGEST - 1_000_000:
            self.left_out.append(caption)
            return ""
        self.bytes += size
        return html.figure(content, kind, alt, caption)


def report(
    run: Path | str,
    out: Path | str = "report.html",
    *,
    original: Sequence[Path | str] | Path | str | None = None,
    animation: bool = True,
    progress: Progress | None = None,
) -> Path:
    """Write one self-contained HTML file about a run; it appears whole or not at all.

    Args:
        run: an output (Zarr, netCDF, a folder of netCDF), or a folder that holds one with tables and pictures.
        out: the file; an earlier report of that name is replaced.
        original: the run's input; default the one that the output names, if it lies beside it.
        animation: with an animation (GIF) of up to :data:`MOST_FRAMES` hours.
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
    pictures = _Pictures()
    sections: dict[str, Callable[[], str]] = {
        "Warnings and missing hours": lambda: _warnings(found),
        "Scores": lambda: _scores(found),
        "Quality control of the stations": lambda: _quality(found),
        "Pictures": lambda: _figures(found, pictures),
        "Animation": lambda: _animation(found, pictures) if animation else "",
        "Settings": lambda: html.pairs(found.identity) if found.identity else "",
        "Networks": lambda: _cards(found),
        "Provenance": lambda: html.pairs(found.attributes) if found.attributes else "",
        "How to cite": lambda: _citation(found),
    }
    made: dict[str, str] = {}
    for k, (name, make) in enumerate(sections.items()):
        told(name, k, len(sections))
        made[name] = make()
    told("done", len(sections), len(sections))
    if found.problems or pictures.left_out:
        notes = [
            *found.problems,
            *(f"left out, for the file would grow too large: {name}" for name in pictures.left_out),
        ]
        first = next(iter(sections))
        made[first] += "".join(f'<p class="warn">{html.text(note)}</p>' for note in dict.fromkeys(notes))
    title = f"deepcams: {found.name}"
    save(out, html.page(title, _about(found), made))
    return out


def check_name(out: Path) -> None:
    """Refuse a name that no report can have, or a folder that is not there; to be asked before long work.

    Raises:
        OutputError: another ending than .html, or no such folder.
    """
    if out.suffix.lower() not in (".html", ".htm"):
        raise OutputError(f"{out}: expected a name ending in .html, found {out.suffix or 'none'}; name it report.html")
    check_writable(out)


def _stamp(time: np.datetime64) -> str:
    return str(time.astype("datetime64[m]")).replace("T", " ")


def _about(found: Found) -> str:
    now = datetime.now(UTC).strftime("%Y-%m-%d %H:%M")
    lines = [f'<p class="faint">Written {now} UTC by deepcams {html.text(__version__)}.</p>']
    if found.output is not None:
        times, grid = found.output.time.values, grid_of(found.output)
        species = label(str(found.output.name))
        words = f"{species} at {times.size:,} times, {_stamp(times[0])} to {_stamp(times[-1])} UTC; {grid.describe()}."
        lines.append(f"<p>{html.text(words)}</p>")
    if _is_simulated(found):
        lines.append('<p class="warn"><strong>Simulated world: no real data.</strong></p>')
    return "".join(lines)


def _is_simulated(found: Found) -> bool:
    texts = [str(found.attributes.get("source", ""))] + [str(one.get("note", "")) for one in found.tables.values()]
    return any("simulated" in one.lower() for one in texts)


def _warnings(found: Found) -> str:
    parts: list[str] = []
    if found.total is not None:
        missing, analysis, interpolated = found.total.hours
        counts = found.total.counts
        rows: list[Sequence[object]] = [
            ("hours of the input's frames (analysis)", analysis), ("hours between them (interpolated)", interpolated),
            ("missing hours", missing), ("missing values in other hours", found.total.missing_cells),
            ("input values: all", counts.total), ("input values: missing", counts.missing),
            ("input values: small negatives set to 0", counts.negative),
            ("input values: implausible, taken as missing", counts.implausible),
            ("values above a network's scaling, clipped", counts.clipped),
            ("largest value, µg m⁻³", found.total.largest),
        ]  # fmt: skip
        parts.append(html.table(["what", "count"], rows, "What the run counted"))
    if found.status is not None:
        gaps = list(_gaps(found.status))
        rows = [(first, last, hours) for first, last, hours in gaps[:MOST_GAPS]]
        if rows:
            more = f"; {len(gaps) - MOST_GAPS} more gaps are not listed" if len(gaps) > MOST_GAPS else ""
            parts.append(html.table(["from (UTC)", "to (UTC)", "hours"], rows, f"Missing hours{more}"))
        else:
            parts.append("<p>No hour is missing.</p>")
    return "".join(parts)


def _gaps(status: xr.DataArray) -> Iterator[tuple[str, str, int]]:
    missing = status.values == STATUS_MEANINGS.index("missing")
    edges = np.flatnonzero(np.diff(np.concatenate([[False], missing, [False]]).astype(np.int8)))
    times = status.time.values
    for first, stop in zip(edges[::2], edges[1::2], strict=True):
        yield _stamp(times[first]), _stamp(times[stop - 1]), int(stop - first)


def _scores(found: Found) -> str:
    parts = []
    for name, document in found.tables.items():
        rows = [row for row in document["rows"] if isinstance(row, dict)]
        rows = [row for row in rows if row.get("period", "all") == "all"] or rows
        if not rows:
            continue
        wanted = ("task", "method", "product", "pairs", "view", "by", "group", "kind", "stations", "n", "samples", "R",
                  "RMSE", "MAE", "bias", "FAC2", "MAE_p99", "skill")  # fmt: skip
        columns = [key for key in wanted if any(row.get(key) is not None for row in rows)]
        about = "; ".join(
            f"{key}: {document[key]}" for key in ("note", "truth", "scored", "baseline") if document.get(key)
        )
        more = f" (the first {MOST_ROWS} of {len(rows)} rows)" if len(rows) > MOST_ROWS else ""
        shown = [[row.get(key) for key in columns] for row in rows[:MOST_ROWS]]
        parts.append(html.table(columns, shown, f"{name}{more}: {about}" if about else f"{name}{more}"))
    if parts:
        parts.append(
            '<p class="faint">RMSE, MAE and bias in µg m⁻³; skill: 1 \N{MINUS SIGN} MAE / MAE of the baseline.</p>'
        )
    return "".join(parts)


def _quality(found: Found) -> str:
    parts = []
    for name, document in found.tables.items():
        steps = [row for row in document.get("quality") or [] if isinstance(row, dict)]
        if steps:
            columns = list(dict.fromkeys(key for row in steps for key in row))
            parts.append(html.table(columns, [[row.get(key) for key in columns] for row in steps], name))
    return "".join(parts)


def _png(figure: Any) -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=120)
    return buffer.getvalue()


def _figures(found: Found, pictures: _Pictures) -> str:
    parts = []
    for path in found.pictures:
        content = path.read_bytes()
        if not content.startswith(b"\x89PNG\r\n\x1a\n"):
            found.problems.append(f"{path.name}: no PNG picture")
            continue
        parts.append(pictures.add(content, "png", f"{path.stem}: a picture that the run has made", path.name))
    if found.output is None:
        return "".join(parts)
    from deepcams.plotting import compare_maps, map_figure, series_figure

    field, species = found.output, label(str(found.output.name))
    hour, place = _telling(field)
    when = _stamp(hour)
    try:
        source = None if found.original is None else ("input", found.original)
        drawn = map_figure(field, hour) if source is None else compare_maps({"deepcams": field}, hour, source=source)
        alt = f"Map of {species} at {when} UTC" + (", the input beside deepcams" if source else "")
        parts.append(pictures.add(_png(drawn), "png", alt, f"{species} at {when} UTC"))
        longitude, latitude = place
        where = f"{latitude:.2f} N, {longitude:.2f} E"
        lines = series_figure({"deepcams": field.isel(time=slice(0, 24 * 14))}, place, original=found.original)
        alt = f"Line chart of {species} over time at {where}"
        parts.append(pictures.add(_png(lines), "png", alt, f"{species} at {where}, where it is highest in that map"))
    except DeepcamsError as error:
        found.problems.append(f"a picture could not be drawn: {error}")
    return "".join(parts)


def _telling(field: xr.DataArray) -> tuple[np.datetime64, tuple[float, float]]:
    """A time in the middle that has values (else the middle), and the place of its largest value."""
    count = field.sizes["time"]
    order = sorted(range(count), key=lambda k: abs(k - count // 2))
    values, at = np.asarray(field.isel(time=order[0]).values), order[0]
    for k in order[:24]:
        values, at = np.asarray(field.isel(time=k).values), k
        if np.isfinite(values).any():
            break
    known = np.where(np.isfinite(values), values, -math.inf)
    row, column = np.unravel_index(int(known.argmax()), known.shape)
    return field.time.values[at], (float(field.longitude.values[column]), float(field.latitude.values[row]))


def _animation(found: Found, pictures: _Pictures) -> str:
    if found.output is None or found.output.sizes["time"] < 2:
        return ""
    from deepcams.plotting import animate

    field = found.output.isel(time=slice(0, MOST_FRAMES))
    fields = {"deepcams": field}
    if found.original is not None:
        fields = {"input": found.original, **fields}
    with tempfile.TemporaryDirectory(prefix="deepcams-report-") as folder:
        target = Path(folder) / "animation.gif"
        try:
            try:
                path = animate(fields, target, size="column", fps=5)
            except InputError:  # in a gap of the input no frame of it stands beside ours
                path = animate({"deepcams": field}, target, size="column", fps=5)
        except DeepcamsError as error:
            found.problems.append(f"the animation could not be made: {error}")
            return ""
        first, last = (_stamp(field.time.values[k]) for k in (0, -1))
        caption = f"{field.sizes['time']} times, {first} to {last} UTC"
        shown = pictures.add(path.read_bytes(), "gif", f"Animated map: {caption}", caption)
    return f'<details class="screen"><summary>Show the animation</summary>{shown}</details>' if shown else ""


def _cards(found: Found) -> str:
    parts = []
    for name, card in found.cards.items():
        content = html.pairs(dataclasses.asdict(card))
        parts.append(
            f"<details><summary>{html.text(name)}: {html.text(card.network)}, {html.text(card.kind)}</summary>"
        )
        parts.append(f"{content}</details>")
    return "".join(parts)


def _citation(found: Found) -> str:
    from deepcams.production.provenance import INNESS, XIAO

    keys = ("acknowledgement", "license")
    lines = [str(found.attributes[key]) for key in keys if found.attributes.get(key)]
    if found.attributes.get("references"):
        lines += str(found.attributes["references"]).split("; ")
    else:
        lines += [f"Method: {XIAO}"] + ([] if _is_simulated(found) else [f"Data: {INNESS}"])
    lines.append(f"deepcams {__version__}; see CITATION.cff of the project")
    return "<ul>" + "".join(f"<li>{html.text(line)}</li>" for line in lines) + "</ul>"
