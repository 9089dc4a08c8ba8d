"""Quick to start: what is heavy is imported when it is used."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from deepcams.core.field import as_field
from deepcams.core.grid import Grid
from deepcams.simulation.write_cams import write_cams

HEAVY = (
    "torch",
    "matplotlib",
    "xarray",
    "pandas",
    "dask",
    "scipy",
    "cv2",
    "netCDF4",
    "zarr",
    "eccodes",
    "cfgrib",
    "dask.array",
    "jinja2",
    "pyarrow",
    "rich.console",
    "yaml",
)


def _imported_by(code: str) -> set[str]:
    program = f"import sys\n{code}\nprint('\\n' + ' '.join(m for m in {HEAVY!r} if m in sys.modules))"
    result = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    return set(result.stdout.splitlines()[-1].split())


def test_importing_the_package_imports_nothing_heavy() -> None:
    assert _imported_by("import deepcams; dir(deepcams)") == set()
    faces = [
        "evaluation",
        "fetch",
        "methods",
        "networks",
        "plotting",
        "report",
        "simulation",
        "stations",
        "testing",
        "training",
    ]
    assert _imported_by("\n".join(f"import deepcams.{face}" for face in faces)) == set()


@pytest.mark.parametrize(
    "arguments", [["--help"], ["--version"], ["evaluate", "--help"], []]
)
def test_help_imports_nothing_heavy(arguments: list[str]) -> None:
    assert (
        _imported_by(f"from deepcams.cli import main\nassert main({arguments!r}) == 0")
        == set()
    )


def test_names_are_imported_on_first_use() -> None:
    code = (
        "import deepcams\ndeepcams.Grid.globe(0.75)\nassert 'deepcams.core.field' not in sys.modules\n"
        "deepcams.as_field\nassert 'deepcams.core.field' in sys.modules\ndeepcams.open_cams"
    )
    imported = _imported_by(code)
    assert "xarray" in imported  # the check itself can see it
    assert not imported & {"torch", "matplotlib"}


def test_training_free_methods_need_neither_torch_nor_matplotlib() -> None:
    code = (
        "from deepcams.methods import build\nbuild('flow', 'log-bicubic')\n"
        "from deepcams.evaluation.candidates import make\nmake('linear-then-bicubic')\n"
        "import deepcams.evaluation.experiment, deepcams.evaluation.experiment_tables"
    )
    assert not _imported_by(code) & {"torch", "matplotlib"}


@pytest.fixture(scope="module")
def cams(tmp_path_factory: pytest.TempPathFactory) -> Path:
    grid = Grid.globe(0.75).select((70, 10, 76, 16))[0]
    coordinates = {
        "time": np.array(["2019-12-01T00", "2019-12-01T03"], "datetime64[ns]"),
        "latitude": grid.latitudes,
        "longitude": grid.longitudes,
    }
    values = np.arange(2.0 * grid.rows * grid.columns).reshape(2, *grid.shape)
    field = xr.DataArray(values, coordinates, attrs={"units": "ug m-3"}, name="pm2p5")
    path = tmp_path_factory.mktemp("cams") / "cams.nc"
    write_cams(as_field(field), path)
    return path


@pytest.mark.parametrize(("ending", "needed"), [("zarr", {"zarr"}), ("nc", set())])
def test_a_plain_run_imports_what_it_needs(
    cams: Path, ending: str, needed: set[str]
) -> None:
    out = cams.with_name(f"out.{ending}")
    arguments = ["downscale", str(cams), "-o", str(out)]
    arguments += ["--temporal", "linear", "--spatial", "bicubic"]
    code = f"from deepcams.cli import main\nassert main({arguments!r}) == 0"
    # Zarr imports PyYAML; pandas imports pyarrow where it is installed.
    imported = _imported_by(code) - {"yaml", "pyarrow"}
    assert imported == {"xarray", "pandas", "netCDF4", *needed}
    assert out.exists()


def test_info_imports_no_dask(cams: Path) -> None:
    code = f"from deepcams.cli import main\nassert main(['info', {str(cams)!r}]) == 0"
    assert _imported_by(code) - {"pyarrow"} == {
        "xarray",
        "pandas",
        "netCDF4",
        "rich.console",
    }
