"""Where progress bars and loggers are plugged into the training loop."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray


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
