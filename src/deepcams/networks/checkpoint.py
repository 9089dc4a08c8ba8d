"""Checkpoints: a trained network in one self-describing safetensors file, with a card in the header.

The card is JSON: format version, network and options, scaling, variable, and provenance (training data, split,
recipe, scores, package version). Nothing in the file is ever executed; a damaged, foreign or newer file raises a
one-line error. :func:`read_card` reads only the header and does not need torch.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from deepcams.core.errors import DeepcamsError, InputError
from deepcams.core.text import from_json
from deepcams.files.atomic import os_errors_explained, write_atomically

if TYPE_CHECKING:
    from torch import Tensor

    from deepcams.networks.base import Network
    from deepcams.networks.scaling import Scaling

SUFFIX = ".safetensors"
KEY = "deepcams"
"""Key of the card in the metadata of the header."""
VERSION = 2
"""Format version that is written; this and all earlier ones can be read. Format 1 has no ``exported``."""
STORED = ("float32", "float16")
"""Data types in which weights may be stored."""
_WANTED = "a deepcams checkpoint (safetensors with a card)"
_COPY_AGAIN = "copy the file again"
_LARGEST_HEADER = 100_000_000
_FORMATS = {
    b"PK": "a zip or PyTorch file",
    b"\x80": "a pickle",
    b"\x89HDF": "a netCDF-4 file",
    b"CDF": "a netCDF-3 file",
    b"\x08": "an ONNX file (name the checkpoint it was exported from)",
}
"""First bytes of files of other formats."""


@dataclass(frozen=True)
class Card:
    """The description of a checkpoint, in its header.

    Attributes:
        network: registered name of the network.
        kind: "temporal", "spatial" or "joint".
        factor: refinement factor of a spatial or joint network; None for a temporal one (any time in between).
        options: options of the network.
        scaling: registered name of the scaling.
        scaling_options: options of the scaling.
        variable: variable it was trained on ("pm2p5").
        provenance: origin of the weights: training data, split, recipe, scores; JSON values.
        package_version: version of deepcams that wrote the file.
        stored: data type of the stored weights, "float32" or "float16".
        tensors_sha256: hash of the weights' names and stored bytes, checked on loading.
        exported: description (:class:`deepcams.networks.onnx_file.Exported`) of the ONNX file with the same stem in
            the same folder; None if there is none.
        version: version of the format.
    """

    network: str
    kind: str
    factor: int | None
    options: dict[str, Any]
    scaling: str
    scaling_options: dict[str, Any]
    variable: str
    provenance: dict[str, Any]
    package_version: str
    stored: str
    tensors_sha256: str
    exported: dict[str, Any] | None = None
    version: int = VERSION


@dataclass(frozen=True)
class Checkpoint:
    """A loaded checkpoint.

    Attributes:
        network: the network, in ``eval()``, float32, on the CPU.
        scaling: conversion from ug m-3 to scaled values.
        card: description stored in the file.
        sha256: hash of the file, for the provenance of outputs.
    """

    network: Network
    scaling: Scaling
    card: Card
    sha256: str


def save(
    network: Network,
    path: str | Path,
    scaling: Scaling,
    *,
    variable: str = "pm2p5",
    provenance: Mapping[str, Any] | None = None,
    stored: str = "float32",
) -> Path:
    """Write a checkpoint atomically.

    Args:
        network: network whose options and weights are saved.
        path: the file; ``.safetensors`` is added if it has another suffix or none.
        scaling: scaling of the network.
        variable: variable it was trained on.
        provenance: origin of the weights, as JSON values.
        stored: "float16" halves the file; the relative error of the weights is then up to 5e-4.

    Returns:
        the path written.

    Raises:
        InputError: a weight is not finite (or not in float16), or the provenance is not JSON-serialisable.
        OutputError: the file cannot be written.
    """
    import torch
    from safetensors.torch import save as to_bytes

    from deepcams._version import __version__

    path = Path(path)
    if path.suffix != SUFFIX:
        path = path.with_name(path.name + SUFFIX)
    if stored not in STORED:
        raise InputError("stored", "float32 or float16", repr(stored))
    do = "go back to an earlier state of the training"
    if stored == "float16":
        do = "store it in float32"
    tensors = {}
    for name, tensor in network.state_dict().items():
        tensor = tensor.detach().to("cpu", getattr(torch, stored)).contiguous().clone()
        if not torch.isfinite(tensor).all():
            expected = f"finite numbers in {stored}"
            raise InputError(f"weights {name}", expected, "nan or infinity", do)
        tensors[name] = tensor
    card = Card(
        network=network.name,
        kind=network.kind,
        factor=network.factor,
        options=dataclasses.asdict(network.options),
        scaling=scaling.name,
        scaling_options=dataclasses.asdict(scaling),
        variable=variable,
        provenance=dict(provenance or {}),
        package_version=__version__,
        stored=stored,
        tensors_sha256=_digest(tensors),
    )
    metadata = {KEY: _json(card)}  # validated before a folder is made
    with os_errors_explained(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, to_bytes(tensors, metadata=metadata))
    return path


def _json(card: Card) -> str:
    try:
        return json.dumps(dataclasses.asdict(card), sort_keys=True, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise InputError("provenance", "JSON values", str(error)) from None


def rewrite_card(path: Path, card: Card) -> None:
    """Replace the card of a checkpoint atomically, leaving its weights unchanged.

    Raises:
        InputError: see :func:`read_card`.
        OutputError: the file cannot be written.
    """
    header, content = _read_header(path, whole=True)
    header["__metadata__"][KEY] = _json(card)
    (size,) = struct.unpack("<Q", content[:8])
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)  # safetensors aligns the weights to 8 bytes
    with os_errors_explained(path):
        write_atomically(
            path, struct.pack("<Q", len(text)) + text + content[8 + size :]
        )


def read_with_sha256(path: str | Path) -> tuple[Card, str]:
    """Return the card and the SHA-256 of the file's bytes; without torch (see :func:`read_card`)."""
    header, content = _read_header(Path(path), whole=True)
    return _card_of(header, path), hashlib.sha256(content).hexdigest()


