"""The lines that a training logs; what reaches TensorBoard's files, and that nothing else changes for it."""

import logging
import sys

import numpy as np
import pytest
from skimage.metrics import structural_similarity
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from unimri.core.errors import UnimriError
from unimri.training.callbacks import SINKS, Display, Logging
from unimri.training.engine import Callback, Course
from unimri.training.run import run_training


def weights(folder):
    return (folder / "model.safetensors").read_bytes(), (folder / "history.csv").read_bytes()


def test_tensorboard_gets_the_course_and_the_training_stays_the_same(experiment, tmp_path):
    task, files = experiment.task("pretrained", 12), experiment.files("head", "hand")
    run_training(task, files, tmp_path / "plain", tmp_path / "c")
    logger = Logging("tensorboard", tmp_path / "events", "a title", picture_epochs=1)
    run_training(task, files, tmp_path / "logged", tmp_path / "c", [logger])
    assert weights(tmp_path / "logged") == weights(tmp_path / "plain")
    events = EventAccumulator(str(tmp_path / "events"))
    events.Reload()
    history = np.genfromtxt(tmp_path / "plain/history.csv", delimiter=",", names=True)
    for column in ("train_loss", "validation_psnr_db", "validation_psnr_db_hand"):
        points = events.Scalars(column)
        assert [point.step for point in points] == history["step"].tolist()
        np.testing.assert_allclose([point.value for point in points], history[column], atol=1e-5)
    assert {"loss", "learning_rate", "validation_ssim_percent_head"} <= set(events.Tags()["scalars"])
    assert next(point.step for point in events.Scalars("loss")) == 10
    # Three rows of 16 pixels: truth, reconstruction, error.
    (picture, *_) = events.Images("truth_reconstruction_error_head")
    assert picture.height == 3 * 16


def test_a_training_that_goes_on_keeps_the_events_before_and_a_new_one_does_not(experiment, tmp_path):
    class Stop(Callback):
        def on_step(self, step, loss, learning_rate):
            if step == 20:
                raise KeyboardInterrupt

    task, files = experiment.task("independent", 20), experiment.files("head")
    logger = Logging("tensorboard", tmp_path / "events", "", picture_epochs=5)

    def steps():
        events = EventAccumulator(str(tmp_path / "events"))
        events.Reload()
        return [point.step for point in events.Scalars("loss")]

    with pytest.raises(KeyboardInterrupt):
        run_training(task, files, tmp_path / "x", tmp_path / "c", [logger, Stop()], checkpoint_minutes=0)
    assert steps() == [10, 20]
    run_training(task, files, tmp_path / "x", tmp_path / "c", [logger])
    assert steps() == [10, 20, 30, 40]
    run_training(task, files, tmp_path / "x", tmp_path / "c", [logger])
    assert steps() == [10, 20, 30, 40]


class Recorder:
    """A sink that keeps what it is given."""

    events: list

    def __init__(self, folder, title, step):
        type(self).events = [("open", folder, title, step)]

    def numbers(self, values, step):
        self.events.append(("numbers", dict(values), step))

    def picture(self, name, image, step):
        self.events.append(("picture", name, image, step))

    def close(self):
        self.events.append(("close",))


def test_ssim_is_of_the_validation_slices_and_pictures_come_every_so_many_epochs(experiment, tmp_path, monkeypatch):
    monkeypatch.setitem(SINKS, "tensorboard", Recorder)
    seen = []

    class Watch(Callback):
        def on_start(self, course):
            self.course = course

        def on_epoch(self, row):
            pairs = [(truth, image) for _, truth, image in self.course.examples()]
            seen.append(np.mean([100 * structural_similarity(*pair, data_range=1.0) for pair in pairs]))

    logger = Logging("tensorboard", tmp_path, "title", picture_epochs=2)
    run_training(
        experiment.task("independent", 4), experiment.files("head"), tmp_path / "x", tmp_path / "c", [Watch(), logger]
    )
    events = Recorder.events
    assert events[0] == ("open", tmp_path, "title", 0)
    assert events[-1] == ("close",)
    numbers = [event[1] for event in events if event[0] == "numbers"]
    said = [values["validation_ssim_percent_head"] for values in numbers if "validation_ssim_percent_head" in values]
    np.testing.assert_allclose(said, seen[1::2])
    assert sum(event[0] == "picture" for event in events) == 2


@pytest.mark.parametrize("name", ["mlflow", "wandb", "tensorboard"])
def test_a_service_that_is_not_installed_is_reported(experiment, tmp_path, monkeypatch, name):
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard" if name == "tensorboard" else name, None)
    logger = Logging(name, tmp_path / "events", "", 1)
    with pytest.raises(UnimriError, match=rf"training\.logger: {name} is not installed; pip install {name}"):
        run_training(experiment.task("independent"), experiment.files("head"), tmp_path / "x", tmp_path / "c", [logger])


@pytest.mark.parametrize(
    ("lines", "epochs", "expected"),
    [
        (None, 4, [1, 2, 3, 4]),
        (10, 4, [1, 2, 3, 4]),
        (10, 10, list(range(1, 11))),
        (10, 50, list(range(5, 51, 5))),
        (10, 101, [11, 21, 31, 41, 51, 61, 71, 81, 91, 101]),
        (1, 7, [7]),
    ],
)
def test_so_many_lines_are_logged_and_the_last_epochs_among_them(
    lines: int | None, epochs: int, expected: list[int], caplog: pytest.LogCaptureFixture
) -> None:
    display = Display(lines)
    display.on_start(Course("adapted", ("hip",), epochs, 2, 4, 0, lambda: iter(())))
    with caplog.at_level(logging.INFO, logger="unimri"):
        for epoch in range(1, epochs + 1):
            display.on_step(2 * epoch, 0.5, 0.01)
            display.on_epoch({"epoch": epoch, "step": 2 * epoch, "train_loss": 0.5, "validation_psnr_db": 30.0})
    display.on_end()
    assert [record.args[1] for record in caplog.records if isinstance(record.args, tuple)] == expected
