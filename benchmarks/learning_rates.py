"""Which learning rate each stage should have: the mean validation PSNR of each stage at each rate of a grid.

The same rule, initialisation and optimiser for every stage: three rates, a factor of two apart, and further ones until
the best is not the largest or smallest. A stage that builds on others (S3, S4) builds on those with the best rate.
Reads prepared data and masks (`snakemake --until mask data_report` makes them).

    python benchmarks/learning_rates.py config.yaml --acceleration 4 --output learning-rates
"""

import json
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
import pandas as pd
import typer
from tqdm import tqdm

from unimri.config import Config, load_config
from unimri.training.run import Files, run_training
from unimri.training.settings import TrainingTask
from unimri.workflow.plan import WorkflowPlan

GRID = (1e-3, 2e-3, 4e-3)


@dataclass(frozen=True)
class Trial:
    """One training and where its model goes."""

    task: TrainingTask
    files: Files
    folder: Path

    def run(self) -> float:
        """Train, unless that is done, and give the best validation PSNR in dB."""
        only = self.task.recipe.learns == "conditioning"
        about = self.folder / (f"{next(iter(self.files.data))}.json" if only else "model.json")
        if not about.exists():
            run_training(self.task, self.files, self.folder, self.folder)
        return float(json.loads(about.read_text())["best_validation_psnr_db"])


class Sweep:
    """Trials of one configuration at one acceleration, under one folder."""

    def __init__(self, config: Config, acceleration: float, output: Path) -> None:
        self.config, self.output = config, output
        self.plan = WorkflowPlan(config)
        self.planned = self.plan.trainings(f"{acceleration:g}x", self.plan.seeds[0])
        self.mask = config.results / f"masks/{acceleration:g}x.npz"
        self.rows: list[dict[str, object]] = []

    def folder(self, stage: str, rate: float, anatomy: str = "") -> Path:
        return self.output / stage / f"{rate:g}" / anatomy

    def stage(
        self,
        stage: str,
        groups: list[list[str]],
        base: Path | None = None,
        teachers: dict[str, Path] | None = None,
    ) -> float:
        """Train a stage on each group of anatomies at each rate; give the rate that is best on average."""
        means: dict[float, float] = {}
        rates = list(GRID)
        while rates:
            trials = [self.trial(stage, rate, group, base, teachers) for rate in rates for group in groups]
            with ProcessPoolExecutor(2) as pool:
                scores = list(tqdm(pool.map(Trial.run, trials), stage, len(trials), unit="training", disable=None))
            frame = pd.DataFrame({"rate": np.repeat(rates, len(groups)), "psnr_db": scores})
            means |= frame.groupby("rate")["psnr_db"].mean().to_dict()
            best = max(means, key=lambda rate: means[rate])
            rates = [rate for edge, rate in ((min(means), best / 2), (max(means), best * 2)) if best == edge]
        self.rows.append({"stage": stage, "best": f"{best:g}"} | {f"{rate:g}": means[rate] for rate in sorted(means)})
        columns = ["stage", "best", *sorted({key for row in self.rows for key in row} - {"stage", "best"}, key=float)]
        print(pd.DataFrame(self.rows, columns=columns).round(2).to_markdown(index=False), "\n", flush=True)
        return best

    def trial(
        self,
        stage: str,
        rate: float,
        anatomies: list[str],
        base: Path | None,
        teachers: dict[str, Path] | None,
    ) -> Trial:
        task = TrainingTask.model_validate_json(self.plan.task(next(one for one in self.planned if one.stage == stage)))
        budget = task.budget.model_copy(update={"learning_rate": rate})
        data = {anatomy: self.config.results / "data" / anatomy for anatomy in anatomies}
        folder = self.folder(stage, rate, anatomies[0] if stage in ("independent", "adapted", "finetuned") else "")
        return Trial(task.model_copy(update={"budget": budget}), Files(data, self.mask, base, teachers), folder)


def main(
    config: Path,
    output: Annotated[Path, typer.Option(help="Folder for the trained models; a second call goes on.")],
    acceleration: float = 4,
) -> None:
    """Print the mean validation PSNR (dB) of each stage at each learning rate."""
    loaded = load_config(config)
    sweep = Sweep(loaded, acceleration, output)
    each = [[anatomy] for anatomy in loaded.anatomies]
    alone = sweep.stage("independent", each)
    sweep.stage("shared", [loaded.base])
    sweep.stage("shared_instance_norm", [loaded.base])
    base = sweep.folder("pretrained", sweep.stage("pretrained", [loaded.base]))
    teachers = {anatomy: sweep.folder("independent", alone, anatomy) for anatomy in loaded.base}
    distilled = sweep.folder("distilled", sweep.stage("distilled", [loaded.base], base, teachers))
    sweep.stage("continued", [loaded.base], base)
    sweep.stage("adapted", [[anatomy] for anatomy in loaded.new], distilled)
    sweep.stage("finetuned", [[anatomy] for anatomy in loaded.new], distilled)


if __name__ == "__main__":
    typer.run(main)
