"""Optional dependencies, as listed in the package's metadata."""

from __future__ import annotations

import importlib
import re
from contextlib import suppress
from importlib import metadata
from typing import Any

from deepcams.core.errors import MissingExtraError

_PACKAGE = "deepcams"
_FIRST = {"eccodes": "pyproj"}
"""Module to import before a library: once ecCodes has loaded its PROJ, pyproj finds no projections."""
_ALL_OF_THEM = ("all", "dev", "docs")
_REQUIREMENT = re.compile(r"""([\w.-]+).*;.*extra == ['"]([\w-]+)['"]""")


def contents() -> dict[str, list[str]]:
    """Return each extra's distributions, smallest extra first, without extras that only combine others."""
    found: dict[str, list[str]] = {}
    for line in metadata.requires(_PACKAGE) or []:
        if (matched := _REQUIREMENT.match(line)) and matched[2] not in _ALL_OF_THEM:
            found.setdefault(matched[2], []).append(matched[1])
    return dict(sorted(found.items(), key=lambda item: len(item[1])))


def require(extra: str, what: str) -> None:
    """Check that an extra is installed before work that needs it starts.

    Args:
        extra: name of the extra.
        what: feature that needs it, named in the message.

    Raises:
        MissingExtraError: one of its distributions is not installed.
    """
    for name in contents().get(extra, []):
        try:
            metadata.distribution(name)
        except metadata.PackageNotFoundError:
            raise MissingExtraError(what, extra) from None


def need(module: str) -> Any:
    """Import a library that belongs to an extra.

    Raises:
        MissingExtraError: the library or one of its dependencies is not installed, and an extra provides it.
    """
    if module in _FIRST:
        with suppress(ImportError):
            importlib.import_module(_FIRST[module])
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        raise missing(error) or error from None


def missing(error: ModuleNotFoundError) -> MissingExtraError | None:
    """Return an error that says what to install, or ``None`` if no extra provides the module."""
    extra = extra_with(error.name or "")
    return None if extra is None else MissingExtraError(f"using {error.name}", extra)


def extra_with(module: str) -> str | None:
    """Return the smallest extra that provides a module, or ``None``."""
    top = module.partition(".")[0].replace("_", "-").lower()
    for extra, names in contents().items():
        if any(f"{name.lower()}-".startswith(f"{top}-") for name in names):
            return extra
    return None
