"""What a source is: anything that opens paths as one canonical field, and what it shares with the others."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol, TypeAlias

import xarray as xr

from deepcams.core.errors import refuse_url

Paths: TypeAlias = str | Path | Sequence[str | Path]
"""One file, folder or glob, or several of them in any order."""


def listed(paths: Paths) -> list[str | Path]:
    """Return one or several paths as a list.

    Raises:
        InputError: one of them is a URL.
    """
    given = [paths] if isinstance(paths, str | Path) else list(paths)
    for one in given:
        refuse_url(one)
    return given


class Source(Protocol):
    """Opens local files as one canonical field; it never uses the network.

    A stranger's package registers its own under the entry-point group ``deepcams.sources``.
    """

    def __call__(self, paths: Paths, *, variable: str | None = None) -> xr.DataArray:
        """Open ``paths`` as one canonical field (see :mod:`deepcams.core.field`), lazily.

        Args:
            paths: file, folder, glob, or a sequence of them in any order.
            variable: which variable; ``None`` is the source's PM2.5.

        Returns:
            (time, latitude, longitude), float32, ug m-3, backed by Dask with a few times a chunk.

        Raises:
            InputError: the paths hold no such field; one line says what was expected, found, where, what to do.
        """
        ...
