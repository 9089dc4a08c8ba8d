"""Schedules played through: exact by hand where nothing fails, and worse where something does."""

from __future__ import annotations

import math

import pytest

from deepcams.core.errors import InputError
from deepcams.planning.schedule import (
    Conditions,
    Outcome,
    Sharing,
    draw_seconds,
    play,
)

both = pytest.mark.parametrize("sharing", ["parts", "dynamic"])


@both
@pytest.mark.parametrize(
    ("items", "workers"), [(1, 1), (12, 1), (12, 4), (13, 4), (3, 8), (6575, 1000)]
)
def test_equal_items_take_whole_rounds_after_the_start(
    items: int, workers: int, sharing: Sharing
) -> None:
    outcome = play([60.0] * items, workers, sharing, Conditions(startup=10))
    makespan = 10 + math.ceil(items / workers) * 60
    assert outcome.makespan == pytest.approx(makespan)
    assert outcome.efficiency == pytest.approx(items * 60 / (workers * makespan))
    assert (outcome.lost, outcome.failures) == (0, 0)


def test_parts_are_blocks_and_the_scheduler_gives_the_next_item() -> None:
    seconds = [5.0, 4.0, 1.0, 1.0]  # blocks: 5 + 4 and 1 + 1; in turn: 5 and 4 + 1, +1
    assert play(seconds, 2, "parts").makespan == 9
    assert play(seconds, 2, "dynamic").makespan == 6


def test_a_slow_worker_delays_its_part_but_takes_fewer_items_from_a_scheduler() -> None:
    slow = Conditions(stragglers=0.5, slowness=3)
    # Alone it does 1 of 4: the other does 3 meanwhile.
    assert play([1.0] * 4, 2, "parts", slow).makespan == 6
    assert play([1.0] * 4, 2, "dynamic", slow).makespan == 3


@both
def test_a_seed_gives_one_schedule(sharing: Sharing) -> None:
    seconds = draw_seconds([50.0, 60.0, 80.0], 500, seed=7)
    assert seconds == draw_seconds([50.0, 60.0, 80.0], 500, seed=7)
    assert set(seconds) == {50.0, 60.0, 80.0}

    def outcome(seed: int) -> Outcome:
        bad = Conditions(9, failures=0.5, restart=120, stragglers=0.1, slowness=2)
        return play(seconds, 20, sharing, bad, seed)

    assert outcome(1) == outcome(1)
    assert outcome(1) != outcome(2)


@both
def test_failures_lose_work_and_time(sharing: Sharing) -> None:
    seconds = [60.0] * 400
    good = play(seconds, 10, sharing, Conditions(startup=9))
    bad = play(seconds, 10, sharing, Conditions(9, failures=2.0, restart=120))
    assert bad.makespan > good.makespan
    assert bad.efficiency < good.efficiency
    # 10 workers for 40 minutes at 2 an hour: 13 expected, each half an item.
    assert 4 <= bad.failures <= 30
    assert 0 < bad.lost < bad.failures * 60


def test_a_failed_item_goes_to_an_idle_worker() -> None:
    """Two workers, one item: where the first fails, the second does it at once if they share."""
    fails = Conditions(failures=20, restart=10_000)
    for seed in range(100):
        alone = play([100.0, 1.0], 2, "parts", fails, seed)
        shared = play([100.0, 1.0], 2, "dynamic", fails, seed)
        if alone.failures and shared.failures == 1 and shared.lost > 10:
            assert shared.makespan == pytest.approx(shared.lost + 100)
            assert alone.makespan > 10_000
            return
    pytest.fail("no seed in which just the long item failed")


def test_what_cannot_be_played_is_refused() -> None:
    with pytest.raises(InputError, match="at least one item"):
        play([], 2)
    with pytest.raises(InputError, match="--workers: expected a number from 1"):
        play([1.0], 0)
    with pytest.raises(InputError, match="--failures: expected at most 3"):
        play([3600.0], 1, "parts", Conditions(failures=4))
    with pytest.raises(InputError, match="--stragglers: expected a number from 0 to 1"):
        Conditions(stragglers=2)
    with pytest.raises(InputError, match="--slowness: expected a number from 1 on"):
        Conditions(slowness=0.5)
