"""Films: their frames, how they move, and what cannot be written."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr
from matplotlib.axes import Axes
from PIL import Image

from deepcams.core.errors import InputError, MissingExtraError, OutputError
from deepcams.core.field import field_like, grid_of
from deepcams.core.period import Period
from deepcams.plotting import animate, animation, raster
from deepcams.plotting.projection import View
from deepcams.plotting.raster import shown
from plotting.test_pictures import BOX, START, as_before, hourly, pixels, shrunk, sparse


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
    fields: dict[str, xr.DataArray], folder: Path, monkeypatch: pytest.MonkeyPatch, **how: Any
) -> list[np.ndarray]:
    """The pictures that :func:`animate` gives to the encoder."""
    pictures: list[np.ndarray] = []

    @contextmanager
    def keep(*_: object) -> Iterator[Callable[[np.ndarray], None]]:
        yield pictures.append

    monkeypatch.setattr("deepcams.plotting.animation.writer", keep)
    animate(fields, folder / "film.gif", **how)
    return pictures


@pytest.mark.parametrize("projection", ["plate-carree", "equal-earth", "south-polar"])
def test_a_films_frame_is_what_matplotlib_draws(
    projection: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Frames are blended, not drawn: line by line and colour by colour they are the drawing."""
    films = []
    prepare = animation._Film._prepare
    monkeypatch.setattr(
        animation._Film, "_prepare", lambda film: (films.append(film), prepare(film))
    )
    (found, *_) = frames_of(
        {"ours": hourly()}, tmp_path, monkeypatch, projection=projection, every=6, size="column"
    )
    (film,) = films
    image = film.images["ours"]
    image.set_data(
        shown(raster_pixels(hourly().values[0], film.view, image.axes), film.norm, "magma_r")
    )
    image.set_interpolation("nearest")
    film.titles["ours"].set_text("ours, 1.5°   2019-12-31 15:00 UTC")
    drawn = pixels(film.figure)
    different = abs(found.astype(int) - drawn).max(axis=2)
    assert different.mean() < 1.5  # cells' edges fall on other pixels
    assert (different > 60).mean() < 0.012


def raster_pixels(values: np.ndarray, view: View, axes: Axes) -> np.ndarray:
    return raster.pixels(values, grid_of(hourly()), view, raster.pixels_across(axes))[0]


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
        progress=lambda done, total: told.append(total),
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
        animate({"ours": hourly()}, tmp_path / f"no.{kind}", period=Period.parse("2018"))


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
    draw = animation._Film.frame

    def frame(self: animation._Film, time: np.datetime64) -> np.ndarray:
        films.append(self)
        return draw(self, time)

    monkeypatch.setattr(animation._Film, "frame", frame)
    animate(
        {"original": sparse(), "ours": hourly()},
        tmp_path / "a.gif",
        box=(140, -42, 158, -28),
        every=6,
        size=size,
    )
    left, right = (films[0].titles[name].get_window_extent() for name in ("original", "ours"))
    assert left.x1 <= right.x0
    assert right.x1 <= films[0].figure.bbox.x1


def test_memory_does_not_grow_with_a_film(tmp_path: Path) -> None:
    import tracemalloc

    hours = field_like(
        hourly(),
        hourly().data[np.arange(16) % 7],
        grid_of(hourly()),
        START + np.arange(16) * np.timedelta64(1, "h"),
    )
    most = []
    for number in (4, 16):
        tracemalloc.start()
        animate({"ours": hours.isel(time=slice(number))}, tmp_path / "a.gif", size="column")
        most.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    with Image.open(tmp_path / "a.gif") as film:
        assert film.n_frames == 16
        frame = 3 * film.width * film.height
    assert most[1] - most[0] < 4 * frame  # a kept frame each would be 12


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
