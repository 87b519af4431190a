"""The one training loop of all stages, its Adam, and the course of the learning rate."""

import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from inspect import unwrap
from typing import Any, NoReturn

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn, optim

from unimri.core.errors import UnimriError
from unimri.training.checkpoints import Checkpoints, Progress
from unimri.training.distributed import InterruptedTraining, Interruption, ProcessGroup
from unimri.training.settings import Optimisation, TrainingTask


@dataclass(frozen=True)
class Training:
    """What the loop works on.

    Attributes
    ----------
    task : gives budget and optimisation.
    anatomies : what it learns from, for display.
    network : holds every parameter; only those in `learning` change.
    steps_per_epoch : a validation follows so many iterations.
    loss_of : gives the loss of iteration `step` (from 0), a mean over this process's share of the batch.
    validate : gives validation columns for the history, among them `validation_psnr_db`, in dB, which the best weights
        are chosen by. It calls what it is given between its batches, so that it can be interrupted.
    describe : names the slices of iteration `step`.
    examples : see `Course`.
    """

    task: TrainingTask
    anatomies: tuple[str, ...]
    network: nn.Module
    learning: Sequence[nn.Parameter]
    steps_per_epoch: int
    loss_of: Callable[[int], Tensor]
    validate: Callable[[Callable[[], None]], dict[str, float]]
    describe: Callable[[int], str]
    examples: Callable[[], Iterator[tuple[str, NDArray[np.float32], NDArray[np.float32]]]]


@dataclass(frozen=True)
class Course:
    """What is about to be trained.

    Attributes
    ----------
    stage, anatomies : what is trained.
    epochs, steps_per_epoch, batch_size : counts.
    step : steps done before, when a training goes on.
    examples : goes through the validation slices: anatomy, truth and the network's reconstruction as it is, both
        float32 (H, W) in [0, 1]. It reconstructs when it is asked; nothing is spent when nobody asks.
    """

    stage: str
    anatomies: tuple[str, ...]
    epochs: int
    steps_per_epoch: int
    batch_size: int
    step: int
    examples: Callable[[], Iterator[tuple[str, NDArray[np.float32], NDArray[np.float32]]]]


class Callback:
    """What the loop tells of, in the first process of several alone. Override what is wanted.

    A training that was killed tells again of the steps after its last checkpoint, with the same numbers.
    """

    def on_start(self, course: Course) -> None:
        """Before the first step of this run."""

    def on_step(self, step: int, loss: float, learning_rate: float) -> None:
        """After each iteration; `step` counts from 1."""

    def on_epoch(self, row: dict[str, Any]) -> None:
        """After each validation, with a row of the history: epoch, step, train_loss, validation_psnr_db, ..."""

    def on_end(self) -> None:
        """At the end, also when the training is interrupted or fails."""


def train(
    training: Training,
    checkpoints: Checkpoints,
    group: ProcessGroup,
    interruption: Interruption,
    callbacks: Sequence[Callback] = (),
    checkpoint_minutes: float = 10,
) -> Progress:
    """Train, validating after each epoch; goes on from the newest checkpoint when there is one.

    Parameters
    ----------
    training : what to train.
    checkpoints : written after each epoch, when `checkpoint_minutes` have passed, and on interruption; the caller
        removes them when the results are on disk.
    group : the processes that share the batches.
    interruption : asked after each step.
    callbacks : told of each step and epoch, in the first process.

    Returns
    -------
    History and best weights; the network itself holds the last weights.

    Raises
    ------
    UnimriError : when loss, gradient, weights or validation are not finite, or a checkpoint cannot be written.
    InterruptedTraining : when it was interrupted, after writing a checkpoint.
    """
    task, network, learning = training.task, training.network, training.learning
    epoch_steps = training.steps_per_epoch
    network.requires_grad_(False)
    for parameter in learning:
        parameter.requires_grad_(True)
    optimiser = Adam(learning, lr=task.budget.learning_rate, weight_decay=task.optimisation.weight_decay)

    # Where an earlier run of this training stopped, if there was one.
    progress = checkpoints.load(network, optimiser)
    group.check_same(f"{progress.step} {len(progress.history)}", "found another checkpoint")
    progress.processes = sorted({*progress.processes, group.size})
    checkpointer = _Checkpointer(training, optimiser, progress, checkpoints, group, interruption, checkpoint_minutes)

    callbacks = callbacks if group.leads else ()
    epochs, batch_size = task.budget.epochs, task.optimisation.batch_size
    course = Course(task.stage, training.anatomies, epochs, epoch_steps, batch_size, progress.step, training.examples)
    for callback in callbacks:
        callback.on_start(course)
    try:
        while not _finished(progress.history, task):
            while progress.step < (len(progress.history) + 1) * epoch_steps:
                factor = learning_rate_factor(task.optimisation, progress.step, epochs * epoch_steps)
                rate = task.budget.learning_rate * factor
                for settings in optimiser.param_groups:
                    settings["lr"] = rate

                loss = training.loss_of(progress.step)  # scalar
                optimiser.zero_grad(set_to_none=True)
                loss.backward()  # type: ignore[no-untyped-call]
                group.average_gradients(learning)
                norm = _shorten(learning, task.optimisation.gradient_clip)  # scalar

                # One exchange a step: the loss, and what each process asks for.
                own, length = torch.stack([loss.detach(), norm]).tolist()
                value, *requests = group.sum([own / group.size, *checkpointer.requests()]).tolist()
                if not (math.isfinite(value) and math.isfinite(length)):
                    checkpointer.stop_not_finite(f"the loss is {value} and the gradient's norm {length}", progress.step)

                optimiser.step()
                progress.step += 1
                progress.loss_sum += value
                for callback in callbacks:
                    callback.on_step(progress.step, value, rate)
                checkpointer.answer(*requests)

            scores = training.validate(lambda: checkpointer.answer(*group.sum(checkpointer.requests())))
            psnr = scores["validation_psnr_db"]
            if not math.isfinite(psnr):
                checkpointer.stop_not_finite(f"the validation is {psnr} dB", progress.step - 1)
            if psnr > progress.best_psnr_db:
                progress.best_psnr_db = psnr
                progress.best = {name: tensor.clone() for name, tensor in network.state_dict().items()}
            row = {"epoch": len(progress.history) + 1, "step": progress.step}
            progress.history.append({**row, "train_loss": progress.loss_sum / epoch_steps, **scores})
            progress.loss_sum = 0.0
            checkpointer.save()
            for callback in callbacks:
                callback.on_epoch(progress.history[-1])
    finally:
        for callback in callbacks:
            callback.on_end()
    return progress


