"""What one experiment is: data, split, samples, network, recipe, validation, output; frozen and typed.

One YAML file is one :class:`Experiment` (``deepcams.training.experiment_file.read_experiment``).
"""

from __future__ import annotations

import itertools
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from deepcams.core.errors import InputError
from deepcams.core.period import Period
from deepcams.training.option_types import (
    Bbox,
    Box,
    Count,
    Expected,
    Factor,
    Hours,
    Name,
    NotNegative,
    Number,
    Options,
    PeriodText,
    Positive,
    Share,
    Text,
    Whole,
    YesNo,
)

SCHEMA = 1
"""The version of the experiment files that this package reads."""


class Part(Options):
    """Hours and places; an empty list means all of them.

    Attributes:
        periods: UTC, as ``deepcams.Period`` reads them.
        regions: boxes W S E N; only coarse cells that lie wholly inside count.
    """

    periods: tuple[PeriodText, ...] = ()
    regions: tuple[Box, ...] = ()


class Split(Options):
    """What is trained on and what is validated on; the two share no hour of a place."""

    train: Part = Part()
    validation: Part = Part()


class Store(Options):
    """One prepared training store.

    Attributes:
        path: as ``deepcams prepare`` wrote it.
        weight: how often it is drawn from, relative to the other stores; 0: not trained on.
        validation_weight: the same for validation (default: as ``weight``); 0: not validated on.
        split: its own split (default: the experiment's).
    """

    path: Text
    weight: NotNegative = 1.0
    validation_weight: NotNegative | None = None
    split: Split | None = None

    @property
    def weight_in_validation(self) -> float:
        """How often validation draws from it."""
        return self.weight if self.validation_weight is None else self.validation_weight


class Data(Options):
    """The stores, all of one variable."""

    variable: Name = "pm2p5"
    stores: Annotated[
        tuple[Store, ...], Field(min_length=1), Expected("a list of at least one store")
    ]


class Span(Options):
    """Hours between the two known frames: chosen at random from ``shortest`` to ``longest``.

    A store whose longest stretch without a gap is shorter gives what it has.
    """

    shortest: Hours = 3
    longest: Hours = 3


class Samples(Options):
    """What a training sample is.

    Attributes:
        task: "temporal" (a frame between two) or "spatial" (a fine frame of a coarse one).
        crop: edge of the network's input, in its own pixels (coarse ones for a spatial network).
        degradation: how fine becomes coarse.
        resolution: of temporal samples; "both" draws either with the same chance.
        span: of temporal samples.
        guides: of temporal samples of a network that starts from flow: "crop" seeks it on each crop, "whole" once on
            each whole frame and keeps it in the run's folder (faster for stores of few hours; 4 MB for each global
            fine hour between two frames).
        reversal: of temporal samples: half of them run backwards in time.
        flips, rot90: half of the samples are mirrored, along either axis; all are turned by 0 to 3 quarters.
    """

    task: Literal["temporal", "spatial"]
    crop: Count
    degradation: Literal["area", "imresize", "decimate"] = "area"
    resolution: Literal["coarse", "fine", "both"] = "coarse"
    span: Span = Span()
    guides: Literal["crop", "whole"] = "crop"
    reversal: YesNo = True
    flips: YesNo = True
    rot90: YesNo = True


class Scaling(Options):
    """What makes the network's numbers out of ug m-3."""

    name: Text = "asinh"
    options: dict[str, Number] = Field(default_factory=dict)


class Network(Options):
    """Which network, and from which weights it starts.

    Attributes:
        name: registered name.
        preset: named options of the network.
        options: single options, before the preset's.
        scaling: the network's scaling.
        start: a checkpoint to start from (default: fresh random weights).
    """

    name: Text
    preset: Text | None = None
    options: dict[str, Any] = Field(default_factory=dict)
    scaling: Scaling = Scaling()
    start: Text | None = None


class Optimizer(Options):
    """Adam (Kingma and Ba 2015) or AdamW (Loshchilov and Hutter 2019)."""

    name: Literal["adam", "adamw"] = "adam"
    lr: Positive = 1e-4
    weight_decay: NotNegative = 0.0
    betas: Annotated[tuple[Share, Share], Expected("two numbers from 0 to less than 1")] = (
        0.9,
        0.999,
    )


class Schedule(Options):
    """How the learning rate goes on.

    Attributes:
        name: "constant"; "milestones": times ``gamma`` at each; "cosine": down to ``floor`` of it at the end.
        unit: of ``milestones`` and ``warmup``: steps, epochs, or fractions of the whole training.
        warmup: how long it rises linearly from nothing.
    """

    name: Literal["constant", "milestones", "cosine"] = "cosine"
    unit: Literal["step", "epoch", "fraction"] = "step"
    milestones: tuple[Positive, ...] = ()
    gamma: Factor = 0.1
    floor: Share = 0.0
    warmup: NotNegative = 0.0


