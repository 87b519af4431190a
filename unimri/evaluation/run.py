"""Scores of one method on the test split."""

from pathlib import Path

import numpy as np
import torch

from unimri.data.store import PreparedData
from unimri.evaluation.metrics import MetricSettings, SliceScore, score_slice, write_scores
from unimri.evaluation.reconstruction import load_reconstructor, reconstruct_slices
from unimri.models.memory import keep_freed_memory
from unimri.physics.masks import load_masks

_BATCH = 8


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
    """Score every slice of the test split, and write one CSV row a slice.

    Parameters
    ----------
    seed : of the method's training, for the table.
    data : folder of prepared data.
    model, aspin : the method's model, see `unimri.evaluation.reconstruction.load_reconstructor`.

    Raises
    ------
    UnimriError : when an input is missing or does not fit.
    """
    torch.set_num_threads(1)
    keep_freed_memory()
    masks = load_masks(mask)
    slices = PreparedData(data).split("test")
    reconstructor = load_reconstructor(model, anatomy, aspin)
    rows = []
    for start in range(0, len(slices), _BATCH):
        numbers = np.arange(start, min(start + _BATCH, len(slices)))
        images = reconstruct_slices(reconstructor, slices, numbers, masks)
        for number, image in zip(numbers, images, strict=True):
            volume, place, _ = slices.volume_of(int(number))
            score = score_slice(slices[int(number)], image, settings)
            rows.append(SliceScore(masks.acceleration, seed, method, anatomy, volume, place, *score))
    write_scores(output, rows)
