"""Zarr v3 as bytes: metadata, chunks and shards, as its specification has them (https://zarr-specs.readthedocs.io).

Zarr itself is needed to read: it takes half as long to import as all else that a run imports.
"""

from __future__ import annotations

import base64
import json
import struct
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from itertools import product
from typing import Any

import google_crc32c
import numpy as np
from numcodecs.zstd import Zstd

Metadata = dict[str, Any]

MISSING = base64.standard_b64encode(struct.pack("<d", np.nan)).decode()
"""NaN as xarray reads it from an attribute."""
_LITTLE = {"name": "bytes", "configuration": {"endian": "little"}}
_ABSENT = 2**64 - 1
"""Offset and length of a chunk that holds only missing values."""


def group(attributes: Mapping[Any, Any]) -> Metadata:
    """Return the metadata of a group."""
    return {"attributes": _plain(attributes), "zarr_format": 3, "node_type": "group"}


def consolidated(root: Metadata, nodes: Mapping[str, Metadata]) -> Metadata:
    """Return a root's metadata with those of all that is in it."""
    inside = {"kind": "inline", "must_understand": False, "metadata": dict(nodes)}
    first = {key: root[key] for key in ("attributes", "zarr_format")}
    return {**first, "consolidated_metadata": inside, "node_type": root["node_type"]}


def array(
    shape: tuple[int, ...],
    dtype: np.dtype[Any],
    chunk: tuple[int, ...],
    attributes: Mapping[Any, Any],
    dimensions: tuple[str, ...],
    codecs: list[Metadata] | None = None,
) -> Metadata:
    """Return the metadata of an array; by default its chunks are compressed with zstd.

    What is not stored is NaN in floating-point numbers, else 0.
    """
    plain = _LITTLE if dtype.itemsize > 1 else {"name": "bytes"}
    zstd = {"name": "zstd", "configuration": {"level": 0, "checksum": False}}
    found: Metadata = {
        "shape": list(shape),
        "data_type": dtype.name,
        "chunk_grid": {
            "name": "regular",
            "configuration": {"chunk_shape": list(chunk)},
        },
        "chunk_key_encoding": {"name": "default", "configuration": {"separator": "/"}},
        "fill_value": "NaN" if dtype.kind == "f" else 0,
        "codecs": codecs or [plain, zstd],
        "attributes": _plain(attributes),
        "dimension_names": list(dimensions),
        "zarr_format": 3,
        "node_type": "array",
        "storage_transformers": [],
    }
    if not dimensions:
        del found["dimension_names"]
    return found


def sharding(chunk: tuple[int, ...], typesize: int) -> list[Metadata]:
    """Return the codecs of shards whose inner chunks :func:`deepcams.writers.target.blosc` compresses."""
    blosc = {
        "typesize": typesize,
        "cname": "zstd",
        "clevel": 1,
        "shuffle": "bitshuffle",
        "blocksize": 0,
    }
    inner = {
        "chunk_shape": list(chunk),
        "codecs": [_LITTLE, {"name": "blosc", "configuration": blosc}],
        "index_codecs": [_LITTLE, {"name": "crc32c"}],
        "index_location": "end",
    }
    return [{"name": "sharding_indexed", "configuration": inner}]


def as_bytes(metadata: Metadata) -> bytes:
    """Return metadata as they are stored."""
    return json.dumps(metadata, indent=2, allow_nan=False).encode()


def encode_chunks(values: np.ndarray, chunk: tuple[int, ...]) -> dict[str, bytes]:
    """Return the chunks of an array without shards by their keys, but for those that hold no value to store."""
    counts = (
        -(-size // length) for size, length in zip(values.shape, chunk, strict=True)
    )
    found = {}
    for place in product(*map(range, counts)):
        part = _part(values, place, chunk)
        if not _is_empty(part):
            encoded = Zstd(level=0).encode(_filled_up(part, chunk))
            found["/".join(["c", *map(str, place)])] = bytes(encoded)
    return found


def encode_shard(
    values: np.ndarray, chunk: tuple[int, ...], shard: tuple[int, ...], codec: Any
) -> bytes | None:
    """Return a shard: compressed chunks, an index of offset and length each, and the index's check sum.

    Args:
        values: no larger than the shard, from its first corner.
        chunk, shard: their shapes.
        codec: compresses a chunk.

    Returns:
        ``None`` where no value is to be stored.
    """
    counts = [size // length for size, length in zip(shard, chunk, strict=True)]

    def encode(place: tuple[int, ...]) -> bytes | None:
        part = _part(values, place, chunk)
        if not part.size or _is_empty(part):
            return None
        encoded: bytes = codec.encode(_filled_up(part, chunk))
        return encoded

    with ThreadPoolExecutor() as pool:  # codecs let other threads work meanwhile
        parts = list(pool.map(encode, product(*map(range, counts))))
    if not any(parts):
        return None
    index = np.full((len(parts), 2), _ABSENT, "<u8")
    offset = 0
    for row, part in zip(index, parts, strict=True):
        if part is not None:
            row[:] = offset, len(part)
            offset += len(part)
    end = index.tobytes()
    check = struct.pack("<I", google_crc32c.value(end))
    return b"".join([*(part for part in parts if part is not None), end, check])


def _part(
    values: np.ndarray, place: tuple[int, ...], chunk: tuple[int, ...]
) -> np.ndarray:
    """Return what of an array is in the chunk at a place."""
    corner = zip(place, chunk, strict=True)
    return values[tuple(slice(k * n, (k + 1) * n) for k, n in corner)]


def _is_empty(values: np.ndarray) -> bool:
    """Return whether all values are what is not stored."""
    return bool((np.isnan(values) if values.dtype.kind == "f" else values == 0).all())


def _filled_up(values: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Return values at the first corner of an array of missing ones, little-endian and contiguous."""
    dtype = values.dtype.newbyteorder("<")
    if values.shape == shape:
        return np.ascontiguousarray(values, dtype)
    whole = np.full(shape, np.nan if dtype.kind == "f" else 0, dtype)
    whole[tuple(map(slice, values.shape))] = values
    return whole


def _plain(attributes: Mapping[Any, Any]) -> dict[str, Any]:
    """Return attributes as JSON types."""
    return {
        str(name): value.tolist()
        if isinstance(value, np.ndarray | np.generic)
        else value
        for name, value in attributes.items()
    }
