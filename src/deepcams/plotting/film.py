"""Animations of fields as MP4 or GIF: one field, or the original beside the field made from it."""

from __future__ import annotations

import errno
import os
import subprocess
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path

import numpy as np
import xarray as xr
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.image import AxesImage
from matplotlib.text import Text

from deepcams.core.errors import InputError, MissingExtraError, OutputError
from deepcams.core.field import grid_of, moments
from deepcams.core.grid import Grid
from deepcams.core.period import Period
from deepcams.core.progress import Progress, no_progress
from deepcams.files.atomic import atomic_path
from deepcams.plotting import style
from deepcams.plotting.figure_layout import Row, Sheet, Size, Texts, own_style, size_of
from deepcams.plotting.lettering import legible
from deepcams.plotting.maps import TICKS, draw_map, pixels, pixels_across, species_of
from deepcams.plotting.projection import View, window
from deepcams.plotting.reading import frame_at, index_at, times_in

_TITLE = 0.28  # height of a title line, inches of text size 1
_MOST = 1920  # maximum width, pixels
_SAMPLES = 9  # number of frames that determine the scale
_SHADES = 200  # shades of the scale in a GIF, of 256 colours
_MOST_FRAMES = {".mp4": 100_000, ".gif": 1000}  # longer GIFs do not play

Write = Callable[[np.ndarray], object]
"""Function that appends a picture, (height, width, 3), uint8; all have the same even height and width."""


def animate(
    fields: Mapping[str, xr.DataArray],
    path: Path | str,
    *,
    period: Period | None = None,
    every: int = 1,
    box: Sequence[float] | None = None,
    projection: str = "plate-carree",
    scale: str = "log",
    size: str = "screen",
    fps: float = 8,
    title: str = "",
    note: str = "",
    credit: str | None = None,
    progress: Progress = no_progress,
) -> Path:
    """Draw the frames of one field, or of two at common times, as an animation, in constant memory.

    Args:
        fields: one or two canonical fields by name; the one with more frames in the period determines the times. The
            other shows its last frame less than 3 h before, with its own time written above.
        path: name ending in ``.mp4`` (needs the extra [plot]) or ``.gif``.
        period: only these times; default: all.
        every: show every n-th frame.
        box, projection, scale, size, title, note, credit: as in :func:`deepcams.plotting.maps.map_figure`.
        fps: frames per second.
        progress: callback while drawing frames.

    Returns:
        the path; the file is written atomically.

    Raises:
        InputError: no frames, an invalid box, a field that ends too early, or another suffix.
        MissingExtraError: MP4 without the extra [plot].
        OutputError: the file cannot be written.
    """
    path = Path(path)
    kind = path.suffix.lower()
    if kind not in _MOST_FRAMES:
        raise InputError(
            path, "a name that ends in .mp4 or .gif", path.suffix or "no ending"
        )
    if not 1 <= len(fields) <= 2:
        raise InputError("fields", "one or two", len(fields))
    if every < 1 or not 0.002 <= fps <= 60:  # a GIF's frame lasts 655 s at most
        expected = "every at least 1, fps from 0.002 to 60"
        raise InputError("--every, --fps", expected, f"{every}, {fps:g}")
    spans = {name: times_in(field, period, name) for name, field in fields.items()}
    densest = max(spans, key=lambda name: spans[name].stop - spans[name].start)
    first = fields[densest]
    times = first.time.values[spans[densest]][::every]
    for name, field in fields.items():
        for time in times[[0, -1]]:
            index_at(field, time, name)
    if times.size > _MOST_FRAMES[kind]:
        expected = f"at most {_MOST_FRAMES[kind]:,} frames"
        raise InputError(path, expected, f"{times.size:,}", "use --every or --period")
    view = View.of(grid_of(first), box, projection)
    _, nodes = window(grid_of(first), view)
    some = times[np.unique(np.linspace(0, times.size - 1, _SAMPLES).astype(int))]
    samples = [frame_at(first, time, densest, nodes)[0] for time in some]
    colours = style.ColourScale.of_concentrations(scale, samples, str(first.name))
    paper = size_of(size)
    paper = replace(paper, dpi=min(paper.dpi, int(_MOST / paper.width)))
    title = title or species_of(first)
    texts = Texts.of(title, note, credit, fields.values(), (times[0], times[-1]))
    film = _Film(fields, view, colours, paper, texts)
    shades = colours.colours(np.linspace(0, 1, _SHADES), bytes=True)[:, :3]
    with writer(path, fps, shades, film.canvas.get_width_height()) as write:
        for done, time in enumerate(times, 1):
            write(film.frame(time))
            progress("drawing", done, times.size)
    return path


