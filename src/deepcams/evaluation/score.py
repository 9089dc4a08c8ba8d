"""The definition of a score, and scores added by other packages (entry-point group ``deepcams.scores``)."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np

from deepcams.core.errors import DeepcamsError
from deepcams.core.registry import Registry
from deepcams.evaluation.series import Series
from deepcams.evaluation.sums import TERMS, Pairs

Better = Literal["higher", "lower", "zero", "one"]


@dataclass(frozen=True)
class Score:
    """One score.

    Attributes:
        key: name in tables.
        name: descriptive name.
        unit: unit; empty if dimensionless.
        better: which values are better; ``zero``: nearer to zero, ``one``: nearer to one.
        source: reference that defines it.
        figure: computes the score from sums over pairs; NaN (or a division by zero) where undefined. ``None`` for
            scores computed from something else.
        terms: :data:`deepcams.evaluation.sums.TERMS` that ``figure`` needs.
        of_series: computes the score from the whole series of groups, (groups,); NaN where undefined.
        of_frames: whether it is also a score of whole frames (``deepcams evaluate``).
        form: format specification in formatted tables (see :func:`format`).
        head: column heading in formatted tables; if empty, the key.
    """

    key: str
    name: str
    unit: str
    better: Better
    source: str
    figure: Callable[[Pairs], Any] | None = None
    terms: tuple[str, ...] = ()
    of_series: Callable[[Series], np.ndarray] | None = None
    of_frames: bool = True
    form: str = ".3f"
    head: str = ""


ADDED = Registry("score", "deepcams.scores", {})
"""Scores of other packages; each entry refers to a :class:`Score` whose key is the entry's name."""
_COLUMNS = {
    *("task", "method", "kind", "period", "samples", "skipped", "missing", "skill"),
    *("product", "pairs", "view", "by", "group", "stations", "n", "slope", "intercept"),
}
"""Column names that are reserved."""


def added_scores(taken: Collection[str]) -> dict[str, Score]:
    """Return the scores of other packages by key, sorted, without keys that are taken.

    Raises:
        DeepcamsError: a score cannot be loaded, or is invalid.
    """
    names = [name for name in ADDED.names() if name not in taken]
    return {name: checked(name, ADDED.get(name)) for name in names}


def checked(name: str, score: Any) -> Score:
    """Check the score that another package registered under a name, and return it.

    Raises:
        DeepcamsError: the score is invalid; the message says why in one line.
    """

    def fault() -> str:
        if not isinstance(score, Score):
            return f"a deepcams.evaluation.Score, found {type(score).__name__}"
        if score.key != name or not name.isidentifier() or name in _COLUMNS:
            found = f"key {score.key!r}"
            return f"its own name as the key, letters and digits and no other column's, found {found}"
        if score.better not in get_args(Better):
            return f"better as one of {', '.join(get_args(Better))}, found {score.better!r}"
        if (score.figure is None) == (score.of_series is None):
            return "either figure or of_series, found both or neither"
        if unknown := [term for term in score.terms if term not in TERMS]:
            return f"terms among {', '.join(TERMS)}, found {', '.join(unknown)}"
        return ""

    if words := fault():
        raise DeepcamsError(f"score {name!r} of another package: expected {words}")
    assert isinstance(score, Score)
    return score


def value_of(score: Score, of: Pairs | Series) -> Any:
    """Compute a score from sums over pairs (a number, or an array of their shape), or from whole series: (groups,).

    Raises:
        DeepcamsError: a score of another package raises, or returns another shape.
    """
    figure: Any = score.of_series if isinstance(of, Series) else score.figure
    assert figure is not None, f"{score.key} is not computed from {type(of).__name__}"
    if score.key not in ADDED.names():
        return figure(of)
    shape = (of.groups,) if isinstance(of, Series) else np.shape(of.weight)
    try:
        found = figure(of)
    except Exception as error:  # another package may raise anything
        reason = f"{type(error).__name__}: {error}"
        raise DeepcamsError(f"score {score.key!r} fails: {reason}") from error
    if np.shape(found) != shape:
        expected, was = f"values of the shape {shape}", np.shape(found)
        raise DeepcamsError(f"score {score.key!r}: expected {expected}, found {was}")
    return found
