"""Telling TensorBoard, MLflow or Weights & Biases of the course of a training.

A logger for another service is one more `Sink` of a few lines in `SINKS`.
"""

import shutil
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from skimage.metrics import structural_similarity

from unimri.core.errors import UnimriError
from unimri.training.callbacks import Callback, Course
from unimri.training.settings import LoggerName

# A point of the loss every so many steps.
_EVERY = 10
# Slices in a picture, and how much brighter than the images its errors are.
_SHOWN, _ERROR_GAIN = 4, 5


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
