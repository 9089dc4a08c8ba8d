"""Differences of scores between the field and its original, on the same pairs, with intervals."""

from __future__ import annotations

from typing import TYPE_CHECKING

from deepcams.core.text import counted, figure
from deepcams.evaluation.scores import differences, known_scores
from deepcams.evaluation.tables import Column, Row, defined, to_terminal
from deepcams.stations.bootstrap_blocks import DEGREES, FEWEST
from deepcams.stations.sums import BOTH

if TYPE_CHECKING:
    from rich.console import RenderableType

    from deepcams.stations.validation import Validation

NAMES = {"same": "original", "hourly": "linear"}
"""Name, in the tables, of what the field is compared with, by set of pairs."""
_SHOWN = ("R", "RMSE", "MAE", "NMB", "MFE", "FAC2")
_IN_PERCENT = ("NMB", "MFE", "FAC2")


def rows(found: Validation, draws: int, seed: int = 0) -> list[Row]:
    """Return one row per set of pairs and score: both figures, their difference and its interval.

    Args:
        found: a validation.
        draws: number of bootstrap resamples of the blocks; 0 for no intervals, nor are there any for fewer than
            :data:`deepcams.stations.bootstrap_blocks.FEWEST` blocks.
        seed: random seed.

    Returns:
        rows with pairs, product, other, score, blocks, n, figure, other_figure, difference (for scores that are best at
        zero, of their magnitudes), low, high (95 %) and field_is (``better`` or ``worse`` if the interval does not
        contain 0, else ``None``); empty without an original.
    """
    result: list[Row] = []
    for pairs, products in BOTH.items():
        each = [found.find(product, pairs) for product in products]
        sums = [scored.blocks for scored in each if scored is not None]
        if len(sums) != 2 or sums[0] is None or sums[1] is None:
            continue
        used = sums[0][:, 0] > 0
        if not used.any():
            continue
        blocks = int(used.sum())
        times = draws if blocks >= FEWEST else 0
        compared = differences(sums[0][used], sums[1][used], times, seed)
        for key, one in compared.items():
            row: Row = {
                "pairs": pairs,
                "product": products[0],
                "other": products[1],
                "score": key,
                "blocks": blocks,
                "n": int(sums[0][:, 0].sum()),
                "figure": one.one,
                "other_figure": one.other,
                "difference": one.value,
                "low": one.low,
                "high": one.high,
                "field_is": None,
            }
            if one.better is not None:
                row["field_is"] = "better" if one.better else "worse"
            result.append(defined(row))
    return result


def about() -> Row:
    """Describe the rows, for the JSON output."""
    return {
        "difference": "field - other on the same pairs; of scores that are best at zero, of their magnitudes",
        "blocks": f"boxes of {DEGREES} degrees and a week from Monday 00 UTC each, resampled together for both",
        "fewest_blocks": FEWEST,
    }


_COLUMNS = (
    Column("pairs", "pairs"),
    Column("against", "against"),
    Column("name", "score"),
    Column("figure", "field", str),
    Column("other_figure", "other", str),
    Column("difference", "difference", str),
    Column("interval", "95 %", str),
    Column("verdict", "the field is"),
)


def for_terminal(table: list[Row]) -> list[RenderableType]:
    """Return the table for the terminal; empty without an original."""
    from rich.text import Text

    if not table:
        return []
    blocks = {row["pairs"]: row["blocks"] for row in table}
    sizes = [f"{pairs}: {number:,}" for pairs, number in blocks.items()]
    head = Text.assemble(
        ("Field against original", "bold"),
        f": the same pairs; blocks of {DEGREES} degrees and a week resampled ({', '.join(sizes)})",
    )
    shown = [_texts(row) for row in table if row["score"] in _SHOWN]
    parts: list[RenderableType] = [
        head,
        to_terminal(shown, _COLUMNS, section="pairs", close=True),
    ]
    for pairs, number in blocks.items():
        if number < FEWEST:
            words = f"{pairs}: {counted(number, 'block')}, too few for an interval, which needs {FEWEST}."
            parts.append(Text(words, style="dim"))
    return parts


def _texts(row: Row) -> Row:
    """Return a row with formatted texts."""
    score = known_scores()[row["score"]]
    form = ".1%" if score.key in _IN_PERCENT else ".3f"
    forms = {"figure": form, "other_figure": form, "difference": f"+{form}"}
    values = {
        key: None if row[key] is None else figure(row[key], each)
        for key, each in forms.items()
    }
    interval, verdict = None, "-"
    if row["low"] is not None:
        ends = (figure(row[end], f"+{form}") for end in ("low", "high"))
        interval, verdict = "..".join(ends), row["field_is"] or "undecided"
    name = f"|{score.key}|" if score.better == "zero" else score.key
    return {
        "pairs": row["pairs"],
        "against": NAMES[row["pairs"]],
        "name": name,
        "interval": interval,
        "verdict": verdict,
        **values,
    }
