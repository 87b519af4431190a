"""Scores of one method on the test split."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unimri.core.compute import use_threads
from unimri.data.store import PreparedData, SliceSet
from unimri.evaluation.reconstruction import Reconstructor, batches, load_reconstructor, reconstruct_slices
from unimri.metrics.score import score_slices, score_volume, volumes_file, write_scores, write_volume_scores
from unimri.metrics.settings import MetricSettings
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
    output : the CSV of the slices; that of the volumes is beside it, see `unimri.metrics.score.volumes_file`.

    Raises
    ------
    UnimriError : when an input is missing or does not fit.
    """
    use_threads()
    masks = load_masks(mask)
    slices = PreparedData(data).split("test")
    reconstructor = load_reconstructor(model, anatomy, aspin)
    slice_scores: list[Any] = []
    volume_scores: list[Any] = []
    for volume, patient, numbers in slices.volumes():
        of_volume = (masks.name, masks.acceleration, seed, method, anatomy, patient, volume)
        truth, images = slices.batch(numbers), _reconstruct(reconstructor, slices, numbers, masks)
        slice_scores += [(*of_volume, *row.values()) for row in score_slices(truth, images, settings)]
        volume_scores.append((*of_volume, *score_volume(truth, images, settings).values()))
    write_scores(output, slice_scores, settings)
    write_volume_scores(volumes_file(output), volume_scores, settings)


def _reconstruct(
    reconstructor: Reconstructor, slices: SliceSet, numbers: NDArray[np.int64], masks: Masks
) -> NDArray[np.float32]:
    return np.concatenate([reconstruct_slices(reconstructor, slices, batch, masks) for batch in batches(numbers)])
