"""Each kind of figure against a small picture of it, looked at when it was made.

``DEEPCAMS_NEW_BASELINES=1 pytest tests/plotting/test_pictures.py`` makes them anew; look at each before keeping it.
"""

from __future__ import annotations

import io
import os
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.text import Text
from PIL import Image

from deepcams.degrade import coarsen
from deepcams.errors import InputError, MissingExtraError, OutputError
from deepcams.field import field_like, grid_of
from deepcams.grid import Grid
from deepcams.period import Period
from deepcams.plotting import (
    animate,
    animation,
    annual_figure,
    compare_maps,
    map_figure,
    raster,
    save,
    sequence_figure,
    series_figure,
    training_figure,
)
from deepcams.plotting.diurnal import Cycle, diurnal_figure
from deepcams.plotting.raster import shown
from deepcams.plotting.scatter import ScatterPanel, scatter_figure
from deepcams.plotting.sheet import SIZES
from deepcams.plotting.stations import station_map
from deepcams.plotting.view import View

BASELINE = Path(__file__).parent / "baseline"
WIDTH = 220  # pixels of a baseline: letters become grey, places and colours stay
START = np.datetime64("2019-12-31T15", "ns")
BOX = (160.0, -50.0, -160.0, -20.0)  # across the dateline
CREDIT = (
    "Source: OpenAQ; CAMS global reanalysis (EAC4). Contains modified Copernicus Atmosphere Monitoring Service "
    "information 2018-2019"
)


@cache
def hourly() -> xr.DataArray:
    """The globe at 1.5 degrees for 7 hours: a wave that moves, a fire of 3,000 at the dateline, 0.05 at a pole."""
    grid = Grid.globe(1.5)
    latitude, longitude = np.meshgrid(grid.latitudes, grid.longitudes, indexing="ij")
    hours = np.arange(7)
    wave = [np.exp(2 + 1.5 * np.sin(np.deg2rad(3 * longitude - 6 * h)) * np.cos(np.deg2rad(latitude))) for h in hours]
    fire = 3000 * np.exp(-((latitude + 35) ** 2 + ((longitude - 179 - hours[:, None, None]) % 360) ** 2) / 20)
    values = np.where(latitude > 80, 0.05, np.array(wave) + fire)
    values[:, 70:74, 100:110] = np.nan
    template = xr.DataArray(0.0, name="pm2p5", attrs={"source": "made for tests"})
    return field_like(template, values.astype(np.float32), grid, START + hours * np.timedelta64(1, "h"))


@cache
def sparse() -> xr.DataArray:
    return coarsen(hourly()).isel(time=slice(None, None, 3))


def a_training(folder: Path) -> Path:
    rows = [f"{step},{1 / (1 + step):.4f},{1.4 - step / 40:.3f},{int(step == 9)}" for step in range(10)]
    (folder / "log.csv").write_text("step,loss,skill,best\n" + "\n".join(rows) + "\n")
    return folder


def a_scatter(size: str) -> Figure:
    observed, model = np.meshgrid(np.arange(300), np.arange(300), indexing="ij")
    density = np.rint(40 * np.exp(-((model - 0.7 * observed - 9) ** 2) / 400 - observed / 60)).astype(np.int32)
    panel = ScatterPanel("", density, int(density.sum()), 0.812, 12.3, -4.5, 0.7, 9.0)
    panels = [replace(panel, title=f"{name}, {year}") for name in ("original, 0.75°", "field, 0.25°") for year in "123"]
    return scatter_figure([panels[:3], panels[3:]], title="Stations and model, 1 to 3", note="hourly values", size=size,
                          credit=CREDIT)  # fmt: skip


def a_station_map(size: str) -> Figure:
    latitude, longitude = (each.ravel() for each in np.meshgrid(np.arange(44, 54, 1.0), np.arange(2, 20, 1.5)))
    hours = {"2018": longitude * 400, "2019": latitude * 100}
    return station_map(
        latitude, longitude, hours, "n", title="Stations", note="made for tests", size=size, credit=CREDIT
    )


def a_cycle(size: str) -> Figure:
    hours = np.arange(24) + 0.5
    wave = 20 + 5 * np.cos(np.deg2rad(15 * (hours - 8)))
    cycles = [
        Cycle("observed", "observed", wave, spread=np.full(24, 1.0)), Cycle("field", "field", wave * 1.1),
        Cycle("original", "original", wave[::-1], dashed=True),
    ]  # fmt: skip
    return diurnal_figure(
        cycles, title="Diurnal cycle at the stations", note="made for tests", size=size, credit=CREDIT
    )


