"""Fields in motion, as MP4 or GIF: one, or the original beside what was made of it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import xarray as xr
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.text import Text

from deepcams.core.errors import InputError
from deepcams.core.field import grid_of
from deepcams.core.grid import Grid
from deepcams.core.period import Period
from deepcams.plotting import style
from deepcams.plotting.encoders import KINDS, writer
from deepcams.plotting.extent import Box, View, window
from deepcams.plotting.maps import draw_map, species_of
from deepcams.plotting.page import (
    Sheet,
    Size,
    credit_of,
    legible,
    size_of,
    text_width,
    writing_height,
)
from deepcams.plotting.raster import Placing
from deepcams.plotting.reading import Progress, frame_at, index_at, stamp, times_in

_LEFT, _RIGHT, _GAP, _TITLE, _TICKS, _BAR = 0.62, 0.15, 0.2, 0.28, 0.3, 0.8  # inches of text size 1
_MOST = 1920  # pixels from side to side
_SAMPLES = 9  # frames that the scale is chosen from
_SHADES = 200  # of the colours, where a format has 256 in all
_MOST_FRAMES = {".mp4": 100_000, ".gif": 1000}  # a GIF of more would not play


class _Film:
    """A figure whose maps change from frame to frame; all else is drawn once."""

    def __init__(
        self,
        fields: Mapping[str, xr.DataArray],
        view: View,
        norm: Normalize,
        samples: list[np.ndarray],
        paper: Size,
        scale: str,
        title: str,
        note: str,
        credit: str,
    ) -> None:
        self.fields, self.view, self.norm = fields, view, norm
        self.parts = {name: window(grid_of(field), view) for name, field in fields.items()}
        k, many = paper.text, len(fields)
        first = next(iter(fields.values()))
        bar = (_BAR + (0.12 if scale == "guideline" else 0)) * k
        columns, rows = (many, 1) if view.height > 0.62 or many == 1 else (1, many)
        texts = writing_height(paper, title, note, credit)
        head = _TITLE * (
            2 if columns > 1 and paper.width / k < 9 else 1
        )  # narrow maps have the time on its own line
        self.between = "\n" if head > _TITLE else "   "
        fixed = bar + rows * (head + _TICKS) * k
        wide = min(
            (paper.width - (_LEFT + _RIGHT + (columns - 1) * _GAP) * k) / columns,
            (min(paper.tallest, (1.0 if head > _TITLE else 0.72) * paper.width) - fixed - texts)
            / rows
            / view.height,
        )
        tall = wide * view.height
        width = columns * (wide + _GAP * k) + (_LEFT + _RIGHT - _GAP) * k
        width = max(width, 0.55 * paper.width)
        left = (width - columns * wide - (columns - 1) * _GAP * k + (_LEFT - _RIGHT) * k) / 2
        sheet = Sheet(
            paper,
            fixed + rows * tall,
            width=width,
            title=title,
            note=note,
            credit=credit,
            left=left / k,
        )
        self.figure: Figure = sheet.figure
        even = [2 * max(round(size * paper.dpi / 2), 1) for size in (sheet.width, sheet.height)]
        self.figure.set_size_inches(
            even[0] / paper.dpi, even[1] / paper.dpi
        )  # encoders want even numbers
        self.images: dict[str, AxesImage] = {}
        self.titles: dict[str, Text] = {}
        for at, name in enumerate(fields):
            row, column = divmod(at, columns)
            bottom = sheet.top - (row + 1) * (head * k + tall) - row * _TICKS * k
            axes = sheet.axes(left + column * (wide + _GAP * k), bottom, wide, tall)
            part: Grid = self.parts[name][0]
            empty = np.full(part.shape, np.nan, np.float32)
            degrees = column == 0, row == rows - 1
            self.images[name] = draw_map(
                axes, empty, part, view, norm, style.CONCENTRATION_COLOURS, k, degrees
            )
            words = self._title(name, first.time.values[0]).splitlines()
            longest = max(text_width(line, 9.5 * k) for line in words)
            points = style.points(9.5 * k * min(1.0, wide / longest))
            self.titles[name] = axes.set_title(" ", fontsize=points, loc="left", pad=3 * k)
        long = min(width * 0.8, 5.0 * k)
        label = f"{species_of(first)} ({style.UNITS_TEXT}){style.scale_words(scale)}"
        sheet.scale(
            next(iter(self.images.values())),
            samples,
            ((width - long) / 2, sheet.bottom + bar - 0.3 * k, long),
            label,
        )
        self.canvas = FigureCanvasAgg(self.figure)
        self._prepare()

    def _prepare(self) -> None:
        """Draw what stays: the sheet without times, and under what share of it each map's colours are seen.

        Lines, letters and edges over a map only mix with its colours: from the map in black and the map in white
        follows the map in any colours, without drawing anything again.
        """
        drawn = []
        for shade in (0, 255):
            for image in self.images.values():
                image.set_data(np.full((1, 1, 3), shade, np.uint8))
            self.canvas.draw()  # type: ignore[no-untyped-call]
            drawn.append(self._picture())
        blackened, whitened = drawn
        self._paper = self.canvas.copy_from_bbox(self.figure.bbox)  # type: ignore[no-untyped-call]
        self.places: dict[str, Placing] = {}
        self._mixed: dict[str, tuple[np.ndarray, np.ndarray, np.ndarray]] = {}
        for name, image in self.images.items():
            place = Placing(image.axes, self.parts[name][0], self.view)
            black = blackened[place.rows, place.columns].reshape(-1, 3)
            share = whitened[place.rows, place.columns].reshape(-1, 3).astype(np.int16) - black
            mixed = np.flatnonzero((share < 255).any(axis=1))
            self.places[name] = place
            self._mixed[name] = (
                mixed,
                black[mixed].astype(np.float32),
                share[mixed].astype(np.float32) / 255,
            )

    def _title(self, name: str, time: np.datetime64) -> str:
        return (
            f"{legible(name)}, {grid_of(self.fields[name]).step:g}°{self.between}{stamp(time)} UTC"
        )

    def _picture(self) -> np.ndarray:
        return np.array(self.canvas.buffer_rgba())[..., :3]  # type: ignore[no-untyped-call]

    def frame(self, time: np.datetime64) -> np.ndarray:
        """The picture of a time: (height, width, 3), uint8."""
        maps = {}
        for name, field in self.fields.items():
            values, own = frame_at(field, time, name, *self.parts[name][1:])
            maps[name] = self.places[name].picture(values, self.norm, style.CONCENTRATION_COLOURS)
            self.titles[name].set_text(self._title(name, own))
        self.canvas.restore_region(self._paper)  # type: ignore[no-untyped-call]
        for title in self.titles.values():
            title.axes.draw_artist(title)  # type: ignore[union-attr]
        whole = self._picture()
        for name, colours in maps.items():
            place, (mixed, black, share) = self.places[name], self._mixed[name]
            flat = colours.reshape(-1, 3)
            flat[mixed] = np.rint(black + share * flat[mixed])
            whole[place.rows, place.columns] = colours
        return whole


def animate(
    fields: Mapping[str, xr.DataArray],
    path: Path | str,
    *,
    period: Period | None = None,
    every: int = 1,
    box: Box | None = None,
    projection: str = "plate-carree",
    scale: str = "log",
    size: str = "screen",
    fps: float = 8,
    title: str = "",
    note: str = "",
    credit: str | None = None,
    progress: Progress | None = None,
) -> Path:
    """Draw the frames of a field, or of two on common times, one after the other; memory stays level.

    Args:
        fields: name -> canonical field, one or two; the one with the most frames in the period gives the times. The
            other shows its last frame less than 3 h before, with its own time written above.
        path: ends in ``.mp4`` (needs the extra [plot]) or ``.gif``.
        period: only these times; default all.
        every: show only every so-manieth frame.
        box, projection, scale, size, title, note, credit: as in :func:`deepcams.plotting.maps.map_figure`.
        fps: frames a second.
        progress: called with the number of frames done, and of all.

    Returns:
        the path, whole: what is unfinished lies beside it and is removed.

    Raises:
        InputError: no frames, no such box, a field that ends too early; another ending.
        MissingExtraError: MP4 without the extra [plot].
        OutputError: the file cannot be written.
    """
    path = Path(path)
    kind = path.suffix.lower()
    if kind not in KINDS:
        raise InputError(path, "a name that ends in .mp4 or .gif", path.suffix or "no ending")
    if not 1 <= len(fields) <= 2:
        raise InputError("fields", "one or two", len(fields))
    if every < 1 or not 0 < fps <= 60:
        raise InputError(
            "--every, --fps", "every at least 1, fps above 0 and at most 60", f"{every}, {fps:g}"
        )
    spans = {name: times_in(field, period, name) for name, field in fields.items()}
    densest = max(spans, key=lambda name: spans[name].stop - spans[name].start)
    times = fields[densest].time.values[spans[densest]][::every]
    for name, field in fields.items():
        for time in times[[0, -1]]:
            index_at(field, time, name)
    if times.size > _MOST_FRAMES[kind]:
        raise InputError(
            path,
            f"at most {_MOST_FRAMES[kind]:,} frames",
            f"{times.size:,}",
            "use --every or --period",
        )
    view = View.of(grid_of(fields[densest]), box, projection)
    _, rows, columns = window(grid_of(fields[densest]), view)
    some = times[np.unique(np.linspace(0, times.size - 1, _SAMPLES).astype(int))]
    samples = [frame_at(fields[densest], time, densest, rows, columns)[0] for time in some]
    norm = style.norm_of(scale, samples, str(fields[densest].name))
    paper = size_of(size)
    paper = Size(paper.width, paper.tallest, paper.text, min(paper.dpi, int(_MOST / paper.width)))
    head = title or species_of(fields[densest])
    credit = credit_of(*fields.values(), span=(times[0], times[-1])) if credit is None else credit
    film = _Film(fields, view, norm, samples, paper, scale, head, note, credit)
    colours = style.colours(style.CONCENTRATION_COLOURS)(np.linspace(0, 1, _SHADES), bytes=True)[
        :, :3
    ]
    with writer(path, fps, colours) as write:
        for done, time in enumerate(times):
            write(film.frame(time))
            if progress is not None:
                progress(done + 1, times.size)
    return path
