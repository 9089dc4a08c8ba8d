"""open_cams: every layout in which EAC4 arrives gives the same canonical field."""

from __future__ import annotations

import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from deepcams.core.errors import DeepcamsNotice, InputError, MissingExtraError
from deepcams.core.field import grid_of
from deepcams.core.grid import Grid
from deepcams.readers.cams import open_cams
from deepcams.readers.formats.datasets import CHUNK_BYTES
from deepcams.readers.stored import Stored

Save = Callable[..., Path]
World = Callable[..., xr.DataArray]


def expected(array: xr.DataArray) -> np.ndarray:
    return array.values * np.float32(1e9)


def test_three_real_layouts_give_one_field(cams_dir: Path) -> None:
    new, zipped, old = (
        open_cams(cams_dir / f"cams_eac4_20191231_{name}.nc")
        for name in ("new_layout", "as_downloaded", "old_layout")
    )
    assert grid_of(new) == Grid.globe(0.75)
    assert list(new.time.values.astype("datetime64[h]").astype(str)) == [
        "2019-12-31T15",
        "2019-12-31T18",
        "2019-12-31T21",
        "2020-01-01T00",
    ]
    assert new.attrs["cell_methods"] == "time: point"
    assert new.identical(zipped)
    assert new.time.equals(old.time)
    assert float(np.nanmax(new)) == pytest.approx(3657.19, abs=0.01)
    np.testing.assert_allclose(
        old.values, new.values, rtol=0, atol=2.9e-2
    )  # the packing: 2.8e-11 kg m-3
    raw = xr.open_dataset(cams_dir / "cams_eac4_20191231_new_layout.nc").pm2p5
    np.testing.assert_array_equal(new.values, raw.values * np.float32(1e9))


def test_three_real_layouts_together_are_one_record(cams_dir: Path) -> None:
    with pytest.warns(
        DeepcamsNotice, match="8 times stand in the input more than once"
    ):
        field = open_cams(cams_dir / "cams_eac4_20191231_*.nc")
    xr.testing.assert_equal(
        field, open_cams(cams_dir / "cams_eac4_20191231_new_layout.nc")
    )


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 0, 1), (1, 2, 0)])
@pytest.mark.parametrize("how", ["list", "glob", "folder"])
def test_months_in_any_order(
    save: Save, world: World, tmp_path: Path, order: tuple[int, ...], how: str
) -> None:
    record = world("2019-01-30", 24)
    # names in another order than times
    paths = [save(f"in/{'cab'[k]}.nc", record[8 * k : 8 * k + 8]) for k in range(3)]
    given = {
        "list": [paths[k] for k in order],
        "glob": str(tmp_path / "in" / "*.nc"),
        "folder": tmp_path / "in",
    }[how]
    field = open_cams(given)
    np.testing.assert_array_equal(field.time.values, record.time.values)
    np.testing.assert_array_equal(field.values, expected(record))
    assert field.encoding["source_files"] == [str(path) for path in paths]


def test_interleaved_files(save: Save, world: World) -> None:
    record = world("2019-01-01", 8)
    field = open_cams([save("odd.nc", record[1::2]), save("even.nc", record[0::2])])
    np.testing.assert_array_equal(field.values, expected(record))


def test_times_out_of_order_within_a_file(save: Save, world: World) -> None:
    record = world("2019-01-01", 8)
    field = open_cams(save("mixed.nc", record[[3, 1, 2, 0, 7, 6, 5, 4]]))
    np.testing.assert_array_equal(field.values, expected(record))


@pytest.mark.parametrize("packed", [0.0, 2e-11])
def test_overlap_with_the_same_values(save: Save, world: World, packed: float) -> None:
    record = world("2019-01-01", 10)
    one, other = save("one.nc", record[:6]), save("other.nc", record[4:], packed=packed)
    with pytest.warns(DeepcamsNotice, match="2 times stand"):
        field = open_cams([other, one])
    np.testing.assert_array_equal(field.time.values, record.time.values)
    np.testing.assert_allclose(
        field.values, expected(record), rtol=1e-6, atol=packed * 0.51e9
    )


def test_overlap_with_other_values_names_time_and_files(
    save: Save, world: World
) -> None:
    record = world("2019-01-01", 10)
    changed = record[4:].copy()
    changed[1, 3, 3] *= 1.001
    with pytest.raises(InputError, match=r"2019-01-01 15:00") as caught:
        open_cams([save("one.nc", record[:6]), save("other.nc", changed)])
    assert "one.nc" in str(caught.value)
    assert "other.nc" in str(caught.value)


def test_repeat_within_a_file(save: Save, world: World) -> None:
    record = world("2019-01-01", 4)
    with pytest.warns(DeepcamsNotice, match="1 time stands"):
        field = open_cams(save("a.nc", record[[0, 1, 1, 2, 3]]))
    np.testing.assert_array_equal(field.values, expected(record))
    broken = record[[0, 1, 1, 2, 3]].copy()
    broken[2] *= 2
    with pytest.raises(
        InputError, match=r"two different ones in .*b\.nc at 2019-01-01 03:00"
    ):
        open_cams(save("b.nc", broken))