class _Film:
    """A figure whose maps are redrawn for each frame; everything else is drawn once."""

    def __init__(
        self,
        fields: Mapping[str, xr.DataArray],
        view: View,
        scale: style.ColourScale,
        paper: Size,
        texts: Texts,
    ) -> None:
        self.fields, self.view, self.scale = fields, view, scale
        self.parts = {
            name: window(grid_of(field), view) for name, field in fields.items()
        }
        across = len(fields) if view.height > 0.62 else 1
        rows = len(fields) // across
        # Narrow maps have the time on a separate line.
        lines = 2 if across > 1 and paper.width / paper.text < 9 else 1
        self.between = "\n" if lines == 2 else "   "
        # Even for slides an animation is only as wide as its maps.
        paper = replace(paper, tallest=min(paper.tallest, paper.width), fixed=False)
        places = [Row(_TITLE * lines, view.height, TICKS)] * rows
        sheet = Sheet(paper, texts, places, across, (0.62, 0.15, 0.2), [scale])
        self.images: dict[str, AxesImage] = {}
        self.titles: dict[str, Text] = {}
        with own_style(sheet.k):
            self.figure = sheet.figure
            # Encoders require even numbers of pixels.
            size = np.rint(np.array(self.figure.bbox.size) / 2) * 2
            self.figure.set_size_inches(*(size / paper.dpi))
            for at, (name, field) in enumerate(fields.items()):
                row, column = divmod(at, across)
                axes = sheet.axes(row, column)
                part: Grid = self.parts[name][0]
                empty = np.full(part.shape, np.nan, np.float32)
                degrees = column == 0, row == rows - 1
                self.images[name] = draw_map(
                    axes, empty, part, view, scale, sheet.k, degrees
                )
                self.titles[name] = sheet.title(
                    axes, self._title(name, field.time.values[0])
                )
                axes.set_animated(True)
            sheet.bars()
            self.canvas = FigureCanvasAgg(self.figure)
            self.canvas.draw()  # type: ignore[no-untyped-call]
        self._still = self.canvas.copy_from_bbox(self.figure.bbox)  # type: ignore[no-untyped-call]

    def _title(self, name: str, time: np.datetime64) -> str:
        field = self.fields[name]
        when = moments(field, time, time)
        return f"{legible(name)}, {grid_of(field).step:g}°{self.between}{when}"

    def frame(self, time: np.datetime64) -> np.ndarray:
        """Return the picture of a time: (height, width, 3), uint8."""
        for name, field in self.fields.items():
            part, nodes = self.parts[name]
            values, own = frame_at(field, time, name, nodes)
            image = self.images[name]
            cells, _ = pixels(values, part, self.view, pixels_across(image.axes))
            image.set_data(self.scale.shown(cells))
            self.titles[name].set_text(self._title(name, own))
        self.canvas.restore_region(self._still)  # type: ignore[no-untyped-call]
        with own_style(self.figure.k):
            for image in self.images.values():
                self.figure.draw_artist(image.axes)
        return np.array(self.canvas.buffer_rgba())[..., :3]  # type: ignore[no-untyped-call]


@contextmanager
def writer(
    path: Path, fps: float, colours: np.ndarray, size: tuple[int, int]
) -> Iterator[Write]:
    """Open an animation for writing; the file appears under its name when complete.

    Args:
        path: name ending in ``.mp4`` or ``.gif``.
        fps: frames per second.
        colours: (n, 3), uint8, palette of a GIF in addition to greys; at most 250.
        size: width and height, pixels.

    Raises:
        MissingExtraError: MP4 without the extra [plot].
        OutputError: the file cannot be written.
    """
    with atomic_path(path, make_folder=False) as temporary:
        encoder = _mp4(temporary, fps, size, path)
        if path.suffix.lower() == ".gif":
            encoder = _gif(temporary, fps, colours)
        with encoder as write:
            yield write


