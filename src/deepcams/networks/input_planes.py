"""Context inputs of joint networks besides concentrations, by name."""

from __future__ import annotations

CONTEXT = {
    "people": "inhabitants of towns, in thousands: log10(1 + n)",
    "land": "share of land, 0 to 1",
    "latitude": "of 90 degrees north, -1 to 1",
    "sun": "sine of the sun's elevation, -1 to 1",
    "boundary-layer": "height: log10(metres / 500)",
    "wind-east": "at 10 m, in units of 10 m s-1",
    "wind-north": "at 10 m, in units of 10 m s-1",
}
"""Description of each context plane by name; all are on the fine grid."""

FINE = ("people", "land")
"""Planes used at every fine pixel; of the others only the cell mean is used."""

AUXILIARY = ("boundary-layer", "wind-east", "wind-north")
"""Planes from a file given by the user; 0 everywhere without one."""
