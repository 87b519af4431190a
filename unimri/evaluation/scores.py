"""Scores of kept reconstructions: of every method, under every condition, one row a slice and one a volume."""

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from tqdm import tqdm

from unimri.data.store import PreparedData
from unimri.evaluation.reconstructions import Kept
from unimri.metrics.base import MetricSettings
from unimri.metrics.score import (
    AS_TRAINED,
    score_slices,
    score_volume,
    slice_columns,
    volume_columns,
    volumes_file,
    write_scores,
    write_volume_scores,
)

_WITH_ASPIN, _AFTER = "ASPIN of ", "after learning "


def with_aspin_of(anatomy: str) -> str:
    """The condition that an anatomy's ASPIN is applied to the slices of any."""
    return f"{_WITH_ASPIN}{anatomy}"


def aspin_of(condition: str) -> str | None:
    """Whose ASPIN is applied, where a condition is one of `with_aspin_of`."""
    return condition.removeprefix(_WITH_ASPIN) if condition.startswith(_WITH_ASPIN) else None


def after_learning(anatomy: str) -> str:
    """The condition that the network has learnt a new anatomy since."""
    return f"{_AFTER}{anatomy}"


def learnt_in(condition: str) -> str | None:
    """Which anatomy was learnt, where a condition is one of `after_learning`."""
    return condition.removeprefix(_AFTER) if condition.startswith(_AFTER) else None


def score(reconstructions: Path, data: Path, settings: MetricSettings, output: Path) -> None:
    """Score kept reconstructions against the prepared slices, and write two CSVs. A volume is in memory at a time.

    Parameters
    ----------
    reconstructions : file that `unimri.evaluation.reconstruct.reconstruct_test_split` wrote.
    data : folder of the prepared data that it was made from.
    output : the CSV of the slices, one row each for every reconstruction; that of the volumes, of those reconstructions
        that have all slices, is beside it, see `unimri.metrics.score.volumes_file`. `largest_pixel_change` is the
        largest difference of a pixel's magnitude to the reconstruction that was there before, on the slices' scale of
        [0, 1]; it is missing where there was none.

    Raises
    ------
    UnimriError : when an input is missing or does not fit.
    """
    slices = PreparedData(data).split("test")
    columns, of_volumes = slice_columns(settings), volume_columns(settings)
    with Kept(reconstructions) as kept:
        kept.check(data)
        about, wanted = kept.about, kept.about.reconstructions
        before = [None if one.before is None else kept.find(one.before, one.seed, AS_TRAINED) for one in wanted]
        slice_rows: list[list[tuple[object, ...]]] = [[] for _ in wanted]
        volume_rows: list[list[tuple[object, ...]]] = [[] for _ in wanted]
        numbers = [one.numbers(slices) for one in wanted]
        for volume, patient, own in tqdm(list(slices.volumes()), desc=about.anatomy, unit="volume", disable=None):
            truth = slices.batch(own)
            # What is the same, zero filling beside several seeds, is scored once.
            known: dict[int, tuple[list[tuple[float, ...]], list[tuple[float, ...]]]] = {}
            for place, one in enumerate(wanted):
                chosen = np.flatnonzero(np.isin(numbers[place], own))
                if not len(chosen):
                    continue
                images, within = kept.images(place, _span(chosen)), numbers[place][chosen] - own[0]
                if about.images[place] not in known:
                    rows = score_slices(truth[within], images, settings)
                    whole = [score_volume(truth, images, settings)] if one.slices is None else []
                    known[about.images[place]] = (
                        [tuple(row[column] for column in columns) for row in rows],
                        [tuple(row[column] for column in of_volumes) for row in whole],
                    )
                changes = [math.nan] * len(chosen)
                if (earlier := before[place]) is not None:
                    changes = np.abs(images - kept.images(earlier, _span(own))[within]).max(axis=(1, 2)).tolist()
                who = (one.condition, about.mask, about.acceleration, one.seed, one.method, about.anatomy)
                slice_scores, volume_scores = known[about.images[place]]
                slice_rows[place] += [
                    (*who, patient, volume, int(number), *row, change)
                    for number, row, change in zip(within, slice_scores, changes, strict=True)
                ]
                volume_rows[place] += [(*who, patient, volume, *row) for row in volume_scores]
    write_scores(output, [row for rows in slice_rows for row in rows], settings)
    write_volume_scores(volumes_file(output), [row for rows in volume_rows for row in rows], settings)


def _span(places: NDArray[np.int64]) -> slice:
    """Places that rise by one, as a slice."""
    return slice(int(places[0]), int(places[-1]) + 1)


def as_trained(scores: pd.DataFrame, methods: Sequence[str]) -> pd.DataFrame:
    """The rows of some methods under the conditions that they were trained for: those of Table 1, say."""
    chosen = scores[(scores["condition"] == AS_TRAINED) & scores["method"].isin(list(methods))]
    return chosen.reset_index(drop=True)
