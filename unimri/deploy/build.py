"""From a finished experiment to a model that can be given to others."""

import shutil
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from unimri.artifacts import replacing
from unimri.data.store import PreparedData
from unimri.deploy.card import write_texts
from unimri.deploy.choice import largest_error, prediction_errors
from unimri.deploy.choosing import TABLE, summary, try_choice, write_choice
from unimri.deploy.description import AnatomyDescription, ModelDescription, Quality
from unimri.deploy.model import Model
from unimri.deploy.scale import scale_factor
from unimri.deploy.task import ModelTask
from unimri.errors import UnimriError
from unimri.evaluation.metrics import read_scores
from unimri.models.cascade import D5C5, UniversalD5C5
from unimri.models.folder import ABOUT, WEIGHTS, aspin_path, load_model
from unimri.models.process import settle
from unimri.physics.fourier import PHASE_AXES, from_hybrid, lines, undersample
from unimri.physics.masks import Masks, load_masks
from unimri.provenance import versions

PROPOSED, ZERO_FILLED = "proposed", "undersampled"
"""The methods whose scores a model shows."""


def build_model(task: ModelTask, model: Path, mask: Path, data: Mapping[str, Path], scores: Path, output: Path) -> None:
    """Write a model's folder: base, ASPINs, description and card.

    Parameters
    ----------
    task : what it says of itself.
    model : folder of the universal network, with an ASPIN of each anatomy.
    mask : the mask artifact that it was trained with.
    data : prepared data of each anatomy.
    scores : folder with `proposed/{anatomy}.csv` and `undersampled/{anatomy}.csv`.
    output : the folder; it is replaced as a whole.

    Raises
    ------
    UnimriError : when an input is missing or does not fit.
    """
    settle()
    masks = load_masks(mask)
    network = load_model(model, task.anatomies)
    if not isinstance(network, UniversalD5C5):
        raise UnimriError(f"{model}: its network has no ASPIN; only a universal one can be given to others")
    prepared = {name: PreparedData(folder) for name, folder in data.items()}
    if missing := set(task.anatomies) - set(prepared):
        raise UnimriError(f"no prepared data of {', '.join(sorted(missing))}; give them with --data")
    anatomies = {
        name: AnatomyDescription(
            origin=part.origin,
            role=part.role,
            scale_factor=scale_factor(prepared[name], masks),
            largest_error=typical_error(network, name, prepared[name], masks),
            training_patients=int(_split(prepared[name], "train")["patient"].nunique()),
            quality=_quality(scores, name),
        )
        for name, part in task.anatomies.items()
    }
    description = ModelDescription(
        name=task.name,
        acceleration=task.acceleration,
        mask=task.mask,
        image_size=next(iter(prepared.values())).image_size,
        metrics=task.metrics,
        anatomies=anatomies,
        settings=task.settings,
        versions=versions(),
        files={},
    )
    with replacing(output) as temporary:
        (temporary / "aspin").mkdir(parents=True)
        for name in (WEIGHTS, ABOUT):
            shutil.copyfile(model / name, temporary / name)
        for name in anatomies:
            shutil.copyfile(aspin_path(model, name), aspin_path(temporary, name))
        tried = try_choice(Model(description, network), {name: prepared[name] for name in anatomies})
        write_choice(tried, temporary / TABLE)
        description = description.model_copy(update={"choice": summary(tried)})
        write_texts(temporary, description)


def _split(data: PreparedData, name: str) -> pd.DataFrame:
    return data.manifest[data.manifest["split"] == name]


def _quality(scores: Path, anatomy: str) -> Quality:
    own, zero_filled = (read_scores([scores / method / f"{anatomy}.csv"]) for method in (PROPOSED, ZERO_FILLED))
    return Quality(
        slices=len(own),
        patients=int(own["patient"].nunique()),
        psnr_db=round(float(own["psnr_db"].mean()), 4),
        ssim_percent=round(float(own["ssim_percent"].mean()), 4),
        zero_filled_psnr_db=round(float(zero_filled["psnr_db"].mean()), 4),
        zero_filled_ssim_percent=round(float(zero_filled["ssim_percent"].mean()), 4),
    )


@torch.no_grad()
def typical_error(network: D5C5, anatomy: str, data: PreparedData, masks: Masks) -> float:
    """Where scans stop to be like an anatomy's, from the volumes of its validation split."""
    slices, axis = data.split("validation"), PHASE_AXES[masks.axis]

    def reconstruct(measured: torch.Tensor, sampled: torch.Tensor, name: str) -> torch.Tensor:
        image, _ = network(from_hybrid(measured, axis), measured, sampled, axis, name)
        return torch.fft.fft(image, dim=axis, norm="ortho")

    errors = []
    for _, _, numbers in slices.volumes():
        kept = masks.of_slices(numbers)
        _, measured = undersample(torch.from_numpy(slices.batch(numbers)), lines(torch.from_numpy(kept), axis), axis)
        errors.append(prediction_errors(reconstruct, measured, kept, axis, [anatomy]).mean())
    return largest_error(np.array(errors))
