"""Which Gaussian mask makes zero filling come closest to a published row, and how close.

A paper that does not say its mask still prints how zero filling does with it. For each standard deviation on a grid and
each seed a mask is drawn for every acceleration, and slices of every anatomy are undersampled with it. On a grid,
because the score of a seed is no smooth function of the standard deviation: lines come and go. On training slices: a
mask is part of an experiment's design, which the test split must not inform.

    python benchmarks/calibrate_masks.py --data brain=results/data/brain --data knee=results/data/knee
"""

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
import pandas as pd
import torch
import typer
import yaml
from tabulate import tabulate
from torch import Tensor
from tqdm import tqdm

from unimri.cli.commands import Pairs, pairs
from unimri.core.errors import UnimriError
from unimri.core.settings import parse_settings
from unimri.core.text import write_csv
from unimri.data.store import PreparedData, evenly_spaced
from unimri.evaluation.averages import anatomies_of
from unimri.evaluation.paper import published
from unimri.metrics.base import PSNR_CEILING_DB
from unimri.physics.fourier import PHASE_AXES, from_hybrid, lines, to_hybrid
from unimri.physics.masks import Gaussian1D, draw_masks

SIGMAS = tuple(round(0.01 * step, 2) for step in range(3, 31))
"""0.03 to 0.30 of the line count, in steps of 0.01."""


@dataclass(frozen=True)
class Calibration:
    """Everything that was tried.

    Attributes
    ----------
    tried : one row a mask and anatomy: sigma, seed, acceleration, anatomy, psnr_db (mean over slices, of zero filling),
        target_db.
    mask : the settings that were varied.
    size : phase-encoding lines; a seed's masks are those of this size alone.
    """

    tried: pd.DataFrame
    mask: Gaussian1D
    size: int

    def densities(self) -> pd.DataFrame:
        """One row a density: sigma, rms_db (of the mean over seeds, from the target), and of its single draws
        rms_db_best, rms_db_median and rms_db_worst."""
        means = self._cells().groupby("sigma")["difference_db"].agg(_rms)
        draws = self.draws().groupby("sigma")["rms_db"].agg(["min", "median", "max"])
        draws.columns = ["rms_db_best", "rms_db_median", "rms_db_worst"]
        return means.rename("rms_db").to_frame().join(draws).reset_index()

    def draws(self) -> pd.DataFrame:
        """One row a draw: sigma, seed, rms_db."""
        differences = self.tried.assign(difference_db=self.tried["psnr_db"] - self.tried["target_db"])
        return differences.groupby(["sigma", "seed"])["difference_db"].agg(_rms).rename("rms_db").reset_index()

    def best_density(self) -> tuple[float, pd.DataFrame]:
        """The closest density's sigma, and its cells: acceleration, anatomy, psnr_db (mean over seeds), deviation_db
        (between seeds), target_db, difference_db."""
        densities = self.densities()
        sigma = float(densities.sort_values("rms_db", kind="stable")["sigma"].iloc[0])
        cells = self._cells()
        return sigma, cells[cells["sigma"] == sigma].drop(columns="sigma").reset_index(drop=True)

    def best_draw(self) -> tuple[Gaussian1D, pd.DataFrame]:
        """The closest single draw's settings, and its cells: acceleration, anatomy, psnr_db, target_db,
        difference_db."""
        draws = self.draws().sort_values("rms_db", kind="stable")
        sigma, seed = float(draws["sigma"].iloc[0]), int(draws["seed"].iloc[0])
        cells = self.tried[(self.tried["sigma"] == sigma) & (self.tried["seed"] == seed)]
        cells = cells.assign(difference_db=cells["psnr_db"] - cells["target_db"]).drop(columns=["sigma", "seed"])
        return self.mask.model_copy(update={"sigma": sigma, "seed": seed}), cells.reset_index(drop=True)

    def _cells(self) -> pd.DataFrame:
        grouped = self.tried.groupby(["sigma", "acceleration", "anatomy"], sort=False)
        cells = grouped.agg(
            psnr_db=("psnr_db", "mean"), deviation_db=("psnr_db", "std"), target_db=("target_db", "first")
        )
        return cells.assign(difference_db=cells["psnr_db"] - cells["target_db"]).reset_index()


def _rms(values: pd.Series) -> float:
    return float(np.sqrt(np.mean(np.square(values))))


Target = Mapping[float, Mapping[str, float]]
"""PSNR of zero filling in dB, by acceleration and anatomy; NaN where there is none."""


