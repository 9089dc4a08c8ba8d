"""The species deepcams knows, and every name by which files and people call them and their coordinates."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Species:
    """A mass concentration of CAMS EAC4 at the surface.

    Attributes:
        name: short name, in netCDF files too (``pm2p5``).
        label: for people (``PM2.5``).
        request: name in a request to the Atmosphere Data Store.
        standard_name: of the CF conventions.
        long_name: as ECMWF writes it.
        parameter: GRIB parameter id.
    """

    name: str
    label: str
    request: str
    standard_name: str
    long_name: str
    parameter: int

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


SPECIES = (
    _particles("pm1", "PM1", "1", 210072),
    _particles("pm2p5", "PM2.5", "2.5", 210073),
    _particles("pm10", "PM10", "10", 210074),
)
"""EAC4's mass concentrations; its other species are mixing ratios, columns and optical depths."""

PM25 = SPECIES[1]

GEOS_CF_NAMES = ("PM25_RH35_GCC", "PM25_RH35")
"""PM2.5 in GEOS-CF version 1 and 2, ug m-3 at 35 % relative humidity."""

COORDINATE_NAMES = {
    "time": ("time", "valid_time", "t"),
    "latitude": ("latitude", "lat", "nav_lat", "y"),
    "longitude": ("longitude", "lon", "nav_lon", "x"),
}
"""Names of coordinates in files, by their canonical name; the first is preferred."""


def species_of(name: str) -> Species | None:
    """Return the species that a user means by any of its names, whatever the case."""
    lowered = name.strip().lower()
    return next(
        (one for one in SPECIES if lowered in (known.lower() for known in one.names)),
        None,
    )


def label(name: str) -> str:
    """Return how people call a variable: ``PM2.5`` for ``pm2p5``, ``PM2.5 mean``; other names stay as they are."""
    species, *words = name.split("_")
    known = next((one.label for one in SPECIES if one.name == species), None)
    return name if known is None else " ".join([known, *words])
