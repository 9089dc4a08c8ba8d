"""Amounts in words."""

from __future__ import annotations

import pytest

from deepcams.core.text import counted, figure


@pytest.mark.parametrize(
    ("number", "words"),
    [(0, "0 files"), (1, "1 file"), (2, "2 files"), (12345, "12,345 files")],
)
def test_one_is_no_plural(number: int, words: str) -> None:
    assert counted(number, "file") == words


@pytest.mark.parametrize(
    ("value", "form", "text"),
    [
        (1.23456, ".3f", "1.235"),
        (0.5, "+.1%", "+50.0%"),
        (-2.1e9, "+.3f", "-2.1e9"),
        (2.1e9, "+#.3g", "+2.1e9"),
        (2.1e9, ".3f", "2.1e9"),
        (-1e9, "+.1%", "-1.0e11%"),
        (1234.5, "#.3g", "1,234"),
        (36.94, "+#.3g", "+36.9"),
        (float("nan"), ".3f", "nan"),
        (float("inf"), ".3f", "inf"),
        (1e-12, ".3f", "0.000"),
    ],
)
def test_figures_keep_to_their_columns(value: float, form: str, text: str) -> None:
    assert figure(value, form) == text
    assert len(text) <= 9