def read_target(path: Path | None = None) -> Target:
    """Read the PSNR of zero filling that is to be met.

    Parameters
    ----------
    path : CSV with the column acceleration and one for each anatomy, PSNR in dB; of a file with the columns method and
        metric, as our Table 1, the rows of undersampled and psnr_db count. None: the paper's row.

    Raises
    ------
    UnimriError : when the file is missing or is no such table.
    """
    try:
        frame = published() if path is None else pd.read_csv(path)
    except (OSError, ValueError) as fault:
        raise UnimriError(f"{path}: cannot be read as CSV ({' '.join(str(fault).split())}); correct the path") from None
    for column, wanted in (("method", "undersampled"), ("metric", "psnr_db")):
        if column in frame:
            frame = frame[frame[column] == wanted]
    if "acceleration" not in frame or frame.empty:
        raise UnimriError(f"{path}: has no row of zero filling's PSNR; give the column acceleration and one an anatomy")
    anatomies = anatomies_of(frame)
    try:
        rows = frame[["acceleration", *anatomies]].to_numpy(dtype=np.float64)
    except ValueError as fault:
        raise UnimriError(f"{path}: holds something else than numbers ({fault}); correct it") from None
    if len(set(rows[:, 0])) < len(rows):
        raise UnimriError(f"{path}: has two rows of one acceleration; leave one")
    return {float(row[0]): dict(zip(anatomies, row[1:].tolist(), strict=True)) for row in rows}


def calibrate(
    data: Mapping[str, Path],
    target: Target,
    mask: Gaussian1D,
    sigmas: Sequence[float] = SIGMAS,
    seeds: int = 100,
    accelerations: Sequence[float] | None = None,
    limit: int = 24,
) -> Calibration:
    """Try masks of all standard deviations and seeds.

    Parameters
    ----------
    data : folder of prepared data of each anatomy, slices in [0, 1].
    target : from `read_target`.
    mask : what the masks have in common: centre_lines, floor, keep_dc, axis.
    seeds : try 0 to seeds - 1.
    accelerations : None for all of the target.
    limit : of training slices of an anatomy, evenly spaced.

    Raises
    ------
    UnimriError : when an anatomy or acceleration is not in the target, data are missing or of different sizes, or a
        mask cannot be drawn.
    """
    if not data:
        raise UnimriError("--data: give at least one anatomy's prepared folder, as ANATOMY=FOLDER")
    accelerations = list(target) if accelerations is None else accelerations
    for acceleration in accelerations:
        if acceleration not in target:
            known = ", ".join(f"{value:g}" for value in target)
            raise UnimriError(f"--accelerations: the target has no {acceleration:g}; allowed: {known}")
        for anatomy in data:
            if np.isnan(target[acceleration].get(anatomy, np.nan)):
                known = ", ".join(name for name, value in target[acceleration].items() if not np.isnan(value))
                raise UnimriError(
                    f"--data: the target has no anatomy {anatomy!r} at {acceleration:g}x; allowed: {known}"
                )
    axis = PHASE_AXES[mask.axis]
    images = {anatomy: _images(folder, limit) for anatomy, folder in data.items()}
    sizes = {image.shape[-1] for image in images.values()}
    if len(sizes) > 1:
        raise UnimriError(f"--data: slices of {' and '.join(map(str, sorted(sizes)))} pixels; give those of one size")
    (size,) = sizes
    kspace = {anatomy: to_hybrid(image, axis) for anatomy, image in images.items()}
    rows = []
    for sigma in tqdm(sigmas, unit="sigma", disable=None):
        for seed in range(seeds):
            settings = parse_settings(Gaussian1D, mask.model_dump() | {"sigma": sigma, "seed": seed}, "--sigmas")
            for acceleration in accelerations:
                sampled = lines(torch.from_numpy(draw_masks(settings, size, acceleration).masks[:1]), axis)
                for anatomy, image in images.items():
                    psnr = _psnr(from_hybrid(kspace[anatomy] * sampled, axis).abs(), image)
                    rows.append((sigma, seed, acceleration, anatomy, psnr, target[acceleration][anatomy]))
    columns = ["sigma", "seed", "acceleration", "anatomy", "psnr_db", "target_db"]
    return Calibration(pd.DataFrame(rows, columns=columns), mask, size)


