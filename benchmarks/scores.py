"""Write docs/scores.md: the list of all scores, from the registries that the tables follow."""

from __future__ import annotations

from pathlib import Path

from deepcams.evaluation.diagnostics import DIAGNOSTICS
from deepcams.evaluation.scores import SCORES, Score, of_frames, of_series, of_sums
from deepcams.evaluation.tables import Column, save, to_markdown

PAGE = Path(__file__).resolve().parents[1] / "docs" / "scores.md"
HEAD = """# Scores

Every score that deepcams computes: its key in JSON and CSV, what it is, its unit, which values are better, and where it
is from. Written by `python benchmarks/scores.py` from the registries that the tables follow
(`deepcams.evaluation.scores.SCORES`, `deepcams.evaluation.diagnostics.DIAGNOSTICS`). FAIRMODE's indicators, limits and
criteria: [stations](stations.md). Scores of your own: [extending](extending.md#a-score).
"""
BETTER = {"zero": "near 0", "one": "near 1"}


def table(scores: list[Score]) -> str:
    """Some scores as Markdown."""
    rows = [
        {
            "key": f"`{each.key}`",
            "name": each.name,
            "unit": each.unit or None,
            "better": BETTER.get(each.better, each.better),
            "source": each.source,
        }
        for each in scores
    ]
    for row in rows:
        for key, words in row.items():
            row[key] = words and words.replace("|", "\\|").replace("<", "&lt;")
    return to_markdown(rows, [Column(key, key) for key in rows[0]])


def text() -> str:
    """The page."""
    of_validate = [key for key in of_sums() if key not in of_frames()]
    parts = [HEAD]
    for head, chosen in (
        ("Of pairs: `evaluate` and `validate`", [SCORES[key] for key in of_frames()]),
        ("Of pairs: `validate` alone", [SCORES[key] for key in of_validate]),
        ("Of a station's whole series: `validate`", [SCORES[k] for k in of_series()]),
        ("Of whole frames: `evaluate`", [s for d in DIAGNOSTICS for s in d.scores]),
    ):
        parts.append(f"## {head}\n\n{table(chosen)}\n")
    return "\n".join(parts)


if __name__ == "__main__":
    save(PAGE, text())
