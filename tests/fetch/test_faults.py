"""Whatever goes wrong ends in whole, verified data or in one line."""

from __future__ import annotations

import zipfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from deepcams.core.errors import DeepcamsError, DeepcamsNotice, InputError, OutputError
from deepcams.core.period import Period
from deepcams.fetch.ads import ads_key
from deepcams.fetch.cams import Cams
from deepcams.fetch.cams_request import CamsRequest
from deepcams.fetch.endpoints import Endpoints
from deepcams.fetch.geos_cf import GeosCf, GeosCfRequest
from deepcams.fetch.retry import FetchError, RetryPolicy
from deepcams.fetch.status import status
from fetch.conftest import BOX, DAY, at, without_waiting
from services.base import Fault, FaultKind, Seen
from services.data_store import DataStore
from services.files import FileTree

HOURS = Period.parse(f"{DAY}T00..{DAY}T05")
KINDS: tuple[FaultKind, ...] = (
    "reset",
    "truncate",
    "longer",
    "html",
    "corrupt",
    "stall",
)
STATUSES = (429, 500, 503)


def first_times(count: int, fault: Fault, what: str) -> Callable[[Seen], Fault | None]:
    """The fault for the first ``count`` requests of each path that ends so."""
    seen: Counter[str] = Counter()

    def faults(one: Seen) -> Fault | None:
        if not one.path.endswith(what) or one.method == "HEAD":
            return None
        seen[one.path] += 1
        return fault if seen[one.path] <= count else None

    return faults


def fault_of(kind: FaultKind | int) -> Fault:
    if isinstance(kind, int):
        return Fault("status", kind, "0" if kind == 429 else None)
    return Fault(kind, seconds=1.5)


@pytest.mark.parametrize("kind", [*STATUSES, *KINDS])
def test_a_file_comes_whole_in_the_end(
    kind: FaultKind | int,
    tree: FileTree,
    world: Path,
    tmp_path: Path,
    policy: RetryPolicy,
) -> None:
    tree.faults = first_times(2, fault_of(kind), "0030z.nc4")
    policy.timeout = 0.5 if kind == "stall" else 30.0
    request = GeosCfRequest(Period.parse(f"{DAY}T00..{DAY}T01"), tmp_path)
    GeosCf(request, at(geos_cf_v1=tree.root), policy).run()
    name = "GEOS-CF.v01.rpl.aqc_tavg_1hr_g1440x721_v1.20191201_0030z.nc4"
    assert (tmp_path / name).read_bytes() == (world / "geos_cf" / name).read_bytes()
    asked = [
        one
        for one in tree.seen
        if one.path.endswith(name) and one.path.startswith("/das")
    ]
    assert len(asked) == 3
    if kind in ("truncate", "stall"):  # after a reset, what had come may be lost
        assert asked[-1].headers["range"].startswith("bytes=")
        assert asked[-1].status == 206


@pytest.mark.parametrize("kind", [503, "html", "corrupt", "truncate"])
def test_a_file_that_never_comes_is_one_line(
    kind: FaultKind | int, tree: FileTree, tmp_path: Path, policy: RetryPolicy
) -> None:
    tree.ranges = False
    tree.faults = first_times(99, fault_of(kind), "0030z.nc4")
    with pytest.raises(
        FetchError,
        match=r"1 of 6 could not be fetched: .*0030z\.nc4.*the others are complete",
    ):
        GeosCf(GeosCfRequest(HOURS, tmp_path), at(geos_cf_v1=tree.root), policy).run()
    assert len(list(tmp_path.glob("*.nc4"))) == 5
    tree.faults = lambda seen: None
    again = GeosCf(
        GeosCfRequest(HOURS, tmp_path), at(geos_cf_v1=tree.root), RetryPolicy()
    ).run()
    assert (again.fetched, again.kept) == (1, 5)


