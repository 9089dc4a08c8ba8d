"""Hourly, daily, monthly and annual steps of a field, and means over steps with at least 75 % of their values."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
import xarray as xr

from deepcams.core.errors import InputError, notice
from deepcams.core.field import is_mean
from deepcams.core.period import Period
from deepcams.core.text import counted
from deepcams.core.times import DAY_SECONDS, stamp_seconds
from deepcams.exposure.fields import interval_of
from deepcams.stations.averages import enough
from deepcams.stations.matching import field_seconds

Over = Literal["hour", "day", "month", "year"]
_UNITS = {"day": "D", "month": "M", "year": "Y"}
_TEXTS: dict[Over, Literal["m", "D", "M", "Y"]] = {
    "hour": "m",
    "day": "D",
    "month": "M",
    "year": "Y",
}


@dataclass(frozen=True)
class Steps:
    """Consecutive parts of a field's time, each with enough values.

    Attributes:
        over: kind of step: the field's own times (``hour``), or calendar days, months or years of UTC.
        start, end: (steps,), ``datetime64[s]``, UTC; equal for instants (``hour``).
        first, stop: (steps,), range of indices of the field's times in each step.
        possible: (steps,), number of times in a complete step.
    """

    over: Over
    start: np.ndarray
    end: np.ndarray
    first: np.ndarray
    stop: np.ndarray
    possible: np.ndarray

    def __len__(self) -> int:
        return self.start.size

    def part(self, first: int, stop: int) -> Steps:
        """Return a range of the steps."""
        at = slice(first, stop)
        columns = (self.start, self.end, self.first, self.stop, self.possible)
        return Steps(self.over, *(column[at] for column in columns))

    def texts(self) -> list[str]:
        """Return each step's start as text: ``2019-12-31`` for days, ``2019`` for years, .."""
        texts = np.datetime_as_string(self.start, unit=_TEXTS[self.over])
        return [text + ("Z" if self.over == "hour" else "") for text in texts.tolist()]

    @property
    def within(self) -> tuple[int, int]:
        """Range of indices (first, stop) of the field's times that are needed."""
        return int(self.first[0]), int(self.stop[-1])


def steps_of(field: xr.DataArray, over: Over, period: Period | None = None) -> Steps:
    """Divide a field's times into steps; those with fewer than 75 % of the possible times are left out.

    A value belongs to the step that contains its timestamp: the day of an hourly field is 00:00 to 23:00.

    Args:
        field: canonical field.
        over: the field's own times, or days, months or years of UTC.
        period: times to use.

    Raises:
        InputError: no time is in the period, the time step is too coarse, or no step has enough times.
    """
    seconds, length = field_seconds(field), interval_of(field)
    span = f"{stamp_seconds(seconds[0])} to {stamp_seconds(seconds[-1])} UTC"
    keep = np.arange(seconds.size)
    if period is not None:
        keep = np.flatnonzero(period.contains(field.time.values))
        if not keep.size:
            raise InputError(
                "--period", f"a time of the field ({span})", f"none in {period}"
            )
    finest = {"hour": DAY_SECONDS - 1, "day": DAY_SECONDS + 3600}.get(over)
    if finest is not None and length > finest:
        found = f"a value every {length / DAY_SECONDS:g} days"
        raise InputError(
            "--over",
            f"a field with a value each {over}",
            found,
            "ask for longer steps",
        )
    times = seconds[keep].astype("datetime64[s]")
    if over == "hour":
        # The timestamp of a mean is the middle of its interval.
        half = np.timedelta64(length // 2 if is_mean(field) else 0, "s")
        one = np.ones(keep.size, int)
        return Steps(over, times - half, times + half, keep, keep + 1, one)
    unit = f"datetime64[{_UNITS[over]}]"
    of = times.astype(unit)
    starts = np.flatnonzero(
        np.diff(of.astype(np.int64), prepend=np.iinfo(int).min // 2)
    )
    begin = of[starts].astype("datetime64[s]")
    end = (of[starts] + 1).astype("datetime64[s]")
    number = np.diff(np.append(starts, keep.size))
    possible = np.maximum(np.rint((end - begin).astype(float) / length).astype(int), 1)
    whole = enough(number, possible)
    if not whole.any():
        expected = f"a {over} with at least 75 % of its values"
        raise InputError("--over", expected, f"none in {span}", "ask for shorter steps")
    if not whole.all():
        left = counted(int((~whole).sum()), over)
        notice(f"{left} with fewer than 75 % of their values are left out")
    first = keep[starts][whole]
    return Steps(
        over, begin[whole], end[whole], first, first + number[whole], possible[whole]
    )


def step_means(
    blocks: Iterable[tuple[int, np.ndarray]], steps: Steps
) -> Iterator[tuple[int, np.ndarray]]:
    """Average the values of consecutive times over steps.

    Args:
        blocks: stop index and values (times, nodes) of consecutive blocks, starting at ``steps.within``.
        steps: steps, in order.

    Yields:
        index of the first step, and means: (steps, nodes), float64; NaN where a node has fewer than 75 % of the
        possible values.
    """
    at = steps.within[0]
    step = 0
    total = count = np.zeros(0)
    for stop, values in blocks:
        done = list[np.ndarray]()
        first_done = step
        while step < len(steps) and steps.first[step] < stop:
            begin = max(int(steps.first[step]), at)
            part = values[begin - at : min(int(steps.stop[step]), stop) - at]
            valid = np.isfinite(part)
            sums = np.where(valid, part, 0).sum(axis=0, dtype=np.float64)
            if begin == steps.first[step]:
                total, count = sums, valid.sum(axis=0)
            else:
                total, count = total + sums, count + valid.sum(axis=0)
            if steps.stop[step] > stop:
                break
            known = enough(count, int(steps.possible[step]))
            done.append(np.where(known, total / np.maximum(count, 1), np.nan))
            step += 1
        at = stop
        if done:
            yield first_done, np.stack(done)
