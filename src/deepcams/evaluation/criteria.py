"""Published levels that a model's scores are held against, each with its source."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from deepcams.evaluation.tables import Row


@dataclass(frozen=True)
class Criterion:
    """A level of performance: met where no score is farther from zero than its bound.

    Attributes:
        name: ``goal``: near the best a model can be expected to reach; ``criteria``: acceptable.
        bounds: score -> bound.
        species: that it was made for, by deepcams' names.
        averages: of the pairs: ``hour``, ``day``, ``year``.
        source: the work that proposes it.
        note: what a reader should know of it.
    """

    name: str
    bounds: Mapping[str, float]
    species: tuple[str, ...]
    averages: tuple[str, ...]
    source: str
    note: str = ""

    def met(self, scores: Row) -> bool | None:
        """Return whether scores meet it; ``None`` where one is undefined."""
        values = [scores.get(key) for key in self.bounds]
        if any(value is None for value in values):
            return None
        return all(
            abs(value) <= bound
            for value, bound in zip(values, self.bounds.values(), strict=True)
            if value is not None
        )

    def words(self) -> str:
        """Return its bounds in words."""
        parts = [f"|{key}| <= {bound:.0%}" for key, bound in self.bounds.items()]
        return " and ".join(parts).replace("|MFE|", "MFE")


_BOYLAN = "Boylan & Russell 2006, doi 10.1016/j.atmosenv.2005.09.087"
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
)
"""The one list. Emery et al. 2017 (doi 10.1080/10962247.2016.1265027) have levels of NMB, NME and R too; they are not
here because their numbers could not be checked against the paper."""


def that_apply(species: str, average: str) -> list[Criterion]:
    """Return the levels that were made for a species and an averaging of its pairs."""
    return [
        each
        for each in CRITERIA
        if species in each.species and average in each.averages
    ]
