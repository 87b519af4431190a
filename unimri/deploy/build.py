"""From a finished experiment to a model that can be given to others."""

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from tqdm import tqdm

from unimri.core.artifacts import replacing
from unimri.core.errors import UnimriError
from unimri.core.machine import use_threads
from unimri.core.provenance import versions
from unimri.core.settings import Settings
from unimri.core.text import write_csv
from unimri.data.index import Entry, IndexTask, index_scans
from unimri.data.store import PreparedData, Split
from unimri.deploy.card import write_texts
from unimri.deploy.estimates import Grid, distance, inverse_covariance, largest_distance, scale_factor, split_features
from unimri.deploy.library import (
    AnatomyDescription,
    AnatomyTask,
    ChoiceQuality,
    ModelDescription,
    ModelTask,
    Quality,
)
from unimri.deploy.model import Model
from unimri.metrics.base import MetricSettings, psnr
from unimri.metrics.score import AS_TRAINED, read_scores
from unimri.models.folder import ABOUT, WEIGHTS, aspin_path, load_model
from unimri.physics.acquisition import acquisition
from unimri.physics.masks import Masks, load_masks

PROPOSED, ZERO_FILLED = "proposed", "undersampled"
"""The methods whose scores a model shows."""

CHOICE = "choice.csv"
"""What `--anatomy auto` made of every test volume, a file of the model."""


class Scans(Settings):
    """The scans that an anatomy's data were prepared from, and what their keys were made with.

    They are looked for again: results may be given to others, and the lists that name patients stay private.
    """

    folder: Path
    index: IndexTask
    seed: int


