"""Land smoothed over 1.5 degrees."""

from __future__ import annotations

import numpy as np
import pytest

from deepcams.files.land_mask import land_fraction, smoothed_land


def test_smoothed_land_is_the_mean_of_the_nodes_round_a_place() -> None:
    fine = land_fraction()
    ends = np.array([0.5, 1, 1, 1, 1, 1, 0.5]) / 6
    for latitude, longitude in ((54.75, 18.75), (0.0, 9.0), (-6.75, 39.0)):  # coasts
        row, column = round((90 - latitude) * 4), round(longitude * 4)
        square = fine[row - 3 : row + 4, column - 3 : column + 4]
        found = float(smoothed_land(latitude, longitude))
        assert found == pytest.approx(float(ends @ square @ ends), abs=1e-6)
        assert 0.1 < found < 0.9


def test_it_goes_on_across_greenwich_and_has_no_steps() -> None:
    along = smoothed_land(51.5, np.arange(-30, 30, 0.01))
    assert np.abs(np.diff(along)).max() < 0.02
    assert smoothed_land(51.5, -0.3) == pytest.approx(smoothed_land(51.5, 359.7))
    assert along.max() > 0.9
    assert along.min() == 0


def test_it_broadcasts_from_pole_to_pole() -> None:
    grid = smoothed_land(np.linspace(90, -90, 13)[:, None], np.arange(0, 360, 30.0))
    assert grid.shape == (13, 12)
    assert grid[0] == pytest.approx(0, abs=1e-12)
    assert grid[-1] == pytest.approx(1)
