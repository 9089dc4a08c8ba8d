"""Optional dependencies: who brings what, and what is said where one is missing."""

from __future__ import annotations

import subprocess
import sys
from importlib import metadata

import pytest

from deepcams.core.errors import MissingExtraError
from deepcams.files import optional as extras


def test_modules_are_brought_by_the_smallest_extra() -> None:
    assert extras.extra_with("torch") == "networks"
    assert extras.extra_with("duckdb") == "stations"
    assert extras.extra_with("pyarrow.parquet") == "zones"
    assert extras.extra_with("imageio_ffmpeg") == "plot"
    assert extras.extra_with("ecmwf.datastores") == "fetch"
    assert extras.extra_with("tensorboard") == "training"
    assert extras.extra_with("pytest") is None
    assert extras.extra_with("") is None


def test_a_missing_distribution_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    there = metadata.distribution

    def without(name: str) -> metadata.Distribution:
        if name == "obstore":
            raise metadata.PackageNotFoundError(name)
        return there(name)

    extras.require("fetch", "deepcams fetch")
    monkeypatch.setattr(metadata, "distribution", without)
    extras.require("networks", "a network")
    with pytest.raises(
        MissingExtraError,
        match=r"deepcams fetch needs the extra \[fetch\]: pip install",
    ):
        extras.require("fetch", "deepcams fetch")


def test_a_library_that_is_needed_and_not_there_is_told(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert extras.need("importlib.metadata") is metadata
    monkeypatch.setitem(sys.modules, "tenacity", None)
    with pytest.raises(
        MissingExtraError,
        match=r"using tenacity needs the extra \[fetch\]: pip install",
    ):
        extras.need("tenacity")
    with pytest.raises(
        ModuleNotFoundError, match="of_no_extra"
    ):  # a fault of ours, not the user's
        extras.need("of_no_extra")


@pytest.mark.parametrize(
    ("arguments", "extra"),
    [
        (["models", "import", "--temporal", "x.pth"], "networks"),
        (["models", "export", "x.safetensors"], "networks"),
    ],
)
def test_a_command_without_its_extra_is_one_line(
    arguments: list[str], extra: str
) -> None:
    hidden = "import sys; sys.modules['torch'] = None; import deepcams.cli as c; "
    done = subprocess.run(
        [sys.executable, "-c", f"{hidden}sys.exit(c.main({arguments!r}))"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1
    assert f"pip install 'deepcams[{extra}]'" in done.stderr


def test_maps_are_projected_after_a_grib_file_was_read() -> None:
    for module in ("eccodes", "pyproj"):
        pytest.importorskip(module)
    program = (
        "from deepcams.files.optional import need; need('eccodes'); import pyproj; "
        "print(pyproj.CRS.from_epsg(3035).to_epsg())"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == ["3035"]
