"""Areas of polygons in cells, against strips and against spheres."""

from __future__ import annotations

import numpy as np
import pytest

from deepcams.core.grid import Grid
from deepcams.exposure.coverage import Lines, ring_areas, without_jumps
from deepcams.exposure.polygons import country_zones
from deepcams.exposure.weights import lines_of, weigh
from exposure.worlds import COARSE, REGION, brute_areas, rectangle

GLOBE = 4 * np.pi
STAR = [[3, 11], [8, 38], [-3, 47], [14, 50], [17, 61], [21, 49], [33, 44], [20, 20]]
ACROSS = [[170, -20], [-175, -31], [-165, 12], [178, 25]]
ROUND_POLE = [[-180 + 20 * k, 62 + 6 * np.sin(k)] for k in range(18)]


def areas(ring: object, lines: Lines) -> np.ndarray:
    found = np.zeros(lines.shape)
    for part in ring_areas(without_jumps(np.asarray(ring, float))[0], lines):
        rows = slice(part.row, part.row + len(part.areas))
        np.add.at(found, (rows, part.columns), part.areas)
    return found


@pytest.mark.parametrize("grid", [COARSE, REGION], ids=["globe", "region"])
@pytest.mark.parametrize(
    "ring", [STAR, ACROSS, ROUND_POLE], ids=["star", "across", "round a pole"]
)
def test_areas_are_those_of_narrow_strips(ring: list[list[float]], grid: Grid) -> None:
    expected = brute_areas(without_jumps(np.asarray(ring, float))[0], grid)
    found = areas(ring, lines_of(grid))
    assert found == pytest.approx(expected, abs=1e-6)
    assert (found.sum() == 0) == (expected.sum() == 0)


def test_areas_that_have_a_formula() -> None:
    lines = lines_of(COARSE)
    band = np.deg2rad(20) * 2 * np.sin(np.deg2rad(20))
    turned = areas([[170, -20], [-170, -20], [-170, 20], [170, 20]], lines)
    assert turned.sum() == pytest.approx(band, rel=1e-12)
    assert areas(rectangle(170, -20, 190, 20), lines) == pytest.approx(turned)
    cap = 2 * np.pi * (1 - np.sin(np.deg2rad(60)))
    ring = np.array([[-180.0 + 30 * k, 60] for k in range(12)])
    assert areas(ring, lines).sum() == pytest.approx(cap, rel=1e-12)
    south = areas(ring[::-1] * [1, -1], lines)
    assert south.sum() == pytest.approx(cap, rel=1e-12)
    assert south[:10].sum() == 0
    whole = areas(rectangle(-180, -90, 180, 90), lines)
    assert whole == pytest.approx(lines.areas(), rel=1e-12)
    assert whole.sum() == pytest.approx(GLOBE, rel=1e-12)


def test_direction_and_holes() -> None:
    lines = lines_of(COARSE)
    ring = without_jumps(np.asarray(STAR, float))[0]
    assert areas(ring[::-1], lines) == pytest.approx(areas(ring, lines), abs=1e-15)
    hole = sum(part.areas.sum() for part in ring_areas(ring, lines, hole=True))
    assert hole == pytest.approx(-areas(ring, lines).sum())


def test_many_rows_are_done_in_bands(monkeypatch: pytest.MonkeyPatch) -> None:
    lines = lines_of(Grid.globe(2.5))
    rings = STAR, rectangle(3, -50, 33, 40)  # which has no piece in most bands
    whole = [areas(ring, lines) for ring in rings]
    monkeypatch.setattr("deepcams.exposure.coverage._BAND", 40)
    for ring, expected in zip(rings, whole, strict=True):
        assert areas(ring, lines) == pytest.approx(expected, abs=1e-15)


def test_countries_share_the_land() -> None:
    """No cell is more than full, and areas are those of the countries."""
    zones = country_zones()
    assert len(zones) == len(set(zones.ids)) == 241
    weights = weigh(zones, COARSE)
    cells = lines_of(COARSE).areas().ravel()
    shares = np.asarray(weights.area.sum(axis=0)).ravel() / cells
    assert shares.min() >= 0
    assert shares.max() < 1 + 1e-3  # borders are rounded to a hundred metres
    assert weights.area.sum(axis=1) == pytest.approx(weights.zone_area, abs=1e-12)
    square_km = dict(zip(zones.ids, weights.zone_area * 6371.0072**2, strict=True))
    # Of the CIA's World Factbook (total, without Greenland's ice or the like), to some percent at this scale.
    known = {"DEU": 357022, "RUS": 17098242, "LSO": 30355, "BRA": 8515770, "FJI": 18274}
    for code, area in known.items():
        assert square_km[code] == pytest.approx(area, rel=0.03)
