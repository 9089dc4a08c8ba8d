"""Films: their frames, how they move, and what cannot be written."""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr
from PIL import Image

from deepcams.core.errors import InputError, MissingExtraError, OutputError
from deepcams.core.field import field_like, grid_of
from deepcams.core.period import Period
from deepcams.plotting import animate, film
from plotting.test_pictures import BOX, START, as_before, hourly, shrunk, sparse


@pytest.mark.parametrize("projection", ["plate-carree", "robinson"])
def test_a_films_frame_looks_as_it_did(
    projection: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = frames_of(
        {"original": sparse(), "ours": hourly()},
        tmp_path,
        monkeypatch,
        projection=projection,
        every=6,
    )
    assert len(found) == 2
    assert as_before(shrunk(found[1]), f"film-{projection}")


def frames_of(
    fields: dict[str, xr.DataArray],
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    **how: Any,
) -> list[np.ndarray]:
    """The pictures that :func:`animate` gives to the encoder."""
    pictures: list[np.ndarray] = []

    @contextmanager
    def keep(*_: object) -> Iterator[Callable[[np.ndarray], None]]:
        yield pictures.append

    monkeypatch.setattr("deepcams.plotting.film.writer", keep)
    animate(fields, folder / "film.gif", **how)
    return pictures


@pytest.mark.parametrize("projection", ["plate-carree", "equal-earth", "south-polar"])
def test_every_frame_is_the_whole_drawing(
    projection: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only the maps are drawn anew for each frame: the picture is that of drawing everything."""
    drawn: list[np.ndarray] = []
    frame = film._Film.frame

    def draw_all(self: film._Film, time: np.datetime64) -> np.ndarray:
        found = frame(self, time)
        for axes in self.figure.axes:
            axes.set_animated(False)
        self.canvas.draw()
        drawn.append(np.array(self.canvas.buffer_rgba())[..., :3])
        for image in self.images.values():
            image.axes.set_animated(True)
        return found

    monkeypatch.setattr(film._Film, "frame", draw_all)
    how = {"projection": projection, "every": 3, "size": "column"}
    found = frames_of({"ours": hourly()}, tmp_path, monkeypatch, **how)
    assert len(found) == 3
    np.testing.assert_array_equal(found, drawn)


@pytest.mark.parametrize("kind", ["mp4", "gif"])
def test_a_film_has_its_frames_and_they_move(kind: str, tmp_path: Path) -> None:
    if kind == "mp4":
        pytest.importorskip("imageio_ffmpeg")
    told: list[int] = []
    path = animate(
        {"original": sparse(), "ours": hourly()},
        tmp_path / f"film.{kind}",
        box=BOX,
        size="column",
        progress=lambda stage, done, total: told.append(total),
    )
    assert [each.name for each in tmp_path.iterdir()] == [f"film.{kind}"]
    assert told == [7] * 7
    frames = _frames(path)
    assert len(frames) == 7
    moved = [np.abs(a.astype(int) - b).max(axis=2) > 40 for a, b in pairwise(frames)]
    assert all(each.mean() > 0.001 for each in moved)
    with pytest.raises(InputError, match=r"ends in \.mp4 or \.gif"):
        animate({"ours": hourly()}, tmp_path / "film.avi")
    with pytest.raises(InputError, match="the nearest is"):
        animate(
            {"ours": hourly()}, tmp_path / f"no.{kind}", period=Period.parse("2018")
        )


def _frames(path: Path) -> list[np.ndarray]:
    if path.suffix == ".gif":
        with Image.open(path) as film:
            frames = []
            for at in range(film.n_frames):
                film.seek(at)
                frames.append(np.asarray(film.convert("RGB")))
            return frames
    import imageio_ffmpeg

    reader = imageio_ffmpeg.read_frames(str(path))
    width, height = next(reader)["size"]
    return [np.frombuffer(each, np.uint8).reshape(height, width, 3) for each in reader]


@pytest.mark.parametrize("size", ["column", "page", "screen"])
def test_titles_of_a_film_lie_beside_one_another(
    size: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    films = []
    draw = film._Film.frame

    def frame(self: film._Film, time: np.datetime64) -> np.ndarray:
        films.append(self)
        return draw(self, time)

    monkeypatch.setattr(film._Film, "frame", frame)
    animate(
        {"original": sparse(), "ours": hourly()},
        tmp_path / "a.gif",
        box=(140, -42, 158, -28),
        every=6,
        size=size,
    )
    left, right = (
        films[0].titles[name].get_window_extent() for name in ("original", "ours")
    )
    assert left.x1 <= right.x0
    assert right.x1 <= films[0].figure.bbox.x1


def test_memory_does_not_grow_with_a_film(tmp_path: Path) -> None:
    import tracemalloc

    hours = field_like(
        hourly(),
        hourly().data[np.arange(10) % 7],
        grid_of(hourly()),
        START + np.arange(10) * np.timedelta64(1, "h"),
    )
    most = []
    for number in (2, 10):
        tracemalloc.start()
        animate(
            {"ours": hours.isel(time=slice(number))},
            tmp_path / "a.gif",
            size="column",
            box=BOX,
        )
        most.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    with Image.open(tmp_path / "a.gif") as film:
        assert film.n_frames == 10
        frame = 3 * film.width * film.height
    assert most[1] - most[0] < 4 * frame  # a kept frame each would be 8


def test_an_mp4_without_its_extra_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "imageio_ffmpeg", None)
    with pytest.raises(MissingExtraError, match=r"needs the extra \[plot\]"):
        animate({"ours": hourly()}, tmp_path / "film.mp4")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("kind", ["mp4", "gif"])
def test_a_film_that_cannot_be_written_is_one_line(kind: str, tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="cannot be written") as caught:
        animate({"ours": hourly()}, tmp_path / "no" / f"film.{kind}")
    assert "\n" not in str(caught.value)


SAYS = {
    "a full disk": (
        "av_interleaved_write_frame(): No space left on device",
        "No space left on device; free some",
    ),
    "an unknown codec": (
        "Unknown encoder 'libx264'",
        "ffmpeg ended with status 3 (Unknown encoder 'libx264')",
    ),
    "nothing": ("", "ffmpeg ended with status 3 (no reason given)"),
}


@pytest.mark.skipif(os.name != "posix", reason="the encoder is a shell script")
@pytest.mark.parametrize("what", SAYS)
def test_an_encoder_that_fails_is_one_line_with_its_reason(
    what: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    pytest.importorskip("imageio_ffmpeg")
    said, told = SAYS[what]
    encoder = tmp_path / "ffmpeg"
    lines = f"[out#0/mp4] Error submitting a packet\n{said}".strip() if said else ""
    encoder.write_text(
        f"#!/bin/sh\nhead -c 1000 > /dev/null\ncat >&2 <<'END'\n{lines}\nEND\nexit 3\n"
    )
    encoder.chmod(0o755)
    monkeypatch.setenv("IMAGEIO_FFMPEG_EXE", str(encoder))
    with pytest.raises(OutputError) as caught:
        animate(
            {"ours": hourly()}, tmp_path / "film.mp4", size="column", box=BOX, every=3
        )
    assert f"{tmp_path / 'film.mp4'} cannot be written: " in str(caught.value)
    assert told in str(caught.value)
    assert "permissions" not in str(caught.value)
    assert capfd.readouterr() == ("", "")
    assert [path.name for path in tmp_path.iterdir()] == ["ffmpeg"]


def test_an_encoder_that_cannot_be_started_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("imageio_ffmpeg")
    monkeypatch.setenv("IMAGEIO_FFMPEG_EXE", str(tmp_path / "none"))
    with pytest.raises(
        OutputError, match=r"ffmpeg cannot be started .*; a \.gif needs none"
    ):
        animate(
            {"ours": hourly()}, tmp_path / "film.mp4", size="column", box=BOX, every=3
        )
    assert list(tmp_path.iterdir()) == []


def test_a_gif_on_a_full_disk_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    @contextmanager
    def full(*_: object) -> Iterator[Callable[[np.ndarray], None]]:
        def write(_: np.ndarray) -> None:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        yield write

    monkeypatch.setattr(film, "_gif", full)
    with pytest.raises(OutputError, match="No space left on device; free some space"):
        animate(
            {"ours": hourly()}, tmp_path / "film.gif", size="column", box=BOX, every=3
        )
