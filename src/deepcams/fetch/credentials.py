"""Where keys are found. They are handed to the clients and nowhere else: never printed, logged or written."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from deepcams.core.errors import notice
from deepcams.fetch.endpoints import ADS_PROFILE, CAMS_PAGE
from deepcams.fetch.retry import RefusedError

ADS_VARIABLES = ("ADSAPI_KEY", "ECMWF_DATASTORES_KEY", "CDSAPI_KEY")
"""Environment variables with the data store's key, in the order in which they are looked at."""
ADS_FILES = (".adsapirc", ".ecmwfdatastoresrc", ".cdsapirc")
"""Files in the home folder with lines ``url: ..`` and ``key: ..``, likewise."""
OPENAQ_VARIABLE = "OPENAQ_API_KEY"


@dataclass(frozen=True)
class Key:
    """A key and where it was found; its text never shows.

    Attributes:
        value: the key.
        found: the variable or file.
    """

    value: str = field(repr=False)
    found: str


def ads_key(
    endpoint: str, environment: Mapping[str, str] | None = None, home: Path | None = None
) -> Key:
    """The data store's key.

    The Climate Data Store uses the same token at another address, so a key file made for it serves too: its key is
    taken, its address is not.

    Raises:
        RefusedError: there is none; the message says how to get one.
    """
    environment = os.environ if environment is None else environment
    for name in ADS_VARIABLES:
        if value := environment.get(name, "").strip():
            _other_address(f"${name[:-3]}URL", environment.get(f"{name[:-3]}URL", ""), endpoint)
            return _key(value, f"${name}")
    home = home or Path.home()
    places = [home / name for name in ADS_FILES]
    if own := environment.get("ECMWF_DATASTORES_RC_FILE", "").strip():
        places.insert(0, Path(own))
    for path in places:
        lines = _lines(path)
        if lines.get("key"):
            _other_address(str(path), lines.get("url", ""), endpoint)
            return _key(lines["key"], str(path))
    raise RefusedError(
        f"the Atmosphere Data Store needs a key: register and copy your personal token from {ADS_PROFILE}, put it into "
        f"${ADS_VARIABLES[0]} or a line 'key: TOKEN' of ~/{ADS_FILES[0]}, and accept the licence once on {CAMS_PAGE}"
    )


def _lines(path: Path) -> dict[str, str]:
    try:
        text = path.expanduser().read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return {}
    pairs = (line.split(":", 1) for line in text.splitlines() if ":" in line)
    return {name.strip(): value.strip().strip("'\"") for name, value in pairs}


def _other_address(where: str, url: str, endpoint: str) -> None:
    there, here = urlsplit(url.strip()).hostname, urlsplit(endpoint).hostname
    if there and there != here:
        notice(f"{where} is for {there}; its key is used, and {here} is asked")


def openaq_key(environment: Mapping[str, str] | None = None) -> Key | None:
    """OpenAQ's key, if there is one."""
    environment = os.environ if environment is None else environment
    value = environment.get(OPENAQ_VARIABLE, "").strip()
    return _key(value, f"${OPENAQ_VARIABLE}") if value else None


def _key(value: str, found: str) -> Key:
    """A key that can be sent.

    Raises:
        RefusedError: it holds what no key holds; the libraries below would tell it in their messages.
    """
    if not value.isascii() or not value.isprintable() or " " in value:
        raise RefusedError(
            f"the key in {found} holds spaces or other characters that no key has: copy it again"
        )
    return Key(value, found)
