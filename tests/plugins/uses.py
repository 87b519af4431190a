"""Run in a process of its own, where the example package is installed: each stage with nothing but its kinds."""

import json
import sys
from pathlib import Path

import numpy as np

from unimri.cli.__main__ import app
from unimri.training.methods import recipe

folder = Path(sys.argv[1])
NETWORK = {"name": "small-unet", "cascades": 2, "width": 3}
MASK = {"kind": "centre-only", "offset": 1}
FIT = {
    "fit": "resize",
    "preparation": {"image_size": 16, "crop": 16, "fractions": {"train": 0.5, "validation": 0.25, "test": 0.25}},
}


def unimri(*arguments: object) -> None:
    app([str(argument) for argument in arguments], standalone_mode=False)


def train(stage: str, output: str, *anatomies: str, **options: str) -> None:
    task = {
        "stage": stage,
        "recipe": recipe(stage).model_dump(),
        "network": NETWORK,
        "budget": {"epochs": 1, "learning_rate": 1e-3},
        "optimisation": {"batch_size": 2, "steps_per_epoch": 2},
        "distillation": {"layer": 2} if stage == "distilled" else None,
        "seed": 1,
    }
    data = [f"--data={anatomy}={folder / 'data' / anatomy}" for anatomy in anatomies]
    more = [part for name, value in options.items() for part in (f"--{name}", value)]
    checkpoints = ("--checkpoints", folder / "checkpoints")
    unimri(
        "train",
        folder / "mask.npz",
        "--task",
        json.dumps(task),
        "--output",
        folder / output,
        *data,
        *more,
        *checkpoints,
    )


simulation = {"anatomy": "ball", "patients": 4, "slices": 2, "matrix_sizes": [32]}
unimri("simulate", 3, "--settings", json.dumps(simulation), "--output", folder / "raw" / "ball")
rng = np.random.default_rng(0)
for patient in range(4):
    place = folder / "raw" / "block" / f"P{patient}"
    place.mkdir(parents=True)
    np.save(place / "scan.npy", rng.random((2, 20, 24)) + 1j * rng.random((2, 20, 24)))

unimri("inspect", folder / "raw" / "block", "--reader", "npy-folder")
for anatomy, reader in (("ball", "decathlon"), ("block", "npy-folder")):
    settings = json.dumps(FIT | {"reader": {"format": reader}})
    unimri(
        "prepare", anatomy, folder / "raw" / anatomy, 0, "--settings", settings, "--output", folder / "data" / anatomy
    )
unimri("masks", "draw", 4, "--settings", json.dumps({"mask": MASK, "size": 16}), "--output", folder / "mask.npz")

train("independent", "ball", "ball")  # S1
train("pretrained", "pretrained", "ball")  # S2
train("distilled", "distilled", "ball", base=str(folder / "pretrained"), teacher=f"ball={folder / 'ball'}")  # S3
train("adapted", "pretrained/aspin", "block", base=str(folder / "pretrained"))  # S4
wanted = [{"method": "without_distillation", "seed": 1, "condition": "as trained", "model": str(folder / "pretrained")}]
(folder / "wanted.json").write_text(json.dumps(wanted))
data, kept = folder / "data" / "block", folder / "kept.h5"
unimri("reconstruct-test", "block", data, folder / "mask.npz", "--wanted", folder / "wanted.json", "--output", kept)
unimri("score", kept, data, "--settings", "{}", "--output", folder / "scores.csv")