def report(found: Calibration) -> str:
    """Say which density and which draw come closest, how close, and the lines of a configuration that ask for them."""
    sigma, cells = found.best_density()
    best = found.densities().set_index("sigma").loc[sigma]
    draw, drawn = found.best_draw()
    seeds, sigmas = found.tried["seed"].nunique(), found.tried["sigma"].unique()
    at_end = sigma in (sigmas[0], sigmas[-1]) and len(sigmas) > 1
    return "\n".join(
        [
            f"Closest density, mean over {seeds} draws: sigma {sigma:g}, {best['rms_db']:.2f} dB r.m.s."
            + (" At an end of what was tried: try further." if at_end else ""),
            f"Its single draws: {best['rms_db_best']:.2f} to {best['rms_db_worst']:.2f} dB r.m.s., "
            f"half of them above {best['rms_db_median']:.2f}.",
            "",
            _table(cells),
            "",
            _yaml(found.mask.model_copy(update={"sigma": sigma}), "and a seed of your own, or per_slice: true"),
            "",
            f"Closest of all {len(found.draws())} draws: sigma {draw.sigma:g}, seed {draw.seed}, "
            f"{_rms(drawn['difference_db']):.2f} dB r.m.s.",
            "",
            _table(drawn),
            "",
            _yaml(draw, f"at {found.size} lines only: at another size the seed draws other masks"),
        ]
    )


def _table(cells: pd.DataFrame) -> str:
    titles = {
        "acceleration": "acceleration",
        "anatomy": "anatomy",
        "psnr_db": "PSNR (dB)",
        "deviation_db": "deviation",
        "target_db": "target",
        "difference_db": "difference",
    }
    shown = cells[[column for column in titles if column in cells]].rename(columns=titles)
    shown["acceleration"] = [f"{value:g}x" for value in cells["acceleration"]]
    return str(tabulate(shown.to_numpy().tolist(), list(shown.columns), tablefmt="plain", floatfmt=".2f"))


def _yaml(mask: Gaussian1D, remark: str) -> str:
    """The line of config.yaml: what the mask does not have by default, with a comment."""
    chosen = {"kind": mask.kind, "sigma": mask.sigma} | mask.model_dump(exclude_defaults=True, exclude={"name"})
    settings = yaml.safe_dump(chosen, default_flow_style=True, sort_keys=False, width=120).strip()
    return f"mask: {settings}   # {remark}"


def _images(folder: Path, limit: int) -> Tensor:
    """Training slices, float32 (B, n, n)."""
    split = PreparedData(folder).split("train")
    return torch.from_numpy(split.batch(evenly_spaced(len(split), limit)))


def _psnr(images: Tensor, truth: Tensor) -> float:
    """Mean PSNR over slices (B, n, n), in dB with range 1."""
    error = (images - truth).square().mean((1, 2))
    return float((-10 * error.log10()).clamp(max=PSNR_CEILING_DB).mean())


def _numbers(text: str, option: str) -> list[float]:
    try:
        return [float(number) for number in text.split(",")]
    except ValueError:
        raise UnimriError(f"{option}: {text!r} is no list of numbers; give it as 4,6") from None


def main(
    data: Pairs = None,
    target: Annotated[
        Path | None,
        typer.Option(help="CSV of zero filling's PSNR, acceleration and anatomies as columns; else the paper's row."),
    ] = None,
    accelerations: Annotated[str | None, typer.Option(help="Such as 4,6; else the target's.")] = None,
    sigmas: Annotated[
        str | None, typer.Option(help="Standard deviations to try, such as 0.08,0.09; else 0.03 to 0.30 by 0.01.")
    ] = None,
    seeds: Annotated[int, typer.Option(min=2, help="Draws of each density.")] = 100,
    slices: Annotated[int, typer.Option(min=1, help="Training slices of each anatomy, at most.")] = 24,
    mask: Annotated[
        str, typer.Option(help="What else the Gaussian masks have, as JSON: centre_lines, floor, keep_dc, axis.")
    ] = "{}",
    output: Annotated[Path | None, typer.Option(help="CSV of everything that was tried.")] = None,
) -> None:
    """Find the Gaussian mask whose zero filling comes closest to a published row, and say how close."""
    found = calibrate(
        pairs(data),
        read_target(target),
        parse_settings(Gaussian1D, mask, "--mask"),
        SIGMAS if sigmas is None else _numbers(sigmas, "--sigmas"),
        seeds,
        None if accelerations is None else _numbers(accelerations, "--accelerations"),
        slices,
    )
    if output is not None:
        write_csv(output, found.tried)
    print(report(found))


if __name__ == "__main__":
    try:
        typer.run(main)
    except UnimriError as fault:
        sys.exit(f"unimri: {' '.join(str(fault).split())}")
