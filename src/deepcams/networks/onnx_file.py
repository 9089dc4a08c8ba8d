"""Exported networks: an ONNX file for a lightweight engine, described and checksummed in the card of its checkpoint.

Input and output of the graph are in ug m-3: it includes the scaling. It does not include the padding of a frame by its
surroundings, the tiling, the mapping of cells to nodes, the poles and the conservation. The card holds the checksum of
the ONNX file, so that the checkpoint's own checksum covers both files. This module does not need torch.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, fields
from pathlib import Path

from deepcams.core.errors import InputError
from deepcams.networks.checkpoint import Card, read_with_sha256
from deepcams.networks.sizes import SizeRule, Tiling

SUFFIX = ".onnx"
INPUT, OUTPUT = "coarse", "fine"
"""Names of the graph's input (N, 1, H, W) and output (N, 1, factor H, factor W), float32, ug m-3."""


@dataclass(frozen=True)
class Exported:
    """The card's description of an exported spatial network.

    Attributes:
        sha256: hash of the ONNX file.
        multiple, minimum: accepted sizes (:class:`SizeRule`).
        tile, halo: tiling of large frames (:class:`Tiling`); 0: it takes whole frames.
        bytes_per_pixel: memory per coarse pixel of a tile.
        clip_above: value above which the scaling clips; None: no clipping.
    """

    sha256: str
    multiple: int
    minimum: int
    tile: int
    halo: int
    bytes_per_pixel: int
    clip_above: float | None

    @property
    def size_rule(self) -> SizeRule:
        """Return the frame sizes that the graph accepts."""
        return SizeRule(self.multiple, self.minimum)

    @property
    def tiling(self) -> Tiling | None:
        """Return the tiling of large frames; None: it takes whole frames."""
        return Tiling(self.tile, self.halo) if self.tile else None


@dataclass(frozen=True)
class ExportedCheckpoint:
    """A loaded exported network.

    Attributes:
        path: path of the ONNX file.
        card: card of the checkpoint.
        sha256: hash of the checkpoint, whose card holds that of the ONNX file.
        about: description of the graph in the card.
        graph: contents of the ONNX file.
    """

    path: Path
    card: Card
    sha256: str
    about: Exported
    graph: bytes


def describe(card: Card, path: str | Path) -> Exported | None:
    """Return a card's description of the exported network, or None if it was not exported.

    Raises:
        InputError: the description has unknown or missing entries.
    """
    if card.exported is None:
        return None
    known = {field.name for field in fields(Exported)}
    if card.exported.keys() != known:
        found = ", ".join(sorted(card.exported)) or "none"
        raise InputError(
            f"{path}: card: exported", ", ".join(sorted(known)), found, _AGAIN
        )
    return Exported(**card.exported)


_AGAIN = "export it again with `deepcams models export`, or use --engine torch"


def load_exported(checkpoint: str | Path) -> ExportedCheckpoint:
    """Read the exported network of a checkpoint.

    Args:
        checkpoint: the ``.safetensors`` file; the ONNX file has the same stem.

    Raises:
        InputError: the checkpoint is damaged or was never exported; the ONNX file is missing, or does not match the
            card.
    """
    checkpoint = Path(checkpoint)
    card, sha256 = read_with_sha256(checkpoint)
    about = describe(card, checkpoint)
    path = checkpoint.with_suffix(SUFFIX)
    if about is None:
        raise InputError(checkpoint, "a network exported to ONNX", "none", _AGAIN)
    expected = f"the exported network of {checkpoint.name}"
    try:
        graph = path.read_bytes()
    except FileNotFoundError:
        raise InputError(path, expected, "no such file", _AGAIN) from None
    except OSError as error:
        found = error.strerror or "an unreadable file"
        raise InputError(path, expected, found) from None
    if hashlib.sha256(graph).hexdigest() != about.sha256:
        found = "another or a damaged file (its checksum is not the card's)"
        raise InputError(path, expected, found, _AGAIN)
    return ExportedCheckpoint(path, card, sha256, about, graph)
