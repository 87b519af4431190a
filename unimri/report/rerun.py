"""How to make things again: commands for each kind of artifact, and what a changed setting makes again."""

from pathlib import Path
from typing import NamedTuple

from unimri.report.settings import Experiment


class Command(NamedTuple):
    """A command and what it does."""

    purpose: str
    text: str


def commands(results: Path, experiment: Experiment) -> list[Command]:
    """Give the commands of this experiment.

    An absolute folder of results is called RESULTS: the page names no path of the machine.
    """
    folder = "RESULTS" if results.is_absolute() else results.as_posix()
    sampling, seed = experiment.samplings[0], experiment.seeds[0]
    first = next(iter(experiment.anatomies))
    new = next((name for name, own in experiment.anatomies.items() if own.role == "new"), first)
    trained, layer = f"{folder}/{sampling}/seed{seed}", f"distilled/layer{experiment.distillation.layer}"
    return [
        Command("Everything that is missing or out of date", "snakemake --cores 2"),
        Command("The same, only said and not done", "snakemake -n"),
        Command("One anatomy's data", f"snakemake {folder}/data/{first}/manifest.csv"),
        Command("One anatomy's scans again, after a file was changed in place", "snakemake --forcerun index"),
        Command("A mask and its picture", f"snakemake {folder}/masks/{sampling}.png"),
        Command("An Independent network (S1)", f"snakemake {trained}/independent/{first}/model.safetensors"),
        Command("w/o MD (S2)", f"snakemake {trained}/pretrained/model.safetensors"),
        Command("Proposed (S3)", f"snakemake {trained}/{layer}/model.safetensors"),
        Command("A new anatomy's ASPIN (S4)", f"snakemake {trained}/{layer}/aspin/{new}.safetensors"),
        Command("One method's scores on one anatomy", f"snakemake {trained}/metrics/proposed/{first}.csv"),
        Command("Table 1", f"snakemake {folder}/tables/table1.csv"),
        Command("A figure", f"snakemake {folder}/figures/{sampling}/{first}.png"),
        Command("This page", f"snakemake {folder}/report.html"),
        Command("Any of these although it is up to date", "snakemake TARGET --forcerun TARGET"),
        Command("Snakemake's own report, with the graph of rules", "snakemake --report report.html"),
        Command("Which trainings are done, stale, under way or waiting", "unimri status"),
    ]


CHANGES = (
    ("distillation.omega", "S3, its S4, their scores, figures and tables"),
    ("another of training.seeds", "its trainings and their scores, the tables"),
    ("a new anatomy", "its own preparation, Independent and S4, its scores and figures, the tables"),
    ("training.stages of one stage", "that stage, what starts from it, their scores, figures and tables"),
    ("mask", "every training, its scores, figures and tables; no data"),
    ("metrics", "scores, figures and tables; no training"),
    ("preparation.fractions", "the splits and all that follows; no scan is read again"),
    ("a file added to a folder of real scans", "that anatomy's preparation and what follows"),
    ("code", "the rules that run it, and what follows; a comment or a docstring makes nothing again"),
)
"""A changed setting, and what the next `snakemake` makes again."""