def build_model(
    task: ModelTask,
    model: Path,
    mask: Path,
    data: Mapping[str, Path],
    scans: Mapping[str, Scans],
    scores: Path,
    seed: int,
    output: Path,
) -> None:
    """Write a model's folder: base, ASPINs, description and card.

    Parameters
    ----------
    task : what it says of itself.
    model : folder of the universal network, with an ASPIN of each anatomy.
    mask : the mask artifact that it was trained with.
    data : prepared data of each anatomy.
    scans : of each anatomy; those of test patients show how good the choice of the anatomy is.
    scores : folder with the scores of each anatomy, `{anatomy}.csv`.
    seed : of the model's training, by which its scores are known.
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
    if missing := set(task.anatomies) - (set(prepared) & set(scans)):
        raise UnimriError(f"no prepared data, or no scans, of {', '.join(sorted(missing))}; give both")
    grid = Grid(next(iter(prepared.values())).image_size, task.smoothing, masks)
    masks.check_size(grid.size)
    train = {name: split_features(prepared[name], "train", grid) for name in task.anatomies}
    inverse = inverse_covariance([np.concatenate(volumes) for volumes in train.values()])
    inverse = np.array([[_six_digits(value) for value in row] for row in inverse])
    anatomies = {}
    for name, anatomy in task.anatomies.items():
        found = describe_anatomy(anatomy, prepared[name], masks, grid, train[name], inverse)
        anatomies[name] = found.model_copy(update={"quality": _quality(scores / f"{name}.csv", seed, task.metrics)})
    description = ModelDescription(
        name=task.name,
        acceleration=task.acceleration,
        mask=task.mask,
        image_size=grid.size,
        smoothing=task.smoothing,
        metrics=task.metrics,
        anatomies=anatomies,
        inverse_covariance=inverse.tolist(),
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
        chosen = try_choice(Model(description, network), {name: (prepared[name], scans[name]) for name in anatomies})
        write_csv(temporary / CHOICE, pd.DataFrame(chosen, columns=list(Chosen._fields)))
        description = description.model_copy(update={"choice": summary(chosen)})
        write_texts(temporary, description)


def describe_anatomy(
    task: AnatomyTask,
    data: PreparedData,
    masks: Masks,
    grid: Grid,
    train: Sequence[NDArray[np.float64]],
    inverse: NDArray[np.float64],
) -> AnatomyDescription:
    """What a model says of an anatomy that its data tell: scale, features, number of patients; not its quality.

    Parameters
    ----------
    task : origin, role and crop.
    data : its prepared data.
    masks : for slices of their size.
    grid : the model's.
    train : `split_features` of its training split.
    inverse : the model's `inverse_covariance`, (FEATURES, FEATURES).
    """
    mean = np.concatenate(train).mean(0)
    validation = split_features(data, "validation", grid)
    distances = [distance(volume, mean, inverse) for volume in (*train, *validation)]
    return AnatomyDescription(
        origin=task.origin,
        role=task.role,
        crop=task.crop,
        scale_factor=scale_factor(data, masks),
        features=[_six_digits(value) for value in mean],
        largest_distance=_six_digits(largest_distance(distances)),
        training_patients=count_patients(data, "train"),
    )


def _six_digits(value: float) -> float:
    return float(f"{value:.6g}")


def count_patients(data: PreparedData, split: Split) -> int:
    """How many patients a split has."""
    return int(data.manifest.loc[data.manifest["split"] == split, "patient"].nunique())


def _quality(scores: Path, seed: int, metrics: MetricSettings) -> Quality:
    # Whatever else was scored.
    rows = read_scores([scores], metrics.model_copy(update={"table": ["psnr", "ssim"]}))
    rows = rows[(rows["condition"] == AS_TRAINED) & (rows["seed"] == seed)]
    own, zero_filled = (rows[rows["method"] == method] for method in (PROPOSED, ZERO_FILLED))
    if own.empty or zero_filled.empty:
        raise UnimriError(f"{scores}: holds no scores of the model of seed {seed} and of zero filling; score again")
    means = [(float(found["psnr_db"].mean()), float(found["ssim_percent"].mean())) for found in (own, zero_filled)]
    return Quality.of(len(own), int(own["patient"].nunique()), *means)


class Chosen(NamedTuple):
    """One test volume, by its number: a model goes to others, and keys of volumes stay.

    `chosen`, `confidence` and `unlike` (whether it was found to be like none) are of the choice among all anatomies,
    `chosen_else` and `unlike_else` of that among all but its own. `loss_db` is what the mean PSNR of its slices loses
    by the chosen ASPIN.
    """

    anatomy: str
    volume: int
    slices: int
    rows: int
    columns: int
    chosen: str
    confidence: float
    unlike: bool
    chosen_else: str
    unlike_else: bool
    loss_db: float


def try_choice(model: Model, data: Mapping[str, tuple[PreparedData, Scans]]) -> list[Chosen]:
    """Let a model choose the ASPIN of every test volume of each anatomy: of its files, at their own size."""
    volumes = [
        (anatomy, number, scans, entry)
        for anatomy, (prepared, scans) in data.items()
        for number, entry in enumerate(_entries(anatomy, prepared, scans, "test"), start=1)
    ]
    rows = []
    for anatomy, number, scans, entry in tqdm(volumes, desc="choose", unit="volume", disable=None):
        truth = scans.index.reader.read_scan(entry.scan(scans.folder))
        kspace, mask = model.undersample(truth)
        axis = model.description.mask.axis
        given = acquisition(kspace, mask, axis, axis)
        slices = model.features(given)
        choice = model.nearest(slices)
        others = {name: own for name, own in slices.items() if name != anatomy}
        otherwise = model.nearest(others) if others else choice
        loss = 0.0
        if choice.anatomy != anatomy:
            own, other = (model.reconstruct(kspace, mask, name) for name in (anatomy, choice.anatomy))
            loss = _mean_psnr(truth, own) - _mean_psnr(truth, other)
        rows.append(
            Chosen(
                anatomy,
                number,
                len(truth),
                truth.shape[1],
                truth.shape[2],
                choice.anatomy,
                round(choice.confidence, 4),
                bool(choice.unlike),
                otherwise.anatomy,
                bool(otherwise.unlike),
                round(loss, 4),
            )
        )
    return rows


def _entries(anatomy: str, prepared: PreparedData, scans: Scans, split: Split) -> list[Entry]:
    """Scans of a split that were prepared, in the order of their keys."""
    manifest = prepared.manifest
    keys = set(manifest.loc[manifest["split"] == split, "volume"])
    indices = index_scans(anatomy, scans.folder, scans.index, scans.seed)
    found = {entry.volume: entry for index in indices for entry in index.entries if entry.volume in keys}
    if len(found) < len(keys):
        gone = len(keys) - len(found)
        raise UnimriError(f"{scans.folder}: {gone} of {len(keys)} {split} volumes are gone; prepare {anatomy} again")
    return [found[volume] for volume in sorted(found)]


def _mean_psnr(truth: NDArray[np.float32], images: NDArray[np.float32]) -> float:
    largest = float(truth.max())
    return float(np.mean([psnr(one / largest, own / largest, 1.0) for one, own in zip(truth, images, strict=True)]))


def summary(rows: list[Chosen]) -> ChoiceQuality:
    """Count them."""
    used = [row for row in rows if not row.unlike]
    losses = [row.loss_db for row in used]
    return ChoiceQuality(
        volumes=len(rows),
        right=sum(row.chosen == row.anatomy for row in used),
        refused=len(rows) - len(used),
        loss_db=round(float(np.mean(losses)), 4) if losses else 0.0,
        largest_loss_db=round(max(losses, default=0.0), 4),
        strangers_refused=sum(row.unlike_else for row in rows),
    )