def test_a_file_that_changes_between_two_parts_is_not_glued(
    tree: FileTree, world: Path, tmp_path: Path, policy: RetryPolicy
) -> None:
    name = "GEOS-CF.v01.rpl.aqc_tavg_1hr_g1440x721_v1.20191201_0030z.nc4"
    other = tmp_path / "other.nc4"
    other.write_bytes((world / "geos_cf" / name).read_bytes() + b"\0" * 64)
    served = [world / "geos_cf" / name]
    tree.find = lambda path: served[0] if path.startswith("das/") else None

    def faults(seen: Seen) -> Fault | None:
        if len(tree.seen) == 1:
            return Fault("reset")
        served[0] = other
        return None

    tree.faults = faults
    request = GeosCfRequest(Period.parse(f"{DAY}T00"), tmp_path / "out")
    GeosCf(request, at(geos_cf_v1=tree.root), policy).run()
    assert (tmp_path / "out" / name).read_bytes() == other.read_bytes()


def test_hours_that_the_server_does_not_have(
    tree: FileTree, tmp_path: Path, policy: RetryPolicy
) -> None:
    request = GeosCfRequest(Period.parse(f"{DAY}T05..{DAY}T06"), tmp_path)
    summary = GeosCf(request, at(geos_cf_v1=tree.root), policy).run()
    assert (summary.fetched, summary.absent) == (1, ["2019-12-01T06:30"])
    assert "not on the server" in summary.text()


def test_the_other_folder_is_probed(
    tree: FileTree, world: Path, tmp_path: Path, policy: RetryPolicy
) -> None:
    tree.find = lambda path: (
        world / "geos_cf" / path.rpartition("/")[2] if path.startswith("ana/") else None
    )
    GeosCf(
        GeosCfRequest(HOURS, tmp_path, at_once=1), at(geos_cf_v1=tree.root), policy
    ).run()
    assert len([one for one in tree.seen if one.path.startswith("/das")]) == 1


def test_retry_after_is_obeyed(
    tree: FileTree, tmp_path: Path, policy: RetryPolicy
) -> None:
    """As seconds or as a date; what cannot be read is as if it were not there, and what is too long ends the item."""
    waits = without_waiting(policy)
    headers = iter(["17", "Wed, 21 Oct 2015 07:28:00 GMT", "soon"])
    tree.faults = lambda seen: (
        None if (after := next(headers, None)) is None else Fault("status", 503, after)
    )
    request = GeosCfRequest(Period.parse(f"{DAY}T00"), tmp_path)
    GeosCf(request, at(geos_cf_v1=tree.root), policy).run()
    assert waits[0] == 17.0
    assert max(waits[1:]) < 1
    tree.faults = lambda seen: Fault("status", 503, "7200")
    with pytest.raises(FetchError, match="asks to wait 120 min"):
        GeosCf(
            GeosCfRequest(request.period, tmp_path / "b"),
            at(geos_cf_v1=tree.root),
            policy,
        ).run()


def test_versions_and_boxes_are_not_mixed(
    tree: FileTree, tmp_path: Path, policy: RetryPolicy
) -> None:
    GeosCf(GeosCfRequest(HOURS, tmp_path), at(geos_cf_v1=tree.root), policy).run()
    other = GeosCfRequest(Period.parse("2025-09-01"), tmp_path, version=2)
    with pytest.raises(OutputError, match="version was 1, now 2"):
        GeosCf(other, at(geos_cf_v2=tree.root), policy).run()
    with pytest.raises(InputError, match="hours of version 1"):
        GeosCfRequest(Period.parse("2017"), tmp_path).hours()


def cams(
    store: DataStore, out: Path, policy: RetryPolicy, keys: dict[str, str], **more: Any
) -> Cams:
    request = CamsRequest(Period.parse("2019-12-01..2019-12-02"), out, bbox=BOX, **more)
    return Cams(request, at(ads=store.url), policy, environment=keys, poll=(0.01, 0.02))


