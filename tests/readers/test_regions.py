"""Grids as files have them: parts of a region, sorted longitudes, cells that are no squares, and no grids at all."""

from __future__ import annotations

import gzip
import shutil
import tarfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from deepcams.core.errors import DeepcamsNotice, InputError
from deepcams.core.field import as_field, grid_of
from deepcams.readers.inspect import inspect
from deepcams.readers.open import open_field

World = Callable[..., xr.DataArray]
Save = Callable[..., Path]


def _same(found: xr.DataArray, wanted: xr.DataArray) -> None:
    wanted = as_field(wanted)
    assert grid_of(found) == grid_of(wanted)
    np.testing.assert_array_equal(found.time.values, wanted.time.values)
    np.testing.assert_allclose(found.values, wanted.values, rtol=1e-6)


def _region(world: World) -> xr.DataArray:
    """Three frames round Greenwich, 7 x 9 nodes, from 30 west to 30 east."""
    frames = world("2019-12-31", 3).isel(latitude=slice(4, 11))
    return frames.roll(longitude=4, roll_coords=True).isel(longitude=slice(0, 9))


@settings(
    max_examples=25,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(data=st.data())
def test_a_region_cut_into_any_rectangles_is_put_together(
    data: st.DataObject, world: World, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Cut rows (two at least), then each band's columns, write each piece to a file, give them in any order."""
    folder, region = tmp_path_factory.mktemp("parts"), _region(world)
    rows = data.draw(st.sets(st.sampled_from([2, 5])))
    pieces = []
    for band in np.split(np.arange(7), sorted(rows)):
        columns = data.draw(st.sets(st.sampled_from([2, 4, 6]), max_size=2))
        parts = np.split(np.arange(9), sorted(columns))
        pieces += [region.isel(latitude=band, longitude=part) for part in parts]
    paths = []
    for number, piece in enumerate(data.draw(st.permutations(pieces))):
        path = folder / f"{number}.nc"
        piece.to_netcdf(path)
        paths.append(path)
    _same(open_field(paths), region)


def test_parts_with_a_gap_or_an_overlap_are_refused(world: World, save: Save) -> None:
    region = _region(world)
    west = save("west.nc", region.isel(longitude=slice(0, 4)))
    for name, columns in (("gap", slice(6, 9)), ("overlap", slice(3, 9))):
        other = save(f"{name}.nc", region.isel(longitude=columns))
        with pytest.raises(InputError, match="grid"):
            open_field([west, other])


def test_parts_may_be_cut_differently_in_time(world: World, save: Save) -> None:
    region = _region(world)
    west, east = region.isel(longitude=slice(0, 4)), region.isel(longitude=slice(4, 9))
    paths = [save("west.nc", west)]
    paths += [save(f"east-{k}.nc", east.isel(time=k)) for k in (2, 0, 1)]
    _same(open_field(paths), region)
    with pytest.raises(InputError, match="every part of the region at the same times"):
        open_field(paths[:3])


def test_longitudes_that_were_sorted_after_wrapping(world: World, save: Save) -> None:
    region = _region(world)
    order = np.argsort(region.longitude.values % 360)
    wrapped = region.isel(longitude=order).assign_coords(
        longitude=region.longitude.values[order] % 360
    )
    _same(open_field(save("sorted.nc", wrapped)), region)


def test_cells_that_are_no_squares(world: World, save: Save) -> None:
    region = _region(world).isel(longitude=slice(0, 9, 2))
    found = open_field(save("cells.nc", region))
    assert grid_of(found).spacing == "7.5 x 15"
    _same(found, region)


@pytest.mark.parametrize("dims", [("station",), ("y", "x")])
def test_points_and_curved_grids_are_no_grid(
    world: World, save: Save, dims: tuple[str, ...]
) -> None:
    """Points have latitude and longitude along one dimension, curved grids along two."""
    shape = (3, 4)[: len(dims)]
    rng = np.random.default_rng(0)
    dataset = xr.Dataset(
        {
            "pm2p5": (
                ("time", *dims),
                rng.random((2, *shape)).astype(np.float32),
                {"units": "ug m-3"},
            )
        },
        coords={
            "time": world("2019-12-31", 2).time.values,
            "latitude": (dims, 50 + rng.random(shape)),
            "longitude": (dims, 10 + rng.random(shape)),
        },
    )
    path = save("points.nc", dataset)
    with pytest.raises(InputError, match="a regular latitude-longitude grid"):
        open_field(path)
    assert inspect(path).problem


def test_a_gaussian_grid_is_refused(world: World, save: Save) -> None:
    frames = world("2019-12-31", 2)
    latitude = np.rad2deg(
        np.arcsin(np.polynomial.legendre.leggauss(frames.sizes["latitude"])[0])
    )[::-1]
    with pytest.raises(InputError, match="regrid the file"):
        open_field(save("gaussian.nc", frames.assign_coords(latitude=latitude)))


def _zipped_zarr(folder: Path, field: xr.DataArray) -> Path:
    field.to_dataset().to_zarr(folder / "store.zarr", consolidated=False)
    return Path(
        shutil.make_archive(str(folder / "store"), "zip", folder / "store.zarr")
    )


def _tar(folder: Path, field: xr.DataArray) -> Path:
    field.to_netcdf(folder / "a.nc")
    with tarfile.open(folder / "a.tar", "w") as archive:
        archive.add(folder / "a.nc", "a.nc")
    return folder / "a.tar"


def _gzip(folder: Path, field: xr.DataArray) -> Path:
    field.to_netcdf(folder / "a.nc")
    (folder / "a.nc.gz").write_bytes(gzip.compress((folder / "a.nc").read_bytes()))
    return folder / "a.nc.gz"


def _hdf4(folder: Path, field: xr.DataArray) -> Path:
    (folder / "a.hdf").write_bytes(b"\x0e\x03\x13\x01" + bytes(2000))
    return folder / "a.hdf"


@pytest.mark.parametrize(
    ("make", "says"),
    [(_zipped_zarr, "Zarr"), (_tar, "tar"), (_gzip, "gzip"), (_hdf4, "HDF4")],
)
def test_wrappings_that_are_not_read_are_named(
    make: Callable[[Path, xr.DataArray], Path], says: str, world: World, tmp_path: Path
) -> None:
    path = make(tmp_path, world("2019-12-31", 2))
    with pytest.raises(InputError, match=says):
        open_field(path)


def test_what_rounding_explains_is_one_map(world: World, save: Save) -> None:
    """The output of deepcams beside its input: rounded values agree, others are still refused."""
    frames = world("2019-12-31", 2)
    exact = save("exact.nc", frames)
    said = {"quantization_maximum_relative_error": 0.001, **frames.attrs}
    rounded = save("rounded.nc", (frames * 1.0009).assign_attrs(said))
    for files in ([exact, rounded], [rounded, exact]):
        with pytest.warns(
            DeepcamsNotice, match="2 times stand in the input more than once"
        ):
            _same(open_field(files), frames)  # the exact one is taken
    with pytest.raises(InputError, match="different ones"):
        open_field([exact, save("other.nc", (frames * 1.002).assign_attrs(said))])
    with pytest.raises(InputError, match="different ones"):
        open_field(
            [exact, save("unsaid.nc", (frames * 1.0009).assign_attrs(frames.attrs))]
        )
