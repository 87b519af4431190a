"""A small model as the workflow makes it, with weights that nobody trained."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from unimri.deploy.card import write_texts
from unimri.deploy.library import FEATURES, AnatomyDescription, ModelDescription, Quality
from unimri.metrics.base import MetricSettings
from unimri.models.cascade import D5C5
from unimri.models.folder import aspin_path, save_aspin, save_base
from unimri.models.settings import CascadeSettings
from unimri.physics.masks import Gaussian1D

NETWORK = CascadeSettings(cascades=2, convolutions=3, width=4, last_convolution="default")
SCALES = {"brain": 1.1, "knee": 1.3}


def make_model(folder: Path, seed: int = 0, network: CascadeSettings = NETWORK) -> Path:
    """Write a model of brain (base) and knee (new) for 4x at 32 x 32."""
    torch.manual_seed(seed)
    made = D5C5(network, "aspin", SCALES)
    for aspin in made.conditioning.per_anatomy.values():
        torch.nn.init.normal_(aspin.gamma, 1.0, 0.3)
        torch.nn.init.normal_(aspin.beta, 0.0, 0.3)
    save_base(made, folder)
    for name in SCALES:
        save_aspin(made.conditioning.of(name), name, folder, aspin_path(folder, name))
    about = {"network": network.model_dump(), "conditioning": "aspin", "inputs": {"data/brain": "0", "mask": "0"}}
    (folder / "model.json").write_text(json.dumps(about))
    quality = Quality(
        slices=4, patients=2, psnr_db=30.0, ssim_percent=90.0, zero_filled_psnr_db=25.0, zero_filled_ssim_percent=70.0
    )
    stage = {"epochs": 1, "learning_rate": 0.01}
    description = ModelDescription(
        name="tiny-4x",
        acceleration=4,
        mask=Gaussian1D(sigma=0.09, seed=3),
        image_size=32,
        smoothing=None,
        metrics=MetricSettings(),
        anatomies={
            name: AnatomyDescription(
                origin="simulated",
                role="base" if name == "brain" else "new",
                crop=None,
                scale_factor=factor,
                # Far from any image: nothing is like one of them.
                features=[100.0] * FEATURES,
                largest_distance=1.0,
                training_patients=6,
                quality=quality,
            )
            for name, factor in SCALES.items()
        },
        inverse_covariance=np.eye(FEATURES).tolist(),
        settings={
            "network": network.model_dump(),
            "training": {"stages": {"adapted": stage}, "optimisation": {"batch_size": 2, "validation_slices": 2}},
        },
        versions={"unimri": "0.1.0", "torch": "2"},
        files={},
    )
    write_texts(folder, description)
    return folder


@pytest.fixture(scope="session")
def shared_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Not to be changed."""
    return make_model(tmp_path_factory.mktemp("models") / "tiny-4x")


@pytest.fixture
def model_of(tmp_path: Path) -> Callable[[CascadeSettings], Path]:
    """Makes a model of a network."""
    return lambda network: make_model(tmp_path / "model", network=network)


@pytest.fixture
def model_folder(shared_model: Path, tmp_path: Path) -> Path:
    """A copy of it."""
    return Path(shutil.copytree(shared_model, tmp_path / "tiny-4x"))
