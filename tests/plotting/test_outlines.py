"""Borders and coasts: where they lie, in any view; Natural Earth's own files where they are on the disk."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from deepcams.core.grid import Grid
from deepcams.plotting import outlines
from deepcams.plotting.projection import View
from deepcams.plotting.outlines import borders, coast, read_lines, shipped_borders

GLOBE = Grid.globe(0.25)


@pytest.fixture(autouse=True)
def _nothing_on_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "none"))
    monkeypatch.delenv("CARTOPY_DATA_DIR", raising=False)
    for each in (coast, borders, read_lines):
        each.cache_clear()
    yield
    for each in (coast, borders, read_lines):
        each.cache_clear()


def distance(lines: list[np.ndarray], x: float, y: float) -> float:
    """To the nearest of the lines' pieces."""
    found = []
    for line in lines:
        a, step = line[:-1], np.diff(line, axis=0)
        length = np.maximum((step**2).sum(axis=1), 1e-12)
        share = np.clip((((x, y) - a) * step).sum(axis=1) / length, 0, 1)
        found.append(np.hypot(*((x, y) - a - share[:, None] * step).T).min())
    return float(min(found, default=np.inf))


@pytest.mark.parametrize(
    ("longitude", "latitude"),
    [
        (-110.0, 49.0),  # Canada, United States
        (-141.0, 65.0),  # Alaska
        (25.0, 22.0),  # Egypt, Sudan
        (141.0, -4.0),  # Indonesia, Papua New Guinea
        (7.59, 47.56),  # Basel
    ],
)
def test_borders_lie_where_they_are(longitude: float, latitude: float) -> None:
    world = list(shipped_borders())
    assert distance(world, longitude, latitude) < 0.1
    assert distance(world, longitude + 2.5, latitude + 2.5) > 0.1


def test_neither_coasts_nor_the_dateline_are_borders() -> None:
    world = list(shipped_borders())
    assert distance(world, 180.0, 66.0) > 5  # a polygon of Russia is cut there
    assert distance(world, -180.0, -17.0) > 5
    assert distance(world, 0.0, -90.0) > 20
    assert distance(world, -9.5, 38.7) > 1  # Lisbon's coast
    assert all(np.abs(np.diff(line[:, 0])).max() < 90 for line in world)


def test_a_view_in_another_turn_has_the_same_borders() -> None:
    across = View.of(GLOBE, (100.0, -60.0, -100.0, 60.0))
    assert (across.west, across.east) == (100, 260)
    assert distance(borders(across), 253.0, 31.78) < 0.15  # Mexico, United States, at 107 W
    assert distance(borders(across), -107.0, 31.78) > 100
    whole = View.of(GLOBE, (-20.0, -90.0, 340.0, 90.0))
    assert distance(borders(whole), 250.0, 49.0) < 0.1
    assert distance(borders(whole), 25.0, 22.0) < 0.1


@pytest.mark.parametrize("projection", ["north-polar", "robinson", "equal-earth"])
def test_borders_follow_the_projection(projection: str) -> None:
    view = View.of(GLOBE, None, projection)
    x, y = view.plane.forward(-110.0, 49.0)
    size = float(np.ptp(view.border, axis=0).max())
    assert distance(borders(view), float(x), float(y)) < 2e-3 * size
    pieces = {line.tobytes() for line in borders(view)}
    assert len(pieces) == len(borders(view))  # none twice
    assert all(np.isfinite(line).all() for line in borders(view))


def test_no_borders_in_antarctica() -> None:
    view = View.of(GLOBE, (-180.0, -90.0, 180.0, -60.0), "south-polar")
    assert borders(view) == []
    assert coast(view)


def a_shapefile(path: Path, lines: list[list[tuple[float, float]]]) -> None:
    """One polyline record of these parts, after a record without a shape."""
    flat = [point for line in lines for point in line]
    starts = np.cumsum([0, *map(len, lines)])[:-1]
    record = struct.pack("<i4dii", 3, -180, -90, 180, 90, len(lines), len(flat))
    record += struct.pack(f"<{len(lines)}i", *starts.tolist()) + np.array(flat, "<f8").tobytes()
    empty = struct.pack("<i", 0)
    path.parent.mkdir(parents=True)
    with path.open("wb") as file:
        file.write(bytes(100))
        for number, each in enumerate([empty, record], 1):
            file.write(struct.pack(">ii", number, len(each) // 2) + each)


def test_finer_lines_that_cartopy_kept_are_drawn_in_narrow_views(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "cartopy"
    monkeypatch.setenv("CARTOPY_DATA_DIR", str(folder))
    natural_earth = folder / "shapefiles/natural_earth"
    a_shapefile(
        natural_earth / "physical/ne_10m_coastline.shp",
        [[(150.0, -36.0), (150.5, -35.0)], [(0, 0), (1, 1)]],
    )
    a_shapefile(
        natural_earth / "cultural/ne_10m_admin_0_boundary_lines_land.shp",
        [[(149.0, -36.0), (149.0, -34.0)]],
    )
    narrow, wide = (
        View.of(GLOBE, (145.0, -40.0, 155.0, -30.0)),
        View.of(GLOBE, (110.0, -50.0, 180.0, -5.0)),
    )
    np.testing.assert_array_equal(coast(narrow), [[(150.0, -36.0), (150.5, -35.0)]])
    np.testing.assert_array_equal(borders(narrow), [[(149.0, -36.0), (149.0, -34.0)]])
    assert len(coast(wide)) > 10
    assert distance(borders(wide), 149.0, -35.0) > 5


@pytest.mark.parametrize("cut", [50, 120, 150, 170])
def test_a_damaged_file_is_as_none(cut: int, tmp_path: Path) -> None:
    path = tmp_path / "physical/ne_10m_coastline.shp"
    a_shapefile(path, [[(150.0, -36.0), (150.5, -35.0)]])
    assert len(read_lines(path)) == 1
    read_lines.cache_clear()
    path.write_bytes(path.read_bytes()[:cut])
    assert read_lines(path) == ()
    read_lines.cache_clear()
    path.write_bytes(bytes(100) + struct.pack(">ii", 1, 20) + struct.pack("<i", 31) + bytes(40))
    assert read_lines(path) == ()


def test_what_is_shipped_is_small() -> None:
    assert outlines._BORDERS.stat().st_size < 200_000
    points = np.concatenate(shipped_borders())
    assert np.abs(points[:, 0]).max() <= 180
    assert np.abs(points[:, 1]).max() <= 90