def test_orientations_units_and_leftovers(save: Save, world: World) -> None:
    record = world("2019-01-01", 4)
    west = record.assign_coords(longitude=(record.longitude + 180) % 360 - 180).sortby(
        "longitude"
    )
    micro = (record * np.float32(1e9)).assign_attrs(record.attrs, units="µg m**-3")
    left = record.assign_coords(number=0, surface=0.0, step=np.timedelta64(0, "h"))
    left = left.assign_coords(expver=("time", ["0001"] * 4)).rename(time="valid_time")
    variants = {
        "south": record[:, ::-1],
        "west": west,
        "micro": micro,
        "left": left,
        "float64": record.astype(float),
        "transposed": record.transpose("longitude", "latitude", "time"),
        "named": record.rename(latitude="lat"),
        "by_level": record.expand_dims(surface=[0.0], axis=1),
    }
    for name, variant in variants.items():
        path = save(f"in/{name}.nc", variant)
        field = open_cams(path)
        np.testing.assert_allclose(
            field.values, expected(record), rtol=2e-7, err_msg=name
        )
        assert grid_of(field) == Grid.globe(7.5), name
    with pytest.warns(DeepcamsNotice, match=f"{4 * 7} times"):
        everything = open_cams(path.parent)
    np.testing.assert_allclose(everything.values, expected(record), rtol=2e-7)


def test_expver_dimension_takes_the_final_data_where_there_are_any(
    save: Save, world: World
) -> None:
    record = world("2019-01-01", 4)
    final, preliminary = record.copy(), record.copy()
    final[2:] = np.nan
    preliminary[:2] = np.nan
    preliminary[2, 0, 0] = np.nan
    both = xr.concat(
        [preliminary, final], xr.DataArray([5, 1], dims="expver", name="expver")
    )
    both = both.transpose("time", "expver", "latitude", "longitude")
    field = open_cams(save("era.nc", both))
    wanted = expected(record)
    wanted[2, 0, 0] = np.nan
    np.testing.assert_array_equal(field.values, wanted)
    overlapping = xr.concat(
        [record * 3, record], xr.DataArray([5, 1], dims="expver", name="expver")
    )
    field = open_cams(save("both.nc", overlapping.assign_attrs(record.attrs)))
    np.testing.assert_array_equal(field.values, expected(record))


@pytest.mark.parametrize(
    "name", ["pm10", "PM10", "particulate_matter_10um", "Particulate matter d <= 10 um"]
)
def test_other_species_by_any_of_their_names(
    save: Save, world: World, name: str
) -> None:
    record = world("2019-01-01", 2)
    coarse = (record * 2).rename("pm10").assign_attrs(units="kg m**-3")
    field = open_cams(save("both.nc", xr.merge([record, coarse])), variable=name)
    assert field.name == "pm10"
    assert (
        field.attrs["standard_name"]
        == "mass_concentration_of_pm10_ambient_aerosol_particles_in_air"
    )
    np.testing.assert_allclose(field.values, 2 * expected(record), rtol=1e-6)


def test_a_strange_name_with_the_right_standard_name(save: Save, world: World) -> None:
    record = world("2019-01-01", 2)
    field = open_cams(save("odd.nc", record.rename("p73")))
    assert field.name == "pm2p5"
    assert float(field.max()) > 0
    by_name = open_cams(
        save("dust.nc", record.rename("dust").drop_attrs().assign_attrs(units="ug/m3")),
        variable="dust",
    )
    assert by_name.name == "dust"


