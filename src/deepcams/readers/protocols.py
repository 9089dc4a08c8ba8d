"""The interface of sources, which open paths as one canonical field, and its helpers."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol, TypeAlias

import xarray as xr

from deepcams.core.errors import refuse_url
from deepcams.core.url import Place, Url

Paths: TypeAlias = str | Place | Sequence[str | Place]
"""One file, folder, glob or URL, or several of them in any order."""


def listed(paths: Paths) -> list[str | Path]:
    """Return one or several paths on this machine as a list.

    Raises:
        InputError: one of them is a URL.
    """
    given = listed_places(paths)
    for one in given:
        refuse_url(one)
    return [one for one in given if not isinstance(one, Url)]


def listed_places(paths: Paths) -> list[str | Place]:
    """Return one or several paths or URLs as a list."""
    return [paths] if isinstance(paths, str | Path | Url) else list(paths)


class Source(Protocol):
    """A function that opens files as one canonical field; it uses the network only for URLs.

    Other packages register theirs under the entry-point group ``deepcams.sources``. The commands pass it a list of
    files (``deepcams --source NAME``), after walking folders, unpacking zips and copying files at URLs.
    """

    def __call__(self, paths: Paths, *, variable: str | None = None) -> xr.DataArray:
        """Open ``paths`` as one canonical field (see :mod:`deepcams.core.field`), lazily.

        Args:
            paths: file, folder, glob, URL, or a sequence of them in any order.
            variable: name of the field, as the source names it; ``None``: its PM2.5.

        Returns:
            (time, latitude, longitude), float32, ug m-3, backed by Dask with a few times per chunk.

        Raises:
            InputError: the paths hold no such field; one line says what was expected, found, where, what to do.
        """
        ...
