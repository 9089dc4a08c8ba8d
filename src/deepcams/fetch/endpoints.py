"""Definitions of external services: addresses, data sets, paths, and the user agent.

They were written from public documentation and not tried against the live services. A name that a service changes is
to be changed here (or in the settings file) only.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np

from deepcams._version import __version__
from deepcams.core.errors import InputError, choose

USER_AGENT = f"deepcams/{__version__} (research data download; one request at a time per connection)"
"""User agent of every request."""


@dataclass(frozen=True)
class CamsDataset:
    """A CAMS data set at the Atmosphere Data Store.

    Attributes:
        name: the service's name.
        words: name in file names and messages.
        step: grid step, degrees.
        first: first day of particles, and of gases, which are on model levels.
        every: hours between values of particles, and of gases.
        level: lowest model level, which holds gases and their temperature.
        apart: hours between forecast runs; 0: analyses.
    """

    name: str
    words: str
    step: float
    first: tuple[str, str]
    every: tuple[int, int]
    level: str
    apart: int = 0

    @property
    def page(self) -> str:
        """Web page on which its licence is accepted."""
        return f"https://ads.atmosphere.copernicus.eu/datasets/{self.name}"

    @property
    def frames(self) -> str:
        """Name of its values, plural."""
        return "forecast hours" if self.apart else "analyses"


CAMS_DATASETS = {
    "reanalysis": CamsDataset(
        "cams-global-reanalysis-eac4",
        "eac4",
        step=0.75,
        first=("2003-01-01", "2003-01-01"),
        every=(3, 3),
        level="60",
    ),
    "forecast": CamsDataset(
        "cams-global-atmospheric-composition-forecasts",
        "forecast",
        step=0.4,
        # before 9 July 2019 the number of its lowest model level was different
        first=("2015-01-01", "2019-07-10"),
        every=(1, 3),
        level="137",
        apart=12,
    ),
}
ADS_PROFILE = "https://ads.atmosphere.copernicus.eu/profile"
OPENAQ_PROFILE = "https://explore.openaq.org/account"
OPENAQ_PM25 = 2
"""OpenAQ's parameter number of PM2.5."""
OPENAQ_REGION = "us-east-1"
OPENAQ_PREFIX = "records/csv.gz/"
GEOS_CF_SPANS = {1: ("2018-01-01", "2026-01-02"), 2: ("2025-08-04", "")}
"""First and last day of each version; an empty last day: ongoing."""
GEOS_CF_KINDS = {1: ("das", "ana"), 2: ("",)}
"""Known folder kinds by version; the first one that has a file is used from then on."""
OPENDAP_ORIGIN = np.datetime64("2018-01-01T00:30", "ns")
"""Time of hour 0 of the OPeNDAP record, whose own time axis is unusable."""


