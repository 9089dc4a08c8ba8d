"""What is written without Zarr is what Zarr writes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr
import zarr
from zarr.codecs import BloscCodec
from zarr.storage import MemoryStore

from deepcams.writers import zarr_format
from deepcams.writers.target import blosc

CHUNK, SHARD = (2, 3, 4), (4, 6, 8)
DIMENSIONS = ("time", "y", "x")


def zarr_array(store: MemoryStore, shape: tuple[int, ...]) -> zarr.Array[Any]:
    return zarr.create_array(
        store,
        name="values",
        shape=shape,
        dtype=np.float32,
        chunks=CHUNK,
        shards=SHARD,
        compressors=BloscCodec(cname="zstd", clevel=1, shuffle="bitshuffle"),
        fill_value=np.nan,
        attributes={"units": "1"},
        dimension_names=DIMENSIONS,
    )


def own_metadata(shape: tuple[int, ...]) -> zarr_format.Metadata:
    codecs = zarr_format.sharding(CHUNK, 4)
    return zarr_format.array(
        shape, np.dtype("f4"), SHARD, {"units": "1"}, DIMENSIONS, codecs
    )


def test_metadata_of_shards_are_those_of_zarr() -> None:
    store: dict[str, Any] = {}
    zarr_array(MemoryStore(store), (7, 6, 8))
    assert own_metadata((7, 6, 8)) == json.loads(store["values/zarr.json"].to_bytes())


@pytest.mark.parametrize("hours", [4, 3, 1])
@pytest.mark.parametrize("columns", [8, 5])
def test_zarr_reads_a_shard(hours: int, columns: int, tmp_path: Path) -> None:
    values = np.random.default_rng(0).normal(size=(hours, 6, columns))
    values = values.astype(np.float32)
    values[:2, :3, :4] = np.nan  # a chunk without values
    values[-1, -1, -1] = np.nan
    folder = tmp_path / "values"
    folder.joinpath("c/0/0").mkdir(parents=True)
    metadata = zarr_format.as_bytes(own_metadata(values.shape))
    folder.joinpath("zarr.json").write_bytes(metadata)
    shard = zarr_format.encode_shard(values, CHUNK, SHARD, blosc())
    assert shard is not None
    folder.joinpath("c/0/0/0").write_bytes(shard)
    np.testing.assert_array_equal(zarr.open_array(folder, mode="r")[:], values)

    store: dict[str, Any] = {}
    zarr_array(MemoryStore(store), values.shape)[:] = values
    assert len(store["values/c/0/0/0"].to_bytes()) == len(shard)
    # The index has a check sum.
    folder.joinpath("c/0/0/0").write_bytes(
        shard[:-5] + bytes([shard[-5] ^ 1]) + shard[-4:]
    )
    with pytest.raises(ValueError, match="checksum"):
        zarr.open_array(folder, mode="r")[:]


def test_missing_values_alone_are_not_stored() -> None:
    values = np.full((4, 6, 8), np.nan, np.float32)
    assert zarr_format.encode_shard(values, CHUNK, SHARD, blosc()) is None
    assert zarr_format.encode_chunks(np.zeros(5, np.int64), (3,)) == {}


@pytest.mark.parametrize(
    ("values", "chunk"),
    [
        (np.arange(7), (3,)),
        (np.arange(8.0).reshape(4, 2), (4, 2)),
        (np.array([0, 0, 0, 1, 2], np.int8), (3,)),
        (np.int8(0), ()),
    ],
)
def test_chunks_are_those_of_zarr(values: np.ndarray, chunk: tuple[int, ...]) -> None:
    values = np.asarray(values)
    store: dict[str, Any] = {}
    dimensions = DIMENSIONS[: values.ndim]
    whole = zarr.create_array(
        MemoryStore(store),
        name="values",
        shape=values.shape,
        dtype=values.dtype,
        chunks=chunk,
        fill_value=np.nan if values.dtype.kind == "f" else 0,
        dimension_names=dimensions or None,
    )
    whole[...] = values
    own = zarr_format.array(values.shape, values.dtype, chunk, {}, dimensions)
    objects = {"zarr.json": zarr_format.as_bytes(own)}
    objects |= zarr_format.encode_chunks(values, chunk)
    assert {f"values/{key}": data for key, data in objects.items()} == {
        key: data.to_bytes() for key, data in store.items() if key != "zarr.json"
    }


@pytest.mark.filterwarnings("ignore:Consolidated metadata")
def test_consolidated_metadata_are_those_of_zarr(tmp_path: Path) -> None:
    ours, theirs = tmp_path / "ours", tmp_path / "theirs"
    dataset = xr.Dataset({"a": ("x", [1, 2, 3])}, {"x": [0.5, 1.5, 2.5]}, {"of": "b"})
    dataset.to_zarr(theirs, zarr_format=3, consolidated=True)
    arrays = {
        name: json.loads((theirs / name / "zarr.json").read_bytes())
        for name in ("a", "x")
    }
    root = zarr_format.consolidated(zarr_format.group({"of": "b"}), arrays)
    assert root == json.loads((theirs / "zarr.json").read_bytes())
    ours.mkdir()
    (ours / "zarr.json").write_bytes(zarr_format.as_bytes(root))
    assert set(xr.open_zarr(ours, consolidated=True).variables) == {"a", "x"}