@contextmanager
def _mp4(path: Path, fps: float, size: tuple[int, int], name: Path) -> Iterator[Write]:
    """Encode pictures with ffmpeg; ``name``: name of the animation in messages."""
    try:
        import imageio_ffmpeg
    except ImportError as error:
        raise MissingExtraError("an MP4 (a GIF does not)", "plot") from error
    path.touch()  # fails for an unwritable folder before the encoder is started
    given = f"-f rawvideo -pix_fmt rgb24 -s {size[0]}x{size[1]} -r {fps:.9g} -i -"
    made = "-c:v libx264 -pix_fmt yuv420p -crf 20 -preset veryfast -movflags +faststart -f mp4"
    options = f"-y -loglevel error {given} {made}".split()
    try:
        command = [imageio_ffmpeg.get_ffmpeg_exe(), *options, str(path.resolve())]
        process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stderr=subprocess.PIPE
        )
    except (OSError, RuntimeError) as error:
        raise _failed(name, f"cannot be started ({error})") from error
    said: list[bytes] = []
    assert process.stdin is not None
    stdin = process.stdin
    listener = threading.Thread(target=lambda: said.extend(process.stderr or ()))
    listener.start()

    def write(picture: np.ndarray) -> None:
        try:
            stdin.write(picture.tobytes())
        except OSError as error:
            raise why() from error

    def why() -> Exception:
        """Wait for the end of the encoder, and return the reason for its failure."""
        process.wait()
        listener.join()
        log = b"".join(said).decode(errors="replace")
        for code in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO):
            if os.strerror(code) in log:
                return OSError(code, os.strerror(code))
        last = (log.strip().splitlines() or ["no reason given"])[-1]
        return _failed(name, f"ended with status {process.returncode} ({last})")

    try:
        yield write
        with suppress(OSError):
            stdin.close()
        if process.wait():
            raise why()
    finally:
        process.kill()
        process.wait()
        listener.join()
        with suppress(OSError):
            stdin.close()


def _failed(path: Path, what: str) -> OutputError:
    return OutputError(
        f"{path} cannot be written: the encoder ffmpeg {what}; a .gif needs none"
    )


@contextmanager
def _gif(path: Path, fps: float, colours: np.ndarray) -> Iterator[Write]:
    """Write a GIF with one palette of 256 colours; each frame holds only the box that changed.

    ``Image.save`` would keep all frames in memory until the end; these functions of Pillow write each frame at once.
    """
    from PIL import GifImagePlugin, Image

    greys = np.linspace(0, 255, 256 - len(colours)).round().astype(np.uint8)
    palette = Image.new("P", (1, 1))
    palette.putpalette(
        np.concatenate([colours, np.stack([greys] * 3, axis=1)]).tobytes()
    )
    before: np.ndarray | None = None
    elapsed = 0.0  # remainder, in hundredths of a second, the unit of a GIF

    with path.open("wb") as file:

        def write(picture: np.ndarray) -> None:
            nonlocal before, elapsed
            image = Image.fromarray(picture).quantize(
                palette=palette, dither=Image.Dither.NONE
            )
            index = np.asarray(image)
            box = 0, 0, *image.size
            if before is None:
                header, _ = GifImagePlugin.getheader(
                    image, info={"loop": 0, "duration": 10}
                )
                file.writelines(header)
            else:
                box = Image.fromarray(index != before).getbbox() or (0, 0, 1, 1)
            elapsed += 100 / fps
            hundredths = max(round(elapsed), 2)  # viewers slow down faster GIFs
            elapsed -= hundredths
            frame = GifImagePlugin.getdata(
                image.crop(box), box[:2], duration=10 * hundredths
            )
            file.writelines(frame)
            before = index

        yield write
        file.write(b";")
