import json
import logging
import math
import os
import re
import signal
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from commands import tree

from unimri.core.errors import UnimriError
from unimri.data.store import PreparedData
from unimri.training import run
from unimri.training.callbacks import Display
from unimri.training.checkpoints import Checkpoints
from unimri.training.distributed import InterruptedTraining
from unimri.training.engine import Adam, Callback, learning_rate_factor
from unimri.training.run import run_training
from unimri.training.settings import Optimisation


class Recorder(Callback):
    def __init__(self) -> None:
        self.courses, self.steps, self.rows, self.ended = [], [], [], 0

    def on_start(self, course):
        self.courses.append(course)

    def on_step(self, step, loss, learning_rate):
        self.steps.append((step, loss, learning_rate))

    def on_epoch(self, row):
        self.rows.append(row)

    def on_end(self):
        self.ended += 1


def with_optimisation(task, **changes):
    return task.model_copy(update={"optimisation": task.optimisation.model_copy(update=changes)})


def test_the_learning_rate_rises_over_the_warm_up_and_falls_along_half_a_cosine() -> None:
    settings = Optimisation(warmup_steps=4)
    rates = np.array([learning_rate_factor(settings, step, 14) for step in range(14)])
    np.testing.assert_allclose(rates[:4], [0.25, 0.5, 0.75, 1])
    np.testing.assert_allclose(rates[4:], np.cos(np.linspace(0, np.pi / 2, 11)[:-1]) ** 2)
    assert learning_rate_factor(Optimisation(), 7, 14) == pytest.approx(0.5)
    assert {learning_rate_factor(Optimisation(schedule="constant"), step, 14) for step in range(14)} == {1.0}


def test_callbacks_hear_of_every_step_and_epoch(experiment, tmp_path) -> None:
    recorder, task = Recorder(), experiment.task("pretrained", 3)
    run_training(task, experiment.files("head", "hand"), tmp_path / "o", tmp_path / "c", [recorder])
    (course,) = recorder.courses
    assert (course.stage, course.anatomies, course.step) == ("pretrained", ("head", "hand"), 0)
    assert (course.epochs, course.steps_per_epoch, course.batch_size) == (3, 4, 2)
    assert [step for step, _, _ in recorder.steps] == list(range(1, 13))
    rates = [rate for _, _, rate in recorder.steps]
    np.testing.assert_allclose(rates, 1e-2 * np.cos(np.arange(12) * np.pi / 24) ** 2)
    history = pd.read_csv(tmp_path / "o/history.csv")
    assert list(history["step"]) == [row["step"] for row in recorder.rows] == [4, 8, 12]
    losses = np.array([loss for _, loss, _ in recorder.steps]).reshape(3, 4).mean(1)
    np.testing.assert_allclose(history["train_loss"], losses, atol=1e-6)
    assert recorder.ended == 1


def test_the_epochs_line_says_stage_anatomy_step_loss_speed_and_time(experiment, tmp_path, caplog, capfd) -> None:
    caplog.set_level(logging.INFO, "unimri")
    run_training(experiment.task("independent"), experiment.files("hip"), tmp_path / "o", tmp_path / "c", [Display()])
    lines = [record.getMessage() for record in caplog.records]
    assert len(lines) == 2
    number = r"\d+(\.\d+)?"
    start = rf"independent hip: epoch 2 of 2, step 4 of 4, loss {number}, "
    assert re.fullmatch(rf"{start}validation {number} dB, {number} images/s, 00:0\d left", lines[1])
    # No terminal, no bar.
    assert capfd.readouterr().err == ""


def gradient_norms(monkeypatch) -> list[float]:
    """Norm of the whole gradient that each step of Adam to come is given."""
    norms: list[float] = []
    inner = Adam.step

    def step(self, *arguments):
        gradients = [p.grad.flatten() for group in self.param_groups for p in group["params"] if p.grad is not None]
        norms.append(torch.cat(gradients).double().norm().item())
        return inner(self, *arguments)

    monkeypatch.setattr(Adam, "step", step)
    return norms


def test_a_long_gradient_is_shortened_and_a_short_one_left(experiment, tmp_path, monkeypatch) -> None:
    norms = gradient_norms(monkeypatch)
    task, files = experiment.task("independent"), experiment.files("head")
    run_training(task, files, tmp_path / "any", tmp_path / "c")
    longest = (min(norms) + max(norms)) / 2
    first = norms[0]
    norms.clear()
    run_training(with_optimisation(task, gradient_clip=longest), files, tmp_path / "clipped", tmp_path / "c")
    assert max(norms) <= longest * 1.0001
    assert norms[0] == pytest.approx(min(first, longest), rel=1e-4)
    norms.clear()
    run_training(with_optimisation(task, gradient_clip=1e6), files, tmp_path / "never", tmp_path / "c")
    assert norms[0] == first


@pytest.fixture
def scores(monkeypatch):
    """Lets a test say what the validations to come find."""
    left, inner = [], run.train

    def train(training, *rest):
        return inner(replace(training, validate=lambda _: {"validation_psnr_db": left.pop(0)}), *rest)

    monkeypatch.setattr(run, "train", train)
    return left.extend


def epochs(folder) -> list[int]:
    return list(pd.read_csv(folder / "history.csv")["epoch"])


def test_early_stopping_waits_for_its_patience(experiment, tmp_path, scores) -> None:
    scores([30, 31, 31, 30.5, 32])
    task = with_optimisation(experiment.task("independent", 5), early_stopping=2)
    run_training(task, experiment.files("head"), tmp_path / "o", tmp_path / "c")
    assert epochs(tmp_path / "o") == [1, 2, 3, 4]
    assert json.loads((tmp_path / "o/model.json").read_text())["best_epoch"] == 2


