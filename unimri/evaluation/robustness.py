"""How trained networks do on samplings and noise that they were not trained for, and with another anatomy's ASPIN."""

from collections.abc import Mapping
from pathlib import Path

import pandas as pd
from pydantic import Field

from unimri.core.compute import use_threads
from unimri.core.settings import Settings
from unimri.core.text import write_csv
from unimri.data.store import PreparedData, evenly_spaced
from unimri.evaluation.averages import MATRIX_COLUMNS, ROBUSTNESS_COLUMNS
from unimri.evaluation.reconstruction import load_reconstructor, network_reconstructor
from unimri.evaluation.scoring import scores
from unimri.metrics.settings import MetricSettings
from unimri.models.folder import load_model
from unimri.physics.masks import load_masks


class Condition(Settings):
    """What is tried.

    Attributes
    ----------
    mask : the mask artifact that slices are undersampled with.
    noise : see `unimri.evaluation.reconstruction.reconstruct_slices`.
    """

    mask: Path
    noise: float = Field(0.0, ge=0)


def score_conditions(
    anatomy: str,
    acceleration: float,
    seed: int,
    data: Path,
    conditions: Mapping[str, Condition],
    models: Mapping[str, Path | None],
    limit: int | None,
    settings: MetricSettings,
    output: Path,
) -> None:
    """Score methods on the test split under each condition, and write one CSV row a slice (`ROBUSTNESS_COLUMNS`).

    Parameters
    ----------
    acceleration, seed : of the methods' trainings.
    data : folder of prepared data.
    conditions : by name.
    models : of each method, see `unimri.evaluation.reconstruction.load_reconstructor`.
    limit : score at most so many slices, evenly spaced.

    Raises
    ------
    UnimriError : when an input is missing or does not fit.
    """
    use_threads()
    slices = PreparedData(data).split("test")
    numbers = evenly_spaced(len(slices), limit)
    masks = {name: load_masks(condition.mask) for name, condition in conditions.items()}
    rows = []
    for method, model in models.items():
        reconstructor = load_reconstructor(model, anatomy)
        for name, condition in conditions.items():
            found = scores(reconstructor, slices, numbers, masks[name], settings, condition.noise)
            rows += [
                (acceleration, seed, name, method, anatomy, volume, place, score.psnr_db, score.ssim_percent)
                for volume, place, score in found
            ]
    write_csv(output, pd.DataFrame(rows, columns=ROBUSTNESS_COLUMNS))


def score_aspins(
    anatomy: str,
    seed: int,
    data: Path,
    mask: Path,
    model: Path,
    aspins: list[str],
    limit: int | None,
    settings: MetricSettings,
    output: Path,
) -> None:
    """Score an anatomy's test split with each anatomy's ASPIN, and write one CSV row a slice (`MATRIX_COLUMNS`).

    Parameters
    ----------
    model : folder of a universal network that has them all.
    aspins : the anatomies whose ASPINs are tried.
    limit : score at most so many slices, evenly spaced.

    Raises
    ------
    UnimriError : when an input is missing or does not fit.
    """
    use_threads()
    masks = load_masks(mask)
    slices = PreparedData(data).split("test")
    numbers = evenly_spaced(len(slices), limit)
    network = load_model(model, aspins)
    rows = [
        (masks.acceleration, seed, anatomy, aspin, volume, place, score.psnr_db, score.ssim_percent)
        for aspin in aspins
        for volume, place, score in scores(network_reconstructor(network, aspin), slices, numbers, masks, settings)
    ]
    write_csv(output, pd.DataFrame(rows, columns=MATRIX_COLUMNS))
