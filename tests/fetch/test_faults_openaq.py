"""OpenAQ's archive and API: whatever goes wrong ends in whole, verified data or in one line."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from deepcams.core.period import Period
from deepcams.fetch.openaq import Openaq, OpenaqRequest
from deepcams.fetch.retry import FetchError, RetryPolicy
from fetch.conftest import at, without_waiting
from fetch.test_faults import fault_of, first_times
from services.base import Answer, Fault, FaultKind, Seen
from services.bucket import Bucket
from services.station_list import StationList


def test_a_list_that_is_asked_to_wait_waits(
    bucket: Bucket, tmp_path: Path, policy: RetryPolicy
) -> None:
    """Of all locations, and of one location's days."""
    waits = without_waiting(policy)
    lists = Counter[str]()

    def faults(seen: Seen) -> Fault | None:
        if "list-type" not in seen.query:
            return None
        lists[seen.query["prefix"]] += 1
        return Fault("status", 503, "77") if lists[seen.query["prefix"]] == 1 else None

    bucket.faults = faults
    request = OpenaqRequest(Period.parse("2019-12-31"), tmp_path / "a")
    summary = Openaq(
        request, at(openaq_archive=bucket.url), policy, environment={}
    ).run()
    assert summary.fetched == 3
    assert len(lists) > 3
    assert (
        waits.count(77.0) >= 2
    )  # an answer holds for all that ask while it is waited for
    assert max(lists.values()) >= 2
    bucket.faults = lambda seen: Fault("status", 429, "7200")
    with pytest.raises(FetchError, match=r"list of locations.*asks to wait 120 min"):
        Openaq(
            OpenaqRequest(request.period, tmp_path / "b"),
            at(openaq_archive=bucket.url),
            policy,
        ).run()


@pytest.mark.parametrize("status", [429, 503])
def test_an_object_that_is_asked_to_wait_waits(
    status: int, bucket: Bucket, tmp_path: Path, policy: RetryPolicy
) -> None:
    """And all others wait with it, without asking."""
    waits, asked = without_waiting(policy), list[str]()

    def faults(seen: Seen) -> Fault | None:
        if seen.path.endswith(".gz"):
            asked.append(seen.path)
        return (
            Fault("status", status, "77")
            if seen.path.endswith(".gz") and policy.clock() < 77
            else None
        )

    bucket.faults = faults
    request = OpenaqRequest(
        Period.parse("2019-12-31"), tmp_path / "a", locations=(1,), at_once=1
    )
    summary = Openaq(
        request, at(openaq_archive=bucket.url), policy, environment={}
    ).run()
    assert summary.fetched == 1
    assert waits == [77.0]
    assert [asked.count(path) for path in dict.fromkeys(asked)] == [
        3,
        1,
        1,
    ]  # twice refused, which tells the wait

    bucket.faults = lambda seen: (
        Fault("status", status, "7200") if seen.path.endswith(".gz") else None
    )
    asked.clear()
    before = len(bucket.seen)
    other = OpenaqRequest(request.period, tmp_path / "b", at_once=1)
    with pytest.raises(
        FetchError, match=r"location-\d-2019\d{4}.*asks to wait 120 min"
    ):
        Openaq(other, at(openaq_archive=bucket.url), policy, environment={}).run()
    assert waits == [77.0]
    assert (
        len([one for one in bucket.seen[before:] if one.path.endswith(".gz")]) == 2
    )  # of three locations' nine


