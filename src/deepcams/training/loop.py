"""The training loop, independent of the network, and resumable after any interruption.

Step ``k`` uses samples from ``k * batch`` on, random numbers seeded by (seed, k), and a learning rate computed from k;
so, on a CPU, a training resumed from a saved state is bit-identical to an uninterrupted one.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field, replace
from operator import itemgetter
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn

from deepcams.core.errors import DeepcamsError, InputError, notice
from deepcams.core.progress import Progress, no_progress
from deepcams.core.stages import stage, staged
from deepcams.files.lock import locked
from deepcams.methods.device import working
from deepcams.networks.base import Network, SpatialNetwork
from deepcams.networks.checkpoint import read_card, save
from deepcams.training.distributed import Ranks
from deepcams.training.options import Experiment
from deepcams.training.run_folder import FLOW, RunFolder
from deepcams.training.samples import SampleSet, load_batches, numbers
from deepcams.training.scoring import Score, Scores, Validator, skill
from deepcams.training.setup import (
    Length,
    learning_rate,
    load_teacher,
    make_average,
    make_network,
    make_optimizer,
    teacher_weight,
)
from deepcams.training.split import Portion, find_portions, refuse_mixed, refuse_shared
from deepcams.training.store.open import Prepared


@dataclass(frozen=True)
class Summary:
    """The result of a training.

    Attributes:
        folder: run folder.
        checkpoint: path of the best weights.
        step, minutes: training length over all runs.
        best_step: step of the best weights.
        skill: MAE relative to that of the strongest training-free method, averaged over the groups.
        network, baselines: validation scores over "all".
        stopped: whether the training was stopped before its end.
    """

    folder: Path
    checkpoint: Path
    step: int
    minutes: float
    best_step: int
    skill: float
    network: Score
    baselines: dict[str, Score]
    stopped: bool

    def text(self) -> str:
        """Return the result as a few lines of text."""
        plain = ", ".join(
            f"{name} {score.mae:.4g}" for name, score in self.baselines.items()
        )
        strongest = next(iter(self.baselines))
        verdict = "better" if self.skill < 1 else "no better"
        return (
            f"{self.checkpoint}: step {self.best_step} of {self.step}, {self.minutes:.1f} min\n"
            f"  validation MAE, ug m-3: {self.network.mae:.4g} ({plain})\n"
            f"  {self.skill:.3f} x {strongest}: {verdict} than it"
        )


def train(
    experiment: Experiment,
    folder: str | Path,
    *,
    resume: bool = False,
    device: str = "auto",
    progress: Progress = no_progress,
    stop: Callable[[], bool] = lambda: False,
    on_validation: Callable[[Path], object] = lambda folder: None,
) -> Summary:
    """Train a network by an experiment, and keep the best weights by validation.

    Args:
        experiment: all settings that affect the result.
        folder: folder for log, state and weights; see :mod:`deepcams.training.run_folder`.
        resume: continue from the saved state in the folder, if there is one.
        device: ``auto``, ``cpu`` or ``cuda``.
        progress: callback, called after each step with figures ("loss 0.01  best 0.9 x baseline"), the number of steps
            done and in total (0: limited by minutes).
        stop: called after each step; if it returns True, the state is saved and the training ends.
        on_validation: called with the folder after each validation, in the writing process.

    Raises:
        InputError: options, stores or the saved state do not fit together.
        OutputError: a file cannot be written, or another process trains in the folder; earlier state and weights are
            kept.
        DeepcamsError: the loss is not finite; the message names the cause and the step. Earlier state and weights are
            kept.
    """
    with Ranks(device) as ranks, ExitStack() as stack:
        path = Path(folder).absolute()
        lock = locked(path.with_name(f".{path.name}.lock"), Path(folder))
        ranks.by_first(lambda: stack.enter_context(lock))
        training = _Training(experiment, RunFolder(folder, experiment), ranks, resume)
        return training.run(progress, stop, on_validation)


class _Loss(nn.Module):
    """A module that returns a network's loss, so that the wrapper of distributed training sees its forward call.

    Args:
        network: network to train.
        teacher: larger network for distillation.
    """

    def __init__(self, network: Network, teacher: SpatialNetwork | None = None) -> None:
        super().__init__()
        self.network = network
        # the tuple keeps it from being registered as a submodule: neither trained nor saved
        self.teacher = (teacher,)

    def forward(self, sample: Any, taught: float = 0.0) -> Tensor:
        network: Any = self.network
        (teacher,) = self.teacher
        if teacher is None and taught:
            return cast("Tensor", network.taught_loss(sample, taught))
        loss: Tensor = network.loss(sample)
        if teacher is not None and taught:
            with torch.no_grad():
                answer = teacher.refine(sample.coarse)
            learnt = network.loss(sample._replace(target=answer))
            loss = torch.lerp(loss, learnt, taught)
        return loss


@dataclass(frozen=True)
class _Best:
    """The best weights so far, and the number of validations since."""

    step: int = 0
    skill: float = float("inf")
    stale: int = 0
    scores: Scores = field(default_factory=dict)


class _Training:
    """One training and its progress."""

    def __init__(
        self,
        experiment: Experiment,
        folder: RunFolder,
        ranks: Ranks,
        resume: bool,
    ) -> None:
        self.experiment, self.folder, self.ranks = experiment, folder, ranks
        self.options = experiment.training
        if self.options.batch % ranks.count:
            expected = f"a multiple of the {ranks.count} processes"
            raise InputError("training.batch", expected, self.options.batch)
        network, self.scaling = make_network(experiment)
        teacher = load_teacher(experiment, network, self.scaling)
        start = experiment.network.start
        self.begun = {"start": _about_start(start)} if start else {}
        data = experiment.data
        self.stores = [
            Prepared.open(store.path, store.variable or data.variable)
            for store in data.stores
        ]
        trained = find_portions(experiment, self.stores, "train")
        validated = find_portions(experiment, self.stores, "validation")
        refuse_mixed(trained)
        refuse_shared(trained, validated)
        cache = folder.path / FLOW
        by_flow = self.options.teacher is not None and network.kind == "temporal"
        self.samples, unseen = (
            SampleSet(
                experiment.samples,
                portions,
                self.scaling,
                seed,
                side,
                network,
                cache,
                taught,
            )
            for portions, seed, side, taught in (
                (trained, self.options.seed, "train", by_flow),
                (validated, experiment.validation.seed, "validation", False),
            )
        )
        self.validator = Validator(experiment, unseen, ranks)
        self.network = network.to(
            ranks.device, memory_format=torch.channels_last
        ).train()  # type: ignore[call-overload]
        if teacher is not None:
            teacher = teacher.to(ranks.device)
        self.loss = ranks.wrap(_Loss(self.network, teacher))
        self.optimizer = make_optimizer(self.network, self.options.optimizer)
        self.average = make_average(self.network, self.options.ema)
        self.length = Length.of(self.options, sum(portion.hours for portion in trained))

        self.step, self.seconds = 0, 0.0
        self.best = _Best()
        self.baselines: dict[str, Scores] = {}
        self.sums = [0.0, 0.0, 0]
        """Loss, gradient and number of steps since the last row of the log."""
        found = ranks.by_first(lambda: folder.begin(resume, self.stores))
        if any(ranks.gather(found)):
            self._restore(folder.load_state())
        elif resume and ranks.first:
            notice(f"{folder.path} holds no saved state: the training begins anew")
        ranks.by_first(lambda: folder.open_log(self.step if self.baselines else -1))

    @property
    def learned(self) -> Network:
        """The network to validate and save: the running average, if there is one."""
        return (
            self.network
            if self.average is None
            else cast("Network", self.average.module)
        )

    @property
    def minutes(self) -> float:
        """Training time."""
        return self.seconds / 60

    def run(
        self,
        progress: Progress,
        stop: Callable[[], bool],
        on_validation: Callable[[Path], object],
    ) -> Summary:
        """Train until the end, or until ``stop`` returns True."""
        begun = time.monotonic() - self.seconds
        stopped, options = False, self.options
        if not self.baselines:
            self.baselines = self.validator.baselines()
            self._validate(on_validation)
        batches = load_batches(
            self.samples, options.batch, self.ranks, self.step, options.workers
        )
        while not (stopped or self._over()):
            with stage("read"):
                sample = self._received(next(batches))
            asked, loss = self._learn(sample, stop())
            self.seconds = time.monotonic() - begun
            if self.length.minutes:  # the clock of the first process determines the end
                self.seconds = float(self.ranks.gather(self.seconds)[0])
            last = self._over()
            stopped = asked and not last
            validates = last or self.step % self.experiment.validation.every == 0
            saves = stopped or last or self.step % options.save_every == 0
            if validates or saves:
                self._refuse_diverged(sample)
            if validates:
                self._validate(on_validation)
            elif self.step % options.log_every == 0:
                self._write_row({})
            if saves:
                self.ranks.by_first(self._save_state)
            figures = f"loss {loss:.4g}  best {self.best.skill:.3f} x baseline"
            progress(figures, self.step, self.length.steps or 0)
        self.folder.close_log()
        return Summary(
            self.folder.path,
            self.folder.best,
            self.step,
            self.minutes,
            self.best.step,
            self.best.skill,
            self.best.scores["all"],
            {name: scores["all"] for name, scores in self.baselines.items()},
            stopped,
        )

    def _over(self) -> bool:
        patience = self.experiment.validation.patience
        tired = patience is not None and self.best.stale >= patience
        return tired or self.length.over(self.step, self.minutes)

    def _received(self, sample: Any) -> Any:
        """Return a batch on this process's device; raise if reading it failed in any process."""
        self.ranks.fail_alike(sample if isinstance(sample, DeepcamsError) else None)
        return _each(sample, lambda part: part.to(self.ranks.device, non_blocking=True))

    @staged("learn")
    def _learn(self, sample: Any, stop: bool) -> tuple[bool, float]:
        """Train on one batch.

        Returns:
            whether any process should stop, and the loss.
        """
        ranks, options = self.ranks, self.options
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate(options, self.length, self.step, self.minutes)
        taught = teacher_weight(options, self.length, self.step, self.minutes)
        # Random numbers depend only on the step, so no generator state needs saving.
        seeds = np.random.SeedSequence([options.seed, self.step, ranks.rank])
        torch.manual_seed(int(seeds.generate_state(1)[0]))
        with working(ranks.device, options.precision):
            loss = self.loss(sample, taught)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        weights = [
            weight for weight in self.network.parameters() if weight.grad is not None
        ]
        norm = nn.utils.get_total_norm(
            [cast("Tensor", weight.grad) for weight in weights]
        )
        finite = torch.isfinite(loss) & torch.isfinite(norm)
        flags = torch.stack([~finite, torch.tensor(stop, device=finite.device)])
        broken, asked = ranks.any(flags)
        if broken:
            self._refuse(sample)
        if options.clip is not None:
            nn.utils.clip_grads_with_norm_(weights, options.clip, norm)
        try:
            self.optimizer.step()
        except RuntimeError as error:
            if "overflow" not in str(error):
                raise
            raise self._diverged(
                f"an update beyond float32 in step {self.step + 1}"
            ) from error
        if self.average is not None:
            self.average.update_parameters(self.network)
        self.step += 1
        now = [float(loss.detach()), float(norm), 1]
        self.sums = [total + one for total, one in zip(self.sums, now, strict=True)]
        return asked, now[0]

    def _refuse(self, sample: Any) -> None:
        """Raise an error that names the sample whose loss or gradient is not finite."""
        own = numbers(self.options.batch, self.ranks, self.step)
        named = ""
        for k, number in enumerate(own):
            if not self._finite(_each(sample, itemgetter(slice(k, k + 1)))):
                named = f"with {self.samples.describe(number)}"
                break
        somewhere = f"in its gradient, with {self.samples.describe(own[0])} and the rest of its batch"
        where = next(filter(None, self.ranks.gather(named)), somewhere)
        raise self._diverged(
            f"the loss is not finite in step {self.step + 1} {where}; check the data there"
        )

    def _refuse_diverged(self, sample: Any) -> None:
        """Raise if the loss of the batch just trained on is not finite, before anything is saved."""
        broken = torch.tensor([not self._finite(sample)], device=self.ranks.device)
        if self.ranks.any(broken)[0]:
            raise self._diverged(f"the loss is not finite after step {self.step}")

    @torch.no_grad()
    def _finite(self, sample: Any) -> bool:
        with working(self.ranks.device, self.options.precision):
            return bool(torch.isfinite(_Loss(self.network)(sample)))

    def _diverged(self, what: str) -> DeepcamsError:
        saved = "no weights were saved"
        if math.isfinite(self.best.skill):
            saved = f"the best weights so far (step {self.best.step}) are in {self.folder.best}"
        return DeepcamsError(
            f"{what}; lower training.optimizer.lr or set training.clip; {saved}"
        )

    def _validate(self, on_validation: Callable[[Path], object]) -> None:
        """Score the network, save it if it is the best, and log the scores."""
        scores = self.validator.network(self.learned)
        baseline = self.baselines[self.experiment.baselines[0]]
        reached = skill(scores, baseline)
        better = reached < self.best.skill
        if better:
            self.best = _Best(self.step, reached, 0, scores)
            self.ranks.by_first(self._save_best)
        else:
            self.best = replace(self.best, stale=self.best.stale + 1)
        figures = {
            "mae": scores["all"].mae,
            "rmse": scores["all"].rmse,
            "baseline_mae": baseline["all"].mae,
            "skill": reached,
            "best": int(better),
        }
        self._write_row(figures)
        if self.ranks.first:
            with stage("draw"):
                on_validation(self.folder.path)

    def _write_row(self, figures: Mapping[str, float]) -> None:
        loss, gradient, steps = self.ranks.total(self.sums)
        self.sums = [0.0, 0.0, 0]
        row: dict[str, Any] = {
            "step": self.step,
            "epoch": f"{self.step / self.length.epoch:.4g}",
            "minutes": f"{self.minutes:.3f}",
            "lr": learning_rate(
                self.options, self.length, max(self.step - 1, 0), self.minutes
            ),
            **figures,
        }
        if steps:  # means over the global batches
            row |= {"loss": loss / steps, "gradient": gradient / steps}
        self.ranks.by_first(lambda: self.folder.append(row))

    @staged("write")
    def _save_best(self) -> None:
        save(
            self.learned,
            self.folder.best,
            self.scaling,
            variable=self.experiment.data.variable,
            provenance=self._provenance(),
            stored=self.experiment.output.stored,
        )

    def _provenance(self) -> dict[str, Any]:
        """Return the checkpoint card's content as JSON values: data, split, recipe, training length and validation."""
        device = self.ranks.device
        return {
            **self.begun,
            "card": self.experiment.output.card,
            "data": [_about_store(store) for store in self.stores],
            "split": {
                "train": _about_portions(self.samples.portions),
                "validation": _about_portions(self.validator.samples.portions),
            },
            "experiment": self.experiment.model_dump(mode="json"),
            "steps": self.step,
            "minutes": round(self.minutes, 2),
            "processes": self.ranks.count,
            "device": torch.cuda.get_device_name(device)
            if device.type == "cuda"
            else "cpu",
            "torch": torch.__version__,
            "validation": {
                "skill": self.best.skill,
                "against": self.experiment.baselines[0],
                "units": "ug m-3",
                "conserve": self.experiment.conserve,
                "scores": _plain(self.best.scores),
                "baselines": {
                    name: _plain(scores) for name, scores in self.baselines.items()
                },
            },
        }

    @staged("write")
    def _save_state(self) -> None:
        self.folder.save_state(
            {
                "step": self.step,
                "seconds": self.seconds,
                "sums": self.sums,
                "best": asdict(self.best),
                "baselines": {
                    name: _plain(scores) for name, scores in self.baselines.items()
                },
                "network": self.network.state_dict(),
                "optimizer": self.optimizer.state_dict(),
                "average": None if self.average is None else self.average.state_dict(),
            }
        )

    def _restore(self, state: dict[str, Any]) -> None:
        self.step, self.seconds, self.sums = (
            state["step"],
            state["seconds"],
            list(state["sums"]),
        )
        self.best = _Best(
            **{**state["best"], "scores": _scores(state["best"]["scores"])}
        )
        self.baselines = {
            name: _scores(plain) for name, plain in state["baselines"].items()
        }
        self.network.load_state_dict(state["network"])
        self.optimizer.load_state_dict(state["optimizer"])
        if self.average is not None:
            self.average.load_state_dict(state["average"])