class Training(Options):
    """The recipe.

    Attributes:
        optimizer, schedule: see there.
        batch: samples a step, of all processes together.
        steps, epochs, minutes: how long; the first that is reached ends it. An epoch is as many samples as there are
            hours to train on. The schedule goes by steps where they are known, else by the minutes.
        precision: of the network's work; weights, sums and losses stay float32.
        clip: largest norm of the gradient (default: as it comes).
        ema: decay of the running average of the weights, which is what is validated and saved (default: none).
        seed: of weights and samples.
        workers: processes that read samples (0: the training process itself).
        log_every, save_every: steps between rows of the log, and between saved states.
    """

    optimizer: Optimizer = Optimizer()
    schedule: Schedule = Schedule()
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
    """How the best weights are found.

    Attributes:
        every: steps between validations.
        samples: how many, always the same ones.
        seed: which ones.
        margin: pixels of the network's input at the crop's edges that are not scored.
        conserve: spatial: score network and baselines after the coarse means are restored, as ``downscale`` does
            (default: for the degradation "area").
        baselines: training-free methods on the same samples; skill is against the first one.
        patience: end after so many validations without a better one (default: never).
    """

    every: Count = 500
    samples: Count = 64
    seed: Whole = 0
    margin: Whole = 8
    conserve: YesNo | None = None
    baselines: (
        Annotated[tuple[Text, ...], Field(min_length=1), Expected("a list of at least one method")]
        | None
    ) = None
    patience: Count | None = None


class Output(Options):
    """The checkpoint.

    Attributes:
        name: of its file, without suffix.
        stored: how the weights are stored.
        card: text for people: what the weights are for, and their limits.
    """

    name: Name
    stored: Literal["float16", "float32"] = "float32"
    card: Text = ""


class Experiment(Options):
    """One training, wholly described."""

    version: Annotated[Literal[1], Expected(f"{SCHEMA} (the version of the file's layout)")]
    data: Data
    split: Split = Split()
    samples: Samples
    network: Network
    training: Training
    validation: Validation = Validation()
    output: Output

    def split_of(self, store: Store) -> Split:
        """The store's own split, or the experiment's."""
        return store.split or self.split

    @property
    def baselines(self) -> tuple[str, ...]:
        """Training-free methods to compare with, the strongest first."""
        usual = (
            ("flow", "linear") if self.samples.task == "temporal" else ("log-bicubic", "bicubic")
        )
        return self.validation.baselines or usual

    @property
    def conserve(self) -> bool:
        """Whether validation restores the coarse means."""
        given = self.validation.conserve
        return self.samples.task == "spatial" and (
            self.samples.degradation == "area" if given is None else given
        )

    @model_validator(mode="after")
    def _consistent(self) -> Experiment:
        """What no single value can tell; the message begins with the path of the value to change."""
        for i, store in enumerate(self.data.stores):
            if store.weight and store.weight_in_validation:
                where = f"data.stores.{i}.split" if store.split else "split"
                refuse_overlap(self.split_of(store), where)
        if not any(store.weight for store in self.data.stores):
            raise InputError("data.stores", "a store with a weight above 0", "none")
        if not any(store.weight_in_validation for store in self.data.stores):
            raise InputError("data.stores", "a store with a validation_weight above 0", "none")
        span, training, schedule = self.samples.span, self.training, self.training.schedule
        if span.longest < span.shortest:
            raise InputError(
                "samples.span.longest", f"at least shortest ({span.shortest})", span.longest
            )
        if training.steps is training.epochs is training.minutes is None:
            raise InputError(
                "training", "steps, epochs or minutes", "none of them", "say how long to train"
            )
        if bool(schedule.milestones) != (schedule.name == "milestones"):
            raise InputError(
                "training.schedule.milestones",
                "some for milestones, none for others",
                schedule.name,
            )
        only_minutes = training.steps is training.epochs is None
        if (
            only_minutes
            and schedule.unit != "fraction"
            and (schedule.name == "milestones" or schedule.warmup)
        ):
            do = "a training of so many minutes knows no number of steps"
            raise InputError("training.schedule.unit", "fraction", schedule.unit, do)
        pixels = self.samples.crop
        if 2 * self.validation.margin >= pixels:
            raise InputError(
                "validation.margin",
                f"less than half of the crop ({pixels})",
                self.validation.margin,
            )
        return self


def refuse_overlap(split: Split, where: str) -> None:
    """Raise InputError where training and validation share both a moment and a place."""

    def both(a: tuple[Any, ...], b: tuple[Any, ...], meet: Any) -> str | None:
        if not a or not b:
            return "all" if not a and not b else str((a or b)[0])
        return next((f"{x} and {y}" for x, y in itertools.product(a, b) if meet(x, y)), None)

    train, validation = split.train, split.validation
    time = both(train.periods, validation.periods, _periods_meet)
    place = both(train.regions, validation.regions, boxes_meet)
    if time and place:
        raise InputError(
            where,
            "train and validation that share no hour of a place",
            f"both in the periods {time} and the regions {place}",
            "separate their periods or their regions",
        )


def _periods_meet(a: str, b: str) -> bool:
    return Period.parse(a).meets(Period.parse(b))


def boxes_meet(a: Bbox, b: Bbox) -> bool:
    """Whether two boxes W S E N share more than an edge."""

    def width(box: Bbox) -> float:
        return 360.0 if box[2] - box[0] >= 360 else (box[2] - box[0]) % 360

    apart = (b[0] - a[0]) % 360
    return min(a[3], b[3]) > max(a[1], b[1]) and (apart < width(a) or 360 - apart < width(b))
