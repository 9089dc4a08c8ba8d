"""Every service with every fault: in the end whole, verified data; or, if it never ends, one line, and then the data.

The archive is another server than ours (moto), behind a proxy that makes the faults.
"""

from __future__ import annotations

import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from deepcams.core.period import Period
from deepcams.fetch.cams import Cams
from deepcams.fetch.cams_request import CamsRequest
from deepcams.fetch.endpoints import Endpoints
from deepcams.fetch.geos_cf import GeosCf, GeosCfRequest
from deepcams.fetch.openaq import Openaq, OpenaqRequest
from deepcams.fetch.retry import FetchError, RetryPolicy
from deepcams.fetch.status import status
from deepcams.readers.geos_cf import open_geos_cf
from deepcams.simulation.station_network import Station
from fetch.conftest import BOX, DAY, at, objects_of, without_waiting
from fetch.test_into_store import record_of
from services.base import Fault, Seen, Service
from services.bucket import Bucket
from services.data_store import DataStore
from services.files import FileTree, below
from services.proxy import Proxy
from services.station_list import StationList

SLOW_DOWN = (
    b"<?xml version='1.0'?><Error><Code>SlowDown</Code>"
    b"<Message>Please reduce your request rate.</Message></Error>"
)
FAULTS = {
    "429": Fault("status", 429, "0"),
    "500": Fault("status", 500),
    "503": Fault("status", 503, body=SLOW_DOWN),
    "reset": Fault("reset"),
    "stall": Fault("stall", seconds=2.5),
    "truncated": Fault("truncate"),
    "wrong length": Fault("longer"),
    "page": Fault("html"),
    "corrupted": Fault("corrupt"),
}
TWO_HOURS = Period.parse(f"{DAY}T00..{DAY}T01")
LAST_DAY = Period.parse("2019-12-31")


@dataclass
class Provider:
    """A service that faults may be asked of, how to fetch from it, and what it gives in the end."""

    service: Service
    fetch: Callable[[Path, RetryPolicy], Any]
    content: Callable[[Path], Any]


@contextmanager
def ads(place: dict[str, Any]) -> Iterator[Provider]:
    with DataStore(place["cams_file"]) as service:

        def fetch(out: Path, policy: RetryPolicy) -> None:
            request = CamsRequest(Period.parse("2019-12-01..2019-12-02"), out, bbox=BOX)
            Cams(
                request,
                at(ads=service.url),
                policy,
                environment=place["keys"],
                poll=(0.01, 0.02),
            ).run()

        yield Provider(
            service, fetch, lambda out: next(out.glob("cams_eac4_*")).read_bytes()
        )


@contextmanager
def https(place: dict[str, Any]) -> Iterator[Provider]:
    with FileTree(below(place["world"] / "geos_cf", "das/")) as service:

        def fetch(out: Path, policy: RetryPolicy) -> None:
            GeosCf(
                GeosCfRequest(TWO_HOURS, out), at(geos_cf_v1=service.root), policy
            ).run()

        yield Provider(
            service,
            fetch,
            lambda out: [path.read_bytes() for path in sorted(out.glob("*.nc4"))],
        )


@contextmanager
def opendap(place: dict[str, Any]) -> Iterator[Provider]:
    with record_of(place["world"]) as service:

        def fetch(out: Path, policy: RetryPolicy) -> None:
            GeosCf(
                GeosCfRequest(TWO_HOURS, out, via="opendap"),
                at(geos_cf_opendap=service.url),
                policy,
            ).run()

        yield Provider(service, fetch, lambda out: open_geos_cf(out).values.tobytes())


@contextmanager
def api(place: dict[str, Any]) -> Iterator[Provider]:
    with Bucket(place["objects"]) as bucket, StationList(place["stations"]) as service:
        endpoints = at(openaq_archive=bucket.url, openaq_api=service.url)
        yield openaq(service, endpoints, place["keys"], "stations.json")


@contextmanager
def archive(place: dict[str, Any]) -> Iterator[Provider]:
    with Proxy(place["moto"]()) as service:
        yield openaq(
            service,
            at(openaq_archive=f"{service.root}/openaq-data-archive"),
            {},
            "openaq_2019.parquet",
        )


def openaq(
    service: Service, endpoints: Endpoints, keys: dict[str, str], name: str
) -> Provider:
    def fetch(out: Path, policy: RetryPolicy) -> None:
        Openaq(OpenaqRequest(LAST_DAY, out), endpoints, policy, environment=keys).run()

    def content(out: Path) -> Any:
        assert pq.read_metadata(out / "openaq_2019.parquet").num_rows > 0
        return (out / name).read_bytes()

    return Provider(service, fetch, content)


PROVIDERS = {
    "ads": ads,
    "https": https,
    "opendap": opendap,
    "openaq api": api,
    "openaq archive": archive,
}


@pytest.fixture(scope="session")
def moto(stations: list[Station]) -> Iterator[str]:
    """The archive on moto's server, readable without a key."""
    server = pytest.importorskip("moto.server").ThreadedMotoServer(
        ip_address="127.0.0.1", port=0, verbose=False
    )
    server.start()
    host, port = server.get_host_and_port()
    root = f"http://{host}:{port}"
    put(f"{root}/openaq-data-archive", b"")
    for key, data in objects_of(
        stations[:2], [date(2019, 12, 31), date(2020, 1, 1)]
    ).items():
        put(f"{root}/openaq-data-archive/{key}", data)
    yield root
    server.stop()


