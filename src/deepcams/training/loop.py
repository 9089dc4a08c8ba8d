"""The training loop: it never asks which network it trains, and whatever ends it, it goes on where it was.

Step ``k`` sees samples ``k * batch`` and on, random numbers seeded by (seed, k), and a learning rate that follows from
k; so a training that goes on from a saved state is, on a CPU, the same to the bit as one that never stopped.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn

from deepcams.core.errors import DeepcamsError, InputError, notice
from deepcams.files.flock import alone
from deepcams.methods.device import working
from deepcams.networks.base import Network
from deepcams.networks.checkpoint import save
from deepcams.training.batches import load_batches, numbers
from deepcams.training.distributed import Ranks
from deepcams.training.log import Log
from deepcams.training.options import Experiment
from deepcams.training.provenance import provenance
from deepcams.training.run_folder import GUIDES, RunFolder
from deepcams.training.samples import SampleSet
from deepcams.training.scoring import Score, Validator, skill
from deepcams.training.setup import (
    Length,
    learning_rate,
    make_average,
    make_network,
    make_optimizer,
)
from deepcams.training.split import portions, refuse_mixed, refuse_shared
from deepcams.training.store.open_store import Prepared

Progress = Callable[[int, int | None, dict[str, float]], None]
"""Told after each step: steps done, of how many (None: until the minutes are over), and figures."""


@dataclass(frozen=True)
class Summary:
    """What a training came to.

    Attributes:
        folder: where everything lies.
        checkpoint: the best weights.
        step, minutes: how long it has been trained, all runs together.
        best_step: after which the best weights were found.
        skill: their MAE relative to the strongest training-free method's, averaged over the groups.
        network, baselines: validation scores over "all".
        stopped: whether it was asked to stop before its end.
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
        """A few lines for people."""
        plain = ", ".join(f"{name} {score.mae:.4g}" for name, score in self.baselines.items())
        strongest = next(iter(self.baselines))
        told = "better" if self.skill < 1 else "no better"
        return (
            f"{self.checkpoint}: step {self.best_step} of {self.step}, {self.minutes:.1f} min\n"
            f"  validation MAE, ug m-3: {self.network.mae:.4g} ({plain})\n"
            f"  {self.skill:.3f} x {strongest}: {told} than it"
        )


def train(
    experiment: Experiment,
    folder: str | Path,
    *,
    resume: bool = False,
    device: str = "auto",
    progress: Progress | None = None,
    stop: Callable[[], bool] = lambda: False,
    on_validation: Callable[[Path], object] = lambda folder: None,
) -> Summary:
    """Train a network as an experiment says, and keep the best weights by validation.

    Args:
        experiment: all that decides the result.
        folder: where log, state and weights go; see :mod:`deepcams.training.run_folder`.
        resume: go on from the state in the folder (begin, where there is none).
        device: ``auto``, ``cpu`` or ``cuda``.
        progress: told after each step.
        stop: asked after each step; when it says yes, the state is saved and the training ends.
        on_validation: told the folder after each validation, in the writing process.

    Raises:
        InputError: options, stores or a state that do not fit.
        OutputError: a file cannot be written, or another process trains there; state and weights written before stay.
        DeepcamsError: the loss is no longer finite; the sample is named.
    """
    with Ranks(device) as ranks, ExitStack() as ours:
        place = Path(folder).absolute()
        ranks.by_first(
            lambda: ours.enter_context(alone(place.with_name(f".{place.name}.lock"), Path(folder)))
        )
        return _Training(experiment, RunFolder(folder, experiment), ranks, resume).run(
            progress, stop, on_validation
        )


class _Loss(nn.Module):
    """A network as its loss, so that gradients are gathered where it is called."""

    def __init__(self, network: Network) -> None:
        super().__init__()
        self.network = network

    def forward(self, sample: Any) -> Tensor:
        network: Any = self.network
        loss: Tensor = network.loss(sample)
        return loss


