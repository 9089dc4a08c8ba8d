"""Typed, frozen options of an experiment: data, split, samples, network, recipe, validation, output.

One YAML file is one :class:`Experiment` (``deepcams.training.experiment_file.read_experiment``).
"""

from __future__ import annotations

import itertools
import os.path
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StrictBool,
    StrictStr,
    model_validator,
)

from deepcams.core.box import Box
from deepcams.core.errors import InputError
from deepcams.core.period import Period
from deepcams.methods.spatial.coarsen import Degradation


def _period(text: Any) -> str:
    if isinstance(text, int) and not isinstance(
        text, bool
    ):  # YAML reads 2019 as a number
        text = str(text)
    try:
        Period.parse(text)
    except (InputError, AttributeError) as error:
        expected = "a period (2019, 2019-03, 2019-03-08, alone or as START..END)"
        raise ValueError(expected) from error
    return str(text)


def _box(edges: Any) -> Box:
    try:
        return Box.checked(edges)
    except (InputError, TypeError) as error:
        raise ValueError("a box [W, S, E, N] in degrees, S < N") from error


def _expanded(path: str) -> str:
    return os.path.expandvars(Path(path).expanduser())


Number = Annotated[float, Field(strict=True, allow_inf_nan=False)]
Positive = Annotated[Number, Field(gt=0)]
NotNegative = Annotated[Number, Field(ge=0)]
Share = Annotated[Number, Field(ge=0, lt=1)]
Count = Annotated[int, Field(strict=True, ge=1)]
Whole = Annotated[int, Field(strict=True, ge=0)]
Hours = Annotated[int, Field(strict=True, ge=2, le=24)]
Name = Annotated[StrictStr, Field(pattern=r"^[\w][\w.-]*$")]
PeriodText = Annotated[str, BeforeValidator(_period)]
Region = Annotated[Box, BeforeValidator(_box)]
PathText = Annotated[StrictStr, AfterValidator(_expanded)]
"""A path; ``~`` and ``$VARIABLE`` are expanded."""


