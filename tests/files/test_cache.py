"""What is kept in the cache, and what is made from the land mask."""

from __future__ import annotations

import os
import time
from pathlib import Path

import numpy as np
import pytest

from deepcams.files.cache import forget_old
from deepcams.files.land_mask import land_rows


def test_what_is_old_or_was_left_unfinished_is_forgotten(tmp_path: Path) -> None:
    ages = {"old": 8, "recent": 6, "new.1.partial": 0.1, "killed.2.partial": 1.5}
    for name, days in ages.items():
        (tmp_path / name).mkdir()
        os.utime(tmp_path / name, (time.time() - days * 86400,) * 2)
    forget_old(tmp_path, 7)
    assert {entry.name for entry in tmp_path.iterdir()} == {"recent", "new.1.partial"}
    forget_old(tmp_path / "nowhere", 7)


def test_coarser_shares_of_land_are_means_of_finer_ones() -> None:
    wide = np.array(list(land_rows(1)))
    assert wide.shape == (180, 360)
    assert wide[-1].min() == 1  # the South Pole is land,
    assert wide[0].max() == 0  # the North Pole is sea,
    assert wide[90 - 48, 180 + 8] == 1  # the Black Forest is land,
    assert wide[90 - 1, 180 - 20] == 0  # and the middle of the Atlantic sea
    fine = np.array(list(land_rows(4)))
    np.testing.assert_allclose(
        fine.reshape(180, 4, 360, 4).mean(axis=(1, 3)), wide, atol=1e-12
    )
    by_area = np.average(
        wide.mean(axis=1), weights=np.cos(np.radians(np.arange(89.5, -90, -1)))
    )
    assert by_area == pytest.approx(0.29, abs=0.01)  # of the Earth's surface
