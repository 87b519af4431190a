"""Which learning rate each stage should have: the mean validation PSNR of each stage at each rate of a grid.

The same grid, budget, initialisation and optimiser for every stage. A stage that builds on others (S3, S4) builds on
those with the best learning rate. Reads prepared data and masks (`snakemake --until mask contact_sheet` makes them).

    python benchmarks/learning_rates.py config.yaml --acceleration 4 --output learning-rates
"""

import json
from collections.abc import Iterable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import pandas as pd
import typer
from tqdm import tqdm

from unimri.config import Config, load_config
from unimri.plan import WorkflowPlan
from unimri.training.run import Files, run_training
from unimri.training.settings import TrainingTask
from unimri.training.stages import StageName

GRID = (5e-4, 1e-3, 2e-3, 4e-3)


@dataclass(frozen=True)
class Trial:
    """One training: its stage, learning rate, the new anatomy that it is for (or all base anatomies), its files."""

    task: TrainingTask
    files: Files
    folder: Path

    def run(self) -> float:
        """Train, unless that is done, and give the best validation PSNR in dB."""
        only = self.task.stage == "adapted"
        about = self.folder / (f"{next(iter(self.files.data))}.json" if only else "model.json")
        if not about.exists():
            run_training(self.task, self.files, self.folder, self.folder)
        return float(json.loads(about.read_text())["best_validation_psnr_db"])


class Sweep:
    """Trials of one configuration at one acceleration, under one folder."""

    def __init__(self, config: Config, acceleration: float, grid: list[float], output: Path) -> None:
        self.config, self.grid, self.output = config, grid, output
        self.plan = WorkflowPlan(config)
        self.mask = config.results / f"masks/{acceleration:g}x.npz"
        self.rows: list[dict[str, object]] = []

    def folder(self, stage: StageName, rate: float, anatomy: str = "") -> Path:
        return self.output / stage / f"{rate:g}" / anatomy

    def stage(
        self,
        stage: StageName,
        groups: Iterable[list[str]],
        base: Path | None = None,
        teachers: dict[str, Path] | None = None,
    ) -> float:
        """Train a stage on each group of anatomies at each rate; give the rate that is best on average."""
        trials: list[tuple[float, str, Trial]] = []
        task = TrainingTask.model_validate_json(self.plan.task(stage, self.config.distillation.layer))
        for rate in self.grid:
            budget = task.budget.model_copy(update={"learning_rate": rate})
            for anatomies in groups:
                name = " ".join(anatomies)
                data = {anatomy: self.config.results / "data" / anatomy for anatomy in anatomies}
                folder = self.folder(stage, rate, anatomies[0] if stage in ("independent", "adapted") else "")
                files = Files(data, self.mask, base, teachers)
                trials.append((rate, name, Trial(task.model_copy(update={"budget": budget}), files, folder)))
        with ProcessPoolExecutor(2) as pool:
            runs = pool.map(Trial.run, [trial for _, _, trial in trials])
            scores = list(tqdm(runs, stage, len(trials), unit="training", disable=None))
        frame = pd.DataFrame({"stage": stage, "rate": [r for r, _, _ in trials], "psnr_db": scores})
        means = frame.groupby("rate")["psnr_db"].mean()
        best = float(means.idxmax())
        self.rows.append({"stage": stage, **{f"{rate:g}": f"{value:.2f}" for rate, value in means.items()}})
        self.rows[-1]["best"] = f"{best:g}"
        print(pd.DataFrame(self.rows).to_markdown(index=False), flush=True)
        return best


def main(
    config: Path,
    output: Annotated[Path, typer.Option(help="Folder for the trained models; a second call goes on.")],
    acceleration: float = 4,
    grid: Annotated[list[float] | None, typer.Option(help="Learning rates.")] = None,
) -> None:
    """Print the mean validation PSNR (dB) of each stage at each learning rate."""
    loaded = load_config(config)
    sweep = Sweep(loaded, acceleration, grid or list(GRID), output)
    each = [[anatomy] for anatomy in loaded.anatomies]
    alone = sweep.stage("independent", each)
    sweep.stage("shared", [loaded.base])
    base = sweep.folder("pretrained", sweep.stage("pretrained", [loaded.base]))
    teachers = {anatomy: sweep.folder("independent", alone, anatomy) for anatomy in loaded.base}
    distilled = sweep.folder("distilled", sweep.stage("distilled", [loaded.base], base, teachers))
    sweep.stage("continued", [loaded.base], base)
    sweep.stage("adapted", [[anatomy] for anatomy in loaded.new], distilled)


if __name__ == "__main__":
    typer.run(main)