@pytest.mark.parametrize(
    "kind", [*STATUSES, "reset", "truncate", "longer", "html", "corrupt"]
)
@pytest.mark.parametrize("where", ["execution", "results", "file"])
def test_cams_comes_whole_in_the_end(
    kind: FaultKind | int,
    where: str,
    data_store: DataStore,
    tmp_path: Path,
    policy: RetryPolicy,
    keys: dict[str, str],
) -> None:
    count = [0]

    def faults(seen: Seen) -> Fault | None:
        is_file = seen.path.startswith("/api/results/")
        if not (is_file if where == "file" else seen.path.endswith(f"/{where}")):
            return None
        count[0] += 1
        return fault_of(kind) if count[0] <= 2 else None

    data_store.faults = faults
    summary = cams(data_store, tmp_path, policy, keys).run()
    assert summary.fetched == 1
    assert zipfile.is_zipfile(next(tmp_path.glob("cams_eac4_*")))
    assert status(tmp_path, check=True).sound


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (
            {"licence": False},
            "licence of the data set is not accepted.*datasets/cams-global-reanalysis-eac4",
        ),
        (
            {"dataset": "reanalysis-era5-single-levels"},
            "does not have the data set.*another data store's address",
        ),
        ({"queue": 0}, "queue at the data store is full"),
        (
            {"largest": 3},
            "too large for the data store; ask for less with --per-request day",
        ),
    ],
)
def test_what_the_data_store_refuses(
    change: dict[str, Any],
    words: str,
    data_store: DataStore,
    tmp_path: Path,
    policy: RetryPolicy,
    keys: dict[str, str],
) -> None:
    for name, value in change.items():
        setattr(data_store, name, value)
    with pytest.raises(FetchError, match=words) as caught:
        cams(data_store, tmp_path, policy, keys).run()
    assert "\n" not in str(caught.value)
    assert keys["ADSAPI_KEY"] not in str(caught.value)


def test_keys_of_cams(
    data_store: DataStore, tmp_path: Path, policy: RetryPolicy, keys: dict[str, str]
) -> None:
    with pytest.raises(
        FetchError,
        match=r"needs a key: .*profile.*ADSAPI_KEY.*\.adsapirc.*accept the licence once",
    ):
        cams(data_store, tmp_path / "a", policy, {}).run()
    with pytest.raises(
        FetchError, match=r"does not accept the key found in \$ADSAPI_KEY.*expired"
    ):
        cams(data_store, tmp_path / "b", policy, {"ADSAPI_KEY": "secret-and-old"}).run()
    assert not (tmp_path / "a").exists()
    (tmp_path / ".cdsapirc").write_text(
        "url: https://cds.climate.copernicus.eu/api\nkey: abc\n"
    )
    with pytest.warns(DeepcamsNotice, match=r"cds\.climate.*its key is used"):
        key = ads_key(Endpoints().ads, {}, tmp_path)
    assert key.value == "abc"
    assert "abc" not in repr(key)


def test_a_request_that_runs_is_not_submitted_again(
    data_store: DataStore, tmp_path: Path, policy: RetryPolicy, keys: dict[str, str]
) -> None:
    fetch = cams(data_store, tmp_path, policy, keys)
    fetch.progress = lambda *_: (_ for _ in ()).throw(KeyboardInterrupt)
    data_store.polls = 1_000_000
    with pytest.raises(KeyboardInterrupt):
        fetch.run()
    assert status(tmp_path).counts == {"requested": 1}
    data_store.polls = 2
    cams(data_store, tmp_path, RetryPolicy(first=0.01), keys).run()
    assert len([one for one in data_store.seen if one.path.endswith("/execution")]) == 1


def test_a_result_that_was_thrown_away_is_asked_for_anew(
    data_store: DataStore, tmp_path: Path, policy: RetryPolicy, keys: dict[str, str]
) -> None:
    data_store.polls = 1_000_000
    fetch = cams(data_store, tmp_path, policy, keys)
    fetch.progress = lambda *_: (_ for _ in ()).throw(KeyboardInterrupt)
    with pytest.raises(KeyboardInterrupt):
        fetch.run()
    data_store.polls = 2
    for job in data_store.jobs.values():
        job.dismissed = True
    assert cams(data_store, tmp_path, RetryPolicy(first=0.01), keys).run().fetched == 1


def test_cams_of_another_day_does_not_count(
    data_store: DataStore,
    cams_file: Callable[[dict[str, Any]], Path],
    tmp_path: Path,
    policy: RetryPolicy,
    keys: dict[str, str],
) -> None:
    data_store.make = lambda request: cams_file({"date": ["2019-11-30/2019-11-30"]})
    with pytest.raises(FetchError, match="lacks 16 of 16 analyses"):
        cams(data_store, tmp_path, policy, keys).run()
    assert not list(tmp_path.glob("cams_*"))