def test_early_stopping_is_the_same_after_an_interruption(experiment, tmp_path, scores, monkeypatch) -> None:
    task = with_optimisation(experiment.task("independent", 5), early_stopping=2)
    files = experiment.files("head")
    scores([30, 31, 31, 30.5])
    run_training(task, files, tmp_path / "whole", tmp_path / "c")
    save = Checkpoints.save

    def save_and_die(self, network, optimiser, progress) -> None:
        save(self, network, optimiser, progress)
        if len(progress.history) == 3:
            raise KeyboardInterrupt

    scores([30, 31, 31])
    with monkeypatch.context() as patch:
        patch.setattr(Checkpoints, "save", save_and_die)
        with pytest.raises(KeyboardInterrupt):
            run_training(task, files, tmp_path / "broken", tmp_path / "c")
    scores([30.5, 32])
    run_training(task, files, tmp_path / "broken", tmp_path / "c")
    assert tree(tmp_path / "broken") == tree(tmp_path / "whole")


@pytest.fixture
def poisoned(monkeypatch):
    """Lets a test change the loss of the trainings to come: poison(loss, step, network) gives another."""

    def poison(with_) -> None:
        inner = run.train

        def train(training, *rest):
            network, loss_of = training.network, training.loss_of
            return inner(replace(training, loss_of=lambda step: with_(loss_of(step), step, network)), *rest)

        monkeypatch.setattr(run, "train", train)

    return poison


def infinite_loss(loss, step, network):
    return loss / 0 if step == 3 else loss


def infinite_gradient(loss, step, network):
    """A loss of zero, with the gradient of a square root at zero."""
    return loss + (torch.sqrt(next(network.parameters()).sum() * 0) if step == 3 else 0)


def infinite_weight(loss, step, network):
    if step == 3:
        with torch.no_grad():
            list(network.parameters())[-1].fill_(math.inf)
        return sum(parameter.sum() for parameter in list(network.parameters())[:1])
    return loss


@pytest.mark.parametrize("poison", [infinite_loss, infinite_gradient, infinite_weight])
def test_what_is_not_finite_stops_the_training_and_reaches_no_file(experiment, tmp_path, poisoned, poison) -> None:
    poisoned(poison)
    files, checkpoints = experiment.files("head", "hand"), tmp_path / "c"
    with pytest.raises(UnimriError) as fault:
        run_training(experiment.task("pretrained"), files, tmp_path / "o", checkpoints, checkpoint_minutes=0)
    message = str(fault.value)
    assert "at step 3 (" in message
    # Iteration 3 of S2 is the second one's turn; its volumes are named by the keys of the manifest.
    keys = set(PreparedData(files.data["hand"]).manifest["volume"])
    assert any(f"hand volume {key} slice " in message for key in keys)
    assert "head" not in message
    newest = max(checkpoints.iterdir())
    assert newest.name.split("-")[1:] == ["0000000003", "000000.safetensors"]
    assert f"last good checkpoint: {newest} (step 3)" in message
    assert not (tmp_path / "o").exists()


def test_a_validation_that_is_not_finite_stops_the_training(experiment, tmp_path, scores) -> None:
    scores([30, math.nan])
    with pytest.raises(UnimriError, match=r"the validation is nan dB at step 3"):
        run_training(experiment.task("independent"), experiment.files("head"), tmp_path / "o", tmp_path / "c")
    assert not (tmp_path / "o").exists()


def test_a_training_draws_no_random_numbers(experiment, tmp_path, monkeypatch) -> None:
    inner, states = run.train, []

    def train(*arguments):
        states.append(torch.get_rng_state())
        progress = inner(*arguments)
        states.append(torch.get_rng_state())
        return progress

    monkeypatch.setattr(run, "train", train)
    run_training(experiment.task("shared"), experiment.files("head", "hand"), tmp_path / "o", tmp_path / "c")
    assert torch.equal(*states)


class Kill(Callback):
    """Interrupts at a step, as a signal would."""

    def __init__(self, step: int) -> None:
        self.at = step

    def on_step(self, step, loss, learning_rate):
        if step == self.at:
            os.kill(os.getpid(), signal.SIGTERM)


def test_checkpoints_are_written_by_the_clock_and_not_more_often(experiment, tmp_path, monkeypatch) -> None:
    saved = []
    save = Checkpoints.save

    def note(self, network, optimiser, progress) -> None:
        saved.append((progress.step, len(progress.history)))
        save(self, network, optimiser, progress)

    monkeypatch.setattr(Checkpoints, "save", note)
    task, files = experiment.task("independent"), experiment.files("head")
    run_training(task, files, tmp_path / "o", tmp_path / "c", checkpoint_minutes=60)
    assert saved == [(2, 1), (4, 2)]
    saved.clear()
    with pytest.raises(InterruptedTraining):
        run_training(task, files, tmp_path / "p", tmp_path / "c", [Kill(1)], checkpoint_minutes=60)
    assert [step for step, _ in saved] in ([1], [2])
    saved.clear()
    run_training(task, files, tmp_path / "p", tmp_path / "c", checkpoint_minutes=0)
    assert [step for step, _ in dict.fromkeys(saved)] == sorted(step for step, _ in dict.fromkeys(saved))
    assert {(3, 1), (4, 1), (4, 2)} <= set(saved)
    assert tree(tmp_path / "o") == tree(tmp_path / "p")
