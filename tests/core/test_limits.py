"""The table of limits, and which of a year's days a percentile is."""

from __future__ import annotations

from deepcams.core.limits import LIMITS, limits_of, nth_highest, who_levels


def test_levels_as_their_texts_have_them() -> None:
    assert who_levels("pm2p5", "day") == (15, 25, 37.5, 50, 75)
    assert who_levels("pm2p5", "year") == (5, 10, 15, 25, 35)
    found = {(each.name, each.period): each for each in limits_of("pm2p5")}
    day, year = found["EU 2030", "day"], found["EU 2030", "year"]
    assert (day.level, day.allowed, year.level) == (25, 18, 10)
    assert day.words == "at most 18 days a year above"
    day, year = found["US 2006", "day"], found["US 2024", "year"]
    assert (day.level, day.percentile, day.years) == (35, 98, 3)
    assert (year.level, year.years) == (9, 3)
    assert limits_of("ozone") == ()


def test_each_limit_has_the_figure_that_its_form_asks_for_and_a_source() -> None:
    for limit in LIMITS:
        assert (limit.percentile is None) == (limit.form != "percentile")
        assert (limit.allowed is None) == (limit.form != "allowed")
        assert limit.source
        assert limit.since.year >= 2006
    keys = [(each.name, each.species, each.period) for each in LIMITS]
    assert len(set(keys)) == len(keys)


def test_percentiles_by_rank_as_the_table_of_40_cfr_50_appendix_n() -> None:
    ends = {1: 1, 50: 1, 51: 2, 100: 2, 101: 3, 150: 3, 301: 7, 350: 7, 351: 8, 366: 8}
    assert {days: nth_highest(98, days) for days in ends} == ends
    assert nth_highest(99, 365) == nth_highest(99, 366) == 4
