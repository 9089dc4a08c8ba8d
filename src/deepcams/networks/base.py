"""The interface of networks, used by downscalers, the training loop and checkpoints.

A network operates on scaled float tensors only: no units, coordinates, files or padding. Derive from
:class:`TemporalNetwork`, :class:`SpatialNetwork` or :class:`JointNetwork`, register the class under
``deepcams.networks``, and check it with :func:`deepcams.testing.check_network`.
"""

from __future__ import annotations

import contextlib
import dataclasses
import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal, NamedTuple

import torch
from torch import Tensor, nn

from deepcams.core import text
from deepcams.core.errors import InputError
from deepcams.networks.sizes import SizeRule, Tiling
from deepcams.networks.window import Pad

Kind = Literal["temporal", "spatial", "joint"]
Times = Sequence[float] | Tensor
Shapes = Mapping[str, tuple[int, ...]]
MOST_BYTES = 1 << 30
"""Maximum size of a network's weights, bytes; larger ones result from damaged files or mistyped options."""
_LISTED = 5
"""Maximum number of names listed in a message; further ones are only counted."""


class TemporalSample(NamedTuple):
    """One training batch of a temporal network, scaled.

    Attributes:
        frames: (B, 2, C, H, W), the known frames at t = 0 and t = 1.
        t: (B,), the time of the target, each in (0, 1).
        target: (B, C, H, W), the true frame at t.
        estimate: (B, E, C, H, W), the initial estimate at t, for a network with an ``estimate_method``; else None.
        motion: (B, 2, H, W), pixels along the columns (eastward) and down the rows, for a network supervised with
            motion; else None. It is the displacement from the first to the last frame of whatever is at a pixel midway.
    """

    frames: Tensor
    t: Tensor
    target: Tensor
    estimate: Tensor | None = None
    motion: Tensor | None = None


class SpatialSample(NamedTuple):
    """One training batch of a spatial network, scaled.

    Attributes:
        coarse: (B, C, H, W).
        target: (B, C, factor H, factor W), the true fine frame, cell-aligned (coarse pixel k covers the fine pixels
            factor k .. factor k + factor - 1).
    """

    coarse: Tensor
    target: Tensor


class JointSample(NamedTuple):
    """One training batch of a network in space and time.

    Attributes:
        planes: (B, P, H, W), see :meth:`JointNetwork.refine`.
        target: (B, 1, H, W), scaled, the true fine frame.
    """

    planes: Tensor
    target: Tensor


class Network(nn.Module, ABC):
    """Base class of all networks.

    A class declares ``name``, ``kind``, ``options_type`` (a frozen dataclass of JSON values) and ``presets`` (named
    options); an instance is determined by its ``options``. A network is deterministic in ``eval()`` and processes the
    frames of a batch independently.

    Attributes:
        name: registered name.
        kind: "temporal", "spatial" or "joint".
        channels: number of variables in a frame.
        factor: fine pixels per coarse pixel, or None (temporal: any t in (0, 1)).
    """

    name: ClassVar[str]
    kind: ClassVar[Kind]
    options_type: ClassVar[type]
    presets: ClassVar[Mapping[str, Any]]
    channels: int = 1
    factor: int | None = None

    def __init__(self, options: Any = None) -> None:
        super().__init__()
        self.options = self.options_type() if options is None else options

    @property
    def size_rule(self) -> SizeRule:
        """Return the frame sizes accepted in inference."""
        return SizeRule()

    @property
    def training_size_rule(self) -> SizeRule:
        """Return the frame sizes that ``loss`` accepts (of the coarse frame, for a spatial network)."""
        return self.size_rule

    @abstractmethod
    def working_bytes(self, rows: int, columns: int) -> int:
        """Estimate the memory for float32 inference on one frame of this size, without the weights, bytes."""

    @property
    def parameter_count(self) -> int:
        """Return the number of trainable parameters."""
        return sum(p.numel() for p in self.parameters())


