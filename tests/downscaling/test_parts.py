"""One output, several processes that share the work: by parts, and by Dask's workers."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr

from deepcams.core.errors import InputError, OutputError
from deepcams.downscaling import job as job_module
from deepcams.downscaling.job import Summary, downscale_to, plan_job
from deepcams.workers import Part
from downscaling.test_job import FORMS, LINEAR, opened, tree

MakeField = Callable[..., xr.DataArray]


def do_part(field: xr.DataArray, out: Path, part: str, **settings: Any) -> Summary:
    return plan_job(field, out, **settings, **LINEAR).run(part=Part.parse(part))


def same(one: Path, other: Path) -> None:
    a, b = opened(one), opened(other)
    xr.testing.assert_equal(a, b)
    assert [p for p in tree(one) if "lock" not in p] == tree(other)


@pytest.mark.parametrize(("name", "split"), FORMS)
def test_parts_in_any_order_make_the_output(
    make_field: MakeField, tmp_path: Path, name: str, split: str | None
) -> None:
    field, out, whole = make_field(40), tmp_path / name, tmp_path / "one" / name
    whole.parent.mkdir()
    downscale_to(field, whole, split=split, **LINEAR)
    first = do_part(field, out, "2/3", split=split)
    assert 0 < first.hours < first.left
    assert first.hours + first.left == 118
    assert do_part(field, out, "2/3", split=split).computed == 0
    do_part(field, out, "3/3", split=split)
    last = do_part(field, out, "1/3", split=split)
    assert (last.left, last.hours) == (0, 118)
    same(out, whole)
    assert not [p for p in tmp_path.rglob("*") if "lock" in p.name]
    assert downscale_to(field, out, split=split, **LINEAR).computed == 0


@pytest.mark.parametrize(("name", "split"), FORMS)
def test_parts_at_the_same_time(
    make_field: MakeField,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    split: str | None,
) -> None:
    monkeypatch.setattr(job_module, "WAIT_FOR_PARTS", 0.3)
    field, out, whole = make_field(40), tmp_path / name, tmp_path / "one" / name
    whole.parent.mkdir()
    downscale_to(field, whole, split=split, **LINEAR)
    refused = list[str]()

    def others(phase: str, done: int, total: int) -> None:
        if refused:
            return
        do_part(field, out, "1/2", split=split)
        for part in ("2/2", "2/3", None):
            share = part and Part.parse(part)
            again = plan_job(field, out, split=split, **LINEAR)
            with pytest.raises(OutputError) as caught:
                again.run(part=share)
            refused.append(str(caught.value))

    job = plan_job(field, out, split=split, **LINEAR)
    assert job.run(others, part=Part(2, 2)).left == 0
    same_part, *others_refused = (line.partition(" (")[0] for line in refused)
    assert same_part == f"{out}: another deepcams writes to it now"
    assert set(others_refused) == {
        f"{out}: part 2/2 of it is being written now; another deepcams writes to it now"
    }
    same(out, whole)


def test_more_parts_than_items(make_field: MakeField, tmp_path: Path) -> None:
    field, out = make_field(9), tmp_path / "out.zarr"
    hours = [do_part(field, out, f"{i}/4").computed for i in (1, 2, 3, 4)]
    assert sorted(hours) == [0, 0, 1, 24]
    assert do_part(field, out, "1/4").left == 0


def test_overwriting_is_no_part(make_field: MakeField, tmp_path: Path) -> None:
    field, out = make_field(), tmp_path / "out.zarr"
    with pytest.raises(InputError, match="--part 1/2: expected an output to go on"):
        do_part(field, out, "1/2", overwrite=True)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(("name", "split"), FORMS)
def test_dasks_workers_write_the_same(
    make_field: MakeField, tmp_path: Path, client: Any, name: str, split: str | None
) -> None:
    field, whole = make_field(40), tmp_path / "one" / name
    whole.parent.mkdir()
    downscale_to(field, whole, split=split, **LINEAR)
    with client.as_current():
        summary = downscale_to(field, tmp_path / name, split=split, **LINEAR)
    assert summary.computed == 118
    same(tmp_path / name, whole)


def test_a_workers_error_is_one_line(
    make_field: MakeField, tmp_path: Path, client: Any
) -> None:
    field = make_field(40)
    field[30, 3, 3] = np.inf
    job = plan_job(field, tmp_path / "out.zarr", **LINEAR)
    job.inputs.scan = lambda: None  # type: ignore[method-assign]
    from deepcams.workers import DaskWorkers

    with pytest.raises(InputError, match="infinite"):
        job.run(workers=DaskWorkers(client))


def test_a_part_of_a_finished_output_has_nothing_to_do(
    make_field: MakeField, tmp_path: Path
) -> None:
    field = make_field(40)
    for name, split in FORMS:
        out = tmp_path / str(split) / name
        out.parent.mkdir(exist_ok=True)
        downscale_to(field, out, split=split, **LINEAR)
        summary = do_part(field, out, "1/3", split=split)
        assert (summary.computed, summary.left, summary.hours) == (0, 0, 118)
