"""Registries that map names to objects, which are imported on demand.

Built-in objects are listed as ``"module:attribute"``; those of other packages are found through one entry-point
group. Nothing is imported before :meth:`Registry.get`.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from functools import cache
from importlib.metadata import EntryPoints, entry_points
from typing import Any

from deepcams.core.errors import DeepcamsError, choose


@cache
def _installed(group: str) -> EntryPoints:
    """Return a group's entry points; cached, because each call reads the metadata of all installed packages."""
    return entry_points(group=group)


class Registry:
    """A lazy table of named objects of one kind.

    Args:
        kind: kind of the entries as named in messages ("spatial downscaler").
        group: entry-point group through which other packages add entries.
        builtins: name -> ``"module:attribute"``.
    """

    def __init__(self, kind: str, group: str, builtins: Mapping[str, str]) -> None:
        self.kind, self.group, self._builtins = kind, group, dict(builtins)

    def _targets(self) -> dict[str, str]:
        added = {point.name: point.value for point in _installed(self.group)}
        return {**added, **self._builtins}

    def names(self) -> list[str]:
        """Return all known names, sorted."""
        return sorted(self._targets())

    def get(self, name: str) -> Any:
        """Return the object registered as ``name``.

        Raises:
            InputError: no entry has this name; the message suggests the closest match.
            DeepcamsError: another package registered the name, and it cannot be imported.
        """
        targets = self._targets()
        module, _, attribute = targets[choose(self.kind, name, targets)].partition(":")
        try:
            return getattr(importlib.import_module(module), attribute)
        except (ImportError, AttributeError) as error:
            if name in self._builtins:
                raise
            raise DeepcamsError(
                f"{self.kind} {name!r} ({module}:{attribute}) cannot be loaded: {error}"
            ) from error
