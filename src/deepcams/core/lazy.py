"""Lazy imports: a package's names are imported on first use, so that importing the package is quick."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Mapping
from typing import Any


def lazy_names(
    package: str, where: Mapping[str, str]
) -> tuple[Callable[[str], Any], Callable[[], list[str]], list[str]]:
    """Return ``__getattr__``, ``__dir__`` and ``__all__`` of a package whose names are imported when first used.

    A name must differ from the package's module names: importing a module of the same name would hide it.

    Args:
        package: the package's ``__name__``.
        where: public name -> module that defines it, relative to the package (".loop").
    """

    def look_up(name: str) -> Any:
        if name not in where:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        return getattr(importlib.import_module(where[name], package), name)

    def names() -> list[str]:
        return sorted({*vars(sys.modules[package]), *where})

    return look_up, names, sorted(where)
