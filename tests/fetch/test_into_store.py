"""GEOS-CF straight into a training store, over HTTPS and over OPeNDAP."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from deepcams.core.errors import OutputError
from deepcams.core.period import Period
from deepcams.experiment.geos_cf_store import StoreFetch, store_status
from deepcams.fetch.geos_cf import GeosCf, GeosCfRequest
from deepcams.fetch.opendap import decode
from deepcams.fetch.retry import FetchError, RetryableError, RetryPolicy
from deepcams.readers.geos_cf import open_geos_cf
from deepcams.training.store.open import Prepared
from deepcams.training.store.prepare import prepare
from fetch.conftest import BOX, DAY, at
from services.base import Fault
from services.files import FileTree
from services.record import Record

HOURS = Period.parse(f"{DAY}T00..{DAY}T05")
FIRST = (np.datetime64(DAY) - np.datetime64("2018-01-01")) // np.timedelta64(1, "h")


def record_of(world: Path) -> Record:
    field = open_geos_cf(world / "geos_cf").load()
    first = int(FIRST)

    def values(hour: int) -> np.ndarray | None:
        k = hour - first
        return (
            field.values[k][::-1] if 0 <= k < 5 else None
        )  # the sixth hour is undefined

    return Record(
        values, field.latitude.values[::-1], field.longitude.values, first + 48
    )


def test_into_a_store(
    tree: FileTree, world: Path, tmp_path: Path, policy: RetryPolicy
) -> None:
    early = GeosCfRequest(Period.parse(f"{DAY}T00..{DAY}T02"), tmp_path / "a.zarr")
    StoreFetch(early, at(geos_cf_v1=tree.root), policy).run()
    later = GeosCfRequest(HOURS, tmp_path / "a.zarr")
    summary = StoreFetch(later, at(geos_cf_v1=tree.root), policy).run()
    assert (summary.fetched, summary.kept) == (3, 3)
    found, direct = (
        Prepared.open(tmp_path / "a.zarr"),
        prepare(world / "geos_cf", tmp_path / "b.zarr"),
    )
    np.testing.assert_array_equal(found.times, direct.times)
    for hour in range(6):
        np.testing.assert_array_equal(
            found.frame(hour, "fine"), direct.frame(hour, "fine")
        )
    assert not list((tmp_path / ".a.zarr.fetch").glob("*.nc4"))
    before = len(tree.seen)
    assert StoreFetch(later, at(geos_cf_v1=tree.root), policy).run().fetched == 0
    assert len(tree.seen) == before
    assert store_status(tmp_path / "a.zarr", check=True).sound
    with pytest.raises(OutputError, match="expected later hours to extend it"):
        StoreFetch(
            GeosCfRequest(Period.parse("2019-11-01"), tmp_path / "a.zarr"),
            at(geos_cf_v1=tree.root),
            policy,
        ).run()
    assert len(tree.seen) == before


def test_over_opendap(world: Path, tmp_path: Path, policy: RetryPolicy) -> None:
    with record_of(world) as record:
        request = GeosCfRequest(HOURS, tmp_path / "all", via="opendap")
        summary = GeosCf(request, at(geos_cf_opendap=record.url), policy).run()
        assert (summary.fetched, summary.absent) == (5, [f"{DAY}T05:30"])
        box = GeosCfRequest(
            Period.parse(f"{DAY}T00..{DAY}T04"),
            tmp_path / "box",
            via="opendap",
            bbox=(101, 31, 103, 33),
        )
        GeosCf(box, at(geos_cf_opendap=record.url), policy).run()
        assert len(record.seen) == 6  # two axes and a day, twice
    truth = open_geos_cf(world / "geos_cf").isel(time=slice(5))
    np.testing.assert_array_equal(open_geos_cf(tmp_path / "all"), truth)
    cut = open_geos_cf(tmp_path / "box")
    np.testing.assert_array_equal(cut.time, truth.time)
    np.testing.assert_array_equal(
        cut, truth.sel(latitude=cut.latitude, longitude=cut.longitude)
    )


@pytest.mark.parametrize("kind", ["status", "truncate", "html", "reset"])
def test_opendap_comes_whole_in_the_end(
    kind: str, world: Path, tmp_path: Path, policy: RetryPolicy
) -> None:
    with record_of(world) as record:
        record.faults = lambda seen: (
            Fault(kind) if len(record.seen) in (1, 4, 5) else None
        )  # type: ignore[arg-type]
        request = GeosCfRequest(
            Period.parse(f"{DAY}T00..{DAY}T04"), tmp_path, via="opendap"
        )
        assert (
            GeosCf(request, at(geos_cf_opendap=record.url), policy).run().fetched == 5
        )
        record.faults = lambda seen: Fault(kind)  # type: ignore[arg-type]
        with pytest.raises(FetchError, match="tries"):
            GeosCf(
                GeosCfRequest(HOURS, tmp_path / "b", via="opendap"),
                at(geos_cf_opendap=record.url),
                policy,
            ).run()


def test_answers_that_are_none() -> None:
    with pytest.raises(RetryableError, match="beyond"):
        decode(
            b'Error {\n code = 1001;\n message = "constraint is beyond 5";\n};\n', "x"
        )
    head = b"Dataset {\n Float32 x[t = 4];\n} r;\n\nData:\n"
    with pytest.raises(RetryableError, match="do not hold 9 values"):
        decode(head + np.array([9, 9], ">u4").tobytes() + bytes(16), "x")
    assert decode(head + np.array([4, 4], ">u4").tobytes() + bytes(16), "x").shape == (
        4,
    )


def test_a_box_into_a_store_keeps_whole_cells(
    tree: FileTree, tmp_path: Path, policy: RetryPolicy
) -> None:
    request = GeosCfRequest(HOURS, tmp_path / "a.zarr", bbox=(101, 31, 103, 33))
    StoreFetch(request, at(geos_cf_v1=tree.root), policy).run()
    grid = Prepared.open(tmp_path / "a.zarr").coarse
    assert grid.rows >= 3
    assert grid.latitudes.min() >= BOX[1]
