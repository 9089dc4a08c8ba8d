"""Each kind of figure against a small picture of it, looked at when it was made.

``DEEPCAMS_NEW_BASELINES=1 pytest tests/plotting/test_pictures.py`` makes them anew; look at each before keeping it.
"""

from __future__ import annotations

import io
import os
import warnings
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import pytest
import xarray as xr
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.text import Text
from PIL import Image

from deepcams.core.errors import InputError
from deepcams.core.field import field_like, grid_of
from deepcams.core.grid import Grid
from deepcams.core.period import Period
from deepcams.methods.spatial.coarsen import coarsen
from deepcams.plotting import (
    animate,
    annual_figure,
    compare_maps,
    map_figure,
    save,
    sequence_figure,
    series_figure,
    training_figure,
)
from deepcams.plotting.figure_layout import SIZES, picture
from deepcams.plotting.scores.diurnal import Cycle, diurnal_figure
from deepcams.plotting.scores.scatter import ScatterPanel, scatter_figure
from deepcams.plotting.scores.stations import station_map

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
    wave = [
        np.exp(
            2
            + 1.5
            * np.sin(np.deg2rad(3 * longitude - 6 * h))
            * np.cos(np.deg2rad(latitude))
        )
        for h in hours
    ]
    fire = 3000 * np.exp(
        -((latitude + 35) ** 2 + ((longitude - 179 - hours[:, None, None]) % 360) ** 2)
        / 20
    )
    values = np.where(latitude > 80, 0.05, np.array(wave) + fire)
    values[:, 70:74, 100:110] = np.nan
    template = xr.DataArray(0.0, name="pm2p5", attrs={"source": "made for tests"})
    return field_like(
        template,
        values.astype(np.float32),
        grid,
        START + hours * np.timedelta64(1, "h"),
    )


@cache
def sparse() -> xr.DataArray:
    return coarsen(hourly()).isel(time=slice(None, None, 3))


def a_training(folder: Path) -> Path:
    rows = [
        f"{step},{1 / (1 + step):.4f},{1.4 - step / 40:.3f},{int(step == 9)}"
        for step in range(10)
    ]
    (folder / "log.csv").write_text("step,loss,skill,best\n" + "\n".join(rows) + "\n")
    return folder


def a_scatter(size: str) -> Figure:
    observed, model = np.meshgrid(np.arange(300), np.arange(300), indexing="ij")
    density = np.rint(
        40 * np.exp(-((model - 0.7 * observed - 9) ** 2) / 400 - observed / 60)
    ).astype(np.int32)
    panel = ScatterPanel("", density, int(density.sum()), 0.812, 12.3, -4.5, 0.7, 9.0)
    panels = [
        replace(panel, title=f"{name}, {year}")
        for name in ("original, 0.75°", "field, 0.25°")
        for year in "123"
    ]
    return scatter_figure(
        [panels[:3], panels[3:]],
        title="Stations and model, 1 to 3",
        note="hourly values",
        size=size,
        credit=CREDIT,
    )


def a_station_map(size: str) -> Figure:
    latitude, longitude = (
        each.ravel()
        for each in np.meshgrid(np.arange(44, 54, 1.0), np.arange(2, 20, 1.5))
    )
    hours = {"2018": longitude * 400, "2019": latitude * 100}
    return station_map(
        latitude,
        longitude,
        hours,
        "n",
        title="Stations",
        note="made for tests",
        size=size,
        credit=CREDIT,
    )


def a_cycle(size: str) -> Figure:
    hours = np.arange(24) + 0.5
    wave = 20 + 5 * np.cos(np.deg2rad(15 * (hours - 8)))
    cycles = [
        Cycle("observed", "observed", wave, spread=np.full(24, 1.0)),
        Cycle("field", "field", wave * 1.1),
        Cycle("original", "original", wave[::-1], dashed=True),
    ]
    return diurnal_figure(
        cycles,
        title="Diurnal cycle at the stations",
        note="made for tests",
        size=size,
        credit=CREDIT,
    )