@dataclass(frozen=True)
class Endpoints:
    """Addresses of the services.

    Attributes:
        ads: Atmosphere Data Store, root of the API.
        geos_cf_v1, geos_cf_v2: roots of the folders with one file per hour.
        geos_cf_opendap: version 1 as one long record.
        openaq_archive: ``s3://BUCKET``, or ``http(s)://HOST/BUCKET`` for any other S3 service.
        openaq_api: root of the API, including the version.
    """

    ads: str = "https://ads.atmosphere.copernicus.eu/api"
    geos_cf_v1: str = "https://portal.nccs.nasa.gov/datashare/gmao/geos-cf/v1"
    geos_cf_v2: str = (
        "https://ds.nccs.nasa.gov/thredds/fileServer/GMAO/GEOS-CF/analysis-v2"
    )
    geos_cf_opendap: str = "https://opendap.nccs.nasa.gov/dods/gmao/geos-cf/assim/aqc_tavg_1hr_g1440x721_v1"
    openaq_archive: str = "s3://openaq-data-archive"
    openaq_api: str = "https://api.openaq.org/v3"

    @classmethod
    def resolve(
        cls,
        given: Sequence[str] = (),
        environment: Mapping[str, str] | None = None,
        home: Path | None = None,
    ) -> Endpoints:
        """Determine the endpoints: options take precedence over the environment, which does over the settings file.

        Args:
            given: ``NAME=URL`` each, NAME one of the attributes.
            environment: ``DEEPCAMS_ENDPOINT_ADS`` and so on; ``DEEPCAMS_ENDPOINTS`` names the settings file.
            home: folder searched for ``.config/deepcams/endpoints.yaml``.

        Raises:
            InputError: a name is unknown, or a value is not a URL.
        """
        environment = os.environ if environment is None else environment
        names = [field.name for field in fields(cls)]
        found = _from_file(environment, home or Path.home(), names)
        found |= {
            name: value
            for name in names
            if (
                value := environment.get(
                    f"DEEPCAMS_ENDPOINT_{name.upper()}", ""
                ).strip()
            )
        }
        for one in given:
            name, equals, value = one.partition("=")
            if not equals:
                raise InputError("--endpoint", "NAME=URL", repr(one))
            found[choose("--endpoint", name.strip().replace("-", "_"), names)] = (
                value.strip()
            )
        for name, value in found.items():
            try:
                parts = urlsplit(value)
            except ValueError:  # brackets without an address
                parts = urlsplit("")
            if parts.scheme not in ("http", "https", "s3") or not parts.netloc:
                raise InputError(
                    f"endpoint {name}", "a URL such as https://host/path", repr(value)
                )
        return replace(
            cls(), **{name: value.rstrip("/") for name, value in found.items()}
        )

    def as_dict(self) -> dict[str, str]:
        """Return the endpoints by name."""
        return asdict(self)


def _from_file(
    environment: Mapping[str, str], home: Path, names: list[str]
) -> dict[str, str]:
    own = environment.get("DEEPCAMS_ENDPOINTS", "").strip()
    path = Path(own) if own else home / ".config" / "deepcams" / "endpoints.yaml"
    if not path.is_file():
        if own:
            raise InputError(
                "DEEPCAMS_ENDPOINTS", "a settings file", f"{own}: no such file"
            )
        return {}
    from deepcams.files.yaml_file import parse_yaml

    try:
        values = parse_yaml(path.read_text(encoding="utf-8"), path) or {}
    except (OSError, ValueError) as error:
        raise InputError(path, "endpoints as YAML (name: URL)", error) from None
    if not isinstance(values, dict):
        raise InputError(path, "endpoints as YAML (name: URL)", type(values).__name__)
    return {
        choose(f"{path}: endpoint", str(name).replace("-", "_"), names): str(url)
        for name, url in values.items()
    }


def geos_cf_file(version: int, time: np.datetime64) -> str:
    """Return the name of the file whose hourly mean is stamped ``time`` (HH:30)."""
    text = str(time.astype("datetime64[m]"))
    stamp = f"{text[:10].replace('-', '')}_{text[11:13]}30z.nc4"
    if version == 1:
        return f"GEOS-CF.v01.rpl.aqc_tavg_1hr_g1440x721_v1.{stamp}"
    return f"GEOS.cf.ana.aqc_tavg_1hr_glo_L1440x721_slv.{stamp}"


def geos_cf_url(
    endpoints: Endpoints, version: int, time: np.datetime64, kind: str
) -> str:
    """Return the URL of that file; ``kind`` is one of :data:`GEOS_CF_KINDS`."""
    root = endpoints.geos_cf_v1 if version == 1 else endpoints.geos_cf_v2
    year, month, day = str(time.astype("datetime64[D]")).split("-")
    folders = [
        part for part in (root, kind, f"Y{year}", f"M{month}", f"D{day}") if part
    ]
    return "/".join([*folders, geos_cf_file(version, time)])


def geos_cf_variable(version: int) -> str:
    """Return the name of PM2.5 in the files."""
    return "PM25_RH35_GCC" if version == 1 else "PM25_RH35"


def openaq_prefix(location: int, year: int | None = None) -> str:
    """Return the key prefix of a location's objects (optionally of one year) in the archive."""
    return f"{OPENAQ_PREFIX}locationid={location}/" + (
        f"year={year}/" if year is not None else ""
    )