class TemporalNetwork(Network):
    """A network that predicts frames between two frames.

    Attributes:
        estimate_method: name of the training-free method that makes its initial estimate of each frame
            ("flow": :func:`deepcams.methods.temporal.flow.initial_estimate`), or None if it needs none.
        estimate_frames: number of frames of the initial estimate for each t.
        context: rows and columns of padding needed on each side of a frame to avoid edge effects.
        receptive_field: radius in pixels of the input that affects an output pixel; a frame may be processed in bands
            that overlap by as much, each beginning at a multiple of the size rule. None: unknown, needs whole frames.
        teachable: whether :meth:`taught_loss` is implemented, for a network that estimates motion itself.
    """

    kind: ClassVar[Kind] = "temporal"
    estimate_method: ClassVar[str | None] = None
    estimate_frames: ClassVar[int] = 0
    context: ClassVar[tuple[int, int]] = (64, 128)
    receptive_field: ClassVar[int | None] = None
    teachable: ClassVar[bool] = False

    @abstractmethod
    def interpolate(
        self, frames: Tensor, t: Times, estimate: Tensor | None = None
    ) -> Tensor:
        """Predict frames between two known ones; computations independent of t are done once.

        Args:
            frames: (B, 2, C, H, W), scaled, at t = 0 and t = 1; H and W fit ``size_rule``.
            t: T numbers in (0, 1), the same for the whole batch, or a tensor (T,) or (B, T).
            estimate: (B, T, ``estimate_frames``, C, H, W), scaled, for a network with an ``estimate_method``.

        Returns:
            (B, T, C, H, W), scaled, in float32 (float64 for float64).

        Raises:
            InputError: an invalid shape, or a t outside (0, 1).
        """

    @abstractmethod
    def loss(self, sample: TemporalSample) -> Tensor:
        """Return the scalar loss of one batch; H and W fit ``training_size_rule``."""

    def taught_loss(self, sample: TemporalSample, weight: float) -> Tensor:
        """Return :meth:`loss` plus ``weight`` times the mean error (pixels) of its motion against ``sample.motion``."""
        raise NotImplementedError(f"{self.name} has no motion of its own")

    def forward(
        self, frames: Tensor, t: Tensor, estimate: Tensor | None = None
    ) -> Tensor:
        """Do the same as :meth:`interpolate`, for hooks, ``torch.compile`` and ``torch.export``."""
        return self.interpolate(frames, t, estimate)


class SpatialNetwork(Network):
    """A network that refines each frame independently, by ``factor`` in each direction.

    Attributes:
        sliding_window: whether :meth:`refine_sliding` is implemented, for large frames without tiles.
    """

    kind: ClassVar[Kind] = "spatial"
    sliding_window: ClassVar[bool] = False
    factor: int

    @property
    def tiling(self) -> Tiling | None:
        """Return the tiling for frames that should not be processed whole; None: it takes whole frames."""
        return None

    @abstractmethod
    def refine(self, coarse: Tensor) -> Tensor:
        """Return the fine frame; coarse pixel k covers the fine pixels factor k .. factor k + factor - 1.

        Args:
            coarse: (B, C, H, W), scaled; H and W fit ``size_rule``.

        Returns:
            (B, C, factor H, factor W), scaled, in float32 (float64 for float64).

        Raises:
            InputError: an invalid shape.
        """

    def refine_sliding(self, coarse: Tensor, pad: Pad) -> Tensor:
        """Do :meth:`refine` without edge effects: ``pad`` provides the values beyond the edges.

        The result is translation-equivariant: shifting the frame within its surroundings only shifts the result.

        Args:
            coarse: (B, C, H, W), scaled.
            pad: extends any tensor at the frame's resolution by its surroundings.
        """
        raise NotImplementedError(f"{self.name} has no sliding window")

    @abstractmethod
    def loss(self, sample: SpatialSample) -> Tensor:
        """Return the scalar loss of one batch."""

    def forward(self, coarse: Tensor) -> Tensor:
        """Do the same as :meth:`refine`, for hooks, ``torch.compile`` and ``torch.export``."""
        return self.refine(coarse)


class JointNetwork(Network):
    """A network that corrects the fine frame of each hour, independently, as estimated by a chain of other methods.

    Attributes:
        estimate: spatial method of the chain that makes the initial estimate; the temporal one is ``self-checked``.
        context: names in :data:`deepcams.networks.input_planes.CONTEXT`, in the order of their planes.
        receptive_field: radius, in coarse pixels, of the input that affects an output pixel.
    """

    kind: ClassVar[Kind] = "joint"
    factor: int
    estimate: str
    context: tuple[str, ...] = ()

    @property
    def planes(self) -> int:
        """Return the number of planes that :meth:`refine` takes."""
        return 4 + len(self.context)

    @property
    @abstractmethod
    def receptive_field(self) -> int:
        """Return the radius, in coarse pixels, of the input that affects an output pixel."""

    @abstractmethod
    def refine(self, planes: Tensor) -> Tensor:
        """Return the fine frame of an hour; coarse pixel k covers the fine pixels factor k .. factor k + factor - 1.

        Args:
            planes: (B, planes, H, W), fine, H and W multiples of the factor: the initial estimate, scaled;
                the known frames before and after, advected to the hour, scaled (if one is unknown, the estimate
                again); 4 t (1 - t), with t from 0 to 1 the position of the hour between two analyses; the context.

        Returns:
            (B, 1, H, W), scaled, in float32. Where 4 t (1 - t) is 0, each cell's mean is that of the estimate.

        Raises:
            InputError: an invalid shape.
        """

    @abstractmethod
    def loss(self, sample: JointSample) -> Tensor:
        """Return the scalar loss of one batch."""

    def forward(self, planes: Tensor) -> Tensor:
        """Do the same as :meth:`refine`, for hooks, ``torch.compile`` and ``torch.export``."""
        return self.refine(planes)


