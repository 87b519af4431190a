"""Forgetting: how the reconstructions of old anatomies change when a new one is learnt."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from unimri.core.compute import use_threads
from unimri.core.text import exact_changes, write_csv
from unimri.data.store import PreparedData, SliceSet
from unimri.evaluation.averages import FORGETTING_COLUMNS
from unimri.evaluation.reconstruction import Reconstructor, batches, network_reconstructor, reconstruct_slices
from unimri.metrics.score import score_slice
from unimri.metrics.settings import MetricSettings
from unimri.models.folder import load_model
from unimri.physics.masks import Masks, load_masks


def score_forgetting(
    seed: int,
    data: Mapping[str, Path],
    mask: Path,
    model: Path,
    new: list[str],
    finetuned: Mapping[str, Path],
    settings: MetricSettings,
    output: Path,
) -> None:
    """Reconstruct the test splits of old anatomies before and after new ones were learnt; write `FORGETTING_COLUMNS`.

    Parameters
    ----------
    data : prepared data of the old (base) anatomies.
    model : folder of the universal network. Before: it with the ASPINs of the old anatomies alone. After S4: it with
        the new anatomy's ASPIN inserted too.
    new : anatomies that S4 has added to it.
    finetuned : folder of the network that fine-tuning on a new anatomy made of it, by that anatomy.
    output : the CSV. `before` and `after` are mean PSNR in dB; `largest_pixel_change` is the largest difference of any
        pixel's magnitude, on the slices' scale of [0, 1].

    Raises
    ------
    UnimriError : when an input is missing or does not fit.
    """
    use_threads()
    masks, old = load_masks(mask), list(data)
    before = load_model(model, old)
    after = {("aspin", name): load_model(model, [*old, name]) for name in new}
    after |= {("finetuned", name): load_model(folder, old) for name, folder in finetuned.items()}
    rows = []
    for anatomy, folder in data.items():
        slices = PreparedData(folder).split("test")
        networks = [network_reconstructor(network, anatomy) for network in (before, *after.values())]
        changes = _changes(networks, slices, masks, settings)
        for (way, name), change in zip(after, changes, strict=True):
            rows.append((masks.acceleration, seed, way, name, anatomy, len(slices), *change))
    frame = pd.DataFrame(rows, columns=FORGETTING_COLUMNS)
    write_csv(output, exact_changes(frame))


def _changes(
    networks: Sequence[Reconstructor], slices: SliceSet, masks: Masks, settings: MetricSettings
) -> list[tuple[float, float, float]]:
    """Mean PSNR of the first and of each other network, and the largest difference of a pixel between the two."""
    scores: list[list[float]] = [[] for _ in networks]
    largest = [0.0] * (len(networks) - 1)
    for numbers in batches(np.arange(len(slices))):
        first, *others = (reconstruct_slices(network, slices, numbers, masks) for network in networks)
        largest = [max(old, float(np.abs(first - other).max())) for old, other in zip(largest, others, strict=True)]
        for truth, *images in zip(slices.batch(numbers), first, *others, strict=True):
            for found, image in zip(scores, images, strict=True):
                found.append(score_slice(truth, image, settings).psnr_db)
    before, *after = (float(np.mean(found)) for found in scores)
    return [(before, mean, change) for mean, change in zip(after, largest, strict=True)]
