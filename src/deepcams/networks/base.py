"""The contract of a network: what a downscaler, the training loop and a checkpoint may ask of it.

A network sees scaled float tensors only: no units, no coordinates, no files, no padding. Derive from
:class:`TemporalNetwork` or :class:`SpatialNetwork`, register the class under ``deepcams.networks``, and check it
with :func:`deepcams.testing.check_network`.
"""

from __future__ import annotations

import dataclasses
import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, NamedTuple

import torch
from torch import Tensor, nn

from deepcams.core.errors import InputError
from deepcams.networks.window import Surround

Kind = Literal["temporal", "spatial"]
Times = Sequence[float] | Tensor
_LISTED = 5
"""How many names a message lists before it only counts the others."""


class TemporalSample(NamedTuple):
    """One training batch of a temporal network, scaled.

    Attributes:
        frames: (B, 2, C, H, W), the known frames at t = 0 and t = 1.
        t: (B,), where the target lies, each in (0, 1).
        target: (B, C, H, W), the true frame at t.
        guide: (B, G, C, H, W), what the training-free method that the network starts from makes of the pair at t,
            for a network that declares a ``guide``; None for the others.
    """

    frames: Tensor
    t: Tensor
    target: Tensor
    guide: Tensor | None = None


class SpatialSample(NamedTuple):
    """One training batch of a spatial network, scaled.

    Attributes:
        coarse: (B, C, H, W).
        target: (B, C, factor H, factor W), the true fine frame, cell-like (coarse pixel k covers the fine pixels
            factor k .. factor k + factor - 1).
    """

    coarse: Tensor
    target: Tensor


