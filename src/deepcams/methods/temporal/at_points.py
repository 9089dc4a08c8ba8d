"""Methods in time that need no space: each place on its own, so that stations score them too.

They are methods like any other (:class:`deepcams.methods.base.TemporalDownscaler`) that do not use the grid of an
interval.
"""

from __future__ import annotations

from deepcams.core.registry import Registry

METHODS = {
    "catmull-rom": "deepcams.methods.temporal.four_frames:CatmullRom",
    "cubic": "deepcams.methods.temporal.four_frames:Cubic",
    "linear": "deepcams.methods.temporal.linear:Linear",
    "linear-eq9": "deepcams.methods.temporal.linear:LinearEq9",
    "pchip": "deepcams.methods.temporal.four_frames:Pchip",
    "sun": "deepcams.methods.temporal.solar:Sun",
}
"""Name -> class of those that come with the package."""

AT_POINTS = Registry("method at a point", "deepcams.at_points", METHODS)
