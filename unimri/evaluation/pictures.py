"""Figures from artifacts: reconstructions beside each other, prepared data, training curves, studies."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd

from unimri.core.artifacts import replacing
from unimri.core.errors import UnimriError
from unimri.data.store import PreparedData
from unimri.deploy.figure import reconstruction_figure
from unimri.evaluation.figures import (
    adaptation_figure,
    contact_sheet,
    curves_figure,
    matrix_figure,
)
from unimri.evaluation.reconstructions import Kept
from unimri.metrics.score import AS_TRAINED, score_slice
from unimri.metrics.settings import MetricSettings
from unimri.training.methods import method

PictureName = Literal["adaptation", "aspin_matrix"]


def picture_methods(
    reconstructions: Path,
    data: Path,
    methods: Sequence[str],
    seed: int,
    settings: MetricSettings,
    simulated: bool,
    output: Path,
) -> None:
    """Draw the middle slice of the middle test volume as each method reconstructs it; its images go to a `.npz`.

    Parameters
    ----------
    reconstructions : kept ones; see `unimri.evaluation.reconstructions`. No network is loaded.
    data : folder of the prepared data that they were made from.
    methods : keys, in the order of the figure.
    seed : of their trainings.
    simulated : whether the data are, which the title then says.
    output : the PNG to write. Its `.npz` holds `truth`, float32 (n, n), `images`, float32 (methods, n, n), and
        `about`, JSON text: methods, labels, scores (PSNR in dB, SSIM in percent), simulated, title.

    Raises
    ------
    UnimriError : when an input is missing or does not fit.
    """
    slices = PreparedData(data).split("test")
    volumes = sorted((volume, numbers) for volume, _, numbers in slices.volumes())
    own = volumes[len(volumes) // 2][1]
    shown = int(own[len(own) // 2])
    truth = slices[shown]
    images, scores = {}, {}
    with Kept(reconstructions) as kept:
        kept.check(data)
        for key in methods:
            label = method(key).title
            images[label] = kept.images(kept.find(key, seed, AS_TRAINED), slice(shown, shown + 1))[0]
            scores[label] = score_slice(truth, images[label], settings)
        title = f"{kept.about.anatomy}, {kept.about.acceleration:g}x"
    reconstruction_figure(truth, images, scores, title, output, simulated=simulated)
    about = {
        "methods": list(methods),
        "labels": list(images),
        "scores": [list(score) for score in scores.values()],
        "simulated": simulated,
        "title": title,
    }
    with replacing(output.with_suffix(".npz")) as temporary:
        np.savez(temporary, truth=truth, images=np.stack(list(images.values())), about=np.array(json.dumps(about)))


def picture_data(data: Path, output: Path) -> None:
    """Draw the middle slice of up to 24 volumes of an anatomy, with the split that each is in."""
    prepared = PreparedData(data)
    pictures, titles = [], []
    for split in ("train", "validation", "test"):
        slices = prepared.split(split)
        for _, _, numbers in list(slices.volumes())[:8]:
            pictures.append(slices[int(numbers[len(numbers) // 2])])
            titles.append(split)
    contact_sheet(np.stack(pictures), titles, output)


def draw_curves(histories: Mapping[str, Mapping[str, Path]], title: str, output: Path) -> None:
    """Draw the training curves of all stages.

    Parameters
    ----------
    histories : `history.csv` of each training, by the title of its stage and the name of the training.
    title : of the figure.
    output : the PNG to write.

    Raises
    ------
    UnimriError : when a history is missing or damaged.
    """
    frames = {stage: {name: _history(path) for name, path in paths.items()} for stage, paths in histories.items()}
    curves_figure(frames, title, output)


def _history(path: Path) -> pd.DataFrame:
    try:
        return pd.read_csv(path)
    except (OSError, ValueError) as fault:
        raise UnimriError(f"{path}: not the history of a training ({fault}); train it again") from None


def draw_study(study: PictureName, table: Path, acceleration: float, title: str, output: Path) -> None:
    """Draw one acceleration of `adaptation.csv` or `aspin_matrix.csv`, in the first of its metrics.

    Raises
    ------
    UnimriError : when the table is missing, is damaged, or has no such acceleration.
    """
    try:
        frame = pd.read_csv(table, dtype={"patients": str}, keep_default_na=False, na_values=[""])
        rows = frame[frame["acceleration"] == acceleration]
        rows = rows[rows["metric"] == next(iter(rows["metric"]), "")]
    except (OSError, ValueError, KeyError) as fault:
        raise UnimriError(f"{table}: cannot be read ({fault}); make it again") from None
    if rows.empty:
        raise UnimriError(f"{table}: has no rows at {acceleration:g}x; make it again")
    (adaptation_figure if study == "adaptation" else matrix_figure)(rows, title, output)
