"""Temporal methods that treat each location independently, so that stations can score them too.

They are ordinary methods (:class:`deepcams.methods.base.TemporalDownscaler`) that do not use the grid of an interval.
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
"""Classes of the built-in methods, by name."""

AT_POINTS = Registry("method at a point", "deepcams.at_points", METHODS)
