"""A trained network in one file that says all about itself: safetensors, with a card in the header.

The card is JSON: format version, network and options, scaling, variable, and provenance (training data, split,
recipe, figures, package version). Nothing in the file is ever executed; a damaged, foreign or newer file is one
sentence. Import :func:`read_card` where only the header is wanted: it needs no torch.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from deepcams.core.errors import DeepcamsError, InputError
from deepcams.files.atomic import os_errors_explained, write_atomically

if TYPE_CHECKING:
    from torch import Tensor

    from deepcams.networks.base import Network
    from deepcams.networks.scaling import Scaling

SUFFIX = ".safetensors"
KEY = "deepcams"
"""Where the card stands in the header's metadata."""
VERSION = 1
"""The format this package writes; it reads this and all earlier ones."""
STORED = {"float32": "F32", "float16": "F16"}
_WANTED = "a deepcams checkpoint (safetensors with a card)"
_LARGEST_HEADER = 100_000_000


@dataclass(frozen=True)
class Card:
    """What a checkpoint says about itself.

    Attributes:
        network: registered name of the network.
        kind: "temporal" or "spatial".
        factor: of a spatial network; None: any time in between.
        options: of the network.
        scaling: registered name of the scaling.
        scaling_options: of the scaling.
        variable: what it was trained on ("pm2p5").
        provenance: where the weights come from: training data, split, recipe, figures; JSON values.
        package_version: of the deepcams that wrote the file.
        stored: "float32" or "float16", how the weights are stored.
        tensors_sha256: of the weights' names and stored bytes, checked on loading.
        version: of the format.
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
    version: int = VERSION


@dataclass(frozen=True)
class Checkpoint:
    """A loaded file.

    Attributes:
        network: in ``eval()``, float32, on the CPU.
        scaling: what makes the network's numbers out of ug m-3.
        card: what the file says about itself.
        sha256: of the file's bytes, for the provenance of what is made with it.
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
    """Write a checkpoint, wholly or not at all: to a temporary file beside it, flushed to disk, then renamed.

    Args:
        network: whose options and weights are saved.
        path: where to; ``.safetensors`` is added if it has another suffix or none.
        scaling: the network's.
        variable: what it was trained on.
        provenance: JSON values that say where the weights come from.
        stored: "float16" halves the file; weights are then exact to 5e-4 of each.

    Returns:
        the path written.

    Raises:
        InputError: a weight that is not finite (or not in float16), or provenance that is no JSON.
        OutputError: the file cannot be written.
    """
    import torch
    from safetensors.torch import save as to_bytes

    from deepcams._version import __version__

    path = Path(path)
    path = path if path.suffix == SUFFIX else path.with_name(path.name + SUFFIX)
    if stored not in STORED:
        raise InputError("stored", "float32 or float16", repr(stored))
    tensors = {
        name: tensor.detach().to("cpu", getattr(torch, stored)).contiguous().clone()
        for name, tensor in network.state_dict().items()
    }
    for name, tensor in tensors.items():
        if not torch.isfinite(tensor).all():
            do = (
                "go back to an earlier state of the training"
                if stored == "float32"
                else "store it in float32"
            )
            raise InputError(
                f"weights {name}", f"finite numbers in {stored}", "nan or infinity", do
            )
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
    try:
        text = json.dumps(dataclasses.asdict(card), sort_keys=True, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise InputError("provenance", "JSON values", str(error)) from None
    _write(path, to_bytes(tensors, metadata={KEY: text}))
    return path


def read_card(path: str | Path) -> Card:
    """The card alone, from the file's header.

    Raises:
        InputError: no such file, no checkpoint, a damaged one, or one of a newer format.
    """
    header, _ = _read_header(Path(path))
    return _card_of(header, path)


def load(path: str | Path) -> Checkpoint:
    """Read a checkpoint.

    Raises:
        InputError: whatever is wrong with the file, in one sentence: no such file, truncated, damaged, another
            format, a newer version, an unknown network, scaling or option, missing, extra or misshapen tensors.
    """
    import torch
    from safetensors import SafetensorError
    from safetensors.torch import load as from_bytes

    from deepcams.networks import NETWORKS
    from deepcams.networks.base import differences, options_from
    from deepcams.networks.scaling import make_scaling

    path = Path(path)
    header, content = _read_header(path, whole=True)
    card = _card_of(header, path)
    try:
        tensors = from_bytes(content)
    except (SafetensorError, KeyError, ValueError, RuntimeError) as error:
        raise InputError(
            path, _WANTED, f"a damaged file ({error})", "copy the file again"
        ) from None
    try:
        cls = NETWORKS.get(card.network)
    except InputError as error:
        do = "install the package that adds this network, or a newer deepcams"
        raise InputError(f"{path}: network", error.expected, repr(card.network), do) from None
    network: Network = cls(
        options_from(cls.options_type, card.options, f"{path}: options of {card.network}")
    )
    if (card.kind, card.factor) != (network.kind, network.factor):
        found = f"{card.kind}, factor {card.factor}"
        raise InputError(f"{path}: card", f"{network.kind}, factor {network.factor}", found)
    try:
        scaling = make_scaling(card.scaling, card.scaling_options)
    except InputError as error:
        raise InputError(f"{path}: {error.where}", error.expected, error.found, error.do) from None
    own = network.state_dict()
    shapes = {name: tuple(tensor.shape) for name, tensor in tensors.items()}
    wrong = differences(shapes, {name: tuple(tensor.shape) for name, tensor in own.items()})
    if wrong:
        raise InputError(path, f"the tensors of {card.network} with the options in its card", wrong)
    if _digest(tensors) != card.tensors_sha256:
        raise InputError(
            path, "weights with the checksum in its card", "other weights", "copy the file again"
        )
    for name, tensor in tensors.items():
        if not torch.isfinite(tensor).all():
            raise InputError(f"{path}: {name}", "finite numbers", "nan or infinity")
    network.load_state_dict({name: tensor.to(own[name].dtype) for name, tensor in tensors.items()})
    return Checkpoint(network.eval(), scaling, card, hashlib.sha256(content).hexdigest())


def _digest(tensors: Mapping[str, Tensor]) -> str:
    import torch

    digest = hashlib.sha256()
    for name in sorted(tensors):
        digest.update(f"{name} {tensors[name].dtype} {tuple(tensors[name].shape)}\n".encode())
        digest.update(tensors[name].contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def _read_header(path: Path, whole: bool = False) -> tuple[dict[str, Any], bytes]:
    """The parsed safetensors header (8 bytes of length, then JSON); and all bytes, if ``whole``.

    Read here rather than through safetensors: its messages name no file, and a card needs no torch.
    """
    try:
        with path.open("rb") as file:
            head = file.read(8)
            size = struct.unpack("<Q", head)[0] if len(head) == 8 else -1
            if not 2 <= size <= _LARGEST_HEADER:
                raise InputError(path, _WANTED, _what(head), _todo(head))
            text = file.read(size)
            rest = file.read() if whole else b""
    except FileNotFoundError:
        raise InputError(path, _WANTED, "no such file") from None
    except OSError as error:
        raise InputError(path, _WANTED, error.strerror or "an unreadable file") from None
    if len(text) < size:
        raise InputError(path, _WANTED, "a truncated or foreign file", "copy the file again")
    try:
        header = json.loads(text)
    except ValueError:
        raise InputError(path, _WANTED, _what(head), _todo(head)) from None
    if not isinstance(header, dict):
        raise InputError(path, _WANTED, "a header of another form")
    return header, head + text + rest


def _what(head: bytes) -> str:
    if len(head) < 8:
        return f"a file of {len(head)} bytes"
    kinds = {
        b"PK": "a zip or PyTorch file",
        b"\x80": "a pickle",
        b"\x89HDF": "a netCDF-4 file",
        b"CDF": "a netCDF-3 file",
    }
    return next(
        (kind for start, kind in kinds.items() if head.startswith(start)),
        "a file of another format",
    )


def _todo(head: bytes) -> str:
    published = head.startswith((b"PK", b"\x80"))
    return "published weight files are read by `deepcams models import`" if published else ""


def _card_of(header: Mapping[str, Any], path: object) -> Card:
    metadata = header.get("__metadata__")
    text = metadata.get(KEY) if isinstance(metadata, dict) else None
    if text is None:
        raise InputError(path, _WANTED, "a safetensors file of another program (no card)")
    try:
        values = json.loads(text)
        version = values["version"]
    except (ValueError, KeyError, TypeError):
        raise InputError(f"{path}: card", "JSON with a version", "something else") from None
    if not isinstance(version, int) or version > VERSION:
        do = "install a newer deepcams"
        raise InputError(path, f"checkpoint format {VERSION} or earlier", f"format {version}", do)
    expected = {field.name: str(field.type) for field in dataclasses.fields(Card)}
    missing, extra = sorted(expected.keys() - values), sorted(values.keys() - expected)
    if missing or extra:
        found = "; ".join(
            f"{what} {', '.join(names)}"
            for what, names in (("without", missing), ("with", extra))
            if names
        )
        raise InputError(f"{path}: card", "the entries of format 1", found)
    for name, kind in expected.items():
        kinds: Any = {"str": str, "int": int, "int | None": (int, type(None))}.get(kind, dict)
        if not isinstance(values[name], kinds):
            raise InputError(f"{path}: card: {name}", kind, repr(values[name]))
    return Card(**values)


def _write(path: Path, content: bytes) -> None:
    with os_errors_explained(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, content)


def find(folder: str | Path) -> list[tuple[Path, Card | DeepcamsError]]:
    """All ``.safetensors`` files in ``folder``, each with its card or with what is wrong with it, by name.

    Raises:
        InputError: no such folder.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise InputError(
            folder, "a folder of checkpoints", "a file" if folder.exists() else "nothing there"
        )
    found: list[tuple[Path, Card | DeepcamsError]] = []
    for path in sorted(folder.glob(f"*{SUFFIX}")):
        try:
            found.append((path, read_card(path)))
        except DeepcamsError as error:
            found.append((path, error))
    return found
