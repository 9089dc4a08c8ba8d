"""The archive behind another S3 service than ours, so that ours does not only agree with itself."""

from __future__ import annotations

import urllib.request
from datetime import date
from pathlib import Path

import pytest

from deepcams.core.period import Period
from deepcams.fetch.openaq import Openaq, OpenaqRequest
from deepcams.fetch.retry import RetryPolicy
from deepcams.simulation.station_network import Station
from deepcams.stations.archive.openaq import open_openaq
from fetch.conftest import at, objects_of


@pytest.mark.slow
def test_from_an_s3_server(
    stations: list[Station],
    tmp_path: Path,
    policy: RetryPolicy,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    server = pytest.importorskip("moto.server").ThreadedMotoServer(
        ip_address="127.0.0.1", port=0, verbose=False
    )
    server.start()
    try:
        host, port = server.get_host_and_port()
        # What other tests have put there is one process's, too.
        urllib.request.urlopen(
            f"http://{host}:{port}/moto-api/reset", b"", timeout=60
        ).close()
        root = f"http://{host}:{port}/openaq-data-archive"

        def put(url: str, data: bytes) -> None:
            kind = {
                "Content-Type": "application/gzip",
                "x-amz-acl": "public-read",
            }  # read without a key
            urllib.request.urlopen(
                urllib.request.Request(url, data, kind, method="PUT"), timeout=60
            ).close()

        put(root, b"")
        objects = objects_of(stations[:2], [date(2019, 12, 30), date(2019, 12, 31)])
        for key, data in objects.items():
            put(f"{root}/{key}", data)
        request = OpenaqRequest(Period.parse("2019-12-30..2019-12-31"), tmp_path)
        summary = Openaq(request, at(openaq_archive=root), policy, environment={}).run()
    finally:
        server.stop()
    assert summary.fetched == 2
    assert open_openaq(tmp_path).rows == len(objects) * 24
