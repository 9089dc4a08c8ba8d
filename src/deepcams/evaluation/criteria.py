"""Published performance criteria for model scores, each with its source."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from deepcams.evaluation.scores import SCORES
from deepcams.evaluation.tables import Row


@dataclass(frozen=True)
class Criterion:
    """A performance criterion: met if no score is farther from its best value than its bound.

    Attributes:
        name: ``goal``: near the best a model can be expected to reach; ``criteria``: acceptable.
        bounds: bounds by score: smallest value for R, largest magnitude for others.
        species: species that it applies to, by their deepcams names.
        averages: averaging of the pairs that it applies to: ``hour``, ``day``, ``year``.
        source: reference.
        note: caveat for readers.
    """

    name: str
    bounds: Mapping[str, float]
    species: tuple[str, ...]
    averages: tuple[str, ...]
    source: str
    note: str = ""

    def met(self, scores: Row) -> bool | None:
        """Return whether scores meet the criterion; ``None`` if one is undefined."""
        found = []
        for key, bound in self.bounds.items():
            value = scores.get(key)
            if value is None:
                return None
            higher = SCORES[key].better == "higher"
            found.append(value >= bound if higher else abs(value) <= bound)
        return all(found)

    def words(self) -> str:
        """Return the bounds as text."""
        parts = []
        for key, bound in self.bounds.items():
            forms = {
                "higher": f"{key} >= {bound:.2f}",
                "lower": f"{key} <= {bound:.0%}",
                "zero": f"|{key}| <= {bound:.0%}",
            }
            parts.append(forms[SCORES[key].better])
        return " and ".join(parts)


_BOYLAN = "Boylan & Russell 2006, doi 10.1016/j.atmosenv.2005.09.087"
_EMERY = "Emery et al. 2017, doi 10.1080/10962247.2016.1265027"
_UNREAD = "the numbers for 24-hour PM2.5 are from memory, checked neither in the paper nor in a work that quotes it"
_NOTE = "applied to daily means only; the paper loosens it at low concentrations, this does not"

CRITERIA = (
    Criterion(
        "goal",
        {"MFB": 0.30, "MFE": 0.50},
        ("pm2p5", "pm10"),
        ("day",),
        _BOYLAN,
        _NOTE,
    ),
    Criterion(
        "criteria",
        {"MFB": 0.60, "MFE": 0.75},
        ("pm2p5", "pm10"),
        ("day",),
        _BOYLAN,
        _NOTE,
    ),
    Criterion(
        "goal",
        {"NMB": 0.10, "NME": 0.35, "R": 0.70},
        ("pm2p5",),
        ("day",),
        _EMERY,
        _UNREAD,
    ),
    Criterion(
        "criteria",
        {"NMB": 0.30, "NME": 0.50, "R": 0.40},
        ("pm2p5",),
        ("day",),
        _EMERY,
        _UNREAD,
    ),
)
"""All criteria."""


def that_apply(species: str, average: str) -> list[Criterion]:
    """Return the criteria that apply to a species and an averaging of its pairs."""
    return [
        each
        for each in CRITERIA
        if species in each.species and average in each.averages
    ]
