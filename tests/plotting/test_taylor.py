"""Taylor's diagram: points are where their figures say."""

from __future__ import annotations

import math

import numpy as np
import pytest

from deepcams.plotting.scores.taylor import TaylorPoint, taylor_figure


def _drawn(figure) -> dict[str, tuple[float, float]]:
    """Marked points by the first word of their names."""
    lines = [line for line in figure.axes[0].lines if ":" in str(line.get_label())]
    return {
        str(line.get_label()).split(":")[0]: (
            float(line.get_xdata()[0]),
            float(line.get_ydata()[0]),
        )
        for line in lines
    }


def test_a_point_is_as_far_from_the_observed_as_its_centred_error() -> None:
    random = np.random.default_rng(0)
    truth = random.normal(0, 4, 500)
    method = 0.6 * truth + random.normal(3, 2, 500)
    ratio, r = method.std() / truth.std(), np.corrcoef(truth, method)[0, 1]
    figure = taylor_figure([TaylorPoint("field", "field", ratio, r)])
    x, y = _drawn(figure)["field"]
    centred = (method - method.mean()) - (truth - truth.mean())
    expected = math.sqrt((centred**2).mean()) / truth.std()
    assert math.hypot(x - 1, y) == pytest.approx(expected, abs=1e-10)
    assert figure.axes[0].get_xlim()[0] == 0


def test_a_negative_correlation_opens_the_other_half_and_what_is_beyond_is_at_the_edge() -> (
    None
):
    figure = taylor_figure(
        [
            TaylorPoint("field", "field", 9.0, 0.5),
            TaylorPoint("original", "original", 1.0, -0.5),
        ]
    )
    drawn = _drawn(figure)
    assert drawn["original"] == pytest.approx((-0.5, math.sqrt(0.75)))
    assert math.hypot(*drawn["field"]) == pytest.approx(4.0)
    assert figure.axes[0].get_xlim() == (-4.0, 4.0)
    texts = [text.get_text() for text in figure.axes[0].get_legend().get_texts()]
    assert texts == [
        "field: R 0.50, ratio 9.00",
        "original: R \N{MINUS SIGN}0.50, ratio 1.00",
    ]
