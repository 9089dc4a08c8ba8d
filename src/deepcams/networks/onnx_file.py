"""Exported networks: an ONNX file that a light engine runs, described and sealed by its checkpoint's card.

The graph takes ug m-3 and gives ug m-3: the scaling is part of it. Outside it stay the padding of a frame by its
surroundings, the tiles, the places of cells and nodes, the poles and the conserving. The card holds the ONNX file's
checksum, so that the checkpoint's own checksum covers both files. Nothing here needs torch.
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
        sha256: of the ONNX file.
        multiple, minimum: sizes it takes (:class:`SizeRule`).
        tile, halo: how large frames are cut (:class:`Tiling`); 0: it takes whole frames.
        bytes_per_pixel: memory that a coarse pixel of a tile needs.
        clip_above: value above which the scaling loses the excess; None: nothing is lost.
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
        """Return the frame sizes that the graph takes."""
        return SizeRule(self.multiple, self.minimum)

    @property
    def tiling(self) -> Tiling | None:
        """Return how to cut large frames; None: it takes whole ones."""
        return Tiling(self.tile, self.halo) if self.tile else None


@dataclass(frozen=True)
class ExportedCheckpoint:
    """An exported network, read.

    Attributes:
        path: of the ONNX file.
        card: of the checkpoint.
        sha256: of the checkpoint, whose card holds the ONNX file's.
        about: the card's description of the graph.
        graph: the bytes of the ONNX file.
    """

    path: Path
    card: Card
    sha256: str
    about: Exported
    graph: bytes


def describe(card: Card, path: str | Path) -> Exported | None:
    """Return a card's description of the exported network; None: it was not exported.

    Raises:
        InputError: the description has other entries than this package knows.
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
        InputError: the checkpoint is damaged or was never exported; the ONNX file is missing, or is not the one that
            the card describes.
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
