"""Figures and films of fields; the only folder that imports matplotlib.

Each name of :data:`__all__` is imported when it is used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

_WHERE = {
    "animate": "film",
    "annual_figure": "annual",
    "compare_maps": "compare",
    "map_figure": "maps",
    "save": "page",
    "sequence_figure": "sequence",
    "series_figure": "series",
    "training_figure": "training",
}

__all__ = list(_WHERE)

if TYPE_CHECKING:
    from deepcams.plotting.annual import annual_figure as annual_figure
    from deepcams.plotting.compare import compare_maps as compare_maps
    from deepcams.plotting.film import animate as animate
    from deepcams.plotting.maps import map_figure as map_figure
    from deepcams.plotting.page import save as save
    from deepcams.plotting.sequence import sequence_figure as sequence_figure
    from deepcams.plotting.series import series_figure as series_figure
    from deepcams.plotting.training import training_figure as training_figure


def __getattr__(name: str) -> Any:
    if name in _WHERE:
        return getattr(importlib.import_module(f"deepcams.plotting.{_WHERE[name]}"), name)
    raise AttributeError(f"module 'deepcams.plotting' has no attribute {name!r}")