def _each(sample: Any, change: Callable[[Tensor], Tensor]) -> Any:
    """Apply a function to each tensor of a sample."""
    return type(sample)(*(None if part is None else change(part) for part in sample))


def _plain(scores: Mapping[str, Score]) -> dict[str, dict[str, float]]:
    return {group: asdict(score) for group, score in scores.items()}


def _scores(plain: Mapping[str, Mapping[str, Any]]) -> Scores:
    return {group: Score(**values) for group, values in plain.items()}


def _about_start(path: str) -> dict[str, Any]:
    """Return the training metadata of the weights that a training starts from."""
    told = read_card(path).provenance
    parts = ("start", "data", "split", "experiment", "steps", "minutes", "device")
    return {name: told[name] for name in parts if name in told}


def _about_store(store: Prepared) -> dict[str, Any]:
    return {
        "store": store.path.name,
        "degradation": store.degradation,
        "mean": store.mean,
        "hours": len(store.times),
        "from": str(store.times[0])[:16],
        "to": str(store.times[-1])[:16],
        "grid": store.coarse.describe(),
        "sources": store.sources,
    }


def _about_portions(portions: Sequence[Portion]) -> list[dict[str, Any]]:
    about = []
    for portion in portions:
        grids = [window.grid(portion.store.coarse) for window in portion.windows]
        about.append(
            {
                "store": portion.store.path.name,
                "hours": portion.hours,
                "weight": portion.weight,
                "regions": [grid.describe() for grid in grids],
            }
        )
    return about
