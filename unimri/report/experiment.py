"""The experiment: what the page reads of its configuration, how it shows it, and how to rerun it."""

import hashlib
import json
from pathlib import Path
from typing import Any, NamedTuple

from pydantic import BaseModel, ConfigDict

from unimri.training.methods import Method, method
from unimri.training.methods import trained as trainings
from unimri.training.settings import Running


class _Section(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True)


class _Anatomy(_Section):
    role: str
    path: str | None = None


class _Preparation(_Section):
    image_size: int


class _Training(_Section):
    seeds: list[int] | None = None


class _Distillation(_Section):
    layer: int


class Experiment(_Section):
    """The settings that the page's own words depend on. The whole configuration is shown as it is."""

    seed: int
    accelerations: list[float]
    anatomies: dict[str, _Anatomy]
    preparation: _Preparation
    network: dict[str, Any]
    training: _Training = _Training()
    distillation: _Distillation

    @property
    def seeds(self) -> list[int]:
        """Seeds of the trainings."""
        return self.training.seeds or [self.seed]

    @property
    def samplings(self) -> list[str]:
        """Names of the samplings of Table 1."""
        return [f"{acceleration:g}x" for acceleration in self.accelerations]

    @property
    def origins(self) -> dict[str, str]:
        """Whether each anatomy is simulated or real, by this configuration."""
        return {name: "real" if own.path else "simulated" for name, own in self.anatomies.items()}


HIDDEN = "(not shown)"
_PATHS = {"path", "splits", "private", "key_file"}
# Patterns of a reader's user may hold names of files and patients; these are chosen from a list.
_CHOICES = {"format", "plane", "plugin"}


def shown_settings(config: Any) -> Any:
    """Give a configuration without what the page must not say: paths of the machine, and a reader's own patterns."""
    if isinstance(config, dict):
        return {key: _shown(key, value) for key, value in config.items()}
    if isinstance(config, list):
        return [shown_settings(value) for value in config]
    if isinstance(config, str) and (config.startswith(("/", "~", "\\")) or ".." in config or config[1:3] == ":\\"):
        return HIDDEN
    return config


def made_from(config: dict[str, Any]) -> dict[str, Any]:
    """What tables are made from: `settings` and `digest` of `unimri.evaluation.tables.note_tables`."""
    text = json.dumps(_of_tables(config), sort_keys=True)
    return {"settings": of_tables(config), "digest": hashlib.sha256(text.encode()).hexdigest()[:16]}


def of_tables(config: dict[str, Any]) -> dict[str, Any]:
    """The part of a configuration that tables depend on, as `shown_settings` gives it."""
    return {key: _shown(key, value) for key, value in _of_tables(config).items()}


def _of_tables(config: dict[str, Any]) -> dict[str, Any]:
    kept = {key: value for key, value in config.items() if key not in ("results", "private", "container")}
    # A network that another device trains is another file, and makes tables again by that.
    own = {
        key: value for key, value in kept.get("training", {}).items() if key not in {*Running.model_fields, "device"}
    }
    return kept | {"training": own}


def _shown(key: str, value: Any) -> Any:
    if key in _PATHS and isinstance(value, str):
        return HIDDEN
    if key == "reader" and isinstance(value, dict):
        return {
            name: own if name in _CHOICES or not isinstance(own, str | list) else HIDDEN for name, own in value.items()
        }
    return shown_settings(value)


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
    trained = f"{folder}/{sampling}/seed{seed}"

    def models(row: Method) -> str:
        """Folder of a method's models: of one anatomy's, where each has a network of its own."""
        return f"{trained}/{row.models.format(anatomy=first, layer=experiment.distillation.layer)}"

    networks = [
        Command(
            f"{row.title}: {'the network of an anatomy' if row.learns_from == 'each' else 'the network'}",
            f"snakemake {models(row)}/model.safetensors",
        )
        for row in trainings()
        if row.in_paper
    ]
    proposed = method("proposed")
    return [
        Command("Everything that is missing or out of date", "snakemake --cores 2"),
        Command("The same, only said and not done", "snakemake -n"),
        Command("One anatomy's data", f"snakemake {folder}/data/{first}/manifest.csv"),
        Command("One anatomy's scans again, after a file was changed in place", "snakemake --forcerun index"),
        Command("A mask and its picture", f"snakemake {folder}/masks/{sampling}.png"),
        *networks,
        Command(f"{proposed.title}: a new anatomy", f"snakemake {models(proposed)}/aspin/{new}.safetensors"),
        Command("One anatomy's scores, of all methods", f"snakemake {folder}/{sampling}/scores/{first}.csv"),
        Command("Table 1", f"snakemake {folder}/tables/table1.csv"),
        Command("A figure", f"snakemake {folder}/figures/{sampling}/{first}.png"),
        Command("This page", f"snakemake {folder}/report.html"),
        Command("Any of these although it is up to date", "snakemake TARGET --forcerun TARGET"),
        Command("Snakemake's own report, with the graph of rules", "snakemake --report report.html"),
        Command("Which trainings are done, stale, under way or waiting", "unimri status"),
    ]


CHANGES = (
    ("distillation.omega", "S3, its S4, reconstructions, scores, figures and tables; no teacher"),
    ("another of training.seeds", "its trainings, reconstructions, scores, figures and tables"),
    ("a new anatomy", "its own preparation, Independent, S4, reconstructions, scores and figures; the tables"),
    ("training.stages of one stage", "that stage, what starts from it, reconstructions, scores, figures and tables"),
    ("mask", "every training, reconstructions, scores, figures and tables; no data"),
    ("metrics", "scores, figures and tables; no training and no reconstruction"),
    ("preparation.fractions", "the splits and all that follows; no scan is read again"),
    ("a file added to a folder of real scans", "that anatomy's preparation and what follows"),
    ("code", "the rules that run it, and what follows; a comment or a docstring makes nothing again"),
)
"""A changed setting, and what the next `snakemake` makes again."""
