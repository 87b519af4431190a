"""Scores and pictures of one method on the test split."""

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from unimri.data.store import PreparedData, SliceSet
from unimri.evaluation.metrics import MetricSettings, SliceScore, score_slice, write_scores
from unimri.models.cascade import D5C5
from unimri.models.folder import load_model
from unimri.models.memory import keep_freed_memory
from unimri.physics.fourier import PHASE_AXES, lines, undersample
from unimri.physics.masks import Masks, load_masks

_BATCH = 8


@torch.no_grad()
def reconstruct_slices(
    network: D5C5 | None, slices: SliceSet, numbers: NDArray[np.int64], masks: Masks, anatomy: str
) -> NDArray[np.float32]:
    """Undersample slices of a split and reconstruct them, in float32.

    Parameters
    ----------
    network : None leaves the zero-filled image.
    numbers : which slices, int64 (B,).

    Returns
    -------
    magnitude, float32 (B, n, n).
    """
    masks.check_size(slices.image_size)
    axis = PHASE_AXES[masks.axis]
    sampled = lines(torch.from_numpy(masks.of_slices(numbers)), axis)
    image, measured = undersample(torch.from_numpy(slices.batch(numbers)), sampled, axis)
    if network is not None:
        image, _ = network(image, measured, sampled, axis, anatomy)
    return image.abs().numpy()


def load_method(folder: Path | None, anatomy: str) -> D5C5 | None:
    """The network of a method for one anatomy; None (zero filling) when there is no folder."""
    return None if folder is None else load_model(folder, [anatomy])


def evaluate(
    method: str,
    seed: int,
    anatomy: str,
    data: Path,
    mask: Path,
    model: Path | None,
    settings: MetricSettings,
    output: Path,
) -> None:
    """Score every slice of the test split, and write one CSV row a slice.

    Parameters
    ----------
    seed : of the method's training, for the table.
    data : folder of prepared data.
    model : the method's model folder; None for zero filling.

    Raises
    ------
    UnimriError : when an input is missing or does not fit.
    """
    torch.set_num_threads(1)
    keep_freed_memory()
    masks = load_masks(mask)
    slices = PreparedData(data).split("test")
    network = load_method(model, anatomy)
    rows = []
    for start in range(0, len(slices), _BATCH):
        numbers = np.arange(start, min(start + _BATCH, len(slices)))
        images = reconstruct_slices(network, slices, numbers, masks, anatomy)
        for number, image in zip(numbers, images, strict=True):
            volume, place, _ = slices.volume_of(int(number))
            score = score_slice(slices[int(number)], image, settings)
            rows.append(SliceScore(masks.acceleration, seed, method, anatomy, volume, place, *score))
    write_scores(output, rows)
