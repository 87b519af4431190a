"""What total variation and wavelets cost beside the network, and whether their iterations suffice.

Processor time of one thread, a slice, in batches of eight as in evaluation; the network is a universal D5C5 in float32.
Runs take turns, and the fastest of each counts. With prepared data and a mask: PSNR after fewer iterations against that
after a thousand, by what the first shrinkage takes off.

    python benchmarks/classical.py --size 64 --size 320
    python benchmarks/classical.py --data results/data/brain --mask results/masks/4x.npz
"""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import pandas as pd
import torch
import typer

from unimri.classical import reconstruction
from unimri.classical.settings import TotalVariation, Wavelet
from unimri.classical.tuning import mean_psnr
from unimri.core.machine import keep_freed_memory
from unimri.data.store import PreparedData, evenly_spaced
from unimri.evaluation.reconstruct import network_reconstructor
from unimri.metrics.base import MetricSettings
from unimri.models.cascade import D5C5
from unimri.models.settings import CascadeSettings
from unimri.physics.fourier import lines, undersample
from unimri.physics.masks import Gaussian1D, draw_masks, load_masks
from unimri.physics.sense import Measurement

BATCH = 8
METHODS = (TotalVariation(), Wavelet())


def costs(size: int, rounds: int) -> pd.Series:
    """Milliseconds a slice of each method."""
    sampled = lines(torch.from_numpy(draw_masks(Gaussian1D(), size, 4).masks), -1)
    images = torch.rand(BATCH, size, size, generator=torch.Generator().manual_seed(0))
    zero_filled, measured = undersample(images, sampled, -1)
    network = network_reconstructor(D5C5(CascadeSettings(), "aspin", ["one"]).eval(), "one")
    runs: dict[str, Callable[..., object]] = {"network": network}
    runs |= {settings.method: reconstruction.classical_reconstructor(settings, 1e-4) for settings in METHODS}
    fastest = dict.fromkeys(runs, float("inf"))
    for _ in range(rounds + 1):  # the first compiles, and is seldom the fastest
        for name, run in runs.items():
            start = time.process_time()
            run(Measurement(zero_filled, measured, sampled, -1))
            fastest[name] = min(fastest[name], (time.process_time() - start) / BATCH * 1e3)
    return pd.Series(fastest)


def convergence(data: Path, mask: Path, weight: float, slices: int) -> pd.DataFrame:
    """PSNR in dB after some iterations, less that after a thousand."""
    split, masks = PreparedData(data).split("validation"), load_masks(mask)
    numbers = evenly_spaced(len(split), slices)

    def psnr(settings: TotalVariation | Wavelet, iterations: int) -> float:
        longer = settings.model_copy(update={"iterations": iterations})
        reconstructor = reconstruction.classical_reconstructor(longer, weight)
        return mean_psnr(reconstructor, split, numbers, masks, MetricSettings())

    rows = []
    for settings in METHODS:
        chosen = reconstruction._SHRINKAGE[settings.method]
        converged = psnr(settings, 1000)
        for shrinkage in (0.2, 0.1, 0.05, 0.025, 0.0125):
            reconstruction._SHRINKAGE[settings.method] = shrinkage
            row: dict[str, object] = {"method": settings.method, "shrinkage": shrinkage, "chosen": shrinkage == chosen}
            rows.append(row | {str(count): psnr(settings, count) - converged for count in (10, 20, 30, 40, 60, 100)})
        reconstruction._SHRINKAGE[settings.method] = chosen
    return pd.DataFrame(rows)


def main(
    size: Annotated[list[int] | None, typer.Option()] = None,
    rounds: int = 5,
    data: Path | None = None,
    mask: Path | None = None,
    weight: float = 1e-4,
    slices: int = 8,
) -> None:
    """Print costs, or convergence when data and mask are given."""
    torch.set_num_threads(1)
    torch.set_grad_enabled(False)
    keep_freed_memory()
    if data is not None and mask is not None:
        print(convergence(data, mask, weight, slices).round(3).to_markdown(index=False))
        return
    table = pd.DataFrame({f"{side} x {side}, ms a slice": costs(side, rounds) for side in size or [64]})
    ratios = (table / table.loc["network"]).rename(columns=lambda name: name.replace("ms a slice", "of network"))
    print(pd.concat([table.round(1), ratios.round(2)], axis=1).to_markdown())


if __name__ == "__main__":
    typer.run(main)
