"""The one training loop of all stages."""

import logging
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn
from tqdm import tqdm

from unimri.errors import UnimriError
from unimri.training.checkpoints import Progress, load_checkpoint, save_checkpoint

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Plan:
    """What the loop needs to know.

    Attributes
    ----------
    epochs, steps_per_epoch : counts.
    learning_rate : at the start.
    weight_decay : Adam's.
    cosine : let the learning rate fall to zero along half a cosine.
    """

    epochs: int
    steps_per_epoch: int
    learning_rate: float
    weight_decay: float
    cosine: bool


def train(
    network: nn.Module,
    learning: Sequence[nn.Parameter],
    loss_of: Callable[[int], Tensor],
    validate: Callable[[], dict[str, float]],
    plan: Plan,
    checkpoint: Path,
    title: str,
) -> Progress:
    """Train, validating after each epoch and resuming from `checkpoint` when it exists.

    Parameters
    ----------
    network : holds every parameter; only those in `learning` change.
    loss_of : gives the loss of iteration `step` (from 0).
    validate : gives validation columns for the history, among them `validation_psnr_db`, in dB, which the best weights
        are chosen by.
    checkpoint : written after each epoch; the caller removes it when the results are on disk.
    title : names the training in its progress bar.

    Returns
    -------
    History and best weights; the network itself holds the last weights.

    Raises
    ------
    UnimriError : when the loss is not finite.
    """
    network.requires_grad_(False)
    for parameter in learning:
        parameter.requires_grad_(True)
    optimiser = torch.optim.Adam(learning, lr=plan.learning_rate, weight_decay=plan.weight_decay)
    progress = load_checkpoint(checkpoint, network, optimiser)
    total = plan.epochs * plan.steps_per_epoch
    with tqdm(total=total, initial=progress.epoch * plan.steps_per_epoch, desc=title, unit="step", disable=None) as bar:
        while progress.epoch < plan.epochs:
            started = time.monotonic()
            summed = 0.0
            for step in range(progress.epoch * plan.steps_per_epoch, (progress.epoch + 1) * plan.steps_per_epoch):
                fraction = 0.5 * (1 + math.cos(math.pi * step / total)) if plan.cosine else 1.0
                for group in optimiser.param_groups:
                    group["lr"] = plan.learning_rate * fraction
                loss = loss_of(step)
                value = loss.item()
                if not math.isfinite(value):
                    raise UnimriError(f"{title}: the loss is {value} at step {step}; lower the stage's learning_rate")
                optimiser.zero_grad(set_to_none=True)
                loss.backward()  # type: ignore[no-untyped-call]
                optimiser.step()
                summed += value
                bar.update()
                bar.set_postfix(loss=f"{value:.4f}", refresh=False)
            progress.epoch += 1
            scores = validate()
            row = {"epoch": progress.epoch, "step": progress.epoch * plan.steps_per_epoch}
            mean_loss = summed / plan.steps_per_epoch
            progress.history.append({**row, "train_loss": mean_loss, **scores})
            if scores["validation_psnr_db"] > progress.best_psnr_db:
                progress.best_psnr_db = scores["validation_psnr_db"]
                progress.best = {name: tensor.clone() for name, tensor in network.state_dict().items()}
            save_checkpoint(checkpoint, network, optimiser, progress)
            seconds = time.monotonic() - started
            log.info(
                "epoch %d of %d: loss %.5f, validation %.2f dB, %.0f s, %s left",
                progress.epoch,
                plan.epochs,
                mean_loss,
                scores["validation_psnr_db"],
                seconds,
                tqdm.format_interval(seconds * (plan.epochs - progress.epoch)),
            )
    return progress
