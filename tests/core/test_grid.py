"""Registration: nodes, cells, poles, Greenwich, the dateline, boxes."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from deepcams.core.errors import DeepcamsNotice, InputError
from deepcams.core.field import field_like, grid_of
from deepcams.core.grid import (
    Grid,
    cell_row_areas,
    cells_from_nodes,
    nodes_from_cells,
    pad,
    place,
    trim_to_cells,
)
from deepcams.methods.spatial.coarsen import coarsen
from grids import coarse_regions

COARSE, FINE = Grid.globe(0.75), Grid.globe(0.25)


def test_the_globes_are_those_of_cams_and_geos_cf() -> None:
    assert COARSE.shape == (241, 480)
    assert FINE.shape == (721, 1440)
    np.testing.assert_array_equal(COARSE.latitudes, 90 - 0.75 * np.arange(241))
    np.testing.assert_array_equal(COARSE.longitudes, 0.75 * np.arange(480))
    refined = COARSE.refine()
    assert refined == FINE
    np.testing.assert_array_equal(refined.latitudes[::-1], -90 + 0.25 * np.arange(721))
    np.testing.assert_array_equal(
        np.sort((refined.longitudes + 180) % 360 - 180), -180 + 0.25 * np.arange(1440)
    )
    assert FINE.latitudes[300] == COARSE.latitudes[100]
    assert FINE.longitudes[300] == COARSE.longitudes[100]


def test_cells_to_nodes_of_the_globe_drop_two_rows_and_roll_by_one() -> None:
    cells = np.arange(723 * 1440, dtype=np.float64).reshape(723, 1440)
    latitudes = 90 - 0.25 * (np.arange(723) - 1)
    longitudes = (0.25 * (np.arange(1440) - 1)) % 360
    nodes = nodes_from_cells(cells, COARSE)
    assert nodes.shape == (721, 1440)
    for row, column in [(0, 0), (0, 1439), (360, 720), (720, 5)]:
        at = (
            np.flatnonzero(latitudes == FINE.latitudes[row])[0],
            np.flatnonzero(longitudes == FINE.longitudes[column])[0],
        )
        assert nodes[row, column] == cells[at]


@given(coarse_regions())
def test_refine_and_whole_cells_are_inverse(coarse: Grid) -> None:
    fine = coarse.refine()
    again, rows, columns = fine.whole_cells()
    assert again == coarse
    assert (rows, columns) == (slice(0, fine.rows), slice(0, fine.columns))
    assert fine.step == pytest.approx(coarse.step / 3)


@given(coarse_regions())
def test_refined_nodes_surround_the_coarse_ones(coarse: Grid) -> None:
    fine = coarse.refine()
    if coarse.periodic:
        expected = np.sort(
            (
                coarse.longitudes[:, None] + coarse.step / 3 * np.array([-1, 0, 1])
            ).ravel()
            % 360
        )
        found = np.sort(fine.longitudes % 360)
    else:
        expected = (
            coarse.longitudes[:, None] + coarse.step / 3 * np.array([-1, 0, 1])
        ).ravel() % 360
        found = fine.longitudes % 360
    np.testing.assert_allclose(
        np.exp(1j * np.deg2rad(found)), np.exp(1j * np.deg2rad(expected)), atol=1e-9
    )
    latitudes = (
        coarse.latitudes[:, None] + coarse.step / 3 * np.array([1, 0, -1])
    ).ravel()
    np.testing.assert_allclose(
        fine.latitudes, latitudes[abs(latitudes) <= 90 + 1e-9], atol=1e-9
    )


@given(coarse_regions(), st.integers(0, 2**32 - 1))
def test_coarse_means_of_placed_values_are_those_values_to_the_bit(
    coarse: Grid, seed: int
) -> None:
    random = np.random.default_rng(seed)
    values = (10.0 ** random.uniform(-12, 4, (2, *coarse.shape))).astype(np.float32)
    fine = _field(place(values, coarse), coarse.refine())
    result = coarsen(fine, "area")
    assert grid_of(result) == coarse
    np.testing.assert_array_equal(result.values, values)
    np.testing.assert_array_equal(coarsen(fine, "decimate").values, values)


@given(coarse_regions(), st.integers(0, 2**32 - 1))
def test_cells_and_nodes_are_inverse(coarse: Grid, seed: int) -> None:
    fine = np.random.default_rng(seed).random(coarse.refine().shape)
    cells = cells_from_nodes(fine, coarse)
    assert cells.shape == (3 * coarse.rows, 3 * coarse.columns)
    np.testing.assert_array_equal(nodes_from_cells(cells, coarse), fine)


@given(coarse_regions())
def test_row_areas_are_those_of_the_sphere(coarse: Grid) -> None:
    weights = cell_row_areas(coarse)
    np.testing.assert_allclose(weights.sum(axis=1), 1, atol=1e-12)
    fine = coarse.refine()
    edges = np.deg2rad(
        np.clip(fine.latitudes[:, None] + fine.step / 2 * np.array([1, -1]), -90, 90)
    )
    areas = np.sin(edges[:, 0]) - np.sin(edges[:, 1])
    found = nodes_from_cells(
        np.broadcast_to(
            (weights * coarse.row_areas[:, None]).reshape(-1, 1),
            (3 * coarse.rows, 3 * coarse.columns),
        ),
        coarse,
    )
    np.testing.assert_allclose(found[:, 0], areas, atol=1e-12)


def test_the_areas_of_all_cells_make_a_sphere() -> None:
    assert FINE.row_areas.sum() == pytest.approx(2, abs=1e-12)
    inner = FINE.row_areas[1:-1]
    np.testing.assert_allclose(
        inner / np.cos(np.deg2rad(FINE.latitudes[1:-1])), inner[359], rtol=1e-9
    )


@pytest.mark.parametrize(
    ("latitude", "longitude"), [(90, 0), (-90, 359.25), (0, 180), (45, 359.25)]
)
def test_a_coarse_cell_covers_its_node_and_the_neighbours(
    latitude: float, longitude: float
) -> None:
    values = np.zeros(COARSE.shape)
    row = round((90 - latitude) / 0.75)
    values[row, int(longitude / 0.75)] = 1
    fine = place(values, COARSE)
    rows, columns = np.nonzero(fine)
    assert set(FINE.latitudes[rows]) == {
        x for x in (latitude - 0.25, latitude, latitude + 0.25) if abs(x) <= 90
    }
    assert set(FINE.longitudes[columns]) == {
        x % 360 for x in (longitude - 0.25, longitude, longitude + 0.25)
    }


def test_edge_nodes_that_make_no_whole_cell_are_left_out_with_a_notice() -> None:
    grid = Grid(
        0.25, 4, 4, 8, 9
    )  # rows 4..11: cells 5..7 and 8..10; columns 4..12: cells 5..7 and 8..10
    with pytest.warns(DeepcamsNotice, match="2 rows and 3 columns"):
        coarse, rows, columns = trim_to_cells(grid)
    assert (coarse.north, coarse.west, coarse.shape) == (2, 2, (2, 2))
    assert (rows, columns) == (slice(1, 7), slice(1, 7))
    with pytest.raises(InputError, match="whole 3 x 3 cell"):
        Grid(0.25, 4, 4, 3, 3).whole_cells()
    with pytest.raises(InputError, match="divides 180"):
        Grid.globe(1.0).refine(1).whole_cells(7)


@pytest.mark.parametrize("rows", [0, 1, 3])
def test_padding_goes_round_the_globe_and_across_the_poles(rows: int) -> None:
    grid = Grid.globe(30)
    latitude, longitude = np.meshgrid(grid.latitudes, grid.longitudes, indexing="ij")
    x, y = np.deg2rad(longitude), np.deg2rad(latitude)
    smooth = np.stack(
        [np.cos(y) * np.cos(x), np.cos(y) * np.sin(x), np.sin(y)]
    )  # single-valued on the sphere
    padded = pad(smooth, grid, rows, 2)
    y = np.deg2rad(90 - 30 * np.arange(-rows, grid.rows + rows))[:, None]
    x = np.deg2rad(30 * np.arange(-2, grid.columns + 2))[None]
    expected = np.stack(
        [np.cos(y) * np.cos(x), np.cos(y) * np.sin(x), np.sin(y) * np.ones_like(x)]
    )
    np.testing.assert_allclose(padded, expected, atol=1e-12)


def test_padding_a_region_reflects() -> None:
    grid = Grid(0.75, 10, 10, 4, 4)
    values = np.arange(16.0).reshape(4, 4)
    np.testing.assert_array_equal(
        pad(values, grid, 1, 2), np.pad(values, ((1, 1), (2, 2)), mode="reflect")
    )


@given(coarse_regions())
def test_a_grid_is_recognised_from_its_coordinates(grid: Grid) -> None:
    assert Grid.from_coordinates(grid.latitudes, grid.longitudes) == grid
    assert (
        Grid.from_coordinates(
            grid.latitudes.astype(np.float32), grid.longitudes.astype(np.float32)
        )
        == grid
    )
    assert grid.longitudes[0] >= -360
    assert np.all(np.diff(grid.longitudes) > 0)
    assert grid.longitudes[0] < 0 or grid.longitudes[-1] < 360


def test_rows_may_be_nearer_to_each_other_than_columns() -> None:
    """MERRA-2 has 0.5 x 0.625 degrees."""
    grid = Grid.from_coordinates(90 - 0.5 * np.arange(361), 0.625 * np.arange(576))
    assert grid == Grid(0.625, 0, 0, 361, 576, 0.5)
    assert grid.periodic
    assert (grid.last_row, grid.south) == (360, 360)
    assert grid.describe() == "0.5 x 0.625 degrees, 361 x 576, global"
    assert grid.row_areas.sum() == pytest.approx(2)
    fine = grid.refine()
    assert fine.shape == (1081, 1728)
    assert fine.whole_cells()[0] == grid
    part, rows, columns = grid.select((-10, 30, 30, 50))
    assert np.array_equal(part.latitudes, grid.latitudes[rows])
    assert part.latitudes[0] == 50
    assert np.array_equal(part.longitudes % 360, grid.longitudes[columns])


@pytest.mark.parametrize(
    ("latitude", "longitude", "message"),
    [
        ([90, 89.25], [0], "at least 2 x 2 nodes"),
        ([90, 89.25, 88], [0, 0.75], "regular spacing"),
        ([90, 89.3], [0, 0.75], "multiples of the step"),
        ([89.9, 89.15], [0, 0.75], "multiples of the step"),
        ([90.75, 90], [0, 0.75], "within -90..90"),
        (90 - 0.75 * np.arange(3), 0.75 * np.arange(481), "at most 360"),
    ],
)
def test_what_is_no_grid_of_nodes_is_refused(
    latitude: list[float], longitude: list[float], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        Grid.from_coordinates(np.array(latitude), np.array(longitude))


@given(
    st.integers(0, 479),
    st.integers(1, 479),
    st.integers(0, 239),
    st.integers(1, 240),
    st.booleans(),
)
def test_a_box_selects_exactly_the_nodes_inside(
    west: int, width: int, south: int, height: int, signed: bool
) -> None:
    top = min(south + height, 240)
    box = [
        0.75 * west,
        -90 + 0.75 * south,
        0.75 * ((west + width) % 480),
        -90 + 0.75 * top,
    ]
    if signed:
        box[0], box[2] = ((x + 180) % 360 - 180 for x in (box[0], box[2]))
    part, rows, columns = COARSE.select((box[0], box[1], box[2], box[3]))
    np.testing.assert_allclose(part.latitudes, COARSE.latitudes[rows])
    np.testing.assert_allclose(part.longitudes % 360, COARSE.longitudes[columns])
    assert part.shape == (top - south + 1, width + 1)
    np.testing.assert_array_equal(
        columns, (west + np.arange(width + 1)) % 480 if width < 479 else np.arange(480)
    )


def test_boxes_across_greenwich_and_dateline_and_over_regions() -> None:
    part, _, columns = COARSE.select((-1.5, -10, 1.5, 10))
    assert part.longitudes.tolist() == [-1.5, -0.75, 0, 0.75, 1.5]
    assert columns.tolist() == [478, 479, 0, 1, 2]
    part, _, _ = COARSE.select((179.25, -10, -179.25, 10))
    assert part.longitudes.tolist() == [179.25, 180, 180.75]
    region = COARSE.select((100, -10, 200, 10))[0]
    part, rows, columns = region.select((150, -90, 300, 0))
    assert part.longitudes[-1] == region.longitudes[-1]
    assert part.latitudes.tolist() == region.latitudes[rows].tolist()
    with pytest.raises(InputError, match="holds nodes of the data"):
        region.select((-50, -10, -40, 10))
    wide = COARSE.select((0, -10, 340, 10))[0]
    with pytest.raises(InputError, match="in one piece"):
        wide.select((330, -10, 10, 10))


@pytest.mark.parametrize(
    "box", [(0, 10, 10, 10), (0, -91, 10, 0), (-200, 0, 10, 10), (5, 0, 5, 10)]
)
def test_what_is_no_box_is_refused(box: tuple[float, float, float, float]) -> None:
    with pytest.raises(InputError, match="W S E N"):
        COARSE.select(box)


@pytest.mark.parametrize(
    "box", [(-10, 20, 40, 60), (0, 70, 50, 90), (5, 0, 4, 40), (19, 14, 23, 16)]
)
def test_the_cells_of_a_box_hold_its_nodes_and_have_a_place_in_the_grid(
    box: tuple[float, float, float, float],
) -> None:
    cells = COARSE.cells_in(box)
    nodes, _, _ = FINE.select(box)
    fine = cells.refine()
    assert set(nodes.latitudes) <= set(fine.latitudes)
    assert set(nodes.longitudes % 360) <= set(fine.longitudes % 360)
    assert fine.rows <= nodes.rows + 4
    assert fine.columns <= nodes.columns + 4
    rows, columns = cells.place_in(COARSE)
    np.testing.assert_array_equal(COARSE.latitudes[rows], cells.latitudes)
    np.testing.assert_array_equal(COARSE.longitudes[columns], cells.longitudes % 360)
    assert isinstance(columns, slice) == (cells.periodic or cells.west >= 0)


def _field(values: np.ndarray, grid: Grid):  # type: ignore[no-untyped-def]
    import xarray as xr

    times = np.datetime64("2019-03-08T00:30", "ns") + np.arange(
        len(values)
    ) * np.timedelta64(1, "h")
    like = xr.DataArray(
        values, dims=("time", "y", "x"), coords={"time": times}, name="pm2p5"
    )
    return field_like(like, values, grid, times)


def test_a_drift_of_the_nodes_is_no_regular_grid() -> None:
    """Each step is within a hundredth of the others, and the last node a tenth of a degree off."""
    latitude = 60 - np.cumsum(np.linspace(0.75, 0.7455, 41)) + 0.75
    with pytest.raises(InputError, match="regular spacing"):
        Grid.from_coordinates(latitude, np.arange(40) * 0.75)
