"""Dry runs: what follows from the names alone is told, whether the service answers or not; and nothing is written."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from deepcams.core.errors import InputError
from deepcams.core.period import Period
from deepcams.fetch.geos_cf import GeosCf, GeosCfRequest
from deepcams.fetch.openaq import Openaq, OpenaqRequest
from deepcams.fetch.retry import RefusedError, RetryPolicy
from fetch.conftest import at
from services.base import Fault
from services.bucket import Bucket
from services.files import FileTree

YEARS = Period.parse("2018-01..2020-12")
DAY = Period.parse("2019-12-31")


def test_geos_cf_without_its_server(tmp_path: Path, policy: RetryPolicy) -> None:
    out = tmp_path / "out"
    found = GeosCf(GeosCfRequest(YEARS, out), at(), policy).estimate()
    text = found.text()
    assert found.bytes == 26_304 * 20e6
    assert "26,304 hours of GEOS-CF version 1, 26,304 of them not there yet" in text
    assert "about 20.0 MB an hour, as a rule, for the server does not tell: " in text
    assert "no connection" in text
    assert "free there" in text
    assert not out.exists()


def test_geos_cf_with_its_server(
    tree: FileTree, tmp_path: Path, policy: RetryPolicy
) -> None:
    request = GeosCfRequest(
        Period.parse("2019-12-01T00..2019-12-01T01"), tmp_path / "out"
    )
    found = GeosCf(request, at(geos_cf_v1=tree.root), policy).estimate()
    assert "an hour, as the first one" in found.text()
    tree.faults = lambda seen: Fault("status", 403)
    with pytest.raises(RefusedError, match="check --endpoint"):
        GeosCf(request, at(geos_cf_v1=tree.root), policy).estimate()


@pytest.mark.parametrize(
    ("more", "size", "words"),
    [
        (
            {},
            None,
            [
                "number of locations unknown: the archive's list",
                "of each up to 3 objects",
                "size unknown; ",
            ],
        ),
        (
            {"locations": (1, 2)},
            6e3,
            [
                "2 locations (as given)",
                "at most 6 objects",
                "1.0 kB an object, as a rule",
            ],
        ),
    ],
)
def test_openaq_without_its_archive(
    more: dict[str, Any],
    size: float | None,
    words: list[str],
    tmp_path: Path,
    policy: RetryPolicy,
) -> None:
    out = tmp_path / "out"
    found = Openaq(
        OpenaqRequest(DAY, out, **more), at(), policy, environment={}
    ).estimate()
    text = found.text()
    assert found.bytes == size
    assert not [
        part for part in [*words, "no connection", "free there"] if part not in text
    ]
    assert not out.exists()


def test_openaq_with_its_archive(
    bucket: Bucket, tmp_path: Path, policy: RetryPolicy
) -> None:
    request = OpenaqRequest(DAY, tmp_path / "out")
    found = Openaq(
        request, at(openaq_archive=bucket.url), policy, environment={}
    ).estimate()
    assert found.bytes == sum(
        len(bucket.read(key))
        for key in bucket.objects
        if "20191230" <= key[-15:-7] <= "20200101"
    )
    assert "about 9 objects" in found.text()
    bucket.faults = lambda seen: Fault("status", 403)
    with pytest.raises(RefusedError, match="check --endpoint"):
        Openaq(
            request, at(openaq_archive=bucket.url), policy, environment={}
        ).estimate()


def test_a_period_that_is_not_there_claims_no_folder(
    tmp_path: Path, policy: RetryPolicy
) -> None:
    with pytest.raises(InputError, match="hours of version 1"):
        GeosCf(
            GeosCfRequest(Period.parse("2017-01"), tmp_path / "out"), at(), policy
        ).run()
    assert not (tmp_path / "out").exists()
