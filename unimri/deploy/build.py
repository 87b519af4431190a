"""From a finished experiment to a model that can be given to others."""

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from unimri.core.artifacts import replacing
from unimri.core.compute import use_threads
from unimri.core.errors import UnimriError
from unimri.core.provenance import versions
from unimri.data.split import Split
from unimri.data.store import PreparedData
from unimri.deploy.card import write_texts
from unimri.deploy.choice import distance, features, fit_precision, largest_distance
from unimri.deploy.choosing import TABLE, summary, try_choice, write_choice
from unimri.deploy.description import AnatomyDescription, ModelDescription, Quality
from unimri.deploy.model import Model
from unimri.deploy.scale import scale_factor
from unimri.deploy.task import ModelTask
from unimri.metrics.score import read_scores
from unimri.models.folder import ABOUT, WEIGHTS, aspin_path, load_model
from unimri.physics.fourier import PHASE_AXES, lines, undersample
from unimri.physics.masks import Masks, load_masks

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
    use_threads()
    masks = load_masks(mask)
    network = load_model(model, task.anatomies)
    if not network.conditioning.adaptable:
        raise UnimriError(f"{model}: its network has no ASPIN; only a universal one can be given to others")
    prepared = {name: PreparedData(folder) for name, folder in data.items()}
    if missing := set(task.anatomies) - set(prepared):
        raise UnimriError(f"no prepared data of {', '.join(sorted(missing))}; give them with --data")
    size = next(iter(prepared.values())).image_size
    trained = {name: looks(prepared[name], masks, "train", size) for name in task.anatomies}
    precision = fit_precision([np.concatenate(volumes) for volumes in trained.values()])
    precision = np.array([[float(f"{value:.6g}") for value in row] for row in precision])
    found = {
        name: own_look(trained[name], looks(prepared[name], masks, "validation", size), precision)
        for name in task.anatomies
    }
    anatomies = {
        name: AnatomyDescription(
            origin=part.origin,
            role=part.role,
            scale_factor=scale_factor(prepared[name], masks),
            look=found[name][0],
            largest_distance=found[name][1],
            training_patients=count_patients(prepared[name], "train"),
            quality=_quality(scores, name),
        )
        for name, part in task.anatomies.items()
    }
    description = ModelDescription(
        name=task.name,
        acceleration=task.acceleration,
        mask=task.mask,
        image_size=size,
        metrics=task.metrics,
        anatomies=anatomies,
        precision=precision.tolist(),
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


def count_patients(data: PreparedData, split: Split) -> int:
    """How many patients a split has."""
    return int(data.manifest.loc[data.manifest["split"] == split, "patient"].nunique())


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


def looks(data: PreparedData, masks: Masks, split: Split, size: int) -> list[NDArray[np.float64]]:
    """What the zero-filled slices of each volume of a split look like; see `unimri.deploy.choice.features`."""
    masks.check_size(data.image_size)
    slices, axis = data.split(split), PHASE_AXES[masks.axis]
    found = []
    for _, _, numbers in slices.volumes():
        sampled = lines(torch.from_numpy(masks.of_slices(numbers)), axis)
        zero_filled, _ = undersample(torch.from_numpy(slices.batch(numbers)), sampled, axis)
        found.append(features(zero_filled.abs(), size))
    return found


def own_look(
    train: Sequence[NDArray[np.float64]], validation: Sequence[NDArray[np.float64]], precision: NDArray[np.float64]
) -> tuple[list[float], float]:
    """An anatomy's look, and where scans stop to be like it, from its volumes' `looks`; the model's `precision`."""
    mean = np.concatenate(train).mean(0)
    own = [distance(volume, mean, precision) for volume in (*train, *validation)]
    return [float(f"{value:.6g}") for value in mean], float(f"{largest_distance(own):.6g}")
