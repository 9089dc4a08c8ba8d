"""The example package is installed as any package is, and its source, method and network work by their names."""

from __future__ import annotations

import importlib
import json
import os
import pickle
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from contextvars import copy_context
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr

import deepcams
from deepcams.cli import main
from deepcams.core.errors import DeepcamsError, InputError
from deepcams.core.progress import no_progress
from deepcams.core.registry import _installed
from deepcams.evaluation import Pairs
from deepcams.evaluation.scores import figures
from deepcams.methods import build
from deepcams.readers import SOURCE, SOURCES
from deepcams.readers.open import find_field_files, open_field
from deepcams.testing import (
    check_downscaler,
    check_field,
    check_network,
    check_score,
)
from deepcams.training.store.inputs import Inputs, scan_headers

EXAMPLE = Path(__file__).resolve().parents[1] / "examples" / "merra"


@pytest.fixture(scope="module", autouse=True)
def _package(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Build its wheel, unpack that, and find it: what pip does."""
    pytest.importorskip("hatchling")
    folder = tmp_path_factory.mktemp("site")
    code = f"import hatchling.build as b; b.build_wheel({str(folder)!r})"
    subprocess.run(
        [sys.executable, "-c", code], cwd=EXAMPLE, env={**os.environ}, check=True
    )
    with zipfile.ZipFile(next(folder.glob("*.whl"))) as wheel:
        wheel.extractall(folder)
    sys.path.insert(0, str(folder))
    importlib.invalidate_caches()
    _installed.cache_clear()
    yield
    sys.path.remove(str(folder))
    _installed.cache_clear()


def merra(path: Path, hours: int = 3) -> Path:
    """Write hours as tavg1_2d_aer_Nx has them: south first, stamped at half past, kg m-3."""
    coordinates = {
        "time": np.datetime64("2019-03-08T00:30", "ns")
        + np.arange(hours) * np.timedelta64(1, "h"),
        "lat": -10 + 0.5 * np.arange(9),
        "lon": -20 + 0.625 * np.arange(11),
    }
    names = ("DUSMASS25", "SSSMASS25", "BCSMASS", "OCSMASS", "SO4SMASS")
    values = np.ones((hours, 9, 11), np.float32) * 1e-9
    dims = ("time", "lat", "lon")
    parts = {name: (dims, values, {"units": "kg m-3"}) for name in names}
    xr.Dataset(parts, coordinates).to_netcdf(path)
    return path


def cams(path: Path) -> Path:
    coordinates = {
        "time": np.array(["2019-12-01T00", "2019-12-01T03"], "M8[ns]"),
        "latitude": 60 - 0.75 * np.arange(6),
        "longitude": 0.75 * np.arange(8),
    }
    values = np.random.default_rng(0).lognormal(2, 1, (2, 6, 8)) * 1e-9
    array = xr.DataArray(values, coordinates, name="pm2p5")
    array.assign_attrs(units="kg m**-3").to_netcdf(path)
    return path


def test_a_source_gives_a_canonical_field(tmp_path: Path) -> None:
    open_merra2 = SOURCES.get("merra-2")
    with pytest.raises(InputError, match="expected files of MERRA-2, found none"):
        open_merra2(str(tmp_path / "*.nc4"))
    merra(tmp_path / "merra.nc4")
    field = open_merra2(str(tmp_path / "*.nc4"))
    check_field(field)
    assert field.attrs["cell_methods"] == "time: mean"
    np.testing.assert_allclose(field, 1 + 1 + 1 + 1.4 + 1.375, rtol=1e-6)
    out = tmp_path / "fine.nc"
    deepcams.downscale_to(field, out, temporal="none", spatial="slopes")
    with xr.open_dataset(out) as written:
        assert written.pm2p5.shape == (3, 27, 33)
        np.testing.assert_allclose(written.pm2p5, 5.775, rtol=2e-3)


VERBS = {
    "means": "{} -o days.zarr --complete 1",
    "export": "{} -o fields --to netcdf",
    "evaluate": "{} --task spatial --methods bicubic --json scores.json",
    "points": "{} list.csv -o points.csv --over hour",
    "report": "fine.zarr -o report.html --original {}",
}


def test_commands_open_its_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    merra(Path("a.nc4"))
    Path("b.nc4").write_bytes(Path("a.nc4").read_bytes())
    before = ["--source", "merra-2"]
    assert main([*before, "info", "a.nc4", "--json"]) == 0
    (seen,) = json.loads(capsys.readouterr().out)["files"]
    assert seen["layout"] == "opened by the source merra-2"
    assert seen["variables"][0]["values"]["largest"] == pytest.approx(5.775)
    assert main(["info", "a.nc4"]) == 1  # another command: nothing is chosen
    down = ["--temporal", "none", "--spatial", "log-bicubic", "-o", "fine.zarr"]
    assert main([*before, "downscale", "a.nc4", *down]) == 0
    Path("list.csv").write_text("latitude,longitude\n-8,-17.5\n")
    for verb, rest in VERBS.items():
        words = [verb, *rest.format("a.nc4").split()]
        assert main([*before, *words]) == 0, capsys.readouterr().err
    assert "5.775" in Path("points.csv").read_text()
    with xr.open_zarr("days.zarr") as days:
        assert json.loads(days.attrs["deepcams_run"])["means"]["source"] == "merra-2"
    capsys.readouterr()
    assert main(["verify", "fine.zarr"]) == 0  # its record names the source
    assert "conservation: checked against the input" in capsys.readouterr().out
    assert main([*before, "info", "fine.zarr"]) == 0  # deepcams' own are recognised
    assert "written by deepcams" in capsys.readouterr().out


def test_outputs_know_their_source(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path, out = merra(tmp_path / "a.nc4"), tmp_path / "a.nc"
    words = ["downscale", str(path), "-o", str(out), "--variable", "DUSMASS25"]
    words += ["--temporal", "none", "--spatial", "log-bicubic"]
    assert main(words) == 0
    assert main(["--source", "merra-2", *words]) == 2
    assert "source" in capsys.readouterr().err
    assert main(["--source", "merra-2", *words, "--overwrite"]) == 0
    with xr.open_dataset(out) as written:
        assert json.loads(written.attrs["deepcams_run"])["source"] == "merra-2"
        assert written.attrs["program"] == written.attrs["source"] == "MERRA-2"


def test_wrong_names_and_files_of_sources_are_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = tmp_path / "notes.txt"
    other.write_text("no data")
    for words, told in {
        ("merra", "info"): "expected one of cams, geos-cf, merra-2, found 'merra'; did",
        ("simulated", "info"): "expected one of cams, geos-cf, merra-2, found",
        ("merra-2", "downscale", "-o", str(tmp_path / "a.nc")): (
            "notes.txt: expected a field of the source merra-2, found"
        ),
    }.items():
        source, verb, *rest = words
        assert main(["--source", source, verb, str(other), *rest]) == 2
        (line,) = capsys.readouterr().err.splitlines()
        assert told in line
    assert [each.name for each in tmp_path.iterdir()] == ["notes.txt"]


def test_workers_open_files_by_the_source_they_were_found_with(tmp_path: Path) -> None:
    path = merra(tmp_path / "a.nc4")
    copy_context().run(_choose_and_find, path, tmp_path / "files")
    files = pickle.loads((tmp_path / "files").read_bytes())
    (header,) = scan_headers(files, None, tmp_path / "headers", no_progress)
    assert header.family == "merra-2"
    with pytest.raises(InputError, match="several: DUSMASS25"):
        open_field(path)
    with pytest.raises(InputError, match=r"fields at 0\.5 degrees, found 0\.5 x"):
        Inputs([header], files, None, None, None, None, step=0.5)


def _choose_and_find(path: Path, out: Path) -> None:
    SOURCE.set("merra-2")
    out.write_bytes(pickle.dumps(find_field_files(path)))


def test_a_score_is_a_column_of_evaluate_and_validate(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("duckdb")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")
    merra(Path("a.nc4"))
    before = ["--source", "merra-2"]
    words = ["a.nc4", "--task", "spatial", "--methods", "bicubic"]
    words += ["--json", "a.json", "--csv", "a.csv", "--markdown", "a.md"]
    assert main([*before, "evaluate", *words]) == 0
    assert "FB" in capsys.readouterr().out.splitlines()[3].split()
    (row, *_) = json.loads(Path("a.json").read_text())["rows"]
    assert row["FB"] == row["FB_pooled"] == pytest.approx(0, abs=1e-6)
    head, *_ = Path("a.csv").read_text().splitlines()
    assert "FB" in head.split(",")
    assert "| FB |" in Path("a.md").read_text()
    lines = ["location_id,lat,lon,parameter,units,datetime,value"]
    hours = "2019-03-08T01:00:00+00:00", "2019-03-08T02:00:00+00:00"
    for number, value in ((1, 10), (2, 12)):
        place = f"{number},-8,{-18 + number}"
        lines += [f"{place},pm25,ug m-3,{hour},{value}" for hour in hours]
    Path("stations.csv").write_text("\n".join(lines))
    words = ["a.nc4", "--stations", "stations.csv", "--json", "b.json", "--draws", "0"]
    words += ["--without", "constant"]
    assert main([*before, "validate", *words]) == 0, capsys.readouterr().err
    assert "FB" in capsys.readouterr().out
    found = json.loads(Path("b.json").read_text())
    row = next(each for each in found["rows"] if each["view"] == "pooled")
    assert row["FB"] == pytest.approx(2 * (5.775 - 11) / (5.775 + 11), abs=1e-5)
    assert found["about"]["scores"]["FB"]["better"] == "zero"


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"figure": None}, "expected either figure or of_series, found both or"),
        (
            {"key": "n"},
            "expected a key that is its registered name, of letters and digits",
        ),
        ({"better": "most"}, "expected better as one of higher, lower, zero, one"),
        ({"terms": ("cubed",)}, "expected terms among absolute, .*, found cubed"),
        ({"figure": lambda pairs: pairs.terms["no"]}, "score 'FB' fails: KeyError"),
        ({"figure": lambda pairs: [0, 1]}, "'FB': expected values of the shape"),
    ],
)
def test_broken_scores_are_one_line(
    change: dict[str, Any], told: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    import deepcams_merra.score as module

    check_score(module.FB)
    monkeypatch.setattr(module, "FB", replace(module.FB, **change))
    with pytest.raises(DeepcamsError, match=told):
        figures(Pairs())
    with pytest.raises(AssertionError, match="breaks the contract"):
        check_score(module.FB)


def test_a_method_that_is_no_network(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from deepcams_merra.method import Slopes

    class Modest(Slopes):
        halo = 0

    check_downscaler(Slopes())
    with pytest.raises(AssertionError, match="sees_no_further_than_its_halo"):
        check_downscaler(Modest())
    globe = deepcams.Grid.globe(7.5)
    plane = np.broadcast_to(np.arange(25.0)[:, None], (1, *globe.shape))
    fine = Slopes().refine(plane.astype(np.float32), globe)
    assert np.allclose(np.diff(fine[0, 5:-5], axis=0), 1 / 3, atol=1e-5)
    out = tmp_path / "a.zarr"
    path = cams(tmp_path / "cams.nc")
    assert main(["downscale", str(path), "-o", str(out), "--spatial", "slopes"]) == 0
    assert main(["verify", str(out)]) == 0
    assert "conservation: checked" in capsys.readouterr().out


def test_a_network_is_trained_saved_and_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("torch")
    from deepcams_merra.network import TwoLayers, TwoLayersOptions

    check_network(TwoLayers(TwoLayersOptions(4)))
    monkeypatch.chdir(tmp_path)
    Path("hours").mkdir()
    fine = deepcams.Grid(0.25, 120, 0, 48, 48)
    coordinates: dict[str, Any] = {
        "time": np.array(["2019-03-08T00", "2019-03-09T00"], "M8[ns]"),
        "latitude": fine.latitudes,
        "longitude": fine.longitudes,
    }
    values = np.random.default_rng(0).lognormal(2, 1, (2, *fine.shape))
    hours = xr.DataArray(values, coordinates, name="pm2p5", attrs={"units": "ug m-3"})
    hours.to_netcdf("hours/a.nc")
    assert main(["prepare", "hours", "-o", "world.zarr"]) == 0
    Path("two-layers.yaml").write_text(
        """
version: 1
data: {stores: [{path: world.zarr}]}
split: {train: {periods: [2019-03-08]}, validation: {periods: [2019-03-09]}}
samples: {task: spatial, crop: 8}
network:
  name: two-layers
  options: {width: 4}
  scaling: {name: linear, options: {unit: 1.0}}
training: {batch: 2, steps: 3, optimizer: {name: adam, lr: 1e-3}}
validation: {every: 3, samples: 2, margin: 1, baselines: [bicubic]}
output: {name: two-layers, card: An example; of no use on real data.}
"""
    )
    assert main(["train", "two-layers.yaml", "-o", "run", "--device", "cpu"]) == 0
    weights = "run/two-layers.safetensors"
    assert main(["models", "show", weights]) == 0
    assert "two-layers, spatial x3" in capsys.readouterr().out
    path = cams(tmp_path / "cams.nc")
    assert main(["downscale", str(path), "-o", "b.nc", "--spatial", weights]) == 0
    with xr.open_dataset("b.nc") as written:
        assert "two-layers" in written.attrs["deepcams_run"]
        assert written.pm2p5.notnull().all()


def test_mistyped_names_find_those_of_other_packages() -> None:
    with pytest.raises(InputError, match="did you mean 'slopes'"):
        build("none", "slope")
