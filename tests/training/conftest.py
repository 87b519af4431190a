from collections.abc import Callable
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from commands import ANATOMIES, arguments, finish, start

from unimri.data.layouts import NiftiReader
from unimri.data.prepare import PreparationSettings, PreparationTask, prepare
from unimri.models.settings import CascadeSettings
from unimri.physics.masks import Gaussian1D, draw_masks, save_masks
from unimri.training.methods import recipe
from unimri.training.run import Files, run_training
from unimri.training.settings import Budget, Distillation, Optimisation, TrainingTask

Command = Callable[..., list[str]]


class Experiment:
    """Three tiny anatomies and a mask in a folder, and a short way to train on them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        rng = np.random.default_rng(5)
        for anatomy in ("head", "hand", "hip"):
            (folder / "raw" / anatomy).mkdir(parents=True)
            for patient in range(4):
                image = nib.Nifti1Image(rng.random((16, 16, 3)).astype(np.float32), np.eye(4))
                nib.save(image, folder / "raw" / anatomy / f"{patient}.nii.gz")
            settings = PreparationSettings(image_size=16, crop=16)
            reader = NiftiReader(format="nifti", patient="file")
            task = PreparationTask(reader=reader, fit="resize", preparation=settings)
            prepare(anatomy, folder / "raw" / anatomy, task, folder / "data" / anatomy, 0)
        save_masks(draw_masks(Gaussian1D(), 16, 4), folder / "mask.npz")

    def task(self, stage: str, epochs: int = 2) -> TrainingTask:
        return TrainingTask(
            stage=stage,
            recipe=recipe(stage),
            network=CascadeSettings(width=3, cascades=2, last_convolution="default"),
            budget=Budget(epochs=epochs, learning_rate=1e-2),
            optimisation=Optimisation(batch_size=2, steps_per_epoch=2),
            distillation=Distillation() if stage == "distilled" else None,
            seed=1,
        )

    def files(self, *anatomies: str, base: Path | None = None, teachers: dict[str, Path] | None = None) -> Files:
        data = {anatomy: self.folder / "data" / anatomy for anatomy in anatomies}
        return Files(data, self.folder / "mask.npz", base, teachers)

    def train(self, stage: str, output: Path, *anatomies: str, **inputs: object) -> Path:
        run_training(self.task(stage), self.files(*anatomies, **inputs), output, self.folder / "checkpoints")  # type: ignore[arg-type]
        return output


@pytest.fixture(scope="session")
def experiment(tmp_path_factory: pytest.TempPathFactory) -> Experiment:
    return Experiment(tmp_path_factory.mktemp("experiment"))


@pytest.fixture(scope="session")
def pretrained(experiment: Experiment) -> Path:
    return experiment.train("pretrained", experiment.folder / "pretrained", "head", "hand")


@pytest.fixture(scope="session")
def commands(experiment: Experiment, pretrained: Path, tmp_path_factory: pytest.TempPathFactory) -> Command:
    """A function from stage and folder to the arguments of `unimri`, which writes `output` and `checkpoints` there."""
    folder = tmp_path_factory.mktemp("teachers")
    # What comes after is timed: the server of forks is up.
    assert finish(start(["--help"], folder / "log")) == [0]
    teachers = {name: experiment.train("independent", folder / name, name) for name in ("head", "hand")}

    def command(stage: str, folder: Path, minutes: float = 0, **optimisation: object) -> list[str]:
        base = None if stage in ("independent", "shared", "pretrained") else pretrained
        files = experiment.files(*ANATOMIES[stage], base=base, teachers=teachers if stage == "distilled" else None)
        task = experiment.task(stage, 3)
        task = task.model_copy(update={"optimisation": task.optimisation.model_copy(update=optimisation)})
        more = f"--checkpoint-minutes={minutes}"
        return arguments(task, files, folder / "output", folder / "checkpoints", more)

    return command
