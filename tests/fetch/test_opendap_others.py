"""OPeNDAP with somebody else on the other side, so that ours does not only agree with itself."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, make_server

import netCDF4
import numpy as np
import pytest

from deepcams.core.period import Period
from deepcams.fetch.geos_cf import GeosCf, GeosCfRequest
from deepcams.fetch.retry import FetchError, RetryPolicy
from deepcams.readers.geos_cf import open_geos_cf
from fetch.conftest import DAY, at
from fetch.test_into_store import FIRST, HOURS, record_of
from services.record import UNDEFINED

NAME = "pm25_rh35_gcc"


def test_our_record_is_read_by_the_netcdf_library(world: Path) -> None:
    """The C library's own DAP client asks for descriptions, attributes, axes and a part of the grid."""
    truth = open_geos_cf(world / "geos_cf").load()
    first = int(FIRST)
    with record_of(world) as record:
        try:
            opened = netCDF4.Dataset(record.url)
        except OSError as error:
            if "NetCDF: Unknown file format" in str(error) or "No such file" in str(
                error
            ):
                pytest.skip("this netCDF library was built without DAP")
            raise
        with opened as data:
            assert data[NAME].dimensions == ("time", "lev", "lat", "lon")
            assert data[NAME].shape == (
                first + 48,
                1,
                truth.sizes["latitude"],
                truth.sizes["longitude"],
            )
            np.testing.assert_array_equal(data["lat"][:], truth.latitude.values[::-1])
            np.testing.assert_array_equal(data["lon"][:], truth.longitude.values)
            np.testing.assert_array_equal(
                data[NAME][first + 1 : first + 4, 0], truth.values[1:4, ::-1]
            )
            np.testing.assert_array_equal(
                data[NAME][first, 0, 2:5, 3:9], truth.values[0, ::-1][2:5, 3:9]
            )
            assert np.ma.getmaskarray(data[NAME][first + 5]).all()
            assert data["time"][:].max() > 1e20  # broken, as the real one is
        asked = [one.path.rpartition(".")[2] for one in record.seen]
    assert {"dds", "das", "dods"} <= set(asked)


@contextmanager
def pydap_server(
    variables: dict[str, tuple[tuple[str, ...], np.ndarray]], name: str = NAME
) -> Iterator[str]:
    """pydap's server with a grid and its axes; its address."""
    model = pytest.importorskip("pydap.model")
    handlers = pytest.importorskip("pydap.handlers.lib")
    data = model.DatasetType("record")
    dims = variables[name][0]
    grid = model.GridType(name)
    for each in (name, *dims):
        grid[each] = model.BaseType(each, variables[each][1], dims=variables[each][0])
    data[name] = grid
    for each in dims:
        data[each] = model.BaseType(each, variables[each][1], dims=variables[each][0])

    class Quiet(WSGIRequestHandler):
        def log_message(self, *args: Any) -> None:
            """Nothing."""

    server = make_server(
        "127.0.0.1", 0, handlers.BaseHandler(data), handler_class=Quiet
    )
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/dods/record"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.mark.parametrize("bbox", [None, (101.0, 31.0, 103.0, 33.0)])
def test_we_read_what_pydap_serves(
    bbox: tuple[float, float, float, float] | None,
    world: Path,
    tmp_path: Path,
    policy: RetryPolicy,
) -> None:
    truth = open_geos_cf(world / "geos_cf").load()
    first, hours = int(FIRST), truth.sizes["time"]
    values = np.full((first + 24, 1, *truth.shape[1:]), UNDEFINED, "f4")
    values[first : first + hours, 0] = truth.values[:, ::-1]
    variables = {
        NAME: (("time", "lev", "lat", "lon"), values),
        "time": (("time",), np.arange(first + 24) / 24 + 736696.0),
        "lev": (("lev",), np.array([1.0])),
        "lat": (("lat",), truth.latitude.values[::-1].copy()),
        "lon": (("lon",), truth.longitude.values.copy()),
    }
    with pydap_server(variables) as url:
        request = GeosCfRequest(HOURS, tmp_path, via="opendap", bbox=bbox)
        summary = GeosCf(request, at(geos_cf_opendap=url), policy).run()
        late = GeosCfRequest(
            Period.parse("2019-12-20"), tmp_path, via="opendap", bbox=bbox
        )
        with pytest.raises(
            FetchError, match=r"PM2\.5 of 2019-12-20"
        ) as caught:  # beyond the record's end
            GeosCf(late, at(geos_cf_opendap=url), policy).run()
    assert "\n" not in str(caught.value)
    assert (summary.fetched, summary.absent) == (6, [])
    found = open_geos_cf(tmp_path)
    assert str(found.time.values[0])[:10] == DAY
    np.testing.assert_array_equal(
        found, truth.sel(latitude=found.latitude, longitude=found.longitude)
    )