def times_tensor(t: Times, frames: Tensor, where: str) -> Tensor:
    """Return ``t`` of :meth:`TemporalNetwork.interpolate` as (B, T), at least float32, on the device of ``frames``.

    Values of a list are checked, those of a tensor are not (that would stall a GPU and break ``torch.export``).

    Raises:
        InputError: no times, a time outside (0, 1), or a tensor that is neither (T,) nor (B, T).
    """
    batch = frames.shape[0]
    if not isinstance(t, Tensor):
        if not len(t) or not all(math.isfinite(v) and 0 < v < 1 for v in t):
            raise InputError(f"{where}: t", "times inside (0, 1)", str(list(t)))
        t = torch.tensor(t, dtype=torch.float64)
    if t.ndim not in (1, 2) or not t.shape[-1] or (t.ndim == 2 and t.shape[0] != batch):
        raise InputError(
            f"{where}: t", f"(T,) or ({batch}, T) times", f"shape {tuple(t.shape)}"
        )
    dtype = torch.float64 if frames.dtype == torch.float64 else torch.float32
    return t.to(frames.device, dtype).expand(batch, -1)


def check_shape(
    tensor: Tensor, shape: Sequence[int | str], rule: SizeRule, where: str
) -> None:
    """Raise InputError unless ``tensor`` is floating-point, has ``shape`` (letters: any size) and fits ``rule``."""
    fixed = all(
        isinstance(n, str) or n == m for n, m in zip(shape, tensor.shape, strict=False)
    )
    if tensor.ndim != len(shape) or not fixed or not tensor.is_floating_point():
        found = f"{tuple(tensor.shape)} of {str(tensor.dtype).removeprefix('torch.')}"
        raise InputError(
            where, f"a floating tensor ({', '.join(map(str, shape))})", found
        )
    rule.check(tensor, where)


def require(
    where: object, option: str, holds: bool, expected: str, found: object
) -> None:
    """Raise InputError unless ``holds``; for checks of options in ``__post_init__``."""
    if not holds:
        raise InputError(f"{where}: {option}", expected, found)


def require_ranges(where: object, options: object, **ranges: tuple[int, int]) -> None:
    """Raise InputError unless each named option lies in its range, bounds included."""
    for option, (least, most) in ranges.items():
        value = getattr(options, option)
        require(where, option, least <= value <= most, f"{least} to {most}", value)


def options_from(options_type: type, values: Mapping[str, Any], where: object) -> Any:
    """Make options from JSON values, strictly.

    Raises:
        InputError: an option is unknown, of another type than its default, or out of range.
    """
    defaults = {f.name: f.default for f in dataclasses.fields(options_type)}
    for name, value in values.items():
        if name not in defaults:
            raise InputError(where, "the options " + ", ".join(defaults), repr(name))
        wanted = type(defaults[name])
        fits = isinstance(value, (int, float) if wanted is float else wanted)
        if not fits or (isinstance(value, bool) and wanted is not bool):
            raise InputError(
                f"{where}: {name}", f"a value of type {wanted.__name__}", repr(value)
            )
    return options_type(**values)


def make(network_type: type[Network], options: Any, where: object) -> Network:
    """Return a network with fresh random weights.

    Raises:
        InputError: its weights would exceed :data:`MOST_BYTES`, which is checked before they are allocated.
    """
    size = 0
    with contextlib.suppress(NotImplementedError, RuntimeError), torch.device("meta"):
        # A network that computes with its weights during construction cannot be measured in this way.
        weights = network_type(options).state_dict().values()
        size = sum(weight.numel() * weight.element_size() for weight in weights)
    if size > MOST_BYTES:
        expected = f"weights of at most {text.size(MOST_BYTES)}"
        raise InputError(where, expected, text.size(size))
    return network_type(options)


def first_names(names: list[str]) -> str:
    """List the first few names, and the number of further ones."""
    text = ", ".join(names[:_LISTED])
    if len(names) > _LISTED:
        text += f" and {len(names) - _LISTED} more"
    return text


def shape_differences(found: Shapes, expected: Shapes) -> str:
    """Describe missing, extra and misshapen tensors in one phrase; empty if all are as expected."""
    wrong = {
        "missing": [name for name in expected if name not in found],
        "extra": [name for name in found if name not in expected],
        "misshapen": [
            f"{name} {found[name]} instead of {shape}"
            for name, shape in expected.items()
            if found.get(name, shape) != shape
        ],
    }
    phrases = [
        f"{len(names)} {what}: {first_names(names)}"
        for what, names in wrong.items()
        if names
    ]
    return "; ".join(phrases)
