"""Where the real data for development lie, and what every test may use."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

os.environ.setdefault(
    "ORT_DISABLE_TELEMETRY", "1"
)  # tests import ONNX Runtime themselves

# Whether a property holds may depend neither on how busy the machine is nor on the luck of a draw.
settings.register_profile(
    "steady",
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("steady")

_SHARED = Path(__file__).resolve().parents[2] / "shared"


def _shared(folder: str) -> Path:
    path = _SHARED / folder
    if not path.exists():
        pytest.skip(
            f"the development data folder ../shared/{folder} is not beside this checkout"
        )
    return path


def pytest_configure(config: pytest.Config) -> None:
    """Share one cache among all tests of a session; the workers of xdist inherit the variable."""
    with suppress(ImportError):
        import pyproj  # noqa: F401 (some tests import ecCodes by themselves; see files.optional)
    if not hasattr(config, "workerinput"):
        folder = tempfile.TemporaryDirectory(prefix="deepcams-test-cache-")
        config.add_cleanup(folder.cleanup)
        os.environ["DEEPCAMS_CACHE"] = folder.name


@pytest.fixture(scope="session")
def cams_dir() -> Path:
    """Real CAMS EAC4 frames in three layouts."""
    return _shared("data/cams")


@pytest.fixture(scope="session")
def geos_cf_west() -> Path:
    """Four real GEOS-CF hours of the western hemisphere."""
    return _shared("data/geos_cf/geos_cf_20190308_0030-0330z_west.nc4")


@pytest.fixture(scope="session")
def stations_dir() -> Path:
    """Real station data in the OpenAQ archive's columns."""
    return _shared("data/stations")


@pytest.fixture(scope="session")
def golden_dir() -> Path:
    """Vectors that the networks must reproduce."""
    return _shared("golden")


@pytest.fixture(scope="module")
def client() -> Iterator[Any]:
    """A Dask client of two workers in this process."""
    distributed = pytest.importorskip("distributed")
    with (
        distributed.LocalCluster(
            n_workers=2, threads_per_worker=1, processes=False, dashboard_address=None
        ) as cluster,
        distributed.Client(cluster, set_as_default=False) as client,
    ):
        yield client