def count_parameters(path: str | Path) -> int:
    """Return the number of stored values; without torch (see :func:`read_card`)."""
    header, _ = _read_header(Path(path))
    return sum(
        math.prod(tensor["shape"])
        for name, tensor in header.items()
        if name != "__metadata__"
    )


def read_card(path: str | Path) -> Card:
    """Read only the card, from the file's header; without torch.

    Args:
        path: the checkpoint.

    Raises:
        InputError: the file does not exist, is damaged, is not a checkpoint, or has a newer format.
    """
    header, _ = _read_header(Path(path))
    return _card_of(header, path)


def load(path: str | Path) -> Checkpoint:
    """Read a checkpoint.

    Args:
        path: the file.

    Returns:
        the network with its weights, its scaling and its card.

    Raises:
        InputError: the file does not exist, is truncated, damaged, of another format or a newer version, or has an
            unknown network, scaling or option, or missing, extra or misshapen tensors.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load as from_bytes

    from deepcams.networks.scaling import make_scaling

    path = Path(path)
    header, content = _read_header(path, whole=True)
    card = _card_of(header, path)
    try:
        tensors = from_bytes(content)
    except (SafetensorError, KeyError, ValueError, RuntimeError) as error:
        raise InputError(
            path, _WANTED, f"a damaged file ({error})", _COPY_AGAIN
        ) from None
    network = _network_of(card, path)
    try:
        scaling = make_scaling(card.scaling, card.scaling_options)
    except InputError as error:
        raise InputError(
            f"{path}: {error.where}", error.expected, error.found, error.do
        ) from None
    _fill(network, tensors, card, path)
    return Checkpoint(
        network.eval(), scaling, card, hashlib.sha256(content).hexdigest()
    )


def _network_of(card: Card, path: Path) -> Network:
    """Build the card's network, with fresh weights."""
    from deepcams.networks import NETWORKS
    from deepcams.networks.base import make, options_from

    try:
        network_type = NETWORKS.get(card.network)
    except InputError as error:
        do = "install the package that adds this network, or a newer deepcams"
        raise InputError(
            f"{path}: network", error.expected, repr(card.network), do
        ) from None
    where = f"{path}: options of {card.network}"
    options = options_from(network_type.options_type, card.options, where)
    network = make(network_type, options, where)
    if (card.kind, card.factor) != (network.kind, network.factor):
        expected = f"{network.kind}, factor {network.factor}"
        raise InputError(
            f"{path}: card", expected, f"{card.kind}, factor {card.factor}"
        )
    return network


def _fill(
    network: Network, tensors: Mapping[str, Tensor], card: Card, path: Path
) -> None:
    """Load the tensors into the network, after checking them against its options and the card."""
    import torch

    from deepcams.networks.base import shape_differences

    own = network.state_dict()
    wrong = shape_differences(
        {name: tuple(tensor.shape) for name, tensor in tensors.items()},
        {name: tuple(tensor.shape) for name, tensor in own.items()},
    )
    if wrong:
        raise InputError(
            path, f"the tensors of {card.network} with the options in its card", wrong
        )
    if _digest(tensors) != card.tensors_sha256:
        expected = "weights with the checksum in its card"
        raise InputError(path, expected, "other weights", _COPY_AGAIN)
    for name, tensor in tensors.items():
        if not torch.isfinite(tensor).all():
            raise InputError(f"{path}: {name}", "finite numbers", "nan or infinity")
    network.load_state_dict(tensors)  # float16 becomes float32