def _finished(history: list[dict[str, float]], task: TrainingTask) -> bool:
    """All epochs are done, or the last ones brought no better validation. A function of the history alone."""
    patience = task.optimisation.early_stopping
    if not history or patience is None:
        return len(history) == task.budget.epochs
    best = max(history, key=lambda row: row["validation_psnr_db"])  # the first of equals
    return len(history) == task.budget.epochs or len(history) - best["epoch"] >= patience


def _shorten(learning: Sequence[nn.Parameter], longest: float | None) -> Tensor:
    """Norm of the whole gradient; shortens the gradient to `longest` if it is longer."""
    norm = nn.utils.get_total_norm([parameter.grad for parameter in learning if parameter.grad is not None])
    if longest is not None:
        nn.utils.clip_grads_with_norm_(learning, longest, norm)
    return norm


class Adam(optim.Adam):
    """PyTorch's Adam. Its methods, but not what is wrapped around them.

    The wrappers load PyTorch's compiler, only to tell it to leave these methods alone: 1.8 s, which is a third of the
    shortest trainings. The one around `step` also turns gradients off.
    """

    add_param_group = unwrap(optim.Adam.add_param_group)
    load_state_dict = unwrap(optim.Adam.load_state_dict)
    state_dict = unwrap(optim.Adam.state_dict)
    step = torch.no_grad()(unwrap(optim.Adam.step))
    zero_grad = unwrap(optim.Adam.zero_grad)


def learning_rate_factor(optimisation: Optimisation, step: int, total: int) -> float:
    """What the learning rate of step `step` (from 0) of `total` is multiplied by: in (0, 1].

    A function of the step alone, so that a training can resume anywhere. It rises linearly over the first
    `warmup_steps` steps. Then it is constant, or falls to zero along half a cosine.
    """
    warmup = optimisation.warmup_steps
    if step < warmup:
        return (step + 1) / warmup
    if optimisation.schedule == "constant":
        return 1.0
    return 0.5 * (1 + math.cos(math.pi * (step - warmup) / (total - warmup)))


@dataclass
class _Checkpointer:
    """Writes checkpoints when it is time to, and says where the last one is when the training stops."""

    training: Training
    optimiser: optim.Optimizer
    progress: Progress
    checkpoints: Checkpoints
    group: ProcessGroup
    interruption: Interruption
    minutes: float

    def __post_init__(self) -> None:
        self._saved = time.monotonic()

    def requests(self) -> tuple[float, float]:
        """What this process asks for, 1 or 0: to stop, and a checkpoint. The first process's clock alone counts."""
        due = self.group.leads and time.monotonic() - self._saved >= 60 * self.minutes
        return float(self.interruption.requested), float(due)

    def answer(self, stop: float, due: float) -> None:
        """Do what the requests of all processes add up to, which is the same in each of them."""
        if stop or due:
            self.save()
        if stop:
            where = self.checkpoints.describe_last()
            raise InterruptedTraining(
                f"{self.training.task.stage}: stopped as asked; the same command goes on from {where}"
            )

    def save(self) -> None:
        """Write a checkpoint."""
        tensors = [*self.training.network.parameters()]
        tensors += [tensor for state in self.optimiser.state.values() for tensor in state.values()]
        if not all(bool(tensor.isfinite().all()) for tensor in tensors):
            self.stop_not_finite("a weight or its moment is infinite", self.progress.step - 1)
        with self.group.agreeing():
            if self.group.leads:
                self.checkpoints.save(self.training.network, self.optimiser, self.progress)
        self._saved = time.monotonic()

    def stop_not_finite(self, what: str, step: int) -> NoReturn:
        """Stop because of numbers that are not finite in, or after, iteration `step`: the same in all processes."""
        with self.group.agreeing():
            raise UnimriError(
                f"{self.training.task.stage}: {what} at step {step} ({self.training.describe(step)}); "
                f"last good checkpoint: {self.checkpoints.describe_last()}; "
                "lower the stage's learning_rate, set training.optimisation.gradient_clip, or look at these slices"
            )
        raise AssertionError