@dataclass(frozen=True)
class SizeRule:
    """Which frame sizes a network takes: height and width are multiples of ``multiple`` and at least ``minimum``."""

    multiple: int = 1
    minimum: int = 1

    def fits(self, rows: int, columns: int) -> bool:
        """Whether a frame of this size may be given to the network."""
        return (rows, columns) == self.enlarge(rows, columns)

    def enlarge(self, rows: int, columns: int) -> tuple[int, int]:
        """The smallest size that fits and holds rows x columns: what to pad to."""

        def up(n: int) -> int:
            return -(-max(n, self.minimum) // self.multiple) * self.multiple

        return up(rows), up(columns)

    def check(self, tensor: Tensor, where: str) -> None:
        """Raise InputError unless the last two dimensions of ``tensor`` fit."""
        rows, columns = tensor.shape[-2:]
        if not self.fits(rows, columns):
            larger = "x".join(map(str, self.enlarge(rows, columns)))
            least = f" and at least {self.minimum}" if self.minimum > self.multiple else ""
            expected = f"height and width that are multiples of {self.multiple}{least}"
            raise InputError(where, expected, f"{rows}x{columns}", f"pad to {larger}")


@dataclass(frozen=True)
class Tiling:
    """How a spatial network wants a large frame cut, in coarse pixels.

    Attributes:
        size: tile edge the network was made for, halo included.
        halo: margin of a tile whose output is not to be trusted; neighbouring tiles overlap at least by two halos.
    """

    size: int
    halo: int


class Network(nn.Module, ABC):
    """What both kinds share.

    A class declares ``name``, ``kind``, ``options_type`` (a frozen dataclass of JSON values) and ``presets`` (named
    options); an instance is made of its options alone and holds them in ``options``. A network is deterministic in
    ``eval()`` and treats the frames of a batch independently.

    Attributes:
        name: registered name.
        kind: "temporal" or "spatial".
        channels: number of variables in a frame.
        factor: fine pixels per coarse pixel (spatial), or None (temporal: any t in (0, 1)).
    """

    name: ClassVar[str]
    kind: ClassVar[Kind]
    options_type: ClassVar[type]
    presets: ClassVar[Mapping[str, Any]]
    channels: int = 1
    factor: int | None = None

    def __init__(self, options: Any) -> None:
        super().__init__()
        self.options = options

    @property
    def size_rule(self) -> SizeRule:
        """The frame sizes it takes in inference."""
        return SizeRule()

    @property
    def training_size_rule(self) -> SizeRule:
        """The frame sizes ``loss`` takes (of the coarse frame, for a spatial network)."""
        return self.size_rule

    @abstractmethod
    def working_bytes(self, rows: int, columns: int) -> int:
        """About how much memory one frame of this size takes in float32 inference, the weights not counted."""

    @property
    def parameter_count(self) -> int:
        """Number of trained values."""
        return sum(p.numel() for p in self.parameters())


class TemporalNetwork(Network):
    """Given two frames, predicts frames between them.

    Attributes:
        guide: name of the training-free method that it starts from, whose frames it must be given with each t
            ("flow": :func:`deepcams.methods.flow.guide`), or None.
        guides: how many frames the guide has for each t.
        margin: rows and columns of surroundings that it needs on each side of a frame to be free of edges.
        reach: how many pixels away a pixel's answer sees; such a network may be given a frame in bands that overlap by
            as much, each beginning at a multiple of the size rule. None: not known, give it whole frames.
    """

    kind: ClassVar[Kind] = "temporal"
    guide: ClassVar[str | None] = None
    guides: ClassVar[int] = 0
    margin: ClassVar[tuple[int, int]] = (64, 128)
    reach: ClassVar[int | None] = None

    @abstractmethod
    def interpolate(self, frames: Tensor, t: Times, guide: Tensor | None = None) -> Tensor:
        """Frames between two known ones; what does not depend on t is computed once.

        Args:
            frames: (B, 2, C, H, W), scaled, at t = 0 and t = 1; H and W fit ``size_rule``.
            t: T numbers in (0, 1), the same for the whole batch, or a tensor (T,) or (B, T).
            guide: (B, T, ``guides``, C, H, W), scaled, for a network that declares a ``guide``.

        Returns:
            (B, T, C, H, W), scaled, in float32 (float64 for float64).

        Raises:
            InputError: a shape that does not fit, or a t outside (0, 1).
        """

    @abstractmethod
    def loss(self, sample: TemporalSample) -> Tensor:
        """The scalar to minimise for one batch; H and W fit ``training_size_rule``."""

    def forward(self, frames: Tensor, t: Tensor, guide: Tensor | None = None) -> Tensor:
        """The same as :meth:`interpolate`, for hooks, ``torch.compile`` and ``torch.export``."""
        return self.interpolate(frames, t, guide)


class SpatialNetwork(Network):
    """Refines one frame ``factor`` times in each direction, each frame on its own.

    Attributes:
        slides: whether :meth:`refine_around` is there, for large frames without tiles.
    """

    kind: ClassVar[Kind] = "spatial"
    slides: ClassVar[bool] = False
    factor: int

    @property
    def tiling(self) -> Tiling | None:
        """How to cut frames it cannot or should not take whole; None: give it whole frames."""
        return None

    @abstractmethod
    def refine(self, coarse: Tensor) -> Tensor:
        """The fine frame, cell-like: coarse pixel k covers the fine pixels factor k .. factor k + factor - 1.

        Args:
            coarse: (B, C, H, W), scaled; H and W fit ``size_rule``.

        Returns:
            (B, C, factor H, factor W), scaled, in float32 (float64 for float64).

        Raises:
            InputError: a shape that does not fit.
        """

    def refine_around(self, coarse: Tensor, surround: Surround) -> Tensor:
        """:meth:`refine` of a frame that has no edges: what lies beyond them is asked for.

        Moving the frame within its surroundings moves the result and changes nothing else.

        Args:
            coarse: (B, C, H, W), scaled.
            surround: gives what lies around any tensor at the frame's resolution.
        """
        raise NotImplementedError(f"{self.name} does not slide")

    @abstractmethod
    def loss(self, sample: SpatialSample) -> Tensor:
        """The scalar to minimise for one batch."""

    def forward(self, coarse: Tensor) -> Tensor:
        """The same as :meth:`refine`, for hooks, ``torch.compile`` and ``torch.export``."""
        return self.refine(coarse)


def times_tensor(t: Times, frames: Tensor, where: str) -> Tensor:
    """``t`` of :meth:`TemporalNetwork.interpolate` as (B, T), at least float32, on the device of ``frames`` (checked).

    The values of a tensor are not looked at (that would stall a GPU and break ``torch.export``), those of a list are.

    Raises:
        InputError: no time, a time outside (0, 1), or a tensor that is neither (T,) nor (B, T).
    """
    if not isinstance(t, Tensor):
        if not len(t) or not all(math.isfinite(v) and 0 < v < 1 for v in t):
            raise InputError(f"{where}: t", "times inside (0, 1)", str(list(t)))
        t = torch.tensor(t, dtype=torch.float64)
    if t.ndim not in (1, 2) or not t.shape[-1] or (t.ndim == 2 and t.shape[0] != frames.shape[0]):
        raise InputError(
            f"{where}: t", f"(T,) or ({frames.shape[0]}, T) times", f"shape {tuple(t.shape)}"
        )
    dtype = torch.float64 if frames.dtype == torch.float64 else torch.float32
    return t.to(frames.device, dtype).expand(frames.shape[0], -1)


def check_shape(tensor: Tensor, shape: Sequence[int | str], rule: SizeRule, where: str) -> None:
    """Raise InputError unless ``tensor`` is floating, has ``shape`` (letters: any number) and fits ``rule``."""
    fixed = all(isinstance(n, str) or n == m for n, m in zip(shape, tensor.shape, strict=False))
    if tensor.ndim != len(shape) or not fixed or not tensor.is_floating_point():
        found = f"{tuple(tensor.shape)} of {str(tensor.dtype).removeprefix('torch.')}"
        raise InputError(where, f"a floating tensor ({', '.join(map(str, shape))})", found)
    rule.check(tensor, where)


def require(where: object, option: str, holds: bool, expected: str, found: object) -> None:
    """Raise InputError for an option out of its range; for the ``__post_init__`` of options."""
    if not holds:
        raise InputError(f"{where}: {option}", expected, found)


def options_from(options_type: type, values: Mapping[str, Any], where: object) -> Any:
    """Options of JSON values, strictly.

    Raises:
        InputError: an unknown option, a value of another type than its default's, or one out of its range.
    """
    defaults = {f.name: f.default for f in dataclasses.fields(options_type)}
    for name, value in values.items():
        if name not in defaults:
            raise InputError(where, "the options " + ", ".join(defaults), repr(name))
        wanted = type(defaults[name])
        fits = isinstance(value, (int, float) if wanted is float else wanted)
        if not fits or (isinstance(value, bool) and wanted is not bool):
            raise InputError(f"{where}: {name}", f"a value of type {wanted.__name__}", repr(value))
    return options_type(**values)


def listed(names: list[str]) -> str:
    """The first few names, and how many more."""
    return ", ".join(names[:_LISTED]) + (
        f" and {len(names) - _LISTED} more" if len(names) > _LISTED else ""
    )


def differences(
    found: Mapping[str, tuple[int, ...]], expected: Mapping[str, tuple[int, ...]]
) -> str:
    """What is missing, extra and misshapen, in one phrase; empty where all is as expected."""
    missing = [name for name in expected if name not in found]
    extra = [name for name in found if name not in expected]
    misshapen = [
        f"{name} {found[name]} instead of {shape}"
        for name, shape in expected.items()
        if name in found and found[name] != shape
    ]
    parts = (("missing", missing), ("extra", extra), ("misshapen", misshapen))
    return "; ".join(f"{len(names)} {what}: {listed(names)}" for what, names in parts if names)
