"""Verification: a clean output is clean, each damage is found, and repaired it is as it was."""

from __future__ import annotations

import json
import random
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from deepcams.core.errors import InputError, OutputError
from deepcams.downscaling.job import downscale_to, plan_job
from deepcams.downscaling.verify import Verification, repair, verify
from deepcams.readers.cams import open_cams
from deepcams.workers import Part
from downscaling.test_job import FORMS, opened

MakeField = Callable[..., xr.DataArray]
CONSERVING = {"temporal": "linear", "spatial": "bicubic"}


@pytest.fixture
def source(make_field: MakeField, tmp_path: Path) -> Path:
    field = make_field(25)
    field.values[4, 5, 7] = np.nan
    path = tmp_path / "cams.nc"
    field.to_netcdf(path)
    return path


def made(source: Path, out: Path, split: str | None = None) -> Path:
    downscale_to(open_cams(source), out, inputs=[source], split=split, **CONSERVING)
    return out


def faults(found: Verification) -> list[str]:
    return [damage.what.rpartition(": ")[2] for damage in found.damages]


@pytest.mark.parametrize(("name", "split"), FORMS)
def test_a_clean_output_is_clean(
    source: Path, tmp_path: Path, name: str, split: str | None
) -> None:
    found = verify(made(source, tmp_path / name, split))
    assert found.damages == ()
    assert (found.hours, found.items) == (73, 4)
    if name != "out.nc":  # one file forgets where it is from
        assert found.conservation == "checked against the input"


@pytest.mark.parametrize(("name", "split"), FORMS)
def test_a_changed_value_is_found_and_repaired(
    source: Path, tmp_path: Path, name: str, split: str | None
) -> None:
    out = made(source, tmp_path / name, split)
    before = opened(out)
    file = out if out.is_file() else sorted(out.glob("*.nc"))[:1]
    if name == "out.zarr":
        path = out / "pm2p5/c/1/0/0"
        data = bytearray(path.read_bytes())
        data[300] ^= 1
        path.write_bytes(data)
    else:
        import netCDF4

        with netCDF4.Dataset(file if isinstance(file, Path) else file[0], "a") as data:
            data["pm2p5"][2, 3, 4] = -1
    found = verify(out)
    assert found.damages
    if name == "out.nc":
        assert "holds negative values" in faults(found)
        with pytest.raises((OutputError, InputError)):
            repair(found)
        return
    summary = repair(found)
    assert 0 < summary.computed < summary.hours or split == "month"
    assert verify(out).damages == ()
    xr.testing.assert_equal(opened(out), before)


def damage(path: Path, how: int, random_: random.Random) -> None:
    """Do one of five things to a file that make it another one."""
    data = bytearray(path.read_bytes())
    if how == 0 or not data:
        path.unlink()
        return
    at = random_.randrange(len(data))
    if how == 1:
        data[at] ^= 1 << random_.randrange(8)
    elif how == 2:
        del data[at:]
    elif how == 3:
        data[at : at + 64] = bytes(64) if any(data[at : at + 64]) else b"\1" * 64
    else:
        data += b"\0" * 10
    path.write_bytes(data)


@pytest.mark.parametrize("count", [10, pytest.param(100, marks=pytest.mark.slow)])
def test_every_planted_damage_is_found_and_repaired(
    source: Path, tmp_path: Path, count: int
) -> None:
    clean = made(source, tmp_path / "clean.zarr")
    before, random_ = opened(clean), random.Random(count)
    files = sorted(p for p in clean.rglob("*") if p.is_file())
    assert len(files) > 20
    out = tmp_path / "out.zarr"
    for number in range(count):
        shutil.rmtree(out, ignore_errors=True)
        shutil.copytree(clean, out)
        victim = random_.choice(files).relative_to(clean)
        damage(out / victim, number % 5, random_)
        found = verify(out)
        assert found.damages, (number, victim)
        repair(found)
        assert verify(out).damages == (), (number, victim)
        xr.testing.assert_equal(opened(out), before)


def test_an_unfinished_output_lacks_its_hours(source: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.zarr"
    plan_job(open_cams(source), out, inputs=[source], **CONSERVING).run(part=Part(1, 2))
    found = verify(out)
    assert faults(found) == ["not written", "not written"]
    repair(found)
    assert verify(out).damages == ()


def test_without_input_all_but_the_conservation_is_checked(
    source: Path, tmp_path: Path
) -> None:
    out = made(source, tmp_path / "out.zarr")
    moved = source.rename(tmp_path / "moved.nc")
    found = verify(out)
    assert found.damages == ()
    assert found.conservation.startswith(f"not checked: {source}: expected a file")
    (out / "status/c/2").unlink()
    found = verify(out)
    assert "changed since it was written" in faults(found)
    with pytest.raises(InputError, match=r"cams.nc: expected a file"):
        repair(found)
    repair(found, inputs=[moved])
    assert verify(out, inputs=[moved]).damages == ()


def test_values_that_do_not_conserve_are_found(source: Path, tmp_path: Path) -> None:
    """Though their record fits: as a fault of the program would leave them."""
    out = made(source, tmp_path / "out.zarr")
    job = plan_job(open_cams(source), out, inputs=[source], **CONSERVING)
    item = job.plan.items[1]
    values, status, record = job.compute(item)
    values[status == 1, 10, 10] += 9
    job.target.resume(job.layout, job.plan.items)
    job.target.write(item, values, status, record)
    assert faults(verify(out)) == ["8 area means are not those of the input"]


def test_a_changed_input_is_told(source: Path, tmp_path: Path) -> None:
    out = made(source, tmp_path / "out.zarr")
    with xr.open_dataset(source) as dataset:
        changed = dataset.load()
    changed.pm2p5[9] += 1
    source.unlink()
    changed.to_netcdf(source)
    found = verify(out)
    assert set(faults(found)) == {
        "computed from other input values than the files hold now"
    }
    assert len(found.damages) == 1


def test_what_is_no_output_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="an output of deepcams downscale, found noth"):
        verify(tmp_path / "absent.zarr")


def test_the_request_holds_absolute_paths(source: Path, tmp_path: Path) -> None:
    out = made(source, tmp_path / "out.zarr")
    text = (out / ".deepcams/request.record.json").read_text()
    assert json.loads(text)["facts"]["inputs"] == [str(source)]
