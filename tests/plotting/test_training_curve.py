"""The curve of a training's log."""

from __future__ import annotations

from pathlib import Path

import pytest
from matplotlib import image

from deepcams.core.errors import OutputError
from deepcams.plotting.scores.training import draw_curve

_HEAD = "step,epoch,minutes,lr,loss,gradient,mae,rmse,baseline_mae,skill,best\n"


@pytest.mark.parametrize(
    "rows",
    [
        "0,0,0,1e-3,,,3,4,1,3.0,1\n",
        "0,0,0,1e-3,,,300,400,1,300.0,1\n2,1,0,1e-3,0.5,1,,,,,\n4,2,0,1e-3,0.4,1,0.9,1,1,0.9,1\n",
    ],
)
def test_a_log_of_any_length_is_drawn(tmp_path: Path, rows: str) -> None:
    (tmp_path / "log.csv").write_text(_HEAD + rows)
    pixels = image.imread(draw_curve(tmp_path))
    assert pixels.shape[1] == 1120
    reddish = (pixels[..., 0] > 0.7) & (pixels[..., 1] < 0.4) & (pixels[..., 2] < 0.4)
    assert reddish.sum() > 10  # the best is marked


def test_a_picture_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "log.csv").write_text(_HEAD + "0,0,0,1e-3,,,3,4,1,3.0,1\n")
    (tmp_path / "curve.png").mkdir()
    with pytest.raises(OutputError, match=r"curve\.png cannot be written"):
        draw_curve(tmp_path)
