"""Pictures one after the other into a film: MP4 or GIF, in memory that does not grow with it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from deepcams.core.errors import MissingExtraError
from deepcams.files.atomic import atomic_path

KINDS = (".mp4", ".gif")
Write = Callable[[np.ndarray], None]
"""Takes the next picture, (height, width, 3), uint8; all of one size, of even numbers."""


@contextmanager
def writer(path: Path, fps: float, colours: np.ndarray) -> Iterator[Write]:
    """A function that takes pictures; the file appears, under its name, when all are there.

    Args:
        path: ends in one of :data:`KINDS`.
        fps: frames a second.
        colours: (n, 3), uint8, what a GIF has beside greys; at most 250.

    Raises:
        MissingExtraError: MP4 without the extra [plot].
        OutputError: the file cannot be written.
    """
    kind = path.suffix.lower()
    with (
        atomic_path(path, make_folder=False) as temporary,
        _mp4(temporary, fps) if kind == ".mp4" else _gif(temporary, fps, colours) as write,
    ):
        yield write


@contextmanager
def _mp4(path: Path, fps: float) -> Iterator[Any]:
    try:
        import imageio_ffmpeg
    except ImportError as error:
        raise MissingExtraError("an MP4 (a GIF does not)", "plot") from error
    path.open("wb").close()  # the encoder's own word on a folder that is not there would be long
    encoder: Any = None

    def write(picture: np.ndarray) -> None:
        nonlocal encoder
        if encoder is None:
            encoder = imageio_ffmpeg.write_frames(
                str(path),
                (picture.shape[1], picture.shape[0]),
                fps=fps,
                codec="libx264",
                macro_block_size=2,
                pix_fmt_out="yuv420p",
                quality=None,
                ffmpeg_log_level="error",
                output_params=[
                    "-f",
                    "mp4",
                    "-crf",
                    "20",
                    "-preset",
                    "veryfast",
                    "-movflags",
                    "+faststart",
                ],
            )
            encoder.send(None)
        encoder.send(np.ascontiguousarray(picture))

    try:
        yield write
    finally:
        if encoder is not None:
            encoder.close()


@contextmanager
def _gif(path: Path, fps: float, colours: np.ndarray) -> Iterator[Write]:
    """Pictures of at most 256 colours, the same for all; each holds only the box that changed.

    Pillow's own way of saving many frames keeps all of them in memory until the last one: here each goes to the file.
    """
    from PIL import GifImagePlugin, Image

    greys = np.repeat(
        np.linspace(0, 255, 256 - len(colours)).round().astype(np.uint8)[:, None], 3, axis=1
    )
    palette = np.concatenate([colours, greys]).astype(np.uint8)
    nearest = _nearest(palette)
    before: np.ndarray | None = None
    late, step = (
        0.0,
        100 / fps,
    )  # a GIF counts in hundredths of a second: what is cut off is added later

    with path.open("wb") as file:

        def write(picture: np.ndarray) -> None:
            nonlocal before, late
            red, green, blue = (picture[..., channel] >> 3 for channel in range(3))
            index = nearest[red.astype(np.uint16) << 10 | green.astype(np.uint16) << 5 | blue]
            top, bottom, left, right = 0, index.shape[0], 0, index.shape[1]
            if before is not None:
                changed = index != before
                rows, columns = (np.flatnonzero(changed.any(axis=axis)) for axis in (1, 0))
                top, bottom = (rows[0], rows[-1] + 1) if rows.size else (0, 1)
                left, right = (columns[0], columns[-1] + 1) if columns.size else (0, 1)
            image = Image.fromarray(np.ascontiguousarray(index[top:bottom, left:right]), "P")
            image.putpalette(palette.tobytes())
            if before is None:
                file.writelines(
                    GifImagePlugin.getheader(image, info={"loop": 0, "duration": 10})[0]
                )
            late += step
            hundredths = max(round(late), 2)  # viewers slow down what is faster
            late -= hundredths
            file.writelines(
                GifImagePlugin.getdata(image, (int(left), int(top)), duration=10 * hundredths)
            )
            before = index

        yield write
        file.write(b";")


def _nearest(palette: np.ndarray) -> np.ndarray:
    """Number of the nearest colour for each of 32 x 32 x 32: (32768,), uint8."""
    from scipy.spatial import KDTree

    levels = np.arange(32) << 3 | np.arange(32) >> 2  # white stays white
    cube = np.stack(np.meshgrid(levels, levels, levels, indexing="ij"), axis=-1).reshape(-1, 3)
    return np.asarray(KDTree(palette.astype(float)).query(cube)[1], np.uint8)
