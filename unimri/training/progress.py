"""What a person who waits for a training sees: a progress bar, and a line an epoch."""

import logging
import time
from typing import Any

from tqdm import tqdm

from unimri.training.callbacks import Callback, Course

log = logging.getLogger(__name__)


class Display(Callback):
    """A progress bar on a terminal; for each epoch a line in the log.

    Parameters
    ----------
    lines : at most so many epochs' lines, evenly spaced, that of the last epoch among them; None: all.
    """

    def __init__(self, lines: int | None = None) -> None:
        self._lines = lines

    def on_start(self, course: Course) -> None:
        """Open the bar."""
        self._course, self._step, self._started = course, course.step, time.monotonic()
        self._title = f"{course.stage} {' '.join(course.anatomies)}"
        total = course.epochs * course.steps_per_epoch
        self._bar = tqdm(total=total, initial=course.step, desc=self._title, unit="step", disable=None)

    def on_step(self, step: int, loss: float, learning_rate: float) -> None:
        """Move the bar."""
        self._step = step
        self._bar.set_postfix_str(f"loss {loss:.4f}, {self._images_a_second():.0f} images/s", refresh=False)
        self._bar.update()

    def on_epoch(self, row: dict[str, Any]) -> None:
        """Log a line, if it is this epoch's turn."""
        if not self._told(row["epoch"]):
            return
        course, done = self._course, self._step - self._course.step
        total = course.epochs * course.steps_per_epoch
        seconds = time.monotonic() - self._started
        left = tqdm.format_interval(seconds / done * (total - self._step)) if done else "?"
        log.info(
            "%s: epoch %d of %d, step %d of %d, loss %.5f, validation %.2f dB, %.0f images/s, %s left",
            self._title,
            row["epoch"],
            course.epochs,
            row["step"],
            total,
            row["train_loss"],
            row["validation_psnr_db"],
            self._images_a_second(),
            left,
        )

    def on_end(self) -> None:
        """Close the bar."""
        self._bar.close()

    def _told(self, epoch: int) -> bool:
        """Whether an epoch, from 1, has a line."""
        lines, epochs = self._lines, self._course.epochs
        return lines is None or epoch * lines // epochs > (epoch - 1) * lines // epochs

    def _images_a_second(self) -> float:
        """Since this run began, validation included."""
        images = (self._step - self._course.step) * self._course.batch_size
        return images / max(time.monotonic() - self._started, 1e-9)
