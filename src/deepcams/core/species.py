"""Known species, with the names that files and users give them and their coordinates."""

from __future__ import annotations

from contextvars import ContextVar
from dataclasses import dataclass

AIR_DENSITY: ContextVar[float | None] = ContextVar("air_density", default=None)
"""Air density used to convert mixing ratios on reading, kg m-3; ``None``: mixing ratios are refused."""


@dataclass(frozen=True)
class Species:
    """A species at the surface, as a mass concentration.

    Attributes:
        name: short name, also the variable name in written netCDF files (``pm2p5``).
        label: display name (``PM2.5``).
        request: name in a request to the Atmosphere Data Store.
        standard_name: CF standard name as a mass concentration.
        long_name: ECMWF's long name.
        parameter: GRIB parameter id.
        usual: plausible range of the maximum of a global or continental map, ug m-3; outside it values are doubted.
        molar_mass: g/mol; ``None`` for particles.
        aliases: further names in files, in lower case.
        ratio_names: CF standard names as a mass or mole fraction.
    """

    name: str
    label: str
    request: str
    standard_name: str
    long_name: str
    parameter: int
    usual: tuple[float, float] = (1e-3, 1e7)
    molar_mass: float | None = None
    aliases: tuple[str, ...] = ()
    ratio_names: tuple[str, ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        """Every name a user may give."""
        return (
            self.name,
            self.request,
            self.standard_name,
            self.label,
            self.long_name,
            str(self.parameter),
            *self.aliases,
            *self.ratio_names,
        )


def _particles(name: str, label: str, size: str, parameter: int) -> Species:
    return Species(
        name,
        label,
        f"particulate_matter_{size}um",
        f"mass_concentration_of_{name}_ambient_aerosol_particles_in_air",
        f"Particulate matter d <= {size} um",
        parameter,
    )


def _gas(
    name: str,
    request: str,
    word: str,
    parameter: int,
    molar_mass: float,
    usual: tuple[float, float],
    long_name: str,
    *aliases: str,
) -> Species:
    """Describe a gas; ``word`` is its name in the CF conventions."""
    return Species(
        name,
        name.upper(),
        request,
        f"mass_concentration_of_{word}_in_air",
        long_name,
        parameter,
        usual,
        molar_mass,
        aliases,
        (f"mass_fraction_of_{word}_in_air", f"mole_fraction_of_{word}_in_air"),
    )


PARTICLES = (
    _particles("pm1", "PM1", "1", 210072),
    _particles("pm2p5", "PM2.5", "2.5", 210073),
    _particles("pm10", "PM10", "10", 210074),
)
"""Species that EAC4 has as mass concentrations."""

GASES = (
    _gas(
        *("no2", "nitrogen_dioxide", "nitrogen_dioxide", 210121, 46.0055),
        *((0.1, 5e3), "Nitrogen dioxide mass mixing ratio"),
    ),
    _gas(
        *("o3", "ozone", "ozone", 210203, 47.9982),
        *((10.0, 2e3), "Ozone mass mixing ratio (full chemistry scheme)", "go3"),
    ),
    _gas(
        *("co", "carbon_monoxide", "carbon_monoxide", 210123, 28.0101),
        *((10.0, 1e6), "Carbon monoxide mass mixing ratio"),
    ),
    _gas(
        *("so2", "sulphur_dioxide", "sulfur_dioxide", 210122, 64.0638),
        *((0.01, 1e6), "Sulphur dioxide mass mixing ratio", "sulfur_dioxide"),
    ),
)
"""Gases of EAC4, of CAMS global forecasts (mass mixing ratios) and of GEOS-CF (mole fractions)."""

SPECIES = (*PARTICLES, *GASES)
"""All known species; any other mass concentration is recognised by its units."""

PM25 = PARTICLES[1]

GEOS_CF_NAMES = ("PM25_RH35_GCC", "PM25_RH35")
"""PM2.5 in GEOS-CF version 1 and 2, ug m-3 at 35 % relative humidity."""

COORDINATE_NAMES = {
    "time": ("time", "valid_time", "t"),
    "latitude": ("latitude", "lat", "nav_lat", "y"),
    "longitude": ("longitude", "lon", "nav_lon", "x"),
}
"""Names of coordinates in files, by their canonical name; the first is preferred."""


def species_of(name: str) -> Species | None:
    """Return the species with this name (any of its names, case-insensitive), or ``None``."""
    lowered = name.strip().lower()
    return next(
        (one for one in SPECIES if lowered in (known.lower() for known in one.names)),
        None,
    )


def label(name: str) -> str:
    """Return the display name of a variable: ``PM2.5`` for ``pm2p5``, ``PM2.5 mean``; unknown names are unchanged."""
    species, *words = name.split("_")
    known = next((one.label for one in SPECIES if one.name == species), None)
    return name if known is None else " ".join([known, *words])
