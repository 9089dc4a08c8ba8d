"""Comparisons of whole frames by scale, events, extremes and hour; a new one needs a class and a line here."""

from __future__ import annotations

from deepcams.evaluation.diagnostics.base import Diagnostic, Setting
from deepcams.evaluation.diagnostics.cells import CellVariance
from deepcams.evaluation.diagnostics.events import Events
from deepcams.evaluation.diagnostics.hours import Change, Drift, LocalHours
from deepcams.evaluation.diagnostics.quantiles import Quantiles
from deepcams.evaluation.diagnostics.spectra import Spectra
from deepcams.evaluation.scores import Score

DIAGNOSTICS: tuple[type[Diagnostic], ...] = (
    Spectra,
    CellVariance,
    Events,
    Quantiles,
    Change,
    Drift,
    LocalHours,
)
"""All diagnostics, in the order of their columns."""


def diagnostics(setting: Setting) -> list[Diagnostic]:
    """Return the diagnostics of an evaluation."""
    return [
        each(setting)
        for each in DIAGNOSTICS
        if setting.in_time or not each.only_in_time
    ]


def of_diagnostics() -> dict[str, Score]:
    """Return the scores of all diagnostics by key."""
    return {score.key: score for each in DIAGNOSTICS for score in each.scores}
