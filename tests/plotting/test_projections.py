"""Projections: what their papers say, and every value at its place on them."""

from __future__ import annotations

import numpy as np
import pytest

from deepcams.core.grid import Grid
from deepcams.plotting import map_figure
from deepcams.plotting.projection import View
from plotting.test_pictures import hourly, pixels


@pytest.mark.parametrize(
    "projection", ["robinson", "equal-earth", "north-polar", "south-polar"]
)
def test_a_value_is_drawn_at_its_place_and_there_is_no_seam(projection: str) -> None:
    grid = Grid.globe(1.5)
    sign = -1 if projection == "south-polar" else 1
    field = (
        hourly()
        .isel(time=slice(0, 1))
        .copy(data=np.full((1, *grid.shape), 10, np.float32))
    )
    row, column = round((90 - sign * 60) / 1.5), round(90 / 1.5)
    field.values[0, row - 2 : row + 3, column - 2 : column + 3] = 2000
    figure = map_figure(field, projection=projection)
    image, axes = pixels(figure), figure.axes[0]
    plane = View.of(grid, None, projection).plane

    def colour(longitude: float, latitude: float) -> np.ndarray:
        x, y = axes.transData.transform(plane.forward(longitude, latitude))
        return image[image.shape[0] - 1 - int(y), int(x)]

    def wanted(value: float) -> np.ndarray:
        return np.round(
            np.array(axes.images[0].cmap(axes.images[0].norm(value))[:3]) * 255
        )

    np.testing.assert_allclose(colour(90.3, sign * 57.6), wanted(2000), atol=2)
    polar = projection.endswith("polar")
    for longitude in (
        (178.6, -178.6) if polar else (179.0, -179.0)
    ):  # both sides of the dateline
        np.testing.assert_allclose(
            colour(longitude, sign * (75.0 if polar else 40.0)), wanted(10), atol=2
        )
    if polar:
        np.testing.assert_allclose(colour(77.0, sign * 89.0), wanted(10), atol=2)


@pytest.mark.parametrize(
    "projection",
    ["plate-carree", "robinson", "equal-earth", "north-polar", "south-polar"],
)
def test_projections_come_back_to_where_they_began(projection: str) -> None:
    from deepcams.plotting.projection import Projection

    plane = Projection(projection, 150.0)
    sign = -1 if projection == "south-polar" else 1
    longitude, latitude = np.meshgrid(
        np.arange(-25, 326, 7.0), sign * np.arange(5, 90, 3.0)
    )
    back = plane.inverse(*plane.forward(longitude, latitude))
    np.testing.assert_allclose((back[0] - longitude + 180) % 360, 180, atol=0.02)
    np.testing.assert_allclose(back[1], latitude, atol=0.02)


def test_equal_earth_and_robinson_are_what_their_papers_say() -> None:
    from deepcams.plotting.projection import Projection

    equal = Projection("equal-earth")
    x, y = equal.forward(np.array([180.0, 0.0]), np.array([0.0, 90.0]))
    assert x[0] == pytest.approx(
        2.7066, abs=1e-3
    )  # Savric et al.: width 2.05 times the height
    assert x[0] / y[1] == pytest.approx(2.05, abs=0.01)
    north = np.linspace(0, 89, 60)
    edge, up = equal.forward(np.full(60, 180.0), north)
    area = np.trapezoid(
        edge, up
    )  # a quarter of the sphere between meridians: equal areas
    assert area == pytest.approx(np.pi * np.sin(np.deg2rad(89)), rel=2e-3)
    robinson = Projection("robinson")
    assert robinson.forward(180.0, 0.0)[0] / robinson.forward(0.0, 90.0)[
        1
    ] == pytest.approx(1.9716, abs=1e-3)
    assert robinson.forward(180.0, 90.0)[0] / robinson.forward(180.0, 0.0)[
        0
    ] == pytest.approx(0.5322, abs=1e-4)