def _digest(tensors: Mapping[str, Tensor]) -> str:
    """Return the SHA-256 of names, types, shapes and bytes."""
    import torch

    digest = hashlib.sha256()
    for name, tensor in sorted(tensors.items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        digest.update(
            tensor.contiguous().reshape(-1).view(torch.uint8).numpy().tobytes()
        )
    return digest.hexdigest()


def _read_header(path: Path, whole: bool = False) -> tuple[dict[str, Any], bytes]:
    """Return the parsed safetensors header (8 bytes of length, then JSON), and all bytes if ``whole``.

    It is parsed here because messages of safetensors do not name the file, and reading a card must not need torch.
    """
    try:
        with path.open("rb") as file:
            head = file.read(8)
            size = struct.unpack("<Q", head)[0] if len(head) == 8 else -1
            if not 2 <= size <= _LARGEST_HEADER:
                raise _foreign(path, head)
            text = file.read(size)
            rest = file.read() if whole else b""
    except FileNotFoundError:
        raise InputError(path, _WANTED, "no such file") from None
    except OSError as error:
        raise InputError(
            path, _WANTED, error.strerror or "an unreadable file"
        ) from None
    if len(text) < size:
        raise InputError(path, _WANTED, "a truncated or foreign file", _COPY_AGAIN)
    try:
        header = from_json(text)
    except ValueError:
        raise _foreign(path, head) from None
    if not isinstance(header, dict):
        raise InputError(path, _WANTED, "a header of another form")
    return header, head + text + rest


def _foreign(path: Path, head: bytes) -> InputError:
    """Return the error for a file of another format, recognised by its first 8 bytes."""
    formats = [name for start, name in _FORMATS.items() if head.startswith(start)]
    found = formats[0] if formats else "a file of another format"
    if len(head) < 8:
        found = f"a file of {len(head)} bytes"
    do = ""
    if head.startswith((b"PK", b"\x80")):
        do = "published weight files are read by `deepcams models import`"
    return InputError(path, _WANTED, found, do)


def _card_of(header: Mapping[str, Any], path: object) -> Card:
    """Return the validated card of a header."""
    metadata = header.get("__metadata__")
    text = metadata.get(KEY) if isinstance(metadata, dict) else None
    if text is None:
        raise InputError(
            path, _WANTED, "a safetensors file of another program (no card)"
        )
    try:
        values = from_json(text)
        version = values["version"]
    except (ValueError, KeyError, TypeError):
        raise InputError(
            f"{path}: card", "JSON with a version", "something else"
        ) from None
    if not isinstance(version, int) or version > VERSION:
        do = "install a newer deepcams"
        raise InputError(
            path, f"checkpoint format {VERSION} or earlier", f"format {version}", do
        )
    expected = {field.name: str(field.type) for field in dataclasses.fields(Card)}
    values.setdefault("exported", None)
    wrong = [f"without {name}" for name in sorted(expected.keys() - values)]
    wrong += [f"with {name}" for name in sorted(values.keys() - expected)]
    if wrong:
        raise InputError(
            f"{path}: card", f"the entries of format {version}", "; ".join(wrong)
        )
    types: dict[str, Any] = {
        "str": str,
        "int": int,
        "int | None": int | None,
        "dict[str, Any] | None": dict | None,
    }
    for name, kind in expected.items():
        wanted = types.get(kind, dict)
        if not isinstance(values[name], wanted):
            raise InputError(f"{path}: card: {name}", kind, repr(values[name]))
    return Card(**values)


def find(folder: str | Path) -> list[tuple[Path, Card | DeepcamsError]]:
    """Return all ``.safetensors`` files in ``folder``, sorted by name, each with its card or the error of reading it.

    Raises:
        InputError: the folder does not exist.
    """
    folder = Path(folder)
    if not folder.is_dir():
        found_instead = "a file" if folder.exists() else "no such folder"
        raise InputError(folder, "a folder of checkpoints", found_instead)
    found: list[tuple[Path, Card | DeepcamsError]] = []
    for path in sorted(folder.glob(f"*{SUFFIX}")):
        try:
            found.append((path, read_card(path)))
        except DeepcamsError as error:
            found.append((path, error))
    return found
