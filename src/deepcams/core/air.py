"""Convert mixing ratios to mass concentrations, given the air density or the temperature and pressure."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from deepcams.core.errors import InputError
from deepcams.core.species import AIR_DENSITY, GASES, Species, species_of
from deepcams.core.units import UNITS, units_factor

if TYPE_CHECKING:
    import xarray as xr

GAS_CONSTANT = 8.31446261815324
"""Molar gas constant, J mol-1 K-1 (exact since 2019)."""
MOLAR_MASS = 28.9647e-3
"""Molar mass of dry air, kg mol-1 (US Standard Atmosphere 1976: 28.9644 g/mol)."""


def density(temperature: Any, pressure: Any) -> Any:
    """Return the density of dry air, kg m-3; water vapour makes real air up to 2 % lighter.

    Args:
        temperature: K, a number or an array.
        pressure: Pa, a number or an array.
    """
    return pressure * MOLAR_MASS / (GAS_CONSTANT * temperature)


AT_20_DEGREES = density(293.15, 101325.0)
"""Air density at 20 degrees C and 1013.25 hPa, the conditions of the EU limits for gases: 1.204 kg m-3."""

_MASSES = {"kg": 1.0, "g": 1e-3, "mg": 1e-6, "ug": 1e-9, "ng": 1e-12}
_MOLES = {"mol": 1.0, "mmol": 1e-3, "umol": 1e-6, "nmol": 1e-9, "pmol": 1e-12}
_PARTS = {"ppm": 1e-6, "ppb": 1e-9, "ppt": 1e-12}
_RATIO = re.compile(
    r"(?:(?P<mass>kg|g|mg|ug|ng)[\s*.]*/?\s*kg|(?P<moles>[munp]?mol)[\s*.]*/?\s*mol)(?:(?:\*\*|\^)?-1)?"
    r"|(?P<parts>pp[mbt])v?"
)


def ratio_factor(units: object, name: str, attributes: Any, where: object) -> float:
    """Return the factor that converts a mixing ratio to kg of the species per kg of air; 0 for other units.

    Args:
        units: units of a mass ratio (``kg kg**-1``) or a mole ratio (``mol mol-1``, ``ppb``).
        name: variable name.
        attributes: variable attributes; ``standard_name`` may identify the species.
        where: file or variable named in error messages.

    Raises:
        InputError: a mole ratio of a species whose molar mass is unknown.
    """
    found = _RATIO.fullmatch(str(units).strip().replace("\N{MICRO SIGN}", "u"))
    if found is None:
        return 0.0
    if found["mass"]:
        return _MASSES[found["mass"]]
    gas = species_of(name) or species_of(str(attributes.get("standard_name", "")))
    if gas is None or gas.molar_mass is None:
        raise InputError(
            f"{where}: units",
            "a mass concentration (kg m-3 or ug m-3), or moles of one of "
            + ", ".join(one.name for one in GASES),
            repr(str(units)),
            "choose another variable with --variable",
        )
    amount = _MOLES[found["moles"]] if found["moles"] else _PARTS[found["parts"]]
    return amount * gas.molar_mass / (1e3 * MOLAR_MASS)


def concentration_factor(
    units: object, name: str, attributes: Any, where: object
) -> float:
    """Return the factor that converts mass concentrations, or mixing ratios if :data:`AIR_DENSITY` is set, to ug m-3.

    Raises:
        InputError: other units, or a mixing ratio without an air density.
    """
    ratio = ratio_factor(units, name, attributes, where)
    if not ratio:
        return units_factor(units, where)
    air = AIR_DENSITY.get()
    if air is None:
        raise InputError(
            f"{where}: units",
            "a mass concentration (kg m-3 or ug m-3)",
            f"a mixing ratio ({units})",
            f"give the density of the air: deepcams --density {AT_20_DEGREES:.3f} .. (20 degrees C, 1013.25 hPa), or "
            "in CAMS's files its temperature and surface pressure (t and sp), beside it or in a second file",
        )
    return 1e9 * air * ratio


def with_density(source: str, units: object) -> str:
    """Return a source description; for mixing ratios the air density used is appended."""
    if _RATIO.fullmatch(str(units).strip().replace("\N{MICRO SIGN}", "u")) is None:
        return source
    words = f"mixing ratios in air of {AIR_DENSITY.get():g} kg m-3"
    return f"{source}; {words}" if source else words


def check_density(given: float) -> float:
    """Return the given air density, kg m-3, after checking that it is plausible near the ground.

    Raises:
        InputError: the density is implausible.
    """
    if not 0.3 <= given <= 2:
        raise InputError(
            "--density",
            "kg m-3 of air, 0.3 to 2",
            f"{given:g}",
            "1.204 at 20 degrees C",
        )
    return given


def to_concentration(
    ratio: xr.DataArray,
    *,
    species: str | None = None,
    air_density: float | xr.DataArray | None = None,
    temperature: xr.DataArray | float | None = None,
    pressure: xr.DataArray | float | None = None,
) -> xr.DataArray:
    """Convert a mixing ratio to a mass concentration; the result is lazy if the ratio is.

    Args:
        ratio: kg/kg or mol/mol; ``attrs["units"]`` in any common spelling.
        species: any known name of the species; default: the array's name or standard name.
        air_density: kg m-3, a number or an array on the ratio's coordinates.
        temperature, pressure: K and Pa; given together instead of ``air_density``.

    Returns:
        the concentration, ug m-3, accepted by :func:`deepcams.as_field`.

    Raises:
        InputError: other units, an unknown species, or not exactly one of: density; temperature with pressure.
    """
    pair = (temperature is not None, pressure is not None)
    if pair.count(True) == 1 or (air_density is None) != all(pair):
        raise InputError(
            "to_concentration",
            "a density, or a temperature and a pressure",
            "both" if all(pair) else "neither, or one of the two",
        )
    name = species or str(ratio.name)
    known = species_of(name) or species_of(str(ratio.attrs.get("standard_name", "")))
    label = known.name if known is not None else name
    factor = ratio_factor(ratio.attrs.get("units"), label, ratio.attrs, label)
    if not factor:
        found = repr(str(ratio.attrs.get("units", "no units")))
        raise InputError(f"{label}: units", "a mixing ratio (kg/kg, mol/mol)", found)
    air = density(temperature, pressure) if air_density is None else air_density
    made: xr.DataArray = (ratio * (1e9 * factor) * air).astype(ratio.dtype)
    kept = {
        key: ratio.attrs[key]
        for key in ("source", "cell_methods", "history")
        if key in ratio.attrs
    }
    if known is not None:
        kept["standard_name"] = known.standard_name
    return made.rename(label).assign_attrs(kept | {"units": UNITS})


def named_concentration(species: Species) -> str:
    """Return the long name of a mass concentration; ECMWF's own, unless that names a mixing ratio."""
    if species.molar_mass is None:
        return species.long_name
    return f"{species.label} mass concentration"
