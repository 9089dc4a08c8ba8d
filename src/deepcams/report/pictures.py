"""Pictures for a report: those that a run has made, and a map, a place's hours, and an animation of its output."""

from __future__ import annotations

import io
import math
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from deepcams.core.errors import DeepcamsError, InputError
from deepcams.core.species import label
from deepcams.report import html
from deepcams.report.discover import Found

MOST_FRAMES = 36
"""Hours of an animation."""
MOST_HOURS = 24 * 14
"""Of a place's hours."""

_ABOUT = {
    "map": "Maps of one hour: truth, input, baseline and result",
    "scatter": "Density scatter of the fields against the stations, with correlation and fitted line",
    "stations-n": "Map of the stations, coloured by how many hours each was compared over",
    "diurnal": "Mean of each hour of the day at the stations, measured and modelled",
    "curve": "How a training's loss and validation went, step by step",
}
"""What pictures of these names show, for whoever cannot see them."""


class Pictures:
    """Adds pictures while there is room for them.

    Args:
        room: bytes that they may take, as they stand in the file.
    """

    def __init__(self, room: int) -> None:
        self.room, self.left_out = room, list[str]()

    def add(self, content: bytes, kind: str, alt: str, caption: str) -> str:
        """A picture as HTML; empty, and remembered, where there is no room."""
        size = 4 * len(content) // 3
        if size > self.room:
            self.left_out.append(caption)
            return ""
        self.room -= size
        return html.figure(content, kind, alt, caption)


def stamp(time: np.datetime64) -> str:
    """A time for people."""
    return str(time.astype("datetime64[m]")).replace("T", " ")


def _png(figure: Any) -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=120)
    return buffer.getvalue()


def own(found: Found, pictures: Pictures) -> str:
    """The PNG files that the run has made."""
    parts = []
    for name, path in found.pictures.items():
        content = path.read_bytes()
        if not content.startswith(b"\x89PNG\r\n\x1a\n"):
            found.problems.append(f"{name}: no PNG picture")
            continue
        about = _ABOUT.get(path.stem, f"{path.stem}: a picture that the run has made")
        parts.append(
            pictures.add(content, "png", about, f"{name}: {about}" if path.stem in _ABOUT else name)
        )
    return "".join(parts)


def drawn(found: Found, pictures: Pictures) -> str:
    """A map in the middle of the output, beside its input, and the hours of its highest place."""
    if found.output is None:
        return ""
    from deepcams.plotting import compare_maps, map_figure, series_figure
    from deepcams.plotting.series import place_words

    parts = []
    field, original = _plain(found.output.field), _plain(found.original)
    species = label(str(field.name))
    try:
        hour, place = _telling(field)
        when = stamp(hour)
        if original is None:
            figure = map_figure(field, hour)
        else:
            figure = compare_maps({"deepcams": field}, hour, source=("input", original))
        alt = f"Map of {species} at {when} UTC" + (
            ", the input beside deepcams" if original is not None else ""
        )
        parts.append(pictures.add(_png(figure), "png", alt, f"{species} at {when} UTC"))
        if place is None:
            found.problems.append(
                "a picture could not be drawn: the output has no values around its middle"
            )
            return "".join(parts)
        where = place_words(place)
        figure = series_figure(
            {"deepcams": field.isel(time=slice(0, MOST_HOURS))}, place, original=original
        )
        alt = f"Line chart of {species} over time at {where}"
        parts.append(
            pictures.add(
                _png(figure), "png", alt, f"{species} at {where}, where it is highest in that map"
            )
        )
    except DeepcamsError as error:
        found.problems.append(f"a picture could not be drawn: {error}")
    return "".join(parts)


def _plain(field: Any) -> Any:
    """A field whose texts are drawn as they are: no formula, and nothing that no font has."""
    if field is None:
        return None
    words = {
        key: html.printable(value).replace("$", "")
        for key, value in field.attrs.items()
        if type(value) is str
    }
    return field.assign_attrs(words)


def _telling(field: xr.DataArray) -> tuple[np.datetime64, tuple[float, float] | None]:
    """A time in the middle that has values (else the middle), and the place of its largest value if it has any."""
    count = field.sizes["time"]
    order = sorted(range(count), key=lambda k: abs(k - count // 2))
    values, at = np.asarray(field.isel(time=order[0]).values), order[0]
    for k in order[:24]:
        values, at = np.asarray(field.isel(time=k).values), k
        if np.isfinite(values).any():
            break
    if not np.isfinite(values).any():
        return field.time.values[order[0]], None
    known = np.where(np.isfinite(values), values, -math.inf)
    row, column = np.unravel_index(int(known.argmax()), known.shape)
    return field.time.values[at], (
        float(field.longitude.values[column]),
        float(field.latitude.values[row]),
    )


def animation(found: Found, pictures: Pictures) -> str:
    """The output's first hours, beside its input where that has frames, folded up."""
    if found.output is None or found.output.field.sizes["time"] < 2:
        return ""
    from deepcams.plotting import animate

    field, original = (
        _plain(found.output.field).isel(time=slice(0, MOST_FRAMES)),
        _plain(found.original),
    )
    fields = {"deepcams": field} if original is None else {"input": original, "deepcams": field}
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
        first, last = (stamp(field.time.values[k]) for k in (0, -1))
        caption = f"{field.sizes['time']} times, {first} to {last} UTC"
        shown = pictures.add(path.read_bytes(), "gif", f"Animated map: {caption}", caption)
    return (
        f'<details class="screen"><summary>Show the animation</summary>{shown}</details>'
        if shown
        else ""
    )


def trainings(found: Found, pictures: Pictures) -> str:
    """How each training went, and its experiment."""
    parts = []
    for name, folder in found.trainings.items():
        from deepcams.plotting.training import training_figure

        try:
            # Its validation may have come after the picture that it keeps beside its log, so that is drawn anew.
            content = _png(training_figure(folder))
            settings = (folder / "experiment.yaml").read_text(encoding="utf-8")
        except (DeepcamsError, OSError, ValueError, KeyError) as error:
            found.problems.append(
                f"{name}: the training's log cannot be read ({type(error).__name__})"
            )
            continue
        parts.append(pictures.add(content, "png", f"{_ABOUT['curve']}: {name}", name))
        about = (
            f"<summary>{html.text(name)}: the experiment</summary><pre>{html.text(settings)}</pre>"
        )
        parts.append(f"<details>{about}</details>")
    return "".join(parts)