@pytest.mark.parametrize("longer", [0, 64])
def test_a_result_that_changes_in_mid_download_is_not_glued(
    longer: int,
    data_store: DataStore,
    cams_file: Callable[[dict[str, Any]], Path],
    tmp_path: Path,
    policy: RetryPolicy,
    keys: dict[str, str],
) -> None:
    """Another content under the same address, of the same length or not, between one part and the next."""
    first = cams_file({"date": ["2019-12-01/2019-12-02"]})
    served, other = tmp_path / "served.zip", bytearray(first.read_bytes())
    served.write_bytes(other)
    at_comment = (
        other.rindex(b"PK\5\6") + 20
    )  # of the archive: two bytes of length, then words
    other[at_comment:] = (longer + 8).to_bytes(2, "little") + b"x" * (longer + 8)
    served.write_bytes(bytes(other[:at_comment]) + (8).to_bytes(2, "little") + b"y" * 8)
    data_store.make = lambda request: served

    def faults(seen: Seen) -> Fault | None:
        if not seen.path.startswith("/api/results/"):
            return None
        if any(one.status for one in data_store.seen if one.path == seen.path):
            served.write_bytes(other)  # after the first part
            return None
        return Fault("truncate")

    data_store.faults = faults
    assert cams(data_store, tmp_path / "out", policy, keys).run().fetched == 1
    assert next((tmp_path / "out").glob("cams_eac4_*")).read_bytes() == other
    parts = [one for one in data_store.seen if one.path.startswith("/api/results/")]
    assert parts[1].headers["range"].startswith("bytes=")
    assert 206 not in {one.status for one in parts}
    assert len(data_store.jobs) == 1  # the same request: nothing is computed again
    assert status(tmp_path / "out", check=True).sound


def test_what_changed_since_is_found_and_mended(
    tree: FileTree, tmp_path: Path, policy: RetryPolicy
) -> None:
    request = GeosCfRequest(HOURS, tmp_path)
    GeosCf(request, at(geos_cf_v1=tree.root), policy).run()
    first, second, *_ = sorted(tmp_path.glob("*.nc4"))
    data = bytearray(first.read_bytes())
    data[len(data) // 2] ^= 1
    first.write_bytes(data)
    second.unlink()
    seen = status(tmp_path, check=True)
    assert (len(seen.damaged), len(seen.gone), seen.sound) == (1, 1, False)
    assert GeosCf(request, at(geos_cf_v1=tree.root), policy).run().fetched == 2
    assert status(tmp_path, check=True).sound


def test_a_full_disk_is_one_line(
    tree: FileTree, tmp_path: Path, policy: RetryPolicy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "shutil.disk_usage", lambda path: type("_", (), {"free": 10_000})()
    )
    with pytest.raises(DeepcamsError, match="of free space, found"):
        GeosCf(GeosCfRequest(HOURS, tmp_path), at(geos_cf_v1=tree.root), policy).run()


def test_endpoints_come_from_everywhere(tmp_path: Path) -> None:
    (tmp_path / ".config" / "deepcams").mkdir(parents=True)
    (tmp_path / ".config" / "deepcams" / "endpoints.yaml").write_text(
        "ads: http://a/api\nopenaq-api: http://b/v3\n"
    )
    environment = {
        "DEEPCAMS_ENDPOINT_OPENAQ_API": "http://c/v3",
        "DEEPCAMS_ENDPOINT_GEOS_CF_V2": "http://e",
    }
    found = Endpoints.resolve(
        ["geos-cf-v1=http://d/", "ads=http://f/api"], environment, tmp_path
    )
    assert (found.ads, found.openaq_api) == (
        "http://f/api",
        "http://c/v3",
    )  # option, then environment, then file
    assert (found.geos_cf_v1, found.geos_cf_v2) == ("http://d", "http://e")
    with pytest.raises(InputError, match="did you mean 'geos_cf_v2'"):
        Endpoints.resolve(["geos-cf-v3=http://d"], {}, tmp_path)


def test_numbers_that_are_none(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="1 to 4 requests"):
        CamsRequest(Period.parse("2019"), tmp_path, at_once=9).parts()
    with pytest.raises(InputError, match="2003"):
        CamsRequest(Period.parse("2001"), tmp_path).parts()
    months = CamsRequest(Period.parse("2003..2020"), tmp_path).parts()
    assert len(months) == 216
    assert np.sum([part.times.size for part in months]) == 52_600
