"""Figures of very small, very short and very plain fields: what a reader could stumble over."""

from __future__ import annotations

from itertools import combinations, pairwise
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.dates import num2date
from matplotlib.figure import Figure
from matplotlib.text import Text

from deepcams.core.errors import InputError
from deepcams.core.field import field_like
from deepcams.core.grid import Grid
from deepcams.files.atomic import UNFINISHED
from deepcams.plotting import (
    animate,
    annual_figure,
    compare_maps,
    sequence_figure,
    series_figure,
)
from deepcams.plotting.maps import _ticks
from deepcams.plotting.scores.scatter import ScatterPanel, scatter_figure

START = np.datetime64("2019-12-31T15", "ns")


def region(hours: int = 3, value: float = 12.0) -> xr.DataArray:
    """30..60 N, 0..40 E at half a degree: a plain with one place of 3,000."""
    grid = Grid(0.5, 60, 0, 61, 81)
    values = np.full((hours, *grid.shape), value, np.float32)
    values[:, 30, 40] = 3000 if value else 0
    times = START + np.arange(hours) * np.timedelta64(1, "h")
    empty = xr.DataArray(
        np.zeros(hours),
        dims="time",
        coords={"time": times},
        name="pm2p5",
        attrs={"units": "ug m-3"},
    )
    return field_like(empty, values, grid)


def drawn(figure: Figure) -> Figure:
    FigureCanvasAgg(figure).draw()
    return figure


def apart(words: list[Text]) -> bool:
    boxes = [
        word.get_window_extent()
        for word in words
        if word.get_text().strip() and word.get_visible()
    ]
    return not any(
        min(a.x1, b.x1) - max(a.x0, b.x0) > 0.5
        and min(a.y1, b.y1) - max(a.y0, b.y0) > 0.5
        for a, b in combinations(boxes, 2)
    )


@pytest.mark.parametrize("size", ["column", "page", "slide", "screen"])
@pytest.mark.parametrize("draw", ["compare", "annual"])
def test_the_steps_of_two_scales_keep_apart(draw: str, size: str) -> None:
    field = region()
    if draw == "compare":
        figure = compare_maps(
            {"ours": field},
            START,
            truth=region(value=0.0),
            scale="guideline",
            size=size,
        )
    else:
        figure = annual_figure(field, region(value=0.0), scale="guideline", size=size)
    drawn(figure)
    bars = [axes for axes in figure.axes if axes.get_xlabel()]
    assert len(bars) == 2
    for bar in bars:
        assert apart(bar.get_xticklabels())
    one, other = (bar.get_tightbbox() for bar in bars)
    assert one is not None
    assert other is not None
    assert min(one.x1, other.x1) <= max(one.x0, other.x0) or min(
        one.y1, other.y1
    ) <= max(one.y0, other.y0)


@pytest.mark.parametrize("projection", ["robinson", "equal-earth"])
def test_degrees_keep_off_titles_and_other_maps(projection: str) -> None:
    figure = drawn(
        annual_figure(region(), region(value=5.0), projection=projection, size="page")
    )
    maps = [axes for axes in figure.axes if axes.get_title(loc="left")]
    words = [word for axes in maps for word in (*axes.texts, axes._left_title)]  # type: ignore[attr-defined]
    assert {"60°N", "30°N", "40°E"} <= {word.get_text() for word in words}
    assert apart(words)


@pytest.mark.parametrize("wide", [0.3, 0.4, 0.6, 1.0, 2.0, 6.0])
@pytest.mark.parametrize("span", [2.0, 7.0, 15.0, 40.0, 360.0])
def test_longitudes_of_a_small_map_keep_apart(wide: float, span: float) -> None:
    ticks = _ticks(-179.0, -179.0 + span, wide / 0.6, 0.2 / wide)
    assert all(
        (after - before) / span * wide > 0.4 for before, after in pairwise(ticks)
    )
    assert ticks or wide < 0.4


def test_one_hour_is_drawn_at_its_hour() -> None:
    figure = drawn(series_figure({"ours": region(1)}, (20.0, 45.0)))
    first, last = (num2date(end) for end in figure.axes[0].get_xlim())  # type: ignore[no-untyped-call]
    assert (last - first).total_seconds() == 3 * 3600
    assert "15:00" in [label.get_text() for label in figure.axes[0].get_xticklabels()]


def test_nothing_above_zero_has_no_place_on_a_logarithmic_scale() -> None:
    with pytest.raises(
        InputError, match="values above 0, found none at 45°N 20°E; choose linear"
    ):
        series_figure({"ours": region(value=0.0)}, (20.0, 45.0), scale="log")


@pytest.mark.parametrize(("hours", "columns"), [(1, 1), (3, 3), (7, 7), (12, 7)])
def test_a_short_record_is_a_short_sequence(hours: int, columns: int) -> None:
    figure = sequence_figure({"ours": region(hours)})
    assert sum(bool(axes.images) for axes in figure.axes) == columns
    with pytest.raises(InputError, match="2 to 12 frames"):
        sequence_figure({"ours": region(hours)}, hours=0)


def test_means_of_one_frame_say_so() -> None:
    titles = [
        axes.get_title(loc="left") for axes in annual_figure(region(1), region(2)).axes
    ]
    assert "field, 0.5°, mean of 1 frame" in titles


def test_a_correlation_that_is_not_defined_says_so() -> None:
    density = np.zeros((1000, 1000), np.int32)
    density[10, 0] = 5
    nan = float("nan")
    figure = scatter_figure(
        [[ScatterPanel("a", density, 5, nan, 10.0, -10.0, nan, nan)]]
    )
    words = "\n".join(text.get_text() for text in figure.axes[0].texts)
    assert "nan" not in words
    assert "R: not defined" in words


@pytest.mark.parametrize("kind", ["mp4", "gif"])
def test_a_film_that_is_being_made_is_no_film_yet(kind: str, tmp_path: Path) -> None:
    path, seen = tmp_path / f"film.{kind}", list[list[str]]()
    animate(
        {"ours": region(2)},
        path,
        progress=lambda *_: seen.append([one.name for one in tmp_path.iterdir()]),
    )
    assert seen[0] == [f".film.{kind}{UNFINISHED}"]
    assert list(tmp_path.iterdir()) == [path]
