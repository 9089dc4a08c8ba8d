import numpy as np
import pytest

from deepcams.core.box import Box, eastward
from deepcams.core.errors import InputError


@pytest.mark.parametrize(
    "edges",
    [
        (0, 0, 1),
        (0, 10, 20, 5),
        (5, 0, 5, 1),
        (-200, 0, 10, 1),
        (0, -91, 1, 0),
        (0, 0, 1, float("nan")),
        (True, 0, 2, 1),
        "abcd",
    ],
)
def test_what_is_no_box_is_refused(edges):
    with pytest.raises(InputError, match=r"^--bbox: expected W S E N"):
        Box.checked(edges, "--bbox")


def test_a_box_is_a_tuple():
    assert Box.checked([10, 20, 30.5, 40]) == (10.0, 20.0, 30.5, 40.0)


@pytest.mark.parametrize(
    ("box", "width"),
    [((170, 0, -170, 1), 20), ((0, 0, 360, 1), 360), ((-180, 0, 180, 1), 360)],
)
def test_width(box, width):
    assert Box(*box).width == width


def test_points_across_the_dateline():
    box = Box(170.0, -10.0, -170.0, 10.0)
    inside = box.contains(
        np.array([0, 0, 0, 11, 10]), np.array([175, -175, 0, 175, 190])
    )
    assert inside.tolist() == [True, True, False, False, True]


@pytest.mark.parametrize(
    ("a", "b", "meet"),
    [
        ((0, 0, 10, 10), (5, 5, 15, 15), True),
        ((0, 0, 10, 10), (10, 0, 20, 10), False),
        ((0, 0, 10, 10), (0, 10, 10, 20), False),
        ((170, 0, -170, 10), (-175, 0, -160, 10), True),
        ((0, 0, 360, 10), (50, 5, 60, 6), True),
        ((350, 0, 10, 10), (-5, 0, 5, 10), True),
    ],
)
def test_boxes_that_meet(a, b, meet):
    assert Box(*a).meets(Box(*b)) is meet
    assert Box(*b).meets(Box(*a)) is meet


def test_a_wider_box_stops_at_the_poles_and_closes_the_circle():
    assert Box(0, 0, 10, 89).widened(2) == (-2, -2, 12, 90)
    assert Box(179, 0, -179, 1).widened(1) == (178, -1, -178, 2)
    assert Box(0, 0, 358, 1).widened(1) == (-180, -1, 180, 2)


def test_a_box_over_the_dateline_is_two():
    assert Box(170, 0, -170, 1).split_at_dateline() == [
        (170, 0, 180, 1),
        (-180, 0, -170, 1),
    ]
    assert Box(350, 0, 10, 1).split_at_dateline() == [(-10, 0, 10, 1)]


def test_longitudes_in_range_keep_their_last_digit():
    assert eastward(0.1 + 0.2) == 0.1 + 0.2
    assert eastward(190.0) == -170.0
    assert eastward(np.array([180.0, -180.0, 359.5])).tolist() == [-180, -180, -0.5]
