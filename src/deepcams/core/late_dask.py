"""Keep xarray from importing Dask where it is not used."""

from __future__ import annotations

import sys
from types import SimpleNamespace
from typing import Any


def import_dask_late() -> None:
    """Patch xarray so that it does not import Dask itself; it affects the whole process, so only commands call it.

    Where Dask is installed, xarray imports it to test whether an array is a Dask array, which takes almost as long
    as importing xarray. Before Dask is imported no Dask array can exist, so the answer is known without the import.
    An xarray version without these two private functions is not patched.
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
