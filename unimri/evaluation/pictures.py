"""The reconstructions of one test slice by every method, as a figure."""

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch

from unimri.core.artifacts import replacing
from unimri.data.store import PreparedData
from unimri.evaluation.figures import reconstruction_figure
from unimri.evaluation.reconstruction import load_reconstructor, reconstruct_slices
from unimri.metrics.score import score_slice
from unimri.metrics.settings import MetricSettings
from unimri.physics.masks import load_masks
from unimri.training.methods import method


def picture_methods(
    anatomy: str,
    data: Path,
    mask: Path,
    models: Mapping[str, Path | None],
    settings: MetricSettings,
    simulated: bool,
    output: Path,
) -> None:
    """Draw the middle slice of the middle test volume as each method reconstructs it; its images go to a `.npz`.

    Parameters
    ----------
    models : model folder of each method, in the order of the figure; None for zero filling.
    simulated : whether the data are, which the title then says.
    output : the PNG to write. Its `.npz` holds `truth`, float32 (n, n), `images`, float32 (methods, n, n), and
        `about`, JSON text: methods, labels, scores (PSNR in dB, SSIM in percent), simulated, title.
    """
    torch.set_num_threads(1)
    masks = load_masks(mask)
    slices = PreparedData(data).split("test")
    places = [slices.volume_of(number)[:2] for number in range(len(slices))]
    volumes = sorted({volume for volume, _ in places})
    wanted = volumes[len(volumes) // 2]
    own = [number for number, (volume, _) in enumerate(places) if volume == wanted]
    numbers = np.array([own[len(own) // 2]])
    truth = slices[int(numbers[0])]
    images, scores = {}, {}
    for key, folder in models.items():
        label = method(key).title
        images[label] = reconstruct_slices(load_reconstructor(folder, anatomy), slices, numbers, masks)[0]
        scores[label] = score_slice(truth, images[label], settings)
    title = f"{anatomy}, {masks.acceleration:g}x"
    reconstruction_figure(truth, images, scores, title, output, simulated=simulated)
    about = {
        "methods": list(models),
        "labels": list(images),
        "scores": [list(score) for score in scores.values()],
        "simulated": simulated,
        "title": title,
    }
    with replacing(output.with_suffix(".npz")) as temporary:
        np.savez(temporary, truth=truth, images=np.stack(list(images.values())), about=np.array(json.dumps(about)))
