"""GRIB message by message: any order, any mixture, any split into files gives the same field, or the same refusal."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st

from deepcams import open_cams
from deepcams.core.errors import DeepcamsNotice, InputError
from deepcams.readers.formats import grib
from deepcams.readers.inspect import inspect

eccodes = pytest.importorskip("eccodes", reason="the extra [grib] is not installed")

ROWS, COLUMNS = 5, 8
TIMES = np.datetime64("2019-12-31T15:00", "ns") + np.arange(4) * np.timedelta64(3, "h")
VALUES = np.random.default_rng(0).lognormal(2, 1, (4, ROWS, COLUMNS)) * 1e-9


def message(
    at: int, edition: int = 1, step: int = 0, factor: float = 1.0, **keys: Any
) -> bytes:
    """PM2.5 at one of the times, as ECMWF codes it."""
    handle = eccodes.codes_grib_new_from_samples(f"regular_ll_sfc_grib{edition}")
    start = str((TIMES[at] - np.timedelta64(step, "h")).astype("datetime64[m]"))
    parameter = {"table2Version": 210, "indicatorOfParameter": 73}
    common: dict[str, Any] = {
        "centre": "ecmf",
        "dataDate": int(start[:10].replace("-", "")),
        "dataTime": int(start[11:13]) * 100,
        "Ni": COLUMNS,
        "Nj": ROWS,
        "latitudeOfFirstGridPointInDegrees": 60.0,
        "latitudeOfLastGridPointInDegrees": 57.0,
        "longitudeOfFirstGridPointInDegrees": -3.0,
        "longitudeOfLastGridPointInDegrees": 2.25,
        "iDirectionIncrementInDegrees": 0.75,
        "jDirectionIncrementInDegrees": 0.75,
        **(parameter if edition == 1 else {"paramId": 210073}),
        **({"dataType": "fc", "step": step} if step else {}),
        **keys,
        "bitsPerValue": 24,
    }
    for key, value in common.items():
        eccodes.codes_set(handle, key, value)
    eccodes.codes_set_values(handle, (VALUES[at] * factor).ravel())
    data = eccodes.codes_get_message(handle)
    eccodes.codes_release(handle)
    return bytes(data)


def write(path: Path, *messages: bytes) -> Path:
    path.write_bytes(b"".join(messages))
    return path


def check(field: xr.DataArray) -> None:
    np.testing.assert_array_equal(field.time.values, TIMES)
    np.testing.assert_array_equal(
        field.longitude.values, -3 + 0.75 * np.arange(COLUMNS)
    )
    np.testing.assert_allclose(field.values, VALUES * 1e9, rtol=1e-4)


FINAL, RAPID = {"experimentVersionNumber": "0001"}, {"experimentVersionNumber": "0005"}
PILES = {
    "plain": [message(k) for k in range(4)],
    "editions": [message(0), message(1), message(2, 2), message(3, 2)],
    "one hour twice": [*(message(k) for k in range(4)), message(1)],
    "versions": [message(k, **FINAL) for k in range(4)]
    + [message(k, factor=3, **RAPID) for k in range(4)],
    "the final one ends earlier": [message(k, **FINAL) for k in range(2)]
    + [message(k, factor=3, **RAPID) for k in range(2)]
    + [message(k, **RAPID) for k in range(2, 4)],
    "analyses and forecasts": [
        message(0),
        message(2),
        message(1, step=3),
        message(3, step=3),
        message(2, step=6, factor=2),
    ],
    "short steps first": [message(k, step=3) for k in range(4)]
    + [message(k, step=6, factor=2) for k in range(4)],
}


@settings(max_examples=8)
@given(data=st.data())
@pytest.mark.filterwarnings("ignore::deepcams.core.errors.DeepcamsNotice")
@pytest.mark.parametrize("pile", PILES)
def test_any_order_and_any_split(pile: str, data: st.DataObject) -> None:
    messages = data.draw(st.permutations(PILES[pile]))
    number = data.draw(st.integers(1, 3))
    owners = data.draw(
        st.lists(
            st.integers(0, number - 1), min_size=len(messages), max_size=len(messages)
        )
    )
    with tempfile.TemporaryDirectory() as folder:
        paths = []
        for k in sorted(set(owners)):
            own = [
                one for one, owner in zip(messages, owners, strict=True) if owner == k
            ]
            paths.append(write(Path(folder, f"{k}.grib"), *own))
        check(open_cams(paths).load())


def test_what_is_taken_is_told(tmp_path: Path) -> None:
    path = write(tmp_path / "a.grib", *PILES["versions"])
    with pytest.warns(
        DeepcamsNotice,
        match=r"4 hours .* analysis of version 0001 before analysis of version 0005",
    ):
        check(open_cams(path))


@settings(max_examples=5)
@given(order=st.permutations(range(5)))
def test_two_different_ones_are_refused_in_any_order(order: list[int]) -> None:
    messages = [*PILES["plain"], message(1, factor=2)]
    with tempfile.TemporaryDirectory() as folder:
        path = write(Path(folder, "a.grib"), *(messages[k] for k in order))
        with pytest.raises(
            InputError, match=r"two different ones .analysis of version 0001"
        ):
            open_cams(path)


def _stream(value: str) -> Callable[[int], bytes]:
    return lambda k: message(k, stream=value)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (_stream("moda"), "monthly means .stream moda"),
        (
            lambda k: message(k, localDefinitionNumber=1, type="pf", number=k % 2 + 1),
            "number of 2",
        ),
        (
            lambda k: message(
                k, indicatorOfTypeOfLevel=100, level=1000 - 150 * (k % 2)
            ),
            "level of 2",
        ),
    ],
    ids=["months", "members", "levels"],
)
def test_other_kinds_are_one_line(
    tmp_path: Path, make: Callable[[int], bytes], words: str
) -> None:
    path = write(tmp_path / "a.grib", *(make(k) for k in range(4)))
    with pytest.raises(InputError, match=words):
        open_cams(path)
    assert words.split(" .")[0].split(" of")[0] in inspect(path, values=False).problem


def test_reduced_grids_are_one_line_and_described(tmp_path: Path) -> None:
    handle = eccodes.codes_grib_new_from_samples("reduced_gg_sfc_grib1")
    for key, value in {
        "centre": "ecmf",
        "table2Version": 210,
        "indicatorOfParameter": 73,
    }.items():
        eccodes.codes_set(handle, key, value)
    path = write(tmp_path / "a.grib", bytes(eccodes.codes_get_message(handle)))
    eccodes.codes_release(handle)
    with pytest.raises(
        InputError, match="a regular latitude-longitude grid, found a list of"
    ):
        open_cams(path)
    assert "reduced_gg" in inspect(path, values=False).files[0].grid


@pytest.mark.parametrize("edition", [1, 2])
@pytest.mark.parametrize("keys", [{}, {"jPointsAreConsecutive": 1}])
def test_scanning(tmp_path: Path, edition: int, keys: dict[str, int]) -> None:
    path = write(tmp_path / "a.grib", *(message(k, edition, **keys) for k in range(4)))
    values = open_cams(path).values * 1e-9
    expected = VALUES
    if keys:
        expected = VALUES.reshape(4, COLUMNS, ROWS).swapaxes(1, 2)
    np.testing.assert_allclose(values, expected, rtol=1e-4)


def test_whatever_the_library_raises_of_several_files_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = [write(tmp_path / f"{k}.grib", message(k)) for k in range(2)]
    together = grib.open_grib

    def fails(files: list[Path], where: object) -> list[xr.Dataset]:
        if len(files) > 1:
            raise ValueError("no such day")
        return together(files, where)

    monkeypatch.setattr(grib, "open_grib", fails)
    expected = r"0\.grib and 1 other file: expected a readable GRIB file, found ValueError: no such day"
    with pytest.raises(InputError, match=expected):
        open_cams(paths)
