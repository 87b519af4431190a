"""What the whole experiment costs: slices seen by each stage, floating-point operations, and hours at measured rates.

    python benchmarks/cost.py config.yaml workflow/config/paper.yaml --plain 18 --universal 17 --s3 13

The options are images a second of a training step, from benchmarks/training_step.py at the configured image size;
without them, operations alone. Slices are the paper's counts, of which the configured fraction trains.
"""

import argparse
from pathlib import Path

import pandas as pd
from tabulate import tabulate

import unimri
from unimri.config import Config, load_config
from unimri.workflow.trainings import TrainingPlan

# Published counts, beside the tables.
COUNTS = Path(unimri.__path__[0]) / "evaluation/published/counts.csv"


def forward_flops(config: Config) -> float:
    """Of the convolutions, a slice: two for a multiplication and an addition."""
    network, size = config.network, config.preparation.image_size
    inner = (network.convolutions - 2) * network.width**2
    return float(2 * 9 * (2 * network.width + inner + 2 * network.width) * network.cascades * size**2)


def slices_seen(config: Config) -> pd.DataFrame:
    """By stage: trainings on all patients and slices seen, at one acceleration with one seed."""
    plan, counts = TrainingPlan(config), pd.read_csv(COUNTS, index_col="anatomy")["slices"]
    train = {name: counts[name] * config.preparation.fractions.train for name in config.anatomies}
    rows = []
    for training in plan.trainings(plan.samplings[0], plan.seeds[0]):
        if training.patients is not None:
            continue
        own, recipe = [train[name] for name in training.anatomies], training.recipe
        # Anatomies that take turns do so until the largest has been seen once.
        slices = len(own) * max(own) if recipe.in_turn else sum(own)
        step = "s3" if training.teachers else "universal" if training.method.universal else "plain"
        # A step is three forwards; the teacher's is one more, and no gradient of a convolution's weights one less.
        forwards = 3 + bool(training.teachers) - (recipe.learns == "conditioning")
        rows.append((training.stage, step, 1, slices * config.training.stages[training.stage].epochs, forwards))
    found = pd.DataFrame(rows, columns=["stage", "step", "trainings", "slices seen", "forwards"])
    return found.groupby(["stage", "step", "forwards"], sort=False, as_index=False).sum()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("config", type=Path, nargs="+")
    for step in ("plain", "universal", "s3"):
        parser.add_argument(f"--{step}", type=float, help="images a second")
    options = parser.parse_args()
    config = load_config(*options.config)
    table = slices_seen(config)
    forward = forward_flops(config)
    table["PFLOP"] = table["slices seen"] * table.pop("forwards") * forward / 1e15
    rates = table.pop("step").map(vars(options))
    if rates.notna().all():
        table["hours"] = table["slices seen"] / rates / 3600
    total = table.sum(numeric_only=True)
    table.loc[len(table)] = {"stage": "one acceleration", **total}
    accelerations = len(config.accelerations)
    table.loc[len(table)] = {"stage": f"all {accelerations}", **(total * accelerations)}
    size = config.preparation.image_size
    print(f"{size} x {size}; a forward is {forward / 1e9:.1f} GFLOP a slice, a training step three times that\n")
    print(tabulate(table, headers="keys", showindex=False, floatfmt=",.0f", tablefmt="pipe"))


if __name__ == "__main__":
    main()