KINDS: dict[str, Callable[[Path], Figure]] = {
    "map": lambda _: map_figure(hourly()),
    "map-robinson-who": lambda _: map_figure(hourly(), projection="robinson", scale="guideline", size="column"),
    "map-equal-earth": lambda _: map_figure(hourly(), projection="equal-earth", size="page"),
    "map-north": lambda _: map_figure(hourly(), projection="north-polar", size="column"),
    "map-south": lambda _: map_figure(hourly(), projection="south-polar"),
    "map-mean": lambda _: map_figure(hourly(), period=Period.parse("2019-12-31"), box=BOX, size="slide"),
    "compare": lambda _: compare_maps(
        {"A": hourly() * 1.1, "B": hourly()}, START, truth=hourly(), source=("Input", sparse()), zooms=[BOX],
        size="page",
    ),
    "sequence": lambda _: sequence_figure({"ours": hourly()}, original=sparse(), box=BOX, size="page"),
    "series": lambda _: series_figure({"ours": hourly()}, (179.0, -35.0), original=sparse(), scale="log"),
    "series-who": lambda _: series_figure({"ours": hourly()}, (60.0, 0.0), scale="guideline", size="column"),
    "annual": lambda _: annual_figure(hourly(), sparse(), projection="robinson", size="page"),
    "annual-slide": lambda _: annual_figure(hourly(), sparse(), box=BOX, size="slide"),
    "annual-south": lambda _: annual_figure(hourly(), sparse(), projection="south-polar", size="page"),
    "map-sector": lambda _: map_figure(
        hourly(), box=(20.0, 60.0, -150.0, 90.0), projection="north-polar", size="column"
    ),
    "compare-column": lambda _: compare_maps(
        {"A": hourly()}, START, truth=hourly() * 1.1, source=("Input", sparse()), zooms=[BOX, (0.0, 40.0, 20.0, 60.0)],
        size="column",
    ),
    "training": lambda folder: training_figure(a_training(folder)),
    "training-column": lambda folder: training_figure(a_training(folder), "column"),
    "stations": lambda _: a_station_map("page"),
    "stations-column": lambda _: a_station_map("column"),
    "scatter": lambda _: a_scatter("page"),
    "scatter-column": lambda _: a_scatter("column"),
    "diurnal": lambda _: a_cycle("slide"),
    "diurnal-column": lambda _: a_cycle("column"),
}  # fmt: skip


_drawn: dict[str, tuple[Figure, np.ndarray]] = {}


def drawn(kind: str, folder: Path) -> tuple[Figure, np.ndarray]:
    """Each figure and its small picture are made once for all tests that look at them."""
    if kind not in _drawn:
        with xr.set_options(keep_attrs=True):
            figure = KINDS[kind](folder)
        _drawn[kind] = figure, small(figure)
    return _drawn[kind]


def small(figure: Figure) -> np.ndarray:
    """The picture, (height, 220, 3), 0..255."""
    figure.set_dpi(80)
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return shrunk(np.asarray(canvas.buffer_rgba())[..., :3])


def shrunk(picture: np.ndarray) -> np.ndarray:
    """Small as a baseline."""
    whole = Image.fromarray(picture.copy())
    height = round(WIDTH * whole.height / whole.width)
    return np.asarray(whole.resize((WIDTH, height), Image.Resampling.BOX), int)


def as_before(found: np.ndarray, name: str) -> bool:
    """Whether a picture is the baseline of that name, but for fonts and antialiasing, which differ between releases."""
    path = BASELINE / f"{name}.png"
    if os.environ.get("DEEPCAMS_NEW_BASELINES"):
        Image.fromarray(found.astype(np.uint8)).quantize(256, kmeans=4).save(path, optimize=True)
    expected = np.asarray(Image.open(path).convert("RGB"), int)
    if abs(found.shape[0] - expected.shape[0]) > 2:
        return False
    rows = min(found.shape[0], expected.shape[0])
    different = abs(found[:rows] - expected[:rows]).max(axis=2)
    return bool(different.mean() < 6 and (different > 60).mean() < 0.01)


@pytest.mark.parametrize("kind", KINDS)
def test_looks_as_it_did(kind: str, tmp_path: Path) -> None:
    assert as_before(drawn(kind, tmp_path)[1], kind)


