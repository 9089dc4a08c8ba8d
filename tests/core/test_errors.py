"""Errors travel between processes whole."""

from __future__ import annotations

import pickle

import pytest

from deepcams.core.errors import (
    DeepcamsError,
    InputError,
    MissingExtraError,
    OutputError,
)


@pytest.mark.parametrize(
    "error",
    [
        InputError("a.nc", "a field", "none", "look again"),
        MissingExtraError("GRIB", "grib"),
        OutputError("no room"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_pickled_errors_are_the_same(error: DeepcamsError) -> None:
    back = pickle.loads(pickle.dumps(error))
    assert type(back) is type(error)
    assert str(back) == str(error)
    assert back.__dict__ == error.__dict__
