"""Which mask seed makes zero filling come closest to the paper's Undersampled row (PSNR, all anatomies and rates).

Reads prepared data (`snakemake --until contact_sheet` makes them); scores slices of the training split.

    python benchmarks/mask_seeds.py config.yaml
"""

from pathlib import Path

import numpy as np
import pandas as pd
import torch
import typer
from tqdm import trange

from unimri.config import load_config
from unimri.data.store import PreparedData
from unimri.evaluation.paper import published
from unimri.physics.fourier import PHASE_AXES, lines, undersample
from unimri.physics.masks import draw_masks


def main(config: Path, seeds: int = 200, slices: int = 100, shown: int = 10) -> None:
    """Print the seeds whose zero-filled PSNR has the least root mean square difference to the paper's."""
    loaded = load_config(config)
    paper = published().query("method == 'undersampled' and metric == 'psnr_db'").set_index("acceleration")
    images = {}
    for anatomy in loaded.anatomies:
        split = PreparedData(loaded.results / "data" / anatomy).split("train")
        chosen = np.linspace(0, len(split) - 1, min(slices, len(split))).astype(int)
        images[anatomy] = torch.from_numpy(split.batch(chosen))
    rows = []
    for seed in trange(seeds, disable=None):
        settings = loaded.mask.model_copy(update={"seed": seed})
        row: dict[str, float] = {"seed": seed}
        for acceleration in loaded.accelerations:
            masks = draw_masks(settings, loaded.preparation.image_size, acceleration)
            axis = PHASE_AXES[masks.axis]
            for anatomy, truth in images.items():
                zero_filled, _ = undersample(truth, lines(torch.from_numpy(masks.masks[:1]), axis), axis)
                error = (zero_filled.abs() - truth).square().mean((1, 2))
                row[f"{acceleration:g}x {anatomy}"] = float((-10 * error.log10()).mean())
        differences = [
            row[f"{acceleration:g}x {anatomy}"] - paper.loc[acceleration, anatomy]
            for acceleration in loaded.accelerations
            for anatomy in images
        ]
        rows.append({**row, "rms_difference_db": float(np.sqrt(np.mean(np.square(differences))))})
    table = pd.DataFrame(rows).sort_values("rms_difference_db")
    print(table.head(shown).round(2).to_markdown(index=False))


if __name__ == "__main__":
    typer.run(main)
