"""How good `--anatomy auto` is: on the test split, where the anatomy is known."""

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch
from tqdm import tqdm

from unimri.core.text import write_csv
from unimri.data.store import PreparedData
from unimri.deploy.description import ChoiceQuality
from unimri.deploy.model import Model
from unimri.metrics.psnr import psnr

TABLE = "choice.csv"


class Chosen(NamedTuple):
    """One test volume, by its number: a model goes to others, and keys of volumes stay.

    `chosen`, `confidence` and `unlike` (whether it was found to be like none) are of the choice among all anatomies,
    `chosen_else` and `unlike_else` of that among all but its own. PSNR in dB is the mean over slices: by its own
    anatomy's ASPIN, by the chosen one's, and without the network.
    """

    anatomy: str
    volume: int
    slices: int
    chosen: str
    confidence: float
    unlike: bool
    chosen_else: str
    unlike_else: bool
    psnr_db: float
    chosen_psnr_db: float
    zero_filled_psnr_db: float


def try_choice(model: Model, data: Mapping[str, PreparedData]) -> list[Chosen]:
    """Let a model choose the ASPIN of every test volume of each anatomy."""
    volumes = [
        (anatomy, number, prepared.split("test"), numbers)
        for anatomy, prepared in data.items()
        for number, (_, _, numbers) in enumerate(prepared.split("test").volumes(), start=1)
    ]
    rows = []
    for anatomy, number, slices, numbers in tqdm(volumes, desc="choose", unit="volume", disable=None):
        truth = slices.batch(numbers)
        kspace, mask = model.undersample(truth)
        images = {"": model.zero_fill(kspace)}
        zero_filled = torch.from_numpy(images[""])[:, None]
        choice = model.choose(zero_filled)
        otherwise = model.choose(zero_filled, leaving_out=anatomy) if len(model.anatomies) > 1 else choice
        # Mostly they are one.
        images |= {name: model.reconstruct(kspace, mask, name) for name in {anatomy, choice.anatomy}}
        scores = {
            name: float(np.mean([psnr(one, own, 1.0) for one, own in zip(truth, made, strict=True)]))
            for name, made in images.items()
        }
        rows.append(
            Chosen(
                anatomy,
                number,
                len(numbers),
                choice.anatomy,
                round(choice.confidence, 4),
                bool(choice.unlike),
                otherwise.anatomy,
                bool(otherwise.unlike),
                scores[anatomy],
                scores[choice.anatomy],
                scores[""],
            )
        )
    return rows


def summary(rows: list[Chosen]) -> ChoiceQuality:
    """Count them."""
    used = [row for row in rows if not row.unlike]
    losses = [row.psnr_db - row.chosen_psnr_db for row in used]
    return ChoiceQuality(
        volumes=len(rows),
        right=sum(row.chosen == row.anatomy for row in used),
        refused=len(rows) - len(used),
        loss_db=round(float(np.mean(losses)), 4) if losses else 0.0,
        largest_loss_db=round(max(losses, default=0.0), 4),
        strangers_refused=sum(row.unlike_else for row in rows),
    )


def write_choice(rows: list[Chosen], path: Path) -> None:
    """Write one row a volume."""
    write_csv(path, pd.DataFrame(rows, columns=list(Chosen._fields)))
