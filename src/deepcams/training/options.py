"""What one experiment is: data, split, samples, network, recipe, validation, output; frozen and typed.

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
    """Base of all: frozen, and strict about keys."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Part(Options):
    """Hours and places; an empty list means all of them.

    Attributes:
        periods: UTC, as ``deepcams.Period`` reads them.
        regions: boxes W S E N; only coarse cells that lie wholly inside count.
    """

    periods: tuple[PeriodText, ...] = ()
    regions: tuple[Region, ...] = ()


class Split(Options):
    """What is trained on and what is validated on; the two share no hour of a place."""

    train: Part = Part()
    validation: Part = Part()


class Store(Options):
    """One prepared training store.

    Attributes:
        path: as ``deepcams prepare`` wrote it; ``~`` and ``$VARIABLE`` are expanded.
        weight: how often it is drawn from, relative to the other stores; 0: not trained on.
        validation_weight: the same for validation (default: as ``weight``); 0: not validated on.
        split: its own split (default: the experiment's).
        variable: what it holds (default: the experiment's variable). A network in space may learn from any field.
        magnitude: each training sample's values are multiplied by a random number from the first to the second
            (uniform in its logarithm), so that the network does not learn the level of this store's values (default:
            values as they are; validation always has them so).
    """

    path: PathText
    weight: NotNegative = 1.0
    validation_weight: NotNegative | None = None
    split: Split | None = None
    variable: Name | None = None
    magnitude: tuple[Positive, Positive] | None = None

    @property
    def weight_in_validation(self) -> float:
        """How often validation draws from it."""
        return self.weight if self.validation_weight is None else self.validation_weight


class Data(Options):
    """The stores, of one variable unless a store names another.

    Attributes:
        variable: what the network is for.
        stores: where its samples come from.
    """

    variable: Name = "pm2p5"
    stores: Annotated[tuple[Store, ...], Field(min_length=1)]


class Span(Options):
    """Hours between the two known frames: chosen at random from ``shortest`` to ``longest``.

    A store whose longest stretch without a gap is shorter gives what it has.
    """

    shortest: Hours = 3
    longest: Hours = 3


class Samples(Options):
    """What a training sample is.

    Attributes:
        task: "temporal" (a frame between two), "spatial" (a fine frame of a coarse one) or "joint" (a fine frame of an
            hour at or between coarse ones).
        crop: edge of the network's input, in its own pixels (coarse ones for a spatial network, fine ones for a joint
            one).
        degradation: how fine becomes coarse.
        resolution: of temporal samples; "both" draws either with the same chance.
        span: of temporal and joint samples; of these, frames follow each other so from the first hour of a run.
        flow: of temporal samples of a network that starts from flow or is taught by it: "crop" estimates the motion on
            each crop, "whole" once on each whole frame, cached in the run's folder (faster for stores of few hours;
            4 MB for each global fine hour between two frames, or motion).
        reversal: of temporal and joint samples: half of them run backwards in time.
        flips, rot90: half of the samples are mirrored, along either axis; all are turned by 0 to 3 quarters.
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
    """What makes the network's numbers out of ug m-3."""

    name: StrictStr = "asinh"
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
    """How the learning rate goes on.

    Attributes:
        name: "constant"; "milestones": times ``gamma`` at each; "cosine": down to ``floor`` of it at the end.
        unit: of ``milestones`` and ``warmup``: steps, epochs, or fractions of the whole training.
        warmup: how long it rises linearly from nothing.
    """

    name: Literal["constant", "milestones", "cosine"] = "cosine"
    unit: Literal["step", "epoch", "fraction"] = "step"
    milestones: tuple[Positive, ...] = ()
    gamma: Annotated[Number, Field(gt=0, le=1)] = 0.1
    floor: Share = 0.0
    warmup: NotNegative = 0.0


class Teacher(Options):
    """Who teaches a network.

    Attributes:
        name: of a temporal network's teacher "flow", the training-free method, which teaches the motion between the
            frames; of a spatial network's a larger network (distillation, Hinton et al. 2015): a shipped one's name, or
            a checkpoint.
        weight: of the mean distance of both motions (pixels of the frames), added to the network's own loss; of a
            larger network's answers as the truth, at most 1, the true one having the rest.
        until: fraction of the training after which the own loss is alone; until then the weight falls linearly.
    """

    name: StrictStr
    weight: Positive = 0.1
    until: Annotated[Number, Field(gt=0, le=1)] = 0.5


class Training(Options):
    """The recipe.

    Attributes:
        optimizer, schedule, teacher: see there (default: no teacher).
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
    """How the best weights are found.

    Attributes:
        every: steps between validations.
        samples: how many, always the same ones.
        seed: which ones.
        margin: pixels of the network's input at the crop's edges that are not scored.
        conserve: spatial: score network and baselines after the coarse means are restored, as ``downscale`` does
            (default: for the degradation "area").
        baselines: training-free methods on the same samples; skill is against the first one. Joint samples have one,
            ``estimate``: what the network corrects.
        patience: end after so many validations without a better one (default: never).
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
        name: of its file, without suffix.
        stored: how the weights are stored.
        card: text for people: what the weights are for, and their limits.
    """

    name: Name
    stored: Literal["float16", "float32"] = "float32"
    card: StrictStr = ""


class Experiment(Options):
    """One training, wholly described."""

    version: Literal[1]
    data: Data
    split: Split = Split()
    samples: Samples
    network: Network
    training: Training
    validation: Validation = Validation()
    output: Output

    def split_of(self, store: Store) -> Split:
        """Return the store's own split, or the experiment's."""
        return store.split or self.split

    @property
    def baselines(self) -> tuple[str, ...]:
        """Training-free methods to compare with, the strongest first."""
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
        """Check values against each other; a message begins with the path of the value to change."""
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
    """Raise InputError where training and validation share both a moment and a place."""
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
    """Return in words what two lists share, of which an empty one means everything; empty where nothing."""
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
