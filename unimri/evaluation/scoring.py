"""Mean scores of a method over slices of a split, for the studies beside Table 1."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from unimri.data.store import SliceSet
from unimri.evaluation.reconstruction import Reconstructor, batches, reconstruct_slices
from unimri.metrics.score import Score, score_slice
from unimri.metrics.settings import MetricSettings
from unimri.physics.masks import Masks


def scores(
    reconstructor: Reconstructor,
    slices: SliceSet,
    numbers: NDArray[np.int64],
    masks: Masks,
    settings: MetricSettings,
    noise: float = 0.0,
) -> Iterator[tuple[str, int, Score]]:
    """Reconstruct slices and score them.

    Parameters
    ----------
    numbers : which slices.
    noise : see `unimri.evaluation.reconstruction.reconstruct_slices`.

    Returns
    -------
    For each slice its volume's key, its number in the volume, and its score.
    """
    for batch in batches(numbers):
        images = reconstruct_slices(reconstructor, slices, batch, masks, noise)
        for number, image in zip(batch, images, strict=True):
            volume, place, _ = slices.volume_of(int(number))
            yield volume, place, score_slice(slices[int(number)], image, settings)