def put(url: str, data: bytes) -> None:
    kind = {"Content-Type": "application/gzip", "x-amz-acl": "public-read"}
    urllib.request.urlopen(
        urllib.request.Request(url, data, kind, method="PUT"), timeout=60
    ).close()


@pytest.fixture
def place(
    world: Path,
    stations: list[Station],
    days: list[date],
    keys: dict[str, str],
    cams_file: Callable[[dict[str, Any]], Path],
    request: pytest.FixtureRequest,
) -> dict[str, Any]:
    objects = objects_of(stations[:2], days)
    return {
        "world": world,
        "stations": stations[:2],
        "objects": objects,
        "keys": keys,
        "cams_file": cams_file,
        "moto": lambda: request.getfixturevalue("moto"),  # which takes long to start
    }


@pytest.mark.slow
@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("provider", PROVIDERS)
def test_every_fault_of_every_service(
    provider: str, fault: str, place: dict[str, Any], tmp_path: Path
) -> None:
    policy = RetryPolicy(
        tries=7, first=0.01, longest=0.05, timeout=0.5 if fault == "stall" else 30.0
    )
    with ExitStack() as stack:
        tried = stack.enter_context(PROVIDERS[provider](place))
        tried.fetch(tmp_path / "clean", policy)
        truth, seen = tried.content(tmp_path / "clean"), Counter[str]()

        def at_first(one: Seen) -> Fault | None:
            seen[one.target] += 1
            return FAULTS[fault] if seen[one.target] <= 2 else None

        tried.service.faults = at_first  # the first two answers to each request
        tried.fetch(tmp_path / "twice", policy)
        assert max(seen.values()) >= 3
        assert tried.content(tmp_path / "twice") == truth
        assert status(tmp_path / "twice", check=True).sound

        tried.service.faults = lambda one: FAULTS[fault]
        policy.tries = 2
        with pytest.raises(FetchError) as caught:
            tried.fetch(tmp_path / "always", policy)
        line = str(caught.value)
        assert "\n" not in line
        assert "tries" in line
        assert not [key for key in place["keys"].values() if key in line]
        shown = [
            path
            for path in (tmp_path / "always").glob("*")
            if not path.name.startswith(".")
        ]
        assert shown == []  # nothing that is not whole has a name
        tried.service.faults = lambda one: None
        policy.tries = 7
        tried.fetch(tmp_path / "always", policy)
        assert tried.content(tmp_path / "always") == truth


@pytest.mark.parametrize(
    "provider",
    [
        "ads",
        "https",
        "opendap",
        "openaq api",
        pytest.param("openaq archive", marks=pytest.mark.slow),
    ],
)
def test_what_is_asked_to_wait_waits(
    provider: str, place: dict[str, Any], tmp_path: Path
) -> None:
    policy = RetryPolicy(tries=4, first=0.01)
    waits = without_waiting(policy)
    with PROVIDERS[provider](place) as tried:
        tried.service.faults = lambda one: (
            Fault("status", 503 if provider != "openaq api" else 429, "77")
            if len(tried.service.seen) == 1
            else None
        )
        tried.fetch(tmp_path / "out", policy)
        assert waits[0] == 77.0
        assert tried.content(tmp_path / "out")
        with PROVIDERS[provider](place) as another:
            another.service.faults = lambda one: Fault("status", 429, "7200")
            with pytest.raises(FetchError, match="asks to wait 120 min"):
                another.fetch(tmp_path / "long", policy)


@pytest.mark.slow
def test_an_object_that_changes_after_it_was_listed(
    place: dict[str, Any], stations: list[Station], tmp_path: Path
) -> None:
    """Either version may come, but only whole."""
    key, data = next(iter(objects_of(stations[:1], [date(2019, 12, 31)]).items()))
    other = objects_of(
        [Station(1, "Elsewhere", 31.25, 101.25, "Asia/Shanghai")], [date(2019, 12, 31)]
    )[key]
    assert other != data
    url, changed = f"{place['moto']()}/openaq-data-archive/{key}", []

    def change(one: Seen) -> None:
        if one.path.endswith(key) and not changed:
            changed.append(one)
            put(url, other)

    with archive(place) as tried:
        tried.service.faults = change  # type: ignore[assignment]
        policy = RetryPolicy(tries=2, first=0.01)
        try:
            with pytest.raises(
                FetchError,
                match=r"1 locations could not be fetched: location-1-20191231.*(check sum|bytes came)",
            ):
                tried.fetch(tmp_path, policy)
            tried.fetch(tmp_path, policy)  # listed anew
            table = pq.read_table(tmp_path / "openaq_2019.parquet").to_pandas()
            there = table[
                table["datetime"].str.startswith("2019-12-31")
                & (table["location_id"] == "1")
            ]
            assert set(there["location"]) == {"Elsewhere"}
        finally:
            put(url, data)
