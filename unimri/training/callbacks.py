"""What shows the course of a training: progress bar and log, TensorBoard, MLflow or Weights & Biases.

A logger for another service is one more `Sink` of a few lines in `SINKS`.
"""

import logging
import shutil
import time
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from unimri.core.errors import UnimriError
from unimri.training.engine import Callback, Course
from unimri.training.settings import LoggerName

log = logging.getLogger(__name__)

# A point of the loss every so many steps.
_EVERY = 10
# Slices in a picture, and how much brighter than the images its errors are.
_SHOWN, _ERROR_GAIN = 4, 5


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
        if not self._has_line(row["epoch"]):
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

    def _has_line(self, epoch: int) -> bool:
        """Whether an epoch, from 1, has a line."""
        lines, epochs = self._lines, self._course.epochs
        return lines is None or epoch * lines // epochs > (epoch - 1) * lines // epochs

    def _images_a_second(self) -> float:
        """Since this run began, validation included."""
        images = (self._step - self._course.step) * self._course.batch_size
        return images / max(time.monotonic() - self._started, 1e-9)


class Sink(Protocol):
    """Where numbers and pictures go; made with a folder of its own, a title, and the step that it begins at."""

    def __init__(self, folder: Path, title: str, step: int) -> None: ...

    def numbers(self, values: Mapping[str, float], step: int) -> None:
        """Take values by their names."""

    def picture(self, name: str, image: NDArray[np.uint8], step: int) -> None:
        """Take a grey picture (H, W)."""

    def close(self) -> None:
        """Write what is left."""


class TensorBoard:
    """Event files; look at them with `tensorboard --logdir` and the folder of the results."""

    def __init__(self, folder: Path, title: str, step: int) -> None:
        from torch.utils.tensorboard import SummaryWriter

        if not step:
            # Of an earlier training, whose curves would lie under ours.
            shutil.rmtree(folder, ignore_errors=True)
        self._writer: Any = SummaryWriter(str(folder), purge_step=step + 1)

    def numbers(self, values: Mapping[str, float], step: int) -> None:
        for name, value in values.items():
            self._writer.add_scalar(name, value, step)

    def picture(self, name: str, image: NDArray[np.uint8], step: int) -> None:
        self._writer.add_image(name, image, step, dataformats="HW")

    def close(self) -> None:
        self._writer.close()


class MLflow:
    """A run of MLflow; MLFLOW_TRACKING_URI and MLFLOW_EXPERIMENT_NAME say where."""

    def __init__(self, folder: Path, title: str, step: int) -> None:
        import mlflow

        self._mlflow: Any = mlflow
        mlflow.start_run(run_name=title)

    def numbers(self, values: Mapping[str, float], step: int) -> None:
        self._mlflow.log_metrics(dict(values), step=step)

    def picture(self, name: str, image: NDArray[np.uint8], step: int) -> None:
        self._mlflow.log_image(image, key=name, step=step)

    def close(self) -> None:
        self._mlflow.end_run()


class WeightsAndBiases:
    """A run of Weights & Biases; WANDB_PROJECT, WANDB_MODE and its other variables say where."""

    def __init__(self, folder: Path, title: str, step: int) -> None:
        import wandb

        self._wandb: Any = wandb
        self._run: Any = wandb.init(name=title)

    def numbers(self, values: Mapping[str, float], step: int) -> None:
        self._run.log(dict(values), step=step)

    def picture(self, name: str, image: NDArray[np.uint8], step: int) -> None:
        self._run.log({name: self._wandb.Image(image)}, step=step)

    def close(self) -> None:
        self._run.finish()


SINKS: dict[LoggerName, type[Sink]] = {"tensorboard": TensorBoard, "mlflow": MLflow, "wandb": WeightsAndBiases}


class Logging(Callback):
    """Tells a sink of a training.

    Parameters
    ----------
    name : of the sink.
    folder : its own, for this training.
    title : of the training, for whoever looks.
    picture_epochs : SSIM and pictures every so many epochs: they reconstruct the validation slices once more.

    Raises
    ------
    UnimriError : from `on_start`, when the sink's package is not installed.
    """

    def __init__(self, name: LoggerName, folder: Path, title: str, picture_epochs: int) -> None:
        self._name, self._folder, self._title, self._picture_epochs = name, folder, title, picture_epochs
        self._sink: Sink | None = None

    def on_start(self, course: Course) -> None:
        """Open the sink."""
        self._course = course
        try:
            self._sink = SINKS[self._name](self._folder, self._title, course.step)
        except ImportError:
            raise UnimriError(
                f"training.logger: {self._name} is not installed; pip install {self._name}, or set it to null"
            ) from None

    def on_step(self, step: int, loss: float, learning_rate: float) -> None:
        """Tell of the loss."""
        if self._sink is not None and step % _EVERY == 0:
            self._sink.numbers({"loss": loss, "learning_rate": learning_rate}, step)

    def on_epoch(self, row: dict[str, Any]) -> None:
        """Tell of the validation."""
        if self._sink is None:
            return
        step = row["step"]
        values = {name: value for name, value in row.items() if name not in ("epoch", "step")}
        if row["epoch"] % self._picture_epochs == 0:
            # Here, because it takes a second to import.
            from skimage.metrics import structural_similarity

            ssim: defaultdict[str, list[float]] = defaultdict(list)
            shown: defaultdict[str, list[NDArray[np.float32]]] = defaultdict(list)
            for anatomy, truth, image in self._course.examples():
                ssim[anatomy].append(100 * float(structural_similarity(truth, image, data_range=1.0)))
                if len(shown[anatomy]) < _SHOWN:
                    shown[anatomy].append(np.concatenate([truth, image, _ERROR_GAIN * np.abs(image - truth)]))
            values |= {f"validation_ssim_percent_{anatomy}": float(np.mean(own)) for anatomy, own in ssim.items()}
            for anatomy, columns in shown.items():
                strip = np.clip(np.concatenate(columns, axis=1), 0, 1)
                picture = np.rint(255 * strip).astype(np.uint8)
                self._sink.picture(f"truth_reconstruction_error_{anatomy}", picture, step)
        self._sink.numbers(values, step)

    def on_end(self) -> None:
        """Close the sink."""
        if self._sink is not None:
            self._sink.close()