class _Training:
    """One training: what it is made of, and how far it is."""

    def __init__(
        self, experiment: Experiment, folder: RunFolder, ranks: Ranks, resume: bool
    ) -> None:
        self.experiment, self.folder, self.ranks = experiment, folder, ranks
        options = experiment.training
        if options.batch % ranks.count:
            raise InputError(
                "training.batch", f"a multiple of the {ranks.count} processes", options.batch
            )
        network, self.scaling = make_network(experiment)
        self.stores = [
            Prepared.open(store.path, experiment.data.variable) for store in experiment.data.stores
        ]
        trained = portions(experiment, self.stores, "train")
        validated = portions(experiment, self.stores, "validation")
        refuse_mixed(trained)
        refuse_shared(trained, validated)
        wants: dict[str, Any] = {
            "guide": getattr(network, "estimate_method", None),
            "kept": folder.path / GUIDES,
        }
        samples = experiment.samples
        self.samples = SampleSet(samples, trained, self.scaling, options.seed, **wants)
        unseen = SampleSet(
            samples, validated, self.scaling, experiment.validation.seed, "validation", **wants
        )
        self.validator = Validator(experiment, unseen, ranks)
        self.network = network.to(ranks.device, memory_format=torch.channels_last).train()  # type: ignore[call-overload]
        self.loss = ranks.wrap(_Loss(self.network))
        self.optimizer = make_optimizer(self.network, options.optimizer)
        self.average = make_average(self.network, options.ema)
        self.length = Length.of(options, sum(portion.hours for portion in trained))

        self.step, self.seconds = 0, 0.0
        self.best: dict[str, Any] = {"step": 0, "skill": float("inf"), "stale": 0, "scores": {}}
        self.baselines: dict[str, dict[str, Score]] = {}
        self.sums = [0.0, 0.0, 0]  # loss, gradient and steps since the last row of the log
        found = ranks.by_first(lambda: folder.begin(resume, self.stores))
        if any(ranks.gather(found)):
            self._restore(folder.load_state())
        elif resume and ranks.first:
            notice(f"{folder.path} holds no saved state: the training begins anew")
        ranks.by_first(lambda: folder.cut_log(self.step if self.baselines else -1))
        self.log = Log(folder, self.step) if ranks.first else None

    @property
    def learned(self) -> Network:
        """What is validated and saved: the running average, where there is one."""
        return self.network if self.average is None else cast("Network", self.average.module)

    def run(
        self,
        progress: Progress | None,
        stop: Callable[[], bool],
        on_validation: Callable[[Path], object],
    ) -> Summary:
        """Train until the end, or until ``stop`` says so."""
        options, stopped = self.experiment.training, False
        begun, before = time.monotonic(), self.seconds
        if not self.baselines:
            self.baselines = self.validator.baselines()
            self._validate(on_validation)
        batches: Iterator[Any] | None = None
        while not (stopped or self._over()):
            if batches is None:
                batches = load_batches(
                    self.samples, options.batch, self.ranks, self.step, options.workers
                )
            asked, figures = self._one_step(next(batches), stop())
            self.seconds = self._clock(before + time.monotonic() - begun)
            last = self._over()
            if last or self.step % self.experiment.validation.every == 0:
                self._validate(on_validation)
            elif self.step % options.log_every == 0:
                self._write_row({})
            stopped = asked and not last
            if stopped or last or self.step % options.save_every == 0:
                self.ranks.by_first(self._save_state)
            if progress is not None:
                progress(self.step, self.length.steps, {**figures, "skill": self.best["skill"]})
        if self.log is not None:
            self.log.close()
        strongest = self.best["scores"]
        return Summary(
            self.folder.path,
            self.folder.best,
            self.step,
            self.seconds / 60,
            self.best["step"],
            self.best["skill"],
            strongest["all"],
            {name: scores["all"] for name, scores in self.baselines.items()},
            stopped,
        )

    def _over(self) -> bool:
        patience = self.experiment.validation.patience
        tired = patience is not None and self.best["stale"] >= patience
        return tired or self.length.over(self.step, self.seconds / 60)

    def _clock(self, seconds: float) -> float:
        """The first process's clock, where the time decides anything."""
        return float(self.ranks.gather(seconds)[0]) if self.length.minutes else seconds

    def _one_step(self, sample: Any, stop: bool) -> tuple[bool, dict[str, float]]:
        """Learn from one batch; whether any process is asked to stop, and figures."""
        ranks, options = self.ranks, self.experiment.training
        ranks.fail_alike(sample if isinstance(sample, DeepcamsError) else None)
        rate = learning_rate(options, self.length, self.step, self.seconds / 60)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        # what a network draws at random in this step follows from the step alone, so there is no state to keep
        torch.manual_seed(
            int(np.random.SeedSequence([options.seed, self.step, ranks.rank]).generate_state(1)[0])
        )
        sample = type(sample)(
            *(None if part is None else part.to(ranks.device, non_blocking=True) for part in sample)
        )
        with working(ranks.device, options.precision):
            loss = self.loss(sample)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        weights = [p for p in self.network.parameters() if p.grad is not None]
        gradient = nn.utils.get_total_norm([p.grad for p in weights if p.grad is not None])
        finite = torch.isfinite(loss) & torch.isfinite(gradient)
        flags = torch.stack([~finite, torch.tensor(stop, device=finite.device)])
        broken, asked = ranks.any(flags)
        if broken:
            self._refuse(sample, float(loss.detach()))
        if options.clip is not None:
            nn.utils.clip_grads_with_norm_(weights, options.clip, gradient)
        self.optimizer.step()
        if self.average is not None:
            self.average.update_parameters(self.network)
        self.step += 1
        figures = {"loss": float(loss.detach()), "gradient": float(gradient)}
        self.sums = [
            self.sums[0] + figures["loss"],
            self.sums[1] + figures["gradient"],
            self.sums[2] + 1,
        ]
        return asked, {**figures, "lr": rate}

    def _refuse(self, sample: Any, loss: float) -> None:
        """Say which sample made the loss or the gradient no number."""
        mine = numbers(self.experiment.training.batch, self.ranks, self.step)
        wrong = None
        with torch.no_grad(), working(self.ranks.device, self.experiment.training.precision):
            for k, number in enumerate(mine):
                one = type(sample)(*(None if part is None else part[k : k + 1] for part in sample))
                if not torch.isfinite(_Loss(self.network)(one)):
                    wrong = f"with {self.samples.describe(number)}"
                    break
        named = [each for each in self.ranks.gather(wrong) if each]
        where = (
            named[0]
            if named
            else f"in its gradient, with {self.samples.describe(mine[0])} and the rest of its batch"
        )
        kept = f"; the best weights so far (step {self.best['step']}) are in {self.folder.best}"
        do = "; check the data there, lower training.optimizer.lr or set training.clip"
        raise DeepcamsError(f"the loss is not finite in step {self.step + 1} {where}{do}{kept}")

    def _validate(self, on_validation: Callable[[Path], object]) -> None:
        """Score what was learned, keep it if it is the best, and log it."""
        scores = self.validator.network(self.learned)
        baseline = self.baselines[self.experiment.baselines[0]]
        reached = skill(scores, baseline)
        better = reached < self.best["skill"]
        if better:
            self.best = {"step": self.step, "skill": reached, "stale": 0, "scores": scores}
            self.ranks.by_first(self._save_best)
        else:
            self.best = {**self.best, "stale": self.best["stale"] + 1}
        figures = {
            "mae": scores["all"].mae,
            "rmse": scores["all"].rmse,
            "baseline_mae": baseline["all"].mae,
            "skill": reached,
            "best": int(better),
        }
        self._write_row(figures)
        if self.ranks.first:
            on_validation(self.folder.path)

    def _write_row(self, figures: dict[str, float]) -> None:
        loss, gradient, steps = self.ranks.total(self.sums)  # means over the joint batches
        options, minutes = self.experiment.training, self.seconds / 60
        row: dict[str, Any] = {
            "step": self.step,
            "epoch": f"{self.step / self.length.epoch:.4g}",
            "minutes": f"{minutes:.3f}",
            "lr": learning_rate(options, self.length, max(self.step - 1, 0), minutes),
            **({"loss": loss / steps, "gradient": gradient / steps} if steps else {}),
            **figures,
        }
        self.sums = [0.0, 0.0, 0]
        self.ranks.by_first(lambda: self.log.write(row) if self.log else None)

    def _save_best(self) -> None:
        network = self.learned
        save(
            network,
            self.folder.best,
            self.scaling,
            variable=self.experiment.data.variable,
            provenance=provenance(
                self.experiment,
                self.stores,
                self.samples.portions,
                self.validator.samples.portions,
                self.step,
                self.seconds / 60,
                self.ranks,
                self.best["scores"],
                self.baselines,
                self.best["skill"],
            ),
            stored=self.experiment.output.stored,
        )

    def _save_state(self) -> None:
        self.folder.save_state(
            {
                "step": self.step,
                "seconds": self.seconds,
                "sums": self.sums,
                "best": {
                    **self.best,
                    "scores": {k: asdict(v) for k, v in self.best["scores"].items()},
                },
                "baselines": {
                    n: {k: asdict(v) for k, v in s.items()} for n, s in self.baselines.items()
                },
                "network": self.network.state_dict(),
                "optimizer": self.optimizer.state_dict(),
                "average": None if self.average is None else self.average.state_dict(),
            }
        )

    def _restore(self, state: dict[str, Any]) -> None:
        self.step, self.seconds, self.sums = state["step"], state["seconds"], list(state["sums"])
        scores = {k: Score(**v) for k, v in state["best"]["scores"].items()}
        self.best = {**state["best"], "scores": scores}
        self.baselines = {
            n: {k: Score(**v) for k, v in s.items()} for n, s in state["baselines"].items()
        }
        self.network.load_state_dict(state["network"])
        self.optimizer.load_state_dict(state["optimizer"])
        if self.average is not None:
            self.average.load_state_dict(state["average"])
