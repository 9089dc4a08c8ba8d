"""Keep xarray from importing Dask where nobody uses it."""

from __future__ import annotations

import sys
from types import SimpleNamespace
from typing import Any


def import_dask_late() -> None:
    """Let xarray import Dask no earlier than others do; for the whole process, so only commands call it.

    Where Dask is installed, xarray imports it to find out whether an array is one of Dask's, which takes almost as long
    as importing xarray. Before Dask is imported no array can be one of its, so that is answered without it.
    An xarray without these two (private) functions is left as it is.
    """
    from packaging.version import Version
    from xarray.namedarray import pycompat, utils

    patched: Any = (pycompat, utils)
    names = ("_get_cached_duck_array_module", "is_dask_collection")
    if not all(map(hasattr, patched, names)) or hasattr(utils, "_deepcams"):
        return
    find, ask = (getattr(*pair) for pair in zip(patched, names, strict=True))
    none = SimpleNamespace(
        module=None, version=Version("0.0.0"), type=(), available=False
    )

    def find_late(name: str) -> Any:
        return none if name == "dask" and _is_absent() else find(name)

    def ask_late(value: object) -> bool:
        return not _is_absent() and bool(ask(value))

    for module, name, late in zip(patched, names, (find_late, ask_late), strict=True):
        setattr(module, name, late)
    utils._deepcams = True  # type: ignore[attr-defined]


def _is_absent() -> bool:
    return "dask" not in sys.modules
