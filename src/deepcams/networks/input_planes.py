"""What a network in space and time may be given besides concentrations, by name."""

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
"""Name -> what a plane holds. Each is given on the fine grid."""

FINE = ("people", "land")
"""Those that the network sees at every fine pixel; of the others it sees a cell's mean."""

AUXILIARY = ("boundary-layer", "wind-east", "wind-north")
"""Those that come from a file of the user's; 0 everywhere where there is none."""
