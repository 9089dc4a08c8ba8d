"""Pictures for a report: those written by the run, and a map, a time series and an animation of its output."""

from __future__ import annotations

import base64
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from markupsafe import Markup

from deepcams.core.errors import DeepcamsError, InputError
from deepcams.core.field import moments
from deepcams.core.species import label
from deepcams.report.discover import Found
from deepcams.report.page import printable

MOST_FRAMES = 36
"""Maximum number of hours in an animation."""
MOST_HOURS = 24 * 14
"""Maximum number of hours in a time series."""
_TRIED = 24  # maximum number of times searched for one with values

_ABOUT = {
    "map": "Maps of one hour: truth, input, baseline and result",
    "scatter": "Density scatter of the fields against the stations, with correlation and fitted line",
    "stations-n": "Map of the stations, coloured by how many hours each was compared over",
    "diurnal": "Mean of each hour of the day at the stations, measured and modelled",
    "curve": "How a training's loss and validation went, step by step",
}
"""Alternative texts of pictures, by name."""


@dataclass(frozen=True)
class Picture:
    """A picture embedded in the file.

    Attributes:
        kind: png or gif.
        data: content in base64.
        alt: alternative text.
        caption: caption below the picture.
    """

    kind: str
    data: str
    alt: str
    caption: str


class Pictures:
    """Collects pictures up to a total size.

    Args:
        room: maximum total size in the file, bytes.

    Attributes:
        left_out: captions of the pictures that did not fit.
    """

    def __init__(self, room: int) -> None:
        self.room = room
        self.left_out: list[str] = []

    def add(self, content: bytes, kind: str, alt: str, caption: str) -> list[Picture]:
        """Return a picture, or an empty list if it does not fit."""
        data = base64.b64encode(content).decode()
        if len(data) > self.room:
            self.left_out.append(caption)
            return []
        self.room -= len(data)
        return [Picture(kind, Markup(data), alt, caption)]

    def draw(self, figure: Any, alt: str, caption: str) -> list[Picture]:
        """Return the picture of a figure."""
        from deepcams.plotting.figure_layout import picture

        return self.add(picture(figure, dpi=120), "png", alt, caption)


def made(found: Found, pictures: Pictures) -> list[Picture]:
    """Return the PNG files written by the run."""
    blocks = []
    for name, path in found.pictures.items():
        content = path.read_bytes()
        if not content.startswith(b"\x89PNG\r\n\x1a\n"):
            found.problems.append(f"{name}: no PNG picture")
            continue
        about, caption = f"{path.stem}: a picture that the run has made", name
        if path.stem in _ABOUT:
            about = _ABOUT[path.stem]
            caption = f"{name}: {about}"
        blocks += pictures.add(content, "png", about, caption)
    return blocks


def drawn(found: Found, pictures: Pictures) -> list[Picture]:
    """Return a map at the middle of the output, with its input, and a time series at the map's maximum."""
    if found.output is None:
        return []
    from deepcams.plotting import compare_maps, map_figure, series_figure
    from deepcams.plotting.series import place_words

    blocks: list[Picture] = []
    field = _plain(found.output.field)
    original = None if found.original is None else _plain(found.original)
    species = label(str(field.name))
    try:
        hour, place = _time_and_place(field)
        when = f"{species} at {moments(field, hour, hour)}"
        if original is None:
            blocks += pictures.draw(map_figure(field, hour), f"Map of {when}", when)
        else:
            figure = compare_maps({"deepcams": field}, hour, source=("input", original))
            blocks += pictures.draw(
                figure, f"Map of {when}, the input beside deepcams", when
            )
        if place is None:
            raise InputError(
                "output",
                "values around its middle",
                "it has no values around its middle",
            )
        if field.sizes["time"] < 2:
            return blocks
        where = place_words(place)
        first = field.isel(time=slice(0, MOST_HOURS))
        figure = series_figure({"deepcams": first}, place, original=original)
        alt = f"Line chart of {species} over time at {where}"
        caption = f"{species} at {where}, where it is highest in that map"
        blocks += pictures.draw(figure, alt, caption)
    except DeepcamsError as error:
        found.problems.append(f"a picture could not be drawn: {error}")
    return blocks


def _plain(field: xr.DataArray) -> xr.DataArray:
    """Return a field with texts that are drawn literally: without mathematics and characters without glyphs."""
    texts = {key: value for key, value in field.attrs.items() if type(value) is str}
    return field.assign_attrs(
        {key: printable(value).replace("$", "") for key, value in texts.items()}
    )


def _time_and_place(
    field: xr.DataArray,
) -> tuple[np.datetime64, tuple[float, float] | None]:
    """Return a time near the middle that has values (else the middle), and the location of its maximum, if any."""
    count = field.sizes["time"]
    nearest = sorted(range(count), key=lambda k: abs(k - count // 2))
    for k in nearest[:_TRIED]:
        values = np.asarray(field.isel(time=k).values)
        if np.isfinite(values).any():
            largest = int(np.where(np.isfinite(values), values, -np.inf).argmax())
            row, column = np.unravel_index(largest, values.shape)
            place = (
                float(field.longitude.values[column]),
                float(field.latitude.values[row]),
            )
            return field.time.values[k], place
    return field.time.values[nearest[0]], None


def animation(found: Found, pictures: Pictures) -> list[Picture]:
    """Return an animation of the output's first hours, with its input if that has frames."""
    if found.output is None or found.output.field.sizes["time"] < 2:
        return []
    from deepcams.plotting import animate

    field = _plain(found.output.field).isel(time=slice(0, MOST_FRAMES))
    choices = [{"deepcams": field}]
    if found.original is not None:
        choices.insert(0, {"input": _plain(found.original), "deepcams": field})
    with tempfile.TemporaryDirectory(prefix="deepcams-report-") as folder:
        path = Path(folder) / "animation.gif"
        try:
            try:
                animate(choices[0], path, size="column", fps=5)
            except InputError:  # the input may have a gap
                animate(choices[-1], path, size="column", fps=5)
        except DeepcamsError as error:
            found.problems.append(f"the animation could not be made: {error}")
            return []
        times = field.time.values
        caption = f"{times.size} times, {moments(field, *times[[0, -1]])}"
        return pictures.add(
            path.read_bytes(), "gif", f"Animated map: {caption}", caption
        )


def trainings(found: Found, pictures: Pictures) -> list[tuple[str, list[Picture], str]]:
    """Return the name, the curve and the experiment of each training.

    The curve is redrawn, because the validation may be newer than the picture in the training's folder.
    """
    from deepcams.plotting import training_figure

    courses = []
    for name, folder in found.trainings.items():
        try:
            shown = pictures.draw(
                training_figure(folder), f"{_ABOUT['curve']}: {name}", name
            )
            settings = (folder / "experiment.yaml").read_text(encoding="utf-8")
        except (DeepcamsError, OSError, ValueError, KeyError) as error:
            cause = type(error).__name__
            found.problems.append(
                f"{name}: the training's log cannot be read ({cause})"
            )
        else:
            courses.append((name, shown, settings))
    return courses
