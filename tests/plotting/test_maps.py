"""What maps show, and where."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure

from deepcams.core.errors import InputError, OutputError
from deepcams.core.field import field_like
from deepcams.core.grid import Grid
from deepcams.plotting import style
from deepcams.plotting.compare import compare_maps
from deepcams.plotting.figure_layout import save
from deepcams.plotting.maps import draw_map, map_figure
from deepcams.plotting.projection import View

BAY = Grid.globe(0.25).select((82, 14, 100, 26))[0]
NOON = np.datetime64("2019-12-01T12", "ns")


def a_field(
    grid: Grid, values: np.ndarray | float = 10.0, time: np.datetime64 = NOON
) -> xr.DataArray:
    template = xr.DataArray(0.0, name="pm2p5")
    return field_like(
        template,
        np.broadcast_to(np.float32(values), grid.shape)[None].copy(),
        grid,
        np.array([time]),
    )


def pixels(figure: Figure) -> np.ndarray:
    """(rows, columns, 3), 0..255."""
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3].astype(int)


def maps_of(figure: Figure) -> list[Axes]:
    return [axes for axes in figure.axes if axes.get_aspect() != "auto"]


def colour_at(
    figure: Figure, axes: Axes, longitude: float, latitude: float
) -> np.ndarray:
    image = pixels(figure)
    x, y = axes.transData.transform((longitude, latitude))
    return np.asarray(image[image.shape[0] - 1 - int(y), int(x)])


def shown_colour(axes: Axes, value: float) -> np.ndarray:
    return np.round(
        np.array(axes.images[0].cmap(axes.images[0].norm(value))[:3]) * 255
    ).astype(int)


@pytest.mark.parametrize("longitude", [82.0, 91.25, 100.0])
def test_a_value_is_drawn_at_its_node(longitude: float) -> None:
    values = np.full(BAY.shape, 5.0)
    row, column = (
        np.flatnonzero(BAY.latitudes == 15.5)[0],
        np.flatnonzero(BAY.longitudes == longitude)[0],
    )
    values[row, column] = 900
    figure = map_figure(a_field(BAY, values))
    axes = maps_of(figure)[0]
    inside = 0.1 if longitude == 82 else -0.1  # half a cell is 0.125
    for near in (0.0, inside):
        np.testing.assert_allclose(
            colour_at(figure, axes, longitude + near, 15.5),
            shown_colour(axes, 900),
            atol=2,
        )
    np.testing.assert_allclose(
        colour_at(figure, axes, 90, 15), shown_colour(axes, 5.0), atol=2
    )


@pytest.mark.parametrize(
    ("box", "place", "drawn"),
    [
        (None, (179.25, 30.0), 179.25),  # the globe begins at 180 W
        (None, (210.0, 30.0), -150.0),
        ((150.0, 20.0, -150.0, 50.0), (190.5, 30.0), 190.5),  # across the dateline
        ((-20.0, 20.0, 20.0, 50.0), (357.0, 30.0), -3.0),  # across Greenwich
        ((-180.0, 60.0, 180.0, 90.0), (90.0, 89.25), 90.0),  # a cap
        ((100.0, -90.0, 140.0, -60.0), (120.0, -89.25), 120.0),
    ],
)
def test_the_globe_is_drawn_in_any_view(
    box: tuple[float, float, float, float] | None,
    place: tuple[float, float],
    drawn: float,
) -> None:
    grid = Grid.globe(0.75)
    values = np.full(grid.shape, 5.0)
    row, column = round((90 - place[1]) / 0.75), round(place[0] / 0.75)
    values[row - 1 : row + 2, column - 1 : column + 2] = 2000
    figure = map_figure(a_field(grid, values), box=box)
    axes = maps_of(figure)[0]
    low, high = axes.get_xlim()
    at = low + (drawn - low) % 360
    assert low <= at <= high
    np.testing.assert_allclose(
        colour_at(figure, axes, at, place[1]), shown_colour(axes, 2000), atol=2
    )
    west, east, *_ = axes.images[0].get_extent()
    assert west <= low + 1e-6
    assert east >= high - 1e-6  # no white strip at the edge


def test_zero_lies_below_the_scale_and_missing_is_grey_and_said() -> None:
    values = np.full(BAY.shape, 20.0)
    values[:, : BAY.columns // 2] = 0
    values[-12:] = np.nan
    values[0, 0] = 3000
    figure = map_figure(a_field(BAY, values))
    axes = maps_of(figure)[0]
    np.testing.assert_allclose(
        colour_at(figure, axes, 84, 18), shown_colour(axes, 1e-3), atol=2
    )
    np.testing.assert_allclose(colour_at(figure, axes, 91, 15), [184, 184, 184], atol=2)
    labels = [each.get_xlabel() for each in figure.axes]
    assert any("grey: missing" in label for label in labels)
    everything_missing = map_figure(a_field(BAY, np.nan))
    np.testing.assert_allclose(
        colour_at(everything_missing, maps_of(everything_missing)[0], 84, 18),
        [184, 184, 184],
        atol=2,
    )


def test_axes_speak_in_degrees_units_and_utc() -> None:
    figure = map_figure(a_field(Grid.globe(0.75).select((165, -30, -165, 10))[0]))
    pixels(figure)
    axes = maps_of(figure)[0]
    x = [tick.get_text() for tick in axes.get_xticklabels()]
    assert {"180°", "170°E", "170°W"} <= set(x), x
    assert {"0°", "20°S"} <= {tick.get_text() for tick in axes.get_yticklabels()}
    assert any(
        style.UNITS_TEXT in each.get_xlabel() and "PM$_{2.5}$" in each.get_xlabel()
        for each in figure.axes
    )
    assert "2019-12-01 12:00 UTC" in " ".join(text.get_text() for text in figure.texts)


@pytest.fixture(scope="module")
def compared() -> Figure:
    random = np.random.default_rng(0)
    true = random.lognormal(2, 1, BAY.shape)
    other = true + random.normal(0, 3, BAY.shape)
    coarse = Grid.globe(0.75).select((82.5, 14.25, 99.75, 25.5))[0]
    early = NOON - np.timedelta64(2, "h")
    return compare_maps(
        {"Linear": a_field(BAY, other), "Ours": a_field(BAY, true + 1)},
        NOON,
        truth=a_field(BAY, true),
        source=("Input", a_field(coarse, 8.0, early)),
        zooms=[(85, 16, 90, 20), (92, 18, 96, 22)],
        title="A title",
        note="SIMULATED",
    )


def test_a_comparison_has_truth_input_methods_and_errors_in_every_view(
    compared: Figure,
) -> None:
    titles = [axes.get_title(loc="left") for axes in maps_of(compared)]
    whole = [
        "Truth, 0.25°",
        "Linear, 0.25°",
        "Ours, 0.25°",
        "Input, 0.75°, 10:00 UTC",
        "Linear \N{MINUS SIGN} truth",
        "Ours \N{MINUS SIGN} truth",
    ]
    assert titles == [
        *whole,
        *[f"A: {title}" for title in whole],
        *[f"B: {title}" for title in whole],
    ]
    assert [text.get_text() for text in compared.texts] == ["A title", "SIMULATED"]
    assert maps_of(compared)[6].get_xlim() == (85, 90)
    boxes = [patch.get_bbox().bounds for patch in maps_of(compared)[0].patches]
    assert boxes == [(85, 16, 5, 4), (92, 18, 4, 4)]


def test_one_scale_for_all_concentrations_and_one_about_zero_for_all_errors(
    compared: Figure,
) -> None:
    images = [axes.images[0] for axes in maps_of(compared)]
    errors = [
        image
        for image, axes in zip(images, maps_of(compared), strict=True)
        if "truth" in axes.get_title("left")
    ]
    values = [image for image in images if image not in errors]
    assert len({id(image.norm) for image in values}) == 1
    assert len({id(image.norm) for image in errors}) == 1
    assert isinstance(values[0].norm, LogNorm)
    assert errors[0].norm.vmin == -errors[0].norm.vmax
    assert {image.cmap.name for image in values} == {"magma_r"}


def test_the_errors_figures_are_those_of_the_view(compared: Figure) -> None:
    texts = {
        axes.get_title("left"): [t.get_text() for t in axes.texts]
        for axes in maps_of(compared)
    }
    assert "MAE 1.00   RMSE 1.00" in texts["Ours \N{MINUS SIGN} truth"]
    assert "MAE 1.00   RMSE 1.00" in texts["A: Ours \N{MINUS SIGN} truth"]
    linear = (
        texts["Linear \N{MINUS SIGN} truth"],
        texts["B: Linear \N{MINUS SIGN} truth"],
    )
    assert linear[0][-1] != linear[1][-1]


def test_nothing_overlaps_or_sticks_out(compared: Figure) -> None:
    pixels(compared)
    whole = compared.bbox
    boxes = [axes.get_tightbbox() for axes in compared.axes]
    boxes += [text.get_window_extent() for text in compared.texts]
    for i, box in enumerate(boxes):
        assert box is not None
        assert box.x0 >= whole.x0
        assert box.y0 >= whole.y0
        assert box.x1 <= whole.x1
        assert box.y1 <= whole.y1
        for other in boxes[:i]:
            assert other is not None
            across = min(box.x1, other.x1) - max(box.x0, other.x0)
            down = min(box.y1, other.y1) - max(box.y0, other.y0)
            assert across <= 1 or down <= 1


def test_without_a_truth_source_and_methods_stand_in_a_row() -> None:
    coarse = Grid.globe(0.75).select((82.5, 14.25, 99.75, 25.5))[0]
    figure = compare_maps(
        {"Ours": a_field(BAY)}, NOON, source=("CAMS", a_field(coarse))
    )
    assert [axes.get_title("left") for axes in maps_of(figure)] == [
        "CAMS, 0.75°",
        "Ours, 0.25°",
    ]
    assert len(figure.axes) == 3  # and one colour bar
    assert pixels(figure).std() > 10


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"time": NOON + np.timedelta64(3, "h")},
            "expected a frame at 2019-12-01 15:00 UTC or less than 3 h before",
        ),
        ({"time": NOON - np.timedelta64(1, "h")}, "the nearest is 2019-12-01 12:00"),
        ({"fields": {}}, "one to four"),
        (
            {"truth": a_field(Grid.globe(0.75).select((82, 14, 100, 26))[0])},
            "the truth's grid and time",
        ),
        ({"zooms": [(10, 10, 20, 20)]}, "a box that holds nodes of the data"),
        ({"fields": {"x": a_field(BAY).rename(time="when")}}, "canonical field"),
    ],
)
def test_what_does_not_fit_is_refused(change: dict[str, object], message: str) -> None:
    arguments: dict[str, object] = {
        "fields": {"Ours": a_field(BAY)},
        "time": NOON,
        "truth": a_field(BAY),
    }
    with pytest.raises(InputError, match=message):
        compare_maps(**{**arguments, **change})  # type: ignore[arg-type]


def test_coastlines_reach_the_picture() -> None:
    axes = Figure().add_axes((0, 0, 1, 1))
    view = View.of(BAY)
    draw_map(
        axes,
        np.ones(BAY.shape),
        BAY,
        view,
        style.ColourScale.of_errors([np.ones(1)], "error"),
    )
    points = np.concatenate(
        [path.vertices for each in axes.collections for path in each.get_paths()]
    )
    # the coast at Visakhapatnam, 83.3 E 17.7 N
    assert np.min(np.hypot(points[:, 0] - 83.3, points[:, 1] - 17.7)) < 0.15


def test_a_figure_is_saved_whole_or_not_at_all(tmp_path: Path) -> None:
    figure = map_figure(a_field(BAY))
    save(figure, tmp_path / "map.png")
    assert (tmp_path / "map.png").read_bytes().startswith(b"\x89PNG")
    assert figure._repr_png_().startswith(b"\x89PNG")  # what notebooks show
    with pytest.raises(OutputError, match="cannot be written"):
        save(figure, tmp_path / "no" / "map.png")
    assert [path.name for path in tmp_path.iterdir()] == ["map.png"]


def test_no_warning_and_no_global_state() -> None:
    import sys

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        pixels(map_figure(a_field(Grid.globe(0.75), 0.0)))
    assert "deepcams.plotting.maps" in sys.modules
    if "matplotlib.pyplot" in sys.modules:
        assert not sys.modules["matplotlib.pyplot"].get_fignums()
