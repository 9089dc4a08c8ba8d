"""The target diagram."""

from __future__ import annotations

import numpy as np
import pytest

from deepcams.plotting.scores.target import TargetPanel, target_figure


@pytest.mark.parametrize("size", ["screen", "column"])
def test_each_station_is_drawn_and_those_beyond_the_axes_are_counted(size: str) -> None:
    x, y = np.array([0.2, -0.9, 1.2, 9.0]), np.array([0.1, 0.9, 0.0, -3.0])
    figure = target_figure(
        [TargetPanel("one", x, y, 1.25), TargetPanel("two", x[:1], y[:1], None)],
        title="Target",
        note="daily means",
        size=size,
    )
    first, second = figure.axes
    drawn = np.concatenate([each.get_offsets() for each in first.collections])
    assert len(drawn) == 4
    assert abs(drawn).max() < first.get_xlim()[1] == 4
    words = " ".join(text.get_text() for text in first.texts)
    assert "1.25, objective not met" in words
    assert "1 of 4 stations within 1 (1 beyond the axes)" in words
    assert "not defined" in " ".join(text.get_text() for text in second.texts)
    figure.canvas.draw()