class Options(BaseModel):
    """Base of all options: frozen, and strict about keys."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Part(Options):
    """Hours and regions; an empty list means all.

    Attributes:
        periods: periods in UTC, as ``deepcams.Period`` reads them.
        regions: boxes W S E N; only coarse cells entirely inside are used.
    """

    periods: tuple[PeriodText, ...] = ()
    regions: tuple[Region, ...] = ()


class Split(Options):
    """Training and validation data; they must not share any hour at any location."""

    train: Part = Part()
    validation: Part = Part()


class Store(Options):
    """One prepared training store.

    Attributes:
        path: store written by ``deepcams prepare``; ``~`` and ``$VARIABLE`` are expanded.
        weight: sampling weight relative to the other stores; 0: not used for training.
        validation_weight: the same for validation (default: ``weight``); 0: not used for validation.
        split: split of this store (default: the experiment's).
        variable: variable of the store (default: the experiment's). A spatial network may be trained on any field.
        magnitude: range of a random factor (uniform in its logarithm) for the values of each training sample, so that
            the network does not learn the level of this store's values (default: unchanged, as always in validation).
    """

    path: PathText
    weight: NotNegative = 1.0
    validation_weight: NotNegative | None = None
    split: Split | None = None
    variable: Name | None = None
    magnitude: tuple[Positive, Positive] | None = None

    @property
    def weight_in_validation(self) -> float:
        """Sampling weight in validation."""
        return self.weight if self.validation_weight is None else self.validation_weight


class Data(Options):
    """Training stores; all hold the same variable unless a store names another.

    Attributes:
        variable: variable that the network is for.
        stores: sources of samples.
    """

    variable: Name = "pm2p5"
    stores: Annotated[tuple[Store, ...], Field(min_length=1)]


class Span(Options):
    """Hours between the two known frames, drawn at random from ``shortest`` to ``longest``.

    For a store whose longest run without a gap is shorter, that run limits the span.
    """

    shortest: Hours = 3
    longest: Hours = 3


class Samples(Options):
    """Definition of a training sample.

    Attributes:
        task: "temporal" (a frame between two), "spatial" (a fine frame from a coarse one) or "joint" (a fine frame at
            or between coarse ones).
        crop: edge of the network's input, in its own pixels (coarse ones for a spatial network, fine ones for a joint
            one).
        degradation: how fine fields are coarsened.
        resolution: resolution of temporal samples; "both" draws either with equal probability.
        span: hours between frames of temporal and joint samples; joint frames are spaced from the first hour of a run.
        flow: for temporal networks that start from flow or are taught by it: "crop" estimates the motion on each crop,
            "whole" once per whole frame, cached in the run folder (faster for stores of few hours; 4 MB per global fine
            hour between two frames, or per motion).
        reversal: whether to reverse half of the temporal and joint samples in time.
        flips, rot90: whether to mirror half of the samples along each axis, and to rotate all by 0 to 3 quarter turns.
    """

    task: Literal["temporal", "spatial", "joint"]
    crop: Count
    degradation: Degradation = "area"
    resolution: Literal["coarse", "fine", "both"] = "coarse"
    span: Span = Span()
    flow: Literal["crop", "whole"] = "crop"
    reversal: StrictBool = True
    flips: StrictBool = True
    rot90: StrictBool = True


class Scaling(Options):
    """Scaling between ug m-3 and the network's values."""

    name: StrictStr = "asinh"
    options: dict[str, Number] = Field(default_factory=dict)


class Network(Options):
    """The network and its initial weights.

    Attributes:
        name: registered name.
        preset: named set of options.
        options: single options, which override the preset's.
        scaling: the network's scaling.
        start: checkpoint to start from (default: random weights).
    """

    name: StrictStr
    preset: StrictStr | None = None
    options: dict[str, Any] = Field(default_factory=dict)
    scaling: Scaling = Scaling()
    start: PathText | None = None


class Optimizer(Options):
    """Adam (Kingma and Ba 2015) or AdamW (Loshchilov and Hutter 2019)."""

    name: Literal["adam", "adamw"] = "adam"
    lr: Positive = 1e-4
    weight_decay: NotNegative = 0.0
    betas: tuple[Share, Share] = (0.9, 0.999)


class Schedule(Options):
    """Learning-rate schedule.

    Attributes:
        name: "constant"; "milestones": multiplied by ``gamma`` at each; "cosine": decays to the fraction ``floor``.
        unit: unit of ``milestones`` and ``warmup``: steps, epochs, or fractions of the whole training.
        warmup: length of the linear increase from 0.
    """

    name: Literal["constant", "milestones", "cosine"] = "cosine"
    unit: Literal["step", "epoch", "fraction"] = "step"
    milestones: tuple[Positive, ...] = ()
    gamma: Annotated[Number, Field(gt=0, le=1)] = 0.1
    floor: Share = 0.0
    warmup: NotNegative = 0.0


class Teacher(Options):
    """The teacher of a network.

    Attributes:
        name: for a temporal network "flow", the training-free method, which teaches the motion between the frames; for
            a spatial network a larger network (distillation, Hinton et al. 2015): name of a shipped one, or a
            checkpoint.
        weight: with "flow": weight of the mean distance between both motions (pixels), added to the network's own loss;
            in distillation: weight of the teacher's output as truth, at most 1, with the rest for the real truth.
        until: fraction of the training after which the teacher is not used; the weight decreases linearly to 0.
    """

    name: StrictStr
    weight: Positive = 0.1
    until: Annotated[Number, Field(gt=0, le=1)] = 0.5


class Training(Options):
    """The recipe.

    Attributes:
        optimizer, schedule, teacher: see these classes (default: no teacher).
        batch: batch size over all processes.
        steps, epochs, minutes: length; the first limit reached ends the training. An epoch has as many samples as there
            are hours to train on. The schedule follows steps if their number is known, else minutes.
        precision: precision of the network; weights, sums and losses stay float32.
        clip: largest gradient norm (default: no clipping).
        ema: decay of the running average of the weights, which is then validated and saved (default: none).
        seed: random seed of weights and samples.
        workers: number of processes that read samples (0: the training process itself).
        log_every, save_every: steps between rows of the log, and between saved states.
    """

    optimizer: Optimizer = Optimizer()
    schedule: Schedule = Schedule()
    teacher: Teacher | None = None
    batch: Count = 8
    steps: Count | None = None
    epochs: Positive | None = None
    minutes: Positive | None = None
    precision: Literal["float32", "bfloat16"] = "float32"
    clip: Positive | None = None
    ema: Share | None = None
    seed: Whole = 0
    workers: Whole = 0
    log_every: Count = 50
    save_every: Count = 200


class Validation(Options):
    """Validation and selection of the best weights.

    Attributes:
        every: steps between validations.
        samples: number of samples, the same in each validation.
        seed: random seed of the samples.
        margin: margin at the crop's edges that is not scored, pixels of the network's input.
        conserve: for spatial networks: whether coarse means are restored before scoring, as in ``downscale`` (default:
            for the degradation "area").
        baselines: training-free methods scored on the same samples; skill is relative to the first. For joint samples
            there is one, ``estimate``: the network's input.
        patience: number of validations without improvement after which to stop (default: never).
    """

    every: Count = 500
    samples: Count = 64
    seed: Whole = 0
    margin: Whole = 8
    conserve: StrictBool | None = None
    baselines: Annotated[tuple[StrictStr, ...], Field(min_length=1)] | None = None
    patience: Count | None = None


class Output(Options):
    """The checkpoint.

    Attributes:
        name: file name, without suffix.
        stored: dtype of the stored weights.
        card: description of the weights' purpose and limits.
    """

    name: Name
    stored: Literal["float16", "float32"] = "float32"
    card: StrictStr = ""


class Experiment(Options):
    """Complete description of one training."""

    version: Literal[1]
    data: Data
    split: Split = Split()
    samples: Samples
    network: Network
    training: Training
    validation: Validation = Validation()
    output: Output

    def split_of(self, store: Store) -> Split:
        """Return the store's split, or the experiment's if it has none."""
        return store.split or self.split

    @property
    def baselines(self) -> tuple[str, ...]:
        """Training-free methods for comparison, the strongest first."""
        usual: dict[str, tuple[str, ...]] = {
            "temporal": ("flow", "linear"),
            "spatial": ("log-bicubic", "bicubic"),
            "joint": ("estimate",),
        }
        return self.validation.baselines or usual[self.samples.task]

    @property
    def conserve(self) -> bool:
        """Whether validation restores the coarse means."""
        wanted = self.validation.conserve
        if wanted is None:
            wanted = self.samples.degradation == "area"
        return wanted and self.samples.task == "spatial"

    @model_validator(mode="after")
    def _consistent(self) -> Experiment:
        """Check the consistency of values; a message begins with the path of the value to change."""
        self._check_stores()
        span, margin, pixels = (
            self.samples.span,
            self.validation.margin,
            self.samples.crop,
        )
        if span.longest < span.shortest:
            expected = f"at least shortest ({span.shortest})"
            raise InputError("samples.span.longest", expected, span.longest)
        if 2 * margin >= pixels:
            expected = f"less than half of the crop ({pixels})"
            raise InputError("validation.margin", expected, margin)
        self._check_schedule()
        return self

    def _check_stores(self) -> None:
        stores = self.data.stores
        for i, store in enumerate(stores):
            if store.magnitude and store.magnitude[0] > store.magnitude[1]:
                where = f"data.stores.{i}.magnitude"
                raise InputError(where, "[LOWEST, HIGHEST]", list(store.magnitude))
            if store.weight and store.weight_in_validation:
                where = f"data.stores.{i}.split" if store.split else "split"
                refuse_overlap(self.split_of(store), where)
        if not any(store.weight for store in stores):
            raise InputError("data.stores", "a store with a weight above 0", "none")
        if not any(store.weight_in_validation for store in stores):
            raise InputError(
                "data.stores", "a store with a validation_weight above 0", "none"
            )

    def _check_schedule(self) -> None:
        training, schedule = self.training, self.training.schedule
        milestones = schedule.name == "milestones"
        steps_known = training.steps is not None or training.epochs is not None
        if not steps_known and training.minutes is None:
            do = "say how long to train"
            raise InputError("training", "steps, epochs or minutes", "none of them", do)
        if bool(schedule.milestones) != milestones:
            expected = "some for milestones, none for others"
            raise InputError("training.schedule.milestones", expected, schedule.name)
        if (
            not steps_known
            and schedule.unit != "fraction"
            and (milestones or schedule.warmup)
        ):
            do = "a training of so many minutes knows no number of steps"
            raise InputError("training.schedule.unit", "fraction", schedule.unit, do)


def refuse_overlap(split: Split, where: str) -> None:
    """Raise InputError if training and validation overlap in both time and space."""
    train, validation = split.train, split.validation
    time = _overlap(train.periods, validation.periods, _periods_meet)
    place = _overlap(train.regions, validation.regions, Box.meets)
    if time and place:
        raise InputError(
            where,
            "train and validation that share no hour of a place",
            f"both in the periods {time} and the regions {place}",
            "separate their periods or their regions",
        )


def _overlap(
    a: Sequence[Any], b: Sequence[Any], meet: Callable[[Any, Any], bool]
) -> str:
    """Describe the overlap of two lists (an empty list means everything); return "" if there is none."""
    if not a and not b:
        return "all"
    if not a or not b:
        return _text((a or b)[0])
    shared = (
        f"{_text(x)} and {_text(y)}" for x, y in itertools.product(a, b) if meet(x, y)
    )
    return next(shared, "")


def _text(part: Any) -> str:
    return str(tuple(part)) if isinstance(part, Box) else str(part)


def _periods_meet(a: str, b: str) -> bool:
    return Period.parse(a).meets(Period.parse(b))
