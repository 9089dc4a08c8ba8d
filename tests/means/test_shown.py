"""Means are drawn, reported and verified as outputs of deepcams; nothing takes them for hours."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import xarray as xr

import deepcams
from deepcams.cli.figure_options import open_fields
from deepcams.core.errors import InputError, OutputError
from deepcams.core.grid import Grid
from deepcams.downscaling.verify import repair, verify
from deepcams.means import means_to
from deepcams.plotting.maps import map_figure, span_words
from deepcams.readers.inspect import MEANS_NOTE, inspect
from deepcams.report.discover import find_run
from deepcams.report.exposure import exceedances
from deepcams.report.report import _about, _counts
from deepcams.view.session import Shown

GRID = Grid(15, 2, 0, 4, 24)
FORMS = [("days.zarr", "utc"), ("days.nc", "nautical")]


@pytest.mark.parametrize(("name", "days"), FORMS)
def test_means_are_shown_but_are_no_hours(
    name: str, days: str, field_of: Callable[..., xr.DataArray], tmp_path: Path
) -> None:
    out = tmp_path / name
    means_to(field_of(GRID), out, days=days)  # type: ignore[arg-type]
    shown = open_fields([str(out)], None)
    assert shown.name == "pm2p5_mean"
    stored = xr.open_dataset(out, decode_timedelta=False, engine=None)
    assert (shown.time.values == stored.time.values).all()
    with pytest.raises(InputError, match="means over 24 h"):
        deepcams.open_field(out)
    seen = inspect([str(out)], values=False)
    assert not seen.problem
    assert " means over a day, " in seen.opens_as
    assert MEANS_NOTE in seen.notes
    zone = "UTC" if days == "utc" else "local date"
    assert span_words(shown, slice(0, 2))[0].endswith(f" {zone} (2 frames)")
    titles = [text.get_text() for text in map_figure(shown).texts]
    moment = "2019-12-30 (local date)" if name == "days.nc" else "2019-12-30 12:00 UTC"
    assert any(title.endswith(moment) for title in titles), titles
    assert Shown(shown).about()["clock"] == zone
    output = find_run(out).output
    assert output is not None
    assert "UTC" not in _about(output)[0]


def test_the_report_says_what_they_are_worth(
    field_of: Callable[..., xr.DataArray], tmp_path: Path
) -> None:
    means_to(field_of(GRID), tmp_path / "days.zarr")
    output = find_run(tmp_path / "days.zarr").output
    assert output is not None
    assert "What it is worth: uncalibrated model." in _about(output)
    table = _counts(output)
    assert table is not None
    assert ["incomplete: some cells have fewer", 0] in [list(row) for row in table.rows]
    assert not output.problems


@pytest.mark.parametrize("name", ["days.zarr", "days.nc"])
def test_the_report_counts_hours_above_limits(
    name: str, field_of: Callable[..., xr.DataArray], tmp_path: Path
) -> None:
    field = field_of(GRID, hours=48)
    field[:] = 10
    field[3:8, 1, 2] = 20  # five hours of one cell
    means_to(field, tmp_path / name, levels=[15, 30])
    output = find_run(tmp_path / name).output
    assert output is not None
    table = exceedances(output)
    assert table is not None
    low, high = (list(row) for row in table.rows)
    assert (low[1], low[3]) == (15, 5)
    share = GRID.row_areas[1] / GRID.row_areas.sum() / GRID.columns
    assert low[4] == pytest.approx(5 * share, abs=1e-3)
    assert low[5] == round(100 * share, 1)
    assert (high[1], high[3], high[5]) == (30, 0, 0)


@pytest.mark.parametrize(("ending", "over"), [("zarr", "month"), ("nc", "day")])
def test_damage_is_found_and_made_again(
    ending: str, over: str, field_of: Callable[..., xr.DataArray], tmp_path: Path
) -> None:
    field = field_of(Grid(45, 1, 0, 2, 3), hours=24 * 40, start="2019-07-01")
    out = tmp_path / f"out.{ending}"
    means_to(field, out, over=over, complete=10, levels=[15])  # type: ignore[arg-type]
    found = verify(out)
    assert not found.damages
    assert found.hours == (40 if over == "day" else 2)
    if ending == "nc":
        return
    shard = out / "pm2p5_max/c/1/0/0"
    before = shard.read_bytes()
    shard.write_bytes(before + b"x")
    found = verify(out)
    (damage,) = found.damages
    assert damage.item is not None
    assert damage.item.index == 1
    with pytest.raises(OutputError, match="give it once more"):
        repair(found)
    again = means_to(field, out, over=over, complete=10, levels=[15])  # type: ignore[arg-type]
    assert again.computed == damage.item.hours
    assert shard.read_bytes() == before
    assert not verify(out).damages
