"""Periods, as people write them."""

from __future__ import annotations

import datetime

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from deepcams.core.errors import InputError
from deepcams.core.period import Period


@pytest.mark.parametrize(
    ("text", "start", "end"),
    [
        ("2019", "2019-01-01", "2020-01-01"),
        ("2020-02", "2020-02-01", "2020-03-01"),
        ("2019-12-31", "2019-12-31", "2020-01-01"),
        ("2019-12-31T23", "2019-12-31T23", "2020-01-01"),
        ("2019-03-08 15:30", "2019-03-08T15:30", "2019-03-08T15:31"),
        ("2019-03-08T15:30Z", "2019-03-08T15:30", "2019-03-08T15:31"),
        ("2018..2020", "2018-01-01", "2021-01-01"),
        ("2019-03-30..2019-04", "2019-03-30", "2019-05-01"),
        (" 2019 .. 2019 ", "2019-01-01", "2020-01-01"),
    ],
)
def test_forms(text: str, start: str, end: str) -> None:
    assert Period.parse(text) == Period(np.datetime64(start), np.datetime64(end))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "19",
        "2019-13",
        "2019-02-30",
        "2019-1",
        "2019..",
        "..2019",
        "2020..2019",
        "2019-01-01T25",
        "March",
        "2019...2020",
    ],
)
def test_what_is_no_period_is_refused_in_one_line(text: str) -> None:
    with pytest.raises(InputError, match="period") as caught:
        Period.parse(text)
    assert "\n" not in str(caught.value)


@given(
    st.dates(min_value=datetime.date(1900, 1, 1), max_value=datetime.date(2200, 1, 1))
)
def test_a_day_holds_its_24_hours_and_not_the_next_midnight(day: datetime.date) -> None:
    period = Period.parse(day.isoformat())
    hours = np.datetime64(day, "ns") + np.arange(-1, 26) * np.timedelta64(1, "h")
    assert period.contains(hours).tolist() == [False, *[True] * 24, False, False]


def test_text_is_half_open() -> None:
    assert str(Period.parse("2019-03")) == "[2019-03-01 00:00, 2019-04-01 00:00)"
