"""Scores of one method on the test split."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from unimri.core.compute import use_threads
from unimri.data.store import PreparedData, SliceSet
from unimri.evaluation.metrics import MetricSettings, SliceScore, score_slice, score_slice_by_itself, write_scores
from unimri.evaluation.reconstruction import Reconstructor, batches, load_reconstructor, reconstruct_slices
from unimri.evaluation.volumes import VolumeScore, score_volume, volumes_file, write_volume_scores
from unimri.physics.masks import Masks, load_masks


def evaluate(
    method: str,
    seed: int,
    anatomy: str,
    data: Path,
    mask: Path,
    model: Path | None,
    settings: MetricSettings,
    output: Path,
    aspin: Path | None = None,
) -> None:
    """Score every slice and every volume of the test split, and write two CSVs of one row each.

    One volume is held in memory at a time, with its reconstruction.

    Parameters
    ----------
    seed : of the method's training, for the table.
    data : folder of prepared data.
    model, aspin : the method's model, see `unimri.evaluation.reconstruction.load_reconstructor`.
    output : the CSV of the slices; that of the volumes is beside it, see `unimri.evaluation.volumes.volumes_file`.

    Raises
    ------
    UnimriError : when an input is missing or does not fit.
    """
    use_threads()
    masks = load_masks(mask)
    slices = PreparedData(data).split("test")
    reconstructor = load_reconstructor(model, anatomy, aspin)
    slice_scores, volume_scores = [], []
    for volume, patient, numbers in slices.volumes():
        of_volume = (masks.name, masks.acceleration, seed, method, anatomy, patient, volume)
        truth, images = slices.batch(numbers), _reconstruct(reconstructor, slices, numbers, masks)
        for place, (slice_, image) in enumerate(zip(truth, images, strict=True)):
            scores = *score_slice(slice_, image, settings), *score_slice_by_itself(slice_, image, settings)
            slice_scores.append(SliceScore(*of_volume, place, *scores))
        volume_scores.append(VolumeScore(*of_volume, *score_volume(truth, images)))
    write_scores(output, slice_scores)
    write_volume_scores(volumes_file(output), volume_scores)


def _reconstruct(
    reconstructor: Reconstructor, slices: SliceSet, numbers: NDArray[np.int64], masks: Masks
) -> NDArray[np.float32]:
    return np.concatenate([reconstruct_slices(reconstructor, slices, batch, masks) for batch in batches(numbers)])