KINDS: dict[str, Callable[[Path], Figure]] = {
    "map": lambda _: map_figure(hourly()),
    "map-robinson-who": lambda _: map_figure(
        hourly(), projection="robinson", scale="guideline", size="column"
    ),
    "map-equal-earth": lambda _: map_figure(
        hourly(), projection="equal-earth", size="page"
    ),
    "map-north": lambda _: map_figure(
        hourly(), projection="north-polar", size="column"
    ),
    "map-south": lambda _: map_figure(hourly(), projection="south-polar"),
    "map-mean": lambda _: map_figure(
        hourly(), period=Period.parse("2019-12-31"), box=BOX, size="slide"
    ),
    "compare": lambda _: compare_maps(
        {"A": hourly() * 1.1, "B": hourly()},
        START,
        truth=hourly(),
        source=("Input", sparse()),
        zooms=[BOX],
        size="page",
    ),
    "sequence": lambda _: sequence_figure(
        {"ours": hourly()}, original=sparse(), box=BOX, size="page"
    ),
    "series": lambda _: series_figure(
        {"ours": hourly()}, (179.0, -35.0), original=sparse(), scale="log"
    ),
    "series-who": lambda _: series_figure(
        {"ours": hourly()}, (60.0, 0.0), scale="guideline", size="column"
    ),
    "annual": lambda _: annual_figure(
        hourly(), sparse(), projection="robinson", size="page"
    ),
    "annual-slide": lambda _: annual_figure(hourly(), sparse(), box=BOX, size="slide"),
    "annual-south": lambda _: annual_figure(
        hourly(), sparse(), projection="south-polar", size="page"
    ),
    "map-sector": lambda _: map_figure(
        hourly(),
        box=(20.0, 60.0, -150.0, 90.0),
        projection="north-polar",
        size="column",
    ),
    "compare-column": lambda _: compare_maps(
        {"A": hourly()},
        START,
        truth=hourly() * 1.1,
        source=("Input", sparse()),
        zooms=[BOX, (0.0, 40.0, 20.0, 60.0)],
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
}


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
        Image.fromarray(found.astype(np.uint8)).quantize(256, kmeans=4).save(
            path, optimize=True
        )
    expected = np.asarray(Image.open(path).convert("RGB"), int)
    if abs(found.shape[0] - expected.shape[0]) > 2:
        return False
    rows = min(found.shape[0], expected.shape[0])
    different = abs(found[:rows] - expected[:rows]).max(axis=2)
    return bool(different.mean() < 6 and (different > 60).mean() < 0.008)


@pytest.mark.parametrize("kind", KINDS)
def test_looks_as_it_did(kind: str, tmp_path: Path) -> None:
    assert as_before(drawn(kind, tmp_path)[1], kind)


CHANGES: dict[str, tuple[str, Callable[[], Figure]]] = {
    "a field shifted by 9 degrees": (
        "map",
        lambda: map_figure(hourly().copy(data=np.roll(hourly().values, 6, axis=2))),
    ),
    "another scale": ("map", lambda: map_figure(hourly(), scale="guideline")),
    "another projection": (
        "map-north",
        lambda: map_figure(hourly(), projection="south-polar", size="column"),
    ),
    "values a third higher": (
        "series-who",
        lambda: series_figure(
            {"ours": hourly() * 1.33}, (60.0, 0.0), scale="guideline", size="column"
        ),
    ),
    "another place": (
        "series",
        lambda: series_figure(
            {"ours": hourly()}, (0.0, 0.0), original=sparse(), scale="log"
        ),
    ),
    "an error of other sign": (
        "compare",
        lambda: compare_maps(
            {"A": hourly() * 0.9, "B": hourly()},
            START,
            truth=hourly(),
            source=("Input", sparse()),
            zooms=[BOX],
            size="page",
        ),
    ),
    "no original": (
        "sequence",
        lambda: sequence_figure({"ours": hourly()}, box=BOX, size="page"),
    ),
    "another hour": (
        "map-mean",
        lambda: map_figure(hourly(), START, box=BOX, size="slide"),
    ),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_real_change_is_seen(change: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DEEPCAMS_NEW_BASELINES", raising=False)
    kind, draw = CHANGES[change]
    with xr.set_options(keep_attrs=True):
        assert not as_before(small(draw()), kind)


@pytest.mark.parametrize("kind", KINDS)
def test_nothing_is_written_below_six_points(kind: str, tmp_path: Path) -> None:
    figure, _ = drawn(kind, tmp_path)
    written = [
        text
        for text in figure.findobj(Text)
        if text.get_text().strip() and text.get_visible()
    ]
    assert written
    assert min(text.get_fontsize() for text in written) >= 6


AS_LARGE = {
    "map": "screen",
    "map-robinson-who": "column",
    "map-equal-earth": "page",
    "map-mean": "slide",
    "compare": "page",
    "compare-column": "column",
    "annual": "page",
    "annual-slide": "slide",
    "series": "screen",
    "series-who": "column",
    "stations": "page",
    "stations-column": "column",
    "scatter": "page",
    "scatter-column": "column",
    "diurnal": "slide",
    "diurnal-column": "column",
    "training-column": "column",
}


@pytest.mark.parametrize(("kind", "size"), AS_LARGE.items())
def test_figures_are_as_large_as_their_paper(
    kind: str, size: str, tmp_path: Path
) -> None:
    fits(drawn(kind, tmp_path)[0], size)


@pytest.mark.parametrize(
    ("draw", "size"),
    [(a_scatter, "slide"), (a_station_map, "slide"), (a_cycle, "screen")],
)
def test_station_figures_are_as_large_as_their_paper(
    size: str, draw: Callable[[str], Figure]
) -> None:
    fits(draw(size), size)


def fits(figure: Figure, size: str) -> None:
    width, height = figure.get_size_inches()
    assert width <= SIZES[size].width + 1e-6
    assert height <= SIZES[size].tallest + 0.01
    if SIZES[size].fixed:
        assert width == SIZES[size].width


@pytest.mark.parametrize("kind", KINDS)
def test_nothing_sticks_out_of_the_paper_or_lies_on_the_writing(
    kind: str, tmp_path: Path
) -> None:
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


def test_a_constant_field_and_one_with_nothing_are_drawn() -> None:
    for value in (0.0, 7.0, 3000.0, np.nan):
        field = hourly().copy(data=np.full(hourly().shape, value, np.float32))
        for scale in ("log", "guideline"):
            small(map_figure(field, box=BOX, scale=scale, size="column"))
    with pytest.raises(InputError, match="nothing but missing"):
        series_figure({"ours": field}, (0.0, 0.0))


@pytest.mark.parametrize("ending", ["png", "pdf", "svg"])
def test_all_formats(ending: str, tmp_path: Path) -> None:
    path = save(
        series_figure({"ours": hourly()}, (60.0, 0.0)), tmp_path / f"a.{ending}"
    )
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


@pytest.mark.parametrize(
    "words",
    ["a $x^", "50 $ or $_{", "\x00\x07 bell \ud800", r"$\alpha$ and PM$_{2.5}$"],
)
def test_any_words_are_drawn(words: str, tmp_path: Path) -> None:
    """Names of files and what they say of themselves, and what a user types."""
    field = hourly().assign_attrs(source=f"CAMS {words}")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        small(map_figure(field, title=words, note=words, box=BOX))
        small(compare_maps({words: field}, START, truth=field, box=BOX))
        small(sequence_figure({words: field}, hours=2, box=BOX))
        small(series_figure({words: field}, (60.0, 0.0)))
        if (
            "bell" in words or "alpha" in words
        ):  # letters that cannot be drawn, and mathematics that can
            animate({words: field}, tmp_path / "a.gif", every=6, size="column", box=BOX)


def test_figures_are_shown_in_a_notebook() -> None:
    """What a notebook asks of a cell's last value: its picture."""
    for figure in (
        map_figure(hourly(), box=BOX),
        series_figure({"ours": hourly()}, (60.0, 0.0)),
        a_cycle("column"),
    ):
        assert isinstance(figure, Figure)
        picture = io.BytesIO()
        figure.canvas.print_figure(picture, format="png")
        assert picture.getvalue().startswith(b"\x89PNG")


SETTINGS = {
    "text.usetex": True,  # without LaTeX nothing could be drawn
    "axes.grid": True,
    "figure.autolayout": True,
    "savefig.bbox": "tight",
    "savefig.dpi": 30,
    "axes.facecolor": "red",
    "font.size": 30,
}


@pytest.mark.parametrize(
    "kind",
    [
        "map",
        "map-north",
        "compare",
        "sequence",
        "series",
        "training",
        "stations",
        "scatter",
        "diurnal",
    ],
)
def test_settings_of_the_process_change_no_picture(kind: str, tmp_path: Path) -> None:
    """As a library too: neither while a figure is made, nor while it is saved, nor afterwards."""
    expected = picture(drawn(kind, tmp_path)[0], dpi=50)
    with matplotlib.rc_context(SETTINGS), xr.set_options(keep_attrs=True):
        figure = KINDS[kind](tmp_path)
        assert picture(figure, dpi=50) == expected
        shown = pixels(figure)
        assert all(matplotlib.rcParams[key] == value for key, value in SETTINGS.items())
    assert shown.std() > 10


def test_settings_of_the_process_change_no_film(tmp_path: Path) -> None:
    how: dict[str, Any] = {"every": 6, "size": "column", "box": BOX}
    usual = animate({"ours": hourly()}, tmp_path / "a.gif", **how).read_bytes()
    with matplotlib.rc_context(SETTINGS):
        assert (
            animate({"ours": hourly()}, tmp_path / "b.gif", **how).read_bytes() == usual
        )


def test_figures_of_several_threads_put_the_settings_back() -> None:
    with matplotlib.rc_context(SETTINGS), ThreadPoolExecutor(4) as threads:
        for figure in threads.map(lambda _: a_cycle("column"), range(12)):
            assert figure.axes
        assert all(matplotlib.rcParams[key] == value for key, value in SETTINGS.items())
