"""Borders and coasts: where they are, in any view."""

from __future__ import annotations

import numpy as np
import pytest
from matplotlib.path import Path

from deepcams.core.grid import Grid
from deepcams.plotting import outlines
from deepcams.plotting.outlines import land, lines_in, on_paper, world
from deepcams.plotting.projection import View

GLOBE = Grid.globe(0.25)


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
    lines = list(world("borders"))
    assert distance(lines, longitude, latitude) < 0.1
    assert distance(lines, longitude + 2.5, latitude + 2.5) > 0.1


def test_neither_coasts_nor_the_dateline_are_borders() -> None:
    lines = list(world("borders"))
    assert distance(lines, 180.0, 66.0) > 5  # a polygon of Russia is cut there
    assert distance(lines, -180.0, -17.0) > 5
    assert distance(lines, 0.0, -90.0) > 20
    assert distance(lines, -9.5, 38.7) > 1  # Lisbon's coast
    assert all(np.abs(np.diff(line[:, 0])).max() < 90 for line in lines)


def test_a_view_in_another_turn_has_the_same_borders() -> None:
    across = View.of(GLOBE, (100.0, -60.0, -100.0, 60.0))
    assert (across.west, across.east) == (100, 260)
    assert (
        distance(on_paper("borders", across), 253.0, 31.78) < 0.15
    )  # Mexico, United States, at 107 W
    assert distance(on_paper("borders", across), -107.0, 31.78) > 100
    whole = View.of(GLOBE, (-20.0, -90.0, 340.0, 90.0))
    assert distance(on_paper("borders", whole), 250.0, 49.0) < 0.1
    assert distance(on_paper("borders", whole), 25.0, 22.0) < 0.1


@pytest.mark.parametrize("projection", ["north-polar", "robinson", "equal-earth"])
def test_borders_follow_the_projection(projection: str) -> None:
    view = View.of(GLOBE, None, projection)
    x, y = view.plane.forward(-110.0, 49.0)
    size = float(np.ptp(view.border, axis=0).max())
    assert distance(on_paper("borders", view), float(x), float(y)) < 2e-3 * size
    pieces = {line.tobytes() for line in on_paper("borders", view)}
    assert len(pieces) == len(on_paper("borders", view))  # none twice
    assert all(np.isfinite(line).all() for line in on_paper("borders", view))


def test_no_borders_in_antarctica() -> None:
    view = View.of(GLOBE, (-180.0, -90.0, 180.0, -60.0), "south-polar")
    assert on_paper("borders", view) == []
    assert on_paper("coasts", view)


@pytest.mark.parametrize(
    ("longitude", "latitude"),
    [
        (83.3, 17.7),  # Visakhapatnam
        (178.5, -37.7),  # East Cape of New Zealand
        (-169.65, 66.15),  # Chukotka, beyond 180 degrees east
        (51.6, 36.6),  # the Caspian Sea
    ],
)
def test_coasts_are_where_they_are(longitude: float, latitude: float) -> None:
    for turn in (0.0, 360.0):
        box = longitude + turn - 5, latitude - 5, longitude + turn + 5, latitude + 5
        assert distance(lines_in("coasts", *box), longitude + turn, latitude) < 0.2
    assert distance(lines_in("coasts", 60, 50, 70, 60), 65, 55) > 5  # Kazakhstan


def test_wide_maps_have_fewer_details_and_no_line_along_the_dateline() -> None:
    wide = lines_in("coasts", -180, -90, 180, 90)
    assert sum(map(len, wide)) < 10_000 < sum(map(len, world("coasts")))
    assert distance(wide, 180.0, 67.5) > 0.4  # in Chukotka
    assert distance(wide, 0.0, -90.0) > 10
    assert all(
        np.abs(np.diff(line[:, 0])).max() < 90 for line in (*wide, *world("coasts"))
    )


@pytest.mark.parametrize(
    ("longitude", "latitude", "is_land"),
    [
        (78.5, 17.4, True),  # Hyderabad
        (88.0, 15.0, False),  # the Bay of Bengal
        (50.5, 42.0, False),  # the Caspian Sea
        (0.0, -85.0, True),  # Antarctica
        (0.0, -89.9, True),
        (-176.0, 67.0, True),  # Chukotka
    ],
)
@pytest.mark.parametrize("width", [20.0, 360.0])
def test_land_is_filled(
    longitude: float, latitude: float, is_land: bool, width: float
) -> None:
    west = longitude - width / 2
    view = View(west, max(latitude - 8, -90), west + width, min(latitude + 8, 90))
    rings = [Path(ring) for ring in land(view)]
    # Matplotlib fills by the winding number: a lake turns the other way round than the land about it.
    turns = sum(
        _turn(ring.vertices)
        for ring in rings
        if ring.contains_point((longitude, latitude))
    )
    assert (turns != 0) == is_land


def _turn(ring: np.ndarray) -> int:
    """Which way round a ring goes."""
    x, y = ring.T
    return int(np.sign(np.sum(x * np.roll(y, -1) - y * np.roll(x, -1))))


def test_what_is_shipped_is_small() -> None:
    assert outlines._FILE.stat().st_size < 200_000
    for kind in ("coasts", "wide_coasts", "borders"):
        points = np.concatenate(world(kind))
        assert np.abs(points[:, 1]).max() <= 90
