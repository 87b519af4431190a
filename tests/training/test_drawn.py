"""Trainings that draw coils, phase, noise, patches and masks for their slices."""

import json
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from commands import tree
from safetensors.torch import load_file

from unimri.data.store import PreparedData
from unimri.evaluation.reconstruct import reconstruct_test_split
from unimri.evaluation.reconstructions import Reconstruction
from unimri.metrics.score import AS_TRAINED
from unimri.models.folder import load_model
from unimri.models.settings import CascadeSettings, ConsistencySettings
from unimri.physics.drawing import AcquisitionSettings
from unimri.physics.masks import FastMRIRandom, Gaussian1D, load_masks
from unimri.training.run import run_training
from unimri.training.settings import TrainingTask
from unimri.training.steps import Undersampler

DRAWN = AcquisitionSettings(
    coils=[1, 3],
    phase=1,
    noise=0.02,
    patch=12,
    accelerations=(2, 3),
    masks=[FastMRIRandom(centre_fraction=0.2), Gaussian1D()],
)


@pytest.fixture
def task(experiment):
    """Of a stage, with coils drawn and lambda learnt."""

    def of(stage: str) -> TrainingTask:
        consistency = ConsistencySettings(weight=0.05, error=0.05, learnt=True, steps=3)
        network = CascadeSettings(width=3, cascades=2, last_convolution="default", consistency=consistency)
        own = experiment.task(stage)
        return own.model_copy(update={"acquisition": DRAWN, "network": network})

    return of


def test_all_stages_learn_from_coils_and_give_the_same_bytes_again(experiment, task, tmp_path: Path) -> None:
    for name in ("a", "b"):
        train = partial(run_training, checkpoints=tmp_path / "checkpoints")
        base = tmp_path / name / "pretrained"
        train(task("pretrained"), experiment.files("head", "hand"), base)
        teachers = {one: tmp_path / name / one for one in ("head", "hand")}
        for one, folder in teachers.items():
            train(task("independent"), experiment.files(one), folder)
        files = experiment.files("head", "hand", base=base, teachers=teachers)
        train(task("distilled"), files, tmp_path / name / "distilled")
        train(task("adapted"), experiment.files("hip", base=base), base / "aspin")
    assert tree(tmp_path / "a") == tree(tmp_path / "b")
    learnt = load_file(tmp_path / "a/pretrained/model.safetensors")
    assert learnt["consistency.weight"].all()
    assert learnt["consistency.error"].all()
    assert json.loads((tmp_path / "a/pretrained/model.json").read_text())["task"]["acquisition"]["coils"] == [1, 3]
    assert load_model(tmp_path / "a/pretrained", ["hip"]).consistency.weight is not None


def test_lambda_is_the_bases_and_an_adapted_anatomy_leaves_it(experiment, task, tmp_path: Path) -> None:
    base = tmp_path / "pretrained"
    run_training(task("pretrained"), experiment.files("head", "hand"), base, tmp_path / "checkpoints")
    before = tree(base)
    run_training(task("adapted"), experiment.files("hip", base=base), base / "aspin", tmp_path / "checkpoints")
    assert {name: content for name, content in tree(base).items() if name in before} == before


def test_what_is_drawn_depends_on_seed_step_and_place_alone(experiment, task) -> None:
    masks, cpu = load_masks(experiment.folder / "mask.npz"), torch.device("cpu")
    slices = PreparedData(experiment.folder / "data/head").split("train")
    numbers = np.arange(4)
    batch = slices.batch(numbers)
    whole, half = (Undersampler(masks, cpu, task("pretrained"), first) for first in (0, 2))
    for step in range(6):
        truth, given = whole(batch, numbers, step)
        # Of the second of two processes that share the batch.
        truth_of_half, half_given = half(batch[2:], numbers[2:], step)
        assert torch.equal(truth[2:], truth_of_half)
        assert torch.equal(given.kspace[2:], half_given.kspace)
        assert truth.shape[-2:] == (12, 12)
    drawn = [whole(batch, numbers, step)[1].kspace for step in range(12)]
    coils = {1 if kspace.ndim == 3 else kspace.shape[1] for kspace in drawn}
    assert coils == {1, 3}
    # Validation is of whole slices, with the most coils and the experiment's own masks, the same each time.
    _, first = whole(batch, numbers)
    _, again = half(batch, numbers)
    assert torch.equal(first.kspace, again.kspace)
    assert first.kspace.shape == (4, 3, 16, 16)
    assert int(first.sampled.sum()) == int(masks.masks.sum())


def test_a_test_split_is_scored_on_the_same_draws_by_every_method(experiment, task, tmp_path: Path) -> None:
    model = tmp_path / "model"
    run_training(task("pretrained"), experiment.files("head", "hand"), model, tmp_path / "checkpoints")
    ways = {"undersampled": None, "without_distillation": model}
    wanted = [
        Reconstruction(method=name, seed=1, condition=AS_TRAINED, model=path, acquisition=DRAWN)
        for name, path in ways.items()
    ]
    for name in ("a.h5", "b.h5"):
        reconstruct_test_split(
            "head", experiment.folder / "data/head", experiment.folder / "mask.npz", wanted, tmp_path / name
        )
    assert (tmp_path / "a.h5").read_bytes() == (tmp_path / "b.h5").read_bytes()
