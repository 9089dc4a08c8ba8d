"""open_field: whatever it is given goes through the right door."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

import deepcams
from deepcams.core.errors import InputError
from deepcams.readers.cams import open_cams
from deepcams.readers.formats.datasets import open_datasets
from deepcams.readers.formats.detect import find_files
from deepcams.readers.geos_cf import open_geos_cf
from deepcams.readers.open import layout_of, open_field

Save = Callable[..., Path]
World = Callable[..., xr.DataArray]


def words(path: Path) -> str:
    (file,) = find_files(path)
    return layout_of(open_datasets(file)[0], file).words


def test_real_files_are_recognised(cams_dir: Path, geos_cf_west: Path) -> None:
    assert (
        words(cams_dir / "cams_eac4_20191231_new_layout.nc")
        == "CAMS, netCDF as the data store writes it today"
    )
    assert words(cams_dir / "cams_eac4_20191231_as_downloaded.nc").endswith(
        "today, in a zip (data_sfc.nc)"
    )
    assert (
        words(cams_dir / "cams_eac4_20191231_old_layout.nc")
        == "CAMS, netCDF in the layout of before 2024"
    )
    assert words(geos_cf_west) == "GEOS-CF version 1, hourly means"
    path = cams_dir / "cams_eac4_20191231_old_layout.nc"
    assert deepcams.open_field(path).identical(open_cams(path))
    assert open_field(geos_cf_west).identical(open_geos_cf(geos_cf_west))


@pytest.mark.parametrize(
    "cell_methods",
    ["time: mean", "time: point", "time: point area: mean", "area: mean", None],
)
@pytest.mark.parametrize("store", ["a.nc", "a.zarr"])
def test_a_canonical_field_comes_back(
    save: Save, world: World, tmp_path: Path, cell_methods: str | None, store: str
) -> None:
    field = deepcams.as_field(world("2019-01-01T00:30", 6, hours=1))
    field.attrs["cell_methods"] = cell_methods
    if cell_methods is None:
        del field.attrs["cell_methods"]
    data = field.to_dataset().assign(status=("time", np.zeros(6, np.int8)))
    data.attrs["source_version"] = "deepcams 0.1.0"
    if store.endswith("zarr"):
        path = tmp_path / store
        data.to_zarr(
            path,
            zarr_format=3,
            consolidated=False,
            encoding={"pm2p5": {"shards": (4, 25, 48), "chunks": (2, 25, 24)}},
        )
    else:
        path = save(store, data)
    back = open_field(path)
    xr.testing.assert_equal(back, field)
    assert back.attrs["cell_methods"] == (
        "time: mean" if cell_methods == "time: mean" else "time: point"
    )
    assert words(path).startswith("written by deepcams")
    assert open_field(tmp_path).identical(back)


@pytest.mark.parametrize(
    "name", ["PM25", "pm2p5_conc", "PM2_5", "surface_pm25", "BC_PM25_mean"]
)
def test_pm25_under_other_names(save: Save, world: World, name: str) -> None:
    record = world("2019-01-01", 2).rename(name)
    record.attrs = {"units": "g m-3"}
    other = (record * 2).rename("pm10").assign_attrs(units="g m-3")
    field = open_field(save("a.nc", xr.merge([record, other])))
    np.testing.assert_allclose(field.values, record.values * 1e6, rtol=1e-6)


def test_the_only_concentration_or_a_choice(save: Save, world: World) -> None:
    dust = world("2019-01-01", 2).rename("dust")
    dust.attrs = {"units": "mg/m3"}
    heat = dust.rename("t2m").assign_attrs(units="K")
    assert open_field(save("a.nc", xr.merge([dust, heat]))).name == "dust"
    soot = dust.rename("soot").assign_attrs(units="mg/m3")
    path = save("b.nc", xr.merge([dust, heat, soot]))
    with pytest.raises(InputError, match=r"several: dust, soot; .*--variable NAME"):
        open_field(path)
    assert open_field(path, variable="soot").name == "soot"