def test_an_object_behind_a_label_comes_as_it_lies_there(
    bucket: Bucket, tmp_path: Path, policy: RetryPolicy, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server may say of a gzip file that its content is packed; what is compared is the file."""
    plain = bucket.answer

    def labelled(seen: Seen, body: bytes) -> Answer:
        answer = plain(seen, body)
        if seen.path.endswith(".gz"):
            answer.headers["Content-Encoding"] = "gzip"
        return answer

    monkeypatch.setattr(bucket, "answer", labelled)
    bucket.faults = first_times(1, Fault("status", 503), "20191231.csv.gz")
    request = OpenaqRequest(Period.parse("2019-12-31"), tmp_path)
    summary = Openaq(
        request, at(openaq_archive=bucket.url), policy, environment={}
    ).run()
    assert summary.fetched == 3


@pytest.mark.parametrize(
    "kind", [429, 500, 503, "reset", "truncate", "html", "corrupt"]
)
def test_objects_come_whole_in_the_end(
    kind: FaultKind | int, bucket: Bucket, tmp_path: Path, policy: RetryPolicy
) -> None:
    bucket.faults = first_times(2, fault_of(kind), "20191231.csv.gz")
    request = OpenaqRequest(Period.parse("2019-12-31"), tmp_path)
    Openaq(request, at(openaq_archive=bucket.url), policy, environment={}).run()
    clean = tmp_path / "clean"
    bucket.faults = lambda seen: None
    Openaq(
        OpenaqRequest(request.period, clean),
        at(openaq_archive=bucket.url),
        RetryPolicy(),
        environment={},
    ).run()
    name = "openaq_2019.parquet"
    assert (tmp_path / name).read_bytes() == (clean / name).read_bytes()


def test_a_location_that_never_comes_is_one_line(
    bucket: Bucket, tmp_path: Path, policy: RetryPolicy
) -> None:
    bucket.faults = first_times(99, Fault("status", 500), "location-2-20191231.csv.gz")
    request = OpenaqRequest(Period.parse("2019-12-31"), tmp_path)
    with pytest.raises(
        FetchError, match=r"1 locations could not be fetched: location-2-20191231"
    ):
        Openaq(request, at(openaq_archive=bucket.url), policy, environment={}).run()
    before = len(bucket.whole())
    bucket.faults = lambda seen: None
    summary = Openaq(
        request, at(openaq_archive=bucket.url), RetryPolicy(), environment={}
    ).run()
    assert (summary.fetched, summary.kept) == (1, 2)
    fetched = [key for key in bucket.whole()[before:] if key.endswith(".gz")]
    assert [key.rpartition("/")[2] for key in fetched] == ["location-2-20191231.csv.gz"]


def test_boxes_without_a_key_look_at_one_object(
    bucket: Bucket, tmp_path: Path, policy: RetryPolicy
) -> None:
    request = OpenaqRequest(
        Period.parse("2019-12-31"), tmp_path, bbox=(101.4, 31.4, 102, 32)
    )
    Openaq(request, at(openaq_archive=bucket.url), policy, environment={}).run()
    counts = Counter(
        key.split("locationid=")[1].split("/")[0]
        for key in bucket.whole()
        if key.endswith(".gz")
    )
    assert counts == {"1": 1, "2": 3, "3": 3}


def test_the_allowance_of_the_api(
    bucket: Bucket,
    station_list: StationList,
    tmp_path: Path,
    policy: RetryPolicy,
    keys: dict[str, str],
) -> None:
    station_list.allowance, station_list.window = 0, 0.5
    waits = without_waiting(policy)
    plain = policy.wait

    def wait(seconds: float) -> None:
        plain(seconds)
        station_list.allowance = 60

    policy.wait = wait  # type: ignore[method-assign]
    endpoints = at(openaq_archive=bucket.url, openaq_api=station_list.url)
    Openaq(
        OpenaqRequest(Period.parse("2019-12-31"), tmp_path),
        endpoints,
        policy,
        environment=keys,
    ).run()
    assert waits == [1.0]  # what the service asked for
    assert all(
        one.headers["user-agent"].startswith("deepcams/") for one in station_list.seen
    )
    with pytest.raises(
        FetchError, match=r"does not accept the key in \$OPENAQ_API_KEY"
    ) as caught:
        Openaq(
            OpenaqRequest(Period.parse("2019-12-31"), tmp_path / "b"),
            endpoints,
            policy,
            environment={"OPENAQ_API_KEY": "f" * 64},
        ).run()
    assert "ffff" not in str(caught.value)