@pytest.mark.parametrize("projection", ["plate-carree", "robinson"])
def test_a_films_frame_looks_as_it_did(projection: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = frames_of({"original": sparse(), "ours": hourly()}, tmp_path, monkeypatch, projection=projection, every=6)
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
    monkeypatch.setattr(animation._Film, "_prepare", lambda film: (films.append(film), prepare(film)))
    (found, *_) = frames_of({"ours": hourly()}, tmp_path, monkeypatch, projection=projection, every=6, size="column")
    (film,) = films
    image = film.images["ours"]
    image.set_data(shown(raster_pixels(hourly().values[0], film.view, image.axes), film.norm, "magma_r"))
    image.set_interpolation("nearest")
    film.titles["ours"].set_text("ours, 1.5°   2019-12-31 15:00 UTC")
    drawn = pixels(film.figure)
    different = abs(found.astype(int) - drawn).max(axis=2)
    assert different.mean() < 1.5  # cells' edges fall on other pixels
    assert (different > 60).mean() < 0.012


def raster_pixels(values: np.ndarray, view: View, axes: Axes) -> np.ndarray:
    return raster.pixels(values, grid_of(hourly()), view, raster.pixels_across(axes))[0]


CHANGES: dict[str, tuple[str, Callable[[], Figure]]] = {
    "a field shifted by 9 degrees": ("map", lambda: map_figure(
        hourly().copy(data=np.roll(hourly().values, 6, axis=2)))),
    "another scale": ("map", lambda: map_figure(hourly(), scale="guideline")),
    "another projection": ("map-north", lambda: map_figure(hourly(), projection="south-polar", size="column")),
    "values a third higher": ("series-who", lambda: series_figure(
        {"ours": hourly() * 1.33}, (60.0, 0.0), scale="guideline", size="column")),
    "another place": ("series", lambda: series_figure(
        {"ours": hourly()}, (0.0, 0.0), original=sparse(), scale="log")),
    "an error of other sign": ("compare", lambda: compare_maps(
        {"A": hourly() * 0.9, "B": hourly()}, START, truth=hourly(), source=("Input", sparse()), zooms=[BOX],
        size="page")),
    "no original": ("sequence", lambda: sequence_figure({"ours": hourly()}, box=BOX, size="page")),
    "another hour": ("map-mean", lambda: map_figure(hourly(), START, box=BOX, size="slide")),
}  # fmt: skip


@pytest.mark.parametrize("change", CHANGES)
def test_a_real_change_is_seen(change: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DEEPCAMS_NEW_BASELINES", raising=False)
    kind, draw = CHANGES[change]
    with xr.set_options(keep_attrs=True):
        assert not as_before(small(draw()), kind)


@pytest.mark.parametrize("kind", KINDS)
def test_nothing_is_written_below_six_points(kind: str, tmp_path: Path) -> None:
    figure, _ = drawn(kind, tmp_path)
    written = [text for text in figure.findobj(Text) if text.get_text().strip() and text.get_visible()]
    assert written
    assert min(text.get_fontsize() for text in written) >= 6


AS_LARGE = {
    "map": "screen", "map-robinson-who": "column", "map-equal-earth": "page", "map-mean": "slide",
    "compare": "page", "compare-column": "column", "annual": "page", "annual-slide": "slide", "series": "screen",
    "series-who": "column", "stations": "page", "stations-column": "column", "scatter": "page",
    "scatter-column": "column", "diurnal": "slide", "diurnal-column": "column", "training-column": "column",
}  # fmt: skip


@pytest.mark.parametrize(("kind", "size"), AS_LARGE.items())
def test_figures_are_as_large_as_their_paper(kind: str, size: str, tmp_path: Path) -> None:
    fits(drawn(kind, tmp_path)[0], size)


@pytest.mark.parametrize("size", ["screen", "slide"])
@pytest.mark.parametrize("draw", [a_scatter, a_station_map, a_cycle])
def test_station_figures_are_as_large_as_their_paper(size: str, draw: Callable[[str], Figure]) -> None:
    fits(draw(size), size)


def fits(figure: Figure, size: str) -> None:
    width, height = figure.get_size_inches()
    assert width <= SIZES[size].width + 1e-6
    assert height <= SIZES[size].tallest + 0.01
    if SIZES[size].fixed:
        assert width == SIZES[size].width


@pytest.mark.parametrize("kind", KINDS)
def test_nothing_sticks_out_of_the_paper_or_lies_on_the_writing(kind: str, tmp_path: Path) -> None:
    figure, _ = drawn(kind, tmp_path)
    boxes = [axes.get_tightbbox() for axes in figure.axes]
    words = [text.get_window_extent() for text in figure.texts]
    for box in [*boxes, *words]:
        assert box is not None
        assert box.x0 >= -1
        assert box.y0 >= -1
        assert box.x1 <= figure.bbox.x1 + 1
        assert box.y1 <= figure.bbox.y1 + 1
    for word in words:
        for box in boxes:
            across = min(word.x1, box.x1) - max(word.x0, box.x0)
            up = min(word.y1, box.y1) - max(word.y0, box.y0)
            assert across <= 2 or up <= 2, (word, box)


def pixels(figure: Figure) -> np.ndarray:
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3].astype(int)


@pytest.mark.parametrize("projection", ["robinson", "equal-earth", "north-polar", "south-polar"])
def test_a_value_is_drawn_at_its_place_and_there_is_no_seam(projection: str) -> None:
    grid = Grid.globe(1.5)
    sign = -1 if projection == "south-polar" else 1
    field = hourly().isel(time=slice(0, 1)).copy(data=np.full((1, *grid.shape), 10, np.float32))
    row, column = round((90 - sign * 60) / 1.5), round(90 / 1.5)
    field.values[0, row - 2 : row + 3, column - 2 : column + 3] = 2000
    figure = map_figure(field, projection=projection)
    image, axes = pixels(figure), figure.axes[0]
    plane = View.of(grid, None, projection).plane

    def colour(longitude: float, latitude: float) -> np.ndarray:
        x, y = axes.transData.transform(plane.forward(longitude, latitude))
        return image[image.shape[0] - 1 - int(y), int(x)]

    def wanted(value: float) -> np.ndarray:
        return np.round(np.array(axes.images[0].cmap(axes.images[0].norm(value))[:3]) * 255)

    np.testing.assert_allclose(colour(90.3, sign * 57.6), wanted(2000), atol=2)
    polar = projection.endswith("polar")
    for longitude in (178.6, -178.6) if polar else (179.0, -179.0):  # both sides of the dateline
        np.testing.assert_allclose(colour(longitude, sign * (63.2 if polar else 40.0)), wanted(10), atol=2)
    if polar:
        np.testing.assert_allclose(colour(77.0, sign * 89.0), wanted(10), atol=2)


@pytest.mark.parametrize("projection", ["plate-carree", "robinson", "equal-earth", "north-polar", "south-polar"])
def test_projections_come_back_to_where_they_began(projection: str) -> None:
    from deepcams.plotting.projection import Projection

    plane = Projection(projection, 150.0)
    sign = -1 if projection == "south-polar" else 1
    longitude, latitude = np.meshgrid(np.arange(-25, 326, 7.0), sign * np.arange(5, 90, 3.0))
    back = plane.inverse(*plane.forward(longitude, latitude))
    np.testing.assert_allclose((back[0] - longitude + 180) % 360, 180, atol=0.02)
    np.testing.assert_allclose(back[1], latitude, atol=0.02)


def test_equal_earth_and_robinson_are_what_their_papers_say() -> None:
    from deepcams.plotting.projection import Projection

    equal = Projection("equal-earth")
    x, y = equal.forward(np.array([180.0, 0.0]), np.array([0.0, 90.0]))
    assert x[0] == pytest.approx(2.7066, abs=1e-3)  # Savric et al.: width 2.05 times the height
    assert x[0] / y[1] == pytest.approx(2.05, abs=0.01)
    north = np.linspace(0, 89, 60)
    edge, up = equal.forward(np.full(60, 180.0), north)
    area = np.trapezoid(edge, up)  # a quarter of the sphere between meridians: equal areas
    assert area == pytest.approx(np.pi * np.sin(np.deg2rad(89)), rel=2e-3)
    robinson = Projection("robinson")
    assert robinson.forward(180.0, 0.0)[0] / robinson.forward(0.0, 90.0)[1] == pytest.approx(1.9716, abs=1e-3)
    assert robinson.forward(180.0, 90.0)[0] / robinson.forward(180.0, 0.0)[0] == pytest.approx(0.5322, abs=1e-4)


def test_a_constant_field_and_one_with_nothing_are_drawn() -> None:
    for value in (0.0, 7.0, 3000.0, np.nan):
        field = hourly().copy(data=np.full(hourly().shape, value, np.float32))
        for scale in ("log", "guideline"):
            small(map_figure(field, box=BOX, scale=scale, size="column"))
    with pytest.raises(InputError, match="nothing but missing"):
        series_figure({"ours": field}, (0.0, 0.0))


@pytest.mark.parametrize(
    ("draw", "message"),
    [
        (lambda: map_figure(hourly(), START - np.timedelta64(9, "h")), "the nearest is 2019-12-31 15:00"),
        (lambda: map_figure(hourly(), START + np.timedelta64(12, "h")), "the nearest is 2019-12-31 21:00"),
        (lambda: map_figure(hourly(), period=Period.parse("2018")), "the nearest is 2019-12-31 15:00"),
        (lambda: map_figure(hourly(), box=(10.1, 10.1, 10.9, 10.4)), "holds nodes"),
        (lambda: map_figure(hourly(), projection="mercator"), "--projection: expected one of"),
        (lambda: map_figure(hourly(), box=(0, -80, 30, -60), projection="north-polar"), "on the pole's side"),
        (lambda: map_figure(hourly(), box=(0, 60, 30, 80), projection="south-polar"), "on the pole's side"),
        (lambda: map_figure(hourly(), scale="linear"), "--scale: expected one of"),
        (lambda: map_figure(hourly(), size="poster"), "--size: expected one of"),
        (lambda: map_figure(hourly().rename("no2"), scale="guideline"), "expected PM2.5 or PM10"),
        (lambda: series_figure({"a": hourly()}, (400.0, 0.0)), "--at: expected"),
        (lambda: series_figure({"a": hourly().isel(longitude=slice(0, 20))}, (90.0, 0.0)), "a place in the data"),
        (lambda: sequence_figure({"a": hourly()}, hours=30), "2 to 12 frames"),
        (lambda: sequence_figure({"a": hourly()}, hours=9), "the nearest is 2019-12-31 21:00"),
        (lambda: annual_figure(hourly(), hourly()[:, ::2, ::2]), "an odd number of times as coarse"),
        (lambda: save(map_figure(hourly()), "map.bmp"), "ends in .png, .pdf or .svg"),
    ],
)  # fmt: skip
def test_what_is_not_there_is_said(draw: Callable[[], object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        draw()


def test_means_and_series_are_the_numbers_of_the_field() -> None:
    from deepcams.plotting.reading import mean
    from deepcams.plotting.series import series_at

    lazy = hourly().chunk({"time": 2})
    np.testing.assert_allclose(mean(lazy, slice(1, 6)), hourly().values[1:6].mean(axis=0), rtol=1e-6)
    times, values = series_at(lazy, (181.4, -35.2), Period.parse("2019-12-31T16..2019-12-31T18"))
    assert times.size == 3
    np.testing.assert_allclose(values, hourly().sel(latitude=-34.5, longitude=181.5).values[1:4], rtol=1e-6)
    _, box = series_at(lazy, (170.0, -40.0, -170.0, -30.0))
    inside = hourly().sel(latitude=slice(-30, -40)).sel(longitude=slice(170, 190))
    weights = np.cos(np.deg2rad(inside.latitude))
    np.testing.assert_allclose(box, inside.weighted(weights).mean(("latitude", "longitude")).values, rtol=1e-5)


def test_only_what_is_drawn_is_read() -> None:
    import dask.array as da

    grid, seen = Grid.globe(1.5), []

    def block(block_info: dict | None = None) -> np.ndarray:
        if block_info:
            seen.append(block_info[None]["chunk-location"])
        return np.full((1, 121, 60), 5, np.float32)

    data = da.map_blocks(block, chunks=((1,) * 7, (121,), (60,) * 4), dtype=np.float32, meta=np.zeros((0, 0, 0), "f4"))
    field = field_like(hourly(), data, grid)
    map_figure(field, START, box=(95.0, -20.0, 170.0, 20.0))
    assert set(seen) == {(0, 0, 1)}
    seen.clear()
    series_figure({"ours": field}, (95.0, 0.0))
    assert {each[2] for each in seen} == {1}


@pytest.mark.parametrize("kind", ["mp4", "gif"])
def test_a_film_has_its_frames_and_they_move(kind: str, tmp_path: Path) -> None:
    if kind == "mp4":
        pytest.importorskip("imageio_ffmpeg")
    told: list[int] = []
    path = animate(
        {"original": sparse(), "ours": hourly()}, tmp_path / f"film.{kind}", box=BOX, size="column",
        progress=lambda done, total: told.append(total),
    )  # fmt: skip
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


@pytest.mark.parametrize("ending", ["png", "pdf", "svg"])
def test_all_formats(ending: str, tmp_path: Path) -> None:
    path = save(series_figure({"ours": hourly()}, (60.0, 0.0)), tmp_path / f"a.{ending}")
    starts = {"png": b"\x89PNG", "pdf": b"%PDF", "svg": b"<?xml"}
    assert path.read_bytes().startswith(starts[ending])
    assert grid_of(hourly()).step == 1.5  # the field itself is untouched


def test_a_box_across_the_edge_of_the_overview_is_outlined_on_both_sides() -> None:
    figure = compare_maps({"ours": hourly()}, START, zooms=[BOX])
    overview = figure.axes[0]
    west, east = overview.get_xlim()
    edges = sorted(patch.get_bbox().x0 for patch in overview.patches)
    assert edges == [-200, 160]
    assert west < -160 < 160 < east


@pytest.mark.parametrize("size", ["column", "page", "screen"])
def test_titles_of_a_film_lie_beside_one_another(size: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    films = []
    draw = animation._Film.frame

    def frame(self: animation._Film, time: np.datetime64) -> np.ndarray:
        films.append(self)
        return draw(self, time)

    monkeypatch.setattr(animation._Film, "frame", frame)
    animate({"original": sparse(), "ours": hourly()}, tmp_path / "a.gif", box=(140, -42, 158, -28), every=6, size=size)
    left, right = (films[0].titles[name].get_window_extent() for name in ("original", "ours"))
    assert left.x1 <= right.x0
    assert right.x1 <= films[0].figure.bbox.x1


@pytest.mark.parametrize("words", ["a $x^", "50 $ or $_{", "\x00\x07 bell \ud800", r"$\alpha$ and PM$_{2.5}$"])
def test_any_words_are_drawn(words: str, tmp_path: Path) -> None:
    """Names of files and what they say of themselves, and what a user types."""
    field = hourly().assign_attrs(source=f"CAMS {words}")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        pixels(map_figure(field, title=words, note=words, box=BOX))
        pixels(compare_maps({words: field}, START, truth=field, box=BOX))
        pixels(sequence_figure({words: field}, hours=2, box=BOX))
        pixels(series_figure({words: field}, (60.0, 0.0)))
        if "bell" in words or "alpha" in words:  # letters that cannot be drawn, and mathematics that can
            animate({words: field}, tmp_path / "a.gif", every=6, size="column", box=BOX)


def test_memory_does_not_grow_with_a_film(tmp_path: Path) -> None:
    import tracemalloc

    hours = field_like(
        hourly(), hourly().data[np.arange(30) % 7], grid_of(hourly()), START + np.arange(30) * np.timedelta64(1, "h")
    )
    most = []
    for number in (6, 30):
        tracemalloc.start()
        animate({"ours": hours.isel(time=slice(number))}, tmp_path / "a.gif", size="column")
        most.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    with Image.open(tmp_path / "a.gif") as film:
        assert film.n_frames == 30
        frame = 3 * film.width * film.height
    assert most[1] - most[0] < 4 * frame  # a kept frame each would be 24


def test_an_mp4_without_its_extra_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "imageio_ffmpeg", None)
    with pytest.raises(MissingExtraError, match=r"needs the extra \[plot\]"):
        animate({"ours": hourly()}, tmp_path / "film.mp4")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("kind", ["mp4", "gif"])
def test_a_film_that_cannot_be_written_is_one_line(kind: str, tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="cannot be written") as caught:
        animate({"ours": hourly()}, tmp_path / "no" / f"film.{kind}")
    assert "\n" not in str(caught.value)


def test_figures_are_shown_in_a_notebook() -> None:
    """What a notebook asks of a cell's last value: its picture."""
    for figure in (map_figure(hourly(), box=BOX), series_figure({"ours": hourly()}, (60.0, 0.0)), a_cycle("column")):
        assert isinstance(figure, Figure)
        picture = io.BytesIO()
        figure.canvas.print_figure(picture, format="png")
        assert picture.getvalue().startswith(b"\x89PNG")
