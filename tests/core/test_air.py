"""Mixing ratios: by a density, or by temperature and pressure; never guessed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from deepcams.cli import main
from deepcams.core.air import (
    AT_20_DEGREES,
    concentration_factor,
    density,
    to_concentration,
)
from deepcams.core.errors import InputError
from deepcams.core.field import as_field
from deepcams.core.species import AIR_DENSITY, GASES, SPECIES, species_of
from deepcams.readers.cams import open_cams
from deepcams.readers.geos_cf import open_geos_cf


@pytest.fixture
def air() -> Iterator[None]:
    """Reading with a density of 1.2 kg m-3."""
    token = AIR_DENSITY.set(1.2)
    yield
    AIR_DENSITY.reset(token)


def _field(name: str, units: str, value: float, **attributes: str) -> xr.DataArray:
    latitude, longitude = np.arange(90, -91, -30.0), np.arange(0, 360, 30.0)
    times = np.array(["2019-12-31T15", "2019-12-31T18"], "datetime64[ns]")
    coordinates = {"time": times, "latitude": latitude, "longitude": longitude}
    values = np.full((2, 7, 12), value, np.float32)
    about = {"units": units, **attributes}
    return xr.DataArray(values, coordinates, tuple(coordinates), name, about)


def test_the_density_of_dry_air() -> None:
    assert pytest.approx(1.2041, abs=5e-5) == AT_20_DEGREES
    assert density(273.15, 101325) == pytest.approx(1.2923, abs=5e-5)


@pytest.mark.parametrize("spelled", ["mol mol-1", "mol/mol", "mol mol**-1"])
def test_a_hundred_ppb_of_ozone_are_200_ug(air: None, spelled: str) -> None:
    """At 20 degrees C and 1013.25 hPa 1 ppb of ozone is 1.9957 ug m-3 (EU's factor is 2.00), of NO2 1.9125."""
    for name, expected in (
        ("o3", 1.9957),
        ("no2", 1.9125),
        ("so2", 2.6609),
        ("co", 1.1642),
    ):
        factor = concentration_factor(spelled, name, {}, "x") * AT_20_DEGREES / 1.2
        assert factor * 1e-9 == pytest.approx(expected, rel=1e-3)
        by_parts = concentration_factor("ppbv", name.upper(), {}, "x")
        assert by_parts == pytest.approx(
            concentration_factor("nmol mol-1", name, {}, "x")
        )
        assert by_parts * AT_20_DEGREES / 1.2 == pytest.approx(expected, rel=1e-3)


@pytest.mark.parametrize(
    ("units", "factor"),
    [("kg kg**-1", 1.2e9), ("kg/kg", 1.2e9), ("ug kg-1", 1.2), ("kg m**-3", 1e9)],
)
def test_mass_ratios_need_no_species(air: None, units: str, factor: float) -> None:
    assert concentration_factor(units, "dust", {}, "x") == pytest.approx(factor)


@pytest.mark.parametrize("units", ["kg kg**-1", "mol mol-1", "ppb"])
def test_without_a_density_ratios_are_refused(units: str) -> None:
    with pytest.raises(InputError, match=r"a mixing ratio .*deepcams --density 1.204"):
        concentration_factor(units, "no2", {}, "x")


def test_moles_of_something_unknown_are_refused(air: None) -> None:
    with pytest.raises(InputError, match="moles of one of no2, o3, co, so2"):
        concentration_factor("mol mol-1", "hcho", {}, "x")
    assert concentration_factor(
        "mol mol-1", "x", {"standard_name": "mole_fraction_of_ozone_in_air"}, "x"
    ) == pytest.approx(concentration_factor("mol mol-1", "o3", {}, "x"))


def test_names_are_found_once_and_ranges_are_ordered() -> None:
    for species in SPECIES:
        assert {species_of(name) for name in species.names} == {species}
        assert 0 < species.usual[0] < species.usual[1]
    assert [species_of(name) for name in ("GO3", "Ozone", "nitrogen_dioxide")] == [
        GASES[1],
        GASES[1],
        GASES[0],
    ]


def test_temperature_and_pressure_make_a_field() -> None:
    ratio = _field("go3", "kg kg**-1", 5e-8)
    temperature = _field("t2m", "K", 250.0)
    temperature[1] = 300.0
    pressure = _field("sp", "Pa", 9e4)
    made = to_concentration(ratio, temperature=temperature, pressure=pressure)
    field = as_field(made)
    assert field.name == "o3"
    assert field.attrs["standard_name"] == "mass_concentration_of_ozone_in_air"
    for hour, kelvin in enumerate((250.0, 300.0)):
        expected = 50 * 9e4 * 28.9647e-3 / (8.314462618 * kelvin)
        np.testing.assert_allclose(field[hour], expected, rtol=1e-6)
    same = to_concentration(ratio, air_density=1.2)
    np.testing.assert_allclose(same, 60.0, rtol=1e-6)
    for wrong in ({}, {"temperature": 280.0}, {"air_density": 1.2, "pressure": 9e4}):
        with pytest.raises(InputError, match="a density, or a temperature and"):
            to_concentration(ratio, **wrong)
    with pytest.raises(InputError, match="a mixing ratio"):
        to_concentration(_field("o3", "K", 1.0), air_density=1.2)


def test_cams_and_geos_cf_gases_are_read(air: None, tmp_path: Path) -> None:
    cams = _field("no2", "kg kg**-1", 1e-8, GRIB_paramId="210121")
    cams.to_netcdf(tmp_path / "cams.nc")
    field = open_cams(tmp_path / "cams.nc", variable="nitrogen_dioxide")
    assert (field.name, field.attrs["units"]) == ("no2", "ug m-3")
    np.testing.assert_allclose(field, 12.0, rtol=1e-6)
    assert field.attrs["source"].endswith("mixing ratios in air of 1.2 kg m-3")
    means = _field("O3", "mol mol-1", 50e-9)
    middle = means.time + np.timedelta64(30, "m")
    means = means.assign_coords(time=middle).isel(time=[0])
    means.to_dataset().assign_attrs(title="GEOS-CF v1").to_netcdf(tmp_path / "g.nc")
    field = open_geos_cf(tmp_path / "g.nc", variable="o3")
    assert field.name == "o3"
    np.testing.assert_allclose(field, 50 * 1.9957 * 1.2 / AT_20_DEGREES, rtol=1e-3)
    assert field.attrs["source"] == (
        "NASA GEOS-CF version 1; mixing ratios in air of 1.2 kg m-3"
    )


def test_the_command_takes_a_density(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given, out = tmp_path / "so2.nc", tmp_path / "out.nc"
    _field("so2", "kg kg**-1", 1e-8).to_netcdf(given)
    arguments = ["downscale", str(given), "--variable", "so2", "-o", str(out)]
    arguments += ["--spatial", "bicubic", "--temporal", "linear", "--rounding", "0"]
    assert main(arguments) == 2
    assert "give the density of the air: deepcams --density" in capsys.readouterr().err
    assert main(["--density", "12", *arguments]) == 2
    assert "0.3 to 2" in capsys.readouterr().err
    assert main(["--density", "1.1", *arguments]) == 0
    with xr.open_dataset(out) as found:
        np.testing.assert_allclose(found.so2, 11.0, rtol=1e-5)
        assert found.so2.attrs["long_name"] == "SO2 mass concentration at the surface"
        assert "mixing ratios in air of 1.1 kg m-3" in found.attrs["source"]
    assert main(["verify", str(out)]) == 0