def test_opening_reads_no_values_and_keeps_no_file_open(
    save: Save, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    record = world("2019-01-01", 40)
    paths = [save(f"{k}.nc", record[10 * k : 10 * k + 10]) for k in range(4)]
    reads = []
    original = Stored.read
    monkeypatch.setattr(
        Stored, "read", lambda self, *key: reads.append(key) or original(self, *key)
    )
    field = open_cams(paths)
    assert reads == []
    field[12:15].values  # noqa: B018
    assert len(reads) == 1


def test_chunks_are_a_few_times_of_whole_maps(tmp_path: Path) -> None:
    shape = (248, 241, 480)
    path = tmp_path / "month.nc"
    import netCDF4

    with netCDF4.Dataset(path, "w") as file:
        for name, size in zip(
            ("valid_time", "latitude", "longitude"), shape, strict=True
        ):
            file.createDimension(name, size)
        time = file.createVariable("valid_time", "i8", ("valid_time",))
        time.units = "hours since 2019-01-01"
        time[:] = np.arange(248) * 3
        file.createVariable("latitude", "f8", ("latitude",))[:] = Grid.globe(
            0.75
        ).latitudes
        file.createVariable("longitude", "f8", ("longitude",))[:] = Grid.globe(
            0.75
        ).longitudes
        for name, chunks in (("pm2p5", (31, 61, 120)), ("pm10", (1, 241, 480))):
            values = file.createVariable(
                name,
                "f4",
                ("valid_time", "latitude", "longitude"),
                zlib=True,
                chunksizes=chunks,
            )
            values.units = "kg m**-3"
            values[0] = 1e-9
    aligned, plain = open_cams(path), open_cams(path, variable="pm10")
    assert set(aligned.data.chunks[0]) == {
        31
    }  # the file's own, so that none is read twice
    assert aligned.data.chunks[1:] == ((241,), (480,))
    assert 2 <= plain.data.chunks[0][0] <= CHUNK_BYTES // (241 * 480 * 4)


def test_grib(save_grib: Callable[..., Path], world: World, tmp_path: Path) -> None:
    record = world("2019-01-31", 8)
    maps = [
        (210073, t, 0, v)
        for t, v in zip(record.time.values, record.values, strict=True)
    ]
    path = save_grib("in/month.grib", maps)
    field = open_cams(path)
    ranges = np.ptp(expected(record), axis=(1, 2), keepdims=True)
    assert np.all(abs(field.values - expected(record)) <= ranges / 2**16)
    assert field.name == "pm2p5"
    assert grid_of(field) == Grid.globe(7.5)
    assert [entry.name for entry in path.parent.iterdir()] == [
        "month.grib"
    ]  # no index files


def test_grib_together_with_netcdf(
    save: Save, world: World, save_grib: Callable[..., Path]
) -> None:
    record = world("2019-01-31", 8)
    maps = [
        (210073, t, 0, v)
        for t, v in zip(record.time.values[:5], record.values, strict=False)
    ]
    with pytest.warns(DeepcamsNotice, match="1 time stands"):
        field = open_cams([save("later.nc", record[4:]), save_grib("early.grib", maps)])
    np.testing.assert_array_equal(field.time.values, record.time.values)


def test_grib_with_other_levels_and_times_beside(
    save_grib: Callable[..., Path], world: World
) -> None:
    record = world("2019-01-31", 4)
    save_grib(
        "mixed.grib",
        [
            (130, t, 0, v)
            for t, v in zip(record.time.values[:2], record.values, strict=False)
        ],
        500,
    )
    path = save_grib(
        "mixed.grib",
        [
            (210073, t, 0, v)
            for t, v in zip(record.time.values, record.values, strict=True)
        ],
    )
    assert open_cams(path).sizes["time"] == 4


def test_grib_of_steps_becomes_one_time_axis(
    save_grib: Callable[..., Path], world: World
) -> None:
    record = world("2019-01-31", 8)
    base = record.time.values[[0, 0, 0, 0, 4, 4, 4, 4]]
    steps = [0, 3, 6, 9] * 2
    path = save_grib(
        "steps.grib",
        [(210073, *row) for row in zip(base, steps, record.values, strict=True)],
    )
    field = open_cams(path)
    np.testing.assert_array_equal(field.time.values, record.time.values)
    np.testing.assert_allclose(
        field.values, expected(record), atol=np.ptp(expected(record)) / 2**16
    )


def test_grib_without_the_extra(
    save_grib: Callable[..., Path], world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    record = world("2019-01-31", 1)
    path = save_grib("a.grib", [(210073, record.time.values[0], 0, record.values[0])])
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match=r"pip install 'deepcams\[grib\]'"):
        open_cams(path)


def test_zip_with_several_members(save: Save, world: World, tmp_path: Path) -> None:
    record = world("2019-01-01", 8)
    pressure = record.rename("temperature").drop_attrs().assign_attrs(units="K")
    path = tmp_path / "download.nc"
    with zipfile.ZipFile(path, "w") as archive:
        archive.write(save("a.nc", record[4:]), "data_sfc_2.nc")
        archive.write(save("b.nc", record[:4]), "sub/data_sfc.nc")
        archive.write(save("c.nc", pressure), "data_plev.nc")
        archive.writestr("README.txt", "hello")
    field = open_cams(path)
    np.testing.assert_array_equal(field.values, expected(record))
    assert field.encoding["source_files"] == [str(path)]


def test_folder_with_other_things(save: Save, world: World, tmp_path: Path) -> None:
    record = world("2019-01-01", 4)
    save("in/2019/a.nc", record[:2])
    save("in/b.nc", record[2:])
    (tmp_path / "in" / "notes.txt").write_text("hello")
    (tmp_path / "in" / ".hidden").write_text("x")
    with pytest.warns(
        DeepcamsNotice, match=r"1 file without data is left out \(notes\.txt\)"
    ):
        field = open_cams(tmp_path / "in")
    assert field.sizes["time"] == 4


def test_regions_and_the_dateline(save: Save, world: World) -> None:
    record = world("2019-01-01", 2)
    across = record.isel(latitude=slice(3, 9), longitude=[45, 46, 47, 0, 1, 2])
    field = open_cams(save("greenwich.nc", across))
    np.testing.assert_array_equal(
        field.longitude.values, [-22.5, -15, -7.5, 0, 7.5, 15]
    )
    np.testing.assert_array_equal(field.values, expected(across))
